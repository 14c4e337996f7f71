//! Patterns of `LIKE`: `%`, `_`, `[a-c]`, `[^a]`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::iter::Peekable;
use std::str::Chars;

use crate::query::{Pattern, PatternPart, QueryError, QueryErrorKind};

/// Reads a pattern whose text stood at `column` of the query.
pub(super) fn parse(text: &str, column: Option<usize>) -> Result<Pattern, QueryError> {
    let mut parts = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        parts.push(match next {
            '%' => PatternPart::Any,
            '_' => PatternPart::One,
            '[' => set(&mut rest).map_err(|what| QueryError {
                kind: QueryErrorKind::WqlSyntax,
                message: format!("{what} in a pattern (write [ as [[])"),
                column,
            })?,
            other => PatternPart::Text(other.into()),
        });
    }
    Ok(Pattern::new(parts))
}

/// What stands after a `[`. A `]` as the first character, and a `-` as the first or last one,
/// mean themselves.
fn set(rest: &mut Peekable<Chars<'_>>) -> Result<PatternPart, &'static str> {
    let is_negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let first = rest.next().ok_or("a set without ]")?;
        if first == ']' && !ranges.is_empty() {
            break;
        }
        let mut ahead = rest.clone();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|after| after != ']');
        let last = if is_range {
            rest.next();
            rest.next().ok_or("a set without ]")?
        } else {
            first
        };
        if last < first {
            return Err("a range that runs backwards");
        }
        ranges.push((first, last));
    }
    Ok(PatternPart::Set { is_negated, ranges })
}

/// Writes a pattern so that it reads as the same.
pub(super) fn print(pattern: &Pattern) -> String {
    let mut text = String::new();
    for part in &pattern.0 {
        match part {
            PatternPart::Any => text.push('%'),
            PatternPart::One => text.push('_'),
            PatternPart::Text(plain) => {
                for c in plain.chars() {
                    match c {
                        '%' | '_' | '[' => text.extend(['[', c, ']']),
                        _ => text.push(c),
                    }
                }
            }
            PatternPart::Set { is_negated, ranges } => {
                text.push('[');
                if *is_negated {
                    text.push('^');
                }
                let mut following = ranges.iter().skip(1);
                for (first, last) in ranges {
                    text.push(*first);
                    // A - after a single character would make a range of it.
                    let is_minus_next = following.next().is_some_and(|(next, _)| *next == '-');
                    if first != last || is_minus_next {
                        text.extend(['-', *last]);
                    }
                }
                text.push(']');
            }
        }
    }
    text
}
