//! `plan`, `apply`, `diff` and `why`.

use serde_json::Value;

use crate::support::{Running, World, curl, json, restock};

/// A site with one DP that serves version 1 of XYZ00001.
fn world() -> World {
    let mut world = World::new();
    let large: Vec<u8> = (0..400_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    world.source("app", &[("a", b"one\n"), ("b", b"two\n"), ("large", &large)]);
    world.add_point("DP01");
    let source = world.root().join("app");
    let create = ["package", "create", "App", "--source", source.to_str().unwrap(), "--public"];
    world.ask(&[&create[..], &["--wait", "--timeout", "60s"]].concat()).done();
    world.ask(&["distribute", "XYZ00001", "--to", "DP01", "--wait", "--timeout", "60s"]).done();
    world
}

/// What is visible of the package: its row, its history, what the DP serves.
fn seen(world: &World) -> (Value, Value, Vec<u8>) {
    let status = world.ask(&["status", "XYZ00001"]).done();
    let history = world.ask(&["package", "history", "XYZ00001"]).done();
    let url = format!("{}/SMS_DP_SMSPKG$/XYZ00001/a", world.points[0].url().trim_end_matches('/'));
    (status, history, curl(&url).1)
}

fn changes(document: &Value) -> Vec<(String, String)> {
    let entries = document["entries"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries.map(|entry| (text(&entry["change"]), text(&entry["path"]))).collect()
}

#[test]
fn a_plan_shows_what_a_refresh_would_do_and_apply_publishes_exactly_that() {
    let world = world();
    let app = world.root().join("app");
    let before = seen(&world);
    std::fs::write(app.join("a"), "changed\n").unwrap();
    std::fs::write(app.join("new"), "new\n").unwrap();
    std::fs::remove_file(app.join("b")).unwrap();

    let plan = world.ask(&["plan", "XYZ00001"]).done();
    let found = changes(&plan);
    let wanted = [("changed", "a"), ("removed", "b"), ("added", "new")];
    assert_eq!(found, wanted.map(|(change, path)| (change.to_owned(), path.to_owned())));
    assert_eq!(plan["differs"]["added"], 1);
    assert_eq!((plan["chunks_new"].as_u64(), plan["bytes_new"].as_u64()), (Some(2), Some(12)));
    let point = &plan["points"][0];
    assert_eq!((point["point"].as_str(), point["serving_version"].as_u64()), (Some("DP01"), Some(1)));
    assert_eq!(point["chunks"], 2, "{plan}");
    assert!(point["disk_bytes"].as_u64().unwrap() < 2_000, "{plan}");
    assert_eq!(seen(&world), before, "nothing of a plan is visible");

    let id = plan["plan"].as_str().unwrap().to_owned();
    let plans = world.ask(&["plan", "--list"]).done();
    assert_eq!((plans[0]["plan"].as_str(), plans.as_array().unwrap().len()), (Some(id.as_str()), 1));

    // It outlives the process; carrying it out reads nothing again.
    let mut world = world;
    world.site.take().map(Running::stop);
    world.start_site();
    let applied = world.ask(&["apply", &id, "--wait", "--timeout", "60s"]).done();
    assert_eq!(applied["outcome"], "done");
    let history = world.ask(&["package", "history", "XYZ00001"]).done();
    assert_eq!(
        (history[0]["version"].as_u64(), history[0]["root"].clone()),
        (Some(2), plan["root"]["digest"].clone())
    );
    assert_eq!(seen(&world).2, b"changed\n");
    let again = world.ask(&["apply", &id]);
    assert_eq!((again.code, again.document()["error"]["code"].as_str()), (4, Some("PLAN_NOT_FOUND")));
    let audit = restock(&world.site_data(), &["audit", "export"]).stdout;
    assert!(audit.contains("ApplyPlan") && audit.contains(&id), "{audit}");

    let diff = world.ask(&["diff", "XYZ00001@1", "XYZ00001@2"]).done();
    assert_eq!(changes(&diff), wanted.map(|(change, path)| (change.to_owned(), path.to_owned())));
    assert_eq!((diff["differs"]["removed"].as_u64(), diff["chunks"].as_u64()), (Some(1), Some(2)));
    let text = restock(&world.site_data(), &["diff", "xyz00001.1", "XYZ00001"]);
    assert_eq!(text.stdout, "* a  8 B (was 4 B)\n- b  4 B\n+ new  4 B\n");
    let at_point = json(&world.path("DP01"), &["diff", "XYZ00001", "XYZ00001@2"]).done();
    assert!(changes(&at_point).is_empty());
    let none = world.ask(&["diff", "XYZ00001@1", "XYZ00001@9"]);
    assert_eq!((none.code, none.document()["error"]["code"].as_str()), (4, Some("NOT_FOUND")));
}

#[test]
fn a_plan_whose_source_or_package_has_moved_is_refused_and_nothing_changes() {
    let world = world();
    let app = world.root().join("app");
    std::fs::write(app.join("a"), "planned\n").unwrap();
    let first = world.ask(&["plan", "XYZ00001"]).done()["plan"].as_str().unwrap().to_owned();
    std::fs::write(app.join("b"), "moved\n").unwrap();
    let before = seen(&world);
    let refused = world.ask(&["apply", &first]);
    let error = &refused.document()["error"];
    assert_eq!((refused.code, error["code"].as_str()), (6, Some("PLAN_STALE")));
    assert!(error["message"].as_str().unwrap().contains(": b is the first that differs"), "{error}");
    assert_eq!(seen(&world), before);

    let second = world.ask(&["plan", "XYZ00001"]).done()["plan"].as_str().unwrap().to_owned();
    world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"]).done();
    let refused = world.ask(&["apply", &second]);
    let error = &refused.document()["error"];
    assert_eq!((refused.code, error["code"].as_str()), (6, Some("PLAN_STALE")));
    assert!(error["message"].as_str().unwrap().contains("version 2 was published since"), "{error}");

    world.ask(&["plan", "--discard", &second]).done();
    let gone = world.ask(&["plan", "--discard", &second]);
    assert_eq!((gone.code, gone.document()["error"]["code"].as_str()), (4, Some("PLAN_NOT_FOUND")));
    let unknown = world.ask(&["plan", "XYZ00099"]);
    assert_eq!((unknown.code, unknown.document()["error"]["code"].as_str()), (4, Some("NOT_FOUND")));
    let short = world.ask(&["plan", "XYZ00001", "--keep", "5s"]);
    assert_eq!((short.code, short.document()["error"]["code"].as_str()), (2, Some("PLAN_LEASE")));
    std::fs::rename(&app, world.root().join("away")).unwrap();
    let unreadable = world.ask(&["plan", "XYZ00001"]);
    assert_eq!(
        (unreadable.code, unreadable.document()["error"]["code"].as_str()),
        (1, Some("SOURCE_NOT_FOUND"))
    );
    assert_eq!(world.ask(&["status", "XYZ00001"]).done()[0]["package"]["refresh"], Value::Null);
}

#[test]
fn a_plan_is_made_and_carried_out_while_the_site_does_not_run() {
    let mut world = world();
    assert_eq!(world.site.take().unwrap().stop(), 0);
    std::fs::write(world.root().join("app/a"), "offline\n").unwrap();
    let text = restock(&world.site_data(), &["plan", "XYZ00001"]);
    assert_eq!(text.code, 0, "{text:?}");
    assert!(text.stdout.contains("* a  8 B (was 4 B)\n"), "{text:?}");
    let id = text.stdout.rsplit_once("restock apply ").unwrap().1.trim().to_owned();
    let applied = world.ask(&["apply", &id]).done();
    assert_eq!(
        (applied["version"]["version"].as_u64(), applied["refresh"]["targeted"].as_u64()),
        (Some(2), Some(1))
    );
    world.start_site();
    world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"]).done();
    assert_eq!(seen(&world).2, b"offline\n");
}

#[test]
fn why_names_everything_that_waits_with_a_rule_and_a_remedy() {
    let mut world = world();
    let well = restock(&world.site_data(), &["why", "XYZ00001"]);
    assert_eq!((well.code, well.stdout.as_str()), (0, "XYZ00001: nothing waits and nothing failed.\n"));

    let app = world.root().join("app");
    std::fs::rename(&app, world.root().join("away")).unwrap();
    assert_eq!(world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"]).code, 1);
    let why = world.ask(&["why", "XYZ00001"]).done();
    let source = &why["reasons"][0];
    assert_eq!(
        (source["subject"].as_str(), source["rule"].as_str()),
        (Some("source"), Some("SOURCE_NOT_FOUND"))
    );
    assert!(source["until"].is_i64() && source["fix"].is_string(), "{why}");
    let job = world.ask(&["why", "XYZ00001@dp01"]).done();
    let reasons = job["reasons"].as_array().unwrap();
    assert_eq!((reasons.len(), reasons[0]["subject"].as_str()), (1, Some("DP01")), "{job}");

    std::fs::rename(world.root().join("away"), &app).unwrap();
    drop(world.points.pop());
    world.ask(&["refresh", "XYZ00001"]).done();
    world.ask(&["package", "show", "XYZ00001"]).done();
    let rules = || {
        let why = world.ask(&["why", "XYZ00001@DP01"]).done();
        why["reasons"][0]["rule"].as_str().unwrap_or_default().to_owned()
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !["POINT_OFFLINE", "DP_OFFLINE", "NOT_CONNECTED"].contains(&rules().as_str()) {
        assert!(std::time::Instant::now() < until, "{}", rules());
    }
    for (unknown, code) in [("XYZ00077", 4), ("XYZ00001@DP77", 4)] {
        assert_eq!(world.ask(&["why", unknown]).code, code, "{unknown}");
    }
}
