-- Each package of the group on each member is counted once, as in the summarizers.
SELECT
    (SELECT COUNT(*) FROM dp_group_packages AS k WHERE k.group_id = g.group_id) AS "AssignedContentCount",
    g.description AS "Description",
    8 AS "FeatureType",
    g.group_id AS "GroupID",
    (SELECT COUNT(*) FROM dp_group_members AS m WHERE m.group_id = g.group_id) AS "MembersCount",
    g.name AS "Name",
    (SELECT COUNT(*) FROM dp_group_packages AS k
     JOIN dp_group_members AS m ON m.group_id = k.group_id
     JOIN targets AS t ON t.package_id = k.package_id AND t.point = m.point
     WHERE k.group_id = g.group_id AND t.state IN ('failed', 'damaged', 'removal_failed')) AS "NumberErrors",
    (SELECT COUNT(*) FROM dp_group_packages AS k
     JOIN dp_group_members AS m ON m.group_id = k.group_id
     JOIN targets AS t ON t.package_id = k.package_id AND t.point = m.point
     WHERE k.group_id = g.group_id
        AND t.state IN ('waiting', 'receiving', 'complete', 'retrying', 'removal_retrying'))
        AS "NumberInProgress",
    (SELECT COUNT(*) FROM dp_group_packages AS k
     JOIN dp_group_members AS m ON m.group_id = k.group_id
     JOIN targets AS t ON t.package_id = k.package_id AND t.point = m.point
     WHERE k.group_id = g.group_id AND t.state = 'installed') AS "NumberSuccess",
    0 AS "NumberUnknown"
FROM dp_groups AS g
