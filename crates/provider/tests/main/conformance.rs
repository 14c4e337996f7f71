//! docs/provider-conformance.md: what of each class is live, told by the names of tests.
//!
//! A test belongs to the class whose name, in snake case, it begins with (the longest one); it
//! shows a method to be live when it names the method likewise. Nothing here asks the program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use expect_test::expect_file;
use restock_cim::{Class, Value};
use restock_provider::classes;
use restock_provider::classes::declarations::schema;

/// Where tests of classes stand.
const FOLDERS: [&str; 5] =
    ["crates/provider", "crates/frontdoor", "crates/sitedb", "crates/testkit", "crates/cli"];

/// `SMS_DPGroupInfo` as `sms_dp_group_info`.
fn snake(name: &str) -> String {
    let chars: Vec<char> = name.trim_start_matches('_').chars().collect();
    let mut snake = String::new();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let is_lower = |c: Option<&char>| c.is_some_and(|c| c.is_ascii_lowercase());
        let begins = c.is_ascii_uppercase()
            && before.is_some_and(|before| *before != '_')
            && (is_lower(before) || is_lower(chars.get(at + 1)));
        if begins {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// The names of all test functions beneath a folder.
fn tests_beneath(folder: &Path, names: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_beneath(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if is_test && !line.starts_with("#[") {
                    let name = line.trim_start_matches("async ").strip_prefix("fn ");
                    names.extend(name.and_then(|name| name.split('(').next()).map(str::to_owned));
                    is_test = false;
                }
            }
        }
    }
}

/// Tests by class; each is of the class with the longest name it begins with.
fn tests_by_class() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut names = Vec::new();
    for folder in FOLDERS {
        tests_beneath(&root.join(folder).join("tests"), &mut names);
        tests_beneath(&root.join(folder).join("src"), &mut names);
    }
    names.sort();
    names.dedup();
    let snakes: Vec<String> = schema().classes().map(|class| snake(class.name.as_str())).collect();
    let mut by_class: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        let of = snakes
            .iter()
            .filter(|class| name.starts_with(&format!("{class}_")))
            .max_by_key(|class| class.len());
        if let Some(class) = of {
            by_class.entry(class.clone()).or_default().push(name);
        }
    }
    by_class
}

fn tier(class: &Class) -> &str {
    class.qualifier("Tier").and_then(Value::as_str).unwrap_or("declared")
}

fn names_method(tests: &[String], class: &str, method: &str) -> bool {
    let method = format!("_{}_", snake(method));
    tests.iter().any(|test| format!("{}_", &test[class.len()..]).contains(&method))
}

#[test]
fn docs_provider_conformance_md_says_what_tests_show() {
    let by_class = tests_by_class();
    let mut text = String::from(
        "# What of the SMS Provider is live

Made from the names of tests: `UPDATE_EXPECT=1 cargo test -p restock-provider docs_provider_conformance` writes it.
*Live* rows change when the site's state changes by another path, and a test named after the class shows it;
of a class that is *declared only*, queries give no rows, and Put and methods are refused by name. A method
is live when a test of its class names it. Properties of a live class are read from the site's state or stand
in its declaration; which are lazy, keys or read-only is said by `$metadata`.

| class | tier | rows | properties (keys; lazy) | methods that are live | methods declared only | tests |
|---|---|---|---|---|---|---|
",
    );
    for class in schema().classes() {
        let key = snake(class.name.as_str());
        let tests = by_class.get(&key).map_or(&[][..], Vec::as_slice);
        let rows = if class.has("Abstract") && !class.has("Embedded") && tests.is_empty() {
            "base class"
        } else if class.has("Embedded") {
            "embedded"
        } else if tests.iter().any(|test| test.contains("_is_live")) {
            "live"
        } else if tests.is_empty() {
            "declared only"
        } else {
            "no rows of its own"
        };
        let (live, declared): (Vec<_>, Vec<_>) =
            class.methods.iter().partition(|method| names_method(tests, &key, method.name.as_str()));
        let list = |methods: Vec<&restock_cim::Method>| {
            methods.iter().map(|method| method.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let keys: Vec<&str> = class.keys().map(|key| key.name.as_str()).collect();
        let lazy = class.properties.iter().filter(|property| property.is_lazy()).count();
        let properties = format!("{} ({}; {lazy})", class.properties.len(), keys.join(", "));
        let (name, tier, count) = (&class.name, tier(class), tests.len());
        writeln!(
            text,
            "| `{name}` | {tier} | {rows} | {properties} | {} | {} | {count} |",
            list(live),
            list(declared)
        )
        .unwrap();
    }
    text.push_str("\n## Tests by class\n");
    for class in schema().classes() {
        if let Some(tests) = by_class.get(&snake(class.name.as_str())) {
            writeln!(text, "\n`{}`:\n", class.name).unwrap();
            for test in tests {
                writeln!(text, "- {}", test.replace('_', " ")).unwrap();
            }
        }
    }
    // What clients do is written by a test of the built binary.
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/provider-conformance.md"));
    let page = page.unwrap();
    let clients = page.find("\n## What clients do\n").map_or("", |at| page.get(at..).unwrap());
    text.push_str(clients);
    expect_file!["../../../../docs/provider-conformance.md"].assert_eq(&text);
}

#[test]
fn every_method_that_does_something_has_a_test_that_names_it() {
    let by_class = tests_by_class();
    for (class, method) in classes::live_methods() {
        let key = snake(class);
        let tests = by_class.get(&key).map_or(&[][..], Vec::as_slice);
        assert!(names_method(tests, &key, method), "no test is named {key}_…{}…", snake(method));
    }
}

#[test]
fn class_names_become_the_names_of_their_folders() {
    for (name, wanted) in [
        ("SMS_DPGroupInfo", "sms_dp_group_info"),
        ("SMS_ARoleOperation", "sms_a_role_operation"),
        ("SMS_NAL_Methods", "sms_nal_methods"),
        ("SMS_PkgToPkgServer_a", "sms_pkg_to_pkg_server_a"),
        ("UnPackNALPath", "un_pack_nal_path"),
        ("__ExtendedStatus", "extended_status"),
    ] {
        assert_eq!(snake(name), wanted);
    }
}
