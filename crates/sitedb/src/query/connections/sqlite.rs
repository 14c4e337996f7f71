//! SQLite's half: most queries end on the task of whoever asks.
//!
//! SQLite is a library: a query of a few rows takes some microseconds, less than to wake a thread. So each
//! begins on the caller's task, for [`INLINE_MAX`] at most. One that takes longer is interrupted and begins
//! again on a thread that may block, which hands its rows over in batches; what was asked in the same words
//! begins there the next time. SQLite asks every few thousand steps of its machine whether to go on.
//!
//! What it does not do: it never writes. Everything else that uses the database does so by `sqlx`.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restock_cim::Instance;
use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, OpenFlags, Statement};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::failure::failed;
use super::{
    BATCHES_MAX, Batch, End, Given, Idle, Incoming, Outgoing, Run, STATEMENTS_MAX, Sender, Work, regexp,
};
use crate::DatabaseError;
use crate::query::sql::Bound;

/// What each connection keeps of the file, as the pragma wants it: negative, in KiB. Pages are not looked
/// through when they are read, as the writer does: that doubles the cost of a row.
const CACHE_KIB: i32 = -8192;
/// How long a query may keep the thread of its caller, which other tasks want too.
const INLINE_MAX: Duration = Duration::from_millis(1);
/// Rows that a query may give there.
const INLINE_ROWS_MAX: usize = 2_048;
/// Rows, which may be large, between two looks at the clock there.
const INLINE_ROWS_LOOK: usize = 16;
/// Steps of SQLite's machine between two looks at the clock there.
const INLINE_STEPS: i32 = 1_000;
/// Steps between two looks at whether to stop, on a thread of its own: well below a millisecond.
const STEPS: i32 = 5_000;
/// How long a query there waits for a lock. On the caller's task it does not wait.
const BUSY_MAX: Duration = Duration::from_secs(10);
/// Statements that are known to take long. When they are more, all are forgotten.
const LONG_MAX: usize = 1_000;

/// The connections to a file.
pub(super) struct Sqlite {
    url: String,
    idle: Idle<Connection>,
    /// Hashes of the texts of statements that took long the last time.
    long: Mutex<HashSet<u64>>,
}

impl Sqlite {
    pub(super) fn new(url: &str, permits: &Arc<Semaphore>) -> Self {
        Self { url: url.to_owned(), idle: Idle::new(permits), long: Mutex::default() }
    }

    /// Runs to the end, or as long as it may, and begins again on a thread of its own.
    pub(super) async fn start(
        self: &Arc<Self>,
        run: Run,
        tracker: &TaskTracker,
    ) -> Result<Incoming, DatabaseError> {
        let connection = match self.idle.pop() {
            Some(connection) => connection,
            None => {
                let pool = Arc::clone(self);
                let opened = tracker.spawn_blocking(move || pool.open());
                opened.await.map_err(|_panicked| DatabaseError::Closed(run.work.name))??
            }
        };
        if !self.is_long(&run.work.text)
            && let Some(all) = run_inline(&connection, &run.work)
        {
            self.idle.give_back(connection);
            return Ok(Incoming::whole(all));
        }
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let pool = Arc::clone(self);
        tracker.spawn_blocking(move || pool.run(run, connection, sender));
        Ok(Incoming::begun(receiver).await)
    }

    pub(super) async fn close(&self) {
        let connections: Vec<_> = std::iter::from_fn(|| self.idle.pop()).collect();
        let closed = tokio::task::spawn_blocking(move || drop(connections));
        if closed.await.is_err() {
            tracing::debug!("the connections of queries did not close cleanly");
        }
    }

    fn open(&self) -> Result<Connection, DatabaseError> {
        let operation = "open a connection for queries";
        let options: sqlx::sqlite::SqliteConnectOptions =
            self.url.parse().map_err(|source| DatabaseError::Statement { operation, source })?;
        let file = options.get_filename();
        connect(file).map_err(|error| failed(&file.display().to_string(), operation, error))
    }

    /// Runs on a thread that may block.
    fn run(&self, run: Run, connection: Connection, sender: Sender) {
        let runtime = Handle::current();
        let began = Instant::now();
        let mut outgoing = Outgoing::new(&run, sender);
        let ran = run_whole(&connection, &run.work, &mut outgoing, &runtime);
        self.set_long(&run.work.text, ran.is_err() || began.elapsed() >= INLINE_MAX);
        self.idle.give_back(connection);
        drop(run);
        if let Err(end) = ran {
            runtime.block_on(outgoing.end(end));
        }
    }

    fn is_long(&self, text: &str) -> bool {
        let long = self.long.lock().unwrap_or_else(PoisonError::into_inner);
        !long.is_empty() && long.contains(&hash(text))
    }

