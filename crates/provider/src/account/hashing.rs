//! argon2id, with few runs at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use restock_sitedb::admin::PasswordHash;
use tokio::sync::Semaphore;

use super::{Secret, random_password};

/// Memory of one run in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;
/// How long somebody waits for a run to begin.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Runs that wait at most; more callers are told that the site is busy.
const WAITING_MAX: usize = 64;
/// Runs of one address, waiting or not: a flood from there leaves room for others.
const OF_ADDRESS_MAX: usize = 8;

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("PASSWORD_HASH: a password could not be hashed: {0}")]
pub struct HashError(String);

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the parameters are within argon2's ranges");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash under which a password is kept. Takes tens of milliseconds: not for an async thread.
///
/// Errors: the machine gave no randomness or no memory.
pub fn hash_password(password: &Secret) -> Result<PasswordHash, HashError> {
    let fail = |error: &dyn std::fmt::Display| HashError(error.to_string());
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| fail(&error))?;
    let hash: phc::PasswordHash = argon2()
        .hash_password_with_salt(password.reveal().as_bytes(), &salt)
        .map_err(|error| fail(&error))?;
    Ok(PasswordHash(hash.to_string()))
}

/// True when `password` is the one behind `hash`.
fn verify(password: &Secret, hash: &PasswordHash) -> bool {
    // Compares in constant time.
    argon2().verify_password(password.reveal().as_bytes(), hash.0.as_str()).is_ok()
}

/// Why no run was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotRun {
    /// Too many wait already, or the wait was too long.
    Busy,
    /// Too many of this address wait already.
    AddressBusy,
}

/// The runs of one process.
#[derive(Debug)]
pub(super) struct Hashing {
    running: Arc<Semaphore>,
    of_address: Mutex<HashMap<IpAddr, usize>>,
    waiting: Semaphore,
    decoy: Arc<OnceLock<PasswordHash>>,
}

impl Hashing {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            // One core is left for everybody who has signed in already.
            running: Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))),
            of_address: Mutex::default(),
            waiting: Semaphore::new(WAITING_MAX),
            decoy: Arc::default(),
        }
    }

    /// Whether `password` is the one behind `hash`. Without a hash it takes as long and is false.
    pub(super) async fn verify(
        &self,
        address: IpAddr,
        password: &Secret,
        hash: Option<PasswordHash>,
    ) -> Result<bool, NotRun> {
        let _place = Place::take(&self.of_address, address).ok_or(NotRun::AddressBusy)?;
        let _waiting = self.waiting.try_acquire().map_err(|_full| NotRun::Busy)?;
        let permit = tokio::time::timeout(WAIT_MAX, Arc::clone(&self.running).acquire_owned())
            .await
            .map_err(|_elapsed| NotRun::Busy)?
            .map_err(|_closed| NotRun::Busy)?;
        let (password, decoy) = (password.clone(), Arc::clone(&self.decoy));
        let run = tokio::task::spawn_blocking(move || {
            // The permit goes back when the run ends, also when nobody waits for it any more.
            let _permit = permit;
            match hash {
                Some(hash) => verify(&password, &hash),
                None => {
                    // It takes as long as for an account that exists, and nobody has the password.
                    let decoy = decoy.get_or_init(decoy_hash);
                    let is_decoy = verify(&password, decoy);
                    debug_assert!(!is_decoy, "the decoy's password is random");
                    false
                }
            }
        });
        run.await.map_err(|_panicked| NotRun::Busy)
    }
}

/// A hash of a password nobody knows.
fn decoy_hash() -> PasswordHash {
    let hash = random_password().ok().and_then(|password| hash_password(&password).ok());
    hash.unwrap_or_else(|| PasswordHash(String::new()))
}

/// A place among the runs of an address, given back when dropped.
#[derive(Debug)]
struct Place<'a> {
    places: &'a Mutex<HashMap<IpAddr, usize>>,
    address: IpAddr,
}

impl<'a> Place<'a> {
    fn take(places: &'a Mutex<HashMap<IpAddr, usize>>, address: IpAddr) -> Option<Self> {
        let mut taken = places.lock().expect("no code panics while holding this lock");
        let count = taken.entry(address).or_default();
        if *count >= OF_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Self { places, address })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.lock().expect("no code panics while holding this lock");
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}
