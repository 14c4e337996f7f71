//! Runs that fail, are cancelled or lose their lease: no version, no gap, the old one serves.

use std::ops::ControlFlow;
use std::time::Duration;

use restock_names::{Clock as _, LinkPolicy, SourceVersion};
use restock_provider::rows::RefreshPhase;
use restock_provider::{Operation, PackageChange};
use restock_sitedb::DatabaseError;

use crate::world::{RETRY, World, dp};

#[tokio::test]
async fn a_source_that_cannot_be_read_is_tried_again_until_it_can() {
    let world = World::new().await;
    let id = world.installed().await;
    world.hide_source(true);
    let before = world.messages(id).await.len();
    world.ask(id).await;
    assert_eq!(world.step().await, ["failed, will be tried again"]);
    let status = world.status(id).await;
    assert_eq!((status.package.source_version.0, status.package.action_in_progress), (1, 1));
    assert_eq!((status.counters.installed, status.counters.pending), (0, 2));
    assert!(status.targets.iter().all(|target| target.serving_version.0 == 1), "the old version serves");
    let refresh = status.package.refresh.unwrap();
    let due = world.clock.now().after(RETRY.delay);
    assert_eq!(
        (refresh.state, refresh.attempts, refresh.next_attempt),
        (RefreshPhase::Retrying, 1, Some(due))
    );
    let why = refresh.why.unwrap();
    assert_eq!((why.rule.as_str(), why.until), ("SOURCE_NOT_FOUND", Some(due)));
    let messages = world.messages(id).await.split_off(before);
    assert_eq!(messages.iter().map(|message| message.message_id).collect::<Vec<_>>(), [2300, 2306]);
    let strings = &messages[1].insertion_strings;
    assert_eq!(strings[..4], [id.as_str(), "app", r"\\fs01\src\app", "SOURCE_NOT_FOUND"]);
    assert!(strings[4].contains("/src") && strings[4].contains("No such file"), "{strings:?}");

    world.clock.advance(RETRY.delay - Duration::from_secs(1));
    assert!(world.step().await.is_empty(), "the delay has not passed");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.step().await, ["failed, will be tried again"]);
    world.hide_source(false);
    world.ask(id).await;
    assert_eq!(world.step().await, ["published"], "a new request brings the next attempt forward");
    world.report_all(id).await;
    let status = world.status(id).await;
    assert_eq!((status.package.source_version.0, status.counters.installed), (2, 2));
    assert_eq!(status.package.refresh, None);
}

#[tokio::test]
async fn after_the_last_attempt_the_old_version_counts_as_installed_again() {
    let world = World::new().await;
    let id = world.installed().await;
    world.hide_source(true);
    let accepted = world.ask(id).await;
    for _ in 1..RETRY.count {
        assert_eq!(world.step().await, ["failed, will be tried again"]);
        world.clock.advance(RETRY.delay);
    }
    assert_eq!(world.step().await, ["given up"]);
    let ids = world.message_ids(id).await;
    assert_eq!(ids[ids.len() - 3..], [2300, 2306, 2302]);
    let status = world.status(id).await;
    assert_eq!((status.counters.installed, status.package.action_in_progress), (2, 0));
    assert_eq!(status.package.source_version, SourceVersion(1));
    assert!(status.package.requests_failed >= accepted.request);
    let refresh = status.package.refresh.unwrap();
    assert_eq!(
        (refresh.state, refresh.why.unwrap().rule.as_str()),
        (RefreshPhase::Failed, "SOURCE_NOT_FOUND")
    );
    world.clock.advance(RETRY.delay * 10);
    assert!(world.step().await.is_empty(), "it has ended");

    world.hide_source(false);
    world.ask(id).await;
    assert_eq!(world.step().await, ["published"]);
    assert_eq!(world.package(id).await.source_version, SourceVersion(2), "failed runs leave no gap");
}

#[tokio::test]
async fn cancelling_ends_a_refresh_that_waits_for_its_next_attempt() {
    let world = World::new().await;
    let id = world.installed().await;
    world.hide_source(true);
    world.ask(id).await;
    world.step().await;
    world.perform(Operation::CancelRefresh { package: id }).await.unwrap();
    let status = world.status(id).await;
    assert_eq!((status.counters.installed, status.package.action_in_progress), (2, 0));
    world.clock.advance(RETRY.delay);
    assert!(world.step().await.is_empty());
}

