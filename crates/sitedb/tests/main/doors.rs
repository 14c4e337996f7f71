//! What `transact` and `read` promise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use restock_names::{Digest, Timestamp};
use restock_sitedb::source_root::SourceRoot;
use restock_sitedb::{Database, DatabaseError, StopCause, Wake};

use crate::server::{Cluster, Fresh, sqlite};

const NOW: Timestamp = Timestamp(1_000);

fn root(name: &str) -> SourceRoot {
    SourceRoot {
        name: name.to_owned(),
        folder: format!("/{name}"),
        aliases: vec![],
        scopes: vec![],
        created_at: NOW,
    }
}

async fn add(database: &Database, name: String) -> Result<bool, DatabaseError> {
    database
        .transact("add", move |tx| Box::pin(async move { tx.insert_source_root(&root(&name)).await }))
        .await
}

async fn names(database: &Database) -> Vec<String> {
    let roots: Result<Vec<SourceRoot>, DatabaseError> =
        database.read("names", |tx| Box::pin(async move { tx.source_roots().await })).await;
    roots.unwrap().into_iter().map(|root| root.name).collect()
}

#[derive(Debug)]
enum Stop {
    Asked,
    Database(#[expect(dead_code, reason = "shown by unwrap")] DatabaseError),
}

impl From<DatabaseError> for Stop {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// Every promise, on one fresh database.
async fn check(fresh: &Fresh) {
    let database = &fresh.database;
    what_was_committed_is_seen_by_the_next_reader(database).await;
    a_refused_change_leaves_nothing_and_spoils_no_other(database).await;
    listeners_are_woken_by_commits_only(database).await;
    concurrent_changes_all_count(database).await;
    a_panic_in_a_change_is_not_the_end(database).await;
}

async fn what_was_committed_is_seen_by_the_next_reader(database: &Database) {
    for i in 0..50 {
        assert!(add(database, format!("seen{i}")).await.unwrap());
        assert!(names(database).await.contains(&format!("seen{i}")));
        assert!(!add(database, format!("seen{i}")).await.unwrap(), "the name is taken");
    }
}

async fn a_refused_change_leaves_nothing_and_spoils_no_other(database: &Database) {
    let refused = database.transact("refused", |tx| {
        Box::pin(async move {
            tx.insert_source_root(&root("refused")).await?;
            Err::<(), Stop>(Stop::Asked)
        })
    });
    let (refused, kept) = tokio::join!(refused, add(database, "kept".to_owned()));
    assert!(matches!(refused, Err(Stop::Asked)));
    assert!(kept.unwrap());
    let names = names(database).await;
    assert!(names.contains(&"kept".to_owned()) && !names.contains(&"refused".to_owned()));
}

async fn listeners_are_woken_by_commits_only(database: &Database) {
    let mut listener = database.listen(Wake::Refresh);
    let refused: Result<(), Stop> = database
        .transact("wake", |tx| {
            Box::pin(async move {
                tx.wake(Wake::Refresh);
                Err(Stop::Asked)
            })
        })
        .await;
    assert!(refused.is_err());
    assert!(tokio::time::timeout(Duration::from_millis(20), listener.woken()).await.is_err());
    let woken: Result<(), Stop> = database
        .transact("wake", |tx| {
            Box::pin(async move {
                tx.wake(Wake::Refresh);
                Ok(())
            })
        })
        .await;
    woken.unwrap();
    listener.woken().await;
}

async fn concurrent_changes_all_count(database: &Database) {
    let numbers = (0..200)
        .map(|_| database.transact("number", |tx| Box::pin(async move { tx.next_package_number().await })));
    let mut numbers: Vec<u64> =
        futures_util::future::join_all(numbers).await.into_iter().map(Result::unwrap).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<u64>>());
}

async fn a_panic_in_a_change_is_not_the_end(database: &Database) {
    if database.engine() == restock_sitedb::Engine::Sqlite {
        let panicked: Result<(), DatabaseError> = database
            .transact("panics", |tx| {
                Box::pin(async move {
                    tx.insert_source_root(&root("panicked")).await?;
                    panic!("this panic is part of the test");
                })
            })
            .await;
        assert!(matches!(panicked, Err(DatabaseError::Closed("panics"))));
    }
    assert!(add(database, "after".to_owned()).await.unwrap());
    assert!(!names(database).await.contains(&"panicked".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_promises_of_both_doors() {
    check(&sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_promises_of_both_doors() {
    let Some(cluster) = Cluster::start() else { return };
    let fresh = cluster.database("doors").await;
    check(&fresh).await;

    // Two processes on one database: conflicts are run again, nothing is counted twice.
    let other = Database::open(&fresh.url).await.unwrap();
    let numbers = (0..40).map(|i| {
        let database = if i % 2 == 0 { &fresh.database } else { &other };
        database.transact("number", |tx| Box::pin(async move { tx.next_package_number().await }))
    });
    let mut numbers: Vec<u64> =
        futures_util::future::join_all(numbers).await.into_iter().map(Result::unwrap).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (201..=240).collect::<Vec<u64>>());
    other.close().await;
    fresh.database.close().await;
}

#[tokio::test]
async fn a_change_whose_caller_went_away_is_committed_all_the_same() {
    let fresh = sqlite().await;
    let ran = Arc::new(AtomicU32::new(0));
    for i in 0..20 {
        let counter = Arc::clone(&ran);
        let change = fresh.database.transact("leaves", move |tx| {
            Box::pin(async move {
                tx.insert_source_root(&root(&format!("left{i}"))).await?;
                counter.fetch_add(1, Ordering::SeqCst);
                Ok::<(), DatabaseError>(())
            })
        });
        // The caller stops waiting as soon as it is asked to wait.
        let mut change = Box::pin(change);
        assert!(futures_util::poll!(change.as_mut()).is_pending());
        drop(change);
    }
    assert!(add(&fresh.database, "last".to_owned()).await.unwrap());
    assert_eq!(ran.load(Ordering::SeqCst), 20);
    assert_eq!(names(&fresh.database).await.len(), 21);
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_new_start() {
    let fresh = sqlite().await;
    assert!(add(&fresh.database, "first".to_owned()).await.unwrap());
    // The old handle is not closed: a killed process closes nothing either.
    let again = Database::open(&fresh.url).await.unwrap();
    assert_eq!(names(&again).await, ["first"]);
    assert!(add(&again, "second".to_owned()).await.unwrap());
    assert_eq!(names(&fresh.database).await, ["first", "second"]);
}

#[tokio::test]
async fn a_closed_database_refuses_and_says_so() {
    let fresh = sqlite().await;
    fresh.database.close().await;
    let refused = add(&fresh.database, "late".to_owned()).await.unwrap_err();
    assert!(refused.to_string().starts_with("DATABASE_CLOSED: "), "{refused}");
}

#[tokio::test]
async fn a_reader_sees_one_state_while_others_write() {
    let fresh = sqlite().await;
    let writer = fresh.database.clone();
    let counts: Result<(usize, usize), DatabaseError> = fresh
        .database
        .read("twice", move |tx| {
            Box::pin(async move {
                let before = tx.source_roots().await?.len();
                add(&writer, "meanwhile".to_owned()).await?;
                Ok((before, tx.source_roots().await?.len()))
            })
        })
        .await;
    assert_eq!(counts.unwrap(), (0, 0));
    assert_eq!(names(&fresh.database).await, ["meanwhile"]);
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let fresh = sqlite().await;
    let token = restock_sitedb::token::Token {
        hash: Digest([1; 32]),
        kind: "dp".to_owned(),
        name: "DP01".to_owned(),
        created_at: NOW,
        expires_at: NOW,
        used_at: None,
        used_by: None,
    };
    let written: Result<(), DatabaseError> =
        fresh.database.read("writes", move |tx| Box::pin(async move { tx.insert_token(&token).await })).await;
    assert!(written.is_err());
}

/// 6 MB are more pages than the writer leaves in the log while it rests, and fewer than it moves itself.
#[tokio::test]
async fn what_was_committed_moves_to_the_file_while_the_writer_rests() {
    const BYTES: u64 = 6_000_000;
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("site.db");
    let database = Database::open_file(&path).await.unwrap();
    let length = || std::fs::metadata(&path).unwrap().len();
    assert!(length() < BYTES, "{}", length());
    let large = SourceRoot { folder: "x".repeat(6_000_000), ..root("large") };
    let added: Result<bool, DatabaseError> = database
        .transact("add", move |tx| Box::pin(async move { tx.insert_source_root(&large).await }))
        .await;
    assert!(added.unwrap());
    let moved = async {
        while length() < BYTES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), moved).await.expect("the pages stayed in the log");
    assert_eq!(names(&database).await, ["large"]);
    database.close().await;
    assert!(!folder.path().join("site.db-wal").exists(), "all connections were closed");
}

#[tokio::test]
async fn a_database_of_a_later_release_is_refused() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("site.db");
    Database::open_file(&path).await.unwrap().close().await;
    let later = std::process::Command::new("python3")
        .args(["-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(\"INSERT INTO migrations VALUES (99, 'later')\"); c.commit()"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(later.success());
    let refused = Database::open_file(&path).await.unwrap_err();
    assert!(refused.to_string().starts_with("DB_TOO_NEW: "), "{refused}");
}

/// Fills the last pages of a database file, one in `share` of all, with what is no page.
fn damage_pages(path: &std::path::Path, share: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let pages = bytes.len() / 4096;
    for page in bytes.chunks_mut(4096).skip(pages - pages / share) {
        page.fill(0xa5);
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_page_that_is_met_after_the_start_stops_the_database_with_its_code() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("site.db");
    let database = Database::open_file(&path).await.unwrap();
    for i in 0..500 {
        assert!(add(&database, format!("name{i}")).await.unwrap());
    }
    database.close().await;
    // The rows came last; what the start reads stands before them.
    damage_pages(&path, 20);
    // It was closed in order, so nothing is checked at the start.
    let database = Database::open_file(&path).await.unwrap();
    let met = add(&database, "one more".to_owned()).await.unwrap_err().to_string();
    assert!(met.starts_with("DB_CORRUPT: "), "{met}");
    assert!(matches!(database.stopped().await, StopCause::Damaged(_)));
    let refused = add(&database, "another".to_owned()).await.unwrap_err().to_string();
    assert!(refused.starts_with("DB_CORRUPT: "), "{refused}");
}

#[tokio::test]
async fn a_database_that_was_damaged_while_open_is_refused_at_start() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("site.db");
    let database = Database::open_file(&path).await.unwrap();
    for i in 0..500 {
        assert!(add(&database, format!("name{i}")).await.unwrap());
    }
    database.close().await;
    let database = Database::open_file(&path).await.unwrap();
    assert!(add(&database, "unclean".to_owned()).await.unwrap());
    // The handle stays, as that of a killed process would: the log is not empty.
    damage_pages(&path, 2);
    let refused = Database::open_file(&path).await.unwrap_err().to_string();
    assert!(refused.starts_with("DB_CORRUPT: ") || refused.starts_with("DATABASE_OPEN: "), "{refused}");
    drop(database);
}
