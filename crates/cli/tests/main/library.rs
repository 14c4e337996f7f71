//! Health of a library: cleaning, rollback, mending, and files that are not what they were.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Running, World, curl, json, restock};

/// A world with one DP that serves version 1 of XYZ00001.
fn world() -> World {
    let mut world = World::new();
    let source = world.source("app", &[("a.txt", b"one\n"), ("b.txt", &[b'b'; 5_000])]);
    world.add_point("DP01");
    let source = source.to_str().unwrap();
    world
        .ask(&["package", "create", "App", "--source", source, "--public", "--wait", "--timeout", "60s"])
        .done();
    world.ask(&["distribute", "XYZ00001", "--to", "DP01", "--wait", "--timeout", "60s"]).done();
    world
}

fn change(world: &World, text: &str) {
    std::fs::write(world.root().join("app/a.txt"), text).unwrap();
    world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"]).done();
}

fn served(point: &Running) -> String {
    let (status, body) = curl(&format!("{}/SMS_DP_SMSPKG$/XYZ00001/a.txt", point.url()));
    assert_eq!(status, 200);
    String::from_utf8(body).unwrap()
}

/// Waits until the command answers as wanted.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{what}: not in time");
}

fn sealed(data: &Path, end: &str) -> Vec<PathBuf> {
    let packs = std::fs::read_dir(data.join("library/packs")).unwrap();
    let mut paths: Vec<PathBuf> = packs.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension().is_some_and(|e| e == end) && !path.to_string_lossy().contains(".open.")
    });
    paths.sort();
    paths
}

