//! Conditions become filters.

use super::operand::{Converted, Typed, convert, describe, domain_name};
use super::time::Clock;
use super::{Found, Resolver, Sources, by_alias, clock, find, mistyped, unsupported};
use crate::Name;
use crate::query::resolved::{Bound, Domain, Expression, Field, Filter, Resolved, Selection};
use crate::query::{Comparison, Condition, Literal, Operand, Pattern, Query, QueryError, QueryErrorKind};

impl Resolver<'_> {
    pub(super) fn filter(&self, sources: Sources<'_>, condition: &Condition) -> Result<Filter, QueryError> {
        let all = |parts: &[Condition]| {
            parts.iter().map(|part| self.filter(sources, part)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match condition {
            Condition::And(parts) => Filter::And(all(parts)?),
            Condition::Or(parts) => Filter::Or(all(parts)?),
            Condition::Not(inner) => Filter::Not(Box::new(self.filter(sources, inner)?)),
            Condition::Compare(left, comparison, right) => self.compare(sources, left, *comparison, right)?,
            Condition::Like(operand, pattern) => self.like(sources, operand, pattern)?,
            Condition::In(operand, values) => self.one_of(sources, operand, values)?,
            Condition::InQuery(operand, query) => self.one_of_query(sources, operand, query)?,
            Condition::IsNull(operand) => self.is_null(sources, operand)?,
            Condition::IsA(what, class) => self.is_a(sources, what, class)?,
        })
    }

    fn compare(
        &self,
        sources: Sources<'_>,
        left: &Operand,
        comparison: Comparison,
        right: &Operand,
    ) -> Result<Filter, QueryError> {
        // `DatePart(hour, Time) = DatePart(hour, GetDate())` asks one clock on both sides.
        let clock = self.clock_of(sources, left).or_else(|| self.clock_of(sources, right));
        let before = self.ambient.replace(clock.unwrap_or(Clock::Local));
        let filter = self.compare_sides(sources, left, comparison, right);
        self.ambient.set(before);
        filter
    }

    fn compare_sides(
        &self,
        sources: Sources<'_>,
        left: &Operand,
        comparison: Comparison,
        right: &Operand,
    ) -> Result<Filter, QueryError> {
        let null = Operand::Literal(Literal::Null);
        if *left == null || *right == null {
            return match Condition::compare(left.clone(), comparison, right.clone()) {
                Condition::Compare(..) => Err(mistyped("NULL can only be compared with = and <>")),
                test => self.filter(sources, &test),
            };
        }
        if self.is_time(sources, left) || self.is_time(sources, right) {
            return self.compare_times(sources, left, comparison, right);
        }
        for (difference, comparison, with) in [(left, comparison, right), (right, comparison.turned(), left)]
        {
            if let Operand::Literal(Literal::Integer(with)) = with
                && let Ok(with) = i64::try_from(*with)
                && let Some(filter) = self.compare_difference(sources, difference, comparison, with)?
            {
                return Ok(filter);
            }
        }
        match (self.typed(sources, left)?, self.typed(sources, right)?) {
            (Typed::Literal(a), Typed::Literal(b)) => constants(&a, comparison, &b, right),
            (Typed::Literal(value), Typed::Single(expression, domain)) => {
                compared(expression, domain, comparison.turned(), &value, right)
            }
            (Typed::Single(expression, domain), Typed::Literal(value)) => {
                compared(expression, domain, comparison, &value, left)
            }
            (Typed::Single(a, a_domain), Typed::Single(b, b_domain)) => {
                let Some(domain) = common(a_domain, b_domain) else {
                    let (a_name, b_name) = (domain_name(a_domain), domain_name(b_domain));
                    let (left, right) = (describe(left), describe(right));
                    return Err(mistyped(format!("{left} is {a_name} and {right} is {b_name}")));
                };
                ordered(domain, comparison)?;
                Ok(folded(domain, a, comparison, b))
            }
            (Typed::Array(array, domain), Typed::Literal(value))
            | (Typed::Literal(value), Typed::Array(array, domain)) => {
                let operand = if matches!(left, Operand::Literal(_)) { right } else { left };
                let negated = match comparison {
                    Comparison::Equal => false,
                    Comparison::NotEqual => true,
                    _ => {
                        let what =
                            format!("{} has many values and can only be compared with =", describe(operand));
                        return Err(mistyped(what));
                    }
                };
                let (values, domain) = self.values(sources, std::slice::from_ref(&value), domain, operand)?;
                let contains = contained(array, domain, values);
                Ok(if negated { Filter::Not(Box::new(contains)) } else { contains })
            }
            (Typed::Array(..), _) => Err(many(left)),
            (_, Typed::Array(..)) => Err(many(right)),
        }
    }

    fn like(&self, sources: Sources<'_>, operand: &Operand, pattern: &Pattern) -> Result<Filter, QueryError> {
        let pattern = pattern.clone();
        if let Operand::Literal(Literal::String(text)) = operand {
            let text = Expression::Value(Bound::Text(text.clone()));
            return Ok(Filter::Like { text, pattern });
        }
        match self.typed(sources, operand)? {
            Typed::Single(text, Domain::Text) => Ok(Filter::Like { text, pattern }),
            Typed::Array(array, Domain::Text) => Ok(Filter::ContainsLike { array, pattern }),
            Typed::Single(_, domain) => {
                let name = domain_name(domain);
                Err(mistyped(format!("{} is {name}; LIKE is for text", describe(operand))))
            }
            _ => Err(mistyped(format!("{} is no text; LIKE is for text", describe(operand)))),
        }
    }

    fn one_of(
        &self,
        sources: Sources<'_>,
        operand: &Operand,
        literals: &[Literal],
    ) -> Result<Filter, QueryError> {
        if literals.is_empty() {
            return Err(unsupported("IN needs a value"));
        }
        if self.is_time(sources, operand) {
            let tests = literals.iter().map(|literal| {
                self.compare_times(sources, operand, Comparison::Equal, &Operand::Literal(literal.clone()))
            });
            return Ok(any(tests.collect::<Result<_, _>>()?));
        }
        match self.typed(sources, operand)? {
            Typed::Literal(value) => {
                let tests =
                    literals.iter().map(|literal| constants(&value, Comparison::Equal, literal, operand));
                Ok(any(tests.collect::<Result<_, _>>()?))
            }
            Typed::Single(expression, domain) => {
                let (values, domain) = self.values(sources, literals, domain, operand)?;
                Ok(match expression {
                    _ if values.is_empty() => nothing(expression),
                    Expression::Value(known) => Filter::Constant(
                        values.iter().any(|value| compare_bound(&known, Comparison::Equal, value)),
                    ),
                    operand => Filter::In { domain, operand, values },
                })
            }
            Typed::Array(array, domain) => {
                let (values, domain) = self.values(sources, literals, domain, operand)?;
                Ok(contained(array, domain, values))
            }
        }
    }

    /// The literals as values of the domain; numbers beyond all stored ones are left out, and one
    /// with a fraction turns all into such.
    fn values(
        &self,
        sources: Sources<'_>,
        literals: &[Literal],
        mut domain: Domain,
        beside: &Operand,
    ) -> Result<(Vec<Bound>, Domain), QueryError> {
        let mut values = Vec::new();
        for literal in literals {
            if domain == Domain::Time {
                let clock = self.clock_of(sources, beside).unwrap_or(Clock::Local);
                let Some(utc) = self.instant(literal, clock) else {
                    return Err(mistyped(format!("{} holds times", describe(beside))));
                };
                values.push(Bound::Time(utc));
                continue;
            }
            match convert(literal, domain, beside)? {
                Converted::Value(value, of) => {
                    values.push(value);
                    domain = of;
                }
                Converted::Above | Converted::Below => {}
            }
        }
        if domain == Domain::Real {
            for value in &mut values {
                if let Bound::Integer(number) = value {
                    *value = Bound::Real(super::operand::nearest((*number).into()));
                }
            }
        }
        Ok((values, domain))
    }

    fn one_of_query(
        &self,
        sources: Sources<'_>,
        operand: &Operand,
        query: &Query,
    ) -> Result<Filter, QueryError> {
        let mut query = Box::new(self.query(query)?);
        let (other, column) = match (self.selected(&query)?, &query.selection) {
            (Typed::Single(Expression::Field(field), domain), _) => {
                let name = query.property(field).map(|property| property.name.clone());
                (domain, Operand::column(name.as_ref().map_or("", |name| name.as_str())))
            }
            _ => return Err(unsupported("a SELECT after IN must select one property with single values")),
        };
        if query.limit.is_none() {
            query.order.clear();
        }
        let typed = if self.is_time(sources, operand) {
            Typed::Single(self.single(sources, operand)?, Domain::Time)
        } else {
            self.typed(sources, operand)?
        };
        let (expression, domain) = match typed {
            Typed::Single(expression, domain) => (expression, domain),
            Typed::Array(array, domain) => {
                let Some(domain) = common(domain, other) else { return Err(differ(operand, domain, other)) };
                return Ok(Filter::ContainsQuery { domain, array, query });
            }
            Typed::Literal(literal) if other == Domain::Time => match self.instant(&literal, Clock::Utc) {
                Some(utc) => (Expression::Value(Bound::Time(utc)), Domain::Time),
                None => return Err(mistyped(format!("{} is no time", describe(operand)))),
            },
            Typed::Literal(literal) => match convert(&literal, other, &column)? {
                Converted::Value(value, domain) => (Expression::Value(value), domain),
                Converted::Above | Converted::Below => return Ok(Filter::Constant(false)),
            },
        };
        let Some(domain) = common(domain, other) else { return Err(differ(operand, domain, other)) };
        Ok(Filter::InQuery { domain, operand: expression, query })
    }

    /// What a sub-select gives.
    fn selected(&self, query: &Resolved) -> Result<Typed, QueryError> {
        let Selection::Fields(fields) = &query.selection else {
            return Err(unsupported("a COUNT after IN is not supported"));
        };
        let [field] = fields.as_slice() else {
            return Err(unsupported("a SELECT after IN must select one property"));
        };
        let source = query.sources.get(field.source);
        let property = query.property(*field).expect("the field was found in this query");
        let column = crate::query::Column {
            alias: source.map(|source| source.alias.clone()),
            property: property.name.clone(),
        };
        self.typed(&query.sources, &Operand::Column(column))
    }

    fn is_null(&self, sources: Sources<'_>, operand: &Operand) -> Result<Filter, QueryError> {
        if let Operand::Column(column) = operand
            && let Found::Field(field) = find(sources, column)?
        {
            // Arrays and objects may be tested too, so their type is not asked.
            return Ok(Filter::IsNull(Expression::Field(field)));
        }
        Ok(match self.typed(sources, operand)? {
            Typed::Literal(literal) => Filter::Constant(literal == Literal::Null),
            Typed::Single(Expression::Value(_), _) => Filter::Constant(false),
            Typed::Single(expression, _) => Filter::IsNull(expression),
            Typed::Array(array, _) => Filter::IsNull(Expression::Field(array)),
        })
    }

    fn is_a(&self, sources: Sources<'_>, what: &Name, class: &Name) -> Result<Filter, QueryError> {
        let (index, source) = match sources {
            [only] if what.is("__THIS") => (0, only),
            _ => by_alias(sources, what)?,
        };
        let Some(class) = self.schema.class(class.as_str()) else {
            return Err(QueryError::new(QueryErrorKind::UnknownClass, format!("class {class} is not known")));
        };
        let is_one = |candidate: &&std::sync::Arc<crate::Class>| candidate.is_a(class.name.as_str());
        let classes: Vec<Name> =
            source.concrete.iter().filter(is_one).map(|class| class.name.clone()).collect();
        Ok(match classes.len() {
            0 => Filter::Constant(false),
            all if all == source.concrete.len() => Filter::Constant(true),
            _ => Filter::IsClass { source: index, classes },
        })
    }
}

