//! Writing a manifest in one pass, in bounded memory.

use std::cmp::Ordering;

use restock_names::{Digest, EntryPath};

use super::page::PAGE_ITEMS_MAX;
use super::{
    ChunkListChild, ChunkListRef, ChunkRun, EntriesChild, Entry, EntryKind, FileChunks, INLINE_RUNS_MAX,
    ManifestRoot, Page, PageError, PageSink,
};
use crate::hash::{page_digest, path_hash};

/// One page in about this many items is the last of its page.
const CUT_MASK: u64 = 63;

/// Why an entry cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum ManifestBuildError {
    /// Entries must ascend component by component.
    #[error("entry {path} does not follow {previous}")]
    Order { previous: EntryPath, path: EntryPath },
    /// A file whose chunk runs do not add up to its size.
    #[error("the chunks of {path} have {listed} bytes, the file {size}")]
    Size { path: EntryPath, size: u64, listed: u64 },
    /// The place for pages failed.
    #[error(transparent)]
    Sink(#[from] PageError),
}

/// Builds a manifest from entries in ascending path order.
///
/// Memory: one open page for each level.
pub struct Builder<'a> {
    sink: &'a mut dyn PageSink,
    entries: Vec<Entry>,
    leaf_extra: Sums,
    levels: Vec<Level>,
    last: Option<EntryPath>,
}

/// What the open page of entries lists, beside the entries themselves.
#[derive(Default, Clone, Copy)]
struct Sums {
    pages: u64,
    chunks: u64,
    bytes: u64,
}

/// The open index page of one level and what was closed at that level before it.
#[derive(Default)]
struct Level {
    open: Vec<EntriesChild>,
    closed: u64,
}

impl<'a> Builder<'a> {
    /// A builder that puts its pages into `sink`.
    pub fn new(sink: &'a mut dyn PageSink) -> Self {
        Self {
            sink,
            entries: Vec::new(),
            leaf_extra: Sums::default(),
            levels: vec![Level::default()],
            last: None,
        }
    }

    /// Where pages go; for a [`ChunkListBuilder`] used between two entries.
    pub fn sink(&mut self) -> &mut dyn PageSink {
        self.sink
    }

    /// Adds the next entry. An inline chunk list of any length is taken.
    ///
    /// Errors: an entry that does not ascend; chunk runs that do not add up; the sink's.
    pub fn push(&mut self, mut entry: Entry) -> Result<(), ManifestBuildError> {
        if let Some(previous) = &self.last
            && previous.cmp(&entry.path) != Ordering::Less
        {
            return Err(ManifestBuildError::Order { previous: previous.clone(), path: entry.path });
        }
        if let EntryKind::File { size, chunks } = &mut entry.kind {
            if let FileChunks::Inline(runs) = chunks {
                let listed = runs.iter().map(ChunkRun::bytes).sum::<u64>();
                if listed != *size {
                    return Err(ManifestBuildError::Size { path: entry.path, size: *size, listed });
                }
                let is_merged =
                    runs.windows(2).all(|w| (w[0].digest, w[0].length) != (w[1].digest, w[1].length));
                if runs.len() > INLINE_RUNS_MAX || !is_merged {
                    let mut list = ChunkListBuilder::default();
                    for run in runs.iter() {
                        list.push_merged(*run, self.sink)?;
                    }
                    *chunks = list.finish(self.sink)?;
                }
            }
            self.leaf_extra.bytes += *size;
            match chunks {
                FileChunks::Inline(runs) => self.leaf_extra.chunks += runs.len() as u64,
                FileChunks::Paged(list) => {
                    self.leaf_extra.chunks += list.runs;
                    self.leaf_extra.pages += list.pages;
                }
            }
        }
        let is_last = path_hash(0, entry.path.as_bytes()) & CUT_MASK == 0;
        self.last = Some(entry.path.clone());
        self.entries.push(entry);
        if is_last || self.entries.len() == PAGE_ITEMS_MAX {
            self.close_leaf()?;
        }
        Ok(())
    }

