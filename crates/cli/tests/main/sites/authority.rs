//! Another certificate authority, and a site that moves to another address.

use super::{Sites, row};
use crate::support::json;

#[test]
fn a_site_changes_its_authority_and_nobody_needs_a_new_token() {
    let mut sites = Sites::pair();
    sites.point("DP01", "ABC");
    let data = sites.path("ABC");
    let before = std::fs::read_to_string(data.join("ca.pem")).unwrap();
    let refused = sites.ask("ABC", &["site", "rotate-ca", "--within", "1s"]);
    assert_eq!((refused.code, &refused.document()["error"]["code"]), (2, &"ROTATION_TIME".into()));

    let shown = sites.ask("ABC", &["site", "rotate-ca", "--show"]).done();
    assert_eq!(shown["is_changing"], false, "{shown}");
    let change = sites.ask("ABC", &["site", "rotate-ca"]).done();
    assert_ne!(change["oldest"], change["newest"]);
    let during = std::fs::read_to_string(data.join("ca.pem")).unwrap();
    assert!(during.contains(&before) && during.len() > before.len(), "clients are given both");
    // Point and child hear of it over their open links and are given certificates of the new one.
    for identity in ["dp/DP01", "DEF"] {
        sites.poll("ABC", &["site", "rotate-ca", "--show"], |now| {
            now.is_null()
                || now["moved"].as_array().is_some_and(|all| all.iter().any(|one| has(one, identity)))
        });
    }
    for name in ["DP01", "DEF"] {
        sites.stop(name);
    }
    sites.start("DEF");
    sites.until_up("DEF", "ABC");
    sites.point("DP02", "ABC");
    sites.poll("ABC", &["dp", "list"], |points| points[1]["is_connected"] == true);
}

fn has(identity: &serde_json::Value, part: &str) -> bool {
    identity.as_str().is_some_and(|text| text.contains(part))
}

#[test]
fn a_point_whose_site_moved_is_told_the_address_and_needs_no_token() {
    let mut sites = Sites::new();
    sites.top("ABC");
    sites.point("DP01", "ABC");
    let moved = "restock://127.0.0.1:9";
    let running = json(&sites.path("DP01"), &["dp", "set", "--site", moved]);
    assert_eq!(running.code, 6, "it runs: {running:?}");
    let url = sites.url("ABC");
    sites.stop("DP01");
    json(&sites.path("DP01"), &["dp", "set", "--site", moved]).done();
    json(&sites.path("DP01"), &["dp", "set", "--site", &url]).done();
    sites.poll("ABC", &["dp", "list"], |points| points[0]["is_connected"] == false);
    let point = crate::support::Running::start(&sites.path("DP01"), "dp");
    sites.running.insert("DP01".to_owned(), point);
    sites.poll("ABC", &["dp", "list"], |points| points[0]["is_connected"] == true);
    let tree = sites.ask("ABC", &["site", "tree"]).done();
    assert_eq!(row(&tree, "ABC")["url"], *url);
}
