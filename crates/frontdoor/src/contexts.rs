//! What clients that read piece by piece have begun and not ended.
//!
//! [`Contexts`] keeps one door's open enumerations under random names; [`Enumeration`] is what an
//! enumeration goes on with. Between two pieces nothing is held in the database: each piece is a
//! query of its own that begins after the last row of the one before, under the rights of its time.
//!
//! What it does not do: it knows no language of a door. A door puts what else it needs to go on
//! beside the enumeration. Source: DSP0200, 5.3.2.24; DSP0226, 8.

mod enumeration;

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use restock_provider::Caller;
use restock_provider::rights::Rights;

pub(crate) use enumeration::{Enumeration, PieceError};

/// Open at once for one account at one door.
pub(crate) const CONTEXTS_PER_ACCOUNT_MAX: usize = 64;
/// Open at once at one door.
pub(crate) const CONTEXTS_MAX: usize = 4_096;
/// A context ends when it was not used for so long.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(60);

/// The account, or the door, has as many open as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} enumerations are open; end one before another is begun")]
pub(crate) struct TooMany(pub(crate) usize);

/// There is no such context for this caller: it ended, expired, or is another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the enumeration has ended or expired, or its context is not of this account and namespace")]
pub(crate) struct Unknown;

/// The open enumerations of one door.
#[derive(Debug)]
pub(crate) struct Contexts<T> {
    kept: Mutex<HashMap<String, Kept<T>>>,
}

#[derive(Debug)]
struct Kept<T> {
    account: String,
    namespace: String,
    rights: Arc<Rights>,
    idle_max: Duration,
    expires_at: Instant,
    /// `None` while a request goes on with it.
    opened: Option<T>,
}

impl<T> Default for Contexts<T> {
    fn default() -> Self {
        Self { kept: Mutex::default() }
    }
}

impl<T> Contexts<T> {
    /// Keeps what was opened under a name of 128 random bits, in hexadecimal digits.
    ///
    /// `idle_max`: at most [`IDLE_MAX`]. Errors: [`TooMany`].
    /// Panics never; without randomness from the machine nothing is opened.
    pub(crate) fn open(
        &self,
        caller: &Caller,
        namespace: &str,
        idle_max: Duration,
        opened: T,
        now: Instant,
    ) -> Result<String, TooMany> {
        let mut kept = self.lock();
        kept.retain(|_, kept| kept.opened.is_none() || kept.expires_at > now);
        let own = kept.values().filter(|kept| kept.account == caller.account).count();
        if own >= CONTEXTS_PER_ACCOUNT_MAX {
            return Err(TooMany(own));
        }
        if kept.len() >= CONTEXTS_MAX {
            return Err(TooMany(kept.len()));
        }
        let id = random_id().ok_or(TooMany(kept.len()))?;
        let idle_max = idle_max.min(IDLE_MAX);
        let context = Kept {
            account: caller.account.clone(),
            namespace: namespace.to_ascii_lowercase(),
            rights: Arc::clone(&caller.rights),
            idle_max,
            expires_at: now + idle_max,
            opened: Some(opened),
        };
        kept.insert(id.clone(), context);
        Ok(id)
    }

    /// Takes an enumeration to go on with it. It ends unless [`Taken::put_back`] is called.
    ///
    /// Errors: [`Unknown`], also while another request has it. Somebody else's stays untouched; one
    /// whose rights have changed since it was opened is ended.
    pub(crate) fn take(
        &self,
        id: &str,
        caller: &Caller,
        namespace: &str,
        now: Instant,
    ) -> Result<Taken<'_, T>, Unknown> {
        let mut kept = self.lock();
        let context = kept.get_mut(id).ok_or(Unknown)?;
        let is_own = context.account == caller.account && context.namespace.eq_ignore_ascii_case(namespace);
        if !is_own || context.opened.is_none() {
            return Err(Unknown);
        }
        if context.expires_at <= now || context.rights != caller.rights {
            kept.remove(id);
            return Err(Unknown);
        }
        let opened = context.opened.take();
        Ok(Taken { contexts: self, id: id.to_owned(), opened })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept<T>>> {
        self.kept.lock().expect("no code panics while holding this lock")
    }
}

/// An enumeration that a request goes on with; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Taken<'c, T> {
    contexts: &'c Contexts<T>,
    id: String,
    opened: Option<T>,
}

