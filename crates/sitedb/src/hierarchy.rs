//! The sites of the hierarchy and the links to those next to this one.
//!
//! A hierarchy is a tree. [`SiteRow`] is a site as everybody knows it, [`LinkRow`] what this site
//! keeps of a neighbour, [`Hierarchy`] the tree as seen from here: which neighbour lies towards
//! which site.
//!
//! What it does not do: it opens no connection and checks no key. Source: docs/formats/replicas.md.

mod tree;

use restock_names::{SiteCode, Timestamp};
use serde::{Deserialize, Serialize};

use crate::admin::TYPE_SITE;
use crate::replica::Kind;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx, Wake, Why};

pub use tree::Hierarchy;

/// `SiteRow::status` of a site that takes part.
pub const STATUS_ACTIVE: u32 = 1;
/// `SiteRow::status` of a site that left or was removed.
pub const STATUS_DELETED: u32 = 4;
/// `SiteRow::status` of a site that was restored and asks its neighbours what they saw.
pub const STATUS_RECOVERING: u32 = 8;

/// What a site may have: `SMS_Site.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteType {
    /// Distribution points, no provider.
    Secondary = 1,
    /// Distribution points and a provider.
    Primary = 2,
    /// A provider, no distribution points.
    Central = 4,
}

/// A number or word that is no site type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a site type: secondary, primary or central is wanted")]
pub struct SiteTypeError(String);

impl SiteType {
    const ALL: [(Self, u32, &'static str); 3] =
        [(Self::Secondary, 1, "secondary"), (Self::Primary, 2, "primary"), (Self::Central, 4, "central")];

    /// The number `SMS_Site.Type` shows.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The type with this number.
    ///
    /// Errors: there is none.
    pub fn of_number(number: u32) -> Result<Self, SiteTypeError> {
        let found = Self::ALL.iter().find(|(_, n, _)| *n == number);
        found.map(|(kind, ..)| *kind).ok_or_else(|| SiteTypeError(number.to_string()))
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(.., word)| word)
    }
}

impl std::str::FromStr for SiteType {
    type Err = SiteTypeError;
    fn from_str(word: &str) -> Result<Self, SiteTypeError> {
        let found = Self::ALL.iter().find(|(.., w)| w.eq_ignore_ascii_case(word));
        found.map(|(kind, ..)| *kind).ok_or_else(|| SiteTypeError(word.chars().take(40).collect()))
    }
}

/// A site of the hierarchy, also the own one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRow {
    /// Its code.
    pub code: SiteCode,
    /// The site above; `None` for the top.
    pub parent: Option<SiteCode>,
    /// What it may have.
    pub site_type: SiteType,
    /// What people call it.
    pub name: String,
    /// The machine it runs on.
    pub server_name: String,
    /// Where its link listens; empty when it takes no connections.
    pub url: String,
    /// Name and version of its program.
    pub software: String,
    /// Its root public key, in hex: never changes for a code.
    pub root_public_key: String,
    /// The keys it signs statements with, as encoded by the link; empty before they are known.
    pub key_list: Vec<u8>,
    /// SHA-256 of its authority's certificate, in hex.
    pub ca_fingerprint: String,
    /// As `SMS_Site.Status`: [`STATUS_ACTIVE`], [`STATUS_DELETED`], [`STATUS_RECOVERING`].
    pub status: u32,
}

/// The link to a neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRow {
    /// The neighbour.
    pub peer: SiteCode,
    /// Whether it is the site above.
    pub is_above: bool,
    /// SHA-256 of the public key of its certificate, in hex.
    pub fingerprint: String,
    /// The root public key pinned when the link was made, in hex.
    pub root_public_key: String,
    /// Where it listens.
    pub url: String,
    /// Its database, in whose numbers `received` counts; empty before the first connection.
    pub incarnation: String,
    /// Its changes up to this number are applied here.
    pub received: u64,
    /// It has applied this site's changes up to this number.
    pub acknowledged: u64,
    /// Whether it may no longer connect.
    pub is_revoked: bool,
    /// The site process it is connected to.
    pub connected_to: Option<String>,
    /// When it connected or disconnected last.
    pub last_seen_at: Option<Timestamp>,
    /// When the link was made.
    pub joined_at: Timestamp,
    /// Why it is not connected.
    pub why: Option<Why>,
}

fn site_row(row: &Row) -> Result<SiteRow, DatabaseError> {
    let site_type = row.u32("site_type")?;
    Ok(SiteRow {
        code: row.parse("site_code")?,
        parent: row.text_or_none("parent")?.map(|_| row.parse("parent")).transpose()?,
        site_type: SiteType::of_number(site_type).map_err(|_unfit| row.refuse("site_type", site_type))?,
        name: row.text("name")?,
        server_name: row.text("server_name")?,
        url: row.text("url")?,
        software: row.text("software")?,
        root_public_key: row.text("root_public_key")?,
        key_list: row.bytes("key_list")?,
        ca_fingerprint: row.text("ca_fingerprint")?,
        status: row.u32("status")?,
    })
}

