//! Objects of kind `role`: a role that people made, from a site above.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::form;
use super::scope::{built_in, stamp, stamp_of};
use super::target::bad_key;
use crate::admin::Role;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::{DatabaseError, Tx, Why};

fn body(role: &Role) -> Value {
    let operations: BTreeMap<String, u32> =
        role.operations.iter().map(|(object_type, bits)| (object_type.to_string(), *bits)).collect();
    json!({
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "copied_from": role.copied_from,
        "created": stamp(&role.created),
        "modified": stamp(&role.modified),
        "operations": operations,
    })
}

fn role(object: &Object) -> Result<Role, Why> {
    let fields = object.fields();
    let bad = || Why::new("OBJECT_FORM", "the field operations of the body is not valid");
    let list = fields.get("operations").and_then(Value::as_object).ok_or_else(bad)?;
    if list.len() > form::ITEMS_MAX {
        return Err(bad());
    }
    let operations: Option<BTreeMap<u32, u32>> = list
        .iter()
        .map(|(object_type, bits)| {
            let bits = bits.as_u64().and_then(|bits| u32::try_from(bits).ok())?;
            Some((object_type.parse().ok()?, bits))
        })
        .collect();
    let role = Role {
        id: form::name(fields, "id")?,
        name: form::name(fields, "name")?,
        description: form::text(fields, "description")?,
        copied_from: form::within(fields.text("copied_from")?, "copied_from", form::NAME_BYTES_MAX)?,
        is_built_in: false,
        created: stamp_of(fields, "created")?,
        modified: stamp_of(fields, "modified")?,
        operations: operations.ok_or_else(bad)?,
    };
    if form::folded(&role.id) == object.key { Ok(role) } else { Err(bad_key()) }
}

/// What the rows say about it; what comes with the program is every site's own.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    Ok(match tx.role(key).await? {
        None => Told::Gone,
        Some(role) if role.is_built_in => Told::Others,
        Some(role) => Told::Body(body(&role)),
    })
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    let roles = tx.roles().await?.into_iter().filter(|role| !role.is_built_in);
    Ok(roles.map(|role| form::folded(&role.id)).collect())
}

/// Who may write it: every site above.
pub(crate) async fn writer(_tx: &mut Tx, _object: &Object) -> Result<Writer, DatabaseError> {
    Ok(Writer::Any)
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    _arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let known = tx.role(&object.key).await?;
    if known.as_ref().is_some_and(|known| known.is_built_in) {
        return Ok(Taken::Refused(built_in("role", &object.key)));
    }
    if object.body.is_none() {
        if let Some(known) = known {
            tx.drop_role(&known.id).await?;
        }
        return Ok(Taken::Done);
    }
    let role = match role(object) {
        Ok(role) => role,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    if let Some(other) = tx.role_named(&role.name).await?
        && form::folded(&other.id) != object.key
    {
        if other.is_built_in {
            return Ok(Taken::Refused(built_in("role", &other.name)));
        }
        let name = format!("{} ({})", other.name, other.id);
        tx.update_role(&Role { name, ..other }).await?;
    }
    if known.is_some() {
        tx.update_role(&role).await?;
    } else {
        tx.insert_role(&role).await?;
    }
    Ok(Taken::Done)
}
