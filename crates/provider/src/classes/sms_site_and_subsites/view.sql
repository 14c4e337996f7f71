SELECT
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'server_name'), '') AS "ServerName",
    s.site_code AS "SiteCode",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'site_name'), '') AS "SiteName",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'version'), '') AS "Version"
FROM visible_site AS s
