-- Distribution points of all sites, and the servers of sites that were not removed; of those with a
-- provider the one that answers here is known.
SELECT
    0 AS "InternetEnabled",
    0 AS "InternetShared",
    d.nal_path AS "NALPath",
    'Windows NT Server' AS "ResourceType",
    'SMS Distribution Point' AS "RoleName",
    d.name AS "ServerName",
    d.name AS "ServerRemoteName",
    d.site_code AS "SiteCode",
    CASE WHEN d.serve_urls LIKE '%"https:%' THEN 1 ELSE 0 END AS "SslState"
FROM distribution_points AS d
UNION ALL
SELECT
    0 AS "InternetEnabled",
    0 AS "InternetShared",
    '["Display=\\' || f.value || '\"]MSWNET:["SMS_SITE=' || s.site_code || '"]\\' || f.value || '\' AS "NALPath",
    'Windows NT Server' AS "ResourceType",
    'SMS Site Server' AS "RoleName",
    f.value AS "ServerName",
    f.value AS "ServerRemoteName",
    s.site_code AS "SiteCode",
    2 AS "SslState"
FROM visible_site AS s
JOIN facts AS f ON f.name = 'server_name'
UNION ALL
SELECT
    0 AS "InternetEnabled",
    0 AS "InternetShared",
    '["Display=\\' || s.server_name || '\"]MSWNET:["SMS_SITE=' || s.site_code || '"]\\' || s.server_name || '\'
        AS "NALPath",
    'Windows NT Server' AS "ResourceType",
    'SMS Site Server' AS "RoleName",
    s.server_name AS "ServerName",
    s.server_name AS "ServerRemoteName",
    s.site_code AS "SiteCode",
    2 AS "SslState"
FROM visible_sites AS s
JOIN site AS o ON o.site_code <> s.site_code
WHERE s.status <> 4 AND s.server_name <> ''
UNION ALL
SELECT
    0 AS "InternetEnabled",
    0 AS "InternetShared",
    '["Display=\\' || f.value || '\"]MSWNET:["SMS_SITE=' || s.site_code || '"]\\' || f.value || '\' AS "NALPath",
    'Windows NT Server' AS "ResourceType",
    'SMS Provider' AS "RoleName",
    f.value AS "ServerName",
    f.value AS "ServerRemoteName",
    s.site_code AS "SiteCode",
    1 AS "SslState"
FROM visible_site AS s
JOIN facts AS f ON f.name = 'provider_host'
