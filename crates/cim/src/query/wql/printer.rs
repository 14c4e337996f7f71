//! The canonical text of a query.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt::Write;

use super::parser::UNITS;
use super::pattern;
use crate::query::{
    ClassReference, Column, Comparison, Condition, DateUnit, JoinKind, Literal, Operand, Query, Select,
    Selected,
};

/// Writes a query as WQL, which reads as the same query.
///
/// `None` for what WQL has no words for: a limit or an offset, and times that are not text.
pub fn print(query: &Query) -> Option<String> {
    let mut text = String::new();
    write_query(&mut text, query)?;
    Some(text)
}

fn write_query(out: &mut String, query: &Query) -> Option<()> {
    if query.limit.is_some() || query.offset != 0 {
        return None;
    }
    out.push_str("SELECT ");
    if query.is_distinct {
        out.push_str("DISTINCT ");
    }
    match &query.select {
        Select::All => out.push('*'),
        Select::Count(None) => out.push_str("COUNT(*)"),
        Select::Count(Some(column)) => put(out, format_args!("COUNT({})", shown(column))),
        Select::Columns(columns) => separated(out, columns, ", ", |out, column| {
            match column {
                Selected::AllOf(alias) => put(out, format_args!("{alias}.*")),
                Selected::Column(column) => out.push_str(&shown(column)),
            }
            Some(())
        })?,
    }
    out.push_str(" FROM ");
    write_class(out, &query.from.first);
    for join in &query.from.joins {
        let Some(on) = &join.on else {
            out.push_str(", ");
            write_class(out, &join.right);
            continue;
        };
        out.push_str(match join.kind {
            JoinKind::Inner => " INNER JOIN ",
            JoinKind::Left => " LEFT JOIN ",
            JoinKind::Right => " RIGHT JOIN ",
            JoinKind::Full => " FULL JOIN ",
        });
        write_class(out, &join.right);
        out.push_str(" ON ");
        write_condition(out, on)?;
    }
    if let Some(filter) = &query.filter {
        out.push_str(" WHERE ");
        write_condition(out, filter)?;
    }
    if !query.order.is_empty() {
        out.push_str(" ORDER BY ");
        separated(out, &query.order, ", ", |out, order| {
            write_operand(out, &order.by)?;
            if order.is_descending {
                out.push_str(" DESC");
            }
            Some(())
        })?;
    }
    Some(())
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a String cannot fail");
}

fn separated<T>(
    out: &mut String,
    items: &[T],
    between: &str,
    mut one: impl FnMut(&mut String, &T) -> Option<()>,
) -> Option<()> {
    let mut is_first = true;
    for item in items {
        if !std::mem::take(&mut is_first) {
            out.push_str(between);
        }
        one(out, item)?;
    }
    Some(())
}

fn write_class(out: &mut String, reference: &ClassReference) {
    put(out, format_args!("{}", reference.class));
    if reference.alias != reference.class {
        put(out, format_args!(" AS {}", reference.alias));
    }
}

fn shown(column: &Column) -> String {
    match &column.alias {
        Some(alias) => format!("{alias}.{}", column.property),
        None => column.property.to_string(),
    }
}

fn write_condition(out: &mut String, condition: &Condition) -> Option<()> {
    match condition {
        Condition::And(parts) => separated(out, parts, " AND ", |out, part| match part {
            Condition::Or(_) => in_parentheses(out, part),
            _ => write_condition(out, part),
        })?,
        Condition::Or(parts) => separated(out, parts, " OR ", write_condition)?,
        Condition::Not(inner) => match &**inner {
            Condition::IsNull(operand) => {
                write_operand(out, operand)?;
                out.push_str(" IS NOT NULL");
            }
            Condition::Like(..) | Condition::In(..) | Condition::InQuery(..) => {
                write_test(out, inner, "NOT ")?
            }
            Condition::And(_) | Condition::Or(_) => {
                out.push_str("NOT ");
                in_parentheses(out, inner)?;
            }
            _ => {
                out.push_str("NOT ");
                write_condition(out, inner)?;
            }
        },
        _ => write_test(out, condition, "")?,
    }
    Some(())
}

