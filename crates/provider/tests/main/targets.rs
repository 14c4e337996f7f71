//! Distribution points of a package: all or nothing, and what changes only one of them.

use restock_names::SourceVersion;
use restock_provider::{Answer, ErrorKind, Operation, TargetState};

use crate::site::{Site, dp};

fn changed(answer: &Answer) -> Vec<bool> {
    let Answer::Targets(targets) = answer else { panic!("{answer:?}") };
    targets.points.iter().map(|point| point.changed).collect()
}

#[tokio::test]
async fn adding_is_all_or_nothing_and_leaves_what_is_there() {
    let site = Site::new().await;
    let id = site.installed().await;
    let add = |names: &[&str]| Operation::AddDistributionPoints {
        package: id,
        points: names.iter().map(|name| dp(name)).collect(),
    };
    let error = site.perform(add(&["DP03", "DP99"])).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::NotFound, "POINT_UNKNOWN"));
    assert_eq!(site.target(id, "DP03").await, None);
    assert_eq!(site.perform(add(&[])).await.unwrap_err().code, "POINTS_COUNT");
    let answer = site.perform(add(&["DP01", "dp03", "DP03"])).await.unwrap();
    assert_eq!(changed(&answer), [false, true]);
    let status = site.status(id).await;
    assert_eq!((status.counters.installed, status.counters.pending), (2, 1));
}

#[tokio::test]
async fn a_redistribution_changes_only_its_own_distribution_point() {
    let site = Site::new().await;
    let id = site.installed().await;
    let before = site.target(id, "DP02").await;
    let points = vec![dp("DP01")];
    site.perform(Operation::Redistribute { package: id, points }).await.unwrap();
    assert_eq!(site.target(id, "DP02").await, before);
    let target = site.target(id, "DP01").await.unwrap();
    assert_eq!((target.state, target.serving_version), (TargetState::Waiting, SourceVersion(1)));
    let status = site.status(id).await;
    assert_eq!((status.counters.installed, status.package.action_in_progress), (1, 0));
    assert_eq!(status.package.source_version, SourceVersion(1));
    site.report(id, "DP01").await;
    assert_eq!(site.status(id).await.counters.installed, 2);
}

#[tokio::test]
async fn a_removal_leaves_the_counters_at_once_and_the_list_when_it_is_done() {
    let site = Site::new().await;
    let id = site.installed().await;
    let points = vec![dp("DP01")];
    let remove = Operation::RemoveDistributionPoints { package: id, points: points.clone() };
    assert_eq!(changed(&site.perform(remove.clone()).await.unwrap()), [true]);
    assert_eq!(changed(&site.perform(remove.clone()).await.unwrap()), [false]);
    let status = site.status(id).await;
    assert_eq!((status.counters.targeted, status.counters.installed), (1, 1));
    let target = &status.targets[0];
    assert_eq!((target.summarizer_state, target.package_status, target.point_status), (4, 7, 3));
    let refused = site.perform(Operation::Redistribute { package: id, points }).await.unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (ErrorKind::Refused, "POINT_BEING_REMOVED"));
    site.report(id, "DP01").await;
    assert_eq!(site.target(id, "DP01").await, None);
    assert_eq!(site.perform(remove).await.unwrap_err().code, "POINT_NOT_TARGETED");
}

#[tokio::test]
async fn adding_a_distribution_point_again_keeps_it() {
    let site = Site::new().await;
    let id = site.installed().await;
    let points = vec![dp("DP01")];
    site.perform(Operation::RemoveDistributionPoints { package: id, points: points.clone() }).await.unwrap();
    let answer = site.perform(Operation::AddDistributionPoints { package: id, points }).await.unwrap();
    assert_eq!(changed(&answer), [true]);
    site.report(id, "DP01").await;
    assert_eq!(site.status(id).await.counters.installed, 2);
}

#[tokio::test]
async fn cancelling_a_distribution_shows_as_the_table_says() {
    let site = Site::new().await;
    let id = site.installed().await;
    let cancel = |name: &str| Operation::CancelDistribution { package: id, points: vec![dp(name)] };
    let refused = site.perform(cancel("DP01")).await.unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (ErrorKind::Refused, "NOTHING_TO_CANCEL"));
    let points = vec![dp("DP03")];
    site.perform(Operation::AddDistributionPoints { package: id, points }).await.unwrap();
    site.perform(cancel("DP03")).await.unwrap();
    let target = site.target(id, "DP03").await.unwrap();
    let shown = (target.summarizer_state, target.package_status, target.message_state, target.message_id);
    assert_eq!((target.state, shown), (TargetState::Failed, (3, 5, 4, Some(8203))));
    assert_eq!(target.why.unwrap().rule, "CANCELLED");
    assert_eq!(site.status(id).await.counters.installed, 2);

    // All or nothing: DP01 has nothing to cancel, so DP03 would stay as it is too.
    site.perform(Operation::Redistribute { package: id, points: vec![dp("DP03")] }).await.unwrap();
    let both = Operation::CancelDistribution { package: id, points: vec![dp("DP03"), dp("DP01")] };
    assert!(site.perform(both).await.is_err());
    assert_eq!(site.target(id, "DP03").await.unwrap().state, TargetState::Waiting);
}
