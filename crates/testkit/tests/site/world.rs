//! A site in a temporary folder with a source beside it. Its loops are stepped by the test.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restock_names::{
    Clock, ContentVersion, DistributionPointName, Epoch, ManualClock, PackageId, SourceVersion, SystemClock,
    Timestamp,
};
use restock_provider::rows::{MessageRow, PackageRow, PackageStatus, RefreshAccepted, SourceFlag, TargetRow};
use restock_provider::{Answer, Call, NewPackage, NewSourceRoot, Operation, OperationError, Provider};
use restock_site::{Made, RefreshLoop, RetryPolicy, Side, Site, SiteConfig};
use restock_sitedb::DatabaseError;
use restock_sitedb::target::Target;
use restock_testkit::history::{Deed, History, Seen, Watched};
use restock_transfer::{JobId, Report, ReportState, SiteSide, Totals};
use tempfile::TempDir;

pub(crate) const START: Timestamp = Timestamp(1_795_000_000_000_000);
pub(crate) const RETRY: RetryPolicy = RetryPolicy { delay: Duration::from_secs(1800), count: 3 };

pub(crate) fn dp(name: &str) -> DistributionPointName {
    name.parse().unwrap()
}

pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) provider: Provider,
    pub(crate) refresh: RefreshLoop,
    pub(crate) side: Side,
    /// Moves only by hand, unless the world was made with the machine's clock.
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: TempDir,
    /// Of every request and every look at a status; judged when the world ends.
    history: Watched,
}

