//! One round of a scan: the walk merged with a base manifest into a new manifest.
//!
//! Entries the scan cache vouches for are taken over from the base, the others are read by the
//! pool. Results are put back in path order, so the manifest does not depend on the threads.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::vec;

use restock_names::{EntryPath, LinkPolicy, NamesPolicy};
use rustix::io::Errno;

use super::base::{Base, BaseStream};
use super::cache::{CacheWriter, Record};
use super::look::ReadLog;
use super::names::{self, NameFindings};
use super::pool::Pool;
use super::read::{FileJob, Outcome, SHARED_BYTES_MIN, WriterSink};
use super::source::{Kind, Stat, Trouble, stat_at};
use super::walk::{Step, Walk};
use super::{SnapshotError, SnapshotOptions};
use crate::library::Library;
use crate::manifest::{Builder, Entry, EntryKind, ManifestRoot};

/// Entries that may wait for the one in front of them.
const WAITING_ENTRIES_MAX: usize = 16 * 1024;
/// Bytes of the files that may wait; what waits is their chunk lists.
const WAITING_BYTES_MAX: u64 = 4 << 30;
/// A batch is sent to the workers with so many files or bytes.
const BATCH_FILES: usize = 128;
const BATCH_BYTES: u64 = 1 << 20;
/// Progress is told and cancelling noticed after so many entries.
const STEP_ENTRIES: u64 = 256;
const LINKS_REFUSED: &str = "this package refuses links";

/// What a round made.
pub(super) struct Draft {
    pub(super) root: ManifestRoot,
    pub(super) cache: PathBuf,
    /// The first entry that did not keep still.
    pub(super) moved: Option<Vec<u8>>,
    /// What the second look has to look at.
    pub(super) log: ReadLog,
    pub(super) tally: Tally,
    pub(super) names: NameFindings,
}

/// What a round met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) files: u64,
    pub(super) folders: u64,
    pub(super) symlinks: u64,
    pub(super) read: u64,
    pub(super) added: u64,
    pub(super) changed: u64,
    pub(super) removed: u64,
}

/// The source's clock, as far as it can be known.
///
/// Times on a local file system come from this machine's clock. Elsewhere the newest change time
/// met so far is used: the source's clock was at least there.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceClock {
    pub(super) local_device: Option<u64>,
    /// This machine's clock when the round began.
    pub(super) began_ns: i64,
    pub(super) newest_ns: i64,
}

impl SourceClock {
    fn saw(&mut self, stat: &Stat) -> i64 {
        self.newest_ns = self.newest_ns.max(stat.ctime_ns);
        if self.local_device == Some(stat.device) { self.began_ns } else { self.newest_ns }
    }
}

/// Runs one round with `threads` workers.
pub(super) fn run(
    pool: &Pool<'_>,
    threads: usize,
    library: &Library,
    base: Base,
    cache: CacheWriter,
    clock: SourceClock,
    options: &SnapshotOptions,
) -> Result<Draft, SnapshotError> {
    std::thread::scope(|scope| {
        let _stop = pool.stopper();
        for number in 0..threads {
            let spawned = std::thread::Builder::new()
                .name(format!("scan-{number}"))
                .spawn_scoped(scope, || pool.work());
            match spawned {
                Ok(_) => {}
                Err(error) if number == 0 => return Err(pool.source.failed(b"", error)),
                Err(_) => break,
            }
        }
        let mut sink = WriterSink(pool.writer);
        let root = match pool.source.list(None, b"") {
            Ok(root) => root,
            Err(Trouble::Fatal(error)) => return Err(error),
            Err(Trouble::Moved) => {
                return Err(SnapshotError::Changed {
                    path: pool.source.shown(b""),
                    what: "went on changing",
                });
            }
        };
        let log = ReadLog::new(root.folder.stat);
        let merger = Merger {
            pool,
            walk: Walk::new(pool, root),
            clock,
            base: BaseStream::new(library, base),
            builder: Builder::new(&mut sink),
            cache,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            batch_id: 0,
            arrived: (0, Vec::new().into_iter()),
            entries_max: options.entries_max,
            file_bytes_max: options.file_bytes_max,
            links: options.links,
            names: options.names,
            findings: NameFindings::default(),
            entries: 0,
            told: 0,
            moved: None,
            log,
            tally: Tally::default(),
        };
        merger.run()
    })
}

