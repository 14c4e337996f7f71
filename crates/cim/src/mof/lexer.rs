//! Words of a MOF text.

use super::MofError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Integer(i128),
    Real(f64),
    Mark(char),
    End,
}

/// Takes `text` apart; every token has its line.
pub(super) fn tokens(file: &str, text: &str) -> Result<Vec<(Token, usize)>, MofError> {
    let mut lexer = Lexer { file, rest: text, line: 1 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank()?;
        let line = lexer.line;
        let token = lexer.next()?;
        let is_end = token == Token::End;
        tokens.push((token, line));
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    file: &'a str,
    rest: &'a str,
    line: usize,
}

impl Lexer<'_> {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T, MofError> {
        Err(MofError::new(self.file, self.line, what))
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let found = chars.next()?;
        self.rest = chars.as_str();
        if found == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(found)
    }

    fn skip_blank(&mut self) -> Result<(), MofError> {
        loop {
            if self.rest.starts_with(|c: char| c.is_ascii_whitespace()) {
                self.bump();
            } else if self.rest.starts_with("//") {
                while self.bump().is_some_and(|c| c != '\n') {}
            } else if self.rest.starts_with("/*") {
                while !self.rest.starts_with("*/") {
                    if self.bump().is_none() {
                        return self.fail("a comment does not end");
                    }
                }
                self.bump();
                self.bump();
            } else {
                return Ok(());
            }
        }
    }

    fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.rest.chars().next().filter(|c| is_part(*c)) {
            taken.push(c);
            self.bump();
        }
        taken
    }

    fn next(&mut self) -> Result<Token, MofError> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                Ok(Token::Word(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')))
            }
            '0'..='9' | '-' | '+' => self.number(),
            '"' => self.text().map(Token::Text),
            '{' | '}' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '=' => {
                self.bump();
                Ok(Token::Mark(first))
            }
            other => self.fail(format!("{other:?} does not belong into a declaration")),
        }
    }

    fn number(&mut self) -> Result<Token, MofError> {
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'));
        let whole = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
            Some(digits) => i128::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        };
        match whole {
            Some(number) => Ok(Token::Integer(number)),
            None => match word.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Token::Real(number)),
                _ => self.fail(format!("{word:.40?} is no number")),
            },
        }
    }

    fn text(&mut self) -> Result<String, MofError> {
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                Some('"') => return Ok(text),
                Some('\\') => match self.bump() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c @ ('"' | '\'' | '\\')) => text.push(c),
                    _ => return self.fail("unknown escape in a text"),
                },
                Some('\n') | None => return self.fail("a text does not end"),
                Some(c) => text.push(c),
            }
        }
    }
}
