//! A snapshot: a source folder becomes chunks in packs and a manifest.
//!
//! [`take`] walks the source in path order and merges it with the manifest of the version before.
//! Entries that the scan cache vouches for are not read; the others are read, cut, hashed and
//! stored by several threads. What is read is looked at again at the end; what moved meanwhile is
//! read again, a bounded number of times. The result is a draft: packs are sealed, nothing is
//! signed, no version number is given and nothing is visible.
//!
//! The source is never written to, never left through a link and never waited for. What becomes of
//! links inside it, of names that other systems cannot hold and what is left out is the package's
//! choice ([`LinkPolicy`], [`NamesPolicy`], [`ExcludeRules`]). Owners, ACLs, extended attributes and
//! hard-link identity are not kept.

mod base;
mod cache;
mod error;
mod links;
mod look;
mod names;
mod pool;
mod predict;
mod read;
mod round;
mod source;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use restock_names::{Clock, ExcludeRules, LinkPolicy, NamesPolicy, PackageId};

use self::base::Base;
use self::cache::{CacheReader, CacheWriter};
use self::pool::{Counts, Pool};
use self::round::{SourceClock, Tally};
use self::source::Source;
use crate::files::Files;
use crate::library::Library;
use crate::manifest::ManifestRoot;
use crate::transfer::{Feed, FeedEnd};

pub use self::cache::fuzz_one;
pub use self::error::SnapshotError;
pub use self::names::{NameFinding, NameFindings};

/// The largest file that is taken unless the options say otherwise: as large as ext4 holds one.
pub const FILE_BYTES_MAX: u64 = 16 << 40;

/// How a snapshot is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// Threads that read, cut, hash and compress; 0 for one per core.
    pub threads: usize,
    /// More entries are refused.
    pub entries_max: u64,
    /// A file with more bytes, holes included, is refused before it is read.
    pub file_bytes_max: u64,
    /// Further rounds for what moved while it was read.
    pub rounds: u32,
    /// Takes a source that holds nothing although the version before held something.
    pub allow_empty: bool,
    /// What becomes of symbolic links.
    pub links: LinkPolicy,
    /// What becomes of names that other systems cannot hold.
    pub names: NamesPolicy,
    /// What is left out: it is neither read nor looked at, whatever it is.
    pub excludes: ExcludeRules,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            entries_max: 20_000_000,
            file_bytes_max: FILE_BYTES_MAX,
            rounds: 3,
            allow_empty: false,
            links: LinkPolicy::default(),
            names: NamesPolicy::default(),
            excludes: ExcludeRules::default(),
        }
    }
}

/// What a snapshot met and did. An entry that moved while it was read counts in each round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotReport {
    /// Files in the tree.
    pub files: u64,
    /// Folders in the tree, the source folder itself not counted.
    pub folders: u64,
    /// Symbolic links in the tree.
    pub symlinks: u64,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Entries that were not in the base.
    pub entries_added: u64,
    /// Entries whose bytes, target, mode or time differ from the base.
    pub entries_changed: u64,
    /// Entries of the base that are gone.
    pub entries_removed: u64,
    /// Files and links that were read; the others were known to be unchanged.
    pub entries_read: u64,
    /// Bytes read from the source; holes are not read.
    pub bytes_read: u64,
    /// Chunks the library lacked.
    pub chunks_new: u64,
    /// Their bytes.
    pub bytes_new_raw: u64,
    /// Their bytes as stored.
    pub bytes_new_stored: u64,
    /// Rounds it took, at least 1.
    pub rounds: u32,
}

/// A source folder's content in the library, not published.
#[derive(Debug)]
pub struct Snapshot {
    /// The manifest.
    pub root: ManifestRoot,
    /// What was done for it.
    pub report: SnapshotReport,
    /// Names in it that other systems cannot hold.
    pub names: NameFindings,
    files: Arc<dyn Files>,
    cache_draft: PathBuf,
    cache: PathBuf,
}

impl Snapshot {
    /// Puts the scan cache in its place once this snapshot is the package's version.
    ///
    /// Nothing is lost when this is not called: the next snapshot of the same manifest finds the
    /// cache where it was written.
    pub fn commit(&self) -> Result<(), SnapshotError> {
        match self.files.rename(&self.cache_draft, &self.cache) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SnapshotError::Cache { path: self.cache.clone(), source: error })
            }
            _ => Ok(()),
        }
    }
}

/// What a snapshot tells while it runs; called from several threads.
pub trait Progress: Sync {
    /// Counts entries met, bytes read from the source and bytes newly stored since the last call.
    fn add(&self, entries: u64, bytes_read: u64, bytes_new: u64);
    /// True when the snapshot should end with [`SnapshotError::Cancelled`].
    fn is_cancelled(&self) -> bool;
    /// Where new chunks of new files are announced to holders that fetch them meanwhile, if anywhere.
    fn feed(&self) -> Option<&Feed> {
        None
    }
}

