//! Schedules: up to fifteen tokens, each a start and how it recurs.
//!
//! [`ScheduleToken`] is one checked token; [`decode`] and [`encode`] read and write the text of 16
//! hexadecimal digits per token; [`from_values`] and [`to_values`] the embedded objects
//! `SMS_ST_*`; [`next_after`] and [`next_of`] say when something runs. Ranges and bits are those of
//! `SMS_ScheduleToken`, the arithmetic is written down in docs/formats/schedule.md.
//!
//! What it does not do: it reads no clock and starts nothing. The duration of a token is kept and
//! shown, and does not take part in when it runs.

mod calendar;
mod next;
mod objects;
mod text;
mod words;

pub use next::{next_after, next_of};
pub use objects::{from_values, to_values};
pub use text::{decode, encode, fuzz_one};

/// A schedule has no more tokens than this. Source: `Max(15)` of `SMS_Package.RefreshSchedule`.
pub const TOKENS_MAX: usize = 15;

/// The first year a token can start in; the last is 2033, as its text has six bits for it.
const YEAR_MIN: u16 = 1970;
const YEAR_MAX: u16 = 2033;

/// One token: when it starts, how it recurs, how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScheduleToken {
    start: StartTime,
    is_gmt: bool,
    duration: TokenDuration,
    recurrence: Recurrence,
}

/// What a clock shows when a token starts; the minute is the smallest unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the fields are the parts of a date")]
pub struct StartTime {
    /// 1970 to 2033.
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
}

/// How long what a token starts may last; nothing in it for "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TokenDuration {
    /// 0 to 31.
    pub days: u8,
    /// 0 to 23.
    pub hours: u8,
    /// 0 to 59.
    pub minutes: u8,
}

/// The five kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recurrence {
    /// `SMS_ST_NonRecurring`: at its start and never again.
    Once,
    /// `SMS_ST_RecurInterval`: at its start and then each time after the span.
    Interval(Span),
    /// `SMS_ST_RecurWeekly`.
    Weekly {
        /// The day of the week.
        day: Weekday,
        /// Every this many weeks, 1 to 4.
        weeks: u8,
    },
    /// `SMS_ST_RecurMonthlyByWeekday`.
    MonthlyByWeekday {
        /// The day of the week.
        day: Weekday,
        /// Which of them in the month: 1 to 4, 0 for the last.
        order: u8,
        /// Every this many months, 1 to 12.
        months: u8,
    },
    /// `SMS_ST_RecurMonthlyByDate`.
    MonthlyByDate {
        /// The day of the month; 0 for the last. A month that has no such day uses its last.
        day: u8,
        /// Every this many months, 1 to 12.
        months: u8,
    },
}

/// The length of an interval. A token names one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// 1 to 31.
    Days(u8),
    /// 1 to 23.
    Hours(u8),
    /// 1 to 59.
    Minutes(u8),
}

/// A day of the week, 1 for Sunday to 7 for Saturday in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the days")]
pub enum Weekday {
    Sunday = 1,
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
}

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The text is no whole number of tokens.
    #[error("a schedule has 16 hexadecimal digits for each token, not {0} characters")]
    Length(usize),
    /// More than [`TOKENS_MAX`] tokens.
    #[error("a schedule has at most {TOKENS_MAX} tokens, not {0}")]
    TooMany(usize),
    /// A token is wrong.
    #[error("token {number} of the schedule: {problem}")]
    Token {
        /// Which, from 1 on.
        number: usize,
        /// What is wrong with it.
        problem: TokenError,
    },
}

/// What is wrong with a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A character of the text is no hexadecimal digit.
    #[error("\"{}\" is no hexadecimal digit", .0.escape_default())]
    Digit(char),
    /// A kind other than 1 to 5.
    #[error("the kind is {0}; kinds are 1 to 5")]
    Kind(u32),
    /// A field lies outside its range.
    #[error("{field} is {found}; it goes from {min} to {max}")]
    Range {
        /// The property, as the class declares it.
        field: &'static str,
        /// What was found.
        found: u64,
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// The month of the start has no such day.
    #[error("StartTime is {year:04}-{month:02}-{day:02}, a day that does not exist")]
    Date {
        /// Year.
        year: u16,
        /// Month.
        month: u8,
        /// Day.
        day: u8,
    },
    /// An interval without length, or with several units.
    #[error("exactly one of DaySpan, HourSpan and MinuteSpan is more than 0")]
    Span,
    /// Bits that mean nothing are set, so the token may mean more than is known.
    #[error("bits that have no meaning for this kind are set")]
    UnusedBits,
    /// Not an embedded object of a class derived from `SMS_ScheduleToken`.
    #[error(
        "{0} is not a schedule token; these are SMS_ST_NonRecurring, SMS_ST_RecurInterval, SMS_ST_RecurWeekly, SMS_ST_RecurMonthlyByWeekday and SMS_ST_RecurMonthlyByDate"
    )]
    Class(String),
    /// A property has a value of a wrong type.
    #[error("{0} has a value of a wrong type")]
    Type(&'static str),
}

