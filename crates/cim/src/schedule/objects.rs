//! Tokens as embedded objects of the classes `SMS_ST_*`.

use std::sync::Arc;

use restock_names::Timestamp;

use super::calendar::{day_number, first_day, month_of};
use super::text::span;
use super::{
    Recurrence, ScheduleError, ScheduleToken, Span, StartTime, TOKENS_MAX, TokenDuration, TokenError, Weekday,
};
use crate::{DateTime, Instance, Schema, Value};

const ONCE: &str = "SMS_ST_NonRecurring";
const INTERVAL: &str = "SMS_ST_RecurInterval";
const WEEKLY: &str = "SMS_ST_RecurWeekly";
const MONTHLY_BY_WEEKDAY: &str = "SMS_ST_RecurMonthlyByWeekday";
const MONTHLY_BY_DATE: &str = "SMS_ST_RecurMonthlyByDate";

const MINUTE_US: i64 = 60_000_000;

/// Reads a schedule from embedded objects, as `RefreshSchedule` and `TokenData` carry them.
///
/// A property that is missing or NULL has its declared default. Of `StartTime` the digits count,
/// as they are written: an offset is not converted, seconds are dropped.
/// Errors: more than [`TOKENS_MAX`] tokens, an object of another class, a value outside its range.
pub fn from_values(values: &[Value]) -> Result<Vec<ScheduleToken>, ScheduleError> {
    if values.len() > TOKENS_MAX {
        return Err(ScheduleError::TooMany(values.len()));
    }
    let tokens = values.iter().enumerate();
    tokens
        .map(|(index, value)| {
            from_value(value).map_err(|problem| ScheduleError::Token { number: index + 1, problem })
        })
        .collect()
}

/// Writes a schedule as embedded objects with every property set.
///
/// Errors: none. `schema` must declare the five classes; a token whose class it lacks is left out.
pub fn to_values(schema: &Schema, tokens: &[ScheduleToken]) -> Vec<Value> {
    tokens.iter().filter_map(|token| instance(schema, token)).map(|i| Value::Object(Box::new(i))).collect()
}

fn from_value(value: &Value) -> Result<ScheduleToken, TokenError> {
    let object = match value {
        Value::Object(object) => &**object,
        Value::Null => return Err(TokenError::Class("NULL".to_owned())),
        _ => return Err(TokenError::Class("a plain value".to_owned())),
    };
    let small = |name, max| small(object, name, max);
    let class = object.class.name.as_str();
    let is = |name: &str| class.eq_ignore_ascii_case(name);
    let recurrence = if is(ONCE) {
        Recurrence::Once
    } else if is(INTERVAL) {
        Recurrence::Interval(span(small("DaySpan", 31)?, small("HourSpan", 23)?, small("MinuteSpan", 59)?)?)
    } else if is(WEEKLY) {
        Recurrence::Weekly { day: weekday(object)?, weeks: at_least_one(object, "ForNumberOfWeeks", 4)? }
    } else if is(MONTHLY_BY_WEEKDAY) {
        Recurrence::MonthlyByWeekday {
            day: weekday(object)?,
            order: small("WeekOrder", 4)?,
            months: at_least_one(object, "ForNumberOfMonths", 12)?,
        }
    } else if is(MONTHLY_BY_DATE) {
        let months = at_least_one(object, "ForNumberOfMonths", 12)?;
        Recurrence::MonthlyByDate { day: small("MonthDay", 31)?, months }
    } else {
        return Err(TokenError::Class(class.to_owned()));
    };
    let is_gmt = match object.get("IsGMT") {
        None | Some(Value::Null) => false,
        Some(Value::Boolean(is_gmt)) => *is_gmt,
        Some(_) => return Err(TokenError::Type("IsGMT")),
    };
    let duration = TokenDuration {
        days: small("DayDuration", 31)?,
        hours: small("HourDuration", 23)?,
        minutes: small("MinuteDuration", 59)?,
    };
    ScheduleToken::new(start(object)?, is_gmt, duration, recurrence)
}

