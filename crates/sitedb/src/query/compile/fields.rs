//! What a query names: fields, sources, classes, sub-selects.

use std::collections::BTreeSet;

use restock_cim::Name;
use restock_cim::query::{Bound, Comparison, Expression, Field, Filter, Resolved, Selection};

/// What is met on a walk through a condition or an expression.
enum Met<'q> {
    Field(Field),
    Source(usize),
    Query(&'q Resolved),
}

fn walk_filter<'q>(filter: &'q Filter, meet: &mut dyn FnMut(Met<'q>)) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| walk_filter(part, meet)),
        Filter::Not(part) => walk_filter(part, meet),
        Filter::Constant(_) => {}
        Filter::Compare { left, right, .. } => {
            walk_expression(left, meet);
            walk_expression(right, meet);
        }
        Filter::Like { text: operand, .. } | Filter::In { operand, .. } | Filter::IsNull(operand) => {
            walk_expression(operand, meet);
        }
        Filter::InQuery { operand, query, .. } => {
            walk_expression(operand, meet);
            meet(Met::Query(query));
        }
        Filter::Contains { array, .. } | Filter::ContainsLike { array, .. } => meet(Met::Field(*array)),
        Filter::ContainsQuery { array, query, .. } => {
            meet(Met::Field(*array));
            meet(Met::Query(query));
        }
        Filter::IsClass { source, .. } => meet(Met::Source(*source)),
    }
}

fn walk_expression<'q>(expression: &'q Expression, meet: &mut dyn FnMut(Met<'q>)) {
    match expression {
        Expression::Field(field) => meet(Met::Field(*field)),
        Expression::ClassName { source } => meet(Met::Source(*source)),
        Expression::Value(_) => {}
        Expression::Upper(inner)
        | Expression::Lower(inner)
        | Expression::LocalClock { time: inner, .. }
        | Expression::DatePart { clock: inner, .. }
        | Expression::Border { clock: inner, .. } => walk_expression(inner, meet),
        Expression::Substring { text, start, length } => {
            walk_expression(text, meet);
            walk_expression(start, meet);
            walk_expression(length, meet);
        }
        Expression::Difference(left, right) => {
            walk_expression(left, meet);
            walk_expression(right, meet);
        }
        Expression::Shift { time, number, .. } => {
            walk_expression(time, meet);
            walk_expression(number, meet);
        }
    }
}

fn walk<'q>(query: &'q Resolved, meet: &mut dyn FnMut(Met<'q>)) {
    let ons = query.sources.iter().filter_map(|source| source.join.as_ref()?.on.as_ref());
    ons.chain(&query.filter).for_each(|filter| walk_filter(filter, meet));
    query.order.iter().for_each(|order| walk_expression(&order.by, meet));
    match &query.selection {
        Selection::CountRows => {}
        Selection::CountField(field) => meet(Met::Field(*field)),
        Selection::Fields(fields) => fields.iter().for_each(|field| meet(Met::Field(*field))),
    }
}

/// The properties of a source that its query names, in order.
pub(super) fn used(query: &Resolved, source: usize) -> BTreeSet<usize> {
    let mut used = BTreeSet::new();
    walk(query, &mut |met| {
        if let Met::Field(field) = met
            && field.source == source
        {
            used.insert(field.property);
        }
    });
    used
}

/// Adds the sub-selects that stand directly within `query`.
pub(super) fn subqueries<'q>(query: &'q Resolved, found: &mut Vec<&'q Resolved>) {
    walk(query, &mut |met| {
        if let Met::Query(query) = met {
            found.push(query);
        }
    });
}

/// The parts of a condition, all of which must hold, that name sources of `group` alone.
pub(super) fn within<'q>(filter: &'q Filter, group: &[usize]) -> Vec<&'q Filter> {
    if let Filter::And(parts) = filter {
        return parts.iter().flat_map(|part| within(part, group)).collect();
    }
    let mut is_within = true;
    walk_filter(filter, &mut |met| match met {
        Met::Field(Field { source, .. }) | Met::Source(source) => is_within &= group.contains(&source),
        Met::Query(_) => {}
    });
    is_within.then_some(filter).into_iter().collect()
}

/// The lists of classes that the rows of a source must be of, each by a part of the filter.
pub(super) fn classes_asked(query: &Resolved, source: usize) -> Vec<Vec<Name>> {
    let mut asked = Vec::new();
    let mut waiting: Vec<&Filter> = query.filter.iter().collect();
    while let Some(part) = waiting.pop() {
        match part {
            Filter::And(parts) => waiting.extend(parts),
            Filter::IsClass { source: of, classes } if *of == source => asked.push(classes.clone()),
            Filter::Compare {
                left: Expression::ClassName { source: of },
                comparison: Comparison::Equal,
                right: Expression::Value(Bound::Text(class)),
                ..
            } if *of == source => asked.push(vec![Name::from(class.as_str())]),
            _ => {}
        }
    }
    asked
}
