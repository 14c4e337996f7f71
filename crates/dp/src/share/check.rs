//! Comparing a package's folder with the version it is to be equal to.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use restock_content::hash::chunk_digest;
use restock_content::manifest::{ChunkRun, Entry, EntryKind, Manifest};
use restock_names::EntryPath;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, SeekFrom};
use rustix::io::Errno;

use super::tree::{Failed, is_as_listed, leads_inside};
use super::{fill, folders};

/// Paths that are remembered; with more nothing of the folder is trusted.
const PATHS_MAX: usize = 10_000;

/// What is not right in a package's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareDamage {
    /// How many entries are missing, are other than they should be, or are folders that hold something
    /// the version does not have.
    pub count: u64,
    paths: BTreeSet<EntryPath>,
    is_all: bool,
}

impl ShareDamage {
    /// The damage of a folder that is not there.
    pub(super) fn of_all() -> Self {
        Self { count: 1, paths: BTreeSet::new(), is_all: true }
    }

    /// True when everything is right.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }

    /// True when nothing of the folder can be used.
    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    /// The entries, for a mending that does not use them.
    pub(super) fn paths(&self) -> &BTreeSet<EntryPath> {
        &self.paths
    }

    fn add(&mut self, path: &EntryPath) {
        self.count += 1;
        if self.paths.len() < PATHS_MAX {
            self.paths.insert(path.clone());
        } else {
            self.is_all = true;
        }
    }
}

/// A folder on the way to the current entry.
struct Met {
    path: EntryPath,
    /// Entries it should hold.
    count: usize,
    /// False where it is missing: then so is all beneath it.
    is_there: bool,
}

/// Compares; with `reads` also the bytes of files.
pub(super) fn compare(
    manifest: &Manifest<'_>,
    tree: BorrowedFd<'_>,
    reads: bool,
    is_stopped: &dyn Fn() -> bool,
) -> Result<ShareDamage, Failed> {
    let mut damage = ShareDamage::default();
    let mut met: Vec<Met> = Vec::new();
    let mut at_top = 0;
    for entry in manifest.entries() {
        if is_stopped() {
            return Err(Failed::Stopped);
        }
        let entry = entry.map_err(Failed::Target)?;
        while met.last().is_some_and(|folder| entry.path.parent().as_ref() != Some(&folder.path)) {
            leave(tree, met.pop(), &mut damage)?;
        }
        if let EntryKind::Symlink { target } = &entry.kind
            && !leads_inside(&entry.path, target)
        {
            continue;
        }
        match met.last_mut() {
            Some(folder) => folder.count += 1,
            None => at_top += 1,
        }
        let is_right = match met.last() {
            Some(folder) if !folder.is_there => false,
            _ => is_right(manifest, tree, &entry, reads, is_stopped)?,
        };
        if !is_right {
            damage.add(&entry.path);
        }
        if matches!(entry.kind, EntryKind::Folder) {
            met.push(Met { path: entry.path, count: 0, is_there: is_right });
        }
    }
    while let Some(folder) = met.pop() {
        leave(tree, Some(folder), &mut damage)?;
    }
    let found = folders::names(tree).map_err(|errno| Failed::Io {
        step: "list",
        path: EntryPath::new("top").expect("a path"),
        source: errno.into(),
    })?;
    damage.count += u64::from(found.len() > at_top);
    Ok(damage)
}

/// A folder that holds more than it should is damage too; what it lacks was counted before.
fn leave(tree: BorrowedFd<'_>, folder: Option<Met>, damage: &mut ShareDamage) -> Result<(), Failed> {
    let Some(Met { path, count, is_there: true }) = folder else { return Ok(()) };
    let opened = match open(tree, &path, OFlags::DIRECTORY) {
        Ok(opened) => opened,
        Err(_) => {
            damage.add(&path);
            return Ok(());
        }
    };
    let found = folders::names(opened.as_fd());
    let found =
        found.map_err(|errno| Failed::Io { step: "list", path: path.clone(), source: errno.into() })?;
    if found.len() > count {
        damage.add(&path);
    }
    Ok(())
}

/// Others may write in the tree: no link is followed, nothing outside is opened, nothing is waited for.
fn open(tree: BorrowedFd<'_>, path: &EntryPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(tree, path.as_bytes(), flags, Mode::empty(), resolve)
}

fn is_right(
    manifest: &Manifest<'_>,
    tree: BorrowedFd<'_>,
    entry: &Entry,
    reads: bool,
    is_stopped: &dyn Fn() -> bool,
) -> Result<bool, Failed> {
    let path = &entry.path;
    let stat = folders::stat_at(tree, path.as_bytes());
    let Ok(Some(stat)) = stat else { return Ok(false) };
    match &entry.kind {
        EntryKind::Folder => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            && Mode::from_raw_mode(stat.st_mode & 0o7777) == fill::mode(entry)),
        EntryKind::Symlink { target } => Ok(rustix::fs::readlinkat(tree, path.as_bytes(), Vec::new())
            .is_ok_and(|found| found.as_bytes() == target.as_slice())),
        EntryKind::File { .. } if !is_as_listed(&stat, entry) => Ok(false),
        EntryKind::File { .. } if !reads => Ok(true),
        EntryKind::File { .. } => {
            let Ok(fd) = open(tree, path, OFlags::empty()) else { return Ok(false) };
            let file = std::fs::File::from(fd);
            for run in manifest.runs(entry) {
                if is_stopped() {
                    return Err(Failed::Stopped);
                }
                let (offset, run) = run.map_err(Failed::Target)?;
                match holds(&file, offset, &run) {
                    Ok(true) => {}
                    Ok(false) => return Ok(false),
                    // Bytes that cannot be read are made anew, as those that are wrong are.
                    Err(error) => {
                        tracing::warn!(target: "smsdpprov", %error, %path, "a file of a share cannot be read");
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        }
    }
}

/// Does the file hold the run at `offset`?
fn holds(file: &std::fs::File, offset: u64, run: &ChunkRun) -> io::Result<bool> {
    let (length, is_hole) = (u64::from(run.length), fill::is_hole(run));
    let mut bytes = vec![0; run.length as usize];
    let (mut at, end) = (offset, offset + run.bytes());
    while at < end {
        // Whole chunks of it; what lies in a block with other bytes is read.
        let passed = if is_hole { hole_at(file, at, end) / length * length } else { 0 };
        if passed > 0 {
            at += passed;
            continue;
        }
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        if chunk_digest(&bytes) != run.digest {
            return Ok(false);
        }
        at += length;
    }
    Ok(true)
}

/// Bytes from `at` on, up to `end`, that lie in a hole; none where that cannot be found out.
fn hole_at(file: &std::fs::File, at: u64, end: u64) -> u64 {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.clamp(at, end) - at,
        // Only a hole is left.
        Err(Errno::NXIO) => end - at,
        Err(_) => 0,
    }
}