/// Tells nobody and never cancels.
impl Progress for () {
    fn add(&self, _: u64, _: u64, _: u64) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Stores what `library` lacks of the tree at `source` and writes its manifest.
///
/// `base` is the manifest of the version before; entries that did not change since it was taken
/// are not read, also when it was taken under other policies or rules. `package` names the scan cache.
/// The same tree under the same policies and rules gives the same root with any base, number of threads and
/// file system. Memory does not grow with the tree.
///
/// Errors: see [`SnapshotError`]; nothing of a failed snapshot stays in the library.
/// Source: docs/formats/manifest.md, docs/formats/chunking.md, docs/formats/scan-cache.md.
pub fn take(
    library: &Library,
    source: &Path,
    package: &PackageId,
    base: Option<&ManifestRoot>,
    options: SnapshotOptions,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<Snapshot, SnapshotError> {
    let source = Source::new(source)?
        .following_links(options.links == LinkPolicy::Follow)
        .excluding(options.excludes.matcher());
    take_from(library, &source, package, base, options, clock, progress)
}

fn take_from(
    library: &Library,
    source: &Source,
    package: &PackageId,
    base: Option<&ManifestRoot>,
    options: SnapshotOptions,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<Snapshot, SnapshotError> {
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let caches = CachePaths::new(library, package);
    let local_device = source.local_device()?;
    let (counts, writer) = (Counts::default(), library.begin());
    let mut report = SnapshotReport::default();
    let (mut from, mut from_path) = match base {
        None => (Base::default(), None),
        Some(root) => {
            let (cache, path) = caches.find(root);
            (Base { root: Some(*root), cache, is_draft: false }, path)
        }
    };
    loop {
        report.rounds += 1;
        let began = clock.now();
        let source_clock = SourceClock {
            local_device,
            began_ns: began.0.saturating_mul(1_000),
            newest_ns: from.cache.as_ref().map_or(i64::MIN, CacheReader::newest_ns),
        };
        let path = caches.draft_beside(from_path.as_deref());
        let cache =
            CacheWriter::create(library.files().as_ref(), path.clone(), nonce(began.0, report.rounds))
                .map_err(|source| SnapshotError::Cache { path, source })?;
        let pool = Pool::new(library, source, &writer, clock, progress, &counts, threads);
        let draft = round::run(&pool, threads, library, from, cache, source_clock, &options)?;
        add_tally(&mut report, &draft.tally);
        if let Some(base) = base
            && base.entries > 0
            && draft.root.entries == 0
            && !options.allow_empty
        {
            return Err(SnapshotError::Empty { path: source.path().to_owned(), entries: base.entries });
        }
        let moved = match draft.moved {
            None => draft.log.first_moved(source, library, draft.root, &draft.cache)?,
            moved => moved,
        };
        let Some(moved) = moved else {
            // What follows has nothing more to wait for, while this end makes it durable.
            if let Some(feed) = progress.feed() {
                feed.close(FeedEnd::Kept);
            }
            writer.seal()?;
            report.bytes_total = draft.root.bytes;
            report.bytes_read = counts.bytes_read.load(Relaxed);
            report.chunks_new = counts.chunks_new.load(Relaxed);
            report.bytes_new_raw = counts.bytes_new_raw.load(Relaxed);
            report.bytes_new_stored = counts.bytes_new_stored.load(Relaxed);
            return Ok(Snapshot {
                root: draft.root,
                report,
                names: draft.names,
                files: Arc::clone(library.files()),
                cache_draft: draft.cache,
                cache: caches.committed,
            });
        };
        if report.rounds > options.rounds {
            return Err(SnapshotError::Changed { path: source.shown(&moved), what: "went on changing" });
        }
        let cache = CacheReader::open(&draft.cache, &draft.root);
        from = Base { root: Some(draft.root), cache, is_draft: true };
        from_path = Some(draft.cache);
    }
}

fn add_tally(report: &mut SnapshotReport, tally: &Tally) {
    (report.files, report.folders, report.symlinks) = (tally.files, tally.folders, tally.symlinks);
    report.entries_added += tally.added;
    report.entries_changed += tally.changed;
    report.entries_removed += tally.removed;
    report.entries_read += tally.read;
}

/// Differs from one cache file to the next in the same place.
fn nonce(began_us: i64, round: u32) -> u64 {
    began_us.cast_unsigned().wrapping_mul(16).wrapping_add(u64::from(round))
}

/// Where a package's scan caches lie: the one of the version, and two for drafts, so that a round
/// can read the one before while it writes its own.
struct CachePaths {
    committed: PathBuf,
    drafts: [PathBuf; 2],
}

impl CachePaths {
    fn new(library: &Library, package: &PackageId) -> Self {
        let committed = library.scan_cache_path(package);
        let drafts = ["draft-1", "draft-2"].map(|name| committed.with_extension(name));
        Self { committed, drafts }
    }

    /// The cache of a manifest, wherever it lies.
    fn find(&self, root: &ManifestRoot) -> (Option<CacheReader>, Option<PathBuf>) {
        let paths = [&self.committed, &self.drafts[0], &self.drafts[1]];
        let found = paths.into_iter().find_map(|path| Some((CacheReader::open(path, root)?, path.clone())));
        found.map_or((None, None), |(cache, path)| (Some(cache), Some(path)))
    }

    /// A place for a new draft that is not `taken`.
    fn draft_beside(&self, taken: Option<&Path>) -> PathBuf {
        let [first, second] = &self.drafts;
        if taken == Some(first) { second.clone() } else { first.clone() }
    }
}
