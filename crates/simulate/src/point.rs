//! A distribution point: the production queue and machines, content in memory.
//!
//! It checks statements with the production function against the keys its site told it, asks its site
//! for permission before it fetches, reports until it is acknowledged and, after a restart, knows
//! what it holds and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use restock_content::manifest::ManifestRoot;
use restock_content::statement::{KeyList, Statement};
use restock_content::transfer::{AcceptedStatement, accept_statement};
use restock_dp::queue::{Dropped, Queue, Ticket, Work};
use restock_names::{Clock, ContentVersion, DistributionPointName, PackageId};
use restock_transfer::{Hello, Job, JobId, JobKind, PROTOCOL, Report, ReportState, Totals};
use tokio_util::sync::CancellationToken;

use crate::clock::NodeClock;
use crate::content::Memory;
use crate::options::Sabotage;

/// The first delay after a failed attempt; it doubles.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// The longest such delay.
const RETRY_MOST: Duration = Duration::from_secs(60);

/// A version that is served.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) content: ContentVersion,
    pub(crate) root: ManifestRoot,
    /// The generation of the source it was made from.
    pub(crate) generation: Option<u64>,
}

/// Where the job of a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Begin,
    Fetch,
    Switch,
}

/// The job of one package that runs.
#[derive(Debug)]
struct Doing {
    job: Job,
    ticket: Arc<Ticket>,
    statement: Option<AcceptedStatement>,
    failures: u32,
    /// Numbers the steps, so that one that was overtaken is not taken.
    turn: u64,
    waits: bool,
}

/// What is to happen next with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) package: PackageId,
    pub(crate) stage: Stage,
    pub(crate) turn: u64,
    pub(crate) after: Duration,
}

/// What a step needs from outside before it can go on.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing: it went on, or ended.
    Went(Vec<Next>),
    /// The site is to be asked for permission and content.
    Fetch(ContentVersion),
}

/// One distribution point.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) name: DistributionPointName,
    pub(crate) site: usize,
    pub(crate) is_up: bool,
    /// Nothing of it happens before, in microseconds.
    pub(crate) paused_until: i64,
    /// The connection it believes in.
    pub(crate) connection: Option<u64>,
    pub(crate) heard: i64,
    pub(crate) memory: Memory,
    pub(crate) held: BTreeMap<PackageId, Held>,
    clock: Arc<NodeClock>,
    sabotage: Sabotage,
    /// The newest statement stored of each package.
    newest: BTreeMap<PackageId, Statement>,
    keys: Option<KeyList>,
    queue: Queue,
    doing: BTreeMap<PackageId, Doing>,
    outbox: BTreeMap<u64, (Report, bool)>,
    sequence: u64,
    turns: u64,
    lives: u64,
}

impl Point {
    pub(crate) fn new(
        name: DistributionPointName,
        site: usize,
        clock: Arc<NodeClock>,
        sabotage: Sabotage,
    ) -> Self {
        Self {
            name,
            site,
            is_up: true,
            paused_until: 0,
            connection: None,
            heard: 0,
            memory: Memory::default(),
            held: BTreeMap::new(),
            clock,
            sabotage,
            newest: BTreeMap::new(),
            keys: None,
            queue: Queue::new(CancellationToken::new()),
            doing: BTreeMap::new(),
            outbox: BTreeMap::new(),
            sequence: 0,
            turns: 0,
            lives: 0,
        }
    }

    /// The process ends: what it holds stays, everything else is lost.
    pub(crate) fn crash(&mut self) {
        self.is_up = false;
        self.connection = None;
        self.queue = Queue::new(CancellationToken::new());
        self.doing.clear();
        self.outbox.clear();
        self.lives += 1;
    }

