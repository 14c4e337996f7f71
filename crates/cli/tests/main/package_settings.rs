//! What a package says about its source and its points: excludes, the names policy, the plain folder.

use std::path::Path;
use std::time::Duration;

use restock_names::{Clock, SystemClock};

use crate::support::{Ran, World, curl};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn create(world: &World, source: &Path, more: &[&str]) -> Ran {
    let source = source.to_str().unwrap();
    let create = ["package", "create", "App", "--source", source, "--public", "--wait", "--timeout", "60s"];
    world.ask(&[&create[..], more].concat())
}

fn refresh(world: &World) -> Ran {
    world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"])
}

/// The paths of the newest version.
fn files(world: &World) -> Vec<String> {
    let files = world.ask(&["package", "files", "XYZ00001"]).done();
    files["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_excluded_is_in_no_version_until_the_rules_are_taken_away() {
    let world = World::new();
    let source = world.source(
        "app",
        &[("a.txt", b"a"), ("b.tmp", b"b"), (".git/config", b"c"), ("sub/c.tmp", b"c"), ("sub/d.txt", b"d")],
    );
    create(&world, &source, &["--exclude", "*.tmp", "--exclude", ".git/"]).done();
    assert_eq!(files(&world), ["a.txt", "sub", "sub/d.txt"]);
    world.ask(&["package", "set", "XYZ00001", "--exclude", "sub/"]).done();
    assert_eq!(files(&world), ["a.txt", "sub", "sub/d.txt"], "a rule takes effect at the next refresh");
    refresh(&world).done();
    assert_eq!(files(&world), [".git", ".git/config", "a.txt", "b.tmp"], "rules replace the rules before");
    world.ask(&["package", "set", "XYZ00001", "--no-exclude"]).done();
    refresh(&world).done();
    assert_eq!(files(&world), [".git", ".git/config", "a.txt", "b.tmp", "sub", "sub/c.tmp", "sub/d.txt"]);
    let refused = world.ask(&["package", "set", "XYZ00001", "--exclude", "[a-"]);
    assert!(refused.code != 0 && refused.stderr.contains("[a-"), "{refused:?}");
    assert_eq!(world.ask(&["package", "set", "XYZ00001", "--exclude", "x", "--no-exclude"]).code, 2);
}

#[test]
fn names_that_others_cannot_hold_are_kept_or_refused_as_the_package_says() {
    let mut world = World::new();
    world.add_point("DP01");
    let source =
        world.source("app", &[("a.txt", b"a"), ("aux.c", b"reserved"), ("README", b"1"), ("readme", b"2")]);
    create(&world, &source, &[]).done();
    assert_eq!(files(&world), ["README", "a.txt", "aux.c", "readme"], "kept");
    world.ask(&["distribute", "XYZ00001", "--to", "DP01", "--wait", "--timeout", "60s"]).done();
    world.ask(&["package", "set", "XYZ00001", "--names", "portable"]).done();
    world.ask(&["refresh", "XYZ00001"]).done();
    let begun = SystemClock.monotonic();
    let why = loop {
        let status = world.ask(&["status", "XYZ00001"]).done();
        let why = status[0]["package"]["refresh"]["why"].clone();
        if why["rule"].as_str().is_some_and(|rule| rule.starts_with("NAME_")) {
            break why;
        }
        assert!(SystemClock.monotonic() - begun < PATIENCE, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let text = why["text"].as_str().unwrap();
    assert!(text.contains("aux.c") || text.contains("README"), "{why}");
    let url = format!("{}/SMS_DP_SMSPKG$/XYZ00001/aux.c", world.points[0].url());
    assert_eq!(curl(&url), (200, b"reserved".to_vec()), "the old version stays");
    for name in ["aux.c", "readme"] {
        std::fs::remove_file(source.join(name)).unwrap();
    }
    refresh(&world).done();
    assert_eq!(files(&world), ["README", "a.txt"]);
    assert_eq!(world.ask(&["package", "set", "XYZ00001", "--names", "windows"]).code, 2);
}

/// Waits until the folder holds exactly these files.
#[track_caller]
fn until_holds(folder: &Path, expected: &[(&str, &[u8])]) {
    let begun = SystemClock.monotonic();
    loop {
        let same =
            |(name, bytes): &(&str, &[u8])| std::fs::read(folder.join(name)).is_ok_and(|b| b == *bytes);
        let count = std::fs::read_dir(folder).map_or(0, |entries| entries.count());
        if count == expected.len() && expected.iter().all(same) {
            return;
        }
        assert!(SystemClock.monotonic() - begun < PATIENCE, "{}: {count} files", folder.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until nothing has this name any more.
#[track_caller]
fn until_gone(path: &Path) {
    let begun = SystemClock.monotonic();
    while path.exists() {
        assert!(SystemClock.monotonic() - begun < PATIENCE, "{} is still there", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_package_with_a_share_is_a_plain_folder_on_its_points_until_it_has_none() {
    let mut world = World::new();
    world.add_point("DP01");
    let source = world.source("app", &[("a.txt", b"one"), ("b.txt", b"same")]);
    create(&world, &source, &["--share=Apps$"]).done();
    world.ask(&["distribute", "XYZ00001", "--to", "DP01", "--wait", "--timeout", "60s"]).done();
    let share = world.path("DP01").join("share");
    until_holds(&share.join("Apps$"), &[("a.txt", b"one"), ("b.txt", b"same")]);
    std::fs::write(source.join("a.txt"), "two").unwrap();
    refresh(&world).done();
    until_holds(&share.join("Apps$"), &[("a.txt", b"two"), ("b.txt", b"same")]);
    world.ask(&["package", "set", "XYZ00001", "--share"]).done();
    until_holds(&share.join("XYZ00001"), &[("a.txt", b"two"), ("b.txt", b"same")]);
    until_gone(&share.join("Apps$"));
    let refused = world.ask(&["package", "set", "XYZ00001", "--share=../out"]);
    assert!(refused.code != 0 && refused.stderr.contains("SHARE_NAME_INVALID"), "{refused:?}");
    world.ask(&["package", "set", "XYZ00001", "--no-share"]).done();
    until_gone(&share.join("XYZ00001"));
    let url = format!("{}/SMS_DP_SMSPKG$/XYZ00001/a.txt", world.points[0].url());
    assert_eq!(curl(&url), (200, b"two".to_vec()), "the content stays");
}
