//! A site and its points in a temporary folder, over loopback.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use restock_content::files::DiskFiles;
use restock_content::hash::chunk_digest;
use restock_content::library::{Library, Role, Writer};
use restock_content::manifest::{
    Builder, ChunkRun, Entry, EntryKind, FileChunks, ManifestRoot, PageError, PageSink,
};
use restock_content::statement::{KeyList, Statement};
use restock_content::transfer::{AcceptedStatement, accept_statement};
use restock_names::{
    Clock, ContentVersion, Digest, DistributionPointName, EntryPath, Epoch, PackageId, SiteCode,
    SourceVersion, SystemClock, Timestamp,
};
use restock_transfer::{
    Backoff, Batch, Connection, DpIdentity, Draft, Drafts, EnrolRequest, EnrolSiteRequest, EnrolmentToken,
    Fingerprint, Hello, LinkError, LinkLimits, Links, NextChanges, Progress, PullError, PullOptions,
    PullProgress, Refusal, ReplicaFacts, Report, Run, SiteEnrolled, SiteHello, SiteLink, SiteLinkConfig,
    SiteSide, SiteTrust, SiteUrl, TokenKind, enrol,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::hierarchy::{Replica, sites};

/// What a test waits for, at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A run on the machine's clock.
pub(crate) fn run() -> Run {
    Run { clock: Arc::new(SystemClock), tracker: TaskTracker::new(), cancel: CancellationToken::new() }
}

/// Waits until `is_so`, or fails the test.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"));
}

/// What a site remembers, in memory.
#[derive(Debug, Default)]
pub(crate) struct TestSide {
    pub(crate) tokens: Mutex<BTreeMap<Digest, (DistributionPointName, Option<Fingerprint>)>>,
    pub(crate) enrolled: Mutex<BTreeMap<DistributionPointName, Fingerprint>>,
    pub(crate) enrol_calls: Mutex<u32>,
    pub(crate) hellos: Mutex<Vec<Hello>>,
    pub(crate) disconnects: Mutex<u32>,
    pub(crate) reports: Mutex<Vec<Report>>,
    pub(crate) progress: Mutex<Vec<Progress>>,
    /// Reports to refuse before they are taken.
    pub(crate) refuse_reports: Mutex<Vec<Refusal>>,
    pub(crate) forbidden: Mutex<Vec<PackageId>>,
    pub(crate) sent: Mutex<u64>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) drafts: Drafts,
}

impl SiteSide for TestSide {
    async fn is_site_enrolled(
        &self,
        site: SiteCode,
        fingerprint: Fingerprint,
    ) -> Result<Option<SiteEnrolled>, Refusal> {
        let enrolled = self.replica.enrolled.lock().unwrap();
        Ok(enrolled.get(&site).filter(|(key, _)| *key == fingerprint).map(|(_, enrolled)| *enrolled))
    }
    async fn enrol_site(&self, request: EnrolSiteRequest) -> Result<(), Refusal> {
        self.replica.redeem(request)
    }
    sites!(|this: &Self| Arc::clone(&this.replica));

    async fn is_enrolled(
        &self,
        name: &DistributionPointName,
        fingerprint: Fingerprint,
    ) -> Result<bool, Refusal> {
        Ok(self.enrolled.lock().unwrap().get(name) == Some(&fingerprint))
    }

    async fn enrol(&self, request: EnrolRequest) -> Result<(), Refusal> {
        *self.enrol_calls.lock().unwrap() += 1;
        let mut tokens = self.tokens.lock().unwrap();
        let Some((name, user)) = tokens.get_mut(&request.token_hash) else {
            return Err(Refusal::new("TOKEN_UNKNOWN", "no such token"));
        };
        if *name != request.name {
            return Err(Refusal::new("TOKEN_NAME", "the token is for another name"));
        }
        if user.is_some_and(|user| user != request.fingerprint) {
            return Err(Refusal::new("TOKEN_USED", "the token was used"));
        }
        *user = Some(request.fingerprint);
        self.enrolled.lock().unwrap().insert(request.name, request.fingerprint);
        Ok(())
    }

    async fn connected(
        &self,
        _name: &DistributionPointName,
        _connection: Connection,
        hello: Hello,
        _remote: SocketAddr,
    ) -> Result<(), Refusal> {
        self.hellos.lock().unwrap().push(hello);
        Ok(())
    }

    async fn disconnected(&self, _name: &DistributionPointName) {
        *self.disconnects.lock().unwrap() += 1;
    }

