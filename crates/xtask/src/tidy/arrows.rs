//! Which crate may use which: the table of the architecture, checked against the manifests.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Findings, packages};

const PREFIX: &str = "restock-";

/// Crate, and what it may use. `*` stands for every crate of the product.
///
/// Tests of any crate may use `testkit` as well. Source: ARCHITECTURE.md, the table of rooms.
const MAY_USE: &[(&str, &[&str])] = &[
    ("names", &[]),
    ("cim", &["names"]),
    ("content", &["names"]),
    ("transfer", &["content", "names"]),
    ("sitedb", &["cim", "names"]),
    ("provider", &["sitedb", "cim", "names"]),
    ("site", &["sitedb", "content", "transfer", "cim", "names"]),
    ("dp", &["content", "transfer", "names"]),
    ("wire", &["cim", "names"]),
    ("frontdoor", &["wire", "cim", "provider", "names"]),
    ("simulate", &["site", "dp", "provider", "transfer", "sitedb", "content", "names"]),
    ("cli", &["*"]),
    ("testkit", &["*"]),
    ("xtask", &[]),
];

/// Outside crates that only some rooms may use, because of what they are for.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("sqlx", &["sitedb"]),
    ("rusqlite", &["sitedb"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("ureq", &["cli"]),
    ("tokio", &["transfer", "sitedb", "site", "dp", "cli", "provider", "frontdoor", "simulate", "testkit"]),
    ("hyper", &["dp", "cli", "frontdoor"]),
    ("anyhow", &["cli", "xtask", "testkit"]),
];

pub(super) fn check(metadata: &Value) -> Result<Findings> {
    let mut findings = Findings::default();
    for package in packages(metadata)?.0 {
        let name = package["name"].as_str().context("a package has no name")?;
        let Some(room) = name.strip_prefix(PREFIX) else {
            findings.violations.push(format!("crate {name} does not begin with {PREFIX}"));
            continue;
        };
        findings.violations.extend(check_package(room, package)?);
    }
    Ok(findings)
}

fn check_package(room: &str, package: &Value) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
        return Ok(vec![format!("crate {room} has no row in the table of arrows")]);
    };
    let manifest = package["manifest_path"].as_str().context("a package has no manifest path")?;
    if !manifest.ends_with(&format!("/crates/{room}/Cargo.toml")) {
        found.push(format!("crate {room} does not lie in crates/{room}"));
    }
    if package["publish"] != Value::Array(Vec::new()) {
        found.push(format!("crate {room} lacks publish.workspace = true"));
    }
    for dependency in package["dependencies"].as_array().context("a package has no dependency list")? {
        let name = dependency["name"].as_str().context("a dependency has no name")?;
        let is_dev = dependency["kind"] == "dev";
        match name.strip_prefix(PREFIX) {
            Some(used) if !is_allowed(may_use, used, is_dev) => {
                found.push(format!(
                    "{room} must not use {used}{}",
                    if is_dev { ", not even in tests" } else { "" }
                ));
            }
            Some(_) => {}
            None => {
                let rule = ONLY_IN.iter().find(|(restricted, _)| *restricted == name);
                if let Some((_, rooms)) = rule.filter(|(_, rooms)| !is_dev && !rooms.contains(&room)) {
                    found.push(format!("{room} must not use {name}: only {} may", rooms.join(", ")));
                }
            }
        }
    }
    Ok(found)
}

fn is_allowed(may_use: &[&str], used: &str, is_dev: bool) -> bool {
    match used {
        "testkit" => is_dev,
        "xtask" | "cli" => false,
        _ => may_use.contains(&"*") || may_use.contains(&used),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check_package;

    #[test]
    fn an_arrow_against_the_table_is_found() {
        let package = |uses: serde_json::Value| json!({ "manifest_path": "/r/crates/dp/Cargo.toml", "publish": [], "dependencies": uses });
        let found = |uses| check_package("dp", &package(uses)).expect("well-formed").join("; ");
        assert_eq!(found(json!([{ "name": "restock-content", "kind": null }])), "");
        assert_eq!(found(json!([{ "name": "restock-testkit", "kind": "dev" }])), "");
        assert_eq!(found(json!([{ "name": "restock-testkit", "kind": null }])), "dp must not use testkit");
        assert_eq!(found(json!([{ "name": "restock-sitedb", "kind": null }])), "dp must not use sitedb");
        assert_eq!(
            found(json!([{ "name": "restock-site", "kind": "dev" }])),
            "dp must not use site, not even in tests"
        );
        assert_eq!(found(json!([{ "name": "sqlx", "kind": null }])), "dp must not use sqlx: only sitedb may");
    }
}
