//! The destination folder: every step of a path is opened without following links.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use restock_names::{EntryPath, Escaped};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::GetError;

/// The folder within the destination in which files are put together; gone at the end of a run.
pub const WORK_FOLDER: &str = ".restock-get";

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Mode bits and modification time of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) mode: u32,
    pub(super) mtime_ns: i64,
}

/// An open destination. The lock on its work folder ends with it.
#[derive(Debug)]
pub(super) struct Folder {
    root: Arc<OwnedFd>,
    work: OwnedFd,
    /// The folder that was used last, which the next entry most likely lies in too.
    last: Option<(EntryPath, Arc<OwnedFd>)>,
    /// Tells the files of this run from those an earlier one left.
    run: u64,
}

impl Folder {
    /// Opens the folder at `path`, which is created if need be.
    pub(super) fn open(path: &Path) -> Result<Self, GetError> {
        let shown = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
        std::fs::create_dir_all(path).map_err(GetError::io("create", shown))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(fail("open", shown))?;
        match rustix::fs::mkdirat(&root, WORK_FOLDER, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(fail("create", WORK_FOLDER.as_bytes())(errno)),
        }
        let work = rustix::fs::openat(&root, WORK_FOLDER, FOLDER, Mode::empty())
            .map_err(fail("open", WORK_FOLDER.as_bytes()))?;
        match rustix::fs::flock(&work, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(GetError::Busy(Escaped(shown).to_string())),
            Err(errno) => return Err(fail("lock", WORK_FOLDER.as_bytes())(errno)),
        }
        let mut run = [0; 8];
        getrandom::fill(&mut run)
            .map_err(|error| GetError::io("name files in", shown)(io::Error::other(error.to_string())))?;
        Ok(Self { root: Arc::new(root), work, last: None, run: u64::from_le_bytes(run) })
    }

    /// A folder beneath, `None` for the destination itself.
    pub(super) fn folder(&self, path: Option<&EntryPath>) -> Result<Arc<OwnedFd>, Errno> {
        let Some(path) = path else { return Ok(Arc::clone(&self.root)) };
        if let Some((last, fd)) = &self.last
            && last == path
        {
            return Ok(Arc::clone(fd));
        }
        let mut at = Arc::clone(&self.root);
        for name in path.components() {
            at = Arc::new(rustix::fs::openat(&*at, name, FOLDER, Mode::empty())?);
        }
        Ok(at)
    }

    /// The folder an entry lies in.
    fn parent(&mut self, path: &EntryPath) -> Result<Arc<OwnedFd>, GetError> {
        let parent = path.parent();
        let fd = self.folder(parent.as_ref()).map_err(|errno| match (errno, &parent) {
            (Errno::LOOP | Errno::NOTDIR, Some(parent)) => in_the_way(parent, "no folder", "a folder"),
            (errno, _) => fail("open the folder of", path.as_bytes())(errno),
        })?;
        if let Some(parent) = parent {
            self.last = Some((parent, Arc::clone(&fd)));
        }
        Ok(fd)
    }

