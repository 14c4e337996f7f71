SELECT
    'SMS_Package.PackageID=' || json_quote(t.package_id) AS "package",
    'SMS_DistributionPoint.PackageID=' || json_quote(t.package_id) || ',ServerNALPath='
        || json_quote(t.nal_path) || ',SiteCode=' || json_quote(t.site_code) AS "pkgServer"
FROM "target_status" AS t
WHERE t.is_deleting = 0
