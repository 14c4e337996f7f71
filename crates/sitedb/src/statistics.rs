//! What SQLite's planner is told of the tables: the proportions of a large site, the same in every
//! site, so that a statement has one plan everywhere.
//!
//! Without them it believes that every index is about as selective as another. Samples of real
//! values (`ANALYZE`) are never kept: with them SQLite plans a statement anew for each bound value,
//! which takes longer than most statements.
//!
//! What it does not do: it counts nothing, and PostgreSQL is left to its own statistics.

use crate::own_text::own_text;
use crate::tx::bind;
use crate::{DatabaseError, Engine, Tx};

/// Table, index, and: rows, then rows for each value of its first column, of its first two, ….
/// Source: "The sqlite_stat1 table" in SQLite's file format.
const STATISTICS: &[(&str, &str, &str)] = &[
    ("packages", "sqlite_autoindex_packages_1", "100000 1"),
    ("packages", "packages_by_id_nocase", "100000 1"),
    ("packages", "packages_by_name", "100000 2"),
    ("distribution_points", "sqlite_autoindex_distribution_points_1", "1000 1"),
    ("distribution_points", "distribution_points_by_number", "1000 1"),
    ("distribution_points", "distribution_points_by_nal_path", "1000 1"),
    ("targets", "sqlite_autoindex_targets_1", "1000000 10 1"),
    ("targets", "targets_by_number", "1000000 1"),
    ("targets", "targets_by_package_state", "1000000 10 3 1"),
    ("targets", "targets_by_point_state", "1000000 1000 250 1"),
    ("targets", "targets_by_summarizer_state", "1000000 100000"),
    ("installed_counts", "sqlite_autoindex_installed_counts_1", "1000 1"),
    ("copies", "sqlite_autoindex_copies_1", "50000 5 1"),
    ("scope_members", "sqlite_autoindex_scope_members_1", "101000 50000 25000 1"),
    ("scope_members", "scope_members_by_object", "101000 50000 2"),
];

impl Tx {
    /// Writes the statistics unless they are there. Connections opened later plan by them.
    pub(crate) async fn fix_statistics(&mut self) -> Result<(), DatabaseError> {
        if self.engine == Engine::Postgres {
            return Ok(());
        }
        let tables = "SELECT name FROM sqlite_master WHERE name IN ('sqlite_stat1', 'sqlite_stat4')";
        let has = |rows: &[crate::tx::Row], name: &str| {
            rows.iter().any(|row| row.text("name").is_ok_and(|found| found == name))
        };
        let mut found = self.rows(tables, bind![]).await?;
        if has(&found, "sqlite_stat1") {
            let mut kept = Vec::new();
            for row in self.rows("SELECT tbl, idx, stat FROM sqlite_stat1", bind![]).await? {
                kept.push((
                    row.text("tbl")?,
                    row.text_or_none("idx")?.unwrap_or_default(),
                    row.text("stat")?,
                ));
            }
            let is_kept = |(table, index, stat): &(&str, &str, &str)| {
                kept.iter().any(|kept| {
                    (kept.0.as_str(), kept.1.as_str(), kept.2.as_str()) == (*table, *index, *stat)
                })
            };
            if kept.len() == STATISTICS.len() && STATISTICS.iter().all(is_kept) {
                return Ok(());
            }
        } else {
            self.analyze_schema().await?;
            found = self.rows(tables, bind![]).await?;
        }
        self.execute("DELETE FROM sqlite_stat1", bind![]).await?;
        if has(&found, "sqlite_stat4") {
            self.execute("DELETE FROM sqlite_stat4", bind![]).await?;
        }
        for (table, index, stat) in STATISTICS {
            self.execute(
                "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ($1, $2, $3)",
                bind![*table, *index, *stat],
            )
            .await?;
        }
        self.analyze_schema().await
    }

    /// Makes the tables of statistics, and makes this connection read them again.
    async fn analyze_schema(&mut self) -> Result<(), DatabaseError> {
        let operation = self.operation;
        let done = self.command(own_text("ANALYZE sqlite_schema".to_owned())).await;
        done.map_err(|source| DatabaseError::Statement { operation, source })
    }
}
