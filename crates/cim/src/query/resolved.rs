//! A query whose names were found and whose types were checked.
//!
//! [`Resolved`] is all that a compiler to SQL needs, so that it translates without deciding
//! anything: properties are numbers into their class, literals have the type of what they are
//! compared with, texts that name a time became UTC microseconds, and `=` on an array became
//! [`Filter::Contains`]. It is made by [`super::resolve()`] alone.
//!
//! What it does not hold: rights (they are added by whoever may read) and the text of the query.
//!
//! # Meaning of values
//! A truth value may be unknown, as in SQL: a comparison with `NULL` is. Rows are shown when the
//! filter is true. Text is compared without letter case everywhere.

use std::sync::Arc;

use super::{Comparison, DateUnit, JoinKind, Pattern};
use crate::{Class, Name, Property};

/// A query that is ready to be restricted and translated.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Equal rows are shown once.
    pub is_distinct: bool,
    /// The classes, the first one and then those joined to what stands before them. Never empty.
    pub sources: Vec<Source>,
    /// What is read of each row.
    pub selection: Selection,
    /// Which rows are read. All literal values are within.
    pub filter: Option<Filter>,
    /// In which order; empty means any.
    pub order: Vec<OrderBy>,
    /// At most so many rows.
    pub limit: Option<u64>,
    /// Rows left out at the beginning.
    pub offset: u64,
    /// What a row becomes.
    pub shape: Shape,
}

/// One class of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The class, as written in the query.
    pub class: Arc<Class>,
    /// Its name in the query; no two sources have the same.
    pub alias: Name,
    /// The classes of which instances can exist: the class itself unless it is abstract, then its
    /// subclasses that are not, in the order of the schema. Exactly `[class]` for most; empty for
    /// an abstract class without any.
    pub concrete: Vec<Arc<Class>>,
    /// How it is joined to the sources before it; `None` for the first alone.
    pub join: Option<JoinTo>,
    /// An outer join may leave it out of a row: its embedded object is then `NULL`.
    pub is_optional: bool,
    /// All of it is selected, by `*`: rows of subclasses come with the properties of their own class.
    pub is_whole: bool,
}

impl Source {
    /// True when rows may be of different classes: the view then has a column `__CLASS`.
    pub fn is_polymorphic(&self) -> bool {
        !matches!(self.concrete.as_slice(), [only] if Arc::ptr_eq(only, &self.class))
    }
}

/// How a source is joined to those before it.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinTo {
    /// Which rows without a partner stay.
    pub kind: JoinKind,
    /// Names only this source and those before it. `None` for a comma.
    pub on: Option<Filter>,
}

/// A property of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field {
    /// Place in [`Resolved::sources`] of the same query.
    pub source: usize,
    /// Place in the [`Class::properties`] of [`Source::class`].
    pub property: usize,
}

/// What is read of each row.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// The number of rows.
    CountRows,
    /// The number of rows in which the field is not `NULL`.
    CountField(Field),
    /// These properties, without repetition, in the order of the select list (`*` being all
    /// properties of its class, lazy ones among them: reading them is the caller's choice).
    ///
    /// It may be empty (`SELECT __CLASS`): rows then have only their class. The class of a
    /// [`Source::is_polymorphic`] row is read along with it, listed or not.
    Fields(Vec<Field>),
}

/// What a row becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// An instance of the class of this source (of its own class when polymorphic).
    Instance {
        /// Place in [`Resolved::sources`].
        source: usize,
    },
    /// An instance of `__Generic` with one embedded object for each source that has a selected
    /// property; the property is named like the alias, and they stand in the order of names.
    Embedded {
        /// `__Generic` with these properties.
        class: Arc<Class>,
        /// Which source each property of `class` comes from.
        sources: Vec<usize>,
    },
    /// One instance of `__Generic` with `uint32 Count`.
    Count {
        /// `__Generic` with that property.
        class: Arc<Class>,
    },
}

