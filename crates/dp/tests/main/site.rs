//! A site and its distribution point in one process, with TLS between them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use restock_content::files::DiskFiles;
use restock_content::library::{Library, Role};
use restock_content::statement::{SigningKey, Statement};
use restock_dp::{DistributionPoint, DistributionPointConfig, ListenerConfig};
use restock_names::{Clock, ContentVersion, DistributionPointName, PackageId, SystemClock};
use restock_transfer::{
    Backoff, Connection, DpIdentity, Draft, Drafts, EnrolRequest, Fingerprint, Hello, Job, JobId, JobKind,
    Links, Progress, Refusal, Report, ReportState, Run, SiteLink, SiteLinkConfig, SiteSide, SiteTrust,
    TokenKind, enrol,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::{Answer, Node, open_library, raw, store};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the site has heard, and whom it refuses.
#[derive(Debug, Default)]
struct Heard {
    reports: Vec<Report>,
    hellos: Vec<Hello>,
    progress: Vec<Progress>,
    refused: Vec<PackageId>,
    connection: Option<Connection>,
    followers: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Ear {
    heard: Mutex<Heard>,
    changed: Condvar,
    pub(crate) drafts: Drafts,
}

impl Ear {
    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.lock().expect("not poisoned"));
        self.changed.notify_all();
    }

    fn wait<T>(&self, what: &str, mut look: impl FnMut(&Heard) -> Option<T>) -> T {
        let mut heard = self.heard.lock().expect("not poisoned");
        loop {
            if let Some(found) = look(&heard) {
                return found;
            }
            let (next, timeout) = self.changed.wait_timeout(heard, PATIENCE).expect("not poisoned");
            assert!(!timeout.timed_out(), "no {what}; heard {:#?}", next.reports);
            heard = next;
        }
    }
}

impl SiteSide for Ear {
    async fn is_enrolled(&self, _: &DistributionPointName, _: Fingerprint) -> Result<bool, Refusal> {
        Ok(true)
    }
    async fn enrol(&self, _: EnrolRequest) -> Result<(), Refusal> {
        Ok(())
    }
    async fn connected(
        &self,
        _: &DistributionPointName,
        connection: Connection,
        hello: Hello,
        _: SocketAddr,
    ) -> Result<(), Refusal> {
        self.note(|heard| {
            heard.connection = Some(connection);
            heard.hellos.push(hello);
        });
        Ok(())
    }
    async fn disconnected(&self, _: &DistributionPointName) {}
    async fn report(&self, _: &DistributionPointName, report: Report) -> Result<(), Refusal> {
        self.note(|heard| heard.reports.push(report));
        Ok(())
    }
    fn progress(&self, _: &DistributionPointName, progress: Progress) {
        self.note(|heard| heard.progress.push(progress));
    }
    async fn authorise_draft(
        &self,
        _: &DistributionPointName,
        content: &ContentVersion,
    ) -> Result<Arc<Draft>, Refusal> {
        self.note(|heard| heard.followers += 1);
        self.drafts.find(content).ok_or_else(|| Refusal::new("DRAFT_UNKNOWN", "there is none"))
    }
    async fn authorise_pull(
        &self,
        _: &DistributionPointName,
        content: &ContentVersion,
    ) -> Result<(), Refusal> {
        let heard = self.heard.lock().expect("not poisoned");
        match heard.refused.contains(&content.package) {
            true => Err(Refusal::transient("NOT_AUTHORISED", "not at the moment")),
            false => Ok(()),
        }
    }
}

/// A site with a link listener and a way to cut the wire behind it.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) trust: Arc<SiteTrust>,
    pub(crate) library: Arc<Library>,
    pub(crate) ear: Arc<Ear>,
    pub(crate) links: Links,
    pub(crate) wire: Wire,
    pub(crate) runtime: Runtime,
    run: Run,
    next_job: AtomicU64,
}

fn run(clock: Arc<dyn Clock>) -> Run {
    Run { clock, tracker: TaskTracker::new(), cancel: CancellationToken::new() }
}

