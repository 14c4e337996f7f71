//! Lookups by key go through indexes, however large the site is.

use restock_cim::query::{ResolveAt, resolve, wql};
use restock_cim::{CimType, Class};
use restock_names::Zone;
use restock_provider::classes::declarations::schema;
use restock_provider::classes::views::VIEWS;
use restock_sitedb::query::{Allowed, Seen, Sight};
use restock_sitedb::{Engine, Views};
use sqlx::{AnyConnection, Connection, Row as _};

use super::world::{NOW, World};

const NAL: &str = r#"[\"Display=\\\\DP01\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\DP01\\"#;

/// What SQLite does for a query, one step a line.
async fn plan(world: &World, wql: &str, sight: Sight) -> Vec<String> {
    let at = ResolveAt { now: NOW, zone: &Zone::utc() };
    let resolved = resolve(schema(), wql::parse(wql).unwrap(), &at).unwrap();
    let views = Views::new(Engine::Sqlite, schema(), VIEWS).unwrap();
    let text = Allowed::new(resolved, sight).sql(&views, false).text;
    let mut connection = AnyConnection::connect(&world.fresh.url).await.unwrap();
    let text = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
    let rows = sqlx::query(text).fetch_all(&mut connection).await.unwrap();
    let steps = rows.iter().map(|row| row.get("detail")).collect();
    connection.close().await.unwrap();
    steps
}

/// The steps that read a whole table that grows with packages, distribution points or messages.
fn scans(steps: &[String]) -> Vec<&str> {
    let reads_all = |step: &&str| {
        // The site, the few sites of a hierarchy, a constant list, or the rows of a view whose own steps
        // stand beside this one.
        let is_small = ["SCAN s", "SCAN site", "SCAN c", "SCAN o", "SCAN s0"];
        let is_list = step.contains("CONSTANT ROW") || step.contains("(subquery");
        let is_small = |step: &str| is_small.contains(&step) || step.starts_with("SCAN sites");
        step.starts_with("SCAN ") && !is_list && !is_small(step)
    };
    steps.iter().map(String::as_str).filter(reads_all).collect()
}

fn check(wql: &str, steps: &[String]) {
    assert_eq!(scans(steps), [""; 0], "{wql}\n{steps:#?}");
}

/// A condition that gives each key of the class some value.
fn by_keys(class: &Class) -> Option<String> {
    let mut conditions = Vec::new();
    for key in class.keys() {
        let value = match key.data_type.cim {
            CimType::String => format!("\"{NAL}\""),
            CimType::Reference => "'SMS_Package.PackageID=\"XYZ00001\"'".to_owned(),
            CimType::DateTime => "'20260101000000.000000+000'".to_owned(),
            _ => "7".to_owned(),
        };
        conditions.push(format!("{} = {value}", key.name));
    }
    (!conditions.is_empty()).then(|| conditions.join(" AND "))
}

#[tokio::test]
async fn a_get_by_key_uses_indexes_in_all_classes_but_these() {
    let world = World::new().await;
    let mut reading_all = Vec::new();
    for view in VIEWS {
        let Some(class) = schema().class(view.name) else { continue };
        let Some(condition) = by_keys(class) else { continue };
        let wql = format!("SELECT * FROM {} WHERE {condition}", class.name);
        let steps = plan(&world, &wql, Sight::all()).await;
        if !scans(&steps).is_empty() {
            reading_all.push(view.name);
        }
    }
    let known = [
        // The number of its rows is made of two numbers.
        "SMS_DPGroupDistributionStatusDetails",
        // The scope of all objects counts them.
        "SMS_SecuredCategory",
        // Their keys, as published, do not say which message is meant.
        "SMS_StatInsStr",
        "SMS_StatMsgAttributes",
        // One message of each module is looked for.
        "SMS_StatMsgModuleNames",
    ];
    assert_eq!(reading_all, known);
}

#[tokio::test]
async fn lookups_by_key_use_indexes() {
    let world = World::new().await;
    let queries = [
        "SELECT * FROM SMS_Package WHERE PackageID = 'xyz00001'".to_owned(),
        "SELECT * FROM SMS_Program WHERE PackageID = 'xyz00001' AND ProgramName = 'p'".to_owned(),
        format!(
            "SELECT * FROM SMS_DistributionPoint WHERE PackageID = 'xyz00001' AND ServerNALPath = \"{NAL}\" AND SiteCode = 'XYZ'"
        ),
        "SELECT * FROM SMS_DistributionPoint WHERE PackageID = 'xyz00001'".to_owned(),
        format!("SELECT * FROM SMS_DistributionPoint WHERE ServerNALPath = \"{NAL}\""),
        format!("SELECT * FROM SMS_DistributionPointInfo WHERE NALPath = \"{NAL}\""),
        "SELECT * FROM SMS_PackageStatusRootSummarizer WHERE PackageID = 'xyz00001'".to_owned(),
        "SELECT * FROM SMS_PackageStatusDetailSummarizer WHERE PackageID = 'xyz00001' AND SiteCode = 'XYZ'"
            .to_owned(),
        "SELECT * FROM SMS_PackageStatusDistPointsSummarizer WHERE PackageID = 'xyz00001'".to_owned(),
        format!(
            "SELECT * FROM SMS_PackageStatusDistPointsSummarizer WHERE PackageID = 'xyz00001' AND ServerNALPath = \"{NAL}\""
        ),
        "SELECT * FROM SMS_PackageStatusDistPointsSummarizer WHERE State = 2 OR State = 3".to_owned(),
        "SELECT * FROM SMS_DistributionDPStatus WHERE ID = 7".to_owned(),
        "SELECT * FROM SMS_DistributionDPStatus WHERE PackageID = 'xyz00001'".to_owned(),
        "SELECT * FROM SMS_DPStatusDetails WHERE ID = 7".to_owned(),
        format!("SELECT * FROM SMS_DPStatusInfo WHERE NALPath = \"{NAL}\""),
        "SELECT * FROM SMS_ObjectContentExtraInfo WHERE ObjectID = 'xyz00001'".to_owned(),
        "SELECT * FROM SMS_DistributionStatus WHERE ObjectID = 'xyz00001'".to_owned(),
        "SELECT * FROM SMS_StatusMessage WHERE RecordID = 7".to_owned(),
        "SELECT * FROM SMS_PkgToPkgServer_a WHERE package = 'SMS_Package.PackageID=\"XYZ00001\"'".to_owned(),
        "SELECT * FROM SMS_StatMsgInsStrings WHERE RecordID = 7 AND InsStrIndex = 1".to_owned(),
    ];
    for wql in queries {
        check(&wql, &plan(&world, &wql, Sight::all()).await);
    }
}

#[tokio::test]
async fn lookups_of_a_caller_who_sees_less_use_indexes_too() {
    let world = World::new().await;
    let some = || Seen::Scopes(vec!["SMS00UNA".to_owned()]);
    let sight = Sight { packages: some(), points: some(), ..Sight::all() };
    for wql in [
        "SELECT * FROM SMS_Package WHERE PackageID = 'xyz00001'",
        "SELECT * FROM SMS_DistributionPoint WHERE PackageID = 'xyz00001'",
        "SELECT * FROM SMS_PackageStatusRootSummarizer WHERE PackageID = 'xyz00001'",
        "SELECT * FROM SMS_PackageStatusDistPointsSummarizer WHERE PackageID = 'xyz00001'",
    ] {
        check(wql, &plan(&world, wql, sight.clone()).await);
    }
}
