//! Waiting until the site has done what was asked: `--wait`, `--timeout`.
//!
//! The running site sends status and live bytes at each change; [`judge`] decides from the status
//! alone. The words of the result are the same for people and programs.

use std::ops::ControlFlow;
use std::time::Duration;

use restock_names::{Clock, DistributionPointName, HumanBytes, HumanDuration, PackageId, SystemClock};
use restock_provider::TargetState;
use restock_provider::rows::{PackageStatus, RefreshAccepted, RefreshPhase, TargetRow};
use serde::Serialize;

use crate::commands::Session;
use crate::commands::progress::ProgressView;
use crate::commands::status::{fixes, next_text, why_text};
use crate::control::{Ask, Door, Watched};
use crate::failure::{Failure, Kind};
use crate::output::{Done, count, shown};

/// What is waited for.
#[derive(Debug, Clone)]
pub(crate) enum Goal {
    /// Version 1 of a package is in the library.
    Stored(PackageId),
    /// Every DP of the packages serves a version newer than when the refresh was asked.
    Refreshed(Vec<RefreshAccepted>),
    /// These DPs serve the present version.
    Installed(PackageId, Vec<DistributionPointName>),
    /// These DPs have let go of the package.
    Removed(PackageId, Vec<DistributionPointName>),
    /// The package is gone, and every DP has let go of it.
    Gone(PackageId),
}

/// What [`judge`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is decided; the sentences say what is still missing.
    Pending(Vec<String>),
    /// It is over; `problems` is empty for success.
    Over { succeeded: u32, problems: Vec<String> },
}

#[derive(Debug, Serialize)]
struct Waited {
    outcome: &'static str,
    problems: Vec<String>,
    packages: Vec<PackageStatus>,
}

/// The door of a command: a running site when it waits.
pub(crate) fn door(session: &Session, waits: bool, command: &str) -> Result<Door, Failure> {
    let folder = session.folder()?;
    if waits { Door::running(&folder, "--wait") } else { Door::open(&folder, command) }
}

/// Waits until the goal is reached or can no longer be reached, or until the time is over.
///
/// The result's kind: none for success, partly when some DPs reached it, failed when none did, timed out.
pub(crate) fn until(
    session: &Session,
    door: &mut Door,
    goal: Goal,
    timeout: Option<Duration>,
) -> Result<Done, Failure> {
    let clock = SystemClock;
    let start = clock.monotonic();
    let wanted = goal.packages();
    let mut view = ProgressView::new(session.output, "");
    let mut packages: Vec<PackageStatus> = Vec::new();
    let mut last = Verdict::Pending(Vec::new());
    let one = if let [only] = wanted.as_slice() { Some(*only) } else { None };
    let watched = door.stream(Ask::Watch { package: one }, &mut |event| {
        let event: Watched = serde_json::from_value(event)
            .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))?;
        if let Some(now) = event.packages {
            packages = now.into_iter().filter(|p| wanted.contains(&p.package.package)).collect();
            last = judge(&goal, &packages);
        }
        view.show(&packages, &event.progress);
        let is_over = matches!(last, Verdict::Over { .. })
            || timeout.is_some_and(|limit| clock.monotonic() - start >= limit);
        Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    view.finish();
    match watched {
        // A package that is not known any more cannot be watched any more.
        Err(failure) if failure.kind == Kind::NotFound && matches!(goal, Goal::Gone(_)) => {
            (packages, last) = (Vec::new(), Verdict::Over { succeeded: 1, problems: Vec::new() });
        }
        watched => drop(watched?),
    }
    let took = clock.monotonic() - start;
    let (kind, outcome, problems) = match last {
        Verdict::Over { problems, .. } if problems.is_empty() => (None, "done", problems),
        Verdict::Over { succeeded: 0, problems } => (Some(Kind::Failed), "failed", problems),
        Verdict::Over { problems, .. } => (Some(Kind::Partly), "partly", problems),
        Verdict::Pending(missing) => (Some(Kind::TimedOut), "timed_out", missing),
    };
    if kind.is_some() {
        let style = session.output.talk_style();
        let word = if kind == Some(Kind::TimedOut) { "not done yet:" } else { "error:" };
        for problem in &problems {
            session.output.talk(&format!("{} {problem}\n", style.bad(word)));
        }
        for fix in packages.iter().flat_map(fixes) {
            session.output.talk(&format!("{} {fix}\n", style.strong("Try:")));
        }
        let ids: Vec<&str> = packages.iter().map(|p| p.package.package.as_str()).collect();
        let id = if ids.len() == 1 { ids[0] } else { "" };
        session.output.talk(&format!(
            "{} {}\n",
            style.strong("Try:"),
            format!("restock status {id}").trim_end()
        ));
    }
    let text = match kind {
        None => goal.success_text(&packages, took),
        Some(_) => String::new(),
    };
    Ok(Done::with(&Waited { outcome, problems, packages }, text).ending(kind))
}

