//! The source folder, opened so that nothing outside it can be reached.
//!
//! Every open goes through [`Source::open`]: relative to a folder's descriptor, beneath it, through
//! no link of any kind, without waiting for a FIFO's writer. [`Listing`] is a folder's names and
//! stats of one moment.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use restock_names::{Collision, ExcludeMatcher, NameRule, collisions};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use super::SnapshotError;

/// Folders kept open at once. Beyond it folders are opened again from the root when needed, so
/// that neither a deep nor a wide tree uses up descriptors.
const HELD_FOLDERS_MAX: usize = 128;
/// Entries of one folder that are stat'ed in one go; the rest of a larger folder follows in steps.
const STAT_STEP: usize = 4_096;
/// How often a folder that changes while it is listed is listed again.
const LISTING_ATTEMPTS: u32 = 4;
const LISTING_BUFFER_BYTES: usize = 64 * 1024;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink,
    /// Anything else, by its name for people.
    Special(&'static str),
}

/// What tells one state of an entry from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u32,
    /// 0 for folders, whose size says nothing.
    pub(super) size: u64,
    pub(super) mtime_ns: i64,
    pub(super) ctime_ns: i64,
    pub(super) inode: u64,
    pub(super) device: u64,
}

impl Stat {
    #[allow(clippy::unnecessary_cast, reason = "the widths of stat's fields differ between architectures")]
    fn new(stat: &rustix::fs::Stat) -> Self {
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Folder,
                FileType::Symlink => Kind::Symlink,
                FileType::Fifo => Kind::Special("FIFO"),
                FileType::Socket => Kind::Special("socket"),
                FileType::CharacterDevice => Kind::Special("character device"),
                FileType::BlockDevice => Kind::Special("block device"),
                FileType::Unknown => Kind::Special("file of unknown kind"),
            },
            mode: stat.st_mode & 0o7777,
            size: if is_folder { 0 } else { stat.st_size.cast_unsigned() },
            mtime_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            inode: stat.st_ino as u64,
            device: stat.st_dev as u64,
        }
    }
}

/// Why an entry could not be opened, read or stat'ed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is not what it was a moment ago; another round may find it at rest.
    Moved,
    /// The scan must end.
    Fatal(SnapshotError),
}

/// The open source folder.
#[derive(Debug)]
pub(super) struct Source {
    root: OwnedFd,
    path: PathBuf,
    /// False once the kernel said that it has no `openat2`.
    has_openat2: AtomicBool,
    /// False once a file could not be opened without a trace in its access time.
    leaves_atime: AtomicBool,
    /// Cloned with each folder kept open, so its count is theirs.
    held: Arc<()>,
    follows_links: bool,
    excludes: ExcludeMatcher,
}

/// A folder of the source, kept open while descriptors allow.
#[derive(Debug)]
pub(super) struct Folder {
    /// Beneath the root as the walk met it; empty for the root itself.
    pub(super) path: Box<[u8]>,
    /// Where it lies without links, when a link was followed on the way to it.
    real: Option<Box<[u8]>>,
    /// Before its names were read.
    pub(super) stat: Stat,
    fd: Option<(OwnedFd, Arc<()>)>,
}

impl Folder {
    /// Where it lies beneath the root, without links.
    pub(super) fn real(&self) -> &[u8] {
        self.real.as_deref().unwrap_or(&self.path)
    }
}

