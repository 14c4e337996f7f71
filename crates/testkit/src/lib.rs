//! Tools for tests: a faulty disk, fake clock, sample trees.
