//! The connections on which queries run: native ones that can only read.
//!
//! A query runs in a task of its own (until its first rows, within the call), which keeps the connection until
//! the database has really stopped working on it and then gives it back. SQLite asks a progress handler every few
//! thousand steps whether to go on; PostgreSQL is told on a second connection to cancel, and ends
//! by itself when its client has gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use restock_cim::Instance;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{Arguments as _, ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::QueryFailed;
use super::decode::{AnyRow, Decoder};
use super::sql::Bound;
use crate::own_text::own_text;
use crate::{DatabaseError, Engine};

/// Queries that run at once; more wait.
const CONNECTIONS_MAX: usize = 16;
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 200;
/// What each connection keeps of SQLite's file, as the pragma wants it: negative, in KiB. Pages are
/// not looked through when they are read, as the writer does: that doubles the cost of a row.
const CACHE_KIB: &str = "-8192";
/// Steps of SQLite's machine between two looks at whether to stop: well below a millisecond.
const STEPS: i32 = 5_000;
/// Rows of one batch, and rows that SQLite finds ahead: to hand over costs as much as many rows.
const BATCH_ROWS_MAX: usize = 512;
/// A query that gives rows for longer than this gets a task of its own, and its reader the rows.
const SHORT: Duration = Duration::from_millis(3);
/// A batch that is not full goes on when its first row is so old as another comes.
const BATCH_WAIT: Duration = Duration::from_millis(2);
/// Rows between two looks at the clock, when they come without a wait.
const CLOCK_ROWS: usize = 16;
/// Once rows come, the next ones are looked for so long before the reader lets itself be woken: to wake it
/// costs the database's thread more than most rows do.
const LOOK: Duration = Duration::from_micros(60);
/// The longest time between two of these looks: each takes a lock that the database's thread needs to hand
/// over a row.
const LOOK_EVERY: Duration = Duration::from_micros(20);
/// The time between two looks is at most this part of what the query has taken: a short one does not wait.
const LOOK_PART: u32 = 16;
/// Values of rows that were decoded and are not freed yet: to free them takes a lock that SQLite needs for
/// each value of the next row. Most queries end before they are so many.
const SPENT_MAX: usize = 4_096;
/// A query that gives rows for longer than this is looked after in pauses.
const LONG: Duration = Duration::from_millis(20);
/// A long query whose rows come one by one is left alone for so long after each few: to look or to be
/// woken for every row costs both sides more than the row.
const PAUSE: Duration = Duration::from_millis(1);
/// More rows than these in a pause are no trickle: the database must not wait for room.
const TRICKLE_MAX: usize = BATCH_ROWS_MAX / 4;
/// How often running queries look at their deadlines.
const TICK: Duration = Duration::from_millis(25);
/// Ticks without any query after which there are none until the next query.
const TICKS_IDLE_MAX: u32 = 80;
/// Batches that wait for the reader.
const BATCHES_MAX: usize = 2;
/// When the order to cancel is given again.
const CANCEL_AGAIN: Duration = Duration::from_millis(200);
/// How long PostgreSQL may take to stop a statement before its connection is dropped.
const CANCEL_MAX: Duration = Duration::from_secs(5);
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

/// The pool.
pub(crate) struct Connections {
    shared: Arc<Shared>,
    tracker: TaskTracker,
}

struct Shared {
    engine: Engine,
    url: String,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    ticks: Ticks,
}

/// The time of all running queries: one timer for each would cost as much as a short query, since
/// to set the earliest one wakes the thread that waits for sockets.
#[derive(Default)]
struct Ticks {
    tick: Notify,
    are_running: AtomicBool,
}

enum Connection {
    Sqlite(SqliteConnection, Arc<AtomicBool>),
    /// With the number of its server process.
    Postgres(PgConnection, i32),
}

/// Why a run ended.
enum End {
    /// All rows were given.
    Done,
    /// Nobody wants the rows any more.
    Unwanted,
    Failed(QueryFailed),
}

impl Connections {
    pub(crate) fn new(engine: Engine, url: &str) -> Self {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let idle = Mutex::new(Vec::new());
        let shared = Shared { engine, url: url.to_owned(), permits, idle, ticks: Ticks::default() };
        Self { shared: Arc::new(shared), tracker: TaskTracker::new() }
    }

