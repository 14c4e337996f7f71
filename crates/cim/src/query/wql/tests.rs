use super::{fuzz_one, parse, print, statement};
use crate::query::{Condition, Pattern, PatternPart, QueryErrorKind};

/// Reads, and compares the canonical text; the canonical text reads as the same query.
#[track_caller]
fn check(text: &str, canonical: &str) {
    let query = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let printed = print(&query).expect("WQL has words for what it was read from");
    assert_eq!(printed, canonical);
    assert_eq!(parse(&printed), Ok(query));
}

#[track_caller]
fn refused(text: &str, kind: QueryErrorKind, message: &str) {
    let error = parse(text).expect_err(text);
    assert_eq!((error.to_string().as_str(), error.kind), (message, kind), "{text}");
}

#[test]
fn clauses_are_read() {
    check("select * from sms_package", "SELECT * FROM sms_package");
    check(
        r#"SELECT * FROM SMS_Package WHERE Name LIKE "7%" ORDER BY Name"#,
        "SELECT * FROM SMS_Package WHERE Name LIKE '7%' ORDER BY Name",
    );
    check("SELECT COUNT(*) FROM SMS_Package", "SELECT COUNT(*) FROM SMS_Package");
    check("SELECT count ( Name ) FROM SMS_Package", "SELECT COUNT(Name) FROM SMS_Package");
    check(
        "SELECT DISTINCT PackageID,__CLASS FROM SMS_Package\n\tWHERE Status != 3",
        "SELECT DISTINCT PackageID, __CLASS FROM SMS_Package WHERE Status <> 3",
    );
    check("SELECT * FROM A ORDER BY x DESC, UPPER(y) asc, z", "SELECT * FROM A ORDER BY x DESC, UPPER(y), z");
    // Only where they stand do these words mean something.
    check("SELECT Count, Top, Role FROM A WHERE Upper = 1", "SELECT Count, Top, Role FROM A WHERE Upper = 1");
}

#[test]
fn joins_are_read() {
    check(
        "SELECT p.PackageID,d.ServerNALPath FROM SMS_Package AS p INNER JOIN SMS_DistributionPoint AS d \
         ON p.PackageID=d.PackageID WHERE d.Status<>3",
        "SELECT p.PackageID, d.ServerNALPath FROM SMS_Package AS p INNER JOIN SMS_DistributionPoint AS d \
         ON p.PackageID = d.PackageID WHERE d.Status <> 3",
    );
    check(
        "select stat.*, ins.*, att1.*, stat.Time from SMS_StatusMessage as stat left join \
         SMS_StatMsgInsStrings as ins on stat.RecordID = ins.RecordID left join SMS_StatMsgAttributes as att1 \
         on stat.RecordID = att1.RecordID where stat.Time >= '2026/11/22 10:00:00.000' order by stat.Time desc",
        "SELECT stat.*, ins.*, att1.*, stat.Time FROM SMS_StatusMessage AS stat LEFT JOIN \
         SMS_StatMsgInsStrings AS ins ON stat.RecordID = ins.RecordID LEFT JOIN SMS_StatMsgAttributes AS att1 \
         ON stat.RecordID = att1.RecordID WHERE stat.Time >= '2026/11/22 10:00:00.000' ORDER BY stat.Time DESC",
    );
    check(
        "SELECT * FROM A, B b JOIN C ON A.x = C.x RIGHT OUTER JOIN D ON 1=1 FULL OUTER JOIN E AS e ON e.y=b.y",
        "SELECT * FROM A, B INNER JOIN C ON A.x = C.x RIGHT JOIN D ON 1 = 1 FULL JOIN E ON e.y = b.y",
    );
}

