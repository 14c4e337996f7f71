//! Invariants over random sequences of events on one package with several distribution points.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use restock_names::{SourceVersion, Timestamp};

use super::tests::{RETRY, v};
use super::{
    Columns, Counters, Damage, Effect, Event, JobKind, OpenJob, Package, Report, Target, TargetState, step,
};
use crate::Why;
use crate::refresh::Refresh;

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
    FindsDamage(usize),
    Heals(usize),
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
        1 => (point.clone(), any::<bool>()).prop_map(|(p, lost)| Happens::Connects(p, lost)),
        2 => point.clone().prop_map(Happens::FindsDamage),
        1 => point.prop_map(Happens::Heals),
    ]
}

fn serves_what_was_asked(target: &Target) -> bool {
    matches!(target.state, TargetState::Installed | TargetState::Damaged)
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
        Package { current: v(self.current), announced: v(self.current), pending: self.refresh.pending() }
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
                assert!(self.targets.values().all(|t| !serves_what_was_asked(t)));
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
                    assert!(self.targets.values().all(|t| !serves_what_was_asked(t)));
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
            Happens::FindsDamage(point) => {
                self.apply(point, Event::DamageFound(v(self.served[point]), Damage::Wrong));
            }
            Happens::Heals(point) => self.apply(point, Event::Healed(v(self.served[point]))),
        }
    }

    fn check(&self) {
        let package = self.package();
        let mut counters = Counters::default();
        for (point, t) in &self.targets {
            let counted = Columns::of(t.state, t.serving, package.current, t.cause).counted;
            counters.add(counted);
            let state = t.state;
            assert!(t.damage.is_none() || t.serving.0 > 0, "{point}: {t:?}");
            assert!(state != TargetState::Damaged || t.damage.is_some(), "{point}: {t:?}");
            assert!(state != TargetState::Installed || t.damage.is_none(), "{point}: {t:?}");
            if matches!(state, TargetState::Installed | TargetState::Damaged) {
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
                self.happen(Happens::Heals(point));
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
