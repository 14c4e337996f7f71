//! Roles.

use std::collections::BTreeMap;

use restock_sitedb::Tx;
use restock_sitedb::admin::{ROLE_FULL, Role};

use super::role_xml::{self, RoleText};
use super::{Giver, built_in, check_texts, id_of, taken, unknown};
use crate::OperationError;
use crate::rights::object_types::ROLE;
use crate::rights::operations::{CREATE, DELETE, MODIFY};
use crate::rights::{Securable, require, require_cover_of_role};

/// Object types of one role at most.
const TYPES_MAX: usize = 1_000;

/// What people set of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleParts {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) copied_from: String,
    pub(crate) operations: BTreeMap<u32, u32>,
}

/// The role with this ID or name.
pub(crate) async fn find(tx: &mut Tx, text: &str) -> Result<Role, OperationError> {
    match tx.role(text).await? {
        Some(role) => Ok(role),
        None => {
            tx.role_named(text).await?.ok_or_else(|| unknown("role", text).hint("restock admin role list"))
        }
    }
}

fn check(parts: &RoleParts) -> Result<(), OperationError> {
    check_texts("role", &parts.name, &parts.description)?;
    if parts.operations.len() > TYPES_MAX || parts.copied_from.chars().count() > 8 {
        let text =
            format!("a role names at most {TYPES_MAX} object types, and CopiedFromID has 8 characters");
        return Err(OperationError::invalid("RANGE", text));
    }
    Ok(())
}

/// Makes a role. Asks for Create on roles, and for everything it grants.
pub(crate) async fn create(tx: &mut Tx, giver: &Giver<'_>, parts: RoleParts) -> Result<Role, OperationError> {
    require(tx, giver.rights, Securable::Type(ROLE), CREATE).await?;
    check(&parts)?;
    require_cover_of_role(tx, giver.rights, None, &parts.operations).await?;
    let role = Role {
        id: id_of(giver.site, tx.next_role_number().await?),
        name: parts.name,
        description: parts.description,
        copied_from: parts.copied_from,
        is_built_in: false,
        created: giver.stamp(),
        modified: giver.stamp(),
        operations: parts.operations,
    };
    if !tx.insert_role(&role).await? {
        return Err(taken("role", &role.name));
    }
    Ok(role)
}

/// Writes a role. Asks for Modify on roles, and for everything it grants wherever somebody has it.
pub(crate) async fn change(
    tx: &mut Tx,
    giver: &Giver<'_>,
    role: &Role,
    parts: RoleParts,
) -> Result<Role, OperationError> {
    require(tx, giver.rights, Securable::Type(ROLE), MODIFY).await?;
    if role.is_built_in {
        return Err(built_in("role", &role.id));
    }
    check(&parts)?;
    require_cover_of_role(tx, giver.rights, Some(&role.id), &parts.operations).await?;
    if tx.role_named(&parts.name).await?.is_some_and(|other| other.id != role.id) {
        return Err(taken("role", &parts.name));
    }
    let role = Role {
        name: parts.name,
        description: parts.description,
        operations: parts.operations,
        modified: giver.stamp(),
        ..role.clone()
    };
    tx.update_role(&role).await?;
    Ok(role)
}

/// Removes a role that nobody has. Asks for Delete on roles.
pub(crate) async fn remove(tx: &mut Tx, giver: &Giver<'_>, role: &Role) -> Result<(), OperationError> {
    require(tx, giver.rights, Securable::Type(ROLE), DELETE).await?;
    if role.is_built_in {
        return Err(built_in("role", &role.id));
    }
    if tx.is_role_in_use(&role.id).await? {
        let text = format!("role {} is held by an account or limits a token", role.id);
        return Err(OperationError::refused("IN_USE", text).hint("restock admin account list"));
    }
    tx.delete_role(&role.id).await?;
    Ok(())
}

/// Makes the roles of an exported file, all or none; one of the same name is replaced when
/// `overwrites`, or else refused.
pub(crate) async fn import(
    tx: &mut Tx,
    giver: &Giver<'_>,
    xml: &str,
    overwrites: bool,
) -> Result<Vec<Role>, OperationError> {
    let texts = role_xml::parse(xml).map_err(|error| OperationError::invalid("RANGE", error.to_string()))?;
    let mut roles = Vec::with_capacity(texts.len());
    for RoleText { name, description, copied_from, operations } in texts {
        let parts = RoleParts { name, description, copied_from, operations };
        let role = match tx.role_named(&parts.name).await? {
            None => create(tx, giver, parts).await?,
            Some(role) if overwrites => change(tx, giver, &role, parts).await?,
            Some(role) => return Err(taken("role", &role.name)),
        };
        roles.push(role);
    }
    Ok(roles)
}

/// The XML of a role.
pub(crate) fn export(role: &Role) -> String {
    let copied_from = match (role.copied_from.is_empty(), role.is_built_in) {
        (false, _) => role.copied_from.clone(),
        (true, true) => role.id.clone(),
        // An importing site wants a role that it has: every site has this one.
        (true, false) => ROLE_FULL.to_owned(),
    };
    role_xml::write(&[RoleText {
        name: role.name.clone(),
        description: role.description.clone(),
        copied_from,
        operations: role.operations.clone(),
    }])
}
