//! Publishing a snapshot: statement first, then the one transaction that makes it the version.
//!
//! Order: packs are sealed by the snapshot; the statement is stored durably; one transaction
//! raises the version, gives every distribution point its job and ends the request; then the
//! pointer of the site's own library follows.

use std::collections::BTreeSet;
use std::sync::Arc;

use restock_content::snapshot::{NameFinding, NameFindings, Snapshot};
use restock_content::statement::Statement;
use restock_names::{ContentVersion, SiteCode, Timestamp};
use restock_sitedb::announced::Announced;
use restock_sitedb::copies::{COPY_STORED, Copy};
use restock_sitedb::refresh::Refresh;
use restock_sitedb::state::Event;
use restock_sitedb::target::Context;
use restock_sitedb::version::Version;
use restock_sitedb::{DatabaseError, Tx, Wake, Why, message};

use crate::SiteError;
use crate::message::{chain, distmgr};
use crate::refresh::{Claim, RefreshLoop};

/// How often a version is numbered again because a higher one was heard of meanwhile.
pub(crate) const NUMBERINGS_MAX: u32 = 8;

/// What came of the transaction that publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    Yes,
    /// A higher number was heard of since the statement was signed.
    Overtaken,
    /// The run has lost its lease, or the site the package.
    Stopped,
}

impl RefreshLoop {
    /// Makes `snapshot` the package's version, unless the run lost its lease or the site the package.
    pub(crate) async fn publish(&self, claim: &Claim, snapshot: Snapshot) -> Result<&'static str, SiteError> {
        for _ in 0..NUMBERINGS_MAX {
            let Some(content) = self.next_version(claim).await? else { return Ok("stopped") };
            match self.publish_as(claim, &snapshot, content).await? {
                Published::Yes => {
                    self.published(snapshot, content).await;
                    return Ok("published");
                }
                Published::Stopped => return Ok("stopped"),
                Published::Overtaken => {}
            }
        }
        // Requests that are left are run again.
        self.give_back(claim).await?;
        Ok("stopped")
    }

    async fn publish_as(
        &self,
        claim: &Claim,
        snapshot: &Snapshot,
        content: ContentVersion,
    ) -> Result<Published, SiteError> {
        let now = self.clock.now();
        let statement = Statement::sign(self.site, content, snapshot.root, now, self.trust.signing_key());
        let signed = statement.encode();
        let library = Arc::clone(&self.library);
        tokio::task::spawn_blocking(move || library.store_statement(&statement))
            .await
            .map_err(|_panic| SiteError::Panicked("storing a statement"))??;

        let announced = Announced::new(version_row(content, claim, snapshot, now), self.site, signed);
        let (this, mut claim_of_run) = (self.clone(), claim.clone());
        claim_of_run.warnings = warnings(&snapshot.names);
        let published: Result<Published, DatabaseError> = self
            .database
            .transact("publish", move |tx| {
                Box::pin(async move { publish(tx, &this, &claim_of_run, &announced, now).await })
            })
            .await;
        let published = published?;
        if published != Published::Yes {
            // Nobody has seen the statement: no job names it and no pull of it is allowed.
            let library = Arc::clone(&self.library);
            tokio::task::spawn_blocking(move || library.remove_statement(&content))
                .await
                .map_err(|_panic| SiteError::Panicked("removing a statement"))??;
        }
        Ok(published)
    }

    /// What follows the transaction: the log, and the pointer of the site's own library.
    pub(crate) async fn published(&self, snapshot: Snapshot, content: ContentVersion) {
        let id = content.package;
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
    }

    /// The version that the run would publish; `None` when it has lost its lease or the site the package.
    pub(crate) async fn next_version(&self, claim: &Claim) -> Result<Option<ContentVersion>, SiteError> {
        let (id, run) = (claim.package.id, claim.run);
        let next: Result<Option<ContentVersion>, DatabaseError> = self
            .database
            .read("next_version", move |tx| {
                Box::pin(async move {
                    let refresh = tx.refresh(id).await?;
                    if !refresh.is_some_and(|refresh| refresh.is_held_by(run)) {
                        return Ok(None);
                    }
                    let next = tx.next_publish(id).await?;
                    Ok(next.map(|(epoch, version)| ContentVersion { package: id, epoch, version }))
                })
            })
            .await;
        Ok(next?)
    }
}

