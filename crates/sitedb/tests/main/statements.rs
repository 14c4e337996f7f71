//! Every statement, once on each engine: what is kept is what is read.

use std::time::Duration;

use restock_names::{ContentVersion, Digest, Epoch, LinkPolicy, SourceVersion, Timestamp};
use restock_sitedb::loops::LoopStatus;
use restock_sitedb::message;
use restock_sitedb::package::Package;
use restock_sitedb::refresh::Refresh;
use restock_sitedb::request::Answered;
use restock_sitedb::state::{Event, JobKind, Report, RetryPolicy, TargetState};
use restock_sitedb::target::{Context, Target};
use restock_sitedb::token::Token;
use restock_sitedb::version::Version;
use restock_sitedb::{DatabaseError, Tx, Why};

use crate::samples::{self, NOW, dp, id};
use crate::server::{Cluster, Fresh, sqlite};

fn package(number: u32) -> Package {
    Package {
        name: "Ünïcode 'quoted'; DROP TABLE packages".to_owned(),
        package_version: "1.0".to_owned(),
        manufacturer: "m".to_owned(),
        language: "l".to_owned(),
        description: "d".to_owned(),
        source_path: r"\\fs01\src\app".to_owned(),
        is_public: true,
        link_policy: LinkPolicy::Follow,
        ..samples::package(number)
    }
}

fn version(number: u32) -> Version {
    Version {
        content: ContentVersion { package: id(1), epoch: Epoch(1), version: SourceVersion(number) },
        root: Digest([7; 32]),
        root_length: 100,
        pages: 1,
        entries: 2,
        chunks: 3,
        bytes: 5_000_000_000,
        files: 1,
        bytes_read: 4,
        chunks_new: 3,
        bytes_new: 4,
        published_at: NOW,
        duration_ms: 12,
    }
}

async fn check(fresh: &Fresh) {
    let done: Result<(), DatabaseError> = fresh
        .database
        .transact("everything", |tx| {
            Box::pin(async move {
                site_and_packages(tx).await?;
                refreshes(tx).await?;
                versions(tx).await?;
                points_and_targets(tx).await?;
                tokens_and_requests(tx).await?;
                messages_and_loops(tx).await?;
                deletion(tx).await
            })
        })
        .await;
    done.unwrap();
}

async fn site_and_packages(tx: &mut Tx) -> Result<(), DatabaseError> {
    assert_eq!(tx.site().await?, None);
    let site = samples::site();
    tx.insert_site(&site).await?;
    assert_eq!(tx.site().await?, Some(site));

    tx.insert_package(&package(1)).await?;
    tx.insert_package(&package(2)).await?;
    assert_eq!(tx.package(id(1)).await?, Some(package(1)));
    assert_eq!(tx.package(id(9)).await?, None);
    let changed = Package { name: "other".to_owned(), is_public: false, ..package(2) };
    tx.update_package(&changed).await?;
    assert_eq!(tx.packages().await?, [package(1), changed]);
    Ok(())
}

async fn refreshes(tx: &mut Tx) -> Result<(), DatabaseError> {
    tx.insert_refresh(id(1), &Refresh::of_creation(NOW)).await?;
    tx.insert_refresh(id(2), &Refresh::new(NOW)).await?;
    assert_eq!(tx.refresh(id(1)).await?, Some(Refresh::of_creation(NOW)));
    assert_eq!(tx.refresh(id(9)).await?, None);
    assert_eq!(tx.refresh_due(NOW).await?, Some(id(1)));
    assert_eq!(tx.refresh_due(Timestamp(NOW.0 - 1)).await?, None);
    assert_eq!(tx.refresh_queue(NOW).await?, (1, None));

    let mut refresh = Refresh::of_creation(NOW);
    let run = refresh.claim("site-1", NOW, Duration::from_secs(60)).unwrap();
    tx.update_refresh(id(1), &refresh).await?;
    assert_eq!(tx.refresh(id(1)).await?, Some(refresh.clone()));
    assert_eq!(tx.refresh_due(NOW).await?, None);
    assert_eq!(tx.refresh_due(NOW.after(Duration::from_secs(60))).await?, Some(id(1)), "the lease has ended");
    assert_eq!(tx.leases_of("site-1").await?, [(id(1), run)]);
    assert!(tx.renew_lease(id(1), run, NOW.after(Duration::from_secs(90))).await?);
    assert!(!tx.renew_lease(id(1), run + 1, NOW).await?);
    assert_eq!(tx.refresh_due(NOW.after(Duration::from_secs(60))).await?, None);
    assert_eq!(tx.release_leases("site-1").await?, 1);
    assert_eq!(tx.refresh_due(NOW).await?, Some(id(1)));

    refresh.lease = None;
    let why = Why::new("SOURCE_NOT_FOUND", "gone").with_fix("bring it back");
    let retry = RetryPolicy::default();
    assert!(!refresh.attempt_failed(NOW, why, retry));
    tx.update_refresh(id(1), &refresh).await?;
    assert_eq!(tx.refreshes().await?, [(id(1), refresh), (id(2), Refresh::new(NOW))]);
    assert_eq!(tx.refresh_queue(NOW).await?, (1, Some(NOW.after(retry.delay))));
    Ok(())
}