struct Merger<'p, 'a> {
    pool: &'p Pool<'a>,
    walk: Walk<'p, 'a>,
    clock: SourceClock,
    base: BaseStream<'p>,
    builder: Builder<'p>,
    cache: CacheWriter,
    /// Entries behind one that is being read, itself included, in path order.
    waiting: VecDeque<Waiting>,
    waiting_bytes: u64,
    /// Files not sent to the workers yet.
    batch: Vec<FileJob>,
    batch_bytes: u64,
    batch_id: u64,
    /// The batch in front and the outcomes not yet taken from it.
    arrived: (u64, vec::IntoIter<Outcome>),
    entries_max: u64,
    file_bytes_max: u64,
    links: LinkPolicy,
    names: NamesPolicy,
    findings: NameFindings,
    entries: u64,
    told: u64,
    moved: Option<Vec<u8>>,
    log: ReadLog,
    tally: Tally,
}

enum Waiting {
    Ready(Done),
    Read { path: EntryPath, before: Option<Entry>, batch: u64, scan_ns: i64, size: u64 },
}

/// An entry that is ready for the manifest.
struct Done {
    entry: Entry,
    record: Record,
    change: Change,
}

/// How an entry differs from the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Added,
    Changed,
}

impl Merger<'_, '_> {
    fn run(mut self) -> Result<Draft, SnapshotError> {
        while let Some(step) = self.next_step()? {
            match step {
                Step::Entry(stat) => self.meet(stat)?,
                Step::Moved => note(&mut self.moved, self.walk.path()),
            }
        }
        self.send_batch();
        self.drain(0, 0)?;
        self.tally.removed += self.base.skip_rest();
        self.pool.progress.add(self.entries - self.told, 0, 0);
        let root = self.builder.finish()?;
        let cache_path = self.cache.path().to_owned();
        let cache = self
            .cache
            .finish(&root, self.clock.newest_ns)
            .map_err(|source| SnapshotError::Cache { path: cache_path, source })?;
        Ok(Draft { root, cache, moved: self.moved, log: self.log, tally: self.tally, names: self.findings })
    }

    fn next_step(&mut self) -> Result<Option<Step>, SnapshotError> {
        match self.walk.next() {
            // What an earlier round of this scan could take was not like that then.
            Err(SnapshotError::Symlink { path, .. } | SnapshotError::SymlinkLoop { path, .. })
                if self.base.is_draft
                    && self.base.at(self.walk.path(), &mut self.tally.removed).is_some() =>
            {
                Err(SnapshotError::Changed { path, what: "became a link that cannot be followed" })
            }
            step => step,
        }
    }

