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

/// The first day of a month; beyond the calendar, of its first or last month.
fn first_of_month(number: i64) -> Date {
    let number = number.clamp(-9_999 * MONTHS_OF_YEAR, 9_999 * MONTHS_OF_YEAR + 11);
    let year = i16::try_from(number.div_euclid(MONTHS_OF_YEAR)).unwrap_or(0);
    let month = i8::try_from(number.rem_euclid(MONTHS_OF_YEAR)).unwrap_or(0).saturating_add(1);
    Date::new(year, month, 1).unwrap_or(Date::MAX)
}

/// The number of the unit that these digits lie in, as [`crate::query::Expression::Border`] says.
pub(super) fn border(unit: DateUnit, at: i64) -> i64 {
    match (unit, length_us(unit)) {
        (DateUnit::Week, _) => at.div_euclid(DAY).saturating_add(FIRST_WEEKDAY).div_euclid(DAYS_OF_WEEK),
        (_, Some(length)) => at.div_euclid(length),
        (DateUnit::Year, None) => date(at).year().into(),
        // The first month and quarter of a year are 1, as the engines number them.
        (_, None) => month_number(date(at)).div_euclid(months(unit)).saturating_add(1),
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
            let first = i64::from(unit != DateUnit::Year);
            let month = border.saturating_sub(first).saturating_mul(months(unit));
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
        DateUnit::Quarter => i64::from(day.month()).saturating_add(2).div_euclid(MONTHS_OF_QUARTER),
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

/// The digits that become `wanted` when `number` units of one length are added.
pub(super) fn before_sum(length_us: i64, number: i64, wanted: i64) -> Range {
    let from = wanted.saturating_sub(number.saturating_mul(length_us));
    Range { from, to: from.saturating_add(1) }
}

/// The digits that become `wanted` or more when `number` months, quarters or years are added:
/// ranges in ascending order, the last one without an end.
///
/// Days that become the last one of a shorter month keep their time of day, so that 28 January
/// 10:00 ends up after 29 January 9:00: such a month makes up to four ranges.
pub(super) fn reaching(unit: DateUnit, number: i64, wanted: i64) -> Vec<Range> {
    let (day, of_day) = (wanted.div_euclid(DAY), wanted.rem_euclid(DAY));
    let first = first_day_reaching(unit, number, day);
    let after = first_day_reaching(unit, number, day.saturating_add(1));
    let mut ranges: Vec<Range> = Vec::new();
    let on_the_day = (first..after).map(|day| Range {
        from: day.saturating_mul(DAY).saturating_add(of_day),
        to: day.saturating_add(1).saturating_mul(DAY),
    });
    let later = Range { from: after.saturating_mul(DAY), to: i64::MAX };
    for range in on_the_day.chain(std::iter::once(later)) {
        match ranges.last_mut() {
            Some(last) if last.to == range.from => last.to = range.to,
            _ => ranges.push(range),
        }
    }
    ranges
}

/// The first day that becomes `wanted` or a later one: adding keeps the order of days.
fn first_day_reaching(unit: DateUnit, number: i64, wanted: i64) -> i64 {
    let (mut low, mut high) = (digits(Date::MIN).div_euclid(DAY), digits(Date::MAX).div_euclid(DAY));
    while low < high {
        let middle = low.saturating_add(high).div_euclid(2);
        if add(unit, number, middle.saturating_mul(DAY)).div_euclid(DAY) >= wanted {
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

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "sums of small numbers in a test")]
mod tests {
    use proptest::prelude::*;

    use super::{DAY, Range, add, beginning, border, of_border, part, reaching};
    use crate::query::DateUnit;

    fn at(text: &str) -> i64 {
        let time: jiff::civil::DateTime = text.parse().expect("a clock time");
        time.to_zoned(jiff::tz::TimeZone::UTC).expect("in range").timestamp().as_microsecond()
    }

    #[test]
    fn parts_are_those_of_the_calendar() {
        let parts = |text| DateUnit::ALL.map(|unit| part(unit, at(text)));
        assert_eq!(parts("2026-11-22 10:20:30.456"), [2026, 4, 11, 326, 22, 48, 1, 10, 20, 30, 456]);
        assert_eq!(parts("2024-12-31 23:59:59.999"), [2024, 4, 12, 366, 31, 53, 3, 23, 59, 59, 999]);
        assert_eq!(parts("1969-12-31 00:00:00.001"), [1969, 4, 12, 365, 31, 53, 4, 0, 0, 0, 1]);
        assert_eq!(part(DateUnit::Week, at("2026-01-01 00:00")), 1);
        assert_eq!(part(DateUnit::Week, at("2026-01-04 00:00")), 2);
    }

    #[test]
    fn a_day_that_the_month_lacks_becomes_its_last() {
        assert_eq!(add(DateUnit::Month, 1, at("2026-01-31 10:00")), at("2026-02-28 10:00"));
        assert_eq!(add(DateUnit::Year, -2, at("2024-02-29 10:00")), at("2022-02-28 10:00"));
        assert_eq!(add(DateUnit::Quarter, -1, at("2026-01-15 00:00")), at("2025-10-15 00:00"));
        assert_eq!(add(DateUnit::Month, i64::MAX, at("2026-01-15 00:00")), at("9999-12-15 00:00"));
        assert_eq!(add(DateUnit::Week, -1, at("2026-01-15 00:00")), at("2026-01-08 00:00"));
    }

    fn is_in(ranges: &[Range], at: i64) -> bool {
        ranges.iter().any(|range| range.from <= at && at < range.to)
    }

    proptest! {
        #[test]
        fn what_lies_between_two_borders_has_one_number(
            unit in prop::sample::select(DateUnit::ALL.to_vec()),
            at in -62_000_000_000_000_000..250_000_000_000_000_000_i64,
        ) {
            let number = border(unit, at);
            let range = of_border(unit, number);
            prop_assert!(is_in(&[range], at));
            prop_assert_eq!(border(unit, range.from), number);
            prop_assert_eq!(border(unit, range.to - 1), number);
            prop_assert_eq!(beginning(unit, number + 1), range.to);
        }

        #[test]
        fn ranges_of_sums_are_what_adding_says(
            unit in prop::sample::select(vec![DateUnit::Month, DateUnit::Quarter, DateUnit::Year]),
            number in -30..30_i64,
            wanted_day in 20_400..20_700_i64,
            days in -3..4_i64,
            of_day in prop::sample::select(vec![0, 1, DAY / 2, DAY - 1]),
            wanted_of_day in prop::sample::select(vec![0, DAY / 2, DAY / 2 + 1]),
        ) {
            let wanted = wanted_day * DAY + wanted_of_day;
            let at = (add(unit, -number, wanted).div_euclid(DAY) + days) * DAY + of_day;
            let is_reached = add(unit, number, at) >= wanted;
            prop_assert_eq!(is_in(&reaching(unit, number, wanted), at), is_reached);
        }
    }
}
