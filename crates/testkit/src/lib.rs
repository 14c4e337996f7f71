//! Tools for tests: a faulty disk, sample trees, seeded randomness.
//!
//! [`faulty::FaultyFiles`] stands in for the disk under the content library and cuts a run at any
//! write. [`tree`] makes, edits and compares folders of odd files. Used by tests only; nothing here
//! is part of the product.

pub mod faulty;
pub mod random;
pub mod tree;
