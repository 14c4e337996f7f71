//! Accounts.

use restock_sitedb::Tx;
use restock_sitedb::admin::{Account, PasswordHash, Permission};

use super::{Giver, taken, unknown};
use crate::OperationError;
use crate::account::AccountName;
use crate::rights::object_types::ADMIN;
use crate::rights::operations::{CREATE, DELETE, MODIFY};
use crate::rights::{Securable, require, require_cover, require_cover_of_account};

/// Permissions of one account at most.
const PERMISSIONS_MAX: usize = 1_000;

/// An account to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewAccount {
    pub(crate) name: AccountName,
    pub(crate) display_name: String,
    pub(crate) password: Option<PasswordHash>,
    pub(crate) permissions: Vec<Permission>,
}

/// The account with this logon name.
pub(crate) async fn named(tx: &mut Tx, name: &str) -> Result<Account, OperationError> {
    tx.account_named(name).await?.ok_or_else(|| unknown("account", name).hint("restock admin account list"))
}

/// Makes an account. Asks for Create on accounts, and for everything it grants.
pub(crate) async fn create(
    tx: &mut Tx,
    giver: &Giver<'_>,
    new: NewAccount,
) -> Result<Account, OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), CREATE).await?;
    check_permissions(tx, giver, &new.permissions).await?;
    let stamp = giver.stamp();
    let display_name =
        if new.display_name.is_empty() { new.name.as_str().to_owned() } else { new.display_name };
    let account = Account {
        id: tx.next_account_number().await?,
        logon_name: new.name.as_str().to_owned(),
        display_name,
        password: new.password,
        generation: 1,
        is_disabled: false,
        created: stamp.clone(),
        modified: stamp,
    };
    if !tx.insert_account(&account).await? {
        return Err(taken("account", new.name.as_str()));
    }
    tx.set_permissions(account.id, &new.permissions, giver.by, giver.now).await?;
    Ok(account)
}

async fn check_permissions(
    tx: &mut Tx,
    giver: &Giver<'_>,
    permissions: &[Permission],
) -> Result<(), OperationError> {
    if permissions.len() > PERMISSIONS_MAX {
        let text =
            format!("{} permissions were given, at most {PERMISSIONS_MAX} are allowed", permissions.len());
        return Err(OperationError::invalid("RANGE", text));
    }
    Ok(require_cover(tx, giver.rights, permissions).await?)
}

/// Gives an account exactly these permissions.
///
/// Asks for Modify on accounts, for everything that is given, and for everything the account had:
/// who takes a role away from somebody who holds more could otherwise lock them out.
pub(crate) async fn set_permissions(
    tx: &mut Tx,
    giver: &Giver<'_>,
    account: &Account,
    permissions: &[Permission],
) -> Result<(), OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    require_cover_of_account(tx, giver.rights, account.id).await?;
    check_permissions(tx, giver, permissions).await?;
    tx.set_permissions(account.id, permissions, giver.by, giver.now).await?;
    Ok(())
}

/// Writes display name, password and whether it is disabled; what was remembered is void.
pub(crate) async fn change(tx: &mut Tx, giver: &Giver<'_>, account: &Account) -> Result<(), OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    require_cover_of_account(tx, giver.rights, account.id).await?;
    tx.update_account(&Account { modified: giver.stamp(), ..account.clone() }).await?;
    Ok(())
}

/// Removes an account with its permissions and tokens.
pub(crate) async fn remove(tx: &mut Tx, giver: &Giver<'_>, account: &Account) -> Result<(), OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), DELETE).await?;
    require_cover_of_account(tx, giver.rights, account.id).await?;
    tx.delete_account(account.id).await?;
    Ok(())
}
