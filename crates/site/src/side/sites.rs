//! What the link asks the site about its neighbours: who they are, what they are sent, what they say.

use std::sync::Arc;
use std::time::Duration;

use restock_names::{ContentVersion, PackageId, SiteCode, Timestamp};
use restock_sitedb::copies::COPY_STORED;
use restock_sitedb::hierarchy::{Hierarchy, LinkRow, STATUS_ACTIVE, STATUS_DELETED, SiteRow, SiteType};
use restock_sitedb::replica::{self, AppliedChanges, Incoming};
use restock_sitedb::{DatabaseError, Tx, Wake, Why};
use restock_transfer::{
    Batch, Change, EnrolSiteRequest, Fingerprint, LinkError, NextChanges, Received, Refusal, ReplicaFacts,
    SiteEnrolled, SiteHello, TokenKind,
};
use serde_json::Value;

use super::{Pull, Side, failed, not_here};
use crate::fetch::{HELD_FOR_SITES, is_held};
use crate::keys::{self, KeyCheck, hex, root_key};
use crate::message::{chain, distmgr};
use crate::restored;
use crate::token::{self, Shown};

/// Bytes of objects that are read for a neighbour at once.
const CHANGES_BYTES: usize = 4 << 20;

impl Side {
    pub(super) async fn site_enrolled(
        &self,
        site: SiteCode,
        fingerprint: Fingerprint,
    ) -> Result<Option<SiteEnrolled>, Refusal> {
        let link = self
            .database
            .read("site_link", move |tx| Box::pin(async move { tx.link(site).await }))
            .await
            .map_err(failed)?;
        let link = link
            .filter(|link| !link.is_above && !link.is_revoked && link.fingerprint == fingerprint.to_string());
        Ok(link.and_then(|link| root_key(&link.root_public_key)).map(|root_key| SiteEnrolled { root_key }))
    }

    pub(super) async fn enrol_child(&self, request: EnrolSiteRequest) -> Result<(), Refusal> {
        let (site, now) = (request.site, self.clock.now());
        let enrolled = self
            .database
            .transact("enrol_site", move |tx| Box::pin(async move { enrol(tx, &request, now).await }))
            .await
            .map_err(failed)?;
        if enrolled.is_ok() {
            distmgr!(info, %site, "site {site} joined this site");
            self.follow_keys().await?;
        }
        enrolled
    }

    pub(super) async fn facts(&self, peer: SiteCode) -> Result<ReplicaFacts, Refusal> {
        let facts = self
            .database
            .transact("replica_facts", move |tx| {
                Box::pin(async move {
                    // The incarnation is made up when it is first asked for.
                    if tx.incarnation().await?.is_empty() {
                        tx.new_incarnation().await?;
                    }
                    tx.replica_facts(peer).await
                })
            })
            .await
            .map_err(failed)?;
        Ok(ReplicaFacts {
            incarnation: facts.incarnation,
            received: Received { incarnation: facts.received_incarnation, sequence: facts.received },
            last: Some(facts.last),
        })
    }

    pub(super) async fn neighbour_connected(&self, peer: SiteCode, hello: SiteHello) -> Result<(), Refusal> {
        distmgr!(info, site = %peer, software = hello.software, "connected with site {peer}");
        let (owner, now) = (Arc::clone(&self.owner), self.clock.now());
        self.database
            .transact("site_connected", move |tx| {
                Box::pin(async move {
                    // What no database can keep is no number.
                    let last = hello.last.filter(|last| i64::try_from(*last).is_ok());
                    tx.link_connected(peer, &owner, (&hello.incarnation, last), now).await?;
                    // What waited for the link waits no longer.
                    tx.fetches_retry_now(now).await?;
                    tx.wake(Wake::Fetch);
                    tx.wake(Wake::Refresh);
                    Ok(())
                })
            })
            .await
            .map_err(failed)
    }

    pub(super) async fn neighbour_disconnected(
        &self,
        peer: SiteCode,
        cause: &LinkError,
        retry_in: Option<Duration>,
    ) {
        let (owner, now, links) = (Arc::clone(&self.owner), self.clock.now(), self.links.clone());
        let why = Why::new(cause.code(), chain(cause)).with_until(retry_in.map(|delay| now.after(delay)));
        let noted: Result<(), DatabaseError> = self
            .database
            .transact("site_disconnected", move |tx| {
                Box::pin(async move {
                    // Asked within the transaction: one that is back notes that in a later one.
                    if links.is_site_connected(peer) {
                        return Ok(());
                    }
                    tx.link_disconnected(peer, &owner, now).await?;
                    tx.link_failed(peer, &why).await
                })
            })
            .await;
        if let Err(error) = noted {
            distmgr!(error, site = %peer, "{}", chain(&error));
        }
    }

