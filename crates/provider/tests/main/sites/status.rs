//! What each site shows of the content at all of them.

use std::collections::BTreeMap;

use restock_names::PackageId;
use restock_provider::rows::CopyState;
use restock_provider::{Answer, Operation};
use restock_sitedb::state::Report;

use super::Sites;
use crate::views::world::{Row, World};

/// Rows of type 1 by site: status and server.
async fn masters(world: &World, id: PackageId) -> BTreeMap<String, (u64, String)> {
    let query = format!("SELECT * FROM SMS_PackageStatus WHERE PackageID = '{id}' AND Type = 1");
    let of = |row: &Row| {
        (row.text("SiteCode").to_owned(), (row.number("Status"), row.text("PkgServer").to_owned()))
    };
    world.rows(&query).await.iter().map(of).collect()
}

fn shown(rows: &BTreeMap<String, (u64, String)>) -> Vec<(&str, u64, &str)> {
    rows.iter().map(|(site, (status, server))| (site.as_str(), *status, server.as_str())).collect()
}

#[tokio::test]
async fn sms_package_status_is_live_with_the_copy_of_each_site() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    assert!(sites.at("XYZ").publish_announced(id, 10).await);
    sites.sync().await;
    assert_eq!(shown(&masters(sites.at("XYZ"), id).await), [("XYZ", 3, "prov.example")]);
    assert_eq!(
        shown(&masters(sites.at("ABC"), id).await),
        [("XYZ", 3, "xyz.example")],
        "no bytes without a point"
    );

    sites.at("XYZ").distribute(id, &["DP11"]).await;
    sites.sync().await;
    sites.at("ABC").receiving(id).await;
    sites.sync().await;
    let seen = masters(sites.at("XYZ"), id).await;
    assert_eq!(shown(&seen), [("ABC", 1, "abc.example"), ("XYZ", 3, "prov.example")]);
    sites.fetch("ABC", id).await;
    let seen = masters(sites.at("XYZ"), id).await;
    assert_eq!(shown(&seen), [("ABC", 3, "abc.example"), ("XYZ", 3, "prov.example")]);
    let seen = masters(sites.at("ABC"), id).await;
    assert_eq!(shown(&seen), [("ABC", 3, "prov.example"), ("XYZ", 3, "xyz.example")]);

    sites.at("XYZ").refresh(id).await;
    assert!(sites.at("XYZ").publish_announced(id, 20).await);
    sites.sync().await;
    for own in ["XYZ", "ABC"] {
        let seen = masters(sites.at(own), id).await;
        assert_eq!(
            (seen["ABC"].0, seen["XYZ"].0),
            (0, 3),
            "the copy is not of the version asked for, at {own}"
        );
    }
    sites.fetch("ABC", id).await;
    assert_eq!(masters(sites.at("XYZ"), id).await["ABC"].0, 3);

    let Answer::Status(status) =
        sites.at("XYZ").perform(Operation::Status { package: Some(id) }).await.unwrap()
    else {
        panic!()
    };
    let copies: Vec<_> = status[0].copies.iter().map(|c| (c.site.as_str(), c.state, c.version.0)).collect();
    assert_eq!(copies, [("ABC", CopyState::Stored, 2), ("XYZ", CopyState::Stored, 2)]);
    assert_eq!(status[0].targets[0].site.as_str(), "ABC");
    assert_eq!(status[0].targets[0].nal_path, super::nal("ABC", "DP11"));
}

/// The rows of the detail summarizer by site.
async fn details(world: &World, id: PackageId) -> BTreeMap<String, [u64; 4]> {
    let query = format!("SELECT * FROM SMS_PackageStatusDetailSummarizer WHERE PackageID = '{id}'");
    let of = |row: &Row| {
        let numbers = ["Targeted", "Installed", "Retrying", "Failed"].map(|name| row.number(name));
        (row.text("SiteCode").to_owned(), numbers)
    };
    world.rows(&query).await.iter().map(of).collect()
}