impl Site {
    pub(crate) fn open() -> Self {
        Self::open_with(Arc::new(SystemClock))
    }

    /// A site and points that go by `clock`.
    pub(crate) fn open_with(clock: Arc<dyn Clock>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("site");
        let library = Library::create(Arc::new(DiskFiles), &path.join("library"), Role::Site).expect("made");
        let (library, code) = (Arc::new(library), "XYZ".parse().expect("valid"));
        let trust = Arc::new(SiteTrust::create(&path.join("keys"), code, &*clock).expect("made"));
        let runtime = Runtime::new().expect("a runtime");
        let (ear, links, run) = (Arc::new(Ear::default()), Links::new(), run(Arc::clone(&clock)));
        let config =
            SiteLinkConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), limits: Default::default() };
        let link = runtime
            .block_on(SiteLink::start(
                config,
                Arc::clone(&trust),
                Arc::clone(&library),
                Arc::clone(&ear),
                links.clone(),
                &run,
            ))
            .expect("listens");
        let wire = Wire::open(link.address());
        Self { folder, trust, library, ear, links, wire, runtime, run, next_job: AtomicU64::new(1) }
    }

    /// Stores a version at the site, as a refresh does.
    pub(crate) fn publish(&self, number: u32, version: u32, tree: &[(&[u8], Node)]) -> Statement {
        let statement = store(&self.library, self.trust.signing_key(), number, version, tree);
        self.library.activate(&statement.version).expect("activated");
        statement
    }

    pub(crate) fn point_name() -> DistributionPointName {
        "DP01".parse().expect("valid")
    }

    pub(crate) fn point(&self) -> Point<'_> {
        self.point_with(|_| {})
    }

    /// Starts the distribution point, which is made first when there is none.
    pub(crate) fn point_with(&self, change: impl FnOnce(&mut DistributionPointConfig)) -> Point<'_> {
        let folder = self.folder.path().join("dp");
        let library = match folder.join("library").exists() {
            true => open_library(&folder.join("library")),
            false => Library::create(Arc::new(DiskFiles), &folder.join("library"), Role::DistributionPoint)
                .expect("made"),
        };
        let keys = folder.join("keys");
        let identity = match DpIdentity::open(&keys) {
            Ok(identity) => identity,
            Err(_) => {
                let token =
                    self.trust.new_token(TokenKind::DistributionPoint, &Self::point_name()).expect("random");
                let url = self.wire.address.to_string().parse().expect("a URL");
                self.runtime.block_on(enrol(&url, &token, &keys)).expect("enrols")
            }
        };
        let mut config = DistributionPointConfig::new(folder.clone());
        config.serve.hosts = vec!["dp".into()];
        config.serve.listeners =
            vec![ListenerConfig { address: SocketAddr::from(([127, 0, 0, 1], 0)), serves_everything: false }];
        config.retry = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(200) };
        config.link.retry = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(200) };
        config.pull.retry = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(50) };
        change(&mut config);
        let (library, run) = (Arc::new(library), run(Arc::clone(&self.run.clock)));
        let hellos = self.ear.heard.lock().expect("not poisoned").hellos.len();
        let started = DistributionPoint::start(config, Arc::clone(&library), Arc::new(identity), &run);
        let point = self.runtime.block_on(started).expect("starts");
        let point = Point { site: self, folder, library: Some(library), point: Some(point), run };
        if !self.wire.is_cut() {
            self.ear.wait("hello", |heard| (heard.hellos.len() > hellos).then_some(()));
        }
        point
    }

    pub(crate) fn refuse(&self, package: PackageId) {
        self.ear.note(|heard| heard.refused.push(package));
    }

    pub(crate) fn refuse_nobody(&self) {
        self.ear.note(|heard| heard.refused.clear());
    }

    /// How often points have said hello.
    pub(crate) fn hellos(&self) -> usize {
        self.ear.heard.lock().expect("not poisoned").hellos.len()
    }

    /// Waits for one more than `before`.
    pub(crate) fn wait_for_hello(&self, before: usize) {
        self.ear.wait("hello", |heard| (heard.hellos.len() > before).then_some(()));
    }

    pub(crate) fn last_hello(&self) -> Hello {
        self.ear.wait("hello", |heard| heard.hellos.last().cloned())
    }

    /// A job about a version whose statement the site has.
    pub(crate) fn job(&self, kind: JobKind, statement: &Statement) -> Job {
        Job {
            job_id: JobId(self.next_job.fetch_add(1, Ordering::Relaxed)),
            kind,
            content: statement.version,
            statement: statement.encode(),
            is_public: true,
            name: "test".into(),
            share: None,
        }
    }

    /// Sends a job; returns its id.
    pub(crate) fn send(&self, job: Job) -> JobId {
        let id = job.job_id;
        self.ear.wait("connection", |_| self.links.is_connected(&Self::point_name()).then_some(()));
        assert!(self.links.send(&Self::point_name(), job), "connected");
        id
    }

    /// Tells the point of a version in the making.
    pub(crate) fn tell_draft(&self, content: ContentVersion) {
        let connection = self.ear.wait("connection", |heard| heard.connection);
        assert!(self.links.tell_draft(&Self::point_name(), connection, content), "connected");
    }

    /// Waits until a point has begun to follow a draft.
    pub(crate) fn wait_for_follower(&self) {
        self.ear.wait("follower", |heard| (heard.followers > 0).then_some(()));
    }

    /// Waits for a report on a job in a state.
    pub(crate) fn report(&self, job: JobId, state: ReportState) -> Report {
        let what = format!("report {state:?} on job {job}");
        self.ear
            .wait(&what, |heard| heard.reports.iter().find(|r| r.job_id == job && r.state == state).cloned())
    }

    /// The states reported on a job so far, in order.
    pub(crate) fn states(&self, job: JobId) -> Vec<ReportState> {
        let heard = self.ear.heard.lock().expect("not poisoned");
        heard.reports.iter().filter(|r| r.job_id == job).map(|r| r.state).collect()
    }

    /// Waits for a failure of a job whose detail holds `text`.
    pub(crate) fn failure(&self, job: JobId, text: &str) -> Report {
        let is_it = |report: &&Report| {
            report.job_id == job && report.state == ReportState::Failed && report.detail.contains(text)
        };
        self.ear.wait("failure", |heard| heard.reports.iter().find(is_it).cloned())
    }

    /// Waits for word of how far a job is.
    pub(crate) fn progress(&self, job: JobId) -> Progress {
        self.ear.wait("progress", |heard| heard.progress.iter().rev().find(|p| p.job_id == job).copied())
    }

    /// Sends an installation and waits until it is served.
    pub(crate) fn install(&self, statement: &Statement) -> Report {
        let id = self.send(self.job(JobKind::Install, statement));
        self.report(id, ReportState::Installed)
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        self.trust.signing_key()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.run.cancel.cancel();
        self.wire.release();
    }
}

