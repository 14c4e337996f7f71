//! Why a site cannot be made, opened or run.

use std::path::PathBuf;

use restock_content::library::LibraryError;
use restock_content::snapshot::SnapshotError;
use restock_names::SiteCode;
use restock_sitedb::{DatabaseError, StopCause};
use restock_transfer::{EnrolError, LinkError, TokenError, TrustError};

use crate::backup::ArchiveError;
use crate::rollback::RollbackError;

/// Why a site does not do what was asked. The text begins with the stable code where there is one.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// There is a site already.
    #[error("SITE_EXISTS: {folder} already holds site {code}")]
    Exists {
        /// The data folder.
        folder: PathBuf,
        /// Its code.
        code: SiteCode,
    },
    /// There is none.
    #[error("SITE_NOT_FOUND: {0} holds no site")]
    NotFound(PathBuf),
    /// Database, keys or library belong to different sites.
    #[error("SITE_MISMATCH: {what} in {folder} is of another site than its database")]
    Mismatch {
        /// Which part.
        what: &'static str,
        /// The data folder.
        folder: PathBuf,
    },
    /// A token would live too long.
    #[error("TOKEN_LIFE: a token lives at least a minute and at most 24 hours")]
    TokenLife,
    /// A content token would live too short or too long.
    #[error("CONTENT_TOKEN_LIFE: a content token lives at least a minute and at most 366 days")]
    ContentTokenLife,
    /// A content token would name no package, or too many.
    #[error("CONTENT_TOKEN_PACKAGES: a content token names 1 to 256 packages, or all")]
    ContentTokenPackages,
    /// The site stands below another one already.
    #[error("SITE_HAS_PARENT: the site stands below {0} already")]
    HasParent(SiteCode),
    /// The site is the top of its hierarchy.
    #[error("SITE_TOP: the site stands below no other one")]
    Top,
    /// A neighbour below is wanted, and it is none.
    #[error("SITE_NOT_BELOW: site {0} does not stand directly below this one")]
    NotBelow(SiteCode),
    /// Its type does not allow it.
    #[error("SITE_TYPE: {0}")]
    Type(&'static str),
    /// The token for joining cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The site above did not enrol this one.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// A backup is of SQLite only.
    #[error("BACKUP_ENGINE: the database is on a PostgreSQL server, which saves it itself")]
    BackupEngine,
    /// There is a file already where the backup is to be.
    #[error("BACKUP_EXISTS: {0} is there already")]
    BackupExists(PathBuf),
    /// A file is not a backup that can be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file of a backup or a restore.
    #[error("BACKUP_FILE: failed to {step} {path}")]
    BackupFile {
        /// What was tried.
        step: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A package is not rolled back.
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    /// What the library lacks cannot be read from its source.
    #[error("{0}")]
    Unmended(String),
    /// The site is being run already by this process.
    #[error("SITE_RUNNING: the site already runs")]
    Running,
    /// The database stopped: a write failed or a page is damaged.
    #[error("{0}")]
    DatabaseStopped(StopCause),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The library failed.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// Keys or certificates failed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The listener failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A snapshot's leftovers could not be put in place.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A plan cannot be made or carried out.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// A part of the program ended unexpectedly.
    #[error("{0} ended unexpectedly")]
    Panicked(&'static str),
}

impl SiteError {
    /// The stable code, by which programs tell errors apart.
    pub fn code(&self) -> String {
        let text = self.to_string();
        match text.split_once(": ") {
            Some((code, _)) if code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => code.to_owned(),
            _ => "SITE_FAILED".to_owned(),
        }
    }

    /// The exit code of a command that ends with it: 4 not found, 6 refused, 2 usage, 1 failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) | Self::Library(LibraryError::NotFound(_)) => 4,
            Self::Exists { .. }
            | Self::Running
            | Self::HasParent(_)
            | Self::Top
            | Self::NotBelow(_)
            | Self::Type(_)
            | Self::BackupEngine
            | Self::BackupExists(_)
            | Self::Archive(ArchiveError::Format(_) | ArchiveError::Damaged(_))
            | Self::Enrol(EnrolError::Link(LinkError::Refused(_)))
            | Self::Library(LibraryError::Locked { .. }) => 6,
            Self::Plan(error) => error.exit_code(),
            Self::TokenLife | Self::Token(_) | Self::ContentTokenLife | Self::ContentTokenPackages => 2,
            Self::Rollback(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// What a person could do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Exists { .. } => Some("restock site run, or another --data folder".to_owned()),
            Self::NotFound(_) => Some("restock site init".to_owned()),
            Self::TokenLife => Some("--valid 24h".to_owned()),
            Self::ContentTokenLife => Some("--valid 30d".to_owned()),
            Self::ContentTokenPackages => Some("--all, or fewer packages in each token".to_owned()),
            Self::HasParent(_) => Some("restock site leave".to_owned()),
            Self::NotBelow(_) => Some("restock site tree; a site is removed at the one above it".to_owned()),
            Self::Token(_) => {
                Some("restock token create CODE --kind site, at the site that is to be above".to_owned())
            }
            Self::BackupEngine => {
                Some("pg_dump for the database, and a copy of the folders keys and join".to_owned())
            }
            Self::BackupExists(_) => Some("another file name".to_owned()),
            Self::Archive(_) => Some("another backup".to_owned()),
            Self::Rollback(error) => error.hint(),
            Self::Library(LibraryError::Locked { .. }) => Some(
                "the command while the site runs, through its control socket, or stop that process"
                    .to_owned(),
            ),
            Self::Plan(error) => error.hint(),
            Self::Link(LinkError::Bind { .. }) => Some("another listen address".to_owned()),
            Self::DatabaseStopped(StopCause::Failed(_)) => {
                Some("check the disk, then start the site again".to_owned())
            }
            Self::DatabaseStopped(StopCause::Damaged(_)) => {
                Some("check the disk, then restore a backup with restock site restore".to_owned())
            }
            _ => None,
        }
    }
}
