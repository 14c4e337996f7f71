//! Time as a value: wall time in UTC microseconds, and monotonic time for waiting.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment in wall time.
///
/// Shape: microseconds since 1970-01-01T00:00:00Z, negative before. Shown as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `delay` later, saturating at the ends of the range.
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(delay.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

/// Where a component reads time. Production uses [`SystemClock`], tests [`ManualClock`].
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall time, for what people and databases see. It may jump.
    fn now(&self) -> Timestamp;
    /// Monotonic time, for waiting and measuring.
    fn monotonic(&self) -> Instant;
}

/// The clocks of this machine. The one place that reads them.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(d) => Timestamp(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => Timestamp(i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |v| -v)),
        }
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    start: Instant,
    state: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// A clock that shows `now` until it is advanced.
    pub fn new(now: Timestamp) -> Self {
        Self { start: SystemClock.monotonic(), state: Mutex::new((now, Duration::ZERO)) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().expect("no code panics while holding this lock");
        state.0 = state.0.after(by);
        state.1 += by;
    }

    /// Sets the wall clock, forward or back, as an operator does; the monotonic one stands still.
    pub fn jump_to(&self, now: Timestamp) {
        self.state.lock().expect("no code panics while holding this lock").0 = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().expect("no code panics while holding this lock").0
    }

    fn monotonic(&self) -> Instant {
        self.start + self.state.lock().expect("no code panics while holding this lock").1
    }
}
