SELECT
    k.group_id AS "GroupID",
    p.package_id AS "PkgID"
FROM dp_group_packages AS k
JOIN packages AS p ON p.package_id = k.package_id
