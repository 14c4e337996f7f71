//! Snapshots that are looked at first: making a plan, and publishing one.

use std::sync::Arc;
use std::time::Duration;

use restock_content::diff::{Difference, Differences, Totals};
use restock_content::library::LibraryError;
use restock_content::manifest::{Manifest, ManifestRoot};
use restock_content::snapshot::{Progress, Snapshot};
use restock_content::statement::Statement;
use restock_names::{ContentVersion, Escaped, PackageId, Timestamp};
use restock_sitedb::announced::Announced;
use restock_sitedb::package::Package;
use restock_sitedb::version::Version;
use restock_sitedb::{Database, DatabaseError, Tx, message};

use super::{Claim, RefreshLoop, SnapshotTrouble, not_within_scope};
use crate::SiteError;
use crate::message::{chain, distmgr};
use crate::plan::{Applied, FORMAT, Plan, PlanError, WithinApply, fresh_id};
use crate::publish::{NUMBERINGS_MAX, Published, publish, version_row, warnings};
use crate::site::blocking;

/// The transaction in logs and errors.
const OPERATION: &str = "apply_plan";

/// What came of the transaction that publishes a plan.
enum PlanPublished {
    Yes(Applied),
    Overtaken,
    Refused(PlanError),
}

impl RefreshLoop {
    /// Takes a snapshot of the package's source and says what differs from its newest version.
    pub(crate) async fn make_plan(
        &self,
        package: PackageId,
        keep: Duration,
        progress: Arc<dyn Progress + Send + Sync>,
    ) -> Result<Plan, SiteError> {
        let now = self.clock.now();
        let claim = self.look_at(package, now).await?;
        let (base, package) = (claim.base.clone(), claim.package.clone());
        let snapshot = self.snapshot(claim, progress).await?;
        let (library, root, report) = (Arc::clone(&self.library), snapshot.root, snapshot.report);
        let before = base.as_ref().map(super::manifest_root);
        let totals = blocking("comparing a plan", move || {
            let before = before.map(|root| Manifest::new(&*library, root));
            let mut totals = Totals::default();
            for difference in Differences::new(before, Manifest::new(&*library, root)) {
                totals.add(&difference.map_err(LibraryError::from)?);
            }
            Ok(totals)
        })
        .await?;
        let made_at = self.clock.now();
        let mut nonce = root.digest.0.to_vec();
        nonce.extend(made_at.0.to_le_bytes());
        distmgr!(info, package.id = %package.id, "A refresh of package {} was planned", package.id);
        Ok(Plan {
            format: FORMAT,
            plan: fresh_id(package.id, &nonce),
            package: package.id,
            base: base.map(|version| version.content),
            source_path: package.source_path,
            link_policy: package.link_policy,
            made_at,
            until: made_at.after(keep),
            root: root.into(),
            files: report.files,
            differs: totals.into(),
            entries_read: report.entries_read,
            bytes_read: report.bytes_read,
            chunks_new: report.chunks_new,
            bytes_new: report.bytes_new_raw,
            bytes_stored: report.bytes_new_stored,
        })
    }

    /// Publishes the tree of `plan` if the source, looked at once more, still is that tree.
    pub(crate) async fn apply_plan(
        &self,
        plan: &Plan,
        progress: Arc<dyn Progress + Send + Sync>,
        within: WithinApply,
    ) -> Result<Applied, SiteError> {
        let mut claim = self.look_at(plan.package, self.clock.now()).await?;
        check(plan, &claim.package, claim.base.as_ref())?;
        // What the plan read is not read again; its manifest takes the place of a version's.
        claim.base = Some(planned_version(plan));
        let snapshot = self.snapshot(claim.clone(), progress).await?;
        if snapshot.root.digest != plan.root.digest {
            return Err(PlanError::Stale(self.what_moved(plan, snapshot.root).await).into());
        }
        claim.warnings = warnings(&snapshot.names);
        for _ in 0..NUMBERINGS_MAX {
            let next = self.next_of(plan.package).await?;
            let Some(content) = next else { return Err(PlanError::NoPackage(plan.package).into()) };
            match self.publish_plan_as(&claim, plan, &snapshot, content, &within).await? {
                PlanPublished::Yes(applied) => {
                    self.published(snapshot, content).await;
                    return Ok(applied);
                }
                PlanPublished::Refused(error) => return Err(error.into()),
                PlanPublished::Overtaken => {}
            }
        }
        Err(PlanError::Busy(plan.package).into())
    }

