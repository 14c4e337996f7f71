//! Packages: IDs, forms, what is hidden, request ids.

use restock_names::LinkPolicy;
use restock_provider::rows::SourceFlag;
use restock_provider::{Answer, Call, ErrorKind, NewPackage, Operation, PackageChange};

use crate::site::{Site, dp};

fn named(name: &str) -> NewPackage {
    NewPackage { name: name.to_owned(), ..NewPackage::default() }
}

#[tokio::test]
async fn package_ids_are_counted_and_never_used_again() {
    let site = Site::new().await;
    let first = site.create("a").await;
    assert_eq!(first.package.as_str(), "XYZ00001");
    let seen = (first.source_version.0, first.stored_version.0, first.action_in_progress);
    assert_eq!(seen, (1, 0, 2), "version 1 is shown from creation on, and stored later");
    site.perform(Operation::DeletePackage { package: first.package }).await.unwrap();
    assert_eq!(site.create("b").await.package.as_str(), "XYZ00002");
}

#[tokio::test]
async fn a_package_without_source_flag_has_the_documented_default() {
    let site = Site::new().await;
    let new = NewPackage { source_path: Some("/srv/x".to_owned()), ..named("a") };
    let Answer::Package(row) = site.perform(Operation::CreatePackage(new)).await.unwrap() else { panic!() };
    assert_eq!((row.source_flag, row.source_version.0, row.action_in_progress), (SourceFlag::NoSource, 0, 0));
    let refused = site.perform(Operation::RefreshPkgSource { package: row.package }).await.unwrap_err();
    assert_eq!((refused.kind, refused.code.as_str()), (ErrorKind::Refused, "INVALID_OPERATION"));
    assert!(refused.message.contains("has no source") && refused.hint.is_some());
    let points = vec![dp("DP01")];
    let add = Operation::AddDistributionPoints { package: row.package, points };
    assert_eq!(site.perform(add).await.unwrap_err().code, "INVALID_OPERATION");
}

#[tokio::test]
async fn ill_formed_packages_are_refused_and_take_no_number() {
    let site = Site::new().await;
    let bad = [
        (named(""), "NAME_INVALID"),
        (named(&"x".repeat(256)), "NAME_INVALID"),
        (named("a\u{1b}[31m"), "NAME_INVALID"),
        (NewPackage { priority: Some(4), ..named("a") }, "PRIORITY_INVALID"),
        (NewPackage { source_path: Some("relative".to_owned()), ..named("a") }, "SOURCE_PATH_INVALID"),
        (NewPackage { source_path: Some(r"\\h\s\..\x".to_owned()), ..named("a") }, "SOURCE_PATH_INVALID"),
    ];
    for (new, code) in bad {
        let error = site.perform(Operation::CreatePackage(new)).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Invalid, code));
    }
    assert_eq!(site.create("a").await.package.as_str(), "XYZ00001");
}

#[tokio::test]
async fn a_link_policy_is_kept_and_asks_for_no_refresh() {
    let site = Site::new().await;
    let id = site.installed().await;
    let before = site.status(id).await.package;
    assert_eq!(before.link_policy, LinkPolicy::Keep);
    let change = PackageChange { link_policy: Some(LinkPolicy::Follow), ..PackageChange::of(id) };
    let Answer::Changed(changed) = site.perform(Operation::SetPackage(change)).await.unwrap() else {
        panic!()
    };
    assert_eq!((changed.package.link_policy, changed.refresh), (LinkPolicy::Follow, None));
    let status = site.status(id).await;
    assert_eq!((status.package.requests, status.package.action_in_progress), (before.requests, 0));
    assert_eq!(status.counters.installed, 2);
    let new = NewPackage { link_policy: LinkPolicy::Skip, ..named("b") };
    let Answer::Package(row) = site.perform(Operation::CreatePackage(new)).await.unwrap() else { panic!() };
    assert_eq!(row.link_policy, LinkPolicy::Skip);
}

