//! Secrets that must be had again, sealed with a key that is not in the database.
//!
//! Source: docs/formats/sealed-secret.md.

use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The version of the format.
const VERSION: u8 = 1;
/// What is sealed for an account is bound to this and to the account's number.
const PURPOSE: &[u8] = b"restock ntlm secret 1\0";

/// The key under which a site seals secrets. `Debug` hides it.
#[derive(Clone)]
pub struct SealingKey(Arc<LessSafeKey>);

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(hidden)")
    }
}

impl SealingKey {
    /// The key of these 256 bits.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("the key has the cipher's length");
        Self(Arc::new(LessSafeKey::new(key)))
    }

    /// Seals the secret of an account.
    ///
    /// Errors: the machine gave no randomness.
    pub(crate) fn seal(&self, account: u32, secret: &NtSecret) -> Result<Vec<u8>, getrandom::Error> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce)?;
        Ok(self.seal_with(nonce, account, secret))
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], account: u32, secret: &NtSecret) -> Vec<u8> {
        let mut text = secret.0.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(account), &mut text)
            .expect("sixteen bytes are not too long for the cipher");
        [&[VERSION][..], &nonce, &text].concat()
    }

    /// Opens what was sealed for this account; `None` under another key, for another account, or
    /// when it was changed.
    pub(crate) fn open(&self, account: u32, sealed: &[u8]) -> Option<NtSecret> {
        let rest = sealed.strip_prefix(&[VERSION])?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let opened = self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), aad(account), &mut text);
        Some(NtSecret((&*opened.ok()?).try_into().ok()?))
    }
}

fn aad(account: u32) -> Aad<Vec<u8>> {
    Aad::from([PURPOSE, &account.to_le_bytes()].concat())
}

/// What is kept of an NTLM secret: the MD4 hash of its UTF-16 text. Who has it can sign in with it.
/// `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct NtSecret(pub(crate) [u8; 16]);

impl NtSecret {
    /// What is kept of the secret with this text.
    pub(crate) fn of_text(text: &str) -> Self {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        Self(<md4::Md4 as md4::Digest>::digest(bytes).into())
    }

    /// The hash, for whoever compares a proof with it.
    pub fn reveal(&self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for NtSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NtSecret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::{NtSecret, SealingKey};

    #[test]
    fn what_is_sealed_opens_for_its_account_and_key_only() {
        let (key, secret) = (SealingKey::new(&[1; 32]), NtSecret([7; 16]));
        let sealed = key.seal(5, &secret).unwrap();
        assert_ne!(sealed, key.seal(5, &secret).unwrap(), "each has a nonce of its own");
        assert_eq!(key.open(5, &sealed), Some(secret));
        assert_eq!(key.open(6, &sealed), None);
        assert_eq!(SealingKey::new(&[2; 32]).open(5, &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(5, &changed), None, "byte {at}");
            assert_eq!(key.open(5, &sealed[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn a_secret_of_version_1_is_still_opened() {
        let sample = include_str!("../../../../docs/formats/samples/sealed-secret-1.hex");
        let sealed: Vec<u8> = sample
            .trim()
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let key = SealingKey::new(&std::array::from_fn(|at| u8::try_from(at).unwrap()));
        let secret = NtSecret(std::array::from_fn(|at| 0xf0 + u8::try_from(at).unwrap()));
        assert_eq!(key.open(16_777_217, &sealed), Some(secret.clone()));
        assert_eq!(key.seal_with([9; 12], 16_777_217, &secret), sealed);
    }
}
