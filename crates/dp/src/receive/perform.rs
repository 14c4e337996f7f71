//! Does one job: installs, redistributes, removes, heals.
//!
//! The order of an installation is what makes it safe: statement checked → everything fetched,
//! verified and sealed → statement stored → pointer replaced → reported. Removal goes the other
//! way. Each step may be done twice.

use std::ops::ControlFlow;
use std::sync::Arc;

use restock_content::library::{Audit, Library};
use restock_content::manifest::{Manifest, ManifestRoot};
use restock_content::transfer::{AcceptedStatement, Item, ItemKind, accept_within};
use restock_names::{ContentVersion, Digest};
use restock_transfer::{Job, PullProgress, PullReport, ReportState, Run, Totals, pull, pull_repair};

use super::Receiving;
use super::board::{Activity, Line, Watch};
use super::failure::JobError;
use super::queue::Ticket;
use crate::packages::PackageFacts;

/// Rounds of checking and fetching before damage counts as beyond repair for now.
const REPAIR_ROUNDS: usize = 4;

/// One attempt at a job.
pub(crate) struct Attempt<'a> {
    pub(crate) receiving: &'a Receiving,
    pub(crate) ticket: &'a Arc<Ticket>,
    pub(crate) line: &'a Arc<Line>,
}

impl Attempt<'_> {
    /// Receives a version and makes it the one that is served.
    ///
    /// A version that is active already moves nothing.
    pub(crate) async fn install(&self, job: &Job) -> Result<Totals, JobError> {
        // Until the statement is stored nothing says that what is held already is needed.
        let _hold = self.library().hold();
        let statement = self.accept(job).await?;
        let active = self.library().active(&statement.version.package);
        if active.is_some_and(|active| active.version == statement.version) {
            self.share(job, &statement, false).await?;
            return Ok(Totals { bytes_total: statement.root.bytes, ..Totals::default() });
        }
        let followed = tokio::select! {
            followed = self.receiving.followed(&statement.version) => followed,
            () = self.ticket.cancel.cancelled() => return Err(JobError::Cancelled),
        };
        let _slot = self.slot(job).await?;
        self.line.show(Activity::Receiving);
        self.line.restart();
        self.receiving.report(self.ticket, job.content, ReportState::Receiving, "");
        let watch = self.watch().await;
        let options = &self.receiving.options;
        let (identity, library) = (&self.receiving.identity, self.library());
        let pulled = pull(identity, library, &statement, options, &watch, &self.run()).await?;
        self.line.show(Activity::Switching);
        let content = statement.version;
        let stored = statement.clone();
        self.blocking(move |library| library.store_statement(&stored)).await?;
        self.receiving.report(self.ticket, content, ReportState::Stored, "");
        self.blocking(move |library| {
            library.activate(&content)?;
            drop_older_drafts(library, &content);
            Ok(())
        })
        .await?;
        self.share(job, &statement, false).await?;
        let mut totals = totals(&pulled, statement.root);
        totals.add(&followed);
        Ok(totals)
    }

    /// Reads everything of the active version again and fetches what is missing or damaged.
    ///
    /// A version that is not active yet is installed.
    pub(crate) async fn redistribute(&self, job: &Job) -> Result<Totals, JobError> {
        let statement = self.accept(job).await?;
        let active = self.library().active(&statement.version.package);
        if active.is_none_or(|active| active.version != statement.version) {
            return self.install(job).await;
        }
        let _slot = self.slot(job).await?;
        self.receiving.report(self.ticket, job.content, ReportState::Receiving, "checks what is stored");
        let mut totals = self.audit_and_repair(&statement).await?;
        // Statement and pointer are small: written again they are right again.
        let (content, stored) = (statement.version, statement.clone().into_inner());
        self.blocking(move |library| {
            library.store_statement(&stored)?;
            library.activate(&content)
        })
        .await?;
        totals.repaired += self.share(job, &statement, true).await?;
        Ok(totals)
    }

    /// Brings the package's folder of plain files, if it is to have one, to the version that is served.
    /// With `reads` every file of it is compared; returns how many entries were wrong.
    async fn share(&self, job: &Job, statement: &AcceptedStatement, reads: bool) -> Result<u64, JobError> {
        let (shares, cancel) = (Arc::clone(&self.receiving.shares), self.ticket.cancel.clone());
        let (name, statement) = (job.share.clone(), statement.clone());
        let shared = tokio::task::spawn_blocking(move || match reads {
            true => shares.check(name.as_deref(), &statement, true, &cancel),
            false => shares.bring(name.as_deref(), &statement, &cancel).map(|()| 0),
        });
        Ok(shared.await.map_err(|_panicked| JobError::Internal)??)
    }

    async fn audit_and_repair(&self, statement: &AcceptedStatement) -> Result<Totals, JobError> {
        let mut totals = Totals { bytes_total: statement.root.bytes, ..Totals::default() };
        let mut left = Audit::default();
        for _ in 0..REPAIR_ROUNDS {
            self.line.show(Activity::Checking);
            left = self.audit(statement.root).await?;
            if left.is_clean() {
                return Ok(totals);
            }
            let damaged = items(&left);
            totals.damaged += damaged.len() as u64;
            tracing::warn!(
                target: "smsdpprov",
                pages = left.pages.len(),
                chunks = left.chunks.len(),
                package.id = %statement.version.package,
                package.version = %statement.version.version,
                "CONTENT_DAMAGED: stored objects are missing or damaged and are fetched again"
            );
            let pulled = self.repair(statement, &damaged).await?;
            totals.repaired += pulled.pages + pulled.chunks;
            totals.add(&pulled);
        }
        Err(JobError::Unrepaired { pages: left.pages.len(), chunks: left.chunks.len() })
    }

    /// Fetches again what readers found damaged. Returns how many objects that were.
    pub(crate) async fn heal(&self, content: ContentVersion, damaged: Vec<Digest>) -> Result<u64, JobError> {
        let Some(active) = self.library().active(&content.package) else { return Ok(0) };
        let statement = AcceptedStatement::from_library(active);
        let root = statement.root;
        self.line.show(Activity::Checking);
        let items = self.blocking(move |library| Ok(find(library, root, &damaged))).await?;
        if items.is_empty() {
            return Ok(0);
        }
        let pulled = self.repair(&statement, &items).await?;
        Ok(pulled.pages + pulled.chunks)
    }

    async fn repair(&self, statement: &AcceptedStatement, damaged: &[Item]) -> Result<PullReport, JobError> {
        self.line.show(Activity::Receiving);
        let watch = self.watch().await;
        let options = &self.receiving.options;
        let (identity, library) = (&self.receiving.identity, self.library());
        Ok(pull_repair(identity, library, statement, damaged, options, &watch, &self.run()).await?)
    }

    /// Removes a package: pointer, statements, record. Readers that have begun go on.
    pub(crate) async fn remove(&self, job: &Job) -> Result<(), JobError> {
        self.line.show(Activity::Removing);
        let package = job.content.package;
        self.receiving.stop_following(&package).await;
        let packages = Arc::clone(&self.receiving.packages);
        let shares = Arc::clone(&self.receiving.shares);
        let unshared = tokio::task::spawn_blocking(move || shares.remove(&package)).await;
        unshared.map_err(|_panicked| JobError::Internal)??;
        self.blocking(move |library| {
            library.forget(&package)?;
            for draft in library.drafts().iter().filter(|draft| draft.package == package) {
                library.abandon(draft);
            }
            Ok(())
        })
        .await?;
        let removed = tokio::task::spawn_blocking(move || packages.remove(&package)).await;
        removed.map_err(|_panicked| JobError::Internal)?.map_err(JobError::from)
    }

    /// A cancel has reached its turn. Returns whether the version it names is served all the same;
    /// otherwise what was received of it is given up.
    pub(crate) async fn cancel(&self, content: ContentVersion) -> Result<bool, JobError> {
        self.blocking(move |library| {
            let is_served = library.active(&content.package).is_some_and(|active| active.version == content);
            if !is_served {
                library.abandon(&content);
            }
            Ok(is_served)
        })
        .await
    }

    /// Checks the statement of a job against the pinned keys, the job's subject and what is held.
    async fn accept(&self, job: &Job) -> Result<AcceptedStatement, JobError> {
        let content = job.content;
        let (newest, same) = self
            .blocking(move |library| {
                let newest = library.statements(&content.package)?.into_iter().map(|s| s.version).max();
                Ok((newest, library.statement(&content)?))
            })
            .await?;
        let keys = self.receiving.identity.key_list();
        let jump = &self.receiving.jump;
        let statement = accept_within(&job.statement, &content, &keys, newest.as_ref(), jump)?;
        if same.is_some_and(|same| same.root != statement.root) {
            return Err(JobError::Conflict(content));
        }
        Ok(statement)
    }

    /// Waits until fewer packages than the limit are being received.
    async fn slot(&self, job: &Job) -> Result<tokio::sync::OwnedSemaphorePermit, JobError> {
        let slots = Arc::clone(&self.receiving.slots);
        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            return Ok(slot);
        }
        self.line.show(Activity::Waiting);
        self.receiving.report(
            self.ticket,
            job.content,
            ReportState::Waiting,
            "other packages are received first",
        );
        tokio::select! {
            slot = slots.acquire_owned() => slot.map_err(|_closed| JobError::Cancelled),
            () = self.ticket.cancel.cancelled() => Err(JobError::Cancelled),
        }
    }

    async fn audit(&self, root: ManifestRoot) -> Result<Audit, JobError> {
        let cancel = self.ticket.cancel.clone();
        let audit = self
            .blocking(move |library| {
                library.audit(&root, |_bytes| match cancel.is_cancelled() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            })
            .await?;
        if self.ticket.cancel.is_cancelled() { Err(JobError::Cancelled) } else { Ok(audit) }
    }

    fn library(&self) -> &Arc<Library> {
        &self.receiving.library
    }

    async fn watch(&self) -> Arc<dyn PullProgress> {
        let link = self.receiving.link.wait().await.clone();
        Arc::new(Watch { line: Arc::clone(self.line), ticket: Arc::clone(self.ticket), link })
    }

    fn run(&self) -> Run {
        Run { cancel: self.ticket.cancel.clone(), ..self.receiving.run.clone() }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Library) -> Result<T, restock_content::library::LibraryError> + Send + 'static,
    ) -> Result<T, JobError> {
        let library = Arc::clone(self.library());
        match tokio::task::spawn_blocking(move || work(&library)).await {
            Ok(done) => Ok(done?),
            Err(error) => {
                tracing::error!(target: "smsdpprov", %error, "a job ended unexpectedly");
                Err(JobError::Internal)
            }
        }
    }
}

