//! Who reaches whom, and what becomes of a message on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::options::{Options, Sabotage};
use crate::random::Random;

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// The site with this index.
    Site(usize),
    /// The distribution point with this index.
    Point(usize),
}

/// How often each kind of fault happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fired(BTreeMap<&'static str, u64>);

/// What must have happened in a batch that is large enough.
const KINDS: [&str; 16] = [
    "clock jump",
    "crash",
    "crash of a point",
    "crash within a step",
    "delayed",
    "duplicated",
    "frame damaged",
    "lost",
    "one-way partition",
    "owner changed",
    "partition",
    "partition of a point",
    "pause",
    "reordered",
    "restore",
    "transfer cut",
];

impl Fired {
    /// The kinds of faults that did not happen: after many runs each must have.
    pub fn silent(&self) -> Vec<&'static str> {
        KINDS.into_iter().filter(|kind| self.of(kind) == 0).collect()
    }

    /// Counts one.
    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// How often `kind` happened.
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// All faults.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Adds what happened in another run.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        f.write_str(&each.join(", "))
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives after this delay, in order unless it may overtake, and perhaps once more.
    Arrives { delay: Duration, again: Option<Duration>, overtakes: bool },
}

/// The network of a simulation.
#[derive(Debug)]
pub(crate) struct Network {
    blocked: BTreeSet<(Place, Place)>,
    options: Options,
    random: Random,
    /// Random faults happen.
    is_faulty: bool,
    pub(crate) fired: Fired,
}

/// The shortest time a message takes.
const DELAY_MIN: Duration = Duration::from_micros(300);
/// The longest of a message that comes once more.
const DELAY_LATE: Duration = Duration::from_secs(180);
/// The longest of a network without faults.
const DELAY_CALM: Duration = Duration::from_millis(20);

impl Network {
    pub(crate) fn new(options: &Options, random: Random) -> Self {
        let is_faulty = options.sabotage != Sabotage::NoFaults;
        Self {
            blocked: BTreeSet::new(),
            options: options.clone(),
            random,
            is_faulty,
            fired: Fired::default(),
        }
    }

    /// Ends all faults.
    pub(crate) fn heal(&mut self) {
        self.blocked.clear();
        self.is_faulty = false;
    }

    /// Lets nothing pass from `from` to `to`, or lets it pass again.
    pub(crate) fn block(&mut self, from: Place, to: Place, is_blocked: bool) {
        if is_blocked {
            self.blocked.insert((from, to));
        } else {
            self.blocked.remove(&(from, to));
        }
    }

    /// Does what `from` sends arrive at `to`?
    pub(crate) fn reaches(&self, from: Place, to: Place) -> bool {
        !self.blocked.contains(&(from, to))
    }

    /// Do both hear each other?
    pub(crate) fn connects(&self, a: Place, b: Place) -> bool {
        self.reaches(a, b) && self.reaches(b, a)
    }

    /// Decides what becomes of one message.
    ///
    /// `is_ordered`: it means something only in its order, which a stream keeps.
    pub(crate) fn fate(&mut self, from: Place, to: Place, is_ordered: bool) -> Fate {
        if !self.reaches(from, to) {
            self.fired.count("blocked");
            return Fate::Lost;
        }
        if !self.is_faulty {
            let delay = self.random.time(DELAY_MIN, DELAY_CALM);
            return Fate::Arrives { delay, again: None, overtakes: false };
        }
        if self.random.chance(self.options.loss) {
            self.fired.count("lost");
            return Fate::Lost;
        }
        let (delay, mut late) = (self.delay(), None);
        if is_ordered {
            return Fate::Arrives { delay, again: None, overtakes: false };
        }
        if self.random.chance(self.options.duplicates) {
            self.fired.count("duplicated");
            // One in four comes when everybody has gone on.
            let are_sites = matches!((from, to), (Place::Site(_), Place::Site(_)));
            let again = if are_sites && self.random.below(4) == 0 {
                self.random.time(DELAY_MIN, DELAY_LATE)
            } else {
                self.delay()
            };
            late = Some(again);
        }
        let overtakes = self.random.chance(self.options.reorder);
        if overtakes {
            self.fired.count("reordered");
        }
        Fate::Arrives { delay, again: late, overtakes }
    }

    fn delay(&mut self) -> Duration {
        // Most are quick; one in eight takes its time.
        if self.random.below(8) == 0 {
            self.fired.count("delayed");
            self.random.time(DELAY_MIN, self.options.delay)
        } else {
            self.random.time(DELAY_MIN, DELAY_CALM)
        }
    }

    /// Decides whether a job is heard once more when it has long been overtaken, and when.
    pub(crate) fn echo(&mut self) -> Option<Duration> {
        if !self.is_faulty || !self.random.chance(self.options.duplicates) {
            return None;
        }
        Some(self.random.time(DELAY_MIN, DELAY_LATE))
    }

    /// Decides what becomes of a frame of content.
    pub(crate) fn frame(&mut self) -> FrameFate {
        if !self.is_faulty || !self.random.chance(2 * self.options.frames) {
            return FrameFate::Arrives;
        }
        if self.random.chance(500) {
            self.fired.count("frame damaged");
            FrameFate::Damaged(self.random.next_u64())
        } else {
            self.fired.count("transfer cut");
            FrameFate::Cut
        }
    }
}

/// What becomes of a frame of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameFate {
    Arrives,
    /// A bit chosen by this number is flipped.
    Damaged(u64),
    /// The connection ends here.
    Cut,
}
