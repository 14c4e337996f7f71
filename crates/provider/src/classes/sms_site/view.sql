-- A primary site without others.
SELECT
    CAST(COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'build_number'), '0') AS BIGINT) AS "BuildNumber",
    '' AS "Features",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'install_dir'), '') AS "InstallDir",
    0 AS "Mode",
    '' AS "ReportingSiteCode",
    1001 AS "RequestedStatus",
    0 AS "SecondarySiteCMUpdateStatus",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'server_name'), '') AS "ServerName",
    s.site_code AS "SiteCode",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'site_name'), '') AS "SiteName",
    1 AS "Status",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'time_zone'), '') AS "TimeZoneInfo",
    2 AS "Type",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'version'), '') AS "Version"
FROM visible_site AS s
