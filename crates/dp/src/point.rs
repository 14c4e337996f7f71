//! A distribution point as a whole: its listeners, its link, its jobs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::{Cleaner, HealthConfig, Library, LibraryError};
use restock_content::transfer::JumpPolicy;
use restock_names::{Clock, Timestamp};
use restock_transfer::{Backoff, DpIdentity, DpLink, DpLinkConfig, PullOptions, Run};
use tokio::sync::mpsc;

use crate::clean::{clean, keep_index};
use crate::packages::{Packages, PackagesError};
use crate::receive::{JobStatus, Parts, Receiving, Side, serve_urls};
use crate::scrub::Scrub;
use crate::serve::{ContentKeys, ContentServer, ServeConfig, ServeError, ServeParts, ServeStats};
use crate::share::ShareRoot;

/// Damage that waits to be healed; more is dropped, since the next reader finds it again.
const DAMAGE_QUEUE_MAX: usize = 256;

/// How a distribution point runs.
#[derive(Debug, Clone)]
pub struct DistributionPointConfig {
    /// Where it keeps `packages.json`; must exist.
    pub folder: PathBuf,
    /// Its content listeners.
    pub serve: ServeConfig,
    /// Where packages that ask for it have a folder of plain files; made when the first one asks.
    pub share: PathBuf,
    /// The URLs the site tells clients, each ending with `/`. Empty: made of the listeners' addresses.
    pub serve_urls: Vec<String>,
    /// Packages received side by side.
    pub packages_at_once: usize,
    /// How a version is fetched.
    pub pull: PullOptions,
    /// How far a version may lie above the one that is held.
    pub jump: JumpPolicy,
    /// How the link to the site is kept.
    pub link: DpLinkConfig,
    /// How the library is cleaned and scrubbed.
    pub health: HealthConfig,
    /// Delays before a job that failed is tried again here. The site has its own, longer ones.
    pub retry: Backoff,
}

impl DistributionPointConfig {
    /// The defaults, with everything in `folder` and no listener.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            share: folder.join("share"),
            folder,
            serve: ServeConfig::default(),
            serve_urls: Vec::new(),
            packages_at_once: 3,
            pull: PullOptions::default(),
            jump: JumpPolicy::default(),
            link: DpLinkConfig::default(),
            health: HealthConfig::default(),
            retry: Backoff { first: Duration::from_secs(10), most: Duration::from_secs(600) },
        }
    }
}

/// Why a distribution point cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DistributionPointError {
    /// The records of packages cannot be read.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// A listener cannot be bound.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// A running distribution point. It ends when the run it was started with is cancelled; then wait
/// for the run's tracker.
#[derive(Debug)]
pub struct DistributionPoint {
    server: ContentServer,
    receiving: Arc<Receiving>,
    packages: Arc<Packages>,
    identity: Arc<DpIdentity>,
    clock: Arc<dyn Clock>,
    link: DpLink,
    cleaner: Arc<Cleaner>,
    scrub: Scrub,
}

impl DistributionPoint {
    /// Begins to serve what `library` holds and to receive what the site sends.
    ///
    /// Content is served whether or not the site can be reached. Errors: a listener that cannot be
    /// bound, records that cannot be read.
    pub async fn start(
        config: DistributionPointConfig,
        library: Arc<Library>,
        identity: Arc<DpIdentity>,
        run: &Run,
    ) -> Result<Self, DistributionPointError> {
        let packages = Arc::new(Packages::open(Arc::clone(library.files()), &config.folder)?);
        let (damage, damages) = mpsc::channel(DAMAGE_QUEUE_MAX);
        library.set_reserve(config.health.reserve_bytes);
        let cleaner = Arc::new(Cleaner::new(Arc::clone(&library), config.health.clean));
        let scrub = Scrub {
            library: Arc::clone(&library),
            period: config.health.scrub_period,
            damage: damage.clone(),
            run: run.clone(),
        };
        let server = ContentServer::start(
            config.serve,
            ServeParts {
                library: Arc::clone(&library),
                packages: Arc::clone(&packages),
                keys: ContentKeys::Enrolled(Arc::clone(&identity)),
                damage,
                clock: Arc::clone(&run.clock),
            },
            &run.tracker,
            &run.cancel,
        )
        .await?;
        let shares = Arc::new(ShareRoot::new(config.share, Arc::clone(&library)));
        let receiving = Receiving::new(Parts {
            library,
            packages: Arc::clone(&packages),
            shares: Arc::clone(&shares),
            identity: Arc::clone(&identity),
            packages_at_once: config.packages_at_once,
            options: config.pull,
            jump: config.jump,
            retry: config.retry,
            serve_urls: serve_urls(&config.serve_urls, server.addresses()),
            run: run.clone(),
        });
        let side = Arc::new(Side(Arc::clone(&receiving)));
        let link = DpLink::start(config.link, Arc::clone(&identity), side, run);
        receiving.set_link(link.clone());
        run.tracker.spawn(Arc::clone(&receiving).heal(damages));
        run.tracker.spawn(clean(Arc::clone(&cleaner), run.clone()));
        run.tracker.spawn(keep_index(Arc::clone(cleaner.library()), run.clone()));
        run.tracker.spawn(scrub.clone().keep_up());
        run.tracker.spawn(shares.keep_up(Arc::clone(&packages), config.health.scrub_period, run.clone()));
        Ok(Self {
            server,
            receiving,
            packages,
            identity,
            clock: Arc::clone(&run.clock),
            link,
            cleaner,
            scrub,
        })
    }

    /// The addresses on which content is served.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// Counters of the content listeners.
    pub fn serve_stats(&self) -> &Arc<ServeStats> {
        self.server.stats()
    }

    /// The jobs that run now, with their progress.
    pub fn jobs(&self) -> Vec<JobStatus> {
        self.receiving.jobs()
    }

    /// How many jobs run, and how many wait behind them.
    pub fn job_counts(&self) -> (usize, usize) {
        self.receiving.counts()
    }

    /// Is the link to the site up?
    pub fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Since when the site has not vouched for what it tells (`STALE_METADATA`): there may be newer
    /// versions than the ones that are served. `None` while it has not.
    pub fn stale_since(&self) -> Option<Timestamp> {
        self.identity.stale_since(self.clock.now())
    }

    /// Who may read which package.
    pub fn packages(&self) -> &Arc<Packages> {
        &self.packages
    }

    /// What cleans its library.
    pub fn cleaner(&self) -> &Arc<Cleaner> {
        &self.cleaner
    }

    /// Has everything fetched again that the served versions lack; returns how many objects that are.
    ///
    /// Errors: the library cannot be read.
    pub async fn mend(&self) -> Result<u64, LibraryError> {
        self.scrub.mend().await
    }

    /// How many objects the served versions lack. Errors: the library cannot be read.
    pub async fn lacking(&self) -> Result<u64, LibraryError> {
        self.scrub.lacking().await
    }

    /// The link to the site.
    pub fn link(&self) -> &DpLink {
        &self.link
    }
}
