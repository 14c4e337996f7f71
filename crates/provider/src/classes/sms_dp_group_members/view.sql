SELECT
    d.nal_path AS "DPNALPath",
    m.group_id AS "GroupID"
FROM dp_group_members AS m
JOIN distribution_points AS d ON d.name = m.point
