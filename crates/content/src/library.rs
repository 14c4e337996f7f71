//! The content library: packs, statements and pointers of one holder in one folder.
//!
//! A [`Library`] finds and reads frames by digest, takes new ones through a [`Writer`] (a site's
//! snapshot) or a [`PlacedWriter`] (a holder that receives), keeps the signed statement of each
//! content version and one small pointer file for each package that says which version is active.
//!
//! Every byte is checked against its digest before [`Library::read`] returns it. A frame that does
//! not match is never returned; the pack stays as evidence and a newer pack that holds the right
//! bytes wins.
//!
//! Source: docs/formats/library.md.

mod audit;
mod cleaner;
mod extents;
mod followed;
mod gc;
mod health;
mod hold;
mod index;
mod live;
mod locate;
mod page_cache;
mod placed;
mod recover;
mod scrub;
mod space;
#[cfg(test)]
mod tests;
mod versions;
mod writer;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use restock_names::{ContentVersion, Digest, PackageId};

use crate::codec::Reader;
use crate::files::{Files, replace};
use crate::manifest::ManifestError;
use crate::pack::{DecodeFrameError, Encoding, OPEN_FILES_MAX, OpenFiles, PackState, SealError, SealedPack};
use crate::statement::{Statement, StatementError};

pub use audit::{Audit, CheckReport, DamagedFrame};
pub use cleaner::{CleanConfig, Cleaned, Cleaner};
pub use extents::{Extent, ExtentRef};
pub use followed::FollowWriter;
pub use gc::{CollectError, CollectOptions, Collected, Collection};
#[doc(hidden)]
pub use health::fuzz_one as fuzz_health;
pub use health::{HealthConfig, SCRUB_STEP_BYTES, ScrubState};
pub use hold::Hold;
#[doc(hidden)]
pub use index::fuzz_one as fuzz_index;
pub use index::{IndexState, Merged};
pub use placed::PlacedWriter;
pub use recover::Recovered;
pub use scrub::{Lacking, Scrubbed};
pub use space::Space;
pub use writer::{Packing, Put, SealReport, Writer};

const IDENTITY_MAGIC: &[u8; 4] = b"RSlb";
const FORMAT: u16 = 1;

/// Who keeps the library; it decides how frames are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// A site: frames are compressed where that saves something.
    Site = 1,
    /// A distribution point: frames are raw, as they are served.
    DistributionPoint = 2,
}

/// Names a library for ever; 16 random bytes, shown as hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LibraryId(pub [u8; 16]);

impl std::fmt::Display for LibraryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A fetch in progress: the version it will make complete.
pub type DraftId = ContentVersion;

/// A frame as it is stored, not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFrame {
    /// How `bytes` are stored.
    pub encoding: Encoding,
    /// Bytes after decoding.
    pub raw_length: u32,
    /// The stored bytes.
    pub bytes: Vec<u8>,
}

