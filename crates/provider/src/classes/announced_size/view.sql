-- No class: the size of the newest version that is known of each package in kilobytes, as version_size
-- gives it; for sites that do not hold its content.
SELECT
    a.package_id AS package_id,
    CASE
        WHEN a.bytes > 4398046510080 THEN 4294967295
        ELSE a.bytes / 1024 + CASE WHEN a.bytes % 1024 > 0 THEN 1 ELSE 0 END
    END AS kilobytes
FROM announced AS a
