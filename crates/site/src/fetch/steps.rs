//! The transactions of a fetch: how it begins, what comes of it.

use std::time::Duration;

use restock_names::{ContentVersion, PackageId, SiteCode, Timestamp};
use restock_sitedb::announced::Announced;
use restock_sitedb::copies::{COPY_FAILED, COPY_RETRYING, COPY_SENDING, Copy};
use restock_sitedb::package::Package;
use restock_sitedb::state::RetryPolicy;
use restock_sitedb::{DatabaseError, Tx, Why, message};

use super::draft::is_held;
use super::route::route;
use super::{DUE_MAX, FetchError, Neighbour};

/// The first delay after a failure that ends by itself; it doubles.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest such delay.
const PAUSE_MOST: Duration = Duration::from_secs(60);
/// The delay after a disk was found full.
const PAUSE_FULL: Duration = Duration::from_secs(30);
/// Why a copy of a version is at a site that only passes it on.
pub(crate) const HELD_FOR_SITES: &str = "HELD_FOR_SITES";

/// What transactions need of the loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) site: SiteCode,
    pub(super) retry: RetryPolicy,
    pub(super) draft_lease: Duration,
}

/// A version whose fetch begins.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) what: Announced,
    pub(super) from: Neighbour,
}

/// What came of content that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// This site's distribution points get it.
    Published,
    /// It is held for other sites.
    Held,
    /// Nobody needs it any more.
    Unwanted,
}

/// Versions to fetch: those the database says, then those that neighbours asked for.
pub(super) async fn due(
    tx: &mut Tx,
    asked: Vec<PackageId>,
    now: Timestamp,
) -> Result<Vec<Announced>, DatabaseError> {
    let mut due = tx.fetches_due(now, DUE_MAX).await?;
    for package in asked {
        if due.iter().any(|known| known.version.content.package == package) {
            continue;
        }
        due.extend(open(tx, package).await?.filter(|what| what.next_attempt <= now));
    }
    Ok(due)
}

/// The newest version of a package, if it is neither stored nor held here.
async fn open(tx: &mut Tx, package: PackageId) -> Result<Option<Announced>, DatabaseError> {
    let (Some(what), Some(package)) = (tx.announced(package).await?, tx.package(package).await?) else {
        return Ok(None);
    };
    let is_open = !package.is_deleting && !is_held(&what) && is_newer(&what, &package);
    Ok(is_open.then_some(what))
}

fn is_newer(what: &Announced, package: &Package) -> bool {
    let content = what.version.content;
    (content.epoch, content.version) > (package.epoch, package.stored_version)
}

/// Notes that a fetch begins; `None` when the version is not the newest any more, or nobody who
/// holds it can be reached: then that is noted.
pub(super) async fn begin(
    tx: &mut Tx,
    parts: Parts,
    content: ContentVersion,
    now: Timestamp,
) -> Result<Option<Claim>, DatabaseError> {
    let (Some(what), Some(package)) =
        (tx.announced(content.package).await?, tx.package(content.package).await?)
    else {
        return Ok(None);
    };
    if what.version.content != content || package.is_deleting || !is_newer(&what, &package) {
        return Ok(None);
    }
    let (hierarchy, links) = (tx.hierarchy().await?, tx.links().await?);
    let copies = tx.copies_of(content.package).await?;
    match route(&hierarchy, &links, &what, package.source_site, &copies) {
        Ok(from) => {
            // A retry keeps its reason until it has succeeded.
            if what.attempts == 0 {
                put_copy(tx, parts.site, content, COPY_SENDING, None, now).await?;
            }
            Ok(Some(Claim { what, from }))
        }
        Err(why) => {
            if what.signer == parts.site && package.source_site == parts.site {
                make_again(tx, parts.site, &package, now).await?;
            }
            put_off(tx, parts, what, why, now, PAUSE_MOST, COPY_RETRYING).await?;
            Ok(None)
        }
    }
}

