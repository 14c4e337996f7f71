//! The table of states: the columns row by row, and single transitions.

use std::time::Duration;

use restock_names::{SourceVersion, Timestamp};

use super::{
    Columns, Counted, Damage, Effect, Event, JobKind, OpenJob, Package, Refusal, Report, RetryPolicy, Target,
    TargetState, step,
};

pub(super) const RETRY: RetryPolicy = RetryPolicy { delay: Duration::from_secs(10), count: 3 };

pub(super) fn v(number: u32) -> SourceVersion {
    SourceVersion(number)
}

#[test]
fn columns_follow_the_table() {
    let of = |state, serving| {
        let cause = match state {
            TargetState::Installed | TargetState::Damaged => None,
            _ => Some(2328),
        };
        let c = Columns::of(state, v(serving), v(2), cause);
        (c.summarizer_state, c.package_status, c.message_state, c.message_id, c.point_status, c.counted)
    };
    let rows = [
        ((TargetState::Waiting, 0), (1, 0, 2, Some(2342), 2, Counted::Pending)),
        ((TargetState::Waiting, 1), (1, 0, 2, Some(2342), 1, Counted::Pending)),
        ((TargetState::Receiving, 0), (1, 1, 2, Some(8204), 2, Counted::Pending)),
        ((TargetState::Receiving, 1), (7, 1, 2, Some(8204), 1, Counted::Pending)),
        ((TargetState::Complete, 0), (7, 2, 2, Some(8200), 2, Counted::Pending)),
        ((TargetState::Complete, 1), (7, 2, 2, Some(8200), 1, Counted::Pending)),
        ((TargetState::Retrying, 0), (2, 4, 2, Some(2328), 2, Counted::Retrying)),
        ((TargetState::Retrying, 1), (2, 4, 2, Some(2328), 1, Counted::Retrying)),
        ((TargetState::Failed, 0), (3, 5, 4, Some(8203), 2, Counted::Failed)),
        ((TargetState::Failed, 1), (3, 5, 4, Some(8203), 1, Counted::Failed)),
        ((TargetState::Installed, 2), (0, 3, 1, Some(2330), 0, Counted::Installed)),
        ((TargetState::Damaged, 2), (8, 3, 4, Some(2382), 0, Counted::Failed)),
        ((TargetState::RemovalAsked, 2), (4, 7, 2, None, 3, Counted::Nowhere)),
        ((TargetState::RemovalRetrying, 2), (5, 9, 2, Some(2328), 3, Counted::Retrying)),
        ((TargetState::RemovalFailed, 2), (6, 8, 4, Some(2328), 3, Counted::Failed)),
    ];
    for ((state, serving), wanted) in rows {
        assert_eq!(of(state, serving), wanted, "{state:?} serving {serving}");
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    let found = |state, cause| Columns::of(state, v(2), v(2), Some(cause)).message_id;
    assert_eq!(found(TargetState::Damaged, 2385), Some(2385));
    assert_eq!(found(TargetState::Installed, 2384), Some(2384));
    let first = Columns::of(TargetState::Waiting, v(0), v(0), None);
    assert_eq!(first.message_id, Some(2372), "the content itself has not arrived");
}

/// A target that serves version 2 of a package that stores 2.
fn installed() -> Target {
    Target { state: TargetState::Installed, wanted: v(2), serving: v(2), ..Target::new() }
}

const STORES_2: Package = stores(2);

const fn stores(version: u32) -> Package {
    Package { current: SourceVersion(version), announced: SourceVersion(version), pending: 0 }
}

fn must(target: &Target, package: Package, event: Event) -> (Target, Vec<Effect>) {
    step(target, &package, event).expect("the event is not refused")
}

fn with_job(mut target: Target, id: u64, kind: JobKind) -> Target {
    target.job = Some(OpenJob { id, kind });
    target
}

#[test]
fn a_refresh_takes_the_target_out_of_installed_and_its_end_puts_it_back() {
    let pending = Package { pending: 7, ..STORES_2 };
    let (waiting, effects) = must(&installed(), pending, Event::RefreshAsked);
    assert_eq!((waiting.state, waiting.serving, effects), (TargetState::Waiting, v(2), vec![]));
    let (back, effects) = must(&waiting, STORES_2, Event::RefreshEnded);
    assert_eq!((back, effects), (installed(), vec![]));
}

#[test]
fn a_target_that_had_failed_is_failed_again_when_the_refresh_ends() {
    let failed = Target {
        state: TargetState::Failed,
        serving: v(1),
        wanted: v(2),
        has_given_up: true,
        ..Target::new()
    };
    let (waiting, _) = must(&failed, Package { pending: 7, ..STORES_2 }, Event::RefreshAsked);
    assert_eq!(waiting.state, TargetState::Waiting);
    let (back, effects) = must(&waiting, STORES_2, Event::RefreshEnded);
    assert_eq!((back, effects), (failed, vec![]));
}

#[test]
fn a_cancelled_target_sleeps_through_the_refresh_it_was_cancelled_in() {
    let pending = Package { pending: 7, ..STORES_2 };
    let (waiting, _) = must(&installed(), pending, Event::RefreshAsked);
    let (cancelled, _) = must(&waiting, pending, Event::CancelAsked);
    assert_eq!(cancelled.state, TargetState::Failed);
    // The refresh itself may end without a version,
    let (back, _) = must(&cancelled, STORES_2, Event::RefreshEnded);
    assert_eq!(back.state, TargetState::Installed);
    // publish without this distribution point,
    let stores_3 = stores(3);
    let (skipped, effects) = must(&cancelled, stores_3, Event::Published { covers: 7 });
    assert_eq!((skipped.state, effects), (TargetState::Failed, vec![]));
    // or be followed by a request that was not cancelled.
    let (again, _) = must(&skipped, Package { pending: 8, ..stores_3 }, Event::RefreshAsked);
    let (next, effects) = must(&again, stores(4), Event::Published { covers: 8 });
    assert_eq!((next.state, effects), (TargetState::Waiting, vec![Effect::Start(JobKind::Install)]));
}

#[test]
fn cancelling_needs_something_to_cancel() {
    assert_eq!(step(&installed(), &STORES_2, Event::CancelAsked), Err(Refusal::NothingToCancel));
    let (removing, _) = must(&installed(), STORES_2, Event::RemoveAsked);
    assert_eq!(step(&removing, &STORES_2, Event::CancelAsked), Err(Refusal::BeingRemoved));
    assert_eq!(step(&removing, &STORES_2, Event::RedistributeAsked), Err(Refusal::BeingRemoved));
    let complete = with_job(Target { state: TargetState::Complete, ..installed() }, 5, JobKind::Install);
    let (same, effects) = must(&complete, STORES_2, Event::CancelAsked);
    assert_eq!((same, effects), (complete, vec![]), "near completion it is ignored");
}

#[test]
fn a_cancellation_that_came_too_late_shows_what_is_served() {
    let receiving = with_job(
        Target { state: TargetState::Receiving, serving: v(1), wanted: v(2), ..Target::new() },
        5,
        JobKind::Install,
    );
    let (cancelled, effects) = must(&receiving, STORES_2, Event::CancelAsked);
    assert_eq!(effects, [Effect::Stop(OpenJob { id: 5, kind: JobKind::Install })]);
    let report = Event::Reported { job: 5, report: Report::Installed(v(2)), now: Timestamp(0), retry: RETRY };
    let (target, _) = must(&cancelled, STORES_2, report);
    assert_eq!((target.state, target.serving), (TargetState::Installed, v(2)));
}

#[test]
fn reports_about_a_replaced_job_change_nothing_but_what_is_served() {
    let waiting = with_job(
        Target { state: TargetState::Waiting, serving: v(1), wanted: v(3), ..Target::new() },
        9,
        JobKind::Install,
    );
    let stores_3 = stores(3);
    for report in [Report::Receiving, Report::Stored, Report::Failed { is_transient: false }, Report::Removed]
    {
        let event = Event::Reported { job: 8, report, now: Timestamp(0), retry: RETRY };
        assert_eq!(must(&waiting, stores_3, event), (waiting.clone(), vec![]), "{report:?}");
    }
    let event = Event::Reported { job: 8, report: Report::Installed(v(2)), now: Timestamp(0), retry: RETRY };
    let (target, _) = must(&waiting, stores_3, event);
    assert_eq!((target.state, target.serving), (TargetState::Waiting, v(2)));
}

#[test]
fn a_redistribution_follows_an_installation_that_is_under_way() {
    let receiving = with_job(
        Target { state: TargetState::Receiving, wanted: v(2), ..Target::new() },
        5,
        JobKind::Install,
    );
    let (asked, effects) = must(&receiving, STORES_2, Event::RedistributeAsked);
    assert_eq!((asked.state, effects), (TargetState::Receiving, vec![]));
    let report = Event::Reported { job: 5, report: Report::Installed(v(2)), now: Timestamp(0), retry: RETRY };
    let (target, effects) = must(&asked, STORES_2, report);
    assert_eq!((target.state, effects), (TargetState::Waiting, vec![Effect::Start(JobKind::Redistribute)]));
}

#[test]
fn a_distribution_point_that_lost_its_content_gets_it_again() {
    let (target, effects) = must(&installed(), STORES_2, Event::Holds(v(0)));
    assert_eq!((target.state, effects), (TargetState::Waiting, vec![Effect::Start(JobKind::Install)]));
    assert_eq!(must(&installed(), STORES_2, Event::Holds(v(2))), (installed(), vec![]));
}

fn damaged(damage: Damage) -> Target {
    must(&installed(), STORES_2, Event::DamageFound(v(2), damage)).0
}

#[test]
fn damage_that_a_distribution_point_finds_shows_until_it_is_healed() {
    for (damage, message) in [(Damage::Wrong, 2382), (Damage::Missing, 2385)] {
        let (found, effects) = must(&installed(), STORES_2, Event::DamageFound(v(2), damage));
        assert_eq!((found.state, found.cause, effects), (TargetState::Damaged, Some(message), vec![]));
        let (same, _) = must(&found, STORES_2, Event::DamageFound(v(2), damage));
        assert_eq!(same, found);
        assert_eq!(must(&found, STORES_2, Event::Holds(v(2))).0, found, "a connection heals nothing");
        let (healed, effects) = must(&found, STORES_2, Event::Healed(v(2)));
        assert_eq!((healed.state, healed.cause), (TargetState::Installed, Some(2384)));
        assert_eq!((healed.damage, effects), (None, vec![]));
        assert_eq!(must(&healed, STORES_2, Event::Healed(v(2))).0, healed);
    }
}

#[test]
fn damage_in_a_version_that_is_not_served_changes_nothing() {
    for version in [0, 1, 3] {
        let found = Event::DamageFound(v(version), Damage::Wrong);
        assert_eq!(must(&installed(), STORES_2, found), (installed(), vec![]));
        let hurt = damaged(Damage::Wrong);
        assert_eq!(must(&hurt, STORES_2, Event::Healed(v(version))), (hurt.clone(), vec![]));
    }
    let (removing, _) = must(&installed(), STORES_2, Event::RemoveAsked);
    let (still, _) = must(&removing, STORES_2, Event::DamageFound(v(2), Damage::Wrong));
    assert_eq!(still.state, TargetState::RemovalAsked);
}

#[test]
fn damage_outlives_a_refresh_without_a_version_and_ends_with_another_version() {
    let pending = Package { pending: 7, ..STORES_2 };
    let (waiting, _) = must(&damaged(Damage::Missing), pending, Event::RefreshAsked);
    assert_eq!(waiting.state, TargetState::Waiting);
    assert_eq!(must(&waiting, STORES_2, Event::RefreshEnded).0, damaged(Damage::Missing));
    // Found and healed while a refresh is pending: neither shows.
    let (asked, _) = must(&installed(), pending, Event::RefreshAsked);
    let (found, _) = must(&asked, pending, Event::DamageFound(v(2), Damage::Missing));
    assert_eq!(found.state, TargetState::Waiting);
    let (healed, _) = must(&found, pending, Event::Healed(v(2)));
    assert_eq!(must(&healed, STORES_2, Event::RefreshEnded).0, installed());

    let stores_3 = stores(3);
    let (next, _) = must(&waiting, stores_3, Event::Published { covers: 7 });
    let next = with_job(next, 5, JobKind::Install);
    let report = Event::Reported { job: 5, report: Report::Installed(v(3)), now: Timestamp(0), retry: RETRY };
    let (target, _) = must(&next, stores_3, report);
    assert_eq!((target.state, target.damage), (TargetState::Installed, None));
}

#[test]
fn a_redistribution_heals_and_an_installation_of_the_same_version_does_not() {
    let (asked, effects) = must(&damaged(Damage::Wrong), STORES_2, Event::RedistributeAsked);
    assert_eq!((asked.state, effects), (TargetState::Waiting, vec![Effect::Start(JobKind::Redistribute)]));
    let report = Event::Reported { job: 5, report: Report::Installed(v(2)), now: Timestamp(0), retry: RETRY };
    let (target, _) = must(&with_job(asked.clone(), 5, JobKind::Redistribute), STORES_2, report);
    assert_eq!((target.state, target.damage), (TargetState::Installed, None));
    let same = Target { is_redistributing: false, ..with_job(asked, 5, JobKind::Install) };
    let (target, _) = must(&same, STORES_2, report);
    assert_eq!((target.state, target.damage), (TargetState::Damaged, Some(Damage::Wrong)));
}

#[test]
fn what_fails_within_one_delay_is_one_attempt() {
    let mut target =
        with_job(Target { state: TargetState::Waiting, wanted: v(2), ..Target::new() }, 5, JobKind::Install);
    let mut report = |report, second: i64| {
        let event = Event::Reported { job: 5, report, now: Timestamp(second * 1_000_000), retry: RETRY };
        let (next, effects) = must(&target, STORES_2, event);
        target = next;
        (target.state, target.attempts, effects)
    };
    let failed = Report::Failed { is_transient: true };
    assert_eq!(report(failed, 0), (TargetState::Retrying, 1, vec![]));
    assert_eq!(report(failed, 3), (TargetState::Retrying, 1, vec![]));
    assert_eq!(report(Report::Receiving, 4), (TargetState::Receiving, 1, vec![]));
    assert_eq!(report(failed, 9), (TargetState::Retrying, 1, vec![]));
    assert_eq!(report(failed, 10), (TargetState::Retrying, 2, vec![]));
    let job = OpenJob { id: 5, kind: JobKind::Install };
    assert_eq!(report(failed, 20), (TargetState::Failed, 3, vec![Effect::Stop(job)]), "it tries no more");
}
