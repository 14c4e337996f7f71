//! The state of one package on one distribution point, and how it changes: one pure function.
//!
//! Every status class, summary and answer is a view over [`TargetState`]; none stores its own.
//! [`step`] takes a [`Target`], what is true of its package ([`Package`]) and an [`Event`], and
//! says what becomes of the target and what is to be done ([`Effect`]).
//!
//! It does no I/O, reads no clock and knows no rows. Source: docs/formats/database.md, "States".

mod columns;
mod damage;
mod mirror;
#[cfg(test)]
mod random_tests;
mod reported;
#[cfg(test)]
mod tests;

use std::time::Duration;

use restock_names::{SourceVersion, Timestamp};
use serde::{Deserialize, Serialize};

pub use columns::{Columns, Counted, Counters};
pub use damage::Damage;
pub use mirror::{Told, Wish, mirrored};

/// Where one package stands on one distribution point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Asked for; waits for a snapshot, for the queue or for the distribution point.
    Waiting,
    /// Content is on its way.
    Receiving,
    /// All content is there; the switch is still to come.
    Complete,
    /// An attempt failed; another follows.
    Retrying,
    /// Given up, or cancelled by a person.
    Failed,
    /// Serves the version that was asked for.
    Installed,
    /// Serves it, but found damage in it and is healing it.
    Damaged,
    /// Is to be removed.
    RemovalAsked,
    /// An attempt to remove failed; another follows.
    RemovalRetrying,
    /// Removal was given up.
    RemovalFailed,
}

impl TargetState {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Waiting, "waiting"),
        (Self::Receiving, "receiving"),
        (Self::Complete, "complete"),
        (Self::Retrying, "retrying"),
        (Self::Failed, "failed"),
        (Self::Installed, "installed"),
        (Self::Damaged, "damaged"),
        (Self::RemovalAsked, "removal_asked"),
        (Self::RemovalRetrying, "removal_retrying"),
        (Self::RemovalFailed, "removal_failed"),
    ];

    /// The word kept in the database and shown.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, word)| word)
    }

    /// True for a distribution point that is losing the package.
    pub fn is_removal(self) -> bool {
        matches!(self, Self::RemovalAsked | Self::RemovalRetrying | Self::RemovalFailed)
    }
}

/// A word that is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a state")]
pub struct WordError(String);

impl std::str::FromStr for TargetState {
    type Err = WordError;
    fn from_str(word: &str) -> Result<Self, WordError> {
        let found = Self::ALL.iter().find(|(_, w)| *w == word);
        found.map(|(state, _)| *state).ok_or_else(|| WordError(word.to_owned()))
    }
}

/// What a distribution point is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Receive a version and serve it.
    Install,
    /// Read everything of the version again; fetch what is missing or damaged.
    Redistribute,
    /// Forget the package.
    Remove,
}

impl JobKind {
    /// The word kept in the database and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Redistribute => "redistribute",
            Self::Remove => "remove",
        }
    }
}

impl std::str::FromStr for JobKind {
    type Err = WordError;
    fn from_str(word: &str) -> Result<Self, WordError> {
        [Self::Install, Self::Redistribute, Self::Remove]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| WordError(word.to_owned()))
    }
}

/// An order to a distribution point that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenJob {
    /// Never used twice at a site.
    pub id: u64,
    /// What is to be done.
    pub kind: JobKind,
}

/// One package on one distribution point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The one state.
    pub state: TargetState,
    /// The version the last job was for; 0 before the first.
    pub wanted: SourceVersion,
    /// The version served at present; 0 before the first.
    pub serving: SourceVersion,
    /// The order under way.
    pub job: Option<OpenJob>,
    /// A redistribution was asked for and has not ended.
    pub is_redistributing: bool,
    /// The last job for `wanted` was given up or cancelled.
    pub has_given_up: bool,
    /// Refresh requests up to this one were cancelled for this distribution point.
    pub skip_until: u64,
    /// Failed attempts of the job under way.
    pub attempts: u32,
    /// When the next attempt is due; what fails before is part of the last one.
    pub next_attempt: Option<Timestamp>,
    /// The status message that tells why an attempt failed, or what was found in what is served.
    pub cause: Option<u32>,
    /// What is wrong with the version that is served.
    pub damage: Option<Damage>,
}

/// What is true of the package at the moment of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// The version stored at the site; 0 before the first.
    pub current: SourceVersion,
    /// The newest version that is known: above `current` while content that another site published
    /// has not arrived.
    pub announced: SourceVersion,
    /// The newest refresh request that has not ended; 0 when none waits or runs.
    pub pending: u64,
}

