//! Security scopes and the objects in them.

use super::{Membership, SCOPE_DEFAULT, Scope, Stamp, TYPE_GROUP, TYPE_PACKAGE, TYPE_POINT};
use crate::replica::Kind;
use crate::replica::kinds::form::folded;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT scope_id, name, description, is_built_in, created_by, created_at, modified_by, modified_at
             FROM scopes ",
            $rest
        )
    };
}

fn scope(row: &Row) -> Result<Scope, DatabaseError> {
    Ok(Scope {
        id: row.text("scope_id")?,
        name: row.text("name")?,
        description: row.text("description")?,
        is_built_in: row.bool("is_built_in")?,
        created: Stamp { by: row.text("created_by")?, at: row.time("created_at")? },
        modified: Stamp { by: row.text("modified_by")?, at: row.time("modified_at")? },
    })
}

impl Tx {
    /// A number that no scope of this site has had.
    pub async fn next_scope_number(&mut self) -> Result<u64, DatabaseError> {
        self.next_number("scope").await
    }

    /// All scopes by ID.
    pub async fn scopes(&mut self) -> Result<Vec<Scope>, DatabaseError> {
        self.rows(select!("ORDER BY scope_id"), bind![]).await?.iter().map(scope).collect()
    }

    /// The scope with this ID in any letter case.
    pub async fn scope(&mut self, id: &str) -> Result<Option<Scope>, DatabaseError> {
        self.row(select!("WHERE scope_id = $1"), bind![id]).await?.as_ref().map(scope).transpose()
    }

    /// The scope with this name in any letter case.
    pub async fn scope_named(&mut self, name: &str) -> Result<Option<Scope>, DatabaseError> {
        self.row(select!("WHERE name = $1"), bind![name]).await?.as_ref().map(scope).transpose()
    }

