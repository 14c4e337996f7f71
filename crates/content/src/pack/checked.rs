//! Which frames of a sealed pack were found right since its file last changed.
//!
//! One bit for each frame. The bits fall together: when the file's size or change time is another
//! one than at the last look, when a frame is found damaged, or when somebody wants everything
//! checked again. A change of the file *below* the file system is not seen here; the scrub finds it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// The bits of one pack. Memory: one bit for each frame.
#[derive(Debug)]
pub(crate) struct Checked {
    words: Box<[AtomicU64]>,
    /// Rises each time the bits fall. Written under the lock only.
    epoch: AtomicU32,
    stamp: Mutex<Stamp>,
}

/// What tells that a file was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl Stamp {
    fn of(facts: &Metadata) -> Self {
        Self { bytes: facts.len(), changed_s: facts.ctime(), changed_ns: facts.ctime_nsec() }
    }
}

impl Checked {
    /// Nothing is checked yet in a pack of `records` frames whose data file is `data`.
    pub(crate) fn new(records: u64, data: &Metadata) -> Self {
        let words = (0..records.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { words, epoch: AtomicU32::new(0), stamp: Mutex::new(Stamp::of(data)) }
    }

    /// Looks whether `data` is as it was; the bits fall when it is not. Returns the epoch of the bits
    /// that count from this look on.
    pub(crate) fn confirm(&self, data: &File) -> io::Result<u32> {
        let found = Stamp::of(&data.metadata()?);
        let mut stamp = self.lock();
        if *stamp != found {
            *stamp = found;
            self.fall(&stamp);
        }
        Ok(self.epoch.load(Ordering::Acquire))
    }

    /// Was frame `at` found right, and is `epoch` still the one that counts?
    pub(crate) fn is_checked(&self, at: u64, epoch: u32) -> bool {
        let word = self.words.get((at / 64) as usize);
        word.is_some_and(|word| word.load(Ordering::Acquire) & (1 << (at % 64)) != 0)
            && self.epoch.load(Ordering::Acquire) == epoch
    }

    /// Frame `at` was found right by bytes read after `epoch` was confirmed.
    pub(crate) fn mark(&self, at: u64, epoch: u32) {
        let _stamp = self.lock();
        // What was read before the bits fell says nothing about the bytes of now.
        if self.epoch.load(Ordering::Acquire) == epoch
            && let Some(word) = self.words.get((at / 64) as usize)
        {
            word.fetch_or(1 << (at % 64), Ordering::AcqRel);
        }
    }

    /// Nothing counts as checked from now on.
    pub(crate) fn forget(&self) {
        self.fall(&self.lock());
    }

    fn fall(&self, _held: &MutexGuard<'_, Stamp>) {
        // The epoch first: a reader that sees an old bit sees the new epoch too.
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.words.iter().for_each(|word| word.store(0, Ordering::Release));
    }

    fn lock(&self) -> MutexGuard<'_, Stamp> {
        self.stamp.lock().expect("no code panics while holding this lock")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::Checked;

    #[test]
    fn bits_stand_until_the_file_changes_or_everything_is_to_be_checked_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        std::fs::write(&path, b"0123456789").expect("written");
        let data = File::open(&path).expect("opened");
        let checked = Checked::new(70, &data.metadata().expect("facts"));
        let epoch = checked.confirm(&data).expect("looked");
        assert!(!checked.is_checked(69, epoch));
        checked.mark(69, epoch);
        checked.mark(700, epoch);
        assert!(checked.is_checked(69, epoch) && !checked.is_checked(68, epoch));
        assert!(!checked.is_checked(700, epoch), "there is no such frame");
        assert_eq!(checked.confirm(&data).expect("looked"), epoch);

        let mut writer = File::options().append(true).open(&path).expect("opened");
        writer.write_all(b"x").expect("written");
        let next = checked.confirm(&data).expect("looked");
        assert!(next != epoch && !checked.is_checked(69, next));
        checked.mark(69, epoch);
        assert!(!checked.is_checked(69, next), "what was read before the change says nothing");
        checked.mark(69, next);
        checked.forget();
        let last = checked.confirm(&data).expect("looked");
        assert!(!checked.is_checked(69, next) && !checked.is_checked(69, last));
    }
}
