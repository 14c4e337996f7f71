//! The refresh loop, the distribution manager's part that reads sources.
//!
//! One step takes the lease of one package whose request is due, takes a snapshot, and either
//! publishes it or notes the failed attempt. Everything that decides is in the database:
//! several processes may step at once, and a run that lost its lease publishes nothing.

mod claim;
pub(crate) mod draft;
mod planned;
mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::Library;
use restock_content::manifest::ManifestRoot;
use restock_content::snapshot::{self, Snapshot, SnapshotOptions};
use restock_names::{Clock, PackageId, SiteCode, Timestamp};
use restock_sitedb::state::{Event, RetryPolicy};
use restock_sitedb::target::Context;
use restock_sitedb::version::Version;
use restock_sitedb::{Database, DatabaseError, Tx, Wake, Why, message};
use restock_transfer::{OpenDraft, SiteTrust};

pub(crate) use self::claim::Claim;
use self::claim::{claim, not_within_scope};
use self::draft::Announcing;
use self::trouble::{SnapshotTrouble, is_content_lost, trouble, unexpected};
use crate::message::{chain, distmgr};
use crate::plan::Plans;
use crate::progress::{ProgressBoard, Run};
use crate::source;
use crate::{SiteConfig, SiteError};

/// A run that found no room is tried again after this long.
const SPACE_RETRY: Duration = Duration::from_secs(30);

/// What a step of a loop did, and when there is something to do again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// True when it did something: another step may find more.
    pub is_busy: bool,
    /// One sentence for the status table.
    pub result: String,
    /// How much waits or runs.
    pub queue: u64,
    /// The next moment at which something becomes due by itself.
    pub next_due: Option<Timestamp>,
}

/// Reads sources and publishes versions.
#[derive(Debug, Clone)]
pub struct RefreshLoop {
    pub(crate) database: Database,
    pub(crate) library: Arc<Library>,
    pub(crate) trust: Arc<SiteTrust>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) board: ProgressBoard,
    pub(crate) plans: Plans,
    pub(crate) site: SiteCode,
    /// Names this process in leases.
    pub(crate) owner: Arc<str>,
    own_folders: Arc<[PathBuf]>,
    lease: Duration,
    retry: RetryPolicy,
    threads: usize,
    entries_max: u64,
    file_bytes_max: u64,
    pub(crate) restore_wait: Duration,
}

impl RefreshLoop {
    pub(crate) fn new(
        config: &SiteConfig,
        database: Database,
        library: Arc<Library>,
        trust: Arc<SiteTrust>,
        clock: Arc<dyn Clock>,
        board: ProgressBoard,
        plans: Plans,
    ) -> Self {
        Self {
            site: trust.site(),
            owner: library.id().to_string().into(),
            own_folders: config.folders().into(),
            lease: config.lease,
            retry: config.refresh_retry,
            threads: config.threads,
            entries_max: config.entries_max,
            file_bytes_max: config.file_bytes_max,
            restore_wait: config.restore_wait,
            database,
            library,
            trust,
            clock,
            board,
            plans,
        }
    }

    /// Runs one refresh that is due at `now` to its end, or removes packages that nobody holds.
    ///
    /// Errors: the database. A source that cannot be read is no error but a failed attempt.
    pub async fn run_once(&self, now: Timestamp) -> Result<Outcome, SiteError> {
        self.forget_deleted().await?;
        let waits_until = self.waits_for_holders(now).await?;
        let claim = if waits_until.is_some() { None } else { self.claim(now).await? };
        let Some(claim) = claim else {
            let (queue, next_due) = self
                .database
                .read("refresh_queue", move |tx| Box::pin(async move { tx.refresh_queue(now).await }))
                .await?;
            let result = if waits_until.is_some() { "waits for holders" } else { "idle" }.to_owned();
            let next_due = waits_until.into_iter().chain(next_due).min();
            return Ok(Outcome { is_busy: false, result, queue, next_due });
        };
        let package = claim.package.id;
        let result = self.run(claim).await?;
        Ok(Outcome { is_busy: true, result: format!("{package}: {result}"), queue: 1, next_due: None })
    }

