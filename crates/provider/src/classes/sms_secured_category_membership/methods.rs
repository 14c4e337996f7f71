//! `SMS_SecuredCategoryMembership`: which objects are in which scopes.

use restock_cim::Value;
use restock_sitedb::Tx;
use restock_sitedb::admin::Membership;

use super::super::sms_role::methods::giver;
use crate::Refusal;
use crate::admin::scopes::{self, Change};
use crate::object::{MethodAnswer, MethodContext};

/// Puts objects into scopes, slot by slot, all or nothing.
pub(crate) async fn add_memberships(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    change(call, tx, Change::Add).await
}

/// Takes objects out of scopes, slot by slot, all or nothing.
pub(crate) async fn remove_memberships(call: &MethodContext, tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    change(call, tx, Change::Remove).await
}

async fn change(call: &MethodContext, tx: &mut Tx, change: Change) -> Result<MethodAnswer, Refusal> {
    let (objects, scope_ids) = (call.texts("ObjectIDs")?, call.texts("CategoryIDs")?);
    let types = match call.argument("ObjectTypeIDs") {
        Value::Array(items) => items.iter().map(number).collect::<Option<Vec<u32>>>(),
        _ => None,
    };
    let types = types.ok_or_else(|| {
        Refusal::provider("REQUIRED", format!("{}: parameter ObjectTypeIDs must have a value", call.method))
    })?;
    if objects.len() != types.len() || objects.len() != scope_ids.len() {
        let text = format!(
            "{}: ObjectIDs has {} elements, ObjectTypeIDs {} and CategoryIDs {}: they stand slot by slot",
            call.method,
            objects.len(),
            types.len(),
            scope_ids.len()
        );
        return Err(Refusal::provider("PAIRS", text));
    }
    let slots = objects.into_iter().zip(types).zip(scope_ids);
    let members: Vec<Membership> = slots
        .map(|((object, object_type), scope)| Membership {
            scope: scope.to_owned(),
            object_type,
            object: object.to_owned(),
        })
        .collect();
    scopes::change_members(tx, &giver(&call.object), change, &members).await?;
    Ok(MethodAnswer::done())
}

fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Unsigned(number) => u32::try_from(*number).ok(),
        Value::Signed(number) => u32::try_from(*number).ok(),
        _ => None,
    }
}