#[tokio::test]
async fn a_source_that_is_empty_unexpectedly_is_refused_unless_allowed() {
    let world = World::new().await;
    let id = world.installed().await;
    std::fs::remove_file(world.source().join("a.txt")).unwrap();
    world.ask(id).await;
    assert_eq!(world.step().await, ["failed, will be tried again"]);
    let why = world.package(id).await.refresh.unwrap().why.unwrap();
    assert_eq!(why.rule, "SOURCE_EMPTY");
    let allow = PackageChange { allow_empty: Some(true), ..PackageChange::of(id) };
    world.perform(Operation::SetPackage(allow)).await.unwrap();
    world.ask(id).await;
    assert_eq!(world.step().await, ["published"]);
    let package = world.package(id).await;
    assert_eq!((package.source_version.0, package.entries), (2, 0));
}

#[tokio::test]
async fn a_path_under_no_root_fails_the_refresh_and_names_the_missing_root() {
    let world = World::new().await;
    let id = world.installed().await;
    world.perform(Operation::RemoveSourceRoot { name: "src".to_owned() }).await.unwrap();
    world.ask(id).await;
    world.step().await;
    let why = world.package(id).await.refresh.unwrap().why.unwrap();
    assert_eq!(why.rule, "SOURCE_ROOT_MISSING");
    assert!(why.text.contains("fs01") && why.fix.unwrap().starts_with("restock source add"));
    assert_eq!(world.message_ids(id).await.last(), Some(&2306));
}

#[tokio::test]
async fn a_fifo_in_the_source_fails_the_refresh_by_name() {
    let world = World::new().await;
    let id = world.installed().await;
    let made = std::process::Command::new("mkfifo").arg(world.source().join("pipe")).status().unwrap();
    assert!(made.success());
    world.ask(id).await;
    world.step().await;
    let why = world.package(id).await.refresh.unwrap().why.unwrap();
    assert!(why.rule == "SOURCE_SPECIAL_FILE" && why.text.contains("pipe"), "{why:?}");
    assert_eq!(world.package(id).await.source_version, SourceVersion(1));
}

#[tokio::test]
async fn a_link_that_the_package_refuses_fails_the_refresh_by_name() {
    let world = World::new().await;
    let id = world.installed().await;
    std::os::unix::fs::symlink("a.txt", world.source().join("link")).unwrap();
    let set =
        |policy| Operation::SetPackage(PackageChange { link_policy: Some(policy), ..PackageChange::of(id) });
    world.perform(set(LinkPolicy::Refuse)).await.unwrap();
    assert!(world.step().await.is_empty(), "the policy by itself reads nothing");
    world.ask(id).await;
    assert_eq!(world.step().await, ["failed, will be tried again"]);
    let why = world.package(id).await.refresh.unwrap().why.unwrap();
    assert!(why.rule == "SOURCE_SYMLINK" && why.text.contains("src/app/link"), "{why:?}");
    assert!(why.fix.unwrap().contains("--symlinks keep"));
    assert_eq!(world.message_ids(id).await.last(), Some(&2306));
    assert_eq!(world.package(id).await.source_version, SourceVersion(1));
    // The request waits; the policy does not start it, its next attempt obeys it.
    world.perform(set(LinkPolicy::Follow)).await.unwrap();
    assert!(world.step().await.is_empty());
    world.clock.advance(RETRY.delay);
    assert_eq!(world.step().await, ["published"]);
    let package = world.package(id).await;
    assert_eq!((package.source_version.0, package.entries), (2, 2));
}

#[tokio::test]
async fn what_was_cancelled_says_how_it_goes_on() {
    let world = World::new().await;
    world.write("a.txt", "one");
    let id = world.create().await;
    let points = vec![dp("DP01")];
    world.perform(Operation::AddDistributionPoints { package: id, points: points.clone() }).await.unwrap();
    world.perform(Operation::CancelRefresh { package: id }).await.unwrap();
    let why = world.target_row(id, "DP01").await.why.unwrap();
    assert_eq!((why.rule.as_str(), why.fix), ("WAITING_FOR_CONTENT", Some(format!("restock refresh {id}"))));

    world.ask(id).await;
    let why = world.target_row(id, "DP01").await.why.unwrap();
    assert_eq!((why.rule.as_str(), why.fix), ("WAITING_FOR_CONTENT", None), "the snapshot will bring it");
    assert_eq!(world.step().await, ["published"]);
    world.perform(Operation::CancelDistribution { package: id, points }).await.unwrap();
    let why = world.target_row(id, "DP01").await.why.unwrap();
    let fix = format!("restock redistribute {id} --to DP01, or the next refresh");
    assert_eq!((why.rule.as_str(), why.fix), ("CANCELLED", Some(fix)));
}

