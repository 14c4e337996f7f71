//! Power cuts on real file systems.

mod cycle;

use std::fs::File;
use std::io::Write;

use restock_testkit::loop_disk::{FileSystem, LoopDisk};
use restock_testkit::tally::Tally;
use tempfile::TempDir;

use cycle::Cycles;

/// Shows that the cut is one: without it the suites below would prove nothing.
#[test]
fn a_cut_keeps_what_was_synced_and_loses_what_was_not() {
    for kind in [FileSystem::Ext4, FileSystem::Xfs] {
        let folder = TempDir::new().expect("a temporary folder");
        let mut disk = LoopDisk::create(folder.path(), kind, 320).expect("a loop disk; this needs root");
        let mut synced = File::create(disk.path().join("synced")).expect("creates");
        synced.write_all(b"kept").expect("writes");
        synced.sync_all().expect("syncs");
        File::open(disk.path()).and_then(|f| f.sync_all()).expect("syncs the folder");
        File::create(disk.path().join("unsynced")).and_then(|mut f| f.write_all(b"lost")).expect("writes");
        disk.cut().expect("cuts");
        assert!(File::create(disk.path().join("late")).is_err(), "{kind:?} works on after the cut");
        drop(synced);
        disk.remount().expect("mounts again");
        assert_eq!(std::fs::read(disk.path().join("synced")).expect("reads"), b"kept");
        let lost = std::fs::read(disk.path().join("unsynced")).unwrap_or_default();
        assert_eq!(lost, b"", "{kind:?} kept what was never synced");
    }
}

/// Cuts on each file system; `cargo xtask torture power N` asks for more.
fn cycles() -> u64 {
    std::env::var("RESTOCK_POWER_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(25)
}

fn survives_cuts(kind: FileSystem) {
    let mut run = Cycles::prepare(kind).expect("a fleet on a loop disk; this needs root");
    for number in 0..cycles() {
        run.cut_once(number).unwrap_or_else(|error| panic!("cut {number} on {kind:?}: {error:#}"));
    }
    let (points, verdict) = (cycles(), run.verdict().expect("no rule is broken"));
    Tally { points, fired: points, violations: Vec::new() }.report("power", &format!("{kind:?}"));
    println!("{kind:?}: {run}; {verdict}");
    assert!(run.has_met_work(), "no cut met work in progress: {run}");
}

#[test]
fn what_was_acknowledged_survives_power_cuts_on_ext4() {
    survives_cuts(FileSystem::Ext4);
}

#[test]
fn what_was_acknowledged_survives_power_cuts_on_xfs() {
    survives_cuts(FileSystem::Xfs);
}
