//! Frames of an appended pack that wait in memory, so that many small ones are written with one call.
//!
//! They lie one directly behind the other and can be read like written ones. Nothing here writes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::Record;

/// With so many bytes the frames that wait are written, however few they are.
pub(super) const GATHERED_BYTES: usize = 256 << 10;
/// Longer frames are written at once, with what waits: copying them costs more than another call.
pub(super) const GATHERED_FRAME_BYTES: usize = 32 << 10;

/// The frames at the end of a pack that are not in its file yet.
#[derive(Debug)]
pub(super) struct Gathered {
    waiting: Mutex<Waiting>,
    /// Frames that end here or before are in the file.
    written: AtomicU64,
}

/// What waits, and where it will lie.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// One for each frame, in their order.
    pub(super) records: Vec<Record>,
}

impl Default for Gathered {
    fn default() -> Self {
        // As long as nothing was gathered everything is in the file.
        Self { waiting: Mutex::default(), written: AtomicU64::new(u64::MAX) }
    }
}

impl Gathered {
    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What waits is whole at every moment.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says up to where the file has everything. Called under the lock.
    pub(super) fn set_written(&self, end: u64) {
        self.written.store(end, Ordering::Release);
    }

    /// Reads a frame that waits; false when it is in the file.
    pub(super) fn read(&self, record: &Record, bytes: &mut [u8]) -> bool {
        if record.end().is_none_or(|end| end <= self.written.load(Ordering::Acquire)) {
            return false;
        }
        let waiting = self.lock();
        let from = record.offset.checked_sub(waiting.offset).and_then(|from| usize::try_from(from).ok());
        let found = from.and_then(|from| waiting.bytes.get(from..from.checked_add(bytes.len())?));
        found.is_some_and(|found| {
            bytes.copy_from_slice(found);
            true
        })
    }
}

impl Waiting {
    /// Where the next frame lies if it follows directly.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}
