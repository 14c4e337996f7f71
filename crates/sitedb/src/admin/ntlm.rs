//! NTLM secrets of accounts, as they are kept: sealed.

use super::{NtlmSecret, Stamp};
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

fn secret(row: &Row) -> Result<NtlmSecret, DatabaseError> {
    Ok(NtlmSecret {
        account: row.u32("admin_id")?,
        sealed: row.bytes("sealed")?,
        is_forced: row.bool("is_forced")?,
        created: Stamp { by: row.text("created_by")?, at: row.time("created_at")? },
    })
}

impl Tx {
    /// The account's NTLM secret.
    pub async fn ntlm_secret(&mut self, account: u32) -> Result<Option<NtlmSecret>, DatabaseError> {
        self.row(
            "SELECT admin_id, sealed, is_forced, created_by, created_at FROM ntlm_secrets WHERE admin_id = $1",
            bind![account],
        )
        .await?
        .as_ref()
        .map(secret)
        .transpose()
    }

    /// True when any account has one.
    pub async fn has_ntlm_secrets(&mut self) -> Result<bool, DatabaseError> {
        Ok(self.row("SELECT admin_id FROM ntlm_secrets LIMIT 1", bind![]).await?.is_some())
    }

    /// Gives an account this secret in place of the one it had.
    pub async fn set_ntlm_secret(&mut self, secret: &NtlmSecret) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO ntlm_secrets (admin_id, sealed, is_forced, created_by, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (admin_id) DO UPDATE SET sealed = excluded.sealed, is_forced = excluded.is_forced,
                 created_by = excluded.created_by, created_at = excluded.created_at",
            bind![
                secret.account,
                secret.sealed.clone(),
                secret.is_forced,
                &secret.created.by,
                secret.created.at
            ],
        )
        .await
        .map(|_| ())
    }

    /// Takes the account's secret away; false when it has none.
    pub async fn delete_ntlm_secret(&mut self, account: u32) -> Result<bool, DatabaseError> {
        Ok(self.execute("DELETE FROM ntlm_secrets WHERE admin_id = $1", bind![account]).await? == 1)
    }
}