    /// Its disk is lost too.
    pub(crate) fn wipe(&mut self) {
        self.memory = Memory::default();
        self.held.clear();
        self.newest.clear();
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            protocol: PROTOCOL,
            library_id: format!("{}-{}", self.name, self.lives),
            serve_urls: Vec::new(),
            held: self.held.values().map(|held| held.content).collect(),
            software: "simulated".to_owned(),
            serves: false,
        }
    }

    /// The site answered the hello: everything unacknowledged is sent again, what waits tries at once.
    pub(crate) fn welcomed(&mut self, keys: &[u8]) -> Vec<Next> {
        self.send_again();
        self.take_keys(keys)
    }

    /// Takes a list of accepted keys that is not older than the one it has; what waits tries at once.
    pub(crate) fn take_keys(&mut self, keys: &[u8]) -> Vec<Next> {
        if let Ok(list) = KeyList::decode(keys)
            && self.keys.as_ref().is_none_or(|known| known.serial <= list.serial)
        {
            self.keys = Some(list);
        }
        self.queue.retry_all();
        let waiting: Vec<PackageId> =
            self.doing.iter().filter(|(_, doing)| doing.waits).map(|(package, _)| *package).collect();
        waiting.into_iter().filter_map(|package| self.again(package, Duration::from_millis(1))).collect()
    }

    /// Takes in a job.
    pub(crate) fn job(&mut self, job: Job) -> Vec<Next> {
        let arrival = self.queue.arrive(Work::Job(job.clone()));
        for (job, why) in arrival.dropped {
            self.dropped(job.job_id, job.content, why);
        }
        if arrival.is_queued {
            self.report(job.job_id, job.content, ReportState::Accepted);
        }
        let mut next: Vec<Next> = Vec::new();
        if let Some((Work::Job(job), ticket)) = arrival.start {
            next.extend(self.start(job, ticket));
        }
        // A job that only waited for its next attempt may have been ended or asked for again.
        let package = job.content.package;
        if self.doing.get(&package).is_some_and(|doing| doing.waits) {
            next.extend(self.again(package, Duration::from_millis(1)));
        }
        next
    }

    fn start(&mut self, job: Job, ticket: Arc<Ticket>) -> Option<Next> {
        self.turns += 1;
        let (package, turn) = (job.content.package, self.turns);
        self.doing.insert(package, Doing { job, ticket, statement: None, failures: 0, turn, waits: false });
        Some(Next { package, stage: Stage::Begin, turn, after: Duration::from_millis(1) })
    }

    fn next(&mut self, package: PackageId, stage: Stage, after: Duration) -> Option<Next> {
        self.turns += 1;
        let doing = self.doing.get_mut(&package)?;
        doing.turn = self.turns;
        Some(Next { package, stage, turn: self.turns, after })
    }

    fn again(&mut self, package: PackageId, after: Duration) -> Option<Next> {
        self.next(package, Stage::Begin, after)
    }

    /// Takes one step of a package's job.
    pub(crate) fn step(&mut self, package: PackageId, stage: Stage, turn: u64) -> Step {
        let Some(doing) = self.doing.get_mut(&package).filter(|doing| doing.turn == turn) else {
            return Step::Went(Vec::new());
        };
        doing.waits = false;
        doing.ticket.set_waiting(false);
        let (job, id) = (doing.job.clone(), doing.ticket.job_id());
        if doing.ticket.cancel.is_cancelled() {
            let why = if doing.ticket.is_superseded() { Dropped::Superseded } else { Dropped::Cancelled };
            self.dropped(id, job.content, why);
            return Step::Went(self.finish(package));
        }
        match (stage, job.kind) {
            (Stage::Begin, JobKind::Install | JobKind::Redistribute) => self.begin(&job, id),
            (Stage::Begin, JobKind::Remove) => {
                self.held.remove(&package);
                self.newest.remove(&package);
                self.report(id, job.content, ReportState::Removed);
                Step::Went(self.finish(package))
            }
            (Stage::Begin, JobKind::Cancel) => {
                let is_served = self.held.get(&package).is_some_and(|held| held.content == job.content);
                let state = if is_served { ReportState::Installed } else { ReportState::Cancelled };
                self.report(id, job.content, state);
                Step::Went(self.finish(package))
            }
            (Stage::Begin, JobKind::Unknown) => {
                self.failed(id, job.content, "JOB_UNKNOWN", false);
                Step::Went(self.finish(package))
            }
            (Stage::Fetch, _) => Step::Fetch(job.content),
            (Stage::Switch, _) => {
                self.switch(&job, id);
                Step::Went(self.finish(package))
            }
        }
    }

    fn begin(&mut self, job: &Job, id: JobId) -> Step {
        let (package, content) = (job.content.package, job.content);
        let statement = match self.accept(job) {
            Ok(statement) => statement,
            Err((code, text, is_transient)) => {
                let why = format!("{code}: {text}");
                return Step::Went(self.attempt_failed(package, &why, is_transient));
            }
        };
        if job.kind == JobKind::Install && self.held.get(&package).is_some_and(|held| held.content == content)
        {
            self.report(id, content, ReportState::Installed);
            return Step::Went(self.finish(package));
        }
        if let Some(doing) = self.doing.get_mut(&package) {
            doing.statement = Some(statement);
        }
        self.report(id, content, ReportState::Receiving);
        Step::Went(self.next(package, Stage::Fetch, Duration::from_millis(40)).into_iter().collect())
    }

    /// Checks a job's statement as production does.
    fn accept(&self, job: &Job) -> Result<AcceptedStatement, (&'static str, String, bool)> {
        let newest = self.newest.get(&job.content.package);
        let held = match self.sabotage {
            Sabotage::EpochUnchecked => None,
            Sabotage::None | Sabotage::NoWait | Sabotage::NoFaults => {
                newest.map(|statement| &statement.version)
            }
        };
        let Some(keys) = &self.keys else {
            return Err(("MANIFEST_SIGNATURE", "no key is known".to_owned(), true));
        };
        let statement = accept_statement(&job.statement, &job.content, keys, held)
            .map_err(|error| (error.code(), error.to_string(), error.is_transient()))?;
        let is_other =
            newest.is_some_and(|same| same.version == statement.version && same.root != statement.root);
        if is_other { Err(("VERSION_CONFLICT", job.content.to_string(), false)) } else { Ok(statement) }
    }

    /// The accepted statement of the package's job.
    pub(crate) fn statement(&self, package: PackageId) -> Option<AcceptedStatement> {
        self.doing.get(&package)?.statement.clone()
    }

    /// The site gave all content of the package's job.
    pub(crate) fn fetched(&mut self, package: PackageId) -> Vec<Next> {
        let Some(doing) = self.doing.get(&package) else { return Vec::new() };
        let (id, content) = (doing.ticket.job_id(), doing.job.content);
        self.report(id, content, ReportState::Stored);
        self.next(package, Stage::Switch, Duration::from_millis(5)).into_iter().collect()
    }

    /// An attempt failed; one that may end otherwise is tried again.
    pub(crate) fn attempt_failed(&mut self, package: PackageId, why: &str, is_transient: bool) -> Vec<Next> {
        let Some(doing) = self.doing.get_mut(&package) else { return Vec::new() };
        let (id, content) = (doing.ticket.job_id(), doing.job.content);
        doing.failures += 1;
        let delay = RETRY_FIRST.saturating_mul(1 << doing.failures.min(6)).min(RETRY_MOST);
        doing.waits = is_transient;
        doing.ticket.set_waiting(is_transient);
        self.failed(id, content, why, is_transient);
        if is_transient { self.again(package, delay).into_iter().collect() } else { self.finish(package) }
    }

    fn switch(&mut self, job: &Job, id: JobId) {
        let content = job.content;
        let Some(statement) = self.doing.get(&content.package).and_then(|doing| doing.statement.clone())
        else {
            return;
        };
        let root = statement.root;
        let generation = crate::content::generation(&self.memory, root).ok().flatten();
        self.newest.insert(content.package, statement.into_inner());
        self.held.insert(content.package, Held { content, root, generation });
        self.report(id, content, ReportState::Installed);
    }

    fn finish(&mut self, package: PackageId) -> Vec<Next> {
        self.doing.remove(&package);
        match self.queue.finished(&package) {
            Some((Work::Job(job), ticket)) => self.start(job, ticket).into_iter().collect(),
            Some((Work::Heal { .. }, _)) | None => Vec::new(),
        }
    }

    fn dropped(&mut self, id: JobId, content: ContentVersion, why: Dropped) {
        let detail = match why {
            Dropped::Superseded => "a newer version takes its place",
            Dropped::Repeated => "it was asked for again",
            Dropped::Cancelled => "it was ended as asked",
        };
        self.send(Report {
            detail: detail.to_owned(),
            ..self.report_of(id, content, ReportState::Cancelled)
        });
    }

    fn failed(&mut self, id: JobId, content: ContentVersion, why: &str, is_transient: bool) {
        let code = why.split(':').next().unwrap_or_default().to_owned();
        let report = self.report_of(id, content, ReportState::Failed);
        self.send(Report { code, detail: why.to_owned(), is_transient, ..report });
    }

    fn report(&mut self, id: JobId, content: ContentVersion, state: ReportState) {
        self.send(self.report_of(id, content, state));
    }

    fn report_of(&self, job_id: JobId, content: ContentVersion, state: ReportState) -> Report {
        Report {
            job_id,
            content,
            state,
            code: String::new(),
            detail: String::new(),
            is_transient: false,
            at: self.clock.now(),
            totals: Totals::default(),
        }
    }

    fn send(&mut self, report: Report) {
        self.outbox.retain(|_, (older, _)| {
            (older.job_id, older.content, older.state) != (report.job_id, report.content, report.state)
        });
        self.sequence += 1;
        self.outbox.insert(self.sequence, (report, false));
    }

    /// Reports that were not sent over this connection.
    pub(crate) fn unsent(&mut self) -> Vec<(u64, Report)> {
        let waiting = self.outbox.iter_mut().filter(|(_, (_, is_sent))| !*is_sent);
        waiting
            .map(|(sequence, (report, is_sent))| {
                *is_sent = true;
                (*sequence, report.clone())
            })
            .collect()
    }

    /// Everything that is not acknowledged is to be sent again.
    pub(crate) fn send_again(&mut self) {
        self.outbox.values_mut().for_each(|(_, is_sent)| *is_sent = false);
    }

    /// The site answered a report; a transient refusal lets it be sent again.
    pub(crate) fn answered(&mut self, sequence: u64, is_taken: bool) {
        if is_taken {
            self.outbox.remove(&sequence);
        } else if let Some((_, is_sent)) = self.outbox.get_mut(&sequence) {
            *is_sent = false;
        }
    }

    /// Is anything still to be done or told?
    pub(crate) fn is_idle(&self) -> bool {
        self.doing.is_empty() && self.outbox.is_empty()
    }
}
