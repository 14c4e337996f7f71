//! Literals, ranges and functions of times.

use restock_names::{Timestamp, Zone};

use super::{check, read, refused, shown, whole};
use crate::query::QueryErrorKind;
use crate::query::resolved::{Expression, Filter};

#[test]
fn times_are_site_local_beside_local_properties_and_utc_beside_others() {
    for literal in [
        "2026/11/22 10:00",
        "2026.11.22 10:00:00",
        "11/22/2026 10:00:00.000",
        "2026-11-22 10:00",
        "2026-11-22T10:00:00",
        "20261122100000.000000+***",
    ] {
        check(&format!("SourceDate >= '{literal}'"), "SourceDate >=@ 2026-11-22T09:00:00.000Z");
        let query = read(&format!("SELECT * FROM SMS_Status WHERE Time >= '{literal}'"));
        assert_eq!(
            shown(&query, query.filter.as_ref().expect("a filter")),
            "Time >=@ 2026-11-22T10:00:00.000Z"
        );
    }
    for literal in [
        "20261122100000.000000+000",
        "20261122110000.000000+060",
        "2026-11-22T10:00:00Z",
        "2026-11-22T05:00:00-05:00",
    ] {
        check(&format!("'{literal}' < SourceDate"), "SourceDate >@ 2026-11-22T10:00:00.000Z");
    }
    check("SourceDate < '07/01/2026'", "SourceDate <@ 2026-06-30T22:00:00.000Z");
    check("SourceDate = '2026/1/2 3:04:05.5'", "SourceDate =@ 2026-01-02T02:04:05.500Z");
    check(
        "SourceDate IN ('2026/01/01', '2026/07/01')",
        "(SourceDate =@ 2025-12-31T23:00:00.000Z or SourceDate =@ 2026-06-30T22:00:00.000Z)",
    );
    for literal in [
        "soon",
        "2026",
        "2026/13/01",
        "2026/02/30",
        "13/01/2026",
        "2026/11/22 24:00",
        "2026/11/22 10:60",
        "22.11.2026",
        "2026-11-22T10:00:00+1",
        "00000001000000.000000:000",
        "é/é/é",
        "2026/11",
    ] {
        refused(
            &format!("SELECT * FROM SMS_Package WHERE SourceDate > '{literal}'"),
            QueryErrorKind::Type,
            &format!("{literal:?} is no time"),
        );
    }
}

