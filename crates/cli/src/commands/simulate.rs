//! `restock simulate`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use restock_names::{Clock as _, SystemClock};
use restock_simulate::{
    Batch, BatchReport, Options, StarCost, StarOptions, Verdict, kept_seeds, measure_star,
};
use serde_json::{Value, json};

use crate::commands::Session;
use crate::failure::{Failure, Kind};
use crate::output::{Done, Output, count};

/// Failures that are printed as a whole; of others the seed is.
const SHOWN_MAX: usize = 5;
/// Seeds a run by the clock may take.
const RUNS_BY_HOURS_MAX: u64 = 10_000_000;
const SECONDS_PER_HOUR: f64 = 3600.0;
/// In so many runs every kind of fault happens; one that does not is not injected.
const RUNS_THAT_SHOW_ALL: usize = 100;

/// Run a hierarchy in one process with seeded faults and check it
///
/// A central site, two primaries, four secondaries and 30 DPs, with lost, delayed and repeated messages,
/// partitions, crashes, restores from old backups and owners that do not know of each other. First faults
/// happen and safety is checked after each step; then everything is put right and must become equal. A
/// seed decides everything: the same seed fails in the same way again.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  restock simulate                       one run
  restock simulate --seed 7 --trace      what happens in it, line by line, on standard error
  restock simulate --runs 300 --twice    many runs, each twice: both must be the same
  restock simulate --hours 8 --json      as many as fit in the time
  restock simulate --star 50             how fast a change reaches 50 sites below one")]
pub(crate) struct Simulate {
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// How many seeds, from the first one on
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: u64,

    /// Go on for so long instead
    #[arg(long, value_name = "N", conflicts_with = "runs")]
    hours: Option<f64>,

    /// Run the seeds that once failed, before the others
    #[arg(long)]
    kept: bool,

    /// Run each seed twice and compare the traces
    #[arg(long)]
    twice: bool,

    /// Runs at once [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    /// Print every step on standard error
    #[arg(long)]
    trace: bool,

    /// Measure instead how fast a change reaches so many sites below one, without faults
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "runs", "hours", "kept", "twice", "jobs"])]
    star: Option<usize>,

    /// Packages whose metadata change
    #[arg(long, value_name = "N", default_value_t = 1_000, requires = "star")]
    packages: u32,

    /// How long a message takes each way, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 50, requires = "star")]
    delay: u64,

    /// What a failure says was run
    #[arg(long, value_name = "TEXT", default_value = option_env!("RESTOCK_COMMIT").unwrap_or("unknown"))]
    commit: String,
}

impl Simulate {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        if self.trace {
            let format = tracing_subscriber::fmt().without_time().with_level(false).with_target(false);
            let to = format.with_max_level(tracing_subscriber::filter::LevelFilter::INFO);
            if to.with_writer(std::io::stderr).try_init().is_err() {
                tracing::debug!("a log is kept already");
            }
        }
        if let Some(below) = self.star {
            return self.measure(below);
        }
        let runs = if self.hours.is_some() { RUNS_BY_HOURS_MAX } else { self.runs };
        let kept = if self.kept { kept_seeds() } else { Vec::new() };
        let fresh = self.seed..self.seed.saturating_add(runs);
        let until = self.hours.map(|hours| {
            SystemClock.monotonic() + Duration::from_secs_f64((hours.max(0.0) * SECONDS_PER_HOUR).min(1e9))
        });
        let jobs = self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
        let batch = Batch { jobs, twice: self.twice, prints: self.trace };
        let (shown, output) = (AtomicUsize::new(0), session.output);
        // One line at a time from several threads.
        let line = Mutex::new(());
        let on = |verdict: &Verdict| {
            let Ok(_one) = line.lock() else { return };
            output.talk(&format!("{verdict}\n"));
            if !verdict.is_good() && shown.fetch_add(1, Ordering::Relaxed) < SHOWN_MAX {
                self.show(output, verdict);
            }
        };
        let goes_on = || until.is_none_or(|until| SystemClock.monotonic() < until);
        let report = batch
            .run(kept.into_iter().chain(fresh).map(Options::of_seed), &on, &goes_on)
            .map_err(|error| Failure::caused(Kind::Failed, "the simulation broke off", &error))?;
        self.answer(&report)
    }

    fn measure(&self, below: usize) -> Result<Done, Failure> {
        let one_way = Duration::from_millis(self.delay);
        let report = measure_star(StarOptions { below, packages: self.packages, one_way })
            .map_err(|error| Failure::caused(Kind::Failed, "the measurement broke off", &error))?;
        let of = |cost: &StarCost| {
            json!({
                "took_seconds": cost.took.as_secs_f64(),
                "round_trips": cost.round_trips,
                "bytes": cost.bytes,
                "busy_above_seconds": cost.busy_above.as_secs_f64(),
                "busy_below_seconds_max": cost.busy_below_max.as_secs_f64(),
            })
        };
        let document = json!({
            "below": below,
            "packages": self.packages,
            "one_way_ms": self.delay,
            "links_alone": of(&report.links_alone),
            "with_processors": of(&report.with_processors),
            "busy_below_seconds_mean": report.busy_below_mean().as_secs_f64(),
        });
        Ok(Done::with(&document, format!("{report}\n")))
    }

    /// Everything that is needed to see a failure again.
    fn show(&self, output: Output, verdict: &Verdict) {
        output.talk(&format!("  commit {}\n", self.commit));
        output.talk(&format!("  {}\n", verdict.options));
        output.talk(&format!("  faults: {}\n", verdict.fired));
        for failure in &verdict.failures {
            output.talk(&format!("  ! {failure}\n"));
        }
        for line in &verdict.trace_tail {
            output.talk(&format!("  | {line}\n"));
        }
        output.talk(&format!("  again: restock simulate --seed {} --trace\n", verdict.options.seed));
    }

    fn answer(&self, report: &BatchReport) -> Result<Done, Failure> {
        let failed: Vec<Value> = report
            .failed
            .iter()
            .map(|verdict| {
                json!({
                    "seed": verdict.options.seed,
                    "options": verdict.options.to_string(),
                    "failures": verdict.failures,
                    "trace_hash": verdict.trace_hash,
                })
            })
            .collect();
        let document = json!({
            "runs": report.runs,
            "failed": failed,
            "steps": report.steps,
            "versions": report.versions,
            "faults": report.fired.total(),
            "commit": self.commit,
        });
        let text = format!(
            "{}, {} failed; {} steps, {} versions published; faults: {}\n",
            count(report.runs as u64, "run"),
            report.failed.len(),
            report.steps,
            report.versions,
            report.fired,
        );
        let silent = if report.runs >= RUNS_THAT_SHOW_ALL { report.fired.silent() } else { Vec::new() };
        if !silent.is_empty() {
            let text = format!("{text}these faults never happened: {}", silent.join(", "));
            return Err(Failure::failed(text));
        }
        let done = Done::with(&document, text);
        Ok(if report.failed.is_empty() { done } else { done.ending(Some(Kind::Failed)) })
    }
}
