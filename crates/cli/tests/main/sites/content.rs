//! A refresh at either site reaches both.

use serde_json::Value;

use super::Sites;

/// `ABC` with DP01 and `DEF` with DP02, both serving version 1 of `ABC00001`.
fn served_at_both() -> Sites {
    let mut sites = Sites::pair();
    sites.package();
    sites.point("DP01", "ABC");
    sites.point("DP02", "DEF");
    sites.poll("ABC", &["dp", "list"], |points| points.as_array().is_some_and(|all| all.len() == 2));
    let to = ["distribute", "ABC00001", "--to", "DP01", "DP02", "--wait", "--timeout", "60s"];
    assert_eq!(sites.ask("ABC", &to).done()["outcome"], "done");
    sites
}

/// The version that the source's owner knows, and how many distribution points serve it.
fn installed(status: &Value) -> (u64, u64) {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    (number(&status[0]["package"]["source_version"]), number(&status[0]["installed"]))
}

#[test]
fn a_refresh_at_the_parent_reaches_the_distribution_point_of_the_child() {
    let sites = served_at_both();
    assert_eq!(sites.served("DP02", "a"), (200, b"one\n".to_vec()));
    sites.write("app/a", "two\n");
    let ran = sites.ask("ABC", &["refresh", "ABC00001", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.done()["outcome"], "done");
    for point in ["DP01", "DP02"] {
        assert_eq!(sites.served(point, "a"), (200, b"two\n".to_vec()), "{point}");
        let big = std::fs::read(sites.path("root/app/big")).unwrap();
        assert_eq!(sites.served(point, "big"), (200, big), "{point}");
    }
    let status = sites.poll("DEF", &["status", "ABC00001"], |status| installed(status) == (2, 2));
    assert_eq!(status[0]["package"]["source_site"], "ABC");
    sites.poll("ABC", &["status", "ABC00001"], |status| {
        let copies = status[0]["copies"].as_array().map(Vec::as_slice).unwrap_or_default();
        let copy = copies.iter().find(|copy| copy["site"] == "DEF");
        copy.is_some_and(|copy| copy["state"] == "stored" && copy["version"] == 2)
    });
    let text = crate::support::restock(&sites.path("ABC"), &["status", "ABC00001"]).stdout;
    assert!(text.contains("DEF") && text.contains("DP02"), "{text}");
}

#[test]
fn a_refresh_through_the_admin_service_of_the_child_reaches_both() {
    let sites = served_at_both();
    sites.account("ABC");
    sites.poll("DEF", &["admin", "account", "list"], |all| all.to_string().contains("\"admin\""));
    sites.write("app/a", "three\n");
    let call = "SMS_Package('ABC00001')/AdminService.RefreshPkgSource";
    let (status, body) = sites.admin("DEF", "POST", call);
    assert_eq!((status, body["ReturnValue"].as_i64()), (201, Some(0)), "{body}");
    for code in ["DEF", "ABC"] {
        sites.poll(code, &["status", "ABC00001"], |status| installed(status) == (2, 2));
    }
    for point in ["DP01", "DP02"] {
        assert_eq!(sites.served(point, "a"), (200, b"three\n".to_vec()), "{point}");
    }
    // A client that polls at the child sees the same as one at the parent.
    let summary = "SMS_PackageStatusRootSummarizer?$filter=PackageID eq 'ABC00001'";
    for code in ["DEF", "ABC"] {
        let (_, body) = sites.admin(code, "GET", summary);
        let row = &body["value"][0];
        assert_eq!((&row["Targeted"], &row["Installed"]), (&2.into(), &2.into()), "{code}: {body}");
    }
}

#[test]
fn a_refresh_asked_while_the_owner_is_away_waits_for_it_by_name() {
    let mut sites = served_at_both();
    sites.stop("ABC");
    sites.write("app/a", "four\n");
    let asked = sites.ask("DEF", &["refresh", "ABC00001"]).done();
    assert_eq!(asked[0]["source_version"], 1, "{asked}");
    let status = sites.ask("DEF", &["status", "ABC00001"]).done();
    let why = &status[0]["package"]["refresh"]["why"];
    assert_eq!(why["rule"], "WAITING_FOR_OWNER", "{status}");
    assert!(why["text"].as_str().unwrap().contains("ABC"), "{why}");
    assert_eq!(sites.served("DP02", "a"), (200, b"one\n".to_vec()), "the old version is served");
    sites.start("ABC");
    sites.poll("DEF", &["status", "ABC00001"], |status| installed(status) == (2, 2));
    assert_eq!(sites.served("DP02", "a"), (200, b"four\n".to_vec()));
}

#[test]
fn a_site_without_a_targeted_point_has_the_row_and_no_bytes() {
    let sites = Sites::pair();
    sites.package();
    let status = sites.poll("DEF", &["status"], |status| status[0]["package"]["source_version"] == 1);
    assert_eq!(status[0]["package"]["stored_version"], 0, "{status}");
    assert_eq!(sites.ask("DEF", &["library", "stat"]).done()["frames"], 0);
}

#[test]
fn ownership_moves_without_a_version_and_the_new_owner_reads_the_source() {
    let sites = served_at_both();
    let root = sites.path("root");
    sites.ask("DEF", &["source", "add", "root", root.to_str().unwrap()]).done();
    let unknown = sites.ask("ABC", &["package", "set-source-site", "ABC00001", "ZZZ"]);
    assert_eq!(unknown.document()["error"]["code"], "SITE_UNKNOWN", "{unknown:?}");
    let row = sites.ask("ABC", &["package", "set-source-site", "ABC00001", "DEF"]).done();
    assert_eq!((&row["source_site"], &row["before"]), (&"DEF".into(), &"ABC".into()), "{row}");
    let row = sites.poll("DEF", &["package", "show", "ABC00001"], |row| row["source_site"] == "DEF");
    assert_eq!(row["source_version"], 1, "{row}");
    sites.write("app/a", "five\n");
    sites.ask("ABC", &["refresh", "ABC00001"]).done();
    for code in ["DEF", "ABC"] {
        sites.poll(code, &["status", "ABC00001"], |status| installed(status) == (2, 2));
    }
    for point in ["DP01", "DP02"] {
        assert_eq!(sites.served(point, "a"), (200, b"five\n".to_vec()), "{point}");
    }
    let refused = sites.ask("ABC", &["package", "adopt", "ABC00001"]);
    assert_eq!(refused.code, 6, "it is no orphan: {refused:?}");
    sites.ask("ABC", &["package", "set-source-site", "ABC00001", "ABC"]).done();
    sites.write("app/a", "six\n");
    sites.poll("DEF", &["package", "show", "ABC00001"], |row| row["source_site"] == "ABC");
    let ran = sites.ask("ABC", &["refresh", "ABC00001", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.done()["packages"][0]["package"]["source_version"], 3);
    assert_eq!(sites.served("DP02", "a"), (200, b"six\n".to_vec()));
}

#[test]
fn a_package_whose_owner_was_removed_is_an_orphan_until_it_is_adopted() {
    let sites = served_at_both();
    let root = sites.path("root");
    sites.ask("DEF", &["source", "add", "root", root.to_str().unwrap()]).done();
    sites.ask("ABC", &["package", "set-source-site", "ABC00001", "DEF"]).done();
    sites.poll("DEF", &["package", "show", "ABC00001"], |row| row["source_site"] == "DEF");
    sites.ask("ABC", &["site", "remove", "DEF"]).done();
    let refused = sites.ask("ABC", &["refresh", "ABC00001"]);
    assert_eq!((refused.code, &refused.document()["error"]["code"]), (6, &"ORPHANED".into()), "{refused:?}");
    let adopted = sites.ask("ABC", &["package", "adopt", "ABC00001"]).done();
    assert_eq!((&adopted["before"], &adopted["source_site"]), (&"DEF".into(), &"ABC".into()));
    sites.write("app/a", "seven\n");
    let ran = sites.ask("ABC", &["refresh", "ABC00001", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.done()["packages"][0]["package"]["source_version"], 2);
    assert_eq!(sites.served("DP01", "a"), (200, b"seven\n".to_vec()));
    // The site that was cut off serves what it had.
    assert_eq!(sites.served("DP02", "a"), (200, b"one\n".to_vec()));
}

#[test]
fn content_passes_through_a_site_that_has_no_point_of_its_own() {
    let mut sites = Sites::pair();
    sites.below("S01", "DEF", &["--type", "secondary"]);
    sites.package();
    sites.point("DP09", "S01");
    sites.poll("ABC", &["dp", "list"], |points| points.as_array().is_some_and(|all| all.len() == 1));
    let to = ["distribute", "ABC00001", "--to", "DP09", "--wait", "--timeout", "60s"];
    assert_eq!(sites.ask("ABC", &to).done()["outcome"], "done");
    assert_eq!(sites.served("DP09", "a"), (200, b"one\n".to_vec()));
    let row = sites.ask("DEF", &["package", "show", "ABC00001"]).done();
    assert_eq!((&row["source_version"], &row["stored_version"]), (&1.into(), &0.into()), "{row}");
    sites.write("app/a", "eight\n");
    let ran = sites.ask("ABC", &["refresh", "ABC00001", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.done()["outcome"], "done");
    assert_eq!(sites.served("DP09", "a"), (200, b"eight\n".to_vec()));
}
