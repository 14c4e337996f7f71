//! One manifest page as bytes.
//!
//! Four kinds: entries, an index of entry pages, chunk runs of one large file, an index of those.
//! Decoding checks everything that one page can show: order, ranges, sums.

use restock_names::{Digest, EntryPath, PathError, compare_paths};

use super::{
    CHUNK_BYTES_MAX, ChunkListRef, ChunkRun, Entry, EntryKind, FileChunks, INLINE_RUNS_MAX, PAGE_BYTES_MAX,
    PROFILE,
};
use crate::codec::{DecodeError, Reader, put_signed, put_varint};

const FORMAT: u8 = 1;
const KIND_ENTRIES: u8 = 1;
const KIND_ENTRY_INDEX: u8 = 2;
const KIND_RUNS: u8 = 3;
const KIND_RUN_INDEX: u8 = 4;

const ENTRY_FILE: u8 = 1;
const ENTRY_FOLDER: u8 = 2;
const ENTRY_SYMLINK: u8 = 3;
const ENTRY_FILE_PAGED: u8 = 4;

/// Items of one page, at most.
pub(super) const PAGE_ITEMS_MAX: usize = 256;
/// Index levels, at most; 64^10 entries would need ten.
pub(super) const LEVEL_MAX: u8 = 16;
const TARGET_BYTES_MAX: usize = 4_095;

/// Why bytes are not a manifest page. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageDecodeError {
    /// The encoding is broken.
    #[error("MANIFEST_FORMAT: {0}")]
    Encoding(#[from] DecodeError),
    /// Another format or cut profile than this reader knows.
    #[error("HASH_FORMAT: page format {format} with cut profile {profile} is not known")]
    Unknown { format: u8, profile: u8 },
    /// A kind, level or count outside its range.
    #[error("MANIFEST_FORMAT: {what} {value} is out of range")]
    Range { what: &'static str, value: u64 },
    /// A length that no page can hold; nothing is allotted for it.
    #[error("MANIFEST_LENGTH: a length of {value} bytes, no page has more than {PAGE_BYTES_MAX}")]
    Length { value: u64 },
    /// A page above its limit.
    #[error("MANIFEST_TOO_LARGE: a page of {actual} bytes, at most {PAGE_BYTES_MAX} are allowed")]
    TooLarge { actual: usize },
    /// A path that no entry may have.
    #[error("entry {index}: {source}")]
    Path { index: usize, source: PathError },
    /// Two entries with one path.
    #[error("MANIFEST_DUPLICATE: {path:?} stands twice")]
    Duplicate { path: EntryPath },
    /// Entries that do not ascend.
    #[error("MANIFEST_ORDER: {path:?} does not follow the entry before it")]
    Order { path: EntryPath },
    /// An entry beneath one that is no folder.
    #[error("PATH_FILE_AND_DIR: {path:?} lies beneath {file:?}, which is no folder")]
    FileAndFolder { path: EntryPath, file: EntryPath },
    /// A chunk length outside the cut profile.
    #[error("MANIFEST_CHUNK_SIZE: a chunk of {length} bytes is outside the cut profile")]
    ChunkSize { length: u32 },
    /// Sums that do not fit 64 bits.
    #[error("MANIFEST_OVERFLOW: sizes add up to more than 64 bits hold")]
    Overflow,
    /// Sums that differ.
    #[error("MANIFEST_INCONSISTENT: {path:?} has {listed} bytes of chunks and a size of {size}")]
    Size { path: EntryPath, size: u64, listed: u64 },
}

/// A page of entries as its index lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesChild {
    /// The last entry path beneath the page.
    pub last: EntryPath,
    /// The page's digest.
    pub digest: Digest,
    /// The page's length in bytes.
    pub length: u32,
    /// Pages beneath and including this one, chunk-list pages too.
    pub pages: u64,
    /// Entries beneath.
    pub entries: u64,
    /// Chunk references beneath.
    pub chunks: u64,
    /// Bytes of files beneath.
    pub bytes: u64,
}

