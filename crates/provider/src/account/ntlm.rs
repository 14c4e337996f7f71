//! Signing in with NTLM: an account's secret is found, a proof compared, a connection remembered.
//!
//! What it does not do: it reads no message of the protocol; whoever does hands in the comparison.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use restock_sitedb::DatabaseError;
use restock_sitedb::admin::{Account, NtlmSecret};

use super::sign_in::{Accounts, Attempt, CREDENTIAL_BYTES_MAX, Inner};
use super::{NtSecret, SealingKey, SignInRefusal, SignedIn};

/// Who signed in on a connection, for the requests that follow on it. `Debug` hides the secret.
#[derive(Clone)]
pub struct NtlmIdentity {
    admin_id: u32,
    /// The secret as it is kept: another one ends what the connection was signed in for.
    sealed: Arc<[u8]>,
}

impl fmt::Debug for NtlmIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NtlmIdentity").field("admin_id", &self.admin_id).finish_non_exhaustive()
    }
}

impl Accounts {
    /// The same with the key under which NTLM secrets are sealed; without it nobody signs in so.
    #[must_use]
    pub fn with_sealing_key(mut self, key: SealingKey) -> Self {
        self.sealing = Some(key);
        self
    }

    /// True when an account can sign in with NTLM.
    pub async fn offers_ntlm(&self) -> Result<bool, DatabaseError> {
        if self.sealing.is_none() {
            return Ok(false);
        }
        self.inner
            .database
            .read("offers_ntlm", |tx| Box::pin(async move { tx.has_ntlm_secrets().await }))
            .await
    }

    /// Signs in with a name and a proof, which `prove` compares with the account's secret.
    ///
    /// `domain` stands before the name where such an account exists. A name without an account is
    /// compared with a random secret.
    pub async fn sign_in_ntlm<T>(
        &self,
        (user, domain): (&str, &str),
        address: IpAddr,
        prove: impl FnOnce(&NtSecret) -> Option<T>,
    ) -> Result<(SignedIn, NtlmIdentity, T), SignInRefusal> {
        let inner = &*self.inner;
        if user.len().saturating_add(domain.len()) > CREDENTIAL_BYTES_MAX {
            return Err(SignInRefusal::Unauthorized);
        }
        let attempt = Attempt::begin(inner, user, address)?;
        let names: Vec<String> = match domain {
            "" => vec![user.to_owned()],
            domain => vec![format!(r"{domain}\{user}"), user.to_owned()],
        };
        let found = inner
            .database
            .read("sign_in_ntlm", move |tx| {
                let names = names.clone();
                Box::pin(async move {
                    for name in names {
                        if let Some(account) = tx.account_named(&name).await? {
                            let secret = tx.ntlm_secret(account.id).await?;
                            return Ok::<_, DatabaseError>(Some((account, secret)));
                        }
                    }
                    Ok(None)
                })
            })
            .await?;
        let usable = found.and_then(|(account, kept)| {
            let kept = kept.filter(|_| !account.is_disabled)?;
            let secret = self.sealing.as_ref()?.open(account.id, &kept.sealed);
            if secret.is_none() {
                tracing::warn!(
                    account = account.logon_name,
                    "an NTLM secret cannot be opened with this site's key"
                );
            }
            Some((account, kept, secret?))
        });
        let decoy = random_secret();
        let proved = prove(usable.as_ref().map_or(&decoy, |(_, _, secret)| secret));
        let (Some((account, kept, _)), Some(proved)) = (usable, proved) else {
            attempt.failed();
            return Err(SignInRefusal::Unauthorized);
        };
        attempt.succeeded();
        let identity = NtlmIdentity { admin_id: account.id, sealed: kept.sealed.clone().into() };
        Ok((inner.signed_in_with(account, &kept).await?, identity, proved))
    }

    /// Looks up who signed in on a connection: rights are those of the moment.
    ///
    /// Errors: the account is gone or disabled, or its secret is another: 401.
    pub async fn sign_in_again(&self, identity: &NtlmIdentity) -> Result<SignedIn, SignInRefusal> {
        let inner = &*self.inner;
        let id = identity.admin_id;
        let (account, kept) = inner
            .database
            .read("sign_in_again", move |tx| {
                Box::pin(
                    async move { Ok::<_, DatabaseError>((tx.account(id).await?, tx.ntlm_secret(id).await?)) },
                )
            })
            .await?;
        let account = account.filter(|account| !account.is_disabled).ok_or(SignInRefusal::Unauthorized)?;
        let kept = kept.filter(|kept| *kept.sealed == *identity.sealed).ok_or(SignInRefusal::Unauthorized)?;
        inner.signed_in_with(account, &kept).await
    }
}

impl Inner {
    /// An account that may do everything needs a secret that was made all the same.
    async fn signed_in_with(&self, account: Account, kept: &NtlmSecret) -> Result<SignedIn, SignInRefusal> {
        let rights = self.rights(account.id, account.generation, None).await?;
        if rights.is_everything() && !kept.is_forced {
            tracing::warn!(
                account = account.logon_name,
                "an account that may do everything signs in with NTLM only when that was forced"
            );
            return Err(SignInRefusal::Unauthorized);
        }
        Ok(SignedIn { account: account.logon_name, admin_id: account.id, rights })
    }
}

/// A secret nobody has.
fn random_secret() -> NtSecret {
    let mut bytes = [0; 16];
    // Without randomness the comparison is with zeros, and its result is not looked at.
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "the machine gave no randomness");
    }
    NtSecret(bytes)
}
