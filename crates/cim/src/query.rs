//! The one syntax tree of queries: WQL, extended WQL and OData options become it.
//!
//! A [`Query`] is what was written; nothing in it was looked up yet. Names keep the spelling of
//! the text and are compared without case.

mod associations;
mod error;
pub mod limits;
mod resolve;
mod resolved;
pub mod scan;
pub mod wql;

pub use error::{QueryError, QueryErrorKind};
pub use resolve::{ResolveAt, parse_time, resolve};
pub use resolved::{
    Bound, ClockOffset, Domain, Expression, Field, Filter, JoinTo, OrderBy, Resolved, Selection, Shape,
    Source,
};

use crate::{DateTime, Name};

/// A query as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// `SELECT DISTINCT`.
    pub is_distinct: bool,
    /// What each row shows.
    pub select: Select,
    /// The classes.
    pub from: From,
    /// `WHERE`, `$filter`.
    pub filter: Option<Condition>,
    /// `ORDER BY`, `$orderby`.
    pub order: Vec<Order>,
    /// At most so many rows (`$top`); `None` means all.
    pub limit: Option<u64>,
    /// Rows left out at the beginning (`$skip`).
    pub offset: u64,
}

/// What each row shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Select {
    /// `*`.
    All,
    /// `COUNT(*)` or `COUNT(column)`.
    Count(Option<Column>),
    /// Columns, in order; a lone `a.*` is one too.
    Columns(Vec<Selected>),
}

/// One item of a select list.
#[derive(Debug, Clone, PartialEq)]
pub enum Selected {
    /// `a.*`.
    AllOf(Name),
    /// A property.
    Column(Column),
}

/// A property, with the alias of its class when one was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// `p` in `p.PackageID`.
    pub alias: Option<Name>,
    /// The property, or `__CLASS`.
    pub property: Name,
}

/// The classes of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct From {
    /// The first class.
    pub first: ClassReference,
    /// Those joined to it, in order. A comma is an [`JoinKind::Inner`] without a condition.
    pub joins: Vec<Join>,
}

/// A class and the name it has in the query (its own when no alias was given).
#[derive(Debug, Clone, PartialEq)]
pub struct ClassReference {
    /// The class.
    pub class: Name,
    /// Its name in the query.
    pub alias: Name,
}

/// One `JOIN`.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    /// Which rows without a partner stay.
    pub kind: JoinKind,
    /// The class joined.
    pub right: ClassReference,
    /// `ON`.
    pub on: Option<Condition>,
}

/// Which rows without a partner stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// None.
    Inner,
    /// Those of the left side.
    Left,
    /// Those of the right side.
    Right,
    /// Those of both sides.
    Full,
}

/// `ORDER BY` of one operand.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// What is ordered by.
    pub by: Operand,
    /// `DESC`.
    pub is_descending: bool,
}

/// A condition. `And` and `Or` hold at least two parts, none of them of the same kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// All parts hold.
    And(Vec<Condition>),
    /// A part holds.
    Or(Vec<Condition>),
    /// The part does not hold.
    Not(Box<Condition>),
    /// A comparison. With an array on the left, `=` asks for membership.
    Compare(Operand, Comparison, Operand),
    /// `LIKE`: the text has the form of the pattern.
    Like(Operand, Pattern),
    /// `IN (…)` with literals.
    In(Operand, Vec<Literal>),
    /// `IN (SELECT …)`.
    InQuery(Operand, Box<Query>),
    /// `IS NULL`, `eq null`.
    IsNull(Operand),
    /// `ISA`, or `__CLASS = 'X'` is a comparison of `__CLASS` instead.
    IsA(Name, Name),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Something with a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A property of a class in `FROM`.
    Column(Column),
    /// A value that was written.
    Literal(Literal),
    /// `UPPER(x)`.
    Upper(Box<Operand>),
    /// `LOWER(x)`.
    Lower(Box<Operand>),
    /// `SUBSTRING(x, start, length)`, the first character being 1.
    Substring(Box<Operand>, Box<Operand>, Box<Operand>),
    /// `GetDate()`: the time of the request.
    GetDate,
    /// `DatePart(unit, x)`.
    DatePart(DateUnit, Box<Operand>),
    /// `DateDiff(unit, from, to)`: borders of the unit that lie between.
    DateDiff(DateUnit, Box<Operand>, Box<Operand>),
    /// `DateAdd(unit, number, x)`.
    DateAdd(DateUnit, Box<Operand>, Box<Operand>),
}

