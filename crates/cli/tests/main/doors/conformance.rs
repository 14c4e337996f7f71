//! docs/provider-conformance.md, "What clients do": each operation with each published client, made
//! from what the clients did here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use expect_test::expect_file;

use crate::adminservice::clients::Demo;
use crate::support::json;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/provider-conformance.md");
/// Where the part of this test begins.
const HEAD: &str = "\n## What clients do\n";

/// Clients as the page names them, with the script, the name in its lines, and the port asked.
const CLIENTS: [(&str, &str, &str, &str); 9] = [
    ("requests", "adminservice_requests.py", "adminservice", "adminservice_http"),
    ("python-odata", "odata_python.py", "python-odata", "adminservice_http"),
    ("pywbem", "cimxml_pywbem.py cimxml_operations.py", "pywbem operations", "cimom_http"),
    ("wbemcli", "wbem_command_lines.py", "wbemcli", "cimom_http"),
    ("pywbemcli", "wbem_command_lines.py", "pywbemcli", "cimom_http"),
    ("pypsrp", "wsman_pypsrp.py", "pypsrp", "wsman_http"),
    ("pypsrp, sealed with NTLM", "wsman_pypsrp.py", "pypsrp", "wsman_http"),
    ("pywinrm", "wsman_winrm.py", "pywinrm", "wsman_http"),
    ("dracclient", "wsman_dracclient.py", "dracclient", "wsman_http"),
];

/// Operations, and how the steps that show them begin.
const OPERATIONS: [(&str, &[&str]); 16] = [
    ("say what it is", &["identify"]),
    ("enumerate", &["enumerate", "enumerate instances", "all instances", "query all"]),
    ("names of instances", &["names of instances", "enumerate instance names"]),
    ("pull", &["open/pull", "enumerate + pull", "enumerate and pull", "pulled"]),
    ("query", &["WQL", "query", "$filter", "filter"]),
    ("a few properties", &["get with property list", "WQL projection", "$select", "projection"]),
    ("get", &["get"]),
    ("declarations", &["get class", "class", "service document", "$metadata", "reflect"]),
    ("associations", &["associations", "associators"]),
    ("create, delete", &["create"]),
    ("change", &["put", "create, modify", "writing", "modify"]),
    ("method", &["method", "instance method, no body", "action", "bound action", "invoke"]),
    ("method with arrays", &["method with array", "instance method, arrays", "action with", "invoke with"]),
    ("embedded objects", &["array of embedded"]),
    ("refusals", &["no such", "get: no such", "error", "bad"]),
    ("wrong password", &["wrong password", "wrong or no password", "401"]),
];

/// The steps a script printed as passed and as failed, by the name in its lines.
fn steps(
    demo: &Demo,
    script: &str,
    port: &str,
    password: &str,
    auth: &str,
) -> BTreeMap<String, Vec<(String, bool)>> {
    let mut found: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    let arguments = ["--port", demo.port(port), "--scheme", "http", "--auth", auth, "--password", password];
    let (text, passed) = demo.client(script, &arguments);
    assert!(passed, "{script}\n{text}");
    for line in text.lines() {
        let Some((verdict, rest)) = line.split_once(' ') else { continue };
        let Some((name, step)) = rest.trim().split_once(": ") else { continue };
        if verdict == "PASS" || verdict == "FAIL" {
            found.entry(name.to_owned()).or_default().push((step.to_owned(), verdict == "PASS"));
        }
    }
    assert!(!found.is_empty(), "{script}\n{text}");
    found
}

#[test]
fn docs_provider_conformance_says_what_clients_do() {
    let demo = Demo::start();
    let site = Path::new(demo.text("data_dir")).join("site");
    let made = json(&site, &["admin", "ntlm", "enable", demo.text("user"), "--force"]).done();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let mut columns = Vec::new();
    for (client, scripts, names, port) in CLIENTS {
        let (password, auth) = match client.contains("NTLM") {
            true => (secret.as_str(), "negotiate"),
            false => (demo.text("password"), "basic"),
        };
        let mut all = Vec::new();
        for script in scripts.split(' ') {
            for (name, steps) in steps(&demo, script, port, password, auth) {
                if names.split(' ').any(|wanted| wanted == name) {
                    all.extend(steps);
                }
            }
        }
        assert!(!all.is_empty(), "{client} did nothing");
        columns.push((client, all));
    }
    let mut text = format!(
        "{HEAD}\nMade from the runs of published clients, unchanged, against the demo: `UPDATE_EXPECT=1 cargo test -p \
         restock-cli docs_provider_conformance` writes it. *Yes*: each step of the client that shows the operation \
         passed. Empty: the client, or its script in `crates/frontdoor/tests/clients`, does not ask for it.\n\n"
    );
    let names: Vec<&str> = columns.iter().map(|(client, _)| *client).collect();
    writeln!(text, "| operation | {} |", names.join(" | ")).unwrap();
    writeln!(text, "|---|{}", "---|".repeat(columns.len())).unwrap();
    for (operation, beginnings) in OPERATIONS {
        let cells: Vec<&str> = columns
            .iter()
            .map(|(_, steps)| {
                let shows = |step: &str| beginnings.iter().any(|beginning| step.starts_with(beginning));
                let of: Vec<bool> =
                    steps.iter().filter(|(step, _)| shows(step)).map(|(_, passed)| *passed).collect();
                match of.contains(&false) {
                    true => "**no**",
                    false if of.is_empty() => "",
                    false => "yes",
                }
            })
            .collect();
        assert!(cells.contains(&"yes"), "no client shows {operation}: {columns:?}");
        writeln!(text, "| {operation} | {} |", cells.join(" | ")).unwrap();
    }
    let page = std::fs::read_to_string(PAGE).unwrap();
    let before = page.split(HEAD).next().unwrap();
    expect_file![PAGE].assert_eq(&format!("{before}{text}"));
}
