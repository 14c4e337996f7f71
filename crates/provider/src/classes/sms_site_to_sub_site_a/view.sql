-- Each site with those right below it, except sites that were removed.
SELECT
    'SMS_Site.SiteCode=' || json_quote(c.site_code) AS "childSite",
    'SMS_Site.SiteCode=' || json_quote(s.site_code) AS "parentSite"
FROM visible_sites AS c
JOIN visible_sites AS s ON s.site_code = c.parent
WHERE c.status <> 4 AND s.status <> 4
