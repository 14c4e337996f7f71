//! How long somebody waits after wrong passwords.
//!
//! For each account and address there is a count of failures; after a few free ones the pair waits,
//! twice as long after each further one, never for ever. The account stays open to other addresses.
//! It decides before a password is hashed, so that a refused attempt costs nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The limits of the back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOffLimits {
    /// Failures before the first wait.
    pub free: u32,
    /// The first wait.
    pub wait_min: Duration,
    /// The longest wait.
    pub wait_max: Duration,
    /// Pairs that are remembered; beyond it the one that was longest without a failure is forgotten.
    pub pairs_max: usize,
}

impl Default for BackOffLimits {
    fn default() -> Self {
        Self {
            free: 5,
            wait_min: Duration::from_secs(1),
            wait_max: Duration::from_secs(5 * 60),
            pairs_max: 16_384,
        }
    }
}

/// A pair is forgotten when its last failure is this many of its longest waits ago.
const FORGET_AFTER_WAITS: u32 = 3;

type Pair = (Box<str>, IpAddr);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    /// Attempts that were let through and have no result yet: each counts as a failure until then.
    pending: u32,
    last: Instant,
    closed_until: Instant,
}

/// The failures of all pairs.
#[derive(Debug)]
pub(super) struct BackOff {
    limits: BackOffLimits,
    pairs: HashMap<Pair, Failures>,
}

impl BackOff {
    pub(super) fn new(limits: BackOffLimits) -> Self {
        Self { limits, pairs: HashMap::new() }
    }

    /// Says how long to wait, if an attempt would not be let through.
    pub(super) fn check(&self, account: &str, address: IpAddr, now: Instant) -> Result<(), Duration> {
        match self.pairs.get(&pair(account, address)) {
            Some(known) if now < known.closed_until => Err(known.closed_until.saturating_duration_since(now)),
            _ => Ok(()),
        }
    }

    /// Lets an attempt through, to be followed by [`BackOff::failed`], [`BackOff::succeeded`] or
    /// [`BackOff::withdrawn`]; or says how long to wait.
    pub(super) fn begin(&mut self, account: &str, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let (free, wait_min) = (self.limits.free, self.limits.wait_min);
        let forget = self.limits.wait_max * FORGET_AFTER_WAITS;
        if let Some(known) = self.pairs.get_mut(&pair(account, address)) {
            if known.pending == 0 && now.saturating_duration_since(known.last) > forget {
                known.count = 0;
            }
            if now < known.closed_until {
                return Err(known.closed_until.saturating_duration_since(now));
            }
            // After the free attempts they are taken one at a time.
            if known.pending > 0 && known.count + known.pending >= free {
                return Err(wait_min);
            }
            known.pending += 1;
            return Ok(());
        }
        if self.pairs.len() >= self.limits.pairs_max {
            self.forget_one(now);
        }
        let fresh = Failures { count: 0, pending: 1, last: now, closed_until: now };
        self.pairs.insert(pair(account, address), fresh);
        Ok(())
    }

    pub(super) fn failed(&mut self, account: &str, address: IpAddr, now: Instant) {
        let limits = self.limits;
        if let Some(known) = self.pairs.get_mut(&pair(account, address)) {
            known.pending = known.pending.saturating_sub(1);
            known.count = known.count.saturating_add(1);
            known.last = now;
            if known.count >= limits.free {
                let doublings = (known.count - limits.free).min(20);
                known.closed_until = now + limits.wait_max.min(limits.wait_min * (1 << doublings));
            }
        }
    }

    pub(super) fn succeeded(&mut self, account: &str, address: IpAddr) {
        let key = pair(account, address);
        if let Some(known) = self.pairs.get_mut(&key) {
            known.count = 0;
            known.pending = known.pending.saturating_sub(1);
            if known.pending == 0 {
                self.pairs.remove(&key);
            }
        }
    }

    /// The attempt had no result.
    pub(super) fn withdrawn(&mut self, account: &str, address: IpAddr) {
        let key = pair(account, address);
        if let Some(known) = self.pairs.get_mut(&key) {
            known.pending = known.pending.saturating_sub(1);
            if known.pending == 0 && known.count == 0 {
                self.pairs.remove(&key);
            }
        }
    }

    /// Makes room: first what is long over, otherwise whoever has waited longest.
    fn forget_one(&mut self, now: Instant) {
        let forget = self.limits.wait_max * FORGET_AFTER_WAITS;
        self.pairs
            .retain(|_, known| known.pending > 0 || now.saturating_duration_since(known.last) <= forget);
        if self.pairs.len() >= self.limits.pairs_max {
            let idle = self.pairs.iter().filter(|(_, known)| known.pending == 0);
            if let Some(oldest) = idle.min_by_key(|(_, known)| known.last).map(|(pair, _)| pair.clone()) {
                self.pairs.remove(&oldest);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.pairs.len()
    }
}

fn pair(account: &str, address: IpAddr) -> Pair {
    (account.to_lowercase().into(), address)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use restock_names::{Clock, ManualClock, Timestamp};

    use super::{BackOff, BackOffLimits};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn waits_double_up_to_a_limit_and_other_addresses_stay_open() {
        let clock = ManualClock::new(Timestamp(0));
        let mut back_off = BackOff::new(BackOffLimits::default());
        let mut waits = Vec::new();
        for _ in 0..20 {
            let wait = back_off.begin("anna", HERE, clock.monotonic()).err().unwrap_or_default();
            waits.push(wait.as_secs());
            clock.advance(wait);
            back_off.begin("ANNA", THERE, clock.monotonic()).unwrap();
            back_off.withdrawn("anna", THERE);
            if !wait.is_zero() {
                back_off.begin("Anna", HERE, clock.monotonic()).unwrap();
            }
            back_off.failed("anna", HERE, clock.monotonic());
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300, 300, 300]);
        clock.advance(Duration::from_secs(300));
        back_off.begin("anna", HERE, clock.monotonic()).unwrap();
        back_off.succeeded("anna", HERE);
        assert_eq!(back_off.len(), 0, "a right password ends it");
    }

    #[test]
    fn attempts_without_a_result_count_as_failures() {
        let clock = ManualClock::new(Timestamp(0));
        let mut back_off = BackOff::new(BackOffLimits::default());
        let let_through =
            (0..10_000).filter(|_| back_off.begin("anna", HERE, clock.monotonic()).is_ok()).count();
        assert_eq!(let_through, 5);
    }

    #[test]
    fn memory_is_bounded_whatever_names_are_tried() {
        let clock = ManualClock::new(Timestamp(0));
        let limits = BackOffLimits { pairs_max: 100, ..BackOffLimits::default() };
        let mut back_off = BackOff::new(limits);
        for n in 0..5_000 {
            let name = format!("user{n}");
            back_off.begin(&name, HERE, clock.monotonic()).unwrap();
            back_off.failed(&name, HERE, clock.monotonic());
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(back_off.len(), 100);
    }
}
