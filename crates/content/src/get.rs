//! A version as plain files in a folder: verified, resumable, reusing what the folder holds.
//!
//! [`get`] reads every file of the destination once, cuts it like a snapshot does and remembers
//! where each chunk lies. A file whose chunk list is the wanted one stays as it is; any other is put
//! together beside the tree, from chunks at hand and from chunks that are fetched, each checked
//! against its digest, and then takes its place in one rename. What an interrupted run left is
//! reused like any other file.
//!
//! Owners are not part of a version, so set-user and set-group bits are not given to files either.
//! Nothing is followed out of the destination: no step of a path may be a link.
//!
//! Source: docs/formats/manifest.md; docs/formats/chunking.md.

mod folder;
mod listed;
mod local;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;

use restock_names::{Digest, EntryPath, Escaped};

use self::folder::{Folder, Meta};
use self::local::Local;
use crate::hash::{FileHasher, chunk_digest};
use crate::manifest::{CHUNK_BYTES_MAX, ChunkRun, Entry, EntryKind, Manifest, ManifestError};

pub use self::folder::WORK_FOLDER;
pub use self::listed::{FileSource, Listed, ListedFile, get_listed};

/// Bytes of chunks that are fetched before they are written.
const FETCH_BYTES_MAX: u64 = 8 << 20;
/// Steps that may wait for a fetch.
const STEPS_MAX: usize = 8 * 1024;
/// Chunks asked for at once.
pub const CHUNKS_PER_FETCH: usize = 32;
/// Mode bits that files and folders are given.
const MODE_BITS: u32 = 0o1777;

/// The chunk a hole is made of.
static ZEROS: LazyLock<Digest> = LazyLock::new(|| chunk_digest(&vec![0; CHUNK_BYTES_MAX as usize]));

/// Where chunks come from that the destination does not hold.
pub trait ChunkSource {
    /// The bytes of at most [`CHUNKS_PER_FETCH`] chunks, in the order asked. They are checked by the
    /// caller.
    fn chunks(&mut self, wanted: &[Digest])
    -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>>;
}

/// How far a run is, and what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GetReport {
    /// Files of the version, done so far.
    pub files: u64,
    /// Folders of the version, done so far.
    pub folders: u64,
    /// Links of the version, done so far.
    pub symlinks: u64,
    /// Files that were as wanted already.
    pub files_kept: u64,
    /// Bytes of all files done so far.
    pub bytes_total: u64,
    /// Bytes that were fetched.
    pub bytes_fetched: u64,
    /// Bytes of the destination that were read and hashed before anything was fetched.
    pub bytes_looked_at: u64,
    /// Entries of the destination that the version does not have, and that were left there.
    pub others: u64,
    /// Such entries that were removed.
    pub removed: u64,
}

/// Why a version cannot be brought into a folder. Codes begin the text where one is defined.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The version cannot be read.
    #[error("failed to read the manifest")]
    Manifest(#[from] ManifestError),
    /// Chunks cannot be fetched.
    #[error("failed to fetch content")]
    Fetch(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fetched chunk is not what was asked for.
    #[error("CONTENT_HASH_MISMATCH: expected {expected}, found {found}")]
    Mismatch { expected: Digest, found: Digest },
    /// Something of another kind lies where an entry is to be.
    #[error("DEST_IN_THE_WAY: {path} is {found}, and the version has {wanted} there")]
    InTheWay { path: String, found: &'static str, wanted: &'static str },
    /// The version has an entry with the name that is used for work in progress.
    #[error("DEST_NAME_TAKEN: the version has an entry named {WORK_FOLDER}")]
    NameTaken,
    /// Another run brings a version into the same folder.
    #[error("DEST_BUSY: another run is bringing a version into {0}")]
    Busy(String),
    /// An operation on a file failed.
    #[error("failed to {step} {path}")]
    Io { step: &'static str, path: String, source: io::Error },
    /// The disk is full.
    #[error("NO_SPACE: no space is left for {path}")]
    NoSpace { path: String, source: io::Error },
    /// The caller wants no more.
    #[error("stopped before the end")]
    Cancelled,
}

impl GetError {
    fn io(step: &'static str, path: &[u8]) -> impl FnOnce(io::Error) -> Self {
        let path = Escaped(path).to_string();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path, source },
            _ => Self::Io { step, path, source },
        }
    }
}

