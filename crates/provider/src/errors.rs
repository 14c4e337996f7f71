//! Refusals: the two kinds of error, and the one table that gives each its number.
//!
//! [`CoreStatus`] is what the object core refuses (unknown namespace, class, method or parameter;
//! bad path or query; type mismatch) and shows as `__ExtendedStatus`. [`ExtendedStatus`] is what the
//! classes and methods refuse and shows as `SMS_ExtendedStatus`, with an `ErrorCode` by the
//! documented layout. Both carry a stable code by which callers and tests tell them apart.
//!
//! What it does not do: it maps no status to a door's own numbers; each door has a table for that.
//! Source: docs/errors.md, which is made from [`table`].

mod table;

use std::panic::Location;

use restock_cim::{Instance, Schema, Status, Value};
use restock_sitedb::DatabaseError;

pub use table::document;
pub(crate) use table::{Action, error_code, reason};

use crate::OperationError;
use crate::rights::{Denied, TooWide};

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The object core refused: `__ExtendedStatus`.
    #[error("{}: {}", .0.code, .0.description)]
    Core(CoreStatus),
    /// The class or the method refused: `SMS_ExtendedStatus`.
    #[error("{}: {}", .0.code, .0.description)]
    Provider(Box<ExtendedStatus>),
}

/// A refusal of the object core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreStatus {
    /// The WBEM status.
    pub status: Status,
    /// A stable code of docs/errors.md.
    pub code: &'static str,
    /// One sentence that names object and cause.
    pub description: String,
    /// `GetObject`, `ExecQuery`, `PutInstance`, `DeleteInstance` or `ExecMethod`.
    pub operation: &'static str,
    /// The path, or the text of the query.
    pub parameter_info: String,
}

/// A refusal of a class or a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedStatus {
    /// The WBEM status.
    pub status: Status,
    /// A stable code of docs/errors.md.
    pub code: &'static str,
    /// Object, cause and remedy.
    pub description: String,
    /// Severity, facility, action, object and reason in one number; never 0.
    pub error_code: u32,
    /// `GetObject`, `ExecQuery`, `PutInstance`, `DeleteInstance` or `ExecMethod`.
    pub operation: &'static str,
    /// The object's path.
    pub parameter_info: String,
    /// The class.
    pub object_info: String,
    /// The source file that refused, without its folder.
    pub file: &'static str,
    /// The line in it.
    pub line: u32,
}

impl ExtendedStatus {
    /// What the failing method would return: the error code as SInt32, never 0.
    pub fn return_value(&self) -> i32 {
        self.error_code.cast_signed()
    }
}

impl Refusal {
    /// A refusal of the object core. `code` is one of the table's.
    pub(crate) fn core(code: &str, description: impl Into<String>) -> Self {
        let reason = reason(code);
        Self::Core(CoreStatus {
            status: reason.status,
            code: reason.code,
            description: description.into(),
            operation: "",
            parameter_info: String::new(),
        })
    }

    /// A refusal of a class or method. `code` is one of the table's.
    #[track_caller]
    pub(crate) fn provider(code: &str, description: impl Into<String>) -> Self {
        let reason = reason(code);
        let place = Location::caller();
        let file = place.file().rsplit(['/', '\\']).next().unwrap_or_default();
        Self::Provider(Box::new(ExtendedStatus {
            status: reason.status,
            code: reason.code,
            description: description.into(),
            error_code: error_code(reason, None, None),
            operation: "",
            parameter_info: String::new(),
            object_info: String::new(),
            file,
            line: place.line(),
        }))
    }

