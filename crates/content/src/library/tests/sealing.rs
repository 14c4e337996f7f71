//! A seal that fails leaves nothing behind, whichever step it fails at.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;

use super::{put, reopen, sealed_files, text};
use crate::files::{DiskFiles, Files, OutFile};
use crate::hash::chunk_digest;
use crate::library::{Library, Recovered, Role};

/// The machine's files, of which one operation fails: the one that counts this down to nothing.
#[derive(Debug, Clone, Default)]
struct FailsOnce(Arc<AtomicI64>);

impl FailsOnce {
    fn count(&self) -> io::Result<()> {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 { Err(io::Error::other("chosen")) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct FailsOnceFile(FailsOnce, Box<dyn OutFile>);

impl Files for FailsOnce {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.count().and_then(|()| DiskFiles.create_folder(path))
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        self.count()?;
        Ok(Box::new(FailsOnceFile(self.clone(), DiskFiles.create(path)?)))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        self.count()?;
        Ok(Box::new(FailsOnceFile(self.clone(), DiskFiles.open(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.count().and_then(|()| DiskFiles.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.count().and_then(|()| DiskFiles.remove(path))
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.count().and_then(|()| DiskFiles.sync_folder(path))
    }
    fn make_read_only(&self, path: &Path) -> io::Result<()> {
        self.count().and_then(|()| DiskFiles.make_read_only(path))
    }
}

impl OutFile for FailsOnceFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.count().and_then(|()| self.1.write_all_at(bytes, offset))
    }
    fn sync(&self) -> io::Result<()> {
        self.0.count().and_then(|()| self.1.sync())
    }
    fn reserve(&self, length: u64) -> io::Result<()> {
        self.1.reserve(length)
    }
    fn start_writeback(&self, offset: u64, length: u64) {
        self.1.start_writeback(offset, length);
    }
}

#[test]
fn what_is_stored_again_after_a_seal_that_failed_is_there_once() {
    const CHUNKS: u32 = 20;
    let mut failures = 0;
    for step in 1.. {
        let folder = TempDir::new().expect("a temporary folder");
        let files = FailsOnce::default();
        let library =
            Library::create(Arc::new(files.clone()), folder.path(), Role::Site).expect("an empty folder");
        let writer = library.begin();
        (0..CHUNKS).for_each(|n| {
            put(&writer, n);
        });
        files.0.store(step, Ordering::Relaxed);
        if writer.seal().is_ok() {
            break;
        }
        failures += 1;
        assert_eq!(sealed_files(folder.path(), "table"), Vec::<std::path::PathBuf>::new(), "step {step}");
        let again = library.begin();
        (0..CHUNKS).for_each(|n| {
            put(&again, n);
        });
        assert_eq!(again.seal().expect("nothing fails twice").frames, u64::from(CHUNKS), "step {step}");
        drop(library);
        let (library, recovered) = reopen(folder.path());
        assert_eq!(recovered, Recovered::default(), "step {step}");
        assert_eq!(sealed_files(folder.path(), "table").len(), 1, "step {step}");
        for n in 0..CHUNKS {
            assert_eq!(library.read(&chunk_digest(&text(n))).expect("held"), text(n), "step {step}");
        }
    }
    assert!(failures >= 8, "only {failures} steps could fail");
}
