//! What is computed of a secret.
//!
//! Source: \[MS-NLMP\] 3.3.2 and 3.4.5.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::Md4;
use md5::{Digest as _, Md5};
use rc4::{Rc4, StreamCipher as _};

use super::message::utf16_bytes;

/// The one thing that is kept of an NTLM secret: MD4 of its UTF-16 text. Whoever has it can sign
/// in, so it is kept sealed. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct NtHash(pub [u8; 16]);

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NtHash(hidden)")
    }
}

impl NtHash {
    /// The hash of a secret's text (`NTOWFv1`).
    pub fn of_secret(text: &str) -> Self {
        Self(Md4::digest(utf16_bytes(text)).into())
    }

    /// The key of the proofs of a user (`NTOWFv2`). User and domain as the client sent them: the
    /// user is taken in upper case, the domain as it is.
    pub(super) fn proof_key(&self, user: &str, domain: &str) -> [u8; 16] {
        let who: String = user.chars().map(upper).chain(domain.chars()).collect();
        hmac_md5(&self.0, &[&utf16_bytes(&who)])
    }
}

/// One character for one character, as the protocol's home platform does it.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => c,
    }
}

pub(super) fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    keyed(key, parts).finalize().into_bytes().into()
}

/// True when `expected` is the code of `parts`; takes as long whichever byte differs.
pub(super) fn is_hmac_md5(key: &[u8], parts: &[&[u8]], expected: &[u8]) -> bool {
    keyed(key, parts).verify_slice(expected).is_ok()
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Md5> {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

pub(super) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// RC4 with this key, at its beginning.
pub(super) fn rc4(key: &[u8; 16]) -> Rc4 {
    rc4::KeyInit::new_from_slice(key).expect("RC4 takes keys of 1-256 bytes")
}

/// RC4 of 16 bytes with a key of its own.
pub(super) fn rc4_once(key: &[u8; 16], mut bytes: [u8; 16]) -> [u8; 16] {
    rc4(key).apply_keystream(&mut bytes);
    bytes
}