    pub(super) async fn changes_for(&self, peer: SiteCode, after: u64) -> Result<NextChanges, Refusal> {
        let next = self
            .database
            .read("next_changes", move |tx| {
                Box::pin(async move {
                    if tx.link(peer).await?.is_none_or(|link| link.is_revoked) {
                        // It is told nothing more; what it said last is still acknowledged.
                        return Ok(replica::NextChanges { through: after, changes: Vec::new() });
                    }
                    tx.next_changes(peer, after, CHANGES_BYTES).await
                })
            })
            .await
            .map_err(failed)?;
        let changes = next.changes.into_iter().map(|(sequence, object)| Change { sequence, object });
        Ok(NextChanges { through: next.through, changes: changes.collect() })
    }

    pub(super) async fn take(&self, peer: SiteCode, batch: Batch) -> Result<(), Refusal> {
        let (check, now) = (KeyCheck { own: self.trust.key_list() }, self.clock.now());
        let (batch, own, wait) = (Arc::new(batch), self.site, self.restore_wait);
        let ended = deleted_packages(&batch);
        let taken: Result<Option<(AppliedChanges, bool)>, DatabaseError> = self
            .database
            .transact("take_changes", move |tx| {
                Box::pin(async move {
                    let incoming = Incoming {
                        peer,
                        incarnation: &batch.incarnation,
                        first: batch.first,
                        last: batch.last,
                        objects: batch.objects.clone(),
                        check: &check,
                        now,
                    };
                    let is_revoked = tx.link(peer).await?.is_none_or(|link| link.is_revoked);
                    if is_revoked {
                        return Ok(None);
                    }
                    let applied = tx.apply_changes(incoming).await?;
                    if !applied.is_gap {
                        look_again(tx, peer, &batch, now).await?;
                        restored::stir(tx, wait, now).await?;
                    }
                    Ok(Some((applied, has_left(tx, own, peer).await?)))
                })
            })
            .await;
        let Some((applied, has_left)) = taken.map_err(failed)? else {
            self.links.disconnect_site(peer);
            return Err(Refusal::new(
                "IDENTITY",
                format!("site {peer} is no neighbour of site {own} any more"),
            ));
        };
        if applied.is_gap {
            return Err(Refusal::transient("CHANGES_GAP", "changes before these are missing"));
        }
        if applied.key_lists_changed {
            self.follow_keys().await?;
            // Jobs may have waited for the keys.
            self.database.wake(Wake::Distribute);
        }
        self.forget_content(ended).await?;
        if has_left {
            // Its connection ends when it has heard that this is known; no other is taken.
            distmgr!(info, site = %peer, "site {peer} has left");
        }
        Ok(())
    }

    pub(super) async fn acknowledged(&self, peer: SiteCode, last: u64) -> Result<(), Refusal> {
        let is_known = self
            .database
            .transact("changes_acknowledged", move |tx| {
                Box::pin(async move { tx.changes_acknowledged(peer, last).await })
            })
            .await
            .map_err(failed)?;
        if is_known {
            return Ok(());
        }
        let text = format!("site {} never sent a change with the number {last}", self.site);
        Err(Refusal::transient("CHANGES_UNKNOWN", text))
    }

    pub(super) async fn may_site_pull(&self, peer: SiteCode, content: ContentVersion) -> Result<(), Refusal> {
        let found = self
            .database
            .read("authorise_site_pull", move |tx| Box::pin(async move { may_pull(tx, peer, content).await }))
            .await
            .map_err(failed)?;
        match found {
            Pull::Granted => Ok(()),
            Pull::Denied => {
                Err(Refusal::new("NOT_AUTHORISED", format!("site {peer} may not fetch {content}")))
            }
            Pull::NotHere => {
                // Somebody needs it who gets it through this site only.
                if self.asked.note(content.package) {
                    self.database.wake(Wake::Fetch);
                }
                Err(not_here(&content, self.site))
            }
        }
    }

