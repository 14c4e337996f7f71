//! The programs of a torture run, built once and copied aside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::process;

/// Test programs that suites run.
const TESTS: &[(&str, &str)] = &[("restock-testkit", "main"), ("restock-cli", "main")];

/// Copies of the built programs.
#[derive(Debug)]
pub(super) struct Programs {
    /// The product.
    pub(super) restock: PathBuf,
    tests: BTreeMap<(&'static str, &'static str), PathBuf>,
}

impl Programs {
    /// Builds and copies them to `target/torture`.
    pub(super) fn build() -> Result<Self> {
        let folder = crate::root().join("target/torture");
        std::fs::create_dir_all(&folder).context("failed to make target/torture")?;
        process::run(process::cargo().args(["build", "-q", "-p", "restock-cli"]))?;
        let restock = folder.join("restock");
        copy(&crate::root().join("target/debug/restock"), &restock)?;
        let mut tests = BTreeMap::new();
        for (package, name) in TESTS {
            let mut command = process::cargo();
            command.args(["test", "-q", "-p", package, "--test", name, "--no-run", "--message-format=json"]);
            let built = executable(&process::output(&mut command)?, name)
                .with_context(|| format!("cargo named no program of {package}"))?;
            let to = folder.join(format!("{package}-{name}"));
            copy(Path::new(&built), &to)?;
            tests.insert((*package, *name), to);
        }
        Ok(Self { restock, tests })
    }

    /// A test program.
    pub(super) fn test(&self, program: (&'static str, &'static str)) -> Result<&Path> {
        let found = self.tests.get(&program);
        found.map(PathBuf::as_path).with_context(|| format!("{program:?} was not built"))
    }
}

/// Another file, so that a later build changes nothing.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_file(to).with_context(|| format!("failed to remove {}", to.display()))?;
    }
    std::fs::copy(from, to).with_context(|| format!("failed to copy {}", from.display()))?;
    ensure!(to.exists(), "{} is not there", to.display());
    Ok(())
}

/// The path in cargo's message about the program `name`.
fn executable(messages: &str, name: &str) -> Option<String> {
    let named = format!("\"name\":\"{name}\"");
    let line = messages.lines().rfind(|line| {
        line.contains("\"compiler-artifact\"") && line.contains(&named) && line.contains("\"executable\":\"")
    })?;
    let (_, rest) = line.split_once("\"executable\":\"")?;
    rest.split_once('"').map(|(path, _)| path.to_owned())
}

#[test]
fn the_program_is_found_in_the_messages_of_cargo() {
    let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"lib\"},\"executable\":null}\n\
                    {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"main\"},\"executable\":\"/t/main-1\"}\n\
                    {\"reason\":\"build-finished\",\"success\":true}\n";
    assert_eq!(executable(messages, "main").as_deref(), Some("/t/main-1"));
    assert_eq!(executable(messages, "other"), None);
}