async fn versions(tx: &mut Tx) -> Result<(), DatabaseError> {
    assert_eq!(tx.newest_version(id(1)).await?, None);
    tx.insert_version(&version(1)).await?;
    tx.insert_version(&version(2)).await?;
    assert_eq!(tx.version(id(1), SourceVersion(1)).await?, Some(version(1)));
    assert_eq!(tx.newest_version(id(1)).await?, Some(version(2)));
    assert_eq!(tx.versions(id(1), 10).await?, [version(2), version(1)]);
    assert_eq!(tx.versions(id(1), 1).await?, [version(2)]);
    let next = (Epoch(1), SourceVersion(2));
    assert!(!tx.publish_version(id(1), SourceVersion(7), next, NOW).await?, "the package moved on");
    assert!(tx.publish_version(id(1), SourceVersion(1), next, NOW).await?);
    assert!(!tx.publish_version(id(1), SourceVersion(2), next, NOW).await?, "never the same version twice");
    let stored = tx.package(id(1)).await?.unwrap();
    assert_eq!((stored.source_version, stored.stored_version), (SourceVersion(2), SourceVersion(2)));
    assert_eq!(stored.last_refresh_at, Some(NOW));
    assert_eq!(tx.stored_totals().await?, [(id(1), 2, 5_000_000_000)]);
    Ok(())
}

async fn points_and_targets(tx: &mut Tx) -> Result<(), DatabaseError> {
    tx.enrol_point(&dp("dp01"), "f1", NOW, NOW).await?;
    tx.enrol_point(&dp("dp01"), "f2", NOW, NOW).await?;
    let urls = ["http://a:1".to_owned()];
    tx.point_connected(&dp("dp01"), "site-1", ("lib", &urls, "restock 0.1"), NOW).await?;
    let point = tx.point(&dp("DP01")).await?.unwrap();
    assert_eq!(point.fingerprint, "f2");
    assert_eq!(
        (point.serve_urls.as_slice(), point.connected_to.as_deref()),
        (urls.as_slice(), Some("site-1"))
    );
    tx.point_disconnected(&dp("dp01"), "another", NOW).await?;
    assert!(tx.point(&dp("dp01")).await?.unwrap().connected_to.is_some());
    tx.points_disconnected("site-1").await?;
    assert_eq!(tx.points().await?.len(), 1);
    assert!(tx.point(&dp("dp01")).await?.unwrap().connected_to.is_none());

    let package = tx.package(id(1)).await?.unwrap();
    let refresh = tx.refresh(id(1)).await?.unwrap();
    let context = Context::new(&package, &refresh, "XYZ".parse().unwrap(), NOW);
    let mut target = Target::new(id(1), dp("dp01"), NOW);
    let added = tx.apply(&mut target, &context, Event::Added, None).await?.unwrap();
    let job = added.started.unwrap();
    assert_eq!((added.after, job.kind), (Some(TargetState::Waiting), JobKind::Install));
    assert_eq!(tx.target(id(1), &dp("dp01")).await?, Some(target.clone()));
    assert_eq!(tx.targets_of_package(id(1)).await?, tx.targets_of_point(&dp("dp01")).await?);
    assert_eq!(tx.target_queue().await?, (1, None));
    assert_eq!(tx.targets_to_tell().await?, [target.clone()]);
    assert_eq!(tx.all_stops().await?, []);

    let retry = RetryPolicy::default();
    let failed =
        Event::Reported { job: job.id, report: Report::Failed { is_transient: true }, now: NOW, retry };
    tx.apply(&mut target, &context, failed, Some(Why::new("LINK", "broken"))).await?.unwrap();
    assert_eq!(tx.targets().await?, [target.clone()]);
    assert_eq!(tx.targets_due(NOW, 10).await?, []);
    let due = NOW.after(retry.delay);
    assert_eq!(tx.targets_due(due, 10).await?, [target.clone()]);
    assert_eq!(tx.target_queue().await?, (1, Some(due)));

    tx.apply(&mut target, &context, Event::CancelAsked, Some(Why::new("CANCELLED", "by a person")))
        .await?
        .unwrap();
    let stops = tx.all_stops().await?;
    assert_eq!(stops.iter().map(|stop| stop.job).collect::<Vec<_>>(), [job.id]);
    tx.delete_stop(&dp("dp01"), job.id).await?;
    assert_eq!(tx.all_stops().await?, []);
    assert!(tx.next_job().await? > job.id);

    tx.apply(&mut target, &context, Event::RemoveAsked, None).await?.unwrap();
    let job = target.facts.job.unwrap();
    let removed = Event::Reported { job: job.id, report: Report::Removed, now: NOW, retry };
    let gone = tx.apply(&mut target, &context, removed, None).await?.unwrap();
    assert_eq!((gone.after, tx.targets().await?), (None, vec![]));
    Ok(())
}

