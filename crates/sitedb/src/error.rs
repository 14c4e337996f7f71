//! What can go wrong with the database.

/// Why the database did not do what was asked. The text begins with the stable code.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The server or the file could not be opened.
    #[error("DATABASE_OPEN: the database at {place} could not be opened")]
    Open {
        /// Where it is, without a password.
        place: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The bundled library is older than the version that is safe with several connections.
    #[error("DATABASE_VERSION: SQLite {found} is too old, at least {wanted} is wanted")]
    EngineTooOld {
        /// The library's version.
        found: String,
        /// The oldest that is safe.
        wanted: &'static str,
    },
    /// A check after an unclean stop found damage.
    #[error("DB_CORRUPT: the database at {place} is damaged: {found}")]
    Damaged {
        /// Where it is.
        place: String,
        /// The first damage found.
        found: String,
    },
    /// It can be read but not written.
    #[error("DB_READ_ONLY: the database at {place} cannot be written")]
    ReadOnly {
        /// Where it is.
        place: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The tables were made by a later release.
    #[error("DB_TOO_NEW: the database has schema {found}, this release knows up to {known}")]
    Newer {
        /// The highest migration in the database.
        found: i64,
        /// The highest migration known.
        known: i64,
    },
    /// A migration failed; the database is as it was before.
    #[error("DATABASE_MIGRATION: migration {number} failed")]
    Migration {
        /// Its number.
        number: i64,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// A statement failed.
    #[error("DATABASE_FAILED: a statement of {operation} failed")]
    Statement {
        /// The name given to the transaction.
        operation: &'static str,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The commit failed: nothing of the transaction is in force.
    #[error("DATABASE_COMMIT: {operation} could not be committed: {cause}")]
    Commit {
        /// The name given to the transaction.
        operation: &'static str,
        /// What the driver said; several transactions share one commit, so it is text.
        cause: String,
    },
    /// An earlier sync failed, so nothing more is written until the process starts again.
    #[error("{0}")]
    Stopped(StopCause),
    /// The database was closed, or the transaction's code panicked.
    #[error("DATABASE_CLOSED: {0} did not run to its end")]
    Closed(&'static str),
    /// Another transaction changed the same rows too often.
    #[error("DATABASE_BUSY: {0} was tried {1} times against concurrent changes")]
    Busy(&'static str, u32),
    /// A view cannot be made as it is written.
    #[error("DATABASE_VIEW: the view {view} {cause}")]
    View {
        /// Its name.
        view: String,
        /// What is wrong.
        cause: String,
    },
    /// A stored value is not what the column holds.
    #[error("DATABASE_VALUE: column {column} of {operation} holds {found}")]
    Value {
        /// The name given to the transaction.
        operation: &'static str,
        /// The column.
        column: &'static str,
        /// What was found.
        found: String,
    },
}

/// Why nothing more is written until the process starts again. With the driver's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopCause {
    /// A write or a sync failed: what is on the disk is no longer known.
    #[error("DATABASE_STOPPED: the database stopped after a failed write: {0}")]
    Failed(String),
    /// A page is not what was written.
    #[error("DB_CORRUPT: the database stopped because a page of it is damaged: {0}")]
    Damaged(String),
}

impl StopCause {
    /// What an error says of the disk beneath the database; `None` where it says nothing.
    pub(crate) fn of(error: &sqlx::Error) -> Option<Self> {
        // 10: SQLITE_IOERR, 11: SQLITE_CORRUPT, 26: SQLITE_NOTADB and their extended forms.
        let code = error.as_database_error()?.code()?.parse::<u32>().ok()?;
        match code & 0xff {
            _ if code >= 10_000 => None,
            10 => Some(Self::Failed(error.to_string())),
            11 | 26 => Some(Self::Damaged(error.to_string())),
            _ => None,
        }
    }
}

impl DatabaseError {
    /// What opening it failed with, as what is wrong with the file at `place`, where that is known.
    pub(crate) fn of_file(self, place: String) -> Self {
        let number = match &self {
            Self::Open { source, .. } | Self::Migration { source, .. } | Self::Statement { source, .. } => {
                source.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<u32>().ok())
            }
            _ => None,
        };
        // 8: SQLITE_READONLY, 11: SQLITE_CORRUPT, 26: SQLITE_NOTADB and their extended forms.
        match (number.filter(|n| *n < 10_000).map(|n| n & 0xff), self) {
            (
                Some(8),
                Self::Open { source, .. } | Self::Migration { source, .. } | Self::Statement { source, .. },
            ) => Self::ReadOnly { place, source },
            (
                Some(11 | 26),
                Self::Open { source, .. } | Self::Migration { source, .. } | Self::Statement { source, .. },
            ) => Self::Damaged { place, found: source.to_string() },
            (_, error) => error,
        }
    }

    /// True when the same call may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy(..) | Self::Commit { .. } => true,
            Self::Open { source, .. } | Self::Statement { source, .. } => {
                matches!(source, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) || is_conflict(source)
            }
            _ => false,
        }
    }
}

/// True when another transaction was in the way and the whole of this one can run again.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    // 5: SQLITE_BUSY, 6: SQLITE_LOCKED and their extended forms; 40001, 40P01: PostgreSQL's
    // serialisation failure and deadlock.
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| {
        matches!(code.as_ref(), "40001" | "40P01")
            || code.parse::<u32>().is_ok_and(|n| matches!(n & 0xff, 5 | 6) && n < 10_000)
    })
}

/// True when the connection itself is gone.
pub(crate) fn is_connection_lost(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed)
        || error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code.starts_with("57P"))
}