/// A running distribution point.
pub(crate) struct Point<'a> {
    site: &'a Site,
    pub(crate) folder: PathBuf,
    library: Option<Arc<Library>>,
    point: Option<DistributionPoint>,
    run: Run,
}

impl Point<'_> {
    pub(crate) fn library(&self) -> &Arc<Library> {
        self.library.as_ref().expect("runs")
    }

    pub(crate) fn library_folder(&self) -> PathBuf {
        let folder: &Path = &self.folder;
        folder.join("library")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.point.as_ref().expect("runs").addresses()[0]
    }

    /// Where it keeps what it got when it enrolled.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    pub(crate) fn running(&self) -> &DistributionPoint {
        self.point.as_ref().expect("runs")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nHost: dp\r\nConnection: close\r\n\r\n");
        raw(self.address(), request.as_bytes())
    }

    /// The active version of a package's file, as text.
    pub(crate) fn text(&self, number: u32, path: &str) -> String {
        let answer = self.get(&format!("/SMS_DP_SMSPKG$/XYZ{number:05X}/{path}"));
        if answer.status == 200 { answer.text() } else { answer.status.to_string() }
    }

    /// Stops as the program does on SIGTERM; the library is closed when this returns.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.run.cancel.cancel();
        self.run.tracker.close();
        let tracker = self.run.tracker.clone();
        let ended = async { tokio::time::timeout(PATIENCE, tracker.wait()).await };
        let ended = self.site.runtime.block_on(ended);
        self.point = None;
        let library = self.library.take();
        if !std::thread::panicking() {
            ended.expect("everything ends at shutdown");
            let library = library.expect("runs");
            assert_eq!(Arc::strong_count(&library), 1, "nobody holds the library after shutdown");
        }
    }
}

