//! `restock doctor`.

mod machine;
mod role;

pub(in crate::commands) use machine::secret_files;

use clap::Args;
use serde::Serialize;

use crate::commands::Session;
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind};
use crate::output::{Done, Style, count, guarded};

const EXAMPLE: &str = "\
Example:
  restock doctor
  restock --data /srv/dp1 doctor --json";

/// Check a site or DP and the machine it runs on, and say what to do about what is wrong
///
/// Looks at the data folder and its rights, the configuration, free space, the clock, certificates,
/// ports, the limit of open files, what the kernel and the file system offer, and, of the site or DP
/// itself, links, loops, and whether library and database agree. Nothing is changed and no content is
/// read: that is what `restock library check` does. Exit code 1 when there is a problem.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Doctor {}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grade {
    /// As it should be.
    Good,
    /// Worth knowing; something works less well.
    Notice,
    /// Something does not work, or will not for long.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// A stable name: `disk`, `clock`.
    pub(crate) check: &'static str,
    pub(crate) grade: Grade,
    /// What was found.
    pub(crate) text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

impl Finding {
    pub(crate) fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, grade: Grade::Good, text: text.into(), fix: None }
    }

    pub(crate) fn notice(check: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, grade: Grade::Notice, text: text.into(), fix: Some(fix.into()) }
    }

    pub(crate) fn problem(check: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, grade: Grade::Problem, text: text.into(), fix: Some(fix.into()) }
    }
}

impl Doctor {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        folder.role()?;
        let findings = examine(&folder);
        let problems = findings.iter().filter(|f| f.grade == Grade::Problem).count() as u64;
        let notices = findings.iter().filter(|f| f.grade == Grade::Notice).count() as u64;
        let mut text = text(&findings, session.output.style);
        text.push_str(&match (problems, notices) {
            (0, 0) => "All is well.\n".to_owned(),
            (0, n) => format!("{}, no problem.\n", count(n, "notice")),
            (p, n) => format!("{}, {}.\n", count(p, "problem"), count(n, "notice")),
        });
        Ok(Done::with(&findings, text).ending((problems > 0).then_some(Kind::Failed)))
    }
}

/// Everything that is looked at, in the order in which it is shown.
pub(crate) fn examine(folder: &DataFolder) -> Vec<Finding> {
    let mut findings = machine::examine(folder);
    findings.extend(role::examine(folder));
    findings
}

fn text(findings: &[Finding], style: Style) -> String {
    let width = findings.iter().map(|f| f.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let word = match finding.grade {
            Grade::Good => style.good("ok     "),
            Grade::Notice => style.busy("notice "),
            Grade::Problem => style.bad("problem"),
        };
        text.push_str(&format!("{word}  {:width$}  {}\n", finding.check, guarded(&finding.text)));
        if let Some(fix) = &finding.fix {
            text.push_str(&format!(
                "{:width$}  {} {}\n",
                "",
                style.strong("Try:"),
                guarded(fix),
                width = width + 9
            ));
        }
    }
    text
}