/// A run that reads for a while; `meanwhile` happens when it has begun to.
async fn run_with(
    world: &World,
    id: restock_names::PackageId,
    meanwhile: impl AsyncFnOnce(&World),
) -> String {
    world.write("big", (0..8_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    world.ask(id).await;
    let running = tokio::spawn({
        let (refresh, clock) = (world.refresh.clone(), std::sync::Arc::clone(&world.clock));
        async move { refresh.run_once(clock.now()).await.unwrap() }
    });
    while world.site.progress().snapshot().refreshes.is_empty() {
        tokio::task::yield_now().await;
    }
    meanwhile(world).await;
    running.await.unwrap().result
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_cancelled_while_it_reads_publishes_nothing() {
    let world = World::new().await;
    let id = world.installed().await;
    let result = run_with(&world, id, async |world| {
        world.perform(Operation::CancelRefresh { package: id }).await.unwrap();
        world.refresh.renew_once(world.clock.now()).await.unwrap();
    })
    .await;
    assert_eq!(result, format!("{id}: stopped"));
    let status = world.status(id).await;
    assert_eq!((status.counters.installed, status.package.source_version.0), (2, 1));
    assert_eq!(
        world.site.library().statements(&id).unwrap().len(),
        1,
        "no statement of a version that never was"
    );
    assert!(world.site.progress().snapshot().refreshes.is_empty());
    world.ask(id).await;
    assert_eq!(world.step().await, ["published"]);
    assert_eq!(world.package(id).await.source_version.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_lease_was_taken_over_publishes_nothing() {
    let world = World::new().await;
    let id = world.installed().await;
    let result = run_with(&world, id, async |world| {
        // The clock jumps past the lease and another process takes the run over.
        let later = world.clock.now().after(Duration::from_secs(600));
        let taken: Result<u64, DatabaseError> = world
            .site
            .database()
            .transact("take over", move |tx| {
                Box::pin(async move {
                    let mut refresh = tx.refresh(id).await?.unwrap();
                    let run = refresh.claim("another process", later, Duration::from_secs(600)).unwrap();
                    tx.update_refresh(id, &refresh).await?;
                    Ok(run)
                })
            })
            .await;
        taken.unwrap();
    })
    .await;
    assert_eq!(result, format!("{id}: stopped"));
    let package = world.package(id).await;
    assert_eq!((package.source_version.0, package.action_in_progress), (1, 1));
    assert_eq!(world.site.library().statements(&id).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_deleted_while_its_source_is_read_goes_all_the_same() {
    let world = World::new().await;
    let id = world.installed().await;
    run_with(&world, id, async |world| {
        world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    })
    .await;
    world.report_all(id).await;
    world.step().await;
    let gone = world.perform(Operation::Status { package: Some(id) }).await.unwrap_err();
    assert_eq!(gone.code, "NOT_FOUND");
    assert!(world.site.library().active(&id).is_none());
    assert!(world.site.library().statements(&id).unwrap().is_empty());
}

#[tokio::test]
async fn a_library_that_lost_the_version_before_is_repaired_by_a_refresh() {
    let world = World::new().await;
    let id = world.installed().await;
    // Everything stored is lost while the site is stopped.
    let packs = world.site.library().folder().join("packs");
    for entry in std::fs::read_dir(&packs).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let world = world.restarted().await;
    world.ask(id).await;
    assert_eq!(world.step().await, ["published"]);
    let (_, root) = world.site.manifest_root(&id, None).await.unwrap().unwrap();
    let manifest = restock_content::manifest::Manifest::new(&**world.site.library(), root);
    assert_eq!(manifest.entries().filter(Result::is_ok).count(), 1);
    let report = world.site.library().check(|_| ControlFlow::Continue(())).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
}
