//! Packages: what people set and which versions there are.

mod duplicate;
mod options;
mod owner;
mod properties;
mod whole;

use restock_names::{Epoch, LinkPolicy, PackageId, SiteCode, SourceVersion, Timestamp};

use crate::admin::TYPE_PACKAGE;
use crate::replica::Kind;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

pub use duplicate::Duplicate;
pub use options::{Options, PKG_FLAG_COPY_CONTENT, SHARE_COMMON, SHARE_SPECIFIC};
pub use properties::Properties;
pub(crate) use whole::Whole;

/// A package's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its ID, made by the site that created it.
    pub id: PackageId,
    /// Its name.
    pub name: String,
    /// The version of the software in it, as people write it.
    pub package_version: String,
    /// Who made the software.
    pub manufacturer: String,
    /// The language of the software.
    pub language: String,
    /// Free text.
    pub description: String,
    /// Where the source lies, in the caller's form; empty for none.
    pub source_path: String,
    /// 0 unspecified, 1 no source, 2 direct, 3 compress, 4 local.
    pub source_flag: u32,
    /// 1 high, 2 normal, 3 low.
    pub priority: u32,
    /// Whether distribution points serve it to anybody.
    pub is_public: bool,
    /// Whether an empty source is a version, although the one before was not empty.
    pub allow_empty: bool,
    /// What becomes of symbolic links in the source, from the next snapshot on.
    pub link_policy: LinkPolicy,
    /// The site that owns it.
    pub source_site: SiteCode,
    /// The version at the source site; 1 from creation with a source on.
    pub source_version: SourceVersion,
    /// The version in the site's library; 0 before the first.
    pub stored_version: SourceVersion,
    /// The epoch of the stored version.
    pub epoch: Epoch,
    /// Whether it is being deleted and hidden.
    pub is_deleting: bool,
    /// Rises when something changes that distribution points must learn: name, public or not.
    pub settings: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a version was last stored.
    pub last_refresh_at: Option<Timestamp>,
}

impl Package {
    /// True when the package says where its content comes from.
    pub fn has_source(&self) -> bool {
        self.source_flag >= 2 && !self.source_path.is_empty()
    }
}

/// The columns of [`package`], and what follows them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT package_id, name, package_version, manufacturer, language, description,
    source_path, source_flag, priority, is_public, allow_empty, link_policy, source_site, source_version,
    stored_version, epoch, is_deleting, settings, created_at, last_refresh_at FROM packages ",
            $rest
        )
    };
}

fn package(row: &Row) -> Result<Package, DatabaseError> {
    Ok(Package {
        id: row.parse("package_id")?,
        name: row.text("name")?,
        package_version: row.text("package_version")?,
        manufacturer: row.text("manufacturer")?,
        language: row.text("language")?,
        description: row.text("description")?,
        source_path: row.text("source_path")?,
        source_flag: row.u32("source_flag")?,
        priority: row.u32("priority")?,
        is_public: row.bool("is_public")?,
        allow_empty: row.bool("allow_empty")?,
        link_policy: row.parse("link_policy")?,
        source_site: row.parse("source_site")?,
        source_version: row.version("source_version")?,
        stored_version: row.version("stored_version")?,
        epoch: row.epoch("epoch")?,
        is_deleting: row.bool("is_deleting")?,
        settings: row.u64("settings")?,
        created_at: row.time("created_at")?,
        last_refresh_at: row.time_or_none("last_refresh_at")?,
    })
}

impl Tx {
    /// The next number for a package ID; never given twice, also after a deletion.
    pub async fn next_package_number(&mut self) -> Result<u64, DatabaseError> {
        self.next_number("package").await
    }