    /// Closes all pages and returns the root.
    pub fn finish(mut self) -> Result<ManifestRoot, ManifestBuildError> {
        if !self.entries.is_empty() {
            self.close_leaf()?;
        }
        let mut level = 0;
        loop {
            // Level 0 of `levels` is the index above the entry pages.
            let this = &self.levels[level];
            match (this.closed, this.open.as_slice()) {
                (0, []) => {
                    let bytes = Page::Entries(Vec::new()).encode();
                    let digest = put(self.sink, &bytes)?;
                    return Ok(ManifestRoot {
                        digest,
                        length: bytes.len() as u32,
                        pages: 1,
                        entries: 0,
                        chunks: 0,
                        bytes: 0,
                    });
                }
                (0, [only]) => {
                    return Ok(ManifestRoot {
                        digest: only.digest,
                        length: only.length,
                        pages: only.pages,
                        entries: only.entries,
                        chunks: only.chunks,
                        bytes: only.bytes,
                    });
                }
                (_, []) => {}
                _ => self.close_index(level)?,
            }
            level += 1;
        }
    }

    fn close_leaf(&mut self) -> Result<(), ManifestBuildError> {
        let entries = std::mem::take(&mut self.entries);
        let sums = std::mem::take(&mut self.leaf_extra);
        let last = entries.last().expect("a page is closed only with entries").path.clone();
        let count = entries.len() as u64;
        let bytes = Page::Entries(entries).encode();
        let digest = put(self.sink, &bytes)?;
        self.add_child(
            0,
            EntriesChild {
                last,
                digest,
                length: bytes.len() as u32,
                pages: 1 + sums.pages,
                entries: count,
                chunks: sums.chunks,
                bytes: sums.bytes,
            },
        )
    }

    fn add_child(&mut self, level: usize, child: EntriesChild) -> Result<(), ManifestBuildError> {
        if self.levels.len() <= level {
            self.levels.push(Level::default());
        }
        let is_last = path_hash(level as u8 + 1, child.last.as_bytes()) & CUT_MASK == 0;
        let open = &mut self.levels[level].open;
        open.push(child);
        if open.len() >= 2 && (is_last || open.len() == PAGE_ITEMS_MAX) {
            self.close_index(level)?;
        }
        Ok(())
    }

    fn close_index(&mut self, level: usize) -> Result<(), ManifestBuildError> {
        let children = std::mem::take(&mut self.levels[level].open);
        self.levels[level].closed += 1;
        let sum = |of: fn(&EntriesChild) -> u64| children.iter().map(of).sum::<u64>();
        let (pages, entries, chunks, bytes) =
            (1 + sum(|c| c.pages), sum(|c| c.entries), sum(|c| c.chunks), sum(|c| c.bytes));
        let last = children.last().expect("an index page is closed only with children").last.clone();
        let encoded = Page::EntryIndex { level: level as u8 + 1, children }.encode();
        let digest = put(self.sink, &encoded)?;
        let child =
            EntriesChild { last, digest, length: encoded.len() as u32, pages, entries, chunks, bytes };
        self.add_child(level + 1, child)
    }
}

/// Builds the chunk list of one file from runs in file order.
///
/// A list of up to [`INLINE_RUNS_MAX`] runs stays inline, a longer one is written as pages.
#[derive(Debug, Default)]
pub struct ChunkListBuilder {
    open: Vec<ChunkRun>,
    runs: u64,
    is_paged: bool,
    levels: Vec<(Vec<ChunkListChild>, u64)>,
}

impl ChunkListBuilder {
    /// Adds the next chunk; one equal to the chunk before it raises that one's repeat count.
    pub fn push(&mut self, digest: Digest, length: u32, sink: &mut dyn PageSink) -> Result<(), PageError> {
        self.push_merged(ChunkRun { digest, length, repeat: 1 }, sink)
    }

