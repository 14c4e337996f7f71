//! What `distribute`, `remove`, `redistribute` and `cancel --to` share.

use restock_provider::rows::TargetsChanged;
use restock_provider::{Answer, Operation};

use crate::control::{Door, unexpected};
use crate::failure::Failure;

/// Performs an operation on DPs of a package.
pub(crate) fn change(door: &mut Door, operation: Operation) -> Result<TargetsChanged, Failure> {
    match door.perform(operation)? {
        Answer::Targets(changed) => Ok(changed),
        other => Err(unexpected(&other)),
    }
}

/// The names of the DPs, `DP01, DP02`, that changed or did not.
pub(crate) fn names(changed: &TargetsChanged, which: bool) -> String {
    let names: Vec<&str> =
        changed.points.iter().filter(|p| p.changed == which).map(|p| p.point.as_str()).collect();
    names.join(", ")
}

/// One sentence for those that changed and one for those that did not.
pub(crate) fn text(changed: &TargetsChanged, verb: &str, otherwise: &str) -> String {
    let mut text = String::new();
    for (which, words) in [(true, verb), (false, otherwise)] {
        let names = names(changed, which);
        if !names.is_empty() {
            text.push_str(&format!("{} {words} {names}.\n", changed.package));
        }
    }
    text
}
