-- This site knows more of itself than others tell of theirs. Where another runs the same program it
-- has the same version, else the one it told. Mode 2: it recovers.
SELECT
    CASE
        WHEN s.site_code = o.site_code
            OR s.software = (SELECT w.software FROM site AS o JOIN sites AS w ON w.site_code = o.site_code)
            THEN CAST(COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'build_number'), '0') AS BIGINT)
        ELSE 0
    END AS "BuildNumber",
    '' AS "Features",
    CASE
        WHEN s.site_code = o.site_code
            THEN COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'install_dir'), '')
        ELSE ''
    END AS "InstallDir",
    CASE WHEN s.status = 8 THEN 2 ELSE 0 END AS "Mode",
    COALESCE(s.parent, '') AS "ReportingSiteCode",
    1001 AS "RequestedStatus",
    0 AS "SecondarySiteCMUpdateStatus",
    CASE
        WHEN s.site_code = o.site_code
            THEN COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'server_name'), '')
        ELSE s.server_name
    END AS "ServerName",
    s.site_code AS "SiteCode",
    CASE
        WHEN s.site_code = o.site_code
            THEN COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'site_name'), '')
        ELSE s.name
    END AS "SiteName",
    s.status AS "Status",
    CASE
        WHEN s.site_code = o.site_code
            THEN COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'time_zone'), '')
        ELSE ''
    END AS "TimeZoneInfo",
    s.site_type AS "Type",
    CASE
        WHEN s.site_code = o.site_code
            OR s.software = (SELECT w.software FROM site AS o JOIN sites AS w ON w.site_code = o.site_code)
            THEN COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'version'), '')
        ELSE REPLACE(s.software, 'restock ', '')
    END AS "Version"
FROM visible_sites AS s
CROSS JOIN site AS o