    /// Makes a folder unless it is there.
    pub(super) fn make_folder(&mut self, path: &EntryPath) -> Result<(), GetError> {
        if path.as_bytes() == WORK_FOLDER.as_bytes() {
            return Err(GetError::NameTaken);
        }
        let parent = self.parent(path)?;
        match rustix::fs::mkdirat(&*parent, path.name(), Mode::RWXU) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => match kind_at(&*parent, path.name()) {
                // A folder that an earlier run made read-only gets its mode again at the end.
                Ok(FileType::Directory) => {
                    rustix::fs::chmodat(&*parent, path.name(), Mode::RWXU, AtFlags::empty())
                        .map_err(fail("open to writing", path.as_bytes()))
                }
                Ok(kind) => Err(in_the_way(path, word(kind), "a folder")),
                Err(errno) => Err(fail("look at", path.as_bytes())(errno)),
            },
            Err(errno) => Err(fail("create", path.as_bytes())(errno)),
        }
    }

    /// A new file to be put together.
    pub(super) fn create_work(&self, work: u64) -> Result<File, GetError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = self.work_name(work);
        rustix::fs::openat(&self.work, &*name, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(fail("create", name.as_bytes()))
    }

    /// A file that an earlier run may have begun, named by what it is to become.
    pub(super) fn open_part(&self, name: &str) -> Result<File, GetError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.work, name, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(fail("create", name.as_bytes()))
    }

    /// Gives a file that was put together its mode, time and place.
    pub(super) fn put_file(
        &mut self,
        file: File,
        work: u64,
        path: &EntryPath,
        meta: Meta,
    ) -> Result<(), GetError> {
        let name = self.work_name(work);
        self.put_part(file, &name, path, meta)
    }

    /// The same of a file of [`Self::open_part`].
    pub(super) fn put_part(
        &mut self,
        file: File,
        name: &str,
        path: &EntryPath,
        meta: Meta,
    ) -> Result<(), GetError> {
        if path.as_bytes() == WORK_FOLDER.as_bytes() {
            return Err(GetError::NameTaken);
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(meta.mode))
            .map_err(fail("set the mode of", path.as_bytes()))?;
        rustix::fs::futimens(&file, &times(meta.mtime_ns))
            .map_err(fail("set the time of", path.as_bytes()))?;
        drop(file);
        self.rename_work(name, path, "a file")
    }

    /// Makes a link unless it is there; only its time is set then.
    pub(super) fn put_link(
        &mut self,
        path: &EntryPath,
        target: &[u8],
        mtime_ns: i64,
        work: u64,
    ) -> Result<(), GetError> {
        if path.as_bytes() == WORK_FOLDER.as_bytes() {
            return Err(GetError::NameTaken);
        }
        let parent = self.parent(path)?;
        let is_there = rustix::fs::readlinkat(&*parent, path.name(), Vec::new())
            .is_ok_and(|found| found.as_bytes() == target);
        if !is_there {
            let name = self.work_name(work);
            rustix::fs::symlinkat(target, &self.work, &*name)
                .map_err(fail("create the link", path.as_bytes()))?;
            self.rename_work(&name, path, "a link")?;
        }
        rustix::fs::utimensat(&*parent, path.name(), &times(mtime_ns), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(fail("set the time of", path.as_bytes()))
    }

    fn rename_work(&mut self, name: &str, path: &EntryPath, wanted: &'static str) -> Result<(), GetError> {
        let parent = self.parent(path)?;
        match rustix::fs::renameat(&self.work, name, &*parent, path.name()) {
            Ok(()) => Ok(()),
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => Err(in_the_way(path, "a folder", wanted)),
            Err(errno) => Err(fail("put in place", path.as_bytes())(errno)),
        }
    }

    /// Gives a file or folder that is there its mode and time.
    pub(super) fn set_meta(&mut self, path: &EntryPath, meta: Meta) -> Result<(), GetError> {
        let parent = self.parent(path)?;
        let look = || rustix::fs::statat(&*parent, path.name(), AtFlags::SYMLINK_NOFOLLOW);
        let stat = look().map_err(fail("look at", path.as_bytes()))?;
        let mtime_ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Err(in_the_way(path, "a link", "a file or folder"));
        }
        if stat.st_mode & 0o7777 != meta.mode {
            rustix::fs::chmodat(&*parent, path.name(), Mode::from_raw_mode(meta.mode), AtFlags::empty())
                .map_err(fail("set the mode of", path.as_bytes()))?;
        }
        if mtime_ns != i128::from(meta.mtime_ns) {
            rustix::fs::utimensat(&*parent, path.name(), &times(meta.mtime_ns), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(fail("set the time of", path.as_bytes()))?;
        }
        Ok(())
    }

    /// Gives a folder of which only its place is known the usual mode.
    pub(super) fn set_meta_of_folder(&mut self, path: &EntryPath) -> Result<(), GetError> {
        let parent = self.parent(path)?;
        rustix::fs::chmodat(&*parent, path.name(), Mode::from_raw_mode(0o755), AtFlags::empty())
            .map_err(fail("set the mode of", path.as_bytes()))
    }

    /// Opens a file for reading.
    pub(super) fn open_file(&self, path: &EntryPath) -> Result<File, Errno> {
        let parent = self.folder(path.parent().as_ref())?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&*parent, path.name(), flags, Mode::empty()).map(File::from)
    }

    /// Removes an entry; one that is gone is fine, and a folder that is not empty stays.
    pub(super) fn remove(&mut self, path: &EntryPath) -> Result<(), GetError> {
        let parent = self.parent(path)?;
        let removed = match kind_at(&*parent, path.name()) {
            Ok(FileType::Directory) => {
                self.last = None;
                rustix::fs::unlinkat(&*parent, path.name(), AtFlags::REMOVEDIR)
            }
            Ok(_) => rustix::fs::unlinkat(&*parent, path.name(), AtFlags::empty()),
            Err(errno) => Err(errno),
        };
        match removed {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
            Err(errno) => Err(fail("remove", path.as_bytes())(errno)),
        }
    }

    /// Makes everything durable and takes the work folder away.
    pub(super) fn finish(self) -> Result<(), GetError> {
        let work = WORK_FOLDER.as_bytes();
        rustix::fs::syncfs(&*self.root).map_err(fail("sync", work))?;
        for name in names(&self.work).map_err(fail("read", work))? {
            match rustix::fs::unlinkat(&self.work, &*name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(fail("remove", &name)(errno)),
            }
        }
        match rustix::fs::unlinkat(&*self.root, WORK_FOLDER, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(fail("remove", work)(errno)),
        }
    }

    fn work_name(&self, work: u64) -> String {
        format!("{:x}-{work:x}", self.run)
    }
}

/// The names in a folder, `.` and `..` left out, sorted.
pub(super) fn names(folder: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

pub(super) fn kind_at(folder: impl AsFd, name: &[u8]) -> Result<FileType, Errno> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn fail(step: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> GetError {
    let fail = GetError::io(step, path);
    move |errno| fail(io::Error::from(errno))
}

fn in_the_way(path: &EntryPath, found: &'static str, wanted: &'static str) -> GetError {
    GetError::InTheWay { path: Escaped(path.as_bytes()).to_string(), found, wanted }
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::RegularFile => "a file",
        _ => "a special file",
    }
}

fn times(mtime_ns: i64) -> Timestamps {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let mtime =
        Timespec { tv_sec: mtime_ns.div_euclid(1_000_000_000), tv_nsec: mtime_ns.rem_euclid(1_000_000_000) };
    Timestamps { last_access: omit, last_modification: mtime }
}