#[test]
fn conditions_are_read() {
    check(
        "SELECT * FROM A WHERE a=1 AND (b=2 AND c=3) OR NOT (d=4 OR e=5) OR (f=6)",
        "SELECT * FROM A WHERE a = 1 AND b = 2 AND c = 3 OR NOT (d = 4 OR e = 5) OR f = 6",
    );
    check("SELECT * FROM A WHERE (a=1 OR b=2) AND c=3", "SELECT * FROM A WHERE (a = 1 OR b = 2) AND c = 3");
    check(
        "SELECT * FROM A WHERE (a) = 1 AND ((b)) LIKE 'x' AND (c = (2)) OR (UPPER((d))) IN ('x') OR ((e = 1) AND (f = 2))",
        "SELECT * FROM A WHERE a = 1 AND b LIKE 'x' AND c = 2 OR UPPER(d) IN ('x') OR e = 1 AND f = 2",
    );
    check("SELECT * FROM A WHERE NOT NOT a=1", "SELECT * FROM A WHERE NOT NOT a = 1");
    check(
        "SELECT * FROM A WHERE a IS NULL AND b IS NOT NULL AND c = NULL AND NULL <> d",
        "SELECT * FROM A WHERE a IS NULL AND b IS NOT NULL AND c IS NULL AND d IS NOT NULL",
    );
    check(
        "SELECT * FROM A WHERE PackageID NOT IN (SELECT PackageID FROM SMS_DistributionPoint)",
        "SELECT * FROM A WHERE PackageID NOT IN (SELECT PackageID FROM SMS_DistributionPoint)",
    );
    check(
        "SELECT * FROM A WHERE x IN (1, -2, +3, 'x', true, 1.5, 2e3) AND NOT y IN (1)",
        "SELECT * FROM A WHERE x IN (1, -2, 3, 'x', TRUE, 1.5e0, 2e3) AND y NOT IN (1)",
    );
    check(
        "SELECT * FROM A WHERE __this ISA \"SMS_Package\" AND NOT a isa B AND __CLASS = 'C'",
        "SELECT * FROM A WHERE __this ISA 'SMS_Package' AND NOT a ISA 'B' AND __CLASS = 'C'",
    );
    check(
        "SELECT * FROM A WHERE DateDiff(dd, x, GetDate()) < 7 AND DATEPART('yy', y) = 2026 \
         AND x > dateadd(month, -1, getdate()) AND lower(n) = 'a' AND SUBSTRING(n, 1, 3) = 'abc'",
        "SELECT * FROM A WHERE DateDiff(day, x, GetDate()) < 7 AND DatePart(year, y) = 2026 \
         AND x > DateAdd(month, -1, GetDate()) AND LOWER(n) = 'a' AND SUBSTRING(n, 1, 3) = 'abc'",
    );
}

