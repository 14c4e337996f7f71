SELECT
    t.package_description AS "Description",
    0 AS "IsPredefinedPackage",
    t.nal_path AS "NALPath",
    t.package_name AS "Name",
    t.package_id AS "ObjectID",
    t.package_type AS "ObjectType",
    2 AS "ObjectTypeID",
    t.package_id AS "PackageID",
    COALESCE(
        (SELECT z.kilobytes FROM "version_size" AS z
         WHERE z.package_id = t.package_id AND z.epoch = t.epoch AND z.version = t.stored_version),
        (SELECT z.kilobytes FROM "announced_size" AS z WHERE z.package_id = t.package_id),
        0
    ) AS "SourceSize"
FROM "target_status" AS t
