//! Distribution points that join by token and talk over the real link.

use std::sync::Arc;
use std::time::Duration;

use restock_names::{ContentVersion, Epoch, PackageId, SourceVersion, SystemClock};
use restock_provider::{Answer, Operation, PackageChange, TargetState};
use restock_site::TokenKind;
use restock_sitedb::DatabaseError;
use restock_transfer::{
    DpIdentity, DpLink, DpLinkConfig, DpSide, HelloFacts, Job, JobKind, Report, ReportState, Run, SiteUrl,
    Totals, Welcome, enrol,
};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world::{START, World, dp};

/// A distribution point that hands its jobs to the test.
struct Point {
    held: Mutex<Vec<ContentVersion>>,
    welcomed: Notify,
    jobs: mpsc::UnboundedSender<Job>,
}

impl DpSide for Point {
    async fn hello(&self) -> HelloFacts {
        HelloFacts {
            library_id: "00ff".to_owned(),
            serve_urls: vec!["http://127.0.0.1:1/".to_owned()],
            held: self.held.lock().await.clone(),
        }
    }

    async fn welcome(&self, _welcome: Welcome) {
        self.welcomed.notify_one();
    }

    async fn job(&self, job: Job) {
        self.jobs.send(job).unwrap();
    }
}

struct Joined {
    point: Arc<Point>,
    link: DpLink,
    jobs: mpsc::UnboundedReceiver<Job>,
    run: Run,
}

impl Joined {
    async fn next_job(&mut self, kind: JobKind, version: u32) -> Job {
        let job = tokio::time::timeout(Duration::from_secs(20), self.jobs.recv()).await;
        let job = job.expect("a job arrives").unwrap();
        assert_eq!((job.kind, job.content.version.0), (kind, version), "{job:?}");
        job
    }

    fn report(&self, job: &Job, state: ReportState) {
        self.link.report(Report {
            job_id: job.job_id,
            content: job.content,
            state,
            code: String::new(),
            detail: String::new(),
            is_transient: false,
            at: START,
            totals: Totals::default(),
        });
    }

    async fn leave(self) {
        self.run.cancel.cancel();
        self.run.tracker.close();
        self.run.tracker.wait().await;
    }
}

fn run() -> Run {
    Run { clock: Arc::new(SystemClock), tracker: TaskTracker::new(), cancel: CancellationToken::new() }
}

fn join(world: &World, identity: DpIdentity, held: Vec<ContentVersion>) -> Joined {
    let (sender, jobs) = mpsc::unbounded_channel();
    let point = Arc::new(Point { held: Mutex::new(held), welcomed: Notify::new(), jobs: sender });
    let run = run();
    let link = DpLink::start(DpLinkConfig::default(), Arc::new(identity), Arc::clone(&point), &run);
    assert_eq!(world.site.code().as_str(), "XYZ");
    Joined { point, link, jobs, run }
}

pub(crate) async fn until(world: &World, id: PackageId, name: &str, wanted: TargetState) {
    let reached = tokio::time::timeout(Duration::from_secs(20), async {
        while world.target_row(id, name).await.state != wanted {
            tokio::task::yield_now().await;
        }
    });
    reached.await.unwrap_or_else(|_| panic!("{name} did not become {wanted:?}"));
}

/// A site whose loops and listener run.
pub(crate) struct Running {
    pub(crate) world: World,
    url: SiteUrl,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), restock_site::SiteError>>,
}

pub(crate) async fn running() -> Running {
    let world = World::in_real_time().await;
    let shutdown = CancellationToken::new();
    let task = tokio::spawn({
        let (site, shutdown) = (world.site.clone(), shutdown.clone());
        async move { site.run(shutdown).await }
    });
    let url = SiteUrl::of_address(world.site.listening().await);
    Running { world, url, shutdown, task }
}

