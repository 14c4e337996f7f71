-- One row for the source site of a package (for this one when that is unknown), and one for every
-- other site that has a distribution point it is targeted at, or a copy of it. Where there is only
-- one site its distribution points are all there are, and counters come from an index alone.
SELECT
    CASE
        WHEN (SELECT COUNT(*) FROM sites AS n) = 1 THEN (SELECT COUNT(*) FROM targets AS t
            WHERE t.package_id = p.package_id AND t.state IN ('failed', 'damaged', 'removal_failed'))
        ELSE (SELECT COUNT(*) FROM targets AS t JOIN distribution_points AS d ON d.name = t.point
            WHERE t.package_id = p.package_id AND t.state IN ('failed', 'damaged', 'removal_failed')
                AND d.site_code = z.site_code)
    END AS "Failed",
    CASE
        WHEN (SELECT COUNT(*) FROM sites AS n) = 1 THEN (SELECT COUNT(*) FROM targets AS t
            WHERE t.package_id = p.package_id AND t.state = 'installed')
        ELSE (SELECT COUNT(*) FROM targets AS t JOIN distribution_points AS d ON d.name = t.point
            WHERE t.package_id = p.package_id AND t.state = 'installed' AND d.site_code = z.site_code)
    END AS "Installed",
    p.name AS "Name",
    p.package_id AS "PackageID",
    CASE
        WHEN (SELECT COUNT(*) FROM sites AS n) = 1 THEN (SELECT COUNT(*) FROM targets AS t
            WHERE t.package_id = p.package_id AND t.state IN ('retrying', 'removal_retrying'))
        ELSE (SELECT COUNT(*) FROM targets AS t JOIN distribution_points AS d ON d.name = t.point
            WHERE t.package_id = p.package_id AND t.state IN ('retrying', 'removal_retrying')
                AND d.site_code = z.site_code)
    END AS "Retrying",
    z.site_code AS "SiteCode",
    CASE
        WHEN z.site_code = o.site_code
            THEN COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'site_name'), '')
        ELSE z.name
    END AS "SiteName",
    p.source_version AS "SourceVersion",
    COALESCE(
        CASE
            WHEN (SELECT COUNT(*) FROM sites AS n) = 1
                THEN (SELECT MAX(t.asked_at) FROM targets AS t WHERE t.package_id = p.package_id)
            ELSE (SELECT MAX(t.asked_at) FROM targets AS t JOIN distribution_points AS d ON d.name = t.point
                WHERE t.package_id = p.package_id AND d.site_code = z.site_code)
        END,
        p.last_refresh_at,
        p.created_at
    ) AS "SummaryDate",
    CASE
        WHEN (SELECT COUNT(*) FROM sites AS n) = 1 THEN (SELECT COUNT(*) FROM targets AS t
            WHERE t.package_id = p.package_id AND t.state <> 'removal_asked')
        ELSE (SELECT COUNT(*) FROM targets AS t JOIN distribution_points AS d ON d.name = t.point
            WHERE t.package_id = p.package_id AND t.state <> 'removal_asked' AND d.site_code = z.site_code)
    END AS "Targeted"
FROM packages AS p
CROSS JOIN site AS o
CROSS JOIN sites AS z
WHERE z.site_code IN (
    SELECT p.source_site
    UNION ALL
    SELECT o.site_code WHERE o.site_code <> p.source_site
        AND NOT EXISTS (SELECT 1 FROM sites AS n WHERE n.site_code = p.source_site)
    UNION ALL
    SELECT d.site_code FROM targets AS t JOIN distribution_points AS d ON d.name = t.point
    WHERE (SELECT COUNT(*) FROM sites AS n) > 1 AND t.package_id = p.package_id
    UNION ALL
    SELECT c.site FROM copies AS c WHERE c.package_id = p.package_id
)
