//! What central, primary and secondary sites are and are not.

use super::{Sites, row};

#[test]
fn the_type_of_a_site_decides_where_it_stands_and_what_it_has() {
    let mut sites = Sites::new();
    let refused = sites.init("S01", &["--type", "secondary"]);
    assert_eq!((refused.code, &refused.document()["error"]["code"]), (2, &"SITE_TYPE".into()));
    let nowhere = ["--type", "central", "--parent", "127.0.0.1:1", "--token"];
    sites.init("CEN", &["--type", "central"]).done();
    sites.start("CEN");
    let token = sites.token("CEN", "ABC");
    let refused = sites.init("ABC", &[&nowhere[..], &[&token]].concat());
    assert_eq!((refused.code, &refused.document()["error"]["code"]), (2, &"SITE_TYPE".into()));
    assert!(!sites.path("ABC").join("restock.toml").exists(), "nothing was made");

    let refused = sites.ask("CEN", &["token", "create", "DP01"]);
    assert_eq!((refused.code, &refused.document()["error"]["code"]), (6, &"SITE_TYPE".into()));
    assert!(sites.running["CEN"].hello["admin_service"].is_object());

    let url = sites.url("CEN");
    sites.init("ABC", &["--parent", &url, "--token", &token, "--name", "Plant"]).done();
    sites.start("ABC");
    sites.until_up("ABC", "CEN");
    sites.below("S01", "ABC", &["--type", "secondary"]);
    assert!(sites.running["S01"].hello["admin_service"].is_null(), "a secondary has no provider");
    sites.point("DP01", "S01");
    let refused = sites.ask("S01", &["token", "create", "S02", "--kind", "site"]);
    assert_eq!((refused.code, &refused.document()["error"]["code"]), (6, &"SITE_TYPE".into()));

    let tree = sites.poll("CEN", &["site", "tree"], |tree| row(tree, "S01")["site_type"] == "secondary");
    assert_eq!(row(&tree, "CEN")["site_type"], "central");
    assert_eq!(
        (&row(&tree, "ABC")["site_type"], &row(&tree, "ABC")["name"]),
        (&"primary".into(), &"Plant".into())
    );
    assert_eq!(row(&tree, "S01")["parent"], "ABC");
}

#[test]
fn a_name_that_is_no_site_code_gets_no_token_for_a_site() {
    let mut sites = Sites::new();
    sites.top("ABC");
    for (name, code) in [("DP01", 2), ("CON", 2), ("ABC", 6)] {
        let ran = sites.ask("ABC", &["token", "create", name, "--kind", "site"]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.document()["error"]["code"].is_string(), "{ran:?}");
    }
    let made = sites.ask("ABC", &["token", "create", "def", "--kind", "site"]).done();
    assert_eq!((&made["name"], &made["kind"]), (&"DEF".into(), &"site".into()));
}
