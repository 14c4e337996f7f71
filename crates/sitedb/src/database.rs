//! The database's two doors and who is woken when something changed.

use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use futures_util::future::BoxFuture;
use restock_names::Clock;
use sqlx::AnyConnection;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::engine::{quick_check, without_password};
use crate::query::connections::Connections;
use crate::writer::Writer;
use crate::{DatabaseError, Engine, StopCause, Tx, Views, migration};

/// Connections that may read at once. More callers wait.
const READERS_MAX: usize = 4;

/// What a committed transaction may have given a loop to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A refresh was asked for or cancelled, or a package is to be deleted.
    Refresh,
    /// A distribution point has something to receive, to remove or to stop.
    Distribute,
    /// A package was given another schedule.
    Schedule,
    /// There is something to send to the sites next to this one.
    Sites,
    /// A version that was published elsewhere may be wanted here, or can be fetched at last.
    Fetch,
}

/// The site database: a cheap handle to be cloned.
///
/// Limits: four readers at once; one writer, which joins the transactions that wait into
/// one commit.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    url: String,
    idle: Mutex<Vec<AnyConnection>>,
    readers: Semaphore,
    writer: Writer,
    wakes: Arc<Wakes>,
    tracker: TaskTracker,
    views: RwLock<Option<Arc<Views>>>,
    queries: Connections,
    clock: Arc<OnceLock<Arc<dyn Clock>>>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("engine", &self.inner.engine).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the SQLite file at `path`, makes it when it is missing and brings its tables up to
    /// this release.
    ///
    /// Errors: the file cannot be opened or written, the library is too old, or a later release
    /// wrote the file.
    pub async fn open_file(path: &Path) -> Result<Self, DatabaseError> {
        Self::open(&Engine::sqlite_url(path)).await
    }

    /// Opens the database at `url` (`sqlite://…` or `postgres://…`) likewise.
    ///
    /// Errors: `DB_TOO_NEW`, `DB_CORRUPT`, `DB_READ_ONLY` where that is what is wrong with it.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        Self::open_as_it_is(url).await.map_err(|error| error.of_file(without_password(url)))
    }

    async fn open_as_it_is(url: &str) -> Result<Self, DatabaseError> {
        sqlx::any::install_default_drivers();
        let engine = Engine::of_url(url).ok_or_else(|| DatabaseError::Open {
            place: url.chars().take_while(|c| *c != ':').collect(),
            source: sqlx::Error::Configuration(
                "the URL begins neither with sqlite: nor with postgres:".into(),
            ),
        })?;
        let was_left_open = engine.was_left_open(url);
        let mut connection = engine.connect(url, true).await?;
        if was_left_open {
            quick_check(&mut connection, url).await?;
        }
        migration::migrate(&mut connection, engine).await?;
        migration::check_writable(&mut connection).await?;

        let tracker = TaskTracker::new();
        let wakes = Arc::new(Wakes::default());
        let clock = Arc::new(OnceLock::new());
        let writer = Writer::start(
            connection,
            engine,
            url.to_owned(),
            Arc::clone(&wakes),
            Arc::clone(&clock),
            &tracker,
        );
        tracker.close();
        let inner = Inner {
            engine,
            url: url.to_owned(),
            idle: Mutex::new(Vec::new()),
            readers: Semaphore::new(READERS_MAX),
            writer,
            wakes,
            tracker,
            views: RwLock::new(None),
            queries: Connections::new(engine, url),
            clock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The views that queries read; `None` before [`Database::install_views`].
    pub(crate) fn views(&self) -> Option<Arc<Views>> {
        self.inner.views.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_views(&self, views: Arc<Views>) {
        *self.inner.views.write().unwrap_or_else(PoisonError::into_inner) = Some(views);
    }

    /// The connections that queries run on.
    pub(crate) fn queries(&self) -> &Connections {
        &self.inner.queries
    }

    /// Gives the clock that tells when objects for other sites are written; the first one stays.
    /// Without one they are written at no known time.
    pub fn set_clock(&self, clock: Arc<dyn Clock>) {
        if self.inner.clock.set(clock).is_err() {
            tracing::debug!("the database has a clock already");
        }
    }

    /// The engine behind it.
    pub fn engine(&self) -> Engine {
        self.inner.engine
    }

    /// Runs `change` in one transaction that is durable and visible when this returns `Ok`.
    ///
    /// `name` labels errors and logs. `change` may run several times after a conflict, so it must
    /// touch nothing but the transaction; when it returns an error nothing of it is in force.
    /// A caller that stops waiting does not stop the transaction.
    /// Errors: what `change` returned, or why the commit failed.
    pub async fn transact<T, E, F>(&self, name: &'static str, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Clone + Send + 'static,
    {
        self.inner.writer.transact(name, change).await
    }

    /// Runs `look` over one consistent state, which holds everything committed before the call.
    ///
    /// Errors: what `look` returned, or why the database could not be read.
    pub async fn read<T, E, F>(&self, name: &'static str, look: F) -> Result<T, E>
    where
        T: Send,
        E: From<DatabaseError> + Send,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send,
    {
        let inner = &*self.inner;
        let _permit = inner.readers.acquire().await.map_err(|_closed| DatabaseError::Closed(name))?;
        let idle = inner.idle.lock().await.pop();
        let connection = match idle {
            Some(connection) => connection,
            None => inner.engine.connect(&inner.url, false).await?,
        };
        // A caller that goes away drops the connection with its open transaction: it is not
        // given back, and the next reader opens another.
        let mut tx = Tx::new(connection, inner.engine);
        tx.operation = name;
        let failed = |source| DatabaseError::Statement { operation: name, source };
        tx.command(inner.engine.begin_read()).await.map_err(failed)?;
        let result = look(&mut tx).await;
        tx.command("ROLLBACK").await.map_err(failed)?;
        inner.idle.lock().await.push(tx.connection);
        result
    }

    /// A listener that is told when a committed transaction woke `wake`.
    pub fn listen(&self, wake: Wake) -> WakeListener {
        WakeListener(self.inner.wakes.channel(wake).subscribe())
    }

    /// Tells the listeners of `wake` to look, without a transaction.
    pub fn wake(&self, wake: Wake) {
        self.inner.wakes.notify(&[wake]);
    }

    /// Writes a copy of one moment to `path`, where nothing lies yet; false on PostgreSQL, whose own
    /// tools do that.
    ///
    /// Errors: the copy cannot be written.
    pub async fn copy_to(&self, path: &Path) -> Result<bool, DatabaseError> {
        if self.engine() != Engine::Sqlite {
            return Ok(false);
        }
        let mut connection = self.inner.engine.connect(&self.inner.url, true).await?;
        let failed = |source| DatabaseError::Statement { operation: "copy", source };
        let copied = sqlx::query("VACUUM INTO $1")
            .bind(path.display().to_string())
            .execute(&mut connection)
            .await
            .map_err(failed);
        let closed = sqlx::Connection::close(connection).await.map_err(failed);
        copied?;
        closed.map(|()| true)
    }

    /// Ends when a failed write has stopped the database: the process must start again.
    pub async fn stopped(&self) -> StopCause {
        self.inner.writer.stopped().await
    }

    /// Lets what was accepted finish, then closes all connections. Later calls are refused.
    pub async fn close(&self) {
        self.inner.readers.close();
        self.inner.queries.close().await;
        self.inner.writer.close().await;
        self.inner.tracker.wait().await;
        let idle = std::mem::take(&mut *self.inner.idle.lock().await);
        for connection in idle {
            if let Err(error) = sqlx::Connection::close(connection).await {
                tracing::debug!(%error, "a reader's connection did not close cleanly");
            }
        }
    }
}

/// Hears of one kind of [`Wake`].
#[derive(Debug)]
pub struct WakeListener(watch::Receiver<u64>);

impl WakeListener {
    /// Waits until it was woken since the last call; for ever once the database is gone.
    pub async fn woken(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Wakes {
    refresh: watch::Sender<u64>,
    distribute: watch::Sender<u64>,
    schedule: watch::Sender<u64>,
    sites: watch::Sender<u64>,
    fetch: watch::Sender<u64>,
}

impl Wakes {
    fn channel(&self, wake: Wake) -> &watch::Sender<u64> {
        match wake {
            Wake::Refresh => &self.refresh,
            Wake::Distribute => &self.distribute,
            Wake::Schedule => &self.schedule,
            Wake::Sites => &self.sites,
            Wake::Fetch => &self.fetch,
        }
    }

    pub(crate) fn notify(&self, wakes: &[Wake]) {
        for wake in wakes {
            self.channel(*wake).send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}
