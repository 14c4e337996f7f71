//! Deadlines, readers that go away, bounded memory.

use std::time::{Duration, Instant};

use restock_sitedb::query::{Allowed, QueryFailed, QueryOptions, Sight};
use restock_sitedb::{Database, View};
use sqlx::{AnyConnection, Connection as _, Row as _};

use super::{SCHEMA, VIEWS, insert_point, options, resolved, run, seconds, small, view};
use crate::server::{Cluster, Fresh, sqlite};

/// A view that never ends: it counts up to 10^15.
const ENDLESS: View = view(
    "T_Site",
    r#"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000000)
       SELECT CAST(i AS TEXT) AS "SiteCode" FROM n WHERE i % 1000000000000 = 0"#,
);
/// One that gives rows without end.
const ROWS: View = view(
    "T_Site",
    r#"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000000)
       SELECT CAST(i AS TEXT) AS "SiteCode" FROM n"#,
);

async fn with(fresh: Fresh, endless: View) -> Fresh {
    let fresh = small(fresh).await;
    let mut views = VIEWS.to_vec();
    *views.iter_mut().find(|view| view.name == "T_Site").unwrap() = endless;
    fresh.database.install_views(&views, &SCHEMA).await.unwrap();
    fresh
}

fn endless_query() -> Allowed {
    Allowed::new(resolved("SELECT SiteCode FROM T_Site"), Sight::all())
}

fn short() -> QueryOptions {
    QueryOptions { deadline: Duration::from_millis(300), ..options() }
}

async fn deadline_is_kept(database: &Database) {
    #[expect(clippy::disallowed_methods, reason = "the time a real query takes is what is tested")]
    let began = Instant::now();
    let mut rows = database.query("endless", endless_query(), short()).await.unwrap();
    let error = seconds(20, rows.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, QueryFailed::Deadline(_)), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
    assert!(rows.next().await.is_none());
}

/// A caller that goes away before it was even given the rows stops the query as well.
async fn abandoned_calls_free_their_connections(database: &Database) {
    for _ in 0..40 {
        let mut call = Box::pin(database.query("endless", endless_query(), options()));
        // One poll starts it; then the call is dropped.
        let polled = futures_util::poll!(&mut call);
        assert!(polled.is_pending());
    }
}

/// Callers lose patience while the database works; all sixteen connections become free again.
async fn dropped_queries_free_their_connections(database: &Database) {
    for _ in 0..40 {
        let call = database.query("endless", endless_query(), options());
        let answered = tokio::time::timeout(Duration::from_millis(20), call).await;
        assert!(answered.is_err(), "it has no first row");
    }
    let query = Allowed::new(resolved("SELECT Name FROM T_Point"), Sight::all());
    let rows = seconds(25, async { database.query("after", query, options()).await.unwrap().all().await });
    assert_eq!(rows.await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_stops_working_when_the_time_is_over_or_nobody_waits() {
    let fresh = with(sqlite().await, ENDLESS).await;
    deadline_is_kept(&fresh.database).await;
    abandoned_calls_free_their_connections(&fresh.database).await;
    dropped_queries_free_their_connections(&fresh.database).await;
    // Closing waits for every query that still works.
    seconds(20, fresh.database.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_stops_working_when_the_time_is_over_or_nobody_waits() {
    let Some(cluster) = Cluster::start() else { return };
    let fresh = with(cluster.database("stopping").await, ENDLESS).await;
    deadline_is_kept(&fresh.database).await;
    abandoned_calls_free_their_connections(&fresh.database).await;
    dropped_queries_free_their_connections(&fresh.database).await;
    seconds(20, fresh.database.close()).await;
    // The server says so itself: nobody works any more.
    let mut connection = AnyConnection::connect(&fresh.url).await.unwrap();
    let busy =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'restock query' AND state = 'active'";
    // A server under load ends some of them only when it sees that their client has gone.
    seconds(20, async {
        loop {
            let row = sqlx::query(busy).fetch_one(&mut connection).await.unwrap();
            if row.try_get::<i64, _>(0).unwrap() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_end_are_taken_as_they_are_wanted() {
    let fresh = with(sqlite().await, ROWS).await;
    let mut rows = fresh.database.query("rows", endless_query(), options()).await.unwrap();
    for wanted in 1..=1000_u32 {
        let row = seconds(20, rows.next()).await.unwrap().unwrap();
        assert_eq!(row.get("SiteCode").unwrap().as_str(), Some(wanted.to_string().as_str()));
    }
    drop(rows);
    seconds(20, fresh.database.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_given_up() {
    let fresh = with(sqlite().await, ROWS).await;
    let mut rows = fresh.database.query("rows", endless_query(), short()).await.unwrap();
    // Everything buffered comes first, then the reason.
    seconds(20, rows.next()).await.unwrap().unwrap();
    let ended = async {
        let mut sixteen = Vec::new();
        for _ in 0..16 {
            sixteen.push(fresh.database.query("others", endless_query(), short()).await);
        }
        sixteen.len()
    };
    assert_eq!(seconds(30, ended).await, 16, "a connection became free although nobody read");
    let error = seconds(20, async {
        loop {
            if let Err(error) = rows.next().await.unwrap() {
                break error;
            }
        }
    });
    let error = error.await;
    assert!(matches!(error, QueryFailed::SlowReader), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_cut_off_never_look_as_if_they_were_all() {
    let fresh = with(sqlite().await, ROWS).await;
    let mut rows = fresh.database.query("rows", endless_query(), short()).await.unwrap();
    rows.next().await.unwrap().unwrap();
    // Closing waits until the query has given up, and with it the wish to say why.
    seconds(30, fresh.database.close()).await;
    let last = seconds(20, async {
        loop {
            match rows.next().await {
                Some(Ok(_)) => {}
                last => break last,
            }
        }
    });
    assert!(
        matches!(last.await, Some(Err(QueryFailed::SlowReader))),
        "the last thing that comes is a failure"
    );
    assert!(rows.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_does_not_keep_others_from_writing() {
    let fresh = with(sqlite().await, ROWS).await;
    let mut rows = fresh.database.query("rows", endless_query(), options()).await.unwrap();
    rows.next().await.unwrap().unwrap();
    run(&fresh, &[insert_point("DP99", 99)]).await;
    let query = Allowed::new(resolved("SELECT Name FROM T_Point WHERE Number = 99"), Sight::all());
    assert_eq!(fresh.database.query("q", query, options()).await.unwrap().all().await.unwrap().len(), 1);
}
