//! `restock status`.

use std::ops::ControlFlow;

use clap::Args;
use restock_names::{HumanBytes, Timestamp};
use restock_provider::rows::{CopyRow, CopyState, PackageStatus, RefreshPhase, RefreshState, TargetRow};
use restock_provider::{Answer, Operation, TargetState, Why};
use restock_site::Progress;

use crate::commands::site::tree;
use crate::commands::wait::is_removal;
use crate::commands::{Session, package_id};
use crate::control::{Ask, Door, SiteTree, Watched, unexpected};
use crate::failure::{Failure, Kind};
use crate::output::{Done, Style, Table, Tone, count, guarded, shown};

const EXAMPLE: &str = "\
Example:
  restock status
  restock status XYZ00001
  restock status XYZ00001 --watch";

/// Show packages, where they are served, and what waits for what
///
/// In a hierarchy also the tree of sites, and with PKG the copy at each site.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Status {
    /// Package ID; without it every package
    #[arg(value_name = "PKG")]
    package: Option<String>,

    /// Go on showing changes until Ctrl-C (with --json: one document a line)
    #[arg(long)]
    watch: bool,
}

impl Status {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let package = self.package.as_deref().map(package_id).transpose()?;
        let folder = session.folder()?;
        if self.watch {
            let mut door = Door::running(&folder, "--watch")?;
            return watch(session, &mut door, package);
        }
        let mut door = Door::open(&folder, "restock status")?;
        let packages = match door.perform(Operation::Status { package })? {
            Answer::Status(packages) => packages,
            other => return Err(unexpected(&other)),
        };
        let progress: Progress = door.ask(Ask::Progress)?;
        let tree: SiteTree = door.ask(Ask::SiteTree)?;
        let style = session.output.style;
        let shown = Shown { packages, sites: hierarchy(tree) };
        let mut text = shown.text(&progress, package.is_some(), style);
        if !door.is_running() {
            text.push_str(&format!(
                "{}\n",
                style.busy("The site is not running: nothing moves until it does.")
            ));
        }
        Ok(Done::with(&shown.packages, text))
    }
}

/// Packages, and what other sites have of them.
#[derive(Debug, Default)]
struct Shown {
    packages: Vec<PackageStatus>,
    /// None of a site that is alone.
    sites: Option<SiteTree>,
}

impl Shown {
    fn text(&self, progress: &Progress, details: bool, style: Style) -> String {
        if details && let [one] = self.packages.as_slice() {
            return self.package_text(one, progress, style);
        }
        let packages = text(&self.packages, style);
        match &self.sites {
            Some(tree) => format!("{}\n{packages}", tree::text(tree, style)),
            None => packages,
        }
    }

    fn take(&mut self, event: Watched) {
        self.packages = event.packages.unwrap_or_else(|| std::mem::take(&mut self.packages));
        self.sites = event.sites.map_or_else(|| self.sites.take(), hierarchy);
    }
}

/// The tree, unless the site is alone.
fn hierarchy(tree: SiteTree) -> Option<SiteTree> {
    Some(tree).filter(|tree| tree.sites.len() > 1)
}

/// Redraws on a terminal; prints what changed otherwise.
fn watch(
    session: &Session,
    door: &mut Door,
    package: Option<restock_names::PackageId>,
) -> Result<Done, Failure> {
    let output = session.output;
    let mut shown = Shown::default();
    let mut before: Vec<String> = Vec::new();
    door.stream(Ask::Watch { package }, &mut |event| {
        if output.json {
            output.line(&event.to_string());
            return Ok(ControlFlow::Continue(()));
        }
        let event: Watched = serde_json::from_value(event)
            .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))?;
        let (at, progress) = (event.at, event.progress.clone());
        shown.take(event);
        if output.is_terminal {
            let text = shown.text(&progress, package.is_some(), output.style);
            // Home, each line cleared to its end, the rest of the screen cleared.
            output.data(&format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")));
        } else {
            let mut lines = shown.sites.as_ref().map(tree::change_lines).unwrap_or_default();
            lines.extend(change_lines(&shown.packages));
            for line in lines.iter().filter(|l| !before.contains(l)) {
                output.line(&format!("{at} {line}"));
            }
            before = lines;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Done::silent())
}

/// One line per package and per DP whose text changes when its state does.
fn change_lines(packages: &[PackageStatus]) -> Vec<String> {
    let mut lines = Vec::new();
    for p in packages {
        let id = p.package.package;
        lines.push(format!("{id}: version {}, {}", p.package.source_version, package_word(p).0));
        if let Some(refresh) = &p.package.refresh {
            lines.push(format!("{id}: {}", refresh_text(refresh)));
        }
        lines.extend(p.copies.iter().map(|copy| copy_line(p, copy)));
        for t in &p.targets {
            let why = t.why.as_ref().map(|w| format!(", {}", why_text(w))).unwrap_or_default();
            lines.push(format!(
                "{id} at {}: {}, serves version {}{why}",
                t.point,
                state_word(t.state),
                t.serving_version
            ));
        }
    }
    lines
}

fn copy_line(p: &PackageStatus, copy: &CopyRow) -> String {
    let why = copy.why.as_ref().map(|w| format!(", {}", why_text(w))).unwrap_or_default();
    let (id, word) = (p.package.package, copy_word(copy.state));
    format!("{id} at site {}: version {} {word}{why}", copy.site, copy.version)
}

/// Where the copy of a package at a site stands, in words.
fn copy_word(state: CopyState) -> &'static str {
    match state {
        CopyState::Asked => "asked",
        CopyState::Sending => "being sent",
        CopyState::Stored => "stored",
        CopyState::Retrying => "retrying",
        CopyState::Failed => "failed",
    }
}