/// Flips a bit in the first byte of each pack's data.
fn rot(data: &Path) {
    for path in sealed(data, "data") {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn an_older_version_is_published_again_and_reaches_a_point_that_was_away() {
    let mut world = world();
    let away = world.add_point("DP02");
    world.ask(&["distribute", "XYZ00001", "--to", "DP02", "--wait", "--timeout", "60s"]).done();
    change(&world, "two\n");
    world.points.remove(away).stop();
    let done = world.ask(&["rollback", "xyz00001", "--to", "1"]).done();
    assert_eq!((&done["to"]["version"], &done["version"]["version"]), (&1.into(), &3.into()));
    until("the point serves it", || served(&world.points[0]) == "one\n");
    let history = world.ask(&["package", "history", "XYZ00001"]).done();
    let third = history.as_array().unwrap().iter().find(|v| v["version"] == 3).unwrap();
    assert_eq!((&third["bytes_new"], &third["bytes_read"]), (&0.into(), &0.into()));
    let back = Running::start(&world.path("DP02"), "dp");
    until("the point that was away serves it", || served(&back) == "one\n");
    for (to, code, word) in [("3", 6, "VERSION_CURRENT"), ("9", 4, "VERSION_NOT_KEPT")] {
        let refused = restock(&world.site_data(), &["rollback", "XYZ00001", "--to", to]);
        assert_eq!(refused.code, code, "{refused:?}");
        assert!(refused.stderr.contains(word), "{refused:?}");
    }
    assert_eq!(restock(&world.site_data(), &["rollback", "XYZ0FFFF", "--to", "1"]).code, 4);
    change(&world, "four\n");
    assert_eq!(served(&back), "four\n", "a refresh publishes the source again");
}

#[test]
fn three_versions_are_kept_and_the_rest_is_deleted() {
    let world = world();
    for n in 2..=5 {
        change(&world, &format!("version {n} {}\n", "x".repeat(n * 1_000)));
    }
    for data in [world.site_data(), world.path("DP01")] {
        let before = json(&data, &["library", "stat"]).done();
        assert_eq!(before["versions"], 5);
        let tidied = json(&data, &["library", "gc", "--grace", "0s"]).done();
        assert_eq!((&tidied["is_done"], &tidied["versions_removed"]), (&true.into(), &2.into()));
        assert!(tidied["frames_deleted"].as_u64().unwrap() > 0, "{tidied}");
        let after = json(&data, &["library", "stat"]).done();
        assert_eq!(after["versions"], 3);
        assert!(after["stored_bytes"].as_u64() < before["stored_bytes"].as_u64(), "{after}");
        assert_eq!(json(&data, &["library", "check"]).done()["problems"], Value::Array(vec![]));
    }
    assert!(served(&world.points[0]).starts_with("version 5"));
    let gone = restock(&world.site_data(), &["rollback", "XYZ00001", "--to", "1"]);
    assert!(gone.code == 4 && gone.stderr.contains("VERSION_NOT_KEPT"), "{gone:?}");
    world.ask(&["rollback", "XYZ00001", "--to", "3"]).done();
    until("the version kept is served", || served(&world.points[0]).starts_with("version 3"));
}

#[test]
fn a_database_that_is_older_than_its_library_stops_cleaning() {
    let mut world = world();
    let data = world.site_data();
    let saved = world.path("site.db");
    assert_eq!(world.site.take().unwrap().stop(), 0);
    std::fs::copy(data.join("site.db"), &saved).unwrap();
    world.start_site();
    change(&world, "two\n");
    assert_eq!(world.site.take().unwrap().stop(), 0);
    for end in ["", "-wal", "-shm"] {
        let _absent = std::fs::remove_file(data.join(format!("site.db{end}")));
    }
    std::fs::copy(&saved, data.join("site.db")).unwrap();
    let packs = sealed(&data, "data");
    let refused = restock(&data, &["library", "gc", "--grace", "0s"]);
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains("DATABASE_BEHIND"), "{refused:?}");
    assert_eq!(sealed(&data, "data"), packs);
}

#[test]
fn damage_is_mended_from_the_source_and_from_the_site() {
    let world = world();
    for data in [world.site_data(), world.path("DP01")] {
        rot(&data);
        let packs = sealed(&data, "data").len();
        let checked = json(&data, &["library", "check"]);
        assert_eq!(checked.code, 1, "{checked:?}");
        until("it is mended", || {
            let repaired = json(&data, &["library", "repair"]).document();
            repaired["lost"].as_array().is_some_and(Vec::is_empty)
        });
        let checked = json(&data, &["library", "check"]).done();
        assert!(checked["replaced"].as_u64().unwrap() > 0, "the evidence stays: {checked}");
        assert!(sealed(&data, "data").len() > packs);
    }
    assert_eq!(served(&world.points[0]), "one\n");
}

#[test]
fn packs_of_no_bytes_and_packs_that_are_gone_are_brought_back_by_themselves() {
    let mut world = world();
    let data = world.path("DP01");
    for is_removed in [false, true] {
        assert_eq!(world.points.remove(0).stop(), 0);
        for path in sealed(&data, "data") {
            std::fs::remove_file(&path).unwrap();
            if !is_removed {
                std::fs::write(&path, b"").unwrap();
            }
        }
        world.points.push(Running::start(&data, "dp"));
        until("it is served again", || {
            let url = format!("{}/SMS_DP_SMSPKG$/XYZ00001/a.txt", world.points[0].url());
            curl(&url) == (200, b"one\n".to_vec())
        });
    }
}

#[test]
fn the_library_of_another_is_refused_and_not_written() {
    let mut world = world();
    world.add_point("DP02");
    let (first, second) = (world.path("DP01"), world.path("DP02"));
    for point in world.points.drain(..) {
        assert_eq!(point.stop(), 0);
    }
    assert_eq!(world.site.take().unwrap().stop(), 0);
    let aside = world.path("aside");
    std::fs::rename(first.join("library"), &aside).unwrap();
    for (from, of) in [(second.join("library"), &first), (world.site_data().join("library"), &first)] {
        std::fs::rename(&from, of.join("library")).unwrap();
        let before = listing(&of.join("library"));
        for arguments in [&["dp", "run"][..], &["library", "check"]] {
            let refused = restock(of, arguments);
            assert_eq!(refused.code, 6, "{refused:?}");
            assert!(refused.stderr.contains("LIBRARY_ID_MISMATCH"), "{refused:?}");
        }
        assert_eq!(listing(&of.join("library")), before);
        std::fs::rename(of.join("library"), &from).unwrap();
    }
    std::fs::rename(&aside, first.join("library")).unwrap();
    assert_eq!(restock(&first, &["library", "check"]).code, 0);
}

/// Names, lengths and times of all files beneath a folder.
fn listing(folder: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let about = path.metadata().unwrap();
            if about.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, about.len(), about.modified().unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_database_of_a_later_release_or_with_damage_is_refused_and_content_is_served_on() {
    let mut world = world();
    let (data, file) = (world.site_data(), world.site_data().join("site.db"));
    assert_eq!(world.site.take().unwrap().stop(), 0);
    let good = std::fs::read(&file).unwrap();
    let newer = std::process::Command::new("python3")
        .args(["-c", "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(\"PRAGMA writable_schema = ON\"); db.execute(\"INSERT INTO migrations VALUES (999, 'later')\"); db.commit()"])
        .arg(&file)
        .status();
    assert!(newer.unwrap().success());
    let refused = restock(&data, &["site", "run"]);
    assert!(refused.code != 0 && refused.stderr.contains("DB_TOO_NEW"), "{refused:?}");
    let mut bad = good.clone();
    bad[..4_096].fill(0x5a);
    std::fs::write(&file, bad).unwrap();
    let refused = restock(&data, &["site", "run"]);
    assert!(refused.code != 0 && refused.stderr.contains("DB_CORRUPT"), "{refused:?}");
    assert_eq!(served(&world.points[0]), "one\n");
    std::fs::write(&file, good).unwrap();
    world.start_site();
    change(&world, "two\n");
    assert_eq!(served(&world.points[0]), "two\n");
}

/// A folder mounted over itself, so that it can be made read-only.
struct Mounted(PathBuf);

impl Mounted {
    fn read_only(folder: &Path) -> Self {
        let mount = |arguments: &[&str]| {
            let done = std::process::Command::new("mount").args(arguments).arg(folder).status().unwrap();
            assert!(done.success(), "mount {arguments:?}; this needs root");
        };
        mount(&["--bind", folder.to_str().unwrap()]);
        let mounted = Self(folder.to_owned());
        mount(&["-o", "remount,bind,ro"]);
        mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_site_on_a_read_only_file_system_says_so_and_its_points_serve_on() {
    let mut world = world();
    let data = world.site_data();
    assert_eq!(world.site.take().unwrap().stop(), 0);
    let before = listing(&data);
    let mounted = Mounted::read_only(&data);
    let refused = restock(&data, &["site", "run"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let has_code = ["DB_READ_ONLY", "READ_ONLY"].iter().any(|code| refused.stderr.contains(code));
    assert!(has_code && refused.stderr.contains(data.to_str().unwrap()), "{refused:?}");
    assert_eq!(served(&world.points[0]), "one\n");
    drop(mounted);
    assert_eq!(listing(&data), before, "nothing was written");
    world.start_site();
    change(&world, "two\n");
    until("the point serves it", || served(&world.points[0]) == "two\n");
}

#[test]
fn a_database_that_cannot_be_written_says_so() {
    let mut world = world();
    let data = world.site_data();
    assert_eq!(world.site.take().unwrap().stop(), 0);
    let mounted = Mounted::read_only(&data.join("site.db"));
    let refused = restock(&data, &["site", "run"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("DB_READ_ONLY"), "{refused:?}");
    assert_eq!(served(&world.points[0]), "one\n");
    drop(mounted);
    world.start_site();
    change(&world, "two\n");
}
