//! Refusals of operations.

use restock_cim::query::QueryError;
use restock_cim::{Instance, Status};
use restock_provider::{CoreStatus, Refusal};
use restock_wire::cimxml::{CimCode, ParameterError, Reply, Shown, ValueError, status_code};

use crate::contexts::{PieceError, TooMany, Unknown};

/// Why an operation is not carried out.
#[derive(Debug)]
pub(super) struct Fault {
    code: CimCode,
    /// `CODE: sentence`
    description: String,
    status: Option<Box<Instance>>,
}

impl Fault {
    /// A refusal that the door speaks itself.
    pub(super) fn new(code: CimCode, name: &str, text: impl std::fmt::Display) -> Self {
        Self { code, description: format!("{name}: {text}"), status: None }
    }

    /// A refusal of the provider. `is_call`: of a method.
    pub(super) fn of(refusal: &Refusal, is_call: bool) -> Self {
        Self {
            code: status_code(refusal.status(), is_call),
            description: format!("{}: {}", refusal.code(), refusal.description()),
            status: refusal.instance(schema()).map(Box::new),
        }
    }

    /// The same with another number.
    pub(super) fn with_code(mut self, code: CimCode) -> Self {
        self.code = code;
        self
    }

    pub(super) fn code(&self) -> CimCode {
        self.code
    }

    /// A query that cannot be read or answered.
    pub(super) fn of_query(error: QueryError, text: &str) -> Self {
        let refusal = match Refusal::from(error) {
            Refusal::Core(core) => Refusal::Core(CoreStatus {
                operation: "ExecQuery",
                parameter_info: text.chars().take(1_000).collect(),
                ..core
            }),
            other => other,
        };
        Self::of(&refusal, false)
    }

    /// A value that does not fit its declaration.
    pub(super) fn of_value(error: &ValueError, operation: &'static str, path: &str) -> Self {
        let status = match error {
            ValueError::Type { .. } => Status::TypeMismatch,
            ValueError::Property { .. } => Status::InvalidProperty,
            ValueError::Class(_) => Status::InvalidClass,
        };
        let text = error.to_string();
        let description = text.split_once(": ").map_or(text.as_str(), |(_, rest)| rest).to_owned();
        let core = CoreStatus {
            status,
            code: error.code(),
            description,
            operation,
            parameter_info: path.to_owned(),
        };
        Self::of(&Refusal::Core(core), false)
    }

    /// The answer.
    pub(super) fn write(self, reply: Reply, shown: &Shown) -> String {
        let status = self.status.as_deref().map(|status| (shown, status));
        reply.error(self.code, &self.description, status)
    }
}

fn schema() -> &'static restock_cim::Schema {
    restock_provider::classes::declarations::schema()
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::of(&refusal, false)
    }
}

impl From<ParameterError> for Fault {
    fn from(error: ParameterError) -> Self {
        let text = error.to_string();
        let (name, rest) = text.split_once(": ").unwrap_or(("INVALID_PARAMETER", &text));
        Self::new(CimCode::InvalidParameter, name, rest)
    }
}

impl From<Unknown> for Fault {
    fn from(unknown: Unknown) -> Self {
        Self::new(CimCode::InvalidEnumerationContext, "INVALID_CONTEXT", unknown)
    }
}

impl From<TooMany> for Fault {
    fn from(error: TooMany) -> Self {
        Self::new(CimCode::ServerLimitsExceeded, "TOO_MANY_CONTEXTS", error)
    }
}

impl From<PieceError> for Fault {
    fn from(error: PieceError) -> Self {
        match error {
            PieceError::Refused(refusal) => refusal.into(),
            PieceError::TooManyRows => {
                let text = error.to_string();
                let (name, rest) = text.split_once(": ").unwrap_or(("QUERY_LIMIT", &text));
                Self::new(CimCode::ServerLimitsExceeded, name, rest)
            }
        }
    }
}
