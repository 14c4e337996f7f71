//! Simulated time, and each node's own view of it.

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use restock_names::{Clock, SystemClock, Timestamp};

/// When every simulation begins, on a clock without skew.
pub(crate) const START: Timestamp = Timestamp(1_795_000_000_000_000);

/// The one time of a simulation, in microseconds since it began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Time(Arc<AtomicI64>);

impl Time {
    /// Microseconds since the beginning.
    pub(crate) fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Moves on; never back.
    pub(crate) fn advance_to(&self, at: i64) {
        self.0.fetch_max(at, Ordering::Relaxed);
    }
}

/// What is unwound when a process dies within a step.
#[derive(Debug)]
pub(crate) struct Crash;

/// A node's clock: the simulated time with a skew, and a count of how often it was read.
///
/// The count is where a node may be crashed within a step: see [`NodeClock::crash_after`].
#[derive(Debug)]
pub(crate) struct NodeClock {
    time: Time,
    base: Instant,
    skew_us: AtomicI64,
    /// The thread that runs the simulation.
    home: ThreadId,
    /// A step is being taken.
    is_stepping: AtomicBool,
    /// Readings left before the crash; `u64::MAX` for none.
    reads_left: AtomicU64,
    crash: tokio::sync::Notify,
}

impl NodeClock {
    pub(crate) fn new(time: &Time, skew: i64) -> Arc<Self> {
        Arc::new(Self {
            time: time.clone(),
            base: SystemClock.monotonic(),
            skew_us: AtomicI64::new(skew),
            home: thread::current().id(),
            is_stepping: AtomicBool::new(false),
            reads_left: AtomicU64::new(u64::MAX),
            crash: tokio::sync::Notify::new(),
        })
    }

    /// Sets the wall clock off by so many microseconds; it may jump back.
    pub(crate) fn set_skew(&self, skew: i64) {
        self.skew_us.store(skew, Ordering::Relaxed);
    }

    /// Lets [`Self::crashed`] end when the clock was read `reads` times from here on, the last time by
    /// the simulation's own thread; `None` for never.
    pub(crate) fn crash_after(&self, reads: Option<u64>) {
        self.reads_left.store(reads.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A step begins or has ended: a process dies within one only.
    pub(crate) fn step(&self, begins: bool) {
        self.is_stepping.store(begins, Ordering::Relaxed);
    }

    /// Ends at the reading that [`Self::crash_after`] named.
    pub(crate) async fn crashed(&self) {
        self.crash.notified().await;
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let before = self.reads_left.load(Ordering::Relaxed);
        if before != u64::MAX {
            let is_now = before <= 1
                && self.is_stepping.load(Ordering::Relaxed)
                && thread::current().id() == self.home;
            let left = if is_now { u64::MAX } else { before.saturating_sub(1) };
            self.reads_left.store(left, Ordering::Relaxed);
            if is_now {
                self.crash.notify_one();
                // At this very place: how far a step would get before it is dropped is a matter of chance,
                // since it does not stop where a thread has already answered.
                panic::resume_unwind(Box::new(Crash));
            }
        }
        Timestamp(START.0 + self.time.now() + self.skew_us.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Instant {
        self.base + Duration::from_micros(u64::try_from(self.time.now()).unwrap_or(0))
    }
}
