//! Who reads or builds on what the library holds, so that cleaning can wait for them.
//!
//! A [`Hold`] is taken before a statement is looked up or a draft begun, and dropped when the answer
//! is sent, or when the statement of what was built is stored. Cleaning hides what nothing refers to,
//! then waits until every hold that was taken before has been dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Inner, Library};

/// Keeps everything that could be found when it was taken from being deleted. Cheap to take.
#[derive(Debug)]
pub struct Hold {
    inner: Arc<Inner>,
    generation: u64,
}

/// How many holds there are of each generation; cleaning begins a generation when it has hidden
/// something.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    generation: u64,
    counts: BTreeMap<u64, u64>,
}

impl Holds {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no code panics while holding this lock")
    }

    /// Begins another generation; returns the last one before it.
    pub(super) fn begin_generation(&self) -> u64 {
        let mut state = self.lock();
        state.generation += 1;
        state.generation - 1
    }

    /// Holds of `generation` and those before it.
    pub(super) fn until(&self, generation: u64) -> u64 {
        self.lock().counts.range(..=generation).map(|(_, count)| count).sum()
    }
}

impl Library {
    /// Takes a hold: until it is dropped, nothing that can be found is deleted.
    pub fn hold(&self) -> Hold {
        Hold::new(&self.inner)
    }
}

impl Hold {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        let mut state = inner.holds.lock();
        let generation = state.generation;
        *state.counts.entry(generation).or_default() += 1;
        drop(state);
        Self { inner: Arc::clone(inner), generation }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.inner.holds.lock();
        let is_last = state.counts.get_mut(&self.generation).is_some_and(|count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
        if is_last {
            state.counts.remove(&self.generation);
        }
    }
}
