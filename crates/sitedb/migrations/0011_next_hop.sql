-- next hop
-- The neighbour that lies towards a site, kept up to date with is_below; empty for the own site and where
-- no neighbour leads.
ALTER TABLE sites ADD COLUMN next_hop TEXT NOT NULL DEFAULT '';
WITH RECURSIVE down (site_code, hop) AS (
    SELECT s.site_code, s.site_code FROM sites s WHERE s.parent = (SELECT site.site_code FROM site)
    UNION
    SELECT s.site_code, d.hop FROM sites s JOIN down d ON s.parent = d.site_code
    WHERE s.site_code <> (SELECT site.site_code FROM site)
)
UPDATE sites SET next_hop = COALESCE(
    (SELECT d.hop FROM down d WHERE d.site_code = sites.site_code),
    (SELECT o.parent FROM sites o WHERE o.site_code = (SELECT site.site_code FROM site)),
    '')
WHERE site_code <> (SELECT site.site_code FROM site);
