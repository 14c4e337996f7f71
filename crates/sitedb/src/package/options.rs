//! How a package's source is taken and what its points keep of it: what no refresh and no view needs
//! in every row of a package.

use restock_names::{ExcludeRules, NamesPolicy, PackageId};

use super::Properties;
use crate::replica::Kind;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx, Why};

/// Bit of `PkgFlags` (`COPY_CONTENT`): points keep the content in a folder of the common share too.
pub const PKG_FLAG_COPY_CONTENT: u32 = 0x80;
/// `ShareType` of a package whose folder has a name of its own.
pub const SHARE_SPECIFIC: u32 = 2;
/// `ShareType` of all others.
pub const SHARE_COMMON: u32 = 1;

/// How the next snapshot takes the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What becomes of names that other systems cannot hold.
    pub names_policy: NamesPolicy,
    /// What is left out.
    pub excludes: ExcludeRules,
}

impl Properties {
    /// The folder in which points keep the package's files beside their library; none for most.
    ///
    /// It is `ShareName` where that is the package's own, and the package ID where the flags ask for a
    /// copy in the common share.
    pub fn share_folder(&self, id: PackageId) -> Option<String> {
        share_folder(id, &self.share_name, self.share_type, self.pkg_flags)
    }
}

fn share_folder(id: PackageId, name: &str, share_type: u32, flags: u32) -> Option<String> {
    match share_type {
        SHARE_SPECIFIC if !name.is_empty() => Some(name.to_owned()),
        SHARE_COMMON if flags & PKG_FLAG_COPY_CONTENT != 0 => Some(id.to_string()),
        _ => None,
    }
}

/// Of a row that has every column of them.
pub(super) fn options(row: &Row) -> Result<Options, DatabaseError> {
    Ok(Options { names_policy: row.parse("names_policy")?, excludes: row.parse("excludes")? })
}

impl Tx {
    /// How the source of a package is taken; the default when there is no such package.
    pub async fn package_options(&mut self, id: PackageId) -> Result<Options, DatabaseError> {
        let row =
            self.row("SELECT names_policy, excludes FROM packages WHERE package_id = $1", bind![id]).await?;
        row.as_ref().map_or_else(|| Ok(Options::default()), options)
    }

    /// Keeps how the source of a package is taken.
    pub async fn set_package_options(
        &mut self,
        id: PackageId,
        options: &Options,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE packages SET names_policy = $2, excludes = $3 WHERE package_id = $1",
            bind![id, options.names_policy.as_str(), options.excludes.to_lines()],
        )
        .await?;
        self.touch(Kind::Package, id.as_str());
        Ok(())
    }

    /// What the last refresh at this site warned of.
    pub async fn package_warnings(&mut self, id: PackageId) -> Result<Vec<Why>, DatabaseError> {
        let row = self.row("SELECT warnings FROM packages WHERE package_id = $1", bind![id]).await?;
        let text = row.map_or(Ok(String::new()), |row| row.text("warnings"))?;
        // Written here only; a text of another release is no reason to show nothing of the package.
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Keeps what a refresh warned of, in place of what the one before did.
    pub async fn set_package_warnings(
        &mut self,
        id: PackageId,
        warnings: &[Why],
    ) -> Result<(), DatabaseError> {
        let text = match warnings {
            [] => String::new(),
            warnings => serde_json::to_string(warnings).expect("reasons are plain data"),
        };
        self.execute(
            "UPDATE packages SET warnings = $2 WHERE package_id = $1 AND warnings <> $2",
            bind![id, text],
        )
        .await?;
        Ok(())
    }

    /// See [`Properties::share_folder`].
    pub async fn package_share(&mut self, id: PackageId) -> Result<Option<String>, DatabaseError> {
        let row = self
            .row("SELECT share_name, share_type, pkg_flags FROM packages WHERE package_id = $1", bind![id])
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(share_folder(id, &row.text("share_name")?, row.u32("share_type")?, row.u32("pkg_flags")?))
    }

    /// Notes that points must learn something of the package.
    pub async fn raise_package_settings(&mut self, id: PackageId) -> Result<(), DatabaseError> {
        self.execute("UPDATE packages SET settings = settings + 1 WHERE package_id = $1", bind![id]).await?;
        Ok(())
    }
}
