//! One bit for each record of a pack, in digest order.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which records of a pack are referred to. Bits are set from any thread and never taken back.
#[derive(Debug)]
pub(crate) struct Marks(Vec<AtomicU64>);

impl Marks {
    /// No record of `records` is marked.
    pub(crate) fn new(records: u64) -> Self {
        Self((0..records.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Marks a record; true when it was not marked before.
    pub(crate) fn set(&self, index: u64) -> bool {
        let bit = 1 << (index % 64);
        self.0.get((index / 64) as usize).is_some_and(|word| word.fetch_or(bit, Ordering::AcqRel) & bit == 0)
    }

    pub(crate) fn get(&self, index: u64) -> bool {
        let word = self.0.get((index / 64) as usize);
        word.is_some_and(|word| word.load(Ordering::Acquire) & (1 << (index % 64)) != 0)
    }
}
