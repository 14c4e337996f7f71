-- Rows of packages that are being deleted stay, with Status 3, until the content is gone.
SELECT
    0 AS "BitsEnabled",
    0 AS "IsPeerDP",
    0 AS "IsProtected",
    t.isv_data AS "ISVData",
    COALESCE(LENGTH(t.isv_data), 0) AS "ISVDataSize",
    t.isv_string AS "ISVString",
    COALESCE(
        t.last_copied_at,
        (SELECT s.value FROM settings AS s WHERE s.name = 'point_last_refresh_default'),
        631152000000000
    ) AS "LastRefreshTime",
    2 AS "ObjectTypeID",
    t.package_id AS "PackageID",
    t.package_type AS "PackageType",
    0 AS "RefreshNow",
    'Windows NT Server' AS "ResourceType",
    t.package_id AS "SecureObjectID",
    t.nal_path AS "ServerNALPath",
    t.site_code AS "SiteCode",
    CASE
        WHEN t.site_code = (SELECT o.site_code FROM site AS o)
            THEN COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'site_name'), '')
        ELSE COALESCE((SELECT s.name FROM sites AS s WHERE s.site_code = t.site_code), '')
    END AS "SiteName",
    t.source_site AS "SourceSite",
    t.point_status AS "Status"
FROM "target_status" AS t