fn many(operand: &Operand) -> QueryError {
    mistyped(format!("{} has many values and can only be compared with a value", describe(operand)))
}

fn differ(operand: &Operand, domain: Domain, other: Domain) -> QueryError {
    let (name, other) = (domain_name(domain), domain_name(other));
    mistyped(format!("{} is {name} and the SELECT after IN gives {other}", describe(operand)))
}

/// The domain in which both can be compared.
fn common(a: Domain, b: Domain) -> Option<Domain> {
    match (a, b) {
        _ if a == b => Some(a),
        (Domain::Integer, Domain::Real) | (Domain::Real, Domain::Integer) => Some(Domain::Real),
        _ => None,
    }
}

fn ordered(domain: Domain, comparison: Comparison) -> Result<(), QueryError> {
    let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    if domain == Domain::Boolean && !is_equality {
        return Err(mistyped("TRUE and FALSE can only be compared with = and <>"));
    }
    Ok(())
}

/// A test that never holds, and is unknown when the number is `NULL`.
fn nothing(number: Expression) -> Filter {
    let right = Expression::Value(Bound::Integer(i64::MAX));
    Filter::Compare { domain: Domain::Integer, left: number, comparison: Comparison::Greater, right }
}

/// Membership of whole numbers that were all beyond what is stored: none is an element. The end of
/// the range stands for them, which no declared array can hold.
fn contained(array: Field, domain: Domain, mut values: Vec<Bound>) -> Filter {
    if values.is_empty() {
        values.push(Bound::Integer(i64::MAX));
    }
    Filter::Contains { domain, array, values }
}

