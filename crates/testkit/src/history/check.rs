//! The judge of histories: four rules over the lines in their order.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use restock_names::Digest;

use super::record::{End, Record, parse_heading};
use super::{Deed, Seen};

/// Calls that may wait for their answer at once.
const PENDING_MAX: usize = 1 << 20;
/// Violations that are kept; more are counted by the last one.
const VIOLATIONS_MAX: usize = 100;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An observer never sees a version below one that it saw before it asked, nor nothing any more.
    Monotonic,
    /// A package, epoch and version has one content, whoever looks.
    OneContent,
    /// What was acknowledged before everything came to rest is there then.
    NothingLost,
    /// All pieces of one answer are of one version.
    NothingMixed,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// The line that shows it.
    pub line: usize,
    /// Who saw what.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at line {}: {}", self.rule, self.line, self.what)
    }
}

/// A line that does not belong into a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryError {
    /// Its number, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for HistoryError {}

/// What a history shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// The suite it is of.
    pub suite: String,
    /// Calls in all, and how they ended; those without an end are unknown.
    pub calls: u64,
    /// Calls that were answered.
    pub ok: u64,
    /// Calls that were refused.
    pub failed: u64,
    /// Changes among the answered calls.
    pub acknowledged: u64,
    /// What is wrong, in the order of the lines.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, ok, failed, acknowledged, violations, .. } = self;
        let unknown = calls - ok - failed;
        write!(f, "{calls} calls: {ok} answered ({acknowledged} changes), {failed} refused, ")?;
        write!(f, "{unknown} unknown; {} violations", violations.len())
    }
}

/// Judges the history in a file.
pub fn check_file(path: &Path) -> Result<Verdict> {
    let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    let mut judge = Judge::default();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        judge.line(index + 1, &line.context("failed to read a line")?)?;
    }
    Ok(judge.verdict)
}

/// Judges a history.
pub fn check(text: &str) -> Result<Verdict, HistoryError> {
    let mut judge = Judge::default();
    for (index, line) in text.lines().enumerate() {
        judge.line(index + 1, line)?;
    }
    Ok(judge.verdict)
}

type Number = (u32, u32);

/// A call that waits for its answer, with what had to hold when it was made.
struct Waiting {
    observer: String,
    deed: Deed,
    of: String,
    /// The highest that this observer had seen.
    floor: Option<Number>,
    /// The highest that was acknowledged to anybody.
    acknowledged: Option<Number>,
}

#[derive(Default)]
struct Judge {
    verdict: Verdict,
    last_id: u64,
    waiting: HashMap<u64, Waiting>,
    /// By observer and what was looked at.
    seen: HashMap<(String, String), Number>,
    acknowledged: HashMap<String, Number>,
    contents: BTreeMap<(String, Number), (Digest, String)>,
}

impl Judge {
    fn line(&mut self, line: usize, text: &str) -> Result<(), HistoryError> {
        if line == 1 {
            self.verdict.suite = parse_heading(text)?;
            return Ok(());
        }
        let fail = |what: String| HistoryError { line, what };
        match Record::parse(text, line)? {
            Record::Invoke { id, observer, deed, of } => {
                if id <= self.last_id {
                    return Err(fail(format!("call {id} is not above {}", self.last_id)));
                }
                if self.waiting.len() == PENDING_MAX {
                    return Err(fail("too many calls wait for their answer".to_owned()));
                }
                self.last_id = id;
                self.verdict.calls += 1;
                let floor = self.seen.get(&(observer.clone(), of.clone())).copied();
                let acknowledged = self.acknowledged.get(&of).copied();
                self.waiting.insert(id, Waiting { observer, deed, of, floor, acknowledged });
            }
            Record::End { id, end } => {
                let call = self.waiting.remove(&id);
                let call = call.ok_or_else(|| fail(format!("call {id} was not made, or has ended")))?;
                match end {
                    End::Ok(seen) => {
                        self.verdict.ok += 1;
                        self.answered(line, &call, &seen);
                    }
                    End::Failed(_) => self.verdict.failed += 1,
                    End::Unknown => {}
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, line: usize, call: &Waiting, seen: &[Seen]) {
        if call.deed == Deed::Change {
            self.verdict.acknowledged += 1;
            if let Some(promised) = seen.iter().map(Seen::number).max() {
                let highest = self.acknowledged.entry(call.of.clone()).or_insert(promised);
                *highest = promised.max(*highest);
            }
            return;
        }
        let Waiting { observer, of, .. } = call;
        if let Some(other) = seen.iter().find(|s| s.number() != seen[0].number()) {
            let what = format!("{observer} read {} and {other} of {of} in one answer", seen[0]);
            self.violate(Rule::NothingMixed, line, what);
        }
        for one in seen {
            self.content(line, call, one);
        }
        let number = seen.iter().map(Seen::number).min();
        if call.floor > number {
            let what = format!("{observer} saw {} of {of}, {} before", shown(number), shown(call.floor));
            self.violate(Rule::Monotonic, line, what);
        }
        if call.deed == Deed::Rest && call.acknowledged > number {
            let what = format!(
                "{} of {of} was acknowledged, at rest {observer} sees {}",
                shown(call.acknowledged),
                shown(number)
            );
            self.violate(Rule::NothingLost, line, what);
        }
        if let Some(number) = seen.iter().map(Seen::number).max() {
            let highest = self.seen.entry((observer.clone(), of.clone())).or_insert(number);
            *highest = number.max(*highest);
        }
    }

    fn content(&mut self, line: usize, call: &Waiting, seen: &Seen) {
        let Some(root) = seen.root else { return };
        let key = (call.of.clone(), seen.number());
        match self.contents.get(&key) {
            None => {
                self.contents.insert(key, (root, call.observer.clone()));
            }
            Some((known, by)) if *known != root => {
                let (known, root) = (known.short(), root.short());
                let what =
                    format!("{seen} of {} is {known} for {by} and {root} for {}", call.of, call.observer);
                self.violate(Rule::OneContent, line, what);
            }
            Some(_) => {}
        }
    }

    fn violate(&mut self, rule: Rule, line: usize, what: String) {
        if self.verdict.violations.len() < VIOLATIONS_MAX {
            self.verdict.violations.push(Violation { rule, line, what });
        }
    }
}

fn shown(number: Option<Number>) -> String {
    number.map_or("nothing".to_owned(), |(epoch, version)| format!("{epoch}.{version}"))
}