pub(crate) fn version_row(
    content: ContentVersion,
    claim: &Claim,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Version {
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

/// What the administrator is told of names that are kept although others cannot hold them.
pub(crate) fn warnings(names: &NameFindings) -> Vec<Why> {
    let why = |found: NameFinding<'_>| {
        let fix = "rename them in the source, exclude them, or set --names portable to refuse them";
        Why::new(found.rule.code(), found.to_string()).with_fix(fix)
    };
    names.iter().map(why).collect()
}

/// The transaction: who owns the package, which number comes next and who runs is asked within it.
pub(crate) async fn publish(
    tx: &mut Tx,
    refreshes: &RefreshLoop,
    claim: &Claim,
    announced: &Announced,
    now: Timestamp,
) -> Result<Published, DatabaseError> {
    let id = claim.package.id;
    let (Some(before), Some(mut refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
        return Ok(Published::Stopped);
    };
    let (content, started) = (announced.version.content, refresh.started);
    if !refresh.is_held_by(claim.run) || started != claim.covers || before.source_site != refreshes.site {
        return Ok(Published::Stopped);
    }
    if tx.next_publish(id).await? != Some((content.epoch, content.version)) {
        return Ok(Published::Overtaken);
    }
    if !tx.publish_version(id, before.source_version, (content.epoch, content.version), now).await? {
        return Ok(Published::Stopped);
    }
    tx.insert_version(&announced.version).await?;
    tx.put_announced(announced).await?;
    let ContentVersion { package, epoch, version } = content;
    let copy = Copy { package, site: refreshes.site, epoch, version, state: COPY_STORED, why: None, at: now };
    tx.put_copy(&copy).await?;
    refresh.published(now);
    tx.update_refresh(id, &refresh).await?;
    tx.raise(&message::snapshot_taken(id, content.version), now).await?;
    tx.raise(&message::updated(id, content.version), now).await?;
    tx.set_package_warnings(id, &claim.warnings).await?;
    for warning in &claim.warnings {
        tx.raise(&message::names_warned(id, content.version, &before.name, warning), now).await?;
    }
    give_jobs(tx, refreshes.site, content, &refresh, claim.covers, now).await
}

/// Gives every distribution point its job to bring the version that was just published, which covers
/// the requests up to `covers`.
pub(crate) async fn give_jobs(
    tx: &mut Tx,
    own: SiteCode,
    content: ContentVersion,
    refresh: &Refresh,
    covers: u64,
    now: Timestamp,
) -> Result<Published, DatabaseError> {
    let id = content.package;
    let Some(package) = tx.package(id).await? else { return Ok(Published::Stopped) };
    let context = Context::new(&package, refresh, own, now);
    let mut elsewhere: BTreeSet<SiteCode> = BTreeSet::new();
    for mut target in tx.targets_of_package(id).await? {
        let event = Event::Published { covers };
        let kept = target.facts.has_given_up.then(|| target.why.clone()).flatten();
        let why: Option<Why> = kept.filter(|_| target.facts.skip_until >= covers);
        let _refused = tx.apply(&mut target, &context, event, why).await?;
        if !target.facts.state.is_removal()
            && let Some(site) = tx.point(&target.point).await?.and_then(|point| point.site)
            && site != own
        {
            elsewhere.insert(site);
        }
    }
    // They start together with the distribution points of this site: the version is theirs to fetch
    // from the commit on.
    for site in elsewhere {
        tx.raise(&message::sending_to_site(id, content.version, site), now).await?;
    }
    // Every distribution point has its job: 2301.
    tx.raise(&message::processed(id, &package.name), now).await?;
    tx.wake(Wake::Refresh);
    tx.wake(Wake::Distribute);
    Ok(Published::Yes)
}
