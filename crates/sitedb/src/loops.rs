//! What each loop of the site did last: one table that every view reads.

use restock_names::Timestamp;

use crate::tx::bind;
use crate::{DatabaseError, Tx};

/// A loop's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopStatus {
    /// Its name.
    pub name: String,
    /// When it last looked for work.
    pub last_run_at: Timestamp,
    /// What came of it.
    pub result: String,
    /// How much waits.
    pub queue: u64,
}

impl Tx {
    /// Keeps what a loop did.
    pub async fn put_loop(&mut self, status: &LoopStatus) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO loops (name, last_run_at, result, queue) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO UPDATE SET last_run_at = EXCLUDED.last_run_at, result = EXCLUDED.result,
                 queue = EXCLUDED.queue",
            bind![&status.name, status.last_run_at, &status.result, status.queue],
        )
        .await
        .map(|_| ())
    }

    /// All loops by name.
    pub async fn loops(&mut self) -> Result<Vec<LoopStatus>, DatabaseError> {
        self.rows("SELECT name, last_run_at, result, queue FROM loops ORDER BY name", bind![])
            .await?
            .iter()
            .map(|row| {
                Ok(LoopStatus {
                    name: row.text("name")?,
                    last_run_at: row.time("last_run_at")?,
                    result: row.text("result")?,
                    queue: row.u64("queue")?,
                })
            })
            .collect()
    }
}
