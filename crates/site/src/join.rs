//! How a site comes to stand below another one, and leaves it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use restock_names::{Clock, SiteCode, Timestamp};
use restock_sitedb::hierarchy::{LinkRow, STATUS_ACTIVE, STATUS_DELETED, SiteRow, SiteType};
use restock_sitedb::{DatabaseError, Tx};
use restock_transfer::{EnrolmentToken, SiteUpstream, SiteUrl, TrustError, join, move_site};
use serde::{Deserialize, Serialize};

use crate::keys::{self, hex};
use crate::message::{chain, distmgr};
use crate::{Site, SiteConfig, SiteError};

/// How long a site that leaves waits for the one above to hear of it.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often it looks.
const FAREWELL_STEP: Duration = Duration::from_millis(20);

/// A site that joined another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The site.
    pub site: SiteCode,
    /// The site above it.
    pub parent: SiteCode,
    /// Where that one's link listens.
    pub url: SiteUrl,
}

/// A site that left the one above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The site.
    pub site: SiteCode,
    /// The site that was above it.
    pub parent: SiteCode,
    /// False when that one did not hear of it: `site remove` there tells it.
    pub is_told: bool,
}

impl Site {
    /// Enrols a site that does not run at the one at `parent`, where `token` was made, and notes that
    /// it stands below it. `own_url`: where its own link is reached.
    ///
    /// Errors: [`SiteError::HasParent`]; [`SiteError::Type`] for a central site; a token that cannot be
    /// read or is refused ([`SiteError::Enrol`]); what [`Site::open`] says. After a failure it can be
    /// called again with the same token.
    pub async fn join(
        config: &SiteConfig,
        parent: &SiteUrl,
        token: &str,
        own_url: &SiteUrl,
        clock: Arc<dyn Clock>,
    ) -> Result<Joined, SiteError> {
        let token: EnrolmentToken = token.trim().parse()?;
        let config = SiteConfig { url: Some(own_url.clone()), ..config.clone() };
        // Open: the lock of the library shows that the site does not run.
        let site = Self::open(config, clock).await?;
        let joined = site.join_at(parent, &token, own_url).await;
        site.close().await;
        joined
    }

    async fn join_at(
        &self,
        parent: &SiteUrl,
        token: &EnrolmentToken,
        own_url: &SiteUrl,
    ) -> Result<Joined, SiteError> {
        if let Some(parent) = self.parent().await? {
            return Err(SiteError::HasParent(parent));
        }
        if self.site_type().await? == SiteType::Central {
            return Err(SiteError::Type("a central site stands at the top of its hierarchy"));
        }
        let upstream = join(parent, token, &self.config().join(), &self.shared_trust(), own_url).await?;
        self.note_parent(&upstream).await?;
        distmgr!(info, site = %self.code(), parent = %upstream.parent(), "site {} joined site {}", self.code(), upstream.parent());
        Ok(Joined { site: self.code(), parent: upstream.parent(), url: upstream.url().clone() })
    }

    /// Writes down the enrolment at the site above, unless that is done.
    pub(crate) async fn note_parent(&self, upstream: &SiteUpstream) -> Result<(), SiteError> {
        let keys = upstream.parent_key_list();
        let above = Above {
            own: self.code(),
            fingerprint: self.trust().link_fingerprint()?.to_string(),
            parent: upstream.parent(),
            url: upstream.url().clone(),
            root_public_key: hex(&upstream.parent_root_key().0),
            key_list: keys.encode(),
            own_url: self.config().url.clone(),
            now: self.clock().now(),
        };
        let done: Result<(), DatabaseError> = self
            .database()
            .transact("join", move |tx| Box::pin(async move { note_parent(tx, above).await }))
            .await;
        done?;
        keys::follow(self.database(), &self.shared_trust()).await
    }

