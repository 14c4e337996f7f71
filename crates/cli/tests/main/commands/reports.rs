//! `doctor` and `bugreport`.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::support::{World, add_account, json, restock};

fn world() -> World {
    let mut world = World::new();
    let source = world.source("app", &[("a", b"one\n")]);
    world.add_point("DP01");
    let create = ["package", "create", "App", "--source", source.to_str().unwrap(), "--public"];
    world.ask(&[&create[..], &["--wait", "--timeout", "60s"]].concat()).done();
    world.ask(&["distribute", "XYZ00001", "--to", "DP01", "--wait", "--timeout", "60s"]).done();
    world
}

fn grades(findings: &Value, check: &str) -> Vec<String> {
    let of = |f: &&Value| f["check"] == check;
    let found = findings.as_array().unwrap().iter().filter(of);
    found.map(|f| f["grade"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_doctor_finds_nothing_wrong_with_a_site_and_a_dp_that_are_well() {
    let world = world();
    for data in [world.site_data(), world.path("DP01")] {
        let ran = json(&data, &["doctor"]);
        let findings = ran.document();
        for check in
            ["folder", "secrets", "certificates", "clock", "ports", "kernel", "process", "links", "library"]
        {
            let grades = grades(&findings, check);
            assert!(!grades.is_empty(), "{check} is missing in {findings}");
            assert!(grades.iter().all(|grade| grade != "problem"), "{check}: {findings}");
        }
    }
}

#[test]
fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let mut world = world();
    let (site, point) = (world.site_data(), world.path("DP01"));
    let key = std::fs::read_dir(site.join("keys")).unwrap().flatten().next().unwrap().path();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(world.points.pop());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let findings = loop {
        let ran = json(&site, &["doctor"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        if grades(&ran.document(), "links").contains(&"problem".to_owned()) {
            break ran.document();
        }
        assert!(std::time::Instant::now() < until, "{ran:?}");
    };
    assert_eq!(grades(&findings, "secrets"), ["problem"]);
    let text = restock(&site, &["doctor"]).stdout;
    assert!(text.contains("chmod 0600") && text.contains("not connected: DP01"), "{text}");

    // A DP that does not run, and whose configuration cannot be read.
    let ran = json(&point, &["doctor"]);
    assert_eq!(grades(&ran.document(), "process"), ["notice"], "{ran:?}");
    let config = point.join("restock.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[serve2]\n")).unwrap();
    let ran = json(&point, &["doctor"]);
    assert_eq!((ran.code, grades(&ran.document(), "configuration")), (1, vec!["problem".to_owned()]));
    assert_eq!(json(&world.path("nothing"), &["doctor"]).code, 4);
}

#[test]
fn a_report_holds_what_helps_and_no_secret() {
    let world = world();
    let (site, folder) = (world.site_data(), world.path("report"));
    let password = add_account(&site, "anna", Some("Full Administrator"));
    let enrol = world.ask(&["token", "create", "DP02"]).done()["token"].as_str().unwrap().to_owned();
    let access = world.ask(&["admin", "token", "create", "anna", "report"]).done();
    let access = access["token"].as_str().unwrap().to_owned();
    // What should never be in a log, and may be all the same.
    let key = std::fs::read_to_string(site.join("keys/ca-key.pem")).unwrap();
    let log = site.join("logs/extra.log");
    let database = "postgres://restock:Canary7Password@db/restock";
    let lines =
        format!("{key}\nwith {enrol} and {access}\npassword={password}\nurl {database}\nplain line\n");
    std::fs::write(&log, lines.replace("-----", "=====")).unwrap();
    std::fs::write(site.join("logs/pem.log"), &key).unwrap();

    let file = world.path("report.tar");
    let written = world.ask(&["bugreport", file.to_str().unwrap()]).done();
    assert!(written["redactions"].as_u64().unwrap() >= 5, "{written}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&file).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let mut secrets = vec![password, enrol, access, "Canary7Password".to_owned()];
    for name in ["ca-key.pem", "link-key.pem"] {
        let pem = std::fs::read_to_string(site.join("keys").join(name)).unwrap();
        secrets.extend(pem.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
    }
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} is in the report");
    }

    std::fs::create_dir(&folder).unwrap();
    let ran = Command::new("tar").arg("xf").arg(&file).arg("-C").arg(&folder).status().unwrap();
    assert!(ran.success(), "tar reads it");
    for name in ["about.json", "doctor.json", "status.json", "messages.json", "library.json", "loops.json"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(document.get("error").is_none(), "{name}: {document}");
    }
    assert!(std::fs::read_to_string(folder.join("restock.toml")).unwrap().contains("[link]"));
    assert!(std::fs::read_to_string(folder.join("files.txt")).unwrap().contains("keys/ca-key.pem"));
    assert!(std::fs::read_to_string(folder.join("logs/extra.log")).unwrap().ends_with("plain line\n"));
    let again = world.ask(&["bugreport", file.to_str().unwrap()]);
    assert_eq!(again.code, 1, "an existing file is never replaced");

    let of_point = json(&world.path("DP01"), &["bugreport", world.path("dp.tar").to_str().unwrap()]).done();
    assert!(of_point["files"].as_u64().unwrap() > 4, "{of_point}");
}