/// Why the library cannot do something. Codes begin the text where one is defined.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The folder has no library.
    #[error("LIBRARY_NOT_FOUND: {0} holds no content library")]
    NotFound(PathBuf),
    /// The folder already has one.
    #[error("LIBRARY_EXISTS: {0} already holds a content library")]
    Exists(PathBuf),
    /// Another process has it open.
    #[error("LIBRARY_LOCKED: {path} is in use by process {holder}")]
    Locked { path: PathBuf, holder: String },
    /// The identity file is damaged or of a newer release.
    #[error("LIBRARY_FORMAT: {path} {what}")]
    Format { path: PathBuf, what: &'static str },
    /// An operation on a file failed.
    #[error("failed to {step} {path}")]
    Io { step: &'static str, path: PathBuf, source: io::Error },
    /// No pack holds the frame.
    #[error("CONTENT_MISSING: no pack holds {0}")]
    Missing(Digest),
    /// Every copy of the frame is damaged.
    #[error("CONTENT_DAMAGED: {digest} in pack {pack} does not have its digest")]
    Damaged { digest: Digest, pack: String },
    /// Bytes offered for storing do not have the digest they are offered under.
    #[error("CONTENT_HASH_MISMATCH: expected {expected}, found {found}")]
    Mismatch { expected: Digest, found: Digest },
    /// A frame's stored bytes do not decode.
    #[error(transparent)]
    Frame(#[from] DecodeFrameError),
    /// A pack could not be made durable; its frames are given up and must be written again.
    #[error("failed to {step} pack {sequence}; its frames are given up")]
    Seal { sequence: u64, step: &'static str, source: io::Error },
    /// A statement file is damaged.
    #[error("{path} is not a statement")]
    Statement { path: PathBuf, source: StatementError },
    /// A manifest cannot be read.
    #[error("failed to read the manifest")]
    Manifest(#[source] Box<ManifestError>),
    /// The operating system gave no randomness.
    #[error("failed to make an identifier: {0}")]
    Random(String),
    /// The disk has no room for it beside what stays free.
    #[error(
        "NO_SPACE: {needed_bytes} bytes are needed, {free_bytes} are free and {reserve_bytes} of them stay free"
    )]
    NoSpace { needed_bytes: u64, free_bytes: u64, reserve_bytes: u64 },
    /// A version was to be activated that is lower than the active one.
    #[error("VERSION_DOWNGRADE: {have} of epoch {} is active, {got} of epoch {} is lower", .have.epoch, .got.epoch)]
    Downgrade { have: ContentVersion, got: ContentVersion },
    /// A version was to be activated whose statement is not stored.
    #[error("the statement of {0} is not in the library")]
    NoStatement(ContentVersion),
}

impl LibraryError {
    /// True when the disk has no room for it.
    pub fn is_no_space(&self) -> bool {
        let source = match self {
            Self::NoSpace { .. } => return true,
            Self::Io { source, .. } | Self::Seal { source, .. } => source,
            _ => return false,
        };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl From<ManifestError> for LibraryError {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(Box::new(error))
    }
}

impl From<SealError> for LibraryError {
    fn from(error: SealError) -> Self {
        Self::Seal { sequence: error.sequence, step: error.step, source: error.source }
    }
}

/// One holder's content. Share it as `Arc<Library>`; every method may be called from any thread.
#[derive(Debug)]
pub struct Library {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: Arc<dyn Files>,
    folder: PathBuf,
    role: Role,
    id: LibraryId,
    /// Held for the life of the library; the kernel releases it when the process ends.
    _lock: File,
    packs: RwLock<index::Packs>,
    open_files: Arc<OpenFiles>,
    merging: index::merge::Merging,
    /// Frames on their way, a set for each writer and draft; only their bytes may be read by others.
    live: RwLock<Vec<Arc<live::Live>>>,
    drafts: Mutex<HashMap<DraftId, placed::Draft>>,
    next_sequence: AtomicU64,
    pages: page_cache::PageCache,
    /// Frames found damaged: pack sequence and digest. Never located again.
    damaged: Mutex<HashSet<(u64, Digest)>>,
    active: RwLock<BTreeMap<PackageId, Statement>>,
    holds: hold::Holds,
    is_collecting: AtomicBool,
    health: Mutex<health::Health>,
    /// Bytes of the file system that content leaves free.
    reserve_bytes: AtomicU64,
    /// Packs whose raw chunks do not shrink, by sequence.
    incompressible: Mutex<HashSet<u64>>,
    /// Stored bytes sealed since frames were last written anew.
    received_bytes: AtomicU64,
}

impl Library {
    /// Makes an empty library in `folder`, which is created if need be.
    ///
    /// Errors: `LIBRARY_EXISTS`, I/O.
    pub fn create(files: Arc<dyn Files>, folder: &Path, role: Role) -> Result<Self, LibraryError> {
        let identity = folder.join("library");
        if identity.exists() {
            return Err(LibraryError::Exists(folder.to_owned()));
        }
        for sub in ["packs", "versions", "packages", "scan"] {
            let path = folder.join(sub);
            files.create_folder(&path).map_err(io_error("create", &path))?;
            files.sync_folder(folder).map_err(io_error("sync", folder))?;
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| LibraryError::Random(error.to_string()))?;
        let mut bytes = IDENTITY_MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend([role as u8, 0]);
        bytes.extend(id);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        replace(&*files, &identity, &bytes).map_err(io_error("write", &identity))?;
        Ok(Self::open(files, folder)?.0)
    }

    /// Opens the library in `folder` for this process alone, recovering what a crash left open.
    ///
    /// Cost: unsealed packs are read and hashed. Errors: `LIBRARY_NOT_FOUND`, `LIBRARY_LOCKED`,
    /// `LIBRARY_FORMAT`, I/O. Damaged packs and pointers are no error: see [`Recovered`].
    pub fn open(files: Arc<dyn Files>, folder: &Path) -> Result<(Self, Recovered), LibraryError> {
        let (role, id) = read_identity(folder)?;
        let lock = take_lock(folder)?;
        let inner = Inner {
            files,
            folder: folder.to_owned(),
            role,
            id,
            _lock: lock,
            packs: RwLock::default(),
            open_files: OpenFiles::new(OPEN_FILES_MAX),
            merging: index::merge::Merging::default(),
            live: RwLock::default(),
            drafts: Mutex::default(),
            next_sequence: AtomicU64::new(1),
            pages: page_cache::PageCache::default(),
            damaged: Mutex::default(),
            active: RwLock::default(),
            holds: hold::Holds::default(),
            is_collecting: AtomicBool::new(false),
            health: Mutex::default(),
            reserve_bytes: AtomicU64::new(0),
            incompressible: Mutex::default(),
            received_bytes: AtomicU64::new(0),
        };
        let library = Self { inner: Arc::new(inner) };
        let mut recovered = Recovered::default();
        library.inner.load_health()?;
        library.inner.recover_packs(&mut recovered)?;
        library.inner.load_pointers(&mut recovered)?;
        Ok((library, recovered))
    }

    /// Role and name of the library in `folder`, without opening it: nothing is written.
    ///
    /// Errors: `LIBRARY_NOT_FOUND`, `LIBRARY_FORMAT`, I/O.
    pub fn identify(folder: &Path) -> Result<(Role, LibraryId), LibraryError> {
        read_identity(folder)
    }

    /// The library's name.
    pub fn id(&self) -> LibraryId {
        self.inner.id
    }

    /// Who keeps it.
    pub fn role(&self) -> Role {
        self.inner.role
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// The operations its files are written with.
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.inner.files
    }

    /// The file that holds the scan cache of a package's source.
    pub fn scan_cache_path(&self, package: &PackageId) -> PathBuf {
        self.inner.folder.join("scan").join(package.as_str())
    }

    /// What the library holds, in numbers.
    pub fn stat(&self) -> Result<LibraryStat, LibraryError> {
        let sealed = self.inner.sealed();
        let packages = self.packages();
        let mut versions = 0;
        for package in self.inner.packages_with_statements()? {
            versions += self.statements(&package)?.len() as u64;
        }
        Ok(LibraryStat {
            packs: sealed.len() as u64,
            frames: sealed.iter().map(|pack| pack.header.records).sum(),
            stored_bytes: sealed.iter().map(|pack| pack.header.data_bytes).sum(),
            decoded_bytes: sealed.iter().map(|pack| pack.tally().decoded_bytes).sum(),
            raw_chunks: sealed.iter().map(|pack| pack.tally().raw_chunks).sum(),
            raw_bytes: sealed.iter().map(|pack| pack.tally().raw_bytes).sum(),
            packages: packages.len() as u64,
            versions,
        })
    }
}

/// Numbers of a library. Frames and bytes are those of sealed packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LibraryStat {
    /// Sealed packs.
    pub packs: u64,
    /// Frames in them; a digest in two packs counts twice.
    pub frames: u64,
    /// Bytes of their data.
    pub stored_bytes: u64,
    /// Bytes of all frames after decoding.
    pub decoded_bytes: u64,
    /// Chunks among the frames that are stored raw.
    pub raw_chunks: u64,
    /// Their bytes.
    pub raw_bytes: u64,
    /// Packages with an active version.
    pub packages: u64,
    /// Statements of all packages.
    pub versions: u64,
}

impl Inner {
    fn packs_folder(&self) -> PathBuf {
        self.folder.join("packs")
    }

    fn next_sequence(&self) -> u64 {
        self.next_sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// A new set of frames on their way, which readers search from now on.
    fn new_live(&self) -> Arc<live::Live> {
        let live = Arc::default();
        self.live.write().expect("no code panics while holding this lock").push(Arc::clone(&live));
        live
    }

    fn drop_live(&self, live: &Arc<live::Live>) {
        let mut all = self.live.write().expect("no code panics while holding this lock");
        all.retain(|other| !Arc::ptr_eq(other, live));
    }

    /// Newest first.
    fn sealed(&self) -> Vec<Arc<SealedPack>> {
        self.lock_packs().all().to_vec()
    }
}

fn io_error<'a>(step: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LibraryError + 'a {
    move |source| LibraryError::Io { step, path: path.to_owned(), source }
}

fn read_identity(folder: &Path) -> Result<(Role, LibraryId), LibraryError> {
    let path = folder.join("library");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LibraryError::NotFound(folder.to_owned()));
        }
        Err(source) => return Err(LibraryError::Io { step: "read", path, source }),
    };
    parse_identity(&bytes).map_err(|what| LibraryError::Format { path, what })
}

