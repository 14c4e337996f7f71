//! Credentials that were right a moment ago.
//!
//! What is kept is HMAC-SHA-256, under a key made when the process began, over account, password
//! and the account's generation: a changed password, role or account has another generation and is
//! therefore not found. Nothing here can be turned back into a password.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::hmac;

use super::Secret;

/// How long a credential is remembered.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// Credentials at most; beyond it the one that ends first is forgotten.
const CREDENTIALS_MAX: usize = 4_096;

/// What a credential is remembered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tag([u8; 32]);

/// The memory. Looking a tag up is not secret: it is a digest under a secret key.
#[derive(Debug)]
pub(super) struct Memory {
    key: hmac::Key,
    until: HashMap<Tag, Instant>,
    /// Credentials being hashed: those who bring the same wait for the one result.
    pub(super) under_way: HashMap<Tag, Arc<tokio::sync::Mutex<()>>>,
}

impl Memory {
    /// Errors: the machine gave no randomness.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Ok(Self { key, until: HashMap::new(), under_way: HashMap::new() })
    }

    /// The tag of a credential. Each part has its length before it, so that no two run together.
    pub(super) fn tag(&self, account: &str, password: &Secret, generation: u64) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        let account = account.to_lowercase();
        for part in [account.as_bytes(), password.reveal().as_bytes(), &generation.to_le_bytes()] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        Tag(tag)
    }

    /// True when the credential was right less than five minutes ago.
    pub(super) fn knows(&self, tag: Tag, now: Instant) -> bool {
        self.until.get(&tag).is_some_and(|until| now < *until)
    }

    pub(super) fn remember(&mut self, tag: Tag, now: Instant) {
        if self.until.len() >= CREDENTIALS_MAX {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() >= CREDENTIALS_MAX
            && let Some(first) = self.until.iter().min_by_key(|(_, until)| **until).map(|(tag, _)| *tag)
        {
            self.until.remove(&first);
        }
        self.until.insert(tag, now + REMEMBERED);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use restock_names::{Clock, ManualClock, Timestamp};

    use super::{CREDENTIALS_MAX, Memory, REMEMBERED};
    use crate::account::Secret;

    #[test]
    fn a_credential_is_known_for_five_minutes_and_not_under_another_generation() {
        let clock = ManualClock::new(Timestamp(0));
        let mut memory = Memory::new().unwrap();
        let password = Secret::new("correct horse");
        memory.remember(memory.tag("anna", &password, 1), clock.monotonic());
        assert!(memory.knows(memory.tag("ANNA", &password, 1), clock.monotonic()));
        assert!(!memory.knows(memory.tag("anna", &password, 2), clock.monotonic()));
        assert!(!memory.knows(memory.tag("ann", &Secret::new("acorrect horse"), 1), clock.monotonic()));
        clock.advance(REMEMBERED);
        assert!(!memory.knows(memory.tag("anna", &password, 1), clock.monotonic()));
    }

    #[test]
    fn memory_is_bounded() {
        let clock = ManualClock::new(Timestamp(0));
        let mut memory = Memory::new().unwrap();
        for n in 0..CREDENTIALS_MAX + 100 {
            memory.remember(memory.tag("anna", &Secret::new(n.to_string()), 1), clock.monotonic());
            clock.advance(Duration::from_micros(1));
        }
        assert_eq!(memory.until.len(), CREDENTIALS_MAX);
    }
}