macro_rules! select_sites {
    ($rest:literal) => {
        concat!(
            "SELECT site_code, parent, site_type, name, server_name, url, software, root_public_key, key_list,
                ca_fingerprint, status FROM sites ",
            $rest
        )
    };
}

fn link_row(row: &Row) -> Result<LinkRow, DatabaseError> {
    Ok(LinkRow {
        peer: row.parse("peer")?,
        is_above: row.bool("is_above")?,
        fingerprint: row.text("fingerprint")?,
        root_public_key: row.text("root_public_key")?,
        url: row.text("url")?,
        incarnation: row.text("incarnation")?,
        received: row.u64("received")?,
        acknowledged: row.u64("acknowledged")?,
        is_revoked: row.bool("is_revoked")?,
        connected_to: row.text_or_none("connected_to")?,
        last_seen_at: row.time_or_none("last_seen_at")?,
        joined_at: row.time("joined_at")?,
        why: row.why("why")?,
    })
}

macro_rules! select_links {
    ($rest:literal) => {
        concat!(
            "SELECT peer, is_above, fingerprint, root_public_key, url, incarnation, received, acknowledged,
                is_revoked, connected_to, last_seen_at, joined_at, why FROM site_links ",
            $rest
        )
    };
}

impl Tx {
    /// All sites that are known, by code.
    pub async fn sites(&mut self) -> Result<Vec<SiteRow>, DatabaseError> {
        self.rows(select_sites!("ORDER BY site_code"), bind![]).await?.iter().map(site_row).collect()
    }

    /// One site.
    pub async fn site_row(&mut self, code: SiteCode) -> Result<Option<SiteRow>, DatabaseError> {
        let row = self.row(select_sites!("WHERE site_code = $1"), bind![code]).await?;
        row.as_ref().map(site_row).transpose()
    }

    /// The tree as seen from this site.
    ///
    /// Errors: the database's, and `DATABASE_VALUE` before `site init` has ended.
    pub async fn hierarchy(&mut self) -> Result<Hierarchy, DatabaseError> {
        let own = self.own_code().await?;
        let sites = self.sites().await?.into_iter().map(|site| (site.code, site)).collect();
        Ok(Hierarchy { own, sites })
    }

    /// The code of this site.
    ///
    /// Errors: as of [`Tx::hierarchy`].
    pub async fn own_code(&mut self) -> Result<SiteCode, DatabaseError> {
        let row = self.row("SELECT site_code FROM site", bind![]).await?;
        row.map_or_else(
            || {
                Err(DatabaseError::Value {
                    operation: self.operation,
                    column: "site_code",
                    found: "no site".to_owned(),
                })
            },
            |row| row.parse("site_code"),
        )
    }