    /// Takes packages that are no more out of the library. Those that distribution points of this site
    /// still hold go later, with their rows.
    async fn forget_content(&self, packages: Vec<PackageId>) -> Result<(), Refusal> {
        for id in packages {
            let row = self
                .database
                .read("forgotten", move |tx| Box::pin(async move { tx.package(id).await }))
                .await
                .map_err(failed)?;
            if row.is_some() {
                continue;
            }
            let library = Arc::clone(&self.library);
            let forgotten = tokio::task::spawn_blocking(move || library.forget(&id)).await;
            match forgotten {
                Ok(Ok(())) => distmgr!(info, package.id = %id, "Package {id} was deleted"),
                // The next start tries again.
                Ok(Err(error)) => distmgr!(error, package.id = %id, "{}", chain(&error)),
                Err(_panic) => distmgr!(error, package.id = %id, "forgetting a package ended unexpectedly"),
            }
        }
        Ok(())
    }

    /// Lets the site's own key list follow those of the others.
    async fn follow_keys(&self) -> Result<(), Refusal> {
        keys::follow(&self.database, &self.trust).await.map_err(|error| {
            distmgr!(error, "{}", chain(&error));
            Refusal::transient("SITE_BUSY", "the site cannot keep its key list at the moment")
        })
    }
}

/// Packages whose end is told.
fn deleted_packages(batch: &Batch) -> Vec<PackageId> {
    let is_end = |object: &&Value| object["kind"] == "package" && object["body"].is_null();
    let ended = batch.objects.iter().filter(is_end);
    ended.filter_map(|object| object["key"].as_str()?.parse().ok()).collect()
}

/// Redeems the token of a site that joins and makes its link; refuses a place that makes a circle and
/// a code that is another site's.
async fn enrol(
    tx: &mut Tx,
    request: &EnrolSiteRequest,
    now: Timestamp,
) -> Result<Result<(), Refusal>, DatabaseError> {
    let (site, root) = (request.site, hex(&request.root_key.0));
    let hierarchy = tx.hierarchy().await?;
    let known = tx.link(site).await?;
    let is_same = |link: &LinkRow| link.fingerprint == request.fingerprint.to_string();
    let shown = Shown {
        hash: request.token_hash,
        kind: TokenKind::Site,
        name: site.to_string(),
        key: request.fingerprint,
        is_enrolled: known.as_ref().is_some_and(|link| !link.is_above && !link.is_revoked && is_same(link)),
    };
    // Who has no token learns nothing about the hierarchy.
    if let Err(refusal) = token::check(tx, &shown, now).await? {
        return Ok(Err(refusal));
    }
    if let Err(refusal) = place(&hierarchy, known.as_ref(), site, &root) {
        return Ok(Err(refusal));
    }
    if let Err(refusal) = token::redeem(tx, &shown, now).await? {
        return Ok(Err(refusal));
    }
    let was_alone = !tx.has_links().await?;
    let fresh = SiteRow {
        code: site,
        parent: None,
        site_type: SiteType::Primary,
        name: site.to_string(),
        server_name: String::new(),
        url: String::new(),
        software: String::new(),
        root_public_key: root.clone(),
        key_list: Vec::new(),
        ca_fingerprint: String::new(),
        status: STATUS_ACTIVE,
    };
    let before = hierarchy.sites.get(&site).cloned().unwrap_or(fresh);
    tx.put_site(&SiteRow {
        parent: Some(hierarchy.own),
        url: request.url.to_string(),
        key_list: request.key_list.encode(),
        ca_fingerprint: request.authority.to_string(),
        status: STATUS_ACTIVE,
        ..before
    })
    .await?;
    // The machine may be another one, with another database: it says what it has.
    tx.put_link(&LinkRow {
        peer: site,
        is_above: false,
        fingerprint: request.fingerprint.to_string(),
        root_public_key: root,
        url: request.url.to_string(),
        incarnation: known.as_ref().map(|link| link.incarnation.clone()).unwrap_or_default(),
        received: known.as_ref().map_or(0, |link| link.received),
        acknowledged: known.as_ref().map_or(0, |link| link.acknowledged),
        is_revoked: false,
        connected_to: None,
        last_seen_at: known.and_then(|link| link.last_seen_at),
        joined_at: now,
        why: Some(Why::new("NOT_CONNECTED", format!("site {site} has not connected yet"))),
    })
    .await?;
    if was_alone {
        tx.replicate_everything().await?;
    }
    Ok(Ok(()))
}