    /// Takes over or reads the walk's current entry.
    fn meet(&mut self, stat: Stat) -> Result<(), SnapshotError> {
        self.entries += 1;
        if self.entries > self.entries_max {
            let path = self.pool.source.path().to_owned();
            return Err(SnapshotError::TooManyEntries { path, limit: self.entries_max });
        }
        if self.entries - self.told >= STEP_ENTRIES {
            self.pool.check()?;
            self.pool.progress.add(self.entries - self.told, 0, 0);
            self.told = self.entries;
            self.drain(WAITING_ENTRIES_MAX, WAITING_BYTES_MAX)?;
        }
        self.check_entry(&stat)?;
        let (before, record) = match self.base.at(self.walk.path(), &mut self.tally.removed) {
            Some((entry, record)) => (Some(entry), record),
            None => (None, None),
        };
        let scan_ns = self.clock.saw(&stat);
        // A version taken under another policy may hold a link that must not be taken over.
        let may_take_over = stat.kind != Kind::Symlink || self.links == LinkPolicy::Keep;
        let before = match (before, record) {
            (Some(entry), Some(record))
                if may_take_over && record.vouches_for(&stat) && has_stat(&entry, &stat) =>
            {
                return self.ready(Done { entry, record: record.carried_over(), change: Change::None });
            }
            (before, _) => before,
        };
        let path = match &before {
            Some(entry) => entry.path.clone(),
            None => EntryPath::new(self.walk.path())?,
        };
        match stat.kind {
            Kind::Special(kind) => {
                Err(SnapshotError::SpecialFile { path: self.pool.source.shown(path.as_bytes()), kind })
            }
            Kind::Folder => {
                let entry = entry(path, &stat, EntryKind::Folder);
                self.ready(Done { change: change(before, &entry), entry, record: Record::of_folder(&stat) })
            }
            Kind::Symlink => {
                let was_folder = before.as_ref().is_some_and(|entry| matches!(entry.kind, EntryKind::Folder));
                if was_folder && self.base.is_draft {
                    return Err(self.pool.source.swapped(path.as_bytes()));
                }
                if self.links == LinkPolicy::Skip {
                    return Ok(());
                }
                let Some(target) = self.read_link(path.name(), &stat)? else {
                    note(&mut self.moved, path.as_bytes());
                    return Ok(());
                };
                if self.links == LinkPolicy::Refuse {
                    let path = self.pool.source.shown(path.as_bytes());
                    return Err(SnapshotError::Symlink { path, target, problem: LINKS_REFUSED });
                }
                self.tally.read += 1;
                self.log.push(self.walk.folder(), path.name(), &stat);
                let entry = entry(path, &stat, EntryKind::Symlink { target });
                self.ready(Done {
                    change: change(before, &entry),
                    entry,
                    record: Record::read(&stat, scan_ns),
                })
            }
            Kind::File => {
                let (folder, real) = (Arc::clone(self.walk.folder()), self.walk.real().map(Into::into));
                let is_announced = before.is_none();
                let large = before.as_ref().filter(|_| stat.size >= SHARED_BYTES_MIN).cloned();
                let name = path.name().into();
                self.batch.push(FileJob { folder, name, real, is_announced, before: large });
                self.batch_bytes += stat.size;
                self.waiting_bytes += stat.size;
                let batch = self.batch_id;
                self.waiting.push_back(Waiting::Read { path, before, batch, scan_ns, size: stat.size });
                if self.batch.len() >= BATCH_FILES || self.batch_bytes >= BATCH_BYTES {
                    self.send_batch();
                }
                Ok(())
            }
        }
    }

    /// What can be refused of an entry that was only looked at.
    fn check_entry(&mut self, stat: &Stat) -> Result<(), SnapshotError> {
        if stat.kind == Kind::File && stat.size > self.file_bytes_max {
            let (path, limit) = (self.pool.source.shown(self.walk.path()), self.file_bytes_max);
            return Err(SnapshotError::TooLarge { path, size: stat.size, limit });
        }
        if stat.kind == Kind::Symlink && self.links == LinkPolicy::Skip {
            return Ok(());
        }
        let path = self.walk.path();
        for (rule, other) in names::check(path, self.walk.collision()) {
            if self.names == NamesPolicy::Portable {
                let (path, problem) = (self.pool.source.shown(path), names::problem(rule, path, other));
                return Err(SnapshotError::Name { rule, path, problem });
            }
            self.findings.add(rule, path, other);
        }
        Ok(())
    }

    /// A link's target, `None` if it did not keep still.
    fn read_link(&self, name: &[u8], stat: &Stat) -> Result<Option<Vec<u8>>, SnapshotError> {
        let source = self.pool.source;
        let read = source.with_folder(self.walk.folder(), |fd| {
            let target = rustix::fs::readlinkat(fd, name, Vec::new())?;
            Ok((target.into_bytes(), stat_at(fd, name)?))
        });
        match read {
            Ok((target, after)) if after == *stat => Ok(Some(target)),
            Ok(_) | Err(Errno::INVAL) => Ok(None),
            Err(errno) => match source.folder_trouble(self.walk.path(), errno) {
                Trouble::Moved => Ok(None),
                Trouble::Fatal(error) => Err(error),
            },
        }
    }