    fn push_merged(&mut self, run: ChunkRun, sink: &mut dyn PageSink) -> Result<(), PageError> {
        if let Some(last) = self.open.last_mut()
            && (last.digest, last.length) == (run.digest, run.length)
            && let Some(repeat) = last.repeat.checked_add(run.repeat)
        {
            last.repeat = repeat;
            return Ok(());
        }
        // A run is placed only when the next one begins, so a cut never splits equal chunks.
        if self.is_paged {
            self.cut(sink)?;
        } else if self.open.len() == INLINE_RUNS_MAX {
            self.is_paged = true;
            let runs = std::mem::take(&mut self.open);
            for earlier in runs {
                self.cut(sink)?;
                self.open.push(earlier);
            }
            self.cut(sink)?;
        }
        self.open.push(run);
        self.runs += 1;
        Ok(())
    }

    /// Closes the open page if its last run ends a page.
    fn cut(&mut self, sink: &mut dyn PageSink) -> Result<(), PageError> {
        let ends = self.open.last().is_some_and(|run| ends_page(&run.digest));
        if ends || self.open.len() == PAGE_ITEMS_MAX { self.close_runs(sink) } else { Ok(()) }
    }

    /// The finished list.
    pub fn finish(mut self, sink: &mut dyn PageSink) -> Result<FileChunks, PageError> {
        if !self.is_paged {
            return Ok(FileChunks::Inline(self.open));
        }
        self.close_runs(sink)?;
        let mut level = 0;
        loop {
            let (open, closed) = &self.levels[level];
            match (closed, open.as_slice()) {
                (0, [only]) => {
                    return Ok(FileChunks::Paged(ChunkListRef {
                        root: only.digest,
                        root_length: only.length,
                        pages: only.pages,
                        runs: only.runs,
                    }));
                }
                (_, []) => {}
                _ => self.close_index(level, sink)?,
            }
            level += 1;
        }
    }

    fn close_runs(&mut self, sink: &mut dyn PageSink) -> Result<(), PageError> {
        let runs = std::mem::take(&mut self.open);
        if runs.is_empty() {
            return Ok(());
        }
        let (count, total) = (runs.len() as u64, runs.iter().map(ChunkRun::bytes).sum());
        let bytes = Page::Runs(runs).encode();
        let digest = put(sink, &bytes)?;
        let length = bytes.len() as u32;
        self.add_child(0, ChunkListChild { digest, length, pages: 1, runs: count, bytes: total }, sink)
    }

    fn add_child(
        &mut self,
        level: usize,
        child: ChunkListChild,
        sink: &mut dyn PageSink,
    ) -> Result<(), PageError> {
        if self.levels.len() <= level {
            self.levels.push((Vec::new(), 0));
        }
        let open = &mut self.levels[level].0;
        open.push(child);
        if open.len() >= 2 && (ends_page(&child.digest) || open.len() == PAGE_ITEMS_MAX) {
            self.close_index(level, sink)?;
        }
        Ok(())
    }

    fn close_index(&mut self, level: usize, sink: &mut dyn PageSink) -> Result<(), PageError> {
        let children = std::mem::take(&mut self.levels[level].0);
        self.levels[level].1 += 1;
        let sum = |of: fn(&ChunkListChild) -> u64| children.iter().map(of).sum::<u64>();
        let (pages, runs, bytes) = (1 + sum(|c| c.pages), sum(|c| c.runs), sum(|c| c.bytes));
        let encoded = Page::RunIndex { level: level as u8 + 1, children }.encode();
        let digest = put(sink, &encoded)?;
        self.add_child(
            level + 1,
            ChunkListChild { digest, length: encoded.len() as u32, pages, runs, bytes },
            sink,
        )
    }
}

fn ends_page(digest: &Digest) -> bool {
    u64::from(digest.0[0]) & CUT_MASK == 0
}

fn put(sink: &mut dyn PageSink, bytes: &[u8]) -> Result<Digest, PageError> {
    let digest = page_digest(bytes);
    sink.page(digest, bytes)?;
    Ok(digest)
}
