//! What a content version holds: every entry of a tree, in one canonical, paged encoding.
//!
//! The same tree gives the same root digest on any machine. Pages are cut by the hash of entry
//! paths, so a change of content or time touches only the pages that list it; a folder is
//! contiguous because paths ascend component by component.
//!
//! [`Builder`] writes a manifest in one pass, [`Manifest`] reads it by entry, path or ordinal.
//! Where pages are kept is the caller's: [`PageSink`] and [`PageSource`].
//!
//! Source: docs/formats/manifest.md.

mod build;
mod ordinal;
mod page;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use restock_names::{Digest, EntryPath};

pub use build::{Builder, ChunkListBuilder, ManifestBuildError};
pub(crate) use ordinal::Visit;
pub use ordinal::{ChunkWalk, PageWalk};
pub use page::{ChunkListChild, EntriesChild, Page, PageDecodeError, fuzz_one};
pub(crate) use read::is_beneath;
pub use read::{Entries, Manifest, RunCursor};

/// The cut profile of this format: FastCDC 2020, normalisation 2, 16/64/256 KiB.
pub const PROFILE: u8 = 1;
/// The longest chunk of profile 1, in bytes.
pub const CHUNK_BYTES_MAX: u32 = 256 * 1024;
/// A chunk list longer than this many runs has pages of its own.
pub const INLINE_RUNS_MAX: usize = 64;
/// No page is longer, in bytes.
pub const PAGE_BYTES_MAX: u32 = 4 << 20;

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies beneath the package's root.
    pub path: EntryPath,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Modification time in nanoseconds since 1970, UTC.
    pub mtime_ns: i64,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file of `size` bytes.
    File { size: u64, chunks: FileChunks },
    /// A folder.
    Folder,
    /// A symbolic link; the target is kept as it was read, at most 4,095 bytes.
    Symlink { target: Vec<u8> },
}

/// A file's bytes as a list of chunk runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChunks {
    /// In the entry itself. [`Builder::push`] takes any length and pages lists above
    /// [`INLINE_RUNS_MAX`]; one that is read back has at most that many.
    Inline(Vec<ChunkRun>),
    /// In pages of their own.
    Paged(ChunkListRef),
}

/// A chunk that occurs `repeat` times in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRun {
    /// The chunk's digest.
    pub digest: Digest,
    /// Bytes of one occurrence, 1 to [`CHUNK_BYTES_MAX`].
    pub length: u32,
    /// Occurrences, at least 1.
    pub repeat: u32,
}

impl ChunkRun {
    /// Bytes of all occurrences.
    pub fn bytes(&self) -> u64 {
        u64::from(self.length) * u64::from(self.repeat)
    }
}

/// The root of a paged chunk list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkListRef {
    /// Digest of the list's root page.
    pub root: Digest,
    /// Length of the root page in bytes.
    pub root_length: u32,
    /// Pages of the list, root included.
    pub pages: u64,
    /// Runs in the list.
    pub runs: u64,
}

/// The root of a manifest and what lies beneath it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestRoot {
    /// Digest of the root page.
    pub digest: Digest,
    /// Length of the root page in bytes.
    pub length: u32,
    /// All pages, root and chunk-list pages included.
    pub pages: u64,
    /// All entries.
    pub entries: u64,
    /// All chunk references: runs of all files, not distinct chunks.
    pub chunks: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Where pages are read from. An implementation returns only bytes that have the digest.
pub trait PageSource {
    /// The page's encoding.
    fn page(&self, digest: &Digest) -> Result<Arc<[u8]>, PageError>;
}

/// Where a builder puts pages. It is called for every page, also for one the place already holds.
pub trait PageSink {
    /// Keeps a page.
    fn page(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), PageError>;
}

/// Why a page could not be fetched or kept; the cause is the place's own error.
#[derive(Debug, thiserror::Error)]
#[error("manifest page {digest} is not at hand")]
pub struct PageError {
    /// The page.
    pub digest: Digest,
    /// The place's own error.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A page is missing or damaged in the place it is kept.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A page's bytes are not a page.
    #[error("manifest page {digest} is not valid")]
    Decode { digest: Digest, source: PageDecodeError },
    /// A page is of another kind or size than the page above it says.
    #[error("MANIFEST_INCONSISTENT: manifest page {digest} is not what the page above it lists")]
    Inconsistent { digest: Digest },
}

/// Pages in memory, for tests and small tools.
#[derive(Debug, Default, Clone)]
pub struct MemoryPages(pub std::collections::BTreeMap<Digest, Arc<[u8]>>);

impl PageSource for MemoryPages {
    fn page(&self, digest: &Digest) -> Result<Arc<[u8]>, PageError> {
        self.0.get(digest).cloned().ok_or_else(|| PageError { digest: *digest, source: "not kept".into() })
    }
}

impl PageSink for MemoryPages {
    fn page(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), PageError> {
        self.0.entry(digest).or_insert_with(|| bytes.into());
        Ok(())
    }
}
