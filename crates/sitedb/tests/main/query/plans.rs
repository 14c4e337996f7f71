//! Key lookups use an index, whoever asks.

use restock_sitedb::query::{Allowed, Seen, Sight};
use restock_sitedb::{Engine, Views};
use sqlx::{AnyConnection, Connection as _, Row as _};

use super::{SCHEMA, VIEWS, resolved, small};
use crate::server::sqlite;

/// The steps of SQLite's plan, one a line.
async fn plan(url: &str, text: &str, sight: Sight) -> String {
    let views = Views::new(Engine::Sqlite, &SCHEMA, VIEWS).unwrap();
    let statement = Allowed::new(resolved(text), sight).sql(&views, true);
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statement.text));
    let rows = sqlx::raw_sql(explain).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.try_get::<String, _>("detail").unwrap() + "\n").collect()
}

#[tokio::test]
async fn a_key_is_looked_up_in_an_index() {
    let fresh = small(sqlite().await).await;
    let few = Sight { packages: Seen::Scopes(vec!["S1".to_owned()]), ..Sight::nothing() };
    let texts = [
        "SELECT * FROM T_Package WHERE PackageID = 'XYZ00001'",
        "SELECT * FROM T_Content WHERE PackageID = 'XYZ00001'",
        "SELECT p.Name, t.State FROM T_Package p JOIN T_Target t ON t.PackageID = p.PackageID WHERE p.PackageID = 'XYZ00001'",
        "SELECT * FROM T_Package WHERE PackageID IN ('XYZ00001', 'XYZ00002')",
        "SELECT * FROM T_Package WHERE Name LIKE 'fire%'",
    ];
    for text in texts {
        for sight in [Sight::all(), few.clone()] {
            let plan = plan(&fresh.url, text, sight).await;
            let scans = plan.lines().any(|line| {
                line.starts_with("SCAN") && !line.contains("CONSTANT") && !line.contains("SUBQUERY")
            });
            assert!(!scans, "{text}:\n{plan}");
            assert!(plan.contains("USING"), "{text}:\n{plan}");
        }
    }
}

#[tokio::test]
async fn statistics_are_fixed_and_name_indexes_that_exist() {
    let fresh = small(sqlite().await).await;
    let mut connection = AnyConnection::connect(&fresh.url).await.unwrap();
    let missing =
        "SELECT idx FROM sqlite_stat1 WHERE idx NOT IN (SELECT name FROM sqlite_master WHERE type = 'index')";
    let rows = sqlx::query(missing).fetch_all(&mut connection).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
    assert_eq!(names, [""; 0]);
    let rows = sqlx::query("SELECT COUNT(*) FROM sqlite_stat1").fetch_one(&mut connection).await.unwrap();
    assert!(rows.try_get::<i64, _>(0).unwrap() > 5);
}
