//! A restored site makes no version before it has heard what the others hold.
//!
//! Its database may be older than what distribution points and neighbours have seen: their answers
//! raise the number it goes on from, so that `SourceVersion` does not fall.

use std::time::Duration;

use restock_names::Timestamp;
use restock_sitedb::{DatabaseError, Tx, Why};

use crate::message::distmgr;
use crate::{RefreshLoop, SiteError};

/// A neighbour counts as heard when it has been connected for this long: what it knows has come.
const SETTLING: Duration = Duration::from_secs(5);
/// How many holders the reason names.
const NAMED_MAX: usize = 5;

impl RefreshLoop {
    /// Until when refreshes wait at the latest, or are looked at again; `None` when they do not wait.
    /// Those that do are shown with the reason.
    pub(crate) async fn waits_for_holders(&self, now: Timestamp) -> Result<Option<Timestamp>, SiteError> {
        let wait = self.restore_wait;
        let found: Result<Option<Waiting>, DatabaseError> = self
            .database
            .read("restored", move |tx| Box::pin(async move { waiting(tx, wait, now).await }))
            .await;
        let Some(Waiting { until, look_at, unheard }) = found? else { return Ok(None) };
        let named: Vec<&str> = unheard.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = unheard.len().saturating_sub(named.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let text = format!("the site was restored and waits to hear from {}{more}", named.join(", "));
        let why = Why::new("WAITING_FOR_HOLDERS", text)
            .with_until(Some(until))
            .with_fix("connect them, or wait: the refresh follows at the time shown at the latest");
        let shown: Result<u64, DatabaseError> = self
            .database
            .transact("waiting_for_holders", move |tx| Box::pin(async move { show(tx, &why).await }))
            .await;
        if shown? > 0 {
            distmgr!(info, unheard = unheard.len(), "refreshes wait for holders");
        }
        Ok(Some(look_at))
    }
}

#[derive(Debug)]
struct Waiting {
    until: Timestamp,
    look_at: Timestamp,
    unheard: Vec<String>,
}

async fn waiting(tx: &mut Tx, wait: Duration, now: Timestamp) -> Result<Option<Waiting>, DatabaseError> {
    let Some(restored_at) = tx.restored_at().await? else { return Ok(None) };
    let until = restored_at.after(wait);
    if now >= until || tx.refresh_due(now).await?.is_none() {
        return Ok(None);
    }
    let mut unheard = tx.holders_unheard(restored_at).await?;
    let mut look_at = until;
    for link in tx.links().await?.iter().filter(|link| !link.is_revoked) {
        let Some(settled) =
            link.last_seen_at.filter(|seen| *seen >= restored_at).map(|seen| seen.after(SETTLING))
        else {
            continue;
        };
        if link.connected_to.is_some() && now < settled {
            unheard.push(format!("site {}", link.peer));
            look_at = look_at.min(settled);
        }
    }
    Ok((!unheard.is_empty()).then_some(Waiting { until, look_at, unheard }))
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