/// What the destination is to become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// Removes entries that the version does not have.
    pub removes_others: bool,
}

/// Makes the folder `destination` hold the version `manifest`; it is created if need be.
///
/// `progress` hears how far it is and may end the run; a later run goes on from there. Memory: 32
/// bytes for each chunk of the destination, 8 MiB of chunks. Everything is durable at the end.
///
/// Errors: see [`GetError`]; files that were done by then stay.
pub fn get(
    manifest: &Manifest<'_>,
    destination: &Path,
    source: &mut dyn ChunkSource,
    options: GetOptions,
    progress: &mut dyn FnMut(&GetReport) -> ControlFlow<()>,
) -> Result<GetReport, GetError> {
    let folder = Folder::open(destination)?;
    let mut report = GetReport::default();
    let mut others = BTreeSet::new();
    let local = Local::of(&folder, &mut others, &mut |bytes| {
        report.bytes_looked_at += bytes;
        progress(&report)
    })?;
    let mut getter = Getter {
        manifest,
        folder,
        local,
        source,
        progress,
        report,
        steps: Vec::new(),
        missing: Vec::new(),
        is_missing: HashSet::new(),
        missing_bytes: 0,
        open: None,
        works: 0,
    };
    // A folder's time changes with what is put into it, so it is set at the end.
    let mut folders: Vec<(EntryPath, Meta)> = Vec::new();
    for entry in manifest.entries() {
        let entry = entry?;
        others.remove(&entry.path);
        let meta = Meta { mode: entry.mode & MODE_BITS, mtime_ns: entry.mtime_ns };
        match &entry.kind {
            EntryKind::Folder => {
                getter.folder.make_folder(&entry.path)?;
                getter.report.folders += 1;
                folders.push((entry.path, meta));
            }
            EntryKind::Symlink { target } => {
                getter.works += 1;
                getter.folder.put_link(&entry.path, target, entry.mtime_ns, getter.works)?;
                getter.report.symlinks += 1;
            }
            EntryKind::File { size, .. } => getter.file(&entry, *size, meta)?,
        }
        if (getter.progress)(&getter.report).is_break() {
            return Err(GetError::Cancelled);
        }
    }
    getter.flush()?;
    let Getter { mut folder, mut report, .. } = getter;
    for path in others.iter().rev() {
        // Deepest first; a folder that still holds something of the version has an entry itself.
        if options.removes_others {
            folder.remove(path)?;
            report.removed += 1;
        } else {
            report.others += 1;
        }
    }
    for (path, meta) in folders.iter().rev() {
        folder.set_meta(path, *meta)?;
    }
    folder.finish()?;
    Ok(report)
}

/// What is to be done in order, once the chunks it needs are there.
enum Step {
    Begin { path: EntryPath, meta: Meta, size: u64 },
    Put { run: ChunkRun, offset: u64 },
    End,
}

/// The file that is being put together.
struct Open {
    file: File,
    work: u64,
    path: EntryPath,
    meta: Meta,
    size: u64,
}

struct Getter<'a, 'm> {
    manifest: &'a Manifest<'m>,
    folder: Folder,
    local: Local,
    source: &'a mut dyn ChunkSource,
    progress: &'a mut dyn FnMut(&GetReport) -> ControlFlow<()>,
    report: GetReport,
    steps: Vec<Step>,
    /// Chunks that the steps need and that are not at hand, each once.
    missing: Vec<Digest>,
    is_missing: HashSet<Digest>,
    missing_bytes: u64,
    open: Option<Open>,
    /// Files put together so far: names them while they are not in place.
    works: u64,
}

