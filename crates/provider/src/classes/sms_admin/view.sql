-- Accounts are the site's own users: they have no security identifier.
SELECT
    0 AS "AccountType",
    a.admin_id AS "AdminID",
    CAST(NULL AS TEXT) AS "AdminSid",
    (SELECT '[' || COALESCE(STRING_AGG(json_quote(c.scope_id), ',' ORDER BY c.scope_id), '') || ']'
     FROM scopes AS c WHERE c.scope_id IN
        (SELECT m.scope_id FROM admin_permissions AS m WHERE m.admin_id = a.admin_id)) AS "Categories",
    (SELECT '[' || COALESCE(STRING_AGG(json_quote(c.name), ',' ORDER BY c.scope_id), '') || ']'
     FROM scopes AS c WHERE c.scope_id IN
        (SELECT m.scope_id FROM admin_permissions AS m WHERE m.admin_id = a.admin_id)) AS "CategoryNames",
    '[]' AS "CollectionNames",
    a.created_by AS "CreatedBy",
    a.created_at AS "CreatedDate",
    a.display_name AS "DisplayName",
    '' AS "DistinguishedName",
    '[]' AS "ExtendedData",
    0 AS "IsCovered",
    0 AS "IsDeleted",
    0 AS "IsGroup",
    a.modified_by AS "LastModifiedBy",
    a.modified_at AS "LastModifiedDate",
    a.logon_name AS "LogonName",
    (SELECT '[' || COALESCE(STRING_AGG(
            '{"class":"SMS_APermission","CategoryID":' || json_quote(m.scope_id)
                || ',"CategoryName":' || json_quote(c.name) || ',"CategoryTypeID":29,"RoleID":'
                || json_quote(m.role_id) || ',"RoleName":' || json_quote(r.name) || '}',
            ',' ORDER BY m.role_id, m.scope_id), '') || ']'
     FROM admin_permissions AS m
     JOIN scopes AS c ON c.scope_id = m.scope_id
     JOIN roles AS r ON r.role_id = m.role_id
     WHERE m.admin_id = a.admin_id) AS "Permissions",
    (SELECT '[' || COALESCE(STRING_AGG(json_quote(r.name), ',' ORDER BY r.role_id), '') || ']'
     FROM roles AS r WHERE r.role_id IN
        (SELECT m.role_id FROM admin_permissions AS m WHERE m.admin_id = a.admin_id)) AS "RoleNames",
    (SELECT '[' || COALESCE(STRING_AGG(json_quote(r.role_id), ',' ORDER BY r.role_id), '') || ']'
     FROM roles AS r WHERE r.role_id IN
        (SELECT m.role_id FROM admin_permissions AS m WHERE m.admin_id = a.admin_id)) AS "Roles",
    CAST(a.admin_id AS TEXT) AS "SKey",
    (SELECT s.site_code FROM site AS s) AS "SourceSite"
FROM admins AS a