    async fn report(&self, _name: &DistributionPointName, report: Report) -> Result<(), Refusal> {
        if let Some(refusal) = self.refuse_reports.lock().unwrap().pop() {
            return Err(refusal);
        }
        self.reports.lock().unwrap().push(report);
        Ok(())
    }

    fn progress(&self, _name: &DistributionPointName, progress: Progress) {
        self.progress.lock().unwrap().push(progress);
    }

    async fn authorise_pull(
        &self,
        _name: &DistributionPointName,
        content: &ContentVersion,
    ) -> Result<(), Refusal> {
        if self.forbidden.lock().unwrap().contains(&content.package) {
            return Err(Refusal::new("NOT_AUTHORISED", "this point is not targeted"));
        }
        Ok(())
    }

    async fn authorise_draft(
        &self,
        name: &DistributionPointName,
        content: &ContentVersion,
    ) -> Result<Arc<Draft>, Refusal> {
        self.authorise_pull(name, content).await?;
        self.drafts.find(content).ok_or_else(|| Refusal::new("DRAFT_UNKNOWN", "there is none"))
    }

    fn pull_ended(
        &self,
        _name: &DistributionPointName,
        _content: &ContentVersion,
        wire_sent: u64,
        _received: u64,
    ) {
        *self.sent.lock().unwrap() += wire_sent;
    }
}

/// A running site.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) trust: Arc<SiteTrust>,
    pub(crate) library: Arc<Library>,
    pub(crate) side: Arc<TestSide>,
    pub(crate) links: Links,
    pub(crate) run: Run,
    pub(crate) address: SocketAddr,
    pub(crate) limits: LinkLimits,
}

/// An enrolled point with a library.
pub(crate) struct Point {
    pub(crate) identity: Arc<DpIdentity>,
    pub(crate) library: Arc<Library>,
    pub(crate) run: Run,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_clock(&SystemClock).await
    }

    /// A world whose certificates were made at `clock`'s time.
    pub(crate) async fn with_clock(clock: &dyn Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trust = SiteTrust::create(&folder.path().join("trust"), "XYZ".parse().unwrap(), clock).unwrap();
        let library = Library::create(Arc::new(DiskFiles), &folder.path().join("site"), Role::Site).unwrap();
        let mut world = Self {
            folder,
            trust: Arc::new(trust),
            library: Arc::new(library),
            side: Arc::new(TestSide { replica: Replica::new("XYZ-1"), ..TestSide::default() }),
            links: Links::new(),
            run: run(),
            address: "127.0.0.1:0".parse().unwrap(),
            limits: LinkLimits::default(),
        };
        world.listen().await;
        world
    }

    /// Begins to listen, on the same port as before if there was one.
    pub(crate) async fn listen(&mut self) {
        let config = SiteLinkConfig { listen: self.address, limits: self.limits };
        let (trust, library) = (Arc::clone(&self.trust), Arc::clone(&self.library));
        let (side, links) = (Arc::clone(&self.side), self.links.clone());
        let link = SiteLink::start(config, trust, library, side, links, &self.run).await.unwrap();
        self.address = link.address();
    }

    /// Ends the listener and every connection.
    pub(crate) async fn stop(&mut self) {
        self.run.cancel.cancel();
        self.run.tracker.close();
        self.run.tracker.wait().await;
        self.run = run();
    }

    pub(crate) fn url(&self) -> SiteUrl {
        SiteUrl::of_address(self.address)
    }

    pub(crate) fn token(&self, name: &str) -> EnrolmentToken {
        let name: DistributionPointName = name.parse().unwrap();
        let token = self.trust.new_token(TokenKind::DistributionPoint, &name).unwrap();
        self.side.tokens.lock().unwrap().insert(token.hash(), (name, None));
        token
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A point that reaches the site at `url`.
    pub(crate) async fn point_at(&self, name: &str, url: &SiteUrl) -> Point {
        let folder = self.path(&format!("{name}-identity"));
        enrol(&self.url(), &self.token(name), &folder).await.unwrap();
        // The address a point was enrolled with stands in its folder.
        let file = folder.join("site.json");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(&self.url().to_string(), &url.to_string())).unwrap();
        let identity = DpIdentity::open(&folder).unwrap();
        let library =
            Library::create(Arc::new(DiskFiles), &self.path(name), Role::DistributionPoint).unwrap();
        Point { identity: Arc::new(identity), library: Arc::new(library), run: run() }
    }

    pub(crate) async fn point(&self, name: &str) -> Point {
        self.point_at(name, &self.url()).await
    }

    /// Publishes a version with these files and gives its statement.
    pub(crate) fn publish(&self, version: u32, files: &BTreeMap<String, Vec<u8>>) -> AcceptedStatement {
        publish_at(&self.trust, &self.library, version, files)
    }
}

