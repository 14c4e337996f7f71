//! A site: database, library and keys in one data folder, and the loops over them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use restock_content::files::DiskFiles;
use restock_content::library::{Cleaner, Library, LibraryError, Role};
use restock_content::manifest::ManifestRoot;
use restock_names::{Clock, ContentVersion, Epoch, PackageId, SiteCode, SourceVersion};
use restock_sitedb::hierarchy::SiteType;
use restock_sitedb::site::Site as SiteRecord;
use restock_sitedb::{Database, DatabaseError};
use restock_transfer::{Links, Run, SiteTrust, TrustError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clean::disagreement;
use crate::distribute::Told;
use crate::fetch::{Asked, Upstream};
use crate::keys::{self, hex};
use crate::message::{chain, distmgr};
use crate::own_row::{self, Facts};
use crate::plan::Plans;
use crate::refresh::manifest_root;
use crate::scrub::Holders;
use crate::{
    CleanLoop, DistributeLoop, Fetch, FetchLoop, LinkFetch, Made, ProgressBoard, RefreshLoop, ScheduleLoop,
    ScrubLoop, Side, SiteConfig, SiteError,
};

/// A site that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteInitialised {
    /// Its code.
    pub site: SiteCode,
    /// Its data folder.
    pub data: PathBuf,
    /// SHA-256 of its CA's certificate, in hex.
    pub ca_fingerprint: String,
    /// Its root public key, in hex.
    pub root_public_key: String,
}

/// An open site. Cheap to clone; the library is this process's alone until the last clone is gone.
#[derive(Debug, Clone)]
pub struct Site {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: SiteConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) database: Database,
    pub(crate) library: Arc<Library>,
    pub(crate) cleaner: Arc<Cleaner>,
    pub(crate) trust: Arc<SiteTrust>,
    pub(crate) links: Links,
    pub(crate) board: ProgressBoard,
    pub(crate) plans: Plans,
    told: Arc<Told>,
    asked: Asked,
    /// The enrolment at the site above that is in use.
    pub(crate) upstream: Upstream,
    /// Ends the connection to the site above.
    pub(crate) upstream_ends: Mutex<Option<CancellationToken>>,
    pub(crate) listening: watch::Sender<Option<SocketAddr>>,
    pub(crate) is_running: AtomicBool,
}

impl Site {
    /// Makes a site: keys, library, database, in this order. The row of the site comes last, so an
    /// interrupted call is taken up by the next one.
    ///
    /// Errors: [`SiteError::Exists`]; keys of another site; I/O.
    pub async fn init(
        config: &SiteConfig,
        code: SiteCode,
        made: impl Into<Made>,
        clock: Arc<dyn Clock>,
    ) -> Result<SiteInitialised, SiteError> {
        let (keys, library, data) = (config.keys(), config.library(), config.data.clone());
        let for_keys = Arc::clone(&clock);
        let trust = blocking("making a site", move || {
            std::fs::create_dir_all(&data).map_err(|source| LibraryError::Io {
                step: "create",
                path: data.clone(),
                source,
            })?;
            let trust = match SiteTrust::create(&keys, code, &*for_keys) {
                Err(TrustError::Exists(_)) => SiteTrust::open(&keys, &*for_keys)?,
                made => made?,
            };
            match Library::create(Arc::new(DiskFiles), &library, Role::Site) {
                Err(LibraryError::Exists(_)) => {}
                made => drop(made?),
            }
            Ok(trust)
        })
        .await?;
        let database = open_database(config).await?;
        let ca_fingerprint = trust.authority_fingerprint().to_string();
        let root_public_key = hex(&trust.key_list().root.0);
        let record = SiteRecord {
            code,
            epoch: Epoch::FIRST,
            ca_fingerprint: ca_fingerprint.clone(),
            root_public_key: root_public_key.clone(),
            created_at: clock.now(),
        };
        let result = if trust.site() == code {
            let facts = Facts::of(config, &trust).made(made.into());
            make_record(&database, config, record, facts).await
        } else {
            Err(SiteError::Exists { folder: config.data.clone(), code: trust.site() })
        };
        database.close().await;
        result?;
        Ok(SiteInitialised { site: code, data: config.data.clone(), ca_fingerprint, root_public_key })
    }

