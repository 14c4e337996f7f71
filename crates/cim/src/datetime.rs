//! Times and intervals of CIM.

use std::fmt;
use std::str::FromStr;

use restock_names::Timestamp;

/// A value of the type `datetime`. Source: DSP0004, 5.2.4; DMTF text of 25 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DateTime {
    /// A moment, with the offset from UTC in minutes in which it is shown.
    Moment(Timestamp, i16),
    /// Digits of a clock whose zone is not stated (`+***`): microseconds since 1970-01-01 00:00
    /// as if the digits were UTC.
    Local(i64),
    /// A length of time in microseconds, never negative.
    Interval(i64),
}

/// Why a text is no `datetime`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time: yyyymmddHHMMSS.mmmmmm and +UUU, -UUU, +*** or :000 are wanted")]
pub struct DateTimeError(String);

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

impl DateTime {
    /// A moment shown in UTC.
    pub fn utc(at: Timestamp) -> Self {
        Self::Moment(at, 0)
    }
}

impl FromStr for DateTime {
    type Err = DateTimeError;

    fn from_str(text: &str) -> Result<Self, DateTimeError> {
        parse(text.as_bytes()).ok_or_else(|| DateTimeError(text.chars().take(60).collect()))
    }
}

fn parse(text: &[u8]) -> Option<DateTime> {
    let (b".", sign) = (text.get(14..15)?, *text.get(21)?) else {
        return None;
    };
    if text.len() != 25 {
        return None;
    }
    let micros = number(text.get(15..21)?)?;
    let two = |at: usize| number(text.get(at..at + 2)?);
    let (hour, minute, second) = (two(8)?, two(10)?, two(12)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let of_day = hour * HOUR + minute * MINUTE + second * SECOND + micros;
    if sign == b':' {
        return (text.get(22..)? == b"000")
            .then_some(())
            .and(number(text.get(..8)?))
            .map(|days| DateTime::Interval(days * DAY + of_day));
    }
    let date = jiff::civil::Date::new(
        i16::try_from(number(text.get(..4)?)?).ok()?,
        i8::try_from(two(4)?).ok()?,
        i8::try_from(two(6)?).ok()?,
    )
    .ok()?;
    let local = days_of(date) * DAY + of_day;
    match (sign, text.get(22..)?) {
        (b'+', b"***") => Some(DateTime::Local(local)),
        (b'+' | b'-', digits) => {
            let offset = number(digits)? * if sign == b'-' { -1 } else { 1 };
            Some(DateTime::Moment(Timestamp(local - offset * MINUTE), i16::try_from(offset).ok()?))
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(*digit - b'0')))
}

fn days_of(date: jiff::civil::Date) -> i64 {
    jiff::civil::Date::constant(1970, 1, 1)
        .until((jiff::Unit::Day, date))
        .map_or(0, |span| i64::from(span.get_days()))
}

/// The 25 characters of DMTF; a time outside the years 0-9999 is shown as the nearest end.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (micros, zone) = match self {
            Self::Interval(length) => {
                let length = (*length).max(0);
                let (days, rest) = ((length / DAY).min(99_999_999), length % DAY);
                let (h, m, s) = (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE / SECOND);
                return write!(f, "{days:08}{h:02}{m:02}{s:02}.{:06}:000", rest % SECOND);
            }
            Self::Local(digits) => (*digits, "+***".to_owned()),
            Self::Moment(at, offset) => {
                let sign = if *offset < 0 { '-' } else { '+' };
                let digits = at.0.saturating_add(i64::from(*offset) * MINUTE);
                (digits, format!("{sign}{:03}", offset.unsigned_abs()))
            }
        };
        let days =
            i32::try_from(micros.div_euclid(DAY)).unwrap_or(if micros < 0 { i32::MIN } else { i32::MAX });
        let date = jiff::civil::Date::constant(1970, 1, 1)
            .saturating_add(jiff::SignedDuration::from_hours(i64::from(days) * 24));
        let rest = micros.rem_euclid(DAY);
        let (h, m, s) = (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE / SECOND);
        write!(f, "{:04}{:02}{:02}", date.year().max(0), date.month(), date.day())?;
        write!(f, "{h:02}{m:02}{s:02}.{:06}{zone}", rest % SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::DateTime;
    use restock_names::Timestamp;

    #[test]
    fn dmtf_texts_come_back_as_they_were() {
        for text in [
            "20261122100000.000000+000",
            "19700201000000.000000+***",
            "20260131233000.123456-060",
            "20240229120000.000000+330",
            "00000012030405.000006:000",
            "19000101000000.000000+***",
        ] {
            let time: DateTime = text.parse().expect(text);
            assert_eq!(time.to_string(), text);
        }
        let time: DateTime = "20261122100000.000000+060".parse().expect("a time");
        assert_eq!(time, DateTime::Moment(Timestamp(1_795_338_000_000_000), 60));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-11-22",
            "20261322100000.000000+000",
            "20261122240000.000000+000",
            "20250229000000.000000+000",
            "20261122100000.000000+00",
            "20261122100000.000000:001",
            "20261122100000.00000x+000",
            "20261122100000.000000Z000",
            "20261122100000.000000+0000",
            "ééééééééééééé",
        ] {
            assert!(text.parse::<DateTime>().is_err(), "{text}");
        }
    }
}
