//! Time zones: how the clock of a place and the moments of UTC become each other.

use crate::Timestamp;

/// A time zone with all its changes of offset.
///
/// Clock time is written as microseconds since 1970-01-01 00:00 *as if its digits were UTC*; that
/// is the only form in which it leaves this type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: jiff::tz::TimeZone,
}

/// No time zone of that name is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no time zone is called \"{0}\"; names are those of the IANA database, such as Europe/Berlin or UTC")]
pub struct ZoneError(pub String);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: jiff::tz::TimeZone::UTC }
    }

    /// The zone that the IANA database calls `name`, without letter case.
    ///
    /// The database of the machine is asked first, then the one compiled in.
    /// Errors: [`ZoneError`] when neither has it.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        let rules = jiff::tz::TimeZone::get(name).map_err(|_unknown| ZoneError(name.to_owned()))?;
        Ok(Self::of(rules, name))
    }

    /// The zone of this machine (`TZ`, then `/etc/localtime`); UTC when it states none.
    pub fn system() -> Self {
        Self::of(jiff::tz::TimeZone::system(), "system")
    }

    fn of(rules: jiff::tz::TimeZone, unnamed: &str) -> Self {
        match rules.iana_name() {
            None => Self { name: unnamed.to_owned(), rules },
            Some("UTC" | "Etc/UTC" | "Etc/Unknown") => Self::utc(),
            Some(name) => Self { name: name.to_owned(), rules },
        }
    }

    /// Its IANA name; "system" for a machine whose zone is given by rules only.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The moment at which clocks of this zone show `local_us`.
    ///
    /// A time shown twice (clocks were put back) is the *first* of the two moments. A time never
    /// shown (clocks were put forward over it) is the *first moment after the gap*. Both are one
    /// rule: the first moment at which the clock shows that time, or a later one if it skips it.
    /// Times outside the years -9999 to 9999 are taken as UTC.
    pub fn local_to_utc(&self, local_us: i64) -> Timestamp {
        let Some(clock) = clock_of(local_us) else {
            return Timestamp(local_us);
        };
        use jiff::tz::AmbiguousOffset;
        let (offset, in_gap) = match self.rules.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, false),
            AmbiguousOffset::Fold { before, .. } => (before, false),
            AmbiguousOffset::Gap { before, .. } => (before, true),
        };
        let shown = Timestamp(local_us.saturating_sub(i64::from(offset.seconds()) * 1_000_000));
        if !in_gap {
            return shown;
        }
        // With the offset from before the gap, `shown` lies after the change and before the next.
        let just_after = jiff::Timestamp::from_microsecond(shown.0.saturating_add(1));
        let change = just_after.ok().and_then(|moment| self.rules.preceding(moment).next());
        change.map_or(shown, |change| Timestamp(change.timestamp().as_microsecond()))
    }

    /// What clocks of this zone show at `moment`. Moments outside the years -9999 to 9999 stay
    /// as they are.
    pub fn utc_to_local(&self, moment: Timestamp) -> i64 {
        let Ok(time) = jiff::Timestamp::from_microsecond(moment.0) else {
            return moment.0;
        };
        moment.0.saturating_add(i64::from(self.rules.to_offset(time).seconds()) * 1_000_000)
    }

    /// How far its clocks are ahead of UTC at `moment`, in minutes rounded towards zero.
    pub fn offset_minutes(&self, moment: Timestamp) -> i16 {
        let minutes = self.utc_to_local(moment).saturating_sub(moment.0) / 60_000_000;
        i16::try_from(minutes).unwrap_or(0)
    }
}

fn clock_of(local_us: i64) -> Option<jiff::civil::DateTime> {
    let as_if_utc = jiff::Timestamp::from_microsecond(local_us).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(as_if_utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(text: &str) -> i64 {
        let time: jiff::civil::DateTime = text.parse().expect("a clock time");
        time.to_zoned(jiff::tz::TimeZone::UTC).expect("in range").timestamp().as_microsecond()
    }

    #[track_caller]
    fn check(zone: &str, local: &str, utc: &str) {
        let zone = Zone::named(zone).expect("a known zone");
        assert_eq!(zone.local_to_utc(clock(local)), Timestamp(clock(utc)), "{local} in {}", zone.name());
    }

    #[test]
    fn a_clock_time_is_one_moment() {
        check("UTC", "2026-03-29 02:30", "2026-03-29 02:30");
        check("Europe/Berlin", "2026-01-01 00:00", "2025-12-31 23:00");
        check("America/New_York", "2026-07-01 12:00:00.000001", "2026-07-01 16:00:00.000001");
        check("Europe/Berlin", "2060-07-01 12:00", "2060-07-01 10:00");
    }

    #[test]
    fn a_skipped_clock_time_is_the_first_moment_after_the_gap() {
        check("Europe/Berlin", "2026-03-29 01:59", "2026-03-29 00:59");
        check("Europe/Berlin", "2026-03-29 02:00", "2026-03-29 01:00");
        check("Europe/Berlin", "2026-03-29 02:59:59", "2026-03-29 01:00");
        check("Europe/Berlin", "2026-03-29 03:00", "2026-03-29 01:00");
        check("America/New_York", "2026-03-08 02:30", "2026-03-08 07:00");
        check("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:30");
        // A whole day that Samoa never had.
        check("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00");
    }

    #[test]
    fn a_repeated_clock_time_is_its_first_moment() {
        check("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 00:30");
        check("Europe/Berlin", "2026-10-25 03:00", "2026-10-25 02:00");
        check("America/New_York", "2026-11-01 01:30", "2026-11-01 05:30");
        check("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45");
    }

    #[test]
    fn moments_are_shown_by_the_clock_of_the_zone() {
        let berlin = Zone::named("europe/berlin").expect("known");
        assert_eq!(berlin.name(), "Europe/Berlin");
        assert_eq!(berlin.utc_to_local(Timestamp(clock("2026-10-25 01:30"))), clock("2026-10-25 02:30"));
        assert_eq!(berlin.offset_minutes(Timestamp(clock("2026-07-01 00:00"))), 120);
        assert_eq!(Zone::named("Mars/Olympus"), Err(ZoneError("Mars/Olympus".to_owned())));
    }

    #[test]
    fn times_beyond_the_calendar_stay_as_they_are() {
        let berlin = Zone::named("Europe/Berlin").expect("known");
        assert_eq!(berlin.local_to_utc(i64::MAX), Timestamp(i64::MAX));
        assert_eq!(berlin.utc_to_local(Timestamp(i64::MIN)), i64::MIN);
    }
}