/// Decides from the present status of the goal's packages.
pub(crate) fn judge(goal: &Goal, packages: &[PackageStatus]) -> Verdict {
    let find = |id: &PackageId| packages.iter().find(|p| p.package.package == *id);
    let gone = |id: &PackageId| format!("{id} was deleted meanwhile");
    let mut succeeded = 0;
    let mut problems = Vec::new();
    let mut missing = Vec::new();
    match goal {
        Goal::Stored(id) => match find(id) {
            None => problems.push(gone(id)),
            Some(p) => match source_state(p) {
                _ if p.package.stored_version.0 >= 1 => succeeded += 1,
                SourceState::Failed(text) => problems.push(text),
                SourceState::Pending(text) => missing.push(text),
                SourceState::Idle => missing.push(format!("{id}: version 1 is not stored")),
            },
        },
        Goal::Refreshed(accepted) => {
            for one in accepted {
                let Some(p) = find(&one.package) else {
                    problems.push(gone(&one.package));
                    continue;
                };
                let state =
                    if p.package.requests_done >= one.request && p.package.requests_failed < one.request {
                        SourceState::Idle
                    } else {
                        source_state(p)
                    };
                match state {
                    SourceState::Failed(text) => problems.push(text),
                    SourceState::Pending(text) => missing.push(text),
                    SourceState::Idle if p.package.source_version <= one.source_version => {
                        problems.push(format!("{}: the refresh was cancelled", one.package));
                    }
                    SourceState::Idle => {
                        succeeded += u32::from(p.targets.is_empty());
                        for target in p.targets.iter().filter(|t| !is_removal(t.state)) {
                            add_target(p, target, &mut succeeded, &mut problems, &mut missing);
                        }
                    }
                }
            }
        }
        Goal::Installed(id, points) => match find(id) {
            None => problems.push(gone(id)),
            Some(p) => {
                for point in points {
                    match p.targets.iter().find(|t| t.point == *point) {
                        Some(target) => add_target(p, target, &mut succeeded, &mut problems, &mut missing),
                        None => problems.push(format!("{id} at {point}: removed meanwhile")),
                    }
                }
            }
        },
        Goal::Removed(id, points) => {
            for point in points {
                match find(id).and_then(|p| p.targets.iter().find(|t| t.point == *point)) {
                    None => succeeded += 1,
                    Some(t) if t.state == TargetState::RemovalFailed => {
                        problems.push(format!("{id} at {point}: removal failed{}", because(t)));
                    }
                    Some(t) if is_removal(t.state) => {
                        missing.push(format!("{id} at {point}: still there{}", because(t)));
                    }
                    Some(_) => problems.push(format!("{id} at {point}: distributed again meanwhile")),
                }
            }
        }
        Goal::Gone(id) => {
            for target in find(id).into_iter().flat_map(|p| &p.targets) {
                match target.state {
                    TargetState::RemovalFailed => {
                        problems.push(format!("{id} at {}: removal failed{}", target.point, because(target)));
                    }
                    _ => missing.push(format!("{id} at {}: still there{}", target.point, because(target))),
                }
            }
            // Seen with nobody holding it, it goes in a moment.
            if problems.is_empty() && missing.is_empty() {
                missing.push(format!("{id}: its content is being removed from the site"));
            }
        }
    }
    if missing.is_empty() { Verdict::Over { succeeded, problems } } else { Verdict::Pending(missing) }
}

