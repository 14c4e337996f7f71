-- Type 1: what each site has of a package that has content. This site knows of itself what it reads
-- from sources; what is sent from site to site stands in copies, where one of an older version is
-- asked for anew. Type 2: the copy of each distribution point.
SELECT
    p.source_path AS "Location",
    p.package_id AS "PackageID",
    0 AS "Personality",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'server_name'), '') AS "PkgServer",
    p.share_name AS "ShareName",
    s.site_code AS "SiteCode",
    CASE
        WHEN r.requested_seq > r.done_seq AND r.attempts > 0 THEN 4
        WHEN r.requested_seq > r.done_seq THEN 0
        WHEN r.failed_seq > 0 AND r.failed_seq = r.done_seq THEN 5
        WHEN p.stored_version > 0 THEN 3
        ELSE 0
    END AS "Status",
    1 AS "Type",
    COALESCE(p.last_refresh_at, p.created_at) AS "UpdateTime"
FROM packages AS p
CROSS JOIN site AS s
JOIN refreshes AS r ON r.package_id = p.package_id
WHERE CASE
    WHEN p.source_site = s.site_code THEN p.stored_version > 0 OR (p.source_flag >= 2 AND p.source_path <> '')
    ELSE p.stored_version > 0 AND NOT EXISTS (SELECT 1 FROM copies AS c
        WHERE c.package_id = p.package_id AND c.site = s.site_code)
END
UNION ALL
SELECT
    '' AS "Location",
    p.package_id AS "PackageID",
    0 AS "Personality",
    CASE
        WHEN c.site = s.site_code
            THEN COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'server_name'), '')
        ELSE COALESCE((SELECT z.server_name FROM sites AS z WHERE z.site_code = c.site), '')
    END AS "PkgServer",
    p.share_name AS "ShareName",
    c.site AS "SiteCode",
    CASE WHEN c.state = 3 AND c.version < p.source_version THEN 0 ELSE c.state END AS "Status",
    1 AS "Type",
    c.at AS "UpdateTime"
FROM copies AS c
JOIN packages AS p ON p.package_id = c.package_id
JOIN site AS s ON c.site <> s.site_code OR p.source_site <> s.site_code
UNION ALL
SELECT
    '\\' || t.point || '\SMSPKG$\' || t.package_id || '\' AS "Location",
    t.package_id AS "PackageID",
    0 AS "Personality",
    t.nal_path AS "PkgServer",
    t.share_name AS "ShareName",
    t.site_code AS "SiteCode",
    t.package_status AS "Status",
    2 AS "Type",
    t.asked_at AS "UpdateTime"
FROM "target_status" AS t
