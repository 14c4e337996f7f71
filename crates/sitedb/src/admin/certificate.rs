//! Certificates that people sign in with.

use restock_names::Digest;

use super::{AdminCertificate, Stamp};
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT fingerprint, admin_id, name, subject, not_before, not_after, created_by, created_at
             FROM admin_certificates ",
            $rest
        )
    };
}

fn certificate(row: &Row) -> Result<AdminCertificate, DatabaseError> {
    Ok(AdminCertificate {
        fingerprint: row.digest("fingerprint")?,
        account: row.u32("admin_id")?,
        name: row.text("name")?,
        subject: row.text("subject")?,
        not_before: row.time("not_before")?,
        not_after: row.time("not_after")?,
        created: Stamp { by: row.text("created_by")?, at: row.time("created_at")? },
    })
}

impl Tx {
    /// The certificate with this fingerprint.
    pub async fn admin_certificate(
        &mut self,
        fingerprint: Digest,
    ) -> Result<Option<AdminCertificate>, DatabaseError> {
        self.row(select!("WHERE fingerprint = $1"), bind![fingerprint])
            .await?
            .as_ref()
            .map(certificate)
            .transpose()
    }

    /// The account's certificates by name; those of all accounts without one.
    pub async fn admin_certificates(
        &mut self,
        account: Option<u32>,
    ) -> Result<Vec<AdminCertificate>, DatabaseError> {
        let rows = match account {
            Some(account) => self.rows(select!("WHERE admin_id = $1 ORDER BY name"), bind![account]).await?,
            None => self.rows(select!("ORDER BY admin_id, name"), bind![]).await?,
        };
        rows.iter().map(certificate).collect()
    }

    /// Adds a certificate; false when it is registered already, or the account has one of that name.
    pub async fn insert_admin_certificate(&mut self, c: &AdminCertificate) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO admin_certificates (fingerprint, admin_id, name, subject, not_before, not_after,
                     created_by, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
                bind![
                    c.fingerprint,
                    c.account,
                    &c.name,
                    &c.subject,
                    c.not_before,
                    c.not_after,
                    &c.created.by,
                    c.created.at
                ],
            )
            .await?;
        Ok(added == 1)
    }

    /// Removes the account's certificate of this name; false when there is none.
    pub async fn delete_admin_certificate(
        &mut self,
        account: u32,
        name: &str,
    ) -> Result<bool, DatabaseError> {
        let removed = self
            .execute("DELETE FROM admin_certificates WHERE admin_id = $1 AND name = $2", bind![account, name])
            .await?;
        Ok(removed == 1)
    }
}
