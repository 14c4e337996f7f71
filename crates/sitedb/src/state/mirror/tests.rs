//! Two sites: one owns a package, the other a distribution point; what they tell each other comes
//! late, or not before the next that is told.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use restock_names::Timestamp;

use super::super::tests::{RETRY, v};
use super::super::{Columns, Counters, Damage, Effect, Event, OpenJob, Report, step};
use super::{Package, Target, TargetState, Told, Wish, mirrored};
use crate::refresh::Refresh;

#[derive(Debug, Clone, Copy)]
enum Happens {
    // At the owner.
    RefreshAsked,
    RunPublishes,
    RefreshCancelled,
    Added,
    RemoveAsked,
    RedistributeAsked,
    CancelAsked,
    // At the site of the distribution point.
    AddedThere,
    RemoveAskedThere,
    CancelAskedThere,
    ContentArrives,
    Receives,
    Succeeds,
    Fails(bool),
    RetryDue,
    FindsDamage,
    Heals,
    LosesContent,
    // Between them; of each object the newest state arrives.
    WishArrives,
    StateArrives,
    PackageArrives,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => Just(Happens::RefreshAsked),
        4 => Just(Happens::RunPublishes),
        1 => Just(Happens::RefreshCancelled),
        4 => Just(Happens::Added),
        1 => Just(Happens::RemoveAsked),
        2 => Just(Happens::RedistributeAsked),
        1 => Just(Happens::CancelAsked),
        1 => Just(Happens::AddedThere),
        1 => Just(Happens::RemoveAskedThere),
        1 => Just(Happens::CancelAskedThere),
        4 => Just(Happens::ContentArrives),
        2 => Just(Happens::Receives),
        6 => Just(Happens::Succeeds),
        2 => any::<bool>().prop_map(Happens::Fails),
        1 => Just(Happens::RetryDue),
        1 => Just(Happens::FindsDamage),
        1 => Just(Happens::Heals),
        1 => Just(Happens::LosesContent),
        6 => Just(Happens::WishArrives),
        6 => Just(Happens::StateArrives),
        6 => Just(Happens::PackageArrives),
    ]
}

/// A target with the wishes counted at its site.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    facts: Target,
    wish: Wish,
}

/// Both sites; an object is its newest state, with a stamp as all objects have.
#[derive(Debug)]
struct World {
    now: Timestamp,
    refresh: Refresh,
    source: u32,
    /// At the owner: what is shown of the target.
    shown: Option<Row>,
    /// The object of kind `state` as it has arrived at the owner.
    told: Option<Told>,
    /// The object of kind `target` at each of the two, and its clock.
    wishes: [(u64, Wish); 2],
    /// At the other site.
    row: Option<Row>,
    /// What it knows of the package: versions announced and stored, and whether a request waits.
    announced: u32,
    stored: u32,
    pending: u64,
    served: u32,
    jobs: u64,
    /// The owner shows just what it was told.
    is_credulous: bool,
}

const NONE: Wish = Wish { is_wanted: false, redistributes: 0, cancels: 0 };

impl World {
    fn new() -> Self {
        let now = Timestamp(0);
        Self {
            now,
            refresh: Refresh::new(now),
            source: 0,
            shown: None,
            told: None,
            wishes: [(0, NONE); 2],
            row: None,
            announced: 0,
            stored: 0,
            pending: 0,
            served: 0,
            jobs: 0,
            is_credulous: false,
        }
    }

    fn at_owner(&self) -> Package {
        Package { current: v(self.source), announced: v(self.source), pending: self.refresh.pending() }
    }

    fn there(&self) -> Package {
        Package { current: v(self.stored), announced: v(self.announced), pending: self.pending }
    }

    /// A person's wish at the owner.
    fn wish(&mut self, event: Event) {
        let known = self.shown.clone();
        if known.is_none() && event != Event::Added {
            return;
        }
        let mut row = known.unwrap_or(Row { facts: Target::new(), wish: Wish { is_wanted: true, ..NONE } });
        let before = row.facts.state;
        let Ok((mut facts, _)) = step(&row.facts, &self.at_owner(), event) else { return };
        (facts.job, facts.next_attempt) = (None, None);
        match event {
            Event::RemoveAsked if self.told.is_none() => {
                self.shown = None;
                self.write_wish(0, NONE);
                return;
            }
            Event::RedistributeAsked => row.wish.redistributes += 1,
            Event::CancelAsked if facts.state != before => row.wish.cancels += 1,
            Event::RemoveAsked if before.is_removal() && before != TargetState::RemovalAsked => {
                row.wish.cancels += 1;
            }
            _ => {}
        }
        row.wish.is_wanted = !facts.state.is_removal();
        row.facts = facts;
        self.write_wish(0, row.wish);
        self.shown = Some(row);
    }

