//! Tables are data: numbered migrations, forward only, each in a transaction of its own.

use sqlx::{AnyConnection, Row};

use crate::own_text::own_text;
use crate::{DatabaseError, Engine};

/// Every migration in order; the number is the position from 1 on. A published text never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_provider.sql"),
    include_str!("../migrations/0003_links_and_damage.sql"),
    include_str!("../migrations/0004_source_scopes.sql"),
    include_str!("../migrations/0005_sites.sql"),
    include_str!("../migrations/0006_installed.sql"),
    include_str!("../migrations/0007_sign_in.sql"),
    include_str!("../migrations/0008_package_options.sql"),
    include_str!("../migrations/0009_installed_counts.sql"),
    include_str!("../migrations/0010_heard_to.sql"),
    include_str!("../migrations/0011_next_hop.sql"),
    include_str!("../migrations/0012_principals.sql"),
];

/// The number PostgreSQL's advisory lock is taken under while migrating ("restock").
const LOCK: &str = "SELECT pg_advisory_xact_lock(32202211733725547)";

/// Brings the tables to this release. A database that failed is as it was before.
pub(crate) async fn migrate(connection: &mut AnyConnection, engine: Engine) -> Result<(), DatabaseError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if let Some(prepare) = engine.prepare() {
        run(connection, prepare.to_owned()).await.map_err(|source| fail(0, source))?;
    }
    for (number, text) in (1..).zip(MIGRATIONS) {
        let result = apply(connection, engine, number, text, known).await;
        if result.is_err() && run(connection, "ROLLBACK".to_owned()).await.is_err() {
            tracing::debug!(number, "the failed migration had already been rolled back");
        }
        result?;
    }
    Ok(())
}

/// Fails when the database can only be read. SQLite opens such a file without a word and even begins a
/// transaction that is to write.
pub(crate) async fn check_writable(connection: &mut AnyConnection) -> Result<(), DatabaseError> {
    let done = run(connection, "DELETE FROM migrations WHERE number < 0".to_owned()).await;
    done.map_err(|source| DatabaseError::Statement { operation: "open", source })
}

