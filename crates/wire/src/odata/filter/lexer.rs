//! Tokens of OData expressions.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

use std::fmt;

use restock_cim::query::scan::{self, Scanner};
use restock_cim::query::{Literal, QueryError, QueryErrorKind, parse_time};
use restock_names::Escaped;

use crate::odata::address::shortened;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, an operator or a function.
    Word(String),
    /// A number, a text or a time.
    Value(Literal),
    Comma,
    Open,
    Close,
    Slash,
    /// Only in lambdas, which are refused.
    Colon,
    Star,
    Minus,
    /// The end of the text.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word(word) => return write!(f, "{}", shortened(word)),
            Self::Value(Literal::String(_)) => "a text",
            Self::Value(Literal::DateTime(_)) => "a time",
            Self::Value(_) => "a number",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::Slash => "/",
            Self::Colon => ":",
            Self::Star => "*",
            Self::Minus => "-",
            Self::End => "the end",
        })
    }
}

/// A token and its column.
pub(super) type Spanned = scan::Spanned<Token>;

/// Takes a text apart; the last token is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, QueryError> {
    scan::tokens(text, "expression", &Token::End, |scan| Lexer { scan }.token())
}

fn syntax(column: usize, message: impl Into<String>) -> QueryError {
    QueryError::at(QueryErrorKind::FilterSyntax, column, message)
}

struct Lexer<'s, 't> {
    scan: &'s mut Scanner<'t>,
}

impl Lexer<'_, '_> {
    fn token(&mut self) -> Result<Token, QueryError> {
        let column = self.scan.column();
        let Some(first) = self.scan.take() else { return Ok(Token::End) };
        Ok(match first {
            ',' => Token::Comma,
            '(' => Token::Open,
            ')' => Token::Close,
            '/' => Token::Slash,
            ':' => Token::Colon,
            '*' => Token::Star,
            '\'' => Token::Value(Literal::String(self.text(column)?)),
            '0'..='9' => self.number_or_time(first, column)?,
            '-' | '+' if self.scan.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.number_or_time(first, column)?
            }
            '-' => Token::Minus,
            'a'..='z' | 'A'..='Z' | '_' | '@' => self.word(first, column)?,
            other => return Err(syntax(column, format!("unexpected character {other:?}"))),
        })
    }

    /// A name, or a literal of the form `datetime'…'`.
    fn word(&mut self, first: char, column: usize) -> Result<Token, QueryError> {
        let mut word = String::from(first);
        while let Some(next) = self.scan.take_if(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) {
            word.push(next);
        }
        if self.scan.peek() != Some('\'') {
            return match word.as_str() {
                "NaN" | "INF" => {
                    Err(QueryError::at(QueryErrorKind::Type, column, format!("{word} equals nothing")))
                }
                _ => Ok(Token::Word(word)),
            };
        }
        self.scan.take();
        let text = self.text(column)?;
        match word.to_ascii_lowercase().as_str() {
            "datetime" | "datetimeoffset" => match time(&text) {
                Some(literal) => Ok(Token::Value(literal)),
                None => Err(syntax(column, format!("{} is no time", shortened(&text)))),
            },
            "guid" => Ok(Token::Value(Literal::String(text))),
            _ => Err(QueryError::at(
                QueryErrorKind::Unsupported,
                column,
                format!("literals of the form {}'…' are not supported", shortened(&word)),
            )),
        }
    }

    fn text(&mut self, column: usize) -> Result<String, QueryError> {
        let mut text = String::new();
        loop {
            match self.scan.take() {
                None => return Err(syntax(column, "the text that begins here has no closing '")),
                Some('\'') if self.scan.take_if(|c| c == '\'').is_none() => return Ok(text),
                Some(other) => text.push(other),
            }
        }
    }

    /// All that may belong to a number, a date or a time.
    fn number_or_time(&mut self, first: char, column: usize) -> Result<Token, QueryError> {
        let mut run = String::from(first);
        while let Some(next) =
            self.scan.take_if(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '+' | '_'))
        {
            run.push(next);
        }
        literal(&run).map(Token::Value).ok_or_else(|| {
            syntax(column, format!("{} is neither a number nor a time", Escaped(shortened(&run).as_bytes())))
        })
    }
}

fn literal(run: &str) -> Option<Literal> {
    let digits = run.strip_prefix(['-', '+']).unwrap_or(run);
    let whole = digits.strip_suffix(['L', 'l']).unwrap_or(digits);
    if !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) {
        let sign = if run.starts_with('-') { "-" } else { "" };
        return format!("{sign}{whole}").parse().ok().map(Literal::Integer);
    }
    let real = run.strip_suffix(['d', 'D', 'f', 'F', 'm', 'M']).unwrap_or(run);
    if real.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
        && let Ok(number) = real.parse::<f64>()
    {
        return number.is_finite().then_some(Literal::Real(number));
    }
    time(run)
}

/// A time; one without a zone stays text, so that the property it is compared with decides.
fn time(text: &str) -> Option<Literal> {
    Some(match parse_time(text)? {
        restock_cim::DateTime::Local(_) => Literal::String(text.to_owned()),
        time => Literal::DateTime(time),
    })
}
