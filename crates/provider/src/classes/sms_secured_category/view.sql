-- SMS00ALL holds every object without listing it.
SELECT
    c.description AS "CategoryDescription",
    c.scope_id AS "CategoryID",
    c.name AS "CategoryName",
    c.created_by AS "CreatedBy",
    c.created_at AS "CreatedDate",
    c.is_built_in AS "IsBuiltIn",
    c.modified_by AS "LastModifiedBy",
    c.modified_at AS "LastModifiedDate",
    (SELECT COUNT(DISTINCT a.admin_id) FROM admin_permissions AS a WHERE a.scope_id = c.scope_id)
        AS "NumberOfAdmins",
    CASE
        WHEN c.scope_id = 'SMS00ALL' THEN (SELECT COUNT(*) FROM packages)
            + (SELECT COUNT(*) FROM distribution_points)
            + (SELECT COUNT(*) FROM dp_groups)
            + (SELECT COUNT(*) FROM visible_sites)
        ELSE (SELECT COUNT(*) FROM scope_members AS m WHERE m.scope_id = c.scope_id)
    END AS "NumberOfObjects",
    (SELECT s.site_code FROM site AS s) AS "SourceSite"
FROM scopes AS c
