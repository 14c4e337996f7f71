//! What a run does: everything is derived from the seed.

use std::fmt;
use std::time::Duration;

use crate::random::Random;

/// Requests of people in a run, at most.
const REQUESTS_MAX: u64 = 13;

/// What is taken out of the receivers, to show that the harness sees it. Never used in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// Distribution points take any signed version, also one below what they have.
    EpochUnchecked,
    /// Restored sites wait for nobody.
    NoWait,
    /// The injector of faults does nothing.
    NoFaults,
}

/// How one run is made. Equal options give equal traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where all randomness comes from.
    pub seed: u64,
    /// How long faults are injected, in simulated time.
    pub faults: Duration,
    /// What people ask for in that time.
    pub requests: u64,
    /// Messages of 1000 that are lost; a lost message breaks its connection after a while.
    pub loss: u64,
    /// Messages of 1000 that come twice.
    pub duplicates: u64,
    /// Messages of 1000 that may overtake others.
    pub reorder: u64,
    /// The longest delay of a message.
    pub delay: Duration,
    /// Frames of content of 1000 that are damaged, and as many that break off the transfer.
    pub frames: u64,
    /// Faults of nodes and of the network, one after another.
    pub incidents: u64,
    /// The largest skew of a clock.
    pub skew: Duration,
    /// See [`Sabotage`].
    pub sabotage: Sabotage,
}

impl Options {
    /// The options that belong to `seed`.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5eed_0f0f_0f0f_5eed);
        Self {
            seed,
            faults: random.time(Duration::from_secs(4 * 60), Duration::from_secs(11 * 60)),
            requests: random.between(6, REQUESTS_MAX),
            loss: random.between(0, 40),
            duplicates: random.between(0, 60),
            reorder: random.between(0, 60),
            delay: random.time(Duration::from_millis(20), Duration::from_secs(4)),
            frames: random.between(0, 30),
            incidents: random.between(6, 14),
            skew: random.time(Duration::ZERO, Duration::from_secs(120)),
            sabotage: Sabotage::None,
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            faults,
            requests,
            loss,
            duplicates,
            reorder,
            delay,
            frames,
            incidents,
            skew,
            sabotage,
        } = self;
        write!(
            f,
            "seed={seed} faults={:.0}s requests={requests} loss={loss}‰ duplicates={duplicates}‰ \
             reorder={reorder}‰ delay={}ms frames={frames}‰ incidents={incidents} skew={:.1}s",
            faults.as_secs_f64(),
            delay.as_millis(),
            skew.as_secs_f64(),
        )?;
        match sabotage {
            Sabotage::None => Ok(()),
            other => write!(f, " sabotage={other:?}"),
        }
    }
}
