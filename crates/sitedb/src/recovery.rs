//! After a restore or a promotion: another epoch, another incarnation, and whom to hear first.
//!
//! A restored database may be older than what holders have seen. The site therefore begins an epoch
//! that outranks all it knows of, tells its neighbours that it is another database, and makes no
//! version before it has heard what the others hold ([`Tx::points_unheard`], [`Tx::neighbours_unheard`]).
//!
//! What it does not do: it copies no keys and no content. Source: docs/formats/backup.md.

use restock_names::{ContentVersion, DistributionPointName, Epoch, PackageId, SiteCode, Timestamp};

use crate::hierarchy::SiteType;
use crate::replica::Kind;
use crate::tx::bind;
use crate::{DatabaseError, Tx};

/// Versions beyond this many above the known one are not believed.
const VERSION_JUMP_MAX: u32 = 1_000_000;
/// Generations beyond this many above the site's own are not believed.
const GENERATION_JUMP_MAX: u32 = 1_000;

impl Tx {
    /// What the site may have.
    ///
    /// Errors: the database's, and `DATABASE_VALUE` for a type that is none.
    pub async fn site_type(&mut self) -> Result<SiteType, DatabaseError> {
        let Some(row) = self.row("SELECT site_type FROM site", bind![]).await? else {
            return Ok(SiteType::Primary);
        };
        let number = row.u32("site_type")?;
        SiteType::of_number(number).map_err(|_unfit| row.refuse("site_type", number))
    }

    /// Notes what the site may have: part of `site init`.
    pub async fn set_site_type(&mut self, site_type: SiteType) -> Result<(), DatabaseError> {
        self.execute("UPDATE site SET site_type = $1", bind![site_type.number()]).await.map(|_| ())
    }

    /// When the database was last restored or promoted.
    pub async fn restored_at(&mut self) -> Result<Option<Timestamp>, DatabaseError> {
        let row = self.row("SELECT restored_at FROM site", bind![]).await?;
        row.map_or(Ok(None), |row| row.time_or_none("restored_at"))
    }

    /// Begins another epoch and another incarnation: what a restore and a promotion have in common.
    /// Tokens that were made before are void, nothing counts as connected, and no run holds a lease. Returns the
    /// epoch.
    pub async fn begin_recovery(&mut self, now: Timestamp) -> Result<Epoch, DatabaseError> {
        let own = self.own_code().await?;
        let mut epoch = self.site().await?.map_or(Epoch::FIRST, |site| site.epoch);
        for row in self.rows("SELECT MAX(owner_epoch) AS epoch FROM packages", bind![]).await? {
            if let Some(of_packages) = row.u32_or_none("epoch")? {
                epoch = epoch.max(Epoch(of_packages));
            }
        }
        let epoch = epoch.next(own);
        self.execute("UPDATE site SET epoch = $1, restored_at = $2", bind![epoch, now]).await?;
        self.new_incarnation().await?;
        self.execute("UPDATE distribution_points SET connected_to = NULL", bind![]).await?;
        self.execute("UPDATE site_links SET connected_to = NULL", bind![]).await?;
        // The runs that a backup shows are of a process that is fenced from here on.
        self.execute(
            "UPDATE refreshes SET lease_run = NULL, lease_owner = NULL, leased_until = NULL",
            bind![],
        )
        .await?;
        // Whether one was used since is not known.
        self.execute("DELETE FROM tokens", bind![]).await?;
        Ok(epoch)
    }

    /// The distribution points of this site that were not heard since `since`, by name: they may hold
    /// versions that this site does not know.
    pub async fn points_unheard(
        &mut self,
        since: Timestamp,
    ) -> Result<Vec<DistributionPointName>, DatabaseError> {
        self.rows(
            "SELECT d.name AS name FROM distribution_points d
             WHERE d.site_code = (SELECT s.site_code FROM site AS s)
               AND (d.last_seen_at IS NULL OR d.last_seen_at < $1)
             ORDER BY name",
            bind![since],
        )
        .await?
        .iter()
        .map(|row| row.parse("name"))
        .collect()
    }

    /// The neighbours that were not heard out since `since`: what they knew when they connected is not
    /// applied here. One that does not say how much that is counts as heard when it has been connected
    /// since `settled`, or was and went away.
    pub async fn neighbours_unheard(
        &mut self,
        since: Timestamp,
        settled: Timestamp,
    ) -> Result<Vec<SiteCode>, DatabaseError> {
        self.rows(
            "SELECT peer FROM site_links
             WHERE is_revoked = 0
               AND (last_seen_at IS NULL OR last_seen_at < $1 OR received < heard_to
                    OR (heard_to IS NULL AND connected_to IS NOT NULL AND last_seen_at > $2))
             ORDER BY peer",
            bind![since, settled],
        )
        .await?
        .iter()
        .map(|row| row.parse("peer"))
        .collect()
    }

    /// Notes that a holder of this restored site has a version: what is published next is above it, in
    /// number and in epoch. Of a site that was never restored, and numbers no site of this age can
    /// have reached, nothing is believed. True when it was news.
    pub async fn heard_of_version(&mut self, held: ContentVersion) -> Result<bool, DatabaseError> {
        let Some(package) = self.package(held.package).await? else { return Ok(false) };
        let own = self.site().await?.map(|site| (site.code, site.epoch));
        let (Some((own, epoch)), Some(_)) = (own, self.restored_at().await?) else { return Ok(false) };
        let is_near = held.version.0.saturating_sub(package.source_version.0) <= VERSION_JUMP_MAX
            && held.epoch.generation().saturating_sub(epoch.generation()) <= GENERATION_JUMP_MAX;
        if !is_near || package.source_site != own {
            return Ok(false);
        }
        let mut is_news = held.version > package.source_version;
        if is_news {
            self.raise_version_floor(held.package, held.version).await?;
        }
        if held.epoch > self.highest_epoch(held.package).await? {
            self.execute(
                "UPDATE packages SET owner_epoch = $2 WHERE package_id = $1",
                bind![held.package, held.epoch.next(own)],
            )
            .await?;
            self.touch(Kind::Owner, held.package.as_str());
            is_news = true;
        }
        Ok(is_news)
    }

    /// Forgets that versions of a package are stored in the site's library, which lost them. What is
    /// announced is then fetched again where somebody holds it.
    pub async fn forget_stored(&mut self, id: PackageId) -> Result<(), DatabaseError> {
        if let Some(package) = self.package(id).await? {
            self.raise_version_floor(id, package.source_version).await?;
        }
        self.execute("DELETE FROM versions WHERE package_id = $1", bind![id]).await?;
        self.execute("UPDATE packages SET stored_version = 0 WHERE package_id = $1", bind![id]).await?;
        Ok(())
    }
}