enum SourceState {
    /// Nothing is to be read.
    Idle,
    Pending(String),
    /// An attempt failed. It may be tried again later, but whoever waits wants to know now.
    Failed(String),
}

fn source_state(status: &PackageStatus) -> SourceState {
    let id = status.package.package;
    let Some(refresh) = &status.package.refresh else { return SourceState::Idle };
    let why = refresh.why.as_ref().map(why_text).unwrap_or_default();
    match refresh.state {
        RefreshPhase::Waiting => SourceState::Pending(format!("{id}: the source waits to be read {why}")),
        RefreshPhase::Running => SourceState::Pending(format!("{id}: the source is being read")),
        RefreshPhase::Retrying => {
            let next = next_text(refresh.next_attempt, refresh.why.as_ref());
            SourceState::Failed(format!("{id}: {why}{next}"))
        }
        RefreshPhase::Failed => SourceState::Failed(format!("{id}: the refresh failed: {why}")),
    }
}

fn add_target(
    status: &PackageStatus,
    target: &TargetRow,
    succeeded: &mut u32,
    problems: &mut Vec<String>,
    missing: &mut Vec<String>,
) {
    let id = status.package.package;
    match target.state {
        TargetState::Installed => *succeeded += 1,
        TargetState::Failed => problems.push(format!("{id} at {}: gave up{}", target.point, because(target))),
        _ => missing.push(format!(
            "{id} at {}: {}{}",
            target.point,
            crate::commands::status::state_word(target.state),
            because(target)
        )),
    }
}

fn because(target: &TargetRow) -> String {
    target.why.as_ref().map(|w| format!(", {}", why_text(w))).unwrap_or_default()
}

pub(crate) fn is_removal(state: TargetState) -> bool {
    matches!(state, TargetState::RemovalAsked | TargetState::RemovalRetrying | TargetState::RemovalFailed)
}

impl Goal {
    pub(crate) fn packages(&self) -> Vec<PackageId> {
        match self {
            Self::Stored(id) | Self::Installed(id, _) | Self::Removed(id, _) | Self::Gone(id) => vec![*id],
            Self::Refreshed(accepted) => accepted.iter().map(|a| a.package).collect(),
        }
    }

    fn success_text(&self, packages: &[PackageStatus], took: Duration) -> String {
        let mut text = String::new();
        if let Self::Gone(id) = self {
            text.push_str(&format!("{id} is deleted everywhere ({}).\n", HumanDuration(took)));
        }
        for p in packages {
            let (id, name) = (p.package.package, shown(&p.package.name));
            let took = HumanDuration(took);
            text.push_str(&match self {
                Self::Stored(_) => format!(
                    "{id} {name}: version {} is stored, {}, {} ({took}).\n",
                    p.package.stored_version,
                    count(p.package.entries, "entry"),
                    HumanBytes(p.package.bytes)
                ),
                Self::Refreshed(_) if p.targets.is_empty() => format!(
                    "{id} {name}: version {} is stored; no distribution point has the package ({took}).\n",
                    p.package.source_version,
                ),
                Self::Refreshed(_) => format!(
                    "{id} {name}: version {} is served by {} ({took}).\n",
                    p.package.source_version,
                    count(u64::from(p.counters.installed), "distribution point"),
                ),
                Self::Installed(_, points) => format!(
                    "{id} {name}: version {} is served by {} ({took}).\n",
                    p.package.source_version,
                    list(points)
                ),
                Self::Removed(_, points) => format!("{id} {name}: removed from {} ({took}).\n", list(points)),
                Self::Gone(_) => String::new(),
            });
        }
        text
    }
}

fn list(points: &[DistributionPointName]) -> String {
    points.iter().map(DistributionPointName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
