//! Distributing to the distribution points of other sites.

use restock_cim::Value;
use restock_names::PackageId;
use restock_provider::{Caller, PutForm};
use restock_sitedb::state::Report;

use super::{Sites, nal};
use crate::objects::{code as refusal_code, text, texts};
use crate::views::world::World;

fn keys(id: PackageId, site: &str, point: &str) -> [(&'static str, Value); 3] {
    let site_of_path = if site == "any" { "ABC" } else { site };
    [
        ("PackageID", text(id.as_str())),
        ("ServerNALPath", text(&nal(site_of_path, point))),
        ("SiteCode", text(site)),
    ]
}

fn point_path(id: PackageId, site: &str, point: &str) -> String {
    let nal_path = nal(site, point).replace('\\', r"\\").replace('"', r#"\""#);
    format!(r#"SMS_DistributionPoint.PackageID="{id}",ServerNALPath="{nal_path}",SiteCode="{site}""#)
}

/// `SMS_DistributionPoint.Status` of the package on a distribution point; none without a row.
async fn status(world: &World, id: PackageId, point: &str) -> Option<u64> {
    let rows = world.rows(&format!("SELECT * FROM SMS_DistributionPoint WHERE PackageID = '{id}'")).await;
    let of = rows.iter().find(|row| row.text("ServerNALPath").ends_with(&format!(r"\\{point}\")));
    of.map(|row| row.number("Status"))
}

/// A package of XYZ at version 1, and the two sites.
async fn published() -> (Sites, PackageId) {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    assert!(sites.at("XYZ").publish_announced(id, 10).await);
    sites.sync().await;
    (sites, id)
}

#[tokio::test]
async fn sms_package_add_distribution_points_takes_points_of_other_sites_with_their_own_code() {
    let (sites, id) = published().await;
    let owner = sites.at("XYZ");
    let add = async |codes: &[&str], paths: &[&str]| {
        owner
            .of_package(id, "AddDistributionPoints", &[("SiteCode", texts(codes)), ("NALPath", texts(paths))])
            .await
    };
    let (own, other) = (nal("XYZ", "DP01"), nal("ABC", "DP11"));
    for (codes, paths) in [
        (["XYZ", "XYZ"], [own.as_str(), other.as_str()]),
        (["XYZ", "ABC"], [own.as_str(), &nal("ABC", "DP01")]),
        (["XYZ", "XYZ"], [own.as_str(), &nal("XYZ", "DP11")]),
        (["XYZ", "DEF"], [own.as_str(), &nal("DEF", "DP11")]),
    ] {
        assert_eq!(refusal_code(add(&codes, &paths).await), "POINT_UNKNOWN", "{codes:?} {paths:?}");
        assert_eq!(status(owner, id, "DP01").await, None, "all or nothing");
    }
    add(&["XYZ", "abc"], &[&own, &other]).await.unwrap();
    assert_eq!((status(owner, id, "DP01").await, status(owner, id, "DP11").await), (Some(2), Some(2)));
    let row = owner.get(&point_path(id, "ABC", "DP11")).await;
    assert_eq!(
        (row.text("SiteCode"), row.text("SiteName"), row.text("SourceSite")),
        ("ABC", "site ABC", "XYZ")
    );

    sites.fetch("ABC", id).await;
    let there = sites.at("ABC");
    assert_eq!(status(there, id, "DP11").await, Some(2), "its site has the wish, and the content");
    assert!(there.install(id, "DP11").await, "its site gave it the job");
    sites.sync().await;
    assert_eq!(status(owner, id, "DP11").await, Some(0), "seen at the owner");
    assert_eq!(status(owner, id, "DP01").await, Some(2));
}

#[tokio::test]
async fn sms_distribution_point_put_refresh_now_and_deletion_reach_the_site_of_the_point() {
    let (sites, id) = published().await;
    let (owner, there) = (sites.at("XYZ"), sites.at("ABC"));
    let class = "SMS_DistributionPoint";
    for site in ["XYZ", "DEF"] {
        let wrong = [
            ("PackageID", text(id.as_str())),
            ("ServerNALPath", text(&nal("ABC", "DP11"))),
            ("SiteCode", text(site)),
        ];
        assert_eq!(refusal_code(owner.put(class, PutForm::Create, &wrong).await), "POINT_UNKNOWN");
    }
    owner.put(class, PutForm::Create, &keys(id, "ABC", "DP11")).await.unwrap();
    sites.fetch("ABC", id).await;
    there.install(id, "DP11").await;
    sites.sync().await;
    assert_eq!(status(owner, id, "DP11").await, Some(0));

    let mut again = keys(id, "ABC", "DP11").to_vec();
    again.push(("RefreshNow", Value::Boolean(true)));
    owner.put(class, PutForm::Whole, &again).await.unwrap();
    assert_eq!(status(owner, id, "DP11").await, Some(1), "not installed before the call returns");
    sites.sync().await;
    assert_eq!(status(there, id, "DP11").await, Some(1));
    assert!(there.install(id, "DP11").await, "its site read everything again");
    sites.sync().await;
    assert_eq!(status(owner, id, "DP11").await, Some(0));

    let path = point_path(id, "ABC", "DP11").parse().unwrap();
    owner.provider.delete(&Caller::local("test"), &path).await.unwrap();
    assert_eq!(status(owner, id, "DP11").await, Some(3));
    sites.sync().await;
    assert_eq!(status(there, id, "DP11").await, Some(3));
    assert!(there.report(id, "DP11", Report::Removed).await);
    sites.sync().await;
    assert_eq!((status(owner, id, "DP11").await, status(there, id, "DP11").await), (None, None));
}

#[tokio::test]
async fn sms_distribution_point_cancel_distribution_and_verify_package_reach_the_site_of_the_point() {
    let (sites, id) = published().await;
    let (owner, there) = (sites.at("XYZ"), sites.at("ABC"));
    owner.distribute(id, &["DP11"]).await;
    sites.fetch("ABC", id).await;
    let arguments = [("PackageId", text(id.as_str())), ("NALPath", text(&nal("ABC", "DP11")))];
    let call = async |method| {
        owner.call(&Caller::local("test"), "SMS_DistributionPoint", method, &arguments).await.unwrap()
    };
    call("CancelDistribution").await;
    sites.sync().await;
    let state = "SELECT * FROM SMS_PackageStatusDistPointsSummarizer";
    for world in [owner, there] {
        assert_eq!(world.row(state).await.number("State"), 3, "at {}", world.code);
    }
    call("VerifyPackage").await;
    sites.sync().await;
    // It installs what was cancelled, then reads it again.
    assert!(there.install(id, "DP11").await && there.install(id, "DP11").await, "it has jobs again");
    sites.sync().await;
    for world in [owner, there] {
        assert_eq!(world.row(state).await.number("State"), 0, "at {}", world.code);
    }
}

#[tokio::test]
async fn sms_distribution_point_group_add_packages_reaches_members_of_other_sites() {
    let (sites, id) = published().await;
    let (owner, there) = (sites.at("XYZ"), sites.at("ABC"));
    owner.put("SMS_DistributionPointGroup", PutForm::Create, &[("Name", text("all"))]).await.unwrap();
    sites.sync().await;
    // The group is known at the other site, where it is filled.
    let group = there.row("SELECT * FROM SMS_DistributionPointGroup").await;
    assert_eq!(group.text("SourceSite"), "XYZ");
    let path = format!(r#"SMS_DistributionPointGroup.GroupID="{}""#, group.text("GroupID"));
    let call = async |world: &World, method, name, values: &[&str]| {
        world.call(&Caller::local("test"), &path, method, &[(name, texts(values))]).await
    };
    let points = [nal("XYZ", "DP01"), nal("ABC", "DP11")];
    let wrong = nal("XYZ", "DP11");
    assert_eq!(
        refusal_code(call(there, "AddDistributionPoints", "DPNALPath", &[&wrong]).await),
        "POINT_UNKNOWN"
    );
    call(there, "AddDistributionPoints", "DPNALPath", &[&points[0], &points[1]]).await.unwrap();
    call(there, "AddPackages", "PackageIDs", &[id.as_str()]).await.unwrap();
    sites.fetch("ABC", id).await;
    assert!(owner.install(id, "DP01").await && there.install(id, "DP11").await);
    sites.sync().await;
    for world in [owner, there] {
        let row = world.row("SELECT * FROM SMS_DPGroupInfo").await;
        let seen =
            ["MembersCount", "NumberSuccess", "NumberInProgress", "NumberErrors"].map(|n| row.number(n));
        assert_eq!(seen, [2, 2, 0, 0], "at {}", world.code);
    }
    call(owner, "RemovePackages", "PackageIDs", &[id.as_str()]).await.unwrap();
    sites.sync().await;
    assert!(there.report(id, "DP11", Report::Removed).await, "the other site removes its own");
}

#[tokio::test]
async fn sms_package_deletion_goes_when_the_points_of_all_sites_are_done() {
    let (sites, id) = published().await;
    let (owner, there) = (sites.at("XYZ"), sites.at("ABC"));
    owner.distribute(id, &["DP01", "DP11"]).await;
    sites.fetch("ABC", id).await;
    assert!(owner.install(id, "DP01").await && there.install(id, "DP11").await);
    sites.sync().await;
    let path = crate::objects::package_path(id).parse().unwrap();
    there.provider.delete(&Caller::local("test"), &path).await.unwrap();
    sites.sync().await;
    for world in [owner, there] {
        assert!(world.rows("SELECT * FROM SMS_Package").await.is_empty(), "hidden at {}", world.code);
        assert_eq!(world.rows("SELECT * FROM SMS_DistributionPoint WHERE Status = 3").await.len(), 2);
    }
    assert!(owner.report(id, "DP01", Report::Removed).await);
    let forget = async |world: &World| {
        let read: Result<_, restock_sitedb::DatabaseError> = world
            .database()
            .read("forget", |tx| Box::pin(async move { tx.packages_to_forget().await }))
            .await;
        read.unwrap()
    };
    assert!(forget(owner).await.is_empty(), "the other site has not reported");
    assert!(there.report(id, "DP11", Report::Removed).await);
    sites.sync().await;
    assert_eq!(forget(owner).await, [id]);
}

#[tokio::test]
async fn a_point_whose_name_another_site_has_is_hidden_from_who_may_not_read_it() {
    let (sites, id) = published().await;
    let world = sites.at("XYZ");
    super::hidden::hide(world, 42, "DP11").await;
    let who = world.account("Application Administrator", "Default").await;
    let call = async |site: &str, name: &str| {
        let arguments = [("SiteCode", texts(&[site])), ("NALPath", texts(&[&nal(site, name)]))];
        let refusal =
            world.call(&who, &crate::objects::package_path(id), "AddDistributionPoints", &arguments).await;
        crate::objects::refused(refusal).description().replace(name, "NAME")
    };
    let unknown = call("ABC", "DP99").await;
    assert_eq!(call("ABC", "DP11").await, unknown, "as one that does not exist");
    assert_eq!(call("XYZ", "DP11").await, unknown, "also under the code of another site");
}