    fn set_long(&self, text: &str, is_long: bool) {
        let hash = hash(text);
        let mut long = self.long.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_long {
            long.remove(&hash);
        } else if !long.contains(&hash) {
            if long.len() >= LONG_MAX {
                long.clear();
            }
            long.insert(hash);
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn connect(file: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    regexp::register(&connection)?;
    // Reads the tables' and views' definitions, which takes some milliseconds, here and not in a query.
    connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_row| Ok(()))?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// All rows of a query that ends soon enough, or why it failed; `None` when it must run on a thread of its own.
fn run_inline(connection: &Connection, work: &Work) -> Option<Given> {
    let until = Instant::now() + INLINE_MAX;
    let mut rows = Vec::with_capacity(INLINE_ROWS_LOOK);
    let take = |row: Instance| {
        rows.push(row);
        let is_over =
            rows.len() >= INLINE_ROWS_MAX || (rows.len() % INLINE_ROWS_LOOK == 0 && Instant::now() >= until);
        if is_over { Err(End::Unwanted) } else { Ok(()) }
    };
    let watched = watch(connection, INLINE_STEPS, Duration::ZERO, move || Instant::now() >= until);
    match watched.map_err(Stop::Sqlite).and_then(|()| each_row(connection, work, take)) {
        Ok(()) => Some(Ok(Batch { rows, is_last: true })),
        Err(Stop::Taker(End::Failed(error))) => Some(Err(error)),
        Err(Stop::Taker(End::Unwanted)) => None,
        Err(Stop::Sqlite(error)) => match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy) => None,
            _ => Some(Err(failed(connection.path().unwrap_or_default(), work.name, error).into())),
        },
    }
}

/// Gives all rows on, however long that takes within its limits.
fn run_whole(
    connection: &Connection,
    work: &Work,
    outgoing: &mut Outgoing,
    runtime: &Handle,
) -> Result<(), End> {
    let (sender, deadline) = (outgoing.sender.clone(), outgoing.deadline.clone());
    let watched = watch(connection, STEPS, BUSY_MAX, move || sender.is_closed() || deadline.is_over());
    let take = |row| match outgoing.add(row) {
        true => runtime.block_on(outgoing.give(false)),
        false => Ok(()),
    };
    let ran = watched.map_err(Stop::Sqlite).and_then(|()| each_row(connection, work, take));
    // The last sender but one must go: the rows end with the last of them.
    let unwatched = watch(connection, STEPS, Duration::ZERO, || false);
    match ran.and(unwatched.map_err(Stop::Sqlite)) {
        Ok(()) => runtime.block_on(outgoing.give(true)),
        Err(Stop::Taker(end)) => Err(end),
        Err(Stop::Sqlite(error)) => Err(match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) if outgoing.sender.is_closed() => End::Unwanted,
            Some(ErrorCode::OperationInterrupted) => outgoing.too_long(),
            _ => End::Failed(failed(connection.path().unwrap_or_default(), work.name, error).into()),
        }),
    }
}

/// Why a statement did not run to its end.
enum Stop {
    Sqlite(rusqlite::Error),
    /// Whoever takes the rows, or who decodes them.
    Taker(End),
}

fn each_row(
    connection: &Connection,
    work: &Work,
    mut take: impl FnMut(Instance) -> Result<(), End>,
) -> Result<(), Stop> {
    let mut statement = connection.prepare_cached(&work.text).map_err(Stop::Sqlite)?;
    bind(&mut statement, &work.values).map_err(Stop::Sqlite)?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(Stop::Sqlite)? {
        let instance = work.decoder.instance(row).map_err(|error| Stop::Taker(End::Failed(error)))?;
        take(instance).map_err(Stop::Taker)?;
    }
    Ok(())
}

/// Binds each value to its `$1`, `$2`, …, which SQLite takes for names and numbers as they come.
fn bind(statement: &mut Statement<'_>, values: &[Bound]) -> Result<(), rusqlite::Error> {
    for place in 1..=statement.parameter_count() {
        let name = statement.parameter_name(place).and_then(|name| name.strip_prefix('$'));
        let number = name.and_then(|number| number.parse::<usize>().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?));
        match value.expect("a statement has a value for each of its places") {
            Bound::Int(value) => statement.raw_bind_parameter(place, value)?,
            Bound::Real(value) => statement.raw_bind_parameter(place, value)?,
            Bound::Text(value) => statement.raw_bind_parameter(place, value)?,
        }
    }
    Ok(())
}

/// Interrupts what runs as soon as `is_over`, and waits for locks no longer than that.
fn watch(
    connection: &Connection,
    steps: i32,
    busy_max: Duration,
    is_over: impl FnMut() -> bool + Send + 'static,
) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(busy_max)?;
    connection.progress_handler(steps, Some(is_over))
}
