//! The only way this crate writes: a small set of file operations behind one trait.
//!
//! [`DiskFiles`] is the real one. `restock-testkit` has another that cuts a run at any write, keeps
//! only what a power cut would keep, or takes out one safeguard, so that each safeguard is shown to
//! matter. Reading needs no seam and uses `std::fs`.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use restock_names::Digest;
use rustix::fs::{Advice, FallocateFlags};
use rustix::io::retry_on_intr;

/// Parts handed to the kernel in one call: what every system takes.
const PARTS_MAX: usize = 1_024;

/// Write-type operations on a file system.
///
/// Errors: those of the operating system; after an error of a sync the file must be given up.
pub trait Files: Send + Sync + Debug {
    /// Makes a folder and its parents; an existing folder is fine.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Opens a new or emptied file for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OutFile>>;
    /// Renames within one file system, replacing `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; a missing file is fine.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Sets mode 0444.
    fn make_read_only(&self, path: &Path) -> io::Result<()>;

    /// Decides whether bytes may be stored: the check before every store goes through here, so
    /// that a test can show that leaving it out is noticed.
    fn accepts(&self, expected: &Digest, found: &Digest) -> bool {
        expected == found
    }

    /// Whether cleaning hides what it is about to delete and waits for those who may refer to it: asked
    /// here, so that a test can show that leaving it out is noticed.
    fn hides_and_waits(&self) -> bool {
        true
    }
}

/// A file open for writing at any offset, from several threads.
pub trait OutFile: Send + Sync + Debug {
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of `parts`, one directly behind the other, from `offset` on.
    fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        match parts {
            [one] => self.write_all_at(one, offset),
            parts => self.write_all_at(&parts.concat(), offset),
        }
    }
    /// Makes the file's bytes durable. An error is final: never sync this file again.
    fn sync(&self) -> io::Result<()>;
    /// Reserves space for `length` bytes from the start; only sets the length where the file system
    /// cannot reserve.
    fn reserve(&self, length: u64) -> io::Result<()>;
    /// Asks the kernel to begin writing a range back; best effort.
    fn start_writeback(&self, offset: u64, length: u64);
}

/// The machine's file systems.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o644).open(path)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(DiskFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn make_read_only(&self, path: &Path) -> io::Result<()> {
        std::fs::set_permissions(path, Permissions::from_mode(0o444))
    }
}

#[derive(Debug)]
struct DiskFile(File);

impl OutFile for DiskFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn write_parts_at(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let count = rest.len().min(PARTS_MAX);
            match retry_on_intr(|| rustix::io::pwritev(&self.0, &rest[..count], offset))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, length) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => self.0.set_len(length),
            other => Ok(other?),
        }
    }

    fn start_writeback(&self, offset: u64, length: u64) {
        // Dropping clean pages is the call's other effect; pages just written are dirty, so all it
        // does to them is start their writeback. A failure costs only time at the next sync.
        let _ignored =
            rustix::fs::fadvise(&self.0, offset, std::num::NonZeroU64::new(length), Advice::DontNeed);
    }
}

/// Replaces a small file so that after a power cut it has either its old bytes or the new ones.
///
/// Order: temporary name, write, sync, rename, sync folder.
pub fn replace(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().expect("a file to replace lies in a folder");
    let temporary = temporary_name(path);
    let file = files.create(&temporary)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?;
    files.rename(&temporary, path)?;
    files.sync_folder(folder)
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}