    /// Starts `work`; its rows come in batches.
    pub(crate) async fn start(
        &self,
        work: Work,
    ) -> Result<mpsc::Receiver<Result<Batch, QueryFailed>>, QueryFailed> {
        let began = Instant::now();
        let waiting = Arc::clone(&self.shared.permits).acquire_owned();
        let permit = match tokio::time::timeout(work.deadline, waiting).await {
            Ok(permit) => permit.map_err(|_closed| DatabaseError::Closed(work.name))?,
            Err(_elapsed) => return Err(QueryFailed::Deadline(work.deadline.as_secs())),
        };
        if !self.shared.ticks.are_running.swap(true, Ordering::SeqCst) {
            self.tracker.spawn(Arc::clone(&self.shared).tick());
        }
        let connection = match self.shared.pop() {
            Some(connection) => connection,
            None => self.shared.connect().await?,
        };
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let is_long = Arc::new(Notify::new());
        let reader = Reader {
            name: work.name,
            decoder: work.decoder,
            deadline: work.deadline,
            began,
            sender,
            is_long: Arc::clone(&is_long),
        };
        let running = run(Arc::clone(&self.shared), permit, connection, (work.text, work.values), reader);
        let mut running = Running { run: Some(Box::pin(running)), tracker: &self.tracker };
        // Most queries give few rows and end here, without a task of their own. No timer is set:
        // it would wake the thread that waits for sockets.
        tokio::select! {
            biased;
            () = running.end() => {}
            () = is_long.notified() => {}
        }
        Ok(receiver)
    }

    /// Refuses what comes, waits for what runs and closes all connections.
    pub(crate) async fn close(&self) {
        self.shared.permits.close();
        self.tracker.close();
        self.tracker.wait().await;
        while let Some(connection) = self.shared.pop() {
            let closed = match connection {
                Connection::Sqlite(connection, _) => connection.close().await,
                Connection::Postgres(connection, _) => connection.close().await,
            };
            if let Err(error) = closed {
                tracing::debug!(%error, "a query's connection did not close cleanly");
            }
        }
    }
}

/// A query that has begun. It goes on in a task when this is dropped before its end, be it that it
/// is long or that the caller has gone away: then it stops, in order.
struct Running<'a> {
    run: Option<BoxFuture<'static, ()>>,
    tracker: &'a TaskTracker,
}

impl Running<'_> {
    async fn end(&mut self) {
        if let Some(run) = &mut self.run {
            run.await;
            self.run = None;
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            self.tracker.spawn(run);
        }
    }
}

impl Shared {
    /// Ticks while queries run and a while longer.
    async fn tick(self: Arc<Self>) {
        let are_none = || self.permits.available_permits() == CONNECTIONS_MAX;
        let mut idle = 0;
        loop {
            tokio::time::sleep(TICK).await;
            self.ticks.tick.notify_waiters();
            idle = if are_none() { idle + 1 } else { 0 };
            if idle > TICKS_IDLE_MAX || (idle > 0 && self.permits.is_closed()) {
                self.ticks.are_running.store(false, Ordering::SeqCst);
                // A query that began before the line above relies on these ticks.
                if are_none() || self.ticks.are_running.swap(true, Ordering::SeqCst) {
                    return;
                }
                idle = 0;
            }
        }
    }

    fn pop(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: Connection) {
        if !self.permits.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }

    async fn connect(&self) -> Result<Connection, DatabaseError> {
        let opened = match self.engine {
            Engine::Sqlite => self.connect_sqlite().await,
            Engine::Postgres => self.connect_postgres().await,
        };
        opened
            .map_err(|source| DatabaseError::Statement { operation: "open a connection for queries", source })
    }

    async fn connect_sqlite(&self) -> Result<Connection, sqlx::Error> {
        let options: SqliteConnectOptions = self.url.parse()?;
        let options = options
            .create_if_missing(false)
            .statement_cache_capacity(STATEMENTS_MAX)
            .busy_timeout(Duration::from_secs(10))
            .row_buffer_size(BATCH_ROWS_MAX)
            .pragma("query_only", "ON")
            .pragma("trusted_schema", "OFF")
            .pragma("cache_size", CACHE_KIB)
            .with_regexp()
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        connection.lock_handle().await?.set_progress_handler(STEPS, move || !asked.load(Ordering::Relaxed));
        Ok(Connection::Sqlite(connection, stop))
    }

    async fn connect_postgres(&self) -> Result<Connection, sqlx::Error> {
        let options: PgConnectOptions = self.url.parse()?;
        let options = options
            .statement_cache_capacity(STATEMENTS_MAX)
            .application_name("restock query")
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        let settings = format!(
            "SET default_transaction_read_only = on; SET client_min_messages = warning;
             SET statement_timeout = {}; SET client_connection_check_interval = 1000",
            WHOLE_MAX.as_millis()
        );
        sqlx::raw_sql(own_text(settings)).execute(&mut connection).await?;
        let row = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
        let process = row.try_get(0)?;
        Ok(Connection::Postgres(connection, process))
    }
}