impl Source {
    /// Opens the source folder; `path` itself may lead through links.
    pub(super) fn new(path: &Path) -> Result<Self, SnapshotError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ACCESS | Errno::PERM => SnapshotError::Permission {
                path: path.as_os_str().as_bytes().to_vec(),
                account: rustix::process::geteuid().as_raw(),
            },
            errno => SnapshotError::NotFound { path: path.to_owned(), source: errno.into() },
        })?;
        Ok(Self {
            root,
            path: path.to_owned(),
            has_openat2: AtomicBool::new(true),
            leaves_atime: AtomicBool::new(true),
            held: Arc::new(()),
            follows_links: false,
            excludes: ExcludeMatcher::default(),
        })
    }

    /// Makes this source one whose links stand for what they lead to.
    pub(super) fn following_links(self, follows_links: bool) -> Self {
        Self { follows_links, ..self }
    }

    /// Makes this source one in which there is nothing that `excludes` names.
    pub(super) fn excluding(self, excludes: ExcludeMatcher) -> Self {
        Self { excludes, ..self }
    }

    /// True when links stand for what they lead to.
    pub(super) fn follows_links(&self) -> bool {
        self.follows_links
    }

    /// Makes this source open files as on a kernel without `openat2`.
    #[cfg(test)]
    pub(super) fn without_openat2(self) -> Self {
        self.has_openat2.store(false, Ordering::Relaxed);
        self
    }

    /// Where the source lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole path of the entry at `path`, for people.
    pub(super) fn shown(&self, path: &[u8]) -> Vec<u8> {
        let root = self.path.as_os_str().as_bytes();
        if path.is_empty() { root.to_vec() } else { join(root, path) }
    }

    /// The device of the root, if its file system takes times from this machine's clock.
    pub(super) fn local_device(&self) -> Result<Option<u64>, SnapshotError> {
        let failed = |errno| self.fatal(b"", errno);
        let kind = rustix::fs::fstatfs(&self.root).map_err(failed)?.f_type;
        let device = Stat::new(&rustix::fs::fstat(&self.root).map_err(failed)?).device;
        #[allow(clippy::unnecessary_cast, reason = "the width of f_type differs between architectures")]
        let is_local = LOCAL_FILE_SYSTEMS.contains(&((kind as i64) & 0xffff_ffff));
        Ok(is_local.then_some(device))
    }

    /// Opens `name` in `folder` (`None`: the root) without leaving it and through no link.
    pub(super) fn open(&self, folder: Option<&Folder>, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        match folder {
            None => self.open_beneath(self.root.as_fd(), name, flags),
            Some(Folder { fd: Some((fd, _)), .. }) => self.open_beneath(fd.as_fd(), name, flags),
            Some(folder) => self.open_beneath(self.root.as_fd(), &join(folder.real(), name), flags),
        }
    }

    /// Calls `act` with a descriptor of `folder`.
    pub(super) fn with_folder<T>(
        &self,
        folder: &Folder,
        act: impl FnOnce(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match &folder.fd {
            Some((fd, _)) => act(fd.as_fd()),
            None => act(self.open(None, folder.real(), FOLDER_FLAGS)?.as_fd()),
        }
    }

    fn open_beneath(&self, from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.leaves_atime.load(Ordering::Relaxed) {
            match self.open_as(from, path, flags | OFlags::NOATIME) {
                // Only for the owner of a file and the superuser.
                Err(Errno::PERM) => self.leaves_atime.store(false, Ordering::Relaxed),
                other => return other,
            }
        }
        self.open_as(from, path, flags)
    }

    fn open_as(&self, from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if self.has_openat2.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match retry_on_intr(|| rustix::fs::openat2(from, path, flags, Mode::empty(), resolve)) {
                Err(Errno::NOSYS) => self.has_openat2.store(false, Ordering::Relaxed),
                other => return other,
            }
        }
        // Not with `openat2`, which would then call a link in place of a folder "not a folder".
        open_stepwise(from, path, flags | OFlags::NOFOLLOW)
    }

    /// What an error number on the entry at `path` means for the scan.
    pub(super) fn trouble(&self, path: &[u8], errno: Errno) -> Trouble {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::NODEV | Errno::STALE => {
                Trouble::Moved
            }
            errno => Trouble::Fatal(self.fatal(path, errno)),
        }
    }

    /// As [`Self::trouble`] for a folder that was seen as a folder: a link in its place, or in place
    /// of one above it, ends the scan.
    pub(super) fn folder_trouble(&self, path: &[u8], errno: Errno) -> Trouble {
        match errno {
            Errno::LOOP => Trouble::Fatal(self.swapped(path)),
            errno => self.trouble(path, errno),
        }
    }

    fn fatal(&self, path: &[u8], errno: Errno) -> SnapshotError {
        match errno {
            Errno::ACCESS | Errno::PERM => SnapshotError::Permission {
                path: self.shown(path),
                account: rustix::process::geteuid().as_raw(),
            },
            errno => self.failed(path, errno.into()),
        }
    }

    /// The error for a folder that gave its place to a link during the scan.
    pub(super) fn swapped(&self, path: &[u8]) -> SnapshotError {
        SnapshotError::Changed { path: self.shown(path), what: "was a folder and became a link" }
    }

    /// The error for a failed operation on the entry at `path`.
    pub(super) fn failed(&self, path: &[u8], source: io::Error) -> SnapshotError {
        SnapshotError::Read { path: self.shown(path), source }
    }

    /// Lists `name` in `parent`; `path` is where that lies beneath the root (empty: the root).
    pub(super) fn list(&self, parent: Option<&Folder>, path: &[u8]) -> Result<Listing, Trouble> {
        let name = if parent.is_some() { last_component(path) } else { path };
        let real = parent.and_then(|parent| parent.real.as_ref()).map(|real| join(real, name));
        self.list_opened(path, real.as_deref(), || self.open(parent, name, OFlags::DIRECTORY))
    }

    /// Lists the folder at `real` as the one at `path`, where a link leads there.
    pub(super) fn list_real(&self, real: &[u8], path: &[u8]) -> Result<Listing, Trouble> {
        self.list_opened(path, Some(real), || self.open(None, real, OFlags::DIRECTORY))
    }

    fn list_opened(
        &self,
        path: &[u8],
        real: Option<&[u8]>,
        open: impl Fn() -> Result<OwnedFd, Errno>,
    ) -> Result<Listing, Trouble> {
        let mut buffer = Vec::with_capacity(LISTING_BUFFER_BYTES);
        for _ in 0..LISTING_ATTEMPTS {
            let fd = open().map_err(|e| self.folder_trouble(path, e))?;
            let failed = |errno| self.trouble(path, errno);
            let before = stat_of(&fd).map_err(failed)?;
            let (names, order) = read_names(fd.as_fd(), &mut buffer, path, &self.excludes).map_err(failed)?;
            let name = |index: usize| name_at(&names, order[index]);
            let collisions = collisions(order.len(), name);
            let mut listing = Listing {
                folder: Arc::new(Folder {
                    path: path.into(),
                    real: real.map(Into::into),
                    stat: before,
                    fd: None,
                }),
                names,
                order,
                collisions,
                stats: Vec::new(),
            };
            listing.stat_step(self, fd.as_fd())?;
            if stat_of(&fd).map_err(failed)? == before {
                if Arc::strong_count(&self.held) <= HELD_FOLDERS_MAX {
                    let folder = Arc::get_mut(&mut listing.folder).expect("nobody else has it yet");
                    folder.fd = Some((fd, Arc::clone(&self.held)));
                }
                return Ok(listing);
            }
        }
        Err(Trouble::Moved)
    }
}