fn text(packages: &[PackageStatus], style: Style) -> String {
    let mut table = Table::new(&[
        "Package",
        "Name",
        ">Version",
        ">Size",
        ">Installed",
        ">Pending",
        ">Retrying",
        ">Failed",
        "State",
    ]);
    for p in packages {
        let (word, tone) = package_word(p);
        let cells = [
            p.package.package.to_string(),
            shown(&p.package.name),
            p.package.source_version.to_string(),
            HumanBytes(p.package.bytes).to_string(),
            format!("{}/{}", p.counters.installed, p.counters.targeted),
            p.counters.pending.to_string(),
            p.counters.retrying.to_string(),
            p.counters.failed.to_string(),
            word,
        ];
        table.row(cells, Some((8, tone)));
    }
    let mut text = table.text(style, "No packages.");
    for p in packages {
        for line in why_lines(p) {
            text.push_str(&format!("{}: {line}\n", p.package.package));
        }
    }
    text
}

impl Shown {
    fn package_text(&self, p: &PackageStatus, progress: &Progress, style: Style) -> String {
        let (word, _) = package_word(p);
        let mut text = format!(
            "{} {}: version {}, {}, {}; {word}\n",
            style.strong(p.package.package.as_str()),
            shown(&p.package.name),
            p.package.source_version,
            count(p.package.entries, "entry"),
            HumanBytes(p.package.bytes),
        );
        for r in progress.refreshes.iter().filter(|r| r.package == p.package.package) {
            text.push_str(&format!(
                "Reading the source: {}, {} read, {} new\n",
                count(r.entries, "entry"),
                HumanBytes(r.bytes_read),
                HumanBytes(r.bytes_new)
            ));
        }
        for f in progress.fetches.iter().filter(|f| f.package == p.package.package) {
            text.push_str(&format!(
                "Fetching version {} from site {}: {} of {}, {}/s\n",
                f.version,
                f.from,
                HumanBytes(f.bytes_done),
                HumanBytes(f.bytes_total),
                HumanBytes(f.bytes_per_second)
            ));
        }
        text.push_str(&copies_text(&p.copies, style));
        let mut table =
            Table::new(&["DP", "Site", "State", ">Serves", ">Wanted", "Link", ">Received", "Last copied"]);
        for t in &p.targets {
            let live =
                progress.transfers.iter().find(|l| l.package == p.package.package && l.point == t.point);
            let received = live.map_or_else(
                || HumanBytes(t.bytes_received).to_string(),
                |l| {
                    format!(
                        "{} of {}, {}/s",
                        HumanBytes(l.bytes_done),
                        HumanBytes(l.bytes_total),
                        HumanBytes(l.bytes_per_second)
                    )
                },
            );
            let cells = [
                t.point.to_string(),
                t.site.to_string(),
                state_word(t.state).to_owned(),
                t.serving_version.to_string(),
                t.wanted_version.to_string(),
                self.link_word(t),
                received,
                t.last_copied_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
            ];
            table.row(cells, Some((2, tone(t))));
        }
        text.push_str(&table.text(style, "No distribution point has this package."));
        for line in why_lines(p) {
            text.push_str(&format!("{line}\n"));
        }
        for fix in fixes(p) {
            text.push_str(&format!("{} {fix}\n", style.strong("Try:")));
        }
        text
    }

    /// The connection of a distribution point; of one at another site only that site knows it.
    fn link_word(&self, t: &TargetRow) -> String {
        match &self.sites {
            Some(tree) if tree.site_code != t.site => format!("via {}", t.site),
            _ if t.is_connected => "up".to_owned(),
            _ => "down".to_owned(),
        }
    }
}

