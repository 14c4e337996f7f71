-- This site and those below it.
SELECT
    t."ServerName" AS "ServerName",
    t."SiteCode" AS "SiteCode",
    t."SiteName" AS "SiteName",
    t."Version" AS "Version"
FROM "SMS_Site" AS t
JOIN sites AS s ON s.site_code = t."SiteCode"
WHERE s.is_below = 1
