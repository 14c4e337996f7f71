//! Cleaning and mending a library, and publishing an older version again.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::{CleanConfig, Cleaned, Cleaner, CollectError, Library};
use restock_dp::DistributionPoint;
use restock_names::{Clock, PackageId, SourceVersion, SystemClock};
use restock_site::{LibraryCleaned, RolledBack, Site};

use super::health_rows::{LibraryRepaired, LibraryTidied};
use super::site_desk::site_failure;
use crate::failure::{Failure, Kind};
use crate::running::library::failure;

/// How long a caller waits for downloads and drafts that began before a cleaning.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a caller waits until a distribution point has fetched again what it lacks.
const MEND_MAX: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What was stored more recently is left alone, unless the caller says otherwise.
fn grace(asked_ms: Option<u64>) -> Duration {
    asked_ms.map_or(CleanConfig::default().grace, Duration::from_millis)
}

/// Cleans the library of a site that runs or is opened here.
pub(super) async fn clean_site(site: &Site, grace_ms: Option<u64>) -> Result<LibraryTidied, Failure> {
    let (cleans, clock) = (site.clean_loop(), site.clock());
    let began = clock.monotonic();
    loop {
        let cleaned = cleans.clean_library(clock.now(), Some(grace(grace_ms))).await.map_err(site_failure)?;
        let told = match cleaned {
            LibraryCleaned::Refused(why) => {
                let failure = Failure::refused(format!("{}: {}", why.rule, why.text));
                return Err(why.fix.into_iter().fold(failure, Failure::hint));
            }
            LibraryCleaned::Stepped(cleaned) => tidied(cleaned),
        };
        if told.is_done || clock.monotonic() - began >= WAIT_MAX {
            return Ok(told);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Cleans the library of a distribution point.
pub(crate) async fn clean_point(
    cleaner: Arc<Cleaner>,
    grace_ms: Option<u64>,
) -> Result<LibraryTidied, Failure> {
    let began = SystemClock.monotonic();
    loop {
        let at = Arc::clone(&cleaner);
        let step =
            move || at.step(SystemClock.now(), Some(grace(grace_ms)), |_bytes| ControlFlow::Continue(()));
        let stepped = tokio::task::spawn_blocking(step)
            .await
            .map_err(|e| Failure::caused(Kind::Failed, "cleaning the library", &e))?;
        let told = match stepped {
            Ok(cleaned) => tidied(cleaned),
            Err(CollectError::Library(error)) => return Err(failure(cleaner.library().folder(), &error)),
            Err(error) => {
                let refused = Failure::refused(crate::failure::chain(&error));
                return Err(refused.hint("restock library repair"));
            }
        };
        if told.is_done || SystemClock.monotonic() - began >= WAIT_MAX {
            return Ok(told);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A cleaner of a library that this process has opened.
pub(crate) fn cleaner_here(library: Arc<Library>) -> Arc<Cleaner> {
    Arc::new(Cleaner::new(library, CleanConfig::default()))
}

fn tidied(cleaned: Cleaned) -> LibraryTidied {
    match cleaned {
        Cleaned::NotDue(_) => LibraryTidied::default(),
        Cleaned::Waits(waits_for) => LibraryTidied { waits_for, ..LibraryTidied::default() },
        Cleaned::Done { collected, versions_removed } => LibraryTidied {
            is_done: true,
            waits_for: 0,
            versions_removed,
            packs_deleted: collected.packs_deleted,
            packs_rewritten: collected.packs_rewritten,
            frames_deleted: collected.frames_deleted,
            bytes_freed: collected.bytes_freed,
            bytes_rewritten: collected.bytes_rewritten,
            bytes_left: collected.bytes_left,
        },
    }
}

/// Brings back what a site's versions lack.
pub(super) async fn mend_site(site: &Site) -> Result<LibraryRepaired, Failure> {
    let mended = site.scrub_loop().mend(site.clock().now()).await.map_err(site_failure)?;
    Ok(LibraryRepaired {
        lacking: mended.lacking,
        mended: mended.mended,
        lost: mended.lost.into_values().collect(),
    })
}

/// Has a distribution point fetch again what its versions lack, and waits a while for it.
pub(super) async fn mend_point(
    point: &DistributionPoint,
    library: &Library,
) -> Result<LibraryRepaired, Failure> {
    let fail = |error| failure(library.folder(), &error);
    let lacking = point.mend().await.map_err(fail)?;
    let began = SystemClock.monotonic();
    let mut left = lacking;
    while left > 0 && SystemClock.monotonic() - began < MEND_MAX {
        tokio::time::sleep(LOOK_AGAIN * 10).await;
        // Told again: what lies beneath a damaged page is known only when that is right.
        left = point.mend().await.map_err(fail)?;
    }
    let lost = (left > 0).then(|| format!("{left} objects are still to be fetched from the site"));
    Ok(LibraryRepaired { lacking, mended: lacking.saturating_sub(left), lost: lost.into_iter().collect() })
}

/// Publishes an older version's content again.
pub(super) async fn roll_back(
    site: &Site,
    package: PackageId,
    version: SourceVersion,
) -> Result<RolledBack, Failure> {
    site.roll_back(package, version).await.map_err(site_failure)
}
