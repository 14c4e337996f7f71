//! Tokens that stand for an account.

use restock_names::{Digest, Timestamp};

use super::ApiToken;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// A token's last use is written at most this often, in microseconds.
const USE_NOTED_EVERY_US: i64 = 60_000_000;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT token_hash, admin_id, name, role_id, created_at, expires_at, last_used_at, revoked_at
             FROM api_tokens ",
            $rest
        )
    };
}

fn token(row: &Row) -> Result<ApiToken, DatabaseError> {
    Ok(ApiToken {
        hash: row.digest("token_hash")?,
        account: row.u32("admin_id")?,
        name: row.text("name")?,
        role: row.text_or_none("role_id")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        last_used_at: row.time_or_none("last_used_at")?,
        revoked_at: row.time_or_none("revoked_at")?,
    })
}

impl Tx {
    /// The token with this hash, valid or not.
    pub async fn api_token(&mut self, hash: Digest) -> Result<Option<ApiToken>, DatabaseError> {
        self.row(select!("WHERE token_hash = $1"), bind![hash]).await?.as_ref().map(token).transpose()
    }

    /// The account's tokens by name; those of all accounts without one.
    pub async fn api_tokens(&mut self, account: Option<u32>) -> Result<Vec<ApiToken>, DatabaseError> {
        let rows = match account {
            Some(account) => self.rows(select!("WHERE admin_id = $1 ORDER BY name"), bind![account]).await?,
            None => self.rows(select!("ORDER BY admin_id, name"), bind![]).await?,
        };
        rows.iter().map(token).collect()
    }

    /// Adds a token; false when the account has one of that name.
    pub async fn insert_api_token(&mut self, token: &ApiToken) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO api_tokens (token_hash, admin_id, name, role_id, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                bind![
                    token.hash,
                    token.account,
                    &token.name,
                    token.role.clone(),
                    token.created_at,
                    token.expires_at
                ],
            )
            .await?;
        Ok(added == 1)
    }

    /// Takes a token back; false when there is none of that name that is still valid.
    pub async fn revoke_api_token(
        &mut self,
        account: u32,
        name: &str,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let revoked = self
            .execute(
                "UPDATE api_tokens SET revoked_at = $3
                 WHERE admin_id = $1 AND name = $2 AND revoked_at IS NULL",
                bind![account, name, now],
            )
            .await?;
        Ok(revoked == 1)
    }

    /// Notes that a token was used, unless that was noted less than a minute ago.
    pub async fn api_token_used(&mut self, hash: Digest, now: Timestamp) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE api_tokens SET last_used_at = $2
             WHERE token_hash = $1 AND (last_used_at IS NULL OR last_used_at < $3)",
            bind![hash, now, now.0.saturating_sub(USE_NOTED_EVERY_US)],
        )
        .await
        .map(|_| ())
    }
}
