-- Every caller may ask where the provider is.
SELECT
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'provider_host'), '') AS "Machine",
    '\\' || COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'provider_host'), '')
        || '\root\sms\site_' || s.site_code AS "NamespacePath",
    1 AS "ProviderForLocalSite",
    s.site_code AS "SiteCode"
FROM site AS s
