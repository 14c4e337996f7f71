SELECT DISTINCT
    a.admin_id AS "AdminID",
    a.role_id AS "RoleID"
FROM admin_permissions AS a