const FOLDER_FLAGS: OFlags = OFlags::DIRECTORY;

/// A folder's entries in byte order of their names.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) folder: Arc<Folder>,
    /// All names, one directly after the other, in the order of the folder.
    names: Vec<u8>,
    /// Where each name lies in `names`, in byte order of the names.
    order: Vec<(usize, u8)>,
    /// Names that other systems take for one, by index.
    collisions: Vec<Collision>,
    /// In the same order, as far as they were taken; `None` where the entry was gone by then.
    stats: Vec<Option<Stat>>,
}

impl Listing {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// How many entries, from the first, have stats.
    pub(super) fn stated(&self) -> usize {
        self.stats.len()
    }

    pub(super) fn name(&self, index: usize) -> &[u8] {
        name_at(&self.names, self.order[index])
    }

    /// The earlier name that other systems take for this one.
    pub(super) fn collision(&self, index: usize) -> Option<(NameRule, &[u8])> {
        let at = self.collisions.binary_search_by_key(&index, |collision| collision.index).ok()?;
        let Collision { other, rule, .. } = self.collisions[at];
        Some((rule, self.name(other)))
    }

    /// The stat of an entry below [`Self::stated`].
    pub(super) fn stat(&self, index: usize) -> Option<Stat> {
        self.stats[index]
    }

    /// Takes the stats of the next entries.
    pub(super) fn stat_more(&mut self, source: &Source) -> Result<(), Trouble> {
        let folder = Arc::clone(&self.folder);
        match &folder.fd {
            Some((fd, _)) => self.stat_step(source, fd.as_fd()),
            None => {
                let fd = source
                    .open(None, folder.real(), FOLDER_FLAGS)
                    .map_err(|errno| source.folder_trouble(&folder.path, errno))?;
                self.stat_step(source, fd.as_fd())
            }
        }
    }

