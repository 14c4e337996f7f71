//! Asking for operations on one object.

use std::fmt;

use restock_names::{DistributionPointName, Escaped, PackageId, SiteCode};
use restock_sitedb::{DatabaseError, Tx};

use super::object_types::{self, GROUP, PACKAGE, POINT, SITE};
use super::{Rights, operations};
use crate::OperationError;

/// What operations are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Securable {
    /// A package.
    Package(PackageId),
    /// A distribution point.
    Point(DistributionPointName),
    /// A distribution point group, by its ID.
    Group(String),
    /// A site.
    Site(SiteCode),
    /// Objects of a type in general: to create one, or what is not a member of scopes.
    Type(u32),
}

impl Securable {
    /// Its object type.
    pub fn object_type(&self) -> u32 {
        match self {
            Self::Package(_) => PACKAGE,
            Self::Point(_) => POINT,
            Self::Group(_) => GROUP,
            Self::Site(_) => SITE,
            Self::Type(number) => *number,
        }
    }

    /// What names it in memberships of scopes; `None` for a type.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Package(id) => Some(id.as_str()),
            Self::Point(name) => Some(name.as_str()),
            Self::Group(id) => Some(id),
            Self::Site(code) => Some(code.as_str()),
            Self::Type(_) => None,
        }
    }

    /// The object that memberships of scopes call `key`; `None` when no object can be called so.
    pub fn of_member(object_type: u32, key: &str) -> Option<Self> {
        match object_type {
            PACKAGE => key.parse().ok().map(Self::Package),
            POINT => key.parse().ok().map(Self::Point),
            GROUP => Some(Self::Group(key.to_owned())),
            SITE => key.parse().ok().map(Self::Site),
            _ => None,
        }
    }
}

impl fmt::Display for Securable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(id) => write!(f, "package {id}"),
            Self::Point(name) => write!(f, "distribution point {name}"),
            Self::Group(id) => write!(f, "distribution point group {}", Escaped(id.as_bytes())),
            Self::Site(code) => write!(f, "site {code}"),
            Self::Type(number) => match object_types::name_of(*number) {
                Some(name) => write!(f, "{name}"),
                None => write!(f, "objects of type {number}"),
            },
        }
    }
}

/// Why an operation is not allowed.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The object is unknown, or may not be read: the two are not told apart.
    #[error("{0} does not exist")]
    Hidden(Securable),
    /// The object may be read, and a right on it is missing.
    #[error("the right {} on {on} is missing", operations::names(*missing))]
    Forbidden {
        /// The object or type.
        on: Securable,
        /// The bits that are missing.
        missing: u32,
    },
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<Denied> for OperationError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Hidden(Securable::Package(id)) => Self::unknown_package(id),
            Denied::Hidden(Securable::Point(name)) => Self::unknown_point(&name),
            Denied::Hidden(_) => Self::not_found("NOT_FOUND", denied.to_string()),
            Denied::Forbidden { .. } => Self::refused("SCOPE", denied.to_string()),
            Denied::Database(error) => error.into(),
        }
    }
}

/// Asks for `wanted` operations on `object`.
///
/// Errors: [`Denied::Hidden`] when the caller may not read it, whether it exists or not;
/// [`Denied::Forbidden`] when it may be read. Whether an object exists is not asked of a caller who
/// holds `wanted` on every object of the type.
pub async fn require(tx: &mut Tx, rights: &Rights, object: Securable, wanted: u32) -> Result<(), Denied> {
    let object_type = object.object_type();
    let Some(key) = object.key() else {
        let held = rights.on_type(object_type);
        return match wanted & !held {
            0 => Ok(()),
            missing => Err(Denied::Forbidden { on: object, missing }),
        };
    };
    if rights.may_all(object_type, wanted) {
        return Ok(());
    }
    let scopes = tx.scopes_of_object(object_type, key).await?;
    // An object of no scope is unknown here, unless rights on every object say otherwise.
    let held = rights.on_object(object_type, &scopes);
    if held & operations::READ == 0 || scopes.is_empty() && !exists(tx, &object).await? {
        return Err(Denied::Hidden(object));
    }
    match wanted & !held {
        0 => Ok(()),
        missing => Err(Denied::Forbidden { on: object, missing }),
    }
}

/// Whether an object that is in no scope exists.
async fn exists(tx: &mut Tx, object: &Securable) -> Result<bool, DatabaseError> {
    Ok(match object {
        Securable::Package(id) => tx.package(*id).await?.is_some_and(|package| !package.is_deleting),
        Securable::Point(name) => tx.point(name).await?.is_some(),
        Securable::Site(code) => tx.site_row(*code).await?.is_some(),
        // A group is put into a scope when it is made, and is never taken out of its last one.
        Securable::Group(_) | Securable::Type(_) => false,
    })
}
