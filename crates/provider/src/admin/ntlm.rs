//! NTLM secrets.

use restock_names::Escaped;
use restock_sitedb::Tx;
use restock_sitedb::admin::{Account, NtlmSecret};

use super::{Giver, unknown};
use crate::account::{NtSecret, SealingKey, Secret};
use crate::rights::object_types::ADMIN;
use crate::rights::operations::MODIFY;
use crate::rights::{Rights, Securable, require, require_cover_of_account};
use crate::{ErrorKind, OperationError};

/// Gives `account` a secret that the caller shows once.
///
/// Asks for Modify on accounts, and for everything the account holds. An account that may do
/// everything gets one only when that is forced.
pub(crate) async fn enable(
    tx: &mut Tx,
    giver: &Giver<'_>,
    account: &Account,
    is_forced: bool,
    (key, secret): (&SealingKey, &Secret),
) -> Result<(), OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    require_cover_of_account(tx, giver.rights, account.id).await?;
    let is_everything = Rights::load(tx, account.id, None).await?.is_everything();
    if is_everything && !is_forced {
        let text = format!(
            "account {} may do everything; an account that signs in with NTLM should hold only what its program needs",
            Escaped(account.logon_name.as_bytes())
        );
        return Err(OperationError::refused("NTLM_FULL_ADMINISTRATOR", text)
            .hint("an account with a smaller role, or --force"));
    }
    let sealed = key
        .seal(account.id, &NtSecret::of_text(secret.reveal()))
        .map_err(|error| OperationError::new(ErrorKind::Failed, "FAILED", error.to_string()))?;
    let secret = NtlmSecret { account: account.id, sealed, is_forced: is_everything, created: giver.stamp() };
    Ok(tx.set_ntlm_secret(&secret).await?)
}

/// Takes the secret away. Asks for Modify on accounts.
pub(crate) async fn disable(tx: &mut Tx, giver: &Giver<'_>, account: &Account) -> Result<(), OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    if !tx.delete_ntlm_secret(account.id).await? {
        return Err(
            unknown("an NTLM secret of account", &account.logon_name).hint("restock admin account list")
        );
    }
    Ok(())
}
