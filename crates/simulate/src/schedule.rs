//! The scheduler: events in simulated time, one at a time, ties broken by the seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::clock::Time;
use crate::random::Random;

/// Events that wait.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    time: Time,
    queue: BinaryHeap<Reverse<(i64, u64, u64)>>,
    events: HashMap<u64, E>,
    last: u64,
    random: Random,
}

/// A duration in microseconds.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl<E> Schedule<E> {
    pub(crate) fn new(time: &Time, random: Random) -> Self {
        let queue = BinaryHeap::new();
        Self { time: time.clone(), queue, events: HashMap::new(), last: 0, random }
    }

    /// Lets `event` happen `delay` from here.
    pub(crate) fn after(&mut self, delay: Duration, event: E) {
        self.at(self.time.now().saturating_add(micros(delay)), event);
    }

    /// Lets `event` happen at `at`, or at once when that has passed.
    pub(crate) fn at(&mut self, at: i64, event: E) {
        self.last += 1;
        self.queue.push(Reverse((at.max(self.time.now()), self.random.next_u64(), self.last)));
        self.events.insert(self.last, event);
    }

    /// The next event; time moves on to it. `None` when nothing waits before `end`.
    pub(crate) fn next(&mut self, end: i64) -> Option<E> {
        let Reverse((at, _, number)) = *self.queue.peek()?;
        if at > end {
            return None;
        }
        self.queue.pop();
        self.time.advance_to(at);
        self.events.remove(&number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Schedule;
    use crate::clock::Time;
    use crate::random::Random;

    #[test]
    fn events_come_in_time_order_and_the_seed_breaks_ties() {
        let order = |seed| {
            let time = Time::default();
            let mut schedule = Schedule::new(&time, Random::new(seed));
            for event in 0..20 {
                schedule.after(Duration::from_millis(event / 10), event);
            }
            let events: Vec<u64> = std::iter::from_fn(|| schedule.next(10_000)).collect();
            assert_eq!(time.now(), 1_000);
            assert!(events[..10].iter().all(|event| *event < 10));
            events
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
