SELECT
    'SMS_Package.PackageID=' || json_quote(p.package_id) AS "ownedPackage",
    'SMS_Site.SiteCode=' || json_quote(s.site_code) AS "pkgSourcesite"
FROM packages AS p
JOIN visible_sites AS s ON s.site_code = p.source_site
WHERE p.is_deleting = 0
