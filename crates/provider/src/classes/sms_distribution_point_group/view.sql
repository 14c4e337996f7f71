-- A package of the group is out of sync when a member is not to have it.
SELECT
    (SELECT COUNT(*) FROM dp_group_collections AS c WHERE c.group_id = g.group_id) AS "CollectionCount",
    (SELECT COUNT(*) FROM dp_group_packages AS k WHERE k.group_id = g.group_id) AS "ContentCount",
    CASE WHEN EXISTS (
        SELECT 1 FROM dp_group_packages AS k JOIN dp_group_members AS m ON m.group_id = k.group_id
        WHERE k.group_id = g.group_id AND NOT EXISTS (
            SELECT 1 FROM targets AS t
            WHERE t.package_id = k.package_id AND t.point = m.point
                AND t.state NOT IN ('removal_asked', 'removal_retrying', 'removal_failed'))
    ) THEN 0 ELSE 1 END AS "ContentInSync",
    g.created_by AS "CreatedBy",
    g.created_at AS "CreatedOn",
    g.description AS "Description",
    g.group_id AS "GroupID",
    CASE WHEN EXISTS (SELECT 1 FROM dp_group_members AS m WHERE m.group_id = g.group_id) THEN 1 ELSE 0 END
        AS "HasMember",
    CASE WHEN EXISTS (SELECT 1 FROM dp_group_collections AS c WHERE c.group_id = g.group_id) THEN 1 ELSE 0 END
        AS "HasRelationship",
    (SELECT COUNT(*) FROM dp_group_members AS m WHERE m.group_id = g.group_id) AS "MemberCount",
    g.modified_by AS "ModifiedBy",
    g.modified_at AS "ModifiedOn",
    g.name AS "Name",
    (SELECT COUNT(*) FROM dp_group_packages AS k
     WHERE k.group_id = g.group_id AND EXISTS (
        SELECT 1 FROM dp_group_members AS m
        WHERE m.group_id = g.group_id AND NOT EXISTS (
            SELECT 1 FROM targets AS t
            WHERE t.package_id = k.package_id AND t.point = m.point
                AND t.state NOT IN ('removal_asked', 'removal_retrying', 'removal_failed')))
    ) AS "OutOfSyncContentCount",
    g.source_site AS "SourceSite"
FROM dp_groups AS g
