//! A disk that is full at many points of a distribution and of a refresh.
//!
//! The data folder of a member lies on a small file system with more and more room. What does not fit is
//! refused with `NO_SPACE` and the bytes needed, the old version goes on being served, and once there is
//! room the work ends by itself.

mod stage;

use restock_testkit::fleet::Member;
use restock_testkit::tally::Tally;

use stage::Stage;

/// Sizes for each member and reserve; `cargo xtask torture full N` asks for more.
fn steps() -> u64 {
    std::env::var("RESTOCK_FULL_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

/// `reserve`: what the configuration says shall stay free.
fn goes_on_by_itself(victim: Member, reserve: &str) {
    let mut stage = Stage::prepare(victim, reserve).expect("a fleet with room; this needs root");
    let mut tally = Tally::default();
    let needed = stage.needed_bytes();
    for step in 0..steps() {
        // From nearly nothing to a little less than enough.
        let free = (64 << 10) + needed * step / steps();
        let outcome = stage.fill(free);
        tally.add(&format!("{victim:?} with {free} bytes free, reserve {reserve}"), outcome);
    }
    tally.report("full", &format!("{victim:?}, reserve {reserve}, {needed} bytes needed"));
    println!("{:?}", stage.counts());
    assert_eq!(tally.violations, Vec::<String>::new());
    assert!(tally.fired > 0, "the disk was never full: {tally}");
}

#[test]
fn a_distribution_point_without_room_goes_on_when_there_is_some() {
    goes_on_by_itself(Member::Dp(1), "512 MiB");
}

#[test]
fn a_distribution_point_that_fills_its_disk_goes_on_when_there_is_room() {
    goes_on_by_itself(Member::Dp(1), "0");
}

#[test]
fn a_site_without_room_goes_on_when_there_is_some() {
    goes_on_by_itself(Member::Site, "512 MiB");
}

#[test]
fn a_site_that_fills_its_disk_goes_on_when_there_is_room() {
    goes_on_by_itself(Member::Site, "0");
}