async fn run(
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
    connection: Connection,
    (text, values): (String, Vec<Bound>),
    reader: Reader,
) {
    let (kept, end) = match connection {
        Connection::Sqlite(mut connection, stop) => {
            let rows = sqlx::query_with(own_text(text), sqlite_arguments(values)).fetch(&mut connection);
            let end = reader.read(rows, &shared.ticks.tick).await;
            let mut rests = true;
            if !matches!(end, End::Done) {
                stop.store(true, Ordering::Relaxed);
                // The thread behind the connection answers only when the statement has ended.
                rests = connection.ping().await.is_ok();
                stop.store(false, Ordering::Relaxed);
            }
            (rests.then_some(Connection::Sqlite(connection, stop)), end)
        }
        Connection::Postgres(mut connection, process) => {
            let rows = sqlx::query_with(own_text(text), postgres_arguments(values)).fetch(&mut connection);
            let end = reader.read(rows, &shared.ticks.tick).await;
            if matches!(end, End::Done) {
                (Some(Connection::Postgres(connection, process)), end)
            } else {
                // This connection stays open until the order to cancel was given, so that the
                // number of its process means no other.
                let stopped = async {
                    loop {
                        shared.cancel(process).await;
                        // It answers when the statement has ended. An order that came before the
                        // statement began was in vain.
                        if tokio::time::timeout(CANCEL_AGAIN, connection.ping()).await.is_ok() {
                            break;
                        }
                    }
                };
                if tokio::time::timeout(CANCEL_MAX, stopped).await.is_err() {
                    tracing::warn!(process, "a query that was cancelled still works");
                }
                // It is not used again, since an order might arrive later still.
                drop(connection);
                (None, end)
            }
        }
    };
    if let Some(connection) = kept {
        shared.give_back(connection);
    }
    drop(permit);
    if let End::Failed(error) = end {
        reader.fail(error).await;
    }
}

impl Shared {
    async fn cancel(&self, process: i32) {
        let order = async {
            let mut second = match self.pop() {
                Some(Connection::Postgres(connection, own)) => (connection, own),
                _ => match self.connect_postgres().await? {
                    Connection::Postgres(connection, own) => (connection, own),
                    Connection::Sqlite(..) => return Ok(()),
                },
            };
            sqlx::query("SELECT pg_cancel_backend($1)").bind(process).execute(&mut second.0).await?;
            self.give_back(Connection::Postgres(second.0, second.1));
            Ok::<(), sqlx::Error>(())
        };
        if let Err(error) = order.await {
            tracing::warn!(%error, "a query could not be cancelled; it ends when its client is seen gone");
        }
    }
}

/// Takes the rows of one query and gives them on.
struct Reader {
    name: &'static str,
    decoder: Decoder,
    deadline: Duration,
    began: Instant,
    sender: mpsc::Sender<Result<Batch, QueryFailed>>,
    /// Told when the rows can wait for their reader no longer.
    is_long: Arc<Notify>,
}

