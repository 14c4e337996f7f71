//! What is live: how far each snapshot and each transfer is. Kept in memory only.

mod sites;

pub use sites::{FetchProgress, SiteTraffic};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use restock_names::{DistributionPointName, PackageId, SourceVersion, Timestamp};
use restock_transfer::Drafts;
use serde::{Deserialize, Serialize};

/// Rates look back over about this long.
const RATE_WINDOW: Duration = Duration::from_secs(4);

/// How far everything is at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Snapshots that run, by package.
    pub refreshes: Vec<RefreshProgress>,
    /// Transfers that run, by package and distribution point.
    pub transfers: Vec<TransferProgress>,
    /// Versions that are fetched from neighbours, by package.
    #[serde(default)]
    pub fetches: Vec<FetchProgress>,
    /// Content exchanged with each neighbour since the process began.
    #[serde(default)]
    pub traffic: Vec<SiteTraffic>,
}

/// A snapshot that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshProgress {
    /// The package.
    pub package: PackageId,
    /// When the run started.
    pub started_at: Timestamp,
    /// Entries met.
    pub entries: u64,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Bytes newly stored.
    pub bytes_new: u64,
    /// Entries of the version before; 0 without one.
    pub entries_before: u64,
    /// Bytes of the version before; 0 without one.
    pub bytes_before: u64,
}

/// A transfer that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferProgress {
    /// The package.
    pub package: PackageId,
    /// The distribution point.
    pub point: DistributionPointName,
    /// The version.
    pub version: SourceVersion,
    /// Bytes stored of those that were missing.
    pub bytes_done: u64,
    /// Bytes that were missing.
    pub bytes_total: u64,
    /// Bytes received on the link.
    pub wire_bytes: u64,
    /// Bytes stored in a second, of late.
    pub bytes_per_second: u64,
}

/// The board on which running work notes how far it is. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ProgressBoard {
    inner: Arc<Mutex<Inner>>,
    /// Versions in the making.
    pub(crate) drafts: Drafts,
}

#[derive(Debug, Default)]
struct Inner {
    runs: BTreeMap<PackageId, Arc<Run>>,
    transfers: BTreeMap<(PackageId, DistributionPointName), Line>,
    sites: sites::Sites,
}

/// A refresh run in this process.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) package: PackageId,
    pub(crate) number: u64,
    started_at: Timestamp,
    before: (u64, u64),
    entries: AtomicU64,
    bytes_read: AtomicU64,
    bytes_new: AtomicU64,
    is_cancelled: AtomicBool,
    renewed_at: AtomicI64,
}

impl Run {
    /// When its lease was taken or prolonged last.
    pub(crate) fn renewed_at(&self) -> Timestamp {
        Timestamp(self.renewed_at.load(Ordering::Relaxed))
    }

    pub(crate) fn renewed(&self, now: Timestamp) {
        self.renewed_at.store(now.0, Ordering::Relaxed);
    }

    /// Ends the snapshot at its next step.
    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }
}

