//! Many runs: kept seeds first, side by side on the machine's cores, each quick seed twice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::SimulateError;
use crate::image::Image;
use crate::network::Fired;
use crate::options::Options;
use crate::run::{Verdict, run};

/// Seeds that once failed; they are run for ever.
const KEPT: &str = include_str!("../seeds.txt");

/// The seeds that once failed.
pub fn kept_seeds() -> Vec<u64> {
    KEPT.lines().filter_map(|line| line.split('#').next()?.trim().parse().ok()).collect()
}

/// Runs to be made.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// Runs at once; each has a thread.
    pub jobs: usize,
    /// Whether each is run a second time, which must leave the same trace.
    pub twice: bool,
    /// Writes every line of the traces to the log.
    pub prints: bool,
}

/// What came of a batch.
#[derive(Debug, Clone, Default)]
pub struct BatchReport {
    /// Runs made, not counting second ones.
    pub runs: usize,
    /// Those in which something did not hold.
    pub failed: Vec<Verdict>,
    /// How often each fault happened.
    pub fired: Fired,
    /// Events taken.
    pub steps: u64,
    /// Versions published.
    pub versions: usize,
}

impl Batch {
    /// Makes the runs in their order; `on` hears of each verdict as it comes, from the thread that made it.
    ///
    /// `goes_on` is asked before each run. Errors: the first run that could not be made.
    pub fn run(
        &self,
        runs: impl Iterator<Item = Options> + Send,
        on: &(dyn Fn(&Verdict) + Sync),
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<BatchReport, SimulateError> {
        let image = runtime()?.block_on(Image::prepare())?;
        let (next, stop) = (Mutex::new(runs), AtomicBool::new(false));
        let report = Mutex::new(BatchReport::default());
        let failed = Mutex::new(None);
        std::thread::scope(|scope| {
            for worker in 0..self.jobs.max(1) {
                let (next, stop, report, failed, image) = (&next, &stop, &report, &failed, &image);
                scope.spawn(move || {
                    stay_on_one_core(worker);
                    while !stop.load(Ordering::Relaxed) && goes_on() {
                        let Some(options) = next.lock().ok().and_then(|mut next| next.next()) else { return };
                        match self.one(image, &options) {
                            Ok(verdict) => {
                                on(&verdict);
                                if let Ok(mut report) = report.lock() {
                                    report.add(verdict);
                                }
                            }
                            Err(error) => {
                                stop.store(true, Ordering::Relaxed);
                                if let Ok(mut failed) = failed.lock() {
                                    failed.get_or_insert(SimulateError::Run {
                                        options: options.to_string(),
                                        source: Box::new(error),
                                    });
                                }
                            }
                        }
                    }
                });
            }
        });
        match failed.into_inner().ok().flatten() {
            Some(error) => Err(error),
            None => {
                report.into_inner().map_err(|_poisoned| SimulateError::Runtime("a run panicked".to_owned()))
            }
        }
    }

    fn one(&self, image: &Image, options: &Options) -> Result<Verdict, SimulateError> {
        let mut first = runtime()?.block_on(Box::pin(run(image, options, self.prints)))?;
        if self.twice {
            let second = runtime()?.block_on(Box::pin(run(image, options, false)))?;
            if second.trace_hash != first.trace_hash {
                first.failures.push(format!(
                    "the second run left another trace: {} instead of {}",
                    second.trace_hash, first.trace_hash
                ));
            }
        }
        Ok(first)
    }
}

impl BatchReport {
    fn add(&mut self, verdict: Verdict) {
        self.runs += 1;
        self.fired.add(&verdict.fired);
        self.steps += verdict.steps;
        self.versions += verdict.versions;
        if !verdict.is_good() {
            self.failed.push(verdict);
        }
    }
}

/// Keeps this thread and all it starts on one core. A database answers from a thread of its own, and
/// between two cores each answer costs a wake-up: this halves what a run takes.
pub(crate) fn stay_on_one_core(worker: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    let Some(core) = cores.get(worker % cores.len().max(1)) else { return };
    let mut one = CpuSet::new();
    one.set(*core);
    if let Err(error) = sched_setaffinity(None, &one) {
        tracing::debug!(%error, "the runs are not kept on one core");
    }
}

/// One thread for everything of a run; what blocks has threads of its own and is waited for.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, SimulateError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| SimulateError::Runtime(error.to_string()))
}
