//! Signing in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use restock_names::{Clock, Timestamp};
use restock_sitedb::admin::Account;
use restock_sitedb::{Database, DatabaseError};

use super::back_off::{BackOff, BackOffLimits};
use super::hashing::{Hashing, NotRun};
use super::memory::{Memory, Tag};
use super::{PersonCertificate, SealingKey, Secret, TokenText};
use crate::rights::Rights;

/// The longest name and the longest password that are looked at, in bytes.
pub(super) const CREDENTIAL_BYTES_MAX: usize = 1_024;
/// Rights that are kept ready; beyond it all are read again.
const RIGHTS_MAX: usize = 1_024;
/// What somebody is told to wait when their address has too many attempts under way.
const ADDRESS_WAIT: Duration = Duration::from_secs(1);
/// A token's last use is noted at most this often.
const USE_NOTED_EVERY: Duration = Duration::from_secs(60);

/// Somebody who has signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The logon name as it is kept.
    pub account: String,
    /// The account's number.
    pub admin_id: u32,
    /// What it may do, or what its token leaves of that.
    pub rights: Arc<Rights>,
}

/// Why somebody could not sign in. It tells nothing of whether the account exists.
#[derive(Debug, thiserror::Error)]
pub enum SignInRefusal {
    /// Unknown name, wrong password, disabled account, or a token that is not valid: 401.
    #[error("the credentials are not valid")]
    Unauthorized,
    /// Too many wrong passwords for this account from this address: 429.
    #[error("too many attempts: the next is looked at in {} s", .0.as_secs().max(1))]
    TooMany(Duration),
    /// Too many sign in at the moment: 503.
    #[error("too many sign in at the moment")]
    Busy,
    /// The database could not be asked: 503.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Signs people and programs in. Cheap to clone; one for each process, whose memory it is.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub(super) inner: Arc<Inner>,
    /// Under which NTLM secrets are sealed.
    pub(super) sealing: Option<SealingKey>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) database: Database,
    pub(super) clock: Arc<dyn Clock>,
    hashing: Hashing,
    back_off: Mutex<BackOff>,
    memory: Mutex<Memory>,
    rights: Mutex<HashMap<RightsKey, (u64, Arc<Rights>)>>,
}

/// Account and the role of its token.
type RightsKey = (u32, Option<String>);

impl Accounts {
    /// Errors: the machine gave no randomness.
    pub fn new(
        database: Database,
        clock: Arc<dyn Clock>,
        limits: BackOffLimits,
    ) -> Result<Self, getrandom::Error> {
        let inner = Inner {
            database,
            clock,
            hashing: Hashing::new(),
            back_off: Mutex::new(BackOff::new(limits)),
            memory: Mutex::new(Memory::new()?),
            rights: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner), sealing: None })
    }

    /// Signs in with a name and a password.
    ///
    /// A credential that was right less than five minutes ago is looked up; any other costs a run
    /// of argon2id, an unknown name as much as a wrong password.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &Secret,
        address: IpAddr,
    ) -> Result<SignedIn, SignInRefusal> {
        let inner = &*self.inner;
        if name.len() > CREDENTIAL_BYTES_MAX || password.reveal().len() > CREDENTIAL_BYTES_MAX {
            return Err(SignInRefusal::Unauthorized);
        }
        // What waits costs no look at the database either.
        inner.back_off().check(name, address, inner.clock.monotonic()).map_err(SignInRefusal::TooMany)?;
        let account = inner.account(name).await?;
        let generation = account.as_ref().map_or(0, |account| account.generation);
        let tag = inner.memory().tag(name, password, generation);
        let usable = account.filter(|account| !account.is_disabled);
        let attempt = if inner.memory().knows(tag, inner.clock.monotonic()) {
            Attempt::begin(inner, name, address)?
        } else {
            // Connections that bring the same credential wait for one result: it is one attempt.
            let turn = Arc::clone(inner.memory().under_way.entry(tag).or_default());
            let _under_way = UnderWay { memory: &inner.memory, tag };
            let _turn = turn.lock().await;
            let attempt = Attempt::begin(inner, name, address)?;
            let is_known = inner.memory().knows(tag, inner.clock.monotonic());
            if !is_known {
                let hash = usable.as_ref().and_then(|account| account.password.clone());
                match inner.hashing.verify(address, password, hash).await {
                    Ok(true) => inner.memory().remember(tag, inner.clock.monotonic()),
                    Ok(false) => {
                        attempt.failed();
                        return Err(SignInRefusal::Unauthorized);
                    }
                    Err(NotRun::Busy) => return Err(SignInRefusal::Busy),
                    Err(NotRun::AddressBusy) => return Err(SignInRefusal::TooMany(ADDRESS_WAIT)),
                }
            }
            attempt
        };
        // A name without an account is never known: nothing was remembered under its tag.
        let account = usable.ok_or(SignInRefusal::Unauthorized)?;
        attempt.succeeded();
        let rights = inner.rights(account.id, account.generation, None).await?;
        Ok(SignedIn { account: account.logon_name, admin_id: account.id, rights })
    }

    /// Signs in with a token of this site. Any other token, a JWT for one, is not valid.
    pub async fn sign_in_token(&self, text: &str) -> Result<SignedIn, SignInRefusal> {
        let inner = &*self.inner;
        let token = TokenText::parse(text).ok_or(SignInRefusal::Unauthorized)?;
        let hash = token.hash();
        let (token, account) = inner
            .database
            .read("sign_in_token", move |tx| {
                Box::pin(async move {
                    let token = tx.api_token(hash).await?.ok_or(SignInRefusal::Unauthorized)?;
                    let account = tx.account(token.account).await?.ok_or(SignInRefusal::Unauthorized)?;
                    Ok::<_, SignInRefusal>((token, account))
                })
            })
            .await?;
        let now = inner.clock.now();
        if token.revoked_at.is_some() || now >= token.expires_at || account.is_disabled {
            return Err(SignInRefusal::Unauthorized);
        }
        if token.last_used_at.is_none_or(|used: Timestamp| used.after(USE_NOTED_EVERY) < now) {
            let noted: Result<(), DatabaseError> = inner
                .database
                .transact("api_token_used", move |tx| Box::pin(tx.api_token_used(hash, now)))
                .await;
            if let Err(error) = noted {
                tracing::warn!(%error, "the use of a token could not be noted");
            }
        }
        let rights = inner.rights(account.id, account.generation, token.role).await?;
        Ok(SignedIn { account: account.logon_name, admin_id: account.id, rights })
    }
}

