mod refusals;
mod times;

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
