//! Sites as objects, and the objects of other sites.

use super::{Sites, nal};

#[tokio::test]
async fn sms_site_is_live_as_sites_join_and_are_removed() {
    let sites = Sites::four().await;
    for own in ["CAS", "XYZ", "SEC"] {
        let rows = sites.at(own).rows("SELECT * FROM SMS_Site ORDER BY SiteCode").await;
        let seen: Vec<(&str, &str, u64, u64)> = rows
            .iter()
            .map(|row| {
                let parent = row.text("ReportingSiteCode");
                (row.text("SiteCode"), parent, row.number("Type"), row.number("Status"))
            })
            .collect();
        let wanted = [("ABC", "CAS", 2, 1), ("CAS", "", 4, 1), ("SEC", "ABC", 1, 1), ("XYZ", "CAS", 2, 1)];
        assert_eq!(seen, wanted, "at {own}");
    }
    let row = sites.at("XYZ").row("SELECT * FROM SMS_Site WHERE SiteCode = 'abc'").await;
    assert_eq!((row.text("SiteName"), row.text("ServerName")), ("site ABC", "abc.example"));
    // The same program, the same version.
    assert_eq!((row.text("Version"), row.number("BuildNumber")), ("5.00.9128.1007", 9128));
    let row = sites.at("XYZ").row("SELECT * FROM SMS_Site WHERE SiteCode = 'XYZ'").await;
    assert_eq!((row.text("SiteName"), row.text("ServerName")), ("Northern site", "prov.example"));

    sites.remove("SEC").await;
    let row = sites.at("CAS").row("SELECT * FROM SMS_Site WHERE SiteCode = 'SEC'").await;
    assert_eq!(row.number("Status"), 4, "deleted, and still known");
}