impl Drop for Point<'_> {
    fn drop(&mut self) {
        if self.library.is_some() {
            self.end();
        }
    }
}

/// The wire to the site: forwards bytes until the allowance of a cut is used up. A cut is felt by
/// connections made after it; a control connection that is up goes on.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    /// Bytes that may still come from the site; `None` is without limit.
    allowance: Mutex<Option<u64>>,
    changed: Condvar,
    passed: AtomicU64,
    connections: AtomicU64,
    first_cut: AtomicU64,
}

impl Gate {
    /// Waits until something may pass on a connection; returns how much.
    fn pass(&self, connection: u64, wanted: usize) -> usize {
        self.passed.fetch_add(wanted as u64, Ordering::Relaxed);
        if connection < self.first_cut.load(Ordering::Relaxed) {
            return wanted;
        }
        let mut allowance = self.allowance.lock().expect("not poisoned");
        while *allowance == Some(0) {
            allowance = self.changed.wait(allowance).expect("not poisoned");
        }
        let passes = allowance.map_or(wanted, |left| wanted.min(usize::try_from(left).expect("small")));
        if let Some(left) = allowance.as_mut() {
            *left -= passes as u64;
        }
        self.passed.fetch_sub((wanted - passes) as u64, Ordering::Relaxed);
        self.changed.notify_all();
        passes
    }
}

impl Wire {
    fn open(site: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, gate) = (listener.local_addr().expect("bound"), Arc::new(Gate::default()));
        let at = Arc::clone(&gate);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(site) else { continue };
                let (mut up, mut down) = (client.try_clone().expect("cloned"), client);
                let (mut to, mut from) = (server.try_clone().expect("cloned"), server);
                std::thread::spawn(move || {
                    let ended = std::io::copy(&mut up, &mut to);
                    drop(ended.and_then(|_| to.shutdown(std::net::Shutdown::Write)));
                });
                let gate = Arc::clone(&at);
                let connection = gate.connections.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || {
                    let mut buffer = vec![0; 16 * 1024];
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        let mut sent = 0;
                        while sent < length {
                            let passes = gate.pass(connection, length - sent);
                            if down.write_all(&buffer[sent..sent + passes]).is_err() {
                                return;
                            }
                            sent += passes;
                        }
                    }
                    drop(down.shutdown(std::net::Shutdown::Write));
                });
            }
        });
        Self { address, gate }
    }

    /// Lets so many bytes pass from the site on connections that are still to be made, then none.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.gate.first_cut.store(self.gate.connections.load(Ordering::Relaxed), Ordering::Relaxed);
        *self.gate.allowance.lock().expect("not poisoned") = Some(bytes);
    }

    /// Lets everything pass again.
    pub(crate) fn release(&self) {
        *self.gate.allowance.lock().expect("not poisoned") = None;
        self.gate.changed.notify_all();
    }

    fn is_cut(&self) -> bool {
        self.gate.allowance.lock().expect("not poisoned").is_some()
    }

    /// Waits until the allowance is used up.
    pub(crate) fn wait_until_cut(&self) {
        let mut allowance = self.gate.allowance.lock().expect("not poisoned");
        while *allowance != Some(0) {
            let (next, timeout) = self.gate.changed.wait_timeout(allowance, PATIENCE).expect("not poisoned");
            assert!(!timeout.timed_out(), "{:?} bytes never passed", *next);
            allowance = next;
        }
    }

    /// Bytes that came from the site so far.
    pub(crate) fn passed(&self) -> u64 {
        self.gate.passed.load(Ordering::Relaxed)
    }
}
