//! PostgreSQL's half: a task for each query, which keeps the connection until the server has really stopped
//! working on it.
//!
//! A query that is not wanted any more is cancelled by an order on a second connection; one whose client has
//! gone is ended by the server itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow};
use sqlx::{Arguments as _, ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use super::{BATCHES_MAX, End, Idle, Incoming, Outgoing, Run, STATEMENTS_MAX, Sender, WHOLE_MAX};
use crate::DatabaseError;
use crate::own_text::own_text;
use crate::query::decode::Decoder;
use crate::query::sql::Bound;

/// When the order to cancel is given again.
const CANCEL_AGAIN: Duration = Duration::from_millis(200);
/// How long the server may take to stop a statement before its connection is dropped.
const CANCEL_MAX: Duration = Duration::from_secs(5);

/// The connections to a server.
pub(super) struct Postgres {
    url: String,
    idle: Idle<Connection>,
}

struct Connection {
    inner: PgConnection,
    /// The number of its server process.
    process: i32,
}

impl Postgres {
    pub(super) fn new(url: &str, permits: &Arc<Semaphore>) -> Self {
        Self { url: url.to_owned(), idle: Idle::new(permits) }
    }

    /// Begins a run in a task and waits for its first rows.
    pub(super) async fn start(
        self: &Arc<Self>,
        run: Run,
        tracker: &TaskTracker,
    ) -> Result<Incoming, DatabaseError> {
        let connection = match self.idle.pop() {
            Some(connection) => connection,
            None => self.open().await?,
        };
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        tracker.spawn(Arc::clone(self).run(run, connection, sender));
        Ok(Incoming::begun(receiver).await)
    }

    pub(super) async fn close(&self) {
        while let Some(connection) = self.idle.pop() {
            if let Err(error) = connection.inner.close().await {
                tracing::debug!(%error, "a query's connection did not close cleanly");
            }
        }
    }

    async fn open(&self) -> Result<Connection, DatabaseError> {
        let opened = self.connect().await;
        opened
            .map_err(|source| DatabaseError::Statement { operation: "open a connection for queries", source })
    }

    async fn connect(&self) -> Result<Connection, sqlx::Error> {
        let options: PgConnectOptions = self.url.parse()?;
        let options = options
            .statement_cache_capacity(STATEMENTS_MAX)
            .application_name("restock query")
            .disable_statement_logging();
        let mut inner = options.connect().await?;
        let settings = format!(
            "SET default_transaction_read_only = on; SET client_min_messages = warning;
             SET statement_timeout = {}; SET client_connection_check_interval = 1000",
            WHOLE_MAX.as_millis()
        );
        sqlx::raw_sql(own_text(settings)).execute(&mut inner).await?;
        let row = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut inner).await?;
        let process = row.try_get(0)?;
        Ok(Connection { inner, process })
    }

    async fn run(self: Arc<Self>, mut run: Run, mut connection: Connection, sender: Sender) {
        let mut outgoing = Outgoing::new(&run, sender);
        let text = own_text(std::mem::take(&mut run.work.text));
        let values = arguments(std::mem::take(&mut run.work.values));
        let rows = sqlx::query_with(text, values).fetch(&mut connection.inner);
        let read = read(rows, &run.work.decoder, &mut outgoing).await;
        match read {
            Ok(()) => self.idle.give_back(connection),
            Err(_) => self.stop(connection).await,
        }
        drop(run);
        if let Err(end) = read {
            outgoing.end(end).await;
        }
    }

    /// Makes the server stop working for `connection`. It is not used again, since an order might arrive
    /// later still; and it stays open until the order was given, so that the number of its process means no
    /// other.
    async fn stop(&self, mut connection: Connection) {
        let process = connection.process;
        let stopped = async {
            loop {
                self.cancel(process).await;
                // It answers when the statement has ended. An order that came before the
                // statement began was in vain.
                if tokio::time::timeout(CANCEL_AGAIN, connection.inner.ping()).await.is_ok() {
                    break;
                }
            }
        };
        if tokio::time::timeout(CANCEL_MAX, stopped).await.is_err() {
            tracing::warn!(process, "a query that was cancelled still works");
        }
    }

    async fn cancel(&self, process: i32) {
        let order = async {
            let mut second = match self.idle.pop() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            sqlx::query("SELECT pg_cancel_backend($1)").bind(process).execute(&mut second.inner).await?;
            self.idle.give_back(second);
            Ok::<(), sqlx::Error>(())
        };
        if let Err(error) = order.await {
            tracing::warn!(%error, "a query could not be cancelled; it ends when its client is seen gone");
        }
    }
}

async fn read(
    mut rows: impl Stream<Item = Result<PgRow, sqlx::Error>> + Unpin,
    decoder: &Decoder,
    outgoing: &mut Outgoing,
) -> Result<(), End> {
    loop {
        let next = tokio::select! {
            biased;
            next = rows.next() => next,
            () = outgoing.sender.closed() => return Err(End::Unwanted),
            () = tokio::time::sleep_until(outgoing.deadline.get()) => return Err(outgoing.too_long()),
        };
        let Some(row) = next else { return outgoing.give(true).await };
        let row = row.map_err(|source| DatabaseError::Statement { operation: outgoing.name, source });
        let instance = row.map_err(Into::into).and_then(|row| decoder.instance(&row)).map_err(End::Failed)?;
        if outgoing.add(instance) {
            outgoing.give(false).await?;
        }
    }
}

fn arguments(values: Vec<Bound>) -> PgArguments {
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
