//! Frames of packs that are not sealed yet, found by digest.
//!
//! Each writer and each draft has a set of its own: what another one has on its way may yet be
//! given up, so it counts as held for its own writer only.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hashbrown::HashTable;
use restock_names::Digest;

use crate::pack::{Encoding, FrameKind, OpenPack, Record};

const SHARDS: usize = 64;
/// A shard that is full grows by one part in so many: doubling it would leave half of it unused.
const GROWTH: usize = 8;

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

/// The frames one writer has on their way, split by digest so that its threads seldom meet. Memory: about
/// 70 bytes a frame.
#[derive(Debug)]
pub(super) struct Live {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// Open packs that frames are in; `None` once forgotten.
    packs: RwLock<Vec<Option<Arc<OpenPack>>>>,
}

/// A map: places of digests in a list.
#[derive(Debug, Default)]
struct Shard {
    places: HashTable<u32>,
    slots: Vec<(Digest, Slot)>,
}

impl Shard {
    fn get(&self, hash: u64, digest: &Digest) -> Option<&Slot> {
        let place = self.places.find(hash, |place| self.slots[*place as usize].0 == *digest)?;
        Some(&self.slots[*place as usize].1)
    }

    fn insert(&mut self, hasher: &RandomState, digest: Digest, slot: Slot) {
        let Self { places, slots } = self;
        let hash = hasher.hash_one(digest);
        if let Some(place) = places.find(hash, |place| slots[*place as usize].0 == digest) {
            slots[*place as usize].1 = slot;
            return;
        }
        if slots.len() == slots.capacity() {
            slots.reserve_exact(slots.len() / GROWTH + GROWTH);
        }
        places.insert_unique(hash, slots.len() as u32, |place| hasher.hash_one(slots[*place as usize].0));
        slots.push((digest, slot));
    }

    fn remove(&mut self, hasher: &RandomState, digest: &Digest) {
        let Self { places, slots } = self;
        let is_it = |place: &u32| slots[*place as usize].0 == *digest;
        let Ok(found) = places.find_entry(hasher.hash_one(digest), is_it) else { return };
        let (place, _) = found.remove();
        slots.swap_remove(place as usize);
        // The last one lies there from here on.
        if let Some((moved, _)) = slots.get(place as usize) {
            let last = slots.len() as u32;
            if let Some(known) = places.find_mut(hasher.hash_one(moved), |at| *at == last) {
                *known = place;
            }
        }
    }
}

const CLAIMED: u32 = u32::MAX;

impl Default for Live {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), packs: RwLock::default() }
    }
}

impl Live {
    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
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
        let known = shard.get(self.hasher.hash_one(digest), digest);
        if known.is_some_and(|slot| self.is_known(slot)) || is_held()? {
            return Ok(false);
        }
        let (encoding, kind) = (Encoding::Raw, FrameKind::Chunk);
        let claimed = Slot { offset: 0, stored_length: 0, raw_length: 0, pack: CLAIMED, encoding, kind };
        shard.insert(&self.hasher, *digest, claimed);
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
        let slot = Slot { offset, stored_length, raw_length, pack, encoding, kind };
        self.shard(&digest).insert(&self.hasher, digest, slot);
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
        let slot = *self.shard(digest).get(self.hasher.hash_one(digest), digest)?;
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
        let known = shard.get(self.hasher.hash_one(digest), digest);
        if known.is_some_and(|slot| slot.pack == CLAIMED) {
            shard.remove(&self.hasher, digest);
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::{Live, LiveFrame};
    use crate::hash::chunk_digest;

    #[test]
    fn claims_that_are_taken_back_can_be_made_again_and_the_others_stay() {
        let live = Live::default();
        let digests: Vec<_> = (0..5_000_u32).map(|n| chunk_digest(&n.to_le_bytes())).collect();
        let claim = |digest| live.claim(digest, || Ok::<_, Infallible>(false)).expect("nothing fails");
        assert!(digests.iter().all(claim));
        let mut is_claimed = vec![true; digests.len()];
        // In an order that has nothing to do with that of the claims.
        for step in 0..4_000 {
            let at = step * 2_377 % digests.len();
            live.unclaim(&digests[at]);
            is_claimed[at] = false;
        }
        for (digest, is_claimed) in digests.iter().zip(&is_claimed) {
            assert_eq!(matches!(live.get(digest), Some(LiveFrame::Claimed)), *is_claimed);
            assert_eq!(claim(digest), !is_claimed, "a claim is made once");
        }
        assert!(!digests.iter().any(claim));
    }
}
