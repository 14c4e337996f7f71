//! A distribution point that does its jobs with the link's own parts: it fetches and activates.

use std::sync::Arc;
use std::time::Duration;

use restock_content::files::DiskFiles;
use restock_content::library::{Library, Role};
use restock_content::transfer::accept_statement;
use restock_names::{ContentVersion, PackageId, SystemClock};
use restock_site::TokenKind;
use restock_transfer::{
    Backoff, DpIdentity, DpLink, DpLinkConfig, DpSide, HelloFacts, Job, JobKind, PullOptions, PullProgress,
    Report, ReportState, Run, Totals, Welcome, enrol, pull,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world::Running;

/// A distribution point that runs.
pub(crate) struct Point {
    pub(crate) library: Arc<Library>,
    identity: Arc<DpIdentity>,
    run: Run,
}

struct Side {
    library: Arc<Library>,
    jobs: mpsc::UnboundedSender<Job>,
}

struct Quiet;
impl PullProgress for Quiet {}

impl DpSide for Side {
    async fn hello(&self) -> HelloFacts {
        let active = |id: PackageId| self.library.active(&id).map(|statement| statement.version);
        HelloFacts {
            library_id: self.library.id().to_string(),
            serve_urls: Vec::new(),
            held: self.library.packages().into_iter().filter_map(active).collect(),
        }
    }

    async fn welcome(&self, _welcome: Welcome) {}

    async fn job(&self, job: Job) {
        let _stopped = self.jobs.send(job);
    }
}

impl Running {
    /// A distribution point of this site that has just joined, and runs.
    pub(crate) async fn point(&self, name: &str) -> Point {
        let token = self.token(TokenKind::DistributionPoint, name).await;
        let folder = self.path(&format!("identity-{name}"));
        let identity = enrol(&self.url, &token.parse().unwrap(), &folder).await.unwrap();
        let library =
            Library::create(Arc::new(DiskFiles), &self.path(name), Role::DistributionPoint).unwrap();
        Point::start(Arc::new(library), Arc::new(identity))
    }
}

impl Point {
    fn start(library: Arc<Library>, identity: Arc<DpIdentity>) -> Self {
        let run = Run {
            clock: Arc::new(SystemClock),
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        let retry = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(100) };
        let (sender, mut jobs) = mpsc::unbounded_channel();
        let side = Arc::new(Side { library: Arc::clone(&library), jobs: sender });
        let config = DpLinkConfig { retry, ..DpLinkConfig::default() };
        let link = DpLink::start(config, Arc::clone(&identity), side, &run);
        let this = Self { library, identity, run };
        let worker = (Arc::clone(&this.library), Arc::clone(&this.identity), this.run.clone());
        this.run.tracker.spawn(async move {
            let (library, identity, run) = worker;
            while let Some(Some(job)) = run.cancel.run_until_cancelled(jobs.recv()).await {
                link.report(done(&library, &identity, &run, &job).await);
            }
        });
        this
    }

    /// What it serves of the package.
    pub(crate) fn serves(&self, id: PackageId) -> Option<ContentVersion> {
        self.library.active(&id).map(|statement| statement.version)
    }

    /// The same point after its machine was off.
    pub(crate) async fn stop(self) -> (Arc<Library>, Arc<DpIdentity>) {
        self.run.cancel.cancel();
        self.run.tracker.close();
        self.run.tracker.wait().await;
        (self.library, self.identity)
    }

    pub(crate) fn started((library, identity): (Arc<Library>, Arc<DpIdentity>)) -> Self {
        Self::start(library, identity)
    }
}

async fn done(library: &Arc<Library>, identity: &Arc<DpIdentity>, run: &Run, job: &Job) -> Report {
    let mut report = Report {
        job_id: job.job_id,
        content: job.content,
        state: ReportState::Installed,
        code: String::new(),
        detail: String::new(),
        is_transient: true,
        at: run.clock.now(),
        totals: Totals::default(),
    };
    match job.kind {
        JobKind::Install | JobKind::Redistribute => {
            if let Err((code, detail)) = install(library, identity, run, job, &mut report.totals).await {
                report.state = ReportState::Failed;
                (report.code, report.detail) = (code, detail);
            }
        }
        JobKind::Remove => {
            library.forget(&job.content.package).unwrap();
            report.state = ReportState::Removed;
        }
        _ => report.state = ReportState::Cancelled,
    }
    report
}

async fn install(
    library: &Arc<Library>,
    identity: &Arc<DpIdentity>,
    run: &Run,
    job: &Job,
    totals: &mut Totals,
) -> Result<(), (String, String)> {
    let held = library.active(&job.content.package).map(|statement| statement.version);
    let statement = accept_statement(&job.statement, &job.content, &identity.key_list(), held.as_ref())
        .map_err(|error| (error.code().to_owned(), error.to_string()))?;
    let progress: Arc<dyn PullProgress> = Arc::new(Quiet);
    let retry = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(50) };
    let options = PullOptions { retry, ..PullOptions::default() };
    let report = pull(identity, library, &statement, &options, &progress, run)
        .await
        .map_err(|error| (error.code(), error.to_string()))?;
    totals.wire_received = report.wire_received;
    library.store_statement(&statement).unwrap();
    library.activate(&job.content).unwrap();
    Ok(())
}
