//! Tools for tests: a faulty disk, a disk whose power can be cut, real processes, sample trees.
//!
//! [`faulty::FaultyFiles`] stands in for the disk under the content library and cuts a run at any
//! write. [`loop_disk::LoopDisk`] is a real file system that can lose its power. [`fleet::Fleet`]
//! runs the real binary as a site with distribution points. [`tree`] makes, edits and compares
//! folders of odd files, [`version`] reads one back out of a library, [`receive`] moves one between
//! two libraries in memory, [`reader`] fetches files as a client does. [`history`] writes down what was
//! asked and seen and judges it, [`tally`] counts faults, [`small_disk`] is a disk that can be full.
//! Used by tests only; nothing here is part of the product.

pub mod faulty;
pub mod fleet;
pub mod history;
pub mod loop_disk;
pub mod random;
pub mod reader;
pub mod receive;
pub mod small_disk;
#[expect(clippy::print_stdout, reason = "counts are printed for who runs the suite")]
pub mod tally;
pub mod tree;
pub mod version;

/// A fresh folder in memory where the machine offers that: tests that sync thousands of times need
/// not wait for a disk whose power nobody cuts.
pub fn scratch() -> std::io::Result<tempfile::TempDir> {
    tempfile::TempDir::new_in("/dev/shm").or_else(|_no_memory_folder| tempfile::TempDir::new())
}
