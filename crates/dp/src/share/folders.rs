//! Folders by descriptor: listing and removing without following a link or recursing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// What waits to be removed is called this and a number.
pub(super) const TRASH: &str = "trash-";

static TRASH_NUMBER: AtomicU64 = AtomicU64::new(0);

/// Opens the folder at `path`, which may lead through links.
pub(super) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, FOLDER, Mode::empty())
}

/// Opens the folder `name` in `folder`; no link in its place.
pub(super) fn open_at(folder: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())
}

/// The stat of `name` in `folder`, of a link itself; `None` when there is nothing.
pub(super) fn stat_at(folder: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A stat's modification time.
#[allow(clippy::unnecessary_cast, reason = "the widths of stat's fields differ between architectures")]
pub(super) fn mtime_ns(stat: &Stat) -> i64 {
    (stat.st_mtime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec as i64)
}

/// A stat's inode.
#[allow(clippy::unnecessary_cast, reason = "the widths of stat's fields differ between architectures")]
pub(super) fn inode(stat: &Stat) -> u64 {
    stat.st_ino as u64
}

/// The names in a folder.
pub(super) fn names(folder: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    // A descriptor of its own: reading moves its position.
    let own = open_at(folder.as_fd(), c".")?;
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut entries = RawDir::new(own.as_fd(), buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Removes `name` in `folder` with all that lies beneath it; nothing there is fine. Returns how many
/// entries that were.
///
/// Folders are moved into `trash`, a folder of the same file system, before they are emptied: so
/// neither depth nor somebody who changes a tree meanwhile leads out of it.
pub(super) fn remove_tree(
    trash: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
    name: impl rustix::path::Arg + Copy,
) -> Result<u64, Errno> {
    let mut waiting = Vec::new();
    let mut removed = remove_one(trash, folder, name, &mut waiting)?;
    while let Some(moved) = waiting.pop() {
        let opened = open_at(trash, moved.as_str())?;
        for name in names(opened.as_fd())? {
            removed += remove_one(trash, opened.as_fd(), name.as_slice(), &mut waiting)?;
        }
        rustix::fs::unlinkat(trash, moved.as_str(), AtFlags::REMOVEDIR)?;
    }
    Ok(removed)
}

fn remove_one(
    trash: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
    name: impl rustix::path::Arg + Copy,
    waiting: &mut Vec<String>,
) -> Result<u64, Errno> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(1),
        Err(Errno::NOENT) => Ok(0),
        // POSIX says "not permitted" of a folder, Linux "is a folder".
        Err(Errno::ISDIR | Errno::PERM) => {
            let moved = format!("{TRASH}{}", TRASH_NUMBER.fetch_add(1, Ordering::Relaxed));
            rustix::fs::renameat(folder, name, trash, moved.as_str())?;
            waiting.push(moved);
            Ok(1)
        }
        Err(errno) => Err(errno),
    }
}

/// Removes what an earlier process did not come to remove.
pub(super) fn empty_trash(trash: BorrowedFd<'_>) -> Result<(), Errno> {
    for name in names(trash)? {
        if name.starts_with(TRASH.as_bytes()) {
            // Under another number, so that it does not meet one that is given out.
            let moved = format!("{TRASH}old-{}", TRASH_NUMBER.fetch_add(1, Ordering::Relaxed));
            rustix::fs::renameat(trash, name.as_slice(), trash, moved.as_str())?;
            remove_tree(trash, trash, moved.as_str())?;
        }
    }
    Ok(())
}