/// `ORDER BY` of one expression.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderBy {
    /// What is ordered by; text without letter case.
    pub by: Expression,
    /// Descending.
    pub is_descending: bool,
}

/// In which way two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Text without letter case.
    Text,
    /// Whole numbers.
    Integer,
    /// Numbers, of which at least one may have a fraction.
    Real,
    /// 0 and 1.
    Boolean,
    /// Microseconds.
    Time,
}

/// A value bound to a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Real(f64),
    /// Bound as 0 or 1.
    Boolean(bool),
    /// UTC microseconds; within a [`Expression::DatePart`] or [`Expression::Border`], those of
    /// the clock that is asked. Bound as a whole number.
    Time(i64),
}

/// A condition on a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All hold; at least two.
    And(Vec<Filter>),
    /// One holds; at least two.
    Or(Vec<Filter>),
    /// It does not hold; unknown stays unknown.
    Not(Box<Filter>),
    /// Known before a row is read.
    Constant(bool),
    /// A comparison of single values.
    Compare {
        /// How both sides are compared; both are of it, except that in [`Domain::Real`] a side
        /// may be a whole number.
        domain: Domain,
        /// The left side, never a value when the right side is none.
        left: Expression,
        /// Which.
        comparison: Comparison,
        /// The right side.
        right: Expression,
    },
    /// A text has the form of a pattern.
    Like {
        /// A text.
        text: Expression,
        /// Its form, without letter case.
        pattern: Pattern,
    },
    /// A value is one of the list.
    In {
        /// As in [`Filter::Compare`].
        domain: Domain,
        /// What is looked for; never a value.
        operand: Expression,
        /// The list; not empty, all of the domain.
        values: Vec<Bound>,
    },
    /// A value is one of those another query gives.
    InQuery {
        /// As in [`Filter::Compare`].
        domain: Domain,
        /// What is looked for.
        operand: Expression,
        /// Selects exactly one field and names no source outside itself.
        query: Box<Resolved>,
    },
    /// An array has an element of this value: `Arr = 'v'`, `Arr IN (…)`. Unknown for `NULL`.
    Contains {
        /// The domain of its elements.
        domain: Domain,
        /// A field whose type is an array of simple values (the view has JSON text for it);
        /// never of bytes.
        array: Field,
        /// The values of which one must be an element; not empty.
        values: Vec<Bound>,
    },
    /// An array has an element that another query gives.
    ContainsQuery {
        /// The domain of its elements.
        domain: Domain,
        /// As in [`Filter::Contains`].
        array: Field,
        /// As in [`Filter::InQuery`].
        query: Box<Resolved>,
    },
    /// An array has an element of this form.
    ContainsLike {
        /// An array of text.
        array: Field,
        /// As in [`Filter::Like`].
        pattern: Pattern,
    },
    /// There is no value.
    IsNull(Expression),
    /// The instance is of one of these classes, which are some of [`Source::concrete`]
    /// (`ISA`); not empty.
    IsClass {
        /// A polymorphic source.
        source: usize,
        /// The classes.
        classes: Vec<Name>,
    },
}