    /// Adds a scope; false when its ID or name is taken.
    pub async fn insert_scope(&mut self, scope: &Scope) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO scopes (scope_id, name, description, is_built_in, created_by, created_at, modified_by,
                     modified_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
                bind![
                    &scope.id,
                    &scope.name,
                    &scope.description,
                    scope.is_built_in,
                    &scope.created.by,
                    scope.created.at,
                    &scope.modified.by,
                    scope.modified.at
                ],
            )
            .await?;
        self.touch(Kind::Scope, folded(&scope.id));
        Ok(added == 1)
    }

    /// Writes name and description of a scope.
    pub async fn update_scope(&mut self, scope: &Scope) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE scopes SET name = $2, description = $3, modified_by = $4, modified_at = $5
             WHERE scope_id = $1",
            bind![&scope.id, &scope.name, &scope.description, &scope.modified.by, scope.modified.at],
        )
        .await?;
        self.touch(Kind::Scope, folded(&scope.id));
        Ok(())
    }

    /// Removes a scope that no object, no source root and no account is in; false when there was none.
    pub async fn delete_scope(&mut self, id: &str) -> Result<bool, DatabaseError> {
        self.touch(Kind::Scope, folded(id));
        Ok(self.execute("DELETE FROM scopes WHERE scope_id = $1", bind![id]).await? == 1)
    }

    /// Removes a scope that a site above has removed, whatever is in it here: objects and source roots
    /// lose it, and so do the permissions of accounts.
    pub(crate) async fn drop_scope(&mut self, id: &str) -> Result<(), DatabaseError> {
        for statement in [
            "DELETE FROM scope_members WHERE scope_id = $1",
            "DELETE FROM source_root_scopes WHERE scope_id = $1",
        ] {
            self.execute(statement, bind![id]).await?;
        }
        for account in self.accounts().await? {
            let before = self.permissions(account.id).await?;
            let kept: Vec<_> =
                before.iter().filter(|one| !one.scope.eq_ignore_ascii_case(id)).cloned().collect();
            if kept.len() < before.len() {
                let (by, at) = (account.modified.by.clone(), account.modified.at);
                self.set_permissions(account.id, &kept, &by, at).await?;
            }
        }
        self.delete_scope(id).await.map(|_| ())
    }

    /// True when an object, a source root or an account is in the scope.
    pub async fn is_scope_in_use(&mut self, id: &str) -> Result<bool, DatabaseError> {
        let row = self
            .row(
                "SELECT (SELECT COUNT(*) FROM scope_members WHERE scope_id = $1)
                      + (SELECT COUNT(*) FROM source_root_scopes WHERE scope_id = $1)
                      + (SELECT COUNT(*) FROM admin_permissions WHERE scope_id = $1) AS uses",
                bind![id],
            )
            .await?;
        row.map_or(Ok(false), |row| Ok(row.i64("uses")? > 0))
    }

    /// The scopes an object is in, by ID; empty for an object that does not exist.
    pub async fn scopes_of_object(
        &mut self,
        object_type: u32,
        object: &str,
    ) -> Result<Vec<String>, DatabaseError> {
        self.rows(
            "SELECT scope_id FROM scope_members WHERE object_type = $1 AND object_key = $2 ORDER BY scope_id",
            bind![object_type, object],
        )
        .await?
        .iter()
        .map(|row| row.text("scope_id"))
        .collect()
    }

    /// The objects of a scope by type and key, at most `limit`.
    pub async fn members_of_scope(
        &mut self,
        scope: &str,
        limit: u32,
    ) -> Result<Vec<Membership>, DatabaseError> {
        self.rows(
            "SELECT scope_id, object_type, object_key FROM scope_members WHERE scope_id = $1
             ORDER BY object_type, object_key LIMIT $2",
            bind![scope, limit],
        )
        .await?
        .iter()
        .map(|row| {
            Ok(Membership {
                scope: row.text("scope_id")?,
                object_type: row.u32("object_type")?,
                object: row.text("object_key")?,
            })
        })
        .collect()
    }

    /// Puts an object into a scope; false when it was there.
    pub async fn add_to_scope(&mut self, member: &Membership) -> Result<bool, DatabaseError> {
        let added = self
            .execute(
                "INSERT INTO scope_members (scope_id, object_type, object_key) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
                bind![&member.scope, member.object_type, &member.object],
            )
            .await?;
        self.touch_object(member.object_type, &member.object);
        Ok(added == 1)
    }

    /// Takes an object out of a scope; false when it was not there.
    pub async fn remove_from_scope(&mut self, member: &Membership) -> Result<bool, DatabaseError> {
        let removed = self
            .execute(
                "DELETE FROM scope_members WHERE scope_id = $1 AND object_type = $2 AND object_key = $3",
                bind![&member.scope, member.object_type, &member.object],
            )
            .await?;
        self.touch_object(member.object_type, &member.object);
        Ok(removed == 1)
    }

    /// Puts an object that has come into being into the default scope.
    pub(crate) async fn scope_by_default(
        &mut self,
        object_type: u32,
        object: &str,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO scope_members (scope_id, object_type, object_key)
             SELECT $1, $2, $3 WHERE NOT EXISTS
                 (SELECT 1 FROM scope_members WHERE object_type = $2 AND object_key = $3)",
            bind![SCOPE_DEFAULT, object_type, object],
        )
        .await?;
        self.touch_object(object_type, object);
        Ok(())
    }

    /// Notes that an object is in other scopes than before.
    fn touch_object(&mut self, object_type: u32, object: &str) {
        match object_type {
            TYPE_PACKAGE => self.touch(Kind::Package, object),
            TYPE_POINT => self.touch(Kind::Point, format!("{object}/settings")),
            TYPE_GROUP => self.touch(Kind::Group, folded(object)),
            _ => {}
        }
    }

    /// Takes an object that is gone out of all scopes.
    pub async fn remove_from_scopes(&mut self, object_type: u32, object: &str) -> Result<(), DatabaseError> {
        self.execute(
            "DELETE FROM scope_members WHERE object_type = $1 AND object_key = $2",
            bind![object_type, object],
        )
        .await?;
        self.touch_object(object_type, object);
        Ok(())
    }
}