impl Reader {
    async fn read<R: AnyRow>(
        &self,
        mut rows: impl Stream<Item = Result<R, sqlx::Error>> + Unpin,
        tick: &Notify,
    ) -> End {
        let gone = self.sender.closed();
        let ticked = tick.notified();
        tokio::pin!(gone, ticked);
        let mut deadline = self.began + self.deadline;
        let mut batch = Vec::new();
        let mut batch_began = self.began;
        // Rows since the last pause, and since when no row is there.
        let mut came = 0;
        let mut none_since = None;
        let mut spent = Spent { rows: Vec::new(), values: 0 };
        loop {
            let next = if came == 0 { None } else { rows.next().now_or_never() };
            let next = match next {
                Some(next) => next,
                None => match wait(&mut none_since, came, self.began) {
                    Wait::Look(pause) => {
                        // No timer is so short. The processor is not given away: on a busy machine
                        // it comes back milliseconds later.
                        let since = Instant::now();
                        while since.elapsed() < pause {
                            std::hint::spin_loop();
                        }
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Wait::Pause => {
                        tokio::time::sleep(PAUSE).await;
                        if Instant::now() >= deadline {
                            return self.too_long();
                        }
                        came = 0;
                        // What came in the pause is there at once.
                        match rows.next().now_or_never() {
                            Some(next) => next,
                            None => continue,
                        }
                    }
                    Wait::Wake => tokio::select! {
                        biased;
                        next = rows.next() => next,
                        () = &mut gone => return End::Unwanted,
                        () = &mut ticked => {
                            if Instant::now() >= deadline {
                                return self.too_long();
                            }
                            ticked.set(tick.notified());
                            continue;
                        }
                    },
                },
            };
            match next {
                None => return self.give(&mut batch, true, &mut deadline).await.unwrap_or(End::Done),
                Some(Err(source)) => {
                    return End::Failed(DatabaseError::Statement { operation: self.name, source }.into());
                }
                Some(Ok(row)) => {
                    match self.decoder.instance(&row) {
                        Ok(instance) => batch.push(instance),
                        Err(error) => return End::Failed(error),
                    }
                    spent.push(row);
                }
            }
            came += 1;
            let is_late = (none_since.take().is_some() || batch.len() % CLOCK_ROWS == 0)
                && batch_began.elapsed() >= BATCH_WAIT;
            if batch.len() >= BATCH_ROWS_MAX || is_late {
                if self.sender.capacity() <= 1 || self.began.elapsed() >= SHORT {
                    self.is_long.notify_one();
                }
                if let Some(end) = self.give(&mut batch, false, &mut deadline).await {
                    return end;
                }
                batch_began = Instant::now();
                if batch_began >= deadline {
                    return self.too_long();
                }
            }
        }
    }

    fn too_long(&self) -> End {
        End::Failed(QueryFailed::Deadline(self.deadline.as_secs()))
    }

    /// Gives the batch on; `Some` when that was the end. Time in which the reader is waited for is
    /// added to the deadline, which is the database's.
    async fn give(&self, batch: &mut Vec<Instance>, is_last: bool, deadline: &mut Instant) -> Option<End> {
        if batch.is_empty() && !is_last {
            return None;
        }
        let batch = Batch { rows: std::mem::take(batch), is_last };
        let batch = match self.sender.try_send(Ok(batch)) {
            Ok(()) => return None,
            Err(TrySendError::Closed(_)) => return Some(End::Unwanted),
            Err(TrySendError::Full(batch)) => batch,
        };
        let waits = Instant::now();
        let patience = self.deadline.min(WHOLE_MAX.saturating_sub(self.began.elapsed()));
        let given = tokio::time::timeout(patience, self.sender.send(batch)).await;
        *deadline += waits.elapsed();
        match given {
            Ok(Ok(())) => None,
            Ok(Err(_gone)) => Some(End::Unwanted),
            Err(_elapsed) => Some(End::Failed(QueryFailed::SlowReader)),
        }
    }

    async fn fail(self, error: QueryFailed) {
        // A reader that takes nothing hears of it when it looks again, or never.
        let told = tokio::time::timeout(self.deadline, self.sender.send(Err(error))).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::debug!(operation = self.name, "nobody waits for why a query failed");
        }
    }
}

/// Rows that were decoded; many are freed at once.
struct Spent<R> {
    rows: Vec<R>,
    values: usize,
}

impl<R: AnyRow> Spent<R> {
    fn push(&mut self, row: R) {
        self.values += row.columns();
        self.rows.push(row);
        if self.values >= SPENT_MAX {
            self.rows.clear();
            self.values = 0;
        }
    }
}

/// How a reader waits for the next row.
enum Wait {
    /// It looks again after this time, once others had their turn.
    Look(Duration),
    /// It sleeps a while.
    Pause,
    /// It is woken by the row.
    Wake,
}

/// How to wait after `came` rows since the last pause, of a query that `began` then. `none_since`: when
/// the last look found none.
fn wait(none_since: &mut Option<Instant>, came: usize, began: Instant) -> Wait {
    if came == 0 {
        return Wait::Wake;
    }
    let now = Instant::now();
    let is_long = now - began >= LONG;
    if is_long && came <= TRICKLE_MAX {
        return Wait::Pause;
    }
    let since = *none_since.get_or_insert(now);
    if !is_long && now - since < LOOK {
        Wait::Look(((now - began) / LOOK_PART).min(LOOK_EVERY))
    } else {
        Wait::Wake
    }
}

fn sqlite_arguments(values: Vec<Bound>) -> SqliteArguments {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Bound::Int(value) => arguments.add(value),
            Bound::Real(value) => arguments.add(value),
            Bound::Text(value) => arguments.add(value),
        }
        .expect("numbers and text can always be bound");
    }
    arguments
}

fn postgres_arguments(values: Vec<Bound>) -> PgArguments {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Bound::Int(value) => arguments.add(value),
            Bound::Real(value) => arguments.add(value),
            Bound::Text(value) => arguments.add(value),
        }
        .expect("numbers and text can always be bound");
    }
    arguments
}