    /// Adds a package.
    pub async fn insert_package(&mut self, p: &Package) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO packages (package_id, name, package_version, manufacturer, language, description,
                 source_path, source_flag, priority, is_public, allow_empty, link_policy, source_site, source_version,
                 stored_version, epoch, is_deleting, settings, created_at, last_refresh_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
            bind![
                p.id,
                &p.name,
                &p.package_version,
                &p.manufacturer,
                &p.language,
                &p.description,
                &p.source_path,
                p.source_flag,
                p.priority,
                p.is_public,
                p.allow_empty,
                p.link_policy,
                p.source_site,
                p.source_version,
                p.stored_version,
                p.epoch,
                p.is_deleting,
                p.settings,
                p.created_at,
                p.last_refresh_at
            ],
        )
        .await?;
        self.touch(Kind::Package, p.id.as_str());
        self.touch(Kind::Owner, p.id.as_str());
        self.scope_by_default(TYPE_PACKAGE, p.id.as_str()).await
    }

    /// The package, also while it is being deleted.
    pub async fn package(&mut self, id: PackageId) -> Result<Option<Package>, DatabaseError> {
        let row = self.row(select!("WHERE package_id = $1"), bind![id]).await?;
        row.as_ref().map(package).transpose()
    }

    /// All packages by ID, also those being deleted.
    pub async fn packages(&mut self) -> Result<Vec<Package>, DatabaseError> {
        self.rows(select!("ORDER BY package_id"), bind![]).await?.iter().map(package).collect()
    }

    /// Keeps what people can set. Versions and times stay.
    pub async fn update_package(&mut self, p: &Package) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE packages SET name = $2, package_version = $3, manufacturer = $4, language = $5,
                 description = $6, source_path = $7, source_flag = $8, priority = $9, is_public = $10,
                 allow_empty = $11, link_policy = $12, settings = $13
             WHERE package_id = $1",
            bind![
                p.id,
                &p.name,
                &p.package_version,
                &p.manufacturer,
                &p.language,
                &p.description,
                &p.source_path,
                p.source_flag,
                p.priority,
                p.is_public,
                p.allow_empty,
                p.link_policy,
                p.settings
            ],
        )
        .await?;
        self.touch(Kind::Package, p.id.as_str());
        Ok(())
    }

    /// Hides a package that is to be deleted.
    pub async fn mark_package_deleting(&mut self, id: PackageId) -> Result<(), DatabaseError> {
        self.execute("UPDATE packages SET is_deleting = 1 WHERE package_id = $1", bind![id]).await?;
        self.touch(Kind::Package, id.as_str());
        Ok(())
    }

    /// Removes a package's row with its versions and requests; false when there is none. Its
    /// targets must be gone.
    pub async fn delete_package(&mut self, id: PackageId) -> Result<bool, DatabaseError> {
        self.remove_from_scopes(TYPE_PACKAGE, id.as_str()).await?;
        self.touch(Kind::Package, id.as_str());
        Ok(self.execute("DELETE FROM packages WHERE package_id = $1", bind![id]).await? == 1)
    }

    /// Packages being deleted that no distribution point holds any more, and that are this site's to
    /// forget: it owns them, or their owner has forgotten them or has left.
    pub async fn packages_to_forget(&mut self) -> Result<Vec<PackageId>, DatabaseError> {
        self.rows(
            "SELECT package_id FROM packages p WHERE is_deleting = 1
             AND NOT EXISTS (SELECT 1 FROM targets t WHERE t.package_id = p.package_id)
             AND (NOT EXISTS (SELECT 1 FROM sites s WHERE s.site_code = p.source_site AND s.status <> 4)
                 OR p.source_site = COALESCE((SELECT own.site_code FROM site own), p.source_site)
                 OR EXISTS (SELECT 1 FROM replicas r
                     WHERE r.kind = 'package' AND r.object_key = p.package_id AND r.body IS NULL))
             ORDER BY package_id",
            bind![],
        )
        .await?
        .iter()
        .map(|row| row.parse("package_id"))
        .collect()
    }

    /// Makes `version` the stored one; false when the package has moved on since `before` was read, or
    /// another site owns it.
    pub async fn publish_version(
        &mut self,
        id: PackageId,
        before: SourceVersion,
        (epoch, version): (Epoch, SourceVersion),
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                "UPDATE packages SET source_version = $3, stored_version = $3, epoch = $4, last_refresh_at = $5
                 WHERE package_id = $1 AND source_version = $2 AND is_deleting = 0
                   AND (stored_version < $3 OR epoch < $4)
                   AND source_site = COALESCE((SELECT s.site_code FROM site s), source_site)",
                bind![id, before, version, epoch, now],
            )
            .await?;
        Ok(changed == 1)
    }
}
