//! One run: faults, then calm, then the verdict.

use std::fmt;
use std::time::Duration;

use crate::error::SimulateError;
use crate::image::Image;
use crate::network::Fired;
use crate::options::Options;
use crate::schedule::micros;
use crate::world::World;

/// How long everything may take to converge once faults are over, in simulated time.
const CONVERGENCE_MAX: Duration = Duration::from_secs(45 * 60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(20);
/// The looks before which administrators of restored sites set source paths again.
const ANSWERS: [u32; 2] = [4, 14];
/// Steps of a run, at most.
const STEPS_MAX: u64 = 400_000;
/// Differences and trace lines that a failure prints.
const SHOWN_MAX: usize = 40;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What was run.
    pub options: Options,
    /// What did not hold; empty when everything did.
    pub failures: Vec<String>,
    /// The hash of the trace.
    pub trace_hash: String,
    /// The last lines of the trace, of a run that failed.
    pub trace_tail: Vec<String>,
    /// How often each fault happened.
    pub fired: Fired,
    /// Events taken.
    pub steps: u64,
    /// Requests that were acknowledged.
    pub acknowledged: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Versions that were published.
    pub versions: usize,
    /// Simulated time, and the part of it after the faults.
    pub simulated: Duration,
    /// From the end of the faults to convergence.
    pub converged_in: Duration,
}

impl Verdict {
    /// Did everything hold?
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_good() { "ok" } else { "FAILED" };
        write!(
            f,
            "seed {} {word}: {} steps, {} versions, {} requests ({} refused), {:.0} s simulated, converged in {:.0} s, \
             {} faults, trace {}",
            self.options.seed,
            self.steps,
            self.versions,
            self.acknowledged,
            self.refused,
            self.simulated.as_secs_f64(),
            self.converged_in.as_secs_f64(),
            self.fired.total(),
            self.trace_hash,
        )
    }
}

/// Runs `options` in a copy of `image`.
///
/// `prints` writes every line of the trace to the log. Errors: the simulation itself; what it finds is
/// in the verdict.
pub async fn run(image: &Image, options: &Options, prints: bool) -> Result<Verdict, SimulateError> {
    let mut world = Box::pin(World::build(image, options, prints)).await?;
    let mut failures = Vec::new();
    let end_of_faults = micros(options.faults);
    while world.ledger.violation.is_none() && world.steps < STEPS_MAX {
        if !Box::pin(world.step(end_of_faults)).await? {
            break;
        }
    }
    world.time.advance_to(end_of_faults);
    let mut converged_at = None;
    if world.ledger.violation.is_none() {
        Box::pin(world.calm()).await?;
        converged_at = Box::pin(converge(&mut world, &mut failures)).await?;
    }
    if let Some(violation) = world.ledger.violation.take() {
        failures.insert(0, violation);
    }
    if failures.is_empty() {
        failures.extend(Box::pin(world.audit()).await?);
    }
    let fired = world.shared.network().fired.clone();
    // What people do is no fault.
    if fired.total() == fired.of("owner changed") {
        failures.push("no fault was injected: the injector does nothing".to_owned());
    }
    let simulated = Duration::from_micros(u64::try_from(world.time.now()).unwrap_or(0));
    let verdict = Verdict {
        options: options.clone(),
        trace_hash: world.trace.hash(),
        trace_tail: if failures.is_empty() { Vec::new() } else { world.trace.tail(SHOWN_MAX) },
        failures,
        fired,
        steps: world.steps,
        acknowledged: world.ledger.acknowledged,
        refused: world.ledger.refused,
        versions: world.ledger.versions(),
        simulated,
        converged_in: converged_at.map_or(Duration::ZERO, |at: i64| {
            Duration::from_micros(u64::try_from(at - end_of_faults).unwrap_or(0))
        }),
    };
    Box::pin(world.close()).await;
    Ok(verdict)
}

/// Lets the world go on until everything is as it should be, at most for the bound.
async fn converge(world: &mut World, failures: &mut Vec<String>) -> Result<Option<i64>, SimulateError> {
    let begun = world.time.now();
    let mut look_at = begun;
    let mut looks = 0;
    loop {
        look_at += micros(LOOK);
        looks += 1;
        if ANSWERS.contains(&looks) {
            Box::pin(world.answer_for_sources()).await?;
        }
        while world.ledger.violation.is_none()
            && world.steps < STEPS_MAX
            && Box::pin(world.step(look_at)).await?
        {}
        world.time.advance_to(look_at);
        if world.ledger.violation.is_some() {
            return Ok(None);
        }
        let mut found = Box::pin(world.differences()).await?;
        if found.is_empty() {
            return Ok(Some(look_at));
        }
        if look_at - begun >= micros(CONVERGENCE_MAX) || world.steps >= STEPS_MAX {
            let more = found.len().saturating_sub(SHOWN_MAX);
            found.truncate(SHOWN_MAX);
            failures.extend(found.into_iter().map(|what| format!("not converged: {what}")));
            if more > 0 {
                failures.push(format!("not converged: {more} more differences"));
            }
            return Ok(None);
        }
    }
}