impl restock_content::snapshot::Progress for Run {
    fn add(&self, entries: u64, bytes_read: u64, bytes_new: u64) {
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes_read, Ordering::Relaxed);
        self.bytes_new.fetch_add(bytes_new, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Line {
    version: SourceVersion,
    bytes_done: u64,
    bytes_total: u64,
    wire_bytes: u64,
    /// Where the window of the rate began.
    since: (Instant, u64),
    rate: u64,
}

impl ProgressBoard {
    /// How far everything is.
    pub fn snapshot(&self) -> Progress {
        let inner = self.lock();
        let refreshes = inner.runs.values().map(|run| RefreshProgress {
            package: run.package,
            started_at: run.started_at,
            entries: run.entries.load(Ordering::Relaxed),
            bytes_read: run.bytes_read.load(Ordering::Relaxed),
            bytes_new: run.bytes_new.load(Ordering::Relaxed),
            entries_before: run.before.0,
            bytes_before: run.before.1,
        });
        let transfers = inner.transfers.iter().map(|((package, point), line)| TransferProgress {
            package: *package,
            point: point.clone(),
            version: line.version,
            bytes_done: line.bytes_done,
            bytes_total: line.bytes_total,
            wire_bytes: line.wire_bytes,
            bytes_per_second: line.rate,
        });
        let (fetches, traffic) = (inner.sites.fetches(), inner.sites.traffic());
        Progress { refreshes: refreshes.collect(), transfers: transfers.collect(), fetches, traffic }
    }

    pub(crate) fn open_run(
        &self,
        package: PackageId,
        number: u64,
        started_at: Timestamp,
        before: (u64, u64),
    ) -> Arc<Run> {
        let run = Arc::new(Run {
            package,
            number,
            started_at,
            before,
            entries: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            bytes_new: AtomicU64::new(0),
            is_cancelled: AtomicBool::new(false),
            renewed_at: AtomicI64::new(started_at.0),
        });
        self.lock().runs.insert(package, Arc::clone(&run));
        run
    }

    pub(crate) fn close_run(&self, run: &Run) {
        let mut inner = self.lock();
        if inner.runs.get(&run.package).is_some_and(|open| open.number == run.number) {
            inner.runs.remove(&run.package);
        }
    }

    pub(crate) fn runs(&self) -> Vec<Arc<Run>> {
        self.lock().runs.values().cloned().collect()
    }

    /// Notes how far a transfer is, at the monotonic time `now`.
    pub(crate) fn note_transfer(
        &self,
        point: &DistributionPointName,
        progress: &restock_transfer::Progress,
        now: Instant,
    ) {
        let key = (progress.content.package, point.clone());
        let mut inner = self.lock();
        let line = inner.transfers.entry(key).or_insert_with(|| Line {
            version: progress.content.version,
            bytes_done: 0,
            bytes_total: 0,
            wire_bytes: 0,
            since: (now, progress.bytes_done),
            rate: 0,
        });
        if line.version != progress.content.version || progress.bytes_done < line.bytes_done {
            line.since = (now, progress.bytes_done);
            line.rate = 0;
        }
        line.version = progress.content.version;
        line.bytes_done = progress.bytes_done;
        line.bytes_total = progress.bytes_total;
        line.wire_bytes = progress.wire_bytes;
        let passed = now.saturating_duration_since(line.since.0);
        if !passed.is_zero() {
            let bytes = u128::from(progress.bytes_done - line.since.1);
            line.rate = u64::try_from(bytes * 1_000_000 / passed.as_micros().max(1)).unwrap_or(u64::MAX);
        }
        if passed > RATE_WINDOW {
            line.since = (now, progress.bytes_done);
        }
    }

    pub(crate) fn close_transfer(&self, package: PackageId, point: &DistributionPointName) {
        self.lock().transfers.remove(&(package, point.clone()));
    }

    /// A distribution point went away with all it was receiving.
    pub(crate) fn close_transfers_of(&self, point: &DistributionPointName) {
        self.lock().transfers.retain(|(_, name), _| name != point);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::ProgressBoard;
    use restock_names::{Clock as _, ContentVersion, Epoch, SourceVersion, SystemClock};
    use std::time::Duration;

    #[test]
    fn the_rate_of_a_transfer_is_that_of_late() {
        let board = ProgressBoard::default();
        let point = "DP01".parse().expect("a name");
        let start = SystemClock.monotonic();
        let content = ContentVersion {
            package: "XYZ00001".parse().expect("an ID"),
            epoch: Epoch::FIRST,
            version: SourceVersion(2),
        };
        let note = |second: u64, bytes_done: u64| {
            let job_id = restock_transfer::JobId(1);
            let progress =
                restock_transfer::Progress { job_id, content, bytes_done, bytes_total: 9_000, wire_bytes: 1 };
            board.note_transfer(&point, &progress, start + Duration::from_secs(second));
            board.snapshot().transfers[0].bytes_per_second
        };
        assert_eq!(note(0, 0), 0);
        assert_eq!(note(2, 2_000), 1_000);
        assert_eq!(note(5, 5_000), 1_000);
        assert_eq!(note(7, 5_200), 100, "the fast beginning is forgotten");
        board.close_transfer(content.package, &point);
        assert!(board.snapshot().transfers.is_empty());
    }
}