    /// The object does not exist, or the caller may not know that it does.
    #[track_caller]
    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::provider("NOT_FOUND", format!("{what} does not exist"))
    }

    /// The WBEM status.
    pub fn status(&self) -> Status {
        match self {
            Self::Core(refused) => refused.status,
            Self::Provider(refused) => refused.status,
        }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Core(refused) => refused.code,
            Self::Provider(refused) => refused.code,
        }
    }

    /// Object, cause and remedy.
    pub fn description(&self) -> &str {
        match self {
            Self::Core(refused) => &refused.description,
            Self::Provider(refused) => &refused.description,
        }
    }

    /// The number in logs and audit records: `ErrorCode`, or the WBEM status of a core refusal.
    pub fn error_code(&self) -> u32 {
        match self {
            Self::Core(refused) => refused.status.wbem(),
            Self::Provider(refused) => refused.error_code,
        }
    }

    /// What a failed method shows as `ReturnValue`; `None` for everything but methods, and when the
    /// object core refused the call.
    pub fn return_value(&self) -> Option<i32> {
        match self {
            Self::Provider(refused) if refused.operation == Action::Method.operation() => {
                Some(refused.return_value())
            }
            _ => None,
        }
    }

    /// Says which operation on which object was refused; the error code takes both up.
    pub(crate) fn at(mut self, action: Action, class: &str, path: &str) -> Self {
        match &mut self {
            Self::Core(refused) => {
                refused.operation = action.operation();
                path.clone_into(&mut refused.parameter_info);
            }
            Self::Provider(refused) => {
                refused.error_code = error_code(reason(refused.code), Some(action), Some(class));
                refused.operation = action.operation();
                path.clone_into(&mut refused.parameter_info);
                class.clone_into(&mut refused.object_info);
            }
        }
        self
    }

    /// The refusal as the instance a client is shown: `__ExtendedStatus` or `SMS_ExtendedStatus`.
    ///
    /// `None` when `schema` does not declare the class.
    pub fn instance(&self, schema: &Schema) -> Option<Instance> {
        let text = |text: &str| Value::String(text.to_owned());
        let (class, values) = match self {
            Self::Core(refused) => (
                "__ExtendedStatus",
                vec![
                    ("ProviderName", text("Windows Management")),
                    ("Operation", text(refused.operation)),
                    ("ParameterInfo", text(&refused.parameter_info)),
                    ("Description", text(&refused.description)),
                    ("StatusCode", Value::Unsigned(refused.status.wbem().into())),
                ],
            ),
            Self::Provider(refused) => (
                "SMS_ExtendedStatus",
                vec![
                    ("ProviderName", text("ExtnProv")),
                    ("Operation", text(refused.operation)),
                    ("ParameterInfo", text(&refused.parameter_info)),
                    ("ObjectInfo", text(&refused.object_info)),
                    ("Description", text(&refused.description)),
                    ("CauseInfo", text(refused.code)),
                    ("ErrorCode", Value::Unsigned(refused.error_code.into())),
                    ("File", text(refused.file)),
                    ("Line", Value::Unsigned(refused.line.into())),
                    ("StatusCode", Value::Unsigned(refused.status.wbem().into())),
                ],
            ),
        };
        let mut instance = Instance::new(schema.class(class)?.clone());
        for value in &mut instance.values {
            *value = Some(Value::Null);
        }
        for (name, value) in values {
            instance.set(name, value);
        }
        Some(instance)
    }
}

impl From<OperationError> for Refusal {
    #[track_caller]
    fn from(error: OperationError) -> Self {
        let description = match &error.hint {
            Some(hint) => format!("{}; {hint}", error.message),
            None => error.message,
        };
        Self::provider(&error.code, description)
    }
}

impl From<Denied> for Refusal {
    #[track_caller]
    fn from(denied: Denied) -> Self {
        OperationError::from(denied).into()
    }
}

impl From<TooWide> for Refusal {
    #[track_caller]
    fn from(error: TooWide) -> Self {
        OperationError::from(error).into()
    }
}

impl From<DatabaseError> for Refusal {
    #[track_caller]
    fn from(error: DatabaseError) -> Self {
        // The driver's words may hold statements and paths: they belong into the log alone.
        tracing::error!(target: "smsprov", error = &error as &dyn std::error::Error, "the database failed");
        let text = error.to_string();
        let code = text.split_once(": ").map_or("DATABASE_FAILED", |(code, _)| code).to_owned();
        let hint = if error.is_transient() { "; the same call may succeed a moment later" } else { "" };
        Self::provider(&code, format!("the site database did not carry out the call{hint}"))
    }
}
