//! What this site shows of a target whose distribution point belongs to another site.
//!
//! That site alone decides and tells ([`Told`]); this one adds what it knows better or earlier: which
//! version was asked for, and wishes the other has not acted on ([`Wish`]). So a request takes a
//! target out of the installed state here at once, and nothing that the other site said before it
//! heard of the request puts it back.

use restock_names::SourceVersion;

use super::{Damage, Package, Target, TargetState};

/// What the site of a distribution point tells of a target there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its state there.
    pub state: TargetState,
    /// As [`Target::wanted`].
    pub wanted: SourceVersion,
    /// As [`Target::serving`].
    pub serving: SourceVersion,
    /// As [`Target::is_redistributing`].
    pub is_redistributing: bool,
    /// As [`Target::has_given_up`].
    pub has_given_up: bool,
    /// As [`Target::attempts`].
    pub attempts: u32,
    /// As [`Target::cause`].
    pub cause: Option<u32>,
    /// As [`Target::damage`].
    pub damage: Option<Damage>,
    /// The wishes it has acted on.
    pub done: Wish,
}

/// What people want of a target, as sites tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Whether the package is to be there.
    pub is_wanted: bool,
    /// How often its redistribution was asked for.
    pub redistributes: u64,
    /// How often its distribution was to be stopped, or its removal tried again.
    pub cancels: u64,
}

/// The target to show, from what is wished, what its site told last, and what is true of the package;
/// `None` when there is nothing to show.
///
/// `skip_until` as of [`Target::skip_until`]; `package.current` is the newest version that is known.
/// A target that comes out of it has no job and no next attempt.
pub fn mirrored(skip_until: u64, wish: Wish, told: Option<&Told>, package: &Package) -> Option<Target> {
    let Some(told) = told else {
        let mut target = Target { skip_until, ..Target::new() };
        if wish.cancels > 0 && package.pending <= skip_until {
            (target.state, target.has_given_up) = (TargetState::Failed, true);
        }
        return wish.is_wanted.then_some(target);
    };
    let mut target = Target {
        state: told.state,
        wanted: told.wanted,
        serving: told.serving,
        job: None,
        is_redistributing: told.is_redistributing || wish.redistributes > told.done.redistributes,
        has_given_up: told.has_given_up,
        skip_until,
        attempts: told.attempts,
        next_attempt: None,
        cause: told.cause,
        damage: told.damage,
    };
    target.state = state(&target, wish, told, package);
    if target.state != told.state {
        target.cause = None;
    }
    target.has_given_up |= target.state == TargetState::Failed;
    Some(target)
}

fn state(target: &Target, wish: Wish, told: &Told, package: &Package) -> TargetState {
    let has_asked_again = wish.cancels > told.done.cancels;
    if !wish.is_wanted {
        let goes_on = told.state.is_removal() && !has_asked_again;
        return if goes_on { told.state } else { TargetState::RemovalAsked };
    }
    let awaits = package.pending > target.skip_until;
    match told.state {
        // It was wished for again.
        removal if removal.is_removal() => TargetState::Waiting,
        TargetState::Installed | TargetState::Damaged => {
            let serves = told.serving == package.current && !awaits && !target.is_redistributing;
            if serves { told.state } else { TargetState::Waiting }
        }
        // What it gave up is not what is asked for.
        TargetState::Failed if awaits || told.wanted < package.current => TargetState::Waiting,
        TargetState::Complete | TargetState::Failed => told.state,
        _ if has_asked_again && !awaits => TargetState::Failed,
        under_way => under_way,
    }
}

#[cfg(test)]
mod tests;
