//! The part of the Managed Object Format that class declarations use.
//!
//! [`parse`] reads qualifier and class declarations; [`crate::Schema`] links them into classes with
//! their inherited members. It does not read instances, aliases, pragmas other than to refuse
//! them, or indications. Source: DSP0221 (MOF), 7 and annex A.

mod lexer;
mod parser;
#[cfg(test)]
mod tests;

pub(crate) use parser::{ClassText, parse};

/// The longest text read.
pub(crate) const TEXT_BYTES_MAX: usize = 1 << 20;

/// Why a declaration could not be read or linked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct MofError {
    /// The text's name.
    pub file: String,
    /// The line, from 1 on; 0 when the whole text is meant.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl MofError {
    pub(crate) fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

/// Reads any bytes as a text of declarations: for fuzzing.
///
/// Panics never, whatever the bytes.
pub fn fuzz_one(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // What matters is that reading ends without a panic; both results are right for some bytes.
    drop(crate::Schema::parse(&[("fuzz", &text)]));
}
