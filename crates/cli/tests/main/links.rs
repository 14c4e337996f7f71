//! Symbolic links in a source: kept, skipped, refused or followed, as the package says.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::{Ran, World, curl, restock};

fn refresh(world: &World) -> Ran {
    world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"])
}

fn set(world: &World, policy: &str) {
    let before = version(world);
    let changed = world.ask(&["package", "set", "XYZ00001", "--symlinks", policy]).done();
    assert_eq!(changed["package"]["link_policy"], policy, "{changed}");
    assert!(changed["refresh"].is_null(), "the source is not read for it: {changed}");
    assert_eq!(version(world), before);
}

fn version(world: &World) -> (u64, u64) {
    let shown = world.ask(&["package", "show", "XYZ00001"]).done();
    (shown["source_version"].as_u64().unwrap(), shown["requests"].as_u64().unwrap())
}

/// The paths of the stored version, links with their target.
fn paths(world: &World) -> Vec<String> {
    let files = world.ask(&["package", "files", "XYZ00001"]).done();
    let text = |file: &serde_json::Value| match file["target"].as_str() {
        Some(target) => format!("{} -> {target}", file["path"].as_str().unwrap()),
        None => file["path"].as_str().unwrap().to_owned(),
    };
    files["files"].as_array().unwrap().iter().map(text).collect()
}

fn get(world: &World, path: &str) -> (u16, String) {
    let (status, body) = curl(&format!("{}/SMS_DP_SMSPKG$/XYZ00001/{path}", world.points[0].url()));
    (status, if status == 200 { String::from_utf8(body).unwrap() } else { String::new() })
}

/// A refused refresh says why, and everything is as it was.
fn assert_refused(world: &World, code: &str, name: &str) {
    let before = (version(world).0, paths(world), get(world, "sub/b"));
    let ran = refresh(world);
    assert_eq!(ran.code, 1, "{ran:?}");
    let problem = ran.document()["problems"][0].as_str().unwrap().to_owned();
    assert!(problem.contains(&format!("{code}:")) && problem.contains(name), "{problem}");
    assert_eq!((version(world).0, paths(world), get(world, "sub/b")), before);
}

/// A package with links, served as they are by a DP, and its source.
fn world() -> (World, PathBuf) {
    let mut world = World::new();
    let source = world.source("app", &[("a", b"1"), ("sub/b", b"2")]);
    symlink("sub/b", source.join("inside")).unwrap();
    symlink("sub", source.join("to folder")).unwrap();
    symlink("../../../../../../../etc/passwd", source.join("out")).unwrap();
    symlink("circle", source.join("circle")).unwrap();
    world.add_point("DP01");
    let text = source.to_str().unwrap();
    let wait = ["--wait", "--timeout", "60s"];
    world.ask(&[&["package", "create", "App", "--source", text, "--public"][..], &wait].concat()).done();
    world.ask(&[&["distribute", "XYZ00001", "--to", "DP01"][..], &wait].concat()).done();
    (world, source)
}

#[test]
fn each_link_policy_takes_effect_at_the_next_refresh() {
    let (world, source) = world();
    let kept = [
        "sub",
        "sub/b",
        "a",
        "circle -> circle",
        "inside -> sub/b",
        "out -> ../../../../../../../etc/passwd",
        "to folder -> sub",
    ];
    let mut sorted = paths(&world);
    sorted.sort();
    let mut wanted = kept.map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(sorted, wanted);
    assert_eq!(get(&world, "inside"), (200, "2".to_owned()));
    assert_eq!(get(&world, "to%20folder/b"), (200, "2".to_owned()));
    for absent in ["out", "circle"] {
        assert_eq!(get(&world, absent).0, 404, "{absent}");
    }

    set(&world, "refuse");
    assert_refused(&world, "SOURCE_SYMLINK", "circle");
    set(&world, "follow");
    assert_refused(&world, "SOURCE_SYMLINK_LOOP", "circle");
    std::fs::remove_file(source.join("circle")).unwrap();
    assert_refused(&world, "SOURCE_SYMLINK", "/etc/passwd");
    std::fs::remove_file(source.join("out")).unwrap();
    refresh(&world).done();
    let mut followed = paths(&world);
    followed.sort();
    assert_eq!(followed, ["a", "inside", "sub", "sub/b", "to folder", "to folder/b"]);
    assert_eq!(get(&world, "inside"), (200, "2".to_owned()));
    assert_eq!(get(&world, "to%20folder/b"), (200, "2".to_owned()));

    set(&world, "skip");
    refresh(&world).done();
    let mut skipped = paths(&world);
    skipped.sort();
    assert_eq!(skipped, ["a", "sub", "sub/b"]);
    assert_eq!(get(&world, "inside").0, 404);

    let shown = restock(&world.site_data(), &["package", "show", "XYZ00001"]);
    assert!(shown.stdout.contains("Symlinks          skip"), "{shown:?}");
}

#[test]
fn a_policy_can_be_chosen_at_creation_and_must_be_one() {
    let world = World::new();
    let source = world.source("app", &[("a", b"1")]);
    symlink("a", source.join("b")).unwrap();
    let text = source.to_str().unwrap();
    let create = |policy: &str| {
        let name = format!("with {policy}");
        world.ask(&["package", "create", &name, "--source", text, "--symlinks", policy, "--wait"])
    };
    let wrong = create("sometimes");
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("keep, skip, refuse, follow"), "{wrong:?}");
    create("follow").done();
    assert_eq!(paths(&world), ["a", "b"]);
    let refused = create("refuse");
    assert_eq!(refused.code, 1, "{refused:?}");
    let row = world.ask(&["package", "show", "XYZ00002"]).done();
    assert_eq!((row["stored_version"].as_u64(), row["link_policy"].as_str()), (Some(0), Some("refuse")));
}
