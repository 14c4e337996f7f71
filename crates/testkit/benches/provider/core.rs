//! The provider asked within this process: queries beside the same SQL by hand, summarizers, rows.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use restock_cim::query::{ResolveAt, resolve, wql};
use restock_names::{Timestamp, Zone};
use restock_provider::Provider;
use restock_provider::classes::views::VIEWS;
use restock_provider::object::Caller;
use restock_sitedb::query::{Allowed, Sight};
use restock_sitedb::{Database, Engine, Views};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection, ValueRef as _};

use crate::measure::{Table, Times, memory_mib};
use crate::site::{GROUPS, nal, package};

/// Queries with an index, the SQL a person would write, and where its numbers come from.
const INDEXED: &[(&str, &str, &str)] = &[
    (
        "package by key",
        "SELECT PackageID, Name, Version, Manufacturer, SourceVersion FROM SMS_Package WHERE PackageID = '{package}'",
        "SELECT package_id, name, package_version, manufacturer, source_version FROM packages
         WHERE package_id = $1 COLLATE NOCASE AND package_type = 0",
    ),
    (
        "packages by name, LIKE 'Package 0001%'",
        "SELECT PackageID, Name, Version, Manufacturer, SourceVersion FROM SMS_Package WHERE Name LIKE 'Package 0001%'",
        "SELECT package_id, name, package_version, manufacturer, source_version FROM packages
         WHERE name LIKE 'Package 0001%' AND package_type = 0",
    ),
    (
        "targets of a package",
        "SELECT PackageID, ServerNALPath, Status, LastRefreshTime FROM SMS_DistributionPoint WHERE PackageID = '{package}'",
        "SELECT p.package_id, d.nal_path,
             CASE WHEN t.state IN ('installed', 'damaged') THEN 0
                  WHEN t.state IN ('removal_asked', 'removal_retrying', 'removal_failed') THEN 3
                  WHEN t.serving_version = 0 THEN 2 ELSE 1 END,
             COALESCE(t.last_copied_at, 631152000000000) FROM packages p
         JOIN targets t ON t.package_id = p.package_id JOIN distribution_points d ON d.name = t.point
         WHERE p.package_id = $1 COLLATE NOCASE",
    ),
    (
        "packages of a distribution point, join",
        "SELECT p.PackageID, p.Name, d.ServerNALPath FROM SMS_Package AS p INNER JOIN SMS_DistributionPoint AS d
         ON p.PackageID = d.PackageID WHERE d.ServerNALPath = '{nal}'",
        "SELECT p.package_id, p.name, d.nal_path FROM distribution_points d
         JOIN targets t ON t.point = d.name JOIN packages p ON p.package_id = t.package_id
         WHERE d.nal_path = $1 COLLATE NOCASE AND p.package_type = 0",
    ),
    (
        "packages by name, ordered, 1,000 of them",
        "SELECT PackageID, Name FROM SMS_Package WHERE Name >= 'Package 5' AND Name < 'Package 51' ORDER BY Name",
        "SELECT package_id, name FROM packages WHERE name >= 'Package 5' AND name < 'Package 51' AND package_type = 0
         ORDER BY name",
    ),
];

/// Status classes, each asked as consoles and scripts do.
const SUMMARIZERS: &[&str] = &[
    "SELECT * FROM SMS_PackageStatusRootSummarizer WHERE PackageID = '{package}'",
    "SELECT * FROM SMS_PackageStatusDetailSummarizer WHERE PackageID = '{package}'",
    "SELECT * FROM SMS_PackageStatusDistPointsSummarizer WHERE PackageID = '{package}'",
    "SELECT * FROM SMS_PackageStatusDistPointsSummarizer WHERE ServerNALPath = '{nal}' AND State IN (2, 3)",
    "SELECT * FROM SMS_PackageStatus WHERE PackageID = '{package}'",
    "SELECT * FROM SMS_ObjectContentExtraInfo WHERE PackageID = '{package}'",
    "SELECT * FROM SMS_DistributionStatus WHERE PackageID = '{package}'",
    "SELECT * FROM SMS_DistributionDPStatus WHERE PackageID = '{package}'",
    "SELECT * FROM SMS_DPStatusInfo WHERE NALPath = '{nal}'",
    "SELECT * FROM SMS_DPStatusInfo",
    "SELECT * FROM SMS_DPStatusDetails WHERE PackageID = '{package}'",
    "SELECT * FROM SMS_DPGroupDistributionStatus WHERE GroupID = '{group}'",
    "SELECT * FROM SMS_DPGroupContentInfo WHERE GroupID = '{group}' AND PackageID = '{package}'",
    "SELECT * FROM SMS_DPGroupInfo WHERE GroupID = '{group}'",
];

