//! Views are made again when a text changed, and only then.

use restock_sitedb::View;
use sqlx::{AnyConnection, Connection as _, Row as _};

use super::{SCHEMA, VIEWS, on_both, prepared, rows, run, view};
use crate::server::{Fresh, sqlite};

async fn one_number(fresh: &Fresh, sql: &'static str) -> i64 {
    let mut connection = AnyConnection::connect(&fresh.url).await.unwrap();
    let number = sqlx::query(sql).fetch_one(&mut connection).await.unwrap().try_get(0).unwrap();
    connection.close().await.unwrap();
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_text_replaces_its_view_and_those_that_read_it() {
    on_both("changed_views", async |fresh| {
        assert_eq!(
            rows(&fresh.database, "SELECT Point FROM T_Keyless WHERE PackageID='XYZ00002'").await,
            ["DP02"]
        );
        let mut changed: Vec<View> = VIEWS.to_vec();
        changed.retain(|view| view.name != "T_Site");
        let target = changed.iter_mut().find(|view| view.name == "T_Target").unwrap();
        target.sql = r#"SELECT package_id AS "PackageID", 'any' AS "Point", state AS "State" FROM targets"#;
        fresh.database.install_views(&changed, &SCHEMA).await.unwrap();
        assert_eq!(
            rows(&fresh.database, "SELECT Point FROM T_Keyless WHERE PackageID='XYZ00002'").await,
            ["any"]
        );
        assert_eq!(rows(&fresh.database, "SELECT SiteCode FROM T_Site").await, [""; 0], "no view, no rows");
    })
    .await;
}

#[tokio::test]
async fn unchanged_texts_touch_nothing() {
    let fresh = prepared(sqlite().await).await;
    let before = one_number(&fresh, "SELECT schema_version FROM pragma_schema_version").await;
    fresh.database.install_views(VIEWS, &SCHEMA).await.unwrap();
    assert_eq!(one_number(&fresh, "SELECT schema_version FROM pragma_schema_version").await, before);
    assert_eq!(
        one_number(&fresh, "SELECT COUNT(*) FROM views").await,
        10,
        "each class, and the visible sites"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_cannot_work_leaves_the_old_ones_in_force() {
    on_both("broken_views", async |fresh| {
        for (sql, cause) in [
            (r#"SELECT nothing AS "Name" FROM packages"#, "nothing"),
            (r#"SELECT number AS "Name" FROM migrations"#, "nothing says who may see its rows"),
            (r#"SELECT "Name" FROM "main"."packages""#, "past what its readers may see"),
        ] {
            let mut broken = VIEWS.to_vec();
            broken.push(view("T_Declared", sql));
            let error = fresh.database.install_views(&broken, &SCHEMA).await.unwrap_err().to_string();
            assert!(
                error.starts_with("DATABASE_VIEW: the view T_Declared ") && error.contains(cause),
                "{error}"
            );
            assert_eq!(rows(&fresh.database, "SELECT Number FROM T_Point WHERE Name = 'dp01'").await, ["1"]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_committed_change_is_seen_by_the_next_query() {
    let fresh = super::small(sqlite().await).await;
    for number in 10..40 {
        run(&fresh, &[super::insert_point(&format!("N{number}"), number)]).await;
        let text = format!("SELECT Name FROM T_Point WHERE Number = {number}");
        assert_eq!(rows(&fresh.database, &text).await, [format!("N{number}")]);
    }
}
