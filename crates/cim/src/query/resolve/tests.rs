use std::fmt::Write;

use restock_names::{Timestamp, Zone};

use super::{ResolveAt, resolve};
use crate::Schema;
use crate::query::resolved::{Bound, Domain, Expression, Field, Filter, Resolved, Selection, Shape};
use crate::query::{Comparison, JoinKind, Query, QueryErrorKind, wql};

const MOF: &str = r#"
[Abstract] class SMS_BaseClass {};
class SMS_PackageBaseclass : SMS_BaseClass {
    [Key] string PackageID;
    string Name;
    uint32 Priority;
    boolean IsHidden;
    real64 Score;
    [LocalTime] datetime SourceDate;
    string Tags[];
    uint32 Codes[];
    uint8 Icon[];
    datetime Runs[];
    [Lazy] string ExtendedData;
    [EmbeddedInstance("SMS_Token")] string Schedule[];
};
class SMS_Package : SMS_PackageBaseclass { string ShareName; };
class SMS_Image : SMS_PackageBaseclass { uint64 Size; };
[Embedded] class SMS_Token { uint32 Day; };
class SMS_Status : SMS_BaseClass {
    [Key] sint64 RecordID;
    datetime Time;
    string PackageID;
};
"#;

/// 2026-11-22 10:00:00 UTC, 11:00 in Berlin.
const NOW: i64 = 1_795_341_600_000_000;

fn schema() -> Schema {
    Schema::parse(&[("test.mof", MOF)]).expect("the test's own MOF")
}

fn resolved(query: Query) -> Result<Resolved, super::QueryError> {
    let zone = Zone::named("Europe/Berlin").expect("a known zone");
    resolve(&schema(), query, &ResolveAt { now: Timestamp(NOW), zone: &zone })
}