impl World {
    /// A site XYZ on a clock moved by hand, with a source folder and DP01 and DP02 enrolled.
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        Self::with_clock(Arc::clone(&clock) as Arc<dyn Clock>, clock, None).await
    }

    /// The same with its database at `url`.
    pub(crate) async fn with_database(url: &str) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        Self::with_clock(Arc::clone(&clock) as Arc<dyn Clock>, clock, Some(url.to_owned())).await
    }

    /// The same on the machine's clock.
    pub(crate) async fn in_real_time() -> Self {
        Self::with_clock(Arc::new(SystemClock), Arc::new(ManualClock::new(START)), None).await
    }

    async fn with_clock(
        clock: Arc<dyn Clock>,
        by_hand: Arc<ManualClock>,
        database_url: Option<String>,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let config = SiteConfig { database_url, ..config(&folder) };
        Site::init(&config, "XYZ".parse().unwrap(), Made::default(), Arc::clone(&clock)).await.unwrap();
        let site = Site::open(config, clock).await.unwrap();
        let world = Self::over(site, by_hand, folder, Watched(History::new("site")));
        std::fs::create_dir_all(world.source()).unwrap();
        let root = NewSourceRoot {
            name: "src".to_owned(),
            folder: world.folder.path().canonicalize().unwrap().join("src").display().to_string(),
            aliases: vec![r"\\fs01\src".to_owned()],
            scopes: vec![],
        };
        world.perform(Operation::AddSourceRoot(root)).await.unwrap();
        world.enrol(&["DP01", "DP02"]).await;
        world
    }

    fn over(site: Site, clock: Arc<ManualClock>, folder: TempDir, history: Watched) -> Self {
        let own = site.config().folders();
        let provider = Provider::new(site.database().clone(), Arc::clone(site.clock()), own);
        Self { provider, refresh: site.refresh_loop(), side: site.side(), site, clock, folder, history }
    }

    /// The same site in a process that started again; the old one was killed.
    pub(crate) async fn restarted(self) -> Self {
        let Self { site, provider, refresh, side, clock, folder, history } = self;
        let (config, time) = (site.config().clone(), Arc::clone(site.clock()));
        drop((provider, refresh, side));
        drop(site);
        Self::over(Site::open(config, time).await.unwrap(), clock, folder, history)
    }

    /// The folder of the package's source.
    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("src/app")
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.source().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Puts the source out of reach, or back.
    pub(crate) fn hide_source(&self, is_hidden: bool) {
        let (there, away) = (self.folder.path().join("src"), self.folder.path().join("away"));
        let (from, to) = if is_hidden { (there, away) } else { (away, there) };
        std::fs::rename(from, to).unwrap();
    }

    pub(crate) async fn enrol(&self, names: &[&'static str]) {
        let names: Vec<&'static str> = names.to_vec();
        let done: Result<(), DatabaseError> = self
            .site
            .database()
            .transact("enrol", move |tx| {
                Box::pin(async move {
                    for name in names {
                        tx.enrol_point(&dp(name), "key", START, START).await?;
                    }
                    Ok(())
                })
            })
            .await;
        done.unwrap();
    }

    pub(crate) async fn perform(&self, operation: Operation) -> Result<Answer, OperationError> {
        self.provider.perform(&Call::default(), operation).await
    }

    pub(crate) async fn create(&self) -> PackageId {
        let new = NewPackage {
            name: "app".to_owned(),
            source_path: Some(r"\\fs01\src\app".to_owned()),
            source_flag: Some(SourceFlag::Direct),
            ..NewPackage::default()
        };
        match self.perform(Operation::CreatePackage(new)).await.unwrap() {
            Answer::Package(row) => row.package,
            other => panic!("{other:?}"),
        }
    }

    /// A package at version 1, installed at DP01 and DP02.
    pub(crate) async fn installed(&self) -> PackageId {
        self.write("a.txt", "first");
        let id = self.create().await;
        let points = vec![dp("DP01"), dp("DP02")];
        self.perform(Operation::AddDistributionPoints { package: id, points }).await.unwrap();
        self.step().await;
        self.report_all(id).await;
        let status = self.status(id).await;
        assert_eq!((status.counters.installed, status.package.stored_version), (2, SourceVersion(1)));
        id
    }

    pub(crate) async fn ask(&self, id: PackageId) -> RefreshAccepted {
        let asked = self.history.0.begin("caller", Deed::Change, id.as_str());
        match self.perform(Operation::RefreshPkgSource { package: id }).await.unwrap() {
            Answer::Refresh(accepted) => {
                asked.ok(&[Seen::version(u64::from(accepted.source_version.0) + 1)]);
                accepted
            }
            other => panic!("{other:?}"),
        }
    }

    /// Steps the refresh loop until nothing is due; returns what each step did.
    pub(crate) async fn step(&self) -> Vec<String> {
        let mut results = Vec::new();
        loop {
            let outcome = self.refresh.run_once(self.site.clock().now()).await.unwrap();
            if !outcome.is_busy {
                return results;
            }
            results.push(outcome.result.split(": ").last().unwrap().to_owned());
        }
    }

    pub(crate) async fn status(&self, id: PackageId) -> PackageStatus {
        let asked = self.history.0.begin("site", Deed::Read, id.as_str());
        let stored = self.history.0.begin("library of the site", Deed::Read, id.as_str());
        match self.perform(Operation::Status { package: Some(id) }).await.unwrap() {
            Answer::Status(mut rows) => {
                let status = rows.pop().unwrap();
                asked.ok(&[Seen::version(status.package.source_version.0.into())]);
                stored.ok(&[Seen::version(status.package.stored_version.0.into())]);
                status
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn package(&self, id: PackageId) -> PackageRow {
        self.status(id).await.package
    }

    pub(crate) async fn target_row(&self, id: PackageId, name: &str) -> TargetRow {
        let status = self.status(id).await;
        status.targets.into_iter().find(|target| target.point == dp(name)).unwrap()
    }

    pub(crate) async fn messages(&self, id: PackageId) -> Vec<MessageRow> {
        let operation = Operation::Messages { package: Some(id), after: None, limit: Some(1000) };
        match self.perform(operation).await.unwrap() {
            Answer::Messages(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn message_ids(&self, id: PackageId) -> Vec<u32> {
        self.messages(id).await.iter().map(|message| message.message_id).collect()
    }

    pub(crate) async fn targets(&self, id: PackageId) -> Vec<Target> {
        let targets: Result<Vec<Target>, DatabaseError> = self
            .site
            .database()
            .read("targets", move |tx| Box::pin(async move { tx.targets_of_package(id).await }))
            .await;
        targets.unwrap()
    }

    /// Lets a distribution point report `state` of the job it has.
    pub(crate) async fn report(&self, id: PackageId, name: &str, state: ReportState) {
        let targets = self.targets(id).await;
        let target = targets.iter().find(|target| target.point == dp(name)).unwrap();
        let job = target.facts.job.expect("it has a job");
        let report = report(id, job.id, target.facts.wanted, state);
        self.side.report(&dp(name), report).await.unwrap();
    }

    /// Lets every distribution point do the job it has.
    pub(crate) async fn report_all(&self, id: PackageId) {
        for target in self.targets(id).await {
            if let Some(job) = target.facts.job {
                let state = if target.facts.state.is_removal() {
                    ReportState::Removed
                } else {
                    ReportState::Installed
                };
                self.side
                    .report(&target.point, report(id, job.id, target.facts.wanted, state))
                    .await
                    .unwrap();
            }
        }
    }
}

pub(crate) fn report(id: PackageId, job: u64, version: SourceVersion, state: ReportState) -> Report {
    Report {
        job_id: JobId(job),
        content: ContentVersion { package: id, epoch: Epoch::FIRST, version },
        state,
        code: if state == ReportState::Failed { "LINK_CLOSED".to_owned() } else { String::new() },
        detail: if state == ReportState::Failed { "LINK_CLOSED: gone".to_owned() } else { String::new() },
        is_transient: true,
        at: START,
        totals: Totals { wire_received: 7, ..Totals::default() },
    }
}

fn config(folder: &TempDir) -> SiteConfig {
    let mut config = SiteConfig::new(folder.path().join("data"));
    config.link_listen = ([127, 0, 0, 1], 0).into();
    config.refresh_retry = RETRY;
    config.transfer_retry = RETRY;
    config.threads = 2;
    config
}
