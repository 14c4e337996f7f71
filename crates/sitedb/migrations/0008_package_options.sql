-- package options
-- What becomes of names that other systems cannot hold: posix or portable.
ALTER TABLE packages ADD COLUMN names_policy TEXT NOT NULL DEFAULT 'posix';
-- What is left out of the source: one rule a line.
ALTER TABLE packages ADD COLUMN excludes TEXT NOT NULL DEFAULT '';
-- What the last refresh at this site warned of: a list of reasons as JSON, or nothing.
ALTER TABLE packages ADD COLUMN warnings TEXT NOT NULL DEFAULT '';
