//! What a distribution point's report about a job makes of its target.

use restock_names::Timestamp;

use super::{Effect, JobKind, Package, Report, RetryPolicy, Target, TargetState, columns};

/// Lets the report on `job` happen to `next`.
pub(super) fn reported(
    next: &mut Target,
    package: &Package,
    job: u64,
    report: Report,
    (now, retry): (Timestamp, RetryPolicy),
    effects: &mut Vec<Effect>,
) {
    let Some(open) = next.job.filter(|open| open.id == job) else {
        // A job that was replaced or cancelled has ended all the same: what is served is true.
        if let Report::Installed(version) = report
            && version > next.serving
        {
            next.serves(version);
            if next.state == TargetState::Failed && version == package.current && !next.is_redistributing {
                next.settle(package, effects);
            }
        }
        return;
    };
    let removes = open.kind == JobKind::Remove;
    match report {
        // The end of the window of a failed attempt stays: see below.
        Report::Receiving if !removes => next.state = TargetState::Receiving,
        Report::Stored if !removes => next.state = TargetState::Complete,
        Report::Installed(version) if !removes => {
            next.serves(version);
            next.job = None;
            next.forget_failures();
            if open.kind == JobKind::Redistribute {
                // Everything was read again and is right.
                next.is_redistributing = false;
                next.damage = None;
            }
            next.settle(package, effects);
        }
        Report::Removed if removes => {
            next.job = None;
            effects.push(Effect::Forget);
        }
        Report::Failed { is_transient } => {
            // A distribution point tries again by itself, and sooner than the delay: what fails
            // within one delay is one attempt, and its job stays open.
            if next.next_attempt.is_none_or(|at| at <= now) {
                next.attempts = next.attempts.saturating_add(1);
                next.next_attempt = Some(now.after(retry.delay));
            }
            next.cause = Some(columns::MESSAGE_ATTEMPT_FAILED);
            let goes_on = is_transient && next.attempts < retry.count;
            next.state = match (removes, goes_on) {
                (false, true) => TargetState::Retrying,
                (false, false) => TargetState::Failed,
                (true, true) => TargetState::RemovalRetrying,
                (true, false) => TargetState::RemovalFailed,
            };
            if !goes_on {
                if is_transient {
                    next.stop(effects);
                }
                next.job = None;
                next.next_attempt = None;
                next.has_given_up = true;
                next.cause = Some(columns::MESSAGE_GAVE_UP);
                if !removes && next.awaits(package) {
                    next.state = TargetState::Waiting;
                }
            }
        }
        Report::Receiving | Report::Stored | Report::Installed(_) | Report::Removed => {}
    }
}
