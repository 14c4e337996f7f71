SELECT
    m.scope_id AS "CategoryID",
    m.object_key AS "ObjectKey",
    m.object_type AS "ObjectTypeID"
FROM scope_members AS m