/// A version that this site made and lost, and that nobody else holds: only its source can bring the
/// package back.
async fn make_again(
    tx: &mut Tx,
    site: SiteCode,
    package: &Package,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let refresh = tx.refresh(package.id).await?.filter(|refresh| !refresh.is_pending());
    if let Some(refresh) = refresh.filter(|_| package.has_source()) {
        let why =
            Why::new("CONTENT_LOST", "no site holds the newest version any more: its source is read again");
        tx.request_refresh(package, refresh, site, now, Some(why)).await?;
    }
    Ok(())
}

/// Everything of a version is in the library, and its statement.
pub(super) async fn arrived(
    tx: &mut Tx,
    parts: Parts,
    what: Announced,
    from: SiteCode,
    now: Timestamp,
) -> Result<Came, DatabaseError> {
    let content = what.version.content;
    let (Some(mut known), Some(package)) =
        (tx.announced(content.package).await?, tx.package(content.package).await?)
    else {
        return Ok(Came::Unwanted);
    };
    if known.version.content != content || package.is_deleting || !is_newer(&known, &package) {
        return Ok(Came::Unwanted);
    }
    let own = std::iter::once(parts.site).collect();
    known.attempts = 0;
    if tx.is_wanted_at(content.package, &own).await? {
        known.is_draft = false;
        known.lease_until = None;
        known.why = None;
        tx.put_announced(&known).await?;
        if !tx.content_arrived(&known, now).await? {
            return Ok(Came::Unwanted);
        }
        tx.raise(&message::received(content.package, content.version, from), now).await?;
        return Ok(Came::Published);
    }
    known.is_draft = true;
    known.lease_until = Some(now.after(parts.draft_lease));
    known.why = Some(Why::new(HELD_FOR_SITES, "it is passed on to other sites"));
    tx.put_announced(&known).await?;
    put_copy(tx, parts.site, content, COPY_SENDING, known.why, now).await?;
    Ok(Came::Held)
}

/// Notes a failed attempt and when the next one follows.
pub(super) async fn failed(
    tx: &mut Tx,
    parts: Parts,
    content: ContentVersion,
    from: SiteCode,
    error: &FetchError,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let known = tx.announced(content.package).await?.filter(|known| known.version.content == content);
    let Some(what) = known else { return Ok(()) };
    let pause = match error.rule.as_str() {
        "NO_SPACE" => PAUSE_FULL.min(parts.retry.delay),
        _ if error.is_transient => PAUSE_FIRST.saturating_mul(1 << what.attempts.min(16)).min(PAUSE_MOST),
        _ => parts.retry.delay,
    };
    let fix = match error.rule.as_str() {
        "NO_SPACE" => "make room on the disk of the site's library".to_owned(),
        "CONTENT_NOT_HERE" => format!("nothing: it follows when site {from} has it"),
        _ => "restock site tree".to_owned(),
    };
    let why = Why::new(error.rule.clone(), format!("from site {from}: {}", error.text)).with_fix(fix);
    // A neighbour that gives wrong content is an alarm, not a delay.
    let state = if error.is_transient { COPY_RETRYING } else { COPY_FAILED };
    let is_news = what.why.as_ref().is_none_or(|before| before.rule != why.rule);
    if is_news && error.rule != "CONTENT_NOT_HERE" {
        let name = tx.package(content.package).await?.map(|package| package.name).unwrap_or_default();
        let attempts = what.attempts + 1;
        let raised = message::processing_failed(content.package, &name, attempts, &why, !error.is_transient);
        tx.raise(&raised, now).await?;
    }
    put_off(tx, parts, what, why, now, pause, state).await
}

async fn put_off(
    tx: &mut Tx,
    parts: Parts,
    mut what: Announced,
    why: Why,
    now: Timestamp,
    pause: Duration,
    state: u32,
) -> Result<(), DatabaseError> {
    what.attempts = what.attempts.saturating_add(1);
    what.next_attempt = now.after(pause);
    what.why = Some(why.with_until(Some(what.next_attempt)));
    tx.put_announced(&what).await?;
    put_copy(tx, parts.site, what.version.content, state, what.why, now).await
}

async fn put_copy(
    tx: &mut Tx,
    site: SiteCode,
    content: ContentVersion,
    state: u32,
    why: Option<Why>,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let ContentVersion { package, epoch, version } = content;
    tx.put_copy(&Copy { package, site, epoch, version, state, why, at: now }).await
}
