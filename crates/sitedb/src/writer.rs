//! How transactions are written: one writer with joined commits on SQLite, parallel serialisable
//! transactions with retries on PostgreSQL.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::AnyConnection;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::database::{TRIES_MAX, Wakes};
use crate::error::{is_conflict, is_disk_failure};
use crate::{DatabaseError, Engine, Tx};

/// Transactions that may wait for the writer; more callers wait outside.
const QUEUE_MAX: usize = 1024;
/// Transactions joined into one commit at most.
const JOINED_MAX: usize = 128;
/// Connections that may write at once on PostgreSQL.
const WRITERS_MAX: usize = 8;

/// The writing side of a database.
pub(crate) enum Writer {
    Single(Mutex<Option<mpsc::Sender<Box<dyn Intent>>>>, watch::Receiver<Option<String>>),
    Shared(Shared),
}

impl Writer {
    pub(crate) async fn transact<T, E, F>(&self, name: &'static str, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Clone + Send + 'static,
    {
        match self {
            Self::Single(sender, stopped) => {
                if let Some(cause) = stopped.borrow().clone() {
                    return Err(DatabaseError::Stopped(cause).into());
                }
                let sender = sender.lock().await.clone().ok_or(DatabaseError::Closed(name))?;
                let (answer, waiting) = oneshot::channel();
                let intent = Change { name, change: Some(change), result: None, answer: Some(answer) };
                sender.send(Box::new(intent)).await.map_err(|_closed| DatabaseError::Closed(name))?;
                waiting.await.unwrap_or_else(|_| Err(DatabaseError::Closed(name).into()))
            }
            Self::Shared(shared) => shared.transact(name, change).await,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Single(sender, _) => drop(sender.lock().await.take()),
            Self::Shared(shared) => shared.close().await,
        }
    }

    pub(crate) async fn stopped(&self) -> String {
        if let Self::Single(_, stopped) = self
            && let Ok(cause) = stopped.clone().wait_for(Option::is_some).await
        {
            return cause.clone().unwrap_or_default();
        }
        std::future::pending().await
    }
}

/// One transaction that waits for the writer.
pub(crate) trait Intent: Send {
    fn name(&self) -> &'static str;
    /// Runs the change; true when its effects are to be kept.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, bool>;
    /// Answers the caller: with the change's own result, or with why it could not be committed.
    fn finish(self: Box<Self>, failure: Option<DatabaseError>);
}

struct Change<T, E, F> {
    name: &'static str,
    change: Option<F>,
    result: Option<Result<T, E>>,
    answer: Option<oneshot::Sender<Result<T, E>>>,
}

impl<T, E, F> Intent for Change<T, E, F>
where
    T: Send,
    E: From<DatabaseError> + Send,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Clone + Send,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Some(change) = self.change.take() else { return false };
            let future = AssertUnwindSafe(async { change(tx).await });
            let result = match future.catch_unwind().await {
                Ok(result) => result,
                Err(_panic) => Err(DatabaseError::Closed(self.name).into()),
            };
            let keeps = result.is_ok();
            self.result = Some(result);
            keeps
        })
    }

    fn finish(self: Box<Self>, failure: Option<DatabaseError>) {
        let Self { name, result, answer, .. } = *self;
        let result = match (failure, result) {
            // An intent that refused keeps its own refusal: it had nothing to commit.
            (Some(failure), Some(Ok(_)) | None) => Err(failure.into()),
            (_, Some(result)) => result,
            (None, None) => Err(DatabaseError::Closed(name).into()),
        };
        if let Some(answer) = answer
            && answer.send(result).is_err()
        {
            tracing::debug!(operation = name, "the caller of a transaction went away before its answer");
        }
    }
}

/// Starts the one writer of a SQLite database.
pub(crate) fn single(connection: AnyConnection, wakes: Arc<Wakes>, tracker: &TaskTracker) -> Writer {
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let (stop, stopped) = watch::channel(None);
    let tx = Tx::new(connection, Engine::Sqlite);
    tracker.spawn(write(tx, queue, wakes, stop));
    Writer::Single(Mutex::new(Some(sender)), stopped)
}

