//! The queries of documents and scripts over a small site, on both engines.

use restock_cim::query::wql;
use restock_cim::{Instance, Value};
use restock_provider::Caller;
use restock_sitedb::state::Report;

use crate::views::world::{Cluster, World};

/// Three packages: XYZ00001 is installed at DP01 and failed at DP02, XYZ00002 waits for DP02, and
/// XYZ00003 goes nowhere.
async fn fill(world: &World) {
    let zip = world.create("7-Zip").await;
    world.distribute(zip, &["DP01", "DP02"]).await;
    assert!(world.publish(zip, 2_500).await && world.install(zip, "DP01").await);
    assert!(world.report(zip, "DP02", Report::Failed { is_transient: false }).await);
    let fox = world.create("Firefox ESR 100%").await;
    world.distribute(fox, &["DP02"]).await;
    world.create("notes_and [more]").await;
}

fn shown(row: &Instance) -> String {
    let values = row.values.iter().flatten().map(|value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Reference(path) => path.to_string(),
        Value::Object(object) => format!("({})", shown(object)),
        other => format!("{other:?}"),
    });
    values.collect::<Vec<_>>().join("|")
}

async fn answer(world: &World, text: &str) -> Vec<String> {
    let statement = wql::statement(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut rows = Vec::new();
    for query in statement.queries(world.provider.schema()).unwrap() {
        let found = world.provider.query(&Caller::local("test"), query).await;
        let found = found.unwrap_or_else(|refusal| panic!("{text}: {refusal:?}")).all().await.unwrap();
        rows.extend(found.iter().map(shown));
    }
    rows
}

const NAL: [&str; 2] = [
    r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#,
    r#"["Display=\\DP02\"]MSWNET:["SMS_SITE=XYZ"]\\DP02\"#,
];

async fn check(world: &World) {
    fill(world).await;
    let cases: &[(&str, &[&str])] = &[
        (r#"SELECT Name FROM SMS_Package WHERE Name LIKE "7%" ORDER BY Name"#, &["7-Zip"]),
        ("SELECT COUNT(*) FROM SMS_Package", &["3"]),
        ("select NAME from sms_package where packageid = 'xyz00002'", &["Firefox ESR 100%"]),
        ("SELECT PackageID FROM SMS_Package WHERE Name LIKE '%100[%]'", &["XYZ00002"]),
        ("SELECT PackageID FROM SMS_Package WHERE Name LIKE 'notes[_]and [[]more]'", &["XYZ00003"]),
        (
            "SELECT PackageID FROM SMS_Package WHERE Name LIKE '[^a-f]%' ORDER BY PackageID",
            &["XYZ00001", "XYZ00003"],
        ),
        (
            "SELECT PackageID FROM SMS_Package WHERE PackageID NOT IN (SELECT PackageID FROM SMS_DistributionPoint)",
            &["XYZ00003"],
        ),
        (
            "SELECT p.Name,d.SiteCode FROM SMS_Package AS p INNER JOIN SMS_DistributionPoint AS d \
             ON p.PackageID=d.PackageID ORDER BY p.PackageID",
            &["(XYZ)|(7-Zip)", "(XYZ)|(7-Zip)", "(XYZ)|(Firefox ESR 100%)"],
        ),
        (
            "SELECT p.PackageID, d.SiteCode FROM SMS_Package p LEFT JOIN SMS_DistributionPoint d \
             ON p.PackageID = d.PackageID AND d.ServerNALPath LIKE '%DP01%' ORDER BY p.PackageID",
            &["(XYZ)|(XYZ00001)", "-|(XYZ00002)", "-|(XYZ00003)"],
        ),
        (
            "SELECT COUNT(*) FROM SMS_DistributionPoint a, SMS_DistributionPoint b WHERE a.PackageID = b.PackageID",
            &["5"],
        ),
        (
            r#"SELECT PackageID FROM SMS_DistributionPoint WHERE ServerNALPath LIKE
               '[[]"Display=\\\\DP01\\"]MSWNET:[[]"SMS_SITE=XYZ"]\\\\DP01\\'"#,
            &["XYZ00001"],
        ),
        (
            r#"SELECT PackageID FROM SMS_DistributionPoint WHERE ServerNALPath = "[\"Display=\\\\dp01\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP01\\""#,
            &["XYZ00001"],
        ),
        (
            "select PackageID from SMS_DistributionPoint where PackageID='XYZ00001' and ServerNALPath like '%dp02%'",
            &["XYZ00001"],
        ),
        (
            "SELECT dp.PackageID, dp.ServerNALPath FROM SMS_DistributionPoint AS dp \
             JOIN SMS_PackageStatusDistPointsSummarizer AS s \
             ON dp.PackageID = s.PackageID AND dp.ServerNALPath = s.ServerNALPath WHERE s.State IN (2, 3)",
            &[&format!("XYZ00001|{}", NAL[1])],
        ),
        (
            "SELECT DISTINCT PackageID FROM SMS_PackageStatusDistPointsSummarizer WHERE State = '0'",
            &["XYZ00001"],
        ),
        (
            "SELECT PackageID, MessageState FROM SMS_DistributionDPStatus WHERE MessageState <> 1 ORDER BY PackageID",
            &["4|XYZ00001", "2|XYZ00002"],
        ),
        ("SELECT SiteCode FROM SMS_ProviderLocation WHERE ProviderForLocalSite = true", &["XYZ"]),
        (
            "SELECT NALPath FROM SMS_SystemResourceList WHERE RoleName = 'SMS Distribution Point' AND SiteCode = 'xyz' \
             AND NALPath NOT LIKE '%DP03%' ORDER BY NALPath",
            &NAL,
        ),
        ("SELECT COUNT(*) FROM SMS_Package WHERE DateDiff(dd, SourceDate, GetDate()) <= 7", &["3"]),
        ("SELECT COUNT(*) FROM SMS_Package WHERE SourceDate < DateAdd(dd, -1, GetDate())", &["0"]),
        (
            "SELECT Name FROM SMS_PackageBaseclass WHERE __CLASS = 'SMS_Package' AND SUBSTRING(Name, 3, 3) = 'zip'",
            &["7-Zip"],
        ),
        ("SELECT __CLASS FROM SMS_BaseClass WHERE __CLASS = 'sms_site'", &[""]),
        ("SELECT * FROM SMS_BaseClass WHERE 1 = 0", &[]),
        (
            "ASSOCIATORS OF {SMS_Package.PackageID='XYZ00002'} WHERE ResultClass = SMS_DistributionPoint KeysOnly",
            &[&format!("XYZ00002|{}|XYZ", NAL[1])],
        ),
        (
            "ASSOCIATORS OF {SMS_Package='xyz00003'} WHERE AssocClass = SMS_PackageToSourceSite_a KeysOnly",
            &["XYZ"],
        ),
        ("ASSOCIATORS OF {SMS_Package='XYZ00009'}", &[]),
        (
            "REFERENCES OF {SMS_Package='xyz00003'}",
            &["SMS_Package.PackageID=\"XYZ00003\"|SMS_Site.SiteCode=\"XYZ\""],
        ),
        (
            r#"REFERENCES OF {SMS_DistributionPoint.PackageID="XYZ00002",SiteCode="XYZ",ServerNALPath="[\"Display=\\\\DP02\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP02\\"}"#,
            &[
                r#"SMS_Package.PackageID="XYZ00002"|SMS_DistributionPoint.PackageID="XYZ00002",ServerNALPath="[\"Display=\\\\DP02\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP02\\",SiteCode="XYZ""#,
            ],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(answer(world, text).await, *expected, "{text}");
    }
}

#[tokio::test]
async fn documents_and_scripts_get_their_rows_from_sqlite() {
    check(&World::new().await).await;
}

#[tokio::test]
async fn documents_and_scripts_get_their_rows_from_postgres() {
    let Some(cluster) = Cluster::start() else { return };
    let world = World::on(&cluster, "queries").await;
    check(&world).await;
    world.database().close().await;
}
