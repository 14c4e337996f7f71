//! Kerberos principals that people and programs sign in as.

use super::{AdminPrincipal, Stamp};
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT principal, admin_id, created_by, created_at FROM admin_principals ", $rest)
    };
}

fn principal(row: &Row) -> Result<AdminPrincipal, DatabaseError> {
    Ok(AdminPrincipal {
        principal: row.text("principal")?,
        account: row.u32("admin_id")?,
        created: Stamp { by: row.text("created_by")?, at: row.time("created_at")? },
    })
}

impl Tx {
    /// The principal of this name; letter case counts.
    pub async fn admin_principal(&mut self, name: &str) -> Result<Option<AdminPrincipal>, DatabaseError> {
        self.row(select!("WHERE principal = $1"), bind![name]).await?.as_ref().map(principal).transpose()
    }

    /// The account's principals by name; those of all accounts without one.
    pub async fn admin_principals(
        &mut self,
        account: Option<u32>,
    ) -> Result<Vec<AdminPrincipal>, DatabaseError> {
        let rows = match account {
            Some(account) => {
                self.rows(select!("WHERE admin_id = $1 ORDER BY principal"), bind![account]).await?
            }
            None => self.rows(select!("ORDER BY admin_id, principal"), bind![]).await?,
        };
        rows.iter().map(principal).collect()
    }

    /// Adds a principal; false when it is registered already.
    pub async fn insert_admin_principal(&mut self, p: &AdminPrincipal) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO admin_principals (principal, admin_id, created_by, created_at)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                bind![&p.principal, p.account, &p.created.by, p.created.at],
            )
            .await?;
        Ok(added == 1)
    }

    /// Removes the account's principal of this name; false when there is none.
    pub async fn delete_admin_principal(&mut self, account: u32, name: &str) -> Result<bool, DatabaseError> {
        let removed = self
            .execute(
                "DELETE FROM admin_principals WHERE admin_id = $1 AND principal = $2",
                bind![account, name],
            )
            .await?;
        Ok(removed == 1)
    }
}
