//! Queries over small classes of the tests' own: texts in, SQL and rows out, on both engines.

mod answers;
mod clock;
mod largest;
mod plans;
mod security;
mod stopping;
mod texts;
mod views;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use restock_cim::query::{ResolveAt, Resolved, resolve, wql};
use restock_cim::{Instance, Schema, Value};
use restock_names::{Timestamp, Zone};
use restock_sitedb::query::{Allowed, QueryFailed, QueryOptions, Sight};
use restock_sitedb::{Database, View};
use sqlx::{AnyConnection, Connection as _};

use crate::server::{Fresh, sqlite};

/// Sunday, 22 November 2026, 10:00 UTC.
const NOW: Timestamp = Timestamp(1_795_341_600_000_000);

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mof = r#"
        [Abstract] class T_Content { [Key] string PackageID; string Name; uint32 Flag; };
        class T_Package : T_Content {
            string Version; [Lazy] string Description; boolean IsPublic;
            datetime Created; [LocalTime] datetime Refreshed;
            string Languages[]; uint32 Numbers[]; uint8 Icon[]; [EmbeddedInstance("T_Note")] string Notes[];
            uint64 TargetCount; T_Package REF Self;
        };
        class T_Image : T_Content { uint32 Size; };
        class T_Declared : T_Content { string Extra; };
        class T_Target { [Key] string PackageID; [Key] string Point; string State; uint32 Wanted; };
        class T_Point { [Key] string Name; uint32 Number; };
        class T_Member { [Key] string Team; [Key] string Point; };
        class T_Message { [Key] sint64 Record; string PackageID; string Text; };
        class T_Keyless { string PackageID; string Point; };
        class T_Site { [Key] string SiteCode; };
        [Embedded] class T_Note { string Text; uint32 Day; };
    "#;
    // The embedded class stands before the one that has it.
    let (before, note) = mof.split_once("[Embedded]").unwrap();
    let mof = format!("[Embedded] {note} {before}");
    Schema::parse(&[("tests.mof", &mof)]).unwrap()
});

const PACKAGE: &str = r#"SELECT p.package_id AS "PackageID", p.name AS "Name", p.source_flag AS "Flag",
    p.package_version AS "Version", p.description AS "Description", p.is_public AS "IsPublic",
    p.created_at AS "Created", p.last_refresh_at AS "Refreshed", p.language AS "Languages",
    p.manufacturer AS "Numbers", p.icon AS "Icon",
    CASE WHEN p.source_path = '' THEN NULL ELSE p.source_path END AS "Notes",
    (SELECT COUNT(*) FROM targets t WHERE t.package_id = p.package_id) AS "TargetCount",
    'T_Package.PackageID="' || p.package_id || '"' AS "Self"
    FROM packages p WHERE p.package_type = 0"#;

