//! Answered requests: the same request id gives the same answer and no second step.

use restock_names::Timestamp;

use crate::tx::bind;
use crate::{DatabaseError, Tx};

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What was asked, as text.
    pub operation: String,
    /// What was answered, as text.
    pub answer: String,
}

impl Tx {
    /// The request `id`, if it was carried out.
    pub async fn answered(&mut self, id: &str) -> Result<Option<Answered>, DatabaseError> {
        let row = self.row("SELECT operation, answer FROM requests WHERE request_id = $1", bind![id]).await?;
        row.map(|row| Ok(Answered { operation: row.text("operation")?, answer: row.text("answer")? }))
            .transpose()
    }

    /// Keeps the answer to the request `id`, in the transaction that carried it out.
    pub async fn insert_answered(
        &mut self,
        id: &str,
        a: &Answered,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO requests (request_id, operation, answer, at) VALUES ($1, $2, $3, $4)",
            bind![id, &a.operation, &a.answer, now],
        )
        .await
        .map(|_| ())
    }

    /// Forgets requests answered before `before`.
    pub async fn delete_answered(&mut self, before: Timestamp) -> Result<u64, DatabaseError> {
        self.execute("DELETE FROM requests WHERE at < $1", bind![before]).await
    }
}
