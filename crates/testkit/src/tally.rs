//! How often faults were tried, how often they happened, and what was wrong afterwards.
//!
//! `cargo xtask torture` adds up the lines that [`Tally::report`] prints.

use std::fmt;

/// The counts of one suite, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Moments or places at which a fault was planned.
    pub points: u64,
    /// How many of them were reached, so that the fault happened.
    pub fired: u64,
    /// What did not hold, one line each.
    pub violations: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} points, {} fired, {} violations", self.points, self.fired, self.violations.len())
    }
}

impl Tally {
    /// Counts a point; `outcome`: whether the fault happened, or what was wrong after it.
    pub fn add(&mut self, point: &dyn fmt::Display, outcome: anyhow::Result<bool>) {
        self.points += 1;
        match outcome {
            Ok(has_fired) => self.fired += u64::from(has_fired),
            Err(error) => {
                self.fired += 1;
                self.violations.push(format!("{point}: {error:#}"));
            }
        }
    }

    /// Prints the counts as one line, `torture SUITE | WHAT | P points, F fired, V violations`.
    pub fn report(&self, suite: &str, what: &dyn fmt::Display) {
        println!("torture {suite} | {what} | {self}");
    }
}
