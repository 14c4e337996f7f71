//! Licences and sources of all dependencies, from `cargo metadata`.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Findings, packages};

/// Licences that can be combined with MIT OR Apache-2.0 in one binary.
const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "BSL-1.0",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(metadata: &Value) -> Result<Findings> {
    let mut findings = Findings::default();
    let (ours, theirs) = packages(metadata)?;
    for package in &ours {
        if package["license"] != "MIT OR Apache-2.0" {
            findings.violations.push(format!("{} lacks license.workspace = true", package["name"]));
        }
    }
    for package in &theirs {
        let name = package["name"].as_str().context("a package has no name")?;
        if package["source"] != CRATES_IO {
            findings.violations.push(format!("{name} comes from {}, not from crates.io", package["source"]));
        }
        match package["license"].as_str() {
            Some(expression) if is_allowed(expression) => {}
            Some(other) => findings.violations.push(format!("{name} has the licence {other}")),
            None => findings.violations.push(format!("{name} names no licence")),
        }
    }
    findings.remarks.push(format!("{} dependencies from crates.io", theirs.len()));
    Ok(findings)
}

/// True when a choice among the alternatives of the SPDX `expression` needs only allowed licences.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    alternatives(&words, &mut at) && at == words.len()
}

fn alternatives(words: &[&str], at: &mut usize) -> bool {
    let mut is_fine = conjunction(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        // Evaluated in any case: it moves `at`.
        is_fine |= conjunction(words, at);
    }
    is_fine
}

fn conjunction(words: &[&str], at: &mut usize) -> bool {
    let mut is_fine = licence(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        is_fine &= licence(words, at);
    }
    is_fine
}

fn licence(words: &[&str], at: &mut usize) -> bool {
    let word = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if word == "(" {
        let is_fine = alternatives(words, at);
        let is_closed = words.get(*at) == Some(&")");
        *at += 1;
        return is_fine && is_closed;
    }
    if words.get(*at) == Some(&"WITH") {
        // An exception only adds rights.
        *at += 2;
    }
    ALLOWED.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn a_licence_expression_is_fine_when_one_choice_is() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 AND ISC",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-3.0 OR MIT",
            "Apache-2.0 WITH LLVM-exception OR MPL-2.0",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND LGPL-2.1", "", "MIT AND", "(MIT"] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
