//! What is to be sent: bytes in memory and ranges of pack files, and the memory allowed for reading
//! ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use restock_content::library::Extent;

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes in memory. With them goes the permit under which they were read.
    Bytes(Bytes, #[expect(dead_code, reason = "held until the bytes are sent")] Option<Arc<Permit>>),
    /// Checked bytes in a file.
    File(FilePiece),
}

/// A range of a pack's file that is sent unread.
#[derive(Debug)]
pub(crate) struct FilePiece {
    pub(crate) extent: Extent,
    /// Bytes of it that were sent.
    pub(crate) at: u64,
    /// Its bytes before this one were found in memory.
    pub(crate) resident: u64,
}

impl Piece {
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Bytes(text.into(), None)
    }

    pub(crate) fn file(extent: Extent) -> Self {
        Self::File(FilePiece { extent, at: 0, resident: 0 })
    }

    /// Bytes still to be sent.
    pub(crate) fn left(&self) -> u64 {
        match self {
            Self::Bytes(bytes, _) => bytes.len() as u64,
            Self::File(file) => file.left(),
        }
    }
}

impl FilePiece {
    pub(crate) fn left(&self) -> u64 {
        self.extent.length() - self.at
    }

    /// The place in the file of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.extent.offset() + self.at
    }
}

/// Memory that all downloads together may use for reading ahead, in permits of [`BATCH_BYTES`].
#[derive(Debug, Clone)]
pub(crate) struct ReadAhead(Arc<AtomicUsize>);

/// Bytes read at once under a permit.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// The right to read [`BATCH_BYTES`] ahead, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl ReadAhead {
    /// A budget of about `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes / BATCH_BYTES)))
    }

    /// A permit, while there is one.
    pub(crate) fn take(&self) -> Option<Permit> {
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        taken.is_ok().then(|| Permit(Arc::clone(&self.0)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::{BATCH_BYTES, ReadAhead};

    #[test]
    fn permits_come_back() {
        let ahead = ReadAhead::new(2 * BATCH_BYTES + 1);
        let (first, second) = (ahead.take(), ahead.take());
        assert!(first.is_some() && second.is_some() && ahead.take().is_none());
        drop(first);
        assert!(ahead.take().is_some());
    }
}