#[test]
fn patterns_and_their_escapes_are_read() {
    check(
        r#"SELECT * FROM A WHERE ServerNALPath LIKE '[[]"Display=\\\\DP01\\"]MSWNET:[[]"SMS_SITE=XYZ"]\\\\DP01\\'"#,
        r#"SELECT * FROM A WHERE ServerNALPath LIKE '[[]"Display=\\\\DP01\\"]MSWNET:[[]"SMS_SITE=XYZ"]\\\\DP01\\'"#,
    );
    let query = parse(
        r#"SELECT * FROM A WHERE p LIKE "[[]\"Display=\\\\DP01\\\"]MSWNET:[[]\"SMS_SITE=XYZ\"]\\\\DP01\\""#,
    )
    .expect("both kinds of quotes are read");
    let Some(Condition::Like(_, pattern)) = query.filter else { panic!("a LIKE") };
    // The _ of SMS_SITE was not escaped by the script, so it stands for any character.
    let parts = [
        PatternPart::Text(r#"["Display=\\DP01\"]MSWNET:["SMS"#.to_owned()),
        PatternPart::One,
        PatternPart::Text(r#"SITE=XYZ"]\\DP01\"#.to_owned()),
    ];
    assert_eq!(pattern, Pattern::new(parts));

    for (written, canonical) in [
        ("%%a%", "%a%"),
        ("[%][_][[]", "[%][_][[]"),
        ("[a]b", "ab"),
        ("[a-c][^a-c]_", "[a-c][^a-c]_"),
        ("[]a][^]a][a-][-a]", "[]a][^]a][a-a-][-a]"),
        ("[a-a-c]", "[a-a-c]"),
        ("]-^", "]-^"),
    ] {
        check(
            &format!("SELECT * FROM A WHERE x LIKE '{written}'"),
            &format!("SELECT * FROM A WHERE x LIKE '{canonical}'"),
        );
    }
    for (written, what) in
        [("[a", "a set without ]"), ("[^]", "a set without ]"), ("[c-a]", "a range that runs backwards")]
    {
        refused(
            &format!("SELECT * FROM A WHERE x LIKE '{written}'"),
            QueryErrorKind::WqlSyntax,
            &format!("{what} in a pattern (write [ as [[]) at column 30"),
        );
    }
}

#[test]
fn texts_have_two_kinds_of_quotes_and_three_escapes() {
    check(
        r#"SELECT * FROM A WHERE x = "it's \"so\"" AND y = 'a \'b\' \"c\" \\'"#,
        r#"SELECT * FROM A WHERE x = 'it\'s "so"' AND y = 'a \'b\' "c" \\'"#,
    );
    refused(
        r"SELECT * FROM A WHERE x = '\\srv\share'",
        QueryErrorKind::WqlSyntax,
        r#"\ must be followed by \, ' or " (write \ as \\) at column 33"#,
    );
}

#[test]
fn what_is_no_query_is_refused_with_its_column() {
    for (text, message) in [
        ("", "expected SELECT, found the end at column 1"),
        ("SELECT", "expected a property, found the end at column 7"),
        ("SELECT * SMS_Package", "expected FROM, found SMS_Package at column 10"),
        ("SELECT * FROM", "expected a class, found the end at column 14"),
        ("SELECT * FROM A WHERE", "expected a property, a value or a function, found the end at column 22"),
        ("SELECT * FROM A WHERE x", "expected a comparison, LIKE, IN, IS or ISA, found the end at column 24"),
        ("SELECT * FROM A WHERE x = 1 y", "expected the end of the query, found y at column 29"),
        ("SELECT * FROM A WHERE (x = 1", "expected ), found the end at column 29"),
        ("SELECT * FROM A WHERE x IN ()", "expected a value, found ) at column 29"),
        ("SELECT * FROM A WHERE x NOT = 1", "expected LIKE or IN, found = at column 29"),
        ("SELECT * FROM A ORDER Name", "expected BY, found Name at column 23"),
        ("SELECT * FROM A JOIN B", "expected ON, found the end at column 23"),
        ("SELECT *, Name FROM A", "expected FROM, found , at column 9"),
        ("SELECT * FROM A WHERE x = 12ab", "unexpected 'a' in a number at column 29"),
        ("SELECT * FROM A WHERE x = 1' OR 1=1 --", "the text that begins here has no closing ' at column 28"),
        ("SELECT * FROM A WHERE x = '' OR 1=1 --'", "unexpected character '-' at column 37"),
        ("SELECT * FROM A; DROP TABLE packages", "unexpected character ';' at column 16"),
        ("SELECT * FROM A SELECT * FROM B", "expected the end of the query, found SELECT at column 17"),
        ("SELECT * FROM A WHERE ä = 1", "unexpected character 'ä' at column 23"),
        ("SELECT * FROM A WHERE x LIKE 5", "expected a pattern in quotes, found 5 at column 30"),
    ] {
        refused(text, QueryErrorKind::WqlSyntax, message);
    }
}

#[test]
fn what_is_not_offered_is_refused_by_name() {
    for (text, message) in [
        ("INSERT INTO A VALUES (1)", "INSERT is not supported: a query is a SELECT at column 1"),
        ("update A set x = 1", "UPDATE is not supported: a query is a SELECT at column 1"),
        ("DELETE FROM A", "DELETE is not supported: a query is a SELECT at column 1"),
        ("SELECT DISTINCT COUNT(*) FROM A", "COUNT together with DISTINCT is not supported at column 17"),
        ("SELECT COUNT(DISTINCT x) FROM A", "COUNT together with DISTINCT is not supported at column 8"),
        ("SELECT __PATH FROM A", "the system property __PATH cannot be queried, only __CLASS at column 8"),
        (
            "SELECT * FROM A WHERE a.__RELPATH = 'x'",
            "the system property __RELPATH cannot be queried, only __CLASS at column 25",
        ),
        (
            "SELECT * FROM __InstanceModificationEvent WITHIN 5 WHERE TargetInstance ISA 'SMS_Package'",
            "event queries (__InstanceModificationEvent … WITHIN) are not supported at column 43",
        ),
        ("SELECT * FROM A GROUP BY x", "GROUP is not supported at column 17"),
        ("SELECT * FROM A CROSS JOIN B", "CROSS JOIN is not supported: use INNER JOIN … ON at column 17"),
        ("SELECT MAX(x) FROM A", "the function MAX in a select list is not supported at column 8"),
        ("SELECT TOP 5 * FROM A", "TOP is not supported at column 8"),
        ("SELECT * FROM A WHERE LEN(x) = 1", "the function LEN is not supported at column 23"),
        ("SELECT * FROM meta_class", "queries of meta_class are not supported at column 15"),
        ("SELECT * FROM (SELECT * FROM A)", "a SELECT within FROM is not supported at column 15"),
        ("SELECT * FROM A WHERE x = (SELECT y FROM B)", "a SELECT is supported only after IN at column 27"),
        ("SELECT * FROM A WHERE x BETWEEN 1 AND 2", "BETWEEN is not supported at column 25"),
        (
            "SELECT * FROM A WHERE x IN (1, NULL)",
            "NULL in a list is never equal to anything: use IS NULL at column 32",
        ),
        (
            "ASSOCIATORS OF {SMS_Package.PackageID='XYZ00001'}",
            "ASSOCIATORS OF is not supported here, only SELECT",
        ),
    ] {
        refused(text, QueryErrorKind::Unsupported, message);
    }
}

#[test]
fn limits_are_named() {
    let nested =
        |depth: usize| format!("SELECT * FROM A WHERE {}x = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(64)).is_ok());
    refused(&nested(65), QueryErrorKind::Limit, "nested more than 64 deep at column 88");
    let operand = format!("SELECT * FROM A WHERE {}x{} = 1", "(".repeat(30_000), ")".repeat(30_000));
    for deep in [operand, nested(30_000), format!("SELECT * FROM A WHERE {}", "NOT ".repeat(16_000))] {
        assert_eq!(parse(&deep).expect_err("too deep").kind, QueryErrorKind::Limit);
    }
    let functions = format!("SELECT * FROM A WHERE {}x", "UPPER(".repeat(10_000));
    assert_eq!(parse(&functions).expect_err("too deep").kind, QueryErrorKind::Limit);
    for (text, what) in [
        (format!("SELECT * FROM A{}", ", A".repeat(16)), "more than 16 classes"),
        (format!("SELECT * FROM A WHERE x=1{}", " OR x=1".repeat(500)), "more than 500 conditions"),
        (format!("SELECT * FROM A WHERE x IN (1{})", ",1".repeat(1000)), "more than 1000 values of IN"),
        (format!("SELECT x{} FROM A", ",x".repeat(1000)), "more than 1000 selected columns"),
        (format!("SELECT * FROM A ORDER BY x{}", ",x".repeat(16)), "more than 16 entries of ORDER BY"),
        (" ".repeat(65_537), "the query has 65537 bytes, more than 65536"),
    ] {
        let error = parse(&text).expect_err(what);
        assert_eq!(error.kind, QueryErrorKind::Limit);
        assert!(error.message.starts_with(what), "{error}");
    }
}

#[test]
fn associations_are_read_in_their_plain_form() {
    let shown =
        |text: &str| format!("{:?}", statement(text).unwrap_or_else(|error| panic!("{text}: {error}")));
    let all = shown(
        r#"associators of {SMS_Package.PackageID="XYZ}0001"} where AssocClass=SMS_PkgToPkgServer_a
           ResultClass = SMS_DistributionPoint Role=package ResultRole = pkgServer KeysOnly"#,
    );
    for part in ["XYZ}0001", "SMS_PkgToPkgServer_a", "SMS_DistributionPoint", "package", "pkgServer", "true"]
    {
        assert!(all.contains(part), "{part} in {all}");
    }
    assert!(shown("REFERENCES OF {SMS_Site='XYZ'} WHERE ResultClass=X Role=y").starts_with("References"));
    for (text, message) in [
        ("ASSOCIATORS OF SMS_Package", "expected a path in braces, found SMS_Package at column 16"),
        ("ASSOCIATORS OF {A=1} WHERE ClassDefsOnly", "ClassDefsOnly is not supported at column 28"),
        (
            "REFERENCES OF {A=1} WHERE AssocClass=B",
            "expected ResultClass, Role or KeysOnly, found AssocClass at column 27",
        ),
        ("REFERENCES OF {A=1", "the { here has no closing } at column 15"),
    ] {
        assert_eq!(statement(text).expect_err(text).to_string(), message);
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    fuzz_one(b"\xff\xfeSELECT");
    fuzz_one(b"SELECT a FROM b WHERE c LIKE '[[]%' AND d IN (1,2.5) ORDER BY e DESC");
}
