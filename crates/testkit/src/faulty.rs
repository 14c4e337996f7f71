//! A disk that can be cut at any write, and that knows what a power cut would leave.
//!
//! [`FaultyFiles`] performs every operation on real files beneath a root folder and keeps a model of
//! what is durable: bytes by sync of their file, names by sync of their folder. A test runs a
//! scenario once to count its operations, then once per operation with a [`Fault`] there, writes
//! the crash image to a fresh folder and opens that. A [`Sabotage`] takes out one safeguard, so
//! that a test can show that its absence is noticed.
//!
//! The model is stricter than most file systems: a name is durable only after its own folder was
//! synced. It does not cover files that are written without the trait, nor errors of reads.

mod image;
mod model;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use restock_content::files::{DiskFiles, Files, OutFile};
use restock_names::Digest;

use model::{Model, NodeId};

/// What happens at the chosen operation. All but [`Fault::Error`] cut: every later operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before the operation; the kernel keeps everything so far.
    Nothing,
    /// The process dies with the first half of a write done; other operations are done whole.
    Half,
    /// The process dies directly after the operation.
    Kill,
    /// Power fails before the operation: synced bytes and names survive, nothing else.
    Power,
    /// Power fails before the operation: all names survive, but only synced bytes; a file that was
    /// never synced is empty.
    PowerKeepsNames,
    /// Power fails before the operation: a random part of the unsynced names and bytes survives.
    PowerMixed(u64),
    /// The operation alone fails with EIO and the disk lives on. After a failed sync the unsynced
    /// bytes are lost although a later sync succeeds, as on Linux.
    Error,
}

/// Which safeguard is taken out. Paths given to predicates are relative to the root.
#[derive(Debug, Clone, Copy, Default)]
pub enum Sabotage {
    /// None: everything works as it should.
    #[default]
    None,
    /// Syncs of matching files do nothing.
    SkipSync(fn(&Path) -> bool),
    /// Syncs of matching folders do nothing.
    SkipFolderSync(fn(&Path) -> bool),
    /// Syncs and renames of matching files and folders take effect only after the next file that
    /// does not match was renamed to its final name and its folder synced.
    PointerFirst(fn(&Path) -> bool),
    /// The check before every store accepts any bytes.
    AcceptEverything,
    /// A failed sync is tried again, and its success believed.
    RetrySync,
    /// Cleaning neither hides what it deletes nor waits for anybody.
    CleanAtOnce,
}

/// The kind of a write-type operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named like the operations of Files and OutFile")]
pub enum OperationKind {
    CreateFolder,
    Create,
    Rename,
    Remove,
    SyncFolder,
    MakeReadOnly,
    Write,
    Sync,
    Reserve,
}

/// One operation as it was asked for; the path is relative to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Counted from 1.
    pub number: u64,
    /// What was asked.
    pub kind: OperationKind,
    /// Of which file or folder; the target of a rename.
    pub path: PathBuf,
}

/// The faulty disk; clones share one state.
#[derive(Debug, Clone)]
pub struct FaultyFiles(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    disk: DiskFiles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    model: Model,
    trace: Vec<Operation>,
    plan: Option<(u64, Fault)>,
    fired: Option<Operation>,
    is_cut: bool,
    sabotage: Sabotage,
    /// The pointer is durable; what was deferred for it happens before the next operation.
    is_pointer_durable: bool,
}

/// What the state says about one operation.
enum Verdict {
    Do,
    /// Do it, then report failure: the process is dead.
    DoAndDie,
    DoHalfAndDie,
    Fail,
}

impl FaultyFiles {
    /// A disk whose files lie in the folder `root`; what is there already is durable.
    pub fn new(root: &Path) -> io::Result<Self> {
        let state = State {
            model: Model::adopt(root)?,
            trace: Vec::new(),
            plan: None,
            fired: None,
            is_cut: false,
            sabotage: Sabotage::None,
            is_pointer_durable: false,
        };
        Ok(Self(Arc::new(Shared { root: root.to_owned(), disk: DiskFiles, state: Mutex::new(state) })))
    }

    /// Plans `fault` for the operation with that number; the first is 1.
    pub fn fail_at(&self, number: u64, fault: Fault) {
        self.state().plan = Some((number, fault));
    }

