//! `$filter` and `$orderby`: text to the same syntax tree that WQL becomes.
//!
//! Understood: `eq ne gt ge lt le in`, `and or not`, parentheses, `startswith`, `endswith`,
//! `contains` and `substringof` (with or without ` eq true` behind them), `tolower`, `toupper`,
//! `substring`, `year` … `second`, `now()`, and literals: text in single quotes with `''` for one,
//! numbers, `true`, `false`, `null`, times with or without quotes. Words have no letter case.
//!
//! Comparisons mean what they mean in WQL: one with `null` on a side is never true, so
//! `Name ne 'x'` leaves rows without a name out. Arithmetic, paths, lambdas and the other
//! functions are refused by name. Limits: [`restock_cim::query::limits`].
//! Source: OData 4.01 URL conventions, 5.1.1.

mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use restock_cim::query::{Condition, Order, QueryError};

/// Reads a `$filter`, already percent-decoded.
///
/// Errors: `FILTER_SYNTAX` with a column, `FILTER_DEPTH`, limits, forms refused by name.
pub fn parse_filter(text: &str) -> Result<Condition, QueryError> {
    parser::filter(text)
}

/// Reads an `$orderby`, already percent-decoded.
///
/// Errors: as [`parse_filter`].
pub fn parse_order(text: &str) -> Result<Vec<Order>, QueryError> {
    parser::order(text)
}

/// Reads any bytes as a filter and as an order. For fuzzing.
pub fn fuzz_one(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for error in [parse_filter(&text).err(), parse_order(&text).err()].into_iter().flatten() {
        assert!(!error.to_string().is_empty(), "a refusal says why");
    }
}