    /// Opens the site in the configured data folder for this process alone.
    ///
    /// Errors: [`SiteError::NotFound`]; `LIBRARY_LOCKED` when another process has it open; parts of
    /// different sites; I/O.
    pub async fn open(config: SiteConfig, clock: Arc<dyn Clock>) -> Result<Self, SiteError> {
        let (keys, library, data) = (config.keys(), config.library(), config.data.clone());
        let for_keys = Arc::clone(&clock);
        let (library, trust) = blocking("opening a site", move || {
            // The library's lock comes first: who does not get it touches nothing.
            let (library, recovered) =
                Library::open(Arc::new(DiskFiles), &library).map_err(|error| match error {
                    LibraryError::NotFound(_) => SiteError::NotFound(data),
                    error => error.into(),
                })?;
            if recovered.packs_recovered > 0 {
                distmgr!(
                    info,
                    packs_recovered = recovered.packs_recovered,
                    frames_kept = recovered.frames_kept,
                    frames_dropped = recovered.frames_dropped,
                    "recovered what an earlier process was writing"
                );
            }
            Ok((library, SiteTrust::open(&keys, &*for_keys)?))
        })
        .await?;
        let database = open_database(&config).await?;
        let record: Result<Option<SiteRecord>, DatabaseError> =
            database.read("site", |tx| Box::pin(async move { tx.site().await })).await;
        let record = record?.ok_or_else(|| SiteError::NotFound(config.data.clone()))?;
        if record.code != trust.site() || record.root_public_key != hex(&trust.key_list().root.0) {
            return Err(SiteError::Mismatch { what: "the keys", folder: config.data });
        }
        library.set_reserve(config.health.reserve_bytes);
        let library = Arc::new(library);
        let cleaner = Cleaner::new(Arc::clone(&library), config.health.clean);
        let site = Self {
            inner: Arc::new(Inner {
                config,
                clock,
                database,
                library,
                cleaner: Arc::new(cleaner),
                trust: Arc::new(trust),
                links: Links::new(),
                board: ProgressBoard::default(),
                plans: Plans::default(),
                told: Arc::default(),
                asked: Asked::default(),
                upstream: Upstream::default(),
                upstream_ends: Mutex::default(),
                listening: watch::Sender::new(None),
                is_running: AtomicBool::new(false),
            }),
        };
        site.inner.database.set_clock(Arc::clone(&site.inner.clock));
        site.reconcile().await?;
        site.introduce().await?;
        site.announce_stored().await?;
        site.resume_join().await?;
        keys::follow(site.database(), &site.inner.trust).await?;
        site.hold_plans().await?;
        Ok(site)
    }

    /// The address distribution points connect to, once [`Self::run`] listens.
    pub async fn listening(&self) -> SocketAddr {
        let mut listening = self.inner.listening.subscribe();
        let address = listening.wait_for(Option::is_some).await.ok().and_then(|address| *address);
        match address {
            Some(address) => address,
            // The sender lives as long as this site does.
            None => std::future::pending().await,
        }
    }

    /// The refresh loop, for a driver of the caller's own.
    pub fn refresh_loop(&self) -> RefreshLoop {
        let inner = &*self.inner;
        RefreshLoop::new(
            &inner.config,
            inner.database.clone(),
            Arc::clone(&inner.library),
            Arc::clone(&inner.trust),
            Arc::clone(&inner.clock),
            inner.board.clone(),
            inner.plans.clone(),
        )
    }

