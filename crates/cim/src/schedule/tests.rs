use expect_test::{Expect, expect};
use proptest::prelude::*;
use restock_names::{Timestamp, Zone};

use super::{
    Recurrence, ScheduleError, ScheduleToken, Span, StartTime, TokenDuration, TokenError, Weekday, decode,
    encode, fuzz_one, next_after, next_of,
};

mod objects;
mod oracle;

/// Strings of documentation and tools with what they mean.
const GOLDEN: [(&str, &str); 15] = [
    ("7913788000080000", "once on 2004-07-19 at 08:30"),
    ("55147880001B2000", "every week on Tuesday at 08:21, from 2004-07-20"),
    ("55177880001E2000", "every week on Friday at 08:21, from 2004-07-23"),
    ("02C159C0381A2000", "every week on Monday at 22:00, from 2009-05-01, for 7 h"),
    ("1033BC7B10100010", "every 2 days from 2019-11-19 01:04, for 2 h 59 min"),
    ("0001200000100008", "every day from 1970-02-01 00:00"),
    ("0136BE0000080000", "once on 2026-11-22 at 09:00"),
    ("00411E0000100008", "every day from 2026-01-01 02:00"),
    ("00011E0000100400", "every 4 hours from 2026-01-01 00:00"),
    ("00011E000013C001", "every 30 minutes from 2026-01-01 00:00"),
    ("3C641E0000192000", "every week on Sunday at 03:15, from 2026-01-04"),
    ("02CD1E0020231400", "every month on the second Tuesday at 22:00, from 2026-01-13, for 4 h"),
    ("7AFF1E0000280400", "every month on the last day at 23:30, from 2026-01-31"),
    ("000F1E00002BCC01", "every 3 months on day 15 at 00:00, from 2026-01-15"),
    ("025E1E0000261000", "every month on the last Friday at 18:00, from 2026-01-30"),
];

#[test]
fn strings_of_documentation_are_read_and_written() {
    for (text, meaning) in GOLDEN {
        let tokens = decode(text).expect(text);
        assert_eq!(tokens.len(), 1, "{text}");
        assert_eq!(tokens[0].to_string(), meaning, "{text}");
        assert_eq!(tokens[0].is_gmt(), text.ends_with('1'), "{text}");
        assert_eq!(encode(&tokens), text);
        assert_eq!(decode(&text.to_lowercase()).as_ref(), Ok(&tokens), "letter case is of no matter");
    }
    let all: String = GOLDEN.iter().map(|(text, _)| *text).collect();
    let tokens = decode(&all).expect("fifteen tokens are a schedule");
    assert_eq!((tokens.len(), encode(&tokens)), (15, all));
    assert_eq!(decode(""), Ok(vec![]));
}

#[track_caller]
fn refused(text: &str, why: Expect) {
    why.assert_eq(&decode(text).expect_err(text).to_string());
}

