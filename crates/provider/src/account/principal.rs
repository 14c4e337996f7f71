//! Signing in as a principal of Kerberos, whose ticket somebody else has looked at.

use restock_names::Timestamp;
use restock_sitedb::DatabaseError;
use restock_sitedb::admin::Account;

use super::sign_in::{Accounts, CREDENTIAL_BYTES_MAX};
use super::{SignInRefusal, SignedIn};

/// Who signed in on a connection with a ticket, for the requests that follow on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalIdentity {
    admin_id: u32,
    principal: String,
    /// The end of the ticket.
    until: Timestamp,
}

impl Accounts {
    /// Signs in as the principal that a right ticket names, which is valid until `until`.
    ///
    /// Errors: a principal that is registered for no account, or a disabled one: 401.
    pub async fn sign_in_principal(
        &self,
        principal: &str,
        until: Timestamp,
    ) -> Result<(SignedIn, PrincipalIdentity), SignInRefusal> {
        let account = self.account_of(principal).await?;
        let identity = PrincipalIdentity { admin_id: account.id, principal: principal.to_owned(), until };
        Ok((self.with_rights(account).await?, identity))
    }

    /// Looks up who signed in on a connection: rights are those of the moment.
    ///
    /// Errors: the ticket is over, the principal is not the account's any more, or the account is
    /// disabled or gone: 401.
    pub async fn sign_in_principal_again(
        &self,
        identity: &PrincipalIdentity,
    ) -> Result<SignedIn, SignInRefusal> {
        if self.inner.clock.now() >= identity.until {
            return Err(SignInRefusal::Unauthorized);
        }
        let account = self.account_of(&identity.principal).await?;
        if account.id != identity.admin_id {
            return Err(SignInRefusal::Unauthorized);
        }
        self.with_rights(account).await
    }

    async fn account_of(&self, principal: &str) -> Result<Account, SignInRefusal> {
        if principal.len() > CREDENTIAL_BYTES_MAX {
            return Err(SignInRefusal::Unauthorized);
        }
        let name = principal.to_owned();
        let account = self
            .inner
            .database
            .read("sign_in_principal", move |tx| {
                Box::pin(async move {
                    match tx.admin_principal(&name).await? {
                        Some(registered) => tx.account(registered.account).await,
                        None => Ok::<_, DatabaseError>(None),
                    }
                })
            })
            .await?;
        account.filter(|account| !account.is_disabled).ok_or(SignInRefusal::Unauthorized)
    }

    async fn with_rights(&self, account: Account) -> Result<SignedIn, SignInRefusal> {
        let rights = self.inner.rights(account.id, account.generation, None).await?;
        Ok(SignedIn { account: account.logon_name, admin_id: account.id, rights })
    }
}
