//! Why a snapshot could not be taken.

use std::io;
use std::path::PathBuf;

use restock_names::{Escaped, NameRule, PathError};

use crate::library::LibraryError;
use crate::manifest::{ManifestBuildError, ManifestError, PageError};

/// Why a snapshot could not be taken. Where a stable code exists the text begins with it.
///
/// Paths are whole paths as the site sees them, so that an administrator can look at once.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The source folder is not there, or is not a folder.
    #[error("SOURCE_NOT_FOUND: the source folder {} cannot be opened", .path.display())]
    NotFound { path: PathBuf, source: io::Error },
    /// The source holds nothing although the version before held something.
    #[error(
        "SOURCE_EMPTY: the source folder {} holds nothing, the version before held {entries} entries",
        .path.display()
    )]
    Empty { path: PathBuf, entries: u64 },
    /// A file or folder may not be read by the account of this process.
    #[error("SOURCE_PERMISSION: the account with uid {account} may not read {}", Escaped(.path))]
    Permission { path: Vec<u8>, account: u32 },
    /// A FIFO, socket or device.
    #[error("SOURCE_SPECIAL_FILE: {} is a {kind}; only files, folders and links can be packaged", Escaped(.path))]
    SpecialFile { path: Vec<u8>, kind: &'static str },
    /// A symbolic link that the package's link policy does not allow.
    #[error("SOURCE_SYMLINK: {} is a link to {}; {problem}", Escaped(.path), Escaped(.target))]
    Symlink { path: Vec<u8>, target: Vec<u8>, problem: &'static str },
    /// A followed link that leads in a circle.
    #[error("SOURCE_SYMLINK_LOOP: {} is a link to {}, which leads in a circle", Escaped(.path), Escaped(.target))]
    SymlinkLoop { path: Vec<u8>, target: Vec<u8> },
    /// The source went on changing while it was read.
    #[error("SOURCE_CHANGED: {} {what} while the source was read", Escaped(.path))]
    Changed { path: Vec<u8>, what: &'static str },
    /// More entries than the limit.
    #[error("SOURCE_TOO_MANY_ENTRIES: the source folder {} holds more than {limit} entries", .path.display())]
    TooManyEntries { path: PathBuf, limit: u64 },
    /// A file above the limit.
    #[error("SOURCE_TOO_LARGE: {} has {size} bytes, at most {limit} are allowed", Escaped(.path))]
    TooLarge { path: Vec<u8>, size: u64, limit: u64 },
    /// A name that other systems cannot hold, in a package whose names must be portable.
    #[error("{}: {} {problem}", .rule.code(), Escaped(.path))]
    Name { rule: NameRule, path: Vec<u8>, problem: String },
    /// A name that no package can hold.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The operating system failed to read the source.
    #[error("SOURCE_READ: failed to read {}", Escaped(.path))]
    Read { path: Vec<u8>, source: io::Error },
    /// The caller asked to stop.
    #[error("the snapshot was cancelled")]
    Cancelled,
    /// The library failed to store or return something.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The manifest could not be written.
    #[error("failed to write the manifest")]
    Manifest { source: ManifestBuildError },
    /// The manifest just written could not be read back.
    #[error("failed to read back the manifest")]
    ReadBack { source: ManifestError },
    /// The scan cache could not be written or read back.
    #[error("failed to write the scan cache {}", .path.display())]
    Cache { path: PathBuf, source: io::Error },
}

impl SnapshotError {
    /// The stable code, by which programs tell errors apart.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "SOURCE_NOT_FOUND",
            Self::Empty { .. } => "SOURCE_EMPTY",
            Self::Permission { .. } => "SOURCE_PERMISSION",
            Self::SpecialFile { .. } => "SOURCE_SPECIAL_FILE",
            Self::Symlink { .. } => "SOURCE_SYMLINK",
            Self::SymlinkLoop { .. } => "SOURCE_SYMLINK_LOOP",
            Self::Changed { .. } => "SOURCE_CHANGED",
            Self::TooManyEntries { .. } => "SOURCE_TOO_MANY_ENTRIES",
            Self::TooLarge { .. } => "SOURCE_TOO_LARGE",
            Self::Name { rule, .. } => rule.code(),
            Self::Path(error) => path_code(error),
            Self::Read { .. } => "SOURCE_READ",
            Self::Cancelled => "CANCELLED",
            Self::Library(error) if error.is_no_space() => "NO_SPACE",
            Self::Library(_) | Self::Manifest { .. } | Self::ReadBack { .. } | Self::Cache { .. } => {
                "LIBRARY"
            }
        }
    }

    /// True when the same source may be read well later without anybody mending it.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::Empty { .. } | Self::Changed { .. } | Self::Read { .. } => true,
            Self::Library(_) | Self::Manifest { .. } | Self::ReadBack { .. } | Self::Cache { .. } => true,
            Self::Permission { .. } | Self::SpecialFile { .. } | Self::TooManyEntries { .. } => false,
            Self::TooLarge { .. } | Self::Name { .. } => false,
            Self::Symlink { .. } | Self::SymlinkLoop { .. } | Self::Path(_) | Self::Cancelled => false,
        }
    }
}

impl From<ManifestBuildError> for SnapshotError {
    fn from(error: ManifestBuildError) -> Self {
        match error {
            ManifestBuildError::Sink(error) => error.into(),
            error => Self::Manifest { source: error },
        }
    }
}

impl From<PageError> for SnapshotError {
    fn from(error: PageError) -> Self {
        let digest = error.digest;
        match error.source.downcast::<LibraryError>() {
            Ok(error) => Self::Library(*error),
            Err(source) => Self::Manifest { source: PageError { digest, source }.into() },
        }
    }
}

fn path_code(error: &PathError) -> &'static str {
    match error {
        PathError::Traversal(_) => "PATH_TRAVERSAL",
        PathError::Absolute(_) => "PATH_ABSOLUTE",
        PathError::Drive(_) => "PATH_DRIVE",
        PathError::Unc(_) => "PATH_UNC",
        PathError::Separator(_) => "PATH_SEPARATOR",
        PathError::ControlChar(_) => "PATH_CONTROL_CHAR",
        PathError::Component(_) => "PATH_COMPONENT",
        PathError::TooLong { .. } => "NAME_TOO_LONG",
    }
}
