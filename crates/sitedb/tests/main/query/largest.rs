//! The largest queries that the limits allow.

use super::{on_both, rows};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_limits_allow_both_engines_answer() {
    on_both("largest", async |fresh| {
        let conditions = vec!["PackageID = 'XYZ00001'"; 500].join(" OR ");
        let all_of = vec!["Flag < 5"; 500].join(" AND ");
        let lists = vec![format!("Flag IN ({})", vec!["2"; 1_000].join(",")); 10].join(" AND ");
        let nested = format!("{}PackageID = 'XYZ00001'{}", "NOT (".repeat(32), ")".repeat(32));
        let texts = format!("Name IN ({})", vec!["'7-zip'"; 1_000].join(","));
        let words = format!("Name IN ({})", vec!["'größe'"; 400].join(","));
        let patterns = vec!["Name LIKE '[a-z0-9]%-%[!-~]'"; 200].join(" AND ");
        let elements = vec!["Languages = 'de'"; 100].join(" AND ");
        for (condition, expected) in [
            (conditions, 1),
            (all_of, 4),
            (lists, 3),
            (nested, 1),
            (texts, 1),
            (words, 1),
            (patterns, 1),
            (elements, 3),
        ] {
            let text = format!("SELECT PackageID FROM T_Package WHERE {condition}");
            let found = rows(&fresh.database, &text).await;
            assert_eq!(found.len(), expected, "{}", text.chars().take(100).collect::<String>());
        }
        let joined = (1..16)
            .map(|n| format!("INNER JOIN T_Package p{n} ON p{n}.PackageID = p{}.PackageID", n - 1))
            .collect::<Vec<_>>()
            .join(" ");
        let found =
            rows(&fresh.database, &format!("SELECT p0.PackageID, p15.Name FROM T_Package p0 {joined}")).await;
        assert_eq!(found.len(), 4);
        let within = (0..15).fold("SELECT PackageID FROM T_Package".to_owned(), |inner, _| {
            format!("SELECT PackageID FROM T_Package WHERE PackageID IN ({inner})")
        });
        assert_eq!(rows(&fresh.database, &within).await.len(), 4);
        let order = ["Name", "Flag"].repeat(8).join(", ");
        let found = rows(&fresh.database, &format!("SELECT PackageID FROM T_Package ORDER BY {order}")).await;
        assert_eq!(found.len(), 4);
    })
    .await;
}