    fn send_batch(&mut self) {
        if !self.batch.is_empty() {
            self.pool.add_batch(self.batch_id, std::mem::take(&mut self.batch));
            self.batch_id += 1;
            self.batch_bytes = 0;
        }
    }

    fn ready(&mut self, done: Done) -> Result<(), SnapshotError> {
        if self.waiting.is_empty() {
            return self.write(done);
        }
        self.waiting.push_back(Waiting::Ready(done));
        Ok(())
    }

    /// Writes what is ready from the front on, and waits until no more wait than the limits allow.
    fn drain(&mut self, entries_max: usize, bytes_max: u64) -> Result<(), SnapshotError> {
        while let Some(front) = self.waiting.pop_front() {
            let (path, before, batch, scan_ns, size) = match front {
                Waiting::Ready(done) => {
                    self.write(done)?;
                    continue;
                }
                Waiting::Read { path, before, batch, scan_ns, size } => (path, before, batch, scan_ns, size),
            };
            if self.arrived.0 != batch || self.arrived.1.len() == 0 {
                let must_wait = self.waiting.len() >= entries_max || self.waiting_bytes > bytes_max;
                if must_wait && batch == self.batch_id {
                    self.send_batch();
                }
                match self.pool.batch_done(batch, must_wait)? {
                    Some(outcomes) => self.arrived = (batch, outcomes.into_iter()),
                    None => {
                        self.waiting.push_front(Waiting::Read { path, before, batch, scan_ns, size });
                        return Ok(());
                    }
                }
            }
            self.waiting_bytes -= size;
            match self.arrived.1.next().expect("a batch has an outcome for each of its files") {
                Outcome::Moved => note(&mut self.moved, path.as_bytes()),
                Outcome::Failed(error) => return Err(error),
                Outcome::Read { folder, stat, chunks } => {
                    self.tally.read += 1;
                    self.log.push(&folder, path.name(), &stat);
                    let entry = entry(path, &stat, EntryKind::File { size: stat.size, chunks });
                    let record = Record::read(&stat, scan_ns);
                    self.write(Done { change: change(before, &entry), entry, record })?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, done: Done) -> Result<(), SnapshotError> {
        let Done { entry, record, change } = done;
        match entry.kind {
            EntryKind::File { .. } => self.tally.files += 1,
            EntryKind::Folder => self.tally.folders += 1,
            EntryKind::Symlink { .. } => self.tally.symlinks += 1,
        }
        match change {
            Change::None => {}
            Change::Added => self.tally.added += 1,
            Change::Changed => self.tally.changed += 1,
        }
        self.cache
            .push(&record)
            .map_err(|source| SnapshotError::Cache { path: self.cache.path().to_owned(), source })?;
        Ok(self.builder.push(entry)?)
    }
}

/// Remembers the first entry that moved.
fn note(moved: &mut Option<Vec<u8>>, path: &[u8]) {
    if moved.is_none() {
        *moved = Some(path.to_vec());
    }
}

fn change(before: Option<Entry>, entry: &Entry) -> Change {
    match before {
        None => Change::Added,
        Some(before) if before != *entry => Change::Changed,
        Some(_) => Change::None,
    }
}

fn entry(path: EntryPath, stat: &Stat, kind: EntryKind) -> Entry {
    Entry { path, mode: stat.mode, mtime_ns: stat.mtime_ns, kind }
}

/// True when the manifest says of a file or link what its stat says.
fn has_stat(entry: &Entry, stat: &Stat) -> bool {
    let size = match (&entry.kind, stat.kind) {
        (EntryKind::File { size, .. }, Kind::File) => *size,
        (EntryKind::Symlink { target }, Kind::Symlink) => target.len() as u64,
        _ => return false,
    };
    (size, entry.mtime_ns, entry.mode) == (stat.size, stat.mtime_ns, stat.mode)
}
