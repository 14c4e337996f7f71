//! Damage that a distribution point finds in what it serves: a real one, over the real link.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use restock_content::files::DiskFiles;
use restock_content::library::{Library, Role};
use restock_dp::{DistributionPoint, DistributionPointConfig, ListenerConfig};
use restock_names::{PackageId, SystemClock};
use restock_provider::rows::TargetRow;
use restock_provider::{Operation, TargetState};
use restock_transfer::{DpIdentity, Run};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::joining::{Running, running, until};
use crate::world::{World, dp};

const TEXT: &str = "content that will rot in its pack";

/// A distribution point with all its parts.
struct Point {
    folder: PathBuf,
    point: DistributionPoint,
    run: Run,
}

impl Point {
    async fn start(folder: PathBuf, identity: DpIdentity) -> Self {
        let library = folder.join("library");
        let library = Library::create(Arc::new(DiskFiles), &library, Role::DistributionPoint).unwrap();
        let mut config = DistributionPointConfig::new(folder.clone());
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        config.serve.listeners = vec![ListenerConfig { address, serves_everything: true }];
        let run = Run {
            clock: Arc::new(SystemClock),
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        let point =
            DistributionPoint::start(config, Arc::new(library), Arc::new(identity), &run).await.unwrap();
        Self { folder, point, run }
    }

    /// Status line and body of a GET.
    async fn get(&self, id: PackageId, path: &str) -> (String, String) {
        let (address, path) = (self.point.addresses()[0], format!("/SMS_DP_SMSPKG$/{id}/{path}"));
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    async fn stop(self) {
        self.run.cancel.cancel();
        self.run.tracker.close();
        self.run.tracker.wait().await;
    }
}

/// Flips one bit of `TEXT` in the packs of a library; a second call puts it right.
fn rot(library: &Path) {
    let mut found = 0;
    for entry in std::fs::read_dir(library.join("packs")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(TEXT.len() - 1).position(|window| window == &TEXT.as_bytes()[1..]);
        if let (Some(at), Some("data")) = (at, path.extension().and_then(|e| e.to_str())) {
            bytes[at - 1] ^= 0x10;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            std::fs::write(&path, bytes).unwrap();
            found += 1;
        }
    }
    assert_eq!(found, 1, "the bytes lie in one pack of {}", library.display());
}

/// A site, and DP07, which serves version 1 of a package.
async fn installed() -> (Running, Point, PackageId) {
    let site = running().await;
    let world = &site.world;
    world.write("a.txt", TEXT);
    world.write("b.txt", "other");
    let id = world.create().await;
    let identity = site.enrol("DP07").await;
    let point = Point::start(world.folder.path().join("identity-DP07"), identity).await;
    let points = vec![dp("DP07")];
    world.perform(Operation::AddDistributionPoints { package: id, points }).await.unwrap();
    until(world, id, "DP07", TargetState::Installed).await;
    assert_eq!(point.get(id, "a.txt").await, ("HTTP/1.1 200 OK".to_owned(), TEXT.to_owned()));
    (site, point, id)
}

fn columns(row: &TargetRow) -> (u32, u32, u32, Option<u32>, u32) {
    (row.summarizer_state, row.package_status, row.message_state, row.message_id, row.point_status)
}

/// The messages about damage so far.
async fn told(world: &World, id: PackageId) -> Vec<u32> {
    let ids = world.message_ids(id).await;
    ids.into_iter().filter(|id| [2382, 2384, 2385].contains(id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_cannot_be_healed_shows_until_it_can() {
    let (site, point, id) = installed().await;
    let world = &site.world;
    let requests = world.package(id).await.requests;
    // Both copies rot, so that healing fails at first.
    let (of_site, of_point) = (world.site.library().folder().to_owned(), point.folder.join("library"));
    rot(&of_site);
    rot(&of_point);
    assert_eq!(point.get(id, "a.txt").await.0, "HTTP/1.1 503 Service Unavailable");
    until(world, id, "DP07", TargetState::Damaged).await;
    let status = world.status(id).await;
    let row = &status.targets[0];
    assert_eq!(columns(row), (8, 3, 4, Some(2382), 0));
    assert_eq!(row.why.as_ref().unwrap().rule, "CONTENT_DAMAGED");
    let counters = status.counters;
    assert_eq!((counters.targeted, counters.installed, counters.failed, counters.pending), (1, 0, 1, 0));
    assert_eq!(point.get(id, "b.txt").await.1, "other", "what is right is served");

    // A refresh that ends without a version hides the damage only while it is asked.
    world.hide_source(true);
    world.ask(id).await;
    assert_eq!(world.target_row(id, "DP07").await.state, TargetState::Waiting);
    world.perform(Operation::CancelRefresh { package: id }).await.unwrap();
    until(world, id, "DP07", TargetState::Damaged).await;
    world.hide_source(false);

    // The site's copy is brought back, the distribution point connects again: it heals by itself.
    rot(&of_site);
    point.point.link().reconnect();
    until(world, id, "DP07", TargetState::Installed).await;
    let row = world.target_row(id, "DP07").await;
    assert_eq!((columns(&row), row.why), ((0, 3, 1, Some(2384), 0), None));
    assert_eq!(point.get(id, "a.txt").await.1, TEXT);
    let told = told(world, id).await;
    assert_eq!((told.first(), told.last()), (Some(&2382), Some(&2384)), "{told:?}");
    let package = world.package(id).await;
    assert_eq!((package.source_version.0, package.requests), (1, requests + 1), "nothing was read for it");
    point.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_is_healed_at_once_is_told_all_the_same() {
    let (site, point, id) = installed().await;
    let world = &site.world;
    rot(&point.folder.join("library"));
    assert_eq!(point.get(id, "a.txt").await.0, "HTTP/1.1 503 Service Unavailable");
    let healed = tokio::time::timeout(Duration::from_secs(20), async {
        while told(world, id).await != [2382, 2384] {
            tokio::task::yield_now().await;
        }
    });
    healed.await.expect("it is told and healed");
    assert_eq!(world.target_row(id, "DP07").await.state, TargetState::Installed);
    assert_eq!(point.get(id, "a.txt").await.1, TEXT);
    let messages = world.messages(id).await;
    let found = messages.iter().find(|message| message.message_id == 2382).unwrap();
    assert_eq!(found.insertion_strings[2], "CONTENT_DAMAGED", "{found:?}");
    assert!(found.text.contains("DP07"), "{found:?}");
    point.stop().await;
    site.stop().await;
}

/// Every object of the library's versions can be read.
fn is_whole(library: &Library) -> bool {
    let report = library.check(|_| std::ops::ControlFlow::Continue(())).unwrap();
    report.incomplete.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_lost_comes_back_from_its_point_without_a_person() {
    let (site, point, id) = installed().await;
    let world = &site.world;
    // Only the point has it: the source is out of reach.
    world.hide_source(true);
    rot(world.site.library().folder());
    assert!(!is_whole(world.site.library()));
    let outcome = world.site.scrub_loop().run_once(world.site.clock().now(), true).await.unwrap();
    assert_eq!(outcome.result, "1 of 1 lacking objects were mended");
    assert!(is_whole(world.site.library()));
    let package = world.package(id).await;
    assert_eq!((package.source_version.0, package.requests), (1, 1), "no refresh was asked for");
    point.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_any_more_is_lost_and_told() {
    let (site, point, id) = installed().await;
    let world = &site.world;
    world.hide_source(true);
    let (of_site, of_point) = (world.site.library().folder().to_owned(), point.folder.join("library"));
    rot(&of_site);
    rot(&of_point);
    let scrubs = world.site.scrub_loop();
    scrubs.run_once(world.site.clock().now(), true).await.unwrap();
    let mended = scrubs.mend(world.site.clock().now()).await.unwrap();
    assert_eq!((mended.lacking, mended.mended), (1, 0));
    assert!(mended.lost[&id].contains("lost here, at its holders and in its source"), "{mended:?}");
    // The point's copy is right again, and with it the site's.
    rot(&of_point);
    let mended = scrubs.mend(world.site.clock().now()).await.unwrap();
    assert_eq!((mended.lacking, mended.mended, mended.lost.len()), (1, 1, 0));
    assert!(is_whole(world.site.library()));
    point.stop().await;
    site.stop().await;
}
