//! Control connections: jobs, reports, loss, renewal.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use restock_names::{Clock, ManualClock, SystemClock, Timestamp};
use restock_transfer::{
    Backoff, DpLink, DpLinkConfig, DpSide, HelloFacts, Job, JobId, JobKind, LinkError, Progress, Refusal,
    Report, ReportState, Run, SiteUrl, Totals, Welcome,
};

use crate::peer::Listener;
use crate::world::{Point, World, content, eventually, in_runtime};

#[derive(Debug, Default)]
struct TestPoint {
    jobs: Mutex<Vec<Job>>,
    welcomes: Mutex<u32>,
    disconnects: Mutex<Vec<String>>,
}

impl DpSide for TestPoint {
    async fn hello(&self) -> HelloFacts {
        HelloFacts { library_id: "00".to_owned(), serve_urls: Vec::new(), held: vec![content(4)] }
    }
    async fn welcome(&self, _welcome: Welcome) {
        *self.welcomes.lock().unwrap() += 1;
    }
    async fn job(&self, job: Job) {
        self.jobs.lock().unwrap().push(job);
    }
    fn disconnected(&self, cause: &LinkError, _retry_in: Duration) {
        self.disconnects.lock().unwrap().push(cause.code().to_owned());
    }
}

fn start(point: &Point) -> (DpLink, Arc<TestPoint>) {
    let retry = Backoff { first: Duration::from_millis(10), most: Duration::from_millis(100) };
    let config = DpLinkConfig { retry, resend: Duration::from_millis(100), ..DpLinkConfig::default() };
    let side = Arc::new(TestPoint::default());
    (DpLink::start(config, Arc::clone(&point.identity), Arc::clone(&side), &point.run), side)
}

fn job(id: u64) -> Job {
    Job {
        job_id: JobId(id),
        kind: JobKind::Install,
        content: content(1),
        statement: vec![1, 2, 3],
        is_public: true,
        name: "Tools".to_owned(),
        share: None,
    }
}

fn report(id: u64, state: ReportState) -> Report {
    Report {
        job_id: JobId(id),
        content: content(1),
        state,
        code: String::new(),
        detail: "as asked".to_owned(),
        is_transient: false,
        at: Timestamp(7),
        totals: Totals::default(),
    }
}

#[test]
fn jobs_arrive_at_once_and_reports_are_acknowledged_when_they_are_taken() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        assert!(!world.links.send(point.identity.name(), job(1)));
        let (link, side) = start(&point);
        eventually("the point is connected", || world.links.is_connected(point.identity.name())).await;
        eventually("the point knows it", || link.is_connected()).await;
        eventually("the site was told", || !world.side.hellos.lock().unwrap().is_empty()).await;
        assert_eq!(world.side.hellos.lock().unwrap()[0].held, [content(4)]);
        assert!(world.links.send(point.identity.name(), job(1)));
        eventually("the job arrived", || *side.jobs.lock().unwrap() == [job(1)]).await;
        // A database that is busy: the report comes again; one that is refused is forgotten.
        world.side.refuse_reports.lock().unwrap().push(Refusal::transient("DATABASE_BUSY", "busy"));
        link.report(report(1, ReportState::Accepted));
        eventually("the report was taken", || link.unacknowledged() == 0).await;
        assert_eq!(*world.side.reports.lock().unwrap(), [report(1, ReportState::Accepted)]);
        world.side.refuse_reports.lock().unwrap().push(Refusal::new("NOT_FOUND", "no such job"));
        link.report(report(2, ReportState::Failed));
        eventually("the report was refused", || link.unacknowledged() == 0).await;
        assert_eq!(world.side.reports.lock().unwrap().len(), 1);
        let progress = |done| Progress {
            job_id: JobId(1),
            content: content(1),
            bytes_done: done,
            bytes_total: 100,
            wire_bytes: 0,
        };
        (0..=100).for_each(|done| link.progress(progress(done)));
        eventually("progress arrived", || !world.side.progress.lock().unwrap().is_empty()).await;
        assert_eq!(*world.side.progress.lock().unwrap(), [progress(100)]);
    });
}

