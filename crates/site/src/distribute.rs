//! The distribute loop, the package transfer manager: it hands jobs to distribution points that are
//! connected and starts again what failed and is due.
//!
//! What a distribution point is to do stands in the database; this loop tells it, once for each
//! connection. A lost message is told again after the next connection.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restock_content::library::Library;
use restock_content::statement::Statement;
use restock_names::{ContentVersion, DistributionPointName, PackageId, SiteCode, Timestamp};
use restock_sitedb::package::Package;
use restock_sitedb::state::{self, Event};
use restock_sitedb::target::{Context, Stop, Target};
use restock_sitedb::{Database, DatabaseError, Tx};
use restock_transfer::{Connection, Draft, Drafts, Job, JobId, JobKind, Links, SiteTrust};

use crate::message::{chain, transfers};
use crate::refresh::draft::FOLLOWED_BYTES_MIN;
use crate::{Outcome, SiteError, keys};

/// Failed attempts that are started again in one transaction.
const DUE_MAX: u32 = 200;

/// Hands jobs to distribution points.
#[derive(Debug, Clone)]
pub struct DistributeLoop {
    pub(crate) database: Database,
    pub(crate) library: Arc<Library>,
    pub(crate) links: Links,
    pub(crate) site: SiteCode,
    pub(crate) told: Arc<Told>,
    pub(crate) drafts: Drafts,
    pub(crate) restore_wait: Duration,
    pub(crate) trust: Arc<SiteTrust>,
}

/// What each connected distribution point was told since it connected.
///
/// It is told nothing before what it says about itself was taken in: what it holds may change what
/// it is to do.
#[derive(Debug, Default)]
pub(crate) struct Told {
    points: Mutex<HashMap<DistributionPointName, Conversation>>,
}

#[derive(Debug)]
struct Conversation {
    /// The connection it goes over.
    connection: Connection,
    /// False until the distribution point was heard.
    is_open: bool,
    jobs: HashSet<(u64, bool)>,
    /// Settings that came with a job: confirmed when the job is.
    settings: HashMap<u64, (PackageId, u64)>,
    /// The settings told last without a job of the target.
    settings_told: HashMap<PackageId, u64>,
    /// The version in the making of each package that it was told of last.
    drafts: HashMap<PackageId, ContentVersion>,
    /// What it serves of which a restored site does not know yet why.
    spared: Vec<ContentVersion>,
}

impl Conversation {
    fn over(connection: Connection) -> Self {
        Self {
            connection,
            is_open: false,
            jobs: HashSet::new(),
            settings: HashMap::new(),
            settings_told: HashMap::new(),
            drafts: HashMap::new(),
            spared: Vec::new(),
        }
    }
}

impl Told {
    /// A distribution point connects: it is told everything again, from [`Self::open`] on.
    pub(crate) fn greet(&self, point: &DistributionPointName, connection: Connection) {
        self.lock().insert(point.clone(), Conversation::over(connection));
    }

    /// What the distribution point said is taken in. Nothing happens when a newer connection has
    /// taken the place of this one.
    pub(crate) fn open(&self, point: &DistributionPointName, connection: Connection) {
        if let Some(conversation) = self.lock().get_mut(point) {
            conversation.is_open |= conversation.connection == connection;
        }
    }

    /// Keeps what the distribution point serves without being targeted, to be looked at again.
    pub(crate) fn spare(
        &self,
        point: &DistributionPointName,
        connection: Connection,
        spared: Vec<ContentVersion>,
    ) {
        if let Some(conversation) = self.lock().get_mut(point).filter(|one| one.connection == connection) {
            conversation.spared = spared;
        }
    }

    /// What was spared, by distribution point.
    pub(crate) fn spared(&self) -> Vec<(DistributionPointName, Connection, Vec<ContentVersion>)> {
        let points = self.lock();
        let spares = points.iter().filter(|(_, conversation)| !conversation.spared.is_empty());
        let mut spared: Vec<_> =
            spares.map(|(name, one)| (name.clone(), one.connection, one.spared.clone())).collect();
        spared.sort_by(|a, b| a.0.cmp(&b.0));
        spared
    }