    /// What a run would begin with, without a request and without a lease.
    async fn look_at(&self, package: PackageId, now: Timestamp) -> Result<Claim, SiteError> {
        let site = self.site;
        let found: Result<Result<Claim, PlanError>, DatabaseError> = self
            .database
            .read("plan", move |tx| {
                Box::pin(async move {
                    let found = tx.package(package).await?.filter(|found| !found.is_deleting);
                    let Some(found) = found else { return Ok(Err(PlanError::NoPackage(package))) };
                    if found.source_site != site {
                        return Ok(Err(PlanError::Owner { package, owner: found.source_site }));
                    }
                    let roots = tx.source_roots().await?;
                    Ok(Ok(Claim {
                        run: 0,
                        covers: 0,
                        started_at: now,
                        base: tx.newest_version(package).await?,
                        not_within_scope: not_within_scope(tx, &found, &roots).await?,
                        roots,
                        options: tx.package_options(package).await?,
                        warnings: Vec::new(),
                        package: found,
                    }))
                })
            })
            .await;
        Ok(found??)
    }

    async fn snapshot(
        &self,
        claim: Claim,
        progress: Arc<dyn Progress + Send + Sync>,
    ) -> Result<Snapshot, SiteError> {
        let source = self.plans.source(claim.package.id);
        let _reads = source.lock().await;
        let this = self.clone();
        let taken = tokio::task::spawn_blocking(move || this.take_blocking(&claim, &*progress))
            .await
            .map_err(|_panic| SiteError::Panicked("a plan"))?;
        taken.map_err(|trouble| match trouble {
            SnapshotTrouble::Cancelled => PlanError::Stopped.into(),
            SnapshotTrouble::Failed(why) => PlanError::Source(why).into(),
        })
    }

    /// The first entries in which the source is not the plan.
    async fn what_moved(&self, plan: &Plan, found: ManifestRoot) -> String {
        let (library, planned) = (Arc::clone(&self.library), ManifestRoot::from(plan.root));
        let first = blocking("comparing a plan", move || {
            let planned = Manifest::new(&*library, planned);
            let mut differences = Differences::new(Some(planned), Manifest::new(&*library, found));
            Ok(differences.next().transpose().map_err(LibraryError::from)?)
        })
        .await;
        let made_at = plan.made_at;
        match first {
            Ok(Some(
                Difference::Added(entry)
                | Difference::Removed(entry)
                | Difference::Changed { after: entry, .. }
                | Difference::Touched { after: entry, .. },
            )) => {
                let path = Escaped(entry.path.as_bytes());
                format!("the source is not what it was at {made_at}: {path} is the first that differs")
            }
            _ => format!("the source is not what it was at {made_at}"),
        }
    }

    async fn next_of(&self, package: PackageId) -> Result<Option<ContentVersion>, SiteError> {
        let next: Result<Option<ContentVersion>, DatabaseError> = self
            .database
            .read("next_version", move |tx| {
                Box::pin(async move {
                    let next = tx.next_publish(package).await?;
                    Ok(next.map(|(epoch, version)| ContentVersion { package, epoch, version }))
                })
            })
            .await;
        Ok(next?)
    }

    async fn publish_plan_as(
        &self,
        claim: &Claim,
        plan: &Plan,
        snapshot: &Snapshot,
        content: ContentVersion,
        within: &WithinApply,
    ) -> Result<PlanPublished, SiteError> {
        let now = self.clock.now();
        let statement = Statement::sign(self.site, content, snapshot.root, now, self.trust.signing_key());
        let signed = statement.encode();
        let library = Arc::clone(&self.library);
        blocking("storing a statement", move || Ok(library.store_statement(&statement)?)).await?;
        let mut row = version_row(content, claim, snapshot, now);
        // What was read and stored for the plan was for this version.
        row.bytes_read += plan.bytes_read;
        row.chunks_new += plan.chunks_new;
        row.bytes_new += plan.bytes_new;
        let announced = Announced::new(row, self.site, signed);
        let (this, claim, plan, within) = (self.clone(), claim.clone(), plan.clone(), Arc::clone(within));
        let published = transact(&self.database, this, claim, plan, announced, within, now).await;
        if !matches!(published, Ok(PlanPublished::Yes(_))) {
            // Nobody has seen the statement: no job names it and no pull of it is allowed.
            let library = Arc::clone(&self.library);
            let removed = blocking("removing a statement", move || Ok(library.remove_statement(&content)?));
            if let Err(error) = removed.await {
                distmgr!(warn, package.id = %content.package, "after refusing {content}: {}", chain(&error));
            }
        }
        published
    }
}