async fn tokens_and_requests(tx: &mut Tx) -> Result<(), DatabaseError> {
    let token = Token {
        hash: Digest([9; 32]),
        kind: "dp".to_owned(),
        name: "DP01".to_owned(),
        created_at: NOW,
        expires_at: NOW,
        used_at: None,
        used_by: None,
    };
    tx.insert_token(&token).await?;
    assert_eq!(tx.token(token.hash).await?, Some(token.clone()));
    assert!(tx.use_token(token.hash, Digest([3; 32]), NOW).await?);
    assert!(!tx.use_token(token.hash, Digest([3; 32]), NOW).await?);
    assert_eq!(tx.token(token.hash).await?.unwrap().used_by, Some(Digest([3; 32])));
    assert_eq!(tx.delete_tokens_expired(NOW).await?, 0);
    assert_eq!(tx.delete_tokens_expired(Timestamp(NOW.0 + 1)).await?, 1);

    let answered = Answered { operation: "op".to_owned(), answer: "{}".to_owned() };
    tx.insert_answered("r1", &answered, NOW).await?;
    assert_eq!(tx.answered("r1").await?, Some(answered));
    assert_eq!(tx.delete_answered(Timestamp(NOW.0 + 1)).await?, 1);
    assert_eq!(tx.answered("r1").await?, None);
    Ok(())
}

async fn messages_and_loops(tx: &mut Tx) -> Result<(), DatabaseError> {
    let kept = tx.messages(Some(id(1)), None, 100).await?;
    let ids: Vec<u32> = kept.iter().map(|message| message.id).collect();
    assert_eq!(ids, [2342, 2357, 2328, 8203]);
    let nal = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#;
    assert_eq!(kept[2].strings, ["XYZ00001", nal, "LINK", "broken"]);
    assert_eq!(kept[2].attributes, [(400, "XYZ00001".to_owned()), (404, nal.to_owned())]);
    let long = message::processing(id(2), &"é".repeat(10_000));
    let record = tx.raise(&long, NOW).await?;
    let newest = tx.messages(None, Some(kept[3].record), 10).await?;
    assert_eq!((newest.len(), newest[0].record, newest[0].strings[0].len()), (1, record, 4096));
    assert_eq!(tx.messages(None, None, 2).await?.len(), 2);
    assert_eq!(tx.delete_messages(Timestamp(NOW.0 + 1), 3).await?, 3);
    assert_eq!(tx.messages(None, None, 10).await?.len(), 2);

    let status =
        LoopStatus { name: "refresh".to_owned(), last_run_at: NOW, result: "idle".to_owned(), queue: 0 };
    tx.put_loop(&status).await?;
    tx.put_loop(&LoopStatus { queue: 3, ..status.clone() }).await?;
    assert_eq!(tx.loops().await?, [LoopStatus { queue: 3, ..status }]);
    Ok(())
}

async fn deletion(tx: &mut Tx) -> Result<(), DatabaseError> {
    tx.mark_package_deleting(id(1)).await?;
    assert_eq!(tx.packages_to_forget().await?, [id(1)]);
    assert_eq!(tx.refresh_due(NOW).await?, None);
    tx.delete_package(id(1)).await?;
    assert_eq!((tx.package(id(1)).await?, tx.refresh(id(1)).await?), (None, None));
    assert_eq!(tx.versions(id(1), 10).await?, []);
    Ok(())
}

#[tokio::test]
async fn sqlite_keeps_what_it_is_given() {
    check(&sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_what_it_is_given() {
    let Some(cluster) = Cluster::start() else { return };
    check(&cluster.database("statements").await).await;
}
