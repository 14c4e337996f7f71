//! `SMS_SecuredCategory`: create, Put and delete of security scopes.

use restock_cim::Value;
use restock_sitedb::Tx;
use restock_sitedb::admin::Scope;

use super::super::sms_role::methods::giver;
use crate::Refusal;
use crate::admin::{scopes, unknown};
use crate::object::{ObjectContext, PutContext, PutForm, ResolvedKeys};
use crate::rights::object_types::SCOPE;
use crate::rights::operations::READ;

/// Creates a scope, or changes one.
pub(crate) async fn put(put: &PutContext, tx: &mut Tx) -> Result<ResolvedKeys, Refusal> {
    let giver = giver(&put.object);
    let (name, description) = (put.text("CategoryName"), put.text("CategoryDescription"));
    let scope = if put.form == PutForm::Create {
        scopes::create(tx, &giver, name.unwrap_or_default(), description.unwrap_or_default()).await?
    } else {
        let before = visible(&put.object, tx).await?;
        put.check_partial()?;
        let name = name.unwrap_or_else(|| before.name.clone());
        let description = description.unwrap_or_else(|| before.description.clone());
        scopes::change(tx, &giver, &before, name, description).await?
    };
    Ok(ResolvedKeys::new(&put.object.class, vec![("CategoryID", Value::String(scope.id))]))
}

/// Deletes a scope that nothing and nobody is in.
pub(crate) async fn delete(object: &ObjectContext, tx: &mut Tx) -> Result<(), Refusal> {
    let scope = visible(object, tx).await?;
    Ok(scopes::remove(tx, &giver(object), &scope).await?)
}

/// The scope the keys name, if the caller may read it: an account always reads its own scopes.
async fn visible(object: &ObjectContext, tx: &mut Tx) -> Result<Scope, Refusal> {
    let id = object.key("CategoryID");
    let hidden = || Refusal::from(unknown("scope", id));
    let scope = tx.scope(id).await?.ok_or_else(hidden)?;
    let rights = &object.caller.rights;
    if !rights.has_scope(&scope.id) && !rights.may_type(SCOPE, READ) {
        return Err(hidden());
    }
    Ok(scope)
}