async fn apply(
    connection: &mut AnyConnection,
    engine: Engine,
    number: i64,
    text: &str,
    known: i64,
) -> Result<(), DatabaseError> {
    let failed = |source| fail(number, source);
    let begin = match engine {
        Engine::Sqlite => "BEGIN IMMEDIATE",
        Engine::Postgres => "BEGIN",
    };
    run(connection, begin.to_owned()).await.map_err(failed)?;
    if engine == Engine::Postgres {
        run(connection, LOCK.to_owned()).await.map_err(failed)?;
    }
    let table = engine.define(
        "CREATE TABLE IF NOT EXISTS migrations (number {int} PRIMARY KEY, name TEXT NOT NULL) {strict}",
    );
    run(connection, table).await.map_err(failed)?;
    let row = sqlx::query("SELECT COALESCE(MAX(number), 0) FROM migrations")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let found: i64 = row.try_get(0).map_err(failed)?;
    if found > known {
        return Err(DatabaseError::Newer { found, known });
    }
    if found < number {
        run(connection, engine.define(text)).await.map_err(failed)?;
        let name = text.lines().next().unwrap_or_default().trim_start_matches("-- ").to_owned();
        sqlx::query("INSERT INTO migrations (number, name) VALUES ($1, $2)")
            .bind(number)
            .bind(name)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    run(connection, "COMMIT".to_owned()).await.map_err(failed)
}

fn fail(number: i64, source: sqlx::Error) -> DatabaseError {
    DatabaseError::Migration { number, source }
}

/// Runs a text that is part of this program.
async fn run(connection: &mut AnyConnection, text: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(own_text(text)).execute(&mut *connection).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use sqlx::{AnyConnection, Connection as _, Row as _};

    use super::{MIGRATIONS, apply, migrate, run};
    use crate::Engine;

    /// A site as the first release left it.
    const FIRST: &str = r#"
        INSERT INTO site VALUES (1, 'XYZ', 1, 'ca', 'root', 5);
        INSERT INTO packages VALUES
            ('XYZ00001', 'a', '', '', '', '', '/srv/a', 2, 2, 0, 0, 'XYZ', 1, 1, 1, 0, 1, 5, 5);
        INSERT INTO source_roots VALUES ('src', '/srv', '[]', 5);
        INSERT INTO distribution_points (name, fingerprint, certificate_expires, enrolled_at, serve_urls)
            VALUES ('DP02', 'f', 5, 5, '[]'), ('DP01', 'f', 5, 5, '[]');
        INSERT INTO targets (package_id, point, state, wanted_version, serving_version, job, is_redistributing,
                has_given_up, skip_until, attempts, asked_at, bytes_received, settings)
            VALUES ('XYZ00001', 'DP02', 'installed', 1, 1, 0, 0, 0, 0, 0, 5, 0, 1),
                ('XYZ00001', 'DP01', 'waiting', 1, 0, 0, 0, 0, 0, 0, 5, 0, 0);
        INSERT INTO status_messages (record, message_id, severity, message_type, component, time, package_id)
            VALUES (1, 2330, 1073741824, 256, 'SMS_DISTRIBUTION_MANAGER', 5, 'XYZ00001'),
                (2, 2301, 1073741824, 256, 'SMS_DISTRIBUTION_MANAGER', 5, 'XYZ00001');
        INSERT INTO status_message_attributes VALUES
            (1, 404, '["Display=\\DP02\"]MSWNET:["SMS_SITE=XYZ"]\\DP02\');
    "#;

    async fn texts(connection: &mut AnyConnection, text: &'static str) -> Vec<String> {
        let rows = sqlx::query(text).fetch_all(connection).await.expect(text);
        rows.iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or_default()).collect()
    }

    #[tokio::test]
    async fn a_site_of_the_first_release_gets_names_and_numbers_for_what_it_has() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let engine = Engine::Sqlite;
        sqlx::any::install_default_drivers();
        let url = Engine::sqlite_url(&folder.path().join("site.db"));
        let mut connection = engine.connect(&url, true).await.expect("a database");
        apply(&mut connection, engine, 1, MIGRATIONS[0], 1).await.expect("the first release");
        run(&mut connection, FIRST.to_owned()).await.expect("its rows");
        migrate(&mut connection, engine).await.expect("all migrations");

        let points = "SELECT name || ' ' || number || ' ' || site_code || ' ' || nal_path
            FROM distribution_points ORDER BY name";
        assert_eq!(
            texts(&mut connection, points).await,
            [
                r#"DP01 1 XYZ ["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#,
                r#"DP02 2 XYZ ["Display=\\DP02\"]MSWNET:["SMS_SITE=XYZ"]\\DP02\"#
            ]
        );
        let targets = "SELECT point || ' ' || number FROM targets ORDER BY number";
        assert_eq!(texts(&mut connection, targets).await, ["DP01 1", "DP02 2"]);
        let next = "SELECT name || ' ' || value FROM counters";
        assert_eq!(texts(&mut connection, next).await, ["point 2"]);
        assert_eq!(
            texts(&mut connection, "SELECT point FROM status_messages ORDER BY record").await,
            ["DP02", ""]
        );
        let scoped = "SELECT object_key FROM scope_members WHERE scope_id = 'SMS00UNA' ORDER BY object_key";
        assert_eq!(texts(&mut connection, scoped).await, ["DP01", "DP02", "XYZ", "XYZ00001"]);
        let roots = "SELECT name || ' ' || scope_id FROM source_root_scopes";
        assert_eq!(texts(&mut connection, roots).await, ["src SMS00UNA"]);
        connection.close().await.expect("a clean end");
    }

    #[tokio::test]
    async fn the_way_to_each_site_is_known_after_the_migration() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let engine = Engine::Sqlite;
        sqlx::any::install_default_drivers();
        let url = Engine::sqlite_url(&folder.path().join("site.db"));
        let mut connection = engine.connect(&url, true).await.expect("a database");
        apply(&mut connection, engine, 1, MIGRATIONS[0], 1).await.expect("the first release");
        run(&mut connection, FIRST.to_owned()).await.expect("its rows");
        for (number, text) in (2..=10).zip(&MIGRATIONS[1..10]) {
            apply(&mut connection, engine, number, text, number).await.expect("the release before");
        }
        let sites = "UPDATE sites SET parent = 'TOP' WHERE site_code = 'XYZ';
            INSERT INTO sites (site_code, parent, site_type, name, server_name, url, software, root_public_key,
                key_list, ca_fingerprint, status, is_below)
            SELECT v.code, v.above, 2, '', '', '', '', '', o.key_list, '', 1, 0 FROM sites o CROSS JOIN (
                SELECT 'TOP' AS code, NULL AS above UNION ALL SELECT 'SID', 'TOP' UNION ALL SELECT 'LEF', 'XYZ'
                UNION ALL SELECT 'LOW', 'LEF' UNION ALL SELECT 'RIG', 'XYZ') v WHERE o.site_code = 'XYZ'";
        run(&mut connection, sites.to_owned()).await.expect("the other sites");
        migrate(&mut connection, engine).await.expect("the last migration");
        let hops = "SELECT site_code || ' ' || next_hop FROM sites ORDER BY site_code";
        assert_eq!(
            texts(&mut connection, hops).await,
            ["LEF LEF", "LOW LEF", "RIG RIG", "SID TOP", "TOP TOP", "XYZ "]
        );
        connection.close().await.expect("a clean end");
    }

    #[tokio::test]
    async fn a_site_of_the_release_before_is_the_only_one_of_its_hierarchy() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let engine = Engine::Sqlite;
        sqlx::any::install_default_drivers();
        let url = Engine::sqlite_url(&folder.path().join("site.db"));
        let mut connection = engine.connect(&url, true).await.expect("a database");
        apply(&mut connection, engine, 1, MIGRATIONS[0], 1).await.expect("the first release");
        run(&mut connection, FIRST.to_owned()).await.expect("its rows");
        for number in 2..=4 {
            let text = MIGRATIONS[usize::try_from(number - 1).expect("small")];
            apply(&mut connection, engine, number, text, number).await.expect("the release before");
        }
        migrate(&mut connection, engine).await.expect("the last migration");
        for (wanted, text) in [
            (
                "XYZ  2 root 1 1",
                "SELECT site_code || ' ' || COALESCE(parent, '') || ' ' || site_type || ' ' || root_public_key || ' ' || status || ' ' || is_below FROM sites",
            ),
            ("XYZ 1 1", "SELECT source_site || ' ' || owner_epoch || ' ' || version_floor FROM packages"),
            ("XYZ", "SELECT DISTINCT site FROM status_messages"),
            ("0", "SELECT COUNT(*) || '' FROM replicas"),
            ("0", "SELECT COUNT(*) || '' FROM site_links"),
            ("", "SELECT incarnation FROM site"),
        ] {
            assert_eq!(texts(&mut connection, text).await, [wanted], "{text}");
        }
        connection.close().await.expect("a clean end");
        let database = crate::Database::open_file(&folder.path().join("site.db")).await.expect("it opens");
        let site = database.read("site", |tx| Box::pin(tx.site())).await.expect("its row");
        assert_eq!(site.map(|site| site.code.to_string()).as_deref(), Some("XYZ"));
    }
}
