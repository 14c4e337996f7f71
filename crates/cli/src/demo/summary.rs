//! The demo's summary: what was read, stored and sent, as the site and the DPs counted it.

use std::path::Path;
use std::time::Duration;

use restock_names::{HumanBytes, HumanDuration, PackageId};
use restock_provider::rows::VersionRow;
use restock_provider::{Answer, Operation};
use serde::Serialize;

use super::cast::{CHILD, Cast, SITE};
use super::change::Changes;
use super::compare::Compared;
use crate::control::{Ask, unexpected};
use crate::failure::Failure;
use crate::output::{Style, Table, count, grouped};

/// One version's way from the source to every DP.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    pub(super) version: u32,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) bytes_read: u64,
    pub(super) chunks_new: u64,
    pub(super) bytes_new: u64,
    pub(super) wire: Vec<Wire>,
    /// Bytes that the child site received from the site above, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) between_sites: Option<u64>,
    pub(super) duration_ms: u64,
}

/// Bytes that one DP received over its link.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Wire {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// The document of `restock demo --json`.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    site_code: &'static str,
    package_id: PackageId,
    data_dir: String,
    source: String,
    changes: Changes,
    /// Version 1, its refresh and, with a child site, a refresh that was asked for there.
    steps: Vec<Step>,
    compared_entries: u64,
    compared_files: u64,
    compared_bytes: u64,
    pub(super) differences: u64,
    /// Bytes on the wire of the refresh, all DPs and the child site together.
    refresh_wire_bytes: u64,
    /// What copying the whole new version to each of them would have sent.
    full_copy_bytes: u64,
    saved_percent: f64,
    duration_ms: u64,
}

impl Step {
    /// Asks the site for the newest version and what each DP received of it. `crossed`: what the child
    /// site had received before.
    pub(super) fn measure(
        cast: &mut Cast,
        package: PackageId,
        crossed: Option<u64>,
        took: Duration,
    ) -> Result<Self, Failure> {
        let between_sites = cast.crossed()?.zip(crossed).map(|(now, before)| now.saturating_sub(before));
        let client = &mut cast.site.client;
        let rows: Vec<VersionRow> = match client.ask(Ask::Perform(Operation::History { package }))? {
            Answer::History(rows) => rows,
            other => return Err(unexpected(&other)),
        };
        let status = match client.ask(Ask::Perform(Operation::Status { package: Some(package) }))? {
            Answer::Status(status) => status,
            other => return Err(unexpected(&other)),
        };
        let (Some(row), Some(status)) = (rows.iter().max_by_key(|r| r.version), status.first()) else {
            return Err(Failure::failed(format!("{package} has no stored version")));
        };
        let wire = status.targets.iter().map(|t| Wire { name: t.point.to_string(), bytes: t.bytes_received });
        Ok(Self {
            version: row.version.0,
            entries: row.entries,
            bytes: row.bytes,
            bytes_read: row.bytes_read,
            chunks_new: row.chunks_new,
            bytes_new: row.bytes_new,
            wire: wire.collect(),
            between_sites,
            duration_ms: milliseconds(took),
        })
    }

    /// Who received the version over a link.
    fn receivers(&self) -> u64 {
        self.wire.len() as u64 + u64::from(self.between_sites.is_some())
    }

    /// `DP01 received 21.2 MiB, DP02 received 21.2 MiB`.
    pub(super) fn wire_text(&self) -> String {
        let each = self.wire.iter().map(|w| format!("{} received {}", w.name, HumanBytes(w.bytes)));
        let between = self.between_sites.map(|bytes| format!("site {CHILD} received {}", HumanBytes(bytes)));
        each.chain(between).collect::<Vec<_>>().join(", ")
    }
}

impl Summary {
    pub(super) fn new(
        package_id: PackageId,
        data: &Path,
        source: &Path,
        changes: Changes,
        steps: Vec<Step>,
        compared: &[Vec<(String, Compared)>],
        took: Duration,
    ) -> Self {
        let sum = |of: fn(&Compared) -> u64| compared.iter().flatten().map(|(_, c)| of(c)).sum();
        let refresh = &steps[1];
        let refresh_wire_bytes: u64 =
            refresh.wire.iter().map(|w| w.bytes).sum::<u64>() + refresh.between_sites.unwrap_or(0);
        let full_copy_bytes = refresh.bytes * refresh.receivers();
        let saved = 1.0 - refresh_wire_bytes as f64 / full_copy_bytes.max(1) as f64;
        Self {
            site_code: SITE,
            package_id,
            data_dir: data.to_string_lossy().into_owned(),
            source: source.to_string_lossy().into_owned(),
            changes,
            compared_entries: sum(|c| c.files + c.folders + c.links),
            compared_files: sum(|c| c.files),
            compared_bytes: sum(|c| c.bytes),
            differences: sum(|c| c.differences_count),
            refresh_wire_bytes,
            full_copy_bytes,
            saved_percent: (saved * 10_000.0).round() / 100.0,
            duration_ms: milliseconds(took),
            steps,
        }
    }

    /// The table people read.
    pub(super) fn text(&self) -> String {
        let asked_there = format!(">Version 3 (asked at {CHILD})");
        let headings = ["", ">Version 1", ">Version 2 (refresh)", &asked_there];
        let mut table = Table::new(&headings[..=self.steps.len()]);
        let mut row = |label: &str, of: &dyn Fn(&Step) -> String| match self.steps.as_slice() {
            [first, second] => table.row([label.to_owned(), of(first), of(second)], None),
            [first, second, third] => table.row([label.to_owned(), of(first), of(second), of(third)], None),
            _ => {}
        };
        row("Files, folders, links", &|s| grouped(s.entries));
        row("Content", &|s| HumanBytes(s.bytes).to_string());
        row("Read from the source", &|s| HumanBytes(s.bytes_read).to_string());
        row("New chunks", &|s| grouped(s.chunks_new));
        row("New bytes", &|s| HumanBytes(s.bytes_new).to_string());
        for (i, wire) in self.steps[0].wire.iter().enumerate() {
            let received =
                |s: &Step| s.wire.get(i).map(|w| HumanBytes(w.bytes).to_string()).unwrap_or_default();
            row(&format!("On the wire to {}", wire.name), &received);
        }
        if self.steps[0].between_sites.is_some() {
            let received = |s: &Step| s.between_sites.map(|n| HumanBytes(n).to_string()).unwrap_or_default();
            row(&format!("On the wire to site {CHILD}"), &received);
        }
        row("Time, asked to served", &|s| HumanDuration(Duration::from_millis(s.duration_ms)).to_string());
        let mut text = format!("\n{}\n", table.text(Style::plain(), ""));
        text.push_str(&format!(
            "Compared with the source over HTTP: {}, {}, no difference.\n",
            count(self.compared_entries, "entry"),
            HumanBytes(self.compared_bytes)
        ));
        text.push_str(&format!(
            "The refresh sent {} to {}{}; copying the new version whole would have sent {}: {:.2} % saved.\n",
            HumanBytes(self.refresh_wire_bytes),
            count(self.steps[1].wire.len() as u64, "distribution point"),
            if self.steps[1].between_sites.is_some() { " and a site" } else { "" },
            HumanBytes(self.full_copy_bytes),
            self.saved_percent
        ));
        text
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
