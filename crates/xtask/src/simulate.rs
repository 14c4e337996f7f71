//! The simulation of a hierarchy: kept seeds and a fixed range, or fresh ones drawn from the commit for hours.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Seeds that every change runs.
const QUICK_RUNS: &str = "300";
/// The first of them. They are the same for every change, so that a failure tells of the change; fresh seeds
/// are what the long runs are for.
const QUICK_SEED: u64 = 515_000_000;

/// Kept seeds and a fixed range; each runs twice and must leave the same trace.
pub(crate) fn quick() -> Result<()> {
    let (commit, seed) = (commit()?, QUICK_SEED);
    process::run(
        Command::new(crate::root().join("target/debug/restock"))
            .args(["simulate", "--kept", "--twice", "--runs", QUICK_RUNS, "--seed", &seed.to_string()])
            .args(["--commit", &commit]),
    )
}

/// So many fresh seeds with a program that is there, others in each round.
pub(crate) fn runs(restock: &Path, runs: &str, round: u64) -> Result<()> {
    let commit = commit()?;
    let seed = seed_of(&commit) + (2 << 40) + (round << 20);
    process::run(
        Command::new(restock)
            .args(["simulate", "--runs", runs, "--seed", &seed.to_string()])
            .args(["--commit", &commit]),
    )
}

/// Fresh seeds for so many hours.
pub(crate) fn hours(hours: &str) -> Result<()> {
    if hours.parse::<f64>().is_err() {
        bail!("usage: cargo xtask simulate --hours N");
    }
    process::run(process::cargo().args(["build", "-q", "--release", "-p", "restock-cli"]))?;
    let commit = commit()?;
    // Another place than that of the rounds above.
    let seed = seed_of(&commit) + (1 << 40);
    process::run(Command::new(crate::root().join("target/release/restock")).args([
        "simulate",
        "--kept",
        "--hours",
        hours,
        "--seed",
        &seed.to_string(),
        "--commit",
        &commit,
    ]))
}

fn commit() -> Result<String> {
    let text = process::output(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(crate::root()))
        .context("failed to read the commit")?;
    Ok(text.trim().to_owned())
}

/// The first seed of a commit: the same commit runs the same seeds.
fn seed_of(commit: &str) -> u64 {
    let digits: String = commit.chars().take(8).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::seed_of;

    #[test]
    fn a_commit_names_its_seeds() {
        assert_eq!(seed_of("0000002a7f"), 42);
        assert_ne!(seed_of("12345678aa"), seed_of("12345679aa"));
    }
}