#[test]
fn differences_from_a_constant_become_ranges() {
    // Midnight in Berlin is 23:00 UTC of the day before.
    for (condition, filter) in [
        (
            "DateDiff(dd, SourceDate, GetDate()) = 0",
            "(SourceDate >=@ 2026-11-21T23:00:00.000Z and SourceDate <@ 2026-11-22T23:00:00.000Z)",
        ),
        (
            "DateDiff(dd, SourceDate, GetDate()) <> 0",
            "(SourceDate <@ 2026-11-21T23:00:00.000Z or SourceDate >=@ 2026-11-22T23:00:00.000Z)",
        ),
        ("DateDiff(dd, SourceDate, GetDate()) <= 7", "SourceDate >=@ 2026-11-14T23:00:00.000Z"),
        ("DateDiff(dd, SourceDate, GetDate()) < 7", "SourceDate >=@ 2026-11-15T23:00:00.000Z"),
        ("7 < DateDiff(dd, SourceDate, GetDate())", "SourceDate <@ 2026-11-14T23:00:00.000Z"),
        ("DateDiff(hour, GetDate(), SourceDate) > 1", "SourceDate >=@ 2026-11-22T12:00:00.000Z"),
        ("DateDiff(mm, SourceDate, GetDate()) >= 1", "SourceDate <@ 2026-10-31T23:00:00.000Z"),
        (
            "DateDiff(yy, SourceDate, '2026/05/05') = 1",
            "(SourceDate >=@ 2024-12-31T23:00:00.000Z and SourceDate <@ 2025-12-31T23:00:00.000Z)",
        ),
        (
            "DateDiff(wk, SourceDate, GetDate()) = 0",
            "(SourceDate >=@ 2026-11-21T23:00:00.000Z and SourceDate <@ 2026-11-28T23:00:00.000Z)",
        ),
        (
            "DateDiff(qq, SourceDate, GetDate()) = 0",
            "(SourceDate >=@ 2026-09-30T22:00:00.000Z and SourceDate <@ 2026-12-31T23:00:00.000Z)",
        ),
        ("SourceDate > DateAdd(dd, -7, GetDate())", "SourceDate >@ 2026-11-15T10:00:00.000Z"),
        ("SourceDate > DateAdd(mm, -1, '2026/03/31')", "SourceDate >@ 2026-02-27T23:00:00.000Z"),
        ("DateAdd(dd, 7, SourceDate) > GetDate()", "SourceDate >=@ 2026-11-15T10:00:00.000Z"),
        (
            "DateAdd(mm, 1, SourceDate) > '2026/02/28 12:00'",
            "((SourceDate >=@ 2026-01-28T11:00:00.000Z and SourceDate <@ 2026-01-28T23:00:00.000Z) or \
             (SourceDate >=@ 2026-01-29T11:00:00.000Z and SourceDate <@ 2026-01-29T23:00:00.000Z) or \
             (SourceDate >=@ 2026-01-30T11:00:00.000Z and SourceDate <@ 2026-01-30T23:00:00.000Z) or \
             SourceDate >=@ 2026-01-31T11:00:00.000Z)",
        ),
        ("DateAdd(mm, 1, SourceDate) < '2026/11/22'", "not SourceDate >=@ 2026-10-21T22:00:00.000Z"),
        ("DateAdd(mm, 1, SourceDate) >= '2026/03/01'", "SourceDate >=@ 2026-01-31T23:00:00.000Z"),
    ] {
        check(condition, filter);
    }
}

#[test]
fn date_functions_of_rows_speak_of_the_right_clock() {
    for (condition, filter) in [
        ("DatePart(month, SourceDate) = 11", "Month(local(SourceDate)) =i 11"),
        (
            "DateDiff(dd, SourceDate, GetDate()) > Priority",
            "20779 - DayBorder(local(SourceDate)) >i Priority",
        ),
        (
            "DateAdd(hh, Priority, SourceDate) > GetDate()",
            "local(SourceDate) + Priority * 3600000000 >@ 2026-11-22T11:00:00.000Z",
        ),
    ] {
        check(condition, filter);
    }
    let query = read("SELECT * FROM SMS_Status WHERE DatePart(hh, GetDate()) = DatePart(hh, Time)");
    assert_eq!(shown(&query, query.filter.as_ref().expect("a filter")), "Hour(Time) =i 10");
    let query =
        read("SELECT * FROM SMS_Status WHERE DatePart(dw, Time) = 1 ORDER BY DateDiff(ss, Time, GetDate())");
    assert_eq!(
        whole(&query),
        "PackageID,RecordID,Time from SMS_Status SMS_Status where WeekDay(Time) =i 1 \
         order 1795341600 - SecondBorder(Time) asc -> 0"
    );
}

#[test]
fn the_sites_clock_is_listed_with_its_changes() {
    let query = read("SELECT * FROM SMS_Package WHERE DatePart(hour, SourceDate) = 2");
    let Some(Filter::Compare { left: Expression::DatePart { clock, .. }, .. }) = &query.filter else {
        panic!("a comparison of a part: {:?}", query.filter)
    };
    let Expression::LocalClock { offsets, .. } = &**clock else { panic!("the site's clock: {clock:?}") };
    let berlin = Zone::named("Europe/Berlin").expect("a known zone");
    // Every hour from 2020 on: what the list says is what the zone says.
    for hour in 0..60_000_i64 {
        let at = 1_577_836_800_000_000 + hour * 3_600_000_000;
        let listed = offsets.iter().rev().find(|offset| offset.from <= at).expect("the list begins earlier");
        assert_eq!(at + listed.offset_us, berlin.utc_to_local(Timestamp(at)), "{}", Timestamp(at));
    }
}