/// Commits what waits, as much as is there at once in one commit, until nobody can send any more.
async fn write(
    mut tx: Tx,
    mut queue: mpsc::Receiver<Box<dyn Intent>>,
    wakes: Arc<Wakes>,
    stop: watch::Sender<Option<String>>,
) {
    while let Some(first) = queue.recv().await {
        if let Some(cause) = stop.borrow().clone() {
            first.finish(Some(DatabaseError::Stopped(cause)));
            continue;
        }
        // Those that came while the last commit was being synced are committed together: waiting
        // for more would delay a lone caller and join nobody.
        let mut batch = vec![first];
        while batch.len() < JOINED_MAX
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        match commit(&mut tx, &mut batch).await {
            Ok(()) => {
                wakes.notify(&std::mem::take(&mut tx.wakes));
                batch.into_iter().for_each(|intent| intent.finish(None));
            }
            Err(error) => {
                tx.wakes.clear();
                if tx.command("ROLLBACK").await.is_err() {
                    tracing::debug!("the failed commit had already been rolled back");
                }
                let cause = error.to_string();
                if is_disk_failure(&error) {
                    tracing::error!(cause, "the database stopped: its disk failed");
                    stop.send_replace(Some(cause.clone()));
                }
                for intent in batch {
                    let operation = intent.name();
                    intent.finish(Some(DatabaseError::Commit { operation, cause: cause.clone() }));
                }
            }
        }
    }
    if let Err(error) = sqlx::Connection::close(tx.connection).await {
        tracing::warn!(%error, "the writer's connection did not close cleanly");
    }
}

/// Runs each intent of `batch` in a savepoint of its own and commits those that want it.
async fn commit(tx: &mut Tx, batch: &mut [Box<dyn Intent>]) -> Result<(), sqlx::Error> {
    tx.wakes.clear();
    tx.command(tx.engine.begin_write()).await?;
    for intent in batch {
        tx.operation = intent.name();
        let wakes_before = tx.wakes.len();
        tx.command("SAVEPOINT intent").await?;
        if intent.run(tx).await {
            tx.command("RELEASE intent").await?;
        } else {
            tx.wakes.truncate(wakes_before);
            tx.command("ROLLBACK TO intent").await?;
            tx.command("RELEASE intent").await?;
        }
    }
    tx.command("COMMIT").await
}

/// The writing side of a PostgreSQL database: each transaction on a connection of its own.
pub(crate) struct Shared {
    url: String,
    idle: Mutex<Vec<AnyConnection>>,
    permits: Semaphore,
    wakes: Arc<Wakes>,
}

pub(crate) fn shared(connection: AnyConnection, url: String, wakes: Arc<Wakes>) -> Writer {
    Writer::Shared(Shared {
        url,
        idle: Mutex::new(vec![connection]),
        permits: Semaphore::new(WRITERS_MAX),
        wakes,
    })
}

impl Shared {
    async fn transact<T, E, F>(&self, name: &'static str, change: F) -> Result<T, E>
    where
        E: From<DatabaseError> + Send,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Clone + Send,
    {
        let _permit = self.permits.acquire().await.map_err(|_closed| DatabaseError::Closed(name))?;
        let idle = self.idle.lock().await.pop();
        let connection = match idle {
            Some(connection) => connection,
            None => Engine::Postgres.connect(&self.url, true).await?,
        };
        let mut tx = Tx::new(connection, Engine::Postgres);
        tx.operation = name;
        for _ in 0..TRIES_MAX {
            tx.wakes.clear();
            let failed = |source| DatabaseError::Statement { operation: name, source };
            tx.command(tx.engine.begin_write()).await.map_err(failed)?;
            let result = change.clone()(&mut tx).await;
            if let Err(refusal) = result {
                tx.command("ROLLBACK").await.map_err(failed)?;
                if std::mem::take(&mut tx.is_conflicted) {
                    continue;
                }
                self.idle.lock().await.push(tx.connection);
                return Err(refusal);
            }
            match tx.command("COMMIT").await {
                Ok(()) => {
                    self.wakes.notify(&tx.wakes);
                    self.idle.lock().await.push(tx.connection);
                    return result;
                }
                Err(error) if is_conflict(&error) => {
                    tx.command("ROLLBACK").await.map_err(failed)?;
                }
                Err(error) => {
                    return Err(DatabaseError::Commit { operation: name, cause: error.to_string() }.into());
                }
            }
        }
        Err(DatabaseError::Busy(name, TRIES_MAX).into())
    }
}

impl Shared {
    async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().await);
        for connection in idle {
            if let Err(error) = sqlx::Connection::close(connection).await {
                tracing::debug!(%error, "a writer's connection did not close cleanly");
            }
        }
    }
}
