//! kill -9 of the real site or distribution point, and failing calls, at recorded system calls of a refresh.
//!
//! Two runs are recorded with `strace`; the write-type calls of both on files of the data folder are the
//! points. Each point is replayed from the same prepared fleet: the process is killed as it enters
//! that call, or the call fails with EIO or ENOSPC and the process goes on or gives up. What ended is
//! started again, and the fleet must reach the end state of an undisturbed run. A point that does
//! not fire is tried three more times; at least 95 in 100 must fire.

mod calls;
mod stage;

use restock_testkit::fleet::Member;
use restock_testkit::tally::Tally;

use stage::{Harm, Point, Stage};

/// Points of both members together; `cargo xtask torture sys N` asks for more.
fn points() -> Option<usize> {
    std::env::var("RESTOCK_SYS_POINTS").ok().and_then(|n| n.parse().ok())
}

fn survives(victim: Member, harms: &[Harm], wanted: usize, is_point: fn(&Point) -> bool) {
    let mut stage = Stage::prepare().expect("a fleet without faults");
    let mut candidates = stage.record(victim).expect("a recorded run");
    // Which thread makes a call varies: a number that a second run reaches too will be reached again.
    let again = stage.record(victim).expect("a recorded run");
    candidates.retain(|point| is_point(point) && again.iter().any(|o| o.is_same_call(point) && is_point(o)));
    let chosen = spread(&candidates, wanted);
    assert!(chosen.len() >= wanted.min(30), "only {} points were recorded", chosen.len());
    let (mut tally, mut silent) = (Tally::default(), Vec::new());
    for (index, point) in chosen.iter().enumerate() {
        let harm = harms[index % harms.len()];
        let outcome = stage.strike(point, harm);
        if matches!(outcome, Ok(false)) {
            silent.push(format!("{harm:?} {point}"));
        }
        tally.add(&format!("{harm:?} {point}"), outcome);
    }
    tally.report("sys", &format!("{victim:?} {harms:?}, {} to choose from", candidates.len()));
    println!("{:?}, not fired: {silent:?}", stage.counts());
    assert_eq!(tally.violations, Vec::<String>::new());
    assert!(tally.fired * 100 >= tally.points * 95, "{tally}: {silent:?}");
}

/// `count` of the points, evenly from the first to the last.
fn spread(points: &[Point], count: usize) -> Vec<Point> {
    let step = points.len().max(1) as f64 / count.max(1) as f64;
    let picked = (0..count.min(points.len())).map(|n| points[(n as f64 * step.max(1.0)) as usize].clone());
    picked.collect()
}

fn survives_kills(victim: Member) {
    survives(victim, &[Harm::Kill], points().unwrap_or(60).div_ceil(2), |_| true);
}

fn survives_errors(victim: Member) {
    // What has no room waits half a minute: in the quick form full:: does that.
    let harms: &[Harm] =
        if points().is_none() { &[Harm::Fail("EIO")] } else { &[Harm::Fail("EIO"), Harm::Fail("ENOSPC")] };
    survives(victim, harms, points().unwrap_or(8).div_ceil(2), Point::can_fail);
}

#[test]
fn a_site_killed_at_any_write_ends_as_if_it_had_not_been() {
    survives_kills(Member::Site);
}

#[test]
fn a_distribution_point_killed_at_any_write_ends_as_if_it_had_not_been() {
    survives_kills(Member::Dp(1));
}

#[test]
fn a_site_whose_writes_fail_once_ends_as_if_they_had_not() {
    survives_errors(Member::Site);
}

#[test]
fn a_distribution_point_whose_writes_fail_once_ends_as_if_they_had_not() {
    survives_errors(Member::Dp(1));
}

/// A harness whose injector did nothing would have to say so.
#[test]
fn a_point_that_is_not_reached_counts_as_not_fired() {
    let mut stage = Stage::prepare().expect("a fleet without faults");
    for harm in [Harm::Kill, Harm::Fail("EIO")] {
        assert!(!stage.strike(&Point::beyond_any_run(), harm).expect("the fleet works on"));
    }
}
