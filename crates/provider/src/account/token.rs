//! Tokens that stand for an account.

use std::fmt;

use restock_names::Digest;
use ring::digest::{SHA256, digest};

const PREFIX: &str = "rst_";
const SECRET_BYTES: usize = 32;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A token's text: `rst_` and 256 random bits in base64url. Shown once; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// A token with a fresh secret.
    ///
    /// Errors: the machine gave no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", base64url(&bytes))))
    }

    /// The token in a text that was sent; `None` for anything that cannot be one, a JWT included.
    pub fn parse(text: &str) -> Option<Self> {
        let secret = text.strip_prefix(PREFIX)?;
        let is_fit = secret.len() == (SECRET_BYTES * 8).div_ceil(6)
            && secret.bytes().all(|byte| LETTERS.contains(&byte));
        is_fit.then(|| Self(text.to_owned()))
    }

    /// The text itself, for whoever asked for the token.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it: SHA-256 of the text.
    pub fn hash(&self) -> Digest {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.as_bytes()).as_ref());
        Digest(hash)
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(hidden)")
    }
}

fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let six = (bits >> (18 - 6 * place)) & 0x3f;
            text.push(char::from(LETTERS[six as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{TokenText, base64url};

    #[test]
    fn tokens_are_base64url_without_padding() {
        let pairs: [(&[u8], &str); 4] = [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"\xfb\xff\xfe", "-__-")];
        for (bytes, text) in pairs {
            assert_eq!(base64url(bytes), text);
        }
    }

    #[test]
    fn only_what_was_made_here_can_be_a_token() {
        let token = TokenText::random().unwrap();
        assert_eq!(TokenText::parse(token.reveal()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "TokenText(hidden)");
        let cut = &token.reveal()[..46];
        let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.";
        for text in ["", "rst_", cut, jwt, &format!("{}A", token.reveal()), &token.reveal().to_uppercase()] {
            assert_eq!(TokenText::parse(text), None, "{text}");
        }
    }
}
