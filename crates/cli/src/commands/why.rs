//! `restock why`.

use clap::Args;
use restock_names::{SiteCode, Timestamp};
use restock_provider::rows::{CopyState, PackageStatus, RefreshPhase, TargetRow};
use restock_provider::{Answer, Operation, TargetState, Why as Reason};
use serde::Serialize;

use crate::commands::status::state_word;
use crate::commands::{Session, package_id};
use crate::control::{Ask, Door, SiteTree, unexpected};
use crate::failure::{Failure, Kind};
use crate::output::{Done, Style, guarded, shown};

const EXAMPLE: &str = "\
Example:
  restock why XYZ00001               everything of the package that waits or failed
  restock why XYZ00001@DP01          the job that brings it to one DP
  restock why XYZ00001@DEF --json    the copy at one site";

/// Say why a package, or one of its jobs, is not where it should be, and what would help
///
/// Each reason has a rule that programs can rely on, a sentence, the time of the next attempt where
/// one is known, and what a person could do. Nothing is printed for what is as it should be; then
/// the command says so. Exit code 0 in both cases.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Why {
    /// Package ID, or PKG@DP or PKG@SITE for one job
    #[arg(value_name = "PKG|JOB")]
    job: String,
}

/// Why one thing waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Waits {
    /// `source`, `site ABC`, `DP01`.
    subject: String,
    /// Where it stands.
    state: String,
    rule: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Debug, Serialize)]
struct Answered {
    package: String,
    is_running: bool,
    reasons: Vec<Waits>,
}

impl Why {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let (package, at) = match self.job.split_once('@') {
            Some((package, at)) => (package, Some(at)),
            None => (self.job.as_str(), None),
        };
        let package = package_id(package)?;
        let folder = session.folder()?;
        let mut door = Door::open(&folder, "restock why")?;
        let status = match door.perform(Operation::Status { package: Some(package) })? {
            Answer::Status(mut packages) if packages.len() == 1 => packages.remove(0),
            Answer::Status(_) => {
                return Err(Failure::new(
                    Kind::NotFound,
                    format!("NOT_FOUND: there is no package {package}"),
                )
                .hint("restock package list"));
            }
            other => return Err(unexpected(&other)),
        };
        let tree: SiteTree = door.ask(Ask::SiteTree)?;
        let mut reasons = reasons(&status, &tree);
        if let Some(at) = at {
            let is_known = status.targets.iter().any(|t| t.point.as_str().eq_ignore_ascii_case(at))
                || tree.sites.iter().any(|s| s.site_code.as_str().eq_ignore_ascii_case(at));
            if !is_known {
                let text = format!("NOT_FOUND: package {package} has no job at {}", shown(at));
                return Err(Failure::new(Kind::NotFound, text).hint(format!("restock status {package}")));
            }
            let site = format!("site {at}");
            reasons.retain(|r| r.subject.eq_ignore_ascii_case(at) || r.subject.eq_ignore_ascii_case(&site));
        }
        let is_running = door.is_running();
        if !is_running && (!reasons.is_empty() || at.is_none()) {
            reasons.insert(0, not_running(&folder));
        }
        let text = text(&self.job, &reasons, session.output.style);
        Ok(Done::with(&Answered { package: package.to_string(), is_running, reasons }, text))
    }
}

fn not_running(folder: &crate::data_folder::DataFolder) -> Waits {
    let path = crate::output::shown_path(folder.path());
    Waits {
        subject: "site".to_owned(),
        state: "not running".to_owned(),
        rule: "SITE_NOT_RUNNING".to_owned(),
        text: "the site does not run, and nothing moves until it does".to_owned(),
        until: None,
        fix: Some(format!("restock --data {path} site run")),
    }
}

