//! Why a query gave no rows, or no more of them.

use crate::DatabaseError;

/// Why a query could not be answered to its end. The text begins with the stable code.
#[derive(Debug, thiserror::Error)]
pub enum QueryFailed {
    /// It took longer than it may; it was stopped in the database.
    #[error("QUERY_DEADLINE: the query took more than {0} seconds and was stopped")]
    Deadline(u64),
    /// Whoever asked took the rows too slowly, or the whole took too long.
    #[error("QUERY_SLOW_READER: the rows were not taken in time, and the query was stopped")]
    SlowReader,
    /// Classes are joined without comparing their properties, and that gives too many pairs.
    #[error(
        "QUERY_PRODUCT: the query joins classes without comparing their properties, which gives {0} rows; \
         at most {max} are allowed: add a condition such as a.X = b.X",
        max = super::PRODUCT_ROWS_MAX
    )]
    Product(u64),
    /// A view gave a value that its class does not declare: a fault of this program.
    #[error("QUERY_VALUE: {class}.{property} came as {found}")]
    Value {
        /// The class.
        class: String,
        /// The property.
        property: String,
        /// What came, shortened.
        found: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl QueryFailed {
    /// True when the same query may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => error.is_transient(),
            Self::Deadline(_) | Self::SlowReader => true,
            Self::Product(_) | Self::Value { .. } => false,
        }
    }
}
