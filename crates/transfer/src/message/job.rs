//! What a site asks of a distribution point, and what that tells of it.
//!
//! Source: docs/formats/link.md, "Control messages".

use restock_names::{ContentVersion, Timestamp};
use serde::{Deserialize, Serialize};

use super::hex_bytes;

/// The site's number for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl JobId {
    /// Stands in reports on what a distribution point found by itself: damage in content it serves,
    /// and that it has healed it. No job of a site has it.
    pub const OWN: Self = Self(0);
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a job wants of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Serve this version. Of the version that is served already: take over `is_public` and `name`.
    Install,
    /// Read and hash every object of this version, fetch what is missing or damaged.
    Redistribute,
    /// Serve this package no more.
    Remove,
    /// Stop working on this version.
    Cancel,
    /// A kind this program does not know; to be reported as failed.
    #[serde(other)]
    Unknown,
}

/// Something a point is to do. Jobs are sent again after a reconnect until they are reported on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The site's number.
    pub job_id: JobId,
    /// What is wanted.
    pub kind: JobKind,
    /// Of which version.
    pub content: ContentVersion,
    /// The version's signed statement; empty for remove and cancel.
    #[serde(default, with = "hex_bytes")]
    pub statement: Vec<u8>,
    /// May the package be read without a right?
    #[serde(default)]
    pub is_public: bool,
    /// The package's name, for people.
    #[serde(default)]
    pub name: String,
    /// The folder in which the point keeps the package's files beside its library; none for most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportState {
    /// Received, not begun.
    Accepted,
    /// Waiting; the detail says for what.
    Waiting,
    /// Bytes are arriving.
    Receiving,
    /// Complete, not yet served.
    Stored,
    /// Served.
    Installed,
    /// Failed; `is_transient` tells if the point tries again.
    Failed,
    /// No longer served.
    Removed,
    /// Stopped as asked.
    Cancelled,
    /// A state this program does not know.
    #[serde(other)]
    Unknown,
}

/// What became of a job. Kept by the point until the site has acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The job.
    pub job_id: JobId,
    /// The version it is about.
    pub content: ContentVersion,
    /// How far it is.
    pub state: ReportState,
    /// The stable code of a failure, else empty.
    #[serde(default)]
    pub code: String,
    /// One sentence for people.
    #[serde(default)]
    pub detail: String,
    /// Of a failure: is it worth trying again?
    #[serde(default)]
    pub is_transient: bool,
    /// When, by the point's clock.
    pub at: Timestamp,
    /// What was moved.
    #[serde(default)]
    pub totals: Totals,
}

/// What a job moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Bytes received on the link.
    pub wire_received: u64,
    /// Bytes sent on the link.
    pub wire_sent: u64,
    /// Frames received and stored.
    pub frames: u64,
    /// Their length before compression.
    pub raw_bytes: u64,
    /// The version's total length.
    pub bytes_total: u64,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Of a redistribution: objects found damaged or missing.
    pub damaged: u64,
    /// Of a redistribution: objects fetched anew.
    pub repaired: u64,
}

/// How far a running job is; only the newest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The job.
    pub job_id: JobId,
    /// The version.
    pub content: ContentVersion,
    /// Bytes stored of those that were missing.
    pub bytes_done: u64,
    /// Bytes that were missing.
    pub bytes_total: u64,
    /// Bytes received on the link.
    pub wire_bytes: u64,
}
