//! Operands and literals get their types.

use super::{Found, Resolver, Sources, clock, find, mistyped, unsupported};
use crate::query::resolved::{Bound, Domain, Expression, Field};
use crate::query::{Column, DateUnit, Literal, Operand, QueryError};
use crate::{CimType, DataType, Property};

/// An operand that is no time.
pub(super) enum Typed {
    /// A literal, whose type its neighbour decides.
    Literal(Literal),
    /// A single value.
    Single(Expression, Domain),
    /// An array and the domain of its elements.
    Array(Field, Domain),
}

/// A literal beside a value of some domain.
pub(super) enum Converted {
    /// A value, of the domain stated with it: a number with a fraction turns whole numbers to it.
    Value(Bound, Domain),
    /// A whole number above all that are stored.
    Above,
    /// A whole number below all that are stored.
    Below,
}

pub(super) fn property(sources: Sources<'_>, field: Field) -> Option<&Property> {
    sources.get(field.source)?.class.properties.get(field.property)
}

/// How values of a type are compared; `None` when they are not.
fn domain(data_type: &DataType) -> Option<Domain> {
    Some(match data_type.cim {
        CimType::Boolean => Domain::Boolean,
        // Bytes are not taken apart.
        CimType::UInt8 if data_type.is_array => return None,
        CimType::UInt8
        | CimType::UInt16
        | CimType::UInt32
        | CimType::UInt64
        | CimType::SInt8
        | CimType::SInt16
        | CimType::SInt32
        | CimType::SInt64
        | CimType::Char16 => Domain::Integer,
        CimType::Real32 | CimType::Real64 => Domain::Real,
        CimType::String | CimType::Reference => Domain::Text,
        CimType::DateTime => Domain::Time,
        CimType::Object => return None,
    })
}

pub(super) fn domain_name(domain: Domain) -> &'static str {
    match domain {
        Domain::Text => "text",
        Domain::Integer => "a whole number",
        Domain::Real => "a number",
        Domain::Boolean => "TRUE or FALSE",
        Domain::Time => "a time",
    }
}

/// The operand, for messages.
pub(super) fn describe(operand: &Operand) -> String {
    match operand {
        Operand::Column(Column { alias: Some(alias), property }) => format!("{alias}.{property}"),
        Operand::Column(Column { alias: None, property }) => property.to_string(),
        Operand::Literal(literal) => describe_literal(literal),
        Operand::Upper(_) => "UPPER(…)".to_owned(),
        Operand::Lower(_) => "LOWER(…)".to_owned(),
        Operand::Substring(..) => "SUBSTRING(…)".to_owned(),
        Operand::GetDate => "GetDate()".to_owned(),
        Operand::DatePart(..) => "DatePart(…)".to_owned(),
        Operand::DateDiff(..) => "DateDiff(…)".to_owned(),
        Operand::DateAdd(..) => "DateAdd(…)".to_owned(),
    }
}

