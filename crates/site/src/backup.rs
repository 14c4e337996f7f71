//! Backups of a site: what cannot be made again, in one file.
//!
//! A restored site, and one that was promoted, begins an epoch above all it knows of and makes no
//! version before the others have said what they hold: see [`crate::RefreshLoop`].
//!
//! What it does not do: content is in no backup. Source: docs/formats/backup.md.

mod archive;
mod restore;

pub use archive::ArchiveError;
#[doc(hidden)]
pub use archive::fuzz_one as fuzz_backups;
pub use restore::{Promoted, Restored};

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use restock_names::{SiteCode, Timestamp};
use serde::{Deserialize, Serialize};

use crate::message::distmgr;
use crate::site::blocking;
use crate::{Site, SiteConfig, SiteError};
use archive::{ArchiveWriter, CONFIGURATION, DATABASE, Head, PARTS_MAX, is_part};

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// The site.
    pub site: SiteCode,
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Parts in it: database, keys, enrolment, configuration.
    pub files: u32,
    /// The moment it is of.
    pub made_at: Timestamp,
}

impl Site {
    /// Writes a backup to `path`, where nothing lies yet. The site may run: the database is copied
    /// as of one moment. The file holds private keys and has mode 0600.
    ///
    /// Errors: [`SiteError::BackupEngine`] on PostgreSQL; [`SiteError::BackupExists`]; the files. After an
    /// error nothing is left.
    pub async fn backup(&self, path: &Path) -> Result<BackedUp, SiteError> {
        let (config, head) = (self.config().clone(), Head { site: self.code(), made_at: self.clock().now() });
        let (path, beside) = (path.to_owned(), with_suffix(path, ".part"));
        let copy = with_suffix(&path, ".site.db");
        for new in [&path, &beside, &copy] {
            if new.symlink_metadata().is_ok() {
                return Err(SiteError::BackupExists(new.clone()));
            }
        }
        // Others must not be able to read the copy meanwhile: SQLite keeps the mode of what is there.
        create_private(&copy).map_err(failed("create", &copy))?;
        let copied = self.database().copy_to(&copy).await;
        let (from, to, at) = (copy.clone(), beside.clone(), path.clone());
        let written = match copied {
            Ok(true) => blocking("a backup", move || write(&config, head, &from, &to, &at)).await,
            Ok(false) => Err(SiteError::BackupEngine),
            Err(error) => Err(error.into()),
        };
        for left in [copy, beside] {
            if let Err(error) = fs::remove_file(&left)
                && error.kind() != io::ErrorKind::NotFound
            {
                distmgr!(warn, path = %left.display(), %error, "a file of the backup was left behind");
            }
        }
        let (files, bytes) = written?;
        distmgr!(info, path = %path.display(), bytes, "the site was backed up");
        Ok(BackedUp { site: head.site, path, bytes, files, made_at: head.made_at })
    }
}

fn write(
    config: &SiteConfig,
    head: Head,
    database: &Path,
    beside: &Path,
    path: &Path,
) -> Result<(u32, u64), SiteError> {
    let out = create_private(beside).map_err(failed("create", beside))?;
    let mut archive = ArchiveWriter::begin(out, head)?;
    for (name, file) in small_parts(config)? {
        archive.add(&name, &file)?;
    }
    archive.add(DATABASE, database)?;
    let (out, files, bytes) = archive.finish()?;
    out.sync_all().map_err(failed("sync", beside))?;
    fs::rename(beside, path).map_err(failed("rename", path))?;
    sync_folder_of(path)?;
    Ok((files, bytes))
}

/// The files of keys, enrolment and configuration, with the names they have in a backup.
fn small_parts(config: &SiteConfig) -> Result<Vec<(String, PathBuf)>, SiteError> {
    let mut parts = Vec::new();
    for (folder, at) in [("keys", config.keys()), ("join", config.join())] {
        let entries = match fs::read_dir(&at) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("read", &at)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed("read", &at))?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let is_file = entry.file_type().map_err(failed("read", &at))?.is_file();
            if is_file && is_part(&name) && !name.ends_with(".tmp") {
                parts.push((name, entry.path()));
            }
        }
    }
    let configuration = config.data.join(CONFIGURATION);
    if configuration.is_file() {
        parts.push((CONFIGURATION.to_owned(), configuration));
    }
    parts.sort();
    if parts.len() >= PARTS_MAX {
        return Err(ArchiveError::Format("the folders hold too many files").into());
    }
    Ok(parts)
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_folder_of(path: &Path) -> Result<(), SiteError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SiteError {
    let path = path.to_owned();
    move |source| SiteError::BackupFile { step, path, source }
}
