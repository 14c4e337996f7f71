//! WQL text becomes SQL for both engines.

use expect_test::{Expect, expect};
use restock_sitedb::query::{Allowed, Seen, Sight};
use restock_sitedb::{Engine, Views};

use super::{SCHEMA, VIEWS, resolved};

fn check_as(sight: Sight, text: &str, expected: &Expect) {
    let mut shown = String::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let views = Views::new(engine, &SCHEMA, VIEWS).unwrap();
        let statement = Allowed::new(resolved(text), sight.clone()).sql(&views, false);
        shown += &format!("-- {engine:?} {}\n{}\n", statement.values().join(", "), statement.text);
    }
    expected.assert_eq(&shown);
}

fn check(text: &str, expected: &Expect) {
    check_as(Sight::all(), text, expected);
}

#[test]
fn a_comparison_is_a_bound_value() {
    check(
        "SELECT PackageID, Name FROM T_Package WHERE Name = 'a\\'; --'",
        &expect![[r#"
        -- Sqlite Text("a'; --")
        SELECT s0."PackageID", s0."Name"
        FROM "T_Package" AS s0
        WHERE (s0."Name" COLLATE nocase = $1)
        -- Postgres Text("a'; --")
        SELECT CAST(s0."PackageID" AS TEXT), CAST(s0."Name" AS TEXT)
        FROM "T_Package" AS s0
        WHERE (s0."Name" COLLATE nocase = $1)
    "#]],
    );
    check(
        "SELECT Name FROM T_Package WHERE Name = 'É' OR Flag IN (1, 2) OR NOT Name < 'b'",
        &expect![[r#"
        -- Sqlite Text("(?is)^\\x{c9}$"), Int(1), Int(2), Text("b")
        SELECT s0."Name"
        FROM "T_Package" AS s0
        WHERE ((s0."Name" REGEXP $1) OR (s0."Flag" IN ($2, $3)) OR (NOT (s0."Name" COLLATE nocase < $4 COLLATE nocase)))
        -- Postgres Text("É"), Int(1), Int(2), Text("b")
        SELECT CAST(s0."Name" AS TEXT)
        FROM "T_Package" AS s0
        WHERE ((s0."Name" COLLATE nocase = $1) OR (s0."Flag" IN ($2, $3)) OR (NOT (lower((s0."Name") COLLATE "C") COLLATE "C" < lower(($4) COLLATE "C") COLLATE "C")))
    "#]],
    );
}

#[test]
fn patterns_are_like_or_regular_expressions() {
    check(
        "SELECT Name FROM T_Package WHERE Name LIKE 'a[_]%' AND Name LIKE '[a-c^.]_' AND Name LIKE 'ö%'",
        &expect![[r#"
            -- Sqlite Text("a_"), Text("a`"), Text("(?is)^[a-c\\x{5e}\\x{2e}].$"), Text("(?is)^\\x{f6}.*$")
            SELECT s0."Name"
            FROM "T_Package" AS s0
            WHERE ((s0."Name" COLLATE nocase >= $1 AND s0."Name" COLLATE nocase < $2) AND (s0."Name" REGEXP $3) AND (s0."Name" REGEXP $4))
            -- Postgres Text("a\\_%"), Text("^[a-c\\u005e\\u002e].$"), Text("ö%")
            SELECT CAST(s0."Name" AS TEXT)
            FROM "T_Package" AS s0
            WHERE (((s0."Name") COLLATE "und-x-icu" ILIKE $1 ESCAPE '\') AND ((s0."Name") COLLATE "und-x-icu" ~* $2) AND ((s0."Name") COLLATE "und-x-icu" ILIKE $3 ESCAPE '\'))
        "#]],
    );
}

#[test]
fn a_pattern_that_its_range_does_not_say_is_asked_as_well() {
    check(
        "SELECT Name FROM T_Package WHERE Name LIKE 'a%b' AND Name LIKE 'a@%'",
        &expect![[r#"
        -- Sqlite Text("a"), Text("b"), Text("a%b"), Text("a@"), Text("aA"), Text("a@%")
        SELECT s0."Name"
        FROM "T_Package" AS s0
        WHERE ((s0."Name" COLLATE nocase >= $1 AND s0."Name" COLLATE nocase < $2 AND (s0."Name" LIKE +$3 ESCAPE '\')) AND (s0."Name" COLLATE nocase >= $4 AND s0."Name" COLLATE nocase < $5 AND (s0."Name" LIKE +$6 ESCAPE '\')))
        -- Postgres Text("a%b"), Text("a@%")
        SELECT CAST(s0."Name" AS TEXT)
        FROM "T_Package" AS s0
        WHERE (((s0."Name") COLLATE "und-x-icu" ILIKE $1 ESCAPE '\') AND ((s0."Name") COLLATE "und-x-icu" ILIKE $2 ESCAPE '\'))
    "#]],
    );
}

#[test]
fn arrays_are_looked_into() {
    check(
        "SELECT Name FROM T_Package WHERE Languages = 'en' AND Numbers IN (1, 2)",
        &expect![[r#"
        -- Sqlite Text("en"), Int(1), Int(2)
        SELECT s0."Name"
        FROM "T_Package" AS s0
        WHERE ((CASE WHEN s0."Languages" IS NOT NULL THEN EXISTS (SELECT 1 FROM json_each(s0."Languages") AS e WHERE (e.value COLLATE nocase IN ($1))) END) AND (CASE WHEN s0."Numbers" IS NOT NULL THEN EXISTS (SELECT 1 FROM json_each(s0."Numbers") AS e WHERE (e.value IN ($2, $3))) END))
        -- Postgres Text("en"), Int(1), Int(2)
        SELECT CAST(s0."Name" AS TEXT)
        FROM "T_Package" AS s0
        WHERE ((CASE WHEN s0."Languages" IS NOT NULL THEN EXISTS (SELECT 1 FROM jsonb_array_elements_text(CAST(s0."Languages" AS JSONB)) AS e(value) WHERE (e.value COLLATE nocase IN ($1))) END) AND (CASE WHEN s0."Numbers" IS NOT NULL THEN EXISTS (SELECT 1 FROM jsonb_array_elements_text(CAST(s0."Numbers" AS JSONB)) AS e(value) WHERE (CAST(CASE e.value WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE e.value END AS NUMERIC) IN ($2, $3))) END))
    "#]],
    );
}

#[test]
fn joins_and_sub_selects_have_names_of_their_own() {
    check(
        "SELECT p.Name, t.Point FROM T_Package p LEFT JOIN T_Target t ON p.PackageID = t.PackageID
         WHERE p.PackageID IN (SELECT PackageID FROM T_Content WHERE __CLASS = 'T_Image') ORDER BY p.Name DESC",
        &expect![[r#"
            -- Sqlite Text("T_Image")
            SELECT s0."Name", CASE WHEN s1."PackageID" IS NOT NULL THEN 1 END, s1."Point"
            FROM "T_Package" AS s0
            LEFT JOIN "T_Target" AS s1 ON (s0."PackageID" = s1."PackageID")
            WHERE (s0."PackageID" COLLATE nocase IN (SELECT q1_0."PackageID"
            FROM (SELECT 'T_Image' AS "__CLASS", "PackageID" AS "PackageID" FROM "T_Image") AS q1_0
            WHERE (q1_0."__CLASS" COLLATE nocase = $1)))
            ORDER BY s0."Name" COLLATE nocase DESC
            -- Postgres Text("T_Image")
            SELECT CAST(s0."Name" AS TEXT), CAST(CASE WHEN s1."PackageID" IS NOT NULL THEN 1 END AS BIGINT), CAST(s1."Point" AS TEXT)
            FROM "T_Package" AS s0
            LEFT JOIN "T_Target" AS s1 ON (s0."PackageID" = s1."PackageID")
            WHERE (s0."PackageID" COLLATE nocase IN (SELECT CAST(q1_0."PackageID" AS TEXT)
            FROM (SELECT CAST('T_Image' AS TEXT) AS "__CLASS", CAST("PackageID" AS TEXT) AS "PackageID" FROM "T_Image") AS q1_0
            WHERE (q1_0."__CLASS" COLLATE nocase = $1)))
            ORDER BY lower((s0."Name") COLLATE "C") COLLATE "C" DESC NULLS LAST
        "#]],
    );
    check(
        "SELECT DISTINCT State FROM T_Target ORDER BY State",
        &expect![[r#"
        -- Sqlite 
        SELECT s0."State" COLLATE nocase
        FROM "T_Target" AS s0
        GROUP BY 1
        ORDER BY MIN(s0."State" COLLATE nocase)
        -- Postgres 
        SELECT CAST(s0."State" AS TEXT) COLLATE nocase
        FROM "T_Target" AS s0
        GROUP BY 1
        ORDER BY MIN(lower((s0."State") COLLATE "C") COLLATE "C") NULLS FIRST
    "#]],
    );
    check(
        "SELECT COUNT(*) FROM T_Content",
        &expect![[r#"
        -- Sqlite 
        SELECT COUNT(*)
        FROM (SELECT 'T_Package' AS "__CLASS" FROM "T_Package"
        UNION ALL SELECT 'T_Image' AS "__CLASS" FROM "T_Image") AS s0
        -- Postgres 
        SELECT COUNT(*)
        FROM (SELECT CAST('T_Package' AS TEXT) AS "__CLASS" FROM "T_Package"
        UNION ALL SELECT CAST('T_Image' AS TEXT) AS "__CLASS" FROM "T_Image") AS s0
    "#]],
    );
}

#[test]
fn times_are_arithmetic_on_microseconds() {
    check(
        "SELECT Name FROM T_Package WHERE DatePart(month, Created) = 5",
        &expect![[r#"
        -- Sqlite Int(5)
        SELECT s0."Name"
        FROM "T_Package" AS s0
        WHERE ((SELECT CAST(strftime('%m', ((x.c - ((x.c % 1000000 + 1000000) % 1000000)) / 1000000), 'unixepoch') AS INTEGER) FROM (SELECT s0."Created" AS c) AS x) = $1)
        -- Postgres Int(5)
        SELECT CAST(s0."Name" AS TEXT)
        FROM "T_Package" AS s0
        WHERE ((SELECT CAST(extract(month FROM to_timestamp(((x.c - ((x.c % 1000000 + 1000000) % 1000000)) / 1000000)) AT TIME ZONE 'UTC') AS BIGINT) FROM (SELECT s0."Created" AS c) AS x) = $1)
    "#]],
    );
    check(
        "SELECT Name FROM T_Package WHERE DateDiff(day, Created, GetDate()) < 2",
        &expect![[r#"
        -- Sqlite Int(1795219200000000)
        SELECT s0."Name"
        FROM "T_Package" AS s0
        WHERE (s0."Created" >= $1)
        -- Postgres Int(1795219200000000)
        SELECT CAST(s0."Name" AS TEXT)
        FROM "T_Package" AS s0
        WHERE (s0."Created" >= $1)
    "#]],
    );
}

#[test]
fn hidden_rows_are_left_out_of_the_tables() {
    let sight = Sight { packages: Seen::Scopes(vec!["S1".to_owned(), "S2".to_owned()]), ..Sight::nothing() };
    check_as(
        sight,
        "SELECT Name FROM T_Package WHERE TargetCount > 1",
        &expect![[r#"
        -- Sqlite Text("S1"), Text("S2"), Int(1)
        WITH packages AS NOT MATERIALIZED (SELECT t.* FROM main.packages t WHERE EXISTS (SELECT 1 FROM main.scope_members m WHERE m.object_type = 2 AND m.object_key = t.package_id COLLATE nocase AND m.scope_id COLLATE nocase IN ($1, $2))),
        distribution_points AS NOT MATERIALIZED (SELECT t.* FROM main.distribution_points t WHERE 1 = 0),
        targets AS NOT MATERIALIZED (SELECT t.* FROM main.targets t WHERE EXISTS (SELECT 1 FROM packages p WHERE p.package_id = t.package_id) AND EXISTS (SELECT 1 FROM distribution_points d WHERE d.name = t.point)),
        "T_Package" AS NOT MATERIALIZED (SELECT p.package_id AS "PackageID", p.name AS "Name", p.source_flag AS "Flag",
            p.package_version AS "Version", p.description AS "Description", p.is_public AS "IsPublic",
            p.created_at AS "Created", p.last_refresh_at AS "Refreshed", p.language AS "Languages",
            p.manufacturer AS "Numbers", p.icon AS "Icon",
            CASE WHEN p.source_path = '' THEN NULL ELSE p.source_path END AS "Notes",
            (SELECT COUNT(*) FROM targets t WHERE t.package_id = p.package_id) AS "TargetCount",
            'T_Package.PackageID="' || p.package_id || '"' AS "Self"
            FROM packages p WHERE p.package_type = 0),
        one AS (SELECT 1)
        SELECT s0."Name"
        FROM "T_Package" AS s0
        WHERE (s0."TargetCount" > $3)
        -- Postgres Text("S1"), Text("S2"), Int(1)
        WITH packages AS NOT MATERIALIZED (SELECT t.* FROM public.packages t WHERE EXISTS (SELECT 1 FROM public.scope_members m WHERE m.object_type = 2 AND m.object_key = t.package_id COLLATE nocase AND m.scope_id COLLATE nocase IN ($1, $2))),
        distribution_points AS NOT MATERIALIZED (SELECT t.* FROM public.distribution_points t WHERE 1 = 0),
        targets AS NOT MATERIALIZED (SELECT t.* FROM public.targets t WHERE EXISTS (SELECT 1 FROM packages p WHERE p.package_id = t.package_id) AND EXISTS (SELECT 1 FROM distribution_points d WHERE d.name = t.point)),
        "T_Package" AS NOT MATERIALIZED (SELECT p.package_id AS "PackageID", p.name AS "Name", p.source_flag AS "Flag",
            p.package_version AS "Version", p.description AS "Description", p.is_public AS "IsPublic",
            p.created_at AS "Created", p.last_refresh_at AS "Refreshed", p.language AS "Languages",
            p.manufacturer AS "Numbers", p.icon AS "Icon",
            CASE WHEN p.source_path = '' THEN NULL ELSE p.source_path END AS "Notes",
            (SELECT COUNT(*) FROM targets t WHERE t.package_id = p.package_id) AS "TargetCount",
            'T_Package.PackageID="' || p.package_id || '"' AS "Self"
            FROM packages p WHERE p.package_type = 0),
        one AS (SELECT 1)
        SELECT CAST(s0."Name" AS TEXT)
        FROM "T_Package" AS s0
        WHERE (s0."TargetCount" > $3)
    "#]],
    );
}
