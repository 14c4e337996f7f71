//! A restart is not special.

use std::time::Duration;

use restock_names::SourceVersion;
use restock_site::{Made, Site, SiteError};
use restock_sitedb::DatabaseError;
use tokio_util::sync::CancellationToken;

use crate::world::World;

#[tokio::test]
async fn what_was_asked_before_a_crash_is_done_after_it() {
    let world = World::new().await;
    let id = world.installed().await;
    let accepted = world.ask(id).await;
    let world = world.restarted().await;
    let status = world.status(id).await;
    assert_eq!((status.package.action_in_progress, status.counters.installed), (1, 0));
    assert_eq!(world.step().await, ["published"]);
    let package = world.package(id).await;
    assert_eq!((package.source_version, package.requests_done), (SourceVersion(2), accepted.request));
}

/// Leaves the database as a process does that was killed while it read the source.
async fn die_while_reading(world: &World, id: restock_names::PackageId, owner: String) {
    let now = world.site.clock().now();
    let claimed: Result<(), DatabaseError> = world
        .site
        .database()
        .transact("die", move |tx| {
            Box::pin(async move {
                let mut refresh = tx.refresh(id).await?.unwrap();
                refresh.claim(&owner, now, Duration::from_secs(120)).unwrap();
                tx.update_refresh(id, &refresh).await
            })
        })
        .await;
    claimed.unwrap();
}

#[tokio::test]
async fn the_lease_of_a_dead_process_ends_by_itself() {
    let world = World::new().await;
    let id = world.installed().await;
    world.ask(id).await;
    die_while_reading(&world, id, "another process".to_owned()).await;
    assert!(world.step().await.is_empty(), "it may be alive");
    world.clock.advance(Duration::from_secs(120));
    assert_eq!(world.step().await, ["published"]);
    assert_eq!(world.package(id).await.source_version, SourceVersion(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_takes_up_at_once_what_its_predecessor_ran() {
    let world = World::in_real_time().await;
    let id = world.installed().await;
    world.ask(id).await;
    let owner = world.site.library().id().to_string();
    die_while_reading(&world, id, owner).await;
    let world = world.restarted().await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (site, shutdown) = (world.site.clone(), shutdown.clone());
        async move { site.run(shutdown).await }
    });
    while world.package(id).await.source_version.0 < 2 {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_a_snapshot_and_leaves_its_request() {
    let world = World::in_real_time().await;
    let id = world.installed().await;
    world.write("big", (0..16_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (site, shutdown) = (world.site.clone(), shutdown.clone());
        async move { site.run(shutdown).await }
    });
    world.site.listening().await;
    world.ask(id).await;
    while world.site.progress().snapshot().refreshes.is_empty() {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let package = world.package(id).await;
    assert_eq!((package.source_version.0, package.action_in_progress), (1, 1));
    assert_eq!(world.step().await, ["published"], "nobody holds its lease");
}

#[tokio::test]
async fn a_site_is_made_once_and_opened_by_one_process() {
    let world = World::new().await;
    let config = world.site.config().clone();
    let clock = world.site.clock().clone();
    let again = Site::init(&config, "XYZ".parse().unwrap(), Made::default(), clock.clone()).await;
    assert!(matches!(&again, Err(SiteError::Exists { .. })), "{again:?}");
    let error = again.unwrap_err();
    assert_eq!((error.code().as_str(), error.exit_code()), ("SITE_EXISTS", 6));
    let other =
        Site::init(&config, "ABC".parse().unwrap(), Made::default(), clock.clone()).await.unwrap_err();
    assert_eq!(other.code(), "SITE_EXISTS");
    let second = Site::open(config.clone(), clock.clone()).await.unwrap_err();
    assert_eq!((second.code().as_str(), second.exit_code()), ("LIBRARY_LOCKED", 6));
    let mut nowhere = config;
    nowhere.data = world.folder.path().join("nowhere");
    let missing = Site::open(nowhere, clock).await.unwrap_err();
    assert_eq!((missing.code().as_str(), missing.exit_code()), ("SITE_NOT_FOUND", 4));
}

#[tokio::test]
async fn an_interrupted_init_is_taken_up_by_the_next() {
    let world = World::new().await;
    let mut config = world.site.config().clone();
    config.data = world.folder.path().join("second");
    let clock = world.site.clock().clone();
    let made = Site::init(&config, "ABC".parse().unwrap(), Made::default(), clock.clone()).await.unwrap();
    // Killed before the database: keys and library are there already.
    for name in ["site.db", "site.db-wal", "site.db-shm"] {
        let path = config.data.join(name);
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
    assert!(Site::open(config.clone(), clock.clone()).await.is_err());
    let again = Site::init(&config, "ABC".parse().unwrap(), Made::default(), clock.clone()).await.unwrap();
    assert_eq!(again.ca_fingerprint, made.ca_fingerprint);
    Site::open(config, clock).await.unwrap();
}
