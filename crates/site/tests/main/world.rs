//! A site that runs, in a folder of its own, with sources beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restock_names::{
    Clock as _, DistributionPointName, Epoch, LinkPolicy, PackageId, SiteCode, SourceVersion, SystemClock,
};
use restock_site::{Joined, Made, RetryPolicy, Site, SiteConfig, SiteError, SiteType, TokenKind, TreeRow};
use restock_sitedb::hierarchy::{LinkRow, SiteRow};
use restock_sitedb::package::Package;
use restock_sitedb::refresh::{Refresh, Requested};
use restock_sitedb::source_root::SourceRoot;
use restock_sitedb::state::{Event, TargetState};
use restock_sitedb::target::{Context, Target};
use restock_sitedb::{DatabaseError, Tx};
use restock_transfer::{Backoff, SiteUrl};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a test waits for, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the database of a site, and gives what the block does.
macro_rules! look {
    ($site:expr, |$tx:ident| $body:expr) => {{
        let found: Result<_, restock_sitedb::DatabaseError> =
            $site.database().read("look", move |$tx| Box::pin(async move { $body })).await;
        found.unwrap()
    }};
}

/// Changes the database of a site, as a person would through the provider.
macro_rules! change {
    ($site:expr, |$tx:ident| $body:expr) => {{
        let done: Result<_, restock_sitedb::DatabaseError> =
            $site.database().transact("change", move |$tx| Box::pin(async move { $body })).await;
        done.unwrap()
    }};
}
pub(crate) use {change, look};

pub(crate) fn code(text: &str) -> SiteCode {
    text.parse().unwrap()
}

pub(crate) fn dp(name: &str) -> DistributionPointName {
    name.parse().unwrap()
}

/// Waits until the block gives true, or fails the test.
macro_rules! eventually {
    ($what:expr, $is_so:expr) => {
        let wait = async {
            while !$is_so {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout($crate::world::patience(), wait).await;
        waited.unwrap_or_else(|_| panic!("{}: not in time", $what));
    };
}
pub(crate) use eventually;

pub(crate) fn patience() -> Duration {
    PATIENCE
}

/// A site and the loops it runs.
pub(crate) struct Running {
    pub(crate) site: Site,
    pub(crate) folder: Arc<TempDir>,
    pub(crate) config: SiteConfig,
    pub(crate) url: SiteUrl,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), SiteError>>,
}

fn config(folder: &TempDir, code: &str) -> SiteConfig {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // The first test of the process sets it up.
    let _is_first = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let mut config = SiteConfig::new(folder.path().join(code));
    config.link_listen = ([127, 0, 0, 1], 0).into();
    let retry = RetryPolicy { delay: Duration::from_millis(300), count: 100 };
    (config.refresh_retry, config.transfer_retry) = (retry, retry);
    let backoff = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(100) };
    config.upstream.retry = backoff;
    config.upstream.ping = Duration::from_millis(500);
    config.pull.retry = backoff;
    config.wake_period = Duration::from_millis(500);
    config.restore_wait = Duration::from_secs(60);
    config.threads = 2;
    config
}

impl Running {
    /// A primary site that stands alone.
    pub(crate) async fn top(code: &str) -> Self {
        Self::of_type(code, SiteType::Primary).await
    }