/// One of these holds.
pub(super) fn any(mut tests: Vec<Filter>) -> Filter {
    if tests.len() == 1 { tests.remove(0) } else { Filter::Or(tests) }
}

/// Compares an expression with a literal.
fn compared(
    expression: Expression,
    domain: Domain,
    comparison: Comparison,
    literal: &Literal,
    beside: &Operand,
) -> Result<Filter, QueryError> {
    ordered(domain, comparison)?;
    let (value, domain, comparison) = match convert(literal, domain, beside)? {
        Converted::Value(value, domain) => (value, domain, comparison),
        // All stored numbers lie below: what asks for less is true for all of them but NULL.
        Converted::Above => {
            let is_true =
                matches!(comparison, Comparison::Less | Comparison::LessOrEqual | Comparison::NotEqual);
            let comparison = if is_true { Comparison::LessOrEqual } else { Comparison::Greater };
            (Bound::Integer(i64::MAX), Domain::Integer, comparison)
        }
        Converted::Below => {
            let is_true =
                matches!(comparison, Comparison::Greater | Comparison::GreaterOrEqual | Comparison::NotEqual);
            let comparison = if is_true { Comparison::GreaterOrEqual } else { Comparison::Less };
            (Bound::Integer(i64::MIN), Domain::Integer, comparison)
        }
    };
    Ok(folded(domain, expression, comparison, Expression::Value(value)))
}

