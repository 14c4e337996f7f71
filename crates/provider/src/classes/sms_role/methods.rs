//! `SMS_Role`: create, Put, delete, ExportRole and ImportRole.

use std::collections::BTreeMap;

use restock_cim::Value;
use restock_sitedb::Tx;
use restock_sitedb::admin::Role;

use crate::Refusal;
use crate::admin::roles::{self, RoleParts};
use crate::admin::{Giver, unknown};
use crate::object::{MethodAnswer, MethodContext, ObjectContext, PutContext, PutForm, ResolvedKeys};
use crate::rights::object_types::ROLE;
use crate::rights::operations::READ;

/// Creates a role, or changes one.
pub(crate) async fn put(put: &PutContext, tx: &mut Tx) -> Result<ResolvedKeys, Refusal> {
    let giver = giver(&put.object);
    let role = if put.form == PutForm::Create {
        let copied_from = put.text("CopiedFromID").unwrap_or_default();
        let operations = match operations(put)? {
            Some(operations) => operations,
            // A copy without operations of its own has those of the role it was made from.
            None if !copied_from.is_empty() => visible(&put.object, tx, &copied_from).await?.operations,
            None => BTreeMap::new(),
        };
        let parts = RoleParts {
            name: put.text("RoleName").unwrap_or_default(),
            description: put.text("RoleDescription").unwrap_or_default(),
            copied_from,
            operations,
        };
        roles::create(tx, &giver, parts).await?
    } else {
        let before = visible(&put.object, tx, put.object.key("RoleID")).await?;
        put.check_partial()?;
        let parts = RoleParts {
            name: put.text("RoleName").unwrap_or_else(|| before.name.clone()),
            description: put.text("RoleDescription").unwrap_or_else(|| before.description.clone()),
            copied_from: before.copied_from.clone(),
            operations: operations(put)?.unwrap_or_else(|| before.operations.clone()),
        };
        roles::change(tx, &giver, &before, parts).await?
    };
    Ok(ResolvedKeys::new(&put.object.class, vec![("RoleID", Value::String(role.id))]))
}

/// Deletes a role that nobody has.
pub(crate) async fn delete(object: &ObjectContext, tx: &mut Tx) -> Result<(), Refusal> {
    let role = visible(object, tx, object.key("RoleID")).await?;
    Ok(roles::remove(tx, &giver(object), &role).await?)
}

/// The role as the XML that consoles export.
pub(crate) async fn export_role(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let role = visible(&call.object, tx, call.text("RoleID")?).await?;
    Ok(MethodAnswer::with(vec![("ExportedXML", Value::String(roles::export(&role)))]))
}

/// Makes the roles of an exported file, all or none.
pub(crate) async fn import_role(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let overwrites = call.flag_or("OverwrittenExisted", true);
    roles::import(tx, &giver(&call.object), call.text("RolesXml")?, overwrites).await?;
    Ok(MethodAnswer::with(vec![("ErrorStr", Value::String(String::new()))]))
}

/// Who acts, as the functions of `admin` want it.
pub(crate) fn giver(object: &ObjectContext) -> Giver<'_> {
    Giver {
        rights: &object.caller.rights,
        by: &object.caller.account,
        now: object.now(),
        site: object.site(),
    }
}

/// The role with this ID, if the caller may read it: an account always reads its own roles.
async fn visible(object: &ObjectContext, tx: &mut Tx, id: &str) -> Result<Role, Refusal> {
    let hidden = || Refusal::from(unknown("role", id));
    let role = tx.role(id).await?.ok_or_else(hidden)?;
    let is_own = object.caller.rights.has_role(&role.id);
    if !is_own && !object.caller.rights.may_type(ROLE, READ) {
        return Err(hidden());
    }
    Ok(role)
}

/// The operations that were sent; `None`: they stay.
fn operations(put: &PutContext) -> Result<Option<BTreeMap<u32, u32>>, Refusal> {
    let items = match put.value("Operations") {
        None => return Ok(None),
        Some(Value::Array(items)) => items.as_slice(),
        Some(_) => &[],
    };
    let mut operations = BTreeMap::new();
    for item in items {
        let number = |name: &str| match item {
            Value::Object(instance) => match instance.get(name) {
                Some(Value::Unsigned(number)) => u32::try_from(*number).ok(),
                _ => None,
            },
            _ => None,
        };
        let (Some(object_type), Some(bits)) = (number("ObjectTypeID"), number("GrantedOperations")) else {
            let text = "property SMS_Role.Operations: each element has ObjectTypeID and GrantedOperations";
            return Err(Refusal::provider("REQUIRED", text));
        };
        *operations.entry(object_type).or_insert(0) |= bits;
    }
    Ok(Some(operations))
}
