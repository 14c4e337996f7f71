//! Which site owns a package, and which version it may publish next.

use restock_names::{Epoch, PackageId, SiteCode, SourceVersion, Timestamp};

use super::Package;
use crate::hierarchy::STATUS_DELETED;
use crate::replica::Kind;
use crate::tx::bind;
use crate::{DatabaseError, Tx, Wake};

impl Tx {
    /// Gives a package to the site `to`; returns the epoch that begins with it. No file moves: the
    /// new owner publishes the next version.
    pub async fn set_source_site(
        &mut self,
        id: PackageId,
        to: SiteCode,
        now: Timestamp,
    ) -> Result<Epoch, DatabaseError> {
        let epoch = self.highest_epoch(id).await?.next(to);
        self.change_owner(id, to, epoch, now).await?;
        self.touch(Kind::Owner, id.as_str());
        Ok(epoch)
    }

    /// The package belongs to the site `to` from this transaction on. A run of this site that has not
    /// published cannot any more; what was asked for goes over to the new owner.
    pub(crate) async fn change_owner(
        &mut self,
        id: PackageId,
        to: SiteCode,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.noted_now = Some(now);
        let own = self.own_code().await?;
        let before = self.package(id).await?.map(|package| package.source_site);
        self.execute(
            "UPDATE packages SET source_site = $2, owner_epoch = $3 WHERE package_id = $1",
            bind![id, to, epoch],
        )
        .await?;
        if to == own && before != Some(own) {
            self.reckon_schedule(id, now).await?;
            self.take_over_requests(id, own, now).await?;
        } else if to != own && before == Some(own) {
            self.hand_over_requests(id, own, now).await?;
        } else if to != own {
            self.mirror_refresh(id, now).await?;
        }
        self.touch(Kind::Running, id.as_str());
        self.wake(Wake::Refresh);
        self.wake(Wake::Fetch);
        Ok(())
    }

    /// The epoch in which the owner took the package over.
    pub(crate) async fn owner_epoch(&mut self, id: PackageId) -> Result<Epoch, DatabaseError> {
        let row = self.row("SELECT owner_epoch FROM packages WHERE package_id = $1", bind![id]).await?;
        row.map_or(Ok(Epoch::FIRST), |row| row.epoch("owner_epoch"))
    }

    /// True when the site that owns the package is not known or has left: nobody refreshes it until
    /// another site takes it over.
    pub async fn is_orphaned(&mut self, package: &Package) -> Result<bool, DatabaseError> {
        let row = self
            .row(
                "SELECT 1 AS one FROM sites WHERE site_code = $1 AND status <> $2
                 UNION ALL SELECT 1 FROM site WHERE site_code = $1",
                bind![package.source_site, STATUS_DELETED],
            )
            .await?;
        Ok(row.is_none())
    }

    /// The epoch and number of the version this site publishes next; `None` when it does not own the
    /// package, or numbers have run out.
    ///
    /// Above every number and epoch that was seen here, refused ones too: what was published twice by
    /// two owners stays two versions. The first version of a package created with a source is the one
    /// that is shown already.
    pub async fn next_publish(
        &mut self,
        id: PackageId,
    ) -> Result<Option<(Epoch, SourceVersion)>, DatabaseError> {
        let row = self
            .row(
                "SELECT p.source_version, p.stored_version, p.version_floor, r.creation_seq, r.done_seq
                 FROM packages p JOIN refreshes r ON r.package_id = p.package_id
                 WHERE p.package_id = $1 AND p.source_site = (SELECT s.site_code FROM site s)",
                bind![id],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (source, stored) = (row.version("source_version")?, row.version("stored_version")?);
        let floor = row.version("version_floor")?;
        let is_first = row.u64("creation_seq")? > row.u64("done_seq")? && stored.0 == 0 && floor.0 == 0;
        let version = if is_first { Some(source) } else { source.max(floor).next() };
        let own = self.own_code().await?;
        let highest = self.highest_epoch(id).await?;
        let epoch = if highest.signer(id) == Some(own) { highest } else { highest.next(own) };
        Ok(version.map(|version| (epoch, version)))
    }

    /// Notes that a version with this number was seen somewhere: the next one is above it.
    pub async fn raise_version_floor(
        &mut self,
        id: PackageId,
        seen: SourceVersion,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE packages SET version_floor = $2 WHERE package_id = $1 AND version_floor < $2",
            bind![id, seen],
        )
        .await
        .map(|_| ())
    }

    /// The highest epoch that concerns a package: of its owner, of a version that is known, and of
    /// this site where it owns the package.
    pub(crate) async fn highest_epoch(&mut self, id: PackageId) -> Result<Epoch, DatabaseError> {
        let row = self
            .row(
                "SELECT MAX(epoch) AS epoch FROM (
                     SELECT owner_epoch AS epoch FROM packages WHERE package_id = $1
                     UNION ALL SELECT epoch FROM packages WHERE package_id = $1
                     UNION ALL SELECT epoch FROM announced WHERE package_id = $1
                     UNION ALL SELECT s.epoch FROM site s JOIN packages p ON p.source_site = s.site_code
                         WHERE p.package_id = $1) AS known",
                bind![id],
            )
            .await?;
        Ok(match row {
            Some(row) if row.i64_or_none("epoch")?.is_some() => row.epoch("epoch")?,
            _ => Epoch::FIRST,
        })
    }
}