fn parse_identity(bytes: &[u8]) -> Result<(Role, LibraryId), &'static str> {
    let damaged = "is damaged";
    let mut reader = Reader::new(bytes);
    if reader.take(4).ok().ok_or(damaged)? != IDENTITY_MAGIC {
        return Err("is not a library's identity file");
    }
    if reader.u16().ok().ok_or(damaged)? != FORMAT {
        return Err("has a format this release does not know");
    }
    let role = match reader.u16().ok().ok_or(damaged)? {
        1 => Role::Site,
        2 => Role::DistributionPoint,
        _ => return Err("has a role this release does not know"),
    };
    let id = LibraryId(reader.array().ok().ok_or(damaged)?);
    let checked = bytes.get(..reader.at()).ok_or(damaged)?;
    if reader.u32().ok().ok_or(damaged)? != crc32fast::hash(checked) || reader.finish().is_err() {
        return Err(damaged);
    }
    Ok((role, id))
}

/// Takes the owner lock and leaves the process number for whoever is refused.
fn take_lock(folder: &Path) -> Result<File, LibraryError> {
    use std::io::{Read, Seek, Write};
    let path = folder.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is a courtesy; the refusal stands without it.
            let is_known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let holder = if is_known { holder.trim().to_owned() } else { "(unknown)".to_owned() };
            return Err(LibraryError::Locked { path: folder.to_owned(), holder });
        }
        Err(std::fs::TryLockError::Error(source)) => {
            return Err(LibraryError::Io { step: "lock", path, source });
        }
    }
    let write = |file: &mut File| -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(io_error("write", &path))?;
    Ok(file)
}

/// True for a table state that only recovery may see.
fn is_working_state(state: PackState) -> bool {
    matches!(state, PackState::Open | PackState::Planned)
}
