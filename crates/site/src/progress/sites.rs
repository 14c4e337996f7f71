//! What comes from neighbours, and what was exchanged with them.

use std::collections::BTreeMap;
use std::time::Instant;

use restock_names::{ContentVersion, PackageId, SiteCode, SourceVersion};
use serde::{Deserialize, Serialize};

use super::ProgressBoard;

/// A version that is being fetched from a neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchProgress {
    /// The package.
    pub package: PackageId,
    /// The version.
    pub version: SourceVersion,
    /// The neighbour.
    pub from: SiteCode,
    /// Bytes stored of those that were missing.
    pub bytes_done: u64,
    /// Bytes that were missing.
    pub bytes_total: u64,
    /// Bytes received on the link.
    pub wire_bytes: u64,
    /// Bytes stored in a second, since it began.
    pub bytes_per_second: u64,
}

/// Content exchanged with a neighbour since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteTraffic {
    /// The neighbour.
    pub site: SiteCode,
    /// Bytes of content connections sent to it.
    pub content_sent: u64,
    /// Bytes of content connections received from it.
    pub content_received: u64,
}

/// What the board keeps of neighbours.
#[derive(Debug, Default)]
pub(super) struct Sites {
    fetches: BTreeMap<PackageId, FetchLine>,
    traffic: BTreeMap<SiteCode, (u64, u64)>,
}

#[derive(Debug)]
pub(crate) struct FetchLine {
    version: SourceVersion,
    from: SiteCode,
    begun: Option<Instant>,
    rate: u64,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: u64,
    pub(crate) wire_bytes: u64,
}

impl Sites {
    pub(super) fn fetches(&self) -> Vec<FetchProgress> {
        let line = |(package, line): (&PackageId, &FetchLine)| FetchProgress {
            package: *package,
            version: line.version,
            from: line.from,
            bytes_done: line.bytes_done,
            bytes_total: line.bytes_total,
            wire_bytes: line.wire_bytes,
            bytes_per_second: line.rate,
        };
        self.fetches.iter().map(line).collect()
    }

    pub(super) fn traffic(&self) -> Vec<SiteTraffic> {
        let line = |(site, (sent, received)): (&SiteCode, &(u64, u64))| SiteTraffic {
            site: *site,
            content_sent: *sent,
            content_received: *received,
        };
        self.traffic.iter().map(line).collect()
    }
}

impl ProgressBoard {
    pub(crate) fn open_fetch(&self, content: ContentVersion, from: SiteCode) {
        let (begun, rate, bytes_done, bytes_total, wire_bytes) = (None, 0, 0, 0, 0);
        let version = content.version;
        let line = FetchLine { version, from, begun, rate, bytes_done, bytes_total, wire_bytes };
        self.lock().sites.fetches.insert(content.package, line);
    }

    /// Changes the line of a fetch at the monotonic time `now`.
    pub(crate) fn note_fetch(
        &self,
        content: ContentVersion,
        now: Instant,
        change: impl FnOnce(&mut FetchLine),
    ) {
        let mut inner = self.lock();
        let Some(line) = inner.sites.fetches.get_mut(&content.package) else { return };
        change(line);
        let begun = *line.begun.get_or_insert(now);
        let passed = now.saturating_duration_since(begun).as_micros();
        let rate = u128::from(line.bytes_done) * 1_000_000 / passed.max(1_000_000);
        line.rate = u64::try_from(rate).unwrap_or(u64::MAX);
    }

    pub(crate) fn close_fetch(&self, content: ContentVersion) {
        self.lock().sites.fetches.remove(&content.package);
    }

    /// Adds to what was exchanged with a neighbour.
    pub(crate) fn note_site_traffic(&self, site: SiteCode, sent: u64, received: u64) {
        let mut inner = self.lock();
        let counts = inner.sites.traffic.entry(site).or_default();
        *counts = (counts.0.saturating_add(sent), counts.1.saturating_add(received));
    }
}
