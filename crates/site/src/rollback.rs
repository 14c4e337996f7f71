//! Rollback: an older version's content is published again, as a version with a higher number.
//!
//! No content moves: the manifest is in the library, and a distribution point that still keeps the
//! older version fetches nothing. One that is away gets it as it gets any version.

use std::sync::Arc;

use restock_content::statement::Statement;
use restock_names::{ContentVersion, PackageId, SourceVersion, Timestamp};
use restock_sitedb::announced::Announced;
use restock_sitedb::copies::{COPY_STORED, Copy};
use restock_sitedb::version::Version;
use restock_sitedb::{DatabaseError, Tx, message};
use serde::{Deserialize, Serialize};

use crate::message::{chain, distmgr};
use crate::publish::{Published, give_jobs};
use crate::site::blocking;
use crate::{Site, SiteError};

/// How often a version is numbered again because a higher one was heard of meanwhile.
const NUMBERINGS_MAX: u32 = 8;

/// A rollback that was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The version whose content it is.
    pub to: ContentVersion,
    /// The version that was published.
    pub version: ContentVersion,
    /// Entries of it.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Why a package is not rolled back. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    /// There is no such package.
    #[error("NOT_FOUND: there is no package {0}")]
    NoPackage(PackageId),
    /// There was no such version, or it is not kept any more.
    #[error("VERSION_NOT_KEPT: version {version} of package {package} is not in the library")]
    NotKept {
        /// The package.
        package: PackageId,
        /// The version.
        version: SourceVersion,
    },
    /// It is the stored version already.
    #[error("VERSION_CURRENT: version {version} of package {package} is the stored version")]
    Current {
        /// The package.
        package: PackageId,
        /// The version.
        version: SourceVersion,
    },
    /// Content of it is lost.
    #[error("CONTENT_MISSING: version {version} of package {package} is not whole any more")]
    Broken {
        /// The package.
        package: PackageId,
        /// The version.
        version: SourceVersion,
    },
    /// Another site owns it.
    #[error("PACKAGE_NOT_OWNED: package {package} belongs to site {site}")]
    Elsewhere {
        /// The package.
        package: PackageId,
        /// Its owner.
        site: restock_names::SiteCode,
    },
    /// A refresh would publish its source right after it.
    #[error("REFRESH_PENDING: a refresh of package {0} waits or runs, which would undo the rollback")]
    Refreshing(PackageId),
    /// It is being deleted, or higher versions are heard of all the time.
    #[error("PACKAGE_CHANGES: package {0} changes at this moment")]
    Changing(PackageId),
}

impl RollbackError {
    /// The exit code of a command that ends with it: 4 not found, 6 refused.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoPackage(_) | Self::NotKept { .. } => 4,
            _ => 6,
        }
    }

    /// What a person could do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoPackage(_) => Some("restock package list".to_owned()),
            Self::NotKept { package, .. } | Self::Current { package, .. } => {
                Some(format!("restock package history {package}"))
            }
            Self::Broken { .. } => Some("restock library repair".to_owned()),
            Self::Elsewhere { site, .. } => Some(format!("the command at site {site}")),
            Self::Refreshing(package) => Some(format!("restock cancel {package}, then once more")),
            Self::Changing(_) => Some("the command once more".to_owned()),
        }
    }
}

impl Site {
    /// Publishes the content of version `to` again, under the next number.
    ///
    /// Errors: [`RollbackError`]; the library, the database.
    pub async fn roll_back(&self, package: PackageId, to: SourceVersion) -> Result<RolledBack, SiteError> {
        // What the older version refers to stays until the statement of the new one is stored.
        let _hold = self.library().hold();
        for _ in 0..NUMBERINGS_MAX {
            let site = self.code();
            let found: Result<Result<Found, RollbackError>, DatabaseError> = self
                .database()
                .read("rollback", move |tx| Box::pin(async move { find(tx, site, package, to).await }))
                .await;
            let found = found??;
            let library = Arc::clone(self.library());
            let of = found.of.content;
            let root = crate::refresh::manifest_root(&found.of);
            let kept = blocking("a rollback", move || {
                let is_kept = library.statement(&of)?.is_some();
                Ok(if is_kept { Some(library.holds_all(&root)?) } else { None })
            })
            .await?;
            match kept {
                Some(true) => {}
                Some(false) => return Err(RollbackError::Broken { package, version: to }.into()),
                None => return Err(RollbackError::NotKept { package, version: to }.into()),
            }
            match self.publish_again(&found).await? {
                Published::Yes => return Ok(found.told()),
                Published::Overtaken => {}
                Published::Stopped => break,
            }
        }
        Err(RollbackError::Changing(package).into())
    }

