//! When a token runs next.

use restock_names::{Timestamp, Zone};

use super::calendar::{day_number, days_in_month, first_day, month_of, weekday};
use super::{Recurrence, ScheduleToken, Span, StartTime};

const MINUTE_US: i64 = 60_000_000;
const DAY_MINUTES: i64 = 24 * 60;
/// Minutes from 1970 to the end of the year 9998: nothing is computed beyond.
const CLOCK_MINUTES_MAX: i64 = 4_222_900_000;

/// The first moment later than `after` at which the token runs; `None` when it never does again.
///
/// A token in local time lives on the clock of `zone`: its occurrences are what that clock shows,
/// and each runs once, at the moment of [`Zone::local_to_utc`]: in a gap the first moment after
/// it, in an overlap the first of the two. Occurrences that fall on the same moment are one run.
/// Errors: none. Beyond the year 9998 nothing runs.
/// Source: docs/formats/schedule.md, "When a token runs".
pub fn next_after(token: &ScheduleToken, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
    // All occurrences up to what the clock shows at `after` have run: the rule of `local_to_utc`
    // is the first moment that shows a time or a later one.
    let shown = if token.is_gmt { after.0 } else { zone.utc_to_local(after) };
    let mut passed = shown.div_euclid(MINUTE_US);
    // Ends after the few occurrences of an overlap's second pass, which ran in the first.
    loop {
        let minute = occurrence_after(token, passed)?;
        let clock_us = minute * MINUTE_US;
        let at = if token.is_gmt { Timestamp(clock_us) } else { zone.local_to_utc(clock_us) };
        if at > after {
            return Some(at);
        }
        passed = minute;
    }
}

/// The first moment later than `after` at which any of the tokens runs.
pub fn next_of(tokens: &[ScheduleToken], after: Timestamp, zone: &Zone) -> Option<Timestamp> {
    tokens.iter().filter_map(|token| next_after(token, after, zone)).min()
}

/// The first occurrence on the token's own clock later than the minute `passed`.
fn occurrence_after(token: &ScheduleToken, passed: i64) -> Option<i64> {
    let start = start_minute(token.start);
    let (start_day, time_of_day) = (start.div_euclid(DAY_MINUTES), start.rem_euclid(DAY_MINUTES));
    if passed >= CLOCK_MINUTES_MAX {
        return None;
    }
    match token.recurrence {
        Recurrence::Once => (start > passed).then_some(start),
        Recurrence::Interval(span) => Some(stepped(start, minutes(span), passed)),
        Recurrence::Weekly { day, weeks } => {
            let first_day = start_day + (day as i64 - weekday(start_day)).rem_euclid(7);
            let first = first_day * DAY_MINUTES + time_of_day;
            Some(stepped(first, 7 * DAY_MINUTES * i64::from(weeks), passed))
        }
        Recurrence::MonthlyByWeekday { day, order, months } => {
            let day_in = |month| weekday_in(month, day as i64, order.into());
            Some(monthly(day_in, months.into(), start_day, time_of_day, passed))
        }
        Recurrence::MonthlyByDate { day, months } => {
            let day_in = |month| date_in(month, day.into());
            Some(monthly(day_in, months.into(), start_day, time_of_day, passed))
        }
    }
}

pub(super) fn start_minute(start: StartTime) -> i64 {
    let day = day_number(start.year.into(), start.month.into(), start.day.into());
    day * DAY_MINUTES + i64::from(start.hour) * 60 + i64::from(start.minute)
}

fn minutes(span: Span) -> i64 {
    match span {
        Span::Days(days) => i64::from(days) * DAY_MINUTES,
        Span::Hours(hours) => i64::from(hours) * 60,
        Span::Minutes(minutes) => i64::from(minutes),
    }
}

/// The first of `first`, `first + step`, … that is later than `passed`.
fn stepped(first: i64, step: i64, passed: i64) -> i64 {
    if passed < first {
        return first;
    }
    first + ((passed - first) / step + 1) * step
}

/// The first occurrence later than `passed` of a day that every `step` months has one of.
///
/// The first month is the one whose day is the first not before the start.
fn monthly(day_in: impl Fn(i64) -> i64, step: i64, start_day: i64, time_of_day: i64, passed: i64) -> i64 {
    let start_month = month_of(start_day);
    let first = if day_in(start_month) < start_day { start_month + 1 } else { start_month };
    let minute_in = |month| day_in(month) * DAY_MINUTES + time_of_day;
    let passed_month = month_of(passed.div_euclid(DAY_MINUTES));
    let month = first + ((passed_month - first).max(0) / step) * step;
    if minute_in(month) > passed { minute_in(month) } else { minute_in(month + step) }
}

/// The `order`th (0: last) of a day of the week in a month.
fn weekday_in(month: i64, day: i64, order: i64) -> i64 {
    if order == 0 {
        let last = first_day(month + 1) - 1;
        return last - (weekday(last) - day).rem_euclid(7);
    }
    let first = first_day(month);
    first + (day - weekday(first)).rem_euclid(7) + 7 * (order - 1)
}

/// The day `day` (0: last) of a month; the last day of a month that has fewer.
fn date_in(month: i64, day: i64) -> i64 {
    let length = i64::from(days_in_month(month.div_euclid(12), month.rem_euclid(12) + 1));
    let day = if day == 0 { length } else { day.min(length) };
    first_day(month) + day - 1
}