/// A comparison with its value on the right; two values are compared at once.
fn folded(domain: Domain, left: Expression, comparison: Comparison, right: Expression) -> Filter {
    match (left, right) {
        (Expression::Value(a), Expression::Value(b)) => Filter::Constant(compare_bound(&a, comparison, &b)),
        (left @ Expression::Value(_), right) => {
            Filter::Compare { domain, left: right, comparison: comparison.turned(), right: left }
        }
        (left, right) => Filter::Compare { domain, left, comparison, right },
    }
}

fn compare_bound(a: &Bound, comparison: Comparison, b: &Bound) -> bool {
    let real = |bound: &Bound| match bound {
        Bound::Integer(number) => Some(super::operand::nearest((*number).into())),
        Bound::Real(number) => Some(*number),
        _ => None,
    };
    match (a, b) {
        (Bound::Integer(a), Bound::Integer(b)) | (Bound::Time(a), Bound::Time(b)) => {
            clock::holds(a, comparison, b)
        }
        (Bound::Text(a), Bound::Text(b)) => clock::holds(&a.to_lowercase(), comparison, &b.to_lowercase()),
        (Bound::Boolean(a), Bound::Boolean(b)) => clock::holds(a, comparison, b),
        _ => match (real(a), real(b)) {
            (Some(a), Some(b)) => clock::holds(&a, comparison, &b),
            _ => comparison == Comparison::NotEqual,
        },
    }
}

/// Compares two literals, such as `1 = 1`.
fn constants(
    a: &Literal,
    comparison: Comparison,
    b: &Literal,
    beside: &Operand,
) -> Result<Filter, QueryError> {
    let (expression, domain) = match b {
        Literal::String(text) => (Expression::Value(Bound::Text(text.clone())), Domain::Text),
        Literal::Integer(number) => {
            let Ok(number) = i64::try_from(*number) else {
                return Err(mistyped(format!("{number} is too large")));
            };
            (Expression::Value(Bound::Integer(number)), Domain::Integer)
        }
        Literal::Real(number) => (Expression::Value(Bound::Real(*number)), Domain::Real),
        Literal::Boolean(value) => (Expression::Value(Bound::Boolean(*value)), Domain::Boolean),
        Literal::Null | Literal::DateTime(_) => {
            return Err(mistyped(format!("{} cannot stand here", describe(beside))));
        }
    };
    compared(expression, domain, comparison.turned(), a, beside)
}
