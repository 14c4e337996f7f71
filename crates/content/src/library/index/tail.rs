//! Packs that the index file does not have yet, found through memory.

use std::sync::Arc;

use restock_names::Digest;

use super::packs::{FindError, Found};
use crate::pack::{Run, SealedPack};

/// Frames the tail may have. Memory: 16 bytes for each.
pub(super) const TAIL_FRAMES_MAX: usize = 1 << 20;

/// The beginning of a digest, and which record of which pack has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    prefix: u64,
    pack: u32,
    number: u32,
}

/// Records of packs that were sealed lately, in order of their digests. Copy on write.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    packs: Vec<Arc<SealedPack>>,
    entries: Vec<Entry>,
}

impl Tail {
    pub(super) fn packs(&self) -> &[Arc<SealedPack>] {
        &self.packs
    }

    pub(super) fn frames(&self) -> usize {
        self.entries.len()
    }

    /// Is there room for so many more frames?
    pub(super) fn admits(&self, frames: usize) -> bool {
        self.entries.len() + frames <= TAIL_FRAMES_MAX
    }

    /// Takes packs in with their records (digest prefix and number, in order).
    pub(super) fn add(&mut self, packs: impl IntoIterator<Item = (Arc<SealedPack>, Run)>) {
        for (pack, run) in packs {
            let at = self.packs.len() as u32;
            self.packs.push(pack);
            self.entries.extend(run.into_iter().map(|(prefix, number)| Entry { prefix, pack: at, number }));
        }
        // Runs in order behind each other are merged, not sorted anew.
        self.entries.sort();
    }

    /// Lets go of packs.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Arc<SealedPack>) -> bool) {
        let mut kept = Vec::new();
        let places: Vec<Option<u32>> = std::mem::take(&mut self.packs)
            .into_iter()
            .map(|pack| {
                is_kept(&pack).then(|| {
                    kept.push(pack);
                    kept.len() as u32 - 1
                })
            })
            .collect();
        if kept.len() < places.len() {
            self.entries.retain_mut(|entry| match places[entry.pack as usize] {
                Some(place) => {
                    entry.pack = place;
                    true
                }
                None => false,
            });
            self.entries.shrink_to_fit();
        }
        self.packs = kept;
    }

    /// The newest copy of a frame that `takes` takes. Cost: one read for each copy, none when there is none.
    pub(super) fn find(
        &self,
        digest: &Digest,
        takes: &impl Fn(&SealedPack, u64) -> bool,
    ) -> Result<Option<Found>, FindError> {
        let wanted = digest.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let first = self.entries.partition_point(|entry| entry.prefix < wanted);
        let mut copies: Vec<(&Arc<SealedPack>, u64)> = self.entries[first..]
            .iter()
            .take_while(|entry| entry.prefix == wanted)
            .map(|entry| (&self.packs[entry.pack as usize], u64::from(entry.number)))
            .collect();
        copies.sort_by_key(|(pack, _)| std::cmp::Reverse(pack.header.sequence));
        for (pack, number) in copies {
            let record = pack.record(number).map_err(|source| FindError::Table(Arc::clone(pack), source))?;
            if let Some(record) = record.filter(|record| record.digest == *digest)
                && takes(pack, number)
            {
                return Ok(Some((Arc::clone(pack), number, record)));
            }
        }
        Ok(None)
    }
}