/// Something with a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A property.
    Field(Field),
    /// The name of the class of a polymorphic or optional source: its column `__CLASS`, or a
    /// constant where the source has one class.
    ClassName {
        /// Place in [`Resolved::sources`].
        source: usize,
    },
    /// A value.
    Value(Bound),
    /// A text in capital letters.
    Upper(Box<Expression>),
    /// A text in small letters.
    Lower(Box<Expression>),
    /// A part of a text.
    Substring {
        /// The text.
        text: Box<Expression>,
        /// First character, 1 being the first of the text; characters before it do not exist but
        /// count (`SUBSTRING('abc', 0, 2)` is `a`).
        start: Box<Expression>,
        /// How many; never negative when it is a value.
        length: Box<Expression>,
    },
    /// The digits that the site's clock showed at a UTC time: `time` plus the offset that was
    /// valid then.
    LocalClock {
        /// A time.
        time: Box<Expression>,
        /// Ascending in `from`, not empty; the first one is valid before its `from` too.
        offsets: Arc<[ClockOffset]>,
    },
    /// A part of the digits of a clock: microseconds since 1970-01-01 00:00 by that clock.
    /// A whole number: Year 2026, Quarter 1-4, Month 1-12, DayOfYear 1-366, Day 1-31,
    /// Week 1-54 (weeks begin on Sunday, 1 January lies in week 1), WeekDay 1-7 (Sunday is 1),
    /// Hour, Minute, Second, Millisecond 0-999.
    DatePart {
        /// Which part.
        unit: DateUnit,
        /// Microseconds of a clock.
        clock: Box<Expression>,
    },
    /// The number of the unit that the digits of a clock lie in, all being numbered in one row:
    /// the year; years × 4 + quarter; years × 12 + month; days since 1970-01-01 (also for DayOfYear
    /// and WeekDay); days since 1969-12-28, a Sunday, divided by 7 and rounded down; hours,
    /// minutes, seconds and milliseconds since 1970-01-01 00:00, rounded down. `DateDiff` is the
    /// difference of two of them, of which one may be known already.
    Border {
        /// Which unit.
        unit: DateUnit,
        /// Microseconds of a clock.
        clock: Box<Expression>,
    },
    /// The first less the second, whole numbers both.
    Difference(Box<Expression>, Box<Expression>),
    /// `time` plus `number` × `unit_us`.
    Shift {
        /// A time, in microseconds.
        time: Box<Expression>,
        /// A whole number.
        number: Box<Expression>,
        /// Microseconds of the unit.
        unit_us: i64,
    },
}

/// From when on a clock is how far from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// UTC microseconds.
    pub from: i64,
    /// Microseconds added to UTC.
    pub offset_us: i64,
}

impl Resolved {
    /// The property a field names.
    ///
    /// Errors: `None` when the field is of another query.
    pub fn property(&self, field: Field) -> Option<&Property> {
        self.sources.get(field.source)?.class.properties.get(field.property)
    }

    /// The class of the rows.
    pub fn class(&self) -> Option<&Arc<Class>> {
        match &self.shape {
            Shape::Instance { source } => self.sources.get(*source).map(|source| &source.class),
            Shape::Embedded { class, .. } | Shape::Count { class } => Some(class),
        }
    }

    /// Sources in groups that comparisons for equality connect; several groups are a product of
    /// all their rows.
    ///
    /// Shape: each source once; groups in the order of their first source. Only conditions that
    /// every row must meet count: parts of `AND` in `WHERE` and in `ON`.
    pub fn connected(&self) -> Vec<Vec<usize>> {
        let mut group: Vec<usize> = (0..self.sources.len()).collect();
        let conditions = self
            .sources
            .iter()
            .filter_map(|source| source.join.as_ref().and_then(|join| join.on.as_ref()))
            .chain(&self.filter);
        for condition in conditions {
            for (a, b) in equalities(condition) {
                let (Some(&from), Some(&to)) = (group.get(a), group.get(b)) else { continue };
                group.iter_mut().filter(|entry| **entry == from).for_each(|entry| *entry = to);
            }
        }
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for (source, id) in group.into_iter().enumerate() {
            match groups.iter_mut().find(|(known, _)| *known == id) {
                Some((_, members)) => members.push(source),
                None => groups.push((id, vec![source])),
            }
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }
}

/// Pairs of sources that a condition makes equal in a property.
fn equalities(condition: &Filter) -> Vec<(usize, usize)> {
    match condition {
        Filter::And(parts) => parts.iter().flat_map(equalities).collect(),
        Filter::Compare {
            left: Expression::Field(a),
            comparison: Comparison::Equal,
            right: Expression::Field(b),
            ..
        } => vec![(a.source, b.source)],
        _ => Vec::new(),
    }
}
