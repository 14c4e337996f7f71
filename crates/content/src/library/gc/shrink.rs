//! Which packs of a site are worth compressing.
//!
//! Chunks are stored raw while somebody takes them faster than they can be compressed, and as they come where
//! they are fetched. Nobody is in a hurry any more when cleaning comes by, and the next who asks may have a
//! slow link.

use super::super::{Inner, LibraryError, Role};
use crate::pack::{Encoding, FrameKind, Record, SealedPack, compress};

/// A pack with fewer bytes of raw chunks stays as it is.
const RAW_BYTES_MIN: u64 = 1 << 16;
/// A pack stays as it is unless one in so many of its bytes is of a raw chunk.
const RAW_PART: u64 = 4;
/// Raw chunks that are tried.
const SAMPLES: u64 = 16;
/// What is tried must shrink by one in so many bytes.
const SAVED_PART: u64 = 8;

impl Inner {
    /// Would the raw chunks of the pack be smaller compressed? A sample of them is tried, once while the
    /// process runs if it does not shrink.
    ///
    /// Errors: the table or a chunk cannot be read.
    pub(super) fn shrinks(&self, pack: &SealedPack) -> Result<bool, LibraryError> {
        let tally = pack.tally();
        let is_raw = tally.raw_bytes >= RAW_BYTES_MIN && tally.raw_bytes >= pack.header.data_bytes / RAW_PART;
        let sequence = pack.header.sequence;
        let is_known = || {
            let tried = self.incompressible.lock().expect("no code panics while holding this lock");
            tried.contains(&sequence)
        };
        if self.role != Role::Site || !is_raw || is_known() {
            return Ok(false);
        }
        let failed = |source| self.sealed_read_error(pack, source);
        let (mut raw_bytes, mut saved, mut buffer) = (0, 0, Vec::new());
        let every = (tally.raw_chunks / SAMPLES).max(1);
        let is_raw = |record: &Record| record.encoding == Encoding::Raw && record.kind == FrameKind::Chunk;
        let mut chunks = 0;
        for record in pack.records() {
            let Ok(record) = record.map_err(failed)? else { continue };
            if !is_raw(&record) {
                continue;
            }
            chunks += 1;
            if chunks % every != 0 {
                continue;
            }
            let stored = pack.read(&record).map_err(failed)?;
            raw_bytes += stored.len();
            if compress(&stored, &mut buffer) == Encoding::Zstd {
                saved += stored.len() - buffer.len();
            }
        }
        let shrinks = saved as u64 >= raw_bytes as u64 / SAVED_PART && saved > 0;
        if !shrinks {
            let mut tried = self.incompressible.lock().expect("no code panics while holding this lock");
            tried.insert(sequence);
        }
        Ok(shrinks)
    }
}