#[tokio::test]
async fn sms_package_status_detail_summarizer_has_a_row_for_each_site_and_adds_up_to_the_root() {
    let sites = Sites::four().await;
    let id = sites.at("CAS").create("app").await;
    let bare = [("CAS".to_owned(), [0, 0, 0, 0])];
    assert_eq!(details(sites.at("CAS"), id).await, BTreeMap::from(bare.clone()));
    assert!(sites.at("CAS").publish_announced(id, 10).await);
    sites.sync().await;
    assert_eq!(details(sites.at("SEC"), id).await, BTreeMap::from(bare), "the source site has a row");
    sites.at("CAS").distribute(id, &["DP01", "DP11", "DP21"]).await;
    for site in ["XYZ", "ABC", "SEC"] {
        sites.fetch(site, id).await;
    }
    assert!(sites.at("XYZ").install(id, "DP01").await);
    assert!(sites.at("ABC").report(id, "DP11", Report::Failed { is_transient: true }).await);
    assert!(sites.at("SEC").report(id, "DP21", Report::Failed { is_transient: false }).await);
    sites.sync().await;
    for own in ["CAS", "XYZ", "ABC", "SEC"] {
        let world = sites.at(own);
        let wanted = [
            ("ABC".to_owned(), [1, 0, 1, 0]),
            ("CAS".to_owned(), [0, 0, 0, 0]),
            ("SEC".to_owned(), [1, 0, 0, 1]),
            ("XYZ".to_owned(), [1, 1, 0, 0]),
        ];
        assert_eq!(details(world, id).await, BTreeMap::from(wanted), "at {own}");
        let query = format!("SELECT * FROM SMS_PackageStatusRootSummarizer WHERE PackageID = '{id}'");
        let root = world.row(&query).await;
        let numbers = ["Targeted", "Installed", "Retrying", "Failed"].map(|name| root.number(name));
        assert_eq!((numbers, root.text("SourceSite")), ([3, 1, 1, 1], "CAS"), "at {own}");
        assert_eq!(root.number("SourceSize"), 1, "known also where no content is");
        let one = format!(
            "SELECT * FROM SMS_PackageStatusDetailSummarizer WHERE PackageID = '{id}' AND SiteCode = 'abc'"
        );
        let name = if own == "ABC" { "Northern site" } else { "site ABC" };
        assert_eq!(world.row(&one).await.text("SiteName"), name);
    }
}

#[tokio::test]
async fn sms_package_status_dist_points_summarizer_shows_points_of_all_sites_alike() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    assert!(sites.at("XYZ").publish_announced(id, 10).await);
    sites.at("XYZ").distribute(id, &["DP01", "DP11"]).await;
    sites.fetch("ABC", id).await;
    assert!(sites.at("XYZ").install(id, "DP01").await && sites.at("ABC").install(id, "DP11").await);
    sites.sync().await;
    let seen = async |own: &str| {
        let query = "SELECT * FROM SMS_PackageStatusDistPointsSummarizer ORDER BY ServerNALPath";
        let rows = sites.at(own).rows(query).await;
        let of = |row: &Row| {
            let text = |name| row.text(name).to_owned();
            (text("ServerNALPath"), text("SiteCode"), text("SourceNALPath"), row.number("State"))
        };
        rows.iter().map(of).collect::<Vec<_>>()
    };
    let rows = seen("XYZ").await;
    assert_eq!(rows, seen("ABC").await);
    assert_eq!((&*rows[1].1, &*rows[1].0, rows[1].3), ("ABC", &*super::nal("ABC", "DP11"), 0));
    assert!(rows[1].2.contains(r#"MSWNET:["SMS_SITE=ABC"]\\DP11\SMSPKG$\"#), "{}", rows[1].2);
    // The refresh takes the points of every site out of the installed state before it returns.
    sites.at("XYZ").refresh(id).await;
    assert!(seen("XYZ").await.iter().all(|row| row.3 != 0));
}