    /// Prolongs the leases of this process's runs and ends those that lost theirs.
    pub async fn renew_once(&self, now: Timestamp) -> Result<(), SiteError> {
        let runs = self.board.runs();
        if runs.is_empty() {
            return Ok(());
        }
        let owner = Arc::clone(&self.owner);
        let held: Result<Vec<(PackageId, u64)>, DatabaseError> =
            self.database.read("leases", move |tx| Box::pin(async move { tx.leases_of(&owner).await })).await;
        let held = held?;
        for run in runs {
            let (package, number, until) = (run.package, run.number, now.after(self.lease));
            if !held.contains(&(package, number)) {
                run.cancel();
                continue;
            }
            if now.since(run.renewed_at()) < self.lease / 4 {
                continue;
            }
            let is_held: Result<bool, DatabaseError> = self
                .database
                .transact("renew_lease", move |tx| {
                    Box::pin(async move { tx.renew_lease(package, number, until).await })
                })
                .await;
            if is_held? {
                run.renewed(now);
            } else {
                run.cancel();
            }
        }
        Ok(())
    }

    /// Ends all runs of this process at their next step; their requests stay and are run again.
    pub fn stop_runs(&self) {
        self.board.runs().iter().for_each(|run| run.cancel());
    }

    /// Gives back what a process of this library held when it died.
    pub(crate) async fn recover(&self) -> Result<(), SiteError> {
        let owner = Arc::clone(&self.owner);
        let released: Result<u64, DatabaseError> = self
            .database
            .transact("recover", move |tx| {
                Box::pin(async move {
                    tx.points_disconnected(&owner).await?;
                    tx.links_disconnected(&owner).await?;
                    tx.release_leases(&owner).await
                })
            })
            .await;
        let released = released?;
        if released > 0 {
            distmgr!(info, released, "took up runs that an earlier process had begun");
        }
        Ok(())
    }

    async fn claim(&self, now: Timestamp) -> Result<Option<Claim>, SiteError> {
        // Looking first keeps idle workers out of the writer's way.
        let due: Result<Option<PackageId>, DatabaseError> = self
            .database
            .read("refresh_due", move |tx| Box::pin(async move { tx.refresh_due(now).await }))
            .await;
        if due?.is_none() {
            return Ok(None);
        }
        let (owner, lease) = (Arc::clone(&self.owner), self.lease);
        let claim: Result<Option<Claim>, DatabaseError> = self
            .database
            .transact("claim_refresh", move |tx| Box::pin(async move { claim(tx, &owner, lease, now).await }))
            .await;
        Ok(claim?)
    }