/// The units of date functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say it")]
pub enum DateUnit {
    Year,
    Quarter,
    Month,
    DayOfYear,
    Day,
    Week,
    WeekDay,
    Hour,
    Minute,
    Second,
    Millisecond,
}

impl DateUnit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Year,
        Self::Quarter,
        Self::Month,
        Self::DayOfYear,
        Self::Day,
        Self::Week,
        Self::WeekDay,
        Self::Hour,
        Self::Minute,
        Self::Second,
        Self::Millisecond,
    ];
}

/// A value that was written. Text that stands where a time is wanted becomes one on resolving.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `NULL`.
    Null,
    /// `TRUE`, `FALSE`.
    Boolean(bool),
    /// A whole number; both 64-bit ranges fit.
    Integer(i128),
    /// A number with a fraction or an exponent.
    Real(f64),
    /// Text.
    String(String),
    /// A time (OData literals; text in WQL becomes one on resolving).
    DateTime(DateTime),
}

/// The pattern of a `LIKE`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub Vec<PatternPart>);

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternPart {
    /// These characters.
    Text(String),
    /// `%`: any characters or none.
    Any,
    /// `_`: one character.
    One,
    /// `[a-c]`, `[^a-c]`: one character that lies, or does not lie, in one of the ranges.
    Set {
        /// `^`.
        is_negated: bool,
        /// First and last character of each range.
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// A pattern in its one form: texts side by side are one, `%%` is `%`, a set of one character
    /// is text.
    pub fn new(parts: impl IntoIterator<Item = PatternPart>) -> Self {
        let mut made: Vec<PatternPart> = Vec::new();
        for part in parts {
            let part = match part {
                PatternPart::Set { is_negated: false, ranges } => match ranges.as_slice() {
                    [(first, last)] if first == last => PatternPart::Text((*first).into()),
                    _ => PatternPart::Set { is_negated: false, ranges },
                },
                other => other,
            };
            match (made.last_mut(), part) {
                (_, PatternPart::Text(text)) if text.is_empty() => {}
                (Some(PatternPart::Text(before)), PatternPart::Text(text)) => before.push_str(&text),
                (Some(PatternPart::Any), PatternPart::Any) => {}
                (_, part) => made.push(part),
            }
        }
        Self(made)
    }
}

impl Condition {
    /// All of these: parts that are `And` themselves are taken in, a single one stays as it is.
    pub fn and(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::And(inner) => inner,
            other => vec![other],
        });
        Self::single_or(flat.collect(), Self::And)
    }

    /// One of these, in the same way.
    pub fn or(parts: Vec<Self>) -> Self {
        let flat = parts.into_iter().flat_map(|part| match part {
            Self::Or(inner) => inner,
            other => vec![other],
        });
        Self::single_or(flat.collect(), Self::Or)
    }

    fn single_or(mut parts: Vec<Self>, many: fn(Vec<Self>) -> Self) -> Self {
        match parts.len() {
            1 => parts.remove(0),
            _ => many(parts),
        }
    }

    /// A comparison; `=` and `<>` with `NULL` are [`Condition::IsNull`] and its opposite.
    pub fn compare(left: Operand, comparison: Comparison, right: Operand) -> Self {
        let null = Operand::Literal(Literal::Null);
        let (left, right, comparison) =
            if left == null { (right, left, comparison.turned()) } else { (left, right, comparison) };
        match comparison {
            Comparison::Equal if right == null => Self::IsNull(left),
            Comparison::NotEqual if right == null => Self::Not(Box::new(Self::IsNull(left))),
            _ => Self::Compare(left, comparison, right),
        }
    }
}

impl Comparison {
    /// The same with its sides exchanged.
    pub fn turned(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

impl Operand {
    /// A property of the only class.
    pub fn column(property: &str) -> Self {
        Self::Column(Column { alias: None, property: property.into() })
    }
}

impl Query {
    /// `SELECT * FROM class`.
    pub fn all_of(class: Name) -> Self {
        Self {
            is_distinct: false,
            select: Select::All,
            from: From { first: ClassReference { alias: class.clone(), class }, joins: Vec::new() },
            filter: None,
            order: Vec::new(),
            limit: None,
            offset: 0,
        }
    }
}
