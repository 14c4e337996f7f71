//! Objects of kind `account`: an account with its permissions, from a site above. Its API tokens and
//! its number are each site's own.

use serde_json::{Value, json};

use super::form;
use super::scope::{stamp, stamp_of};
use super::target::bad_key;
use crate::admin::{Account, PasswordHash, Permission};
use crate::replica::object::Fields;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::{DatabaseError, Tx, Why};

/// How the text of every password hash begins.
const HASH: &str = "$argon2id$";

fn body(account: &Account, permissions: &[Permission]) -> Value {
    let permissions: Vec<Value> =
        permissions.iter().map(|p| json!({ "role": p.role, "scope": p.scope })).collect();
    json!({
        "logon_name": account.logon_name,
        "display_name": account.display_name,
        "password": account.password.as_ref().map(|hash| &hash.0),
        "is_disabled": account.is_disabled,
        "created": stamp(&account.created),
        "modified": stamp(&account.modified),
        "permissions": permissions,
    })
}

fn account(object: &Object) -> Result<(Account, Vec<Permission>), Why> {
    let fields = object.fields();
    let password = fields.text_or_none("password")?;
    let is_hash =
        |text: &str| text.starts_with(HASH) && text.len() <= form::NAME_BYTES_MAX && text.is_ascii();
    if password.as_deref().is_some_and(|text| !is_hash(text)) {
        return Err(Why::new("OBJECT_FORM", "the field password of the body is not a hash"));
    }
    let list =
        fields.get("permissions").and_then(Value::as_array).filter(|list| list.len() <= form::ITEMS_MAX);
    let bad = || Why::new("OBJECT_FORM", "the field permissions of the body is not valid");
    let mut permissions = Vec::new();
    for permission in list.ok_or_else(bad)? {
        let fields = Fields(Some(permission));
        permissions
            .push(Permission { role: form::name(fields, "role")?, scope: form::name(fields, "scope")? });
    }
    let account = Account {
        id: 0,
        logon_name: form::name(fields, "logon_name")?,
        display_name: form::within(fields.text("display_name")?, "display_name", form::NAME_BYTES_MAX)?,
        password: password.map(PasswordHash),
        generation: 1,
        is_disabled: fields.bool("is_disabled")?,
        created: stamp_of(fields, "created")?,
        modified: stamp_of(fields, "modified")?,
    };
    if form::folded(&account.logon_name) == object.key { Ok((account, permissions)) } else { Err(bad_key()) }
}

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Some(account) = tx.account_named(key).await? else { return Ok(Told::Gone) };
    let permissions = tx.permissions(account.id).await?;
    Ok(Told::Body(body(&account, &permissions)))
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    Ok(tx.accounts().await?.iter().map(|account| form::folded(&account.logon_name)).collect())
}

/// Who may write it: every site above.
pub(crate) async fn writer(_tx: &mut Tx, _object: &Object) -> Result<Writer, DatabaseError> {
    Ok(Writer::Any)
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let known = tx.account_named(&object.key).await?;
    if object.body.is_none() {
        if let Some(known) = known {
            tx.delete_account(known.id).await?;
        }
        return Ok(Taken::Done);
    }
    let (mut account, permissions) = match account(object) {
        Ok(parts) => parts,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    for permission in &permissions {
        if tx.role(&permission.role).await?.is_none() {
            return Ok(Taken::WaitsFor(Kind::Role, form::folded(&permission.role)));
        }
        if tx.scope(&permission.scope).await?.is_none() {
            return Ok(Taken::WaitsFor(Kind::Scope, form::folded(&permission.scope)));
        }
    }
    match known {
        Some(known) => {
            account.id = known.id;
            tx.update_account(&account).await?;
        }
        None => {
            account.id = tx.next_account_number().await?;
            tx.insert_account(&account).await?;
        }
    }
    // What was remembered of the account is void from here on.
    let by = account.modified.by.clone();
    tx.set_permissions(account.id, &permissions, &by, account.modified.at).await?;
    tracing::info!(account = account.logon_name, site = %object.writer, from = %arrival.peer, "account taken from above");
    Ok(Taken::Done)
}
