-- A distribution point that cannot be reached keeps its last state: none is unknown.
SELECT
    p.created_at AS "DateCreated",
    p.description AS "Description",
    8 AS "FeatureType",
    COALESCE(p.last_refresh_at, p.created_at) AS "LastUpdateDate",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state IN ('failed', 'damaged', 'removal_failed')) AS "NumberErrors",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id
        AND t.state IN ('waiting', 'receiving', 'complete', 'retrying', 'removal_retrying'))
        AS "NumberInProgress",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state = 'installed') AS "NumberSuccess",
    0 AS "NumberUnknown",
    p.package_id AS "ObjectID",
    p.package_type AS "ObjectType",
    2 AS "ObjectTypeID",
    p.package_id AS "PackageID",
    p.name AS "SoftwareName",
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
