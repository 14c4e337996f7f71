//! Times: literals, arithmetic, and comparisons that become ranges of a property.

use std::sync::Arc;

use restock_names::Timestamp;

use super::clock::{self, Range};
use super::condition::any;
use super::operand::describe;
use super::{Found, Resolver, Sources, find, mistyped, unsupported};
use crate::query::resolved::{Bound, ClockOffset, Domain, Expression, Filter};
use crate::query::{Comparison, DateUnit, Literal, Operand, QueryError};
use crate::{CimType, DateTime};

/// Offsets of the site's clock are listed from 1990 on …
const OFFSETS_FROM_US: i64 = 631_152_000_000_000;
/// … and until about ten years after the request.
const OFFSETS_AFTER_US: i64 = 10 * 366 * DAY_US;
/// No zone changes its clock twice within so many days.
const OFFSETS_STEP_US: i64 = 7 * DAY_US;
const DAY_US: i64 = 86_400_000_000;
const MINUTE_US: i64 = 60_000_000;

/// Whose digits are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// UTC.
    Utc,
    /// The site's.
    Local,
}

/// A time in a query.
pub(super) enum Time {
    /// Known: UTC microseconds.
    Constant(i64),
    /// UTC microseconds of a row.
    Utc(Expression),
    /// `DateAdd(unit, number, …)` of UTC microseconds of a row.
    Sum { unit: DateUnit, number: i64, of: Expression },
    /// Digits of the clock, of a row.
    Digits(Expression),
}

