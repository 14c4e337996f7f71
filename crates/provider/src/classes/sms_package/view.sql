-- Packages that are being deleted are hidden. RefreshSchedule is filled in by code.
SELECT
    CASE
        WHEN p.is_deleting = 1 THEN 3
        ELSE (
            SELECT CASE
                WHEN r.requested_seq <= r.done_seq THEN 0
                WHEN r.creation_seq > r.done_seq AND r.requested_seq = r.creation_seq THEN 2
                ELSE 1
            END
            FROM refreshes AS r WHERE r.package_id = p.package_id
        )
    END AS "ActionInProgress",
    p.alternate_content_providers AS "AlternateContentProviders",
    p.default_image_flags AS "DefaultImageFlags",
    p.description AS "Description",
    p.extended_data AS "ExtendedData",
    COALESCE(LENGTH(p.extended_data), 0) AS "ExtendedDataSize",
    p.forced_disconnect_delay AS "ForcedDisconnectDelay",
    p.forced_disconnect_enabled AS "ForcedDisconnectEnabled",
    p.forced_disconnect_retries AS "ForcedDisconnectNumRetries",
    p.icon AS "Icon",
    COALESCE(LENGTH(p.icon), 0) AS "IconSize",
    p.ignore_address_schedule AS "IgnoreAddressSchedule",
    0 AS "IsPredefinedPackage",
    p.isv_data AS "ISVData",
    COALESCE(LENGTH(p.isv_data), 0) AS "ISVDataSize",
    p.isv_string AS "ISVString",
    p.language AS "Language",
    COALESCE(
        p.last_refresh_at,
        (SELECT a.published_at FROM announced AS a WHERE a.package_id = p.package_id),
        (SELECT s.value FROM settings AS s WHERE s.name = 'package_last_refresh_default'),
        8577300000000
    ) AS "LastRefreshTime",
    '[]' AS "LocalizedCategoryInstanceNames",
    p.manufacturer AS "Manufacturer",
    p.mif_filename AS "MIFFilename",
    p.mif_name AS "MIFName",
    p.mif_publisher AS "MIFPublisher",
    p.mif_version AS "MIFVersion",
    p.name AS "Name",
    (SELECT COUNT(*) FROM programs AS g WHERE g.package_id = p.package_id) AS "NumOfPrograms",
    p.package_id AS "PackageID",
    COALESCE(
        (SELECT z.kilobytes FROM "version_size" AS z
         WHERE z.package_id = p.package_id AND z.epoch = p.epoch AND z.version = p.stored_version),
        (SELECT z.kilobytes FROM "announced_size" AS z WHERE z.package_id = p.package_id),
        0
    ) AS "PackageSize",
    p.package_type AS "PackageType",
    p.pkg_flags AS "PkgFlags",
    p.source_flag AS "PkgSourceFlag",
    p.source_path AS "PkgSourcePath",
    p.preferred_address_type AS "PreferredAddressType",
    p.priority AS "Priority",
    0 AS "RefreshPkgSourceFlag",
    CAST(NULL AS TEXT) AS "RefreshSchedule",
    (SELECT '[' || COALESCE(STRING_AGG(json_quote(c.name), ',' ORDER BY c.name), '') || ']'
     FROM scope_members AS m JOIN scopes AS c ON c.scope_id = m.scope_id
     WHERE m.object_type = 2 AND m.object_key = p.package_id) AS "SecuredScopeNames",
    p.sedo_version AS "SedoObjectVersion",
    p.share_name AS "ShareName",
    p.share_type AS "ShareType",
    COALESCE(
        p.last_refresh_at,
        (SELECT a.published_at FROM announced AS a WHERE a.package_id = p.package_id),
        p.created_at
    ) AS "SourceDate",
    p.source_site AS "SourceSite",
    p.source_version AS "SourceVersion",
    p.stored_pkg_path AS "StoredPkgPath",
    p.stored_version AS "StoredPkgVersion",
    p.transform_analysis_at AS "TransformAnalysisDate",
    p.transform_readiness AS "TransformReadiness",
    p.package_version AS "Version"
FROM packages AS p
WHERE p.is_deleting = 0
