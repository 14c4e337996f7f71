SELECT
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state IN ('failed', 'damaged', 'removal_failed')) AS "Failed",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state = 'installed') AS "Installed",
    p.name AS "Name",
    p.package_id AS "PackageID",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state IN ('retrying', 'removal_retrying')) AS "Retrying",
    s.site_code AS "SiteCode",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'site_name'), '') AS "SiteName",
    p.source_version AS "SourceVersion",
    COALESCE(
        (SELECT MAX(t.asked_at) FROM targets AS t WHERE t.package_id = p.package_id),
        p.last_refresh_at,
        p.created_at
    ) AS "SummaryDate",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state <> 'removal_asked') AS "Targeted"
FROM packages AS p
CROSS JOIN site AS s