fn read(text: &str) -> Resolved {
    let query = wql::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    resolved(query).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The filter of a query over one class.
#[track_caller]
fn check(condition: &str, filter: &str) {
    let query = read(&format!("SELECT * FROM SMS_Package WHERE {condition}"));
    assert_eq!(shown(&query, query.filter.as_ref().expect("a filter")), filter, "{condition}");
}

#[track_caller]
fn refused(text: &str, kind: QueryErrorKind, message: &str) {
    let query = wql::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let error = resolved(query).expect_err(text);
    assert_eq!((error.to_string().as_str(), error.kind), (message, kind), "{text}");
}

fn shown(query: &Resolved, filter: &Filter) -> String {
    let many = |parts: &[Filter], between: &str| {
        let parts: Vec<String> = parts.iter().map(|part| shown(query, part)).collect();
        format!("({})", parts.join(between))
    };
    match filter {
        Filter::And(parts) => many(parts, " and "),
        Filter::Or(parts) => many(parts, " or "),
        Filter::Not(inner) => format!("not {}", shown(query, inner)),
        Filter::Constant(value) => value.to_string(),
        Filter::Compare { domain, left, comparison, right } => {
            let sign = match comparison {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            format!("{} {sign}{} {}", value(query, left), mark(*domain), value(query, right))
        }
        Filter::Like { text, pattern } => format!("{} like {}", value(query, text), pattern.0.len()),
        Filter::In { domain, operand, values } => {
            format!("{} in{} {}", value(query, operand), mark(*domain), bounds(values))
        }
        Filter::InQuery { domain, operand, query: inner } => {
            format!("{} in{} ({})", value(query, operand), mark(*domain), whole(inner))
        }
        Filter::Contains { domain, array, values } => {
            format!("{} has{} {}", name(query, *array), mark(*domain), bounds(values))
        }
        Filter::ContainsQuery { domain, array, query: inner } => {
            format!("{} has{} ({})", name(query, *array), mark(*domain), whole(inner))
        }
        Filter::ContainsLike { array, pattern } => {
            format!("{} has like {}", name(query, *array), pattern.0.len())
        }
        Filter::IsNull(expression) => format!("{} is null", value(query, expression)),
        Filter::IsClass { source, classes } => format!("{source} is {classes:?}"),
    }
}

fn mark(domain: Domain) -> &'static str {
    match domain {
        Domain::Text => "t",
        Domain::Integer => "i",
        Domain::Real => "r",
        Domain::Boolean => "b",
        Domain::Time => "@",
    }
}

fn name(query: &Resolved, field: Field) -> String {
    let property = query.property(field).expect("a field of this query");
    if query.sources.len() == 1 {
        return property.name.to_string();
    }
    format!("{}.{}", query.sources[field.source].alias, property.name)
}

fn bounds(values: &[Bound]) -> String {
    let values: Vec<String> = values.iter().map(bound).collect();
    format!("[{}]", values.join(", "))
}

fn bound(bound: &Bound) -> String {
    match bound {
        Bound::Text(text) => format!("'{text}'"),
        Bound::Integer(number) => number.to_string(),
        Bound::Real(number) => format!("{number:?}"),
        Bound::Boolean(value) => value.to_string(),
        Bound::Time(at) => Timestamp(*at).to_string(),
    }
}

fn value(query: &Resolved, expression: &Expression) -> String {
    match expression {
        Expression::Field(field) => name(query, *field),
        Expression::ClassName { source } => format!("class {source}"),
        Expression::Value(value) => bound(value),
        Expression::Upper(text) => format!("upper({})", value(query, text)),
        Expression::Lower(text) => format!("lower({})", value(query, text)),
        Expression::Substring { text, start, length } => {
            format!("substring({}, {}, {})", value(query, text), value(query, start), value(query, length))
        }
        Expression::LocalClock { time, .. } => format!("local({})", value(query, time)),
        Expression::DatePart { unit, clock } => format!("{unit:?}({})", value(query, clock)),
        Expression::Border { unit, clock } => format!("{unit:?}Border({})", value(query, clock)),
        Expression::Difference(a, b) => format!("{} - {}", value(query, a), value(query, b)),
        Expression::Shift { time, number, unit_us } => {
            format!("{} + {} * {unit_us}", value(query, time), value(query, number))
        }
    }
}

/// Everything of a query in one line.
fn whole(query: &Resolved) -> String {
    let mut text = String::new();
    match &query.selection {
        Selection::CountRows => text.push_str("count"),
        Selection::CountField(field) => write!(text, "count {}", name(query, *field)).expect("a String"),
        Selection::Fields(fields) => {
            let names: Vec<String> = fields.iter().map(|field| name(query, *field)).collect();
            text.push_str(&names.join(","));
        }
    }
    for source in &query.sources {
        let join = match &source.join {
            None => "from".to_owned(),
            Some(join) => format!("{:?}", join.kind).to_lowercase(),
        };
        let optional = if source.is_optional { "?" } else { "" };
        write!(text, " {join} {} {}{optional}", source.class.name, source.alias).expect("a String");
        if let Some(on) = source.join.as_ref().and_then(|join| join.on.as_ref()) {
            write!(text, " on {}", shown(query, on)).expect("a String");
        }
    }
    if let Some(filter) = &query.filter {
        write!(text, " where {}", shown(query, filter)).expect("a String");
    }
    for order in &query.order {
        let direction = if order.is_descending { "desc" } else { "asc" };
        write!(text, " order {} {direction}", value(query, &order.by)).expect("a String");
    }
    match &query.shape {
        Shape::Instance { source } => write!(text, " -> {source}"),
        Shape::Count { class } => write!(text, " -> {} {}", class.name, class.properties[0].name),
        Shape::Embedded { class, sources } => {
            let names: Vec<&str> = class.properties.iter().map(|property| property.name.as_str()).collect();
            write!(text, " -> {} {} {sources:?}", class.name, names.join(","))
        }
    }
    .expect("a String");
    text
}

#[test]
fn a_query_becomes_sources_fields_and_a_shape() {
    for (text, expected) in [
        ("select NAME, packageid, name from sms_status s, sms_package p where p.name = 'x'", None),
        (
            "SELECT name, PACKAGEID, Name FROM sms_package",
            Some("Name,PackageID from SMS_Package sms_package -> 0"),
        ),
        ("SELECT * FROM SMS_Status", Some("PackageID,RecordID,Time from SMS_Status SMS_Status -> 0")),
        ("SELECT __CLASS FROM SMS_Status", Some(" from SMS_Status SMS_Status -> 0")),
        (
            "SELECT COUNT(*) FROM SMS_Status ORDER BY Time",
            Some("count from SMS_Status SMS_Status -> __Generic Count"),
        ),
        (
            "SELECT COUNT(Time) FROM SMS_Status",
            Some("count Time from SMS_Status SMS_Status -> __Generic Count"),
        ),
        (
            "SELECT p.PackageID, s.* FROM SMS_Status AS s LEFT JOIN SMS_Package AS p ON p.PackageID = s.PackageID \
             ORDER BY s.Time DESC, UPPER(p.Name)",
            Some(
                "p.PackageID,s.PackageID,s.RecordID,s.Time from SMS_Status s left SMS_Package p? \
                 on p.PackageID =t s.PackageID order s.Time desc order upper(p.Name) asc -> __Generic p,s [1, 0]",
            ),
        ),
        (
            "SELECT s.* FROM SMS_Status AS s RIGHT JOIN SMS_Package AS p ON p.PackageID = s.PackageID",
            Some(
                "s.PackageID,s.RecordID,s.Time from SMS_Status s? right SMS_Package p on p.PackageID =t s.PackageID -> 0",
            ),
        ),
        (
            "SELECT RecordID, p.Name FROM SMS_Status s, SMS_Package p WHERE s.PackageID = p.PackageID",
            Some(
                "s.RecordID,p.Name from SMS_Status s inner SMS_Package p where s.PackageID =t p.PackageID \
                 -> __Generic p,s [1, 0]",
            ),
        ),
    ] {
        match expected {
            Some(expected) => assert_eq!(whole(&read(text)), expected, "{text}"),
            None => assert!(resolved(wql::parse(text).expect(text)).is_err(), "{text}"),
        }
    }
}

#[test]
fn full_joins_leave_both_sides_optional() {
    let query = read("SELECT * FROM SMS_Status s FULL JOIN SMS_Package p ON p.PackageID = s.PackageID");
    assert!(query.sources.iter().all(|source| source.is_optional));
    assert_eq!(query.sources[1].join.as_ref().map(|join| join.kind), Some(JoinKind::Full));
}

#[test]
fn literals_take_the_type_of_what_they_are_compared_with() {
    for (condition, filter) in [
        ("Name = 'x'", "Name =t 'x'"),
        ("'x' < Name", "Name >t 'x'"),
        ("Priority >= 2", "Priority >=i 2"),
        ("Priority = ' 2 '", "Priority =i 2"),
        ("Priority < 2.5", "Priority <r 2.5"),
        ("Priority < '2.5'", "Priority <r 2.5"),
        ("Score = 2", "Score =r 2.0"),
        ("Score > Priority", "Score >r Priority"),
        ("IsHidden = TRUE", "IsHidden =b true"),
        ("IsHidden = 0", "IsHidden =b false"),
        ("IsHidden <> 'True'", "IsHidden <>b true"),
        ("IsHidden IN (0, 'true')", "IsHidden inb [false, true]"),
        ("Priority IN (1, '2')", "Priority ini [1, 2]"),
        ("Priority IN (1, 2.5)", "Priority inr [1.0, 2.5]"),
        ("Name IS NULL", "Name is null"),
        ("Schedule IS NOT NULL", "not Schedule is null"),
        ("Icon IS NULL", "Icon is null"),
        ("UPPER(Name) = 'X'", "upper(Name) =t 'X'"),
        ("SUBSTRING(Name, 1, Priority) LIKE '%x'", "substring(Name, 1, Priority) like 2"),
        ("Name = ShareName", "Name =t ShareName"),
    ] {
        check(condition, filter);
    }
}

#[test]
fn constants_are_compared_at_once() {
    for (condition, filter) in [
        ("1 = 1", "true"),
        ("1 = 2 OR 'a' = 'A'", "(false or true)"),
        ("2.5 > 2", "true"),
        ("3 IN (1, 2)", "(false or false)"),
        ("NULL IS NULL", "true"),
        ("NULL = NULL", "true"),
        ("__CLASS = 'sms_package'", "true"),
        ("__CLASS IN ('A', 'B')", "false"),
        ("__CLASS IS NULL", "false"),
        ("__THIS ISA 'SMS_PackageBaseclass'", "true"),
        ("SMS_Package ISA SMS_Image", "false"),
        ("GetDate() > '2026/11/22 10:59'", "true"),
        ("DatePart(hour, GetDate()) = 11", "true"),
    ] {
        check(condition, filter);
    }
}

#[test]
fn numbers_beyond_all_stored_ones_keep_null_unknown() {
    for (condition, filter) in [
        ("Priority = 9223372036854775808", "Priority >i 9223372036854775807"),
        ("Priority <> 9223372036854775808", "Priority <=i 9223372036854775807"),
        ("Priority < 18446744073709551615", "Priority <=i 9223372036854775807"),
        ("Priority > -9223372036854775809", "Priority >=i -9223372036854775808"),
        ("Priority <= -9223372036854775809", "Priority <i -9223372036854775808"),
        ("Priority IN (1, 9223372036854775808)", "Priority ini [1]"),
        ("Priority IN (9223372036854775808)", "Priority >i 9223372036854775807"),
    ] {
        check(condition, filter);
    }
}

#[test]
fn equality_with_an_array_asks_for_membership() {
    for (condition, filter) in [
        ("Tags = 'x'", "Tags hast ['x']"),
        ("'x' = Tags", "Tags hast ['x']"),
        ("Tags <> 'x'", "not Tags hast ['x']"),
        ("Tags IN ('x', 'y')", "Tags hast ['x', 'y']"),
        ("Tags LIKE 'x%'", "Tags has like 2"),
        ("Codes = '5'", "Codes hasi [5]"),
        ("Runs = '2026/11/22'", "Runs has@ [2026-11-22T00:00:00.000Z]"),
        (
            "Tags IN (SELECT PackageID FROM SMS_Status ORDER BY Time)",
            "Tags hast (PackageID from SMS_Status SMS_Status -> 0)",
        ),
    ] {
        check(condition, filter);
    }
}

#[test]
fn a_base_class_knows_which_classes_its_rows_have() {
    let query = read("SELECT * FROM SMS_PackageBaseclass b WHERE b ISA 'SMS_Image' AND __CLASS LIKE 'SMS_%'");
    let names: Vec<&str> = query.sources[0].concrete.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(names, ["SMS_PackageBaseclass", "SMS_Package", "SMS_Image"]);
    assert!(query.sources[0].is_polymorphic());
    assert_eq!(
        shown(&query, query.filter.as_ref().expect("a filter")),
        "(0 is [\"SMS_Image\"] and class 0 like 3)"
    );
    let base = read("SELECT * FROM SMS_BaseClass");
    assert_eq!(base.sources[0].concrete.len(), 4);
    assert!(!read("SELECT * FROM SMS_Package").sources[0].is_polymorphic());
}

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

#[test]
fn what_names_nothing_or_too_much_is_refused() {
    for (text, kind, message) in [
        ("SELECT * FROM SMS_Nothing", QueryErrorKind::UnknownClass, "class SMS_Nothing is not known"),
        (
            "SELECT Nothing FROM SMS_Package",
            QueryErrorKind::UnknownProperty,
            "class SMS_Package has no property Nothing",
        ),
        (
            "SELECT p.Nothing FROM SMS_Package p",
            QueryErrorKind::UnknownProperty,
            "class SMS_Package has no property Nothing",
        ),
        (
            "SELECT q.Name FROM SMS_Package p",
            QueryErrorKind::UnknownProperty,
            "no class of the query is called q",
        ),
        (
            "SELECT q.* FROM SMS_Package p",
            QueryErrorKind::UnknownProperty,
            "no class of the query is called q",
        ),
        (
            "SELECT * FROM SMS_Package WHERE Nothing = 1",
            QueryErrorKind::UnknownProperty,
            "class SMS_Package has no property Nothing",
        ),
        (
            "SELECT PackageID FROM SMS_Package p, SMS_Status s",
            QueryErrorKind::UnknownProperty,
            "several classes of the query have PackageID: write the alias before it",
        ),
        (
            "SELECT Nothing FROM SMS_Package p, SMS_Status s",
            QueryErrorKind::UnknownProperty,
            "no class of the query has a property Nothing",
        ),
        (
            "SELECT * FROM SMS_Package, SMS_Package",
            QueryErrorKind::Unsupported,
            "two classes are called SMS_Package: give them aliases",
        ),
        (
            "SELECT * FROM SMS_Token",
            QueryErrorKind::Unsupported,
            "SMS_Token exists only within other objects and cannot be queried",
        ),
        (
            "SELECT * FROM __InstanceCreationEvent",
            QueryErrorKind::Unsupported,
            "event queries (__InstanceCreationEvent) are not supported",
        ),
        (
            "SELECT * FROM SMS_Package p JOIN SMS_Status s ON x.Name = 'a'",
            QueryErrorKind::UnknownProperty,
            "no class of the query is called x",
        ),
        (
            "SELECT * FROM SMS_Package WHERE __THIS ISA 'Nothing'",
            QueryErrorKind::UnknownClass,
            "class Nothing is not known",
        ),
        (
            "SELECT * FROM SMS_Package WHERE PackageID IN (SELECT Name FROM SMS_Status)",
            QueryErrorKind::UnknownProperty,
            "class SMS_Status has no property Name",
        ),
        (
            "SELECT * FROM SMS_Package p WHERE PackageID IN (SELECT p.Name FROM SMS_Status)",
            QueryErrorKind::UnknownProperty,
            "no class of the query is called p",
        ),
        (
            "SELECT DISTINCT Name FROM SMS_Package ORDER BY Priority",
            QueryErrorKind::Unsupported,
            "ORDER BY beside DISTINCT can name only selected properties",
        ),
        (
            "SELECT * FROM SMS_Package WHERE PackageID IN (SELECT * FROM SMS_Status)",
            QueryErrorKind::Unsupported,
            "a SELECT after IN must select one property",
        ),
        (
            "SELECT * FROM SMS_Package WHERE Priority IN (SELECT COUNT(*) FROM SMS_Status)",
            QueryErrorKind::Unsupported,
            "a COUNT after IN is not supported",
        ),
        (
            "SELECT * FROM SMS_Package WHERE PackageID IN (SELECT Tags FROM SMS_Package)",
            QueryErrorKind::Unsupported,
            "a SELECT after IN must select one property with single values",
        ),
    ] {
        refused(text, kind, message);
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    for (condition, message) in [
        ("Name = 5", "Name is text and cannot be compared with 5"),
        ("Priority = 'x'", "Priority is a whole number and cannot be compared with \"x\""),
        ("Priority = TRUE", "Priority is a whole number and cannot be compared with TRUE"),
        ("IsHidden = 2", "IsHidden is TRUE or FALSE and cannot be compared with 2"),
        ("IsHidden > 0", "TRUE and FALSE can only be compared with = and <>"),
        ("Name = Priority", "Name is text and Priority is a whole number"),
        ("Name > NULL", "NULL can only be compared with = and <>"),
        ("SourceDate = 5", "5 is no time"),
        ("SourceDate = Name", "Name is no time"),
        ("SourceDate LIKE '2026%'", "SourceDate is a time; LIKE is for text"),
        ("Priority LIKE '1%'", "Priority is a whole number; LIKE is for text"),
        ("Tags > 'x'", "Tags has many values and can only be compared with ="),
        ("Tags = Name", "Tags has many values and can only be compared with a value"),
        ("Icon = 5", "Icon holds bytes and can only be tested with IS NULL"),
        ("Schedule = 'x'", "Schedule holds objects and can only be tested with IS NULL"),
        ("UPPER(Priority) = 'x'", "Priority is no text"),
        ("SUBSTRING(Name, 'a', 1) = 'x'", "\"a\" is no whole number"),
        ("SUBSTRING(Name, 1, -1) = 'x'", "the length of a SUBSTRING cannot be negative"),
        ("Priority IN ('a')", "Priority is a whole number and cannot be compared with \"a\""),
        (
            "Priority IN (SELECT Name FROM SMS_Package)",
            "Priority is a whole number and the SELECT after IN gives text",
        ),
        (
            "Tags IN (SELECT Priority FROM SMS_Package)",
            "Tags is text and the SELECT after IN gives a whole number",
        ),
        ("Runs = 'x'", "Runs holds times"),
        ("DatePart(dd, Name) = 1", "Name is no time"),
    ] {
        refused(&format!("SELECT * FROM SMS_Package WHERE {condition}"), QueryErrorKind::Type, message);
    }
    refused("SELECT * FROM SMS_Package ORDER BY Tags", QueryErrorKind::Type, "Tags has many values");
    refused(
        "SELECT * FROM SMS_Package WHERE DateAdd(mm, Priority, SourceDate) > GetDate()",
        QueryErrorKind::Unsupported,
        "DateAdd of months, quarters or years needs a constant number and a property",
    );
}

#[test]
fn products_of_rows_are_found() {
    let groups = |text: &str| read(text).connected();
    assert_eq!(groups("SELECT * FROM SMS_Package p, SMS_Status s"), [vec![0], vec![1]]);
    assert_eq!(
        groups("SELECT * FROM SMS_Package p, SMS_Status s WHERE p.PackageID = s.PackageID"),
        [vec![0, 1]]
    );
    assert_eq!(
        groups("SELECT * FROM SMS_Package p, SMS_Status s WHERE p.PackageID = s.PackageID OR p.Priority = 1"),
        [vec![0], vec![1]]
    );
    assert_eq!(
        groups(
            "SELECT * FROM SMS_Package p JOIN SMS_Status s ON 1 = 1 JOIN SMS_Package q ON q.PackageID = p.PackageID"
        ),
        [vec![0, 2], vec![1]]
    );
}