#[test]
fn a_lost_connection_comes_back_and_nothing_reported_meanwhile_is_lost() {
    in_runtime(async {
        let mut world = World::new().await;
        let point = world.point("DP01").await;
        let (link, side) = start(&point);
        eventually("the point is connected", || link.is_connected()).await;
        world.stop().await;
        eventually("the point noticed", || !link.is_connected()).await;
        link.report(report(1, ReportState::Receiving));
        link.report(report(1, ReportState::Installed));
        link.report(report(1, ReportState::Installed));
        eventually("the point tried again", || {
            side.disconnects.lock().unwrap().contains(&"LINK_CONNECT".to_owned())
        })
        .await;
        world.listen().await;
        eventually("the reports were taken", || link.unacknowledged() == 0).await;
        let states: Vec<ReportState> = world.side.reports.lock().unwrap().iter().map(|r| r.state).collect();
        assert_eq!(states, [ReportState::Receiving, ReportState::Installed]);
        assert_eq!(*side.welcomes.lock().unwrap(), 2);
        // The site ends it, for example because rights changed: the point comes back.
        world.links.disconnect(point.identity.name());
        eventually("the point is back", || *side.welcomes.lock().unwrap() == 3).await;
        link.reconnect();
        eventually("the point is back", || *side.welcomes.lock().unwrap() == 4).await;
        point.run.cancel.cancel();
        point.run.tracker.close();
        point.run.tracker.wait().await;
        eventually("the site noticed", || world.links.connected().is_empty()).await;
    });
}

#[test]
fn a_certificate_past_two_thirds_of_its_life_is_renewed_over_the_link() {
    in_runtime(async {
        // Enrolled 45 days ago: valid for 15 days more.
        let days = |count: i64| count * 86_400_000_000;
        let past = Arc::new(ManualClock::new(Timestamp(SystemClock.now().0 - days(45))));
        let mut world = World::with_clock(&*past).await;
        world.stop().await;
        world.run = Run { clock: Arc::clone(&past) as Arc<dyn Clock>, ..world.run.clone() };
        world.listen().await;
        let point = world.point("DP01").await;
        let folder = world.path("DP01-identity");
        let before = std::fs::read(folder.join("certificate.pem")).unwrap();
        world.stop().await;
        world.listen().await;
        let (link, _side) = start(&point);
        eventually("the point is connected", || link.is_connected()).await;
        eventually("the certificate was replaced", || {
            std::fs::read(folder.join("certificate.pem")).unwrap() != before
        })
        .await;
        let renewed = restock_transfer::DpIdentity::open(&folder).unwrap();
        assert_eq!(renewed.fingerprint(), point.identity.fingerprint());
        link.reconnect();
        eventually("the point is back with it", || world.side.hellos.lock().unwrap().len() == 2).await;
    });
}

#[test]
fn a_site_that_says_nothing_is_given_up_although_the_point_speaks() {
    in_runtime(async {
        let world = World::new().await;
        let listener = Listener::new(&world.path("trust")).await;
        let point = world.point_at("DP01", &SiteUrl::of_address(listener.address())).await;
        let (ping, idle) = (Duration::from_millis(50), Duration::from_millis(400));
        let side = Arc::new(TestPoint::default());
        let config = DpLinkConfig { ping, idle, ..DpLinkConfig::default() };
        let _link = DpLink::start(config, Arc::clone(&point.identity), Arc::clone(&side), &point.run);
        let mut peer = listener.accept().await;
        assert_eq!(peer.message().await.unwrap()["type"], "hello");
        let keys: String = world.trust.key_list().encode().iter().map(|b| format!("{b:02x}")).collect();
        peer.say(serde_json::json!({"type": "welcome", "protocol": 1, "site": "XYZ", "key_list": keys}))
            .await;
        while peer.frame().await.is_some() {}
        eventually("it is given up", || *side.disconnects.lock().unwrap() == ["LINK_TIMEOUT"]).await;
    });
}