impl Resolver<'_> {
    /// True when the operand is a time by itself, not only beside one.
    pub(super) fn is_time(&self, sources: Sources<'_>, operand: &Operand) -> bool {
        match operand {
            Operand::Column(column) => match find(sources, column) {
                Ok(Found::Field(field)) => {
                    let property = super::operand::property(sources, field);
                    property.is_some_and(|p| p.data_type.cim == CimType::DateTime && !p.data_type.is_array)
                }
                _ => false,
            },
            Operand::GetDate | Operand::DateAdd(..) | Operand::Literal(Literal::DateTime(_)) => true,
            _ => false,
        }
    }

    /// The clock of the first property in the operand.
    pub(super) fn clock_of(&self, sources: Sources<'_>, operand: &Operand) -> Option<Clock> {
        match operand {
            Operand::Column(column) => match find(sources, column) {
                Ok(Found::Field(field)) => {
                    let property = super::operand::property(sources, field)?;
                    Some(if property.is_local_time() { Clock::Local } else { Clock::Utc })
                }
                _ => None,
            },
            Operand::DateAdd(_, _, of) | Operand::DatePart(_, of) => self.clock_of(sources, of),
            Operand::DateDiff(_, from, to) => {
                self.clock_of(sources, from).or_else(|| self.clock_of(sources, to))
            }
            _ => None,
        }
    }

    /// The operand as a time; digits without a stated zone are those of `clock`.
    pub(super) fn time(
        &self,
        sources: Sources<'_>,
        operand: &Operand,
        clock: Clock,
    ) -> Result<Time, QueryError> {
        match operand {
            Operand::GetDate => Ok(Time::Constant(self.at.now.0)),
            Operand::Literal(literal) => match self.instant(literal, clock) {
                Some(utc) => Ok(Time::Constant(utc)),
                None => Err(mistyped(format!("{} is no time", describe(operand)))),
            },
            Operand::Column(_) if self.is_time(sources, operand) => {
                Ok(Time::Utc(self.single(sources, operand)?))
            }
            Operand::DateAdd(unit, number, of) => self.sum(sources, *unit, number, of, clock),
            _ => Err(mistyped(format!("{} is no time", describe(operand)))),
        }
    }

    fn sum(
        &self,
        sources: Sources<'_>,
        unit: DateUnit,
        number: &Operand,
        of: &Operand,
        clock: Clock,
    ) -> Result<Time, QueryError> {
        let number = self.whole_number(sources, number)?;
        let of = self.time(sources, of, clock)?;
        Ok(match (number, of) {
            (Expression::Value(Bound::Integer(number)), Time::Constant(utc)) => {
                Time::Constant(self.utc(clock::add(unit, number, self.digits(utc, clock)), clock))
            }
            (Expression::Value(Bound::Integer(number)), Time::Utc(of)) => Time::Sum { unit, number, of },
            (number, of) => {
                let unit_us = clock::length_us(unit).ok_or_else(|| {
                    unsupported("DateAdd of months, quarters or years needs a constant number and a property")
                })?;
                let time = Box::new(self.clock_digits(of, clock)?);
                Time::Digits(Expression::Shift { time, number: Box::new(number), unit_us })
            }
        })
    }

    /// The digits of the clock at a UTC time.
    pub(super) fn digits(&self, utc: i64, clock: Clock) -> i64 {
        match clock {
            Clock::Utc => utc,
            Clock::Local => self.at.zone.utc_to_local(Timestamp(utc)),
        }
    }

    /// The UTC time at which the clock shows these digits.
    pub(super) fn utc(&self, digits: i64, clock: Clock) -> i64 {
        match clock {
            Clock::Utc => digits,
            Clock::Local => self.at.zone.local_to_utc(digits).0,
        }
    }

    /// The digits of the clock, as an expression.
    pub(super) fn clock_digits(&self, time: Time, clock: Clock) -> Result<Expression, QueryError> {
        Ok(match time {
            Time::Constant(utc) => Expression::Value(Bound::Time(self.digits(utc, clock))),
            Time::Utc(time) => self.shown(time, clock),
            Time::Digits(digits) => digits,
            Time::Sum { unit, number, of } => {
                let unit_us = clock::length_us(unit).ok_or_else(|| {
                    unsupported("DateAdd of months, quarters or years can only be compared with a constant")
                })?;
                let number = Box::new(Expression::Value(Bound::Integer(number)));
                Expression::Shift { time: Box::new(self.shown(of, clock)), number, unit_us }
            }
        })
    }

    fn shown(&self, time: Expression, clock: Clock) -> Expression {
        match clock {
            Clock::Utc => time,
            Clock::Local => {
                let offsets = self.offsets.get_or_init(|| self.find_offsets());
                match offsets.as_ref() {
                    [ClockOffset { offset_us: 0, .. }] => time,
                    _ => Expression::LocalClock { time: Box::new(time), offsets: Arc::clone(offsets) },
                }
            }
        }
    }

    fn find_offsets(&self) -> Arc<[ClockOffset]> {
        let offset_at = |utc: i64| self.at.zone.utc_to_local(Timestamp(utc)).saturating_sub(utc);
        let end = self.at.now.0.saturating_add(OFFSETS_AFTER_US);
        let mut at = OFFSETS_FROM_US;
        let mut last = ClockOffset { from: at, offset_us: offset_at(at) };
        let mut offsets = vec![last];
        while at < end {
            let next = at.saturating_add(OFFSETS_STEP_US);
            let offset_us = offset_at(next);
            if offset_us != last.offset_us {
                let (mut before, mut after) = (at, next);
                while after.saturating_sub(before) > 1 {
                    let middle = before.midpoint(after);
                    if offset_at(middle) == last.offset_us { before = middle } else { after = middle }
                }
                last = ClockOffset { from: after, offset_us };
                offsets.push(last);
            }
            at = next;
        }
        offsets.into()
    }

    /// The UTC microseconds that a literal names; digits without a stated zone are of `clock`.
    pub(super) fn instant(&self, literal: &Literal, clock: Clock) -> Option<i64> {
        let time = match literal {
            Literal::DateTime(time) => *time,
            Literal::String(text) => parse(text)?,
            _ => return None,
        };
        match time {
            DateTime::Moment(at, _) => Some(at.0),
            DateTime::Local(digits) => Some(self.utc(digits, clock)),
            DateTime::Interval(_) => None,
        }
    }

    pub(super) fn compare_times(
        &self,
        sources: Sources<'_>,
        left: &Operand,
        comparison: Comparison,
        right: &Operand,
    ) -> Result<Filter, QueryError> {
        let clock = self
            .clock_of(sources, left)
            .or_else(|| self.clock_of(sources, right))
            .unwrap_or(self.ambient.get());
        let compare =
            |left, comparison, right| Filter::Compare { domain: Domain::Time, left, comparison, right };
        let constant = |utc| Expression::Value(Bound::Time(utc));
        Ok(match (self.time(sources, left, clock)?, self.time(sources, right, clock)?) {
            (Time::Constant(a), Time::Constant(b)) => Filter::Constant(clock::holds(&a, comparison, &b)),
            (Time::Constant(utc), Time::Utc(time)) => compare(time, comparison.turned(), constant(utc)),
            (Time::Utc(time), Time::Constant(utc)) => compare(time, comparison, constant(utc)),
            (Time::Utc(a), Time::Utc(b)) => compare(a, comparison, b),
            (Time::Constant(utc), Time::Sum { unit, number, of }) => {
                self.compare_sum(unit, number, of, comparison.turned(), utc, clock)
            }
            (Time::Sum { unit, number, of }, Time::Constant(utc)) => {
                self.compare_sum(unit, number, of, comparison, utc, clock)
            }
            (Time::Constant(utc), other) => {
                let digits = constant(self.digits(utc, clock));
                compare(self.clock_digits(other, clock)?, comparison.turned(), digits)
            }
            (a, b) => compare(self.clock_digits(a, clock)?, comparison, self.clock_digits(b, clock)?),
        })
    }

    /// `DateAdd(unit, number, of)` compared with a constant: ranges of `of`.
    fn compare_sum(
        &self,
        unit: DateUnit,
        number: i64,
        of: Expression,
        comparison: Comparison,
        utc: i64,
        clock: Clock,
    ) -> Filter {
        let wanted = self.digits(utc, clock);
        if let Some(length_us) = clock::length_us(unit) {
            return self.in_range(of, comparison, clock::before_sum(length_us, number, wanted), clock);
        }
        let side = |comparison, digits| Filter::Compare {
            domain: Domain::Time,
            left: of.clone(),
            comparison,
            right: Expression::Value(Bound::Time(self.utc(digits, clock))),
        };
        let reaches = |wanted| {
            let ranges = clock::reaching(unit, number, wanted);
            let tests = ranges.iter().map(|range| match range.to {
                i64::MAX => side(Comparison::GreaterOrEqual, range.from),
                to => Filter::And(vec![
                    side(Comparison::GreaterOrEqual, range.from),
                    side(Comparison::Less, to),
                ]),
            });
            any(tests.collect())
        };
        let not = |filter| Filter::Not(Box::new(filter));
        let after = wanted.saturating_add(1);
        match comparison {
            Comparison::GreaterOrEqual => reaches(wanted),
            Comparison::Greater => reaches(after),
            Comparison::Less => not(reaches(wanted)),
            Comparison::LessOrEqual => not(reaches(after)),
            Comparison::Equal => Filter::And(vec![reaches(wanted), not(reaches(after))]),
            Comparison::NotEqual => Filter::Or(vec![not(reaches(wanted)), reaches(after)]),
        }
    }

    /// `DateDiff` of a property and a constant, compared with a constant: a range of the property.
    ///
    /// `None` when it is not of that form.
    pub(super) fn compare_difference(
        &self,
        sources: Sources<'_>,
        difference: &Operand,
        comparison: Comparison,
        with: i64,
    ) -> Result<Option<Filter>, QueryError> {
        let Operand::DateDiff(unit, from, to) = difference else { return Ok(None) };
        let clock = self.clock_of(sources, difference).unwrap_or(self.ambient.get());
        let number = |utc| clock::border(*unit, self.digits(utc, clock));
        let (time, comparison, border) =
            match (self.time(sources, from, clock)?, self.time(sources, to, clock)?) {
                (Time::Utc(time), Time::Constant(utc)) => {
                    (time, comparison.turned(), number(utc).saturating_sub(with))
                }
                (Time::Constant(utc), Time::Utc(time)) => {
                    (time, comparison, number(utc).saturating_add(with))
                }
                _ => return Ok(None),
            };
        Ok(Some(self.in_range(time, comparison, clock::of_border(*unit, border), clock)))
    }

    /// Compares a time with a range of digits that count as equal.
    fn in_range(&self, time: Expression, comparison: Comparison, range: Range, clock: Clock) -> Filter {
        let side = |time, comparison, digits| Filter::Compare {
            domain: Domain::Time,
            left: time,
            comparison,
            right: Expression::Value(Bound::Time(self.utc(digits, clock))),
        };
        match comparison {
            Comparison::Equal => Filter::And(vec![
                side(time.clone(), Comparison::GreaterOrEqual, range.from),
                side(time, Comparison::Less, range.to),
            ]),
            Comparison::NotEqual => Filter::Or(vec![
                side(time.clone(), Comparison::Less, range.from),
                side(time, Comparison::GreaterOrEqual, range.to),
            ]),
            Comparison::Less => side(time, Comparison::Less, range.from),
            Comparison::LessOrEqual => side(time, Comparison::Less, range.to),
            Comparison::Greater => side(time, Comparison::GreaterOrEqual, range.to),
            Comparison::GreaterOrEqual => side(time, Comparison::GreaterOrEqual, range.from),
        }
    }
}