/// A page of chunk runs as its index lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkListChild {
    /// The page's digest.
    pub digest: Digest,
    /// The page's length in bytes.
    pub length: u32,
    /// Pages beneath and including this one.
    pub pages: u64,
    /// Runs beneath.
    pub runs: u64,
    /// Bytes beneath.
    pub bytes: u64,
}

/// A decoded page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// Entries in ascending path order.
    Entries(Vec<Entry>),
    /// Pages of entries, one level down.
    EntryIndex { level: u8, children: Vec<EntriesChild> },
    /// Runs of one file, in file order.
    Runs(Vec<ChunkRun>),
    /// Pages of runs, one level down.
    RunIndex { level: u8, children: Vec<ChunkListChild> },
}

impl Page {
    /// The page's one encoding.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, level, count) = match self {
            Self::Entries(entries) => (KIND_ENTRIES, 0, entries.len()),
            Self::EntryIndex { level, children } => (KIND_ENTRY_INDEX, *level, children.len()),
            Self::Runs(runs) => (KIND_RUNS, 0, runs.len()),
            Self::RunIndex { level, children } => (KIND_RUN_INDEX, *level, children.len()),
        };
        let mut out = Vec::with_capacity(16 + count * 80);
        out.extend([FORMAT, PROFILE, kind, level]);
        put_varint(&mut out, count as u64);
        match self {
            Self::Entries(entries) => {
                let mut previous: &[u8] = &[];
                for entry in entries {
                    put_path(&mut out, previous, entry.path.as_bytes());
                    put_entry(&mut out, entry);
                    previous = entry.path.as_bytes();
                }
            }
            Self::EntryIndex { children, .. } => {
                let mut previous: &[u8] = &[];
                for child in children {
                    put_path(&mut out, previous, child.last.as_bytes());
                    out.extend(child.digest.0);
                    put_varint(&mut out, u64::from(child.length));
                    for number in [child.pages, child.entries, child.chunks, child.bytes] {
                        put_varint(&mut out, number);
                    }
                    previous = child.last.as_bytes();
                }
            }
            Self::Runs(runs) => runs.iter().for_each(|run| put_run(&mut out, run)),
            Self::RunIndex { children, .. } => {
                for child in children {
                    out.extend(child.digest.0);
                    put_varint(&mut out, u64::from(child.length));
                    for number in [child.pages, child.runs, child.bytes] {
                        put_varint(&mut out, number);
                    }
                }
            }
        }
        out
    }

    /// Reads a page and checks all that one page can show.
    pub fn decode(bytes: &[u8]) -> Result<Self, PageDecodeError> {
        if bytes.len() > PAGE_BYTES_MAX as usize {
            return Err(PageDecodeError::TooLarge { actual: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        let [format, profile, kind, level] = reader.array::<4>()?;
        if (format, profile) != (FORMAT, PROFILE) {
            return Err(PageDecodeError::Unknown { format, profile });
        }
        let is_index = matches!(kind, KIND_ENTRY_INDEX | KIND_RUN_INDEX);
        if level > LEVEL_MAX || is_index != (level > 0) {
            return Err(PageDecodeError::Range { what: "page level", value: level.into() });
        }
        let count = match reader.varint()? {
            n if n <= PAGE_ITEMS_MAX as u64 => n as usize,
            value => return Err(PageDecodeError::Range { what: "item count", value }),
        };
        let page = match kind {
            KIND_ENTRIES => Self::Entries(entries(&mut reader, count)?),
            KIND_ENTRY_INDEX => Self::EntryIndex { level, children: entry_children(&mut reader, count)? },
            KIND_RUNS => Self::Runs(runs(&mut reader, count)?),
            KIND_RUN_INDEX => Self::RunIndex { level, children: run_children(&mut reader, count)? },
            value => return Err(PageDecodeError::Range { what: "page kind", value: value.into() }),
        };
        reader.finish()?;
        Ok(page)
    }
}

fn put_path(out: &mut Vec<u8>, previous: &[u8], path: &[u8]) {
    let shared = previous.iter().zip(path).take_while(|(a, b)| a == b).count();
    let (_, suffix) = path.split_at(shared);
    put_varint(out, shared as u64);
    put_varint(out, suffix.len() as u64);
    out.extend(suffix);
}

fn put_run(out: &mut Vec<u8>, run: &ChunkRun) {
    out.extend(run.digest.0);
    put_varint(out, u64::from(run.length));
    put_varint(out, u64::from(run.repeat));
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(match &entry.kind {
        EntryKind::File { chunks: FileChunks::Inline(_), .. } => ENTRY_FILE,
        EntryKind::File { chunks: FileChunks::Paged(_), .. } => ENTRY_FILE_PAGED,
        EntryKind::Folder => ENTRY_FOLDER,
        EntryKind::Symlink { .. } => ENTRY_SYMLINK,
    });
    put_varint(out, u64::from(entry.mode));
    put_signed(out, entry.mtime_ns);
    match &entry.kind {
        EntryKind::Folder => {}
        EntryKind::Symlink { target } => {
            put_varint(out, target.len() as u64);
            out.extend(target);
        }
        EntryKind::File { size, chunks } => {
            put_varint(out, *size);
            match chunks {
                FileChunks::Inline(runs) => {
                    put_varint(out, runs.len() as u64);
                    runs.iter().for_each(|run| put_run(out, run));
                }
                FileChunks::Paged(list) => {
                    out.extend(list.root.0);
                    put_varint(out, u64::from(list.root_length));
                    put_varint(out, list.pages);
                    put_varint(out, list.runs);
                }
            }
        }
    }
}

/// Reads front-coded paths and checks that they ascend.
#[derive(Default)]
struct Paths {
    previous: Vec<u8>,
    index: usize,
    /// The length of the path before the last, when the last lies beneath it.
    beneath: Option<usize>,
}

impl Paths {
    fn next(&mut self, reader: &mut Reader<'_>) -> Result<EntryPath, PageDecodeError> {
        let at = reader.at();
        let shared = reader.varint()? as usize;
        let length = length(reader)?;
        let prefix = self.previous.get(..shared).ok_or(DecodeError::Number { at })?;
        let suffix = reader.take(length)?;
        let bytes = [prefix, suffix].concat();
        let path =
            EntryPath::new(bytes).map_err(|source| PageDecodeError::Path { index: self.index, source })?;
        if self.index > 0 {
            match compare_paths(&self.previous, path.as_bytes()) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(PageDecodeError::Duplicate { path }),
                std::cmp::Ordering::Greater => return Err(PageDecodeError::Order { path }),
            }
            let rest = path.as_bytes().strip_prefix(self.previous.as_slice());
            self.beneath = rest.filter(|rest| rest.first() == Some(&b'/')).map(|_| self.previous.len());
        }
        self.previous.clear();
        self.previous.extend_from_slice(path.as_bytes());
        self.index += 1;
        Ok(path)
    }
}

fn entries(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Entry>, PageDecodeError> {
    let mut paths = Paths::default();
    // Of the entry before: the first entry beneath one follows it directly.
    let mut is_folder = true;
    (0..count)
        .map(|_| {
            let path = paths.next(reader)?;
            if let (false, Some(length)) = (is_folder, paths.beneath) {
                let source = |source| PageDecodeError::Path { index: paths.index - 1, source };
                let file = EntryPath::new(&path.as_bytes()[..length]).map_err(source)?;
                return Err(PageDecodeError::FileAndFolder { path, file });
            }
            let kind = reader.u8()?;
            let mode = reader.varint32()?;
            if mode > 0o7777 {
                return Err(PageDecodeError::Range { what: "mode", value: mode.into() });
            }
            let mtime_ns = reader.signed()?;
            let kind = match kind {
                ENTRY_FILE => {
                    let size = reader.varint()?;
                    let count = reader.varint()?;
                    if count > INLINE_RUNS_MAX as u64 {
                        return Err(PageDecodeError::Range { what: "run count", value: count });
                    }
                    let runs = runs(reader, count as usize)?;
                    let listed = runs.iter().try_fold(0_u64, |sum, run| sum.checked_add(run.bytes()));
                    let listed = listed.ok_or(PageDecodeError::Overflow)?;
                    if listed != size {
                        return Err(PageDecodeError::Size { path, size, listed });
                    }
                    EntryKind::File { size, chunks: FileChunks::Inline(runs) }
                }
                ENTRY_FILE_PAGED => {
                    let size = reader.varint()?;
                    let root = Digest(reader.array()?);
                    let root_length = page_length(reader)?;
                    let (pages, runs) = (reader.varint()?, reader.varint()?);
                    EntryKind::File {
                        size,
                        chunks: FileChunks::Paged(ChunkListRef { root, root_length, pages, runs }),
                    }
                }
                ENTRY_FOLDER => EntryKind::Folder,
                ENTRY_SYMLINK => {
                    let length = length(reader)?;
                    if length > TARGET_BYTES_MAX {
                        let value = length as u64;
                        return Err(PageDecodeError::Range { what: "link target length", value });
                    }
                    EntryKind::Symlink { target: reader.take(length)?.to_vec() }
                }
                value => return Err(PageDecodeError::Range { what: "entry kind", value: value.into() }),
            };
            is_folder = matches!(kind, EntryKind::Folder);
            Ok(Entry { path, mode, mtime_ns, kind })
        })
        .collect()
}

fn runs(reader: &mut Reader<'_>, count: usize) -> Result<Vec<ChunkRun>, PageDecodeError> {
    (0..count)
        .map(|_| {
            let digest = Digest(reader.array()?);
            let (length, repeat) = (reader.varint32()?, reader.varint32()?);
            if length == 0 || length > CHUNK_BYTES_MAX {
                return Err(PageDecodeError::ChunkSize { length });
            }
            if repeat == 0 {
                return Err(PageDecodeError::Range { what: "repeat count", value: 0 });
            }
            Ok(ChunkRun { digest, length, repeat })
        })
        .collect()
}

/// How many bytes follow.
fn length(reader: &mut Reader<'_>) -> Result<usize, PageDecodeError> {
    match reader.varint()? {
        value if value <= u64::from(PAGE_BYTES_MAX) => Ok(value as usize),
        value => Err(PageDecodeError::Length { value }),
    }
}

fn page_length(reader: &mut Reader<'_>) -> Result<u32, PageDecodeError> {
    match reader.varint()? {
        n if n <= u64::from(PAGE_BYTES_MAX) => Ok(n as u32),
        n => Err(PageDecodeError::TooLarge { actual: usize::try_from(n).unwrap_or(usize::MAX) }),
    }
}

fn entry_children(reader: &mut Reader<'_>, count: usize) -> Result<Vec<EntriesChild>, PageDecodeError> {
    let mut paths = Paths::default();
    (0..count)
        .map(|_| {
            Ok(EntriesChild {
                last: paths.next(reader)?,
                digest: Digest(reader.array()?),
                length: page_length(reader)?,
                pages: reader.varint()?,
                entries: reader.varint()?,
                chunks: reader.varint()?,
                bytes: reader.varint()?,
            })
        })
        .collect()
}

fn run_children(reader: &mut Reader<'_>, count: usize) -> Result<Vec<ChunkListChild>, PageDecodeError> {
    (0..count)
        .map(|_| {
            Ok(ChunkListChild {
                digest: Digest(reader.array()?),
                length: page_length(reader)?,
                pages: reader.varint()?,
                runs: reader.varint()?,
                bytes: reader.varint()?,
            })
        })
        .collect()
}

/// Fuzz target: any bytes are refused or decode to a page whose encoding decodes to it again, and
/// every accepted path stays beneath the root.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    let Ok(page) = Page::decode(bytes) else { return };
    let again = Page::decode(&page.encode()).expect("an encoded page decodes");
    assert_eq!(page, again, "a page survives a round trip");
    if let Page::Entries(entries) = page {
        for entry in entries {
            assert!(entry.path.components().all(|c| !matches!(c, b"" | b"." | b"..")));
        }
    }
}
