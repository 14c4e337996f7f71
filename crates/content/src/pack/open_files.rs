//! How many data files of sealed packs are open at a time.
//!
//! A file is opened when its pack is first read and stays open for the next reader; when too many are, the one
//! that was opened first is let go. Who is reading it keeps it until it is done.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock, Weak};

/// Data files of packs that a library keeps open; a process has few thousand descriptors in all.
pub(crate) const OPEN_FILES_MAX: usize = 512;

/// The open files of a library, oldest first.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    limit: usize,
    order: Mutex<VecDeque<Weak<Slot>>>,
}

/// A pack's file, while it is open.
#[derive(Debug, Default)]
struct Slot(RwLock<Option<Arc<File>>>);

/// A pack's data file: opened when it is asked for.
#[derive(Debug)]
pub(crate) struct DataFile {
    slot: Arc<Slot>,
    all: Arc<OpenFiles>,
}

impl OpenFiles {
    /// Keeps up to `limit` files open, at least one.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: limit.max(1), order: Mutex::default() })
    }

    /// Counts a file that was opened, and lets go what is too much.
    fn opened(&self, slot: &Arc<Slot>) {
        let mut order = self.order.lock().expect("no code panics while holding this lock");
        order.push_back(Arc::downgrade(slot));
        while order.len() > self.limit {
            if let Some(oldest) = order.pop_front().and_then(|slot| slot.upgrade()) {
                drop(oldest.0.write().expect("no code panics while holding this lock").take());
            }
        }
    }
}

impl DataFile {
    pub(crate) fn new(all: &Arc<OpenFiles>) -> Self {
        Self { slot: Arc::default(), all: Arc::clone(all) }
    }

    /// The file at `path`, always the same path; it stays open as long as the answer is kept.
    pub(crate) fn get(&self, path: impl FnOnce() -> PathBuf) -> io::Result<Arc<File>> {
        if let Some(file) = &*self.slot.0.read().expect("no code panics while holding this lock") {
            return Ok(Arc::clone(file));
        }
        let opened = Arc::new(File::open(path())?);
        {
            let mut slot = self.slot.0.write().expect("no code panics while holding this lock");
            if let Some(file) = &*slot {
                return Ok(Arc::clone(file));
            }
            *slot = Some(Arc::clone(&opened));
        }
        self.all.opened(&self.slot);
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::{DataFile, OpenFiles};

    #[test]
    fn no_more_files_than_allowed_stay_open_and_a_reader_keeps_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |n: usize| folder.path().join(n.to_string());
        (0..10).for_each(|n| std::fs::write(path(n), [n as u8]).expect("written"));
        let all = OpenFiles::new(3);
        let files: Vec<DataFile> = (0..10).map(|_| DataFile::new(&all)).collect();
        let byte = |n: usize| {
            let file = files[n].get(|| path(n)).expect("opened");
            let mut byte = [0];
            file.read_exact_at(&mut byte, 0).expect("read");
            usize::from(byte[0])
        };
        let is_open = |n: usize| files[n].slot.0.read().expect("not poisoned").is_some();
        let kept = files[0].get(|| path(0)).expect("opened");
        // In order, back and forth: what is read is always the pack's own.
        for n in (0..10).chain((0..10).rev()).chain([5, 5, 5, 0, 9]) {
            assert_eq!(byte(n), n);
            assert!(is_open(n) && (0..10).filter(|n| is_open(*n)).count() <= 3);
        }
        std::fs::remove_file(path(0)).expect("removed");
        (1..5).for_each(|n| assert_eq!(byte(n), n));
        assert!(!is_open(0) && files[0].get(|| path(0)).is_err());
        kept.read_exact_at(&mut [0], 0).expect("its reader has it still");
    }
}
