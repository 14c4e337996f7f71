-- Sites below this one; a site that stands alone has none.
SELECT
    'SMS_Site.SiteCode=' || json_quote(c.site_code) AS "childSite",
    'SMS_Site.SiteCode=' || json_quote(s.site_code) AS "parentSite"
FROM visible_site AS s
JOIN visible_site AS c ON c.one > s.one
