//! Cleaning as a loop does it: the history is cut, then a collection begins, waits and ends.
//!
//! [`Cleaner::step`] does what is due and never waits for anybody. Who calls it decides whether a
//! library may be cleaned at all.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restock_names::Timestamp;

use super::{CollectError, CollectOptions, Collected, Collection, Library};

/// How a library is cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanConfig {
    /// Time from one cleaning to the next.
    pub period: Duration,
    /// What was stored more recently is left alone.
    pub grace: Duration,
    /// Versions of each package that are kept, the active one included.
    pub versions_kept: usize,
}

impl Default for CleanConfig {
    fn default() -> Self {
        let hour = Duration::from_secs(60 * 60);
        Self { period: hour, grace: hour, versions_kept: 3 }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleaned {
    /// Nothing is due before.
    NotDue(Timestamp),
    /// What nothing refers to is hidden; so many downloads and drafts that began before are waited for.
    Waits(u64),
    /// It ended.
    Done {
        /// What was deleted.
        collected: Collected,
        /// Statements that the history does not keep any more.
        versions_removed: u64,
    },
}

/// Cleans one library, step by step.
#[derive(Debug)]
pub struct Cleaner {
    library: Arc<Library>,
    config: CleanConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Option<Timestamp>,
    waiting: Option<(Collection, u64)>,
}

impl Cleaner {
    /// Cleans `library`, for the first time a period after the first step.
    pub fn new(library: Arc<Library>, config: CleanConfig) -> Self {
        Self { library, config, state: Mutex::default() }
    }

    /// The library.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// True when the next step would begin or end a cleaning at `now`, or one is being done. Never waits.
    pub fn is_due(&self, now: Timestamp) -> bool {
        match self.state.try_lock() {
            Ok(state) => state.waiting.is_some() || state.next.is_some_and(|next| next <= now),
            Err(_busy) => true,
        }
    }

    /// Does what is due at `now`; with `is_asked` a cleaning begins although it is not time, with
    /// `grace` in place of the configured one.
    ///
    /// Errors: [`CollectError`]; the next period tries again.
    pub fn step(
        &self,
        now: Timestamp,
        asked: Option<Duration>,
        mut step: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Cleaned, CollectError> {
        let mut state = self.lock();
        if state.waiting.is_none() {
            let next = *state.next.get_or_insert(now.after(self.config.period));
            // A clock that was set back must not put it off for ever.
            let is_due = next <= now || next > now.after(self.config.period);
            if !is_due && asked.is_none() {
                return Ok(Cleaned::NotDue(next));
            }
            state.next = Some(now.after(self.config.period));
            let mut removed = 0;
            for package in self.library.packages() {
                removed += self.library.trim(&package, self.config.versions_kept)?.len() as u64;
            }
            let options = CollectOptions {
                now,
                grace: asked.unwrap_or(self.config.grace),
                rewrite_bytes_max: self.rewrite_bytes_max()?,
            };
            state.waiting = Some((self.library.collect(options, || step(0))?, removed));
        }
        let waits = state.waiting.as_ref().map_or(0, |(collection, _)| collection.waits_for());
        if waits > 0 {
            return Ok(Cleaned::Waits(waits));
        }
        let Some((collection, versions_removed)) = state.waiting.take() else {
            return Ok(Cleaned::NotDue(now.after(self.config.period)));
        };
        let collected = collection.finish(step)?;
        // What was written anew is not what was received.
        let received = &self.library.inner.received_bytes;
        if collected.packs_rewritten > 0 {
            received.store(0, Ordering::Relaxed);
        }
        self.library.remember_damage(now)?;
        Ok(Cleaned::Done { collected, versions_removed })
    }

    /// Never more than was received since the last time, unless room is short; never more than fits.
    fn rewrite_bytes_max(&self) -> Result<u64, CollectError> {
        let space = self.library.space()?;
        let received = self.library.inner.received_bytes.load(Ordering::Relaxed);
        let wanted = if space.is_short() { u64::MAX } else { received };
        Ok(wanted.min(space.usable_bytes()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A collection that panicked was dropped, which changes nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
