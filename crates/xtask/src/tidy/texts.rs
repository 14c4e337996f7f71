//! Rules about the source texts: sizes, names, where SQL stands, words that must not be committed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Findings;
use crate::process;

/// Lines of a source file above which it is remarked, and refused.
const LINES_REMARKED: usize = 500;
const LINES_MAX: usize = 800;

/// Modules and crates named like this gather what has no home.
const NAMES_REFUSED: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "shared"];

/// Where WQL stands, which reads like SQL; no database is reached from these crates.
const WQL_ROOMS: &[&str] = &["crates/cim/src/query", "crates/wire/src/odata"];

/// Words that must not be committed, one a line; lines that begin with `#` are comments.
const WORDS_REFUSED: &str = ".ci/words-refused.txt";

pub(super) fn check(root: &Path) -> Result<Findings> {
    let mut findings = Findings::default();
    let words = std::fs::read_to_string(root.join(WORDS_REFUSED)).unwrap_or_default();
    let words: Vec<&str> = words.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let mut files_with_assert = Vec::new();
    for path in committed(root)? {
        let shown = path.display().to_string();
        if let Some(name) = refused_name(&path) {
            findings.violations.push(format!("{shown}: nothing is called {name}"));
        }
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else { continue };
        if shown != WORDS_REFUSED {
            let hits = words.iter().filter(|w| text.contains(*w));
            findings.violations.extend(hits.map(|w| format!("{shown}: contains {w:?}")));
        }
        if path.extension().is_some_and(|e| e == "rs") && path.starts_with("crates") {
            check_source(&path, &text, &mut findings);
            // Tests and benches put any state into a database, past its own doors.
            let is_shipped = path.iter().any(|part| part == "src") && !path.starts_with("crates/xtask");
            let asserts = is_shipped && text.contains("AssertSqlSafe");
            files_with_assert.extend(asserts.then_some(shown));
        }
        if path.file_name().is_some_and(|n| n == "Cargo.toml") && path.starts_with("crates") {
            let inherits = text.contains("[lints]\nworkspace = true") || path.starts_with("crates/testkit");
            findings
                .violations
                .extend((!inherits).then(|| format!("{}: lints are not the workspace's", path.display())));
        }
    }
    if files_with_assert.len() > 1 {
        findings.violations.push(format!("AssertSqlSafe stands in {}", files_with_assert.join(", ")));
    }
    Ok(findings)
}

/// The files git knows or would take, relative to `root`.
fn committed(root: &Path) -> Result<Vec<PathBuf>> {
    let mut command = std::process::Command::new("git");
    command.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = process::output(&mut command).context("failed to list the files of the repository")?;
    let mut paths: Vec<PathBuf> = listed.split('\0').filter(|p| !p.is_empty()).map(PathBuf::from).collect();
    paths.sort();
    paths.dedup();
    paths.retain(|p| root.join(p).is_file());
    Ok(paths)
}

fn refused_name(path: &Path) -> Option<&'static str> {
    if !path.starts_with("crates") {
        return None;
    }
    let stems = path.iter().filter_map(|part| Path::new(part).file_stem()?.to_str());
    stems.filter_map(|stem| NAMES_REFUSED.iter().find(|n| **n == stem)).next().copied()
}

fn check_source(path: &Path, text: &str, findings: &mut Findings) {
    let shown = path.display();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        findings.violations.push(format!("{shown}: {lines} lines, at most {LINES_MAX} are allowed"));
    } else if lines > LINES_REMARKED {
        findings.remarks.push(format!("{shown}: {lines} lines; which second thing is it about?"));
    }
    let is_module = path.iter().any(|p| p == "src") && path.file_name().is_none_or(|n| n != "tests.rs");
    if is_module && !text.starts_with("//!") && !text.starts_with("#![doc") {
        findings.violations.push(format!("{shown}: no module documentation"));
    }
    let has_wql = WQL_ROOMS.iter().any(|room| path.starts_with(room));
    let may_have_sql = has_wql || path.starts_with("crates/sitedb") || path.starts_with("crates/xtask");
    if !may_have_sql && path.iter().any(|p| p == "src") {
        for (number, line) in text.lines().enumerate().filter(|(_, l)| has_sql(l)) {
            findings.violations.push(format!(
                "{shown}:{}: SQL text outside sitedb: {}",
                number + 1,
                line.trim()
            ));
        }
    }
}

/// True when a string literal on `line` begins like an SQL statement.
fn has_sql(line: &str) -> bool {
    const BEGINNINGS: &[&str] = &[
        "SELECT ",
        "INSERT INTO ",
        "INSERT OR ",
        "DELETE FROM ",
        "CREATE TABLE ",
        "CREATE INDEX ",
        "CREATE UNIQUE ",
        "CREATE VIEW ",
        "ALTER TABLE ",
        "DROP ",
        "PRAGMA ",
    ];
    let literals = line.split('"').skip(1).step_by(2).map(str::trim_start);
    let is_update = |l: &str| l.starts_with("UPDATE ") && l.contains(" SET");
    !line.trim_start().starts_with("//")
        && literals.into_iter().any(|l| is_update(l) || BEGINNINGS.iter().any(|b| l.starts_with(b)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Findings, check_source, has_sql, refused_name};

    #[test]
    fn sql_is_found_in_string_literals_only() {
        assert!(has_sql(r#"let q = "SELECT 1 FROM t";"#));
        assert!(has_sql(r#"q("UPDATE t SET a = 1")"#));
        assert!(!has_sql(r#"// says "SELECT x""#));
        assert!(!has_sql(r#"println!("Select a package"); // SELECT "#));
        assert!(!has_sql(r#"m("UPDATE available")"#));
    }

    #[test]
    fn long_files_and_homeless_names_are_found() {
        let mut findings = Findings::default();
        check_source(Path::new("crates/x/src/a.rs"), &"//! doc\n".repeat(801), &mut findings);
        check_source(Path::new("crates/x/src/b.rs"), &"//! doc\n".repeat(501), &mut findings);
        check_source(Path::new("crates/x/src/c.rs"), "fn main() {}\n", &mut findings);
        assert_eq!((findings.violations.len(), findings.remarks.len()), (2, 1), "{findings:?}");
        let mut findings = Findings::default();
        let text = "//! doc\nconst Q: &str = \"SELECT 1\";\n";
        check_source(Path::new("crates/cim/src/query/wql.rs"), text, &mut findings);
        assert!(findings.violations.is_empty(), "WQL is no SQL: {findings:?}");
        check_source(Path::new("crates/cim/src/path.rs"), text, &mut findings);
        assert_eq!(findings.violations.len(), 1, "{findings:?}");
        assert_eq!(refused_name(Path::new("crates/x/src/utils.rs")), Some("utils"));
        assert_eq!(refused_name(Path::new("crates/x/src/useful.rs")), None);
    }
}
