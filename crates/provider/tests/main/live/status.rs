//! The status classes: all of them views over one state.

use std::time::Duration;

use restock_cim::Value;
use restock_names::{SourceVersion, Timestamp};
use restock_provider::{Operation, TargetState};
use restock_sitedb::state::{Columns, Damage, Event, Report, RetryPolicy};

use crate::views::world::{NOW, RETRY, World, config, dp};

const NAL: &str = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#;

fn of(class: &str) -> String {
    format!("SELECT * FROM {class} WHERE PackageID = 'XYZ00001'")
}

/// The row of a class for DP01.
async fn dp01(world: &World, class: &str, nal_path: &str) -> crate::views::world::Row {
    let nal = NAL.replace('\\', r"\\").replace('"', r#"\""#);
    world.row(&format!(r#"{} AND {nal_path} = "{nal}""#, of(class))).await
}

#[tokio::test]
async fn sms_distribution_point_is_live_from_adding_to_removal() {
    let world = World::new().await;
    let id = world.create("a").await;
    assert!(world.rows(&of("SMS_DistributionPoint")).await.is_empty());
    world.distribute(id, &["DP01"]).await;
    let row = dp01(&world, "SMS_DistributionPoint", "ServerNALPath").await;
    assert_eq!((row.text("ServerNALPath"), row.text("SiteCode"), row.number("Status")), (NAL, "XYZ", 2));
    // 1990-01-01 00:00 by the site's clock.
    assert_eq!(row.time("LastRefreshTime"), Timestamp(631_152_000_000_000));
    world.publish(id, 1).await;
    world.install(id, "DP01").await;
    let row = dp01(&world, "SMS_DistributionPoint", "ServerNALPath").await;
    assert_eq!((row.number("Status"), row.time("LastRefreshTime")), (0, world.now()));
    assert!(!row.is("RefreshNow"));
    world.refresh(id).await;
    assert_eq!(dp01(&world, "SMS_DistributionPoint", "ServerNALPath").await.number("Status"), 1);
    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    assert_eq!(dp01(&world, "SMS_DistributionPoint", "ServerNALPath").await.number("Status"), 3, "it stays");
    world.report(id, "DP01", Report::Removed).await;
    assert!(world.rows(&of("SMS_DistributionPoint")).await.is_empty());
}

#[tokio::test]
async fn sms_package_status_is_live_for_the_site_and_each_distribution_point() {
    let world = World::new().await;
    let id = world.create("a").await;
    let site = "SELECT * FROM SMS_PackageStatus WHERE PackageID = 'XYZ00001' AND Type = 1";
    let row = world.row(site).await;
    assert_eq!((row.text("PkgServer"), row.number("Status")), ("prov.example", 0));
    world.fail_refresh(id, RETRY).await;
    assert_eq!(world.row(site).await.number("Status"), 4);
    world.clock.advance(RETRY.delay);
    world.fail_refresh(id, RETRY).await;
    assert_eq!(world.row(site).await.number("Status"), 5, "the last attempt failed");
    world.refresh(id).await;
    assert!(world.publish(id, 1).await);
    assert_eq!(world.row(site).await.number("Status"), 3);

    world.distribute(id, &["DP01"]).await;
    let point = || dp01(&world, "SMS_PackageStatus", "PkgServer");
    assert_eq!((point().await.number("Type"), point().await.number("Status")), (2, 0));
    world.report(id, "DP01", Report::Receiving).await;
    assert_eq!(point().await.number("Status"), 1);
    world.report(id, "DP01", Report::Stored).await;
    assert_eq!(point().await.number("Status"), 2);
    world.install(id, "DP01").await;
    assert_eq!(point().await.number("Status"), 3);
    assert_eq!(point().await.text("Location"), r"\\DP01\SMSPKG$\XYZ00001\");
}

#[tokio::test]
async fn sms_package_status_has_no_row_for_a_package_without_content() {
    let world = World::new().await;
    let new = restock_provider::NewPackage { name: "bare".to_owned(), ..Default::default() };
    world.perform(Operation::CreatePackage(new)).await.unwrap();
    assert!(world.rows(&of("SMS_PackageStatus")).await.is_empty());
    for class in ["SMS_PackageStatusRootSummarizer", "SMS_PackageStatusDetailSummarizer"] {
        assert_eq!(world.row(&of(class)).await.number("Targeted"), 0, "{class}");
    }
    assert!(world.rows(&of("SMS_PackageStatusDistPointsSummarizer")).await.is_empty());
}

async fn counts(world: &World, class: &str) -> [u64; 4] {
    let row = world.row(&of(class)).await;
    ["Targeted", "Installed", "Retrying", "Failed"].map(|name| row.number(name))
}

async fn follow_counters(class: &str) {
    let world = World::new().await;
    let id = world.installed().await;
    world.distribute(id, &["DP03"]).await;
    assert_eq!(counts(&world, class).await, [3, 2, 0, 0]);
    world.refresh(id).await;
    assert_eq!(counts(&world, class).await, [3, 0, 0, 0], "before the call returns");
    world.publish(id, 1_025).await;
    world.install(id, "DP01").await;
    world.report(id, "DP02", Report::Failed { is_transient: true }).await;
    world.report(id, "DP03", Report::Failed { is_transient: false }).await;
    assert_eq!(counts(&world, class).await, [3, 1, 1, 1]);
    world.remove(id, "DP03").await;
    assert_eq!(counts(&world, class).await, [2, 1, 1, 0], "it leaves all counters at once");
    world.report(id, "DP03", Report::Failed { is_transient: true }).await;
    assert_eq!(counts(&world, class).await, [3, 1, 2, 0], "so that the failure is seen");
    let row = world.row(&of(class)).await;
    assert_eq!(row.number("SourceVersion"), 2);
}

#[tokio::test]
async fn sms_package_status_root_summarizer_is_live_with_every_report() {
    follow_counters("SMS_PackageStatusRootSummarizer").await;
}

#[tokio::test]
async fn sms_package_status_root_summarizer_is_live_in_size_and_date() {
    let world = World::new().await;
    let id = world.create("a").await;
    world.clock.advance(Duration::from_secs(5));
    world.publish(id, 1_025).await;
    let row = world.row(&of("SMS_PackageStatusRootSummarizer")).await;
    assert_eq!((row.number("SourceSize"), row.time("SourceDate")), (2, world.now()));
    assert_eq!((row.text("Name"), row.text("SourceSite")), ("a", "XYZ"));
}

#[tokio::test]
async fn sms_package_status_detail_summarizer_is_live_with_every_report() {
    follow_counters("SMS_PackageStatusDetailSummarizer").await;
    let world = World::new().await;
    let id = world.installed().await;
    world.clock.advance(Duration::from_secs(5));
    world.refresh(id).await;
    let row = world.row(&of("SMS_PackageStatusDetailSummarizer")).await;
    assert_eq!((row.text("SiteCode"), row.text("SiteName")), ("XYZ", "Northern site"));
    assert_eq!(row.time("SummaryDate"), world.now());
}

#[tokio::test]
async fn sms_package_status_dist_points_summarizer_is_live_through_every_state() {
    let world = World::new().await;
    let id = world.create("a").await;
    world.distribute(id, &["DP01"]).await;
    let class = "SMS_PackageStatusDistPointsSummarizer";
    let seen = async || {
        let row = dp01(&world, class, "ServerNALPath").await;
        (row.number("State"), row.number("SourceVersion"))
    };
    assert_eq!(seen().await, (1, 0));
    world.publish(id, 1).await;
    world.report(id, "DP01", Report::Receiving).await;
    assert_eq!(seen().await, (1, 0));
    world.report(id, "DP01", Report::Failed { is_transient: true }).await;
    assert_eq!(seen().await, (2, 0));
    world.report(id, "DP01", Report::Stored).await;
    assert_eq!(seen().await, (7, 0));
    world.install(id, "DP01").await;
    assert_eq!(seen().await, (0, 1));
    let row = dp01(&world, class, "ServerNALPath").await;
    assert_eq!(row.time("LastCopied"), world.now());
    assert_eq!(
        row.text("SourceNALPath"),
        r#"["Display=\\DP01\SMSPKG$\XYZ00001\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\SMSPKG$\XYZ00001\"#
    );
    world.happen(id, "DP01", Event::DamageFound(SourceVersion(1), Damage::Wrong), None).await;
    assert_eq!(seen().await, (8, 1));
    world.happen(id, "DP01", Event::Healed(SourceVersion(1)), None).await;
    world.refresh(id).await;
    world.publish(id, 1).await;
    assert_eq!(seen().await, (1, 1));
    world.report(id, "DP01", Report::Receiving).await;
    assert_eq!(seen().await, (7, 1), "the older version is served");
    let points = vec![dp("DP01")];
    world.perform(Operation::CancelDistribution { package: id, points }).await.unwrap();
    assert_eq!(seen().await, (3, 1));
    world.remove(id, "DP01").await;
    assert_eq!(seen().await, (4, 1));
    world.report(id, "DP01", Report::Failed { is_transient: true }).await;
    assert_eq!(seen().await, (5, 1));
    world.report(id, "DP01", Report::Failed { is_transient: false }).await;
    assert_eq!(seen().await, (6, 1));
}

/// What a class says of the message of DP01's state.
async fn message(world: &World, class: &str, nal_path: &str) -> [u64; 3] {
    let row = dp01(world, class, nal_path).await;
    ["MessageID", "MessageState", "MessageSeverity"].map(|name| row.number(name))
}

async fn follow_messages(class: &str, nal_path: &str, record: &str) {
    const INFO: u64 = 0x4000_0000;
    const WARNING: u64 = 0x8000_0000;
    const ERROR: u64 = 0xC000_0000;
    let mut world = World::new().await;
    let id = world.create("a").await;
    world.distribute(id, &["DP01"]).await;
    assert_eq!(message(&world, class, nal_path).await, [2372, 2, INFO]);
    world.publish(id, 1).await;
    assert_eq!(message(&world, class, nal_path).await, [2342, 2, INFO]);
    world.report(id, "DP01", Report::Receiving).await;
    assert_eq!(message(&world, class, nal_path).await, [8204, 2, INFO]);
    let row = dp01(&world, class, nal_path).await;
    assert_eq!(["InsString1", "InsString2", "InsString3"].map(|n| row.text(n)), ["XYZ00001", "1", "DP01"]);
    world.report(id, "DP01", Report::Failed { is_transient: true }).await;
    assert_eq!(message(&world, class, nal_path).await, [2328, 2, WARNING]);
    let row = dp01(&world, class, nal_path).await;
    let strings = ["InsString1", "InsString2", "InsString3", "InsString4"].map(|name| row.text(name));
    assert_eq!(strings, ["XYZ00001", NAL, "LINK_BROKEN", r#"the "link" broke"#]);
    assert_eq!(*row.value("InsString5"), Value::Null);
    // The row names the message that was raised with the state.
    let raised = format!("SELECT * FROM SMS_StatusMessage WHERE RecordID = {}", row.number(record));
    assert_eq!(world.row(&raised).await.number("MessageID"), 2328);

    world.report(id, "DP01", Report::Failed { is_transient: false }).await;
    assert_eq!(message(&world, class, nal_path).await, [8203, 4, ERROR]);
    let mut documented = config();
    documented.compatibility.message_state_documented = true;
    world.restart(documented).await;
    assert_eq!(message(&world, class, nal_path).await, [8203, 3, ERROR]);
    let failed = format!("SELECT * FROM {class} WHERE MessageState = 3");
    assert_eq!(world.rows(&failed).await.len(), 1, "in filters too");
    world.restart(config()).await;
    assert!(world.rows(&failed).await.is_empty());
}

#[tokio::test]
async fn sms_distribution_dp_status_is_live_with_every_report() {
    follow_messages("SMS_DistributionDPStatus", "NalPath", "LastStatusID").await;
}

#[tokio::test]
async fn sms_dp_status_details_is_live_with_every_report() {
    follow_messages("SMS_DPStatusDetails", "NALPath", "StatusMsgID").await;
}

#[tokio::test]
async fn sms_dp_status_info_is_live_with_every_report() {
    let world = World::new().await;
    let query = "SELECT * FROM SMS_DPStatusInfo WHERE Name = 'dp01'";
    let seen = async || {
        let row = world.row(query).await;
        ["NumberInstalled", "NumberInProgress", "NumberErrors", "MessageState", "MessageCount"]
            .map(|name| row.number(name))
    };
    assert_eq!(seen().await, [0, 0, 0, 1, 0]);
    let id = world.installed().await;
    assert_eq!(seen().await, [1, 0, 0, 1, 0]);
    assert_eq!(world.row(query).await.time("LastStatusTime"), NOW);
    world.clock.advance(Duration::from_secs(5));
    world.refresh(id).await;
    assert_eq!(seen().await, [0, 1, 0, 2, 1]);
    world.publish(id, 1).await;
    world.report(id, "DP01", Report::Failed { is_transient: false }).await;
    assert_eq!(seen().await, [0, 0, 1, 4, 1]);
    assert_eq!(world.row(query).await.time("LastStatusTime"), world.now());
}

#[tokio::test]
async fn sms_distribution_status_is_live_and_keeps_a_failed_refresh() {
    let world = World::new().await;
    let id = world.installed().await;
    let query = "SELECT * FROM SMS_DistributionStatus WHERE ObjectID = 'XYZ00001'";
    let seen = async || {
        let mut rows: Vec<[u64; 3]> = Vec::new();
        for row in world.rows(query).await {
            rows.push(["MessageCategory", "Type", "Assets"].map(|name| row.number(name)));
        }
        rows.sort_unstable();
        rows
    };
    assert_eq!(seen().await, [[2330, 1, 2]]);
    world.distribute(id, &["DP03"]).await;
    world.report(id, "DP03", Report::Failed { is_transient: false }).await;
    assert_eq!(seen().await, [[2330, 1, 2], [8203, 4, 1]]);
    world.refresh(id).await;
    assert_eq!(seen().await, [[2342, 2, 3]]);
    let once = RetryPolicy { count: 1, ..RETRY };
    world.fail_refresh(id, once).await;
    assert_eq!(seen().await, [[2302, 4, 0], [2330, 1, 2], [8203, 4, 1]], "the old version is installed");
    world.refresh(id).await;
    assert_eq!(seen().await, [[2342, 2, 3]]);
}

#[tokio::test]
async fn sms_object_content_extra_info_is_live_with_every_report() {
    let world = World::new().await;
    let id = world.installed().await;
    let seen = async || {
        let row = world.row(&of("SMS_ObjectContentExtraInfo")).await;
        ["Targeted", "NumberSuccess", "NumberInProgress", "NumberErrors", "NumberUnknown"]
            .map(|name| row.number(name))
    };
    assert_eq!(seen().await, [2, 2, 0, 0, 0]);
    world.distribute(id, &["DP03"]).await;
    world.report(id, "DP03", Report::Failed { is_transient: true }).await;
    assert_eq!(seen().await, [3, 2, 1, 0, 0], "retrying is in progress");
    world.report(id, "DP03", Report::Failed { is_transient: false }).await;
    assert_eq!(seen().await, [3, 2, 0, 1, 0]);
    let row = world.row(&of("SMS_ObjectContentExtraInfo")).await;
    assert_eq!((row.number("SourceSize"), row.text("SoftwareName")), (3, "installed"));
}

#[tokio::test]
async fn sms_dp_content_info_is_live_as_packages_come_and_go() {
    let world = World::new().await;
    let id = world.create("a").await;
    let query = of("SMS_DPContentInfo");
    assert!(world.rows(&query).await.is_empty());
    world.distribute(id, &["DP01"]).await;
    world.publish(id, 2_500).await;
    let row = dp01(&world, "SMS_DPContentInfo", "NALPath").await;
    assert_eq!((row.text("Name"), row.number("SourceSize"), row.text("ObjectID")), ("a", 3, "XYZ00001"));
    world.remove(id, "DP01").await;
    world.report(id, "DP01", Report::Removed).await;
    assert!(world.rows(&query).await.is_empty());
}

#[tokio::test]
async fn sms_pkg_to_pkg_server_a_is_live_as_packages_come_and_go() {
    let world = World::new().await;
    let id = world.create("a").await;
    let query = "SELECT * FROM SMS_PkgToPkgServer_a";
    assert!(world.rows(query).await.is_empty());
    world.distribute(id, &["DP01"]).await;
    let row = world.row(query).await;
    assert_eq!(row.path("package"), r#"SMS_Package.PackageID="XYZ00001""#);
    assert_eq!(
        row.path("pkgServer"),
        r#"SMS_DistributionPoint.PackageID="XYZ00001",ServerNALPath="[\"Display=\\\\DP01\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP01\\",SiteCode="XYZ""#
    );
    // The path names an object that can be read.
    world.get(&row.path("pkgServer")).await;
    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    assert!(world.rows(query).await.is_empty());
}

/// Every state, and the rows that the one table gives for it.
#[tokio::test]
async fn each_state_is_shown_as_the_one_table_says_in_every_class() {
    let world = World::new().await;
    let id = world.installed().await;
    world.refresh(id).await;
    world.publish(id, 1).await;
    let failed = |is_transient| Report::Failed { is_transient };
    let mut seen = Vec::new();
    for step in 0..8 {
        let done = match step {
            0 => true,
            1 => world.report(id, "DP01", Report::Receiving).await,
            2 => world.report(id, "DP01", Report::Stored).await,
            3 => world.report(id, "DP01", failed(true)).await,
            4 => world.report(id, "DP01", failed(false)).await,
            5 => {
                world.remove(id, "DP01").await;
                true
            }
            6 => world.report(id, "DP01", failed(true)).await,
            _ => world.report(id, "DP01", failed(false)).await,
        };
        assert!(done, "{step}");
        let target: Result<_, restock_sitedb::DatabaseError> = world
            .database()
            .read("target", move |tx| Box::pin(async move { tx.target(id, &dp("DP01")).await }))
            .await;
        let facts = target.unwrap().unwrap().facts;
        let columns = Columns::of(facts.state, facts.serving, SourceVersion(2), facts.cause);
        let summarizer = dp01(&world, "SMS_PackageStatusDistPointsSummarizer", "ServerNALPath").await;
        assert_eq!(summarizer.number("State"), u64::from(columns.summarizer_state), "{:?}", facts.state);
        let status = dp01(&world, "SMS_PackageStatus", "PkgServer").await;
        assert_eq!(status.number("Status"), u64::from(columns.package_status), "{:?}", facts.state);
        let point = dp01(&world, "SMS_DistributionPoint", "ServerNALPath").await;
        assert_eq!(point.number("Status"), u64::from(columns.point_status), "{:?}", facts.state);
        for (class, nal_path) in [("SMS_DistributionDPStatus", "NalPath"), ("SMS_DPStatusDetails", "NALPath")]
        {
            let row = dp01(&world, class, nal_path).await;
            assert_eq!(row.number("MessageState"), u64::from(columns.message_state), "{:?}", facts.state);
            assert_eq!(
                row.number("MessageID"),
                u64::from(columns.message_id.unwrap_or(0)),
                "{:?}",
                facts.state
            );
        }
        seen.push(facts.state);
    }
    use TargetState::{
        Complete, Failed, Receiving, RemovalAsked, RemovalFailed, RemovalRetrying, Retrying, Waiting,
    };
    let all = [Waiting, Receiving, Complete, Retrying, Failed, RemovalAsked, RemovalRetrying, RemovalFailed];
    assert_eq!(seen, all);
}