async fn transact(
    database: &Database,
    refreshes: RefreshLoop,
    claim: Claim,
    plan: Plan,
    announced: Announced,
    within: WithinApply,
    now: Timestamp,
) -> Result<PlanPublished, SiteError> {
    let (plan, announced) = (Arc::new(plan), Arc::new(announced));
    let published: Result<PlanPublished, DatabaseError> = database
        .transact(OPERATION, move |tx| {
            Box::pin(
                async move { publish_plan(tx, &refreshes, claim, &plan, &announced, &within, now).await },
            )
        })
        .await;
    Ok(published?)
}

/// The transaction: the request, its run and its version are one step, so that no other run can
/// publish anything else for it. A refusal is decided before anything is written.
async fn publish_plan(
    tx: &mut Tx,
    refreshes: &RefreshLoop,
    mut claim: Claim,
    plan: &Plan,
    announced: &Announced,
    within: &WithinApply,
    now: Timestamp,
) -> Result<PlanPublished, DatabaseError> {
    let id = plan.package;
    let (Some(package), Some(refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
        return Ok(PlanPublished::Refused(PlanError::NoPackage(id)));
    };
    if package.is_deleting {
        return Ok(PlanPublished::Refused(PlanError::NoPackage(id)));
    }
    if refresh.is_pending() {
        return Ok(PlanPublished::Refused(PlanError::Busy(id)));
    }
    if let Err(error) = check(plan, &package, tx.newest_version(id).await?.as_ref()) {
        return Ok(PlanPublished::Refused(error));
    }
    let content = announced.version.content;
    if package.source_site != refreshes.site
        || tx.next_publish(id).await? != Some((content.epoch, content.version))
    {
        return Ok(PlanPublished::Overtaken);
    }
    // All that could stop the run from here on was asked above, in this transaction.
    let broken = || DatabaseError::Closed(OPERATION);
    let requested = tx.request_refresh(&package, refresh, refreshes.site, now, None).await?;
    let mut refresh = tx.refresh(id).await?.ok_or_else(broken)?;
    let run = refresh.claim(&refreshes.owner, now, refreshes.lease).ok_or_else(broken)?;
    tx.update_refresh(id, &refresh).await?;
    tx.raise(&message::processing(id, &package.name), now).await?;
    (claim.run, claim.covers) = (run, refresh.started);
    match publish(tx, refreshes, &claim, announced, now).await? {
        Published::Yes => {
            within(tx).await?;
            let (request, targeted) = (requested.request, requested.targeted);
            Ok(PlanPublished::Yes(Applied { content, request, targeted }))
        }
        Published::Overtaken | Published::Stopped => Err(broken()),
    }
}

/// Is the package still what was planned?
fn check(plan: &Plan, package: &Package, newest: Option<&Version>) -> Result<(), PlanError> {
    let stale = |text: String| Err(PlanError::Stale(text));
    if newest.map(|version| version.content) != plan.base {
        let newest = newest.map_or(0, |version| version.content.version.0);
        let base = plan.base.map_or(0, |base| base.version.0);
        return stale(format!("version {newest} was published since; the plan is against version {base}"));
    }
    if package.source_path != plan.source_path {
        return stale(format!("the source path of package {} was changed since", package.id));
    }
    if package.link_policy != plan.link_policy {
        return stale(format!("how links of package {} are treated was changed since", package.id));
    }
    Ok(())
}

/// The plan's manifest in the form in which a run knows the version before.
fn planned_version(plan: &Plan) -> Version {
    let root = plan.root;
    Version {
        content: plan.base.unwrap_or(ContentVersion {
            package: plan.package,
            epoch: restock_names::Epoch::FIRST,
            version: restock_names::SourceVersion(0),
        }),
        root: root.digest,
        root_length: root.length,
        pages: root.pages,
        entries: root.entries,
        chunks: root.chunks,
        bytes: root.bytes,
        files: plan.files,
        bytes_read: 0,
        chunks_new: 0,
        bytes_new: 0,
        published_at: plan.made_at,
        duration_ms: 0,
    }
}