/// The text with the values of a round.
fn with_numbers(text: &str, number: u32) -> String {
    let group = format!("{{00000000-0000-0000-0000-{:012}}}", number % GROUPS + 1);
    let plain = text.replace("{package}", &package(number)).replace("{group}", &group);
    plain.replace("{nal}", &nal(number).replace('\\', "\\\\"))
}

/// A number that looks random and is the same in each run.
pub(crate) fn spread(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761) % 100_000
}

pub(crate) async fn measure(
    provider: &Provider,
    _database: &Database,
    path: &Path,
    table: &mut Table,
) -> Result<()> {
    let caller = Caller::local("bench");
    beside_the_same_sql(provider, &caller, path, table).await?;
    if table.wants("before SQL") {
        before_sql(provider, table)?;
    }
    for wql in SUMMARIZERS {
        if !table.wants(wql) {
            continue;
        }
        let (mut times, mut rows) = (Vec::new(), 0);
        for round in 0..40 {
            let text = with_numbers(wql, spread(round));
            let began = Instant::now();
            rows = ask(provider, &caller, &text).await?;
            if round >= 5 {
                times.push(began.elapsed());
            }
        }
        let times = Times::new(times);
        let shown = wql.trim_start_matches("SELECT * FROM ").replace('|', "");
        table.add(
            shown,
            (times.percentile(0.99), "ms"),
            Some(50.0),
            format!("p99; median {:.2} ms, {rows} rows", times.percentile(0.5)),
        );
    }
    if !table.wants("unfiltered class") {
        return Ok(());
    }
    let before = memory_mib();
    let began = Instant::now();
    let mut rows = provider.query(&caller, wql::parse("SELECT * FROM SMS_Package")?).await?;
    rows.next().await.transpose()?;
    let first = began.elapsed();
    let (mut count, mut most) = (1_u32, 0_f64);
    while let Some(row) = rows.next().await {
        row?;
        count += 1;
        if count % 5_000 == 0 {
            most = most.max(memory_mib() - before);
        }
    }
    let detail = format!("{count} rows of SMS_Package in {:.2} s", began.elapsed().as_secs_f64());
    table.add("first row of an unfiltered class", (first.as_secs_f64() * 1e3, "ms"), Some(10.0), detail);
    table.add("memory that those rows took", (most, "MiB"), Some(64.0), "resident, above what it was before");
    Ok(())
}

/// Who answers a query.
#[derive(Clone, Copy)]
enum Side {
    Provider,
    /// The driver that the site writes with: by a thread of its own.
    Sqlx,
    /// The driver that queries run on: a prepared statement, on the thread of the caller.
    Rusqlite,
}

