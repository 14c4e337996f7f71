//! What each site holds of a package: the rows of type 1 of `SMS_PackageStatus`.

use restock_names::{Epoch, PackageId, SiteCode, SourceVersion, Timestamp};

use crate::replica::Kind;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx, Wake, Why};

/// [`Copy::state`]: asked for.
pub const COPY_ASKED: u32 = 0;
/// [`Copy::state`]: on its way to the site.
pub const COPY_SENDING: u32 = 1;
/// [`Copy::state`]: stored there.
pub const COPY_STORED: u32 = 3;
/// [`Copy::state`]: an attempt failed, another follows.
pub const COPY_RETRYING: u32 = 4;
/// [`Copy::state`]: given up.
pub const COPY_FAILED: u32 = 5;

/// What a site holds of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The package.
    pub package: PackageId,
    /// The site.
    pub site: SiteCode,
    /// The epoch of the version.
    pub epoch: Epoch,
    /// The version that `state` is about.
    pub version: SourceVersion,
    /// [`COPY_ASKED`] to [`COPY_FAILED`].
    pub state: u32,
    /// Why it is not stored.
    pub why: Option<Why>,
    /// When it became so.
    pub at: Timestamp,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT package_id, site, epoch, version, state, why, at FROM copies ", $rest)
    };
}

fn copy(row: &Row) -> Result<Copy, DatabaseError> {
    Ok(Copy {
        package: row.parse("package_id")?,
        site: row.parse("site")?,
        epoch: row.epoch("epoch")?,
        version: row.version("version")?,
        state: row.u32("state")?,
        why: row.why("why")?,
        at: row.time("at")?,
    })
}

impl Tx {
    /// All copies by package and site.
    pub async fn copies(&mut self) -> Result<Vec<Copy>, DatabaseError> {
        self.rows(select!("ORDER BY package_id, site"), bind![]).await?.iter().map(copy).collect()
    }

    /// The copies of a package by site.
    pub async fn copies_of(&mut self, package: PackageId) -> Result<Vec<Copy>, DatabaseError> {
        let rows = self.rows(select!("WHERE package_id = $1 ORDER BY site"), bind![package]).await?;
        rows.iter().map(copy).collect()
    }

    /// Keeps what a site holds of a package.
    pub async fn put_copy(&mut self, c: &Copy) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO copies (package_id, site, epoch, version, state, why, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (package_id, site) DO UPDATE SET epoch = EXCLUDED.epoch, version = EXCLUDED.version,
                 state = EXCLUDED.state, why = EXCLUDED.why, at = EXCLUDED.at",
            bind![c.package, c.site, c.epoch, c.version, c.state, c.why.as_ref(), c.at],
        )
        .await?;
        self.touch(Kind::Copy, format!("{}/{}", c.package, c.site));
        self.wake(Wake::Fetch);
        Ok(())
    }

    /// Forgets what a site holds of a package: content that was only passed on.
    pub async fn delete_copy(&mut self, package: PackageId, site: SiteCode) -> Result<(), DatabaseError> {
        self.execute("DELETE FROM copies WHERE package_id = $1 AND site = $2", bind![package, site]).await?;
        self.touch(Kind::Copy, format!("{package}/{site}"));
        Ok(())
    }
}
