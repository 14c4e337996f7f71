//! A restored site hears first what the others hold and know.
//!
//! Its database may be older than what distribution points and neighbours have seen. It makes no version
//! before all of them were heard: their answers raise the number it goes on from, so that `SourceVersion`
//! does not fall. What its points serve and it does not know of stays there until every neighbour was
//! heard; then it is compared again, and what nobody wants is removed. Both wait for a bounded time only.

use std::time::Duration;

use restock_names::{ContentVersion, DistributionPointName, SiteCode, Timestamp};
use restock_sitedb::{DatabaseError, Tx, Wake, Why};
use restock_transfer::{Connection, Job, JobId, JobKind, Links};

use crate::message::{distmgr, transfers};
use crate::{DistributeLoop, RefreshLoop, SiteError};

/// A neighbour that does not say how much it has to tell counts as heard when it has been connected for
/// this long.
const SETTLING_US: i64 = 5_000_000;
/// While something waits it is looked at this often, should nobody wake the loop.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// How many holders the reason names.
const NAMED_MAX: usize = 5;

/// A wait that is not over.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    restored_at: Timestamp,
    until: Timestamp,
    look_at: Timestamp,
}

/// The wait after a restore, unless its time is over.
async fn waiting(tx: &mut Tx, wait: Duration, now: Timestamp) -> Result<Option<Waiting>, DatabaseError> {
    let Some(restored_at) = tx.restored_at().await? else { return Ok(None) };
    let until = restored_at.after(wait);
    Ok((now < until).then(|| Waiting { restored_at, until, look_at: until.min(now.after(LOOK_PERIOD)) }))
}

async fn unheard_sites(
    tx: &mut Tx,
    waiting: Waiting,
    now: Timestamp,
) -> Result<Vec<SiteCode>, DatabaseError> {
    let settled = Timestamp(now.0.saturating_sub(SETTLING_US));
    tx.neighbours_unheard(waiting.restored_at, settled).await
}

/// True while a neighbour may still tell this restored site what it has forgotten.
pub(crate) async fn awaits_neighbours(
    tx: &mut Tx,
    wait: Duration,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    match waiting(tx, wait, now).await? {
        Some(waiting) => Ok(!unheard_sites(tx, waiting, now).await?.is_empty()),
        None => Ok(false),
    }
}

/// A neighbour told something: while the site waits, its loops look whether that was all.
pub(crate) async fn stir(tx: &mut Tx, wait: Duration, now: Timestamp) -> Result<(), DatabaseError> {
    if waiting(tx, wait, now).await?.is_some() {
        tx.wake(Wake::Refresh);
        tx.wake(Wake::Distribute);
    }
    Ok(())
}

/// Notes what a distribution point holds: a restored site goes on above it.
pub(crate) async fn heard_of(
    tx: &mut Tx,
    point: &DistributionPointName,
    held: ContentVersion,
) -> Result<(), DatabaseError> {
    if tx.heard_of_version(held).await? {
        distmgr!(warn, package.id = %held.package, point = %point, "{point} holds {held}, of which this restored site did not know");
    }
    Ok(())
}

/// Tells a distribution point to remove what is not distributed to it. False when it is not to be
/// reached over this connection.
pub(crate) fn tell_to_remove(
    links: &Links,
    (point, connection): (&DistributionPointName, Connection),
    job: u64,
    content: ContentVersion,
) -> bool {
    let remove = Job {
        job_id: JobId(job),
        kind: JobKind::Remove,
        content,
        statement: Vec::new(),
        is_public: false,
        name: String::new(),
        share: None,
    };
    let is_told = links.send_on(point, connection, remove);
    if is_told {
        transfers!(info, point = %point, package.id = %content.package, "{point} holds {content}, which is not distributed to it, and is told to remove it");
    }
    is_told
}

