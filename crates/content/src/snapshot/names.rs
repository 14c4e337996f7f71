//! Names that other systems cannot hold, as the walk meets them.
//!
//! [`check`] finds the rules an entry breaks; the merger refuses them or adds them to
//! [`NameFindings`], as the package's policy says.

use std::fmt;

use restock_names::{Escaped, NameRule, check_name, check_path};

/// Paths kept of each rule.
const NAMES_SHOWN_MAX: usize = 5;

/// How many names of a snapshot break which rule, and the first few of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameFindings([Broken; NameRule::ALL.len()]);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Broken {
    count: u64,
    first: Vec<String>,
}

/// The names that break one rule.
#[derive(Debug, Clone, Copy)]
pub struct NameFinding<'a> {
    /// The rule.
    pub rule: NameRule,
    /// How many names break it, at least 1.
    pub count: u64,
    /// The first of them in path order, escaped: whole paths beneath the source folder.
    pub first: &'a [String],
}

impl NameFindings {
    /// What was found, one item for each rule that was broken.
    pub fn iter(&self) -> impl Iterator<Item = NameFinding<'_>> {
        let broken = NameRule::ALL.into_iter().zip(&self.0).filter(|(_, broken)| broken.count > 0);
        broken.map(|(rule, Broken { count, first })| NameFinding { rule, count: *count, first })
    }

    /// True when every name is portable.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|broken| broken.count == 0)
    }

    pub(super) fn add(&mut self, rule: NameRule, path: &[u8], other: Option<&[u8]>) {
        let broken = &mut self.0[rule.index()];
        broken.count += 1;
        if broken.first.len() < NAMES_SHOWN_MAX {
            let shown = match other {
                None => Escaped(path).to_string(),
                Some(other) => format!("{} and {}", Escaped(path), Escaped(other)),
            };
            broken.first.push(shown);
        }
    }
}

impl fmt::Display for NameFinding<'_> {
    /// One sentence: how many names break the rule, and which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.first.join(", ");
        let is_pair = matches!(self.rule, NameRule::CaseCollision | NameRule::UnicodeCollision);
        match self.count {
            1 if is_pair => write!(f, "{first} {}", self.rule.breaks()),
            1 => write!(f, "{first} {}", self.rule.problem()),
            count => {
                let more = if count > self.first.len() as u64 { ", …" } else { "" };
                write!(f, "{count} names that {}: {first}{more}", self.rule.breaks())
            }
        }
    }
}

/// The rules that an entry breaks, with the name it collides with: at most one by its name, one as a
/// whole path and one beside its neighbours.
pub(super) fn check<'c>(
    path: &[u8],
    collision: Option<(NameRule, &'c [u8])>,
) -> impl Iterator<Item = (NameRule, Option<&'c [u8]>)> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let alone = check_name(name).into_iter().chain(check_path(path)).map(|rule| (rule, None));
    alone.chain(collision.map(|(rule, other)| (rule, Some(other))))
}

/// What is wrong with the entry, as it is refused: numbers with their limit.
pub(super) fn problem(rule: NameRule, path: &[u8], other: Option<&[u8]>) -> String {
    match (rule, other) {
        (NameRule::PathBytes, _) => {
            let limit = restock_names::PORTABLE_PATH_BYTES_MAX;
            format!("has a path of {} bytes in the package, at most {limit} are portable", path.len())
        }
        (NameRule::Depth, _) => {
            let (depth, limit) =
                (path.split(|byte| *byte == b'/').count(), restock_names::PORTABLE_DEPTH_MAX);
            format!("lies {depth} levels deep, at most {limit} are portable")
        }
        (rule, None) => rule.problem().to_owned(),
        (rule, Some(other)) => format!("{} {}", rule.problem(), Escaped(other)),
    }
}
