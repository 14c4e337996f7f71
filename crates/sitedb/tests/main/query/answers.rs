//! Rows: the same on both engines.

use restock_cim::Value;
use restock_sitedb::Database;
use restock_sitedb::query::{Allowed, QueryFailed, Sight};

use super::{ask, insert_package, on_both, options, resolved, rows, run, shown};

async fn check(database: &Database, cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        assert_eq!(rows(database, text).await, *expected, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn comparisons_know_no_letter_case_and_null_is_unknown() {
    on_both("comparisons", async |fresh| {
        check(
            &fresh.database,
            &[
                ("SELECT PackageID FROM T_Package WHERE Name = 'FIREFOX'", &["XYZ00002"]),
                ("SELECT PackageID FROM t_package WHERE packageid = 'xyz00001'", &["XYZ00001"]),
                ("SELECT PackageID FROM T_Package WHERE Name = 'GRÖSSE' OR Name = 'GRÖßE'", &["XYZ00004"]),
                ("SELECT PackageID FROM T_Package WHERE NOT Name <> 'größe'", &["XYZ00004"]),
                ("SELECT PackageID FROM T_Package WHERE Name IN ('x', 'größE', '7-ZIP') ORDER BY PackageID", &["XYZ00001", "XYZ00004"]),
                ("SELECT PackageID FROM T_Package WHERE Flag = 4", &["XYZ00002"]),
                ("SELECT PackageID FROM T_Package WHERE IsPublic = FALSE", &[]),
                ("SELECT PackageID FROM T_Package WHERE Refreshed IS NOT NULL", &["XYZ00002"]),
                ("SELECT PackageID FROM T_Package WHERE NOT (Refreshed > '2026/01/01')", &[]),
                ("SELECT PackageID FROM T_Package WHERE Name > 'G' ORDER BY PackageID", &["XYZ00004"]),
                ("SELECT PackageID FROM T_Package WHERE TargetCount > 1", &["XYZ00001"]),
                ("SELECT PackageID FROM T_Package WHERE Upper(Name) = 'Firefox'", &["XYZ00002"]),
                ("SELECT PackageID FROM T_Package WHERE Substring(Name, 0, 3) = '7-'", &["XYZ00001"]),
                ("SELECT PackageID FROM T_Package WHERE Substring(Name, 3, 100) = 'ZIP'", &["XYZ00001"]),
            ],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_match_alike() {
    on_both("patterns", async |fresh| {
        check(
            &fresh.database,
            &[
                (
                    "SELECT PackageID FROM T_Package WHERE Name LIKE 'FIRE%' ORDER BY PackageID",
                    &["XYZ00002", "XYZ00003"],
                ),
                ("SELECT PackageID FROM T_Package WHERE Name LIKE '%[_]ESR%'", &["XYZ00003"]),
                ("SELECT PackageID FROM T_Package WHERE Name LIKE '%100[%]'", &["XYZ00003"]),
                ("SELECT PackageID FROM T_Package WHERE Name LIKE '[0-9]%'", &["XYZ00001"]),
                (
                    "SELECT PackageID FROM T_Package WHERE Name LIKE '[^F]%' ORDER BY PackageID",
                    &["XYZ00001", "XYZ00004"],
                ),
                ("SELECT PackageID FROM T_Package WHERE Name LIKE '_[-]z%'", &["XYZ00001"]),
                ("SELECT PackageID FROM T_Package WHERE Name LIKE 'GRÖ%'", &["XYZ00004"]),
                ("SELECT PackageID FROM T_Package WHERE Name LIKE 'gr_sse'", &[]),
                ("SELECT PackageID FROM T_Package WHERE Name LIKE 'gr_ße'", &["XYZ00004"]),
                ("SELECT PackageID FROM T_Package WHERE Name LIKE 'firefox'", &["XYZ00002"]),
                (
                    "SELECT PackageID FROM T_Package WHERE NOT Name LIKE '%o%' ORDER BY PackageID",
                    &["XYZ00001", "XYZ00004"],
                ),
            ],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_a_text_matches_whatever_sign_it_ends_with() {
    on_both("beginnings", async |fresh| {
        let signs: Vec<char> = (' '..='~').collect();
        let names: Vec<String> = signs
            .iter()
            .flat_map(|sign| [format!("z{sign}"), format!("Z{}x", sign.to_ascii_uppercase())])
            .collect();
        let inserted = names.iter().enumerate().map(|(index, name)| {
            insert_package(&format!("XYZ{:05X}", index + 0x100), &name.replace('\'', "''"), 0, 0)
        });
        run(fresh, &inserted.collect::<Vec<_>>()).await;
        for sign in signs {
            let spelled = match sign {
                '%' | '_' | '[' => format!("[{sign}]"),
                '\'' | '\\' => format!("\\{sign}"),
                sign => sign.to_string(),
            };
            let text = format!("SELECT Name FROM T_Package WHERE Name LIKE 'Z{spelled}%'");
            let begins = |name: &&String| name.chars().nth(1).is_some_and(|c| c.eq_ignore_ascii_case(&sign));
            let mut expected: Vec<String> = names.iter().filter(begins).cloned().collect();
            let mut found = rows(&fresh.database, &text).await;
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_are_asked_for_their_elements() {
    on_both("arrays", async |fresh| {
        check(
            &fresh.database,
            &[
                ("SELECT PackageID FROM T_Package WHERE Languages = 'EN' AND Flag = 4", &[]),
                ("SELECT COUNT(*) FROM T_Package WHERE Languages = 'EN'", &["3"]),
                ("SELECT COUNT(*) FROM T_Package WHERE Numbers = 300", &["4"]),
                ("SELECT COUNT(*) FROM T_Package WHERE Numbers IN (3, 4)", &["0"]),
                ("SELECT COUNT(*) FROM T_Package WHERE NOT Languages = 'en'", &["1"]),
                ("SELECT COUNT(*) FROM T_Package WHERE Languages LIKE 'D%'", &["3"]),
                ("SELECT COUNT(*) FROM T_Package WHERE Numbers IN (SELECT Number FROM T_Point)", &["4"]),
            ],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_keep_the_rows_they_should() {
    on_both("joins", async |fresh| {
        check(
            &fresh.database,
            &[
                (
                    "SELECT p.PackageID, t.Point FROM T_Package AS p INNER JOIN T_Target AS t ON p.PackageID = t.PackageID ORDER BY t.Point, p.Name",
                    &["(XYZ00001)|(DP01)", "(XYZ00001)|(DP02)", "(XYZ00002)|(DP02)"],
                ),
                (
                    "SELECT p.PackageID, t.Point FROM T_Package p, T_Target t WHERE p.PackageID = t.PackageID AND t.State = 'failed'",
                    &["(XYZ00001)|(DP02)"],
                ),
                (
                    "SELECT p.PackageID, t.Point FROM T_Package p LEFT JOIN T_Target t ON p.PackageID = t.PackageID AND t.State = 'failed' ORDER BY p.PackageID",
                    &["(XYZ00001)|(DP02)", "(XYZ00002)|-", "(XYZ00003)|-", "(XYZ00004)|-"],
                ),
                (
                    "SELECT p.PackageID, k.Point FROM T_Package p LEFT JOIN T_Keyless k ON p.PackageID = k.PackageID WHERE p.PackageID > 'xyz00001' ORDER BY p.PackageID",
                    &["(DP02)|(XYZ00002)", "-|(XYZ00003)", "-|(XYZ00004)"],
                ),
                (
                    "SELECT p.Name, d.Name FROM T_Package p RIGHT JOIN T_Point d ON p.Flag = d.Number ORDER BY d.Name, p.Name",
                    &["(DP01)|-", "(DP02)|(7-Zip)", "(DP02)|(Firefox_ESR 100%)", "(DP02)|(Größe)"],
                ),
                (
                    "SELECT p.PackageID, d.Name FROM T_Package p FULL OUTER JOIN T_Point d ON p.Flag = d.Number AND d.Name = 'DP01' ORDER BY d.Name, p.PackageID",
                    &["-|(XYZ00001)", "-|(XYZ00002)", "-|(XYZ00003)", "-|(XYZ00004)", "(DP01)|-", "(DP02)|-"],
                ),
                ("SELECT t.* FROM T_Package p JOIN T_Target t ON p.PackageID = t.PackageID WHERE p.Name = 'firefox'", &["XYZ00002|DP02|waiting|1"]),
                ("SELECT COUNT(*) FROM T_Package p, T_Point d", &["8"]),
                ("SELECT PackageID FROM T_Package WHERE PackageID NOT IN (SELECT PackageID FROM T_Target) ORDER BY PackageID", &["XYZ00003", "XYZ00004"]),
                ("SELECT Name FROM T_Point WHERE Name IN (SELECT t.Point FROM T_Target t JOIN T_Package p ON p.PackageID = t.PackageID WHERE p.Name LIKE '7%') ORDER BY Name DESC", &["DP02", "DP01"]),
            ],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_class_gives_the_rows_of_its_subclasses() {
    on_both("base_class", async |fresh| {
        let database = &fresh.database;
        check(
            database,
            &[
                ("SELECT COUNT(*) FROM T_Content", &["5"]),
                ("SELECT PackageID FROM T_Content WHERE __CLASS = 't_image'", &["XYZ00005"]),
                ("SELECT PackageID FROM T_Content WHERE __CLASS <> 'T_Package'", &["XYZ00005"]),
                ("SELECT PackageID FROM T_Declared", &[]),
                ("SELECT COUNT(*) FROM T_Declared", &["0"]),
                ("SELECT PackageID FROM T_Package WHERE PackageID IN (SELECT PackageID FROM T_Content WHERE Flag = 4)", &["XYZ00002"]),
                ("SELECT c.PackageID, t.Point FROM T_Target t LEFT JOIN T_Content c ON c.PackageID = t.PackageID WHERE t.Point = 'dp01'", &["(XYZ00001)|(DP01)"]),
                ("SELECT t.PackageID, x.Extra FROM T_Target t LEFT JOIN T_Declared x ON x.PackageID = t.PackageID WHERE t.Point = 'DP01'", &["(XYZ00001)|-"]),
            ],
        )
        .await;
        let all = ask(database, "SELECT * FROM T_Content ORDER BY PackageID", Sight::all()).await.unwrap();
        let classes: Vec<&str> = all.iter().map(|row| row.class.name.as_str()).collect();
        assert_eq!(classes, ["T_Package", "T_Package", "T_Package", "T_Package", "T_Image"]);
        // All of a row is all that its own class has.
        let of = async |class: &str| {
            let text = format!("SELECT * FROM {class} ORDER BY PackageID");
            ask(database, &text, Sight::all()).await.unwrap()
        };
        assert_eq!(all[..4], of("T_Package").await[..]);
        assert_eq!(all[4..], of("T_Image").await[..]);
        assert!(all[0].get("TargetCount").is_some() && all[0].get("Description").is_none(), "{:?}", all[0]);
        let joined = "SELECT t.State, c.* FROM T_Content c JOIN T_Target t ON c.PackageID = t.PackageID
            WHERE t.PackageID = 'XYZ00001' AND t.Point = 'DP01'";
        let pair = ask(database, joined, Sight::all()).await.unwrap();
        assert_eq!(pair[0].get("c"), Some(&Value::Object(Box::new(all[0].clone()))));
        // What is named is read, and no more.
        let named = ask(database, "SELECT PackageID FROM T_Content ORDER BY PackageID", Sight::all()).await.unwrap();
        assert_eq!(shown(&named[4]), "XYZ00005");
        assert_eq!(ask(database, "SELECT DISTINCT * FROM T_Content", Sight::all()).await.unwrap().len(), 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_order_limit_and_count() {
    on_both("order", async |fresh| {
        check(
            &fresh.database,
            &[
                ("SELECT DISTINCT Point FROM T_Target ORDER BY Point DESC", &["DP02", "DP01"]),
                (
                    "SELECT DISTINCT State, Wanted FROM T_Target ORDER BY State",
                    &["failed|1", "installed|1", "waiting|1"],
                ),
                ("SELECT COUNT(*) FROM T_Target WHERE Point = 'dp02'", &["2"]),
                ("SELECT COUNT(Refreshed) FROM T_Package", &["1"]),
                (
                    "SELECT PackageID FROM T_Package ORDER BY Refreshed, Name",
                    &["XYZ00001", "XYZ00003", "XYZ00004", "XYZ00002"],
                ),
                (
                    "SELECT PackageID FROM T_Package ORDER BY Refreshed DESC, Name DESC",
                    &["XYZ00002", "XYZ00004", "XYZ00003", "XYZ00001"],
                ),
            ],
        )
        .await;
        let mut query = resolved("SELECT PackageID FROM T_Package ORDER BY PackageID");
        for (limit, offset, expected) in [(Some(2), 1, 2), (None, 3, 1), (Some(9), 0, 4)] {
            (query.limit, query.offset) = (limit, offset);
            let allowed = Allowed::new(query.clone(), Sight::all());
            let rows = fresh.database.query("test", allowed, options()).await.unwrap().all().await.unwrap();
            assert_eq!(rows.len(), expected, "{limit:?} from {offset}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_asked_by_either_clock() {
    on_both("times", async |fresh| {
        check(
            &fresh.database,
            &[
                ("SELECT PackageID FROM T_Package WHERE Created > DateAdd(hour, -21, GetDate()) ORDER BY PackageID", &["XYZ00002", "XYZ00003"]),
                ("SELECT PackageID FROM T_Package WHERE DateDiff(day, Created, GetDate()) = 1", &["XYZ00002"]),
                ("SELECT PackageID FROM T_Package WHERE DateDiff(hour, Created, GetDate()) >= 50 ORDER BY PackageID", &["XYZ00001", "XYZ00004"]),
                // 2 August 2026, 10:00 UTC is 12:00 in Berlin, a Sunday.
                ("SELECT PackageID FROM T_Package WHERE DatePart(hour, Refreshed) = 12", &["XYZ00002"]),
                ("SELECT PackageID FROM T_Package WHERE Refreshed = '2026/08/02 12:00'", &["XYZ00002"]),
                ("SELECT PackageID FROM T_Package WHERE DatePart(weekday, Refreshed) = 1 AND DatePart(quarter, Refreshed) = 3", &["XYZ00002"]),
                ("SELECT PackageID FROM T_Package WHERE DatePart(dayofyear, Refreshed) = 214 AND DatePart(week, Refreshed) = 32", &["XYZ00002"]),
                ("SELECT PackageID FROM T_Package WHERE DatePart(year, Created) = 1969", &["XYZ00004"]),
                ("SELECT PackageID FROM T_Package WHERE DatePart(millisecond, Created) = 999 AND DatePart(second, Created) = 59", &["XYZ00004"]),
                ("SELECT PackageID FROM T_Package WHERE DateDiff(week, Refreshed, Created) = 16 AND PackageID = 'XYZ00002'", &[]),
                ("SELECT PackageID FROM T_Package WHERE DateDiff(month, Refreshed, Created) = 3", &["XYZ00002"]),
            ],
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_shows_every_property_as_declared() {
    on_both("declared", async |fresh| {
        let text = "SELECT * FROM T_Package WHERE PackageID = 'xyz00002' OR PackageID = 'XYZ00001' ORDER BY PackageID";
        let mut with_lazy = options();
        with_lazy.reads_lazy = true;
        let allowed = Allowed::new(resolved(text), Sight::all());
        let rows = fresh.database.query("get", allowed.clone(), with_lazy).await.unwrap().all().await.unwrap();
        let shown_rows: Vec<String> = rows.iter().map(shown).collect();
        assert_eq!(
            shown_rows,
            [
                r#"20261120080000.000000+000|about 7-Zip|2|-|true|[String("en"), String("DE")]|7-Zip|NOTES|[Unsigned(1), Unsigned(2), Unsigned(300)]|XYZ00001|-|T_Package.PackageID="XYZ00001"|2|1"#,
                r#"20261121140000.000000+000|about firefox|4|-|true|[]|firefox|-|[Unsigned(1), Unsigned(2), Unsigned(300)]|XYZ00002|20260802120000.000000+***|T_Package.PackageID="XYZ00002"|1|1"#,
            ]
            .map(|text| text.replace("NOTES", &shown_notes(&rows[0])))
        );
        let rows = fresh.database.query("list", allowed, options()).await.unwrap().all().await.unwrap();
        assert_eq!(rows[0].get("Description"), None, "lazy properties are not read by a query");
    })
    .await;
}

fn shown_notes(row: &restock_cim::Instance) -> String {
    let Some(Value::Array(notes)) = row.get("Notes") else { panic!("no notes") };
    let Value::Object(note) = &notes[0] else { panic!("no note") };
    assert_eq!((note.class.name.as_str(), shown(note).as_str()), ("T_Note", "3|x"));
    format!("{notes:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn text_from_outside_is_only_ever_a_value() {
    on_both("injection", async |fresh| {
        let nasty = [
            "'; DROP TABLE packages; --",
            "\" OR 1=1 --",
            "$1",
            "%' ESCAPE '",
            "\\",
            "]|.*(?i)[",
            "a\u{1}b\u{200b}",
            "ß'ü\"$2",
        ];
        for text in nasty {
            // Both quotes are escaped by WQL's backslash.
            let literal = text.replace('\\', "\\\\").replace('\'', "\\'");
            for condition in [
                format!("Name = '{literal}'"),
                format!("Name <> '{literal}' AND Name = '{literal}'"),
                format!("Name LIKE '%{}%'", literal.replace('[', "[[]").replace('%', "[%]")),
                format!("Name IN ('{literal}', 'x')"),
                format!("Languages = '{literal}'"),
                format!("Name >= '{literal}' AND Name = '{literal}'"),
            ] {
                let text = format!("SELECT PackageID FROM T_Package WHERE {condition}");
                if restock_cim::query::wql::parse(&text).is_ok() {
                    assert_eq!(rows(&fresh.database, &text).await, [""; 0], "{text}");
                }
            }
        }
        assert_eq!(rows(&fresh.database, "SELECT COUNT(*) FROM T_Package").await, ["4"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_without_a_condition_is_refused_when_it_is_large() {
    on_both("products", async |fresh| {
        let points: Vec<String> =
            (0..1200).map(|n| super::insert_point(&format!("P{n:04}"), 100 + n)).collect();
        run(fresh, &points).await;
        let many = "SELECT a.Name FROM T_Point a, T_Point b WHERE a.Number > b.Number";
        let error = ask(&fresh.database, many, Sight::all()).await.unwrap_err();
        assert!(matches!(error, QueryFailed::Product(1_444_804)), "{error}");
        let within = format!("SELECT PackageID FROM T_Package WHERE Name IN ({many})");
        let error = ask(&fresh.database, &within, Sight::all()).await.unwrap_err();
        assert!(error.to_string().starts_with("QUERY_PRODUCT: "), "{error}");
        let few = "SELECT COUNT(*) FROM T_Point a, T_Point b WHERE a.Number = 1 AND b.Name LIKE 'P%'";
        assert_eq!(rows(&fresh.database, few).await, ["1200"]);
    })
    .await;
}