impl RefreshLoop {
    /// Until when refreshes wait at the latest, or are looked at again; `None` when they do not wait.
    /// Those that do are shown with the reason.
    pub(crate) async fn waits_for_holders(&self, now: Timestamp) -> Result<Option<Timestamp>, SiteError> {
        let wait = self.restore_wait;
        let found: Result<Option<(Waiting, Vec<String>)>, DatabaseError> = self
            .database
            .read("restored", move |tx| Box::pin(async move { unheard(tx, wait, now).await }))
            .await;
        let Some((waiting, unheard)) = found? else { return Ok(None) };
        let named: Vec<&str> = unheard.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = unheard.len().saturating_sub(named.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let text = format!("the site was restored and waits to hear from {}{more}", named.join(", "));
        let why = Why::new("WAITING_FOR_HOLDERS", text)
            .with_until(Some(waiting.until))
            .with_fix("connect them, or wait: the refresh follows at the time shown at the latest");
        let shown: Result<u64, DatabaseError> = self
            .database
            .transact("waiting_for_holders", move |tx| Box::pin(async move { show(tx, &why).await }))
            .await;
        if shown? > 0 {
            distmgr!(info, unheard = unheard.len(), "refreshes wait for holders");
        }
        Ok(Some(waiting.look_at))
    }
}

/// Whom a refresh that is due waits for.
async fn unheard(
    tx: &mut Tx,
    wait: Duration,
    now: Timestamp,
) -> Result<Option<(Waiting, Vec<String>)>, DatabaseError> {
    let Some(waiting) = waiting(tx, wait, now).await? else { return Ok(None) };
    if tx.refresh_due(now).await?.is_none() {
        return Ok(None);
    }
    let points = tx.points_unheard(waiting.restored_at).await?;
    let sites = unheard_sites(tx, waiting, now).await?;
    let named = points.iter().map(ToString::to_string);
    let named: Vec<String> = named.chain(sites.iter().map(|site| format!("site {site}"))).collect();
    Ok((!named.is_empty()).then_some((waiting, named)))
}

/// Shows the reason at requests that would run; returns at how many it is new.
async fn show(tx: &mut Tx, why: &Why) -> Result<u64, DatabaseError> {
    let mut changed = 0;
    for (package, mut refresh) in tx.refreshes().await? {
        let is_shown = refresh.why.as_ref().is_some_and(|before| before.rule == why.rule);
        if refresh.is_pending() && refresh.lease.is_none() && !is_shown {
            refresh.why = Some(why.clone());
            tx.update_refresh(package, &refresh).await?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// What one distribution point serves, over which connection it said so.
type Spared = (DistributionPointName, Connection, Vec<ContentVersion>);

impl DistributeLoop {
    /// Compares again what was spared, once every neighbour was heard or the wait is over: what is still
    /// not targeted is to be removed. Returns when to look next, if that is not yet.
    pub(crate) async fn settle_spared(&self, now: Timestamp) -> Result<Option<Timestamp>, SiteError> {
        let spared = self.told.spared();
        if spared.is_empty() {
            return Ok(None);
        }
        let wait = self.restore_wait;
        let waits: Result<bool, DatabaseError> = self
            .database
            .read("spared", move |tx| Box::pin(async move { awaits_neighbours(tx, wait, now).await }))
            .await;
        if waits? {
            return Ok(Some(now.after(LOOK_PERIOD)));
        }
        let found: Result<Vec<Vec<(u64, ContentVersion)>>, DatabaseError> = self
            .database
            .transact("settle_spared", {
                let spared = spared.clone();
                move |tx| Box::pin(async move { strangers(tx, &spared).await })
            })
            .await;
        let mut look_at = None;
        for ((point, connection, _), removed) in spared.iter().zip(found?) {
            let untold: Vec<ContentVersion> = removed
                .into_iter()
                .filter(|(job, content)| !tell_to_remove(&self.links, (point, *connection), *job, *content))
                .map(|(_, content)| content)
                .collect();
            if !untold.is_empty() {
                look_at = Some(now.after(LOOK_PERIOD));
            }
            self.told.spare(point, *connection, untold);
        }
        Ok(look_at)
    }
}

/// What is still not targeted, by distribution point, each with a job id for its removal.
async fn strangers(tx: &mut Tx, spared: &[Spared]) -> Result<Vec<Vec<(u64, ContentVersion)>>, DatabaseError> {
    let mut all = Vec::with_capacity(spared.len());
    for (point, _, contents) in spared {
        let mut removed = Vec::new();
        for content in contents {
            heard_of(tx, point, *content).await?;
            if tx.target(content.package, point).await?.is_none() {
                removed.push((tx.next_job().await?, *content));
            }
        }
        all.push(removed);
    }
    Ok(all)
}