    /// Takes the snapshot of a claimed run and ends the run one way or the other.
    async fn run(&self, claim: Claim) -> Result<&'static str, SiteError> {
        let id = claim.package.id;
        // Until the statement is stored nothing says that what is held already is needed.
        let _hold = self.library.hold();
        distmgr!(info, package.id = %id, name = claim.package.name, run = claim.run, "Start processing package {id}");
        let before = claim.base.as_ref().map_or((0, 0), |base| (base.entries, base.bytes));
        let run = self.board.open_run(id, claim.run, claim.started_at, before);
        // A plan of the package that is being made ends first.
        let source = self.plans.source(id);
        let reads = source.lock().await;
        let draft = self.begin_draft(&claim).await;
        let result = self.take(&claim, &run, draft.as_ref()).await;
        drop(reads);
        self.board.close_run(&run);
        let result = match result {
            Ok(result) => result,
            Err(error) => Err(unexpected(&error)),
        };
        match result {
            Ok(snapshot) => match self.publish(&claim, snapshot).await {
                // Nothing was published: a statement that cannot be stored is a failed attempt.
                Err(error @ (SiteError::Library(_) | SiteError::Panicked(_))) => {
                    self.attempt_failed(&claim, Why::new("LIBRARY", chain(&error))).await
                }
                published => published,
            },
            Err(SnapshotTrouble::Cancelled) => {
                self.give_back(&claim).await?;
                distmgr!(info, package.id = %id, "Processing of package {id} was stopped");
                Ok("stopped")
            }
            Err(SnapshotTrouble::Failed(why)) => self.attempt_failed(&claim, why).await,
        }
    }

    async fn take(
        &self,
        claim: &Claim,
        run: &Arc<Run>,
        draft: Option<&OpenDraft>,
    ) -> Result<Result<Snapshot, SnapshotTrouble>, SiteError> {
        let (this, claim) = (self.clone(), claim.clone());
        let draft = draft.map(|draft| Arc::clone(draft.draft()));
        let progress = Announcing { run: Arc::clone(run), draft };
        tokio::task::spawn_blocking(move || this.take_blocking(&claim, &progress))
            .await
            .map_err(|_panic| SiteError::Panicked("a snapshot"))
    }

    fn take_blocking(
        &self,
        claim: &Claim,
        run: &dyn snapshot::Progress,
    ) -> Result<Snapshot, SnapshotTrouble> {
        let package = &claim.package;
        if !package.has_source() {
            let text = format!("package {} has no source any more", package.id);
            let fix = format!("restock package set {} --source PATH, or cancel", package.id);
            return Err(SnapshotTrouble::Failed(Why::new("SOURCE_NONE", text).with_fix(fix)));
        }
        if let Some(why) = &claim.not_within_scope {
            return Err(SnapshotTrouble::Failed(why.clone()));
        }
        let folder = source::find(&package.source_path, &claim.roots, &self.own_folders)
            .map_err(SnapshotTrouble::Failed)?;
        let options = SnapshotOptions {
            threads: self.threads,
            entries_max: self.entries_max,
            file_bytes_max: self.file_bytes_max,
            allow_empty: package.allow_empty,
            links: package.link_policy,
            names: claim.options.names_policy,
            excludes: claim.options.excludes.clone(),
            ..SnapshotOptions::default()
        };
        let take = |base: Option<&ManifestRoot>| {
            snapshot::take(
                &self.library,
                &folder.path(),
                &package.id,
                base,
                options.clone(),
                &*self.clock,
                run,
            )
        };
        let base = claim.base.as_ref().map(manifest_root);
        let taken = match take(base.as_ref()) {
            // A library that lost the version before is repaired by reading everything.
            Err(error) if base.is_some() && is_content_lost(&error) => {
                distmgr!(
                    warn,
                    package.id = %package.id,
                    "The version before cannot be used, everything is read: {}",
                    chain(&error)
                );
                take(None)
            }
            taken => taken,
        };
        taken.map_err(|error| trouble(&error, package.id, &folder))
    }

    /// Reads the whole source of a package that this site owns and stores what the library lacks of it;
    /// no version is made of it.
    ///
    /// Errors: the source cannot be read.
    pub(crate) async fn reread(&self, package: PackageId) -> Result<(), SiteError> {
        let (site, now) = (self.site, self.clock.now());
        let found: Result<Option<Claim>, DatabaseError> = self
            .database
            .read("reread", move |tx| {
                Box::pin(async move {
                    let Some(package) = tx.package(package).await? else { return Ok(None) };
                    let roots = tx.source_roots().await?;
                    Ok(Some(Claim {
                        run: 0,
                        covers: 0,
                        started_at: now,
                        base: None,
                        not_within_scope: not_within_scope(tx, &package, &roots).await?,
                        roots,
                        options: tx.package_options(package.id).await?,
                        warnings: Vec::new(),
                        package,
                    }))
                })
            })
            .await;
        let Some(claim) = found?.filter(|claim| claim.package.source_site == site) else { return Ok(()) };
        let source = self.plans.source(package);
        let _reads = source.lock().await;
        let this = self.clone();
        let taken = tokio::task::spawn_blocking(move || this.take_blocking(&claim, &()))
            .await
            .map_err(|_panic| SiteError::Panicked("a snapshot"))?;
        match taken {
            Ok(_) | Err(SnapshotTrouble::Cancelled) => Ok(()),
            Err(SnapshotTrouble::Failed(why)) => {
                Err(SiteError::Unmended(format!("{}: {}", why.rule, why.text)))
            }
        }
    }

    async fn attempt_failed(&self, claim: &Claim, why: Why) -> Result<&'static str, SiteError> {
        let (this, claim, reason) = (self.clone(), claim.clone(), why.clone());
        let now = self.clock.now();
        let id = claim.package.id;
        let ended: Result<Option<bool>, DatabaseError> = self
            .database
            .transact("refresh_failed", move |tx| {
                Box::pin(async move { attempt_failed(tx, &this, &claim, reason, now).await })
            })
            .await;
        match ended? {
            None => Ok("stopped"),
            Some(is_last) => {
                distmgr!(
                    error,
                    package.id = %id,
                    code = why.rule,
                    is_last,
                    "Processing package {id} failed: {}",
                    why.text
                );
                Ok(if is_last { "given up" } else { "failed, will be tried again" })
            }
        }
    }

    /// A run that was stopped from outside leaves its request for the next one.
    pub(crate) async fn give_back(&self, claim: &Claim) -> Result<(), SiteError> {
        let (id, run, now) = (claim.package.id, claim.run, self.clock.now());
        let done: Result<(), DatabaseError> = self
            .database
            .transact("give_back", move |tx| {
                Box::pin(async move {
                    if let Some(mut refresh) = tx.refresh(id).await?
                        && refresh.is_held_by(run)
                    {
                        refresh.lease = None;
                        refresh.next_attempt = now;
                        tx.update_refresh(id, &refresh).await?;
                    }
                    Ok(())
                })
            })
            .await;
        Ok(done?)
    }

    /// Removes packages that are being deleted and that no distribution point holds any more.
    async fn forget_deleted(&self) -> Result<(), SiteError> {
        let gone: Result<Vec<PackageId>, DatabaseError> = self
            .database
            .read("packages_to_forget", |tx| Box::pin(async move { tx.packages_to_forget().await }))
            .await;
        for id in gone? {
            // A snapshot of it may still be ending: it finds its lease gone, but writes until then.
            if self.board.runs().iter().any(|run| run.package == id) {
                continue;
            }
            let library = Arc::clone(&self.library);
            tokio::task::spawn_blocking(move || library.forget(&id))
                .await
                .map_err(|_panic| SiteError::Panicked("removing a package"))??;
            let gone: Result<bool, DatabaseError> = self
                .database
                .transact("forget_package", move |tx| Box::pin(async move { tx.delete_package(id).await }))
                .await;
            if gone? {
                distmgr!(info, package.id = %id, "Package {id} was deleted");
            }
        }
        Ok(())
    }
}

