//! A site: database, library and keys in one data folder, and the loops over them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use restock_content::files::DiskFiles;
use restock_content::library::{Library, LibraryError, Role};
use restock_content::manifest::ManifestRoot;
use restock_names::{Clock, ContentVersion, Epoch, PackageId, SiteCode, SourceVersion};
use restock_sitedb::site::Site as SiteRecord;
use restock_sitedb::{Database, DatabaseError, Wake};
use restock_transfer::{Links, Run, SiteLink, SiteLinkConfig, SiteTrust, TrustError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::distribute::Told;
use crate::driver::Driver;
use crate::message::{chain, distmgr};
use crate::refresh::manifest_root;
use crate::{
    CleanLoop, DistributeLoop, Outcome, ProgressBoard, RefreshLoop, ScheduleLoop, Side, SiteConfig, SiteError,
};

/// How often running snapshots are asked to end while the site shuts down.
const STOP_PERIOD: Duration = Duration::from_millis(50);

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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: SiteConfig,
    clock: Arc<dyn Clock>,
    database: Database,
    library: Arc<Library>,
    trust: Arc<SiteTrust>,
    links: Links,
    board: ProgressBoard,
    told: Arc<Told>,
    listening: watch::Sender<Option<SocketAddr>>,
    is_running: AtomicBool,
}

impl Site {
    /// Makes a site: keys, library, database, in this order. The row of the site comes last, so an
    /// interrupted call is taken up by the next one.
    ///
    /// Errors: [`SiteError::Exists`]; keys of another site; I/O.
    pub async fn init(
        config: &SiteConfig,
        code: SiteCode,
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
            make_record(&database, config, record).await
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
        let site = Self {
            inner: Arc::new(Inner {
                config,
                clock,
                database,
                library: Arc::new(library),
                trust: Arc::new(trust),
                links: Links::new(),
                board: ProgressBoard::default(),
                told: Arc::default(),
                listening: watch::Sender::new(None),
                is_running: AtomicBool::new(false),
            }),
        };
        site.reconcile().await?;
        Ok(site)
    }

    /// Runs the loops and the listener until `shutdown`, then waits for the steps under way.
    ///
    /// Errors: the listener's address is taken; the database stopped after a failed write.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), SiteError> {
        let inner = &*self.inner;
        if inner.is_running.swap(true, Ordering::AcqRel) {
            return Err(SiteError::Running);
        }
        let result = self.run_loops(shutdown).await;
        inner.listening.send_replace(None);
        inner.is_running.store(false, Ordering::Release);
        result
    }

    async fn run_loops(&self, shutdown: CancellationToken) -> Result<(), SiteError> {
        let inner = &*self.inner;
        // Ends the loops when the listener cannot start, without ending the caller's token.
        let cancel = shutdown.child_token();
        let run =
            Run { clock: Arc::clone(&inner.clock), tracker: TaskTracker::new(), cancel: cancel.clone() };
        let refreshes = self.refresh_loop();
        refreshes.recover().await?;
        let schedules = self.schedule_loop();
        schedules.recover().await?;
        let config = SiteLinkConfig { listen: inner.config.link_listen, limits: inner.config.link_limits };
        let link = SiteLink::start(
            config,
            Arc::clone(&inner.trust),
            Arc::clone(&inner.library),
            Arc::new(self.side()),
            inner.links.clone(),
            &run,
        )
        .await?;
        inner.listening.send_replace(Some(link.address()));
        distmgr!(info, site = %self.code(), address = %link.address(), "site {} runs", self.code());

        self.start_loops(&run, &refreshes, schedules);
        run.tracker.close();
        let stopped = tokio::select! {
            () = cancel.cancelled() => None,
            cause = inner.database.stopped() => Some(cause),
        };
        cancel.cancel();
        // A worker may have taken up one more run in the moment of the shutdown.
        loop {
            refreshes.stop_runs();
            tokio::select! {
                () = run.tracker.wait() => break,
                () = tokio::time::sleep(STOP_PERIOD) => {}
            }
        }
        match stopped {
            None => Ok(()),
            Some(cause) => Err(SiteError::DatabaseStopped(cause)),
        }
    }

    fn start_loops(&self, run: &Run, refreshes: &RefreshLoop, schedules: ScheduleLoop) {
        let database = &self.inner.database;
        let driver = |name, writes_status| Driver {
            name,
            clock: Arc::clone(&run.clock),
            database: database.clone(),
            period: self.inner.config.wake_period,
            shutdown: run.cancel.clone(),
            writes_status,
        };
        for worker in 0..self.inner.config.packages_at_once.max(1) {
            let (refreshes, driver) = (refreshes.clone(), driver("refresh", worker == 0));
            let wake = database.listen(Wake::Refresh);
            run.tracker.spawn(async move {
                driver.drive(Some(wake), |now| refreshes.run_once(now)).await;
            });
        }
        let (renewing, mut renewals) = (refreshes.clone(), driver("renew", false));
        renewals.period = self.inner.config.lease / 3;
        let wake = database.listen(Wake::Refresh);
        run.tracker.spawn(async move {
            renewals
                .drive(Some(wake), |now| {
                    let refreshes = renewing.clone();
                    async move {
                        refreshes.renew_once(now).await?;
                        Ok(Outcome { is_busy: false, result: String::new(), queue: 0, next_due: None })
                    }
                })
                .await;
        });
        let (distributes, driver_of_distributes) = (self.distribute_loop(), driver("distribute", true));
        let wake = database.listen(Wake::Distribute);
        run.tracker.spawn(async move {
            driver_of_distributes.drive(Some(wake), |now| distributes.run_once(now)).await;
        });
        let driver_of_schedules = driver("schedule", true);
        let wake = database.listen(Wake::Schedule);
        run.tracker.spawn(async move {
            driver_of_schedules.drive(Some(wake), |now| schedules.run_once(now)).await;
        });
        let (cleans, mut driver_of_cleans) =
            (CleanLoop { database: database.clone() }, driver("clean", true));
        driver_of_cleans.period = Duration::from_secs(60 * 60);
        run.tracker.spawn(async move {
            driver_of_cleans.drive(None, |now| cleans.run_once(now)).await;
        });
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
        }
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

async fn open_database(config: &SiteConfig) -> Result<Database, SiteError> {
    Ok(match &config.database_url {
        Some(url) => Database::open(url).await?,
        None => Database::open_file(&config.data.join("site.db")).await?,
    })
}

async fn make_record(database: &Database, config: &SiteConfig, record: SiteRecord) -> Result<(), SiteError> {
    let before: Result<Option<SiteRecord>, DatabaseError> = database
        .transact("init", move |tx| {
            Box::pin(async move {
                let before = tx.site().await?;
                if before.is_none() {
                    tx.insert_site(&record).await?;
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

async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, SiteError> + Send + 'static,
) -> Result<T, SiteError> {
    tokio::task::spawn_blocking(work).await.map_err(|_panic| SiteError::Panicked(what))?
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}
