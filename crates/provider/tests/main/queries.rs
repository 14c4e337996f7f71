//! The queries that documents, consoles and scripts send, beside the real declarations.

mod rows;

use restock_cim::query::{ResolveAt, Resolved, Shape, resolve, wql};
use restock_names::{Timestamp, Zone};
use restock_provider::classes::declarations::schema;

fn read(text: &str) -> Vec<Resolved> {
    let zone = Zone::named("Europe/Berlin").unwrap();
    let at = ResolveAt { now: Timestamp(1_795_341_600_000_000), zone: &zone };
    let statement = wql::statement(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let queries = statement.queries(schema()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let resolved = queries.into_iter().map(|query| resolve(schema(), query, &at));
    resolved.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The classes of the rows, and the names of what a joined row holds.
fn shape(text: &str) -> String {
    let shapes = read(text).into_iter().map(|query| {
        let class = query.class().unwrap();
        match query.shape {
            Shape::Instance { .. } => class.name.to_string(),
            Shape::Embedded { .. } | Shape::Count { .. } => {
                let names: Vec<&str> =
                    class.properties.iter().map(|property| property.name.as_str()).collect();
                format!("{} {}", class.name, names.join(" "))
            }
        }
    });
    shapes.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_queries_of_the_documents_are_understood() {
    for (text, expected) in [
        (r#"SELECT * FROM SMS_Package WHERE Name LIKE "7%" ORDER BY Name"#, "SMS_Package"),
        ("SELECT COUNT(*) FROM SMS_Package", "__Generic Count"),
        (
            "SELECT p.PackageID,d.ServerNALPath FROM SMS_Package AS p INNER JOIN SMS_DistributionPoint AS d \
             ON p.PackageID=d.PackageID WHERE d.Status<>3",
            "__Generic d p",
        ),
        (
            "SELECT * FROM SMS_Package WHERE PackageID NOT IN (SELECT PackageID FROM SMS_DistributionPoint)",
            "SMS_Package",
        ),
        (
            "select stat.*, ins.*, att1.*, stat.Time from SMS_StatusMessage as stat left join \
             SMS_StatMsgInsStrings as ins on stat.RecordID = ins.RecordID left join SMS_StatMsgAttributes as att1 \
             on stat.RecordID = att1.RecordID where stat.Time >= '2026/11/22 10:00:00.000' order by stat.Time desc",
            "__Generic att1 ins stat",
        ),
        (
            r#"SELECT * FROM SMS_DistributionPoint WHERE ServerNALPath LIKE
               '[[]"Display=\\\\DP01\\"]MSWNET:[[]"SMS_SITE=XYZ"]\\\\DP01\\'"#,
            "SMS_DistributionPoint",
        ),
        ("SELECT * FROM SMS_BaseClass WHERE __CLASS = 'SMS_Site'", "SMS_BaseClass"),
        ("SELECT * FROM SMS_PackageBaseclass WHERE PackageType = 0", "SMS_PackageBaseclass"),
        ("SELECT * FROM SMS_Package WHERE LastRefreshTime < DateAdd(dd, -30, GetDate())", "SMS_Package"),
        ("SELECT * FROM SMS_Package WHERE DateDiff(dd, SourceDate, GetDate()) <= 7", "SMS_Package"),
        ("SELECT * FROM SMS_Package WHERE DatePart(year, SourceDate) = 2026", "SMS_Package"),
        ("SELECT * FROM SMS_Package WHERE SUBSTRING(PackageID, 1, 3) = 'xyz'", "SMS_Package"),
        ("SELECT * FROM SMS_Admin WHERE RoleNames = 'Full Administrator'", "SMS_Admin"),
        ("ASSOCIATORS OF {SMS_Package.PackageID='XYZ00001'}", "SMS_Site, SMS_DistributionPoint, SMS_Program"),
        (
            "REFERENCES OF {SMS_Site.SiteCode='XYZ'}",
            "SMS_PackageToSourceSite_a, SMS_SiteToSubSite_a, SMS_SiteToSubSite_a",
        ),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn the_queries_of_existing_scripts_are_understood() {
    for (text, expected) in [
        (
            "select * from SMS_DistributionPoint where PackageID='XYZ00001' and ServerNALPath like '%DP01%'",
            "SMS_DistributionPoint",
        ),
        (
            "SELECT * FROM SMS_PackageStatusDistPointsSummarizer WHERE State = 2 OR State = 3",
            "SMS_PackageStatusDistPointsSummarizer",
        ),
        (
            "Select * from SMS_PackageStatusDistPointsSummarizer where State > '0'",
            "SMS_PackageStatusDistPointsSummarizer",
        ),
        (
            "SELECT dp.* FROM SMS_DistributionPoint AS dp JOIN SMS_PackageStatusDistPointsSummarizer AS s \
             ON dp.PackageID = s.PackageID AND dp.ServerNALPath = s.ServerNALPath WHERE s.State IN (2, 3)",
            "SMS_DistributionPoint",
        ),
        (
            "SELECT PackageID, Name, MessageState, MessageID, LastUpdateDate, InsString1, InsString2 \
             FROM SMS_DistributionDPStatus WHERE MessageState <> 1",
            "SMS_DistributionDPStatus",
        ),
        ("SELECT * FROM SMS_ProviderLocation WHERE ProviderForLocalSite = true", "SMS_ProviderLocation"),
        ("SELECT * FROM SMS_PackageStatus WHERE Status = 5", "SMS_PackageStatus"),
        (
            "SELECT * FROM SMS_SystemResourceList WHERE RoleName = 'SMS Distribution Point' AND SiteCode = 'xyz'",
            "SMS_SystemResourceList",
        ),
        (
            "SELECT * FROM SMS_ObjectContentExtraInfo WHERE PackageID = 'XYZ00001'",
            "SMS_ObjectContentExtraInfo",
        ),
        (
            "SELECT * FROM SMS_DPGroupMembers WHERE GroupID = '{A}' AND DPNALPath LIKE '%DP01%'",
            "SMS_DPGroupMembers",
        ),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn joins_by_keys_are_no_products() {
    let connected = |text: &str| read(text).first().unwrap().connected().len();
    let by_key = "SELECT * FROM SMS_Package p, SMS_DistributionPoint d WHERE p.PackageID = d.PackageID";
    assert_eq!(connected(by_key), 1);
    assert_eq!(connected("SELECT * FROM SMS_Package p, SMS_DistributionPoint d"), 2);
}

/// Every class that can be asked for is asked for by each of its properties.
#[test]
fn every_property_of_every_class_can_be_selected_and_tested() {
    let mut tested = 0;
    for class in schema().classes().filter(|class| !class.has("Embedded")) {
        for property in &class.properties {
            let text = format!("SELECT {0} FROM {1} WHERE {0} IS NOT NULL", property.name, class.name);
            assert_eq!(shape(&text), class.name.as_str(), "{text}");
            tested += 1;
        }
    }
    assert!(tested > 1000, "{tested} properties");
}
