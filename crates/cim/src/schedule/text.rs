//! The text of a schedule: 16 hexadecimal digits for each token.
//!
//! Two words of 32 bits. The first holds the start and the minutes of the duration, the second the
//! rest of the duration, the kind, what the kind needs, and whether times are UTC.
//! Source: docs/formats/schedule.md, "Text"; the method pages of `SMS_ScheduleMethods`.

use restock_names::{Timestamp, Zone};

use super::{
    Recurrence, ScheduleError, ScheduleToken, Span, StartTime, TOKENS_MAX, TokenDuration, TokenError,
    Weekday, YEAR_MIN, next_after,
};

const DIGITS: usize = 16;

const KIND_ONCE: u32 = 1;
const KIND_INTERVAL: u32 = 2;
const KIND_WEEKLY: u32 = 3;
const KIND_MONTHLY_BY_WEEKDAY: u32 = 4;
const KIND_MONTHLY_BY_DATE: u32 = 5;

/// Reads a schedule; an empty text has no tokens. Letter case is of no matter.
///
/// Errors: a wrong length or digit, more than [`TOKENS_MAX`] tokens, a field outside its range,
/// bits without meaning.
pub fn decode(text: &str) -> Result<Vec<ScheduleToken>, ScheduleError> {
    let characters = text.chars().count();
    if characters / DIGITS > TOKENS_MAX {
        return Err(ScheduleError::TooMany(characters.div_ceil(DIGITS)));
    }
    let digits: Vec<char> = text.chars().collect();
    if !characters.is_multiple_of(DIGITS) {
        return Err(ScheduleError::Length(characters));
    }
    let tokens = digits.chunks(DIGITS).enumerate();
    tokens
        .map(|(index, digits)| {
            token(digits).map_err(|problem| ScheduleError::Token { number: index + 1, problem })
        })
        .collect()
}

/// Writes a schedule in upper case.
pub fn encode(tokens: &[ScheduleToken]) -> String {
    tokens.iter().map(|token| format!("{:016X}", bits_of(token))).collect()
}

/// Reads any bytes as a schedule: what is read is written the same, and runs later than asked.
pub fn fuzz_one(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(tokens) = decode(&text) else { return };
    assert_eq!(encode(&tokens), text.to_uppercase(), "what was read is written the same");
    for token in &tokens {
        for after in [i64::MIN, -1, 0, 1_800_000_000_000_000, i64::MAX] {
            let next = next_after(token, Timestamp(after), &Zone::utc());
            assert!(next.is_none_or(|next| next.0 > after), "the next run is later");
        }
    }
}

fn token(digits: &[char]) -> Result<ScheduleToken, TokenError> {
    let mut bits = 0_u64;
    for digit in digits {
        let value = digit.to_digit(16).ok_or(TokenError::Digit(*digit))?;
        bits = bits << 4 | u64::from(value);
    }
    // At most six bits each, so every field fits.
    let first = |low: u32, width: u32| field(bits, 32 + low, width);
    let second = |low: u32, width: u32| field(bits, low, width);
    let start = StartTime {
        year: YEAR_MIN + u16::from(first(6, 6)),
        month: first(12, 4),
        day: first(16, 5),
        hour: first(21, 5),
        minute: first(26, 6),
    };
    let duration = TokenDuration { days: second(22, 5), hours: second(27, 5), minutes: first(0, 6) };
    let recurrence = match u32::from(second(19, 3)) {
        KIND_ONCE => Recurrence::Once,
        KIND_INTERVAL => Recurrence::Interval(span(second(3, 5), second(8, 5), second(13, 6))?),
        KIND_WEEKLY => {
            Recurrence::Weekly { day: Weekday::from_number(second(16, 3).into())?, weeks: second(13, 3) }
        }
        KIND_MONTHLY_BY_WEEKDAY => Recurrence::MonthlyByWeekday {
            day: Weekday::from_number(second(16, 3).into())?,
            order: second(9, 3),
            months: second(12, 4),
        },
        KIND_MONTHLY_BY_DATE => Recurrence::MonthlyByDate { day: second(14, 5), months: second(10, 4) },
        kind => return Err(TokenError::Kind(kind)),
    };
    let token = ScheduleToken::new(start, second(0, 1) == 1, duration, recurrence)?;
    if bits_of(&token) != bits {
        return Err(TokenError::UnusedBits);
    }
    Ok(token)
}

/// The span of the one unit that is not 0.
pub(super) fn span(days: u8, hours: u8, minutes: u8) -> Result<Span, TokenError> {
    match (days, hours, minutes) {
        (1.., 0, 0) => Ok(Span::Days(days)),
        (0, 1.., 0) => Ok(Span::Hours(hours)),
        (0, 0, 1..) => Ok(Span::Minutes(minutes)),
        _ => Err(TokenError::Span),
    }
}

fn field(bits: u64, low: u32, width: u32) -> u8 {
    let value = bits >> low & ((1 << width) - 1);
    u8::try_from(value).expect("no field is wider than six bits")
}

fn bits_of(token: &ScheduleToken) -> u64 {
    let StartTime { year, month, day, hour, minute } = token.start;
    let first = u32::from(minute) << 26
        | u32::from(hour) << 21
        | u32::from(day) << 16
        | u32::from(month) << 12
        | u32::from(year - YEAR_MIN) << 6
        | u32::from(token.duration.minutes);
    let (kind, rest) = match token.recurrence {
        Recurrence::Once => (KIND_ONCE, 0),
        Recurrence::Interval(Span::Days(days)) => (KIND_INTERVAL, u32::from(days) << 3),
        Recurrence::Interval(Span::Hours(hours)) => (KIND_INTERVAL, u32::from(hours) << 8),
        Recurrence::Interval(Span::Minutes(minutes)) => (KIND_INTERVAL, u32::from(minutes) << 13),
        Recurrence::Weekly { day, weeks } => (KIND_WEEKLY, (day as u32) << 16 | u32::from(weeks) << 13),
        Recurrence::MonthlyByWeekday { day, order, months } => {
            (KIND_MONTHLY_BY_WEEKDAY, (day as u32) << 16 | u32::from(months) << 12 | u32::from(order) << 9)
        }
        Recurrence::MonthlyByDate { day, months } => {
            (KIND_MONTHLY_BY_DATE, u32::from(day) << 14 | u32::from(months) << 10)
        }
    };
    let second = u32::from(token.duration.hours) << 27
        | u32::from(token.duration.days) << 22
        | kind << 19
        | rest
        | u32::from(token.is_gmt);
    u64::from(first) << 32 | u64::from(second)
}
