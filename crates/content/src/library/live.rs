//! Frames of packs that are not sealed yet, found by digest.
//!
//! Each writer and each draft has a set of its own: what another one has on its way may yet be
//! given up, so it counts as held for its own writer only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use restock_names::Digest;

use crate::pack::{OpenPack, Record};

const SHARDS: usize = 64;

/// One frame on its way.
#[derive(Debug, Clone)]
pub(super) enum LiveFrame {
    /// A writer is storing it now.
    Claimed,
    /// Its bytes are in an open pack.
    Written(Arc<OpenPack>, Record),
}

/// The frames one writer has on their way, split by digest so that its threads seldom meet.
#[derive(Debug)]
pub(super) struct Live {
    shards: Vec<Mutex<HashMap<Digest, LiveFrame>>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Live {
    fn shard(&self, digest: &Digest) -> MutexGuard<'_, HashMap<Digest, LiveFrame>> {
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
        if shard.contains_key(digest) || is_held()? {
            return Ok(false);
        }
        shard.insert(*digest, LiveFrame::Claimed);
        Ok(true)
    }

    pub(super) fn written(&self, pack: &Arc<OpenPack>, record: Record) {
        self.shard(&record.digest).insert(record.digest, LiveFrame::Written(Arc::clone(pack), record));
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<LiveFrame> {
        self.shard(digest).get(digest).cloned()
    }

    /// Takes back a claim whose bytes could not be stored.
    pub(super) fn unclaim(&self, digest: &Digest) {
        let mut shard = self.shard(digest);
        if matches!(shard.get(digest), Some(LiveFrame::Claimed)) {
            shard.remove(digest);
        }
    }

    /// Forgets the frames of one pack: it was sealed or given up.
    pub(super) fn forget(&self, pack: &OpenPack) {
        for record in pack.records() {
            let mut shard = self.shard(&record.digest);
            if matches!(shard.get(&record.digest), Some(LiveFrame::Written(of, _)) if of.sequence == pack.sequence)
            {
                shard.remove(&record.digest);
            }
        }
    }
}
