//! Bytes that rot at rest: in packs, tables, statements, pointers, scan caches and the site's database.
//!
//! A fleet that serves a version is stopped, one file of a member is damaged, the fleet starts again.
//! Whatever was damaged, no byte of a file is served wrong at any moment; a member either says that it
//! cannot go on with its database, or all content comes back by itself and a refresh goes through.

mod damage;
mod stage;

use restock_testkit::fleet::Member;
use restock_testkit::random::Random;
use restock_testkit::tally::Tally;

use damage::{Damage, Place};
use stage::Stage;

/// Points of each member; `cargo xtask torture flip N` asks for more.
fn points() -> u64 {
    std::env::var("RESTOCK_FLIP_POINTS").ok().and_then(|n| n.parse().ok()).unwrap_or(8)
}

/// Where the dice begin; a longer run takes others.
fn seed() -> u64 {
    std::env::var("RESTOCK_TORTURE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

fn survives_damage(victim: Member, places: &[Place]) {
    let mut stage = Stage::prepare().expect("a fleet without faults");
    let mut tally = Tally::default();
    for number in 0..points() {
        let mut random = Random::new(seed() * 1_000_003 + number);
        // Every place comes with every kind of damage in turn.
        let place = places[number as usize % places.len()];
        let damage = Damage::ALL[(number as usize / places.len()) % Damage::ALL.len()];
        let outcome = stage.damage(victim, place, damage, &mut random);
        tally.add(&format!("{damage:?} of {place:?} at {victim:?}, point {number}"), outcome);
    }
    tally.report("flip", &format!("{victim:?}"));
    println!("{:?}", stage.counts());
    assert_eq!(tally.violations, Vec::<String>::new());
    assert_eq!(tally.fired, tally.points, "some damage was none");
}

#[test]
fn a_distribution_point_whose_files_rot_serves_nothing_wrong_and_heals() {
    let places = [Place::Data, Place::Table, Place::Statement, Place::Pointer];
    survives_damage(Member::Dp(1), &places);
}

#[test]
fn a_site_whose_files_rot_gives_nothing_wrong_and_heals_or_says_so() {
    let places = [Place::Data, Place::Table, Place::Statement, Place::Pointer, Place::ScanCache];
    survives_damage(Member::Site, &places);
}

#[test]
fn a_site_whose_database_rots_harms_no_content() {
    survives_damage(Member::Site, &[Place::Database]);
}
