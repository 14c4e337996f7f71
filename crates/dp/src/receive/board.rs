//! What the jobs of this distribution point are doing right now, for whoever asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use restock_names::{ContentVersion, PackageId};
use restock_transfer::{DpLink, Progress, PullProgress};
use serde::{Deserialize, Serialize};

use super::queue::Ticket;

/// What a job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Waits for a slot.
    Waiting,
    /// Reads and checks what is stored.
    Checking,
    /// Fetches content.
    Receiving,
    /// Makes a version the one that is served.
    Switching,
    /// Waits to be tried again.
    Retrying,
    /// Removes the package.
    Removing,
}

/// One job, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The version it is about.
    pub content: ContentVersion,
    /// What is being done.
    pub activity: Activity,
    /// Raw bytes stored of those that were missing.
    pub bytes_done: u64,
    /// Raw bytes that were missing; 0 until that is known.
    pub bytes_total: u64,
    /// Bytes received on the link.
    pub wire_bytes: u64,
    /// Why the last attempt failed, empty before that.
    pub failure: String,
}

/// All jobs that run.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<PackageId, Arc<Line>>>);

/// One job's line on the board.
#[derive(Debug)]
pub(crate) struct Line {
    content: ContentVersion,
    shown: Mutex<(Activity, String)>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    total: AtomicU64,
    wire: AtomicU64,
}

impl Board {
    /// A line for a job that begins; it replaces the one of the job before.
    pub(crate) fn open(&self, content: ContentVersion) -> Arc<Line> {
        let shown = Mutex::new((Activity::Waiting, String::new()));
        let line = Arc::new(Line { content, shown, counts: Counts::default() });
        self.lock().insert(content.package, Arc::clone(&line));
        line
    }

    /// Takes the line of a package off.
    pub(crate) fn close(&self, package: &PackageId) {
        self.lock().remove(package);
    }

    /// All lines.
    pub(crate) fn snapshot(&self) -> Vec<JobStatus> {
        let lines = self.lock();
        lines
            .values()
            .map(|line| {
                let (activity, failure) = line.lock().clone();
                JobStatus {
                    content: line.content,
                    activity,
                    bytes_done: line.counts.done.load(Ordering::Relaxed),
                    bytes_total: line.counts.total.load(Ordering::Relaxed),
                    wire_bytes: line.counts.wire.load(Ordering::Relaxed),
                    failure,
                }
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PackageId, Arc<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Shows another activity.
    pub(crate) fn show(&self, activity: Activity) {
        self.lock().0 = activity;
    }

    /// Shows why an attempt failed.
    pub(crate) fn failed(&self, cause: &str) {
        *self.lock() = (Activity::Retrying, cause.to_owned());
    }

    /// Counts from zero again: another attempt.
    pub(crate) fn restart(&self) {
        let Counts { done, total, wire } = &self.counts;
        [done, total, wire].into_iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    fn lock(&self) -> MutexGuard<'_, (Activity, String)> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes the progress of a pull to the board and to the site.
pub(crate) struct Watch {
    pub(crate) line: Arc<Line>,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) link: DpLink,
}

impl Watch {
    fn tell(&self) {
        let Counts { done, total, wire } = &self.line.counts;
        self.link.progress(Progress {
            job_id: self.ticket.job_id(),
            content: self.line.content,
            bytes_done: done.load(Ordering::Relaxed),
            bytes_total: total.load(Ordering::Relaxed),
            wire_bytes: wire.load(Ordering::Relaxed),
        });
    }
}

impl PullProgress for Watch {
    fn planned(&self, _chunks: u64, bytes: u64) {
        self.line.counts.total.store(bytes, Ordering::Relaxed);
        self.tell();
    }

    fn stored(&self, raw_bytes: u64) {
        self.line.counts.done.fetch_add(raw_bytes, Ordering::Relaxed);
        self.tell();
    }

    fn received(&self, wire_bytes: u64) {
        self.line.counts.wire.fetch_add(wire_bytes, Ordering::Relaxed);
    }

    fn connection_failed(&self, cause: &restock_transfer::PullError) {
        tracing::debug!(
            target: "smsdpprov",
            cause = %cause,
            package.id = %self.line.content.package,
            "a connection to the site failed and is made again"
        );
    }
}
