-- installed counts
-- How many packages each distribution point has installed: nearly all targets are, and counting a million
-- of them takes longer than a console waits.
CREATE TABLE installed_counts (
    point TEXT PRIMARY KEY REFERENCES distribution_points (name) ON DELETE CASCADE,
    installed {int} NOT NULL
) {strict};
INSERT INTO installed_counts (point, installed)
    SELECT point, COUNT(*) FROM targets WHERE state = 'installed' GROUP BY point;
DROP INDEX targets_installed;
