//! Long forms of the fault suites: tests of `testkit`, of the program and of the crates with models, with
//! more points, for longer, again and again with other dice.
//!
//! Every program is built once and copied aside before the first suite, so that a run is of one state
//! of the sources. A suite counts by the lines `torture SUITE | WHAT | P points, F fired, V violations`
//! that its tests print; one that prints none, or none of whose faults fired, has failed.

mod counts;
mod programs;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{process, setup, simulate};
use counts::{Counts, Table};
use programs::Programs;

/// A suite: tests whose names contain one of `filters`, of one test program.
#[derive(Debug)]
pub(crate) struct Suite {
    name: &'static str,
    /// The package and its test program; `lib` is the one of its unit tests.
    program: (&'static str, &'static str),
    filters: &'static [&'static str],
    /// The variable that carries the number of points, a long number, and that of a round of `--hours`.
    number: (&'static str, &'static str, &'static str),
    /// Counts by the test runner's own summary: each test is a point, and a fault that fired.
    counts_tests: bool,
}

const TESTKIT: (&str, &str) = ("restock-testkit", "main");

/// In this order; the simulation has no test program and comes last.
const SUITES: &[Suite] = &[
    Suite {
        name: "disk",
        program: TESTKIT,
        filters: &["disk::"],
        number: ("RESTOCK_DISK_SEEDS", "20", "3"),
        counts_tests: false,
    },
    Suite {
        name: "flip",
        program: TESTKIT,
        filters: &["flip::"],
        number: ("RESTOCK_FLIP_POINTS", "200", "10"),
        counts_tests: false,
    },
    Suite {
        name: "full",
        program: TESTKIT,
        filters: &["full::"],
        number: ("RESTOCK_FULL_STEPS", "40", "3"),
        counts_tests: false,
    },
    Suite {
        name: "sys",
        program: TESTKIT,
        filters: &["sys::"],
        number: ("RESTOCK_SYS_POINTS", "1000", "40"),
        counts_tests: false,
    },
    Suite {
        name: "power",
        program: TESTKIT,
        filters: &["power::"],
        number: ("RESTOCK_POWER_CYCLES", "500", "15"),
        counts_tests: false,
    },
    Suite {
        name: "model",
        program: TESTKIT,
        filters: &["cleaning::"],
        number: ("RESTOCK_CLEANING_CASES", "2000", "100"),
        counts_tests: false,
    },
    Suite {
        name: "net",
        program: ("restock-cli", "main"),
        filters: &["netns_sites::"],
        number: ("RESTOCK_NETNS_MIB", "1024", "48"),
        counts_tests: true,
    },
    Suite {
        name: "soak",
        program: TESTKIT,
        filters: &["soak::readers_see"],
        number: ("RESTOCK_SOAK_SECONDS", "3600", "300"),
        counts_tests: false,
    },
];

/// Tests that take a safeguard out and pass only when that is noticed.
const SABOTAGE: Suite = Suite {
    name: "sabotage",
    program: TESTKIT,
    filters: &["is_noticed", "counts_as_not_fired"],
    number: ("RESTOCK_DISK_SEEDS", "2", "2"),
    counts_tests: true,
};

pub(crate) const USAGE: &str =
    "cargo xtask torture [--hours N] [--sabotage] [disk|flip|full|sys|power|model|net|soak|sim] [N]";

/// What is run.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    hours: Option<f64>,
    is_sabotage: bool,
    suite: Option<String>,
    number: Option<String>,
}

impl Wanted {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut wanted = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match *word {
                "--hours" => {
                    let hours = rest.next().and_then(|text| text.parse().ok()).filter(|hours| *hours > 0.0);
                    wanted.hours = Some(hours.with_context(|| format!("usage: {USAGE}"))?);
                }
                "--sabotage" => wanted.is_sabotage = true,
                name if name == "sim" || SUITES.iter().any(|suite| suite.name == name) => {
                    wanted.suite = Some(name.to_owned());
                }
                number if wanted.suite.is_some() && number.parse::<u32>().is_ok() => {
                    wanted.number = Some(number.to_owned());
                }
                other => bail!("{other} is not understood; usage: {USAGE}"),
            }
        }
        Ok(wanted)
    }

    fn wants(&self, suite: &str) -> bool {
        self.suite.as_ref().is_none_or(|wanted| wanted == suite)
    }
}