    async fn publish_again(&self, found: &Found) -> Result<Published, SiteError> {
        let (content, now) = (found.next, self.clock().now());
        let root = crate::refresh::manifest_root(&found.of);
        let statement = Statement::sign(self.code(), content, root, now, self.trust().signing_key());
        let signed = statement.encode();
        let library = Arc::clone(self.library());
        blocking("a rollback", move || Ok(library.store_statement(&statement)?)).await?;
        let version = Version {
            content,
            bytes_read: 0,
            chunks_new: 0,
            bytes_new: 0,
            published_at: now,
            duration_ms: 0,
            ..found.of.clone()
        };
        let (site, announced) = (self.code(), Announced::new(version, self.code(), signed));
        let published: Result<Published, DatabaseError> = self
            .database()
            .transact("roll_back", move |tx| {
                Box::pin(async move { publish(tx, site, &announced, now).await })
            })
            .await;
        let published = published?;
        let library = Arc::clone(self.library());
        if published != Published::Yes {
            blocking("a rollback", move || Ok(library.remove_statement(&content)?)).await?;
            return Ok(published);
        }
        let (id, to) = (content.package, found.of.content.version);
        distmgr!(info, package.id = %id, package.version = %content.version, "Package {id} was rolled back to version {to}, as version {}", content.version);
        if let Err(error) = blocking("a rollback", move || Ok(library.activate(&content)?)).await {
            // The version is published all the same: the next start lets the pointer follow.
            distmgr!(warn, package.id = %id, "after publishing {content}: {}", chain(&error));
        }
        Ok(Published::Yes)
    }
}

/// The version whose content is wanted, and the number it gets.
#[derive(Debug, Clone)]
struct Found {
    of: Version,
    next: ContentVersion,
}

impl Found {
    fn told(&self) -> RolledBack {
        let Version { content, entries, bytes, .. } = self.of;
        RolledBack { to: content, version: self.next, entries, bytes }
    }
}

async fn find(
    tx: &mut Tx,
    site: restock_names::SiteCode,
    id: PackageId,
    to: SourceVersion,
) -> Result<Result<Found, RollbackError>, DatabaseError> {
    let (Some(package), Some(refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
        return Ok(Err(RollbackError::NoPackage(id)));
    };
    if package.source_site != site {
        return Ok(Err(RollbackError::Elsewhere { package: id, site: package.source_site }));
    }
    if refresh.is_pending() {
        return Ok(Err(RollbackError::Refreshing(id)));
    }
    let Some(of) = tx.version(id, to).await? else {
        return Ok(Err(RollbackError::NotKept { package: id, version: to }));
    };
    if (of.content.epoch, of.content.version) == (package.epoch, package.stored_version) {
        return Ok(Err(RollbackError::Current { package: id, version: to }));
    }
    let Some((epoch, version)) = tx.next_publish(id).await? else {
        return Ok(Err(RollbackError::Changing(id)));
    };
    Ok(Ok(Found { of, next: ContentVersion { package: id, epoch, version } }))
}

/// The transaction: as that of a refresh, without a run.
async fn publish(
    tx: &mut Tx,
    site: restock_names::SiteCode,
    announced: &Announced,
    now: Timestamp,
) -> Result<Published, DatabaseError> {
    let content = announced.version.content;
    let ContentVersion { package: id, epoch, version } = content;
    let (Some(before), Some(refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
        return Ok(Published::Stopped);
    };
    if before.source_site != site || refresh.is_pending() {
        return Ok(Published::Stopped);
    }
    if tx.next_publish(id).await? != Some((epoch, version)) {
        return Ok(Published::Overtaken);
    }
    if !tx.publish_version(id, before.source_version, (epoch, version), now).await? {
        return Ok(Published::Stopped);
    }
    tx.insert_version(&announced.version).await?;
    tx.put_announced(announced).await?;
    let copy = Copy { package: id, site, epoch, version, state: COPY_STORED, why: None, at: now };
    tx.put_copy(&copy).await?;
    tx.raise(&message::updated(id, version), now).await?;
    give_jobs(tx, site, content, &refresh, refresh.done, now).await
}
