//! Runs that end well: versions, coalescing, what is moved and what is raised.

use restock_names::{ContentVersion, Epoch, SourceVersion};
use restock_provider::{Answer, Operation, PackageChange};
use restock_transfer::ReportState;

use crate::world::{World, dp};

#[tokio::test]
async fn creation_takes_the_first_snapshot_as_version_1() {
    let world = World::new().await;
    world.write("a.txt", "one");
    let id = world.create().await;
    let before = world.package(id).await;
    assert_eq!((before.source_version.0, before.stored_version.0, before.action_in_progress), (1, 0, 2));
    assert_eq!(world.step().await, ["published"]);
    let after = world.package(id).await;
    assert_eq!((after.source_version.0, after.stored_version.0, after.action_in_progress), (1, 1, 0));
    assert_eq!((after.entries, after.bytes), (1, 3));
    assert_eq!(world.message_ids(id).await, [2300, 2376, 2311, 2301]);

    let content = ContentVersion { package: id, epoch: Epoch::FIRST, version: SourceVersion(1) };
    let statement = world.site.library().statement(&content).unwrap().expect("its statement is stored");
    assert_eq!(statement.root.bytes, 3);
    assert_eq!(world.site.library().active(&id).unwrap().version, content);
}

#[tokio::test]
async fn a_refresh_with_distribution_points_raises_the_documented_messages() {
    let world = World::new().await;
    let id = world.installed().await;
    let before = world.messages(id).await.len();
    world.write("a.txt", "second");
    world.ask(id).await;
    assert_eq!(world.step().await, ["published"]);
    assert_eq!(world.package(id).await.action_in_progress, 0, "every distribution point has its job");
    for name in ["DP01", "DP02"] {
        let row = world.target_row(id, name).await;
        assert_eq!((row.serving_version.0, row.wanted_version.0, row.summarizer_state), (1, 2, 1));
    }
    world.report(id, "DP01", ReportState::Receiving).await;
    assert_eq!(
        world.target_row(id, "DP01").await.summarizer_state,
        7,
        "an older version is served meanwhile"
    );
    world.report(id, "DP01", ReportState::Stored).await;
    world.report(id, "DP01", ReportState::Installed).await;
    let status = world.status(id).await;
    assert_eq!((status.counters.installed, status.counters.pending), (1, 1));
    let ids: Vec<u32> = world.message_ids(id).await.split_off(before);
    assert_eq!(ids, [2300, 2376, 2311, 2342, 2357, 2342, 2357, 2301, 8204, 8200, 8210, 2330]);
    let messages = world.messages(id).await;
    let distributed = messages.last().unwrap();
    let nal = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#;
    assert_eq!(distributed.insertion_strings, [id.as_str(), nal]);
    assert_eq!(distributed.attributes, [(400, id.to_string()), (404, nal.to_owned())]);
    let row = world.target_row(id, "DP01").await;
    assert_eq!((row.last_copied_at.is_some(), row.bytes_received), (true, 7));
}

#[tokio::test]
async fn unchanged_content_raises_the_version_and_moves_no_payload() {
    let world = World::new().await;
    let id = world.installed().await;
    // The time of a file read within the last seconds proves nothing, so it is read once more.
    let packs = world.site.library().stat().unwrap();
    for version in 2..=4 {
        world.ask(id).await;
        world.step().await;
        assert_eq!(world.package(id).await.source_version, SourceVersion(version));
    }
    let after = world.site.library().stat().unwrap();
    assert_eq!((after.packs, after.stored_bytes), (packs.packs, packs.stored_bytes), "packs are untouched");
    let Answer::History(versions) = world.perform(Operation::History { package: id }).await.unwrap() else {
        panic!()
    };
    let roots: std::collections::HashSet<_> = versions.iter().map(|version| version.root).collect();
    assert_eq!((versions.len(), roots.len()), (4, 1), "the same tree has the same root");
    assert!(versions[..3].iter().all(|version| version.chunks_new == 0 && version.bytes_new == 0));
}

#[tokio::test]
async fn a_refresh_works_without_distribution_points() {
    let world = World::new().await;
    world.write("a.txt", "one");
    let id = world.create().await;
    world.step().await;
    let accepted = world.ask(id).await;
    assert_eq!(accepted.targeted, 0);
    world.step().await;
    let package = world.package(id).await;
    assert_eq!((package.source_version.0, package.action_in_progress), (2, 0));
}

#[tokio::test]
async fn requests_before_the_snapshot_are_one_run_and_one_during_it_is_another() {
    let world = World::new().await;
    let id = world.installed().await;
    world.write("big", vec![7; 30 << 20]);
    for i in 0..4 {
        assert_eq!(world.ask(id).await.joined, i > 0);
    }
    let running = tokio::spawn({
        let (refresh, clock) = (world.refresh.clone(), std::sync::Arc::clone(&world.clock));
        async move { refresh.run_once(restock_names::Clock::now(&*clock)).await.unwrap() }
    });
    while world.site.progress().snapshot().refreshes.is_empty() {
        tokio::task::yield_now().await;
    }
    let during = world.ask(id).await;
    assert!(!during.joined, "the run that reads does not cover it");
    assert!(running.await.unwrap().result.ends_with("published"));
    let between = world.status(id).await;
    assert_eq!((between.package.source_version.0, between.package.action_in_progress), (2, 1));
    world.report_all(id).await;
    assert_eq!(world.status(id).await.counters.installed, 0, "version 2 is not what was asked for");
    assert_eq!(world.step().await, ["published"]);
    world.report_all(id).await;
    let after = world.status(id).await;
    assert_eq!((after.package.source_version.0, after.counters.installed), (3, 2));
    assert!(after.package.requests_done >= during.request);
}

#[tokio::test]
async fn a_refresh_asked_before_the_first_snapshot_makes_version_2() {
    let world = World::new().await;
    world.write("a.txt", "one");
    let id = world.create().await;
    world.ask(id).await;
    assert_eq!(world.step().await, ["published", "published"]);
    let Answer::History(versions) = world.perform(Operation::History { package: id }).await.unwrap() else {
        panic!()
    };
    assert_eq!(versions.iter().map(|version| version.version.0).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn a_changed_source_path_is_one_refresh_from_the_new_path() {
    let world = World::new().await;
    let id = world.installed().await;
    let other = world.folder.path().join("src/other");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("b.txt"), "other").unwrap();
    let path = Some(r"\\FS01\src\other".to_owned());
    world
        .perform(Operation::SetPackage(PackageChange { source_path: path, ..PackageChange::of(id) }))
        .await
        .unwrap();
    assert_eq!(world.target_row(id, "DP01").await.serving_version.0, 1, "the old version serves meanwhile");
    assert_eq!(world.step().await, ["published"]);
    let package = world.package(id).await;
    assert_eq!((package.source_version.0, package.entries, package.bytes), (2, 1, 5));
}

#[tokio::test]
async fn distribution_points_that_were_added_before_the_first_snapshot_wait_for_it() {
    let world = World::new().await;
    world.write("a.txt", "one");
    let id = world.create().await;
    let points = vec![dp("DP01")];
    world.perform(Operation::AddDistributionPoints { package: id, points }).await.unwrap();
    let row = world.target_row(id, "DP01").await;
    assert_eq!((row.message_id, row.why.unwrap().rule.as_str()), (Some(2372), "WAITING_FOR_CONTENT"));
    world.step().await;
    world.report_all(id).await;
    assert_eq!(world.status(id).await.counters.installed, 1);
}