/// Everything of the package that is not as it should be.
fn reasons(status: &PackageStatus, tree: &SiteTree) -> Vec<Waits> {
    let mut found = Vec::new();
    let package = &status.package;
    if let Some(refresh) = &package.refresh {
        let state = match refresh.state {
            RefreshPhase::Waiting => "waiting",
            RefreshPhase::Running => "running",
            RefreshPhase::Retrying => "retrying",
            RefreshPhase::Failed => "failed",
        };
        let plain = match refresh.state {
            RefreshPhase::Running => Reason::new("SOURCE_READING", "its source is being read"),
            _ => Reason::new("WAITING_FOR_RUN", "waits for the refresh loop"),
        };
        found.push(waits("source", state, refresh.why.clone().unwrap_or(plain), refresh.next_attempt));
    } else if package.stored_version.0 == 0 && package.source_path.is_empty() {
        let fix = format!("restock package set {} --source PATH", package.package);
        let why = Reason::new("SOURCE_NONE", "the package has no source, so there is nothing to distribute");
        found.push(waits("source", "none", why.with_fix(fix), None));
    }
    if package.is_orphaned {
        let fix = format!("restock package adopt {}", package.package);
        let text = format!("site {}, which owns the package, is gone", package.source_site);
        found.push(waits("source", "orphaned", Reason::new("ORPHANED", text).with_fix(fix), None));
    }
    for copy in &status.copies {
        let state = match copy.state {
            CopyState::Stored => continue,
            CopyState::Asked => "asked",
            CopyState::Sending => "being sent",
            CopyState::Retrying => "retrying",
            CopyState::Failed => "failed",
        };
        let why = copy.why.clone().or_else(|| link_of(tree, copy.site)).unwrap_or_else(|| {
            Reason::new("COPY_UNDER_WAY", format!("version {} is on its way", copy.version))
        });
        found.push(waits(&format!("site {}", copy.site), state, why, None));
    }
    for target in &status.targets {
        if target.state != TargetState::Installed {
            let why = target_reason(status, target, tree);
            found.push(waits(target.point.as_str(), state_word(target.state), why, target.next_attempt));
        }
    }
    found
}

/// Why a distribution point has not what it should: what is known of the job, else what stands in the
/// way of it.
fn target_reason(status: &PackageStatus, target: &TargetRow, tree: &SiteTree) -> Reason {
    if let Some(why) = &target.why {
        return why.clone();
    }
    if target.site != tree.site_code {
        return link_of(tree, target.site).unwrap_or_else(|| {
            let text = format!("site {} brings it to its distribution point", target.site);
            Reason::new("JOB_AT_OTHER_SITE", text)
        });
    }
    if !target.is_connected {
        let text = format!("{} is not connected to this site", target.point);
        return Reason::new("POINT_OFFLINE", text).with_fix(format!(
            "restock --data DIR dp run, at {}; then restock --data DIR doctor",
            target.point
        ));
    }
    if status.package.refresh.is_some() {
        return Reason::new("WAITING_FOR_SNAPSHOT", "waits for the source to be read");
    }
    match target.state {
        TargetState::Receiving => Reason::new("JOB_RUNNING", "its content is being fetched"),
        _ => Reason::new("WAITING_FOR_JOB", "waits for the distribute loop"),
    }
}

/// Why a neighbour is not reached.
fn link_of(tree: &SiteTree, site: SiteCode) -> Option<Reason> {
    let row = tree.sites.iter().find(|row| row.site_code == site)?;
    if row.why.is_some() {
        return row.why.clone();
    }
    let link = row.link.as_ref().filter(|link| !link.is_connected)?;
    let text = if link.is_revoked {
        format!("site {site} was removed from the hierarchy")
    } else {
        format!("the link to site {site} is down")
    };
    Some(Reason::new("LINK_DOWN", text).with_fix("restock site tree"))
}

fn waits(subject: &str, state: &str, why: Reason, next: Option<Timestamp>) -> Waits {
    let Reason { rule, text, until, fix } = why;
    let (subject, state) = (subject.to_owned(), state.to_owned());
    Waits { subject, state, rule, text, until: until.or(next), fix }
}

fn text(job: &str, reasons: &[Waits], style: Style) -> String {
    if reasons.is_empty() {
        return format!("{}: nothing waits and nothing failed.\n", shown(job));
    }
    let mut text = String::new();
    for reason in reasons {
        text.push_str(&format!(
            "{} ({}): {}: {}\n",
            style.strong(&guarded(&reason.subject)),
            reason.state,
            reason.rule,
            guarded(&reason.text)
        ));
        if let Some(until) = reason.until {
            text.push_str(&format!("  next attempt {until}\n"));
        }
        if let Some(fix) = &reason.fix {
            text.push_str(&format!("  {} {}\n", style.strong("Try:"), guarded(fix)));
        }
    }
    text
}