fn describe_literal(literal: &Literal) -> String {
    const CHARACTERS_MAX: usize = 64;
    match literal {
        Literal::Null => "NULL".to_owned(),
        Literal::Boolean(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        Literal::Integer(number) => number.to_string(),
        Literal::Real(number) => number.to_string(),
        Literal::String(text) => format!("{:?}", text.chars().take(CHARACTERS_MAX).collect::<String>()),
        Literal::DateTime(time) => time.to_string(),
    }
}

/// Gives a literal the type of what it is compared with.
pub(super) fn convert(literal: &Literal, domain: Domain, beside: &Operand) -> Result<Converted, QueryError> {
    let value = match (domain, literal) {
        (Domain::Text, Literal::String(text)) => Some(Bound::Text(text.clone())),
        (Domain::Integer, Literal::Integer(number)) => return Ok(whole(*number)),
        (Domain::Integer, Literal::String(text)) => match text.trim().parse::<i128>() {
            Ok(number) => return Ok(whole(number)),
            Err(_) => {
                return real(text)
                    .map(|n| Converted::Value(Bound::Real(n), Domain::Real))
                    .ok_or_else(|| wrong(literal, domain, beside));
            }
        },
        (Domain::Integer | Domain::Real, Literal::Real(number)) => {
            return Ok(Converted::Value(Bound::Real(*number), Domain::Real));
        }
        (Domain::Real, Literal::Integer(number)) => Some(Bound::Real(nearest(*number))),
        (Domain::Real, Literal::String(text)) => real(text).map(Bound::Real),
        (Domain::Boolean, Literal::Boolean(value)) => Some(Bound::Boolean(*value)),
        (Domain::Boolean, Literal::Integer(0)) => Some(Bound::Boolean(false)),
        (Domain::Boolean, Literal::Integer(1)) => Some(Bound::Boolean(true)),
        (Domain::Boolean, Literal::String(text)) => boolean(text),
        _ => None,
    };
    value.map(|value| Converted::Value(value, domain)).ok_or_else(|| wrong(literal, domain, beside))
}

fn wrong(literal: &Literal, domain: Domain, beside: &Operand) -> QueryError {
    let literal = describe_literal(literal);
    mistyped(format!("{} is {} and cannot be compared with {literal}", describe(beside), domain_name(domain)))
}

fn whole(number: i128) -> Converted {
    match i64::try_from(number) {
        Ok(number) => Converted::Value(Bound::Integer(number), Domain::Integer),
        Err(_) if number < 0 => Converted::Below,
        Err(_) => Converted::Above,
    }
}

#[expect(clippy::cast_precision_loss, reason = "the nearest number is meant")]
pub(super) fn nearest(number: i128) -> f64 {
    number as f64
}

fn real(text: &str) -> Option<f64> {
    let is_number =
        text.trim().bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    text.trim().parse::<f64>().ok().filter(|number| is_number && number.is_finite())
}

fn boolean(text: &str) -> Option<Bound> {
    let is = |names: [&str; 2]| names.iter().any(|name| text.trim().eq_ignore_ascii_case(name));
    if is(["true", "1"]) {
        Some(Bound::Boolean(true))
    } else if is(["false", "0"]) {
        Some(Bound::Boolean(false))
    } else {
        None
    }
}

impl Resolver<'_> {
    /// The operand with its type; times are asked for by [`Resolver::time`] before.
    pub(super) fn typed(&self, sources: Sources<'_>, operand: &Operand) -> Result<Typed, QueryError> {
        match operand {
            Operand::Literal(literal) => Ok(Typed::Literal(literal.clone())),
            Operand::Column(column) => self.column(sources, column, operand),
            Operand::Upper(inner) => self.changed(sources, inner, Expression::Upper),
            Operand::Lower(inner) => self.changed(sources, inner, Expression::Lower),
            Operand::Substring(text, start, length) => {
                let start = Box::new(self.whole_number(sources, start)?);
                let length = Box::new(self.whole_number(sources, length)?);
                if matches!(*length, Expression::Value(Bound::Integer(..0))) {
                    return Err(mistyped("the length of a SUBSTRING cannot be negative"));
                }
                self.changed(sources, text, |text| Expression::Substring { text, start, length })
            }
            Operand::GetDate | Operand::DateAdd(..) => {
                let clock = self.clock_of(sources, operand).unwrap_or(self.ambient.get());
                let time = self.time(sources, operand, clock)?;
                Ok(Typed::Single(self.clock_digits(time, clock)?, Domain::Time))
            }
            Operand::DatePart(unit, of) => {
                let clock = self.clock_of(sources, of).unwrap_or(self.ambient.get());
                let time = self.time(sources, of, clock)?;
                let part = match self.clock_digits(time, clock)? {
                    Expression::Value(Bound::Time(digits)) => {
                        Expression::Value(Bound::Integer(clock::part(*unit, digits)))
                    }
                    digits => Expression::DatePart { unit: *unit, clock: Box::new(digits) },
                };
                Ok(Typed::Single(part, Domain::Integer))
            }
            Operand::DateDiff(unit, from, to) => self.difference(sources, *unit, from, to, operand),
        }
    }

    fn difference(
        &self,
        sources: Sources<'_>,
        unit: DateUnit,
        from: &Operand,
        to: &Operand,
        whole: &Operand,
    ) -> Result<Typed, QueryError> {
        let clock = self.clock_of(sources, whole).unwrap_or(self.ambient.get());
        let border = |operand| -> Result<Expression, QueryError> {
            let time = self.time(sources, operand, clock)?;
            Ok(match self.clock_digits(time, clock)? {
                Expression::Value(Bound::Time(digits)) => {
                    Expression::Value(Bound::Integer(clock::border(unit, digits)))
                }
                digits => Expression::Border { unit, clock: Box::new(digits) },
            })
        };
        let difference = match (border(to)?, border(from)?) {
            (Expression::Value(Bound::Integer(to)), Expression::Value(Bound::Integer(from))) => {
                Expression::Value(Bound::Integer(to.saturating_sub(from)))
            }
            (to, from) => Expression::Difference(Box::new(to), Box::new(from)),
        };
        Ok(Typed::Single(difference, Domain::Integer))
    }

    fn column(&self, sources: Sources<'_>, column: &Column, operand: &Operand) -> Result<Typed, QueryError> {
        let field = match find(sources, column)? {
            Found::Field(field) => field,
            Found::Class(source) => {
                let known =
                    sources.get(source).filter(|source| !source.is_polymorphic() && !source.is_optional);
                let expression = match known {
                    Some(source) => Expression::Value(Bound::Text(source.class.name.to_string())),
                    None => Expression::ClassName { source },
                };
                return Ok(Typed::Single(expression, Domain::Text));
            }
        };
        let data_type = &property(sources, field).expect("a field was just found").data_type;
        match domain(data_type) {
            Some(domain) if data_type.is_array => Ok(Typed::Array(field, domain)),
            Some(domain) => Ok(Typed::Single(Expression::Field(field), domain)),
            None => {
                let what = match data_type.cim {
                    CimType::Object => "holds objects",
                    _ => "holds bytes",
                };
                Err(mistyped(format!("{} {what} and can only be tested with IS NULL", describe(operand))))
            }
        }
    }

    /// A function of a text.
    fn changed(
        &self,
        sources: Sources<'_>,
        text: &Operand,
        make: impl FnOnce(Box<Expression>) -> Expression,
    ) -> Result<Typed, QueryError> {
        match self.typed(sources, text)? {
            Typed::Literal(Literal::String(text)) => {
                Ok(Typed::Single(make(Box::new(Expression::Value(Bound::Text(text)))), Domain::Text))
            }
            Typed::Single(text, Domain::Text) => Ok(Typed::Single(make(Box::new(text)), Domain::Text)),
            _ => Err(mistyped(format!("{} is no text", describe(text)))),
        }
    }

    /// An operand that is a whole number.
    pub(super) fn whole_number(
        &self,
        sources: Sources<'_>,
        operand: &Operand,
    ) -> Result<Expression, QueryError> {
        match self.typed(sources, operand)? {
            Typed::Literal(Literal::Integer(number)) => match i64::try_from(number) {
                Ok(number) => Ok(Expression::Value(Bound::Integer(number))),
                Err(_) => Err(mistyped(format!("{number} is too large"))),
            },
            Typed::Single(expression, Domain::Integer) => Ok(expression),
            _ => Err(mistyped(format!("{} is no whole number", describe(operand)))),
        }
    }

    /// An operand with a single value that needs no neighbour to have a type.
    pub(super) fn single(&self, sources: Sources<'_>, operand: &Operand) -> Result<Expression, QueryError> {
        match self.typed(sources, operand)? {
            Typed::Single(expression, _) => Ok(expression),
            Typed::Array(..) => Err(mistyped(format!("{} has many values", describe(operand)))),
            Typed::Literal(_) => Err(unsupported(format!("{} cannot stand here", describe(operand)))),
        }
    }
}
