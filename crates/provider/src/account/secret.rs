//! Texts that no log, dump or answer shows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A password on its way. `Debug` hides it; it is sent over the control socket and nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever must have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Letters and digits that are not taken for each other when read aloud or typed.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Random letters of a password: 120 bits.
const PASSWORD_LETTERS: usize = 24;
/// Random letters of an NTLM secret: 140 bits.
const NTLM_LETTERS: usize = 28;

/// A random password of 120 bits, in groups of six.
///
/// Errors: the machine gave no randomness.
pub fn random_password() -> Result<Secret, getrandom::Error> {
    random::<PASSWORD_LETTERS>(6)
}

/// A random NTLM secret of 140 bits, in groups of seven: what is kept of it could be tried out
/// offline by whoever hears a proof, so that it cannot be short.
///
/// Errors: the machine gave no randomness.
pub fn random_ntlm_secret() -> Result<Secret, getrandom::Error> {
    random::<NTLM_LETTERS>(7)
}

fn random<const LENGTH: usize>(group: usize) -> Result<Secret, getrandom::Error> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
    let groups: Vec<String> = letters.chunks(group).map(|group| group.iter().collect()).collect();
    Ok(Secret(groups.join("-")))
}