#[tokio::test]
async fn sms_site_and_subsites_is_live_with_what_stands_below() {
    let sites = Sites::four().await;
    let below = async |own: &str| {
        let rows = sites.at(own).rows("SELECT * FROM SMS_SiteAndSubsites ORDER BY SiteCode").await;
        rows.iter().map(|row| row.text("SiteCode").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(below("CAS").await, ["ABC", "CAS", "SEC", "XYZ"]);
    assert_eq!(below("ABC").await, ["ABC", "SEC"]);
    assert_eq!(below("XYZ").await, ["XYZ"]);
    let row = sites.at("CAS").row("SELECT * FROM SMS_SiteAndSubsites WHERE SiteCode = 'sec'").await;
    assert_eq!((row.text("ServerName"), row.text("SiteName")), ("sec.example", "site SEC"));
    sites.remove("SEC").await;
    assert_eq!(below("CAS").await, ["ABC", "CAS", "XYZ"]);
}

#[tokio::test]
async fn sms_site_to_sub_site_a_is_live_with_each_site_and_those_right_below() {
    let sites = Sites::four().await;
    let pairs = async || {
        let rows = sites.at("XYZ").rows("SELECT * FROM SMS_SiteToSubSite_a").await;
        let mut pairs: Vec<(String, String)> =
            rows.iter().map(|row| (row.path("parentSite"), row.path("childSite"))).collect();
        pairs.sort();
        pairs
    };
    let of = |site: &str| format!(r#"SMS_Site.SiteCode="{site}""#);
    let seen = pairs().await;
    assert_eq!(seen, [(of("ABC"), of("SEC")), (of("CAS"), of("ABC")), (of("CAS"), of("XYZ"))]);
    sites.at("XYZ").get(&seen[0].1).await;
    sites.remove("SEC").await;
    assert_eq!(pairs().await, [(of("CAS"), of("ABC")), (of("CAS"), of("XYZ"))]);
}

#[tokio::test]
async fn sms_package_to_source_site_a_is_live_with_owners_elsewhere() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    sites.sync().await;
    let row = sites.at("ABC").row("SELECT * FROM SMS_PackageToSourceSite_a").await;
    assert_eq!(row.path("pkgSourcesite"), r#"SMS_Site.SiteCode="XYZ""#);
    assert_eq!(row.path("ownedPackage"), format!(r#"SMS_Package.PackageID="{id}""#));
}

#[tokio::test]
async fn sms_system_resource_list_shows_distribution_points_and_servers_of_all_sites() {
    let sites = Sites::two().await;
    for own in ["XYZ", "ABC"] {
        let query = "SELECT * FROM SMS_SystemResourceList WHERE RoleName = 'SMS Distribution Point' ORDER BY ServerName";
        let rows = sites.at(own).rows(query).await;
        let seen: Vec<(&str, &str)> =
            rows.iter().map(|row| (row.text("NALPath"), row.text("SiteCode"))).collect();
        let (one, two, other) = (nal("XYZ", "DP01"), nal("XYZ", "DP02"), nal("ABC", "DP11"));
        assert_eq!(seen, [(&*one, "XYZ"), (&*two, "XYZ"), (&*other, "ABC")], "at {own}");
    }
    let query = "SELECT * FROM SMS_SystemResourceList WHERE RoleName = 'SMS Site Server' ORDER BY SiteCode";
    let rows = sites.at("XYZ").rows(query).await;
    let seen: Vec<(&str, &str)> =
        rows.iter().map(|row| (row.text("SiteCode"), row.text("ServerName"))).collect();
    assert_eq!(seen, [("ABC", "abc.example"), ("XYZ", "prov.example")]);
}

#[tokio::test]
async fn sms_distribution_point_info_shows_the_site_of_each_and_whether_it_is_connected_there() {
    let sites = Sites::two().await;
    let query = "SELECT * FROM SMS_DistributionPointInfo WHERE Name = 'DP11'";
    let row = sites.at("XYZ").row(query).await;
    assert_eq!((row.text("SiteCode"), row.text("SiteName"), row.is("IsActive")), ("ABC", "site ABC", false));
    let (name, now) = (crate::views::world::dp("DP11"), sites.at("ABC").now());
    sites
        .at("ABC")
        .change(move |tx| {
            let name = name.clone();
            Box::pin(async move {
                tx.point_connected(&name, "process", ("lib", &["https://dp11".to_owned()], "restock"), now)
                    .await
            })
        })
        .await;
    sites.sync().await;
    assert!(sites.at("XYZ").row(query).await.is("IsActive"));
}

#[tokio::test]
async fn sms_status_message_shows_the_site_and_server_that_raised_it_above_and_not_below() {
    let sites = Sites::two().await;
    let id = sites.at("XYZ").create("app").await;
    sites.at("XYZ").publish_announced(id, 10).await;
    sites.sync().await;
    sites.at("ABC").distribute(id, &["DP11"]).await;
    sites.fetch("ABC", id).await;
    let query = "SELECT * FROM SMS_StatusMessage WHERE MessageID = 2342";
    let row = sites.at("XYZ").row(query).await;
    assert_eq!((row.text("SiteCode"), row.text("MachineName")), ("ABC", "abc.example"));
    assert_eq!(row.text("TopLevelSiteCode"), "XYZ");
    let strings =
        format!("SELECT * FROM SMS_StatMsgWithInsStrings WHERE RecordID = {}", row.number("RecordID"));
    let row = sites.at("XYZ").row(&strings).await;
    assert_eq!((row.text("InsString2"), row.text("SiteCode")), (&*nal("ABC", "DP11"), "ABC"));
    let row = sites.at("ABC").row(query).await;
    assert_eq!((row.text("MachineName"), row.text("TopLevelSiteCode")), ("prov.example", "XYZ"));
    let foreign = "SELECT * FROM SMS_StatusMessage WHERE SiteCode = 'XYZ'";
    assert!(sites.at("ABC").rows(foreign).await.is_empty(), "messages travel up alone");
}