    /// True when the distribution point can be told what to do.
    fn is_open(&self, point: &DistributionPointName) -> bool {
        self.lock().get(point).is_some_and(|conversation| conversation.is_open)
    }

    /// A distribution point went away, unless `is_connected` says that it is back already.
    pub(crate) fn forget(&self, point: &DistributionPointName, is_connected: impl FnOnce() -> bool) {
        // Asked under the lock: a conversation of a newer connection must not end with the older.
        let mut points = self.lock();
        if !is_connected() {
            points.remove(point);
        }
    }

    /// The settings that `job` brought, once.
    pub(crate) fn confirmed(&self, point: &DistributionPointName, job: u64) -> Option<(PackageId, u64)> {
        self.lock().get_mut(point)?.settings.remove(&job)
    }

    /// The distribution point dropped a job that it is still to do: it is told once more.
    pub(crate) fn dropped(&self, point: &DistributionPointName, job: u64) {
        if let Some(conversation) = self.lock().get_mut(point) {
            conversation.jobs.remove(&(job, false));
        }
    }

    /// Forgets jobs that have ended, so that a long connection does not fill the memory.
    fn keep_open(&self, work: &Work) {
        let jobs = work.targets.iter().filter_map(|target| Some((target.facts.job?.id, false)));
        let open: HashSet<(u64, bool)> = jobs.chain(work.stops.iter().map(|stop| (stop.job, true))).collect();
        for conversation in self.lock().values_mut() {
            conversation.jobs.retain(|key| open.contains(key));
            let told = &conversation.settings_told;
            // Settings of a job that ended without confirming them are told again by another job.
            conversation.settings.retain(|job, (package, number)| {
                open.contains(&(*job, false)) || told.get(package).is_some_and(|last| last == number)
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DistributionPointName, Conversation>> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that is to be told, of one moment.
#[derive(Debug)]
struct Work {
    targets: Vec<Target>,
    stops: Vec<Stop>,
    packages: BTreeMap<PackageId, Package>,
    /// The folders that points keep beside their library, of packages that have one.
    shares: BTreeMap<PackageId, String>,
    jobs: u64,
    next_due: Option<Timestamp>,
}

/// What a point is told of a package beside its content.
#[derive(Debug, Clone, Copy)]
struct Described<'w> {
    package: &'w Package,
    share: Option<&'w String>,
}

impl DistributeLoop {
    /// Starts again what is due at `now` and tells every connected distribution point what it has
    /// not been told since it connected.
    ///
    /// Errors: the database, the library.
    pub async fn run_once(&self, now: Timestamp) -> Result<Outcome, SiteError> {
        let restarted = self.retry_due(now).await?;
        // First of all: who is targeted meanwhile is told so after it was told to remove what it had.
        let look_at = self.settle_spared(now).await?;
        let work: Result<Work, DatabaseError> =
            self.database.read("jobs", |tx| Box::pin(async move { work(tx).await })).await;
        let work = work?;
        self.told.keep_open(&work);
        let mut statements = HashMap::new();
        let mut sent = 0_u64;
        for stop in &work.stops {
            let job = Job {
                job_id: JobId(stop.job),
                kind: JobKind::Cancel,
                content: stop.content,
                statement: Vec::new(),
                is_public: false,
                name: String::new(),
                share: None,
            };
            sent += u64::from(self.tell(&stop.point, job, (stop.job, true), None));
        }
        for target in &work.targets {
            let Some(package) = work.packages.get(&target.package) else { continue };
            let described = Described { package, share: work.shares.get(&package.id) };
            if self.told.is_open(&target.point)
                && self.tell_target(target, described, &mut statements).await?
            {
                sent += 1;
            }
        }
        self.tell_drafts().await?;
        let result =
            if sent + restarted == 0 { "idle".to_owned() } else { format!("{sent} jobs handed over") };
        let next_due = work.next_due.into_iter().chain(look_at).min();
        Ok(Outcome { is_busy: restarted > 0, result, queue: work.jobs, next_due })
    }

    /// Tells connected distribution points of versions in the making that they will get.
    async fn tell_drafts(&self) -> Result<(), SiteError> {
        for draft in self.drafts.all() {
            if draft.feed().bytes() < FOLLOWED_BYTES_MIN {
                continue;
            }
            let package = draft.content().package;
            let targets: Result<Vec<Target>, DatabaseError> = self
                .database
                .read("draft_targets", move |tx| {
                    Box::pin(async move { tx.targets_of_package(package).await })
                })
                .await;
            for target in targets?.iter().filter(|target| may_follow(target)) {
                self.tell_draft(&target.point, &draft);
            }
        }
        Ok(())
    }

    fn tell_draft(&self, point: &DistributionPointName, draft: &Draft) {
        let content = draft.content();
        let mut told = self.told.lock();
        let Some(conversation) = told.get_mut(point).filter(|conversation| conversation.is_open) else {
            return;
        };
        if conversation.drafts.insert(content.package, content) != Some(content) {
            // Who is not told waits for its job.
            let is_told = self.links.tell_draft(point, conversation.connection, content);
            transfers!(debug, package.id = %content.package, point = %point, is_told, "{content} can be fetched while it is made");
        }
    }

    async fn retry_due(&self, now: Timestamp) -> Result<u64, SiteError> {
        let site = self.site;
        let due: Result<bool, DatabaseError> = self
            .database
            .read("due", move |tx| Box::pin(async move { Ok(!tx.targets_due(now, 1).await?.is_empty()) }))
            .await;
        if !due? {
            return Ok(0);
        }
        let restarted: Result<u64, DatabaseError> = self
            .database
            .transact("retry_due", move |tx| {
                Box::pin(async move {
                    let mut restarted = 0;
                    for mut target in tx.targets_due(now, DUE_MAX).await? {
                        let Some(context) = context(tx, target.package, site, now).await? else { continue };
                        // Nobody wishes anything here, so nothing is refused.
                        let _refused = tx.apply(&mut target, &context, Event::RetryDue, None).await?;
                        restarted += 1;
                    }
                    Ok(restarted)
                })
            })
            .await;
        Ok(restarted?)
    }

    /// Tells a distribution point its open job, or settings it has not confirmed.
    async fn tell_target(
        &self,
        target: &Target,
        Described { package, share }: Described<'_>,
        statements: &mut HashMap<ContentVersion, Option<Vec<u8>>>,
    ) -> Result<bool, SiteError> {
        let job = match target.facts.job {
            Some(job) if self.was_told(&target.point, (job.id, false)) => return Ok(false),
            Some(job) => job,
            None if self.were_settings_told(&target.point, package) => return Ok(false),
            None => {
                // Settings travel as an install of what is served already: nothing is transferred and
                // no state changes.
                let id: Result<u64, DatabaseError> =
                    self.database.transact("job", |tx| Box::pin(async move { tx.next_job().await })).await;
                state::OpenJob { id: id?, kind: state::JobKind::Install }
            }
        };
        let content = ContentVersion {
            package: package.id,
            epoch: package.epoch,
            version: if target.facts.job.is_some() { target.facts.wanted } else { target.facts.serving },
        };
        let kind = match job.kind {
            state::JobKind::Install => JobKind::Install,
            state::JobKind::Redistribute => JobKind::Redistribute,
            state::JobKind::Remove => JobKind::Remove,
        };
        let statement = if kind == JobKind::Remove {
            Vec::new()
        } else {
            match self.statement(content, statements).await? {
                Some(statement) => statement,
                None => return Ok(false),
            }
        };
        let wire = Job {
            job_id: JobId(job.id),
            kind,
            content,
            statement,
            is_public: package.is_public,
            name: package.name.clone(),
            share: share.cloned(),
        };
        let settings = (kind == JobKind::Install).then_some((package.id, package.settings));
        Ok(self.tell(&target.point, wire, (job.id, false), settings))
    }

    /// The statement of a version as a job brings it; `None` when it cannot be sent, which is logged.
    async fn statement(
        &self,
        content: ContentVersion,
        statements: &mut HashMap<ContentVersion, Option<Vec<u8>>>,
    ) -> Result<Option<Vec<u8>>, SiteError> {
        if let Some(statement) = statements.get(&content) {
            return Ok(statement.clone());
        }
        let library = Arc::clone(&self.library);
        let found = tokio::task::spawn_blocking(move || library.statement(&content))
            .await
            .map_err(|_panic| SiteError::Panicked("reading a statement"))?;
        // One damaged statement must not hold up the other packages.
        let statement = match found {
            Ok(Some(statement)) => {
                let is_listed = self.is_signer_listed(&statement).await;
                if !is_listed {
                    transfers!(error, package.id = %content.package, "the keys of site {}, which signed {content}, are not known", statement.site);
                }
                is_listed.then(|| statement.encode())
            }
            Ok(None) => {
                transfers!(error, package.id = %content.package, "the statement of {content} is not in the library");
                None
            }
            Err(error) => {
                transfers!(error, package.id = %content.package, "{}", chain(&error));
                None
            }
        };
        statements.insert(content, statement.clone());
        Ok(statement)
    }

    /// Does the list that distribution points follow name the key of the statement? It is told before the
    /// job is.
    ///
    /// A version may have come before the list has followed the keys that came with it, or after following
    /// them failed: then it follows them first. A distribution point that lacks the key refuses the job.
    async fn is_signer_listed(&self, statement: &Statement) -> bool {
        let is_listed = || {
            let list = self.trust.key_list();
            list.keys_of(statement.site).any(|key| key.key_id() == statement.key_id)
        };
        if !is_listed()
            && let Err(error) = keys::follow(&self.database, &self.trust).await
        {
            transfers!(error, "{}", chain(&error));
        }
        is_listed()
    }

    fn was_told(&self, point: &DistributionPointName, job: (u64, bool)) -> bool {
        self.told.lock().get(point).is_some_and(|conversation| conversation.jobs.contains(&job))
    }

    fn were_settings_told(&self, point: &DistributionPointName, package: &Package) -> bool {
        let told = self.told.lock();
        told.get(point)
            .and_then(|c| c.settings_told.get(&package.id))
            .is_some_and(|told| *told >= package.settings)
    }

    /// Hands over a job unless it was handed over since the distribution point connected.
    fn tell(
        &self,
        point: &DistributionPointName,
        job: Job,
        key: (u64, bool),
        settings: Option<(PackageId, u64)>,
    ) -> bool {
        let mut told = self.told.lock();
        let Some(conversation) = told.get_mut(point).filter(|conversation| conversation.is_open) else {
            return false;
        };
        if conversation.jobs.contains(&key) {
            return false;
        }
        let (kind, content) = (job.kind, job.content);
        if !self.links.send_on(point, conversation.connection, job) {
            return false;
        }
        conversation.jobs.insert(key);
        if let Some((package, number)) = settings {
            conversation.settings.insert(key.0, (package, number));
            conversation.settings_told.insert(package, number);
        }
        drop(told);
        transfers!(
            info,
            package.id = %content.package,
            package.version = %content.version,
            point = %point,
            job = key.0,
            "Job {} ({kind:?}) for package {content} was handed to {point}", key.0
        );
        true
    }
}

/// Is the target one that a new version goes to?
pub(crate) fn may_follow(target: &Target) -> bool {
    target.other_site.is_none() && !target.facts.state.is_removal() && !target.facts.has_given_up
}

async fn work(tx: &mut Tx) -> Result<Work, DatabaseError> {
    let targets = tx.targets_to_tell().await?;
    let (jobs, next_due) = tx.target_queue().await?;
    let stops = tx.all_stops().await?;
    let (mut packages, mut shares) = (BTreeMap::new(), BTreeMap::new());
    for target in &targets {
        if !packages.contains_key(&target.package)
            && let Some(package) = tx.package(target.package).await?
        {
            packages.insert(target.package, package);
            if let Some(share) = tx.package_share(target.package).await? {
                shares.insert(target.package, share);
            }
        }
    }
    Ok(Work { targets, stops, packages, shares, jobs, next_due })
}

/// The context of a package's targets; `None` when the package is gone.
pub(crate) async fn context(
    tx: &mut Tx,
    package: PackageId,
    site: SiteCode,
    now: Timestamp,
) -> Result<Option<Context>, DatabaseError> {
    let (Some(package), Some(refresh)) = (tx.package(package).await?, tx.refresh(package).await?) else {
        return Ok(None);
    };
    Ok(Some(Context::new(&package, &refresh, site, now)))
}