/// Publishes a version at a site.
pub(crate) fn publish_at(
    trust: &SiteTrust,
    library: &Library,
    version: u32,
    files: &BTreeMap<String, Vec<u8>>,
) -> AcceptedStatement {
    let writer = library.begin();
    let root = put_tree(&writer, files);
    writer.seal().unwrap();
    let (content, key) = (content(version), trust.signing_key());
    let statement = Statement::sign(trust.site(), content, root, Timestamp(0), key);
    library.store_statement(&statement).unwrap();
    library.activate(&statement.version).unwrap();
    accept_statement(&statement.encode(), &statement.version, &trust.key_list(), None).unwrap()
}

impl Point {
    /// Pulls and, when that went well, activates.
    pub(crate) async fn install(
        &self,
        statement: &AcceptedStatement,
        options: &PullOptions,
    ) -> Result<restock_transfer::PullReport, PullError> {
        let progress: Arc<dyn PullProgress> = Arc::new(NoProgress);
        let report =
            restock_transfer::pull(&self.identity, &self.library, statement, options, &progress, &self.run)
                .await?;
        self.library.store_statement(statement).unwrap();
        self.library.activate(&statement.version).unwrap();
        Ok(report)
    }
}

pub(crate) struct NoProgress;
impl PullProgress for NoProgress {}

/// Options that try again soon.
pub(crate) fn options() -> PullOptions {
    let retry = Backoff { first: Duration::from_millis(5), most: Duration::from_millis(50) };
    PullOptions { retry, ..PullOptions::default() }
}

pub(crate) fn content(version: u32) -> ContentVersion {
    ContentVersion {
        package: "XYZ00001".parse().unwrap(),
        epoch: Epoch::FIRST,
        version: SourceVersion(version),
    }
}

/// `count` files of up to `bytes_max` bytes that hardly compress, and a few that do.
pub(crate) fn files(count: u32, bytes_max: usize) -> BTreeMap<String, Vec<u8>> {
    (0..count)
        .map(|n| {
            let length = 1 + (n as usize).wrapping_mul(7_919) % bytes_max;
            let mut state = u64::from(n) + 1;
            let noise = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            });
            let bytes = if n % 4 == 0 { vec![n as u8; length] } else { noise.take(length).collect() };
            (format!("folder{}/file{n}", n % 13), bytes)
        })
        .collect()
}

struct Sink<'a>(&'a Writer);

impl PageSink for Sink<'_> {
    fn page(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), PageError> {
        self.0.put_page(digest, bytes).unwrap();
        Ok(())
    }
}

fn put_tree(writer: &Writer, files: &BTreeMap<String, Vec<u8>>) -> ManifestRoot {
    let mut entries: Vec<Entry> = files
        .iter()
        .map(|(path, bytes)| {
            let runs = bytes
                .chunks(60_000)
                .map(|raw| {
                    let digest = chunk_digest(raw);
                    writer.put_chunk(digest, raw).unwrap();
                    ChunkRun { digest, length: raw.len() as u32, repeat: 1 }
                })
                .collect();
            let kind = EntryKind::File { size: bytes.len() as u64, chunks: FileChunks::Inline(runs) };
            Entry { path: EntryPath::new(path.as_str()).unwrap(), mode: 0o644, mtime_ns: 0, kind }
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut sink = Sink(writer);
    let mut builder = Builder::new(&mut sink);
    entries.into_iter().for_each(|entry| builder.push(entry).unwrap());
    builder.finish().unwrap()
}

/// Every file of a version, read back and checked.
pub(crate) fn read_back(library: &Library, root: ManifestRoot) -> BTreeMap<String, Vec<u8>> {
    let manifest = restock_content::manifest::Manifest::new(library, root);
    manifest
        .entries()
        .map(|entry| {
            let entry = entry.unwrap();
            let mut bytes = Vec::new();
            for run in manifest.runs(&entry) {
                let (_, run) = run.unwrap();
                let raw = library.read(&run.digest).unwrap();
                (0..run.repeat).for_each(|_| bytes.extend_from_slice(&raw));
            }
            (entry.path.to_string(), bytes)
        })
        .collect()
}

/// Runs a test's body on a runtime of its own.
pub(crate) fn in_runtime(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE * 4, body).await.expect("the test ends");
    });
}
