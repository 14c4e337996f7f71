//! The tree, status over sites, hosts that move.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::{Sites, row};
use crate::support::{command, restock};

#[test]
fn both_ends_draw_the_same_tree_with_link_and_backlog() {
    let mut sites = Sites::pair();
    for code in ["ABC", "DEF"] {
        let tree = sites.poll(code, &["site", "tree"], |tree| {
            tree["sites"].as_array().is_some_and(|rows| rows.len() == 2)
                && ["ABC", "DEF"].iter().all(|c| *c == code || row(tree, c)["link"]["backlog"] == 0)
        });
        assert_eq!(tree["site_code"], code);
        assert_eq!(row(&tree, "DEF")["parent"], "ABC");
        assert!(row(&tree, "ABC")["parent"].is_null() && row(&tree, code)["link"].is_null());
        assert_eq!(row(&tree, "ABC")["software"], row(&tree, "DEF")["software"]);
    }
    let drawn = restock(&sites.path("ABC"), &["site", "tree"]).stdout;
    assert!(drawn.contains("\u{2514}\u{2500} DEF") && drawn.contains("this site"), "{drawn}");

    sites.stop("DEF");
    sites.poll("ABC", &["site", "tree"], |tree| row(tree, "DEF")["link"]["is_connected"] == false);
    sites.ask("ABC", &["package", "create", "Waits"]).done();
    let tree = sites.ask("ABC", &["site", "tree"]).done();
    assert!(row(&tree, "DEF")["link"]["backlog"].as_u64().unwrap() >= 1, "{tree}");
    let drawn = restock(&sites.path("ABC"), &["site", "tree"]).stdout;
    assert!(drawn.contains("down since "), "{drawn}");
}

#[test]
fn a_watched_status_shows_the_tree_and_its_changes() {
    let mut sites = Sites::pair();
    let mut watching = command(&sites.path("ABC"))
        .args(["--json", "status", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = |is_wanted: &dyn Fn(&Value) -> bool| loop {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if is_wanted(&event["sites"]) {
            return event;
        }
    };
    next(&|tree| row(tree, "DEF")["link"]["is_connected"] == true);
    sites.stop("DEF");
    next(&|tree| row(tree, "DEF")["link"]["is_connected"] == false);
    watching.kill().unwrap();
    watching.wait().unwrap();
    let status = restock(&sites.path("ABC"), &["status"]).stdout;
    assert!(status.contains("\u{2514}\u{2500} DEF"), "{status}");
}

#[test]
fn a_site_that_is_alone_shows_no_tree_in_its_status() {
    let mut sites = Sites::new();
    sites.top("ABC");
    let status = restock(&sites.path("ABC"), &["status"]).stdout;
    assert_eq!(status, "No packages.\n");
    let tree = sites.ask("ABC", &["site", "tree"]).done();
    assert_eq!(tree["sites"].as_array().unwrap().len(), 1, "{tree}");
}

#[test]
fn a_child_that_moved_tells_its_address_and_one_whose_parent_moved_is_told_it() {
    let mut sites = Sites::pair();
    let ran = sites.ask("DEF", &["site", "set", "--url", "restock://moved.example:8720"]);
    assert_eq!(ran.code, 6, "the site runs: {ran:?}");
    sites.stop("DEF");
    let set = sites.ask("DEF", &["site", "set", "--url", "restock://moved.example:8720"]).done();
    assert_eq!(set["url"], "restock://moved.example:8720");
    sites.start("DEF");
    sites.poll("ABC", &["site", "tree"], |tree| row(tree, "DEF")["url"] == "restock://moved.example:8720");

    // The parent listens elsewhere from now on.
    sites.stop("ABC");
    let config = sites.path("ABC").join("restock.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let old = text.lines().find(|line| line.starts_with("listen = ")).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(&config, text.replacen(old, &format!("listen = \"127.0.0.1:{port}\""), 1)).unwrap();
    sites.start("ABC");
    sites.stop("DEF");
    let moved = format!("restock://127.0.0.1:{port}");
    let set = sites.ask("DEF", &["site", "set", "--parent-url", &moved]).done();
    assert_eq!(set["parent_url"], *moved);
    sites.start("DEF");
    sites.until_up("DEF", "ABC");
}
