//! Receives content: takes the site's jobs, does them, reports.
//!
//! [`Receiving`] is the distribution point's side of the link. Jobs of one package run one after
//! the other ([`queue`]), packages side by side up to a limit. A job that fails for a reason that
//! may pass is tried again, sooner when the site comes back; the site hears of each attempt.
//!
//! Nothing of a job is kept on disk beside content: after a restart the site sends again what is
//! open, and a fetch goes on where it ended.

mod board;
mod failure;
mod follow;
mod perform;
pub mod queue;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use restock_content::library::Library;
use restock_content::transfer::JumpPolicy;
use restock_names::{ContentVersion, Digest, PackageId};
use restock_transfer::{
    Backoff, DpIdentity, DpLink, DpSide, HelloFacts, Job, JobId, JobKind, PullOptions, Report, ReportState,
    Run, Totals, Welcome,
};
use tokio::sync::{Semaphore, SetOnce, mpsc};

use crate::packages::Packages;
use crate::serve::Damage;
use crate::share::ShareRoot;
use board::Board;
use failure::JobError;
use perform::{Attempt, facts};
use queue::{Dropped, Queue, Ticket, Work};

pub use board::{Activity, JobStatus};

/// Damage in one package is healed at most this often; a reader that meets it meanwhile is refused.
const HEAL_EVERY: Duration = Duration::from_secs(10);
/// Damaged objects taken into one heal.
const HEAL_OBJECTS_MAX: usize = 1_000;

/// The receiving side of a distribution point.
#[derive(Debug)]
pub(crate) struct Receiving {
    library: Arc<Library>,
    packages: Arc<Packages>,
    shares: Arc<ShareRoot>,
    identity: Arc<DpIdentity>,
    link: SetOnce<DpLink>,
    queue: Mutex<Queue>,
    /// Heals that failed, to be tried again when the site comes back.
    unhealed: Mutex<BTreeMap<PackageId, Work>>,
    slots: Arc<Semaphore>,
    follows: follow::Follows,
    board: Board,
    options: PullOptions,
    jump: JumpPolicy,
    retry: Backoff,
    serve_urls: Vec<String>,
    run: Run,
}

/// What the receiving side is made of.
pub(crate) struct Parts {
    pub(crate) library: Arc<Library>,
    pub(crate) packages: Arc<Packages>,
    pub(crate) shares: Arc<ShareRoot>,
    pub(crate) identity: Arc<DpIdentity>,
    pub(crate) packages_at_once: usize,
    pub(crate) options: PullOptions,
    pub(crate) jump: JumpPolicy,
    pub(crate) retry: Backoff,
    pub(crate) serve_urls: Vec<String>,
    pub(crate) run: Run,
}

