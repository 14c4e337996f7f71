//! Walking the pages of a version that is being received: which pages are wanted, which chunks are
//! lacking, and whether pages agree with the pages above them.
//!
//! Pages are opened in any order. A page that belongs to a complete version is not opened: all
//! beneath it is held.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use restock_names::{Digest, EntryPath};

use super::{Item, ItemKind};
use crate::hash::path_hash;
use crate::manifest::{
    ChunkRun, Entry, EntryKind, FileChunks, ManifestRoot, PAGE_BYTES_MAX, Page, PageDecodeError, is_beneath,
};
use crate::plan::{ALIGNED_FILE_BYTES_MIN, Missing};

/// Why a page of a signed version cannot be used. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// The page's bytes are not a page.
    #[error(transparent)]
    Decode(#[from] PageError),
    /// The page is not what the page above it, or the statement, says.
    #[error("MANIFEST_INCONSISTENT: {item} has {what} that differ from what is listed for it")]
    Inconsistent { item: Item, what: &'static str },
    /// Sums that do not fit 64 bits.
    #[error("MANIFEST_OVERFLOW: the totals of {item} add up to more than 64 bits hold")]
    Overflow { item: Item },
    /// Entries that do not follow those of the page before.
    #[error("MANIFEST_ORDER: {path:?} in {item} does not lie between the entries listed around it")]
    Order { item: Item, path: EntryPath },
    /// An entry beneath one that is no folder, which stands on the page before.
    #[error("PATH_FILE_AND_DIR: {path:?} in {item} lies beneath an entry that is no folder")]
    FileAndFolder { item: Item, path: EntryPath },
    /// A page that lists entries for a second time.
    #[error("MANIFEST_DUPLICATE: {item} stands elsewhere in the manifest too")]
    Duplicate { item: Item },
    /// More chunks than the bytes can have been cut into.
    #[error("MANIFEST_CHUNK_SIZE: {chunks} chunks of {bytes} bytes are outside the cut profile")]
    ChunkSize { chunks: u64, bytes: u64 },
    /// More than a holder takes.
    #[error("MANIFEST_TOO_LARGE: {what} {actual}, at most {limit} are allowed")]
    TooLarge { what: &'static str, actual: u64, limit: u64 },
}

/// A page that does not decode; the text begins with the code of the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(.item, .cause))]
pub struct PageError {
    /// Which page.
    pub item: Item,
    /// What is wrong with it.
    pub cause: PageDecodeError,
}

impl WalkError {
    /// The stable code: the text up to its first colon.
    pub fn code(&self) -> String {
        let text = self.to_string();
        text.split_once(':').map_or("", |(code, _)| code).to_owned()
    }
}

/// The code of a path's fault comes first, then where it stands.
fn describe(item: &Item, cause: &PageDecodeError) -> String {
    match cause {
        PageDecodeError::Path { index, source } => format!("{source}, entry {index} of {item}"),
        other => format!("{other}, in {item}"),
    }
}

/// Entries of one version, at most.
const ENTRIES_MAX: u64 = 20_000_000;
/// The shortest chunk of cut profile 1 that is not the last of its file.
const CHUNK_BYTES_MIN: u64 = 16 * 1024;
/// Fewer chunks cost too little to ask how they were cut.
const CHUNKS_UNCHECKED_MAX: u64 = 1_000_000;
/// Pages of one version, at most: 4 GiB of pages of a kilobyte.
const PAGES_MAX: u64 = 4 << 20;

/// A page that is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageRef {
    pub(super) digest: Digest,
    pub(super) length: u32,
    pub(super) ordinal: u64,
    /// Ordinal of the first chunk beneath.
    chunk: u64,
    totals: Totals,
    place: PagePlace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    pages: u64,
    entries: u64,
    chunks: u64,
    bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PagePlace {
    /// A page of the entry tree; `level` is unknown at the root only.
    Tree { level: Option<u8>, after: Option<EntryPath>, last: Option<EntryPath> },
    /// A page of a file's chunk list.
    List { level: Option<u8>, is_file_start: bool },
}

impl PageRef {
    /// A page that is fetched for itself and not opened.
    pub(super) fn alone(digest: Digest, length: u32, ordinal: u64) -> Self {
        let place = PagePlace::List { level: None, is_file_start: false };
        Self { digest, length, ordinal, chunk: 0, totals: Totals::default(), place }
    }

    pub(super) fn item(&self) -> Item {
        Item { kind: ItemKind::Page, ordinal: self.ordinal }
    }
}

/// The walk over one version's manifest.
#[derive(Debug)]
pub(super) struct Walk {
    seen_pages: HashSet<Digest>,
    /// Places of digests in `missing`: a digest is not kept twice for each of millions of chunks.
    seen_chunks: HashTable<u32>,
    hasher: RandomState,
    missing: Vec<Missing>,
    /// Pages of entries end with these, hashed, and they are no folders.
    last_files: HashSet<u64>,
    /// Pages begin beneath these, hashed: the last entries of the pages before.
    last_folders: HashSet<u64>,
}

impl Walk {
    /// A walk and the root page it begins with.
    pub(super) fn new(root: &ManifestRoot) -> Result<(Self, PageRef), WalkError> {
        for (what, actual, limit) in [
            ("entries", root.entries, ENTRIES_MAX),
            ("manifest pages", root.pages, PAGES_MAX),
            ("bytes of the root page", root.length.into(), PAGE_BYTES_MAX.into()),
        ] {
            if actual > limit {
                return Err(WalkError::TooLarge { what, actual, limit });
            }
        }
        // All but the last chunk of a file have the profile's least length; repeats are counted once.
        let cut = root.chunks.saturating_sub(root.entries).saturating_mul(CHUNK_BYTES_MIN);
        if root.chunks > CHUNKS_UNCHECKED_MAX && cut > root.bytes {
            return Err(WalkError::ChunkSize { chunks: root.chunks, bytes: root.bytes });
        }
        let totals =
            Totals { pages: root.pages, entries: root.entries, chunks: root.chunks, bytes: root.bytes };
        let place = PagePlace::Tree { level: None, after: None, last: None };
        let page = PageRef { digest: root.digest, length: root.length, ordinal: 0, chunk: 0, totals, place };
        let walk = Self {
            seen_pages: HashSet::new(),
            seen_chunks: HashTable::new(),
            hasher: RandomState::new(),
            missing: Vec::new(),
            last_files: HashSet::new(),
            last_folders: HashSet::new(),
        };
        Ok((walk, page))
    }

    /// True the first time a page is met: equal chunk lists share their pages, which are opened once.
    ///
    /// Errors: a page of entries that stands twice.
    pub(super) fn is_new(&mut self, page: &PageRef) -> Result<bool, WalkError> {
        match (self.seen_pages.insert(page.digest), &page.place) {
            (false, PagePlace::Tree { .. }) => Err(WalkError::Duplicate { item: page.item() }),
            (is_new, _) => Ok(is_new),
        }
    }

    /// Opens a page: notes the chunks it lists that `holds` denies, returns the pages beneath it.
    pub(super) fn open<E>(
        &mut self,
        page: &PageRef,
        bytes: &[u8],
        mut holds: impl FnMut(&Digest) -> Result<bool, E>,
    ) -> Result<Result<Vec<PageRef>, E>, WalkError> {
        let item = page.item();
        let decoded = Page::decode(bytes).map_err(|cause| WalkError::Decode(PageError { item, cause }))?;
        let mut below = Vec::new();
        let mut sums = Sums::new(page);
        let mut note = |walk: &mut Self, run: &ChunkRun, ordinal: u64, is_aligned: bool| {
            let Self { seen_chunks, missing, hasher, .. } = walk;
            let hash = hasher.hash_one(run.digest);
            let is_seen = |at: &u32| missing[*at as usize].digest == run.digest;
            if seen_chunks.find(hash, is_seen).is_some() || holds(&run.digest)? {
                return Ok(());
            }
            let hash_of = |at: &u32| hasher.hash_one(missing[*at as usize].digest);
            seen_chunks.insert_unique(hash, missing.len() as u32, hash_of);
            walk.missing.push(Missing { ordinal, digest: run.digest, length: run.length, is_aligned });
            Ok(())
        };
        match (&page.place, decoded) {
            (PagePlace::Tree { level: None | Some(0), after, last }, Page::Entries(entries)) => {
                sums.begins(entries.first().map(|e| &e.path), after.as_ref())?;
                sums.ends(entries.last().map(|e| &e.path), last.as_ref())?;
                self.borders(item, &entries, after.as_ref())?;
                for entry in &entries {
                    sums.entries(1)?;
                    let EntryKind::File { size, chunks } = &entry.kind else { continue };
                    sums.bytes(*size)?;
                    let is_aligned = *size >= ALIGNED_FILE_BYTES_MIN;
                    match chunks {
                        FileChunks::Inline(runs) => {
                            for (index, run) in runs.iter().enumerate() {
                                if let Err(error) = note(self, run, sums.chunk(), is_aligned && index == 0) {
                                    return Ok(Err(error));
                                }
                                sums.chunks(1)?;
                            }
                        }
                        FileChunks::Paged(list) => {
                            below.push(PageRef {
                                digest: list.root,
                                length: list.root_length,
                                ordinal: sums.page(),
                                chunk: sums.chunk(),
                                totals: Totals {
                                    pages: list.pages,
                                    entries: 0,
                                    chunks: list.runs,
                                    bytes: *size,
                                },
                                place: PagePlace::List { level: None, is_file_start: is_aligned },
                            });
                            sums.pages(list.pages)?;
                            sums.chunks(list.runs)?;
                        }
                    }
                }
            }
            (PagePlace::Tree { level, after, last }, Page::EntryIndex { level: found, children })
                if level.is_none_or(|level| level == found) =>
            {
                let mut previous = after.clone();
                sums.begins(children.first().map(|c| &c.last), after.as_ref())?;
                sums.ends(children.last().map(|c| &c.last), last.as_ref())?;
                for child in children {
                    let totals = Totals {
                        pages: child.pages,
                        entries: child.entries,
                        chunks: child.chunks,
                        bytes: child.bytes,
                    };
                    below.push(PageRef {
                        digest: child.digest,
                        length: child.length,
                        ordinal: sums.page(),
                        chunk: sums.chunk(),
                        totals,
                        place: PagePlace::Tree {
                            level: Some(found - 1),
                            after: previous.replace(child.last.clone()),
                            last: Some(child.last),
                        },
                    });
                    sums.pages(child.pages)?;
                    sums.entries(child.entries)?;
                    sums.chunks(child.chunks)?;
                    sums.bytes(child.bytes)?;
                }
            }
            (PagePlace::List { level: None | Some(0), is_file_start }, Page::Runs(runs)) => {
                for (index, run) in runs.iter().enumerate() {
                    if let Err(error) = note(self, run, sums.chunk(), *is_file_start && index == 0) {
                        return Ok(Err(error));
                    }
                    sums.chunks(1)?;
                    sums.bytes(run.bytes())?;
                }
            }
            (PagePlace::List { level, is_file_start }, Page::RunIndex { level: found, children })
                if level.is_none_or(|level| level == found) =>
            {
                for (index, child) in children.into_iter().enumerate() {
                    below.push(PageRef {
                        digest: child.digest,
                        length: child.length,
                        ordinal: sums.page(),
                        chunk: sums.chunk(),
                        totals: Totals {
                            pages: child.pages,
                            entries: 0,
                            chunks: child.runs,
                            bytes: child.bytes,
                        },
                        place: PagePlace::List {
                            level: Some(found - 1),
                            is_file_start: *is_file_start && index == 0,
                        },
                    });
                    sums.pages(child.pages)?;
                    sums.chunks(child.runs)?;
                    sums.bytes(child.bytes)?;
                }
            }
            _ => return Err(WalkError::Inconsistent { item, what: "kind or level" }),
        }
        sums.agree()?;
        Ok(Ok(below))
    }

    /// Between pages, what [`Page::decode`] checks within one: nothing lies beneath a file. Pages come in
    /// any order; one that belongs to a complete version is not opened and not asked.
    fn borders(&mut self, item: Item, entries: &[Entry], after: Option<&EntryPath>) -> Result<(), WalkError> {
        let refused = |path: &EntryPath| Err(WalkError::FileAndFolder { item, path: path.clone() });
        if let (Some(first), Some(after)) = (entries.first(), after)
            && is_beneath(&first.path, after)
        {
            let hash = path_hash(0, after.as_bytes());
            if self.last_files.contains(&hash) {
                return refused(&first.path);
            }
            self.last_folders.insert(hash);
        }
        if let Some(last) = entries.last()
            && !matches!(last.kind, EntryKind::Folder)
        {
            let hash = path_hash(0, last.path.as_bytes());
            if self.last_folders.contains(&hash) {
                return refused(&last.path);
            }
            self.last_files.insert(hash);
        }
        Ok(())
    }

    /// The chunks that are lacking, in manifest order.
    pub(super) fn finish(mut self) -> Vec<Missing> {
        self.missing.sort_unstable_by_key(|missing| missing.ordinal);
        self.missing
    }
}

/// Adds up what a page lists and compares it with what is listed for the page.
struct Sums<'a> {
    page: &'a PageRef,
    found: Totals,
}

impl<'a> Sums<'a> {
    fn new(page: &'a PageRef) -> Self {
        Self { page, found: Totals { pages: 1, ..Totals::default() } }
    }

    /// Ordinal of the next page beneath. It cannot overflow: what was added stays below the totals.
    fn page(&self) -> u64 {
        self.page.ordinal.saturating_add(self.found.pages)
    }

    /// Ordinal of the next chunk beneath.
    fn chunk(&self) -> u64 {
        self.page.chunk.saturating_add(self.found.chunks)
    }

    fn pages(&mut self, count: u64) -> Result<(), WalkError> {
        // Every page counts itself; without this a forged zero would give two pages one number.
        if count == 0 {
            return Err(WalkError::Inconsistent { item: self.page.item(), what: "page counts" });
        }
        self.found.pages = self.add(self.found.pages, count)?;
        Ok(())
    }

    fn entries(&mut self, count: u64) -> Result<(), WalkError> {
        self.found.entries = self.add(self.found.entries, count)?;
        Ok(())
    }

    fn chunks(&mut self, count: u64) -> Result<(), WalkError> {
        self.found.chunks = self.add(self.found.chunks, count)?;
        Ok(())
    }

    fn bytes(&mut self, count: u64) -> Result<(), WalkError> {
        self.found.bytes = self.add(self.found.bytes, count)?;
        Ok(())
    }

    fn add(&self, a: u64, b: u64) -> Result<u64, WalkError> {
        a.checked_add(b).ok_or(WalkError::Overflow { item: self.page.item() })
    }

    /// The first path must lie behind everything listed before this page.
    fn begins(&self, first: Option<&EntryPath>, after: Option<&EntryPath>) -> Result<(), WalkError> {
        match (first, after) {
            (Some(first), Some(after)) if first <= after => {
                Err(WalkError::Order { item: self.page.item(), path: first.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The last path must be the one listed for this page.
    fn ends(&self, last: Option<&EntryPath>, listed: Option<&EntryPath>) -> Result<(), WalkError> {
        match (last, listed) {
            (Some(last), Some(listed)) if last != listed => {
                Err(WalkError::Order { item: self.page.item(), path: last.clone() })
            }
            (None, Some(_)) => Err(WalkError::Inconsistent { item: self.page.item(), what: "entries" }),
            _ => Ok(()),
        }
    }

    fn agree(&self) -> Result<(), WalkError> {
        let listed = self.page.totals;
        for (what, found, listed) in [
            ("page counts", self.found.pages, listed.pages),
            ("entry counts", self.found.entries, listed.entries),
            ("chunk counts", self.found.chunks, listed.chunks),
            ("sizes", self.found.bytes, listed.bytes),
        ] {
            if found != listed {
                return Err(WalkError::Inconsistent { item: self.page.item(), what });
            }
        }
        Ok(())
    }
}