/// The sites that hold the package or are to hold it, and what waits there.
fn copies_text(copies: &[CopyRow], style: Style) -> String {
    if copies.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["Site", "Copy", ">Version", "Since"]);
    for copy in copies {
        let tone = match copy.state {
            CopyState::Stored => Tone::Good,
            CopyState::Failed => Tone::Bad,
            CopyState::Asked | CopyState::Sending | CopyState::Retrying => Tone::Busy,
        };
        let cells = [
            copy.site.to_string(),
            copy_word(copy.state).to_owned(),
            copy.version.to_string(),
            copy.at.to_string(),
        ];
        table.row(cells, Some((1, tone)));
    }
    let mut text = table.text(style, "");
    for copy in copies {
        if let Some(why) = &copy.why {
            text.push_str(&format!("site {}: {}\n", copy.site, why_text(why)));
        }
    }
    text
}

/// What waits or failed, and what would fix it.
fn why_lines(p: &PackageStatus) -> Vec<String> {
    let mut lines: Vec<String> = p.package.refresh.iter().map(refresh_text).collect();
    for t in &p.targets {
        if let Some(why) = &t.why {
            let next = next_text(t.next_attempt, Some(why));
            lines.push(format!("{}: {}{next}", t.point, why_text(why)));
        }
    }
    lines
}

/// The state of the whole package in a few words.
fn package_word(p: &PackageStatus) -> (String, Tone) {
    let phase = p.package.refresh.as_ref().map(|r| r.state);
    let (word, tone) = match phase {
        Some(RefreshPhase::Running) => ("reading source", Tone::Busy),
        Some(RefreshPhase::Waiting) => ("waiting to be read", Tone::Busy),
        Some(RefreshPhase::Retrying) => ("source failed, will retry", Tone::Bad),
        Some(RefreshPhase::Failed) => ("refresh failed", Tone::Bad),
        None if p.counters.failed > 0 => ("failed at some", Tone::Bad),
        None if p.counters.retrying > 0 => ("retrying", Tone::Busy),
        None if p.counters.pending > 0 => ("distributing", Tone::Busy),
        None if p.targets.iter().any(|t| is_removal(t.state)) => ("being removed", Tone::Busy),
        None if p.counters.targeted == 0 => ("at no DP", Tone::Plain),
        None => ("installed", Tone::Good),
    };
    (word.to_owned(), tone)
}

/// The state of a package at a DP, in the words the API uses.
pub(crate) fn state_word(state: TargetState) -> &'static str {
    match state {
        TargetState::Waiting => "waiting",
        TargetState::Receiving => "receiving",
        TargetState::Complete => "complete",
        TargetState::Retrying => "retrying",
        TargetState::Failed => "failed",
        TargetState::Installed => "installed",
        TargetState::Damaged => "damaged",
        TargetState::RemovalAsked => "removal asked",
        TargetState::RemovalRetrying => "removal retrying",
        TargetState::RemovalFailed => "removal failed",
    }
}

fn tone(t: &TargetRow) -> Tone {
    match t.state {
        TargetState::Installed => Tone::Good,
        TargetState::Failed | TargetState::Damaged | TargetState::RemovalFailed => Tone::Bad,
        _ => Tone::Busy,
    }
}

/// A pending refresh in one sentence.
pub(crate) fn refresh_text(refresh: &RefreshState) -> String {
    let why = refresh.why.as_ref().map(|w| format!(": {}", why_text(w))).unwrap_or_default();
    let next = next_text(refresh.next_attempt, refresh.why.as_ref());
    match refresh.state {
        RefreshPhase::Waiting => format!("refresh asked at {} waits{why}{next}", refresh.requested_at),
        RefreshPhase::Running => format!("refresh asked at {} is running", refresh.requested_at),
        RefreshPhase::Retrying => format!("refresh failed, attempt {}{why}{next}", refresh.attempts),
        RefreshPhase::Failed => {
            format!("refresh failed after {}{why}", count(u64::from(refresh.attempts), "attempt"))
        }
    }
}

/// When it is tried again, if that is known.
pub(crate) fn next_text(next_attempt: Option<Timestamp>, why: Option<&Why>) -> String {
    let at = next_attempt.or_else(|| why.and_then(|w| w.until));
    at.map(|t| format!("; next attempt {t}")).unwrap_or_default()
}

/// A reason in one sentence: code, text.
pub(crate) fn why_text(why: &Why) -> String {
    let code = if why.text.starts_with(&why.rule) { String::new() } else { format!("{}: ", why.rule) };
    guarded(&format!("{code}{}", why.text))
}

/// What a person could do about the failures of a package, each once.
pub(crate) fn fixes(p: &PackageStatus) -> Vec<String> {
    let whys = p.package.refresh.iter().filter_map(|r| r.why.as_ref());
    let whys = whys.chain(p.targets.iter().filter_map(|t| t.why.as_ref()));
    let mut fixes: Vec<String> = Vec::new();
    for fix in whys.filter_map(|w| w.fix.as_deref()).map(guarded) {
        if !fixes.contains(&fix) {
            fixes.push(fix);
        }
    }
    fixes
}
