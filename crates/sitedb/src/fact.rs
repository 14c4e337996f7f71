//! What configuration decides and views must know: `facts` are texts, `settings` numbers.

use crate::tx::bind;
use crate::{DatabaseError, Tx};

impl Tx {
    /// Keeps a fact under its name in place of what was kept before.
    pub async fn put_fact(&mut self, name: &str, value: &str) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO facts (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
            bind![name, value],
        )
        .await
        .map(|_| ())
    }

    /// Keeps a setting likewise.
    pub async fn put_setting(&mut self, name: &str, value: i64) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO settings (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
            bind![name, value],
        )
        .await
        .map(|_| ())
    }
}
