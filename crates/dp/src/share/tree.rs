//! Making a tree what a manifest lists, from what another manifest says it is.
//!
//! The two manifests are walked side by side in path order, with that of the seen tree, so that the
//! cost beside reading them is that of what differs. A file that the seen tree has already becomes a
//! further name of it.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use restock_content::library::{Library, LibraryError};
use restock_content::manifest::{Entries, Entry, EntryKind, Manifest, ManifestError};
use restock_names::EntryPath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::fill::{self, FillError};
use super::{ShareError, ShareReport, folders};

/// What is to be made of what.
pub(super) struct Change<'c> {
    /// What the tree is; none for one that is empty.
    pub(super) from: Option<Manifest<'c>>,
    /// The tree that is seen.
    pub(super) donor: Option<&'c Donor<'c>>,
    /// What it becomes.
    pub(super) target: Manifest<'c>,
    /// Where folders are moved to be removed.
    pub(super) trash: BorrowedFd<'c>,
    pub(super) library: &'c Library,
}

/// A tree that has files in common with the one that is made.
pub(super) struct Donor<'c> {
    pub(super) tree: BorrowedFd<'c>,
    pub(super) manifest: Manifest<'c>,
    /// Files that are not as the manifest says.
    pub(super) distrusted: &'c BTreeSet<EntryPath>,
}

