-- links and damage
-- What becomes of symbolic links in the source: keep, skip, refuse or follow.
ALTER TABLE packages ADD COLUMN link_policy TEXT NOT NULL DEFAULT 'keep';
-- The status message of damage in the version served, 2382 or 2385; none: nothing is known to be damaged.
ALTER TABLE targets ADD COLUMN damage {int};