fn in_parentheses(out: &mut String, condition: &Condition) -> Option<()> {
    out.push('(');
    write_condition(out, condition)?;
    out.push(')');
    Some(())
}

fn write_test(out: &mut String, condition: &Condition, not: &str) -> Option<()> {
    match condition {
        Condition::Compare(left, comparison, right) => {
            write_operand(out, left)?;
            out.push_str(match comparison {
                Comparison::Equal => " = ",
                Comparison::NotEqual => " <> ",
                Comparison::Less => " < ",
                Comparison::LessOrEqual => " <= ",
                Comparison::Greater => " > ",
                Comparison::GreaterOrEqual => " >= ",
            });
            write_operand(out, right)?;
        }
        Condition::Like(operand, form) => {
            write_operand(out, operand)?;
            put(out, format_args!(" {not}LIKE {}", quoted(&pattern::print(form))));
        }
        Condition::In(operand, values) => {
            write_operand(out, operand)?;
            put(out, format_args!(" {not}IN ("));
            separated(out, values, ", ", write_literal)?;
            out.push(')');
        }
        Condition::InQuery(operand, query) => {
            write_operand(out, operand)?;
            put(out, format_args!(" {not}IN ("));
            write_query(out, query)?;
            out.push(')');
        }
        Condition::IsNull(operand) => {
            write_operand(out, operand)?;
            out.push_str(" IS NULL");
        }
        Condition::IsA(what, class) => put(out, format_args!("{what} ISA {}", quoted(class.as_str()))),
        Condition::And(_) | Condition::Or(_) | Condition::Not(_) => return write_condition(out, condition),
    }
    Some(())
}

fn write_literal(out: &mut String, literal: &Literal) -> Option<()> {
    match literal {
        Literal::Null => out.push_str("NULL"),
        Literal::Boolean(true) => out.push_str("TRUE"),
        Literal::Boolean(false) => out.push_str("FALSE"),
        Literal::Integer(number) => put(out, format_args!("{number}")),
        // The exponent keeps it a number with a fraction when it is read again.
        Literal::Real(number) => put(out, format_args!("{number:e}")),
        Literal::String(text) => out.push_str(&quoted(text)),
        Literal::DateTime(_) => return None,
    }
    Some(())
}

/// The text in quotes with its escapes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        if matches!(c, '\\' | '\'') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

fn unit_name(unit: DateUnit) -> &'static str {
    UNITS
        .iter()
        .find(|(known, _)| *known == unit)
        .and_then(|(_, names)| names.first())
        .copied()
        .unwrap_or("day")
}

fn write_operand(out: &mut String, operand: &Operand) -> Option<()> {
    match operand {
        Operand::Column(column) => out.push_str(&shown(column)),
        Operand::Literal(literal) => write_literal(out, literal)?,
        Operand::Upper(inner) => write_function(out, "UPPER", None, &[inner])?,
        Operand::Lower(inner) => write_function(out, "LOWER", None, &[inner])?,
        Operand::Substring(text, start, length) => {
            write_function(out, "SUBSTRING", None, &[text, start, length])?;
        }
        Operand::GetDate => out.push_str("GetDate()"),
        Operand::DatePart(unit, of) => write_function(out, "DatePart", Some(*unit), &[of])?,
        Operand::DateDiff(unit, from, to) => write_function(out, "DateDiff", Some(*unit), &[from, to])?,
        Operand::DateAdd(unit, number, to) => write_function(out, "DateAdd", Some(*unit), &[number, to])?,
    }
    Some(())
}

fn write_function(
    out: &mut String,
    name: &str,
    unit: Option<DateUnit>,
    arguments: &[&Operand],
) -> Option<()> {
    put(out, format_args!("{name}("));
    if let Some(unit) = unit {
        put(out, format_args!("{}, ", unit_name(unit)));
    }
    separated(out, arguments, ", ", |out, argument| write_operand(out, argument))?;
    out.push(')');
    Some(())
}
