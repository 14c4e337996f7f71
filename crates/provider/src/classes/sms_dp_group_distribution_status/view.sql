-- One row for each message that any package of the group has on any member: Assets distribution
-- points and ContentCount packages. A removal that was asked is counted nowhere.
WITH categories (number, type, state_1, state_2) AS (
    VALUES
        (2330, 1, 'installed', ''),
        (2342, 2, 'waiting', ''),
        (8204, 2, 'receiving', ''),
        (8200, 2, 'complete', ''),
        (2328, 2, 'retrying', 'removal_retrying'),
        (8203, 4, 'failed', 'removal_failed'),
        (2382, 4, 'damaged', '')
)
SELECT
    (SELECT COUNT(DISTINCT t.point) FROM dp_group_packages AS k
     JOIN dp_group_members AS m ON m.group_id = k.group_id
     JOIN targets AS t ON t.package_id = k.package_id AND t.point = m.point
     WHERE k.group_id = g.group_id AND t.state IN (c.state_1, c.state_2)) AS "Assets",
    (SELECT COUNT(DISTINCT t.package_id) FROM dp_group_packages AS k
     JOIN dp_group_members AS m ON m.group_id = k.group_id
     JOIN targets AS t ON t.package_id = k.package_id AND t.point = m.point
     WHERE k.group_id = g.group_id AND t.state IN (c.state_1, c.state_2)) AS "ContentCount",
    g.group_id AS "GroupID",
    c.number AS "MessageCategory",
    CASE c.type
        WHEN 4 THEN COALESCE((SELECT s.value FROM settings AS s WHERE s.name = 'message_state_failed'), 4)
        ELSE c.type
    END AS "MessageType",
    (SELECT MAX(t.asked_at) FROM dp_group_packages AS k
     JOIN dp_group_members AS m ON m.group_id = k.group_id
     JOIN targets AS t ON t.package_id = k.package_id AND t.point = m.point
     WHERE k.group_id = g.group_id AND t.state IN (c.state_1, c.state_2)) AS "StatusTime"
FROM dp_groups AS g
CROSS JOIN categories AS c
WHERE EXISTS (
    SELECT 1 FROM dp_group_packages AS k
    JOIN dp_group_members AS m ON m.group_id = k.group_id
    JOIN targets AS t ON t.package_id = k.package_id AND t.point = m.point
    WHERE k.group_id = g.group_id AND t.state IN (c.state_1, c.state_2))
