//! How transactions are written: one writer per process, which joins those that wait into one
//! commit and, where another process was in the way, runs them again.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use restock_names::Clock;
use sqlx::AnyConnection;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::checkpoint::{Commits, move_pages};
use crate::database::Wakes;
use crate::error::{is_conflict, is_connection_lost};
use crate::{DatabaseError, Engine, StopCause, Tx};

/// Transactions that may wait for the writer; more callers wait outside.
const QUEUE_MAX: usize = 1024;
/// Transactions joined into one commit at most.
const JOINED_MAX: usize = 128;
/// How often joined transactions are run again after a conflict before they are refused as busy.
const TRIES_MAX: u32 = 20;
/// The longest pause before a try, reached by doubling from one millisecond.
const PAUSE_MS_MAX: u64 = 64;

/// The writing side of a database.
pub(crate) struct Writer {
    sender: Mutex<Option<mpsc::Sender<Box<dyn Intent>>>>,
    stopped: watch::Receiver<Option<StopCause>>,
}

impl Writer {
    /// Starts the one writer of this process.
    pub(crate) fn start(
        connection: AnyConnection,
        engine: Engine,
        url: String,
        wakes: Arc<Wakes>,
        clock: Arc<OnceLock<Arc<dyn Clock>>>,
        tracker: &TaskTracker,
    ) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let (stop, stopped) = watch::channel(None);
        let commits = Arc::new(Commits::default());
        let moving = (engine == Engine::Sqlite)
            .then(|| tracker.spawn(move_pages(url.clone(), Arc::clone(&commits), stop.clone())));
        tracker.spawn(write(Tx::new(connection, engine), url, queue, wakes, clock, (stop, commits, moving)));
        Self { sender: Mutex::new(Some(sender)), stopped }
    }

    pub(crate) async fn transact<T, E, F>(&self, name: &'static str, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Clone + Send + 'static,
    {
        if let Some(cause) = self.stopped.borrow().clone() {
            return Err(DatabaseError::Stopped(cause).into());
        }
        let sender = self.sender.lock().await.clone().ok_or(DatabaseError::Closed(name))?;
        let (answer, waiting) = oneshot::channel();
        let intent = Change { name, change, result: None, answer };
        sender.send(Box::new(intent)).await.map_err(|_closed| DatabaseError::Closed(name))?;
        waiting.await.unwrap_or_else(|_| Err(DatabaseError::Closed(name).into()))
    }

    pub(crate) async fn close(&self) {
        drop(self.sender.lock().await.take());
    }

    pub(crate) async fn stopped(&self) -> StopCause {
        let mut stopped = self.stopped.clone();
        let cause = stopped.wait_for(Option::is_some).await.ok().and_then(|cause| cause.clone());
        match cause {
            Some(cause) => cause,
            None => std::future::pending().await,
        }
    }
}

/// One transaction that waits for the writer.
trait Intent: Send {
    fn name(&self) -> &'static str;
    /// Runs the change; true when its effects are to be kept.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, bool>;
    /// Answers the caller: with the change's own result, or with why it could not be committed.
    fn finish(self: Box<Self>, failure: Option<DatabaseError>);
}

struct Change<T, E, F> {
    name: &'static str,
    change: F,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
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
            let change = self.change.clone();
            let future = AssertUnwindSafe(async {
                let answer = change(tx).await?;
                tx.flush_replicas().await?;
                Ok(answer)
            });
            let result = match future.catch_unwind().await {
                Ok(result) => result,
                Err(_panic) => Err(DatabaseError::Closed(self.name).into()),
            };
            let keeps = result.is_ok();
            // What a refused change touched is as it was.
            tx.touched.clear();
            tx.applied.clear();
            tx.noted_now = None;
            tx.reserved = 0..0;
            self.result = Some(result);
            keeps
        })
    }

    fn finish(self: Box<Self>, failure: Option<DatabaseError>) {
        let Self { name, change, result, answer } = *self;
        // A caller that has its answer holds alone whatever it lent to the change.
        drop(change);
        let result = match (failure, result) {
            // A change that refused keeps its own refusal: it had nothing to commit.
            (Some(failure), Some(Ok(_)) | None) => Err(failure.into()),
            (_, Some(result)) => result,
            (None, None) => Err(DatabaseError::Closed(name).into()),
        };
        if answer.send(result).is_err() {
            tracing::debug!(operation = name, "the caller of a transaction went away before its answer");
        }
    }
}