    pub(crate) async fn of_type(code: &str, site_type: SiteType) -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let config = config(&folder, code);
        Site::init(&config, code.parse().unwrap(), Made::from(site_type), Arc::new(SystemClock))
            .await
            .unwrap();
        Self::start(config, folder).await
    }

    /// A site that joined this one, and runs.
    pub(crate) async fn below(&self, code: &str) -> Self {
        let (config, folder) = self.made_below(code).await;
        self.join(&config, code).await.unwrap();
        Self::start(config, folder).await
    }

    /// A site that is made and has not joined.
    pub(crate) async fn made_below(&self, code: &str) -> (SiteConfig, Arc<TempDir>) {
        let folder = Arc::new(TempDir::new().unwrap());
        let config = config(&folder, code);
        Site::init(&config, code.parse().unwrap(), Made::default(), Arc::new(SystemClock)).await.unwrap();
        (config, folder)
    }

    /// Lets the site in `config`, which does not run, join this one.
    pub(crate) async fn join(&self, config: &SiteConfig, code: &str) -> Result<Joined, SiteError> {
        let token = self.token(TokenKind::Site, code).await;
        let own: SiteUrl = "restock://below.example:8720".parse().unwrap();
        Site::join(config, &self.url, &token, &own, Arc::new(SystemClock)).await
    }

    pub(crate) async fn token(&self, kind: TokenKind, name: &str) -> String {
        self.site.create_token(kind, &dp(name), Duration::from_secs(3600)).await.unwrap().token
    }

    pub(crate) async fn start(mut config: SiteConfig, folder: Arc<TempDir>) -> Self {
        let site = Site::open(config.clone(), Arc::new(SystemClock)).await.unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio_util::task::TaskTracker::new().spawn({
            let (site, shutdown) = (site.clone(), shutdown.clone());
            async move { site.run(shutdown).await }
        });
        let address = site.listening().await;
        // The next start listens where neighbours look for it.
        config.link_listen = address;
        let this = Self { site, folder, config, url: SiteUrl::of_address(address), shutdown, task };
        this.register_source().await;
        this
    }

    /// Ends the site; what it needs to start again.
    pub(crate) async fn stop(self) -> (SiteConfig, Arc<TempDir>) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        self.site.close().await;
        (self.config, self.folder)
    }

    pub(crate) fn code(&self) -> SiteCode {
        self.site.code()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn register_source(&self) {
        let folder = self.path("src");
        std::fs::create_dir_all(&folder).unwrap();
        let root = SourceRoot {
            name: "src".to_owned(),
            folder: folder.canonicalize().unwrap().display().to_string(),
            aliases: vec![r"\\fs01\src".to_owned()],
            scopes: vec!["SMS00UNA".to_owned()],
            created_at: SystemClock.now(),
        };
        change!(self.site, |tx| {
            if tx.source_roots().await?.is_empty() {
                tx.insert_source_root(&root).await?;
            }
            Ok(())
        });
    }

    /// Writes a file of the source `name`.
    pub(crate) fn write(&self, name: &str, file: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path("src").join(name).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// A package whose source is the folder `name`.
    pub(crate) async fn package(&self, name: &'static str) -> PackageId {
        let (site, now) = (self.code(), SystemClock.now());
        change!(self.site, |tx| {
            let number = u32::try_from(tx.next_package_number().await?).unwrap();
            let id = PackageId::new(site, number).unwrap();
            tx.insert_package(&Package {
                id,
                name: name.to_owned(),
                package_version: String::new(),
                manufacturer: String::new(),
                language: String::new(),
                description: String::new(),
                source_path: format!(r"\\fs01\src\{name}"),
                source_flag: 2,
                priority: 2,
                is_public: false,
                allow_empty: false,
                link_policy: LinkPolicy::default(),
                source_site: site,
                source_version: SourceVersion(1),
                stored_version: SourceVersion(0),
                epoch: Epoch::FIRST,
                is_deleting: false,
                settings: 1,
                created_at: now,
                last_refresh_at: None,
            })
            .await?;
            tx.insert_refresh(id, &Refresh::of_creation(now)).await?;
            tx.wake(restock_sitedb::Wake::Refresh);
            Ok(id)
        })
    }

    /// Lets `event` happen to the target; it is made when there is none.
    pub(crate) async fn tell(&self, id: PackageId, point: &str, event: Event) {
        let (site, point, now) = (self.code(), dp(point), SystemClock.now());
        change!(self.site, |tx| {
            let context = context(tx, id, site).await?;
            let known = tx.target(id, &point).await?;
            let mut target = known.unwrap_or_else(|| Target::new(id, point.clone(), now));
            tx.apply(&mut target, &context, event, None).await?.unwrap();
            Ok(())
        });
    }

    pub(crate) async fn target(&self, id: PackageId, point: &str) {
        self.tell(id, point, Event::Added).await;
    }

    /// Asks for a refresh.
    pub(crate) async fn ask(&self, id: PackageId) -> Requested {
        let (site, now) = (self.code(), SystemClock.now());
        change!(self.site, |tx| {
            let (package, refresh) = (tx.package(id).await?.unwrap(), tx.refresh(id).await?.unwrap());
            tx.request_refresh(&package, refresh, site, now, None).await
        })
    }

    /// Hides a package that is to go, and removes it from every distribution point.
    pub(crate) async fn delete(&self, id: PackageId) {
        let site = self.code();
        change!(self.site, |tx| {
            let mut refresh = tx.refresh(id).await?.unwrap();
            refresh.cancel();
            tx.update_refresh(id, &refresh).await?;
            tx.mark_package_deleting(id).await?;
            for mut target in tx.targets_of_package(id).await? {
                let context = context(tx, id, site).await?;
                let _removed = tx.apply(&mut target, &context, Event::RemoveAsked, None).await?;
            }
            tx.wake(restock_sitedb::Wake::Refresh);
            Ok(())
        });
    }

    pub(crate) async fn found(&self, id: PackageId) -> Option<Package> {
        look!(self.site, |tx| tx.package(id).await)
    }

    pub(crate) async fn state(&self, id: PackageId, point: &str) -> Option<TargetState> {
        let point = dp(point);
        look!(self.site, |tx| Ok(tx.target(id, &point).await?.map(|target| target.facts.state)))
    }

    /// What the distribution point serves, as this site knows it.
    pub(crate) async fn serves(&self, id: PackageId, point: &str) -> u32 {
        let point = dp(point);
        look!(self.site, |tx| Ok(tx.target(id, &point).await?.map_or(0, |target| target.facts.serving.0)))
    }

    /// The version at the source and the one stored here.
    pub(crate) async fn versions(&self, id: PackageId) -> (u32, u32) {
        let package = self.found(id).await;
        package.map_or((0, 0), |package| (package.source_version.0, package.stored_version.0))
    }

    pub(crate) async fn is_installed(&self, id: PackageId, point: &str, version: u32) -> bool {
        self.state(id, point).await == Some(TargetState::Installed) && self.serves(id, point).await == version
    }

    pub(crate) async fn refresh(&self, id: PackageId) -> Refresh {
        look!(self.site, |tx| tx.refresh(id).await).unwrap()
    }

    pub(crate) async fn message_ids(&self, id: PackageId) -> Vec<u32> {
        let kept = look!(self.site, |tx| tx.messages(Some(id), None, 1000).await);
        kept.into_iter().map(|message| message.id).collect()
    }

    pub(crate) async fn link(&self, peer: &str) -> Option<LinkRow> {
        let peer = code(peer);
        look!(self.site, |tx| tx.link(peer).await)
    }

    pub(crate) async fn is_connected(&self, peer: &str) -> bool {
        self.link(peer).await.is_some_and(|link| link.connected_to.is_some())
    }

    pub(crate) async fn row(&self, site: &str) -> Option<SiteRow> {
        let site = code(site);
        look!(self.site, |tx| tx.site_row(site).await)
    }

    pub(crate) async fn tree_row(&self, site: &str) -> TreeRow {
        let (tree, site) = (self.site.tree().await.unwrap(), code(site));
        tree.rows.into_iter().find(|row| row.code == site).unwrap()
    }

    /// Bytes of content connections sent to and received from a neighbour.
    pub(crate) fn content(&self, peer: &str) -> (u64, u64) {
        let (progress, peer) = (self.site.progress().snapshot(), code(peer));
        let line = progress.traffic.iter().find(|line| line.site == peer);
        line.map_or((0, 0), |line| (line.content_sent, line.content_received))
    }
}

async fn context(tx: &mut Tx, id: PackageId, site: SiteCode) -> Result<Context, DatabaseError> {
    let (package, refresh) = (tx.package(id).await?.unwrap(), tx.refresh(id).await?.unwrap());
    Ok(Context::new(&package, &refresh, site, SystemClock.now()))
}

/// Bytes that hardly compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed + 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}
