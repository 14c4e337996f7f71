//! Why a query is refused.

/// A query that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", at(.column))]
pub struct QueryError {
    /// What kind of fault it is.
    pub kind: QueryErrorKind,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Where in the text, in characters, the first being 1; `None` when no single place is wrong.
    pub column: Option<usize>,
}

fn at(column: &Option<usize>) -> String {
    column.map(|column| format!(" at column {column}")).unwrap_or_default()
}

/// Kinds of faults of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryErrorKind {
    /// The text is no WQL.
    WqlSyntax,
    /// The text is no OData expression.
    FilterSyntax,
    /// An OData expression is nested deeper than [`super::limits::DEPTH_MAX`].
    FilterDepth,
    /// A limit of [`super::limits`] is passed.
    Limit,
    /// The form is understood and not offered.
    Unsupported,
    /// No class has this name.
    UnknownClass,
    /// The class has no such property.
    UnknownProperty,
    /// Values of these types cannot be compared.
    Type,
}

impl QueryErrorKind {
    /// The code shown to callers.
    pub fn code(self) -> &'static str {
        match self {
            Self::WqlSyntax => "WQL_SYNTAX",
            Self::FilterSyntax => "FILTER_SYNTAX",
            Self::FilterDepth => "FILTER_DEPTH",
            Self::Limit => "QUERY_LIMIT",
            Self::Unsupported => "QUERY_UNSUPPORTED",
            Self::UnknownClass => "INVALID_CLASS",
            Self::UnknownProperty => "UNKNOWN_PROPERTY",
            Self::Type => "TYPE",
        }
    }
}

impl QueryError {
    /// A fault at a column.
    pub fn at(kind: QueryErrorKind, column: usize, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), column: Some(column) }
    }

    /// A fault of the whole.
    pub fn new(kind: QueryErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), column: None }
    }

    /// The code shown to callers, such as `WQL_SYNTAX`.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}