/// The manifest root kept with a version.
pub(crate) fn manifest_root(version: &Version) -> ManifestRoot {
    ManifestRoot {
        digest: version.root,
        length: version.root_length,
        pages: version.pages,
        entries: version.entries,
        chunks: version.chunks,
        bytes: version.bytes,
    }
}

/// Notes a failed attempt; `None` when the run had lost its lease, else whether it was the last.
async fn attempt_failed(
    tx: &mut Tx,
    refreshes: &RefreshLoop,
    claim: &Claim,
    why: Why,
    now: Timestamp,
) -> Result<Option<bool>, DatabaseError> {
    let id = claim.package.id;
    let (Some(package), Some(mut refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
        return Ok(None);
    };
    if package.is_deleting || !refresh.is_held_by(claim.run) {
        return Ok(None);
    }
    let attempts = refresh.attempts + 1;
    let retry = match why.rule.as_str() {
        // Room may be made at any moment, and nothing is wrong with the package.
        "NO_SPACE" => RetryPolicy { delay: SPACE_RETRY.min(refreshes.retry.delay), count: u32::MAX },
        _ => refreshes.retry,
    };
    let is_last = refresh.attempt_failed(now, why.clone(), retry);
    tx.update_refresh(id, &refresh).await?;
    let is_source = ["SOURCE_", "PATH_", "NAME_"].iter().any(|prefix| why.rule.starts_with(prefix));
    let message = if why.rule == "NO_SPACE" {
        message::waits_for_space(id, &package.name, &why)
    } else if is_source {
        message::source_failed(id, &package.name, &claim.package.source_path, &why)
    } else {
        message::processing_failed(id, &package.name, attempts, &why, false)
    };
    tx.raise(&message, now).await?;
    if is_last {
        tx.raise(&message::processing_failed(id, &package.name, attempts, &why, true), now).await?;
        let context = Context::new(&package, &refresh, refreshes.site, now);
        for mut target in tx.targets_of_package(id).await? {
            // Nobody wishes anything here, so nothing is refused.
            let _refused = tx.apply(&mut target, &context, Event::RefreshEnded, None).await?;
        }
    }
    // The other workers wait for the moment they knew of; this one may be earlier.
    tx.wake(Wake::Refresh);
    Ok(Some(is_last))
}
