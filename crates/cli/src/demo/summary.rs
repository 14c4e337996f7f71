//! The demo's summary: what was read, stored and sent, as the site and the DPs counted it.

use std::path::Path;
use std::time::Duration;

use restock_names::{HumanBytes, HumanDuration, PackageId};
use restock_provider::rows::VersionRow;
use restock_provider::{Answer, Operation};
use serde::Serialize;

use super::change::Changes;
use super::compare::Compared;
use crate::control::{Ask, Client, unexpected};
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
    steps: [Step; 2],
    compared_entries: u64,
    compared_files: u64,
    compared_bytes: u64,
    pub(super) differences: u64,
    /// Bytes on the wire of the refresh, all DPs together.
    refresh_wire_bytes: u64,
    /// What copying the whole new version to each DP would have sent.
    full_copy_bytes: u64,
    saved_percent: f64,
    duration_ms: u64,
}

impl Step {
    /// Asks the site for the newest version and what each DP received of it.
    pub(super) fn measure(
        client: &mut Client,
        package: PackageId,
        reading: Duration,
        took: Duration,
    ) -> Result<Self, Failure> {
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
            duration_ms: milliseconds(reading + took),
        })
    }

    /// `DP01 received 21.2 MiB, DP02 received 21.2 MiB`.
    pub(super) fn wire_text(&self) -> String {
        let each = self.wire.iter().map(|w| format!("{} received {}", w.name, HumanBytes(w.bytes)));
        each.collect::<Vec<_>>().join(", ")
    }
}

impl Summary {
    #[expect(clippy::too_many_arguments, reason = "a summary of everything takes everything")]
    pub(super) fn new(
        package_id: PackageId,
        data: &Path,
        source: &Path,
        changes: Changes,
        first: Step,
        second: Step,
        compared: &[Vec<(String, Compared)>],
        took: Duration,
    ) -> Self {
        let sum = |of: fn(&Compared) -> u64| compared.iter().flatten().map(|(_, c)| of(c)).sum();
        let refresh_wire_bytes = second.wire.iter().map(|w| w.bytes).sum();
        let full_copy_bytes = second.bytes * second.wire.len() as u64;
        let saved = 1.0 - refresh_wire_bytes as f64 / full_copy_bytes.max(1) as f64;
        Self {
            site_code: "XYZ",
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
            steps: [first, second],
        }
    }

    /// The table people read.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new(&["", ">Version 1", ">Version 2 (refresh)"]);
        let mut row = |label: &str, of: &dyn Fn(&Step) -> String| {
            let [first, second] = &self.steps;
            table.row([label.to_owned(), of(first), of(second)], None);
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
        row("Time, asked to served", &|s| HumanDuration(Duration::from_millis(s.duration_ms)).to_string());
        let mut text = format!("\n{}\n", table.text(Style::plain(), ""));
        text.push_str(&format!(
            "Compared with the source over HTTP: {}, {}, no difference.\n",
            count(self.compared_entries, "entry"),
            HumanBytes(self.compared_bytes)
        ));
        text.push_str(&format!(
            "The refresh sent {} to {}; copying the new version whole would have sent {}: {:.2} % saved.\n",
            HumanBytes(self.refresh_wire_bytes),
            count(self.steps[1].wire.len() as u64, "distribution point"),
            HumanBytes(self.full_copy_bytes),
            self.saved_percent
        ));
        text
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
