//! Operands: properties, values and functions.

use super::{Parser, Token};
use crate::query::wql::lexer::shown;
use crate::query::{DateUnit, Literal, Operand, QueryError, QueryErrorKind, limits};

/// Names of date units, the first of each unit being the one that is printed.
pub(in crate::query::wql) const UNITS: &[(DateUnit, &[&str])] = &[
    (DateUnit::Year, &["year", "yy", "yyyy"]),
    (DateUnit::Quarter, &["quarter", "qq", "q"]),
    (DateUnit::Month, &["month", "mm", "m"]),
    (DateUnit::DayOfYear, &["dayofyear", "dy", "y"]),
    (DateUnit::Day, &["day", "dd", "d"]),
    (DateUnit::Week, &["week", "wk", "ww"]),
    (DateUnit::WeekDay, &["weekday", "dw", "w"]),
    (DateUnit::Hour, &["hour", "hh"]),
    (DateUnit::Minute, &["minute", "mi", "n"]),
    (DateUnit::Second, &["second", "ss", "s"]),
    (DateUnit::Millisecond, &["millisecond", "ms"]),
];

impl Parser {
    pub(super) fn count_value(&mut self) -> Result<(), QueryError> {
        self.used.values = self.used.values.saturating_add(1);
        if self.used.values > limits::VALUES_MAX {
            return Err(self.over("values", limits::VALUES_MAX));
        }
        Ok(())
    }

    /// A value, when one comes.
    pub(super) fn literal(&mut self) -> Result<Option<Literal>, QueryError> {
        let literal = match self.token() {
            Token::Text(text) => Literal::String(text.clone()),
            Token::Integer(number) => Literal::Integer(*number),
            Token::Real(number) => Literal::Real(*number),
            Token::Word(word) if word.eq_ignore_ascii_case("NULL") => Literal::Null,
            Token::Word(word) if word.eq_ignore_ascii_case("TRUE") => Literal::Boolean(true),
            Token::Word(word) if word.eq_ignore_ascii_case("FALSE") => Literal::Boolean(false),
            _ => return Ok(None),
        };
        self.count_value()?;
        self.advance();
        Ok(Some(literal))
    }

    pub(super) fn operand(&mut self) -> Result<Operand, QueryError> {
        if let Some(literal) = self.literal()? {
            return Ok(Operand::Literal(literal));
        }
        match self.token() {
            Token::Word(word) if *self.ahead(1) == Token::Open => {
                let function = word.to_ascii_uppercase();
                self.function(&function)
            }
            Token::Open if self.is_word_ahead(1, "SELECT") => {
                let what = "a SELECT is supported only after IN";
                Err(self.fault(QueryErrorKind::Unsupported, what))
            }
            Token::Open => {
                self.advance();
                let inner = self.deeper(Self::operand)?;
                self.need(&Token::Close)?;
                Ok(inner)
            }
            Token::Word(_) => Ok(Operand::Column(self.column_name()?)),
            _ => Err(self.expected("a property, a value or a function")),
        }
    }

    fn function(&mut self, function: &str) -> Result<Operand, QueryError> {
        if !["UPPER", "LOWER", "SUBSTRING", "GETDATE", "DATEPART", "DATEDIFF", "DATEADD"].contains(&function)
        {
            let what = format!("the function {} is not supported", shown(function));
            return Err(self.fault(QueryErrorKind::Unsupported, what));
        }
        self.advance();
        self.advance();
        let made = self.deeper(|parser| parser.arguments(function))?;
        self.need(&Token::Close)?;
        Ok(made)
    }

    fn arguments(&mut self, function: &str) -> Result<Operand, QueryError> {
        Ok(match function {
            "UPPER" => Operand::Upper(Box::new(self.operand()?)),
            "LOWER" => Operand::Lower(Box::new(self.operand()?)),
            "SUBSTRING" => {
                let text = Box::new(self.operand()?);
                Operand::Substring(text, self.argument()?, self.argument()?)
            }
            "DATEPART" => {
                let unit = self.unit()?;
                Operand::DatePart(unit, self.argument()?)
            }
            "DATEDIFF" => {
                let unit = self.unit()?;
                Operand::DateDiff(unit, self.argument()?, self.argument()?)
            }
            "DATEADD" => {
                let unit = self.unit()?;
                Operand::DateAdd(unit, self.argument()?, self.argument()?)
            }
            _ => Operand::GetDate,
        })
    }

    /// A comma and the argument after it.
    fn argument(&mut self) -> Result<Box<Operand>, QueryError> {
        self.need(&Token::Comma)?;
        self.operand().map(Box::new)
    }

    /// A unit, with or without quotes.
    fn unit(&mut self) -> Result<DateUnit, QueryError> {
        let unit = match self.token() {
            Token::Word(word) | Token::Text(word) => UNITS
                .iter()
                .find(|(_, names)| names.iter().any(|name| name.eq_ignore_ascii_case(word)))
                .map(|(unit, _)| *unit),
            _ => None,
        };
        let unit = unit.ok_or_else(|| self.expected("a unit from year to millisecond"))?;
        self.advance();
        Ok(unit)
    }
}
