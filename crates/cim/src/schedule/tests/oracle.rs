//! Runs compared with those of a Python script that walks over the calendar.

use proptest::prelude::*;
use restock_names::{Timestamp, Zone};

use super::any_token;
use crate::schedule::next::start_minute;
use crate::schedule::{Recurrence, ScheduleToken, Span, StartTime, encode, next_after};

/// A token, the name of a zone, and a moment in seconds: often next to a change of clocks.
fn any_question() -> impl Strategy<Value = (ScheduleToken, &'static str, i64)> {
    let zone = prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]);
    // Days on which clocks change in one of these zones.
    let change = prop::sample::select(vec![
        (2026_u16, 3_u8, 29_u8),
        (2026, 10, 25),
        (2026, 3, 8),
        (2026, 11, 1),
        (2026, 4, 5),
        (2026, 10, 4),
    ]);
    let near = (any::<bool>(), change, 0_u8..4, prop::sample::select(vec![0_u8, 15, 30, 59]), 0_u8..3);
    (any_token(), zone, near, 0_i64..1_000_000).prop_map(|(token, zone, near, ahead)| {
        let (is_near, (year, month, day), hour, minute, days_before) = near;
        let start = StartTime { year, month, day: day - days_before.min(day - 1), hour, minute };
        let token = if is_near { ScheduleToken { start, ..token } } else { token };
        // The oracle walks, so what recurs often is asked near its start.
        let reach_minutes = match token.recurrence {
            Recurrence::Interval(Span::Minutes(_)) => 4 * 24 * 60,
            Recurrence::Interval(Span::Hours(_)) => 40 * 24 * 60,
            _ if is_near => 4 * 24 * 60,
            _ => 1_500 * 24 * 60,
        };
        let minute = start_minute(token.start) - 2 * 24 * 60 + ahead % reach_minutes;
        (token, zone, minute * 60 + ahead % 60)
    })
}

/// The runs that the Python oracle finds for each question.
fn asked(questions: &[(ScheduleToken, &'static str, i64)], count: usize) -> Vec<Vec<i64>> {
    use std::io::Write as _;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/schedtoken.py");
    let mut oracle = std::process::Command::new("python3")
        .arg(script)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 is installed (cargo xtask setup)");
    let mut input = oracle.stdin.take().expect("it is piped");
    for (token, zone, after) in questions {
        writeln!(input, "{} {zone} {after} {count}", encode(&[*token])).expect("the oracle reads");
    }
    drop(input);
    let output = oracle.wait_with_output().expect("the oracle ends");
    assert!(output.status.success(), "the oracle failed");
    let text = String::from_utf8(output.stdout).expect("digits");
    text.lines().map(|line| line.split(' ').filter_map(|number| number.parse().ok()).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn runs_are_those_that_a_walk_over_the_calendar_finds(
        questions in prop::collection::vec(any_question(), 24),
    ) {
        let count = 4;
        let answers = asked(&questions, count);
        prop_assert_eq!(answers.len(), questions.len());
        for ((token, zone, after), answer) in questions.iter().zip(answers) {
            let rules = Zone::named(zone).expect("a known zone");
            let mut runs = Vec::new();
            let mut moment = Timestamp(after * 1_000_000);
            while let Some(next) = next_after(token, moment, &rules).filter(|_| runs.len() < count) {
                runs.push(next.0 / 1_000_000);
                moment = next;
            }
            prop_assert_eq!(runs, answer, "{} ({}) in {} after {}", encode(&[*token]), token, zone, after);
        }
    }
}
