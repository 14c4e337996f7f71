//! Why an operation was not done.

use restock_names::{DistributionPointName, PackageId};
use restock_sitedb::DatabaseError;
use serde::{Deserialize, Serialize};

/// What sort of failure it is; decides the exit code and each door's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The object does not exist, or is hidden.
    NotFound,
    /// The object exists, and the operation makes no sense for it.
    Refused,
    /// The request itself is wrong.
    Invalid,
    /// The site could not do it.
    Failed,
}

impl ErrorKind {
    /// The exit code of a command that ends with it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NotFound => 4,
            Self::Refused => 6,
            Self::Invalid => 2,
            Self::Failed => 1,
        }
    }
}

/// A refusal or failure: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct OperationError {
    /// What sort it is.
    pub kind: ErrorKind,
    /// A stable code, such as `NOT_FOUND`.
    pub code: String,
    /// One sentence that names the object and the cause.
    pub message: String,
    /// What the caller could do next.
    pub hint: Option<String>,
}

impl OperationError {
    pub(crate) fn new(kind: ErrorKind, code: &str, message: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), message: message.into(), hint: None }
    }

    pub(crate) fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, code, message)
    }

    pub(crate) fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, code, message)
    }

    pub(crate) fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn site_incomplete() -> Self {
        Self::new(ErrorKind::Failed, "SITE_INCOMPLETE", "the site was not initialised to its end")
            .hint("restock site init")
    }

    pub(crate) fn unknown_package(id: PackageId) -> Self {
        Self::not_found("NOT_FOUND", format!("package {id} does not exist")).hint("restock package list")
    }

    pub(crate) fn unknown_point(name: &DistributionPointName) -> Self {
        Self::not_found("POINT_UNKNOWN", format!("no distribution point {name} is known at this site"))
            .hint("restock dp list")
    }

    pub(crate) fn not_targeted(package: PackageId, name: &DistributionPointName) -> Self {
        Self::not_found("POINT_NOT_TARGETED", format!("package {package} is not distributed to {name}"))
            .hint(format!("restock status {package}"))
    }
}

impl From<DatabaseError> for OperationError {
    fn from(error: DatabaseError) -> Self {
        let text = error.to_string();
        let (code, message) = text.split_once(": ").unwrap_or(("DATABASE_FAILED", &text));
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let failed = Self::new(ErrorKind::Failed, code, format!("{message}{cause}"));
        if error.is_transient() { failed.hint("the same command again") } else { failed }
    }
}
