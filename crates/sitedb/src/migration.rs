//! Tables are data: numbered migrations, forward only, each in a transaction of its own.

use sqlx::{AnyConnection, Row};

use crate::own_text::own_text;
use crate::{DatabaseError, Engine};

/// Every migration in order; the number is the position from 1 on. A published text never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_provider.sql"),
    include_str!("../migrations/0003_links_and_damage.sql"),
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
