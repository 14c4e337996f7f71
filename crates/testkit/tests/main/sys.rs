//! kill -9 of the real site or distribution point at recorded system calls of a refresh.
//!
//! Two runs are recorded with `strace`; the write-type calls of both on files of the data folder are the
//! points. Each point is replayed from the same prepared fleet: the process is killed as it enters
//! that call, started again, and must reach the end state of an undisturbed run. A point that does
//! not fire is tried three more times; at least 95 in 100 must fire.

mod calls;
mod stage;

use restock_testkit::fleet::Member;

use stage::{Point, Stage};

/// Points of both suites together; `cargo xtask torture sys N` asks for more.
fn points() -> usize {
    std::env::var("RESTOCK_SYS_POINTS").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

fn survives_kills(victim: Member) {
    let mut stage = Stage::prepare().expect("a fleet without faults");
    let mut candidates = stage.record(victim).expect("a recorded run");
    // Which thread makes a call varies: a number that a second run reaches too will be reached again.
    let again = stage.record(victim).expect("a recorded run");
    candidates.retain(|point| again.iter().any(|other| other.is_same_call(point)));
    let wanted = points().div_ceil(2);
    let chosen = spread(&candidates, wanted);
    assert!(chosen.len() >= wanted.min(30), "only {} points were recorded", chosen.len());
    let (mut fired, mut violations, mut silent) = (0, Vec::new(), Vec::new());
    for point in &chosen {
        match stage.kill_at(point) {
            Ok(true) => fired += 1,
            Ok(false) => silent.push(point.to_string()),
            Err(error) => {
                fired += 1;
                violations.push(format!("{point}: {error:#}"));
            }
        }
    }
    println!("{victim:?}: {} points of {}, {fired} fired", chosen.len(), candidates.len());
    println!("{:?}, not fired: {silent:?}", stage.counts());
    assert_eq!(violations, Vec::<String>::new());
    assert!(fired * 100 >= chosen.len() * 95, "only {fired} of {} points fired: {silent:?}", chosen.len());
}

/// `count` of the points, evenly from the first to the last.
fn spread(points: &[Point], count: usize) -> Vec<Point> {
    let step = points.len().max(1) as f64 / count.max(1) as f64;
    let picked = (0..count.min(points.len())).map(|n| points[(n as f64 * step.max(1.0)) as usize].clone());
    picked.collect()
}

#[test]
fn a_site_killed_at_any_write_ends_as_if_it_had_not_been() {
    survives_kills(Member::Site);
}

#[test]
fn a_distribution_point_killed_at_any_write_ends_as_if_it_had_not_been() {
    survives_kills(Member::Dp(1));
}

/// A harness whose injector did nothing would have to say so.
#[test]
fn a_point_that_is_not_reached_counts_as_not_fired() {
    let mut stage = Stage::prepare().expect("a fleet without faults");
    assert!(!stage.kill_at(&Point::beyond_any_run()).expect("the fleet works on"));
}
