//! Accounts, roles, scopes, and what accounts sign in with: who may do what with which objects.
//!
//! An [`Account`] has [`Permission`]s: a [`Role`] within a [`Scope`]. A role is a bit field of
//! operations for each object type; a scope is a set of objects. Reading effective grants is
//! [`crate::Tx::grants`]; what they mean is decided by `restock-provider`.
//!
//! What it does not do: it checks no password, hashes nothing and judges no right.
//! Source: docs/formats/database.md, docs/rights.md.

mod account;
mod certificate;
mod ntlm;
mod principal;
mod role;
mod scope;
mod token;

use std::collections::BTreeMap;
use std::fmt;

use restock_names::{Digest, Timestamp};

/// The scope that holds every object without listing it.
pub const SCOPE_ALL: &str = "SMS00ALL";
/// The scope that objects are in when nothing else is said.
pub const SCOPE_DEFAULT: &str = "SMS00UNA";
/// The role whose bits are all set for every object type, also for types this release does not know.
pub const ROLE_FULL: &str = "SMS0001R";

/// Object type of packages in `scope_members`; the key is the package ID.
pub const TYPE_PACKAGE: u32 = 2;
/// Object type of sites; the key is the site code.
pub const TYPE_SITE: u32 = 6;
/// Object type of distribution points; the key is the name.
pub const TYPE_POINT: u32 = 42;
/// Object type of distribution point groups; the key is the group ID.
pub const TYPE_GROUP: u32 = 43;

/// Who made or changed a row, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The account's logon name; empty for what came with the program.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// An argon2id hash in PHC form. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: u32,
    /// The name people sign in with; compared without letter case.
    pub logon_name: String,
    /// The name people see.
    pub display_name: String,
    /// None: it signs in with tokens only.
    pub password: Option<PasswordHash>,
    /// Raised by every change that makes what was remembered of it void.
    pub generation: u64,
    /// It may not sign in.
    pub is_disabled: bool,
    /// Who made it.
    pub created: Stamp,
    /// Who changed it last.
    pub modified: Stamp,
}

/// A role an account has within a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// The role's ID.
    pub role: String,
    /// The scope's ID.
    pub scope: String,
}

/// What a role within a scope grants on one object type; no type for a role without operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The role's ID.
    pub role: String,
    /// The scope's ID.
    pub scope: String,
    /// Object type and bit field of operations.
    pub operations: Option<(u32, u32)>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its ID, such as `SMS0001R` or `XYZ00001`.
    pub id: String,
    /// Its name; no two roles have the same.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The role it began as.
    pub copied_from: String,
    /// It came with the program and cannot be changed.
    pub is_built_in: bool,
    /// Who made it.
    pub created: Stamp,
    /// Who changed it last.
    pub modified: Stamp,
    /// Bit fields of operations by object type.
    pub operations: BTreeMap<u32, u32>,
}

/// A security scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its ID, such as `SMS00UNA` or `XYZ00001`.
    pub id: String,
    /// Its name; no two scopes have the same.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// It came with the program and cannot be changed.
    pub is_built_in: bool,
    /// Who made it.
    pub created: Stamp,
    /// Who changed it last.
    pub modified: Stamp,
}

/// An object in a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Membership {
    /// The scope's ID.
    pub scope: String,
    /// [`TYPE_PACKAGE`], [`TYPE_POINT`], [`TYPE_GROUP`] or [`TYPE_SITE`].
    pub object_type: u32,
    /// What names the object among those of its type.
    pub object: String,
}

/// A token that stands for an account. The secret itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// SHA-256 of the token's text.
    pub hash: Digest,
    /// The account.
    pub account: u32,
    /// What it is called; unique for the account.
    pub name: String,
    /// A role that limits it further.
    pub role: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// It is refused from then on.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// It was taken back then.
    pub revoked_at: Option<Timestamp>,
}

/// An account's NTLM secret, sealed. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct NtlmSecret {
    /// The account.
    pub account: u32,
    /// What `restock-provider` sealed; docs/formats/sealed-secret.md.
    pub sealed: Vec<u8>,
    /// It was asked for although the account may do everything.
    pub is_forced: bool,
    /// Who asked for it.
    pub created: Stamp,
}

impl fmt::Debug for NtlmSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NtlmSecret").field("account", &self.account).finish_non_exhaustive()
    }
}

/// A certificate that signs an account in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminCertificate {
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// The account.
    pub account: u32,
    /// What it is called; unique for the account.
    pub name: String,
    /// Whom it names.
    pub subject: String,
    /// It is refused before.
    pub not_before: Timestamp,
    /// It is refused afterwards.
    pub not_after: Timestamp,
    /// Who registered it.
    pub created: Stamp,
}

/// A principal of Kerberos that an account signs in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminPrincipal {
    /// `NAME@REALM`; letter case counts.
    pub principal: String,
    /// The account.
    pub account: u32,
    /// Who registered it.
    pub created: Stamp,
}
