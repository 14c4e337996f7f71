//! The connections on which queries run: ones of their own, that can only read.
//!
//! What both engines share is here: how many queries run at once ([`Connections`]), what one is to do
//! ([`Work`]), and how its rows come back ([`Incoming`], [`Outgoing`]). `sqlite` runs most queries to their end
//! on the task of whoever asks and the others on a thread of their own; `postgres` runs each in a task.
//!
//! What it does not do: it writes no SQL and decodes no row.

mod failure;
mod postgres;
mod regexp;
mod sqlite;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restock_cim::Instance;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::postgres::Postgres;
use self::sqlite::Sqlite;
use super::QueryFailed;
use super::decode::Decoder;
use super::sql::Bound;
use crate::{DatabaseError, Engine};

/// Queries that run at once; more wait.
const CONNECTIONS_MAX: usize = 16;
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 200;
/// Rows of the first batch, for which somebody waits.
const FIRST_ROWS: usize = 32;
/// Rows of the batches that follow: to hand one over costs as much as many rows.
const BATCH_ROWS_MAX: usize = 512;
/// A batch that is not full goes on when it has been gathered for so long and another row comes.
const BATCH_WAIT: Duration = Duration::from_millis(2);
/// Batches that wait for the reader.
const BATCHES_MAX: usize = 2;
/// However slowly the rows are taken, nothing runs longer than this.
const WHOLE_MAX: Duration = Duration::from_secs(600);

/// What a connection is to do.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) values: Vec<Bound>,
    pub(crate) decoder: Decoder,
    pub(crate) deadline: Duration,
}

/// Rows that were read together. Rows that end without a last batch were cut off: whoever failed
/// could not say so, because the reader took nothing.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<Instance>,
    pub(crate) is_last: bool,
}

type Given = Result<Batch, QueryFailed>;
type Sender = mpsc::Sender<Given>;

/// The batches of a query that has begun. Dropping it stops the query.
#[derive(Debug)]
pub(crate) struct Incoming {
    first: Option<Given>,
    /// `None` when the first is all there is.
    rest: Option<mpsc::Receiver<Given>>,
}

impl Incoming {
    /// All of a query that has ended.
    fn whole(all: Given) -> Self {
        Self { first: Some(all), rest: None }
    }

    /// What comes by `rest`, once the first of it is there.
    async fn begun(mut rest: mpsc::Receiver<Given>) -> Self {
        Self { first: rest.recv().await, rest: Some(rest) }
    }

    /// The next batch; `None` after the last, and where the rows were cut off.
    pub(crate) async fn next(&mut self) -> Option<Given> {
        match (self.first.take(), &mut self.rest) {
            (Some(first), _) => Some(first),
            (None, Some(rest)) => rest.recv().await,
            (None, None) => None,
        }
    }
}

/// The pool.
pub(crate) struct Connections {
    permits: Arc<Semaphore>,
    tracker: TaskTracker,
    pool: Pool,
}

enum Pool {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Connections {
    pub(crate) fn new(engine: Engine, url: &str) -> Self {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let pool = match engine {
            Engine::Sqlite => Pool::Sqlite(Arc::new(Sqlite::new(url, &permits))),
            Engine::Postgres => Pool::Postgres(Arc::new(Postgres::new(url, &permits))),
        };
        Self { permits, tracker: TaskTracker::new(), pool }
    }

