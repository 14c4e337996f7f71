-- SourceVersion is the version the distribution point serves at present, 0 before the first.
SELECT
    t.last_copied_at AS "LastCopied",
    t.package_id AS "PackageID",
    t.package_type AS "PackageType",
    2 AS "SecuredTypeID",
    t.package_id AS "SecureObjectID",
    t.nal_path AS "ServerNALPath",
    t.site_code AS "SiteCode",
    '["Display=\\' || t.point || '\SMSPKG$\' || t.package_id || '\"]MSWNET:["SMS_SITE=' || t.site_code
        || '"]\\' || t.point || '\SMSPKG$\' || t.package_id || '\' AS "SourceNALPath",
    t.serving_version AS "SourceVersion",
    t.summarizer_state AS "State",
    t.asked_at AS "SummaryDate"
FROM "target_status" AS t
