//! The columns of each view and what they hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use restock_cim::{Class, Value};
use restock_names::Timestamp;
use restock_provider::classes::declarations::schema;
use restock_provider::classes::views::{FILLED, VIEWS};
use restock_provider::rights::Rights;
use restock_provider::{Caller, Severity, relative_path_of};
use restock_sitedb::admin::{Account, Permission, Stamp};
use restock_sitedb::audit::AuditMessage;
use restock_sitedb::group::Group;
use restock_sitedb::package::Properties;
use restock_sitedb::program::Program;
use restock_sitedb::state::{Damage, Event, Report};
use restock_sitedb::{DatabaseError, Engine};
use sqlx::{AnyConnection, Connection, Row as _};

use super::world::{Cluster, NOW, Row, World, dp};

/// Classes of the first tier that cannot have rows of their own: abstract and embedded ones, those
/// that only have methods, and those that errors consist of.
const WITHOUT_ROWS: [&str; 20] = [
    "SMS_APermission",
    "SMS_ARoleOperation",
    "SMS_BaseAssociation",
    "SMS_BaseClass",
    "SMS_EmbeddedProperty",
    "SMS_EmbeddedPropertyList",
    "SMS_ExtendedStatus",
    "SMS_NAL_Methods",
    "SMS_OS_Details",
    "SMS_Operation",
    "SMS_PackageBaseclass",
    "SMS_ST_NonRecurring",
    "SMS_ST_RecurInterval",
    "SMS_ST_RecurMonthlyByDate",
    "SMS_ST_RecurMonthlyByWeekday",
    "SMS_ST_RecurWeekly",
    "SMS_ScheduleMethods",
    "SMS_ScheduleToken",
    "__ExtendedStatus",
    "__NotifyStatus",
];

/// Classes whose declared keys name several rows, as published.
const KEYS_NAME_MANY: [&str; 2] = ["SMS_StatInsStr", "SMS_StatMsgAttributes"];

/// Views that are no class.
const HELPERS: [&str; 3] = ["announced_size", "target_status", "version_size"];

fn classes() -> impl Iterator<Item = &'static Class> {
    VIEWS
        .iter()
        .filter(|view| !HELPERS.contains(&view.name))
        .map(|view| &**schema().class(view.name).unwrap_or_else(|| panic!("{} is no class", view.name)))
}

#[test]
fn every_class_of_the_first_tier_that_can_have_rows_has_a_view_and_no_other() {
    let first: BTreeSet<&str> = schema()
        .classes()
        .filter(|class| class.qualifier("Tier") == Some(&Value::String("first".to_owned())))
        .map(|class| class.name.as_str())
        .collect();
    let viewed: BTreeSet<&str> = classes().map(|class| class.name.as_str()).collect();
    let without: BTreeSet<&str> = WITHOUT_ROWS.into_iter().collect();
    assert_eq!(viewed.union(&without).copied().collect::<BTreeSet<_>>(), first);
    assert_eq!(viewed.intersection(&without).count(), 0);
    assert_eq!(viewed.len() + HELPERS.len(), VIEWS.len());
}

#[test]
fn names_of_views_are_not_cut_off_by_postgres() {
    for view in VIEWS {
        assert!(view.name.len() <= 63, "{}", view.name);
    }
}

async fn check_columns(world: &World) {
    let mut connection = AnyConnection::connect(&world.fresh.url).await.unwrap();
    let text = match world.database().engine() {
        Engine::Sqlite => "SELECT name AS name FROM pragma_table_info($1)",
        Engine::Postgres => {
            "SELECT CAST(column_name AS TEXT) AS name FROM information_schema.columns WHERE table_name = $1"
        }
    };
    for class in classes() {
        let name = class.name.as_str();
        let rows = sqlx::query(text).bind(name).fetch_all(&mut connection).await.unwrap();
        let columns: Vec<String> = rows.iter().map(|row| row.get("name")).collect();
        let shown: BTreeSet<&str> = columns.iter().map(String::as_str).collect();
        let declared: BTreeSet<&str> = class.properties.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(shown, declared, "{name}");
        assert_eq!(shown.len(), columns.len(), "{name}");
    }
    connection.close().await.unwrap();
}