/// Runs one suite or all, with `N` points when it is given; with `--hours` rounds of a few minutes a suite
/// until the time is over, the first to its end.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let wanted = Wanted::parse(words)?;
    let programs = Programs::build()?;
    let mut table = Table::default();
    let begun = Instant::now();
    let until = wanted.hours.map(|hours| begun + Duration::from_secs_f64(hours * 3600.0));
    for round in 1_u64.. {
        if wanted.is_sabotage {
            table.add(SABOTAGE.name, one(&SABOTAGE, &programs, SABOTAGE.number.1, round));
        } else {
            run_round(&wanted, &programs, round, until, &mut table);
        }
        println!("\nafter round {round} and {} s:\n{table}", begun.elapsed().as_secs());
        if until.is_none_or(|until| Instant::now() >= until) {
            break;
        }
    }
    if table.has_failed() {
        bail!("some suite has failed");
    }
    Ok(())
}

fn run_round(wanted: &Wanted, programs: &Programs, round: u64, until: Option<Instant>, table: &mut Table) {
    let is_over = || until.is_some_and(|until| round > 1 && Instant::now() >= until);
    for suite in SUITES.iter().filter(|suite| wanted.wants(suite.name)) {
        if is_over() {
            return;
        }
        let usual = if until.is_some() { suite.number.2 } else { suite.number.1 };
        let number = wanted.number.as_deref().unwrap_or(usual);
        table.add(suite.name, one(suite, programs, number, round));
        println!("\nso far:\n{table}");
    }
    if wanted.wants("sim") && !is_over() {
        let runs = wanted.number.as_deref().unwrap_or(if until.is_some() { "60" } else { "300" });
        let outcome = simulate::runs(&programs.restock, runs, round).map(|()| {
            let count = runs.parse().unwrap_or_default();
            Counts { points: count, fired: count, violations: 0 }
        });
        table.add("sim", outcome);
    }
}

/// Runs a suite once.
fn one(suite: &Suite, programs: &Programs, number: &str, round: u64) -> Result<Counts> {
    println!("\n=== {}, {number}", suite.name);
    let mut command = std::process::Command::new(programs.test(suite.program)?);
    command.current_dir(crate::root().join("crates").join(suite.program.0.trim_start_matches("restock-")));
    command.env("PATH", setup::path_with_sbin()).env("RESTOCK_BIN", &programs.restock);
    command.env(suite.number.0, number).env("RESTOCK_TORTURE_SEED", round.to_string());
    command.env("RESTOCK_HISTORY_FOLDER", history_folder()?);
    // As long without the site above as the suite is long, unless told otherwise.
    let away = if number == suite.number.1 { "600" } else { "20" };
    command.env("RESTOCK_NETNS_AWAY", std::env::var("RESTOCK_NETNS_AWAY").unwrap_or(away.to_owned()));
    command.args(suite.filters).args(["--nocapture", "--test-threads=1"]);
    let (status, out, _) = process::tee(&mut command)?;
    let counts = if suite.counts_tests { Counts::of_tests(&out) } else { Counts::of_lines(&out) };
    if !status.success() {
        bail!("{} ended with {status} after {counts}", suite.name);
    }
    Ok(counts)
}

/// Where histories of a run are kept: those of the last one are removed.
fn history_folder() -> Result<PathBuf> {
    let folder = crate::root().join("target/torture/histories");
    match std::fs::remove_dir_all(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context("failed to remove the last histories"),
    }
    std::fs::create_dir_all(&folder).context("failed to make the folder for histories")?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn words_choose_suite_number_and_hours() {
        let wanted = Wanted::parse(&["--hours", "0.5", "flip", "30"]).expect("understood");
        assert_eq!((wanted.hours, wanted.number.as_deref()), (Some(0.5), Some("30")));
        assert!(wanted.wants("flip") && !wanted.wants("disk"));
        assert!(Wanted::parse(&[]).expect("all").wants("sim"));
        for words in [&["30"][..], &["--hours"], &["--hours", "-1"], &["flop"]] {
            assert!(Wanted::parse(words).is_err(), "{words:?}");
        }
    }
}