const VIEWS: &[View] = &[
    view("T_Package", PACKAGE),
    view(
        "T_Image",
        r#"SELECT package_id AS "PackageID", name AS "Name", source_flag AS "Flag", priority AS "Size"
           FROM packages WHERE package_type = 257"#,
    ),
    view(
        "T_Target",
        r#"SELECT p.package_id AS "PackageID", t.point AS "Point", t.state AS "State", t.wanted_version AS "Wanted"
           FROM targets t JOIN packages p ON p.package_id = t.package_id"#,
    ),
    view("T_Point", r#"SELECT name AS "Name", number AS "Number" FROM distribution_points"#),
    view(
        "T_Member",
        r#"SELECT g.name AS "Team", m.point AS "Point" FROM dp_group_members m JOIN dp_groups g ON g.group_id = m.group_id"#,
    ),
    view(
        "T_Message",
        r#"SELECT m.record AS "Record", m.package_id AS "PackageID", s.value AS "Text"
           FROM status_messages m LEFT JOIN status_message_strings s ON s.record = m.record AND s.position = 1"#,
    ),
    view("T_Keyless", r#"SELECT "PackageID", "Point" FROM "T_Target""#),
    view("T_Site", r#"SELECT site_code AS "SiteCode" FROM visible_sites"#),
];

const fn view(name: &'static str, sql: &'static str) -> View {
    View { name, sql, sql_postgres: None }
}

fn berlin() -> Zone {
    Zone::named("Europe/Berlin").unwrap()
}

fn resolved(text: &str) -> Resolved {
    let query = wql::parse(text).unwrap();
    resolve(&SCHEMA, query, &ResolveAt { now: NOW, zone: &berlin() }).unwrap()
}

/// A database with the tables and views, and nothing in it.
async fn prepared(fresh: Fresh) -> Fresh {
    fresh.database.install_views(VIEWS, &SCHEMA).await.unwrap();
    fresh
}

fn options() -> QueryOptions {
    QueryOptions { zone: Arc::new(berlin()), ..QueryOptions::default() }
}

async fn ask(database: &Database, text: &str, sight: Sight) -> Result<Vec<Instance>, QueryFailed> {
    let allowed = Allowed::new(resolved(text), sight);
    database.query("test", allowed, options()).await?.all().await
}

/// Each row as text: values parted by `|`.
async fn rows(database: &Database, text: &str) -> Vec<String> {
    let rows = ask(database, text, Sight::all()).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    rows.iter().map(shown).collect()
}

fn shown(row: &Instance) -> String {
    let values = row.values.iter().flatten().map(|value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Boolean(is_true) => is_true.to_string(),
        Value::DateTime(time) => time.to_string(),
        Value::Object(object) => format!("({})", shown(object)),
        Value::Reference(path) => path.to_string(),
        Value::Array(values) => format!("{values:?}"),
        other => format!("{other:?}"),
    });
    values.collect::<Vec<_>>().join("|")
}

/// Runs statements past the database's own doors, to make any state at all.
async fn run(fresh: &Fresh, statements: &[String]) {
    let mut connection = AnyConnection::connect(&fresh.url).await.unwrap();
    for statement in statements {
        let statement = sqlx::AssertSqlSafe(statement.clone());
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

fn insert_package(id: &str, name: &str, package_type: u32, created: i64) -> String {
    format!(
        "INSERT INTO packages (package_id, name, package_version, manufacturer, language, description,
             source_path, source_flag, priority, is_public, allow_empty, source_site, source_version,
             stored_version, epoch, is_deleting, settings, created_at, package_type)
         VALUES ('{id}', '{name}', '1', '[1,2,300]', '[\"en\",\"DE\"]', 'about {name}', '', 2, 1, 1, 0, 'XYZ', 1,
             1, 1, 0, 1, {created}, {package_type})"
    )
}

fn insert_point(name: &str, number: u32) -> String {
    format!(
        "INSERT INTO distribution_points (name, fingerprint, certificate_expires, enrolled_at, serve_urls, number,
             site_code, nal_path)
         VALUES ('{name}', 'f', 1, 1, '[]', {number}, 'XYZ', '[\"Display=\\\\{name}\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\{name}\\')"
    )
}

fn insert_target(package: &str, point: &str, state: &str, number: u32) -> String {
    format!(
        "INSERT INTO targets (package_id, point, state, wanted_version, serving_version, job, is_redistributing,
             has_given_up, skip_until, attempts, asked_at, bytes_received, settings, number)
         VALUES ('{package}', '{point}', '{state}', 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, {number})"
    )
}

async fn seconds<T>(limit: u64, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(limit), work).await.expect("it ends in time")
}

async fn small(fresh: Fresh) -> Fresh {
    let fresh = prepared(fresh).await;
    let hour = 3_600_000_000_i64;
    let statements = [
        "INSERT INTO site (one, site_code, epoch, ca_fingerprint, root_public_key, created_at) VALUES (1, 'XYZ', 1, 'a', 'b', 1)".to_owned(),
        insert_package("XYZ00001", "7-Zip", 0, NOW.0 - 50 * hour),
        insert_package("XYZ00002", "firefox", 0, NOW.0 - 20 * hour),
        insert_package("XYZ00003", "Firefox_ESR 100%", 0, NOW.0),
        insert_package("XYZ00004", "Größe", 0, -1),
        insert_package("XYZ00005", "boot", 257, 0),
        "UPDATE packages SET last_refresh_at = 1785664800000000, icon = NULL, language = '[]', source_flag = 4
             WHERE package_id = 'XYZ00002'".to_owned(),
        r#"UPDATE packages SET source_path = '[{"class":"T_Note","Text":"x","Day":3}]' WHERE package_id = 'XYZ00001'"#.to_owned(),
        insert_point("DP01", 1),
        insert_point("DP02", 2),
        insert_target("XYZ00001", "DP01", "installed", 1),
        insert_target("XYZ00001", "DP02", "failed", 2),
        insert_target("XYZ00002", "DP02", "waiting", 3),
    ];
    run(&fresh, &statements).await;
    fresh
}

/// Runs `check` on a small SQLite database and, where a server can be started, on PostgreSQL.
async fn on_both<F: AsyncFn(&Fresh)>(name: &str, check: F) {
    check(&small(sqlite().await).await).await;
    if let Some(cluster) = crate::server::Cluster::start() {
        check(&small(cluster.database(name).await).await).await;
    }
}
