//! A client that calls and then polls never sees success early, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use restock_names::PackageId;
use restock_provider::Operation;
use restock_transfer::{ReportState, SiteSide};
use tokio_util::sync::CancellationToken;

use crate::world::{World, report};

const PAIRS: u32 = 1_000;

/// Plays both distribution points: does whatever job there is, again and again.
async fn distribution_points(world: Arc<World>, packages: Vec<PackageId>, done: Arc<AtomicBool>) {
    while !done.load(Ordering::Relaxed) {
        for id in &packages {
            for target in world.targets(*id).await {
                if let Some(job) = target.facts.job {
                    let report = report(*id, job.id, target.facts.wanted, ReportState::Installed);
                    world.side.report(&target.point, report).await.unwrap();
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_calls_are_each_followed_by_a_read_that_is_true() {
    let world = Arc::new(World::in_real_time().await);
    let id = world.installed().await;
    let other = world.installed().await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (site, shutdown) = (world.site.clone(), shutdown.clone());
        async move { site.run(shutdown).await }
    });
    let done = Arc::new(AtomicBool::new(false));
    let points = tokio::spawn(distribution_points(Arc::clone(&world), vec![id, other], Arc::clone(&done)));
    let load = tokio::spawn({
        let (world, done) = (Arc::clone(&world), Arc::clone(&done));
        async move {
            while !done.load(Ordering::Relaxed) {
                world.ask(other).await;
                world.perform(Operation::Status { package: None }).await.unwrap();
            }
        }
    });

    let (mut early, mut installed_at_once) = (0, 0);
    for pair in 0..PAIRS {
        let accepted = world.ask(id).await;
        let status = world.status(id).await;
        let has_ended = status.package.requests_done >= accepted.request;
        // What counts as installed must be a version this very call led to.
        let is_true = has_ended && status.package.stored_version > accepted.source_version;
        early += u32::from(status.counters.installed > 0 && !is_true);
        installed_at_once += u32::from(status.counters.installed > 0);
        assert!(has_ended || status.package.action_in_progress == 1);
        if pair % 50 == 0 {
            // Polls as the documentation says, until installed = targeted.
            let end = loop {
                let status = world.status(id).await;
                if status.counters.installed == status.counters.targeted {
                    break status;
                }
                tokio::task::yield_now().await;
            };
            assert!(end.package.stored_version > accepted.source_version);
            assert!(end.targets.iter().all(|target| target.serving_version == end.package.stored_version));
        }
    }
    assert_eq!(early, 0, "of {PAIRS} reads ({installed_at_once} saw the new version already)");
    done.store(true, Ordering::Relaxed);
    load.await.unwrap();
    points.await.unwrap();
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let package = world.package(id).await;
    assert!(package.source_version.0 > 20, "the site worked all the while: {}", package.source_version);
}