impl<T> Taken<'_, T> {
    /// Keeps it for another request under the same name.
    pub(crate) fn put_back(mut self, now: Instant) {
        if let (Some(opened), Some(kept)) = (self.opened.take(), self.contexts.lock().get_mut(&self.id)) {
            kept.opened = Some(opened);
            kept.expires_at = now + kept.idle_max;
        }
    }

    /// Ends it.
    pub(crate) fn release(self) {
        drop(self);
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.opened.as_ref().expect("it is there until it is put back")
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.opened.as_mut().expect("it is there until it is put back")
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        if self.opened.is_some() {
            self.contexts.lock().remove(&self.id);
        }
    }
}

fn random_id() -> Option<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use restock_names::{Clock as _, ManualClock, Timestamp};
    use restock_provider::Caller;
    use restock_provider::rights::Rights;

    use super::{CONTEXTS_PER_ACCOUNT_MAX, Contexts, IDLE_MAX, Unknown};

    fn caller(account: &str) -> Caller {
        Caller { account: account.to_owned(), ..Caller::local("c") }
    }

    #[test]
    fn a_context_is_bound_to_account_namespace_and_rights() {
        let (contexts, clock) = (Contexts::default(), ManualClock::new(Timestamp(0)));
        let now = clock.monotonic();
        let anna = caller("anna");
        let id = contexts.open(&anna, r"root\a", IDLE_MAX, 1, now).unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(contexts.take(&id, &caller("bert"), r"root\a", now).map(drop), Err(Unknown));
        assert_eq!(contexts.take(&id, &anna, r"root\b", now).map(drop), Err(Unknown));
        assert_eq!(contexts.take("", &anna, r"root\a", now).map(drop), Err(Unknown));
        let mut taken = contexts.take(&id, &anna, r"ROOT\a", now).unwrap();
        assert_eq!(
            contexts.take(&id, &anna, r"root\a", now).map(drop),
            Err(Unknown),
            "one request at a time"
        );
        *taken += 1;
        taken.put_back(now);
        assert_eq!(*contexts.take(&id, &anna, r"root\a", now).unwrap(), 2);
        assert_eq!(contexts.take(&id, &anna, r"root\a", now).map(drop), Err(Unknown), "it was not put back");
        let id = contexts.open(&anna, r"root\a", IDLE_MAX, 1, now).unwrap();
        let poorer = Caller { rights: Arc::new(Rights::none()), ..caller("anna") };
        assert_eq!(contexts.take(&id, &poorer, r"root\a", now).map(drop), Err(Unknown));
        assert_eq!(contexts.take(&id, &anna, r"root\a", now).map(drop), Err(Unknown), "it is gone for good");
    }

    #[test]
    fn a_context_that_is_not_used_expires() {
        let (contexts, clock) = (Contexts::default(), ManualClock::new(Timestamp(0)));
        let anna = caller("anna");
        let id = contexts.open(&anna, "n", IDLE_MAX * 10, 1, clock.monotonic()).unwrap();
        clock.advance(IDLE_MAX - Duration::from_secs(1));
        contexts.take(&id, &anna, "n", clock.monotonic()).unwrap().put_back(clock.monotonic());
        clock.advance(IDLE_MAX - Duration::from_secs(1));
        contexts.take(&id, &anna, "n", clock.monotonic()).unwrap().put_back(clock.monotonic());
        clock.advance(IDLE_MAX);
        assert_eq!(contexts.take(&id, &anna, "n", clock.monotonic()).map(drop), Err(Unknown));
    }

    #[test]
    fn an_account_has_a_limited_number() {
        let (contexts, clock) = (Contexts::default(), ManualClock::new(Timestamp(0)));
        let (anna, now) = (caller("anna"), clock.monotonic());
        let ids: Vec<String> = (0..CONTEXTS_PER_ACCOUNT_MAX)
            .map(|n| contexts.open(&anna, "n", IDLE_MAX, n, now).unwrap())
            .collect();
        assert!(contexts.open(&anna, "n", IDLE_MAX, 0, now).is_err());
        assert!(contexts.open(&caller("bert"), "n", IDLE_MAX, 0, now).is_ok());
        contexts.take(&ids[0], &anna, "n", now).unwrap().release();
        assert!(contexts.open(&anna, "n", IDLE_MAX, 0, now).is_ok());
        clock.advance(IDLE_MAX);
        assert!(contexts.open(&anna, "n", IDLE_MAX, 0, clock.monotonic()).is_ok());
    }
}