/// Commits what waits, as much as is there at once in one commit, until nobody can send any more.
async fn write(
    mut tx: Tx,
    url: String,
    mut queue: mpsc::Receiver<Box<dyn Intent>>,
    wakes: Arc<Wakes>,
    clock: Arc<OnceLock<Arc<dyn Clock>>>,
    (stop, commits, moving): (watch::Sender<Option<StopCause>>, Arc<Commits>, Option<JoinHandle<()>>),
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
        tx.clock = clock.get().cloned();
        match commit_again(&mut tx, &mut batch).await {
            Ok(()) => {
                commits.committed();
                wakes.notify(&std::mem::take(&mut tx.wakes));
                batch.into_iter().for_each(|intent| intent.finish(None));
            }
            Err(error) => {
                let cause = error.to_string();
                if let Some(stopped) = StopCause::of(&error) {
                    tracing::error!("{stopped}");
                    stop.send_replace(Some(stopped));
                }
                let busy = is_conflict(&error);
                for intent in batch {
                    let operation = intent.name();
                    intent.finish(Some(if busy {
                        DatabaseError::Busy(operation, TRIES_MAX)
                    } else {
                        DatabaseError::Commit { operation, cause: cause.clone() }
                    }));
                }
                if is_connection_lost(&error) {
                    // What was asked meanwhile fails at its own BEGIN until the server is back.
                    match tx.engine.connect(&url, true).await {
                        Ok(connection) => tx = Tx::new(connection, tx.engine),
                        Err(error) => tracing::warn!(%error, "the database cannot be reached"),
                    }
                }
            }
        }
    }
    commits.ended();
    // Connections that close at the same moment would each leave the log to the other.
    if let Some(Err(error)) = futures_util::future::OptionFuture::from(moving).await {
        tracing::warn!(%error, "moving pages from the log ended badly");
    }
    if let Err(error) = sqlx::Connection::close(tx.connection).await {
        tracing::warn!(%error, "the writer's connection did not close cleanly");
    }
}

/// Commits `batch`, again and again while another process is in the way.
async fn commit_again(tx: &mut Tx, batch: &mut [Box<dyn Intent>]) -> Result<(), sqlx::Error> {
    for attempt in 1..=TRIES_MAX {
        let result = commit(tx, batch).await;
        let Err(error) = result else { return Ok(()) };
        tx.wakes.clear();
        if tx.command("ROLLBACK").await.is_err() {
            tracing::debug!("the failed commit had already been rolled back");
        }
        if !is_conflict(&error) || attempt == TRIES_MAX {
            return Err(error);
        }
        // Two processes that met once would meet again if both came back at the same moment.
        let spread = 1 + u64::from(std::process::id()) % 4;
        let pause = (spread << attempt.min(10)).min(PAUSE_MS_MAX * spread);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    Ok(())
}

/// Runs each intent of `batch` in a savepoint of its own and commits those that want it.
async fn commit(tx: &mut Tx, batch: &mut [Box<dyn Intent>]) -> Result<(), sqlx::Error> {
    tx.wakes.clear();
    tx.spoiled = None;
    // Savepoints go with what comes before them: each command is a way to the database and back.
    tx.command(tx.engine.begin_write()).await?;
    for (place, intent) in batch.iter_mut().enumerate() {
        tx.operation = intent.name();
        let wakes_before = tx.wakes.len();
        if place > 0 {
            tx.command("RELEASE intent; SAVEPOINT intent").await?;
        }
        let keeps = intent.run(tx).await;
        if let Some(error) = tx.spoiled.take() {
            return Err(error);
        }
        if !keeps {
            tx.wakes.truncate(wakes_before);
            tx.command("ROLLBACK TO intent").await?;
        }
    }
    // The last savepoint ends with it.
    tx.command("COMMIT").await
}
