//! What was committed moves from SQLite's log into its file: between the commits, not in one of them.
//!
//! A commit that did it would take many times as long as its neighbours, and one in twenty did:
//! a refresh request changes some sixty pages, and SQLite by itself moves them at every thousand. Here a
//! connection of its own does it once the writer rests, or when the log has become long.
//! [`crate::engine`] lets the writer do it only when that is not enough.
//!
//! What it does not do: it decides nothing about durability. A commit is in the log and synced before
//! its caller hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{AnyConnection, Row as _};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{Engine, StopCause};

/// The writer rests when it has committed nothing for so long.
const QUIET: Duration = Duration::from_millis(250);
/// Pages in the log that are worth moving while the writer rests: 4 MB.
const PAGES_MIN: i64 = 1_000;
/// Pages in the log that are moved while it writes: as much as the log's file keeps of its size.
const PAGES_MAX: i64 = 16_000;

/// What the writer tells: that it committed, and when it has ended.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    count: AtomicU64,
    came: Notify,
    end: CancellationToken,
}

impl Commits {
    /// Something was committed.
    pub(crate) fn committed(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.came.notify_one();
    }

    /// Nothing will be committed any more.
    pub(crate) fn ended(&self) {
        self.end.cancel();
    }
}

/// Moves pages until the writer has ended. A failed disk stops the database.
pub(crate) async fn move_pages(url: String, commits: Arc<Commits>, stop: watch::Sender<Option<StopCause>>) {
    let mut connection = None;
    let moving = async {
        loop {
            commits.came.notified().await;
            loop {
                let before = commits.count.load(Ordering::Relaxed);
                tokio::time::sleep(QUIET).await;
                let rests = commits.count.load(Ordering::Relaxed) == before;
                let worth = if rests { PAGES_MIN } else { PAGES_MAX };
                if let Err(error) = move_if(&mut connection, &url, worth).await {
                    if let Some(cause) = StopCause::of(&error) {
                        tracing::error!("{cause} (while pages were moved from the log)");
                        stop.send_replace(Some(cause));
                        return;
                    }
                    tracing::warn!(%error, "pages stay in the database's log for a while");
                    connection = None;
                }
                if rests {
                    break;
                }
            }
        }
    };
    // A statement that is under way when the writer ends goes on in its connection's own thread.
    commits.end.run_until_cancelled(moving).await;
    if let Some(connection) = connection
        && let Err(error) = sqlx::Connection::close(connection).await
    {
        tracing::debug!(%error, "the connection that moves pages did not close cleanly");
    }
}

/// Moves the pages of the log when at least `worth` of them wait.
async fn move_if(connection: &mut Option<AnyConnection>, url: &str, worth: i64) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => {
            let opened = Engine::Sqlite.connect(url, true).await;
            connection.insert(opened.map_err(|error| sqlx::Error::Configuration(error.into()))?)
        }
    };
    // Moves nothing and says how many pages are in the log, and how many of these were moved.
    let state = sqlx::query("PRAGMA wal_checkpoint(NOOP)").fetch_one(&mut *connection).await?;
    let waiting = state.try_get::<i64, _>(1)? - state.try_get::<i64, _>(2)?;
    if waiting >= worth {
        // Waits for no reader and no writer, and keeps none waiting.
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(connection).await?;
    }
    Ok(())
}
