//! What `rusqlite` says, as an error of the driver that everything else is written for.

use std::borrow::Cow;
use std::error::Error;

use rusqlite::ffi;
use sqlx::error::{DatabaseError as Failure, ErrorKind};

use crate::{DatabaseError, StopCause};

/// A failure of SQLite with its extended result code.
#[derive(Debug, thiserror::Error)]
#[error("(code: {code}) {message}")]
struct SqliteFailure {
    code: i32,
    message: String,
}

impl Failure for SqliteFailure {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// Why a statement of `operation` failed on the file at `place`.
///
/// A damaged file is told from everything else: it will not be better a moment later.
pub(super) fn failed(place: &str, operation: &'static str, error: rusqlite::Error) -> DatabaseError {
    let failure = match error {
        rusqlite::Error::SqliteFailure(error, message) => {
            SqliteFailure { code: error.extended_code, message: message.unwrap_or_else(|| error.to_string()) }
        }
        other => SqliteFailure { code: ffi::SQLITE_ERROR, message: other.to_string() },
    };
    let source = sqlx::Error::Database(Box::new(failure));
    match StopCause::of(&source) {
        Some(StopCause::Damaged(found)) => DatabaseError::Damaged { place: place.to_owned(), found },
        _ => DatabaseError::Statement { operation, source },
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::failed;
    use crate::{DatabaseError, StopCause};

    #[test]
    fn a_failure_is_known_by_its_number() {
        let of = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("words".to_owned()));
            failed("/site.db", "test", error)
        };
        assert!(of(ffi::SQLITE_BUSY_SNAPSHOT).is_transient());
        assert!(!of(ffi::SQLITE_ERROR).is_transient());
        let DatabaseError::Statement { source, .. } = of(ffi::SQLITE_IOERR_READ) else {
            panic!("a statement")
        };
        assert!(matches!(StopCause::of(&source), Some(StopCause::Failed(_))));
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_INDEX, ffi::SQLITE_NOTADB] {
            let damaged = of(code).to_string();
            assert!(damaged.starts_with("DB_CORRUPT: the database at /site.db is damaged: "), "{damaged}");
            assert!(damaged.ends_with(&format!("(code: {code}) words")), "{damaged}");
        }
    }
}
