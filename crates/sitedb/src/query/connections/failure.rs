//! What `rusqlite` says, as an error of the driver that everything else is written for.

use std::borrow::Cow;
use std::error::Error;

use rusqlite::ffi;
use sqlx::error::{DatabaseError as Failure, ErrorKind};

use crate::DatabaseError;

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

/// Why a statement of `operation` failed.
pub(super) fn failed(operation: &'static str, error: rusqlite::Error) -> DatabaseError {
    let failure = match error {
        rusqlite::Error::SqliteFailure(error, message) => {
            SqliteFailure { code: error.extended_code, message: message.unwrap_or_else(|| error.to_string()) }
        }
        other => SqliteFailure { code: ffi::SQLITE_ERROR, message: other.to_string() },
    };
    let source = sqlx::Error::Database(Box::new(failure));
    DatabaseError::Statement { operation, source }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::failed;
    use crate::StopCause;
    use crate::error::is_conflict;

    #[test]
    fn a_failure_is_known_by_its_number() {
        let source = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("words".to_owned()));
            match failed("test", error) {
                crate::DatabaseError::Statement { source, .. } => source,
                other => panic!("{other}"),
            }
        };
        assert!(is_conflict(&source(ffi::SQLITE_BUSY_SNAPSHOT)));
        assert!(matches!(StopCause::of(&source(ffi::SQLITE_IOERR_READ)), Some(StopCause::Failed(_))));
        let damaged = StopCause::of(&source(ffi::SQLITE_CORRUPT_INDEX));
        assert!(matches!(damaged, Some(StopCause::Damaged(text)) if text.contains("(code: 779) words")));
        assert!(StopCause::of(&source(ffi::SQLITE_ERROR)).is_none());
    }
}
