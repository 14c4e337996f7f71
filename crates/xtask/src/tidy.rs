//! Checks what compilers and clippy do not: the architecture's rules as far as text shows them.
//!
//! Each check returns its findings as lines; a finding fails the run, a remark is only printed.

mod arrows;
mod licences;
mod texts;

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

/// What a check found: violations, and remarks that do not fail.
#[derive(Debug, Default)]
struct Findings {
    violations: Vec<String>,
    remarks: Vec<String>,
}

impl Findings {
    fn add(&mut self, other: Findings) {
        self.violations.extend(other.violations);
        self.remarks.extend(other.remarks);
    }
}

/// Runs all checks over the repository at `root`.
///
/// Errors: when a check could not be made, or with the number of violations, which are printed.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut command = process::cargo();
    command.args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata = process::output(&mut command)?;
    let metadata: Value = serde_json::from_str(&metadata).context("failed to read cargo metadata")?;
    let mut findings = arrows::check(&metadata)?;
    findings.add(licences::check(&metadata)?);
    findings.add(texts::check(root)?);
    for remark in &findings.remarks {
        println!("remark: {remark}");
    }
    for violation in &findings.violations {
        println!("tidy: {violation}");
    }
    if !findings.violations.is_empty() {
        bail!("{} tidy violations", findings.violations.len());
    }
    println!("tidy: nothing to complain about");
    Ok(())
}

/// The packages of the metadata: those of the workspace, then the others.
fn packages(metadata: &Value) -> Result<(Vec<&Value>, Vec<&Value>)> {
    let members = metadata["workspace_members"].as_array().context("metadata has no workspace members")?;
    let all = metadata["packages"].as_array().context("metadata has no packages")?;
    Ok(all.iter().partition(|p| members.contains(&p["id"])))
}
