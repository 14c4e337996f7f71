//! Restoring a backup, and promoting a copy of a site: both begin another epoch.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use restock_content::files::DiskFiles;
use restock_content::library::{Library, LibraryError, Role};
use restock_names::{Clock, ContentVersion, Epoch, PackageId, SiteCode, Timestamp};
use restock_sitedb::package::Package;
use restock_sitedb::{Database, DatabaseError};
use restock_transfer::SiteTrust;
use serde::{Deserialize, Serialize};

use super::archive::{self, CONFIGURATION, DATABASE, Head};
use super::{ArchiveError, create_private, failed, sync_folder_of};
use crate::message::distmgr;
use crate::site::blocking;
use crate::{Site, SiteConfig, SiteError};

/// The serial of the key list rises by this much: above every list that holders have seen since.
const SERIAL_STEP: u32 = 1 << 16;

/// A site that was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its code.
    pub site: SiteCode,
    /// The epoch that begins with it.
    pub epoch: Epoch,
    /// The moment the backup is of.
    pub made_at: Timestamp,
    /// Packages whose stored version the library does not hold: an update brings it back, or a site
    /// that has it.
    pub packages_missing: u64,
}

/// A site that acts in place of the machine before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoted {
    /// Its code.
    pub site: SiteCode,
    /// The epoch that begins with it.
    pub epoch: Epoch,
}

impl Site {
    /// Puts the backup at `path` into the configured data folder, which holds no site. A library that
    /// lies there is taken up, else an empty one is made.
    ///
    /// Errors: [`SiteError::Exists`]; [`SiteError::Archive`]; [`SiteError::BackupEngine`] when PostgreSQL
    /// is configured; the files. After an error it can be called again.
    pub async fn restore(
        config: &SiteConfig,
        path: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Restored, SiteError> {
        if config.database_url.is_some() {
            return Err(SiteError::BackupEngine);
        }
        let (of, from) = (config.clone(), path.to_owned());
        let head = blocking("restoring a backup", move || unpack(&of, &from)).await?;
        let staged = SiteConfig { data: restoring(config), ..config.clone() };
        let library = Arc::new(open_library(config).await?);
        raise_serial(&staged, &clock).await?;
        let database = Database::open_file(&staged.database_file()).await?;
        let changed = begin(&database, &library, clock.now()).await;
        // Closed, the file is whole without its log.
        database.close().await;
        let (epoch, packages_missing) = changed?;
        drop(library);
        let of = config.clone();
        blocking("restoring a backup", move || take_places(&of)).await?;
        distmgr!(warn, site = %head.site, epoch = epoch.0, packages_missing, "site {} was restored from a backup", head.site);
        Ok(Restored { site: head.site, epoch, made_at: head.made_at, packages_missing })
    }

    /// Makes the site in the data folder, a copy of one that ran elsewhere, act in its place: it begins
    /// another epoch, so what the other publishes from here on is refused everywhere.
    ///
    /// The site must not run here. Errors: what [`Site::open`] says.
    pub async fn promote(config: &SiteConfig, clock: Arc<dyn Clock>) -> Result<Promoted, SiteError> {
        // The lock of the library shows that it does not run.
        let site = Self::open(config.clone(), Arc::clone(&clock)).await?;
        let begun = begin(site.database(), site.library(), clock.now()).await;
        let code = site.code();
        site.close().await;
        drop(site);
        let (epoch, _) = begun?;
        raise_serial(config, &clock).await?;
        distmgr!(warn, site = %code, epoch = epoch.0, "site {code} was promoted");
        Ok(Promoted { site: code, epoch })
    }
}

fn restoring(config: &SiteConfig) -> PathBuf {
    config.data.join("restoring")
}

/// Unpacks a backup beside the places its parts will take.
fn unpack(config: &SiteConfig, path: &Path) -> Result<Head, SiteError> {
    let folder = restoring(config);
    if config.database_file().exists() || config.keys().exists() && !folder.exists() {
        let code = SiteTrust::open(&config.keys(), &restock_names::SystemClock).map(|trust| trust.site());
        return match code {
            Ok(code) => Err(SiteError::Exists { folder: config.data.clone(), code }),
            Err(error) => Err(error.into()),
        };
    }
    let input = File::open(path).map_err(failed("open", path))?;
    // Of an earlier attempt.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed("remove", &folder))?;
    }
    for at in [config.data.clone(), folder.clone(), folder.join("keys")] {
        fs::create_dir_all(&at).map_err(failed("create", &at))?;
    }
    let open = |name: &str| {
        let at = folder.join(name);
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent)?;
        }
        create_private(&at).map(BufWriter::new)
    };
    let close = |out: BufWriter<File>| out.into_inner().map_err(|error| error.into_error())?.sync_all();
    let read = archive::read(input, open, close);
    let head = match read {
        Ok(head) => head,
        Err(error) => {
            fs::remove_dir_all(&folder).map_err(failed("remove", &folder))?;
            return Err(error.into());
        }
    };
    if !folder.join(DATABASE).exists() || !folder.join("keys/ca.pem").exists() {
        fs::remove_dir_all(&folder).map_err(failed("remove", &folder))?;
        return Err(ArchiveError::Format("the backup has no database or no keys").into());
    }
    Ok(head)
}