impl Receiving {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            library: parts.library,
            packages: parts.packages,
            shares: parts.shares,
            identity: parts.identity,
            link: SetOnce::new(),
            queue: Mutex::new(Queue::new(parts.run.cancel.clone())),
            unhealed: Mutex::default(),
            slots: Arc::new(Semaphore::new(parts.packages_at_once.max(1))),
            follows: follow::Follows::default(),
            board: Board::default(),
            options: parts.options,
            jump: parts.jump,
            retry: parts.retry,
            serve_urls: parts.serve_urls,
            run: parts.run,
        })
    }

    /// Gives the link that reports go to. Called once; no job arrives before.
    pub(crate) fn set_link(&self, link: DpLink) {
        if self.link.set(link).is_err() {
            tracing::error!(target: "smsdpprov", "the link was started twice");
        }
    }

    /// What is being done now.
    pub(crate) fn jobs(&self) -> Vec<JobStatus> {
        self.board.snapshot()
    }

    /// Jobs that run and jobs that wait behind them.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let queue = self.lock();
        let running = queue.works().filter(|(_, is_running)| *is_running).count();
        (running, queue.works().count() - running)
    }

    /// Takes in work and starts it when nothing of its package runs.
    fn submit(self: &Arc<Self>, work: Work) {
        let arrival = self.lock().arrive(work.clone());
        for (job, why) in arrival.dropped {
            self.dropped(&job, why);
        }
        if arrival.is_queued
            && let Work::Job(job) = &work
        {
            self.report_job(job, ReportState::Accepted, "waits behind another job of the package");
        }
        if let Some((work, ticket)) = arrival.start {
            self.start(work, ticket);
        }
    }

    fn start(self: &Arc<Self>, work: Work, ticket: Arc<Ticket>) {
        let this = Arc::clone(self);
        self.run.tracker.spawn(async move {
            let (mut work, mut ticket) = (work, ticket);
            loop {
                let package = work.content().package;
                // In a task of its own, so that a bug in one job does not stop its package for ever.
                let (inner, at, ticket_at) = (Arc::clone(&this), work.clone(), Arc::clone(&ticket));
                let done = this.run.tracker.spawn(async move { inner.work(&at, &ticket_at).await }).await;
                if let Err(error) = done {
                    tracing::error!(target: "smsdpprov", %error, "a job ended unexpectedly");
                    this.report_failure(&ticket, &work, &JobError::Internal);
                }
                this.board.close(&package);
                let next = this.lock().finished(&package);
                match next {
                    Some(next) => (work, ticket) = next,
                    None => return,
                }
            }
        });
    }

    async fn work(self: Arc<Self>, work: &Work, ticket: &Arc<Ticket>) {
        let line = self.board.open(work.content());
        let attempt = Attempt { receiving: &self, ticket, line: &line };
        match work {
            Work::Heal { content, damaged, .. } => match attempt.heal(*content, damaged.clone()).await {
                Ok(objects) => self.healed(content, objects),
                // The process ends, or the package leaves.
                Err(_) if ticket.cancel.is_cancelled() => {}
                Err(error) => {
                    self.report_failure(ticket, work, &error);
                    if error.is_transient() {
                        self.unhealed().insert(content.package, work.clone());
                    }
                }
            },
            Work::Job(job) => self.attempts(&attempt, job, work).await,
        }
    }

    /// Tries until the job is done, will never be, or is ended.
    async fn attempts(&self, attempt: &Attempt<'_>, job: &Job, work: &Work) {
        let ticket = attempt.ticket;
        let mut failures = 0;
        if let Err(error) = self.remember(job).await {
            // Each attempt needs it too, so the first of them reports it.
            tracing::warn!(target: "smsdpprov", %error, "the record of a package cannot be kept");
        }
        loop {
            let error = match self.attempt(attempt, job).await {
                Ok((state, totals)) => return self.succeeded(ticket, job, state, totals),
                Err(error) => error,
            };
            if self.run.cancel.is_cancelled() {
                // Shutdown: what was received stays for the next start.
                return;
            }
            if ticket.cancel.is_cancelled() || error.is_cancelled() {
                return self.ended(ticket, job);
            }
            self.report_failure(ticket, work, &error);
            if !error.is_transient() {
                return;
            }
            failures += 1;
            attempt.line.failed(&error.chain());
            ticket.set_waiting(true);
            // Not spread by chance: jobs of many points are spread by their links already.
            let delay = self.retry.delay(failures, 0);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = ticket.retry_now.notified() => {}
                () = ticket.cancel.cancelled() => {}
            }
            ticket.set_waiting(false);
            if ticket.cancel.is_cancelled() {
                if !self.run.cancel.is_cancelled() {
                    self.ended(ticket, job);
                }
                return;
            }
        }
    }

    async fn attempt(&self, attempt: &Attempt<'_>, job: &Job) -> Result<(ReportState, Totals), JobError> {
        match job.kind {
            JobKind::Install => Ok((ReportState::Installed, Box::pin(attempt.install(job)).await?)),
            JobKind::Redistribute => Ok((ReportState::Installed, Box::pin(attempt.redistribute(job)).await?)),
            JobKind::Remove => {
                attempt.remove(job).await?;
                Ok((ReportState::Removed, Totals::default()))
            }
            JobKind::Cancel => match attempt.cancel(job.content).await? {
                true => Ok((ReportState::Installed, Totals::default())),
                false => Ok((ReportState::Cancelled, Totals::default())),
            },
            JobKind::Unknown => Err(JobError::Unknown),
        }
    }

    /// Keeps who may read the package, from the job on.
    async fn remember(&self, job: &Job) -> Result<(), JobError> {
        if !matches!(job.kind, JobKind::Install | JobKind::Redistribute) {
            return Ok(());
        }
        let (packages, package, facts) = (Arc::clone(&self.packages), job.content.package, facts(job));
        match tokio::task::spawn_blocking(move || packages.set(package, facts)).await {
            Ok(kept) => Ok(kept?),
            Err(_panicked) => Err(JobError::Internal),
        }
    }

    fn succeeded(&self, ticket: &Ticket, job: &Job, state: ReportState, totals: Totals) {
        tracing::info!(
            target: "smsdpprov",
            job = %ticket.job_id(),
            bytes_received = totals.wire_received,
            frames = totals.frames,
            repaired = totals.repaired,
            package.id = %job.content.package,
            package.version = %job.content.version,
            "{}",
            match state {
                ReportState::Removed => "package removed",
                ReportState::Cancelled => "job cancelled",
                _ => "package version is served",
            }
        );
        self.send(Report { totals, ..self.report_of(ticket.job_id(), job.content, state) });
    }

    /// A job was ended from outside.
    fn ended(&self, ticket: &Ticket, job: &Job) {
        let why = if ticket.is_superseded() { Dropped::Superseded } else { Dropped::Cancelled };
        self.dropped(&Job { job_id: ticket.job_id(), ..job.clone() }, why);
    }

    fn dropped(&self, job: &Job, why: Dropped) {
        let detail = match why {
            Dropped::Superseded => "a newer version takes its place",
            Dropped::Repeated => "it was asked for again",
            Dropped::Cancelled => "it was ended as asked",
        };
        tracing::info!(
            target: "smsdpprov",
            detail,
            job = %job.job_id,
            package.id = %job.content.package,
            package.version = %job.content.version,
            "job ended without a result"
        );
        self.report_job(job, ReportState::Cancelled, detail);
    }

    fn report_failure(&self, ticket: &Ticket, work: &Work, error: &JobError) {
        let content = work.content();
        let (code, cause) = (error.code(), error.chain());
        tracing::error!(
            target: "smsdpprov",
            code,
            cause,
            job = %ticket.job_id(),
            is_transient = error.is_transient(),
            package.id = %content.package,
            package.version = %content.version,
            "job failed"
        );
        let report = self.report_of(ticket.job_id(), content, ReportState::Failed);
        let (code, detail) = match work {
            Work::Job(_) => (code, cause),
            // This report takes the place of the one about the damage, which may not be sent yet.
            Work::Heal { code, .. } => ((*code).to_owned(), format!("it cannot be fetched again: {cause}")),
        };
        self.send(Report { code, detail, is_transient: error.is_transient(), ..report });
    }

    fn report(&self, ticket: &Ticket, content: ContentVersion, state: ReportState, detail: &str) {
        let report = self.report_of(ticket.job_id(), content, state);
        self.send(Report { detail: detail.to_owned(), ..report });
    }

    fn report_job(&self, job: &Job, state: ReportState, detail: &str) {
        let report = self.report_of(job.job_id, job.content, state);
        self.send(Report { detail: detail.to_owned(), ..report });
    }

    fn report_of(&self, job_id: JobId, content: ContentVersion, state: ReportState) -> Report {
        Report {
            job_id,
            content,
            state,
            code: String::new(),
            detail: String::new(),
            is_transient: false,
            at: self.run.clock.now(),
            totals: Totals::default(),
        }
    }

    fn send(&self, report: Report) {
        if let Some(link) = self.link.get() {
            link.report(report);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unhealed(&self) -> MutexGuard<'_, BTreeMap<PackageId, Work>> {
        self.unhealed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects damage that readers met and has it healed, package by package, not too often.
    pub(crate) async fn heal(self: Arc<Self>, mut damages: mpsc::Receiver<Damage>) {
        let mut healed: Vec<(PackageId, Instant)> = Vec::new();
        loop {
            let damage = tokio::select! {
                () = self.run.cancel.cancelled() => return,
                damage = damages.recv() => damage,
            };
            let Some(first) = damage else { return };
            let now = self.run.clock.monotonic();
            healed.retain(|(_, at)| now.saturating_duration_since(*at) < HEAL_EVERY);
            let mut met = vec![first];
            while let Ok(more) = damages.try_recv() {
                met.push(more);
            }
            while let Some(content) = met.first().map(|damage| damage.content) {
                let (of_package, rest): (Vec<Damage>, Vec<Damage>) =
                    met.into_iter().partition(|damage| damage.content.package == content.package);
                met = rest;
                if healed.iter().any(|(package, _)| *package == content.package) {
                    continue;
                }
                healed.push((content.package, now));
                let code = self.tell_damage(&content, &of_package);
                let mut damaged: Vec<Digest> = of_package.into_iter().map(|damage| damage.digest).collect();
                damaged.sort_unstable();
                damaged.dedup();
                damaged.truncate(HEAL_OBJECTS_MAX);
                self.submit(Work::Heal { content, damaged, code });
            }
        }
    }

    fn healed(&self, content: &ContentVersion, objects: u64) {
        tracing::info!(
            target: "smsdpprov",
            objects,
            package.id = %content.package,
            package.version = %content.version,
            "damaged content was fetched again"
        );
        let totals = Totals { damaged: objects, repaired: objects, ..Totals::default() };
        self.send(Report { totals, ..self.report_of(JobId::OWN, *content, ReportState::Installed) });
    }

    /// Returns the code by which the damage was told.
    fn tell_damage(&self, content: &ContentVersion, met: &[Damage]) -> &'static str {
        let count = met.len();
        let (code, what) = match met.iter().all(|damage| damage.is_missing) {
            true => ("CONTENT_MISSING", "are not there"),
            false => ("CONTENT_DAMAGED", "do not have their digest"),
        };
        let report = self.report_of(JobId::OWN, *content, ReportState::Failed);
        self.send(Report {
            code: code.to_owned(),
            detail: format!("{count} stored objects that readers asked for {what} and are fetched again"),
            is_transient: true,
            ..report
        });
        code
    }
}

