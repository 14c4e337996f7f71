//! The large site database.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use restock_sitedb::Database;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

pub(crate) const PACKAGES: u32 = 100_000;
pub(crate) const POINTS: u32 = 1_000;
pub(crate) const GROUPS: u32 = 10;

/// Statements that fill a database. Each package is on ten distribution points; of its targets
/// nine in ten are installed, the rest waits, retries or has failed. There are no statistics
/// (`ANALYZE`), as in every site: with them SQLite plans a statement anew for each bound value.
const FILL: &[&str] = &[
    "PRAGMA synchronous = OFF",
    "PRAGMA cache_size = -400000",
    "BEGIN",
    "INSERT INTO site (one, site_code, epoch, ca_fingerprint, root_public_key, created_at)
     VALUES (1, 'XYZ', 1, 'a', 'b', 1700000000000000)",
    "CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n",
    "INSERT INTO packages (package_id, name, package_version, manufacturer, language, description, source_path,
         source_flag, priority, is_public, allow_empty, source_site, source_version, stored_version, epoch,
         is_deleting, settings, created_at, last_refresh_at)
     SELECT printf('XYZ%05X', i), 'Package ' || printf('%06d', i * 7919 % 1000003), '1.' || i % 100, 'Maker ' || i % 500, 'en',
         'A package of the benchmark, number ' || i, '/srv/source/' || i, 2, 2, 1, 0, 'XYZ', 3, 3, 1, 0, 1,
         1700000000000000 + i * 1000000, 1700000000000000 + i * 1000000 FROM n",
    "INSERT INTO refreshes (package_id, requested_seq, creation_seq, started_seq, done_seq, failed_seq, asked_since_start,
         runs, attempts, next_attempt, requested_at)
     SELECT package_id, 1, 1, 1, 1, 0, 0, 1, 0, 0, created_at FROM packages",
    "INSERT INTO versions (package_id, epoch, version, root, root_length, pages, entries, chunks, bytes, files,
         bytes_read, chunks_new, bytes_new, published_at, duration_ms)
     SELECT package_id, 1, 3, x'00', 100, 1, 10, 20, 5000000, 8, 5000000, 20, 5000000, created_at, 100 FROM packages",
    "INSERT INTO distribution_points (name, fingerprint, certificate_expires, enrolled_at, serve_urls, number, site_code,
         nal_path)
     SELECT name, 'f', 1900000000000000, 1700000000000000, '[]', i, 'XYZ',
         '[\"Display=\\\\' || name || '\\\"]MSWNET:[\"SMS_SITE=XYZ\"]\\\\' || name || '\\'
     FROM (SELECT i, 'DP' || printf('%04d', i) AS name FROM n WHERE i <= 1000)",
    "CREATE TEMP TABLE pairs AS SELECT n.i AS package, (n.i * 7 + k.i * 97) % 1000 + 1 AS point, (n.i + k.i * 13) % 100 AS dice
     FROM n CROSS JOIN (SELECT i FROM n WHERE i <= 10) AS k",
    "INSERT INTO targets (package_id, point, state, wanted_version, serving_version, job, is_redistributing, has_given_up,
         skip_until, attempts, asked_at, last_copied_at, bytes_received, settings, number)
     SELECT printf('XYZ%05X', package), 'DP' || printf('%04d', point),
         CASE WHEN dice < 90 THEN 'installed' WHEN dice < 94 THEN 'waiting' WHEN dice < 97 THEN 'failed' ELSE 'retrying' END,
         3, CASE WHEN dice < 90 THEN 3 ELSE 0 END, 0, 0, 0, 0, 0, 1700000000000000 + package, 1700000000000000 + package,
         5000000, 1, row_number() OVER ()
     FROM pairs ORDER BY package, point",
    "INSERT INTO dp_groups (group_id, number, name, description, source_site, created_by, created_at, modified_by, modified_at)
     SELECT printf('{00000000-0000-0000-0000-%012d}', i), i, 'Group ' || i, '', 'XYZ', '', 0, '', 0 FROM n WHERE i <= 10",
    "INSERT INTO dp_group_members (group_id, point)
     SELECT printf('{00000000-0000-0000-0000-%012d}', number % 10 + 1), name FROM distribution_points",
    "INSERT INTO dp_group_packages (group_id, package_id)
     SELECT printf('{00000000-0000-0000-0000-%012d}', i % 10 + 1), printf('XYZ%05X', i) FROM n WHERE i <= 1000",
    "INSERT INTO scope_members (scope_id, object_type, object_key) SELECT 'SMS00UNA', 2, package_id FROM packages",
    "INSERT INTO scope_members (scope_id, object_type, object_key) SELECT 'SMS00UNA', 42, name FROM distribution_points",
    "INSERT INTO scope_members (scope_id, object_type, object_key) SELECT 'SMS00UNA', 43, group_id FROM dp_groups",
    "INSERT INTO scope_members (scope_id, object_type, object_key) VALUES ('SMS00UNA', 6, 'XYZ')",
    "INSERT INTO status_messages (message_id, severity, message_type, component, time, package_id, point)
     SELECT 2330, 1073741824, 256, 'SMS_DISTRIBUTION_MANAGER', 1700000000000000 + i, printf('XYZ%05X', i),
         'DP' || printf('%04d', (i * 7 + 97) % 1000 + 1) FROM n",
    "INSERT INTO status_message_strings (record, position, value) SELECT record, 1, package_id FROM status_messages",
    "INSERT INTO status_message_attributes (record, attribute, value) SELECT record, 400, package_id FROM status_messages",
    "INSERT OR REPLACE INTO counters (name, value) VALUES ('point', 1000), ('target', 1000000), ('package', 100000),
         ('group', 10)",
    "COMMIT",
    "PRAGMA wal_checkpoint(TRUNCATE)",
];

