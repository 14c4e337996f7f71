//! How large a query may be.

/// Bytes of the text of a query.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Levels of parentheses, `NOT`, functions and sub-selects within each other.
pub const DEPTH_MAX: usize = 64;
/// Classes of one query, those of its sub-selects among them.
pub const CLASSES_MAX: usize = 16;
/// Comparisons, `LIKE`s, `IN`s and tests of one query, those of its sub-selects among them.
/// SQLite refuses expressions of a depth above 1,000, and a chain of `OR` is as deep as long.
pub const CONDITIONS_MAX: usize = 500;
/// Values of one `IN` list.
pub const LIST_MAX: usize = 1_000;
/// Values of all lists and comparisons of one query. SQLite binds at most 32,766.
pub const VALUES_MAX: usize = 10_000;
/// Entries of a select list.
pub const COLUMNS_MAX: usize = 1_000;
/// Entries of `ORDER BY`.
pub const ORDER_MAX: usize = 16;
/// Rows that `$top` may ask for.
pub const TOP_MAX: u64 = 1_000_000_000;