/// The receiving side as the link calls it.
pub(crate) struct Side(pub(crate) Arc<Receiving>);

impl DpSide for Side {
    async fn hello(&self) -> HelloFacts {
        let Receiving { library, link, serve_urls, .. } = &*self.0;
        // The first hello comes from the link's own task; jobs need the link to report to.
        link.wait().await;
        let held =
            library.packages().iter().filter_map(|package| library.active(package)).collect::<Vec<_>>();
        HelloFacts {
            library_id: library.id().to_string(),
            serve_urls: serve_urls.clone(),
            held: held.into_iter().map(|statement| statement.version).collect(),
        }
    }

    async fn welcome(&self, welcome: Welcome) {
        tracing::info!(target: "smsdpprov", site = %welcome.site, "connected to the site");
        self.0.lock().retry_all();
        let unhealed = std::mem::take(&mut *self.0.unhealed());
        unhealed.into_values().for_each(|heal| self.0.submit(heal));
    }

    async fn keys_changed(&self) {
        // A job that came before the keys of its signer waits for them.
        self.0.lock().retry_all();
    }

    async fn job(&self, job: Job) {
        tracing::info!(
            target: "smsdpprov",
            kind = ?job.kind,
            job = %job.job_id,
            package.id = %job.content.package,
            package.version = %job.content.version,
            "job received"
        );
        if let Err(error) = self.0.remember(&job).await {
            tracing::error!(target: "smsdpprov", %error, "the record of a package cannot be kept");
        }
        self.0.submit(Work::Job(job));
    }

    fn library(&self) -> Option<Arc<Library>> {
        Some(Arc::clone(&self.0.library))
    }

    async fn draft(&self, content: ContentVersion) {
        self.0.begin_follow(content);
    }
}

/// Where content can be read, as the site tells it: one URL for each listener.
pub(crate) fn serve_urls(advertised: &[String], addresses: &[SocketAddr]) -> Vec<String> {
    match advertised {
        [] => addresses.iter().map(|address| format!("http://{address}/")).collect(),
        urls => urls.to_vec(),
    }
}
