//! Enrolment tokens: kept as hashes, used once.

use restock_names::{Digest, Timestamp};

use crate::tx::bind;
use crate::{DatabaseError, Tx};

/// A token's row. The secret itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the secret.
    pub hash: Digest,
    /// What may join with it: `dp` or `site`.
    pub kind: String,
    /// The name it may join under.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// It is refused from then on.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// SHA-256 of the public key that used it.
    pub used_by: Option<Digest>,
}

impl Tx {
    /// Adds a token that was not used yet.
    pub async fn insert_token(&mut self, token: &Token) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO tokens (hash, kind, name, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
            bind![token.hash, &token.kind, &token.name, token.created_at, token.expires_at],
        )
        .await
        .map(|_| ())
    }

    /// The token with this hash.
    pub async fn token(&mut self, hash: Digest) -> Result<Option<Token>, DatabaseError> {
        let row = self
            .row(
                "SELECT hash, kind, name, created_at, expires_at, used_at, used_by FROM tokens WHERE hash = $1",
                bind![hash],
            )
            .await?;
        row.map(|row| {
            let used_at = row.time_or_none("used_at")?;
            Ok(Token {
                hash: row.digest("hash")?,
                kind: row.text("kind")?,
                name: row.text("name")?,
                created_at: row.time("created_at")?,
                expires_at: row.time("expires_at")?,
                used_by: used_at.map(|_| row.digest("used_by")).transpose()?,
                used_at,
            })
        })
        .transpose()
    }

    /// Marks a token as used; false when it was used already.
    pub async fn use_token(
        &mut self,
        hash: Digest,
        by: Digest,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                "UPDATE tokens SET used_at = $2, used_by = $3 WHERE hash = $1 AND used_at IS NULL",
                bind![hash, now, by],
            )
            .await?;
        Ok(changed == 1)
    }

    /// Removes tokens that ended before `before`.
    pub async fn delete_tokens_expired(&mut self, before: Timestamp) -> Result<u64, DatabaseError> {
        self.execute("DELETE FROM tokens WHERE expires_at < $1", bind![before]).await
    }
}