    fn stat_step(&mut self, source: &Source, fd: BorrowedFd<'_>) -> Result<(), Trouble> {
        let end = self.order.len().min(self.stats.len() + STAT_STEP);
        self.stats.reserve_exact(end - self.stats.len());
        for index in self.stats.len()..end {
            let stat = match stat_at(fd, self.name(index)) {
                Ok(stat) => Some(stat),
                Err(Errno::NOENT | Errno::STALE) => None,
                Err(errno) => {
                    return Err(Trouble::Fatal(
                        source.fatal(&join(&self.folder.path, self.name(index)), errno),
                    ));
                }
            };
            self.stats.push(stat);
        }
        Ok(())
    }
}

/// The stat of an open file or folder.
pub(super) fn stat_of(fd: impl AsFd) -> Result<Stat, Errno> {
    rustix::fs::fstat(fd).map(|stat| Stat::new(&stat))
}

/// As [`stat_of`], with the bytes the file system has allotted.
pub(super) fn stat_and_space_of(fd: impl AsFd) -> Result<(Stat, u64), Errno> {
    rustix::fs::fstat(fd).map(|stat| (Stat::new(&stat), stat.st_blocks.cast_unsigned().saturating_mul(512)))
}

/// The stat of `name` in a folder, of a link itself.
pub(super) fn stat_at(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Stat, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    retry_on_intr(|| rustix::fs::statat(folder, name, flags)).map(|stat| Stat::new(&stat))
}

/// `folder/name`, or `name` in the root.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

type Names = (Vec<u8>, Vec<(usize, u8)>);

fn name_at(names: &[u8], (start, length): (usize, u8)) -> &[u8] {
    &names[start..start + usize::from(length)]
}

/// The names in the folder at `path` that are not excluded, in byte order.
fn read_names(
    fd: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    path: &[u8],
    excludes: &ExcludeMatcher,
) -> Result<Names, Errno> {
    let (mut names, mut order) = (Vec::new(), Vec::new());
    let mut folder = RawDir::new(fd, buffer.spare_capacity_mut());
    while let Some(entry) = folder.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            if !excludes.is_empty() {
                let is_folder = match entry.file_type() {
                    // Not every file system tells.
                    FileType::Unknown => stat_at(fd, name).is_ok_and(|stat| stat.kind == Kind::Folder),
                    kind => kind == FileType::Directory,
                };
                if excludes.excludes(path, name, is_folder) {
                    continue;
                }
            }
            // A name too long for a byte is too long for a package, too.
            let Ok(length) = u8::try_from(name.len()) else { return Err(Errno::NAMETOOLONG) };
            order.push((names.len(), length));
            names.extend_from_slice(name);
        }
    }
    order.sort_unstable_by(|a, b| name_at(&names, *a).cmp(name_at(&names, *b)));
    Ok((names, order))
}

/// `openat2` for kernels that lack it: one component after the other, following nothing.
fn open_stepwise(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut components = path.split(|byte| *byte == b'/').peekable();
    let mut above: Option<OwnedFd> = None;
    loop {
        let name = components.next().expect("a split yields at least one piece, and the last one returns");
        let at = above.as_ref().map_or(from, AsFd::as_fd);
        let is_last = components.peek().is_none();
        let flags = if is_last { flags } else { flags | OFlags::DIRECTORY };
        let opened = retry_on_intr(|| rustix::fs::openat(at, name, flags, Mode::empty()));
        match opened {
            // A link answers "not a folder" where a folder is asked for.
            Err(Errno::NOTDIR) if stat_at(at, name)?.kind == Kind::Symlink => return Err(Errno::LOOP),
            Ok(fd) if is_last => return Ok(fd),
            other => above = Some(other?),
        }
    }
}

/// Kinds of file system whose times come from the clock of the machine that mounts them.
const LOCAL_FILE_SYSTEMS: &[i64] = &[
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlay
    0x2fc1_2fc1, // zfs
    0xf2f5_2010, // f2fs
    0xca45_1a4e, // bcachefs
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // erofs
    0x9660,      // iso9660
];
