//! Accounts and their permissions.

use restock_names::Timestamp;

use super::{Account, Grant, PasswordHash, Permission, Stamp};
use crate::replica::Kind;
use crate::replica::kinds::form::folded;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// Account numbers are above this, as those of Configuration Manager are.
const NUMBER_BASE: u64 = 0x0100_0000;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT admin_id, logon_name, display_name, password_hash, generation, is_disabled, created_by,
                created_at, modified_by, modified_at FROM admins ",
            $rest
        )
    };
}

fn account(row: &Row) -> Result<Account, DatabaseError> {
    Ok(Account {
        id: row.u32("admin_id")?,
        logon_name: row.text("logon_name")?,
        display_name: row.text("display_name")?,
        password: row.text_or_none("password_hash")?.map(PasswordHash),
        generation: row.u64("generation")?,
        is_disabled: row.bool("is_disabled")?,
        created: Stamp { by: row.text("created_by")?, at: row.time("created_at")? },
        modified: Stamp { by: row.text("modified_by")?, at: row.time("modified_at")? },
    })
}

impl Tx {
    /// A number no account has had.
    pub async fn next_account_number(&mut self) -> Result<u32, DatabaseError> {
        let number = NUMBER_BASE + self.next_number("admin").await?;
        u32::try_from(number).map_err(|_unfit| DatabaseError::Value {
            operation: self.operation,
            column: "admin_id",
            found: number.to_string(),
        })
    }

    /// All accounts by name.
    pub async fn accounts(&mut self) -> Result<Vec<Account>, DatabaseError> {
        self.rows(select!("ORDER BY logon_name"), bind![]).await?.iter().map(account).collect()
    }

    /// The account with this number.
    pub async fn account(&mut self, id: u32) -> Result<Option<Account>, DatabaseError> {
        self.row(select!("WHERE admin_id = $1"), bind![id]).await?.as_ref().map(account).transpose()
    }

    /// The account with this logon name in any letter case.
    pub async fn account_named(&mut self, name: &str) -> Result<Option<Account>, DatabaseError> {
        self.row(select!("WHERE logon_name = $1"), bind![name]).await?.as_ref().map(account).transpose()
    }

    /// Adds an account; false when the logon name is taken.
    pub async fn insert_account(&mut self, a: &Account) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO admins (admin_id, logon_name, display_name, password_hash, generation, is_disabled,
                     created_by, created_at, modified_by, modified_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
                bind![
                    a.id,
                    &a.logon_name,
                    &a.display_name,
                    a.password.as_ref().map(|hash| hash.0.clone()),
                    a.generation,
                    a.is_disabled,
                    &a.created.by,
                    a.created.at,
                    &a.modified.by,
                    a.modified.at
                ],
            )
            .await?;
        self.touch(Kind::Account, folded(&a.logon_name));
        Ok(added == 1)
    }

    /// Writes what may change of an account and raises its generation.
    pub async fn update_account(&mut self, a: &Account) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE admins SET display_name = $2, password_hash = $3, generation = generation + 1,
                 is_disabled = $4, modified_by = $5, modified_at = $6 WHERE admin_id = $1",
            bind![
                a.id,
                &a.display_name,
                a.password.as_ref().map(|hash| hash.0.clone()),
                a.is_disabled,
                &a.modified.by,
                a.modified.at
            ],
        )
        .await?;
        self.touch(Kind::Account, folded(&a.logon_name));
        Ok(())
    }

    /// Removes an account with its permissions and tokens; false when there was none.
    pub async fn delete_account(&mut self, id: u32) -> Result<bool, DatabaseError> {
        self.touch_account(id).await?;
        Ok(self.execute("DELETE FROM admins WHERE admin_id = $1", bind![id]).await? == 1)
    }

    /// The account's permissions, by role and scope.
    pub async fn permissions(&mut self, account: u32) -> Result<Vec<Permission>, DatabaseError> {
        self.rows(
            "SELECT role_id, scope_id FROM admin_permissions WHERE admin_id = $1 ORDER BY role_id, scope_id",
            bind![account],
        )
        .await?
        .iter()
        .map(|row| Ok(Permission { role: row.text("role_id")?, scope: row.text("scope_id")? }))
        .collect()
    }

    /// Gives the account exactly these permissions and raises its generation.
    pub async fn set_permissions(
        &mut self,
        account: u32,
        permissions: &[Permission],
        by: &str,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.execute("DELETE FROM admin_permissions WHERE admin_id = $1", bind![account]).await?;
        for permission in permissions {
            self.execute(
                "INSERT INTO admin_permissions (admin_id, role_id, scope_id) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
                bind![account, &permission.role, &permission.scope],
            )
            .await?;
        }
        self.execute(
            "UPDATE admins SET generation = generation + 1, modified_by = $2, modified_at = $3
             WHERE admin_id = $1",
            bind![account, by, now],
        )
        .await?;
        self.touch_account(account).await
    }

    async fn touch_account(&mut self, id: u32) -> Result<(), DatabaseError> {
        if let Some(account) = self.account(id).await? {
            self.touch(Kind::Account, folded(&account.logon_name));
        }
        Ok(())
    }

    /// What the account's permissions grant, one row for each role, scope and object type.
    pub async fn grants(&mut self, account: u32) -> Result<Vec<Grant>, DatabaseError> {
        self.rows(
            "SELECT p.role_id AS role_id, p.scope_id AS scope_id, o.object_type AS object_type,
                 o.operations AS operations
             FROM admin_permissions p LEFT JOIN role_operations o ON o.role_id = p.role_id
             WHERE p.admin_id = $1 ORDER BY p.role_id, p.scope_id, o.object_type",
            bind![account],
        )
        .await?
        .iter()
        .map(|row| {
            let operations = match row.i64_or_none("object_type")? {
                None => None,
                Some(_) => Some((row.u32("object_type")?, row.u32("operations")?)),
            };
            Ok(Grant { role: row.text("role_id")?, scope: row.text("scope_id")?, operations })
        })
        .collect()
    }
}
