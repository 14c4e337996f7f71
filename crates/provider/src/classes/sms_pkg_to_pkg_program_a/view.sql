SELECT
    'SMS_Package.PackageID=' || json_quote(p.package_id) AS "package",
    'SMS_Program.PackageID=' || json_quote(p.package_id) || ',ProgramName='
        || json_quote(g.program_name) AS "pkgProgram"
FROM programs AS g
JOIN packages AS p ON p.package_id = g.package_id
WHERE p.is_deleting = 0