/// Reads a time: DMTF, `yyyy/mm/dd`, `yyyy.mm.dd`, `mm/dd/yyyy` and `yyyy-mm-dd`, each of the last
/// four with ` hh:mm[:ss[.mmm]]` or not (a `T` may stand for the space), and with `Z` or `+hh:mm`
/// behind it or not.
///
/// Shape: [`DateTime::Local`] when no zone is stated. `None` for any other text.
pub fn parse(text: &str) -> Option<DateTime> {
    let text = text.trim();
    if let Ok(time) = text.parse::<DateTime>() {
        return Some(time);
    }
    let (date, time) = match text.split_once([' ', 'T', 't']) {
        Some((date, time)) => (date, time.trim_start()),
        None => (text, ""),
    };
    let separator = date.chars().find(|c| !c.is_ascii_digit())?;
    let parts: Vec<&str> = date.split(separator).collect();
    let [first, second, third] = parts.as_slice() else { return None };
    let (year, month, day) = match (separator, first.len(), third.len()) {
        ('/' | '.' | '-', 4, 1..=2) => (*first, *second, *third),
        ('/', 1..=2, 4) => (*third, *first, *second),
        _ => return None,
    };
    if month.len() > 2 {
        return None;
    }
    let date = jiff::civil::Date::new(
        i16::try_from(number(year)?).ok()?,
        i8::try_from(number(month)?).ok()?,
        i8::try_from(number(day)?).ok()?,
    )
    .ok()?;
    let (time, offset_us) = zone_of(time)?;
    let utc = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond();
    let digits = utc.checked_add(of_day(time)?)?;
    Some(match offset_us {
        None => DateTime::Local(digits),
        Some(offset_us) => {
            let minutes = i16::try_from(offset_us.div_euclid(MINUTE_US)).ok()?;
            DateTime::Moment(Timestamp(digits.checked_sub(offset_us)?), minutes)
        }
    })
}