    /// Forgets the site above. A running site tells it first and waits for the answer, at most 5 s.
    ///
    /// Packages that other sites own are orphaned here until somebody adopts them.
    /// Errors: [`SiteError::Top`]; the database; the files of the enrolment.
    pub async fn leave(&self) -> Result<Left, SiteError> {
        let Some(parent) = self.parent().await? else { return Err(SiteError::Top) };
        let is_told = self.say_farewell(parent).await?;
        self.stop_upstream();
        // The files first: a link without them is forgotten at the next start.
        let folder = self.config().join();
        let removed = tokio::task::spawn_blocking(move || SiteUpstream::remove(&folder))
            .await
            .map_err(|_panic| SiteError::Panicked("removing an enrolment"))?;
        removed?;
        self.forget(parent).await?;
        let own = self.code();
        distmgr!(info, site = %own, %parent, is_told, "site {own} left site {parent}");
        Ok(Left { site: own, parent, is_told })
    }

    async fn forget(&self, parent: SiteCode) -> Result<(), SiteError> {
        let own = self.code();
        let done: Result<(), DatabaseError> = self
            .database()
            .transact("leave", move |tx| Box::pin(async move { forget_parent(tx, own, parent).await }))
            .await;
        Ok(done?)
    }

    /// Marks the own row as deleted and waits until the site above has taken that.
    async fn say_farewell(&self, parent: SiteCode) -> Result<bool, SiteError> {
        let own = self.code();
        let said: Result<bool, DatabaseError> = self
            .database()
            .transact("farewell", move |tx| {
                Box::pin(async move {
                    let is_connected = tx.link(parent).await?.is_some_and(|link| link.connected_to.is_some());
                    if let (true, Some(mut row)) = (is_connected, tx.hierarchy().await?.sites.remove(&own)) {
                        row.status = STATUS_DELETED;
                        tx.put_site(&row).await?;
                        return Ok(true);
                    }
                    Ok(false)
                })
            })
            .await;
        if !said? {
            return Ok(false);
        }
        let give_up = self.clock().monotonic() + FAREWELL;
        loop {
            let left: Result<u64, DatabaseError> = self
                .database()
                .read("farewell", move |tx| Box::pin(async move { Ok(tx.backlog(parent).await?.objects) }))
                .await;
            if left? == 0 {
                return Ok(true);
            }
            if self.clock().monotonic() >= give_up {
                return Ok(false);
            }
            tokio::time::sleep(FAREWELL_STEP).await;
        }
    }

    /// Takes up the enrolment that is kept in the data folder, and ends what an earlier process
    /// began: a join that has no row yet, a leave that has one still.
    pub(crate) async fn resume_join(&self) -> Result<(), SiteError> {
        match self.open_upstream().await? {
            Enrolment::Usable(upstream) => {
                self.note_parent(&upstream).await?;
                *self.inner.upstream.lock().unwrap_or_else(PoisonError::into_inner) = Some(upstream);
                Ok(())
            }
            // The site works without the one above it.
            Enrolment::Broken => Ok(()),
            Enrolment::None => match self.parent().await? {
                Some(parent) => self.forget(parent).await,
                None => Ok(()),
            },
        }
    }

    async fn open_upstream(&self) -> Result<Enrolment, SiteError> {
        let (folder, trust) = (self.config().join(), self.shared_trust());
        let opened = tokio::task::spawn_blocking(move || SiteUpstream::open(&folder, &trust))
            .await
            .map_err(|_panic| SiteError::Panicked("opening an enrolment"))?;
        Ok(match opened {
            Ok(upstream) => Enrolment::Usable(Arc::new(upstream)),
            Err(TrustError::Missing(_)) => Enrolment::None,
            Err(error) => {
                distmgr!(error, "the enrolment at the site above cannot be used: {}", chain(&error));
                Enrolment::Broken
            }
        })
    }

