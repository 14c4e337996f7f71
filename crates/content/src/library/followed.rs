//! Receiving a draft: chunks take their places in the order in which they are announced.
//!
//! Nobody knows yet how much will come, so packs grow at their end and no space is reserved. What was
//! recorded is kept after a crash like that of any appended pack.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use restock_names::Digest;

use super::placed::write_run;
use super::{Library, LibraryError, SealReport, Writer};
use crate::pack::{Encoding, FrameKind, OpenPack, Record};
use crate::plan::{ALIGNMENT, Missing};

/// Takes chunks of a version that is not there yet, from many threads.
///
/// Dropped unsealed it gives up what it took.
#[derive(Debug)]
pub struct FollowWriter {
    writer: Writer,
    /// Where announced chunks go that have not been written.
    places: Mutex<HashMap<Digest, (Arc<OpenPack>, Record)>>,
}

impl Library {
    /// Begins to receive a draft.
    pub fn begin_follow(&self) -> FollowWriter {
        FollowWriter { writer: self.begin(), places: Mutex::default() }
    }
}

impl FollowWriter {
    /// Gives a chunk its place behind those announced before; false when it is held or has one.
    ///
    /// Errors: I/O.
    pub fn place(&self, chunk: &Missing) -> Result<bool, LibraryError> {
        if !self.writer.claim(&chunk.digest)? {
            return Ok(false);
        }
        let border = if chunk.is_aligned { ALIGNMENT } else { 1 };
        let (pack, offset) = self.writer.allot(chunk.length.into(), border)?;
        let record = Record {
            digest: chunk.digest,
            offset,
            stored_length: chunk.length,
            raw_length: chunk.length,
            encoding: Encoding::Raw,
            kind: FrameKind::Chunk,
        };
        self.places().insert(chunk.digest, (pack, record));
        Ok(true)
    }

    /// Writes and records chunks whose digests the caller has just checked, each at its place; those
    /// without one are left out.
    ///
    /// When this returns they are recorded: they will not be asked for again, also after a crash of
    /// this process. Errors: I/O.
    pub fn put_checked(&self, chunks: &[(Digest, &[u8])]) -> Result<(), LibraryError> {
        let mut at: Vec<(Arc<OpenPack>, Record, &[u8])> = {
            let mut places = self.places();
            let placed = chunks.iter().filter_map(|(digest, raw)| {
                let (pack, record) = places.remove(digest)?;
                Some((pack, record, *raw))
            });
            placed.collect()
        };
        at.sort_by_key(|(pack, record, _)| (pack.sequence, record.offset));
        for group in at.chunk_by(|(p, _, _), (q, _, _)| p.sequence == q.sequence) {
            let run: Vec<(Record, &[u8])> = group.iter().map(|(_, record, raw)| (*record, *raw)).collect();
            write_run(&self.writer.live, &group[0].0, &run)?;
        }
        Ok(())
    }

    /// Makes everything received durable; it counts as held from then on.
    ///
    /// Errors: a pack that could not be made durable is given up with its chunks.
    pub fn seal(self) -> Result<SealReport, LibraryError> {
        self.writer.seal()
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Digest, (Arc<OpenPack>, Record)>> {
        self.places.lock().expect("no code panics while holding this lock")
    }
}
