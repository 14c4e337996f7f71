//! The one place where text made by this program becomes a statement.
//!
//! What callers wrote never comes here: it is bound.

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// Text of this program's own, in which no value from outside stands.
pub(crate) fn own_text(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}
