//! Frames of packs that are not sealed yet, found by digest.
//!
//! Each writer and each draft has a set of its own: what another one has on its way may yet be
//! given up, so it counts as held for its own writer only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use restock_names::Digest;

use crate::pack::{Encoding, FrameKind, OpenPack, Record};

const SHARDS: usize = 64;

/// One frame on its way.
#[derive(Debug, Clone)]
pub(super) enum LiveFrame {
    /// A writer is storing it now.
    Claimed,
    /// Its bytes are in an open pack.
    Written(Arc<OpenPack>, Record),
}

/// A frame as it is remembered: millions of them are on their way at once.
#[derive(Debug, Clone, Copy)]
struct Slot {
    offset: u64,
    stored_length: u32,
    raw_length: u32,
    /// Place of its pack among those of [`Live::packs`]; [`CLAIMED`] before its bytes are written.
    pack: u32,
    encoding: Encoding,
    kind: FrameKind,
}

const CLAIMED: u32 = u32::MAX;

/// The frames one writer has on their way, split by digest so that its threads seldom meet.
#[derive(Debug)]
pub(super) struct Live {
    shards: Vec<Mutex<HashMap<Digest, Slot>>>,
    /// Open packs that frames are in; `None` once forgotten.
    packs: RwLock<Vec<Option<Arc<OpenPack>>>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), packs: RwLock::default() }
    }
}

impl Live {
    fn shard(&self, digest: &Digest) -> MutexGuard<'_, HashMap<Digest, Slot>> {
        let shard = &self.shards[usize::from(digest.0[0]) % SHARDS];
        shard.lock().expect("no code panics while holding this lock")
    }

    /// Claims `digest` unless it is on its way already or `is_held` says it is stored.
    pub(super) fn claim<E>(
        &self,
        digest: &Digest,
        is_held: impl FnOnce() -> Result<bool, E>,
    ) -> Result<bool, E> {
        let mut shard = self.shard(digest);
        if shard.get(digest).is_some_and(|slot| self.is_known(slot)) || is_held()? {
            return Ok(false);
        }
        let (encoding, kind) = (Encoding::Raw, FrameKind::Chunk);
        let claimed = Slot { offset: 0, stored_length: 0, raw_length: 0, pack: CLAIMED, encoding, kind };
        shard.insert(*digest, claimed);
        Ok(true)
    }

    /// False when the frame's pack was forgotten.
    fn is_known(&self, slot: &Slot) -> bool {
        slot.pack == CLAIMED || self.pack(slot.pack).is_some()
    }

    fn pack(&self, place: u32) -> Option<Arc<OpenPack>> {
        let packs = self.packs.read().unwrap_or_else(PoisonError::into_inner);
        packs.get(place as usize)?.clone()
    }

    pub(super) fn written(&self, pack: &Arc<OpenPack>, record: Record) {
        let Record { digest, offset, stored_length, raw_length, encoding, kind } = record;
        let pack = self.place_of(pack);
        self.shard(&digest).insert(digest, Slot { offset, stored_length, raw_length, pack, encoding, kind });
    }

    /// The place of a pack in the list. Most frames go to the last one.
    fn place_of(&self, pack: &Arc<OpenPack>) -> u32 {
        let find = |packs: &[Option<Arc<OpenPack>>]| {
            let is_it =
                |known: &Option<Arc<OpenPack>>| known.as_ref().is_some_and(|known| Arc::ptr_eq(known, pack));
            packs.iter().rposition(is_it).map(|place| place as u32)
        };
        let known = find(&self.packs.read().unwrap_or_else(PoisonError::into_inner));
        known.unwrap_or_else(|| {
            let mut packs = self.packs.write().unwrap_or_else(PoisonError::into_inner);
            find(&packs).unwrap_or_else(|| {
                packs.push(Some(Arc::clone(pack)));
                (packs.len() - 1) as u32
            })
        })
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<LiveFrame> {
        let slot = *self.shard(digest).get(digest)?;
        if slot.pack == CLAIMED {
            return Some(LiveFrame::Claimed);
        }
        let Slot { offset, stored_length, raw_length, pack, encoding, kind } = slot;
        let pack = self.pack(pack)?;
        let record = Record { digest: *digest, offset, stored_length, raw_length, encoding, kind };
        Some(LiveFrame::Written(pack, record))
    }

    /// Takes back a claim whose bytes could not be stored.
    pub(super) fn unclaim(&self, digest: &Digest) {
        let mut shard = self.shard(digest);
        if shard.get(digest).is_some_and(|slot| slot.pack == CLAIMED) {
            shard.remove(digest);
        }
    }

    /// Forgets the frames of one pack: it was sealed or given up. Their slots stay until all of this is
    /// dropped, which is soon: the packs of a writer are sealed together.
    pub(super) fn forget(&self, pack: &OpenPack) {
        let mut packs = self.packs.write().unwrap_or_else(PoisonError::into_inner);
        let is_it = |known: &Option<Arc<OpenPack>>| {
            known.as_ref().is_some_and(|known| known.sequence == pack.sequence)
        };
        packs.iter_mut().filter(|known| is_it(known)).for_each(|known| *known = None);
    }
}
