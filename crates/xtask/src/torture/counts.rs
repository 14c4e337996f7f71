//! What suites counted, and the table at the end.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;

/// The counts of a suite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) points: u64,
    pub(super) fired: u64,
    pub(super) violations: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} points, {} fired, {} violations", self.points, self.fired, self.violations)
    }
}

impl Counts {
    /// Adds up the lines `torture SUITE | WHAT | P points, F fired, V violations`.
    pub(super) fn of_lines(text: &str) -> Self {
        let mut sum = Self::default();
        // A test that prints before its line leaves its own name in front of it.
        for line in text.lines().filter_map(|line| line.split_once("torture ")) {
            let Some((_, counts)) = line.1.rsplit_once(" | ") else { continue };
            let number = |what: &str| {
                let part = counts.split(", ").find_map(|part| part.strip_suffix(what));
                part.and_then(|text| text.trim().parse::<u64>().ok())
            };
            if let (Some(points), Some(fired), Some(violations)) =
                (number("points"), number("fired"), number("violations"))
            {
                sum.add(Self { points, fired, violations });
            }
        }
        sum
    }

    /// Each test as a point whose fault fired, by the runner's summary.
    pub(super) fn of_tests(text: &str) -> Self {
        let summary = text.lines().find(|line| line.starts_with("test result:")).unwrap_or_default();
        let number = |what: &str| {
            let part = summary.split(['.', ';']).find_map(|part| part.trim().strip_suffix(what));
            part.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or_default()
        };
        let (passed, failed) = (number("passed"), number("failed"));
        Self { points: passed + failed, fired: passed + failed, violations: failed }
    }

    fn add(&mut self, other: Self) {
        self.points += other.points;
        self.fired += other.fired;
        self.violations += other.violations;
    }
}

/// All suites of a run, rounds added up.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<&'static str, (Counts, Vec<String>)>);

impl Table {
    pub(super) fn add(&mut self, suite: &'static str, outcome: Result<Counts>) {
        let (sum, errors) = self.0.entry(suite).or_default();
        match outcome {
            Ok(counts) if counts.fired == 0 => errors.push("no fault fired".to_owned()),
            Ok(counts) => sum.add(counts),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.0.values().any(|(counts, errors)| counts.violations > 0 || !errors.is_empty())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<10} {:>8} {:>8} {:>11}", "suite", "points", "fired", "violations")?;
        for (name, (counts, errors)) in &self.0 {
            let Counts { points, fired, violations } = counts;
            writeln!(f, "{name:<10} {points:>8} {fired:>8} {violations:>11}")?;
            for error in errors {
                writeln!(f, "    FAILED: {error}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Table};

    #[test]
    fn lines_of_suites_and_summaries_of_runners_are_counted() {
        let text = "test disk::a ... torture disk | Refresh Power | 12 points, 11 fired, 1 violations\n\
                    torture disk | a | b | 3 points, 3 fired, 0 violations\ntorture disk | nothing\n";
        assert_eq!(Counts::of_lines(text), Counts { points: 15, fired: 14, violations: 1 });
        let text = "running 3 tests\ntest result: FAILED. 2 passed; 1 failed; 0 ignored\n";
        assert_eq!(Counts::of_tests(text), Counts { points: 3, fired: 3, violations: 1 });
    }

    #[test]
    fn a_suite_whose_faults_never_fired_has_failed() {
        let mut table = Table::default();
        table.add("disk", Ok(Counts { points: 5, fired: 5, violations: 0 }));
        assert!(!table.has_failed());
        table.add("flip", Ok(Counts { points: 5, fired: 0, violations: 0 }));
        assert!(table.has_failed(), "{table}");
    }
}
