//! Commands while no site runs.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Running, command, json, restock};

#[test]
fn without_a_running_site_commands_open_the_data_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("a"), "1").unwrap();
    json(dir.path(), &["site", "init", "--listen", "127.0.0.1:0"]).done();
    assert_eq!(
        std::fs::metadata(dir.path().join("restock.toml")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let root = source.path().to_str().unwrap();
    json(dir.path(), &["source", "add", "tmp", root]).done();
    let made = json(dir.path(), &["package", "create", "Tools", "--source", root]).done();
    assert_eq!((made["package"].as_str(), made["source_version"].as_u64()), (Some("XYZ00001"), Some(1)));
    assert_eq!(made["stored_version"], 0, "nothing is read while no site runs");
    let ran = command(dir.path())
        .current_dir(source.path())
        .args(["--json", "package", "create", "Here", "--source", "./sub"])
        .output()
        .unwrap();
    let made: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(made["source_path"].as_str(), Some(format!("{root}/sub").as_str()), "{made}");
    let rows = json(dir.path(), &["package", "list"]).done();
    assert_eq!(rows[0]["name"], "Tools");
    let text = restock(dir.path(), &["status", "xyz00001"]);
    assert!(text.stdout.contains("The site is not running"), "{text:?}");
    for waits in [&["refresh", "XYZ00001", "--wait"][..], &["status", "--watch"]] {
        let ran = json(dir.path(), waits);
        assert_eq!((ran.code, ran.document()["error"]["code"].as_str()), (6, Some("SITE_NOT_RUNNING")));
    }
    let stat = json(dir.path(), &["library", "stat"]).done();
    assert_eq!(stat["packs"], 0);

    // What was asked then happens when the site runs.
    let site = Running::start(dir.path(), "site");
    let ran = json(dir.path(), &["refresh", "XYZ00001", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.done()["packages"][0]["package"]["source_version"], 2);
    assert_eq!(site.stop(), 0);
    assert!(!dir.path().join("control.sock").exists());
}

#[test]
fn a_site_that_is_held_by_another_process_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), &["site", "init", "--listen", "127.0.0.1:0"]).done();
    let site = Running::start(dir.path(), "site");
    let ran = json(dir.path(), &["site", "run"]);
    let document = ran.document();
    assert_eq!((ran.code, document["error"]["code"].as_str()), (6, Some("DATA_LOCKED")));
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("process {}", site.hello["pid"])), "{message}");
    assert!(message.contains("restock site run"), "{message}");
}

#[test]
fn a_process_that_runs_on_may_open_as_many_files_as_it_may_allow_itself() {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), &["site", "init", "--listen", "127.0.0.1:0"]).done();
    let ours = command(dir.path());
    let mut few = Command::new("prlimit");
    few.arg("--nofile=128:1500").arg(ours.get_program()).args(ours.get_args()).env_remove("RESTOCK_DATA");
    let site = Running::of(few, "site");
    let limits = site.proc_file("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["1500", "1500"], "{line}");
    assert_eq!(site.stop(), 0);
}