async fn open_library(config: &SiteConfig) -> Result<Library, SiteError> {
    let folder = config.library();
    blocking("opening a library", move || match Library::create(Arc::new(DiskFiles), &folder, Role::Site) {
        Err(LibraryError::Exists(_)) => Ok(Library::open(Arc::new(DiskFiles), &folder)?.0),
        made => Ok(made?),
    })
    .await
}

async fn raise_serial(config: &SiteConfig, clock: &Arc<dyn Clock>) -> Result<(), SiteError> {
    let (keys, clock) = (config.keys(), Arc::clone(clock));
    blocking("keeping a key list", move || {
        let trust = SiteTrust::open(&keys, &*clock)?;
        let seen = trust.key_list().serial.saturating_add(SERIAL_STEP);
        trust.raise_key_list_serial(seen)?;
        Ok(())
    })
    .await
}

/// Begins another epoch, and forgets what the library does not hold.
async fn begin(
    database: &Database,
    library: &Arc<Library>,
    now: Timestamp,
) -> Result<(Epoch, u64), SiteError> {
    let packages: Result<Vec<Package>, DatabaseError> =
        database.read("packages", |tx| Box::pin(async move { tx.packages().await })).await;
    let (packages, at) = (packages?, Arc::clone(library));
    let missing = blocking("looking at a library", move || Ok(missing(&at, &packages))).await?;
    let count = missing.len() as u64;
    let epoch: Result<Epoch, DatabaseError> = database
        .transact("recovery", move |tx| {
            Box::pin(async move {
                for package in missing {
                    tx.forget_stored(package).await?;
                }
                tx.begin_recovery(now).await
            })
        })
        .await;
    Ok((epoch?, count))
}

/// Packages whose stored version has no statement in the library.
fn missing(library: &Library, packages: &[Package]) -> Vec<PackageId> {
    let is_missing = |package: &&Package| {
        let content =
            ContentVersion { package: package.id, epoch: package.epoch, version: package.stored_version };
        content.version.0 > 0 && !library.statement(&content).is_ok_and(|found| found.is_some())
    };
    packages.iter().filter(is_missing).map(|package| package.id).collect()
}

/// Renames what was restored to its places; the database last: without it there is no site.
fn take_places(config: &SiteConfig) -> Result<(), SiteError> {
    let from = restoring(config);
    for name in ["keys", "join"] {
        let (staged, place) = (from.join(name), config.data.join(name));
        if place.exists() {
            // Of an attempt that was cut off here.
            fs::remove_dir_all(&place).map_err(failed("remove", &place))?;
        }
        if staged.exists() {
            fs::rename(&staged, &place).map_err(failed("rename", &place))?;
        }
    }
    let (staged, place) = (from.join(CONFIGURATION), config.data.join(CONFIGURATION));
    if staged.exists() && !place.exists() {
        fs::rename(&staged, &place).map_err(failed("rename", &place))?;
    }
    sync_folder_of(&config.database_file())?;
    let place = config.database_file();
    fs::rename(from.join(DATABASE), &place).map_err(failed("rename", &place))?;
    sync_folder_of(&place)?;
    fs::remove_dir_all(&from).map_err(failed("remove", &from))
}