fn number(digits: &str) -> Option<i64> {
    let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if is_plain { digits.parse().ok() } else { None }
}

/// The time without its zone, and the offset of the zone when one is stated.
fn zone_of(time: &str) -> Option<(&str, Option<i64>)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, Some(0)));
    }
    let Some(sign) = time.find(['+', '-']) else { return Some((time, None)) };
    let (time, zone) = time.split_at_checked(sign)?;
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    let offset = hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(MINUTE_US)?;
    Some((time, Some(if zone.starts_with('-') { offset.checked_neg()? } else { offset })))
}

/// Microseconds of `hh:mm[:ss[.fraction]]`; nothing is midnight.
fn of_day(time: &str) -> Option<i64> {
    if time.is_empty() {
        return Some(0);
    }
    let (clock, fraction) = match time.split_once('.') {
        Some((clock, fraction)) => (clock, fraction_us(fraction)?),
        None => (time, 0),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] if fraction == 0 => (*hour, *minute, "0"),
        [hour, minute, second] => (*hour, *minute, *second),
        _ => return None,
    };
    if hour.len() > 2 || minute.len() != 2 || second.len() > 2 {
        return None;
    }
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let minutes = hour.checked_mul(60)?.checked_add(minute)?;
    let seconds = minutes.checked_mul(60)?.checked_add(second)?;
    seconds.checked_mul(1_000_000)?.checked_add(fraction)
}

/// One to nine digits behind the point; finer ones than microseconds are left out.
fn fraction_us(digits: &str) -> Option<i64> {
    if digits.len() > 9 {
        return None;
    }
    number(digits)?;
    let micros: String = digits.chars().chain(std::iter::repeat('0')).take(6).collect();
    number(&micros)
}
