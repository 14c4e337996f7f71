-- A distribution point is in error when any of its packages is, else in progress when any is.
-- MessageCount is the number of its rows in SMS_DPStatusDetails that are no success. What is installed,
-- which is nearly all, is counted as it changes; the rest are few entries of an index.
WITH states (name) AS (
    VALUES ('waiting'), ('receiving'), ('complete'), ('retrying'), ('failed'), ('installed'), ('damaged'),
        ('removal_asked'), ('removal_retrying'), ('removal_failed')
)
SELECT
    0 AS "IsDPMonEnabled",
    0 AS "IsMulticast",
    0 AS "IsPullDP",
    0 AS "IsPXE",
    (SELECT MAX((SELECT MAX(t.asked_at) FROM targets AS t WHERE t.point = d.name AND t.state = s.name))
     FROM states AS s) AS "LastStatusTime",
    (SELECT COUNT(*) FROM targets AS t WHERE t.point = d.name AND t.state < 'installed')
        + (SELECT COUNT(*) FROM targets AS t WHERE t.point = d.name AND t.state > 'installed') AS "MessageCount",
    CASE
        WHEN EXISTS (SELECT 1 FROM targets AS t
            WHERE t.point = d.name AND t.state IN ('failed', 'damaged', 'removal_failed'))
            THEN COALESCE((SELECT s.value FROM settings AS s WHERE s.name = 'message_state_failed'), 4)
        WHEN EXISTS (SELECT 1 FROM targets AS t
            WHERE t.point = d.name
                AND t.state IN ('waiting', 'receiving', 'complete', 'retrying', 'removal_asked', 'removal_retrying'))
            THEN 2
        ELSE 1
    END AS "MessageState",
    d.nal_path AS "NALPath",
    d.name AS "Name",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.point = d.name AND t.state IN ('failed', 'damaged', 'removal_failed')) AS "NumberErrors",
    (SELECT COUNT(*) FROM targets AS t
     WHERE t.point = d.name
        AND t.state IN ('waiting', 'receiving', 'complete', 'retrying', 'removal_retrying'))
        AS "NumberInProgress",
    COALESCE((SELECT c.installed FROM installed_counts AS c WHERE c.point = d.name), 0) AS "NumberInstalled",
    0 AS "NumberUnknown",
    COALESCE(d.software, '') AS "Version"
FROM distribution_points AS d
