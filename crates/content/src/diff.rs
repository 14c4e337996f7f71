//! What differs between two versions, and what a holder of the one lacks of the other.
//!
//! [`Differences`] merges two manifests in path order and skips pages that both have, so its cost
//! is that of the change, not of the tree. [`lacking`] counts the chunks and pages of one version
//! that are not in another.
//!
//! It compares what manifests list; it reads no chunk and no file.
//!
//! Source: docs/formats/manifest.md, "Pages".

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::HashSet;

use restock_names::Digest;

use crate::manifest::{Entry, EntryKind, Manifest, ManifestError, Page};

/// One entry that is not the same in both versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Only in the second.
    Added(Entry),
    /// Only in the first.
    Removed(Entry),
    /// In both, with other bytes, another target, or of another kind.
    Changed {
        /// In the first.
        before: Entry,
        /// In the second.
        after: Entry,
    },
    /// In both with the same bytes; mode or modification time differ.
    Touched {
        /// In the first.
        before: Entry,
        /// In the second.
        after: Entry,
    },
}

/// How much differs. Bytes are those of files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries only in the second, and their bytes.
    pub added: u64,
    /// See [`Totals::added`].
    pub bytes_added: u64,
    /// Entries only in the first, and their bytes.
    pub removed: u64,
    /// See [`Totals::removed`].
    pub bytes_removed: u64,
    /// Entries with other bytes, another target or of another kind, and their bytes afterwards.
    pub changed: u64,
    /// See [`Totals::changed`].
    pub bytes_changed: u64,
    /// Entries whose mode or time alone differ.
    pub touched: u64,
}

impl Totals {
    /// Counts one more difference.
    pub fn add(&mut self, difference: &Difference) {
        match difference {
            Difference::Added(entry) => {
                self.added += 1;
                self.bytes_added += file_bytes(entry);
            }
            Difference::Removed(entry) => {
                self.removed += 1;
                self.bytes_removed += file_bytes(entry);
            }
            Difference::Changed { after, .. } => {
                self.changed += 1;
                self.bytes_changed += file_bytes(after);
            }
            Difference::Touched { .. } => self.touched += 1,
        }
    }

    /// True when nothing differs.
    pub fn is_none(&self) -> bool {
        self.added + self.removed + self.changed + self.touched == 0
    }
}

fn file_bytes(entry: &Entry) -> u64 {
    match entry.kind {
        EntryKind::File { size, .. } => size,
        EntryKind::Folder | EntryKind::Symlink { .. } => 0,
    }
}

/// The differences between two versions in path order.
///
/// Memory: one page for each level of both. Cost: the pages that are not in both.
pub struct Differences<'a> {
    before: Cursor<'a>,
    after: Cursor<'a>,
    is_over: bool,
}

impl<'a> Differences<'a> {
    /// What has to be done to `before` to get `after`. Without `before` everything is added.
    pub fn new(before: Option<Manifest<'a>>, after: Manifest<'a>) -> Self {
        let before = before.map_or_else(|| Cursor { manifest: after, stack: Vec::new() }, Cursor::new);
        Self { before, after: Cursor::new(after), is_over: false }
    }

    /// The next difference, or `None` at the end.
    fn step(&mut self) -> Result<Option<Difference>, ManifestError> {
        loop {
            match (self.before.stack.last(), self.after.stack.last()) {
                (None, None) => return Ok(None),
                (Some(Item::Page { digest: a, entries: n }), Some(Item::Page { digest: b, entries: m })) => {
                    if a == b {
                        self.before.stack.pop();
                        self.after.stack.pop();
                    } else if n >= m {
                        // The larger one first, so that equal subtrees of unequal depth meet.
                        self.before.open()?;
                    } else {
                        self.after.open()?;
                    }
                }
                (Some(Item::Page { .. }), _) => self.before.open()?,
                (_, Some(Item::Page { .. })) => self.after.open()?,
                (Some(Item::Entry(a)), Some(Item::Entry(b))) => match a.path.cmp(&b.path) {
                    Ordering::Less => return Ok(self.before.take().map(Difference::Removed)),
                    Ordering::Greater => return Ok(self.after.take().map(Difference::Added)),
                    Ordering::Equal => {
                        let (Some(before), Some(after)) = (self.before.take(), self.after.take()) else {
                            return Ok(None);
                        };
                        if before.kind != after.kind {
                            return Ok(Some(Difference::Changed { before, after }));
                        }
                        if before != after {
                            return Ok(Some(Difference::Touched { before, after }));
                        }
                    }
                },
                (Some(Item::Entry(_)), None) => return Ok(self.before.take().map(Difference::Removed)),
                (None, Some(Item::Entry(_))) => return Ok(self.after.take().map(Difference::Added)),
            }
        }
    }
}