    /// Takes up the enrolment at another address of the site above: at `before`, which was in use
    /// earlier, else at the one that site announced. False when there is none other.
    pub(crate) async fn try_address(
        &self,
        upstream: &Arc<SiteUpstream>,
        before: Option<SiteUrl>,
    ) -> Result<bool, SiteError> {
        let parent = upstream.parent();
        let url = match before {
            Some(before) => Some(before),
            None => {
                let row: Result<_, DatabaseError> = self
                    .database()
                    .read("parent_url", move |tx| Box::pin(async move { tx.site_row(parent).await }))
                    .await;
                row?.and_then(|row| row.url.parse::<SiteUrl>().ok())
            }
        };
        let Some(url) = url.filter(|url| url != upstream.url()) else { return Ok(false) };
        distmgr!(info, site = %parent, %url, "site {parent} is tried at {url}");
        let folder = self.config().join();
        let moved = tokio::task::spawn_blocking(move || move_site(&folder, &url))
            .await
            .map_err(|_panic| SiteError::Panicked("keeping an address"))?;
        moved?;
        let Enrolment::Usable(moved) = self.open_upstream().await? else { return Ok(false) };
        *self.inner.upstream.lock().unwrap_or_else(PoisonError::into_inner) = Some(moved);
        Ok(true)
    }

    /// The site above.
    pub(crate) async fn parent(&self) -> Result<Option<SiteCode>, SiteError> {
        let links: Result<Vec<LinkRow>, DatabaseError> =
            self.database().read("links", |tx| Box::pin(async move { tx.links().await })).await;
        Ok(links?.into_iter().find(|link| link.is_above).map(|link| link.peer))
    }
}

/// What the data folder holds of an enrolment at a site above.
enum Enrolment {
    None,
    Broken,
    Usable(Arc<SiteUpstream>),
}

/// An enrolment at the site above, to be written down.
#[derive(Debug, Clone)]
struct Above {
    own: SiteCode,
    fingerprint: String,
    parent: SiteCode,
    url: SiteUrl,
    root_public_key: String,
    key_list: Vec<u8>,
    own_url: Option<SiteUrl>,
    now: Timestamp,
}

async fn note_parent(tx: &mut Tx, above: Above) -> Result<(), DatabaseError> {
    let known = tx.link(above.parent).await?;
    if known.as_ref().is_some_and(|link| link.is_above && link.fingerprint == above.fingerprint) {
        return Ok(());
    }
    let mut hierarchy = tx.hierarchy().await?;
    let was_alone = !tx.has_links().await?;
    if !hierarchy.sites.contains_key(&above.parent) {
        // The rest it says itself.
        tx.put_site(&SiteRow {
            code: above.parent,
            parent: None,
            site_type: SiteType::Primary,
            name: String::new(),
            server_name: String::new(),
            url: above.url.to_string(),
            software: String::new(),
            root_public_key: above.root_public_key.clone(),
            key_list: above.key_list.clone(),
            ca_fingerprint: String::new(),
            status: STATUS_ACTIVE,
        })
        .await?;
    }
    if let Some(mut own) = hierarchy.sites.remove(&above.own) {
        own.parent = Some(above.parent);
        own.status = STATUS_ACTIVE;
        if let Some(url) = &above.own_url {
            own.url = url.to_string();
        }
        tx.put_site(&own).await?;
    }
    let kept = known.filter(|link| link.is_above);
    tx.put_link(&LinkRow {
        peer: above.parent,
        is_above: true,
        fingerprint: above.fingerprint,
        root_public_key: above.root_public_key,
        url: above.url.to_string(),
        incarnation: kept.as_ref().map(|link| link.incarnation.clone()).unwrap_or_default(),
        received: kept.as_ref().map_or(0, |link| link.received),
        acknowledged: kept.as_ref().map_or(0, |link| link.acknowledged),
        is_revoked: false,
        connected_to: None,
        last_seen_at: kept.as_ref().and_then(|link| link.last_seen_at),
        joined_at: above.now,
        why: None,
    })
    .await?;
    if was_alone {
        tx.replicate_everything().await?;
    }
    Ok(())
}

async fn forget_parent(tx: &mut Tx, own: SiteCode, parent: SiteCode) -> Result<(), DatabaseError> {
    let mut hierarchy = tx.hierarchy().await?;
    for site in hierarchy.beyond(parent) {
        tx.remove_site(site).await?;
    }
    tx.delete_link(parent).await?;
    if let Some(mut row) = hierarchy.sites.remove(&own) {
        row.parent = None;
        row.status = STATUS_ACTIVE;
        tx.put_site(&row).await?;
    }
    Ok(())
}
