-- No compressed copy of a source is kept.
SELECT
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state IN ('failed', 'damaged', 'removal_failed')) AS "Failed",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state = 'installed') AS "Installed",
    p.name AS "Name",
    p.package_id AS "PackageID",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state IN ('retrying', 'removal_retrying')) AS "Retrying",
    0 AS "SourceCompressedSize",
    COALESCE(
        p.last_refresh_at,
        (SELECT a.published_at FROM announced AS a WHERE a.package_id = p.package_id),
        p.created_at
    ) AS "SourceDate",
    p.source_site AS "SourceSite",
    COALESCE(
        (SELECT z.kilobytes FROM "version_size" AS z
         WHERE z.package_id = p.package_id AND z.epoch = p.epoch AND z.version = p.stored_version),
        (SELECT z.kilobytes FROM "announced_size" AS z WHERE z.package_id = p.package_id),
        0
    ) AS "SourceSize",
    p.source_version AS "SourceVersion",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state <> 'removal_asked') AS "Targeted"
FROM packages AS p
