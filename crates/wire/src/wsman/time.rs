//! Times and lengths of time in XML Schema's forms.
//!
//! A moment is shown in UTC; digits of a clock without a zone have none. Source: XML Schema part 2,
//! 3.2.6 and 3.2.7; DSP0230 (`cim:Datetime`, `cim:Interval`).

use std::time::Duration;

use restock_cim::DateTime;
use restock_names::Zone;

use crate::odata::time::{Clock, read as read_zoned};

/// The longest time a client can ask to be waited for.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const SECOND: u64 = 1_000_000;

/// A value as it is shown: which element of `cim` holds it, and its text.
pub(super) fn show(time: &DateTime, clock: Clock, zone: &Zone) -> (&'static str, String) {
    let micros = match *time {
        DateTime::Interval(length) => return ("Interval", duration(length.unsigned_abs())),
        DateTime::Moment(at, _) => at.0,
        DateTime::Local(digits) if clock == Clock::Digits => {
            return match jiff::Timestamp::from_microsecond(digits) {
                Ok(at) => ("Datetime", at.to_string().trim_end_matches('Z').to_owned()),
                Err(_) => ("CIM_DateTime", time.to_string()),
            };
        }
        DateTime::Local(digits) => zone.local_to_utc(digits).0,
    };
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(at) => ("Datetime", at.to_string()),
        // Outside the years that the form can say.
        Err(_) => ("CIM_DateTime", time.to_string()),
    }
}

/// Reads a time with or without a zone, a length of time, or the 25 characters of DMTF.
pub(super) fn read(text: &str, clock: Clock, zone: &Zone) -> Option<DateTime> {
    let text = text.trim();
    if let Some(micros) = micros_of(text) {
        return i64::try_from(micros).ok().map(DateTime::Interval);
    }
    if let Some(time) = read_zoned(text, clock, zone) {
        return Some(time);
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let digits = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond();
    Some(match clock {
        Clock::Utc => DateTime::utc(zone.local_to_utc(digits)),
        Clock::Site | Clock::Digits => DateTime::Local(digits),
    })
}

/// `P1DT2H3M4.5S`
fn duration(micros: u64) -> String {
    let (seconds, rest) = (micros.div_euclid(SECOND), micros.rem_euclid(SECOND));
    let (days, seconds) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hours, seconds) = (seconds.div_euclid(3_600), seconds.rem_euclid(3_600));
    let (minutes, seconds) = (seconds.div_euclid(60), seconds.rem_euclid(60));
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}") };
    format!("P{days}DT{hours}H{minutes}M{seconds}{fraction}S")
}

/// How long a client waits; `None` for other text. Longer than a day is a day.
pub(super) fn timeout(text: &str) -> Option<Duration> {
    micros_of(text.trim()).map(|micros| Duration::from_micros(micros).min(DURATION_MAX))
}

/// A length of time in microseconds. Years and months have no length and are not read.
fn micros_of(text: &str) -> Option<u64> {
    let rest = text.strip_prefix('P')?;
    let (days, clock) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, clock)) => (days, clock),
        None if rest.is_empty() => return None,
        None => (rest, ""),
    };
    let mut micros: u64 = 0;
    for (mut part, units) in [(days, &[('D', 86_400)][..]), (clock, &[('H', 3_600), ('M', 60), ('S', 1)])] {
        for (unit, seconds) in units {
            let Some((number, after)) = part.split_once(*unit) else { continue };
            let (whole, fraction) = match number.split_once('.') {
                Some((whole, fraction)) if *unit == 'S' => (whole, fraction),
                _ => (number, "0"),
            };
            let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if !is_digits(whole) || !is_digits(fraction) {
                return None;
            }
            let of_seconds = whole.parse::<u64>().ok()?.checked_mul(*seconds)?.checked_mul(SECOND)?;
            let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
            micros = micros.checked_add(of_seconds)?.checked_add(six.parse().ok()?)?;
            part = after;
        }
        if !part.is_empty() {
            return None;
        }
    }
    Some(micros)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use restock_cim::DateTime;
    use restock_names::{Timestamp, Zone};

    use super::{Clock, read, show, timeout};

    #[test]
    fn lengths_of_time_are_read_and_others_are_not() {
        let seconds = |text: &str| timeout(text).map(|length| length.as_secs_f64());
        assert_eq!(seconds("PT20S"), Some(20.0));
        assert_eq!(seconds(" PT20.500S"), Some(20.5));
        assert_eq!(seconds("P0DT1H2M3S"), Some(3_723.0));
        assert_eq!(seconds("PT0.000S"), Some(0.0));
        assert_eq!(timeout("P9D"), Some(Duration::from_secs(86_400)), "at most a day");
        for text in ["", "P", "PT", "20", "PT20", "P1Y", "P1M", "-PT1S", "PT1.S", "PT.5S", "PT1S1M", "PTxS"] {
            assert_eq!(timeout(text), None, "{text}");
        }
    }

    #[test]
    fn times_come_back_as_they_were() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let noon = 1_782_907_200_000_000;
        for (time, clock, text) in [
            (DateTime::utc(Timestamp(noon)), Clock::Utc, ("Datetime", "2026-07-01T12:00:00Z")),
            (DateTime::Local(noon), Clock::Site, ("Datetime", "2026-07-01T10:00:00Z")),
            (DateTime::Local(noon), Clock::Digits, ("Datetime", "2026-07-01T12:00:00")),
            (DateTime::Interval(93_784_500_000), Clock::Utc, ("Interval", "P1DT2H3M4.500000S")),
        ] {
            let shown = show(&time, clock, &zone);
            assert_eq!((shown.0, shown.1.as_str()), text);
            assert_eq!(read(text.1, clock, &zone), Some(time));
        }
        assert_eq!(
            read("2026-07-01T12:00:00", Clock::Utc, &zone),
            read("2026-07-01T10:00:00Z", Clock::Utc, &zone)
        );
        assert_eq!(read("20260701120000.000000+***", Clock::Digits, &zone), Some(DateTime::Local(noon)));
        for text in ["", "tomorrow", "2026-02-30T00:00:00Z", "12"] {
            assert_eq!(read(text, Clock::Utc, &zone), None, "{text}");
        }
    }
}
