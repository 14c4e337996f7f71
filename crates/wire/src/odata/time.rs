//! Times in JSON: `2026-11-22T10:00:00Z`, always UTC.
//!
//! The one exception is the start of a schedule token whose `IsGMT` is false: its clock digits
//! stand unconverted before the `Z`.

use restock_cim::DateTime;
use restock_names::{Timestamp, Zone};

/// What the text of a time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// A moment.
    Utc,
    /// A moment that the property keeps in the site's zone.
    Site,
    /// Digits of a clock; the zone is not stated.
    Digits,
}

/// Shows a time. `clock`: what the property keeps.
pub(crate) fn show(time: &DateTime, clock: Clock, zone: &Zone) -> String {
    let micros = match *time {
        DateTime::Moment(at, _) => at.0,
        DateTime::Local(digits) if clock == Clock::Digits => digits,
        DateTime::Local(digits) => zone.local_to_utc(digits).0,
        DateTime::Interval(length) => return duration(length),
    };
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(at) => at.to_string(),
        // Outside the years that the format can say.
        Err(_) => time.to_string(),
    }
}

/// Reads a time in RFC 3339 form with `Z` or an offset, or in DMTF form. `None` for other text.
pub(crate) fn read(text: &str, clock: Clock, zone: &Zone) -> Option<DateTime> {
    let time = match text.parse::<jiff::Timestamp>() {
        Ok(at) => DateTime::Moment(Timestamp(at.as_microsecond()), 0),
        Err(_) => text.parse().ok()?,
    };
    Some(match (time, clock) {
        (DateTime::Moment(at, _), Clock::Site) => DateTime::Local(zone.utc_to_local(at)),
        (DateTime::Moment(at, _), Clock::Digits) => DateTime::Local(at.0),
        (DateTime::Moment(at, _), Clock::Utc) => DateTime::Moment(at, 0),
        (DateTime::Local(digits), Clock::Utc) => DateTime::Moment(zone.local_to_utc(digits), 0),
        (other, _) => other,
    })
}

/// `PT3600.5S`: an ISO 8601 duration in seconds.
fn duration(micros: i64) -> String {
    let micros = micros.unsigned_abs();
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    if rest == 0 { format!("PT{seconds}S") } else { format!("PT{seconds}.{rest:06}S") }
}

#[cfg(test)]
mod tests {
    use restock_cim::DateTime;
    use restock_names::{Timestamp, Zone};

    use super::{Clock, read, show};

    #[test]
    fn times_are_utc_but_for_the_digits_of_a_clock() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        // 2026-07-01 12:00 in UTC.
        let noon = 1_782_907_200_000_000;
        let two_hours = 7_200_000_000;
        assert_eq!(show(&DateTime::utc(Timestamp(noon)), Clock::Utc, &zone), "2026-07-01T12:00:00Z");
        assert_eq!(show(&DateTime::Local(noon), Clock::Site, &zone), "2026-07-01T10:00:00Z");
        assert_eq!(show(&DateTime::Local(noon), Clock::Digits, &zone), "2026-07-01T12:00:00Z");
        assert_eq!(show(&DateTime::Interval(1_500_000), Clock::Utc, &zone), "PT1.500000S");
        for (text, clock, want) in [
            ("2026-07-01T12:00:00Z", Clock::Utc, DateTime::Moment(Timestamp(noon), 0)),
            ("2026-07-01T14:00:00+02:00", Clock::Utc, DateTime::Moment(Timestamp(noon), 0)),
            ("2026-07-01T12:00:00Z", Clock::Site, DateTime::Local(noon + two_hours)),
            ("2026-07-01T12:00:00Z", Clock::Digits, DateTime::Local(noon)),
            ("20260701120000.000000+***", Clock::Utc, DateTime::Moment(Timestamp(noon - two_hours), 0)),
            ("20260701120000.000000+***", Clock::Digits, DateTime::Local(noon)),
        ] {
            assert_eq!(read(text, clock, &zone), Some(want), "{text}");
        }
        for text in ["2026-07-01T12:00:00", "2026-07-01", "tomorrow", "", "2026-02-30T00:00:00Z"] {
            assert_eq!(read(text, Clock::Utc, &zone), None, "{text}");
        }
    }
}
