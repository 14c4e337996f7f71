SELECT
    p.description AS "Description",
    k.group_id AS "GroupID",
    0 AS "IsPredefinedPackage",
    p.name AS "Name",
    p.package_id AS "ObjectID",
    p.package_type AS "ObjectType",
    2 AS "ObjectTypeID",
    p.package_id AS "PackageID",
    COALESCE(
        (SELECT z.kilobytes FROM "version_size" AS z
         WHERE z.package_id = p.package_id AND z.epoch = p.epoch AND z.version = p.stored_version),
        (SELECT z.kilobytes FROM "announced_size" AS z WHERE z.package_id = p.package_id),
        0
    ) AS "SourceSize"
FROM dp_group_packages AS k
JOIN packages AS p ON p.package_id = k.package_id