/// Writes down who may read the package, and its name.
pub(crate) fn facts(job: &Job) -> PackageFacts {
    PackageFacts { is_public: job.is_public, name: job.name.clone(), share: job.share.clone() }
}

/// Gives up what was received of versions that the new one has overtaken.
fn drop_older_drafts(library: &Library, active: &ContentVersion) {
    for draft in library.drafts() {
        if draft.package == active.package && draft <= *active {
            library.abandon(&draft);
        }
    }
}

/// Damaged pages first: they hide what lies beneath them.
fn items(audit: &Audit) -> Vec<Item> {
    let item = |kind| move |ordinal: &u64| Item { kind, ordinal: *ordinal };
    match audit.pages.is_empty() {
        false => audit.pages.iter().map(item(ItemKind::Page)).collect(),
        true => audit.chunks.iter().map(item(ItemKind::Chunk)).collect(),
    }
}

/// Where the objects `damaged` stand in a version. Damaged pages come alone: they hide the rest.
fn find(library: &Library, root: ManifestRoot, damaged: &[Digest]) -> Vec<Item> {
    let manifest = Manifest::new(library, root);
    let is_damaged = |digest: &Digest| damaged.contains(digest);
    let mut items = Vec::new();
    for (page, ordinal) in manifest.pages_from(0).zip(0..) {
        let is_wanted = match &page {
            Ok((digest, _)) => is_damaged(digest),
            Err(_) => true,
        };
        if is_wanted {
            items.push(Item { kind: ItemKind::Page, ordinal });
        }
        if page.is_err() {
            break;
        }
    }
    if !items.is_empty() {
        return items;
    }
    let mut found = Vec::new();
    for (run, ordinal) in manifest.chunks_from(0).zip(0..) {
        let Ok(run) = run else { break };
        if is_damaged(&run.digest) && !found.contains(&run.digest) {
            found.push(run.digest);
            items.push(Item { kind: ItemKind::Chunk, ordinal });
        }
    }
    items
}

fn totals(pulled: &PullReport, root: ManifestRoot) -> Totals {
    let mut totals = Totals { bytes_total: root.bytes, ..Totals::default() };
    totals.add(pulled);
    totals
}

trait AddPull {
    fn add(&mut self, pulled: &PullReport);
}

impl AddPull for Totals {
    fn add(&mut self, pulled: &PullReport) {
        self.wire_received += pulled.wire_received;
        self.wire_sent += pulled.wire_sent;
        self.frames += pulled.pages + pulled.chunks;
        self.raw_bytes += pulled.raw_bytes;
        self.elapsed_ms += u64::try_from(pulled.elapsed.as_millis()).unwrap_or(u64::MAX);
    }
}
