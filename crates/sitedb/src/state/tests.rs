//! Table 17a: the columns row by row, single transitions, and invariants over random sequences of
//! events on one package with several distribution points.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use restock_names::{SourceVersion, Timestamp};

use super::{
    Columns, Counted, Counters, Effect, Event, JobKind, OpenJob, Package, Refusal, Report, RetryPolicy,
    Target, TargetState, step,
};
use crate::Why;
use crate::refresh::Refresh;

const RETRY: RetryPolicy = RetryPolicy { delay: Duration::from_secs(10), count: 3 };

fn v(number: u32) -> SourceVersion {
    SourceVersion(number)
}

#[test]
fn columns_follow_the_table() {
    let of = |state, serving| {
        let c = Columns::of(state, v(serving), v(2), Some(2328));
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
    let first = Columns::of(TargetState::Waiting, v(0), v(0), None);
    assert_eq!(first.message_id, Some(2372), "the content itself has not arrived");
}

/// A target that serves version 2 of a package that stores 2.
fn installed() -> Target {
    Target { state: TargetState::Installed, wanted: v(2), serving: v(2), ..Target::new() }
}

const STORES_2: Package = Package { current: SourceVersion(2), pending: 0 };

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
    let stores_3 = Package { current: v(3), pending: 0 };
    let (skipped, effects) = must(&cancelled, stores_3, Event::Published { covers: 7 });
    assert_eq!((skipped.state, effects), (TargetState::Failed, vec![]));
    // or be followed by a request that was not cancelled.
    let (again, _) = must(&skipped, Package { pending: 8, ..stores_3 }, Event::RefreshAsked);
    let (next, effects) = must(&again, Package { current: v(4), pending: 0 }, Event::Published { covers: 8 });
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
    let stores_3 = Package { current: v(3), pending: 0 };
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

// ---- random sequences ---------------------------------------------------------------------------

const POINTS: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Happens {
    RefreshAsked,
    RunStarts,
    RunPublishes,
    RunFails,
    RefreshCancelled,
    Added(usize),
    RemoveAsked(usize),
    RedistributeAsked(usize),
    CancelAsked(usize),
    Reports(usize, Says),
    ReportsLate(usize, Says),
    TimePasses,
    Connects(usize, bool),
}

#[derive(Debug, Clone, Copy)]
enum Says {
    Receiving,
    Stored,
    Done,
    Failed(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    let says = prop_oneof![
        2 => Just(Says::Receiving),
        1 => Just(Says::Stored),
        4 => Just(Says::Done),
        1 => any::<bool>().prop_map(Says::Failed),
    ];
    let point = 0..POINTS;
    prop_oneof![
        3 => Just(Happens::RefreshAsked),
        3 => Just(Happens::RunStarts),
        3 => Just(Happens::RunPublishes),
        2 => Just(Happens::RunFails),
        1 => Just(Happens::RefreshCancelled),
        3 => point.clone().prop_map(Happens::Added),
        1 => point.clone().prop_map(Happens::RemoveAsked),
        1 => point.clone().prop_map(Happens::RedistributeAsked),
        1 => point.clone().prop_map(Happens::CancelAsked),
        8 => (point.clone(), says.clone()).prop_map(|(p, s)| Happens::Reports(p, s)),
        2 => (point.clone(), says).prop_map(|(p, s)| Happens::ReportsLate(p, s)),
        2 => Just(Happens::TimePasses),
        1 => (point, any::<bool>()).prop_map(|(p, lost)| Happens::Connects(p, lost)),
    ]
}

/// A package with its targets, as the site keeps it: requests by [`Refresh`], states by [`step`].
struct World {
    now: Timestamp,
    source: u32,
    current: u32,
    refresh: Refresh,
    run: Option<u64>,
    targets: BTreeMap<usize, Target>,
    /// What each distribution point serves in truth.
    served: [u32; POINTS],
    jobs: u64,
    ended: Vec<(usize, OpenJob, SourceVersion)>,
}

impl World {
    fn new() -> Self {
        let now = Timestamp(0);
        Self {
            now,
            source: 1,
            current: 0,
            refresh: Refresh::of_creation(now),
            run: None,
            targets: BTreeMap::new(),
            served: [0; POINTS],
            jobs: 0,
            ended: Vec::new(),
        }
    }

    fn package(&self) -> Package {
        Package { current: v(self.current), pending: self.refresh.pending() }
    }

    fn apply(&mut self, point: usize, event: Event) {
        let package = self.package();
        let Some(target) = self.targets.get(&point) else { return };
        if let Some(job) = target.job {
            self.ended.push((point, job, target.wanted));
        }
        let Ok((mut next, effects)) = step(target, &package, event) else { return };
        for effect in effects {
            match effect {
                Effect::Start(kind) => {
                    self.jobs += 1;
                    next.job = Some(OpenJob { id: self.jobs, kind });
                }
                Effect::Stop(_) => {}
                Effect::Forget => {
                    self.targets.remove(&point);
                    return;
                }
            }
        }
        self.targets.insert(point, next);
    }

    fn apply_all(&mut self, event: Event) {
        for point in 0..POINTS {
            self.apply(point, event);
        }
    }

    fn report(&mut self, point: usize, job: OpenJob, wanted: SourceVersion, says: Says) {
        let report = match says {
            Says::Receiving => Report::Receiving,
            Says::Stored => Report::Stored,
            Says::Done if job.kind == JobKind::Remove => {
                self.served[point] = 0;
                Report::Removed
            }
            Says::Done => {
                self.served[point] = self.served[point].max(wanted.0);
                Report::Installed(wanted)
            }
            Says::Failed(is_transient) => Report::Failed { is_transient },
        };
        let now = self.now;
        self.apply(point, Event::Reported { job: job.id, report, now, retry: RETRY });
    }

    fn happen(&mut self, happens: Happens) {
        match happens {
            Happens::RefreshAsked => {
                self.refresh.request(self.now);
                self.apply_all(Event::RefreshAsked);
                assert!(self.targets.values().all(|t| t.state != TargetState::Installed));
            }
            Happens::RunStarts => {
                if self.run.is_none() {
                    self.run = self.refresh.claim("a", self.now, Duration::from_secs(1_000_000));
                }
            }
            Happens::RunPublishes => {
                if let Some(run) = self.run.take()
                    && self.refresh.is_held_by(run)
                {
                    let before = self.source;
                    if self.current > 0 || !self.refresh.is_creating() {
                        self.source += 1;
                    }
                    self.current = self.source;
                    let covers = self.refresh.started;
                    self.refresh.published(self.now);
                    self.apply_all(Event::Published { covers });
                    assert!(self.source - before <= 1);
                    assert!(self.targets.values().all(|t| t.state != TargetState::Installed));
                }
            }
            Happens::RunFails => {
                if let Some(run) = self.run.take()
                    && self.refresh.is_held_by(run)
                    && self.refresh.attempt_failed(self.now, Why::new("X", "x"), RETRY)
                {
                    self.apply_all(Event::RefreshEnded);
                }
            }
            Happens::RefreshCancelled => {
                if self.refresh.cancel() {
                    self.apply_all(Event::RefreshEnded);
                }
            }
            Happens::Added(point) => {
                let target = Target { serving: v(0), ..Target::new() };
                self.targets.entry(point).or_insert(target);
                self.apply(point, Event::Added);
            }
            Happens::RemoveAsked(point) => self.apply(point, Event::RemoveAsked),
            Happens::RedistributeAsked(point) => {
                let others = self.targets.clone();
                self.apply(point, Event::RedistributeAsked);
                let is_other = |(p, _): &(&usize, &Target)| **p != point;
                assert!(others.iter().filter(is_other).eq(self.targets.iter().filter(is_other)));
            }
            Happens::CancelAsked(point) => self.apply(point, Event::CancelAsked),
            Happens::Reports(point, says) => {
                if let Some((job, wanted)) = self.targets.get(&point).and_then(|t| Some((t.job?, t.wanted))) {
                    self.report(point, job, wanted, says);
                }
            }
            Happens::ReportsLate(point, says) => {
                let late = self.ended.iter().rev().find(|(p, ..)| *p == point).copied();
                if let Some((_, job, wanted)) = late
                    && job.kind != JobKind::Remove
                {
                    self.report(point, job, wanted, says);
                }
            }
            Happens::TimePasses => {
                self.now = self.now.after(RETRY.delay);
                for point in 0..POINTS {
                    let is_due = self
                        .targets
                        .get(&point)
                        .and_then(|t| t.next_attempt)
                        .is_some_and(|at| at <= self.now);
                    if is_due {
                        self.apply(point, Event::RetryDue);
                    }
                }
            }
            Happens::Connects(point, has_lost_content) => {
                if has_lost_content {
                    self.served[point] = 0;
                }
                let served = v(self.served[point]);
                self.apply(point, Event::Holds(served));
            }
        }
    }

    fn check(&self) {
        let package = self.package();
        let mut counters = Counters::default();
        for (point, t) in &self.targets {
            let counted = Columns::of(t.state, t.serving, package.current, t.cause).counted;
            counters.add(counted);
            let state = t.state;
            if state == TargetState::Installed {
                assert_eq!(t.serving, package.current, "{point}: installed is the current version");
                assert!(package.pending == 0 || t.skip_until >= package.pending, "{point}: nothing is asked");
                assert!(t.serving.0 > 0 && t.job.is_none() && !t.is_redistributing, "{point}: {t:?}");
            }
            let has_job = matches!(
                state,
                TargetState::Receiving
                    | TargetState::Complete
                    | TargetState::Retrying
                    | TargetState::RemovalAsked
                    | TargetState::RemovalRetrying
            );
            assert!(!has_job || t.job.is_some(), "{point}: {t:?}");
            let is_retrying = matches!(state, TargetState::Retrying | TargetState::RemovalRetrying);
            assert!(!is_retrying || t.next_attempt.is_some(), "{point}: {t:?}");
            assert!(t.next_attempt.is_none() || t.job.is_some(), "{point}: {t:?}");
            if state == TargetState::Waiting && t.job.is_none() {
                assert!(
                    package.pending > t.skip_until || package.current.0 == 0,
                    "{point}: waits for nothing: {t:?} {package:?}"
                );
            }
            if state == TargetState::Failed {
                assert!(t.has_given_up && t.job.is_none(), "{point}: {t:?}");
                assert!(package.pending <= t.skip_until, "{point}: a refresh is asked: {t:?}");
            }
            assert!(t.serving.0 <= self.served[*point].max(self.current) && t.wanted.0 <= self.current);
        }
        assert_eq!(
            counters.targeted,
            counters.installed + counters.retrying + counters.failed + counters.pending
        );
    }

    /// Faults end: what was asked is done, every job is carried out.
    fn converge(&mut self) {
        for _ in 0..40 {
            self.happen(Happens::RunStarts);
            self.happen(Happens::RunPublishes);
            self.happen(Happens::TimePasses);
            for point in 0..POINTS {
                self.happen(Happens::Reports(point, Says::Done));
            }
            self.check();
        }
        for (point, t) in &self.targets {
            match t.state {
                TargetState::Installed => assert_eq!(self.served[*point], self.current, "{point}"),
                TargetState::Failed | TargetState::RemovalFailed => assert!(t.has_given_up),
                TargetState::Waiting => assert_eq!(self.current, 0, "{point}: {t:?}"),
                other => panic!("{point} is still {other:?}: {t:?}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_over_any_sequence_of_events(events in prop::collection::vec(happens(), 1..80)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            world.check();
        }
        world.converge();
    }
}
