-- One row for each group that has both the package and the distribution point. ID holds the numbers
-- of both, 32 bits for the latter: below 2^53 for two million groups.
SELECT
    t.package_name AS "ContentName",
    t.point AS "DPName",
    g.group_id AS "GroupID",
    g.number * 4294967296 + t.number AS "ID",
    t.package_id AS "InsString1",
    CAST(NULL AS TEXT) AS "InsString10",
    t.string_2 AS "InsString2",
    t.string_3 AS "InsString3",
    t.string_4 AS "InsString4",
    t.string_5 AS "InsString5",
    CAST(NULL AS TEXT) AS "InsString6",
    CAST(NULL AS TEXT) AS "InsString7",
    CAST(NULL AS TEXT) AS "InsString8",
    CAST(NULL AS TEXT) AS "InsString9",
    t.message_category AS "MessageCategory",
    CASE WHEN t.message_id = 0 THEN 0 ELSE t.message_severity + t.message_id END AS "MessageFullID",
    t.message_id AS "MessageID",
    t.message_severity AS "MessageSeverity",
    t.message_state AS "MessageState",
    t.package_id AS "ObjectID",
    t.package_type AS "ObjectType",
    2 AS "ObjectTypeID",
    t.package_id AS "PackageID",
    t.site_code AS "SiteCode",
    t.last_message AS "StatusMsgID",
    t.asked_at AS "StatusTime"
FROM dp_groups AS g
JOIN dp_group_packages AS k ON k.group_id = g.group_id
JOIN dp_group_members AS m ON m.group_id = g.group_id
JOIN "target_status" AS t ON t.package_id = k.package_id AND t.point = m.point