/// A site on which every class has rows.
async fn fill(world: &World) {
    let id = world.installed().await;
    let other = world.create("other").await;
    world.distribute(other, &["DP01", "DP02", "DP03"]).await;
    world.publish(other, 5_000_000_000_000).await;
    world.report(other, "DP01", Report::Failed { is_transient: true }).await;
    world.report(other, "DP02", Report::Failed { is_transient: false }).await;
    world.report(other, "DP03", Report::Receiving).await;
    let version = restock_names::SourceVersion(1);
    world.happen(id, "DP01", Event::DamageFound(version, Damage::Missing), None).await;
    world
        .change(move |tx| {
            Box::pin(async move {
                let stamp = Stamp { by: "root".to_owned(), at: NOW };
                tx.insert_group(&Group {
                    id: "{0A}".to_owned(),
                    name: "North \"and\" south".to_owned(),
                    description: String::new(),
                    source_site: "XYZ".parse().unwrap(),
                    created_by: "root".to_owned(),
                    created_at: NOW,
                    modified_by: "root".to_owned(),
                    modified_at: NOW,
                })
                .await?;
                for point in ["DP01", "DP02", "DP03"] {
                    tx.insert_group_member("{0A}", &dp(point)).await?;
                }
                tx.insert_group_package("{0A}", id).await?;
                tx.insert_group_package("{0A}", other).await?;
                tx.insert_group_collection("{0A}", "XYZ00014").await?;
                let properties = Properties {
                    icon: Some(vec![0, 1, 255]),
                    isv_data: Some(vec![7]),
                    extended_data: Some(vec![]),
                    transform_analysis_at: Some(NOW),
                    default_image_flags: -1,
                    ..Properties::default()
                };
                tx.update_package_properties(id, &properties).await?;
                tx.put_program(&Program {
                    package: id,
                    name: r#"Install \ "all""#.to_owned(),
                    properties: format!(
                        r#"{{"CommandLine":"setup.exe \"/q\"","Duration":4294967295,"Icon":"00ff","TransformAnalysisDate":{},
                            "SupportedOperatingSystems":[{{"class":"SMS_OS_Details","Name":"Win NT","Platform":"x64"}}]}}"#,
                        NOW.0
                    ),
                })
                .await?;
                tx.insert_account(&Account {
                    id: 7,
                    logon_name: "ann".to_owned(),
                    display_name: "Ann \"A\"".to_owned(),
                    password: None,
                    generation: 1,
                    is_disabled: false,
                    created: stamp.clone(),
                    modified: stamp,
                })
                .await?;
                let permission = Permission { role: "SMS0001R".to_owned(), scope: "SMS00ALL".to_owned() };
                tx.set_permissions(7, &[permission], "root", NOW).await?;
                let audit = AuditMessage {
                    id: 30_001,
                    severity: Severity::Info,
                    package: Some(id),
                    user: "ann".to_owned(),
                    strings: std::array::from_fn(|place| place.to_string()),
                };
                tx.raise_audit_message(&audit, NOW).await
            })
        })
        .await;
}

/// Reads every row of every class, and each by its path with its lazy properties.
async fn check_values(world: &World) {
    fill(world).await;
    for class in classes() {
        let name = class.name.as_str();
        let rows = world.rows(&format!("SELECT * FROM {name}")).await;
        // With one site there is no row that names two.
        assert_eq!(rows.is_empty(), name == "SMS_SiteToSubSite_a", "{name}");
        for row in rows {
            check_row(world, class, row).await;
        }
    }
}

async fn check_row(world: &World, class: &Class, row: Row) {
    for property in &class.properties {
        let value = row.0.get(property.name.as_str());
        assert_eq!(value.is_none(), property.is_lazy(), "{}.{}", class.name, property.name);
        assert!(!property.is_key() || value != Some(&Value::Null), "{}.{}", class.name, property.name);
    }
    let Some(path) = relative_path_of(&row.0) else { return };
    let got = world.provider.get(&Caller::local("test"), &path).await;
    let got = got.unwrap_or_else(|refusal| panic!("{path}: {refusal:?}"));
    for (place, property) in class.properties.iter().enumerate() {
        let whole = got.values[place].as_ref();
        assert!(whole.is_some(), "{}.{} of {path}", class.name, property.name);
        if let Some(value) = &row.0.values[place]
            && !KEYS_NAME_MANY.contains(&class.name.as_str())
        {
            assert_eq!(Some(value), whole, "{}.{} of {path}", class.name, property.name);
        }
    }
}

