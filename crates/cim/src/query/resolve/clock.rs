//! Arithmetic on the digits of a clock: microseconds since 1970-01-01 00:00 by that clock.
//!
//! Years lie in -9999 to 9999; what leads outside ends at the border.

use jiff::civil::Date;

use crate::query::{Comparison, DateUnit};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const MONTHS_OF_YEAR: i64 = 12;
const MONTHS_OF_QUARTER: i64 = 3;
const DAYS_OF_WEEK: i64 = 7;
/// 1970-01-01 was a Thursday: so many days after a Sunday.
const FIRST_WEEKDAY: i64 = 4;

/// Microseconds of a unit that always lasts the same by the clock's digits.
pub(super) fn length_us(unit: DateUnit) -> Option<i64> {
    Some(match unit {
        DateUnit::Year | DateUnit::Quarter | DateUnit::Month => return None,
        DateUnit::DayOfYear | DateUnit::Day | DateUnit::WeekDay => DAY,
        DateUnit::Week => DAY * DAYS_OF_WEEK,
        DateUnit::Hour => 3_600 * SECOND,
        DateUnit::Minute => 60 * SECOND,
        DateUnit::Second => SECOND,
        DateUnit::Millisecond => SECOND / 1_000,
    })
}

fn months(unit: DateUnit) -> i64 {
    match unit {
        DateUnit::Year => MONTHS_OF_YEAR,
        DateUnit::Quarter => MONTHS_OF_QUARTER,
        _ => 1,
    }
}

/// The day of these digits.
fn date(digits: i64) -> Date {
    let days = jiff::SignedDuration::from_hours(digits.div_euclid(DAY).saturating_mul(24));
    Date::constant(1970, 1, 1).saturating_add(days)
}

/// The first digits of a day.
fn digits(date: Date) -> i64 {
    let days = Date::constant(1970, 1, 1)
        .until((jiff::Unit::Day, date))
        .map_or(0, |span| i64::from(span.get_days()));
    days.saturating_mul(DAY)
}

/// Months since the year 0.
fn month_number(date: Date) -> i64 {
    let before = i64::from(date.month()).saturating_sub(1);
    i64::from(date.year()).saturating_mul(MONTHS_OF_YEAR).saturating_add(before)
}

/// The first day of a month; beyond the calendar, its first or last month.
fn first_of_month(number: i64) -> Date {
    let year = i16::try_from(number.div_euclid(MONTHS_OF_YEAR)).unwrap_or(if number < 0 {
        i16::MIN
    } else {
        i16::MAX
    });
    let month = i8::try_from(number.rem_euclid(MONTHS_OF_YEAR).saturating_add(1)).unwrap_or(1);
    Date::new(year.clamp(-9_999, 9_999), month, 1).unwrap_or(Date::MAX)
}

/// How many borders of the unit lie before these digits, from a fixed beginning.
pub(super) fn border(unit: DateUnit, at: i64) -> i64 {
    match (unit, length_us(unit)) {
        (DateUnit::Week, _) => at.div_euclid(DAY).saturating_add(FIRST_WEEKDAY).div_euclid(DAYS_OF_WEEK),
        (_, Some(length)) => at.div_euclid(length),
        (_, None) => month_number(date(at)).div_euclid(months(unit)),
    }
}

/// The first digits after border number `border`; the ends of `i64` beyond the calendar.
pub(super) fn beginning(unit: DateUnit, border: i64) -> i64 {
    match (unit, length_us(unit)) {
        (DateUnit::Week, Some(length)) => {
            border.saturating_mul(length).saturating_sub(FIRST_WEEKDAY.saturating_mul(DAY))
        }
        (_, Some(length)) => border.saturating_mul(length),
        (_, None) => {
            let month = border.saturating_mul(months(unit));
            match month.div_euclid(MONTHS_OF_YEAR) {
                ..-9_999 => i64::MIN,
                -9_999..=9_999 => digits(first_of_month(month)),
                _ => i64::MAX,
            }
        }
    }
}

/// These digits and so many units more. A day that the month lacks becomes its last one.
pub(super) fn add(unit: DateUnit, number: i64, to: i64) -> i64 {
    if let Some(length) = length_us(unit) {
        return to.saturating_add(number.saturating_mul(length));
    }
    let day = date(to);
    let first = first_of_month(month_number(day).saturating_add(number.saturating_mul(months(unit))));
    let date =
        Date::new(first.year(), first.month(), day.day()).unwrap_or_else(|_shorter| first.last_of_month());
    digits(date).saturating_add(to.rem_euclid(DAY))
}

/// Part of the digits, as [`crate::query::Expression::DatePart`] says.
pub(super) fn part(unit: DateUnit, at: i64) -> i64 {
    let day = date(at);
    let of_day = at.rem_euclid(DAY);
    let january = Date::new(day.year(), 1, 1).unwrap_or(day);
    match unit {
        DateUnit::Year => day.year().into(),
        DateUnit::Quarter => border(unit, at).rem_euclid(4).saturating_add(1),
        DateUnit::Month => day.month().into(),
        DateUnit::DayOfYear => day.day_of_year().into(),
        DateUnit::Day => day.day().into(),
        DateUnit::Week => border(DateUnit::Week, at)
            .saturating_sub(border(DateUnit::Week, digits(january)))
            .saturating_add(1),
        DateUnit::WeekDay => {
            let days = at.div_euclid(DAY).saturating_add(FIRST_WEEKDAY);
            days.rem_euclid(DAYS_OF_WEEK).saturating_add(1)
        }
        DateUnit::Hour => of_day.div_euclid(3_600 * SECOND),
        DateUnit::Minute => of_day.div_euclid(60 * SECOND).rem_euclid(60),
        DateUnit::Second => of_day.div_euclid(SECOND).rem_euclid(60),
        DateUnit::Millisecond => of_day.rem_euclid(SECOND).div_euclid(1_000),
    }
}

/// A range of digits: from the first, up to but without the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// The digits whose border number equals `number`.
pub(super) fn of_border(unit: DateUnit, number: i64) -> Range {
    Range { from: beginning(unit, number), to: beginning(unit, number.saturating_add(1)) }
}

/// The digits that become `wanted` when `number` units are added.
pub(super) fn of_sum(unit: DateUnit, number: i64, wanted: i64) -> Range {
    Range {
        from: first_reaching(unit, number, wanted),
        to: first_reaching(unit, number, wanted.saturating_add(1)),
    }
}

/// The first digits that become `wanted` or more: adding keeps the order of times.
fn first_reaching(unit: DateUnit, number: i64, wanted: i64) -> i64 {
    let (mut low, mut high) = (digits(Date::MIN), digits(Date::MAX).saturating_add(DAY));
    while low < high {
        let middle = low.midpoint(high);
        // midpoint rounds towards zero, which must not be above the lower end for the search to end.
        let middle = if middle >= high { high.saturating_sub(1) } else { middle };
        if add(unit, number, middle) >= wanted {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    low
}

/// Whether `left` compares so with `right`.
pub(super) fn holds<T: PartialOrd>(left: &T, comparison: Comparison, right: &T) -> bool {
    match comparison {
        Comparison::Equal => left == right,
        Comparison::NotEqual => left != right,
        Comparison::Less => left < right,
        Comparison::LessOrEqual => left <= right,
        Comparison::Greater => left > right,
        Comparison::GreaterOrEqual => left >= right,
    }
}
