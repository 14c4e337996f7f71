-- Every caller may ask which site this is.
SELECT
    1 AS "License",
    1033 AS "LocaleID",
    CAST(NULL AS BIGINT) AS "MonthlyReleaseVersion",
    0 AS "Reserved",
    CAST(NULL AS TEXT) AS "ServiceAccountName",
    CAST(NULL AS TEXT) AS "SMSAvailableConsoleVersion",
    CAST(COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'build_number'), '0') AS BIGINT)
        AS "SMSBuildNumber",
    CAST(COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'build_number'), '0') AS BIGINT)
        AS "SMSMinBuildNumber",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'provider_host'), '') AS "SMSProviderServer",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'server_name'), '') AS "SMSSiteServer",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'version'), '') AS "SMSVersion",
    s.site_code AS "ThisSiteCode",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'site_name'), '') AS "ThisSiteName",
    CAST(NULL AS TEXT) AS "UIManifestHash",
    CAST(NULL AS TEXT) AS "UIManifestHashAlgorithm",
    CAST(NULL AS TEXT) AS "UIUpdateManifestHash",
    CAST(NULL AS TEXT) AS "UIUpdateManifestHashAlgorithm"
FROM site AS s