/// The database that is kept; it is made when it is missing or was made by other statements.
pub(crate) async fn made(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let path = folder.join("site.db");
    let mark = folder.join("site.mark");
    // The tables are part of what it depends on.
    let mut wanted = blake3::Hasher::new();
    for statement in FILL {
        wanted.update(statement.as_bytes());
    }
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sitedb/migrations");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(migrations)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    for file in files {
        wanted.update(&std::fs::read(file)?);
    }
    let wanted = wanted.finalize().to_hex().to_string();
    if path.exists() && std::fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(path);
    }
    forget(&path)?;
    let began = Instant::now();
    Database::open_file(&path).await?.close().await;
    let mut connection = AnyConnection::connect(&format!("sqlite://{}", path.display())).await?;
    for statement in FILL {
        let done = sqlx::raw_sql(AssertSqlSafe(*statement)).execute(&mut connection).await;
        done.with_context(|| format!("failed to run {statement}"))?;
    }
    connection.close().await?;
    std::fs::write(mark, wanted)?;
    eprintln!("the site database was made in {:.0} s", began.elapsed().as_secs_f64());
    Ok(path)
}

/// A copy to work on.
pub(crate) fn copied(kept: &Path, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("work.db");
    forget(&path)?;
    std::fs::copy(kept, &path).context("failed to copy the site database")?;
    Ok(path)
}

/// Removes a database with its log.
pub(crate) fn forget(path: &Path) -> Result<()> {
    for end in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{end}", path.display()));
        if file.exists() {
            std::fs::remove_file(&file).with_context(|| format!("failed to remove {}", file.display()))?;
        }
    }
    Ok(())
}

/// The ID of a package.
pub(crate) fn package(number: u32) -> String {
    format!("XYZ{:05X}", number % PACKAGES + 1)
}

/// The NAL path of a distribution point.
pub(crate) fn nal(number: u32) -> String {
    let name = format!("DP{:04}", number % POINTS + 1);
    format!(r#"["Display=\\{name}\"]MSWNET:["SMS_SITE=XYZ"]\\{name}\"#)
}
