//! The main job: a package travels from its source to two DPs and is served there.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::Value;

use crate::support::{Running, World, curl, json, restock};

fn content(url: &str, path: &str) -> (u16, Vec<u8>) {
    curl(&format!("{url}/SMS_DP_SMSPKG$/XYZ00001/{path}"))
}

/// A world with two DPs that serve version 1 of XYZ00001.
fn world() -> World {
    let mut world = World::new();
    let big: Vec<u8> =
        (0..3_000_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()).collect();
    let source = world.source(
        "app",
        &[
            ("read me.txt", b"one\n"),
            ("bin/tool", b"#!/bin/sh\n"),
            ("big.bin", &big),
            ("empty", b""),
            ("caf\u{e9}/100%", b"x"),
        ],
    );
    std::fs::create_dir(source.join("hollow")).unwrap();
    symlink("bin/tool", source.join("tool")).unwrap();
    symlink("/etc/passwd", source.join("outside")).unwrap();
    std::fs::set_permissions(source.join("bin/tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
    world.add_point("DP01");
    world.add_point("DP02");
    let source = source.to_str().unwrap();
    let ran = world.ask(&[
        "package",
        "create",
        "App",
        "--source",
        source,
        "--public",
        "--wait",
        "--timeout",
        "60s",
    ]);
    assert_eq!(ran.done()["packages"][0]["package"]["stored_version"], 1);
    let ran = world.ask(&["distribute", "XYZ00001", "--to", "DP01", "dp02", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.done()["outcome"], "done");
    world
}

#[test]
fn a_package_is_created_distributed_refreshed_and_served() {
    let world = world();
    let source = world.root().join("app");
    for point in &world.points {
        let url = point.url();
        for file in ["read me.txt", "bin/tool", "big.bin", "empty", "caf\u{e9}/100%"] {
            let path = file.replace('%', "%25").replace(' ', "%20").replace('\u{e9}', "%C3%A9");
            assert_eq!(content(url, &path), (200, std::fs::read(source.join(file)).unwrap()), "{file}");
        }
        assert_eq!(content(url, "tool"), (200, b"#!/bin/sh\n".to_vec()));
        for absent in ["outside", "hollow", "bin", "no such file", ""] {
            assert_eq!(content(url, &absent.replace(' ', "%20")).0, 404, "{absent}");
        }
    }

    std::fs::write(source.join("read me.txt"), "two\n").unwrap();
    std::fs::remove_file(source.join("empty")).unwrap();
    let ran = world.ask(&["refresh", "xyz00001", "--wait", "--timeout", "60s"]);
    let status = &ran.done()["packages"][0];
    assert_eq!(
        (status["package"]["source_version"].as_u64(), status["installed"].as_u64()),
        (Some(2), Some(2))
    );
    for point in &world.points {
        assert_eq!(content(point.url(), "read%20me.txt"), (200, b"two\n".to_vec()));
        assert_eq!(content(point.url(), "empty").0, 404);
        assert_eq!(content(point.url(), "big.bin").1.len(), 12_000_000);
    }
    let history = world.ask(&["package", "history", "XYZ00001"]).done();
    let second = history.as_array().unwrap().iter().find(|v| v["version"] == 2).unwrap();
    assert!(second["bytes_new"].as_u64().unwrap() < 100_000, "only the change is new: {second}");

    let files = world.ask(&["package", "files", "XYZ00001"]).done();
    let paths: Vec<&str> =
        files["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "big.bin",
            "bin",
            "bin/tool",
            "caf\u{e9}",
            "caf\u{e9}/100%",
            "hollow",
            "outside",
            "read me.txt",
            "tool"
        ]
    );
    let first = world.ask(&["package", "files", "XYZ00001", "--version", "1"]).done();
    assert_eq!(first["files"].as_array().unwrap().len(), 10);
    assert_eq!(world.ask(&["package", "files", "XYZ00001", "--version", "9"]).code, 4);

    for data in [world.site_data(), world.path("DP01"), world.path("DP02")] {
        let checked = json(&data, &["library", "check"]).done();
        assert_eq!(checked["problems"], Value::Array(vec![]), "{}", data.display());
        assert!(checked["frames"].as_u64().unwrap() > 10);
    }
    let stat = json(&world.path("DP02"), &["library", "stat"]).done();
    assert_eq!(stat["packages"][0]["version"], 2);

    for log in ["distmgr.log", "PkgXferMgr.log"] {
        let text = std::fs::read_to_string(world.site_data().join("logs").join(log)).unwrap();
        assert!(text.contains("XYZ00001"), "{log}: {text}");
        assert!(text.lines().all(|l| l.contains("  $$<SMS_") && l.ends_with(")>")), "{log}: {text}");
    }
    let text = std::fs::read_to_string(world.path("DP01").join("logs/smsdpprov.log")).unwrap();
    assert!(text.contains("XYZ00001") && text.contains("  $$<SMS DP Provider><"), "{text}");

    for running in world.points.iter().chain(&world.site) {
        let (status, text) = curl(running.hello["metrics"].as_str().unwrap());
        assert_eq!(status, 200);
        assert!(String::from_utf8(text).unwrap().contains("restock_build{"));
    }

    for running in world.points {
        assert_eq!(running.stop(), 0);
    }
    assert_eq!(world.site.unwrap().stop(), 0);
}

#[test]
fn a_dp_that_was_away_catches_up_and_the_wait_says_who_is_missing() {
    let mut world = world();
    let away = world.points.pop().unwrap();
    assert_eq!(away.stop(), 0);
    std::fs::write(world.root().join("app/new"), "new").unwrap();
    let ran = world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "5s"]);
    assert_eq!((ran.code, ran.document()["outcome"].as_str()), (5, Some("timed_out")), "{ran:?}");
    assert!(ran.document()["problems"][0].as_str().unwrap().contains("DP02"), "{ran:?}");
    assert_eq!(content(world.points[0].url(), "new"), (200, b"new".to_vec()));

    world.points.push(Running::start(&world.path("DP02"), "dp"));
    let ran = world.ask(&["distribute", "XYZ00001", "--to", "DP02", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.done()["outcome"], "done");
    assert_eq!(content(world.points[1].url(), "new"), (200, b"new".to_vec()));
}

#[test]
fn a_package_is_removed_from_one_dp_and_redistributed_at_the_other() {
    let world = world();
    world.ask(&["remove", "XYZ00001", "--from", "DP02", "--wait", "--timeout", "60s"]).done();
    assert_eq!(content(world.points[1].url(), "big.bin").0, 404);
    assert_eq!(content(world.points[0].url(), "big.bin").0, 200);
    world.ask(&["redistribute", "XYZ00001", "--to", "DP01", "--wait", "--timeout", "60s"]).done();
    let status = world.ask(&["status", "XYZ00001"]).done();
    assert_eq!((status[0]["targeted"].as_u64(), status[0]["installed"].as_u64()), (Some(1), Some(1)));
    assert_eq!(status[0]["package"]["source_version"], 1);
    assert_eq!(world.ask(&["redistribute", "XYZ00001", "--to", "DP02"]).code, 4, "DP02 has no such package");
    let points = restock(&world.site_data(), &["dp", "list"]);
    assert!(points.stdout.contains("DP01") && points.stdout.contains("up"), "{points:?}");
}

#[test]
fn a_deletion_is_over_when_every_dp_has_let_go() {
    let mut world = world();
    let away = world.points.pop().unwrap();
    assert_eq!(away.stop(), 0);
    let delete = ["package", "delete", "XYZ00001", "--wait", "--timeout"];
    let ran = world.ask(&[&delete[..], &["1s"]].concat());
    assert_eq!((ran.code, ran.document()["outcome"].as_str()), (5, Some("timed_out")), "{ran:?}");
    assert!(ran.document()["problems"][0].as_str().unwrap().contains("DP02"), "{ran:?}");
    assert_eq!(content(world.points[0].url(), "big.bin").0, 404);
    assert_eq!(world.ask(&[&delete[..], &["1s"]].concat()).code, 4, "it is deleted already, for callers");

    let source = world.root().join("app");
    let create = ["package", "create", "Two", "--wait", "--source", source.to_str().unwrap()];
    assert_eq!(world.ask(&create).done()["packages"][0]["package"]["package"], "XYZ00002");
    world.ask(&["distribute", "XYZ00002", "--to", "DP01", "--wait", "--timeout", "60s"]).done();
    let ran = world.ask(&["package", "delete", "XYZ00002", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.done()["outcome"], "done");
    let packages = json(&world.path("DP01"), &["library", "stat"]).done()["packages"].clone();
    assert_eq!(packages, Value::Array(vec![]));
    assert_eq!(world.ask(&["status", "XYZ00002"]).code, 4);
}

/// Frames and versions that a member has.
fn held(data: &std::path::Path) -> (Value, Value, Value) {
    let stat = json(data, &["library", "stat"]).done();
    (stat["packages"].clone(), stat["versions"].clone(), stat["frames"].clone())
}

#[test]
fn a_deleted_package_leaves_the_point_that_was_away_and_every_library() {
    let mut world = world();
    let away = world.points.pop().unwrap();
    assert_eq!(away.stop(), 0);
    let ran = world.ask(&["package", "delete", "XYZ00001", "--wait", "--timeout", "1s"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    // It is not forgotten while the site is away too.
    assert_eq!(world.site.take().unwrap().stop(), 0);
    world.start_site();
    world.points.push(Running::start(&world.path("DP02"), "dp"));
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        for _ in 0..600 {
            if is_so() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{what}: not in time");
    };
    let nothing = Value::Array(vec![]);
    for (point, name) in world.points.iter().zip(["DP01", "DP02"]) {
        until("it is gone", &|| content(point.url(), "big.bin").0 == 404);
        until("its version is gone", &|| held(&world.path(name)).0 == nothing);
    }
    for name in ["site", "DP01", "DP02"] {
        until("its bytes are gone", &|| {
            json(&world.path(name), &["library", "gc", "--grace", "0s"]).done();
            let (packages, versions, frames) = held(&world.path(name));
            (&packages, &versions, &frames) == (&nothing, &0.into(), &0.into())
        });
    }
}

#[test]
fn a_package_that_is_not_public_is_not_served_to_strangers() {
    let world = world();
    world.ask(&["package", "set", "XYZ00001", "--public", "false"]).done();
    let url = world.points[0].url().to_owned();
    // The flag reaches the DP by its link: ask until it has, bounded by the test runner's limit.
    while content(&url, "bin/tool").0 != 404 {
        std::thread::yield_now();
    }
    assert_eq!(content(&url, "big.bin").0, 404);
}

#[test]
fn watching_prints_changes_line_by_line_until_it_is_stopped() {
    use std::io::{BufRead, BufReader};

    let world = world();
    let mut watching = crate::support::command(&world.site_data())
        .args(["status", "XYZ00001", "--watch"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|l| l.contains("XYZ00001 at DP01: installed, serves version 1")));
    world.ask(&["refresh", "XYZ00001"]).done();
    assert!(lines.any(|l| l.contains("XYZ00001 at DP01: installed, serves version 2")));
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn rclone_reads_the_whole_package_as_webdav() {
    let world = world();
    let into = world.path("copy");
    let url = format!("{}/SMS_DP_SMSPKG$/XYZ00001", world.points[0].url());
    let ran = Command::new("rclone")
        .args(["copy", "--config", "/dev/null", "--webdav-url", &url, ":webdav:"])
        .arg(&into)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    for file in ["read me.txt", "bin/tool", "big.bin", "empty", "caf\u{e9}/100%"] {
        assert_eq!(
            std::fs::read(into.join(file)).unwrap(),
            std::fs::read(world.root().join("app").join(file)).unwrap()
        );
    }
}
