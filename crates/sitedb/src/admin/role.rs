//! Roles.

use std::collections::BTreeMap;

use super::{Role, Stamp};
use crate::replica::Kind;
use crate::replica::kinds::form::folded;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT role_id, name, description, copied_from, is_built_in, created_by, created_at, modified_by,
                modified_at FROM roles ",
            $rest
        )
    };
}

impl Tx {
    /// A number that no role of this site has had.
    pub async fn next_role_number(&mut self) -> Result<u64, DatabaseError> {
        self.next_number("role").await
    }

    /// All roles by ID, with their operations.
    pub async fn roles(&mut self) -> Result<Vec<Role>, DatabaseError> {
        let rows = self.rows(select!("ORDER BY role_id"), bind![]).await?;
        let mut roles = Vec::with_capacity(rows.len());
        for row in &rows {
            roles.push(self.role_of(row).await?);
        }
        Ok(roles)
    }

    /// The role with this ID in any letter case.
    pub async fn role(&mut self, id: &str) -> Result<Option<Role>, DatabaseError> {
        match self.row(select!("WHERE role_id = $1"), bind![id]).await? {
            Some(row) => self.role_of(&row).await.map(Some),
            None => Ok(None),
        }
    }

    /// The role with this name in any letter case.
    pub async fn role_named(&mut self, name: &str) -> Result<Option<Role>, DatabaseError> {
        match self.row(select!("WHERE name = $1"), bind![name]).await? {
            Some(row) => self.role_of(&row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn role_of(&mut self, row: &Row) -> Result<Role, DatabaseError> {
        let id = row.text("role_id")?;
        Ok(Role {
            operations: self.role_operations(&id).await?,
            id,
            name: row.text("name")?,
            description: row.text("description")?,
            copied_from: row.text("copied_from")?,
            is_built_in: row.bool("is_built_in")?,
            created: Stamp { by: row.text("created_by")?, at: row.time("created_at")? },
            modified: Stamp { by: row.text("modified_by")?, at: row.time("modified_at")? },
        })
    }

    /// The role's bit fields of operations by object type; empty for a role that does not exist.
    pub async fn role_operations(&mut self, id: &str) -> Result<BTreeMap<u32, u32>, DatabaseError> {
        self.rows("SELECT object_type, operations FROM role_operations WHERE role_id = $1", bind![id])
            .await?
            .iter()
            .map(|row| Ok((row.u32("object_type")?, row.u32("operations")?)))
            .collect()
    }

    /// Adds a role; false when its ID or name is taken.
    pub async fn insert_role(&mut self, role: &Role) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO roles (role_id, name, description, copied_from, is_built_in, created_by, created_at,
                     modified_by, modified_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
                bind![
                    &role.id,
                    &role.name,
                    &role.description,
                    &role.copied_from,
                    role.is_built_in,
                    &role.created.by,
                    role.created.at,
                    &role.modified.by,
                    role.modified.at
                ],
            )
            .await?;
        if added == 1 {
            self.set_role_operations(role).await?;
        }
        self.touch(Kind::Role, folded(&role.id));
        Ok(added == 1)
    }

    /// Writes what may change of a role; what was remembered of its accounts is void.
    pub async fn update_role(&mut self, role: &Role) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE roles SET name = $2, description = $3, modified_by = $4, modified_at = $5
             WHERE role_id = $1",
            bind![&role.id, &role.name, &role.description, &role.modified.by, role.modified.at],
        )
        .await?;
        self.execute("DELETE FROM role_operations WHERE role_id = $1", bind![&role.id]).await?;
        self.set_role_operations(role).await?;
        self.execute(
            "UPDATE admins SET generation = generation + 1
             WHERE admin_id IN (SELECT admin_id FROM admin_permissions WHERE role_id = $1)
                OR admin_id IN (SELECT admin_id FROM api_tokens WHERE role_id = $1)",
            bind![&role.id],
        )
        .await?;
        self.touch(Kind::Role, folded(&role.id));
        Ok(())
    }

    async fn set_role_operations(&mut self, role: &Role) -> Result<(), DatabaseError> {
        for (object_type, operations) in &role.operations {
            self.execute(
                "INSERT INTO role_operations (role_id, object_type, operations) VALUES ($1, $2, $3)",
                bind![&role.id, *object_type, *operations],
            )
            .await?;
        }
        Ok(())
    }

    /// Removes a role that nobody has; false when there was none.
    pub async fn delete_role(&mut self, id: &str) -> Result<bool, DatabaseError> {
        self.touch(Kind::Role, folded(id));
        Ok(self.execute("DELETE FROM roles WHERE role_id = $1", bind![id]).await? == 1)
    }

    /// Removes a role that a site above has removed, whoever has it here: accounts lose it, and a token
    /// that is limited to it may do nothing.
    pub(crate) async fn drop_role(&mut self, id: &str) -> Result<(), DatabaseError> {
        for account in self.accounts().await? {
            let before = self.permissions(account.id).await?;
            let kept: Vec<_> =
                before.iter().filter(|one| !one.role.eq_ignore_ascii_case(id)).cloned().collect();
            if kept.len() < before.len() {
                let (by, at) = (account.modified.by.clone(), account.modified.at);
                self.set_permissions(account.id, &kept, &by, at).await?;
            }
        }
        self.delete_role(id).await.map(|_| ())
    }

    /// The scopes in which any account has the role, each once.
    pub async fn scopes_of_role(&mut self, id: &str) -> Result<Vec<String>, DatabaseError> {
        self.rows(
            "SELECT DISTINCT scope_id FROM admin_permissions WHERE role_id = $1 ORDER BY scope_id",
            bind![id],
        )
        .await?
        .iter()
        .map(|row| row.text("scope_id"))
        .collect()
    }

    /// True when an account has the role or a token is limited to it.
    pub async fn is_role_in_use(&mut self, id: &str) -> Result<bool, DatabaseError> {
        let row = self
            .row(
                "SELECT (SELECT COUNT(*) FROM admin_permissions WHERE role_id = $1)
                      + (SELECT COUNT(*) FROM api_tokens WHERE role_id = $1) AS uses",
                bind![id],
            )
            .await?;
        row.map_or(Ok(false), |row| Ok(row.i64("uses")? > 0))
    }
}
