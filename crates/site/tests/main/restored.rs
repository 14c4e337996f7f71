//! A restored site and a distribution point that holds what the backup does not know.

use std::sync::Arc;
use std::time::Duration;

use restock_names::{
    Clock as _, ContentVersion, Epoch, ManualClock, PackageId, SourceVersion, SystemClock, Timestamp,
};
use restock_site::{DistributeLoop, Site};
use restock_transfer::{Batch, Hello, Job, JobKind, PROTOCOL, Registration, SiteHello, SiteSide as _};

use crate::world::{Running, change, code, dp, eventually};

/// How long it waits for its neighbours.
const WAIT: Duration = Duration::from_secs(600);

/// LOW after its restore, stepped by the test. It stands below TOP, whose package DP01 is to have.
struct Restored {
    site: Site,
    clock: Arc<ManualClock>,
    distributes: DistributeLoop,
    top: Running,
    wanted: PackageId,
    _folder: Arc<tempfile::TempDir>,
}

fn version(package: PackageId) -> ContentVersion {
    ContentVersion { package, epoch: Epoch::FIRST, version: SourceVersion(1) }
}

/// A package that nobody knows any more.
fn stranger() -> ContentVersion {
    version(PackageId::new(code("LOW"), 99).unwrap())
}

impl Restored {
    async fn new() -> Self {
        let top = Running::top("TOP").await;
        let (mut config, folder) = top.made_below("LOW").await;
        top.join(&config, "LOW").await.unwrap();
        config.restore_wait = WAIT;
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let low = Site::open(config.clone(), clock.clone()).await.unwrap();
        let now = clock.now();
        change!(low, |tx| tx.enrol_point(&dp("DP01"), "key", now, now).await);
        let file = folder.path().join("low.backup");
        low.backup(&file).await.unwrap();
        // TOP hears of the point, and wants a package there: LOW has forgotten both when it comes back.
        tell(&low, &top.site).await;
        top.write("app", "a.txt", "one");
        let wanted = top.package("app").await;
        eventually!("version 1 is stored", top.versions(wanted).await == (1, 1));
        top.target(wanted, "DP01").await;
        low.close().await;
        drop(low);
        config.data = folder.path().join("again");
        clock.advance(Duration::from_secs(60));
        Site::restore(&config, &file, clock.clone()).await.unwrap();
        let site = Site::open(config, clock.clone()).await.unwrap();
        let distributes = site.distribute_loop();
        Self { site, clock, distributes, top, wanted, _folder: folder }
    }

    /// DP01 connects and says that it serves both packages.
    async fn connect_point(&self) -> Registration {
        let registration = self.site.links().register(&dp("DP01"));
        let hello = Hello {
            protocol: PROTOCOL,
            library_id: "library".to_owned(),
            serve_urls: Vec::new(),
            held: vec![version(self.wanted), stranger()],
            software: "test".to_owned(),
            serves: false,
        };
        let (side, remote) = (self.site.side(), ([127, 0, 0, 1], 1).into());
        side.connected(&dp("DP01"), registration.connection, hello, remote).await.unwrap();
        registration
    }

    /// TOP connects, as a release that says how much it has to tell, or as one that does not.
    async fn connect_top(&self, says_last: bool) {
        let ours = self.top.site.side().replica_facts(self.site.code()).await.unwrap();
        let keys = (*self.top.site.shared_trust().key_list()).clone();
        let hello = SiteHello {
            protocol: PROTOCOL,
            site: code("TOP"),
            incarnation: ours.incarnation,
            received: ours.received,
            last: ours.last.filter(|_| says_last),
            key_list: keys.encode(),
            software: "test".to_owned(),
            authorities: Vec::new(),
            head: Vec::new(),
        };
        self.site.side().site_connected(code("TOP"), hello, keys, None).await.unwrap();
    }

    /// Lets the distribute loop look; returns what DP01 is told to remove, and when it looks again.
    async fn look(&self, point: &mut Registration) -> (Vec<ContentVersion>, Option<Timestamp>) {
        let outcome = self.distributes.run_once(self.clock.now()).await.unwrap();
        let jobs: Vec<Job> = std::iter::from_fn(|| point.jobs.try_recv().ok()).collect();
        let removals = jobs.iter().filter(|job| job.kind == JobKind::Remove);
        (removals.map(|job| job.content).collect(), outcome.next_due)
    }
}

/// Hands all changes of `from` to `to`.
async fn tell(from: &Site, to: &Site) {
    let facts = to.side().replica_facts(from.code()).await.unwrap();
    let incarnation = from.side().replica_facts(to.code()).await.unwrap().incarnation;
    let known = facts.received;
    let after = if known.incarnation == incarnation { known.sequence } else { 0 };
    let next = from.side().next_changes(to.code(), after).await.unwrap();
    let objects = next.changes.into_iter().map(|change| change.object).collect();
    let batch = Batch { incarnation, first: after + 1, last: next.through, objects };
    to.side().take_changes(from.code(), batch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_before_the_neighbour_was_heard_and_then_what_nobody_wants() {
    let low = Restored::new().await;
    let mut point = low.connect_point().await;
    let (removed, look_at) = low.look(&mut point).await;
    assert_eq!(removed, [], "nobody was heard");
    assert!(look_at.is_some_and(|at| at > low.clock.now()));
    // Connected for however long: what it has to tell has not come.
    low.connect_top(true).await;
    low.clock.advance(Duration::from_secs(30));
    assert_eq!(low.look(&mut point).await.0, []);
    tell(&low.top.site, &low.site).await;
    assert_eq!(low.look(&mut point).await.0, [stranger()]);
    assert_eq!(low.look(&mut point).await.0, [], "once");
    // Who connects from here on is told at once.
    drop(point);
    let mut point = low.connect_point().await;
    assert_eq!(low.look(&mut point).await.0, [stranger()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_does_not_say_how_much_it_has_to_tell_is_heard_after_a_while() {
    let low = Restored::new().await;
    let mut point = low.connect_point().await;
    low.connect_top(false).await;
    tell(&low.top.site, &low.site).await;
    assert_eq!(low.look(&mut point).await.0, [], "it has just connected");
    low.clock.advance(Duration::from_secs(6));
    assert_eq!(low.look(&mut point).await.0, [stranger()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_never_comes_is_not_waited_for_longer_than_configured() {
    let low = Restored::new().await;
    let mut point = low.connect_point().await;
    low.clock.advance(WAIT - Duration::from_secs(1));
    assert_eq!(low.look(&mut point).await.0, []);
    low.clock.advance(Duration::from_secs(2));
    let (mut removed, _) = low.look(&mut point).await;
    removed.sort_by_key(|content| content.package);
    let mut both = [version(low.wanted), stranger()];
    both.sort_by_key(|content| content.package);
    assert_eq!(removed, both);
}
