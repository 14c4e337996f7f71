//! `restock admin` and `restock audit`: accounts from standard input, a trail that shows tampering.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use sqlx::{AnyConnection, Connection};

use crate::support::{Ran, Running, command, json, restock};

/// Runs a command that reads `input`.
fn with_input(data: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut child = command(data)
        .arg("--json")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn made() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    json(dir.path(), &["site", "init", "--listen", "127.0.0.1:0"]).done();
    dir
}

/// Changes the database while no site runs.
fn tamper(data: &Path, statement: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let file = std::fs::read_dir(data).unwrap().map(|e| e.unwrap().path());
        let file = file.into_iter().find(|path| path.extension().is_some_and(|e| e == "db")).unwrap();
        let mut connection = AnyConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

fn code_of(ran: &Ran) -> Option<String> {
    ran.document()["error"]["code"].as_str().map(str::to_owned)
}

#[test]
fn accounts_roles_scopes_and_tokens_are_managed_while_the_site_runs_and_while_not() {
    let dir = made();
    let data = dir.path();
    assert_eq!(json(data, &["admin", "account", "list"]).done(), Value::Array(Vec::new()), "init makes none");
    let added = with_input(data, &["admin", "account", "add", "anna"], "correct horse battery\n").done();
    assert_eq!((added["name"].as_str(), added["has_password"].as_bool()), (Some("anna"), Some(true)));
    let none = with_input(data, &["admin", "account", "add", "bert"], "");
    assert_eq!((none.code, code_of(&none).as_deref()), (2, Some("PASSWORD")));
    let short = with_input(data, &["admin", "account", "add", "bert"], "short\n");
    assert_eq!((short.code, code_of(&short).as_deref()), (2, Some("RANGE")));

    let site = Running::start(data, "site");
    let again = with_input(data, &["admin", "account", "add", "ANNA"], "correct horse battery\n");
    assert_eq!((again.code, code_of(&again).as_deref()), (6, Some("ALREADY_EXISTS")));
    json(data, &["admin", "scope", "add", "North"]).done();
    let role = json(data, &["admin", "role", "export", "Application Administrator"]).done();
    let xml = role["xml"].as_str().unwrap().replace("Application Administrator", "Package team");
    let file = data.join("team.xml");
    std::fs::write(&file, xml).unwrap();
    json(data, &["admin", "role", "import", file.to_str().unwrap()]).done();
    let granted = json(data, &["admin", "grant", "anna", "Package team", "--scope", "North"]).done();
    assert_eq!(granted["permissions"].as_array().unwrap().len(), 1);
    let token = json(data, &["admin", "token", "create", "anna", "nightly", "--valid", "1h"]).done();
    assert!(token["token"].as_str().unwrap().starts_with("rst_"));
    let used = json(data, &["admin", "role", "remove", "Package team"]);
    assert_eq!((used.code, code_of(&used).as_deref()), (6, Some("IN_USE")));
    let members = json(data, &["admin", "scope", "include", "North", "site", "XYZ"]).done();
    assert_eq!(members["object_type"], 6);
    let unknown = json(data, &["admin", "scope", "include", "North", "package", "XYZ00009"]);
    assert_eq!((unknown.code, code_of(&unknown).as_deref()), (4, Some("NOT_FOUND")));
    assert_eq!(site.stop(), 0);

    json(data, &["admin", "token", "revoke", "anna", "nightly"]).done();
    let listed = json(data, &["admin", "token", "list"]).done();
    assert!(listed[0]["revoked_at"].is_i64(), "{listed}");
    assert_eq!(listed[0].get("token"), None);
    json(data, &["admin", "account", "remove", "anna"]).done();
    let gone = json(data, &["admin", "account", "passwd", "anna", "--no-password"]);
    assert_eq!((gone.code, code_of(&gone).as_deref()), (4, Some("NOT_FOUND")));
    json(data, &["audit", "verify"]).done();
}

#[test]
fn an_edited_removed_or_cut_off_record_is_named() {
    let dir = made();
    let data = dir.path();
    let cases = [
        ("UPDATE audit_records SET account = 'somebody' WHERE sequence = 2", "record 2 "),
        ("DELETE FROM audit_records WHERE sequence = 3", "record 3 "),
        ("DELETE FROM audit_records WHERE sequence > 3", "record 4 "),
    ];
    for name in ["a", "b", "c", "d", "e"] {
        json(data, &["admin", "scope", "add", name]).done();
    }
    let head = json(data, &["audit", "verify"]).done();
    assert_eq!(head["records"], 5);
    let printed = restock(data, &["audit", "verify"]).stdout;
    let anchor = printed.trim().rsplit(' ').next().unwrap();
    for (statement, named) in cases {
        let copy = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp").args(["-a"]).arg(data).arg(copy.path()).status();
        assert!(copied.unwrap().success());
        let data = copy.path().join(data.file_name().unwrap());
        tamper(&data, statement);
        for arguments in [&["audit", "verify"][..], &["audit", "verify", "--anchor", anchor]] {
            let ran = json(&data, arguments);
            assert_eq!((ran.code, code_of(&ran).as_deref()), (1, Some("AUDIT_BROKEN")), "{statement}");
            assert!(ran.stdout.contains(named), "{statement}: {}", ran.stdout);
        }
        // Going on does not hide it: the head that was kept is left as it is.
        json(&data, &["admin", "scope", "add", "later"]).done();
        assert_eq!(json(&data, &["audit", "verify"]).code, 1, "{statement}");
    }
    // Without the file beside the database only the anchor knows of the end.
    tamper(data, "DELETE FROM audit_records WHERE sequence = 5");
    std::fs::remove_file(data.join("audit-head")).unwrap();
    assert_eq!(json(data, &["audit", "verify"]).code, 0);
    assert_eq!(json(data, &["audit", "verify", "--anchor", anchor]).code, 1);
    assert_eq!(json(data, &["audit", "verify", "--anchor", "nonsense"]).code, 2);
}

#[test]
fn the_trail_is_exported_record_by_record() {
    let dir = made();
    for name in ["a", "b"] {
        json(dir.path(), &["admin", "scope", "add", name]).done();
    }
    let lines = restock(dir.path(), &["audit", "export"]).stdout;
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2);
    assert_eq!(
        (&records[0]["operation"], &records[1]["previous"]),
        (&"add_scope".into(), &records[0]["hash"])
    );
    let document = json(dir.path(), &["audit", "export"]).done();
    assert_eq!(
        (document["count"].as_u64(), document["records"].as_array().map(Vec::len)),
        (Some(2), Some(2))
    );
}

#[test]
fn passwords_and_tokens_are_in_no_log_and_no_file_of_the_site() {
    const CANARY: &str = "canary-8e1c44f9-horse";
    let dir = made();
    let data = dir.path();
    let mut command = command(data);
    command.env("RESTOCK_LOG", "trace");
    let site = Running::of(command, "site");
    with_input(data, &["admin", "account", "add", "anna"], &format!("{CANARY}\n")).done();
    let refused = with_input(data, &["admin", "account", "passwd", "nobody"], &format!("{CANARY}\n"));
    assert_eq!(refused.code, 4);
    assert!(!refused.stdout.contains(CANARY) && !refused.stderr.contains(CANARY));
    let token = json(data, &["admin", "token", "create", "anna", "t"]).done();
    let token = token["token"].as_str().unwrap().to_owned();
    assert_eq!(site.stop(), 0);
    let mut waiting = vec![data.to_owned()];
    let mut files = 0;
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        files += 1;
        for secret in [CANARY, &token] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
    assert!(files > 5, "logs and database were looked at");
}
