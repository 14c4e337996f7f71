//! What a token means, in words.

use std::fmt;

use super::{Recurrence, ScheduleToken, Span, StartTime, TokenDuration, Weekday};

impl fmt::Display for ScheduleToken {
    /// One line without its clock: `every 2 weeks on Tuesday at 08:21, from 2004-07-20, for 2 h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StartTime { hour, minute, .. } = self.start;
        let date = format!("{:04}-{:02}-{:02}", self.start.year, self.start.month, self.start.day);
        match self.recurrence {
            Recurrence::Once => write!(f, "once on {date} at {hour:02}:{minute:02}")?,
            Recurrence::Interval(span) => {
                match span {
                    Span::Days(days) => every(f, days, "day")?,
                    Span::Hours(hours) => every(f, hours, "hour")?,
                    Span::Minutes(minutes) => every(f, minutes, "minute")?,
                }
                write!(f, " from {date} {hour:02}:{minute:02}")?;
            }
            Recurrence::Weekly { day, weeks } => {
                every(f, weeks, "week")?;
                write!(f, " on {day:?} at {hour:02}:{minute:02}, from {date}")?;
            }
            Recurrence::MonthlyByWeekday { day, order, months } => {
                every(f, months, "month")?;
                write!(f, " on the {} {day:?} at {hour:02}:{minute:02}, from {date}", ordinal(order))?;
            }
            Recurrence::MonthlyByDate { day: 0, months } => {
                every(f, months, "month")?;
                write!(f, " on the last day at {hour:02}:{minute:02}, from {date}")?;
            }
            Recurrence::MonthlyByDate { day, months } => {
                every(f, months, "month")?;
                write!(f, " on day {day} at {hour:02}:{minute:02}, from {date}")?;
                if day > 28 {
                    f.write_str(" (the last day where a month has fewer)")?;
                }
            }
        }
        if self.duration == TokenDuration::default() {
            return Ok(());
        }
        f.write_str(", for")?;
        let TokenDuration { days, hours, minutes } = self.duration;
        for (count, unit) in [(days, "d"), (hours, "h"), (minutes, "min")] {
            if count > 0 {
                write!(f, " {count} {unit}")?;
            }
        }
        Ok(())
    }
}

fn every(f: &mut fmt::Formatter<'_>, count: u8, unit: &str) -> fmt::Result {
    if count == 1 { write!(f, "every {unit}") } else { write!(f, "every {count} {unit}s") }
}

fn ordinal(order: u8) -> &'static str {
    match order {
        1 => "first",
        2 => "second",
        3 => "third",
        4 => "fourth",
        _ => "last",
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