    /// Keeps a site, new or changed.
    pub async fn put_site(&mut self, site: &SiteRow) -> Result<(), DatabaseError> {
        let is_new = self.site_row(site.code).await?.is_none();
        self.execute(
            "INSERT INTO sites (site_code, parent, site_type, name, server_name, url, software, root_public_key,
                 key_list, ca_fingerprint, status, is_below)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)
             ON CONFLICT (site_code) DO UPDATE SET parent = EXCLUDED.parent, site_type = EXCLUDED.site_type,
                 name = EXCLUDED.name, server_name = EXCLUDED.server_name, url = EXCLUDED.url,
                 software = EXCLUDED.software, root_public_key = EXCLUDED.root_public_key,
                 key_list = EXCLUDED.key_list, ca_fingerprint = EXCLUDED.ca_fingerprint,
                 status = EXCLUDED.status",
            bind![
                site.code,
                site.parent.map(|code| code.to_string()),
                site.site_type.number(),
                &site.name,
                &site.server_name,
                &site.url,
                &site.software,
                &site.root_public_key,
                site.key_list.clone(),
                &site.ca_fingerprint,
                site.status
            ],
        )
        .await?;
        if is_new {
            self.scope_by_default(TYPE_SITE, site.code.as_str()).await?;
        }
        if site.status == STATUS_DELETED {
            self.forget_points_of(site.code).await?;
        }
        self.place_sites().await?;
        self.touch(Kind::Site, site.code.as_str());
        Ok(())
    }

    /// Notes that a site has left: its row stays, marked as deleted; its distribution points and what it
    /// told of them go. False when there is none.
    pub async fn remove_site(&mut self, code: SiteCode) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                "UPDATE sites SET status = $2 WHERE site_code = $1 AND status <> $2",
                bind![code, STATUS_DELETED],
            )
            .await?;
        if changed == 1 {
            self.forget_points_of(code).await?;
            self.place_sites().await?;
            self.touch(Kind::Site, code.as_str());
            self.wake(Wake::Fetch);
        }
        Ok(changed == 1)
    }

    /// Notes which sites stand below this one and which neighbour lies towards each, which is what the
    /// search for wanted content reads.
    async fn place_sites(&mut self) -> Result<(), DatabaseError> {
        let Some(own) = self.site().await?.map(|site| site.code) else { return Ok(()) };
        let sites = self.sites().await?.into_iter().map(|site| (site.code, site)).collect();
        let tree = Hierarchy { own, sites };
        for site in tree.sites.values() {
            let is_below = site.status != STATUS_DELETED && tree.is_below(site.code, own) || site.code == own;
            let next_hop = tree.next_hop(site.code).map(|hop| hop.to_string()).unwrap_or_default();
            self.execute(
                "UPDATE sites SET is_below = $2, next_hop = $3
                 WHERE site_code = $1 AND (is_below <> $2 OR next_hop <> $3)",
                bind![site.code, is_below, next_hop],
            )
            .await?;
        }
        Ok(())
    }

    /// The links to neighbours, by code.
    pub async fn links(&mut self) -> Result<Vec<LinkRow>, DatabaseError> {
        self.rows(select_links!("ORDER BY peer"), bind![]).await?.iter().map(link_row).collect()
    }

    /// The link to one neighbour.
    pub async fn link(&mut self, peer: SiteCode) -> Result<Option<LinkRow>, DatabaseError> {
        let row = self.row(select_links!("WHERE peer = $1"), bind![peer]).await?;
        row.as_ref().map(link_row).transpose()
    }

    /// True when this site has a neighbour. Without one nothing is written for the exchange.
    pub async fn has_links(&mut self) -> Result<bool, DatabaseError> {
        Ok(self.row("SELECT 1 AS one FROM site_links LIMIT 1", bind![]).await?.is_some())
    }

    /// Keeps a link, new or changed. With the first one [`Tx::replicate_everything`] is to follow in
    /// this transaction.
    pub async fn put_link(&mut self, link: &LinkRow) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO site_links (peer, is_above, fingerprint, root_public_key, url, incarnation, received,
                 acknowledged, is_revoked, connected_to, last_seen_at, joined_at, why)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
             ON CONFLICT (peer) DO UPDATE SET is_above = EXCLUDED.is_above,
                 fingerprint = EXCLUDED.fingerprint, root_public_key = EXCLUDED.root_public_key,
                 url = EXCLUDED.url, incarnation = EXCLUDED.incarnation, received = EXCLUDED.received,
                 acknowledged = EXCLUDED.acknowledged, is_revoked = EXCLUDED.is_revoked,
                 connected_to = EXCLUDED.connected_to, last_seen_at = EXCLUDED.last_seen_at,
                 joined_at = EXCLUDED.joined_at, why = EXCLUDED.why",
            bind![
                link.peer,
                link.is_above,
                &link.fingerprint,
                &link.root_public_key,
                &link.url,
                &link.incarnation,
                link.received,
                link.acknowledged,
                link.is_revoked,
                link.connected_to.clone(),
                link.last_seen_at,
                link.joined_at,
                link.why.as_ref()
            ],
        )
        .await?;
        if self.incarnation().await?.is_empty() {
            self.new_incarnation().await?;
        }
        self.wake(Wake::Sites);
        Ok(())
    }

    /// Forgets a link; false when there was none. What came over it stays.
    pub async fn delete_link(&mut self, peer: SiteCode) -> Result<bool, DatabaseError> {
        self.execute("UPDATE replicas SET came_from = NULL WHERE came_from = $1", bind![peer]).await?;
        self.execute("DELETE FROM replicas_waiting WHERE peer = $1", bind![peer]).await?;
        Ok(self.execute("DELETE FROM site_links WHERE peer = $1", bind![peer]).await? == 1)
    }

    /// Notes that `peer` connected to the site process `owner`, with the database `incarnation`, whose
    /// last change has the number `heard_to` if it says so.
    /// A database that is not the one known before is to be sent everything, and followed anew.
    pub async fn link_connected(
        &mut self,
        peer: SiteCode,
        owner: &str,
        (incarnation, heard_to): (&str, Option<u64>),
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.follow_database(peer, incarnation).await?;
        self.execute(
            "UPDATE site_links SET connected_to = $2, last_seen_at = $3, heard_to = $4, why = NULL
             WHERE peer = $1",
            bind![peer, owner, now, heard_to],
        )
        .await
        .map(|_| ())
    }

    /// Notes that the connection of `peer` to `owner` ended.
    pub async fn link_disconnected(
        &mut self,
        peer: SiteCode,
        owner: &str,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE site_links SET connected_to = NULL, last_seen_at = $3
             WHERE peer = $1 AND connected_to = $2",
            bind![peer, owner, now],
        )
        .await
        .map(|_| ())
    }

    /// Notes why there is no connection with `peer`.
    pub async fn link_failed(&mut self, peer: SiteCode, why: &Why) -> Result<(), DatabaseError> {
        self.execute("UPDATE site_links SET why = $2 WHERE peer = $1", bind![peer, Some(why)])
            .await
            .map(|_| ())
    }

    /// Notes that no neighbour is connected to `owner`, whose process has just started.
    pub async fn links_disconnected(&mut self, owner: &str) -> Result<(), DatabaseError> {
        self.execute("UPDATE site_links SET connected_to = NULL WHERE connected_to = $1", bind![owner])
            .await
            .map(|_| ())
    }
}
