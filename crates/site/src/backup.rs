//! Backups of a site: what cannot be made again, in one file.
//!
//! Source: docs/formats/backup.md.

mod archive;

pub use archive::ArchiveError;
#[doc(hidden)]
pub use archive::fuzz_one as fuzz_backups;
