//! What is told of a library's health.

use serde::{Deserialize, Serialize};

/// The result of `library gc`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct LibraryTidied {
    /// False when downloads or drafts that began before are still waited for; the process goes on.
    pub(crate) is_done: bool,
    /// How many of them.
    pub(crate) waits_for: u64,
    /// Versions that the history does not keep any more.
    pub(crate) versions_removed: u64,
    pub(crate) packs_deleted: u64,
    pub(crate) packs_rewritten: u64,
    pub(crate) frames_deleted: u64,
    pub(crate) bytes_freed: u64,
    pub(crate) bytes_rewritten: u64,
    /// What nothing refers to in packs that stay, because more than half of each is needed.
    pub(crate) bytes_left: u64,
}

/// The result of `library repair`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct LibraryRepaired {
    /// Objects that versions need and that could not be read.
    pub(crate) lacking: u64,
    /// Of these, those that can be read again.
    pub(crate) mended: u64,
    /// One sentence for each package that still lacks something.
    pub(crate) lost: Vec<String>,
}