#[tokio::test]
async fn a_package_that_is_being_deleted_does_not_exist_for_callers() {
    let site = Site::new().await;
    let id = site.installed().await;
    let Answer::Deleted(deleted) = site.perform(Operation::DeletePackage { package: id }).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(deleted.points_waiting, 2);
    let points = vec![dp("DP01")];
    let calls = [
        Operation::RefreshPkgSource { package: id },
        Operation::CancelRefresh { package: id },
        Operation::DeletePackage { package: id },
        Operation::SetPackage(PackageChange::of(id)),
        Operation::ShowPackage { package: id },
        Operation::History { package: id },
        Operation::AddDistributionPoints { package: id, points: points.clone() },
        Operation::RemoveDistributionPoints { package: id, points: points.clone() },
        Operation::Redistribute { package: id, points: points.clone() },
        Operation::CancelDistribution { package: id, points },
    ];
    for call in calls {
        let name = call.name();
        let error = site.perform(call).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::NotFound, "NOT_FOUND"), "{name}");
    }
    let status = site.status(id).await;
    assert_eq!(status.package.action_in_progress, 3);
    assert_eq!(status.counters.targeted, 0, "they leave the counters at once");
    assert_eq!(site.perform(Operation::ListPackages).await.unwrap(), Answer::Packages(vec![]));
}

#[tokio::test]
async fn the_same_request_id_gives_the_same_answer_and_no_second_step() {
    let site = Site::new().await;
    let call = Call { request_id: Some("r-1".to_owned()), user: "uid 1000".to_owned() };
    let create = Operation::CreatePackage(named("once"));
    let first = site.provider.perform(&call, create.clone()).await.unwrap();
    assert_eq!(site.provider.perform(&call, create).await.unwrap(), first);
    let Answer::Packages(all) = site.perform(Operation::ListPackages).await.unwrap() else { panic!() };
    assert_eq!(all.len(), 1);
    let other = site.provider.perform(&call, Operation::CreatePackage(named("other"))).await.unwrap_err();
    assert_eq!((other.kind, other.code.as_str()), (ErrorKind::Refused, "REQUEST_ID_REUSED"));

    let id = site.installed().await;
    let call = Call { request_id: Some("r-2".to_owned()), user: String::new() };
    let refresh = Operation::RefreshPkgSource { package: id };
    let first = site.provider.perform(&call, refresh.clone()).await.unwrap();
    site.publish(id).await;
    assert_eq!(site.provider.perform(&call, refresh).await.unwrap(), first);
    assert_eq!(site.status(id).await.package.action_in_progress, 0, "no second refresh was asked");

    for bad in ["", "with space", "é", &"x".repeat(65)] {
        let call = Call { request_id: Some(bad.to_owned()), user: String::new() };
        let error = site.provider.perform(&call, Operation::CreatePackage(named("x"))).await.unwrap_err();
        assert_eq!(error.code, "REQUEST_ID_INVALID", "{bad:?}");
    }
}

#[tokio::test]
async fn a_refused_call_can_be_repeated_under_its_request_id() {
    let site = Site::new().await;
    let call = Call { request_id: Some("r-1".to_owned()), user: String::new() };
    let id = "XYZ00001".parse().unwrap();
    let refresh = Operation::RefreshPkgSource { package: id };
    assert_eq!(site.provider.perform(&call, refresh.clone()).await.unwrap_err().code, "NOT_FOUND");
    site.create("a").await;
    assert!(site.provider.perform(&call, refresh).await.is_ok());
}

#[tokio::test]
async fn operations_and_answers_survive_json() {
    let site = Site::new().await;
    let id = site.installed().await;
    let operations = [
        r#"{"operation":"refresh_pkg_source","package":"XYZ00001"}"#,
        r#"{"operation":"status","package":"XYZ00001"}"#,
        r#"{"operation":"list_points"}"#,
        r#"{"operation":"messages","package":null,"after":null,"limit":5}"#,
        r#"{"operation":"set_package","package":"XYZ00001","is_public":true}"#,
        r#"{"operation":"create_package","name":"from json"}"#,
        r#"{"operation":"create_package","name":"with links","link_policy":"refuse"}"#,
    ];
    for text in operations {
        let operation: Operation = serde_json::from_str(text).unwrap();
        let answer = site.perform(operation).await.unwrap();
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&json).unwrap(), answer, "{json}");
    }
    assert!(site.status(id).await.package.is_public);
}
