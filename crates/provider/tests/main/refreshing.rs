//! RefreshPkgSource: what the call itself makes visible, and how it ends.

use restock_names::SourceVersion;
use restock_provider::rows::RefreshPhase;
use restock_provider::{Answer, ErrorKind, Operation, PackageChange, TargetState};

use crate::site::{Site, dp};

#[tokio::test]
async fn a_refresh_is_visible_before_the_call_returns() {
    let site = Site::new().await;
    let id = site.installed().await;
    let Answer::Refresh(accepted) = site.perform(Operation::RefreshPkgSource { package: id }).await.unwrap()
    else {
        panic!()
    };
    assert_eq!((accepted.targeted, accepted.joined, accepted.source_version), (2, false, SourceVersion(1)));
    let status = site.status(id).await;
    let counters = status.counters;
    assert_eq!((counters.targeted, counters.installed, counters.pending), (2, 0, 2));
    let package = &status.package;
    assert_eq!((package.action_in_progress, package.source_version), (1, SourceVersion(1)));
    assert_eq!(package.refresh.as_ref().unwrap().state, RefreshPhase::Waiting);
    assert!(package.requests_done < accepted.request);
    for target in &status.targets {
        assert_eq!((target.state, target.serving_version), (TargetState::Waiting, SourceVersion(1)));
        assert_eq!((target.summarizer_state, target.package_status, target.point_status), (1, 0, 1));
        assert_eq!(target.why.as_ref().unwrap().rule, "WAITING_FOR_SNAPSHOT");
    }
}

#[tokio::test]
async fn requests_that_wait_together_are_one_version() {
    let site = Site::new().await;
    let id = site.installed().await;
    for i in 0..5 {
        let Answer::Refresh(accepted) =
            site.perform(Operation::RefreshPkgSource { package: id }).await.unwrap()
        else {
            panic!()
        };
        assert_eq!((accepted.joined, accepted.request), (i > 0, 2 + i));
    }
    site.publish(id).await;
    let package = site.status(id).await.package;
    assert_eq!((package.source_version, package.action_in_progress), (SourceVersion(2), 0));
    assert_eq!((package.requests, package.requests_done), (6, 6));
}

#[tokio::test]
async fn a_refresh_asked_before_the_first_snapshot_is_version_2() {
    let site = Site::new().await;
    let id = site.create("a").await.package;
    site.perform(Operation::RefreshPkgSource { package: id }).await.unwrap();
    assert_eq!(site.status(id).await.package.action_in_progress, 1);
    site.publish(id).await;
    let package = site.status(id).await.package;
    assert_eq!((package.source_version, package.stored_version), (SourceVersion(1), SourceVersion(1)));
    assert_eq!(package.action_in_progress, 1);
    site.publish(id).await;
    assert_eq!(site.status(id).await.package.stored_version, SourceVersion(2));
}

#[tokio::test]
async fn a_cancelled_refresh_puts_the_distribution_points_back() {
    let site = Site::new().await;
    let id = site.installed().await;
    site.perform(Operation::RefreshPkgSource { package: id }).await.unwrap();
    let Answer::Cancelled(cancelled) = site.perform(Operation::CancelRefresh { package: id }).await.unwrap()
    else {
        panic!()
    };
    assert!(cancelled.was_pending);
    let status = site.status(id).await;
    assert_eq!((status.counters.installed, status.package.action_in_progress), (2, 0));
    assert_eq!((status.package.source_version, status.package.refresh), (SourceVersion(1), None));
    let again = site.perform(Operation::CancelRefresh { package: id }).await.unwrap();
    let Answer::Cancelled(again) = again else { panic!() };
    assert!(!again.was_pending);
}

#[tokio::test]
async fn a_distribution_point_that_is_being_removed_is_left_out() {
    let site = Site::new().await;
    let id = site.installed().await;
    let remove = Operation::RemoveDistributionPoints { package: id, points: vec![dp("DP02")] };
    site.perform(remove).await.unwrap();
    let Answer::Refresh(accepted) = site.perform(Operation::RefreshPkgSource { package: id }).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(accepted.targeted, 1);
    site.publish(id).await;
    assert_eq!(site.target(id, "DP02").await.unwrap().state, TargetState::RemovalAsked);
    assert_eq!(site.target(id, "DP01").await.unwrap().wanted_version, SourceVersion(2));
}

#[tokio::test]
async fn a_distribution_point_added_meanwhile_gets_the_new_version() {
    let site = Site::new().await;
    let id = site.installed().await;
    site.perform(Operation::RefreshPkgSource { package: id }).await.unwrap();
    let points = vec![dp("DP03")];
    site.perform(Operation::AddDistributionPoints { package: id, points }).await.unwrap();
    assert_eq!(site.status(id).await.counters.pending, 3);
    site.publish(id).await;
    for name in ["DP01", "DP02", "DP03"] {
        assert_eq!(site.target(id, name).await.unwrap().wanted_version, SourceVersion(2), "{name}");
        site.report(id, name).await;
    }
    assert_eq!(site.status(id).await.counters.installed, 3);
}

#[tokio::test]
async fn a_changed_source_path_is_one_refresh_and_no_other_change_is_any() {
    let site = Site::new().await;
    let id = site.installed().await;
    let set = |change| site.perform(Operation::SetPackage(change));
    let others = [
        PackageChange { name: Some("n".to_owned()), ..PackageChange::of(id) },
        PackageChange { description: Some("two\nlines".to_owned()), ..PackageChange::of(id) },
        PackageChange { is_public: Some(true), priority: Some(1), ..PackageChange::of(id) },
        PackageChange { source_path: Some(r"\\fs01\src\app".to_owned()), ..PackageChange::of(id) },
        PackageChange::of(id),
    ];
    for change in others {
        let Answer::Changed(changed) = set(change).await.unwrap() else { panic!() };
        assert_eq!((changed.refresh, changed.package.requests), (None, 1));
    }
    assert_eq!(site.status(id).await.counters.installed, 2);
    let path = Some("/srv/other".to_owned());
    let Answer::Changed(changed) =
        set(PackageChange { source_path: path, ..PackageChange::of(id) }).await.unwrap()
    else {
        panic!()
    };
    assert!(changed.refresh.is_some());
    assert_eq!((changed.package.action_in_progress, site.status(id).await.counters.installed), (1, 0));
    site.publish(id).await;
    assert_eq!(site.status(id).await.package.source_version, SourceVersion(2));
}

#[tokio::test]
async fn unknown_packages_are_not_found() {
    let site = Site::new().await;
    let package = "XYZ000FF".parse().unwrap();
    let error = site.perform(Operation::RefreshPkgSource { package }).await.unwrap_err();
    assert_eq!((error.kind, error.kind.exit_code()), (ErrorKind::NotFound, 4));
    assert_eq!(error.to_string(), "NOT_FOUND: package XYZ000FF does not exist");
}