impl Accounts {
    /// Signs in with a certificate whose key the caller has proved to hold.
    ///
    /// Errors: a certificate that is not registered or not valid at present: 401.
    pub async fn sign_in_certificate(
        &self,
        certificate: &PersonCertificate,
    ) -> Result<SignedIn, SignInRefusal> {
        let inner = &*self.inner;
        let fingerprint = certificate.fingerprint;
        let (registered, account) = inner
            .database
            .read("sign_in_certificate", move |tx| {
                Box::pin(async move {
                    let registered =
                        tx.admin_certificate(fingerprint).await?.ok_or(SignInRefusal::Unauthorized)?;
                    let account = tx.account(registered.account).await?.ok_or(SignInRefusal::Unauthorized)?;
                    Ok::<_, SignInRefusal>((registered, account))
                })
            })
            .await?;
        let now = inner.clock.now();
        let is_valid = now >= registered.not_before && now < registered.not_after;
        if certificate.is_of_link || !is_valid || account.is_disabled {
            return Err(SignInRefusal::Unauthorized);
        }
        let rights = inner.rights(account.id, account.generation, None).await?;
        Ok(SignedIn { account: account.logon_name, admin_id: account.id, rights })
    }
}

impl Inner {
    async fn account(&self, name: &str) -> Result<Option<Account>, DatabaseError> {
        let name = name.to_owned();
        self.database.read("sign_in", move |tx| Box::pin(async move { tx.account_named(&name).await })).await
    }

    /// The rights of an account at `generation`.
    pub(super) async fn rights(
        &self,
        account: u32,
        generation: u64,
        role: Option<String>,
    ) -> Result<Arc<Rights>, DatabaseError> {
        let key = (account, role.clone());
        {
            let kept = self.rights.lock().expect("no code panics while holding this lock");
            if let Some((of, rights)) = kept.get(&key)
                && *of == generation
            {
                return Ok(Arc::clone(rights));
            }
        }
        let (read_at, rights) = self
            .database
            .read("rights_of_account", move |tx| {
                Box::pin(async move {
                    let rights = Rights::load(tx, account, role.as_deref()).await?;
                    let generation = tx.account(account).await?.map(|account| account.generation);
                    Ok::<_, DatabaseError>((generation, Arc::new(rights)))
                })
            })
            .await?;
        if let Some(generation) = read_at {
            let mut kept = self.rights.lock().expect("no code panics while holding this lock");
            if kept.len() >= RIGHTS_MAX {
                kept.clear();
            }
            kept.insert(key, (generation, Arc::clone(&rights)));
        }
        Ok(rights)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().expect("no code panics while holding this lock")
    }

    fn back_off(&self) -> std::sync::MutexGuard<'_, BackOff> {
        self.back_off.lock().expect("no code panics while holding this lock")
    }
}

/// Keeps the place of a credential among those under way until nobody waits for it.
#[derive(Debug)]
struct UnderWay<'a> {
    memory: &'a Mutex<Memory>,
    tag: Tag,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut memory = self.memory.lock().expect("no code panics while holding this lock");
        // The map's own, and the one of the caller whose call ends here.
        if memory.under_way.get(&self.tag).is_some_and(|turn| Arc::strong_count(turn) <= 2) {
            memory.under_way.remove(&self.tag);
        }
    }
}

/// An attempt that was let through; without a result it is withdrawn.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    inner: &'a Inner,
    name: &'a str,
    address: IpAddr,
    has_result: bool,
}

impl<'a> Attempt<'a> {
    pub(super) fn begin(inner: &'a Inner, name: &'a str, address: IpAddr) -> Result<Self, SignInRefusal> {
        let now = inner.clock.monotonic();
        inner.back_off().begin(name, address, now).map_err(SignInRefusal::TooMany)?;
        Ok(Self { inner, name, address, has_result: false })
    }

    pub(super) fn failed(mut self) {
        self.has_result = true;
        self.inner.back_off().failed(self.name, self.address, self.inner.clock.monotonic());
    }

    pub(super) fn succeeded(mut self) {
        self.has_result = true;
        self.inner.back_off().succeeded(self.name, self.address);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.has_result {
            self.inner.back_off().withdrawn(self.name, self.address);
        }
    }
}
