//! The documentation as a new user follows it.

use std::process::Command;

use serde_json::Value;

use crate::support::{json, restock};

const QUICK_START: &str = include_str!("../../../../../docs/quick-start.md");

/// The commands of a document: lines of its blocks that begin with `$`.
fn commands(document: &str) -> Vec<&str> {
    document.lines().filter_map(|line| line.strip_prefix("$ ")).collect()
}

#[test]
fn the_quick_start_works_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_restock")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // A person waits for the prompt; a script for the socket of what it has begun.
    let mut script = "set -eu\nset -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    for command in commands(QUICK_START) {
        script.push_str(&format!("echo {}\n{command}\n", quoted(&format!("$ {command}"))));
        if command.ends_with('&') {
            let data = command.split("--data ").nth(1).unwrap().split(' ').next().unwrap();
            script.push_str(&format!("until [ -S {data}/control.sock ]; do kill -0 $!; sleep 0.1; done\n"));
        }
    }
    script.push_str("wait\n");
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(&script).current_dir(folder.path());
    let ran = shell.env("PATH", path).env_remove("RESTOCK_DATA").env_remove("RESTOCK_LOG").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}\n{err}");
    assert!(out.contains("ABC00001: nothing waits and nothing failed."), "{out}\n{err}");
    assert!(commands(QUICK_START).len() > 25, "all were found");
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn shells_and_manual_pages_are_made_from_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let text = restock(folder.path(), &["completions", shell]);
        assert_eq!(text.code, 0, "{text:?}");
        assert!(text.stdout.contains("bugreport") && text.stdout.contains("redistribute"), "{shell}");
    }
    let file = folder.path().join("restock.bash");
    json(folder.path(), &["completions", "bash", "--to", file.to_str().unwrap()]).done();
    let checked = Command::new("bash").arg("-n").arg(&file).status().unwrap();
    assert!(checked.success(), "bash reads its completions");

    let pages = folder.path().join("man1");
    let made: Value = json(folder.path(), &["man", "--to", pages.to_str().unwrap()]).done();
    let files: Vec<&str> = made["files"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    for name in ["restock.1", "restock-plan.1", "restock-dp-init.1"] {
        assert!(files.contains(&name), "{name}: {files:?}");
    }
    let page = std::fs::read_to_string(pages.join("restock-dp-init.1")).unwrap();
    assert!(page.starts_with(".ie") || page.contains(".TH restock-dp-init"), "{page}");
    assert!(page.contains("Example:"), "{page}");
    assert!(restock(folder.path(), &["man"]).stdout.contains(".TH restock "), "the page of the program");
}