impl Running {
    /// Enrols `name`; its keys are in the folder `identity-NAME`.
    pub(crate) async fn enrol(&self, name: &str) -> DpIdentity {
        let valid = Duration::from_secs(3600);
        let made =
            self.world.site.create_token(TokenKind::DistributionPoint, &dp(name), valid).await.unwrap();
        let folder = self.world.folder.path().join(format!("identity-{name}"));
        enrol(&self.url, &made.token.parse().unwrap(), &folder).await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_travels_to_a_distribution_point_that_joined() {
    let site = running().await;
    let world = &site.world;
    world.write("a.txt", "one");
    let id = world.create().await;
    let identity = site.enrol("DP07").await;
    let mut point = join(world, identity, vec![]);
    let points = vec![dp("DP07")];
    world.perform(Operation::AddDistributionPoints { package: id, points: points.clone() }).await.unwrap();

    let job = point.next_job(JobKind::Install, 1).await;
    assert_eq!((job.name.as_str(), job.is_public, job.statement.is_empty()), ("app", false, false));
    point.report(&job, ReportState::Receiving);
    until(world, id, "DP07", TargetState::Receiving).await;
    point.report(&job, ReportState::Installed);
    until(world, id, "DP07", TargetState::Installed).await;
    assert!(world.target_row(id, "DP07").await.is_connected);

    // A refresh reaches it by push.
    world.ask(id).await;
    let job = point.next_job(JobKind::Install, 2).await;
    // What is cancelled is told to stop, and shows as failed.
    world.perform(Operation::CancelDistribution { package: id, points: points.clone() }).await.unwrap();
    let stop = point.next_job(JobKind::Cancel, 2).await;
    assert_eq!(stop.job_id, job.job_id);
    point.report(&stop, ReportState::Cancelled);
    until(world, id, "DP07", TargetState::Failed).await;
    world.perform(Operation::Redistribute { package: id, points: points.clone() }).await.unwrap();
    let job = point.next_job(JobKind::Install, 2).await;
    point.report(&job, ReportState::Installed);
    let job = point.next_job(JobKind::Redistribute, 2).await;
    point.report(&job, ReportState::Installed);
    until(world, id, "DP07", TargetState::Installed).await;

    // A changed setting is told without a change of state.
    let public = PackageChange { is_public: Some(true), ..PackageChange::of(id) };
    world.perform(Operation::SetPackage(public)).await.unwrap();
    let job = point.next_job(JobKind::Install, 2).await;
    assert!(job.is_public);
    assert_eq!(world.target_row(id, "DP07").await.state, TargetState::Installed);
    point.report(&job, ReportState::Installed);

    world.perform(Operation::RemoveDistributionPoints { package: id, points }).await.unwrap();
    let job = point.next_job(JobKind::Remove, 2).await;
    point.report(&job, ReportState::Removed);
    let gone = tokio::time::timeout(Duration::from_secs(20), async {
        while !world.status(id).await.targets.is_empty() {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("its target goes");
    point.leave().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distribution_point_that_comes_back_is_told_what_it_missed() {
    let site = running().await;
    let world = &site.world;
    world.write("a.txt", "one");
    let id = world.create().await;
    let points = vec![dp("DP07")];
    let identity = site.enrol("DP07").await;
    world.perform(Operation::AddDistributionPoints { package: id, points }).await.unwrap();
    let mut point = join(world, identity, vec![]);
    let job = point.next_job(JobKind::Install, 1).await;
    point.report(&job, ReportState::Installed);
    until(world, id, "DP07", TargetState::Installed).await;
    point.leave().await;

    world.ask(id).await;
    let folder = world.folder.path().join("identity-DP07");
    let reopen = || DpIdentity::open(&folder).unwrap();
    let held = |package: PackageId, version: u32| ContentVersion {
        package,
        epoch: Epoch::FIRST,
        version: SourceVersion(version),
    };
    let mut point = join(world, reopen(), vec![held(id, 1)]);
    let job = point.next_job(JobKind::Install, 2).await;
    // The connection breaks before it is done: the job comes again.
    point.link.reconnect();
    let again = point.next_job(JobKind::Install, 2).await;
    assert_eq!(again, job);
    point.report(&again, ReportState::Installed);
    until(world, id, "DP07", TargetState::Installed).await;
    point.leave().await;

    // It lost everything, and holds what it should not.
    let stranger: PackageId = "XYZ000AA".parse().unwrap();
    let mut point = join(world, reopen(), vec![held(stranger, 4)]);
    let remove = point.next_job(JobKind::Remove, 4).await;
    assert_eq!(remove.content.package, stranger);
    point.report(&remove, ReportState::Removed);
    let job = point.next_job(JobKind::Install, 2).await;
    assert_eq!(world.target_row(id, "DP07").await.serving_version, SourceVersion(0));
    point.point.held.lock().await.push(held(id, 2));
    point.report(&job, ReportState::Installed);
    until(world, id, "DP07", TargetState::Installed).await;
    point.leave().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distribution_point_is_told_nothing_before_what_it_holds_is_taken_in() {
    let site = running().await;
    let world = &site.world;
    world.write("a.txt", "one");
    let id = world.create().await;
    let identity = site.enrol("DP07").await;
    let points = vec![dp("DP07")];
    world.perform(Operation::AddDistributionPoints { package: id, points }).await.unwrap();
    let has_job = async || world.targets(id).await[0].facts.job.is_some();
    while !has_job().await {
        tokio::task::yield_now().await;
    }
    // The site cannot write: it is connected, and cannot take in what the point says it holds.
    let (held, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let holding = tokio::spawn({
        let (database, held, release) =
            (world.site.database().clone(), Arc::clone(&held), Arc::clone(&release));
        async move {
            let hold: Result<(), DatabaseError> = database
                .transact("hold", move |_tx| {
                    let (held, release) = (Arc::clone(&held), Arc::clone(&release));
                    Box::pin(async move {
                        held.notify_one();
                        release.notified().await;
                        Ok(())
                    })
                })
                .await;
            hold.unwrap();
        }
    });
    held.notified().await;
    let stranger: PackageId = "XYZ000AA".parse().unwrap();
    let content = ContentVersion { package: stranger, epoch: Epoch::FIRST, version: SourceVersion(4) };
    let mut point = join(world, identity, vec![content]);
    point.point.welcomed.notified().await;
    let distribute = world.site.distribute_loop();
    for _ in 0..200 {
        distribute.run_once(world.site.clock().now()).await.unwrap();
        tokio::task::yield_now().await;
    }
    release.notify_one();
    holding.await.unwrap();
    point.next_job(JobKind::Remove, 4).await;
    point.next_job(JobKind::Install, 1).await;
    point.leave().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_once_for_its_name_and_its_time() {
    let site = running().await;
    let world = &site.world;
    let make = async |name: &str| {
        let valid = Duration::from_secs(3600);
        world.site.create_token(TokenKind::DistributionPoint, &dp(name), valid).await.unwrap()
    };
    let attempt = async |token: &str, folder: &str| {
        let folder = world.folder.path().join(folder);
        enrol(&site.url, &token.parse().unwrap(), &folder).await
    };
    let made = make("DP07").await;
    attempt(&made.token, "one").await.unwrap();
    let used = attempt(&made.token, "two").await.unwrap_err();
    assert!(used.to_string().contains("TOKEN_USED"), "{used}");
    let Answer::Points(points) = world.perform(Operation::ListPoints).await.unwrap() else { panic!() };
    assert!(points.iter().any(|point| point.point == dp("DP07")));

    for valid in [Duration::from_secs(10), Duration::from_secs(25 * 3600)] {
        let refused =
            world.site.create_token(TokenKind::DistributionPoint, &dp("DP08"), valid).await.unwrap_err();
        assert_eq!((refused.code().as_str(), refused.exit_code()), ("TOKEN_LIFE", 2));
    }
    site.stop().await;
}