async fn check_details(world: &World) {
    let program = world.rows("SELECT * FROM SMS_Program").await.pop().unwrap();
    let path = relative_path_of(&program.0).unwrap().to_string();
    assert_eq!(path, r#"SMS_Program.PackageID="XYZ00001",ProgramName="Install \\ \"all\"""#);
    let program = world.get(&path).await;
    assert_eq!(program.text("CommandLine"), r#"setup.exe "/q""#);
    assert_eq!((program.number("Duration"), program.number("IconSize")), (u64::from(u32::MAX), 2));
    assert_eq!(program.time("TransformAnalysisDate"), NOW);
    assert_eq!(*program.value("Icon"), Value::Array(vec![Value::Unsigned(0), Value::Unsigned(255)]));
    let Value::Array(systems) = program.value("SupportedOperatingSystems") else { panic!() };
    let Value::Object(system) = &systems[0] else { panic!() };
    assert_eq!(system.get("Platform"), Some(&Value::String("x64".to_owned())));

    let package = world.get(r#"SMS_Package.PackageID="xyz00001""#).await;
    assert_eq!((package.number("IconSize"), package.number("PackageSize")), (3, 3), "kilobytes, rounded up");
    let large = world.get(r#"SMS_Package.PackageID="XYZ00002""#).await;
    assert_eq!(large.number("PackageSize"), u64::from(u32::MAX), "saturated");
    assert_eq!(*package.value("ISVData"), Value::Array(vec![Value::Unsigned(7)]));
    assert_eq!(*package.value("ExtendedData"), Value::Array(vec![]));

    let admin = world.get("SMS_Admin.AdminID=7").await;
    let Value::Array(permissions) = admin.value("Permissions") else { panic!() };
    let Value::Object(permission) = &permissions[0] else { panic!() };
    assert_eq!(permission.get("RoleName"), Some(&Value::String("Full Administrator".to_owned())));
    assert_eq!(admin.texts("RoleNames"), ["Full Administrator"]);
    assert_eq!(admin.texts("Categories"), ["SMS00ALL"]);
    assert_eq!(admin.time("CreatedDate"), Timestamp(NOW.0));
}

/// Who may read all objects of the default scope sees the same rows, by a query that hides others.
async fn check_restricted(world: &World) {
    let rights: Result<Rights, DatabaseError> = world
        .database()
        .transact("reader", |tx| {
            Box::pin(async move {
                let permission = Permission { role: "SMS0002R".to_owned(), scope: "SMS00UNA".to_owned() };
                tx.set_permissions(7, &[permission], "root", NOW).await?;
                Rights::load(tx, 7, None).await
            })
        })
        .await;
    let reader = Caller { rights: Arc::new(rights.unwrap()), admin_id: Some(7), ..Caller::local("test") };
    let nobody = Caller { rights: Arc::new(Rights::none()), admin_id: Some(8), ..reader.clone() };
    for class in classes() {
        let name = class.name.as_str();
        let query = format!("SELECT * FROM {name}");
        let (mut all, mut seen) = (world.rows(&query).await, world.rows_of(&reader, &query).await);
        all.sort_by_key(|row| format!("{row:?}"));
        seen.sort_by_key(|row| format!("{row:?}"));
        // Audit messages, accounts, and what counts them are for others.
        let is_of_security = name.starts_with("SMS_Stat")
            || ["SMS_Admin", "SMS_AdminRole", "SMS_RbacSecuredObject", "SMS_Role", "SMS_SecuredCategory"]
                .contains(&name);
        assert!(is_of_security || seen == all, "{name}: {seen:#?} instead of {all:#?}");
        assert!(seen.len() <= all.len(), "{name}");
        let seen = world.rows_of(&nobody, &query).await.len();
        let is_for_everybody = ["SMS_Identification", "SMS_ProviderLocation", "SMS_RbacSecuredObject"];
        assert!(seen == 0 || is_for_everybody.contains(&name), "{name}: {seen}");
    }
}

#[tokio::test]
async fn sqlite_views_have_the_declared_properties_and_no_others() {
    check_columns(&World::new().await).await;
}

#[tokio::test]
async fn sqlite_rows_of_every_class_can_be_read_whole() {
    let world = World::new().await;
    check_values(&world).await;
    check_details(&world).await;
    check_restricted(&world).await;
}

#[tokio::test]
async fn postgres_views_have_the_declared_properties_and_their_rows_can_be_read_whole() {
    let Some(cluster) = Cluster::start() else { return };
    let world = World::on(&cluster, "views").await;
    check_columns(&world).await;
    check_values(&world).await;
    check_details(&world).await;
    check_restricted(&world).await;
    world.database().close().await;
}

#[tokio::test]
async fn what_code_fills_in_has_no_column_value() {
    let world = World::new().await;
    fill(&world).await;
    let mut connection = AnyConnection::connect(&world.fresh.url).await.unwrap();
    for (class, property) in FILLED {
        let text = format!("SELECT COUNT(*) FROM \"{class}\" WHERE \"{property}\" IS NOT NULL");
        let row = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_one(&mut connection).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 0, "{class}.{property}");
    }
    connection.close().await.unwrap();
}
