-- The site keeps no collections, only their IDs.
SELECT
    CAST(NULL AS TEXT) AS "CollectionDescription",
    c.collection_id AS "CollectionID",
    0 AS "CollectionMemberCount",
    CAST(NULL AS TEXT) AS "CollectionName",
    g.description AS "GroupDescription",
    g.group_id AS "GroupID",
    g.name AS "GroupName"
FROM dp_group_collections AS c
JOIN dp_groups AS g ON g.group_id = c.group_id
