//! Content that only passes through: held with a lease, and let go when everybody has it.

use std::collections::BTreeSet;

use restock_names::{ContentVersion, SiteCode, Timestamp};
use restock_sitedb::announced::Announced;
use restock_sitedb::copies::COPY_STORED;
use restock_sitedb::{DatabaseError, Tx};

use super::{Fetch, FetchLoop, blocking};
use crate::SiteError;
use crate::message::transfers;

impl<F: Fetch> FetchLoop<F> {
    /// Lets go of what is held for other sites and needed no more at `now`; true when there was any.
    pub(super) async fn drop_drafts(&self, now: Timestamp) -> Result<bool, SiteError> {
        let own = self.site;
        let ended: Result<Vec<ContentVersion>, DatabaseError> =
            self.database.read("drafts", move |tx| Box::pin(async move { ended(tx, own, now).await })).await;
        let mut is_busy = false;
        for content in ended? {
            let dropped: Result<bool, DatabaseError> = self
                .database
                .transact("drop_draft", move |tx| {
                    Box::pin(async move { drop_draft(tx, own, content, now).await })
                })
                .await;
            if !dropped? {
                continue;
            }
            // Nobody may fetch it from here any more: the statement can go. Frames stay until cleaning.
            let library = std::sync::Arc::clone(&self.library);
            blocking(move || library.remove_statement(&content)).await?;
            transfers!(info, package.id = %content.package, package.version = %content.version,
                "{content} is not held for other sites any more");
            is_busy = true;
        }
        Ok(is_busy)
    }
}

/// Is it here, for others only? One that was let go has no lease.
pub(crate) fn is_held(announced: &Announced) -> bool {
    announced.is_draft && announced.lease_until.is_some()
}

async fn ended(tx: &mut Tx, own: SiteCode, now: Timestamp) -> Result<Vec<ContentVersion>, DatabaseError> {
    let mut ended = Vec::new();
    for draft in tx.drafts().await?.into_iter().filter(is_held) {
        if !is_needed(tx, own, &draft, now).await? {
            ended.push(draft.version.content);
        }
    }
    Ok(ended)
}

/// Is the lease running, and does a site that fetches through this one still lack the version?
async fn is_needed(
    tx: &mut Tx,
    own: SiteCode,
    draft: &Announced,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    let content = draft.version.content;
    if draft.lease_until.is_none_or(|until| until <= now) {
        return Ok(false);
    }
    let hierarchy = tx.hierarchy().await?;
    let copies = tx.copies_of(content.package).await?;
    // Sites on the side of the one that made it fetch it there, unless that one has lost it itself.
    let is_lost = copies.iter().any(|copy| {
        (copy.site, copy.epoch, copy.version) == (draft.signer, content.epoch, content.version)
            && copy.state != COPY_STORED
    });
    let source = if is_lost { None } else { hierarchy.next_hop(draft.signer) };
    let has_it = |site: SiteCode| {
        copies.iter().any(|copy| {
            copy.site == site
                && copy.state == COPY_STORED
                && (copy.epoch, copy.version) >= (content.epoch, content.version)
        })
    };
    let lacking: BTreeSet<SiteCode> = hierarchy
        .sites
        .keys()
        .copied()
        .filter(|site| *site != own && hierarchy.is_active(*site))
        .filter(|site| source.is_none() || hierarchy.next_hop(*site) != source)
        .filter(|site| !has_it(*site))
        .collect();
    tx.is_wanted_at(content.package, &lacking).await
}

async fn drop_draft(
    tx: &mut Tx,
    own: SiteCode,
    content: ContentVersion,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    let known = tx.announced(content.package).await?.filter(|known| known.version.content == content);
    let Some(mut draft) = known.filter(is_held) else { return Ok(false) };
    if is_needed(tx, own, &draft, now).await? {
        return Ok(false);
    }
    // It stays marked as a draft: it is not fetched again for sites that have it, or did not come for
    // it within the lease, unless one asks.
    draft.lease_until = None;
    draft.why = None;
    tx.put_announced(&draft).await?;
    tx.delete_copy(content.package, own).await?;
    Ok(true)
}
