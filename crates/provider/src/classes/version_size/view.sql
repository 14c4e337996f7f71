-- No class: the size of each published version in kilobytes, rounded up, at most 2^32-1.
SELECT
    v.package_id AS package_id,
    v.epoch AS epoch,
    v.version AS version,
    CASE
        WHEN v.bytes > 4398046510080 THEN 4294967295
        ELSE v.bytes / 1024 + CASE WHEN v.bytes % 1024 > 0 THEN 1 ELSE 0 END
    END AS kilobytes
FROM versions AS v
