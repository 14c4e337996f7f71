//! Giving rights: nobody gives a role, scope or token wider than their own.

use std::collections::BTreeMap;

use restock_sitedb::admin::{Membership, Permission, SCOPE_ALL, SCOPE_DEFAULT};
use restock_sitedb::{DatabaseError, Tx};

use super::held::Operations;
use super::{Rights, Securable, object_types, operations};
use crate::OperationError;

/// Why something is not given.
#[derive(Debug, thiserror::Error)]
pub enum TooWide {
    /// The giver lacks some of it.
    #[error("{what} grants {}, which you do not hold{place}", lacking(*object_type, *missing))]
    Lacks {
        /// What would be given.
        what: String,
        /// On objects of this type.
        object_type: u32,
        /// These bits.
        missing: u32,
        /// `" in scope X"`, or empty.
        place: String,
    },
    /// The role or scope is not there.
    #[error("{0} does not exist")]
    Unknown(String),
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn lacking(object_type: u32, missing: u32) -> String {
    let on = object_types::name_of(object_type).map_or_else(|| format!("type {object_type}"), str::to_owned);
    format!("{} on {on}", operations::names(missing))
}

impl From<TooWide> for OperationError {
    fn from(error: TooWide) -> Self {
        match error {
            TooWide::Lacks { .. } => Self::refused("GRANT", error.to_string()),
            TooWide::Unknown(_) => Self::not_found("NOT_FOUND", error.to_string()),
            TooWide::Database(error) => error.into(),
        }
    }
}

/// The first object type on which `given` has bits that `held` has not.
fn first_excess(given: &Operations, held: impl Fn(u32) -> u32) -> Option<(u32, u32)> {
    let excess = |object_type: u32, bits: u32| match bits & !held(object_type) {
        0 => None,
        missing => Some((object_type, missing)),
    };
    match given {
        Operations::Of(by_type) => by_type.iter().find_map(|(object_type, bits)| excess(*object_type, *bits)),
        // Only who holds all bits of a type that nobody lists holds all bits of every type.
        Operations::Every => excess(u32::MAX, u32::MAX),
    }
}

/// Asks whether `permissions` lie within the giver's own rights.
pub async fn require_cover(tx: &mut Tx, rights: &Rights, permissions: &[Permission]) -> Result<(), TooWide> {
    let mut roles: BTreeMap<String, Operations> = BTreeMap::new();
    for Permission { role, scope } in permissions {
        let given = match roles.get(&role.to_ascii_uppercase()) {
            Some(given) => given.clone(),
            None => {
                let row = tx.role(role).await?.ok_or_else(|| TooWide::Unknown(format!("role {role}")))?;
                let given = Operations::of_role(&row.id, row.operations);
                roles.insert(role.to_ascii_uppercase(), given.clone());
                given
            }
        };
        if tx.scope(scope).await?.is_none() {
            return Err(TooWide::Unknown(format!("scope {scope}")));
        }
        check_within(rights, &format!("role {role}"), &given, scope)?;
    }
    Ok(())
}

fn check_within(rights: &Rights, what: &str, given: &Operations, scope: &str) -> Result<(), TooWide> {
    // A role on what is in no scope holds everywhere, so it is compared with what is held anywhere.
    let held = |object_type| match object_types::is_scoped(object_type) {
        true => rights.within(object_type, scope),
        false if object_types::name_of(object_type).is_some() => rights.on_type(object_type),
        // Of unknown types it is unknown whether they have scopes: the narrow reading is safe.
        false => rights.within(object_type, scope),
    };
    match first_excess(given, held) {
        None => Ok(()),
        Some((object_type, missing)) => {
            let place = if scope.eq_ignore_ascii_case(SCOPE_ALL) {
                " on every object".to_owned()
            } else {
                format!(" in scope {scope}")
            };
            Err(TooWide::Lacks { what: what.to_owned(), object_type, missing, place })
        }
    }
}

/// Asks whether everything an account holds lies within the giver's own rights: who sets another's
/// password or makes a token for them could act as them.
pub async fn require_cover_of_account(tx: &mut Tx, rights: &Rights, account: u32) -> Result<(), TooWide> {
    let permissions = tx.permissions(account).await?;
    require_cover(tx, rights, &permissions).await
}

/// Asks whether a role may have `given`: within what the giver holds anywhere, and in every scope
/// in which somebody has the role already.
pub async fn require_cover_of_role(
    tx: &mut Tx,
    rights: &Rights,
    role: Option<&str>,
    given: &BTreeMap<u32, u32>,
) -> Result<(), TooWide> {
    let given = Operations::Of(given.clone());
    let what = role.map_or_else(|| "the role".to_owned(), |role| format!("role {role}"));
    if let Some((object_type, missing)) = first_excess(&given, |object_type| rights.on_type(object_type)) {
        return Err(TooWide::Lacks { what, object_type, missing, place: String::new() });
    }
    if let Some(role) = role {
        for scope in tx.scopes_of_role(role).await? {
            check_within(rights, &what, &given, &scope)?;
        }
    }
    Ok(())
}

/// Puts an object that has just been made into the scopes of who made it.
///
/// The database puts each object into Default when it is made; this moves it when its maker may not
/// create such objects there.
pub async fn settle(tx: &mut Tx, rights: &Rights, object: &Securable) -> Result<(), DatabaseError> {
    let (object_type, Some(key)) = (object.object_type(), object.key()) else { return Ok(()) };
    let scopes = rights.home_scopes(object_type);
    let member = |scope: &str| Membership { scope: scope.to_owned(), object_type, object: key.to_owned() };
    for scope in &scopes {
        tx.add_to_scope(&member(scope)).await?;
    }
    if !scopes.iter().any(|scope| scope.eq_ignore_ascii_case(SCOPE_DEFAULT)) {
        tx.remove_from_scope(&member(SCOPE_DEFAULT)).await?;
    }
    Ok(())
}
