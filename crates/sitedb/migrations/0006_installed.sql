-- installed
-- What a distribution point has installed is counted from this alone: nearly all targets are, and these
-- entries are the smallest. The cast, which a view writes too, keeps SQLite from the wider index.
CREATE INDEX targets_installed ON targets ((CAST(point AS TEXT)), point) WHERE state = 'installed';
