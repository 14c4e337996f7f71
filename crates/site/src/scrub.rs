//! The scrub loop: everything stored is read from the disk within a period, and what versions lack is
//! brought back.
//!
//! What is lacking is asked of the site's distribution points and of the sites next to it
//! ([`holders`]). What nobody has is read again from the source of a package that this site owns, as far as
//! that is unchanged. What the source does not have any more either is lost here: that is an alarm, and a
//! refresh is asked for, which makes the package whole with what its source holds.

mod holders;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::{Lacking, Library, LibraryError, SCRUB_STEP_BYTES};
use restock_names::{ContentVersion, PackageId, Timestamp};
use restock_sitedb::{DatabaseError, Tx, Why, message};
use restock_transfer::Run;
use serde::{Deserialize, Serialize};

pub(crate) use holders::Holders;

use crate::message::{chain, distmgr};
use crate::site::blocking;
use crate::{Outcome, RefreshLoop, SiteError};

/// What cannot be brought back is tried again after this long.
const MEND_AGAIN: Duration = Duration::from_secs(10 * 60);

/// Reads the library and mends it.
#[derive(Debug, Clone)]
pub struct ScrubLoop {
    pub(crate) refreshes: RefreshLoop,
    pub(crate) period: Duration,
    pub(crate) holders: Holders,
}

/// What mending did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// Objects that versions needed and that could not be read.
    pub lacking: u64,
    /// Of these, those that can be read again.
    pub mended: u64,
    /// Packages that still lack something, each with a sentence about it.
    pub lost: BTreeMap<PackageId, String>,
}

impl ScrubLoop {
    /// The loop as part of `run`: what it fetches ends with that.
    pub(crate) fn within(mut self, run: &Run) -> Self {
        self.holders.run = run.clone();
        self
    }

    /// Reads one step at `now`, and mends what that found.
    pub async fn run_once(&self, now: Timestamp, is_first: bool) -> Result<Outcome, SiteError> {
        let library = Arc::clone(&self.refreshes.library);
        let (scrubbed, stored) = blocking("the scrub", move || {
            let scrubbed = library.scrub(now, SCRUB_STEP_BYTES)?;
            Ok((scrubbed, library.stat()?.stored_bytes))
        })
        .await?;
        for frame in &scrubbed.damaged {
            distmgr!(
                error,
                pack = frame.pack,
                object = frame.digest.map(|digest| digest.to_string()),
                is_replaced = frame.is_replaced,
                "CONTENT_DAMAGED: the scrub found stored content that does not pass its check"
            );
        }
        let is_news = is_first || !scrubbed.damaged.is_empty() || !scrubbed.packs_gone.is_empty();
        let mut result = format!("{} frames read", scrubbed.frames);
        let mut next_due = now.after(self.refreshes.library.scrub_state().pause(now, self.period, stored));
        if is_news || scrubbed.is_round_done {
            let mended = self.mend(now).await?;
            if mended.lacking > 0 {
                result = format!("{} of {} lacking objects were mended", mended.mended, mended.lacking);
            }
            if !mended.lost.is_empty() {
                next_due = next_due.min(now.after(MEND_AGAIN));
            }
        }
        Ok(Outcome { is_busy: false, result, queue: 0, next_due: Some(next_due) })
    }

    /// Brings back what versions lack, as far as it can be.
    ///
    /// Errors: the database, the library. A source that cannot be read is no error: what it would have
    /// brought stays lost.
    pub async fn mend(&self, now: Timestamp) -> Result<Mended, SiteError> {
        let library = &self.refreshes.library;
        let before = lacking(library).await?;
        let mut mended = Mended { lacking: before.len() as u64, ..Mended::default() };
        if before.is_empty() {
            return Ok(mended);
        }
        let mut versions: Vec<ContentVersion> = before.iter().map(|lacking| lacking.version).collect();
        versions.sort_unstable();
        versions.dedup();
        let mut packages: Vec<PackageId> = Vec::new();
        for version in versions {
            let package = version.package;
            distmgr!(warn, package.id = %package, "stored content of {version} is missing or damaged here");
            if !self.holders.mend(library, version).await? {
                packages.push(package);
            }
        }
        packages.dedup();
        for package in packages {
            distmgr!(warn, package.id = %package, "nobody has what {package} lacks: its source is read again");
            if let Err(error) = self.refreshes.reread(package).await {
                distmgr!(error, package.id = %package, "the source of {package} does not help: {}", chain(&error));
            }
        }
        let after = lacking(library).await?;
        mended.mended = mended.lacking.saturating_sub(after.len() as u64);
        let mut lost: BTreeMap<PackageId, (u64, bool)> = BTreeMap::new();
        for Lacking { version, .. } in after {
            let is_served = library.active(&version.package).is_some_and(|active| active.version == version);
            let of = lost.entry(version.package).or_default();
            (of.0, of.1) = (of.0 + 1, of.1 | is_served);
        }
        for (package, (objects, is_served)) in lost {
            let text = format!(
                "{objects} stored objects of {package} are lost here, at its holders and in its source"
            );
            distmgr!(error, package.id = %package, "CONTENT_LOST: {text}");
            let why = Why::new("CONTENT_LOST", text.clone());
            let site = self.refreshes.site;
            let told: Result<(), DatabaseError> = self
                .refreshes
                .database
                .transact("content_lost", move |tx| {
                    Box::pin(async move { content_lost(tx, site, package, why, is_served, now).await })
                })
                .await;
            told?;
            mended.lost.insert(package, text);
        }
        Ok(mended)
    }
}

async fn lacking(library: &Arc<Library>) -> Result<Vec<Lacking>, SiteError> {
    let library = Arc::clone(library);
    blocking("the scrub", move || {
        let found: Result<_, LibraryError> = library.lacking(|| ControlFlow::Continue(()));
        Ok(found?)
    })
    .await
}

/// An alarm; where the served version is hit and the source is this site's, it is read by a refresh.
async fn content_lost(
    tx: &mut Tx,
    site: restock_names::SiteCode,
    package: PackageId,
    why: Why,
    is_served: bool,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let Some(row) = tx.package(package).await? else { return Ok(()) };
    tx.raise(&message::processing_failed(package, &row.name, 1, &why, true), now).await?;
    let refresh = tx.refresh(package).await?.filter(|refresh| !refresh.is_pending());
    if let Some(refresh) = refresh.filter(|_| is_served && row.source_site == site && row.has_source()) {
        tx.request_refresh(&row, refresh, site, now, Some(why)).await?;
    }
    Ok(())
}