    /// The distribute loop, for a driver of the caller's own.
    pub fn distribute_loop(&self) -> DistributeLoop {
        let inner = &*self.inner;
        DistributeLoop {
            database: inner.database.clone(),
            library: Arc::clone(&inner.library),
            links: inner.links.clone(),
            site: inner.trust.site(),
            told: Arc::clone(&inner.told),
            drafts: inner.board.drafts.clone(),
            restore_wait: inner.config.restore_wait,
            trust: Arc::clone(&inner.trust),
        }
    }

    /// The schedule loop, for a driver of the caller's own.
    pub fn schedule_loop(&self) -> ScheduleLoop {
        let inner = &*self.inner;
        ScheduleLoop {
            database: inner.database.clone(),
            site: inner.trust.site(),
            zone: inner.config.zone.clone(),
        }
    }

    /// The clean loop, for a driver of the caller's own.
    pub fn clean_loop(&self) -> CleanLoop {
        CleanLoop { database: self.inner.database.clone(), cleaner: Arc::clone(&self.inner.cleaner) }
    }

    /// The scrub loop, for a driver of the caller's own.
    pub fn scrub_loop(&self) -> ScrubLoop {
        let inner = &*self.inner;
        let run = Run {
            clock: Arc::clone(&inner.clock),
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        let holders = Holders {
            database: inner.database.clone(),
            links: inner.links.clone(),
            upstream: Arc::clone(&inner.upstream),
            options: inner.config.pull,
            run,
        };
        ScrubLoop { refreshes: self.refresh_loop(), period: inner.config.health.scrub_period, holders }
    }

    /// Takes up what an earlier process of this site held, as [`Self::run`] does first: for a driver
    /// of the caller's own.
    pub async fn recover(&self) -> Result<(), SiteError> {
        self.refresh_loop().recover().await?;
        self.schedule_loop().recover().await
    }

    /// Who is connected, for a driver of the caller's own.
    pub fn links(&self) -> &Links {
        &self.inner.links
    }

    /// What the link asks.
    pub fn side(&self) -> Side {
        let inner = &*self.inner;
        Side {
            database: inner.database.clone(),
            clock: Arc::clone(&inner.clock),
            links: inner.links.clone(),
            board: inner.board.clone(),
            told: Arc::clone(&inner.told),
            site: inner.trust.site(),
            owner: inner.library.id().to_string().into(),
            retry: inner.config.transfer_retry,
            restore_wait: inner.config.restore_wait,
            trust: Arc::clone(&inner.trust),
            asked: inner.asked.clone(),
            library: Arc::clone(&inner.library),
        }
    }

    /// The fetch loop over the way bytes move, for a driver of the caller's own.
    pub fn fetch_loop<F: Fetch>(&self, fetch: F) -> FetchLoop<F> {
        let inner = &*self.inner;
        FetchLoop {
            database: inner.database.clone(),
            library: Arc::clone(&inner.library),
            site: inner.trust.site(),
            retry: inner.config.transfer_retry,
            draft_lease: inner.config.draft_lease,
            fetch: Arc::new(fetch),
            busy: Arc::default(),
            asked: inner.asked.clone(),
        }
    }

    /// Fetching over the links of this site; cancelling `run` ends what is under way.
    pub fn link_fetch(&self, run: &Run) -> LinkFetch {
        let inner = &*self.inner;
        LinkFetch {
            library: Arc::clone(&inner.library),
            links: inner.links.clone(),
            upstream: Arc::clone(&inner.upstream),
            board: inner.board.clone(),
            options: inner.config.pull,
            run: run.clone(),
        }
    }

    /// What the site may have.
    pub async fn site_type(&self) -> Result<SiteType, SiteError> {
        let found: Result<SiteType, DatabaseError> =
            self.database().read("site_type", |tx| Box::pin(async move { tx.site_type().await })).await;
        Ok(found?)
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.inner.database
    }

    /// Its library.
    pub fn library(&self) -> &Arc<Library> {
        &self.inner.library
    }

    /// Its clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Its configuration.
    pub fn config(&self) -> &SiteConfig {
        &self.inner.config
    }

    /// Its code.
    pub fn code(&self) -> SiteCode {
        self.inner.trust.site()
    }

    /// How far everything is.
    pub fn progress(&self) -> &ProgressBoard {
        &self.inner.board
    }

    /// What the site trusts and is trusted by, for the listeners beside the link.
    pub fn shared_trust(&self) -> Arc<SiteTrust> {
        Arc::clone(&self.inner.trust)
    }

    pub(crate) fn trust(&self) -> &SiteTrust {
        &self.inner.trust
    }

    /// The manifest of a version, of the stored one when none is named; `None` when there is none.
    pub async fn manifest_root(
        &self,
        package: &PackageId,
        version: Option<SourceVersion>,
    ) -> Result<Option<(ContentVersion, ManifestRoot)>, SiteError> {
        let id = *package;
        let found: Result<_, DatabaseError> = self
            .database()
            .read("manifest_root", move |tx| {
                Box::pin(async move {
                    match version {
                        Some(version) => tx.version(id, version).await,
                        None => tx.newest_version(id).await,
                    }
                })
            })
            .await;
        Ok(found?.map(|version| (version.content, manifest_root(&version))))
    }

    /// Closes the database; the site is of no use afterwards.
    pub async fn close(&self) {
        self.inner.database.close().await;
    }

    /// Lets the pointers of the library follow the database after a crash between the two.
    async fn reconcile(&self) -> Result<(), SiteError> {
        let packages: Result<_, DatabaseError> =
            self.database().read("packages", |tx| Box::pin(async move { tx.packages().await })).await;
        let library = Arc::clone(self.library());
        let packages = packages?;
        blocking("reconciling a site", move || {
            // Packages whose rows are gone: their end was told by another site. A database that is older
            // than its library never had the rows.
            let is_older = disagreement(&library, &packages)?;
            if let Some(why) = &is_older {
                distmgr!(error, code = why.rule, "{}", why.text);
            }
            for id in library.packages() {
                if is_older.is_none() && !packages.iter().any(|package| package.id == id) {
                    library.forget(&id)?;
                }
            }
            for package in packages {
                let stored = ContentVersion {
                    package: package.id,
                    epoch: package.epoch,
                    version: package.stored_version,
                };
                let is_behind = library.active(&package.id).is_none_or(|active| active.version < stored);
                if stored.version.0 == 0 || package.is_deleting || !is_behind {
                    continue;
                }
                if let Err(error) = library.activate(&stored) {
                    // The site goes on with its other packages; an update repairs this one.
                    distmgr!(error, package.id = %package.id, "{stored} cannot be used: {}", chain(&error));
                }
            }
            Ok(())
        })
        .await
    }
}

pub(crate) async fn open_database(config: &SiteConfig) -> Result<Database, SiteError> {
    Ok(match &config.database_url {
        Some(url) => Database::open(url).await?,
        None => Database::open_file(&config.data.join("site.db")).await?,
    })
}

async fn make_record(
    database: &Database,
    config: &SiteConfig,
    record: SiteRecord,
    facts: Facts,
) -> Result<(), SiteError> {
    let before: Result<Option<SiteRecord>, DatabaseError> = database
        .transact("init", move |tx| {
            Box::pin(async move {
                let before = tx.site().await?;
                if before.is_none() {
                    tx.insert_site(&record).await?;
                    own_row::keep(tx, facts).await?;
                }
                Ok(before)
            })
        })
        .await;
    match before? {
        None => Ok(()),
        Some(site) => Err(SiteError::Exists { folder: config.data.clone(), code: site.code }),
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, SiteError> + Send + 'static,
) -> Result<T, SiteError> {
    tokio::task::spawn_blocking(work).await.map_err(|_panic| SiteError::Panicked(what))?
}