    fn write_wish(&mut self, place: usize, wish: Wish) {
        if self.wishes[place].1 != wish {
            let clock = self.wishes[0].0.max(self.wishes[1].0) + 1;
            self.wishes[place] = (clock, wish);
        }
    }

    fn mirror(&mut self, wish: Wish) {
        let skip_until = self.shown.as_ref().map_or(0, |row| row.facts.skip_until);
        let facts = mirrored(skip_until, wish, self.told.as_ref(), &self.at_owner());
        self.shown = facts.map(|facts| Row { facts, wish });
        if self.is_credulous
            && let (Some(row), Some(told)) = (&mut self.shown, &self.told)
        {
            row.facts.state = told.state;
        }
    }

    /// An event at the site of the distribution point.
    fn apply(&mut self, event: Event) {
        let Some(row) = &self.row else { return };
        let Ok((mut next, effects)) = step(&row.facts, &self.there(), event) else { return };
        for effect in effects {
            match effect {
                Effect::Start(kind) => {
                    self.jobs += 1;
                    next.job = Some(OpenJob { id: self.jobs, kind });
                }
                Effect::Stop(_) => {}
                Effect::Forget => {
                    self.row = None;
                    return;
                }
            }
        }
        let wish = Wish { is_wanted: !next.state.is_removal(), ..row.wish };
        self.row = Some(Row { facts: next, wish });
    }

    fn report(&mut self, report: Report) {
        let Some(job) = self.row.as_ref().and_then(|row| row.facts.job) else { return };
        self.apply(Event::Reported { job: job.id, report, now: self.now, retry: RETRY });
    }

    fn succeed(&mut self) {
        let Some(row) = &self.row else { return };
        if row.facts.state.is_removal() {
            self.served = 0;
            self.report(Report::Removed);
        } else if row.facts.job.is_some() {
            self.served = self.served.max(row.facts.wanted.0);
            self.report(Report::Installed(row.facts.wanted));
        }
    }

    fn take_wish(&mut self) {
        if self.wishes[0].0 == self.wishes[1].0 {
            return;
        }
        let wish = self.wishes[usize::from(self.wishes[1].0 > self.wishes[0].0)];
        let comes_from_owner = wish == self.wishes[0];
        self.wishes = [wish; 2];
        let wish = wish.1;
        if !comes_from_owner {
            self.mirror(wish);
            return;
        }
        let Some(row) = &mut self.row else {
            if wish.is_wanted {
                self.row = Some(Row { facts: Target::new(), wish });
                self.apply(Event::Added);
                if wish.cancels > 0 {
                    self.apply(Event::CancelAsked);
                }
            }
            return;
        };
        let before = row.wish;
        row.wish = Wish { is_wanted: before.is_wanted, ..wish };
        let has_asked_again = wish.cancels > before.cancels;
        if !wish.is_wanted {
            if before.is_wanted || has_asked_again {
                self.apply(Event::RemoveAsked);
            }
            return;
        }
        if !before.is_wanted {
            self.apply(Event::Added);
        } else if wish.redistributes > before.redistributes {
            self.apply(Event::RedistributeAsked);
        }
        if has_asked_again {
            self.apply(Event::CancelAsked);
        }
    }

    fn take_state(&mut self) {
        self.told = self.row.as_ref().map(|row| Told {
            state: row.facts.state,
            wanted: row.facts.wanted,
            serving: row.facts.serving,
            is_redistributing: row.facts.is_redistributing,
            has_given_up: row.facts.has_given_up,
            attempts: row.facts.attempts,
            cause: row.facts.cause,
            damage: row.facts.damage,
            done: row.wish,
        });
        self.mirror(self.wishes[0].1);
    }

    fn take_package(&mut self) {
        let (was_pending, was_announced) = (self.pending, self.announced);
        // Requests are counted by each site for itself.
        let is_pending = self.refresh.is_pending();
        self.pending = if is_pending { was_pending.max(1) + u64::from(was_pending == 0) } else { 0 };
        self.announced = self.source;
        if self.announced > was_announced || is_pending && was_pending == 0 {
            self.apply(Event::RefreshAsked);
        }
        if !is_pending && was_pending > 0 {
            self.apply(Event::RefreshEnded);
        }
    }

