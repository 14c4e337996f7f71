//! Packages that use the same share name or source.

use restock_names::{PackageId, SiteCode};

use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// Duplicates that are reported at most.
const DUPLICATES_MAX: u32 = 1_000;

/// A package that uses a name already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The package.
    pub id: PackageId,
    /// Its name.
    pub name: String,
    /// `PackageType`.
    pub package_type: u32,
}

fn duplicate(row: &Row) -> Result<Duplicate, DatabaseError> {
    Ok(Duplicate {
        id: row.parse("package_id")?,
        name: row.text("name")?,
        package_type: row.u32("package_type")?,
    })
}

impl Tx {
    /// Packages beside `except` that have `share` as a share name of their own, in any letter case.
    ///
    /// Shape: by ID, at most 1,000, none that is being deleted.
    pub async fn packages_with_share(
        &mut self,
        share: &str,
        except: Option<PackageId>,
    ) -> Result<Vec<Duplicate>, DatabaseError> {
        let except = except.map_or_else(String::new, |id| id.to_string());
        let rows = self
            .rows(
                "SELECT package_id, name, package_type FROM packages
                 WHERE share_name = $1 AND share_name <> '' AND share_type = 2 AND is_deleting = 0
                     AND package_id <> $2
                 ORDER BY package_id LIMIT $3",
                bind![share, except, DUPLICATES_MAX],
            )
            .await?;
        rows.iter().map(duplicate).collect()
    }

    /// Packages beside `except`, of the site `owner` if one is given, whose source path is `path` in
    /// any letter case.
    ///
    /// Shape: as of [`Tx::packages_with_share`].
    pub async fn packages_with_source(
        &mut self,
        path: &str,
        owner: Option<SiteCode>,
        except: Option<PackageId>,
    ) -> Result<Vec<Duplicate>, DatabaseError> {
        let except = except.map_or_else(String::new, |id| id.to_string());
        let owner = owner.map_or_else(String::new, |site| site.to_string());
        let rows = self
            .rows(
                "SELECT package_id, name, package_type FROM packages
                 WHERE source_path = $1 AND source_path <> '' AND is_deleting = 0 AND package_id <> $2
                     AND ($3 = '' OR source_site = $3)
                 ORDER BY package_id LIMIT $4",
                bind![path, except, owner, DUPLICATES_MAX],
            )
            .await?;
        rows.iter().map(duplicate).collect()
    }
}