impl ScheduleError {
    /// The stable code of every error here.
    pub const CODE: &'static str = "SCHEDULE_INVALID";
}

impl ScheduleToken {
    /// A token with all its ranges checked.
    ///
    /// `is_gmt`: `start` and what follows from it are UTC, else what the site's clock shows.
    /// Errors: a [`TokenError`] naming the property and its range.
    pub fn new(
        start: StartTime,
        is_gmt: bool,
        duration: TokenDuration,
        recurrence: Recurrence,
    ) -> Result<Self, TokenError> {
        start.check()?;
        within("DayDuration", duration.days, 0, 31)?;
        within("HourDuration", duration.hours, 0, 23)?;
        within("MinuteDuration", duration.minutes, 0, 59)?;
        match recurrence {
            Recurrence::Once => {}
            Recurrence::Interval(Span::Days(days)) => within("DaySpan", days, 1, 31)?,
            Recurrence::Interval(Span::Hours(hours)) => within("HourSpan", hours, 1, 23)?,
            Recurrence::Interval(Span::Minutes(minutes)) => within("MinuteSpan", minutes, 1, 59)?,
            Recurrence::Weekly { weeks, .. } => within("ForNumberOfWeeks", weeks, 1, 4)?,
            Recurrence::MonthlyByWeekday { order, months, .. } => {
                within("WeekOrder", order, 0, 4)?;
                within("ForNumberOfMonths", months, 1, 12)?;
            }
            Recurrence::MonthlyByDate { day, months } => {
                within("MonthDay", day, 0, 31)?;
                within("ForNumberOfMonths", months, 1, 12)?;
            }
        }
        Ok(Self { start, is_gmt, duration, recurrence })
    }

    /// When it starts, on the clock that [`Self::is_gmt`] says.
    pub fn start(&self) -> StartTime {
        self.start
    }

    /// Whether its times are UTC; else they are what the site's clock shows.
    pub fn is_gmt(&self) -> bool {
        self.is_gmt
    }

    /// How long what it starts may last.
    pub fn duration(&self) -> TokenDuration {
        self.duration
    }

    /// How it recurs.
    pub fn recurrence(&self) -> Recurrence {
        self.recurrence
    }
}

impl StartTime {
    /// What a token starts with that names no start: 1970-02-01 00:00.
    pub const DEFAULT: Self = Self { year: 1970, month: 2, day: 1, hour: 0, minute: 0 };

    fn check(self) -> Result<(), TokenError> {
        let Self { year, month, day, hour, minute } = self;
        in_range("the year of StartTime", year, YEAR_MIN, YEAR_MAX)?;
        within("the month of StartTime", month, 1, 12)?;
        if day == 0 || day > calendar::days_in_month(year.into(), month.into()) {
            return Err(TokenError::Date { year, month, day });
        }
        within("the hour of StartTime", hour, 0, 23)?;
        within("the minute of StartTime", minute, 0, 59)
    }
}

impl Weekday {
    /// All, from Sunday on.
    pub const ALL: [Self; 7] = [
        Self::Sunday,
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
    ];

    /// The day that tokens number `number`, from 1 for Sunday on.
    fn from_number(number: u64) -> Result<Self, TokenError> {
        let found = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        found.and_then(|index| Self::ALL.get(index).copied()).ok_or(TokenError::Range {
            field: "Day",
            found: number,
            min: 1,
            max: 7,
        })
    }
}

fn within(field: &'static str, found: u8, min: u8, max: u8) -> Result<(), TokenError> {
    in_range(field, found.into(), min.into(), max.into())
}

fn in_range(field: &'static str, found: u16, min: u16, max: u16) -> Result<(), TokenError> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(TokenError::Range { field, found: found.into(), min: min.into(), max: max.into() })
}

#[cfg(test)]
mod tests;