/// May a site with this code and root key stand directly below this one?
fn place(hierarchy: &Hierarchy, link: Option<&LinkRow>, site: SiteCode, root: &str) -> Result<(), Refusal> {
    let own = hierarchy.own;
    if link.is_some_and(|link| link.is_above) || hierarchy.is_below(own, site) {
        let text = format!("site {site} stands above site {own} and cannot stand below it");
        return Err(Refusal::new("SITE_LOOP", text));
    }
    let Some(known) = hierarchy.sites.get(&site) else { return Ok(()) };
    if known.root_public_key != root {
        let text = format!("the code {site} is, or was, that of another site of this hierarchy");
        return Err(Refusal::new("SITE_CODE_USED", text));
    }
    match known.parent {
        Some(parent) if parent != own && known.status != STATUS_DELETED && hierarchy.is_active(parent) => {
            let text = format!("site {site} stands below site {parent}: it has to leave that one first");
            Err(Refusal::new("SITE_HAS_PARENT", text))
        }
        _ => Ok(()),
    }
}

/// A neighbour said what it holds: a fetch that waited for that is due.
async fn look_again(tx: &mut Tx, peer: SiteCode, batch: &Batch, now: Timestamp) -> Result<(), DatabaseError> {
    for object in batch.objects.iter().filter(|object| object["kind"] == "copy") {
        let key = object["key"].as_str().unwrap_or_default();
        let Some((package, site)) = key.split_once('/') else { continue };
        if !site.eq_ignore_ascii_case(peer.as_str()) {
            continue;
        }
        // One that waits itself says so too; answering that would go round and round.
        let body = &object["body"];
        let has_it = body["state"] == COPY_STORED || body["why"]["rule"] == HELD_FOR_SITES;
        let Some(package) = package.parse().ok().filter(|_| has_it) else { continue };
        let Some(mut announced) = tx.announced(package).await? else { continue };
        let waits = announced.why.as_ref().is_some_and(|why| why.rule == "CONTENT_NOT_HERE");
        if waits && announced.next_attempt > now {
            announced.next_attempt = now;
            tx.put_announced(&announced).await?;
            tx.wake(Wake::Fetch);
        }
    }
    Ok(())
}

/// True when a site below has just said that it leaves: its link is cut.
async fn has_left(tx: &mut Tx, own: SiteCode, peer: SiteCode) -> Result<bool, DatabaseError> {
    let Some(mut link) = tx.link(peer).await?.filter(|link| !link.is_above && !link.is_revoked) else {
        return Ok(false);
    };
    let row = tx.site_row(peer).await?;
    if !row.is_some_and(|row| row.status == STATUS_DELETED && row.parent == Some(own)) {
        return Ok(false);
    }
    link.is_revoked = true;
    link.why = Some(Why::new("SITE_LEFT", format!("site {peer} has left")));
    tx.put_link(&link).await?;
    Ok(true)
}

/// May the neighbour fetch this version: does it, or a site that reaches this one through it, own the
/// package or have a targeted distribution point, and is the version here?
async fn may_pull(tx: &mut Tx, peer: SiteCode, content: ContentVersion) -> Result<Pull, DatabaseError> {
    let is_link = tx.link(peer).await?.is_some_and(|link| !link.is_revoked);
    let package = tx.package(content.package).await?.filter(|package| !package.is_deleting);
    let Some(package) = package.filter(|_| is_link) else { return Ok(Pull::Denied) };
    let beyond = tx.hierarchy().await?.beyond(peer);
    // The owner may have lost what it made.
    if !beyond.contains(&package.source_site) && !tx.is_wanted_at(content.package, &beyond).await? {
        return Ok(Pull::Denied);
    }
    let stored = tx.version(content.package, content.version).await?;
    if stored.is_some_and(|version| version.content == content) {
        return Ok(Pull::Granted);
    }
    let announced = tx.announced(content.package).await?;
    Ok(match announced.filter(|announced| announced.version.content == content) {
        Some(announced) if is_held(&announced) => Pull::Granted,
        Some(_) => Pull::NotHere,
        // An older version than the newest known, or one that nobody announced.
        None => Pull::Denied,
    })
}