    fn happen(&mut self, happens: Happens) {
        match happens {
            Happens::RefreshAsked => {
                self.refresh.request(self.now);
                if let Some(row) = &mut self.shown {
                    let package = Package {
                        current: v(self.source),
                        announced: v(self.source),
                        pending: self.refresh.pending(),
                    };
                    row.facts = step(&row.facts, &package, Event::RefreshAsked).unwrap().0;
                    assert!(!matches!(row.facts.state, TargetState::Installed | TargetState::Damaged));
                }
            }
            Happens::RunPublishes => {
                if self.refresh.claim("a", self.now, Duration::from_secs(1_000_000)).is_some() {
                    self.source += 1;
                    self.refresh.published(self.now);
                    self.mirror_if_shown();
                }
            }
            Happens::RefreshCancelled => {
                if self.refresh.cancel() {
                    self.mirror_if_shown();
                }
            }
            Happens::Added => self.wish(Event::Added),
            Happens::RemoveAsked => self.wish(Event::RemoveAsked),
            Happens::RedistributeAsked => self.wish(Event::RedistributeAsked),
            Happens::CancelAsked => self.wish(Event::CancelAsked),
            Happens::AddedThere | Happens::RemoveAskedThere => {
                let is_added = matches!(happens, Happens::AddedThere);
                if is_added && self.row.is_none() {
                    self.row = Some(Row { facts: Target::new(), wish: Wish { is_wanted: true, ..NONE } });
                }
                self.apply(if is_added { Event::Added } else { Event::RemoveAsked });
                if let Some(row) = &self.row {
                    self.write_wish(1, row.wish);
                }
            }
            Happens::CancelAskedThere => self.apply(Event::CancelAsked),
            Happens::ContentArrives => {
                if self.announced > self.stored {
                    self.stored = self.announced;
                    self.apply(Event::Published { covers: self.pending });
                }
            }
            Happens::Receives => self.report(Report::Receiving),
            Happens::Succeeds => self.succeed(),
            Happens::Fails(is_transient) => self.report(Report::Failed { is_transient }),
            Happens::RetryDue => {
                self.now = self.now.after(RETRY.delay);
                self.apply(Event::RetryDue);
            }
            Happens::FindsDamage => self.apply(Event::DamageFound(v(self.served), Damage::Wrong)),
            Happens::Heals => self.apply(Event::Healed(v(self.served))),
            Happens::LosesContent => {
                self.served = 0;
                self.apply(Event::Holds(v(0)));
            }
            Happens::WishArrives => self.take_wish(),
            Happens::StateArrives => self.take_state(),
            Happens::PackageArrives => self.take_package(),
        }
    }

    fn mirror_if_shown(&mut self) {
        if let Some(row) = &self.shown {
            let wish = Wish { is_wanted: !row.facts.state.is_removal(), ..row.wish };
            self.mirror(wish);
        }
    }

    fn check(&self) {
        let rows = [(&self.shown, self.at_owner(), true), (&self.row, self.there(), false)];
        for (row, package, is_elsewhere) in rows {
            let Some(Row { facts, .. }) = row else { continue };
            let mut counters = Counters::default();
            counters.add(Columns::of(facts.state, facts.serving, package.current, facts.cause).counted);
            assert_eq!(
                counters.targeted,
                counters.installed + counters.retrying + counters.failed + counters.pending
            );
            if matches!(facts.state, TargetState::Installed | TargetState::Damaged) {
                assert_eq!(facts.serving, package.announced, "installed is the newest version: {facts:?}");
                assert!(package.pending <= facts.skip_until, "nothing is asked: {facts:?}");
                assert!(!facts.is_redistributing, "{facts:?}");
            }
            assert!(facts.damage.is_none() || facts.state != TargetState::Installed, "{facts:?}");
            assert!(facts.state != TargetState::Failed || facts.has_given_up, "{facts:?}");
            if is_elsewhere {
                assert!(facts.job.is_none() && facts.next_attempt.is_none(), "{facts:?}");
            }
        }
    }

    /// Everything arrives, every request is run and every job done: both say the same.
    fn converge(&mut self) {
        for _ in 0..40 {
            for happens in [
                Happens::RunPublishes,
                Happens::PackageArrives,
                Happens::WishArrives,
                Happens::ContentArrives,
                Happens::RetryDue,
                Happens::Succeeds,
                Happens::Heals,
                Happens::StateArrives,
            ] {
                self.happen(happens);
                self.check();
            }
        }
        let states = |row: &Option<Row>| row.as_ref().map(|row| (row.facts.state, row.facts.serving));
        assert_eq!(states(&self.shown), states(&self.row), "{self:?}");
        if let Some((state, serving)) = states(&self.row) {
            match state {
                TargetState::Installed => assert_eq!(serving, v(self.source)),
                TargetState::Failed | TargetState::RemovalFailed => {}
                TargetState::Waiting => assert_eq!(self.source, 0),
                other => panic!("it is still {other:?}: {self:?}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_elsewhere_is_never_installed_too_early_and_right_in_the_end(
        events in prop::collection::vec(happens(), 1..80),
    ) {
        run(World::new(), events);
    }
}

#[test]
fn a_site_that_shows_just_what_it_is_told_is_found_out() {
    let config = ProptestConfig {
        cases: 2_000,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let events = prop::collection::vec(happens(), 1..80);
    let found = TestRunner::new(config).run(&events, |events| {
        run(World { is_credulous: true, ..World::new() }, events);
        Ok(())
    });
    assert!(found.is_err());
}

fn run(mut world: World, events: Vec<Happens>) {
    for event in events {
        world.happen(event);
        world.check();
    }
    world.converge();
}