impl Getter<'_, '_> {
    fn file(&mut self, entry: &Entry, size: u64, meta: Meta) -> Result<(), GetError> {
        self.report.files += 1;
        let mut hasher = FileHasher::default();
        for run in self.manifest.runs(entry) {
            let (_, run) = run?;
            hasher.run(&run.digest, run.length, run.repeat);
        }
        if self.local.is_file(&entry.path, &hasher.finish()) {
            self.folder.set_meta(&entry.path, meta)?;
            self.report.files_kept += 1;
            self.report.bytes_total += size;
            return Ok(());
        }
        self.steps.push(Step::Begin { path: entry.path.clone(), meta, size });
        for run in self.manifest.runs(entry) {
            let (offset, run) = run?;
            let is_at_hand = run.digest == *ZEROS || self.local.place(&run.digest).is_some();
            if !is_at_hand && self.is_missing.insert(run.digest) {
                self.missing.push(run.digest);
                self.missing_bytes += u64::from(run.length);
            }
            self.steps.push(Step::Put { run, offset });
            if self.missing_bytes >= FETCH_BYTES_MAX || self.steps.len() >= STEPS_MAX {
                self.flush()?;
            }
        }
        self.steps.push(Step::End);
        Ok(())
    }

    /// Fetches what is missing and does all steps.
    fn flush(&mut self) -> Result<(), GetError> {
        let missing = std::mem::take(&mut self.missing);
        self.is_missing.clear();
        self.missing_bytes = 0;
        let mut fetched = HashMap::with_capacity(missing.len());
        for some in missing.chunks(CHUNKS_PER_FETCH) {
            self.fetch(some, &mut fetched)?;
        }
        for step in std::mem::take(&mut self.steps) {
            match step {
                Step::Begin { path, meta, size } => {
                    self.works += 1;
                    let file = self.folder.create_work(self.works)?;
                    self.open = Some(Open { file, work: self.works, path, meta, size });
                }
                Step::Put { run, offset } => self.put(run, offset, &mut fetched)?,
                Step::End => self.end()?,
            }
        }
        Ok(())
    }

    fn fetch(&mut self, wanted: &[Digest], into: &mut HashMap<Digest, Vec<u8>>) -> Result<(), GetError> {
        let chunks = self.source.chunks(wanted).map_err(GetError::Fetch)?;
        for (expected, bytes) in wanted.iter().zip(chunks) {
            let found = chunk_digest(&bytes);
            if found != *expected {
                return Err(GetError::Mismatch { expected: *expected, found });
            }
            self.report.bytes_fetched += bytes.len() as u64;
            into.insert(*expected, bytes);
        }
        if let Some(left) = wanted.iter().find(|digest| !into.contains_key(*digest)) {
            return Err(GetError::Fetch(format!("chunk {left} was not answered").into()));
        }
        match (self.progress)(&self.report) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(GetError::Cancelled),
        }
    }

    fn put(
        &mut self,
        run: ChunkRun,
        offset: u64,
        fetched: &mut HashMap<Digest, Vec<u8>>,
    ) -> Result<(), GetError> {
        // A hole stays one: the file gets its length at the end.
        if run.digest == *ZEROS {
            return Ok(());
        }
        let mut at_hand = None;
        if !fetched.contains_key(&run.digest) {
            at_hand = self.local.chunk(&self.folder, &run.digest, run.length);
            if at_hand.is_none() {
                // It was there when the destination was read, and is not any more.
                self.fetch(&[run.digest], fetched)?;
            }
        }
        let Some(bytes) = at_hand.as_ref().or_else(|| fetched.get(&run.digest)) else {
            return Err(GetError::Fetch(format!("chunk {} was not answered", run.digest).into()));
        };
        let Some(open) = &self.open else { return Ok(()) };
        for n in 0..u64::from(run.repeat) {
            let at = offset + n * u64::from(run.length);
            open.file.write_all_at(bytes, at).map_err(GetError::io("write", open.path.as_bytes()))?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), GetError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        open.file.set_len(open.size).map_err(GetError::io("write", open.path.as_bytes()))?;
        self.folder.put_file(open.file, open.work, &open.path, open.meta)?;
        self.report.bytes_total += open.size;
        Ok(())
    }
}
