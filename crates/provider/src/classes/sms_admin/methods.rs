//! `SMS_Admin`: create, Put and delete.
//!
//! An account that is made here has no password: it signs in with tokens, or gets one by
//! `restock admin account passwd`. No class shows or takes a password.

use restock_cim::{Instance, Value};
use restock_sitedb::Tx;
use restock_sitedb::admin::{Account, Permission};

use super::super::sms_role::methods::giver;
use crate::account::{AccountName, AccountNameError};
use crate::admin::accounts::{self, NewAccount};
use crate::object::{ObjectContext, PutContext, PutForm, ResolvedKeys};
use crate::rights::object_types::ADMIN;
use crate::rights::operations::READ;
use crate::{OperationError, Refusal};

/// `SMS_APermission.CategoryTypeID` of security scopes.
const CATEGORY_SCOPE: u64 = 29;
/// Of collections, of which this site has none: what is granted on them grants nothing.
const CATEGORY_COLLECTION: u64 = 1;

/// Creates an account, or changes one.
pub(crate) async fn put(put: &PutContext, tx: &mut Tx) -> Result<ResolvedKeys, Refusal> {
    let giver = giver(&put.object);
    let account = if put.form == PutForm::Create {
        let name = put.text("LogonName").unwrap_or_default();
        let new = NewAccount {
            name: logon_name(&name)?,
            display_name: put.text("DisplayName").unwrap_or_default(),
            password: None,
            permissions: permissions(put)?.unwrap_or_default(),
        };
        accounts::create(tx, &giver, new).await?
    } else {
        let account = visible(&put.object, tx).await?;
        put.check_partial()?;
        if put.text("LogonName").is_some_and(|name| !name.eq_ignore_ascii_case(&account.logon_name)) {
            let text = "property SMS_Admin.LogonName: an account keeps the name it was made with";
            return Err(Refusal::provider("INVALID_OPERATION", text));
        }
        let display_name = put.text("DisplayName").unwrap_or_else(|| account.display_name.clone());
        let account = Account { display_name, ..account };
        accounts::change(tx, &giver, &account).await?;
        if let Some(permissions) = permissions(put)? {
            accounts::set_permissions(tx, &giver, &account, &permissions).await?;
        }
        account
    };
    Ok(ResolvedKeys::new(&put.object.class, vec![("AdminID", Value::Unsigned(account.id.into()))]))
}

/// Deletes an account with its permissions and tokens.
pub(crate) async fn delete(object: &ObjectContext, tx: &mut Tx) -> Result<(), Refusal> {
    let account = visible(object, tx).await?;
    Ok(accounts::remove(tx, &giver(object), &account).await?)
}

fn logon_name(text: &str) -> Result<AccountName, Refusal> {
    text.parse()
        .map_err(|error: AccountNameError| OperationError::invalid("NAME_INVALID", error.to_string()).into())
}

/// The account the keys name, if the caller may read it: everybody reads their own.
async fn visible(object: &ObjectContext, tx: &mut Tx) -> Result<Account, Refusal> {
    let hidden = || Refusal::not_found(object.shown());
    let id = match object.keys.as_ref().and_then(|keys| keys.get("AdminID")) {
        Some(Value::Unsigned(number)) => u32::try_from(*number).ok(),
        _ => None,
    };
    let id = id.ok_or_else(hidden)?;
    if object.caller.admin_id != Some(id) && !object.caller.rights.may_type(ADMIN, READ) {
        return Err(hidden());
    }
    tx.account(id).await?.ok_or_else(hidden)
}

/// The permissions that were sent; `None`: they stay.
fn permissions(put: &PutContext) -> Result<Option<Vec<Permission>>, Refusal> {
    let items = match put.value("Permissions") {
        None => return Ok(None),
        Some(Value::Array(items)) => items.as_slice(),
        Some(_) => &[],
    };
    let wrong = |what: &str| Refusal::provider("REQUIRED", format!("property SMS_Admin.Permissions: {what}"));
    let mut permissions = Vec::with_capacity(items.len());
    for item in items {
        let Value::Object(instance) = item else {
            return Err(wrong("each element is an SMS_APermission"));
        };
        let text = |instance: &Instance, name: &str| match instance.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        match instance.get("CategoryTypeID") {
            Some(Value::Unsigned(CATEGORY_COLLECTION)) => continue,
            None | Some(Value::Null | Value::Unsigned(CATEGORY_SCOPE)) => {}
            Some(_) => return Err(wrong("CategoryTypeID is 29 (security scope) or 1 (collection)")),
        }
        let (Some(role), Some(scope)) = (text(instance, "RoleID"), text(instance, "CategoryID")) else {
            return Err(wrong("each element has RoleID and CategoryID"));
        };
        permissions.push(Permission { role: role.to_ascii_uppercase(), scope: scope.to_ascii_uppercase() });
    }
    Ok(Some(permissions))
}
