-- One row for each message that the package has on any distribution point: Assets of them. A removal
-- that was asked is counted nowhere. A refresh that ended without a version stays as a row of its own
-- (2302) without distribution points.
WITH categories (number, type, state_1, state_2) AS (
    VALUES
        (2330, 1, 'installed', ''),
        (2342, 2, 'waiting', ''),
        (8204, 2, 'receiving', ''),
        (8200, 2, 'complete', ''),
        (2328, 2, 'retrying', 'removal_retrying'),
        (8203, 4, 'failed', 'removal_failed'),
        (2382, 4, 'damaged', ''),
        (2302, 4, '', '')
)
SELECT
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.package_id = p.package_id AND t.state IN (c.state_1, c.state_2)) AS "Assets",
    CASE c.number
        WHEN 2302 THEN (SELECT r.requested_at FROM refreshes AS r WHERE r.package_id = p.package_id)
        ELSE (SELECT MAX(t.asked_at) FROM targets AS t
            WHERE t.package_id = p.package_id AND t.state IN (c.state_1, c.state_2))
    END AS "LastUpdateDate",
    c.number AS "MessageCategory",
    p.package_id AS "ObjectID",
    2 AS "ObjectTypeID",
    p.package_id AS "PackageID",
    CASE c.type
        WHEN 4 THEN COALESCE((SELECT s.value FROM settings AS s WHERE s.name = 'message_state_failed'), 4)
        ELSE c.type
    END AS "Type"
FROM packages AS p
CROSS JOIN categories AS c
WHERE EXISTS (SELECT 1 FROM targets AS t
        WHERE t.package_id = p.package_id AND t.state IN (c.state_1, c.state_2))
    OR (c.number = 2302 AND EXISTS (SELECT 1 FROM refreshes AS r
        WHERE r.package_id = p.package_id AND r.failed_seq > 0 AND r.failed_seq = r.done_seq
            AND r.requested_seq = r.done_seq))
