//! Enrolment tokens: what an administrator carries from a site to a machine that is to join it.
//!
//! Source: docs/formats/link.md, "Enrolment token".

use std::fmt;
use std::str::FromStr;

use restock_names::{Digest, DistributionPointName, SiteCode};

use crate::tls::sha256;
use crate::{Fingerprint, TrustError};

const PREFIX: &str = "rj1_";
/// Secret, fingerprint, site code, kind.
const FIXED_BYTES: usize = 32 + 32 + 3 + 1;

/// What a token lets a machine become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TokenKind {
    /// A distribution point.
    DistributionPoint = 1,
    /// A site below this one.
    Site = 2,
}

/// A single-use secret of 256 bits, bound to a name, with the fingerprint of the site's authority.
///
/// Shown as `rj1_` and base64url of: 32 bytes secret, 32 bytes SHA-256 of the authority's
/// certificate, 3 bytes site code, 1 byte kind, name. The joiner checks the fingerprint before it
/// sends anything. `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    secret: [u8; 32],
    authority: Fingerprint,
    site: SiteCode,
    kind: TokenKind,
    name: DistributionPointName,
}

/// Why a text is not an enrolment token. The text itself is not repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "TOKEN_FORM: this is not an enrolment token: text that begins with rj1_ is wanted, as token create prints it"
)]
pub struct TokenError;

impl EnrolmentToken {
    /// A token with a fresh secret.
    pub(crate) fn new(
        site: SiteCode,
        authority: Fingerprint,
        kind: TokenKind,
        name: &DistributionPointName,
    ) -> Result<Self, TrustError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|source| TrustError::Random { source })?;
        Ok(Self { secret, authority, site, kind, name: name.clone() })
    }

    /// SHA-256 of the secret: what the site keeps of the token.
    pub fn hash(&self) -> Digest {
        hash_of_secret(&self.secret)
    }

    /// What the joiner will be.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The name the joiner will have.
    pub fn name(&self) -> &DistributionPointName {
        &self.name
    }

    /// The site that made the token.
    pub fn site(&self) -> SiteCode {
        self.site
    }

    /// SHA-256 of the site's authority certificate in DER.
    pub fn authority_fingerprint(&self) -> Fingerprint {
        self.authority
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

/// What a site stores and compares instead of a token's secret.
pub(crate) fn hash_of_secret(secret: &[u8]) -> Digest {
    sha256(secret)
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentToken({} at {}, secret hidden)", self.name, self.site)
    }
}

impl fmt::Display for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.name.as_str().len());
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(&self.authority.0.0);
        bytes.extend_from_slice(&self.site.as_bytes());
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(self.name.as_str().as_bytes());
        write!(f, "{PREFIX}{}", to_base64url(&bytes))
    }
}

impl FromStr for EnrolmentToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let parse = || {
            let bytes = from_base64url(text.trim().strip_prefix(PREFIX)?)?;
            let (fixed, name) = bytes.split_at_checked(FIXED_BYTES)?;
            let (secret, rest) = fixed.split_first_chunk::<32>()?;
            let (authority, rest) = rest.split_first_chunk::<32>()?;
            let (site, kind) = rest.split_first_chunk::<3>()?;
            let site = std::str::from_utf8(site).ok()?.parse().ok()?;
            let name = std::str::from_utf8(name).ok()?.parse().ok()?;
            let kind = match kind {
                [1] => TokenKind::DistributionPoint,
                [2] => TokenKind::Site,
                _ => return None,
            };
            Some(Self { secret: *secret, authority: Fingerprint(Digest(*authority)), site, kind, name })
        };
        parse().ok_or(TokenError)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 with the common alphabet and padding (RFC 4648, section 4).
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut text = to_base64url(bytes).replace('-', "+").replace('_', "/");
    text.extend(std::iter::repeat_n('=', (4 - text.len() % 4) % 4));
    text
}

/// Base64 with the URL alphabet and without padding (RFC 4648, section 5).
pub(crate) fn to_base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut word = 0_u32;
        for i in 0..3 {
            word = word << 8 | u32::from(group.get(i).copied().unwrap_or(0));
        }
        for i in 0..=group.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]));
        }
    }
    text
}

/// `None` for other characters, an impossible length, or bits set beyond the last byte.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.as_bytes().chunks(4) {
        let mut word = 0_u32;
        for (i, character) in group.iter().enumerate() {
            let value = ALPHABET.iter().position(|a| a == character)? as u32;
            word |= value << (18 - 6 * i);
        }
        let count = group.len().checked_sub(1).filter(|count| *count > 0)?;
        let all = word.to_be_bytes();
        if all[1 + count..].iter().any(|b| *b != 0) {
            return None;
        }
        bytes.extend_from_slice(&all[1..=count]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{EnrolmentToken, TokenKind, from_base64url, to_base64url};
    use crate::Fingerprint;

    #[test]
    fn a_token_survives_being_printed_and_hides_its_secret_in_debug() {
        let site = "XYZ".parse().unwrap();
        let token = EnrolmentToken::new(
            site,
            Fingerprint::of(b"ca"),
            TokenKind::DistributionPoint,
            &"dp01".parse().unwrap(),
        )
        .unwrap();
        let text = token.to_string();
        assert_eq!(text.parse::<EnrolmentToken>().unwrap(), token);
        assert_eq!(token.name().as_str(), "DP01");
        assert!(!format!("{token:?}").contains(&text[8..20]));
        for bad in ["", "rj1_", &text[..60], &text[1..], "rj1_****"] {
            assert!(bad.parse::<EnrolmentToken>().is_err(), "{bad}");
        }
    }

    #[test]
    fn base64url_follows_the_rfc() {
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (&[251, 255], "-_8")]
        {
            assert_eq!(to_base64url(bytes), text);
            assert_eq!(from_base64url(text).unwrap(), bytes);
        }
        for bad in ["Z", "Zh", "Zg==", "Zm9vY", "Z+"] {
            assert!(from_base64url(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            assert_eq!(from_base64url(&to_base64url(&bytes)).unwrap(), bytes);
            assert!(text.parse::<EnrolmentToken>().is_err());
        }
    }
}
