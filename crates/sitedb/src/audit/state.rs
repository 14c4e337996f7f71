//! The rows of one object, for the digests before and after a change.

use restock_names::{DistributionPointName, PackageId};

use crate::tx::{Value, bind};
use crate::{DatabaseError, Tx};

/// An object whose state is digested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A package with its refresh requests.
    Package(PackageId),
    /// A program, by package and name.
    Program(PackageId, String),
    /// A package at a distribution point.
    Target(PackageId, DistributionPointName),
    /// A group with its members and packages, by ID.
    Group(String),
    /// An account with its permissions, by logon name.
    Account(String),
    /// An account with its permissions, by number.
    AccountNumber(u32),
    /// A role with its operations, by ID.
    Role(String),
    /// A scope, by ID.
    Scope(String),
}

/// What is read of an account: not the hash of its password, whose change the generation shows.
macro_rules! account {
    ($condition:literal) => {
        concat!(
            "SELECT admin_id, logon_name, display_name, generation, is_disabled FROM admins WHERE ",
            $condition
        )
    };
}

impl Subject {
    fn statements(&self) -> Vec<(&'static str, Vec<Value>)> {
        match self {
            Self::Package(id) => vec![
                ("SELECT * FROM packages WHERE package_id = $1", bind![*id]),
                ("SELECT requested_seq, done_seq FROM refreshes WHERE package_id = $1", bind![*id]),
            ],
            Self::Program(id, name) => {
                let statement = "SELECT * FROM programs WHERE package_id = $1 AND program_name = $2";
                vec![(statement, bind![*id, name])]
            }
            Self::Target(id, point) => {
                let statement = "SELECT package_id, point, state, job_kind, is_redistributing, has_given_up,
                         asked_at FROM targets WHERE package_id = $1 AND point = $2";
                vec![(statement, bind![*id, point])]
            }
            Self::Group(id) => vec![
                ("SELECT * FROM dp_groups WHERE group_id = $1", bind![id]),
                ("SELECT point FROM dp_group_members WHERE group_id = $1 ORDER BY point", bind![id]),
                (
                    "SELECT package_id FROM dp_group_packages WHERE group_id = $1 ORDER BY package_id",
                    bind![id],
                ),
            ],
            Self::Account(name) => vec![
                (account!("logon_name = $1"), bind![name]),
                (
                    "SELECT role_id, scope_id FROM admin_permissions WHERE admin_id =
                         (SELECT admin_id FROM admins WHERE logon_name = $1) ORDER BY role_id, scope_id",
                    bind![name],
                ),
            ],
            Self::AccountNumber(id) => vec![
                (account!("admin_id = $1"), bind![*id]),
                (
                    "SELECT role_id, scope_id FROM admin_permissions WHERE admin_id = $1
                     ORDER BY role_id, scope_id",
                    bind![*id],
                ),
            ],
            Self::Role(id) => vec![
                ("SELECT * FROM roles WHERE role_id = $1", bind![id]),
                (
                    "SELECT object_type, operations FROM role_operations WHERE role_id = $1
                     ORDER BY object_type",
                    bind![id],
                ),
            ],
            Self::Scope(id) => vec![("SELECT * FROM scopes WHERE scope_id = $1", bind![id])],
        }
    }
}

impl Tx {
    /// The rows of an object as bytes: equal when they are equal, and none when there is no such object.
    ///
    /// Each value is its column's name, a zero byte, a letter for its type, its text, a zero byte;
    /// each row is ended by a line break.
    pub async fn state_of(&mut self, subject: &Subject) -> Result<Option<Vec<u8>>, DatabaseError> {
        let mut bytes = Vec::new();
        for (n, (statement, values)) in subject.statements().into_iter().enumerate() {
            let rows = self.rows(statement, values).await?;
            if n == 0 && rows.is_empty() {
                return Ok(None);
            }
            for row in rows {
                row.write_all(&mut bytes)?;
                bytes.push(b'\n');
            }
        }
        Ok(Some(bytes))
    }
}