impl Iterator for Differences<'_> {
    type Item = Result<Difference, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let step = self.step().transpose();
        self.is_over = !matches!(step, Some(Ok(_)));
        step
    }
}

/// What comes next of one manifest: whole pages that need not be opened, and entries.
struct Cursor<'a> {
    manifest: Manifest<'a>,
    /// The next item last.
    stack: Vec<Item>,
}

enum Item {
    Page { digest: Digest, entries: u64 },
    Entry(Entry),
}

impl<'a> Cursor<'a> {
    fn new(manifest: Manifest<'a>) -> Self {
        let root = manifest.root();
        Self { stack: vec![Item::Page { digest: root.digest, entries: root.entries }], manifest }
    }

    /// Puts what lies beneath the page on top in its place.
    fn open(&mut self) -> Result<(), ManifestError> {
        let Some(Item::Page { digest, .. }) = self.stack.pop() else { return Ok(()) };
        match self.manifest.fetch(&digest)? {
            Page::Entries(entries) => self.stack.extend(entries.into_iter().rev().map(Item::Entry)),
            Page::EntryIndex { children, .. } => {
                let pages = children.into_iter().rev();
                self.stack.extend(pages.map(|c| Item::Page { digest: c.digest, entries: c.entries }));
            }
            Page::Runs(_) | Page::RunIndex { .. } => return Err(ManifestError::Inconsistent { digest }),
        }
        Ok(())
    }

    /// The entry on top.
    fn take(&mut self) -> Option<Entry> {
        match self.stack.pop() {
            Some(Item::Entry(entry)) => Some(entry),
            other => {
                self.stack.extend(other);
                None
            }
        }
    }
}

/// What a holder of one version lacks of another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lacking {
    /// Chunks, each counted once.
    pub chunks: u64,
    /// Their bytes after decoding.
    pub chunk_bytes: u64,
    /// Manifest pages, each counted once.
    pub pages: u64,
    /// Their bytes.
    pub page_bytes: u64,
}

/// Counts what `wanted` has and `held` has not; `on_chunk` is called for each such chunk.
///
/// Memory: 16 bytes for each chunk and page of both. Cost: all pages of both are read.
pub fn lacking(
    held: Option<&Manifest<'_>>,
    wanted: &Manifest<'_>,
    on_chunk: &mut dyn FnMut(&Digest, u32),
) -> Result<Lacking, ManifestError> {
    let mut known: HashSet<u64> = HashSet::new();
    if let Some(held) = held {
        for page in held.pages_from(0) {
            known.insert(short(&page?.0));
        }
        for run in held.chunks_from(0) {
            known.insert(short(&run?.digest));
        }
    }
    let mut lacking = Lacking::default();
    for page in wanted.pages_from(0) {
        let (digest, length) = page?;
        if known.insert(short(&digest)) {
            lacking.pages += 1;
            lacking.page_bytes += u64::from(length);
        }
    }
    for run in wanted.chunks_from(0) {
        let run = run?;
        if known.insert(short(&run.digest)) {
            lacking.chunks += 1;
            lacking.chunk_bytes += u64::from(run.length);
            on_chunk(&run.digest, run.length);
        }
    }
    Ok(lacking)
}

/// Enough of a digest for counting: among a billion objects, less than one in ten is taken for
/// another.
fn short(digest: &Digest) -> u64 {
    u64::from_le_bytes(digest.0[..8].try_into().expect("a digest has more than eight bytes"))
}
