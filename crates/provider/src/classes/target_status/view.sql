-- No class: what the one state of a package on a distribution point means in the columns of all
-- status classes. Source: docs/formats/database.md, "States". A reason that is not known is UNKNOWN,
-- as in status messages.
SELECT
    t.number AS number,
    p.package_id AS package_id,
    p.name AS package_name,
    p.description AS package_description,
    p.package_type AS package_type,
    p.share_name AS share_name,
    p.source_site AS source_site,
    p.epoch AS epoch,
    p.stored_version AS stored_version,
    p.is_deleting AS is_deleting,
    d.name AS point,
    d.nal_path AS nal_path,
    d.site_code AS site_code,
    t.state AS state,
    t.serving_version AS serving_version,
    t.asked_at AS asked_at,
    t.last_copied_at AS last_copied_at,
    t.isv_data AS isv_data,
    t.isv_string AS isv_string,
    CASE t.state
        WHEN 'waiting' THEN 1
        WHEN 'receiving' THEN CASE WHEN t.serving_version = 0 THEN 1 ELSE 7 END
        WHEN 'complete' THEN 7
        WHEN 'retrying' THEN 2
        WHEN 'failed' THEN 3
        WHEN 'installed' THEN 0
        WHEN 'damaged' THEN 8
        WHEN 'removal_asked' THEN 4
        WHEN 'removal_retrying' THEN 5
        WHEN 'removal_failed' THEN 6
    END AS summarizer_state,
    CASE t.state
        WHEN 'waiting' THEN 0
        WHEN 'receiving' THEN 1
        WHEN 'complete' THEN 2
        WHEN 'retrying' THEN 4
        WHEN 'failed' THEN 5
        WHEN 'installed' THEN 3
        WHEN 'damaged' THEN 3
        WHEN 'removal_asked' THEN 7
        WHEN 'removal_retrying' THEN 9
        WHEN 'removal_failed' THEN 8
    END AS package_status,
    CASE
        WHEN t.state = 'installed' THEN 1
        WHEN t.state IN ('failed', 'damaged', 'removal_failed')
            THEN COALESCE((SELECT s.value FROM settings AS s WHERE s.name = 'message_state_failed'), 4)
        ELSE 2
    END AS message_state,
    CASE t.state
        WHEN 'waiting' THEN CASE WHEN p.stored_version = 0 THEN 2372 ELSE 2342 END
        WHEN 'receiving' THEN 8204
        WHEN 'complete' THEN 8200
        WHEN 'failed' THEN 8203
        WHEN 'installed' THEN COALESCE(t.cause, 2330)
        WHEN 'damaged' THEN COALESCE(t.cause, 2382)
        WHEN 'removal_asked' THEN 0
        ELSE COALESCE(t.cause, 0)
    END AS message_id,
    CASE
        WHEN t.state IN ('failed', 'damaged', 'removal_failed') THEN 3221225472
        WHEN t.state IN ('retrying', 'removal_retrying') THEN 2147483648
        ELSE 1073741824
    END AS message_severity,
    CASE
        WHEN t.state = 'waiting' THEN 2342
        WHEN t.state = 'receiving' THEN 8204
        WHEN t.state = 'complete' THEN 8200
        WHEN t.state IN ('retrying', 'removal_retrying') THEN 2328
        WHEN t.state IN ('failed', 'removal_failed') THEN 8203
        WHEN t.state = 'installed' THEN 2330
        WHEN t.state = 'damaged' THEN 2382
        ELSE 0
    END AS message_category,
    CASE
        WHEN t.state IN ('installed', 'damaged') THEN 0
        WHEN t.state IN ('removal_asked', 'removal_retrying', 'removal_failed') THEN 3
        WHEN t.serving_version = 0 THEN 2
        ELSE 1
    END AS point_status,
    CASE
        WHEN t.state IN ('receiving', 'complete', 'failed', 'removal_failed') THEN CAST(t.wanted_version AS TEXT)
        ELSE d.nal_path
    END AS string_2,
    CASE
        WHEN t.state IN ('receiving', 'complete', 'failed', 'removal_failed') THEN d.name
        WHEN t.state IN ('retrying', 'damaged', 'removal_retrying')
            THEN COALESCE(json_extract(t.why, '$.rule'), 'UNKNOWN')
    END AS string_3,
    CASE
        WHEN t.state IN ('failed', 'removal_failed') THEN COALESCE(json_extract(t.why, '$.rule'), 'UNKNOWN')
        WHEN t.state IN ('retrying', 'damaged', 'removal_retrying')
            THEN COALESCE(json_extract(t.why, '$.text'), 'no reason was reported')
    END AS string_4,
    CASE
        WHEN t.state IN ('failed', 'removal_failed')
            THEN COALESCE(json_extract(t.why, '$.text'), 'no reason was reported')
    END AS string_5,
    COALESCE(
        (SELECT MAX(m.record) FROM status_messages AS m
         WHERE m.package_id = t.package_id AND m.point = t.point),
        0
    ) AS last_message
FROM targets AS t
JOIN packages AS p ON p.package_id = t.package_id
JOIN distribution_points AS d ON d.name = t.point