fn start(object: &Instance) -> Result<StartTime, TokenError> {
    let shown_us = match object.get("StartTime") {
        None | Some(Value::Null) => return Ok(StartTime::DEFAULT),
        Some(Value::DateTime(DateTime::Local(us))) => *us,
        Some(Value::DateTime(DateTime::Moment(Timestamp(us), offset))) => {
            us.saturating_add(i64::from(*offset) * MINUTE_US)
        }
        Some(_) => return Err(TokenError::Type("StartTime")),
    };
    let minute = shown_us.div_euclid(MINUTE_US);
    let (day, of_day) = (minute.div_euclid(24 * 60), minute.rem_euclid(24 * 60));
    let month = month_of(day);
    let year = month.div_euclid(12);
    let Ok(year) = u16::try_from(year) else {
        let found = u64::try_from(year).unwrap_or(0);
        return Err(TokenError::Range { field: "the year of StartTime", found, min: 1970, max: 2033 });
    };
    let fits = "a part of a date is less than 60";
    Ok(StartTime {
        year,
        month: u8::try_from(month.rem_euclid(12) + 1).expect(fits),
        day: u8::try_from(day - first_day(month) + 1).expect(fits),
        hour: u8::try_from(of_day / 60).expect(fits),
        minute: u8::try_from(of_day % 60).expect(fits),
    })
}

fn weekday(object: &Instance) -> Result<Weekday, TokenError> {
    Weekday::from_number(number(object, "Day", 1)?)
}

fn at_least_one(object: &Instance, name: &'static str, max: u64) -> Result<u8, TokenError> {
    byte(name, number(object, name, 1)?, 1, max)
}

fn small(object: &Instance, name: &'static str, max: u64) -> Result<u8, TokenError> {
    byte(name, number(object, name, 0)?, 0, max)
}

fn byte(field: &'static str, found: u64, min: u64, max: u64) -> Result<u8, TokenError> {
    let fits = (min..=max).contains(&found).then_some(found).and_then(|found| u8::try_from(found).ok());
    fits.ok_or(TokenError::Range { field, found, min, max })
}

fn number(object: &Instance, name: &'static str, default: u64) -> Result<u64, TokenError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Unsigned(number)) => Ok(*number),
        Some(Value::Signed(number)) => u64::try_from(*number).map_err(|_negative| TokenError::Type(name)),
        Some(_) => Err(TokenError::Type(name)),
    }
}

fn instance(schema: &Schema, token: &ScheduleToken) -> Option<Instance> {
    let (class, numbers): (&str, Vec<(&str, u8)>) = match token.recurrence {
        Recurrence::Once => (ONCE, vec![]),
        Recurrence::Interval(span) => {
            let (days, hours, minutes) = match span {
                Span::Days(days) => (days, 0, 0),
                Span::Hours(hours) => (0, hours, 0),
                Span::Minutes(minutes) => (0, 0, minutes),
            };
            (INTERVAL, vec![("DaySpan", days), ("HourSpan", hours), ("MinuteSpan", minutes)])
        }
        Recurrence::Weekly { day, weeks } => (WEEKLY, vec![("Day", day as u8), ("ForNumberOfWeeks", weeks)]),
        Recurrence::MonthlyByWeekday { day, order, months } => (
            MONTHLY_BY_WEEKDAY,
            vec![("Day", day as u8), ("WeekOrder", order), ("ForNumberOfMonths", months)],
        ),
        Recurrence::MonthlyByDate { day, months } => {
            (MONTHLY_BY_DATE, vec![("MonthDay", day), ("ForNumberOfMonths", months)])
        }
    };
    let mut object = Instance::new(Arc::clone(schema.class(class)?));
    let TokenDuration { days, hours, minutes } = token.duration;
    let durations = [("DayDuration", days), ("HourDuration", hours), ("MinuteDuration", minutes)];
    for (name, number) in numbers.into_iter().chain(durations) {
        object.set(name, Value::Unsigned(number.into()));
    }
    object.set("IsGMT", Value::Boolean(token.is_gmt));
    object.set("StartTime", Value::DateTime(DateTime::Local(start_us(token.start))));
    Some(object)
}

fn start_us(start: StartTime) -> i64 {
    let day = day_number(start.year.into(), start.month.into(), start.day.into());
    ((day * 24 + i64::from(start.hour)) * 60 + i64::from(start.minute)) * MINUTE_US
}
