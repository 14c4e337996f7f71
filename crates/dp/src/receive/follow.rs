//! Following drafts: what the site has of a version in the making is fetched before there is a job.
//!
//! It only saves time. Nothing is served of it, nothing is reported, and a failure is no more than a
//! line in the log: the job that comes fetches what is lacking.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use restock_names::{ContentVersion, PackageId};
use restock_transfer::{PullError, PullProgress, PullReport, Run, follow};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::Receiving;

/// Drafts followed at once. They have slots of their own: a source that is slow to read must not keep
/// the jobs of other packages waiting.
const FOLLOWS_MAX: usize = 4;

/// The drafts that are followed, one for each package at most.
#[derive(Debug)]
pub(super) struct Follows {
    packages: Mutex<BTreeMap<PackageId, Follow>>,
    slots: Arc<Semaphore>,
}

#[derive(Debug)]
struct Follow {
    content: ContentVersion,
    cancel: CancellationToken,
    /// What it moved, once it has ended.
    ended: watch::Receiver<Option<PullReport>>,
}

/// Tells nobody: there is no job that it could be told of.
struct Quiet;

impl PullProgress for Quiet {}

impl Default for Follows {
    fn default() -> Self {
        Self { packages: Mutex::default(), slots: Arc::new(Semaphore::new(FOLLOWS_MAX)) }
    }
}

impl Follows {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PackageId, Follow>> {
        self.packages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiving {
    /// Begins to follow a draft, unless one of the package is followed or all slots are taken.
    pub(super) fn begin_follow(self: &Arc<Self>, content: ContentVersion) {
        let mut follows = self.follows.lock();
        if follows.get(&content.package).is_some_and(|follow| follow.ended.borrow().is_none()) {
            return;
        }
        let Ok(slot) = Arc::clone(&self.follows.slots).try_acquire_owned() else { return };
        let cancel = self.run.cancel.child_token();
        let (tell, ended) = watch::channel(None);
        follows.insert(content.package, Follow { content, cancel: cancel.clone(), ended });
        drop(follows);
        let this = Arc::clone(self);
        self.run.tracker.spawn(async move {
            let report = this.follow(&content, cancel).await;
            drop(slot);
            tell.send_replace(Some(report));
        });
    }

    async fn follow(&self, content: &ContentVersion, cancel: CancellationToken) -> PullReport {
        let run = Run { cancel, ..self.run.clone() };
        let progress: Arc<dyn PullProgress> = Arc::new(Quiet);
        let followed = follow(&self.identity, &self.library, content, &self.options, &progress, &run);
        match Box::pin(followed).await {
            Ok(report) => {
                tracing::info!(
                    target: "smsdpprov",
                    chunks = report.chunks,
                    bytes_received = report.wire_received,
                    elapsed_ms = u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
                    package.id = %content.package,
                    package.version = %content.version,
                    "a version in the making was fetched"
                );
                report
            }
            Err(PullError::Cancelled | PullError::DraftDropped) => PullReport::default(),
            Err(error) => {
                tracing::info!(
                    target: "smsdpprov",
                    cause = %error,
                    package.id = %content.package,
                    package.version = %content.version,
                    "a version in the making was not fetched to its end"
                );
                PullReport::default()
            }
        }
    }

    /// Waits until the draft that became `content`, or one before it, is fetched; returns what was
    /// moved of `content`.
    pub(super) async fn followed(&self, content: &ContentVersion) -> PullReport {
        let follow = {
            let follows = self.follows.lock();
            let follow = follows.get(&content.package).filter(|follow| follow.content <= *content);
            follow.map(|follow| (follow.content, follow.ended.clone()))
        };
        let Some((draft, mut ended)) = follow else { return PullReport::default() };
        // A task that panicked has ended, too.
        let report = ended.wait_for(Option::is_some).await.ok().and_then(|report| *report);
        report.filter(|_| draft == *content).unwrap_or_default()
    }

    /// Ends what is followed of a package.
    pub(super) async fn stop_following(&self, package: &PackageId) {
        let Some(mut follow) = self.follows.lock().remove(package) else { return };
        follow.cancel.cancel();
        if follow.ended.wait_for(Option::is_some).await.is_err() {
            tracing::debug!(target: "smsdpprov", %package, "a draft was not followed to its end");
        }
    }
}
