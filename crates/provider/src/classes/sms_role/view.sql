-- A role is one of security administration when it may make or change roles (28) or accounts (27).
SELECT
    r.copied_from AS "CopiedFromID",
    r.created_by AS "CreatedBy",
    r.created_at AS "CreatedDate",
    r.is_built_in AS "IsBuiltIn",
    CASE WHEN EXISTS (SELECT 1 FROM role_operations AS o
        WHERE o.role_id = r.role_id AND o.object_type IN (27, 28) AND (o.operations & 1030) > 0)
        THEN 1 ELSE 0 END AS "IsSecAdminRole",
    r.modified_by AS "LastModifiedBy",
    r.modified_at AS "LastModifiedDate",
    (SELECT COUNT(DISTINCT a.admin_id) FROM admin_permissions AS a WHERE a.role_id = r.role_id)
        AS "NumberOfAdmins",
    (SELECT '[' || COALESCE(STRING_AGG(
            '{"class":"SMS_ARoleOperation","GrantedOperations":' || CAST(o.operations AS TEXT)
                || ',"ObjectTypeID":' || CAST(o.object_type AS TEXT) || '}',
            ',' ORDER BY o.object_type), '') || ']'
     FROM role_operations AS o WHERE o.role_id = r.role_id) AS "Operations",
    r.description AS "RoleDescription",
    r.role_id AS "RoleID",
    r.name AS "RoleName",
    (SELECT s.site_code FROM site AS s) AS "SourceSite"
FROM roles AS r