/// Each indexed query beside the same SQL by hand, with either driver.
async fn beside_the_same_sql(
    provider: &Provider,
    caller: &Caller,
    path: &Path,
    table: &mut Table,
) -> Result<()> {
    let options: sqlx::sqlite::SqliteConnectOptions = format!("sqlite://{}", path.display()).parse()?;
    // The same cache as the provider's connections have.
    let options = options.pragma("cache_size", "-8192").disable_statement_logging();
    let mut plain = options.connect().await?;
    let direct = rusqlite::Connection::open(path)?;
    direct.pragma_update(None, "cache_size", -8192)?;
    for (what, wql, sql) in INDEXED {
        if !table.wants(what) {
            continue;
        }
        let mut sides = [Side::Provider, Side::Sqlx, Side::Rusqlite];
        let (mut times, mut rows) = ([const { Vec::new() }; 3], 0);
        for round in 0..430 {
            let number = spread(round);
            let text = with_numbers(wql, number);
            // Whoever comes later finds the pages in the processor's caches: they take turns.
            sides.rotate_left(1);
            if round % 2 == 0 {
                sides.swap(0, 2);
            }
            for (turn, side) in sides.into_iter().enumerate() {
                let began = Instant::now();
                let found = match side {
                    Side::Provider => ask(provider, caller, &text).await?,
                    Side::Sqlx => by_hand(&mut plain, sql, number).await?,
                    Side::Rusqlite => by_hand_directly(&direct, sql, number)?,
                };
                let time = began.elapsed();
                anyhow::ensure!(turn == 0 || found == rows, "{what}: {found} rows beside {rows}");
                rows = found;
                if round >= 30 {
                    times[side as usize].push(time);
                }
            }
        }
        let [ours, sqlx, rusqlite] = times.map(|times| Times::new(times).percentile(0.5));
        for (driver, theirs) in [("sqlx", sqlx), ("rusqlite", rusqlite)] {
            let detail = format!("{ours:.4} ms, same SQL {theirs:.4} ms, {rows} rows");
            let what = format!("WQL, {what}, beside the same SQL by {driver}");
            table.add(what, (ours / theirs, "times"), Some(1.3), detail);
        }
    }
    Ok(())
}

/// What happens to a query before the database sees it.
fn before_sql(provider: &Provider, table: &mut Table) -> Result<()> {
    let views = Views::new(Engine::Sqlite, provider.schema(), VIEWS)?;
    let zone = Zone::utc();
    let (mut parsing, mut resolving, mut compiling) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..1_000 {
        let text = with_numbers("SELECT * FROM SMS_Package WHERE PackageID = '{package}'", number);
        let began = Instant::now();
        let query = wql::parse(&text)?;
        parsing.push(began.elapsed());
        let began = Instant::now();
        let resolved = resolve(provider.schema(), query, &ResolveAt { now: Timestamp(0), zone: &zone })?;
        resolving.push(began.elapsed());
        let began = Instant::now();
        std::hint::black_box(Allowed::new(resolved, Sight::all()).sql(&views, true));
        compiling.push(began.elapsed());
    }
    for (what, times) in [("parsing", parsing), ("resolving", resolving), ("compiling", compiling)] {
        let median = Times::new(times).percentile(0.5) * 1_000.0;
        table.add(
            format!("{what} a query for all properties of a package"),
            (median, "µs"),
            None,
            "median of 1,000",
        );
    }
    Ok(())
}

async fn ask(provider: &Provider, caller: &Caller, text: &str) -> Result<usize> {
    let mut rows = provider.query(caller, wql::parse(text)?).await?;
    let mut count = 0;
    while let Some(row) = rows.next().await {
        row?;
        count += 1;
    }
    Ok(count)
}

/// Runs and decodes, as a program that knows its columns would.
async fn by_hand(connection: &mut SqliteConnection, sql: &'static str, number: u32) -> Result<usize> {
    let mut query = sqlx::query(sql);
    if sql.contains("$1") {
        let value = if sql.contains("nal_path = $1") { nal(number) } else { package(number) };
        query = query.bind(value);
    }
    let rows = query.fetch_all(connection).await?;
    for row in &rows {
        for column in 0..row.len() {
            let value = row.try_get_raw(column)?;
            if !value.is_null() {
                std::hint::black_box(row.try_get_unchecked::<String, _>(column)?);
            }
        }
    }
    Ok(rows.len())
}

/// Likewise, as a program would that keeps the statement and decodes what it needs.
fn by_hand_directly(connection: &rusqlite::Connection, sql: &str, number: u32) -> Result<usize> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    if sql.contains("$1") {
        let value = if sql.contains("nal_path = $1") { nal(number) } else { package(number) };
        statement.raw_bind_parameter(1, value)?;
    }
    let mut rows = statement.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(row.get::<_, rusqlite::types::Value>(column)?);
        }
        all.push(values);
    }
    Ok(std::hint::black_box(all).len())
}