    /// Takes out a safeguard.
    pub fn sabotage(&self, sabotage: Sabotage) {
        self.state().sabotage = sabotage;
    }

    /// A new process starts after the old one died; the machine has not lost its power, so what was
    /// not synced is there but still not durable.
    ///
    /// Only after a fault that leaves the kernel alive: `Nothing`, `Half`, `Kill`.
    pub fn restart(&self) {
        let mut state = self.state();
        let fault = state.plan.take().map(|(_, fault)| fault);
        assert!(
            !state.is_cut || matches!(fault, Some(Fault::Nothing | Fault::Half | Fault::Kill)),
            "after {fault:?} only an image is left"
        );
        state.is_cut = false;
    }

    /// The operations asked for so far, the failed one included, those after a cut not.
    pub fn trace(&self) -> Vec<Operation> {
        self.state().trace.clone()
    }

    /// The operation at which the planned fault happened.
    pub fn fired(&self) -> Option<Operation> {
        self.state().fired.clone()
    }

    /// Writes what a new start would find to the folder `to`, which must not exist.
    ///
    /// After a cut: what that fault leaves. Without one: everything, as after a clean stop.
    pub fn crash_image(&self, to: &Path) -> io::Result<()> {
        let fault = {
            let state = self.state();
            state.plan.filter(|_| state.is_cut).map_or(Fault::Kill, |(_, fault)| fault)
        };
        self.image_after(fault, to)
    }

    /// Writes what would be left if `fault` happened at this moment.
    pub fn image_after(&self, fault: Fault, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.is_cut {
            state.catch_up();
        }
        image::write(&state.model, fault, to)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no code panics while holding this lock")
    }

    fn relative(&self, path: &Path) -> io::Result<PathBuf> {
        let relative = path.strip_prefix(&self.0.root).map(Path::to_owned);
        relative.map_err(|error| io::Error::other(format!("{} of the faulty disk: {error}", path.display())))
    }

    fn begin(&self, kind: OperationKind, path: &Path) -> io::Result<(Verdict, MutexGuard<'_, State>)> {
        let mut state = self.state();
        if state.is_cut {
            return Err(dead());
        }
        let number = state.trace.len() as u64 + 1;
        let operation = Operation { number, kind, path: path.to_owned() };
        state.trace.push(operation.clone());
        let Some((_, fault)) = state.plan.filter(|(at, _)| *at == number) else {
            state.catch_up();
            return Ok((Verdict::Do, state));
        };
        state.fired = Some(operation);
        state.is_cut = fault != Fault::Error;
        let verdict = match fault {
            Fault::Nothing | Fault::Power | Fault::PowerKeepsNames | Fault::PowerMixed(_) | Fault::Error => {
                Verdict::Fail
            }
            Fault::Half => Verdict::DoHalfAndDie,
            Fault::Kill => Verdict::DoAndDie,
        };
        Ok((verdict, state))
    }