    /// Starts `work` and waits for its first rows. What fails after the start comes among them.
    pub(crate) async fn start(&self, work: Work) -> Result<Incoming, QueryFailed> {
        let began = Instant::now();
        // Whoever closes waits also for what runs on the caller's task.
        let _runs = self.tracker.token();
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_none) => self.permit(&work).await?,
        };
        let run = Run { work, began, _permit: permit };
        let incoming = match &self.pool {
            Pool::Sqlite(pool) => pool.start(run, &self.tracker).await?,
            Pool::Postgres(pool) => pool.start(run, &self.tracker).await?,
        };
        Ok(incoming)
    }

    /// Waits until another query has ended.
    async fn permit(&self, work: &Work) -> Result<OwnedSemaphorePermit, QueryFailed> {
        let waiting = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(work.deadline, waiting).await {
            Ok(permit) => Ok(permit.map_err(|_closed| DatabaseError::Closed(work.name))?),
            Err(_elapsed) => Err(QueryFailed::Deadline(work.deadline.as_secs())),
        }
    }

    /// Refuses what comes, waits for what runs and closes all connections.
    pub(crate) async fn close(&self) {
        self.permits.close();
        self.tracker.close();
        self.tracker.wait().await;
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

/// Work that may run, and since when somebody waits for it.
struct Run {
    work: Work,
    began: Instant,
    _permit: OwnedSemaphorePermit,
}

/// Connections without work; the last one to rest works first.
struct Idle<C> {
    connections: Mutex<Vec<C>>,
    permits: Arc<Semaphore>,
}

impl<C> Idle<C> {
    fn new(permits: &Arc<Semaphore>) -> Self {
        Self { connections: Mutex::new(Vec::new()), permits: Arc::clone(permits) }
    }

    fn pop(&self) -> Option<C> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: C) {
        if !self.permits.is_closed() {
            self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

/// Why a run ended before its last row was given.
enum End {
    /// Nobody wants the rows any more.
    Unwanted,
    Failed(QueryFailed),
}

/// When the database must have ended: later by the time in which the reader was waited for.
#[derive(Clone)]
struct Deadline(Arc<Mutex<Instant>>);

impl Deadline {
    fn get(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.get()
    }

    fn add(&self, waited: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += waited;
    }
}

/// Gives the rows of one run on in batches.
struct Outgoing {
    sender: Sender,
    name: &'static str,
    began: Instant,
    /// What the work may take.
    most: Duration,
    deadline: Deadline,
    batch: Vec<Instance>,
    batch_began: Instant,
    batch_rows_max: usize,
}

impl Outgoing {
    fn new(run: &Run, sender: Sender) -> Self {
        Self {
            sender,
            name: run.work.name,
            began: run.began,
            most: run.work.deadline,
            deadline: Deadline(Arc::new(Mutex::new(run.began + run.work.deadline))),
            batch: Vec::new(),
            batch_began: run.began,
            batch_rows_max: FIRST_ROWS,
        }
    }

    /// Adds a row; true when the batch is to be given on.
    fn add(&mut self, row: Instance) -> bool {
        self.batch.push(row);
        self.batch.len() >= self.batch_rows_max || self.batch_began.elapsed() >= BATCH_WAIT
    }

    /// Gives the batch on and waits for room. With `is_last` it was the last one.
    async fn give(&mut self, is_last: bool) -> Result<(), End> {
        let batch = Batch { rows: std::mem::take(&mut self.batch), is_last };
        match self.sender.try_send(Ok(batch)) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => return Err(End::Unwanted),
            Err(TrySendError::Full(batch)) => {
                let waits = Instant::now();
                let patience = self.most.min(WHOLE_MAX.saturating_sub(self.began.elapsed()));
                let given = tokio::time::timeout(patience, self.sender.send(batch)).await;
                self.deadline.add(waits.elapsed());
                match given {
                    Ok(given) => given.map_err(|_gone| End::Unwanted)?,
                    Err(_elapsed) => return Err(End::Failed(QueryFailed::SlowReader)),
                }
            }
        }
        self.batch_began = Instant::now();
        self.batch_rows_max = BATCH_ROWS_MAX;
        if !is_last && self.batch_began >= self.deadline.get() {
            return Err(self.too_long());
        }
        Ok(())
    }

    fn too_long(&self) -> End {
        End::Failed(QueryFailed::Deadline(self.most.as_secs()))
    }

    /// Says why there are no more rows. A reader that takes nothing hears of it when it looks again, or
    /// never.
    async fn end(self, end: End) {
        let End::Failed(error) = end else { return };
        let told = tokio::time::timeout(self.most, self.sender.send(Err(error))).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::debug!(operation = self.name, "nobody waits for why a query failed");
        }
    }
}
