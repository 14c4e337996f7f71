//! Writing one file of a share out of the library.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use restock_content::hash::chunk_digest;
use restock_content::library::{Extent, Library, LibraryError};
use restock_content::manifest::{CHUNK_BYTES_MAX, ChunkRun, Entry, EntryKind, Manifest, ManifestError};
use restock_names::Digest;
use rustix::fs::{Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

/// A chunk of zeros, which becomes a hole.
static ZEROS: LazyLock<Digest> = LazyLock::new(|| chunk_digest(&vec![0; CHUNK_BYTES_MAX as usize]));

/// Why a file could not be written.
#[derive(Debug)]
pub(super) enum FillError {
    Io(io::Error),
    Library(LibraryError),
    Manifest(ManifestError),
    Stopped,
}

impl From<io::Error> for FillError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for FillError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// True for a run of the chunks that holes become.
pub(super) fn is_hole(run: &ChunkRun) -> bool {
    run.length == CHUNK_BYTES_MAX && run.digest == *ZEROS
}

/// Makes the file `name` in `folder`, where there is none. Returns its size.
///
/// What the library has checked is copied by the kernel, and cloned where the file system can; the rest
/// is read and checked. Mode and time are set.
pub(super) fn write(
    library: &Library,
    manifest: &Manifest<'_>,
    entry: &Entry,
    folder: BorrowedFd<'_>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<u64, FillError> {
    let EntryKind::File { size, .. } = entry.kind else { return Ok(0) };
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(folder, entry.path.name(), flags, Mode::RUSR | Mode::WUSR)?;
    let mut writer = Writer { file: File::from(fd), pending: None, is_copied_by_kernel: true };
    let mut has_hole = false;
    for run in manifest.runs(entry) {
        if is_stopped() {
            return Err(FillError::Stopped);
        }
        let (offset, run) = run.map_err(FillError::Manifest)?;
        if is_hole(&run) {
            has_hole = true;
            continue;
        }
        let extent = match writer.is_copied_by_kernel {
            true => library.extent(&run.digest, run.length).map_err(FillError::Library)?,
            false => None,
        };
        let starts = (0..u64::from(run.repeat)).map(|times| offset + times * u64::from(run.length));
        match extent {
            Some(extent) => {
                starts.map(|at| (at, extent.clone())).try_for_each(|(at, e)| writer.copy(at, e))?
            }
            None => {
                let bytes = library.read(&run.digest).map_err(FillError::Library)?;
                for at in starts {
                    writer.put(at, &bytes)?;
                }
            }
        }
    }
    writer.flush()?;
    if has_hole {
        writer.file.set_len(size)?;
    }
    rustix::fs::fchmod(&writer.file, mode(entry))?;
    rustix::fs::futimens(&writer.file, &times(entry.mtime_ns))?;
    Ok(size)
}

/// The permission bits of a file or folder in the share: nothing that gives another's rights, and a
/// folder that its owner can change.
pub(super) fn mode(entry: &Entry) -> Mode {
    let owner = if matches!(entry.kind, EntryKind::Folder) { 0o700 } else { 0 };
    Mode::from_raw_mode((entry.mode & 0o777) | owner)
}

/// The modification time alone.
pub(super) fn times(mtime_ns: i64) -> Timestamps {
    let mtime =
        Timespec { tv_sec: mtime_ns.div_euclid(1_000_000_000), tv_nsec: mtime_ns.rem_euclid(1_000_000_000) };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime }
}

struct Writer {
    file: File,
    /// What is to be copied, and where to: neighbours in one go.
    pending: Option<(u64, Extent)>,
    /// False once the kernel said that it cannot between these two file systems.
    is_copied_by_kernel: bool,
}

impl Writer {
    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), FillError> {
        self.flush()?;
        Ok(self.file.write_all_at(bytes, at)?)
    }

    fn copy(&mut self, at: u64, extent: Extent) -> Result<(), FillError> {
        if let Some((start, pending)) = &mut self.pending
            && *start + pending.length() == at
            && pending.join(&extent)
        {
            return Ok(());
        }
        self.flush()?;
        self.pending = Some((at, extent));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FillError> {
        let Some((mut at, extent)) = self.pending.take() else { return Ok(()) };
        let (mut from, mut left) = (extent.offset(), extent.length());
        while left > 0 && self.is_copied_by_kernel {
            let length = usize::try_from(left).unwrap_or(usize::MAX);
            let (mut in_at, mut out_at) = (from, at);
            match rustix::fs::copy_file_range(
                extent.file().as_fd(),
                Some(&mut in_at),
                self.file.as_fd(),
                Some(&mut out_at),
                length,
            ) {
                Ok(0) => return Err(FillError::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(copied) => {
                    let copied = copied as u64;
                    (from, at, left) = (from + copied, at + copied, left - copied);
                }
                Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    self.is_copied_by_kernel = false;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut buffer = vec![0; usize::try_from(left.min(1 << 20)).unwrap_or(1 << 20)];
        while left > 0 {
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            extent.file().read_exact_at(&mut buffer[..part], from)?;
            self.file.write_all_at(&buffer[..part], at)?;
            (from, at, left) = (from + part as u64, at + part as u64, left - part as u64);
        }
        Ok(())
    }
}
