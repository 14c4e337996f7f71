//! The calendar of each engine beside that of the resolver, which settles constants itself.

use restock_cim::DateTime;
use restock_names::Timestamp;

use super::{NOW, insert_package, on_both, rows, run};
use crate::server::Fresh;

const UNITS: [&str; 11] = [
    "year",
    "quarter",
    "month",
    "dayofyear",
    "day",
    "week",
    "weekday",
    "hour",
    "minute",
    "second",
    "millisecond",
];

const DAY_US: i64 = 86_400_000_000;

/// Times of all seasons from 1991 to 2034, and borders: years, leap days, changes of the clock,
/// moments before 1970.
fn times() -> Vec<i64> {
    let mut times = vec![
        -1,
        -DAY_US * 365 * 30 - 1,
        1_767_221_999_999_999,
        1_767_222_000_000_000,
        1_709_161_200_000_000,
        1_774_745_999_999_999,
        1_774_746_000_000_000,
        1_792_893_600_000_000,
        NOW.0,
    ];
    let mut seed = 42_u64;
    for _ in 0..50 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        times.push(662_688_000_000_000 + i64::try_from(seed >> 14).unwrap() % (DAY_US * 365 * 43));
    }
    times
}

fn id(index: usize) -> String {
    format!("XYZ{:05X}", 0x100 + index)
}

fn written(at: i64) -> String {
    DateTime::utc(Timestamp(at)).to_string()
}

async fn insert(fresh: &Fresh) {
    let mut statements = Vec::new();
    for (index, at) in times().into_iter().enumerate() {
        let created = times()[(index * 7 + 3) % times().len()];
        statements.push(insert_package(&id(index), "timed", 0, created));
        let id = id(index);
        statements.push(format!("UPDATE packages SET last_refresh_at = {at} WHERE package_id = '{id}'"));
    }
    run(fresh, &statements).await;
}

/// The packages for which `condition` of a time and the other time holds, all being expected.
async fn all_hold(fresh: &Fresh, condition: impl Fn(&str, &str) -> String) {
    let times = times();
    let conditions = times.iter().enumerate().map(|(index, at)| {
        let created = written(times[(index * 7 + 3) % times.len()]);
        format!("PackageID = '{}' AND {}", id(index), condition(&written(*at), &created))
    });
    let conditions = conditions.collect::<Vec<_>>().join(" OR ");
    let text = format!("SELECT PackageID FROM T_Package WHERE {conditions}");
    let found = rows(&fresh.database, &text).await;
    let missing: Vec<_> =
        (0..times.len()).filter(|index| !found.contains(&id(*index))).map(|i| times[i]).collect();
    assert!(missing.is_empty(), "{} does not hold for {missing:?}", condition("…", "…"));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_differences_are_those_of_the_resolver() {
    on_both("calendar", async |fresh| {
        insert(fresh).await;
        for unit in UNITS {
            all_hold(fresh, |at, _| format!("DatePart({unit}, Refreshed) = DatePart({unit}, '{at}')")).await;
            all_hold(fresh, |at, created| {
                format!("DateDiff({unit}, Refreshed, Created) = DateDiff({unit}, '{at}', '{created}')")
            })
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_find_what_arithmetic_on_each_row_finds() {
    on_both("ranges", async |fresh| {
        insert(fresh).await;
        let mut found = 0;
        for unit in UNITS {
            for comparison in ["=", "<>", "<", "<=", ">", ">="] {
                for number in [-2, 0, 5] {
                    let days = format!("DateDiff(day, '2026/01/10', '2026/01/{}')", 10 + number);
                    let both = [number.to_string(), days].map(|number| {
                        format!(
                            "SELECT PackageID FROM T_Package WHERE DateDiff({unit}, Refreshed, GetDate()) {comparison} \
                             {number} ORDER BY PackageID"
                        )
                    });
                    let by_range = rows(&fresh.database, &both[0]).await;
                    assert_eq!(by_range, rows(&fresh.database, &both[1]).await, "{}", both[0]);
                    found += by_range.len();
                }
                if ["year", "quarter", "month"].contains(&unit) {
                    continue;
                }
                // Flag is 2 in every package.
                let both = ["2", "Flag"].map(|number| {
                    format!(
                        "SELECT PackageID FROM T_Package WHERE DateAdd({unit}, {number}, Refreshed) {comparison} \
                         '2019/11/05 10:00' AND Refreshed IS NOT NULL AND Flag = 2 ORDER BY PackageID"
                    )
                });
                let by_range = rows(&fresh.database, &both[0]).await;
                assert_eq!(by_range, rows(&fresh.database, &both[1]).await, "{}", both[0]);
                found += by_range.len();
            }
        }
        assert!(found > 1_000, "the questions have answers: {found}");
    })
    .await;
}