#[test]
fn what_is_no_schedule_is_refused_by_field_and_range() {
    refused("7913788", expect!["a schedule has 16 hexadecimal digits for each token, not 7 characters"]);
    refused(&"7913788000080000".repeat(16), expect!["a schedule has at most 15 tokens, not 16"]);
    refused("791378800008000g", expect![[r#"token 1 of the schedule: "g" is no hexadecimal digit"#]]);
    refused("79137880000800ä0", expect![[r#"token 1 of the schedule: "\u{e4}" is no hexadecimal digit"#]]);
    refused("+913788000080000", expect![[r#"token 1 of the schedule: "+" is no hexadecimal digit"#]]);
    refused(
        "0000000000080000",
        expect!["token 1 of the schedule: the month of StartTime is 0; it goes from 1 to 12"],
    );
    refused(
        "79137880000800000001200000000000",
        expect!["token 2 of the schedule: the kind is 0; kinds are 1 to 5"],
    );
    refused(
        "001F4E0000080000",
        expect!["token 1 of the schedule: StartTime is 2026-04-31, a day that does not exist"],
    );
    refused(
        "03011E0000080000",
        expect!["token 1 of the schedule: the hour of StartTime is 24; it goes from 0 to 23"],
    );
    refused(
        "00011E3C00080000",
        expect!["token 1 of the schedule: MinuteDuration is 60; it goes from 0 to 59"],
    );
    refused("00011E00C0080000", expect!["token 1 of the schedule: HourDuration is 24; it goes from 0 to 23"]);
    refused("00011E000018A000", expect!["token 1 of the schedule: Day is 0; it goes from 1 to 7"]);
    refused(
        "00011E0000190000",
        expect!["token 1 of the schedule: ForNumberOfWeeks is 0; it goes from 1 to 4"],
    );
    refused("00011E0000211A00", expect!["token 1 of the schedule: WeekOrder is 5; it goes from 0 to 4"]);
    refused(
        "00011E0000100000",
        expect!["token 1 of the schedule: exactly one of DaySpan, HourSpan and MinuteSpan is more than 0"],
    );
}

fn at(text: &str) -> Timestamp {
    let time: String = text.replace('T', " ");
    let (date, clock) = time.trim_end_matches('Z').split_once(' ').expect("a date and a time");
    let mut date = date.split('-').map(|part| part.parse::<i64>().expect("a number"));
    let (year, month, day) = (date.next().unwrap(), date.next().unwrap(), date.next().unwrap());
    let mut clock = clock.split(':').map(|part| part.parse::<i64>().expect("a number"));
    let (hour, minute) = (clock.next().unwrap(), clock.next().unwrap());
    let day = super::calendar::day_number(year, month, day);
    Timestamp(((day * 24 + hour) * 60 + minute) * 60_000_000)
}

/// The next `count` runs in UTC, one a line.
#[track_caller]
fn runs(text: &str, zone: &str, after: &str, count: usize, expected: Expect) {
    let tokens = decode(text).expect(text);
    let zone = Zone::named(zone).expect("a known zone");
    let mut after = at(after);
    let mut shown = String::new();
    for _ in 0..count {
        let Some(next) = next_of(&tokens, after, &zone) else {
            shown.push_str("never\n");
            break;
        };
        shown.push_str(&format!("{}\n", &next.to_string()[..16]));
        after = next;
    }
    expected.assert_eq(&shown);
}

fn token(start: (u16, u8, u8, u8, u8), is_gmt: bool, recurrence: Recurrence) -> String {
    let (year, month, day, hour, minute) = start;
    let start = StartTime { year, month, day, hour, minute };
    encode(&[ScheduleToken::new(start, is_gmt, TokenDuration::default(), recurrence).expect("in range")])
}

#[test]
fn a_time_that_clocks_skip_runs_once_at_the_first_moment_after() {
    // Daily at 02:30; clocks go from 02:00 to 03:00 on 29 March.
    let daily = token((2026, 1, 1, 2, 30), false, Recurrence::Interval(Span::Days(1)));
    runs(
        &daily,
        "Europe/Berlin",
        "2026-03-27T12:00",
        4,
        expect![[r#"
        2026-03-28T01:30
        2026-03-29T01:00
        2026-03-30T00:30
        2026-03-31T00:30
    "#]],
    );
    // Every half hour: 02:00, 02:30 and 03:00 are one moment.
    let halves = token((2026, 1, 1, 0, 0), false, Recurrence::Interval(Span::Minutes(30)));
    runs(
        &halves,
        "Europe/Berlin",
        "2026-03-29T00:00",
        4,
        expect![[r#"
        2026-03-29T00:30
        2026-03-29T01:00
        2026-03-29T01:30
        2026-03-29T02:00
    "#]],
    );
}

#[test]
fn a_time_that_clocks_show_twice_runs_once_at_the_first() {
    let daily = token((2026, 1, 1, 2, 30), false, Recurrence::Interval(Span::Days(1)));
    runs(
        &daily,
        "Europe/Berlin",
        "2026-10-24T12:00",
        2,
        expect![[r#"
        2026-10-25T00:30
        2026-10-26T01:30
    "#]],
    );
    // The second 02:00 to 03:00 has had its runs; asked in its middle, the next is 03:00.
    let halves = token((2026, 1, 1, 0, 0), false, Recurrence::Interval(Span::Minutes(30)));
    runs(
        &halves,
        "Europe/Berlin",
        "2026-10-25T00:15",
        3,
        expect![[r#"
        2026-10-25T00:30
        2026-10-25T02:00
        2026-10-25T02:30
    "#]],
    );
    runs(
        &halves,
        "Europe/Berlin",
        "2026-10-25T01:10",
        1,
        expect![[r#"
        2026-10-25T02:00
    "#]],
    );
    runs(
        &daily,
        "America/New_York",
        "2026-11-01T05:00",
        2,
        expect![[r#"
        2026-11-01T07:30
        2026-11-02T07:30
    "#]],
    );
}

#[test]
fn utc_tokens_know_no_clock_changes() {
    let daily = token((2026, 1, 1, 2, 30), true, Recurrence::Interval(Span::Days(1)));
    runs(
        &daily,
        "Europe/Berlin",
        "2026-03-28T12:00",
        2,
        expect![[r#"
        2026-03-29T02:30
        2026-03-30T02:30
    "#]],
    );
}

#[test]
fn a_day_that_a_month_lacks_is_its_last() {
    let last = token((2026, 1, 31, 23, 30), true, Recurrence::MonthlyByDate { day: 31, months: 1 });
    runs(
        &last,
        "UTC",
        "2028-01-01T00:00",
        4,
        expect![[r#"
        2028-01-31T23:30
        2028-02-29T23:30
        2028-03-31T23:30
        2028-04-30T23:30
    "#]],
    );
    runs(
        "7AFF1E0000280400",
        "UTC",
        "2026-02-01T00:00",
        3,
        expect![[r#"
        2026-02-28T23:30
        2026-03-31T23:30
        2026-04-30T23:30
    "#]],
    );
}

#[test]
fn weeks_and_months_are_counted_from_the_first_run() {
    // From Thursday 1 January: the first Tuesday is the 6th, then every second week.
    let weekly = token((2026, 1, 1, 8, 0), true, Recurrence::Weekly { day: Weekday::Tuesday, weeks: 2 });
    runs(
        &weekly,
        "UTC",
        "2025-06-01T00:00",
        3,
        expect![[r#"
        2026-01-06T08:00
        2026-01-20T08:00
        2026-02-03T08:00
    "#]],
    );
    // Day 15 has passed on the 20th, so February is the first of every third month.
    let monthly = token((2026, 1, 20, 8, 0), true, Recurrence::MonthlyByDate { day: 15, months: 3 });
    runs(
        &monthly,
        "UTC",
        "2025-06-01T00:00",
        3,
        expect![[r#"
        2026-02-15T08:00
        2026-05-15T08:00
        2026-08-15T08:00
    "#]],
    );
    let fourth = Recurrence::MonthlyByWeekday { day: Weekday::Monday, order: 4, months: 12 };
    runs(
        &token((2026, 2, 1, 8, 0), true, fourth),
        "UTC",
        "2026-02-01T00:00",
        2,
        expect![[r#"
        2026-02-23T08:00
        2027-02-22T08:00
    "#]],
    );
}

#[test]
fn a_token_without_recurrence_runs_once_and_starts_may_lie_ahead() {
    runs(
        "0136BE0000080000",
        "Europe/Berlin",
        "2020-01-01T00:00",
        2,
        expect![[r#"
        2026-11-22T08:00
        never
    "#]],
    );
    runs(
        "0136BE0000080000",
        "Europe/Berlin",
        "2026-11-22T08:00",
        1,
        expect![[r#"
        never
    "#]],
    );
    // Two tokens: the earlier of both, once where they meet.
    runs(
        "00411E000010000800411E0000100010",
        "UTC",
        "2026-01-01T02:00",
        2,
        expect![[r#"
        2026-01-02T02:00
        2026-01-03T02:00
    "#]],
    );
}

#[test]
fn starts_and_spans_out_of_range_are_refused() {
    let start = StartTime { year: 2026, month: 2, day: 29, hour: 0, minute: 0 };
    let new = |start, duration, recurrence| ScheduleToken::new(start, false, duration, recurrence);
    let plain = TokenDuration::default();
    assert_eq!(new(start, plain, Recurrence::Once), Err(TokenError::Date { year: 2026, month: 2, day: 29 }));
    let good = StartTime::DEFAULT;
    assert!(new(StartTime { year: 2034, ..good }, plain, Recurrence::Once).is_err());
    assert!(new(StartTime { hour: 24, ..good }, plain, Recurrence::Once).is_err());
    assert!(new(good, TokenDuration { minutes: 60, ..plain }, Recurrence::Once).is_err());
    assert!(new(good, TokenDuration { hours: 24, ..plain }, Recurrence::Once).is_err());
    assert!(new(good, plain, Recurrence::Interval(Span::Days(0))).is_err());
    assert!(new(good, plain, Recurrence::Interval(Span::Hours(24))).is_err());
    assert!(new(good, plain, Recurrence::Weekly { day: Weekday::Sunday, weeks: 5 }).is_err());
    assert!(new(good, plain, Recurrence::MonthlyByDate { day: 32, months: 1 }).is_err());
    assert!(new(good, plain, Recurrence::MonthlyByDate { day: 31, months: 13 }).is_err());
    // The same through the text: two spans at once, a bit without meaning.
    let both = decode("00411E0000100108").expect_err("a day and an hour");
    assert_eq!(both, ScheduleError::Token { number: 1, problem: TokenError::Span });
    let unused = decode("0136BE0000080002").expect_err("bit 1 of a token that does not recur");
    assert_eq!(unused, ScheduleError::Token { number: 1, problem: TokenError::UnusedBits });
}

#[test]
fn the_ends_of_time_are_no_panic() {
    for (text, _) in GOLDEN {
        let token = decode(text).expect(text)[0];
        for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe"] {
            let zone = Zone::named(zone).expect("known");
            assert_eq!(next_after(&token, Timestamp(i64::MAX), &zone), None);
            assert!(next_after(&token, Timestamp(i64::MIN), &zone).is_some());
        }
    }
}

fn any_token() -> impl Strategy<Value = ScheduleToken> {
    let day = (0_usize..7).prop_map(|index| Weekday::ALL[index]);
    let recurrence = prop_oneof![
        Just(Recurrence::Once),
        (1_u8..=31).prop_map(|days| Recurrence::Interval(Span::Days(days))),
        (1_u8..=23).prop_map(|hours| Recurrence::Interval(Span::Hours(hours))),
        (1_u8..=59).prop_map(|minutes| Recurrence::Interval(Span::Minutes(minutes))),
        (day.clone(), 1_u8..=4).prop_map(|(day, weeks)| Recurrence::Weekly { day, weeks }),
        (day, 0_u8..=4, 1_u8..=12).prop_map(|(day, order, months)| Recurrence::MonthlyByWeekday {
            day,
            order,
            months
        }),
        (0_u8..=31, 1_u8..=12).prop_map(|(day, months)| Recurrence::MonthlyByDate { day, months }),
    ];
    let start = (1970_u16..=2033, 1_u8..=12, 1_u8..=28, 0_u8..24, 0_u8..60);
    let duration = (0_u8..=31, 0_u8..24, 0_u8..60);
    (start, any::<bool>(), duration, recurrence).prop_map(|(start, is_gmt, duration, recurrence)| {
        let (year, month, day, hour, minute) = start;
        let (days, hours, minutes) = duration;
        let start = StartTime { year, month, day, hour, minute };
        ScheduleToken::new(start, is_gmt, TokenDuration { days, hours, minutes }, recurrence)
            .expect("all parts are in range")
    })
}

proptest! {
    #[test]
    fn every_schedule_is_read_as_it_was_written(tokens in prop::collection::vec(any_token(), 0..=15)) {
        prop_assert_eq!(decode(&encode(&tokens)), Ok(tokens));
    }

    #[test]
    fn any_text_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), digits in "[0-9A-Fa-f]{16}") {
        fuzz_one(&bytes);
        fuzz_one(digits.as_bytes());
    }
}
