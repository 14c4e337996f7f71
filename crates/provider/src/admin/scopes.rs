//! Security scopes and what is in them.

use restock_sitedb::Tx;
use restock_sitedb::admin::{Membership, SCOPE_ALL, Scope};

use super::{Giver, built_in, check_texts, id_of, taken, unknown};
use crate::OperationError;
use crate::rights::object_types::{self, GROUP, PACKAGE, POINT, SCOPE, SITE};
use crate::rights::operations::{CREATE, DELETE, MODIFY, READ, SET_SCOPE};
use crate::rights::{Securable, require};

/// Memberships changed by one call at most.
const MEMBERSHIPS_MAX: usize = 10_000;

/// The scope with this ID or name.
pub(crate) async fn find(tx: &mut Tx, text: &str) -> Result<Scope, OperationError> {
    match tx.scope(text).await? {
        Some(scope) => Ok(scope),
        None => {
            tx.scope_named(text).await?.ok_or_else(|| unknown("scope", text).hint("restock admin scope list"))
        }
    }
}

/// Makes a scope. Asks for Create on scopes.
pub(crate) async fn create(
    tx: &mut Tx,
    giver: &Giver<'_>,
    name: String,
    description: String,
) -> Result<Scope, OperationError> {
    require(tx, giver.rights, Securable::Type(SCOPE), CREATE).await?;
    check_texts("scope", &name, &description)?;
    let scope = Scope {
        id: id_of(giver.site, tx.next_scope_number().await?),
        name,
        description,
        is_built_in: false,
        created: giver.stamp(),
        modified: giver.stamp(),
    };
    if !tx.insert_scope(&scope).await? {
        return Err(taken("scope", &scope.name));
    }
    Ok(scope)
}

/// Writes name and description. Asks for Modify on scopes.
pub(crate) async fn change(
    tx: &mut Tx,
    giver: &Giver<'_>,
    scope: &Scope,
    name: String,
    description: String,
) -> Result<Scope, OperationError> {
    require(tx, giver.rights, Securable::Type(SCOPE), MODIFY).await?;
    if scope.is_built_in {
        return Err(built_in("scope", &scope.id));
    }
    check_texts("scope", &name, &description)?;
    if tx.scope_named(&name).await?.is_some_and(|other| other.id != scope.id) {
        return Err(taken("scope", &name));
    }
    let scope = Scope { name, description, modified: giver.stamp(), ..scope.clone() };
    tx.update_scope(&scope).await?;
    Ok(scope)
}

/// Removes a scope that nothing and nobody is in. Asks for Delete on scopes.
pub(crate) async fn remove(tx: &mut Tx, giver: &Giver<'_>, scope: &Scope) -> Result<(), OperationError> {
    require(tx, giver.rights, Securable::Type(SCOPE), DELETE).await?;
    if scope.is_built_in {
        return Err(built_in("scope", &scope.id));
    }
    if tx.is_scope_in_use(&scope.id).await? {
        let text = format!("an object, a source root or an account is in scope {}", scope.id);
        let hint = format!("restock admin scope members {}, or restock source list", scope.id);
        return Err(OperationError::refused("IN_USE", text).hint(hint));
    }
    tx.delete_scope(&scope.id).await?;
    Ok(())
}

/// Whether memberships are added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Remove,
}

/// Puts objects into scopes or takes them out, all or nothing.
///
/// Asks for Set Security Scope on each object and for a role within each scope. Adding what is there
/// and removing what is not changes nothing. An object stays in at least one scope.
pub(crate) async fn change_members(
    tx: &mut Tx,
    giver: &Giver<'_>,
    change: Change,
    members: &[Membership],
) -> Result<(), OperationError> {
    if members.len() > MEMBERSHIPS_MAX {
        let text = format!("{} memberships were named, at most {MEMBERSHIPS_MAX} are allowed", members.len());
        return Err(OperationError::invalid("RANGE", text));
    }
    let mut resolved = Vec::with_capacity(members.len());
    for member in members {
        let object = require_scopable(tx, giver, member).await?;
        let scope = tx.scope(&member.scope).await?;
        let hidden = || unknown("scope", &member.scope);
        let scope = scope.ok_or_else(hidden)?;
        if scope.id.eq_ignore_ascii_case(SCOPE_ALL) {
            let text = format!("scope {SCOPE_ALL} holds every object and has no members of its own");
            return Err(OperationError::refused("BUILT_IN", text));
        }
        if !giver.rights.is_in_scope(&scope.id) {
            // Who may not read scopes is not told which there are.
            if !giver.rights.may_type(SCOPE, READ) {
                return Err(hidden());
            }
            let text = format!("you have no role within scope {}", scope.id);
            return Err(OperationError::refused("SCOPE", text));
        }
        let object_type = object.object_type();
        let key = object.key().unwrap_or(&member.object).to_owned();
        resolved.push(Membership { scope: scope.id, object_type, object: key });
    }
    for member in &resolved {
        match change {
            Change::Add => tx.add_to_scope(member).await?,
            Change::Remove => tx.remove_from_scope(member).await?,
        };
    }
    if change == Change::Remove {
        for member in &resolved {
            if tx.scopes_of_object(member.object_type, &member.object).await?.is_empty() {
                let text = format!(
                    "{} {} would be in no scope: it stays in at least one",
                    object_types::name_of(member.object_type).unwrap_or("object"),
                    member.object
                );
                return Err(OperationError::refused("INVALID_OPERATION", text));
            }
        }
    }
    Ok(())
}

/// The object of a membership, if it exists and its scopes may be set.
async fn require_scopable(
    tx: &mut Tx,
    giver: &Giver<'_>,
    member: &Membership,
) -> Result<Securable, OperationError> {
    if !object_types::is_scoped(member.object_type) {
        let text = format!(
            "objects of type {} are in no scope: {PACKAGE} packages, {SITE} sites, {POINT} distribution points and {GROUP} groups are",
            member.object_type
        );
        return Err(OperationError::invalid("RANGE", text));
    }
    let what = object_types::name_of(member.object_type).unwrap_or("object");
    let missing = || unknown(what, &member.object);
    let object = Securable::of_member(member.object_type, &member.object).ok_or_else(missing)?;
    require(tx, giver.rights, object.clone(), READ | SET_SCOPE).await?;
    let exists = match &object {
        Securable::Package(id) => tx.package(*id).await?.is_some_and(|package| !package.is_deleting),
        Securable::Point(name) => tx.point(name).await?.is_some(),
        Securable::Site(code) => tx.site_row(*code).await?.is_some(),
        Securable::Group(id) => tx.group(id).await?.is_some(),
        Securable::Type(_) => false,
    };
    if exists { Ok(object) } else { Err(missing()) }
}
