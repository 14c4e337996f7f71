//! Room on the disk: what content may use, and what stays free for everything else.
//!
//! Content never uses the reserve, so that a full library stops neither the database nor the log. Room is
//! asked for before anything is written; who is refused waits and tries again.

use std::sync::atomic::Ordering;

use super::{Inner, Library, LibraryError};

/// The reserve is at most this part of the file system, however much is asked for.
const RESERVE_PART: u64 = 20;

/// The room on the file system of a library, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// All there is.
    pub total_bytes: u64,
    /// Free for this account.
    pub free_bytes: u64,
    /// Of the free bytes, those that content leaves free.
    pub reserve_bytes: u64,
}

impl Space {
    /// What content may still use.
    pub fn usable_bytes(&self) -> u64 {
        self.free_bytes.saturating_sub(self.reserve_bytes)
    }

    /// True when cleaning may write more than was received, because room is short.
    pub fn is_short(&self) -> bool {
        self.usable_bytes() < self.total_bytes / RESERVE_PART
    }
}

impl Library {
    /// Keeps `bytes` of the file system free of content, a twentieth of it at most.
    pub fn set_reserve(&self, bytes: u64) {
        self.inner.reserve_bytes.store(bytes, Ordering::Relaxed);
    }

    /// How much room there is. Errors: the operating system's.
    pub fn space(&self) -> Result<Space, LibraryError> {
        self.inner.space()
    }
}

impl Inner {
    pub(super) fn space(&self) -> Result<Space, LibraryError> {
        let facts = rustix::fs::statvfs(&self.folder).map_err(|errno| LibraryError::Io {
            step: "look for room in",
            path: self.folder.clone(),
            source: errno.into(),
        })?;
        let bytes = |blocks: u64| blocks.saturating_mul(facts.f_frsize);
        let total_bytes = bytes(facts.f_blocks);
        let reserve = self.reserve_bytes.load(Ordering::Relaxed);
        let reserve_bytes = reserve.min(total_bytes / RESERVE_PART);
        Ok(Space { total_bytes, free_bytes: bytes(facts.f_bavail), reserve_bytes })
    }

    /// Errors: `NO_SPACE` when there is less room than `needed_bytes` beside the reserve.
    pub(super) fn check_space(&self, needed_bytes: u64) -> Result<(), LibraryError> {
        let space = self.space()?;
        if space.usable_bytes() >= needed_bytes {
            return Ok(());
        }
        let Space { free_bytes, reserve_bytes, .. } = space;
        Err(LibraryError::NoSpace { needed_bytes, free_bytes, reserve_bytes })
    }
}
