//! Conditions: `OR` binds weakest, then `AND`, then `NOT`.

use super::{Parser, Token};
use crate::Name;
use crate::query::wql::pattern;
use crate::query::{Comparison, Condition, Operand, QueryError, QueryErrorKind, limits};

impl Parser {
    pub(super) fn condition(&mut self) -> Result<Condition, QueryError> {
        let mut parts = vec![self.all()?];
        while self.take_word("OR") {
            parts.push(self.all()?);
        }
        Ok(Condition::or(parts))
    }

    fn all(&mut self) -> Result<Condition, QueryError> {
        let mut parts = vec![self.negated()?];
        while self.take_word("AND") {
            parts.push(self.negated()?);
        }
        Ok(Condition::and(parts))
    }

    fn negated(&mut self) -> Result<Condition, QueryError> {
        if self.take_word("NOT") {
            let inner = self.deeper(Self::negated)?;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if *self.token() == Token::Open && !self.is_operand_in_parentheses() {
            self.advance();
            let inner = self.deeper(Self::condition)?;
            self.need(&Token::Close)?;
            return Ok(inner);
        }
        self.used.conditions = self.used.conditions.saturating_add(1);
        if self.used.conditions > limits::CONDITIONS_MAX {
            return Err(self.over("conditions", limits::CONDITIONS_MAX));
        }
        self.test()
    }

    /// True when the parentheses that open here hold an operand: something is compared with them.
    fn is_operand_in_parentheses(&self) -> bool {
        let mut open = 0_usize;
        for by in 0.. {
            match self.ahead(by) {
                Token::End => return false,
                Token::Open => open = open.saturating_add(1),
                Token::Close => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                let after = by.saturating_add(1);
                let is_sign = matches!(
                    self.ahead(after),
                    Token::Equal
                        | Token::NotEqual
                        | Token::Less
                        | Token::LessOrEqual
                        | Token::Greater
                        | Token::GreaterOrEqual
                );
                return is_sign
                    || ["LIKE", "IN", "IS", "NOT"].iter().any(|word| self.is_word_ahead(after, word));
            }
        }
        false
    }

    fn test(&mut self) -> Result<Condition, QueryError> {
        if self.is_word_ahead(1, "ISA") {
            return self.is_a();
        }
        let left = self.operand()?;
        let comparison = match self.token() {
            Token::Equal => Some(Comparison::Equal),
            Token::NotEqual => Some(Comparison::NotEqual),
            Token::Less => Some(Comparison::Less),
            Token::LessOrEqual => Some(Comparison::LessOrEqual),
            Token::Greater => Some(Comparison::Greater),
            Token::GreaterOrEqual => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        if let Some(comparison) = comparison {
            self.advance();
            let right = self.operand()?;
            return Ok(Condition::compare(left, comparison, right));
        }
        if self.take_word("IS") {
            let is_not = self.take_word("NOT");
            self.need_word("NULL")?;
            return Ok(not_if(is_not, Condition::IsNull(left)));
        }
        let is_not = self.take_word("NOT");
        if self.take_word("LIKE") {
            let column = self.column();
            let Token::Text(text) = self.token() else { return Err(self.expected("a pattern in quotes")) };
            let pattern = pattern::parse(text, Some(column))?;
            self.advance();
            self.count_value()?;
            return Ok(not_if(is_not, Condition::Like(left, pattern)));
        }
        if self.take_word("IN") {
            let inner = self.list(left)?;
            return Ok(not_if(is_not, inner));
        }
        for refused in ["BETWEEN", "CONTAINS"] {
            if self.is_word(refused) {
                return Err(self.fault(QueryErrorKind::Unsupported, format!("{refused} is not supported")));
            }
        }
        Err(self.expected(if is_not { "LIKE or IN" } else { "a comparison, LIKE, IN, IS or ISA" }))
    }

    /// `alias ISA Class`, `__THIS ISA 'Class'`.
    fn is_a(&mut self) -> Result<Condition, QueryError> {
        let what = self.name("an alias or __THIS")?;
        self.need_word("ISA")?;
        let class = match self.token() {
            Token::Text(text) => {
                let name = Name::from(text.as_str());
                self.advance();
                name
            }
            _ => self.name("a class")?,
        };
        Ok(Condition::IsA(what, class))
    }

    fn list(&mut self, operand: Operand) -> Result<Condition, QueryError> {
        self.need(&Token::Open)?;
        if self.is_word("SELECT") {
            let query = self.deeper(Self::query)?;
            self.need(&Token::Close)?;
            return Ok(Condition::InQuery(operand, Box::new(query)));
        }
        let mut values = Vec::new();
        loop {
            if self.is_word("NULL") {
                let what = "NULL in a list is never equal to anything: use IS NULL";
                return Err(self.fault(QueryErrorKind::Unsupported, what));
            }
            let Some(value) = self.literal()? else { return Err(self.expected("a value")) };
            values.push(value);
            if values.len() > limits::LIST_MAX {
                return Err(self.over("values of IN", limits::LIST_MAX));
            }
            if !self.take(&Token::Comma) {
                break;
            }
        }
        self.need(&Token::Close)?;
        Ok(Condition::In(operand, values))
    }
}

fn not_if(is_not: bool, condition: Condition) -> Condition {
    if is_not { Condition::Not(Box::new(condition)) } else { condition }
}