    /// Runs one operation that is done whole or not at all.
    fn whole(
        &self,
        kind: OperationKind,
        path: &Path,
        act: impl FnOnce(&mut State, &Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let relative = self.relative(path)?;
        let (verdict, mut state) = self.begin(kind, &relative)?;
        match verdict {
            Verdict::Do => act(&mut state, &relative),
            Verdict::DoAndDie | Verdict::DoHalfAndDie => act(&mut state, &relative).and(Err(dead())),
            Verdict::Fail => Err(failure(&state)),
        }
    }

    fn handle(&self, file: Box<dyn OutFile>, node: NodeId, path: PathBuf) -> Box<dyn OutFile> {
        Box::new(FaultyFile { disk: self.clone(), file, node, path })
    }
}

impl State {
    /// Does what [`Sabotage::PointerFirst`] put off, once its pointer is durable.
    fn catch_up(&mut self) {
        if std::mem::take(&mut self.is_pointer_durable) {
            self.model.do_deferred();
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the faulty disk was cut")
}

fn failure(state: &State) -> io::Error {
    if state.is_cut { dead() } else { io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()) }
}

impl Files for FaultyFiles {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.whole(OperationKind::CreateFolder, path, |state, relative| {
            self.0.disk.create_folder(path)?;
            state.model.create_folder(relative);
            Ok(())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        let mut made = None;
        self.whole(OperationKind::Create, path, |state, relative| {
            let file = self.0.disk.create(path)?;
            made = Some((file, state.model.create(relative), relative.to_owned()));
            Ok(())
        })?;
        let (file, node, relative) = made.expect("the operation succeeded, so it was done");
        Ok(self.handle(file, node, relative))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        let relative = self.relative(path)?;
        let mut state = self.state();
        if state.is_cut {
            return Err(dead());
        }
        let file = self.0.disk.open(path)?;
        let node = state.model.find_or_adopt(&relative, path)?;
        drop(state);
        Ok(self.handle(file, node, relative))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from_relative = self.relative(from)?;
        self.whole(OperationKind::Rename, to, |state, to_relative| {
            self.0.disk.rename(from, to)?;
            match state.sabotage {
                Sabotage::PointerFirst(is_object) if is_object(to_relative) => {
                    state.model.defer_rename(&from_relative, to_relative);
                }
                _ => state.model.rename(&from_relative, to_relative),
            }
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.whole(OperationKind::Remove, path, |state, relative| {
            self.0.disk.remove(path)?;
            state.model.remove(relative);
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.whole(OperationKind::SyncFolder, path, |state, relative| {
            match state.sabotage {
                Sabotage::SkipFolderSync(matches) if matches(relative) => {}
                Sabotage::PointerFirst(is_object) if is_object(relative) => {
                    state.model.defer_sync_folder(relative)
                }
                _ => state.is_pointer_durable |= state.model.sync_folder(relative),
            }
            Ok(())
        })
    }

    fn make_read_only(&self, path: &Path) -> io::Result<()> {
        self.whole(OperationKind::MakeReadOnly, path, |state, relative| {
            self.0.disk.make_read_only(path)?;
            state.model.make_read_only(relative);
            Ok(())
        })
    }

    fn accepts(&self, expected: &Digest, found: &Digest) -> bool {
        matches!(self.state().sabotage, Sabotage::AcceptEverything) || expected == found
    }

    fn hides_and_waits(&self) -> bool {
        !matches!(self.state().sabotage, Sabotage::CleanAtOnce)
    }
}

/// A file of the faulty disk. It stays the same file when its name changes.
#[derive(Debug)]
struct FaultyFile {
    disk: FaultyFiles,
    file: Box<dyn OutFile>,
    node: NodeId,
    path: PathBuf,
}

impl OutFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (verdict, mut state) = self.disk.begin(OperationKind::Write, &self.path)?;
        let (done, result) = match verdict {
            Verdict::Do => (bytes, Ok(())),
            Verdict::DoAndDie => (bytes, Err(dead())),
            Verdict::DoHalfAndDie => (&bytes[..bytes.len() / 2], Err(dead())),
            Verdict::Fail => return Err(failure(&state)),
        };
        self.file.write_all_at(done, offset)?;
        state.model.write(self.node, done, offset);
        result
    }

    fn sync(&self) -> io::Result<()> {
        let (verdict, mut state) = self.disk.begin(OperationKind::Sync, &self.path)?;
        if matches!(verdict, Verdict::Fail) {
            if !state.is_cut {
                state.model.lose_unsynced(self.node);
                if matches!(state.sabotage, Sabotage::RetrySync) {
                    return Ok(());
                }
            }
            return Err(failure(&state));
        }
        match state.sabotage {
            Sabotage::SkipSync(matches) if matches(&self.path) => {}
            Sabotage::PointerFirst(is_object) if is_object(&self.path) => state.model.defer_sync(self.node),
            _ => state.model.sync(self.node),
        }
        if matches!(verdict, Verdict::Do) { Ok(()) } else { Err(dead()) }
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        let (verdict, mut state) = self.disk.begin(OperationKind::Reserve, &self.path)?;
        let (done, result) = match verdict {
            Verdict::Do => (length, Ok(())),
            Verdict::DoAndDie => (length, Err(dead())),
            Verdict::DoHalfAndDie => (length / 2, Err(dead())),
            Verdict::Fail => return Err(failure(&state)),
        };
        self.file.reserve(done)?;
        state.model.reserve(self.node, done);
        result
    }

    fn start_writeback(&self, _offset: u64, _length: u64) {}
}

#[cfg(test)]
mod tests;
