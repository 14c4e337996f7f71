//! Tokens of WQL.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

use std::fmt;

use crate::query::scan::{self, Scanner};
use crate::query::{QueryError, QueryErrorKind};

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword.
    Word(String),
    /// A text, its escapes taken out.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction or an exponent.
    Real(f64),
    /// The inside of `{…}`.
    Braced(String),
    Comma,
    Dot,
    Open,
    Close,
    Star,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The end of the text.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = match self {
            Self::Word(word) => return write!(f, "{}", shown(word)),
            Self::Text(_) => "a text",
            Self::Integer(number) => return write!(f, "{number}"),
            Self::Real(number) => return write!(f, "{number}"),
            Self::Braced(_) => "{…}",
            Self::Comma => ",",
            Self::Dot => ".",
            Self::Open => "(",
            Self::Close => ")",
            Self::Star => "*",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::End => "the end",
        };
        f.write_str(symbol)
    }
}

/// The beginning of a word, for a message.
pub(super) fn shown(word: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    match word.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", word.get(..end).unwrap_or_default()),
        None => word.to_owned(),
    }
}

/// A token and its column.
pub(super) type Spanned = scan::Spanned<Token>;

/// Takes a text apart; the last token is [`Token::End`].
///
/// Errors: `WQL_SYNTAX` at a character that begins nothing, a text that does not end, an unknown
/// escape; the limit of the text's length.
pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, QueryError> {
    scan::tokens(text, "query", &Token::End, |scan| Lexer { scan }.token())
}

fn syntax(column: usize, message: impl Into<String>) -> QueryError {
    QueryError::at(QueryErrorKind::WqlSyntax, column, message)
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
            '.' => Token::Dot,
            '(' => Token::Open,
            ')' => Token::Close,
            '*' => Token::Star,
            '=' => Token::Equal,
            '<' if self.scan.take_if(|c| c == '=').is_some() => Token::LessOrEqual,
            '<' if self.scan.take_if(|c| c == '>').is_some() => Token::NotEqual,
            '<' => Token::Less,
            '>' if self.scan.take_if(|c| c == '=').is_some() => Token::GreaterOrEqual,
            '>' => Token::Greater,
            '!' if self.scan.take_if(|c| c == '=').is_some() => Token::NotEqual,
            '\'' | '"' => self.text(first, column)?,
            '{' => self.braced(column)?,
            '0'..='9' => self.number(first, column)?,
            '+' | '-' if self.scan.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.number(first, column)?
            }
            'a'..='z' | 'A'..='Z' | '_' => self.word(first),
            other => return Err(syntax(column, format!("unexpected character {other:?}"))),
        })
    }

    fn word(&mut self, first: char) -> Token {
        let rest = self.scan.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        let mut word = String::with_capacity(rest.len().saturating_add(1));
        word.push(first);
        word.push_str(rest);
        Token::Word(word)
    }

    fn text(&mut self, quote: char, column: usize) -> Result<Token, QueryError> {
        let mut text = String::new();
        loop {
            text.push_str(self.scan.take_while(|c| c != quote && c != '\\'));
            let at = self.scan.column();
            match self.scan.take() {
                None => {
                    return Err(syntax(column, format!("the text that begins here has no closing {quote}")));
                }
                Some(end) if end == quote => return Ok(Token::Text(text)),
                Some('\\') => match self.scan.take_if(|c| matches!(c, '\\' | '\'' | '"')) {
                    Some(escaped) => text.push(escaped),
                    None => return Err(syntax(at, r#"\ must be followed by \, ' or " (write \ as \\)"#)),
                },
                Some(other) => text.push(other),
            }
        }
    }

    /// `{…}`, quotes within it hiding a brace.
    fn braced(&mut self, column: usize) -> Result<Token, QueryError> {
        let mut text = String::new();
        let mut quote = None;
        loop {
            let Some(next) = self.scan.take() else {
                return Err(syntax(column, "the { here has no closing }"));
            };
            match (next, quote) {
                ('}', None) => return Ok(Token::Braced(text.trim().to_owned())),
                ('\'' | '"', None) => quote = Some(next),
                (_, Some(open)) if open == next => quote = None,
                ('\\', Some(_)) => {
                    text.push(next);
                    text.extend(self.scan.take());
                    continue;
                }
                _ => {}
            }
            text.push(next);
        }
    }

    fn number(&mut self, first: char, column: usize) -> Result<Token, QueryError> {
        let mut digits = String::new();
        if first != '+' {
            digits.push(first);
        }
        let mut is_real = false;
        self.digits(&mut digits);
        if self.scan.take_if(|c| c == '.').is_some() {
            is_real = true;
            digits.push('.');
            self.digits(&mut digits);
        }
        if self.scan.take_if(|c| matches!(c, 'e' | 'E')).is_some() {
            is_real = true;
            digits.push('e');
            digits.extend(self.scan.take_if(|c| matches!(c, '+' | '-')));
            self.digits(&mut digits);
        }
        if let Some(next) = self.scan.peek().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) {
            return Err(syntax(self.scan.column(), format!("unexpected {next:?} in a number")));
        }
        if is_real {
            match digits.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Token::Real(number)),
                _ => Err(syntax(column, "expected a number")),
            }
        } else {
            digits.parse().map(Token::Integer).map_err(|_overflow| syntax(column, "the number is too large"))
        }
    }

    fn digits(&mut self, into: &mut String) {
        into.push_str(self.scan.take_while(|c| c.is_ascii_digit()));
    }
}
