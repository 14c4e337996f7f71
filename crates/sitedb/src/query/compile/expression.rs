//! Expressions.

use restock_cim::query::{self, DateUnit, Expression, Field, Resolved};

use super::{Compiler, Scope, storage};
use crate::query::dialect::{Calendar, Storage};
use crate::query::sql::Bound;

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;

/// True when the values of `expression` are texts.
pub(super) fn is_text(query: &Resolved, expression: &Expression) -> bool {
    match expression {
        Expression::Field(field) => storage(query, *field) == Storage::Text,
        Expression::ClassName { .. }
        | Expression::Upper(_)
        | Expression::Lower(_)
        | Expression::Substring { .. }
        | Expression::Value(query::Bound::Text(_)) => true,
        _ => false,
    }
}

/// A value as it is bound.
pub(super) fn bound(value: &query::Bound) -> Bound {
    match value {
        query::Bound::Text(text) => Bound::Text(text.clone()),
        query::Bound::Integer(number) | query::Bound::Time(number) => Bound::Int(*number),
        query::Bound::Real(number) => Bound::Real(*number),
        query::Bound::Boolean(is_true) => Bound::Int(i64::from(*is_true)),
    }
}

impl Compiler<'_> {
    pub(super) fn field(&mut self, scope: &Scope<'_>, field: Field) {
        let name = scope.query.property(field).map_or("", |property| property.name.as_str());
        self.sql.push(&scope.prefix).number(field.source).push(".").name(name);
    }

    pub(super) fn expression(&mut self, scope: &Scope<'_>, expression: &Expression) {
        match expression {
            Expression::Field(field) => self.field(scope, *field),
            Expression::ClassName { source } => self.class_name(scope, *source),
            Expression::Value(value) => {
                self.sql.bind(bound(value));
            }
            // Both engines change the letters of ASCII: comparisons ask for no case anyway.
            Expression::Upper(text) => self.letters("upper(", scope, text),
            Expression::Lower(text) => self.letters("lower(", scope, text),
            Expression::Substring { text, start, length } => self.substring(scope, text, start, length),
            Expression::LocalClock { time, offsets } => {
                let Some((first, rest)) = offsets.split_first() else {
                    return self.expression(scope, time);
                };
                self.with_value(scope, time, |compiler| {
                    let sql = &mut compiler.sql;
                    sql.push("x.c + CASE");
                    let mut before = first.offset_us;
                    for change in rest {
                        sql.push(" WHEN x.c < ").number(change.from).push(" THEN ").number(before);
                        before = change.offset_us;
                    }
                    // A CASE has at least one WHEN.
                    sql.push(" WHEN x.c IS NULL THEN NULL ELSE ").number(before).push(" END");
                });
            }
            Expression::DatePart { unit, clock } => {
                let unit = *unit;
                self.with_value(scope, clock, |compiler| compiler.date_part(unit));
            }
            Expression::Border { unit, clock } => {
                let unit = *unit;
                self.with_value(scope, clock, |compiler| compiler.border(unit));
            }
            Expression::Difference(left, right) => {
                self.sql.push("(");
                self.expression(scope, left);
                self.sql.push(" - ");
                self.expression(scope, right);
                self.sql.push(")");
            }
            Expression::Shift { time, number, unit_us } => {
                self.sql.push("(");
                self.expression(scope, time);
                self.sql.push(" + ");
                self.expression(scope, number);
                self.sql.push(" * ").number(unit_us).push(")");
            }
        }
    }

    fn letters(&mut self, function: &str, scope: &Scope<'_>, text: &Expression) {
        self.sql.push(function);
        self.expression(scope, text);
        self.sql.push(match self.sql.engine {
            crate::Engine::Sqlite => ")",
            crate::Engine::Postgres => " COLLATE \"C\")",
        });
    }

    /// Both engines count from 1; what lies before the first character is cut off by hand.
    fn substring(&mut self, scope: &Scope<'_>, text: &Expression, start: &Expression, length: &Expression) {
        let greatest = self.engine().greatest();
        let (before, after) = self.engine().place();
        let first = |compiler: &mut Self| {
            compiler.sql.push(greatest);
            compiler.expression(scope, start);
            compiler.sql.push(", 1)");
        };
        self.sql.push("substr(");
        self.expression(scope, text);
        self.sql.push(", ").push(before);
        first(self);
        self.sql.push(after).push(", ").push(before).push(greatest).push("0, ");
        self.expression(scope, start);
        self.sql.push(" + ");
        self.expression(scope, length);
        self.sql.push(" - ");
        first(self);
        self.sql.push(")").push(after).push(")");
    }

    /// `(SELECT … FROM (SELECT value AS c) AS x)`: `write` may name the value many times as `x.c`.
    fn with_value(&mut self, scope: &Scope<'_>, value: &Expression, write: impl FnOnce(&mut Self)) {
        self.sql.push("(SELECT ");
        write(self);
        self.sql.push(" FROM (SELECT ");
        self.expression(scope, value);
        self.sql.push(" AS c) AS x)");
    }

    /// `x.c` divided by `unit`, rounded down.
    fn floor(&mut self, unit: i64) {
        self.sql.push("((x.c - ");
        self.rest(unit);
        self.sql.push(") / ").number(unit).push(")");
    }

    /// What is left of `x.c` divided so, never negative.
    fn rest(&mut self, unit: i64) {
        self.sql.push("((x.c % ").number(unit).push(" + ").number(unit).push(") % ").number(unit).push(")");
    }

    fn calendar(&mut self, part: Calendar) {
        let (before, after) = self.engine().calendar(part);
        self.sql.push(before);
        self.floor(SECOND_US);
        self.sql.push(after);
    }

    fn date_part(&mut self, unit: DateUnit) {
        match unit {
            DateUnit::Year => self.calendar(Calendar::Year),
            DateUnit::Month => self.calendar(Calendar::Month),
            DateUnit::Day => self.calendar(Calendar::Day),
            DateUnit::DayOfYear => self.calendar(Calendar::DayOfYear),
            DateUnit::Quarter => {
                self.sql.push("((");
                self.calendar(Calendar::Month);
                self.sql.push(" + 2) / 3)");
            }
            DateUnit::WeekDay => self.week_day(1),
            DateUnit::Week => {
                // The day of the year less the day of the week is the Saturday before: each
                // seven of them are a week, the one that 1 January lies in being the first.
                self.sql.push("((");
                self.calendar(Calendar::DayOfYear);
                self.sql.push(" + 5 - ");
                self.week_day(0);
                self.sql.push(") / 7 + 1)");
            }
            DateUnit::Hour => self.of_rest(DAY_US, HOUR_US),
            DateUnit::Minute => self.of_rest(HOUR_US, MINUTE_US),
            DateUnit::Second => self.of_rest(MINUTE_US, SECOND_US),
            DateUnit::Millisecond => self.of_rest(SECOND_US, 1_000),
        }
    }

    fn of_rest(&mut self, whole: i64, part: i64) {
        self.sql.push("(");
        self.rest(whole);
        self.sql.push(" / ").number(part).push(")");
    }

    /// The day of the week, `first` being Sunday. Day 0 was a Thursday.
    fn week_day(&mut self, first: i64) {
        self.sql.push("(((");
        self.floor(DAY_US);
        self.sql.push(" + 4) % 7 + 7) % 7 + ").number(first).push(")");
    }

    fn border(&mut self, unit: DateUnit) {
        match unit {
            DateUnit::Year => self.calendar(Calendar::Year),
            DateUnit::Quarter | DateUnit::Month => {
                let per_year = if unit == DateUnit::Month { 12 } else { 4 };
                self.sql.push("(");
                self.calendar(Calendar::Year);
                self.sql.push(" * ").number(per_year).push(" + ");
                self.date_part(unit);
                self.sql.push(")");
            }
            DateUnit::Day | DateUnit::DayOfYear | DateUnit::WeekDay => self.floor(DAY_US),
            DateUnit::Week => {
                // Sundays before: day 3 was one.
                self.sql.push("((");
                self.floor(DAY_US);
                self.sql.push(" + 4 - ");
                self.week_day(0);
                self.sql.push(") / 7)");
            }
            DateUnit::Hour => self.floor(HOUR_US),
            DateUnit::Minute => self.floor(MINUTE_US),
            DateUnit::Second => self.floor(SECOND_US),
            DateUnit::Millisecond => self.floor(1_000),
        }
    }
}
