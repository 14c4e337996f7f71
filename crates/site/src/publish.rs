//! Publishing a snapshot: statement first, then the one transaction that makes it the version.
//!
//! Order: packs are sealed by the snapshot; the statement is stored durably; one transaction
//! raises the version, gives every distribution point its job and ends the request; then the
//! pointer of the site's own library follows.

use std::sync::Arc;

use restock_content::snapshot::Snapshot;
use restock_content::statement::Statement;
use restock_names::{ContentVersion, SourceVersion, Timestamp};
use restock_sitedb::state::Event;
use restock_sitedb::target::Context;
use restock_sitedb::version::Version;
use restock_sitedb::{DatabaseError, Tx, Wake, Why, message};

use crate::SiteError;
use crate::message::{chain, distmgr};
use crate::refresh::{Claim, RefreshLoop};

impl RefreshLoop {
    /// Makes `snapshot` the package's version, unless the run lost its lease.
    pub(crate) async fn publish(&self, claim: &Claim, snapshot: Snapshot) -> Result<&'static str, SiteError> {
        let now = self.clock.now();
        let id = claim.package.id;
        let Some(content) = self.next_version(claim).await? else { return Ok("stopped") };
        let statement = Statement::sign(self.site, content, snapshot.root, now, self.trust.signing_key());
        let library = Arc::clone(&self.library);
        tokio::task::spawn_blocking(move || library.store_statement(&statement))
            .await
            .map_err(|_panic| SiteError::Panicked("storing a statement"))??;

        let version = version_row(content, claim, &snapshot, now);
        let (this, claim_of_run) = (self.clone(), claim.clone());
        let published: Result<bool, DatabaseError> = self
            .database
            .transact("publish", move |tx| {
                Box::pin(async move { publish(tx, &this, &claim_of_run, &version, now).await })
            })
            .await;
        if !published? {
            // Nobody has seen the statement: no job names it and no pull of it is allowed.
            let library = Arc::clone(&self.library);
            tokio::task::spawn_blocking(move || library.remove_statement(&content))
                .await
                .map_err(|_panic| SiteError::Panicked("removing a statement"))??;
            return Ok("stopped");
        }
        let report = snapshot.report;
        distmgr!(
            info,
            package.id = %id,
            package.version = %content.version,
            files = report.files,
            bytes_total = report.bytes_total,
            entries_read = report.entries_read,
            bytes_read = report.bytes_read,
            chunks_new = report.chunks_new,
            bytes_new = report.bytes_new_raw,
            bytes_stored = report.bytes_new_stored,
            "Package {id} version {} is stored", content.version
        );
        let library = Arc::clone(&self.library);
        let followed = tokio::task::spawn_blocking(move || -> Result<(), SiteError> {
            snapshot.commit()?;
            Ok(library.activate(&content)?)
        })
        .await
        .unwrap_or(Err(SiteError::Panicked("activating a version")));
        if let Err(error) = followed {
            // The version is published all the same: the next start lets the pointer follow.
            distmgr!(warn, package.id = %id, "after publishing {content}: {}", chain(&error));
        }
        Ok("published")
    }

    /// The number the run's version will have; `None` when the run has lost its lease.
    async fn next_version(&self, claim: &Claim) -> Result<Option<ContentVersion>, SiteError> {
        let (id, run, is_creation) = (claim.package.id, claim.run, claim.is_creation);
        let next: Result<Option<ContentVersion>, DatabaseError> = self
            .database
            .read("next_version", move |tx| {
                Box::pin(async move {
                    let (Some(package), Some(refresh), Some(site)) =
                        (tx.package(id).await?, tx.refresh(id).await?, tx.site().await?)
                    else {
                        return Ok(None);
                    };
                    if !refresh.is_held_by(run) {
                        return Ok(None);
                    }
                    let version = number(package.source_version, package.stored_version, is_creation);
                    Ok(version.map(|version| ContentVersion { package: id, epoch: site.epoch, version }))
                })
            })
            .await;
        Ok(next?)
    }
}

/// One run is one step: the first snapshot of a package created with a source is the version that
/// is shown already, any other the one after.
fn number(source: SourceVersion, stored: SourceVersion, is_creation: bool) -> Option<SourceVersion> {
    if is_creation && stored.0 == 0 { Some(source) } else { source.next() }
}

fn version_row(content: ContentVersion, claim: &Claim, snapshot: &Snapshot, now: Timestamp) -> Version {
    let (root, report) = (snapshot.root, snapshot.report);
    Version {
        content,
        root: root.digest,
        root_length: root.length,
        pages: root.pages,
        entries: root.entries,
        chunks: root.chunks,
        bytes: root.bytes,
        files: report.files,
        bytes_read: report.bytes_read,
        chunks_new: report.chunks_new,
        bytes_new: report.bytes_new_raw,
        published_at: now,
        duration_ms: u64::try_from(now.since(claim.started_at).as_millis()).unwrap_or(u64::MAX),
    }
}

/// The transaction; false when the run had lost its lease or the package moved on.
async fn publish(
    tx: &mut Tx,
    refreshes: &RefreshLoop,
    claim: &Claim,
    version: &Version,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    let id = claim.package.id;
    let (Some(before), Some(mut refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
        return Ok(false);
    };
    let (content, started) = (version.content, refresh.started);
    let is_next =
        number(before.source_version, before.stored_version, claim.is_creation) == Some(content.version);
    if !refresh.is_held_by(claim.run) || started != claim.covers || !is_next {
        return Ok(false);
    }
    if !tx.publish_version(id, before.source_version, (content.epoch, content.version), now).await? {
        return Ok(false);
    }
    tx.insert_version(version).await?;
    refresh.published(now);
    tx.update_refresh(id, &refresh).await?;
    tx.raise(&message::snapshot_taken(id, content.version), now).await?;
    tx.raise(&message::updated(id, content.version), now).await?;

    let Some(package) = tx.package(id).await? else { return Ok(false) };
    let context = Context::new(&package, &refresh, refreshes.site, now);
    for mut target in tx.targets_of_package(id).await? {
        let event = Event::Published { covers: claim.covers };
        let kept = target.facts.has_given_up.then(|| target.why.clone()).flatten();
        let why: Option<Why> = kept.filter(|_| target.facts.skip_until >= claim.covers);
        let _refused = tx.apply(&mut target, &context, event, why).await?;
    }
    // Every distribution point has its job: 2301.
    tx.raise(&message::processed(id, &package.name), now).await?;
    tx.wake(Wake::Refresh);
    tx.wake(Wake::Distribute);
    Ok(true)
}