/// Why a tree could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("stopped")]
    Stopped,
    /// The tree is not what it was when it was finished.
    #[error("{0} is not as it was made")]
    Unexpected(EntryPath),
    /// What the tree is cannot be read any more.
    #[error("the version before cannot be read")]
    Before(#[source] ManifestError),
    #[error(transparent)]
    Target(ManifestError),
    #[error(transparent)]
    Library(LibraryError),
    #[error("failed to {step} {path}")]
    Io { step: &'static str, path: EntryPath, source: std::io::Error },
}

impl Failed {
    /// The error of the share whose folder is `path`.
    pub(super) fn within(self, folder: &Path) -> ShareError {
        match self {
            Self::Stopped => ShareError::Stopped,
            Self::Before(error) | Self::Target(error) => ShareError::Manifest(error),
            Self::Library(error) => ShareError::Library(error),
            Self::Unexpected(path) => {
                let source = std::io::Error::other("it changed meanwhile");
                ShareError::Io { step: "make", path: within(folder, &path), source }
            }
            Self::Io { step, path, source } => ShareError::Io { step, path: within(folder, &path), source },
        }
    }
}

fn within(folder: &Path, path: &EntryPath) -> PathBuf {
    folder.join(path.to_string())
}

fn failed(step: &'static str, path: &EntryPath) -> impl FnOnce(Errno) -> Failed + use<> {
    let path = path.clone();
    move |errno| Failed::Io { step, path, source: errno.into() }
}

/// Makes the tree whose folder is `tree` equal to the change's target.
pub(super) fn apply(
    change: &Change<'_>,
    tree: &OwnedFd,
    is_stopped: &dyn Fn() -> bool,
) -> Result<ShareReport, Failed> {
    let mut maker = Maker {
        change,
        tree: tree.as_fd(),
        is_stopped,
        folders: Vec::new(),
        donor_folder: None,
        removed: None,
        report: ShareReport::default(),
    };
    let mut from = change.from.map(|manifest| manifest.entries().peekable());
    let mut donor = change.donor.map(|donor| donor.manifest.entries().peekable());
    for entry in change.target.entries() {
        if is_stopped() {
            return Err(Failed::Stopped);
        }
        let entry = entry.map_err(Failed::Target)?;
        let before = loop {
            match next_up_to(&mut from, &entry.path).map_err(Failed::Before)? {
                Some(before) if before.path == entry.path => break Some(before),
                Some(gone) => maker.remove(&gone)?,
                None => break None,
            }
        };
        let given = loop {
            match next_up_to(&mut donor, &entry.path) {
                Ok(Some(given)) if given.path == entry.path => break Some(given),
                Ok(Some(_)) => {}
                Ok(None) => break None,
                // Everything can be written anew.
                Err(_) => donor = None,
            }
        };
        maker.meet(entry, before, given)?;
    }
    for gone in from.into_iter().flatten() {
        maker.remove(&gone.map_err(Failed::Before)?)?;
    }
    maker.leave_all()?;
    Ok(maker.report)
}

/// Takes the next entry if it does not lie behind `path`.
fn next_up_to(
    entries: &mut Option<Peekable<Entries<'_>>>,
    path: &EntryPath,
) -> Result<Option<Entry>, ManifestError> {
    let Some(entries) = entries else { return Ok(None) };
    let is_due = |next: &Result<Entry, ManifestError>| next.as_ref().map_or(true, |next| next.path <= *path);
    entries.next_if(is_due).transpose()
}

struct Maker<'m, 'c> {
    change: &'m Change<'c>,
    tree: BorrowedFd<'m>,
    is_stopped: &'m dyn Fn() -> bool,
    /// The folders on the way to the current entry.
    folders: Vec<Folder>,
    /// The folder of the seen tree that was opened last; none where it cannot be opened.
    donor_folder: Option<(Option<EntryPath>, Option<OwnedFd>)>,
    /// What was removed last with all that lay beneath it.
    removed: Option<EntryPath>,
    report: ShareReport,
}

/// A folder of the tree that is made.
struct Folder {
    entry: Entry,
    /// Kept for the innermost one only, so that depth does not use up descriptors.
    fd: Option<OwnedFd>,
    /// Its time and mode are to be set when it is left.
    is_touched: bool,
}

impl Maker<'_, '_> {
    fn meet(&mut self, entry: Entry, before: Option<Entry>, given: Option<Entry>) -> Result<(), Failed> {
        self.leave_up_to(&entry.path)?;
        if entry.path.parent().as_ref() != self.folders.last().map(|folder| &folder.entry.path) {
            let source = std::io::Error::other("what it lies in is no folder of the version");
            return Err(Failed::Io { step: "make", path: entry.path, source });
        }
        let is_kept = before.as_ref() == Some(&entry);
        match &entry.kind {
            EntryKind::Folder => self.enter(entry, before),
            EntryKind::File { .. } if is_kept => {
                // What the seen tree has as well is one file with it, and was looked at there.
                if given.as_ref() == Some(&entry) || self.change.donor.is_none() {
                    return Ok(());
                }
                match self.stat(&entry.path)? {
                    Some(stat) if is_as_listed(&stat, &entry) => Ok(()),
                    _ => Err(Failed::Unexpected(entry.path)),
                }
            }
            EntryKind::Symlink { .. } if is_kept => Ok(()),
            EntryKind::File { .. } => {
                self.clear(&entry.path, before.as_ref())?;
                self.touch();
                if given.as_ref() == Some(&entry) && self.link(&entry)? {
                    self.report.files_linked += 1;
                    return Ok(());
                }
                self.write(&entry)
            }
            EntryKind::Symlink { target } => {
                self.clear(&entry.path, before.as_ref())?;
                if !leads_inside(&entry.path, target) {
                    self.report.links_left_out += 1;
                    return Ok(());
                }
                self.touch();
                let folder = self.folder()?;
                rustix::fs::symlinkat(target.as_slice(), folder.as_fd(), entry.path.name())
                    .and_then(|()| {
                        let flags = AtFlags::SYMLINK_NOFOLLOW;
                        let times = fill::times(entry.mtime_ns);
                        rustix::fs::utimensat(folder.as_fd(), entry.path.name(), &times, flags)
                    })
                    .map_err(failed("link", &entry.path))
            }
        }
    }

    /// Goes into a folder, which is made where there is none.
    fn enter(&mut self, entry: Entry, before: Option<Entry>) -> Result<(), Failed> {
        let was_folder = before.as_ref().filter(|before| matches!(before.kind, EntryKind::Folder));
        let mut is_touched = true;
        if let Some(before) = was_folder {
            let stat = self.stat(&entry.path)?;
            let is_as_made = stat.is_some_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                    && folders::mtime_ns(&stat) == before.mtime_ns
            });
            if !is_as_made {
                return Err(Failed::Unexpected(entry.path));
            }
            is_touched = *before != entry;
        } else {
            self.clear(&entry.path, before.as_ref())?;
            self.touch();
            let folder = self.folder()?;
            rustix::fs::mkdirat(folder.as_fd(), entry.path.name(), Mode::RWXU)
                .map_err(failed("make", &entry.path))?;
        }
        if let Some(outer) = self.folders.last_mut() {
            outer.fd = None;
        }
        self.folders.push(Folder { entry, fd: None, is_touched });
        Ok(())
    }

    /// Removes an entry that the target does not have.
    fn remove(&mut self, gone: &Entry) -> Result<(), Failed> {
        self.leave_up_to(&gone.path)?;
        self.clear(&gone.path, Some(gone))
    }

    /// Removes what was at `path` before, with all beneath it.
    fn clear(&mut self, path: &EntryPath, before: Option<&Entry>) -> Result<(), Failed> {
        let Some(before) = before else { return Ok(()) };
        if self.removed.as_ref().is_some_and(|removed| is_beneath(path, removed)) {
            return Ok(());
        }
        self.touch();
        let trash = self.change.trash;
        let folder = self.folder()?;
        let removed = folders::remove_tree(trash, folder.as_fd(), path.name());
        self.report.entries_removed += removed.map_err(failed("remove", path))?;
        if matches!(before.kind, EntryKind::Folder) {
            self.removed = Some(path.clone());
        }
        Ok(())
    }

    /// Gives the seen tree's file a further name; false where that cannot be.
    fn link(&mut self, entry: &Entry) -> Result<bool, Failed> {
        let Some(donor) = self.change.donor else { return Ok(false) };
        if donor.distrusted.contains(&entry.path) {
            return Ok(false);
        }
        let parent = entry.path.parent();
        if self.donor_folder.as_ref().is_none_or(|(path, _)| *path != parent) {
            let path = parent.as_ref().map_or(&b"."[..], |path| path.as_bytes());
            // Others may write in the seen tree: no link of theirs is followed.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            let opened = rustix::fs::openat2(donor.tree, path, flags, Mode::empty(), resolve).ok();
            self.donor_folder = Some((parent, opened));
        }
        let Some((_, Some(source))) = &self.donor_folder else { return Ok(false) };
        let Ok(Some(stat)) = folders::stat_at(source.as_fd(), entry.path.name()) else { return Ok(false) };
        if !is_as_listed(&stat, entry) {
            return Ok(false);
        }
        let folder = open_folder(self.tree, &mut self.folders)?;
        let name = entry.path.name();
        match rustix::fs::linkat(source.as_fd(), name, folder, name, AtFlags::empty()) {
            Ok(()) => {}
            // Among others: as many names as the file system counts, or a file of another account.
            Err(Errno::NOSPC) => return Err(failed("link", &entry.path)(Errno::NOSPC)),
            Err(_) => return Ok(false),
        }
        // Whatever is linked now is what it was a moment ago, or it is not used.
        match folders::stat_at(folder, name) {
            Ok(Some(stat)) if is_as_listed(&stat, entry) => Ok(true),
            _ => {
                rustix::fs::unlinkat(folder, name, AtFlags::empty())
                    .map_err(failed("remove", &entry.path))?;
                Ok(false)
            }
        }
    }

    fn write(&mut self, entry: &Entry) -> Result<(), Failed> {
        let folder = open_folder(self.tree, &mut self.folders)?;
        let written = fill::write(self.change.library, &self.change.target, entry, folder, self.is_stopped);
        let bytes = written.map_err(|error| match error {
            FillError::Stopped => Failed::Stopped,
            FillError::Library(error) => Failed::Library(error),
            FillError::Manifest(error) => Failed::Target(error),
            FillError::Io(source) => Failed::Io { step: "write", path: entry.path.clone(), source },
        })?;
        self.report.files_written += 1;
        self.report.bytes_written += bytes;
        Ok(())
    }

    /// Notes that the innermost folder's time changes.
    fn touch(&mut self) {
        if let Some(folder) = self.folders.last_mut() {
            folder.is_touched = true;
        }
    }

    fn folder(&mut self) -> Result<BorrowedFd<'_>, Failed> {
        open_folder(self.tree, &mut self.folders)
    }

    /// The stat of what is at `path` in the tree. The folders above it were looked at before.
    fn stat(&self, path: &EntryPath) -> Result<Option<Stat>, Failed> {
        folders::stat_at(self.tree, path.as_bytes()).map_err(failed("look at", path))
    }

    /// Leaves the folders that do not hold `path`.
    fn leave_up_to(&mut self, path: &EntryPath) -> Result<(), Failed> {
        while self.folders.last().is_some_and(|folder| !is_beneath(path, &folder.entry.path)) {
            self.leave()?;
        }
        Ok(())
    }

    fn leave_all(&mut self) -> Result<(), Failed> {
        while !self.folders.is_empty() {
            self.leave()?;
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Failed> {
        let Some(folder) = self.folders.pop() else { return Ok(()) };
        if !folder.is_touched {
            return Ok(());
        }
        let path = &folder.entry.path;
        let fd = match folder.fd {
            Some(fd) => fd,
            None => folders::open_at(self.tree, path.as_bytes()).map_err(failed("open", path))?,
        };
        rustix::fs::fchmod(&fd, fill::mode(&folder.entry))
            .and_then(|()| rustix::fs::futimens(&fd, &fill::times(folder.entry.mtime_ns)))
            .map_err(failed("finish", path))
    }
}

/// The innermost folder, opened.
fn open_folder<'f>(tree: BorrowedFd<'f>, folders: &'f mut [Folder]) -> Result<BorrowedFd<'f>, Failed> {
    let Some(folder) = folders.last_mut() else { return Ok(tree) };
    let fd = match folder.fd.take() {
        Some(fd) => fd,
        None => {
            let path = &folder.entry.path;
            folders::open_at(tree, path.as_bytes()).map_err(failed("open", path))?
        }
    };
    let fd: &OwnedFd = folder.fd.insert(fd);
    Ok(fd.as_fd())
}

fn is_beneath(path: &EntryPath, folder: &EntryPath) -> bool {
    path.as_bytes().strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Does the stat of a file say what its entry says?
pub(super) fn is_as_listed(stat: &Stat, entry: &Entry) -> bool {
    let EntryKind::File { size, .. } = entry.kind else { return false };
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && u64::try_from(stat.st_size) == Ok(size)
        && Mode::from_raw_mode(stat.st_mode & 0o7777) == fill::mode(entry)
        && folders::mtime_ns(stat) == entry.mtime_ns
}

/// Can nobody who follows the link leave the package's folder?
///
/// `..` counts only at the beginning: behind another link it would lead from there.
pub(super) fn leads_inside(link: &EntryPath, target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") {
        return false;
    }
    let mut depth = link.components().count() - 1;
    let mut is_down = false;
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if is_down || depth == 0 => return false,
            b".." => depth -= 1,
            _ => is_down = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::leads_inside;
    use restock_names::EntryPath;

    #[test]
    fn only_links_that_stay_in_the_package_are_made() {
        let inside = |link: &str, target: &str| {
            leads_inside(&EntryPath::new(link).expect("a path"), target.as_bytes())
        };
        for (link, target) in
            [("a", "b"), ("d/a", "../b"), ("d/e/a", "../../x/y"), ("a", "./b/c"), ("d/a", "..")]
        {
            assert!(inside(link, target), "{link} to {target}");
        }
        for (link, target) in [
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("d/a", "../../b"),
            ("a", "b/.."),
            ("d/a", "../x/../../y"),
            ("a", ""),
        ] {
            assert!(!inside(link, target), "{link} to {target}");
        }
    }
}
