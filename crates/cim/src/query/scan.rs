//! Characters of a query text, and tokens with their place: what the lexers of all query languages
//! share.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

use std::iter::Peekable;
use std::str::Chars;

use super::{QueryError, QueryErrorKind, limits};

/// A token and the column of its first character, the first of the text being 1.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// The token.
    pub token: T,
    /// Its column.
    pub column: usize,
}

/// Reads a text character by character and counts the columns.
#[derive(Debug)]
pub struct Scanner<'t> {
    rest: Peekable<Chars<'t>>,
    column: usize,
}

impl Scanner<'_> {
    /// The column of the next character, the first of the text being 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The next character, which stays.
    pub fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    /// Takes the next character.
    pub fn take(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.column = self.column.saturating_add(1);
        Some(next)
    }

    /// Takes the next character if it is wanted.
    pub fn take_if(&mut self, is_wanted: impl Fn(char) -> bool) -> Option<char> {
        if self.peek().is_some_and(is_wanted) { self.take() } else { None }
    }
}

/// Takes a text apart: `next` reads the token that begins at the scanner, white space being passed
/// over; the last token is `end`.
///
/// Errors: the limit of the text's length, which names the text by `what`; those of `next`.
pub fn tokens<T: PartialEq>(
    text: &str,
    what: &str,
    end: &T,
    next: impl Fn(&mut Scanner<'_>) -> Result<T, QueryError>,
) -> Result<Vec<Spanned<T>>, QueryError> {
    if text.len() > limits::TEXT_BYTES_MAX {
        let message = format!("the {what} has {} bytes, more than {}", text.len(), limits::TEXT_BYTES_MAX);
        return Err(QueryError::new(QueryErrorKind::Limit, message));
    }
    let mut scanner = Scanner { rest: text.chars().peekable(), column: 1 };
    let mut tokens = Vec::new();
    loop {
        while scanner.take_if(char::is_whitespace).is_some() {}
        let column = scanner.column;
        let token = next(&mut scanner)?;
        let is_end = token == *end;
        tokens.push(Spanned { token, column });
        if is_end {
            return Ok(tokens);
        }
    }
}
