//! Tokens.

use std::time::Duration;

use restock_names::{Escaped, Timestamp};
use restock_sitedb::Tx;
use restock_sitedb::admin::{Account, ApiToken};

use super::{Giver, taken, unknown};
use crate::OperationError;
use crate::account::TokenText;
use crate::rights::object_types::ADMIN;
use crate::rights::operations::MODIFY;
use crate::rights::{Securable, require, require_cover_of_account};

/// The longest a token is valid.
pub(crate) const VALID_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The longest name in characters.
const NAME_CHARS_MAX: usize = 64;

/// Keeps a token that stands for `account`, whose text the caller shows once.
///
/// Asks for Modify on accounts, and for everything the account holds.
pub(crate) async fn create(
    tx: &mut Tx,
    giver: &Giver<'_>,
    account: &Account,
    (name, role): (&str, Option<&str>),
    valid: Duration,
    text: &TokenText,
) -> Result<ApiToken, OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    require_cover_of_account(tx, giver.rights, account.id).await?;
    let is_name = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if !is_name {
        let text = format!(
            "{} cannot name a token: 1-{NAME_CHARS_MAX} characters without control characters are wanted",
            Escaped(name.chars().take(80).collect::<String>().as_bytes())
        );
        return Err(OperationError::invalid("NAME_INVALID", text));
    }
    if valid > VALID_MAX || valid.is_zero() {
        let text = "a token is valid for more than nothing and at most 366 days";
        return Err(OperationError::invalid("RANGE", text));
    }
    let role = match role {
        None => None,
        Some(role) => Some(super::roles::find(tx, role).await?.id),
    };
    let token = ApiToken {
        hash: text.hash(),
        account: account.id,
        name: name.to_owned(),
        role,
        created_at: giver.now,
        expires_at: giver.now.after(valid),
        last_used_at: None,
        revoked_at: None,
    };
    if !tx.insert_api_token(&token).await? {
        return Err(taken("token", name));
    }
    Ok(token)
}

/// Takes a token back. Asks for Modify on accounts.
pub(crate) async fn revoke(
    tx: &mut Tx,
    giver: &Giver<'_>,
    account: &Account,
    name: &str,
) -> Result<Timestamp, OperationError> {
    require(tx, giver.rights, Securable::Type(ADMIN), MODIFY).await?;
    if !tx.revoke_api_token(account.id, name, giver.now).await? {
        return Err(unknown("a valid token", name).hint("restock admin token list"));
    }
    Ok(giver.now)
}
