//! WQL and extended WQL: text to syntax tree and back.
//!
//! [`parse`] reads a `SELECT`, [`statement`] also the plain form of `ASSOCIATORS OF` and
//! `REFERENCES OF`, [`print()`] writes the canonical text of a tree. What is understood and refused
//! on purpose (writing statements, events, system properties, `COUNT` with `DISTINCT`) is refused
//! by name; everything else is `WQL_SYNTAX` with its column and what was expected.
//!
//! It looks up no class and checks no type: resolving does. Limits: [`super::limits`].
//! Source: docs/queries.md.

mod lexer;
mod parser;
mod pattern;
mod printer;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

pub use printer::print;

use super::{Query, QueryError, QueryErrorKind};
use crate::{Name, ObjectPath};

/// A statement of WQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SELECT`.
    Select(Box<Query>),
    /// `ASSOCIATORS OF {path}`: the objects at the other ends.
    Associators(Box<Associators>),
    /// `REFERENCES OF {path}`: the associations themselves.
    References(Box<References>),
}

/// `ASSOCIATORS OF`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Associators {
    /// The object whose partners are asked for.
    pub path: ObjectPath,
    /// Only through associations of this class or its subclasses.
    pub association: Option<Name>,
    /// Only partners of this class or its subclasses.
    pub result_class: Option<Name>,
    /// Only where the object plays this part: the name of a reference property.
    pub role: Option<Name>,
    /// Only where the partner plays this part.
    pub result_role: Option<Name>,
    /// Only the keys of the partners.
    pub is_keys_only: bool,
}

/// `REFERENCES OF`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct References {
    /// The object that the associations name.
    pub path: ObjectPath,
    /// Only associations of this class or its subclasses.
    pub result_class: Option<Name>,
    /// Only where the object plays this part.
    pub role: Option<Name>,
    /// Only the keys of the associations.
    pub is_keys_only: bool,
}

/// Reads a `SELECT`.
///
/// Errors: `WQL_SYNTAX` with a column; forms that are refused by name; limits.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    match statement(text)? {
        Statement::Select(query) => Ok(*query),
        Statement::Associators(_) => Err(not_here("ASSOCIATORS OF")),
        Statement::References(_) => Err(not_here("REFERENCES OF")),
    }
}

fn not_here(what: &str) -> QueryError {
    QueryError::new(QueryErrorKind::Unsupported, format!("{what} is not supported here, only SELECT"))
}

/// Reads any statement.
///
/// Errors: as [`parse`].
pub fn statement(text: &str) -> Result<Statement, QueryError> {
    parser::statement(text)
}

/// Reads the pattern of a `LIKE`.
///
/// Errors: `WQL_SYNTAX` when a set is not closed or empty, or a range runs backwards.
pub fn parse_pattern(text: &str) -> Result<super::Pattern, QueryError> {
    pattern::parse(text, None)
}

/// Reads any bytes; what can be read must be the same after printing. For fuzzing.
pub fn fuzz_one(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(query) = parse(&text)
        && let Some(printed) = print(&query)
    {
        assert_eq!(parse(&printed).as_ref(), Ok(&query), "{printed}");
    }
}
