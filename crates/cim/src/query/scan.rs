//! Characters of a query text, and tokens with their place: what the lexers of all query languages
//! share.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

use std::str::Chars;

use super::{QueryError, QueryErrorKind, limits};

/// Bytes of text for which room for a token is made at once.
const BYTES_OF_TOKEN: usize = 4;

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
    rest: Chars<'t>,
    column: usize,
}

impl<'t> Scanner<'t> {
    /// The column of the next character, the first of the text being 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The next character, which stays.
    pub fn peek(&self) -> Option<char> {
        self.rest.clone().next()
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

    /// Takes all characters that come before one that is not wanted.
    pub fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest.as_str();
        let end = rest.find(|c| !is_wanted(c)).unwrap_or(rest.len());
        let (taken, rest) = rest.split_at(end);
        self.rest = rest.chars();
        self.column = self.column.saturating_add(taken.chars().count());
        taken
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
    let mut scanner = Scanner { rest: text.chars(), column: 1 };
    // Few tokens are shorter than this with the space behind them.
    let mut tokens = Vec::with_capacity(text.len() / BYTES_OF_TOKEN);
    loop {
        scanner.take_while(char::is_whitespace);
        let column = scanner.column;
        let token = next(&mut scanner)?;
        let is_end = token == *end;
        tokens.push(Spanned { token, column });
        if is_end {
            return Ok(tokens);
        }
    }
}
