use restock_cim::query::{Condition, Literal, Operand, QueryErrorKind, wql};

use super::{fuzz_one, parse_filter, parse_order};

fn where_clause(text: &str) -> Condition {
    let query = wql::parse(&format!("SELECT * FROM SMS_Package WHERE {text}"));
    query.unwrap_or_else(|error| panic!("{text}: {error}")).filter.expect("a WHERE was written")
}

#[track_caller]
fn refused(text: &str, kind: QueryErrorKind, message: &str) {
    let error = parse_filter(text).expect_err(text);
    assert_eq!((error.to_string().as_str(), error.kind), (message, kind), "{text}");
}

#[test]
fn the_same_question_is_the_same_tree_in_both_languages() {
    for (filter, wql) in [
        ("PackageID eq 'ABC00001'", "PackageID = 'ABC00001'"),
        (
            "PackageID eq 'abc' or PackageID eq 'def' or Priority gt 2",
            "PackageID = 'abc' OR PackageID = 'def' OR Priority > 2",
        ),
        ("Status eq 5", "Status = 5"),
        ("State ne 0 and State lt 3", "State <> 0 AND State < 3"),
        ("State ge -1 and State le 3L", "State >= -1 AND State <= 3"),
        ("(a eq 1 or b eq 2) and not (c eq 3)", "(a = 1 OR b = 2) AND NOT c = 3"),
        ("a eq 1 and (b eq 2 and c eq 3)", "a = 1 AND b = 2 AND c = 3"),
        ("a eq 1 and b eq 2 or c eq 3", "a = 1 AND b = 2 OR c = 3"),
        ("startswith(Name,'7')", "Name LIKE '7%'"),
        ("startswith(Name,'7') eq true", "Name LIKE '7%'"),
        ("true eq startswith(Name,'7')", "Name LIKE '7%'"),
        ("startswith(Name,'7') eq false", "Name NOT LIKE '7%'"),
        ("startswith(Name,'7') ne true", "Name NOT LIKE '7%'"),
        ("not startswith(Name,'7')", "NOT Name LIKE '7%'"),
        ("not Name eq 'x'", "NOT Name = 'x'"),
        ("endswith( Name , 'exe' )", "Name LIKE '%exe'"),
        ("contains(Name,'50%_[a]')", "Name LIKE '%50[%][_][[]a]%'"),
        ("substringof('x',Name)", "Name LIKE '%x%'"),
        ("contains(Name,'')", "Name LIKE '%'"),
        ("contains(ServerNALPath,'\\\\DP01\\')", r"ServerNALPath LIKE '%\\\\DP01\\%'"),
        ("Name eq 'it''s'", r"Name = 'it\'s'"),
        ("Name eq null", "Name IS NULL"),
        ("null eq Name", "Name IS NULL"),
        ("Name ne null", "Name IS NOT NULL"),
        ("Name in ('a','b')", "Name IN ('a', 'b')"),
        ("not (Priority in (1,2))", "Priority NOT IN (1, 2)"),
        ("tolower(Name) eq 'x' and toupper(Name) eq 'X'", "LOWER(Name) = 'x' AND UPPER(Name) = 'X'"),
        ("substring(Name,0,3) eq 'abc'", "SUBSTRING(Name, 1, 3) = 'abc'"),
        ("substring(Name,2) eq 'abc'", "SUBSTRING(Name, 3, 2147483647) = 'abc'"),
        (
            "year(SourceDate) eq 2026 and month(SourceDate) ge 2",
            "DatePart(yy, SourceDate) = 2026 AND DatePart(mm, SourceDate) >= 2",
        ),
        (
            "day(d) eq 1 and hour(d) eq 2 and minute(d) eq 3 and second(d) eq 4",
            "DatePart(dd, d) = 1 AND DatePart(hh, d) = 2 AND DatePart(mi, d) = 3 AND DatePart(ss, d) = 4",
        ),
        ("LastRefreshTime lt now()", "LastRefreshTime < GetDate()"),
        ("LastRefreshTime gt '2026-11-22 10:00'", "LastRefreshTime > '2026-11-22 10:00'"),
        ("LastRefreshTime gt 2026-11-22", "LastRefreshTime > '2026-11-22'"),
        ("LastRefreshTime gt datetime'2026-11-22T10:00:00'", "LastRefreshTime > '2026-11-22T10:00:00'"),
        ("GroupID eq guid'0a'", "GroupID = '0a'"),
        ("IsActive", "IsActive = TRUE"),
        ("IsActive and not IsHidden", "IsActive = TRUE AND NOT IsHidden = TRUE"),
        ("IsActive eq false", "IsActive = FALSE"),
        ("(Name) eq ('x')", "Name = 'x'"),
        (
            "Name EQ 'x' AND NOT STARTSWITH(Name,'y') Or a IN (1) oR b Ne NULL and c eq True",
            "Name = 'x' AND NOT Name LIKE 'y%' OR a IN (1) OR b IS NOT NULL AND c = TRUE",
        ),
        ("((startswith(Name,'x'))) eq true", "Name LIKE 'x%'"),
        ("5 lt Priority", "5 < Priority"),
        ("x eq 1.5 or x eq 2e3 or x eq 1.5d", "x = 1.5 OR x = 2e3 OR x = 1.5"),
        ("__CLASS eq 'SMS_Package'", "__CLASS = 'SMS_Package'"),
    ] {
        let parsed = parse_filter(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
        assert_eq!(parsed, where_clause(wql), "{filter}");
    }
    let order = wql::parse("SELECT * FROM A ORDER BY Name, Priority DESC, LOWER(Version)").expect("WQL");
    assert_eq!(parse_order("Name asc,Priority desc, tolower(Version)"), Ok(order.order));
}

#[test]
fn times_with_a_zone_are_moments() {
    let moment = |text: &str| match parse_filter(&format!("d gt {text}")) {
        Ok(Condition::Compare(_, _, Operand::Literal(Literal::DateTime(time)))) => time.to_string(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(moment("2026-11-22T10:00:00Z"), "20261122100000.000000+000");
    assert_eq!(moment("2026-11-22T10:00:00.1234567Z"), "20261122100000.123456+000");
    assert_eq!(moment("2026-11-22T10:00:00+01:00"), "20261122100000.000000+060");
    assert_eq!(moment("datetimeoffset'2026-11-22T10:00:00-05:30'"), "20261122100000.000000-330");
}

#[test]
fn what_is_no_filter_is_refused_with_its_column() {
    for (text, message) in [
        ("", "expected a property or a value, found the end at column 1"),
        ("Name eq", "expected a property or a value, found the end at column 8"),
        ("Name eq 'x", "the text that begins here has no closing ' at column 9"),
        ("Name = 'x'", "unexpected character '=' at column 6"),
        ("Name eq 'x' Name", "expected the end, found Name at column 13"),
        ("Name eq 'x' and", "expected a property or a value, found the end at column 16"),
        ("(Name eq 'x'", "expected ), found the end at column 13"),
        ("Name eq 'x')", "expected the end, found ) at column 12"),
        ("'x'", "expected a comparison, found the end at column 4"),
        ("tolower(Name)", "expected a comparison, found the end at column 14"),
        ("Name in ()", "expected a value, found ) at column 10"),
        ("startswith(Name)", "expected ,, found ) at column 16"),
        ("tolower(a eq b) eq 'x'", "expected ), found eq at column 11"),
        ("x eq 12abc", "12abc is neither a number nor a time at column 6"),
        ("Name equals 'x'", "expected the end, found equals at column 6"),
        ("Name eq 'x' or 1=1 --", "unexpected character '=' at column 17"),
        ("Name eq ''; DROP TABLE packages", "unexpected character ';' at column 11"),
        ("d gt datetime'soon'", "soon is no time at column 6"),
    ] {
        refused(text, QueryErrorKind::FilterSyntax, message);
    }
    refused("x eq NaN", QueryErrorKind::Type, "NaN equals nothing at column 6");
}

#[test]
fn what_is_not_offered_is_refused_by_name() {
    for (text, message) in [
        ("length(Name) gt 5", "the function length is not supported at column 1"),
        ("a add 1 eq 2", "the operator add is not supported at column 3"),
        ("-a eq 2", "the operator - is not supported at column 1"),
        ("Flags has 1", "the operator has is not supported at column 7"),
        ("Props/any(p: p eq 'x')", "the path Props/… is not supported at column 1"),
        ("x in (1,null)", "null in a list (use eq null) is not supported at column 9"),
        (
            "startswith(Name,Version)",
            "startswith with something else than a text in quotes is not supported at column 24",
        ),
        ("d gt duration'P1D'", "literals of the form duration'…' are not supported at column 6"),
        (
            "(a eq 1) eq 1",
            "comparing a condition with something else than true and false is not supported at column 14",
        ),
        (
            "(a eq 1) gt true",
            "a condition beside another operator than eq and ne is not supported at column 17",
        ),
        ("AdminService.X eq 1", "the name AdminService.X is not supported at column 1"),
    ] {
        refused(text, QueryErrorKind::Unsupported, message);
    }
}

#[test]
fn a_filter_nested_ten_thousand_deep_is_refused_at_its_limit() {
    let nested = |depth: usize| format!("{}a eq 1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(parse_filter(&nested(64)), Ok(where_clause("a = 1")));
    refused(&nested(65), QueryErrorKind::FilterDepth, "nested more than 64 deep at column 66");
    for deep in [nested(10_000), "not ".repeat(10_000), "tolower(".repeat(8_000), "not(".repeat(10_000)] {
        assert_eq!(parse_filter(&deep).expect_err("too deep").kind, QueryErrorKind::FilterDepth);
    }
}

#[test]
fn limits_are_named() {
    for (text, message) in [
        (format!("a eq 1{}", " or a eq 1".repeat(500)), "more than 500 conditions"),
        (format!("a in (1{})", ",1".repeat(1_000)), "more than 1000 values of in"),
        (" ".repeat(65_537), "the expression has 65537 bytes"),
    ] {
        let error = parse_filter(&text).expect_err(message);
        assert_eq!(error.kind, QueryErrorKind::Limit);
        assert!(error.message.starts_with(message), "{error}");
    }
    let order = format!("a{}", ",a".repeat(16));
    assert_eq!(parse_order(&order).expect_err("too many").kind, QueryErrorKind::Limit);
    assert!(parse_order("5").is_err() && parse_order("a eq 1").is_err() && parse_order("").is_err());
}

#[test]
fn any_bytes_are_read_or_refused() {
    use proptest::prelude::*;
    let words = prop::sample::select(vec![
        "Name",
        "eq",
        "ne",
        "and",
        "or",
        "not",
        "in",
        "(",
        ")",
        ",",
        "'x'",
        "''",
        "1",
        "-2.5",
        "null",
        "true",
        "startswith",
        "substring",
        "now()",
        "2026-11-22T10:00:00Z",
        "desc",
        "/",
        "é",
        "'",
    ]);
    let texts = prop::collection::vec(words, 0..12).prop_map(|words| words.join(" ").into_bytes());
    let noise = prop::collection::vec(any::<u8>(), 0..60);
    proptest!(|(bytes in prop_oneof![texts, noise])| fuzz_one(&bytes));
}
