//! What happened, as a hash that two runs of a seed must share, and as text for people.
//!
//! No line holds key material, an identifier drawn by the machine or a wall-clock time of the
//! machine: those differ between runs that are the same.

use std::collections::VecDeque;
use std::fmt;

/// Lines kept for a failure's report.
const KEPT_MAX: usize = 400;

/// The trace of one run.
#[derive(Debug)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    kept: VecDeque<String>,
    prints: bool,
}

impl Trace {
    /// An empty trace; `prints` writes each line to the log as well.
    pub(crate) fn new(prints: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), kept: VecDeque::new(), prints }
    }

    /// Adds a line about `who` at `at` microseconds.
    pub(crate) fn note(&mut self, at: i64, who: impl fmt::Display, what: impl fmt::Display) {
        let line = format!("{:>12.6} {who} {what}", at as f64 / 1e6);
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
        if self.prints {
            tracing::info!(target: "simulate", "{line}");
        }
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(line);
    }

    /// The hash of all lines, 16 hexadecimal digits.
    pub(crate) fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..16].to_owned()
    }

    /// The last lines.
    pub(crate) fn tail(&self, count: usize) -> Vec<String> {
        self.kept.iter().skip(self.kept.len().saturating_sub(count)).cloned().collect()
    }
}