/// How often and how soon failed attempts are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// From a failure to the next attempt.
    pub delay: Duration,
    /// Attempts before giving up.
    pub count: u32,
}

impl Default for RetryPolicy {
    /// 100 attempts, 30 minutes apart.
    fn default() -> Self {
        Self { delay: Duration::from_secs(30 * 60), count: 100 }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The package was targeted at this distribution point.
    Added,
    /// A refresh was asked for, or another site published a version; [`Package::pending`] and
    /// [`Package::announced`] show it already.
    RefreshAsked,
    /// All refresh requests ended without a new version: cancelled or given up.
    RefreshEnded,
    /// A run that covers requests up to `covers` published [`Package::current`].
    Published {
        /// The newest request the run covers.
        covers: u64,
    },
    /// Its content is to be checked and repaired.
    RedistributeAsked,
    /// The package is to leave this distribution point.
    RemoveAsked,
    /// A person stops the distribution to this distribution point.
    CancelAsked,
    /// The time of the next attempt has come.
    RetryDue,
    /// The distribution point says how `job` goes.
    Reported {
        /// The job the report is about.
        job: u64,
        /// What it says.
        report: Report,
        /// When it arrived.
        now: Timestamp,
        /// What follows a failure.
        retry: RetryPolicy,
    },
    /// The distribution point connected and serves this version, or none.
    Holds(SourceVersion),
    /// The distribution point found damage in this version and has begun to put it right.
    DamageFound(SourceVersion, Damage),
    /// The distribution point has put right what it found in this version.
    Healed(SourceVersion),
}

/// What a distribution point reports about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It has begun to receive.
    Receiving,
    /// All content is stored; the switch is next.
    Stored,
    /// It serves this version.
    Installed(SourceVersion),
    /// The attempt failed.
    Failed {
        /// Whether another attempt can help.
        is_transient: bool,
    },
    /// It holds the package no more.
    Removed,
}

/// What is to be done beside keeping the changed target, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The distribution point is told to drop this job.
    Stop(OpenJob),
    /// A new job of this kind is given; its id goes into [`Target::job`].
    Start(JobKind),
    /// The target's row goes.
    Forget,
}

/// Why an event is refused. Nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The package is being removed from the distribution point.
    #[error("the package is being removed from it")]
    BeingRemoved,
    /// Nothing is under way that could be cancelled.
    #[error("nothing is being distributed to it")]
    NothingToCancel,
}

impl Target {
    /// A target that was just asked for: nothing served, nothing ordered. Follow with [`Event::Added`].
    pub fn new() -> Self {
        Self {
            state: TargetState::Waiting,
            wanted: SourceVersion(0),
            serving: SourceVersion(0),
            job: None,
            is_redistributing: false,
            has_given_up: false,
            skip_until: 0,
            attempts: 0,
            next_attempt: None,
            cause: None,
            damage: None,
        }
    }

    /// True when a refresh that has not ended, or content on its way to the site, will bring this
    /// target a new version.
    fn awaits(&self, package: &Package) -> bool {
        let was_given_up = self.has_given_up && self.wanted >= package.announced;
        package.pending > self.skip_until || package.announced > package.current && !was_given_up
    }

    fn start(&mut self, kind: JobKind, package: &Package, effects: &mut Vec<Effect>) {
        self.state = if kind == JobKind::Remove { TargetState::RemovalAsked } else { TargetState::Waiting };
        if kind != JobKind::Remove {
            self.wanted = package.current;
        }
        // The id is filled in when the effect is carried out; until then the old one must not
        // answer for the new job.
        self.job = None;
        self.next_attempt = None;
        effects.push(Effect::Start(kind));
    }

    fn forget_failures(&mut self) {
        (self.has_given_up, self.attempts, self.next_attempt, self.cause) = (false, 0, None, None);
    }

    /// Gives the target that has no job the state its facts imply, or the job it needs.
    fn settle(&mut self, package: &Package, effects: &mut Vec<Effect>) {
        if self.has_given_up && (self.is_redistributing || self.serving != package.current) {
            self.state = if self.awaits(package) { TargetState::Waiting } else { TargetState::Failed };
        } else if package.current.0 == 0 {
            self.state = TargetState::Waiting;
        } else if self.serving != package.current {
            self.start(JobKind::Install, package, effects);
        } else if self.is_redistributing {
            self.start(JobKind::Redistribute, package, effects);
        } else {
            self.forget_failures();
            self.wanted = package.current;
            self.state = if self.awaits(package) { TargetState::Waiting } else { TargetState::Installed };
            if let Some(damage) = self.damage {
                self.found(self.serving, damage);
            }
        }
    }

    /// Notes what is served; what was wrong with another version is no more.
    fn serves(&mut self, version: SourceVersion) {
        if version != self.serving {
            self.damage = None;
        }
        self.serving = version;
    }

    fn stop(&mut self, effects: &mut Vec<Effect>) {
        if let Some(job) = self.job.take() {
            effects.push(Effect::Stop(job));
        }
        self.next_attempt = None;
    }
}

impl Default for Target {
    fn default() -> Self {
        Self::new()
    }
}

/// What becomes of `target` when `event` happens, and what is to be done.
///
/// Pure and total: an event that changes nothing returns the same target and no effects.
/// Errors: a person's wish that makes no sense in this state.
pub fn step(target: &Target, package: &Package, event: Event) -> Result<(Target, Vec<Effect>), Refusal> {
    let mut next = target.clone();
    let mut effects = Vec::new();
    let removal = target.state.is_removal();
    match event {
        Event::Added if removal => {
            // The removal may already have run there: the install that follows tells.
            next.forget_failures();
            if package.current.0 == 0 {
                next.stop(&mut effects);
                next.state = TargetState::Waiting;
            } else {
                next.start(JobKind::Install, package, &mut effects);
            }
        }
        Event::Added => {
            if target.job.is_none() && target.wanted.0 == 0 {
                next.settle(package, &mut effects);
            }
        }
        Event::RefreshAsked if removal => {}
        Event::RefreshAsked => {
            if matches!(target.state, TargetState::Installed | TargetState::Damaged | TargetState::Failed) {
                next.state = TargetState::Waiting;
            }
        }
        Event::RefreshEnded => {
            if !removal && target.job.is_none() && target.next_attempt.is_none() {
                next.settle(package, &mut effects);
            }
        }
        Event::Published { covers } if !removal => {
            // A version that was announced and given up before its content came stays given up.
            let was_given_up = target.has_given_up && target.wanted == package.current;
            if target.state == TargetState::Failed && (target.skip_until >= covers || was_given_up) {
                next.wanted = package.current;
                next.has_given_up = true;
            } else {
                next.forget_failures();
                next.start(JobKind::Install, package, &mut effects);
            }
        }
        Event::Published { .. } => {}
        Event::RedistributeAsked if removal => return Err(Refusal::BeingRemoved),
        Event::RedistributeAsked => {
            next.is_redistributing = true;
            let installs = target.job.is_some_and(|job| job.kind == JobKind::Install)
                && matches!(
                    target.state,
                    TargetState::Waiting | TargetState::Receiving | TargetState::Complete
                );
            if !installs {
                next.forget_failures();
                next.job = None;
                next.settle(package, &mut effects);
            }
        }
        Event::RemoveAsked => {
            if target.state != TargetState::RemovalAsked {
                next.forget_failures();
                next.is_redistributing = false;
                next.start(JobKind::Remove, package, &mut effects);
            }
        }
        Event::CancelAsked => match target.state {
            _ if removal => return Err(Refusal::BeingRemoved),
            TargetState::Installed | TargetState::Damaged => return Err(Refusal::NothingToCancel),
            // The switch is a moment away, and a failure is already there: both stay.
            TargetState::Complete | TargetState::Failed => {}
            _ => {
                next.stop(&mut effects);
                next.state = TargetState::Failed;
                next.is_redistributing = false;
                next.has_given_up = true;
                next.skip_until = package.pending.max(target.skip_until);
                if package.announced > package.current {
                    next.wanted = package.announced;
                }
                next.cause = Some(columns::MESSAGE_GAVE_UP);
            }
        },
        Event::RetryDue => match target.state {
            TargetState::RemovalRetrying => next.start(JobKind::Remove, package, &mut effects),
            TargetState::Retrying => {
                next.job = None;
                next.next_attempt = None;
                next.settle(package, &mut effects);
            }
            _ => next.next_attempt = None,
        },
        Event::Reported { job, report, now, retry } => {
            reported::reported(&mut next, package, job, report, (now, retry), &mut effects);
        }
        Event::DamageFound(version, damage) => next.found(version, damage),
        Event::Healed(version) => next.healed(version, package, &mut effects),
        Event::Holds(version) => {
            next.serves(version);
            if version != target.serving && target.job.is_none() && target.next_attempt.is_none() && !removal
            {
                next.settle(package, &mut effects);
            }
        }
    }
    Ok((next, effects))
}
