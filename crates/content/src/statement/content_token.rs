//! The right to read content at a site's distribution points, as a text that its holder shows.
//!
//! A site signs a token with one of its listed keys; a distribution point verifies it with the key
//! list it holds, without asking anybody. So a token cannot be taken back: it expires, or all of
//! them end when the site's signing key leaves the list.
//!
//! Source: docs/formats/content-token.md.

use std::time::Duration;

use ed25519_dalek::Signer;
use restock_names::{PackageId, SiteCode, Timestamp};

use super::{KeyList, SigningKey, opening};
use crate::codec::Reader;

const MAGIC: &[u8; 4] = b"RSct";
const FORMAT: u16 = 1;
/// In place of a number of packages: all of them.
const ALL: u16 = u16::MAX;
/// Packages that one token can name.
pub const TOKEN_PACKAGES_MAX: usize = 256;
/// A token lives no longer than this.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(366 * 86_400);
/// How far ahead of a distribution point's clock a site's may be.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// A signed right to read content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentToken {
    /// The site that signed.
    pub site: SiteCode,
    /// Random; names the token in logs.
    pub id: [u8; 16],
    /// When it was made, by the site's clock.
    pub issued_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// The packages it lets its holder read, rising, each once; `None`: all.
    pub packages: Option<Vec<PackageId>>,
    /// The key that signed.
    pub key_id: [u8; 8],
    /// Ed25519 over everything before it.
    pub signature: [u8; 64],
}

/// Why a token gives no right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentTokenError {
    /// Not a token, or of a format this reader does not know.
    #[error("CONTENT_TOKEN_FORM: this is not a content token as content-token create prints it")]
    Form,
    /// Of another site, or not signed by a key in its list.
    #[error("CONTENT_TOKEN_SIGNATURE: no listed key of this site signed the content token")]
    Signature,
    /// Its time is over, or cannot be meant.
    #[error("CONTENT_TOKEN_EXPIRED: the content token does not count at this time")]
    Expired,
}

impl ContentToken {
    /// Makes and signs a token that counts `from` one moment to another; packages are put in order.
    ///
    /// Limits: [`TOKEN_PACKAGES_MAX`], [`TOKEN_LIFE_MAX`]; a token beyond them is not accepted.
    pub fn sign(
        site: SiteCode,
        id: [u8; 16],
        (issued_at, expires_at): (Timestamp, Timestamp),
        packages: Option<Vec<PackageId>>,
        key: &SigningKey,
    ) -> Self {
        let packages = packages.map(|mut packages| {
            packages.sort();
            packages.dedup();
            packages
        });
        let key_id = key.key_id();
        let mut token = Self { site, id, issued_at, expires_at, packages, key_id, signature: [0; 64] };
        token.signature = key.0.sign(&token.signed_bytes()).to_bytes();
        token
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let packages = self.packages.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(51 + 8 * packages.len());
        out.extend(MAGIC);
        out.extend(FORMAT.to_le_bytes());
        out.extend(self.site.as_bytes());
        out.extend(self.id);
        out.extend(self.issued_at.0.to_le_bytes());
        out.extend(self.expires_at.0.to_le_bytes());
        let count = match &self.packages {
            None => ALL,
            Some(packages) => u16::try_from(packages.len()).unwrap_or(ALL - 1),
        };
        out.extend(count.to_le_bytes());
        packages.iter().for_each(|package| out.extend(package.as_str().as_bytes()));
        out.extend(self.key_id);
        out
    }

    /// The token's bytes, signature last.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signed_bytes();
        out.extend(self.signature);
        out
    }

    /// Reads a token. Neither signature nor time is checked: see [`ContentToken::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ContentTokenError> {
        Self::read(bytes).ok_or(ContentTokenError::Form)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (_, site) = opening(&mut reader, MAGIC, &[FORMAT], ["not a token", "of another format"]).ok()?;
        let id = reader.array().ok()?;
        let issued_at = Timestamp(reader.u64().ok()?.cast_signed());
        let expires_at = Timestamp(reader.u64().ok()?.cast_signed());
        let packages = match reader.u16().ok()? {
            ALL => None,
            count if usize::from(count) > TOKEN_PACKAGES_MAX => return None,
            count => {
                let mut packages: Vec<PackageId> = Vec::new();
                for _ in 0..count {
                    let text = std::str::from_utf8(reader.take(8).ok()?).ok()?;
                    let package: PackageId = text.parse().ok()?;
                    let is_rising = packages.last().is_none_or(|last| *last < package);
                    (is_rising && package.as_str() == text).then(|| packages.push(package))?;
                }
                Some(packages)
            }
        };
        let (key_id, signature) = (reader.array().ok()?, reader.array().ok()?);
        reader.finish().ok()?;
        Some(Self { site, id, issued_at, expires_at, packages, key_id, signature })
    }

    /// Checks that a key which `keys` lists for its own site signed it, and that it counts at `now`.
    pub fn verify(&self, keys: &KeyList, now: Timestamp) -> Result<(), ContentTokenError> {
        let key = keys.keys_of(keys.site).find(|key| key.key_id() == self.key_id);
        let key = key.filter(|_| self.site == keys.site).ok_or(ContentTokenError::Signature)?;
        key.verify(&self.signed_bytes(), &self.signature).map_err(|_wrong| ContentTokenError::Signature)?;
        let is_meant = self.issued_at < self.expires_at
            && self.expires_at.since(self.issued_at) <= TOKEN_LIFE_MAX
            && self.issued_at <= now.after(AHEAD_MAX);
        (is_meant && self.expires_at > now).then_some(()).ok_or(ContentTokenError::Expired)
    }

    /// Does it let its holder read `package`?
    pub fn covers(&self, package: &PackageId) -> bool {
        self.packages.as_ref().is_none_or(|packages| packages.binary_search(package).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, prop, proptest};
    use restock_names::{PackageId, Timestamp};

    use super::{ContentToken, ContentTokenError};
    use crate::statement::{KeyList, SigningKey};

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn package(text: &str) -> PackageId {
        text.parse().expect("valid")
    }

    fn token(packages: Option<Vec<PackageId>>, until: Timestamp, key: &SigningKey) -> ContentToken {
        ContentToken::sign("XYZ".parse().expect("valid"), [7; 16], (NOW, until), packages, key)
    }

    #[test]
    fn a_token_counts_while_a_listed_key_of_the_site_has_signed_it_and_it_lasts() {
        let (root, key, other) = (
            SigningKey::from_bytes(&[1; 32]),
            SigningKey::from_bytes(&[2; 32]),
            SigningKey::from_bytes(&[3; 32]),
        );
        let keys = KeyList::sign("XYZ".parse().expect("valid"), 1, vec![key.public()], &root);
        let two = vec![package("XYZ00002"), package("XYZ00001"), package("XYZ00002")];
        let good = token(Some(two), NOW.after(DAY), &key);
        assert_eq!(ContentToken::decode(&good.encode()), Ok(good.clone()));
        assert_eq!(good.verify(&keys, NOW), Ok(()));
        assert!(good.covers(&package("XYZ00001")) && !good.covers(&package("XYZ00003")));
        assert!(token(None, NOW.after(DAY), &key).covers(&package("ABC00001")));
        assert!(!token(Some(Vec::new()), NOW.after(DAY), &key).covers(&package("ABC00001")));

        let (signature, expired) = (Err(ContentTokenError::Signature), Err(ContentTokenError::Expired));
        assert_eq!(good.verify(&keys, NOW.after(DAY)), expired);
        assert_eq!(good.verify(&keys, Timestamp(NOW.0 - 2 * 86_400_000_000)), expired, "made in the future");
        assert_eq!(token(None, NOW.after(DAY * 400), &key).verify(&keys, NOW), expired, "too long a life");
        assert_eq!(token(None, NOW, &key).verify(&keys, NOW), expired);
        assert_eq!(token(None, NOW.after(DAY), &other).verify(&keys, NOW), signature);
        let foreign = KeyList::sign("ABC".parse().expect("valid"), 1, vec![key.public()], &root);
        assert_eq!(good.verify(&foreign, NOW), signature, "of another site");
        let widened = ContentToken { packages: None, ..good.clone() };
        assert_eq!(widened.verify(&keys, NOW), signature);
        let longer = ContentToken { expires_at: NOW.after(DAY * 2), ..good };
        assert_eq!(longer.verify(&keys, NOW), signature);
    }

    #[test]
    fn an_old_sample_is_read() {
        let text = include_str!("../../../../docs/formats/samples/content-token.hex").trim();
        let bytes: Vec<u8> = (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex"))
            .collect();
        let token = ContentToken::decode(&bytes).expect("read");
        let packages = vec![package("XYZ00001"), package("XYZ00002")];
        assert_eq!(token, self::token(Some(packages), NOW.after(DAY), &SigningKey::from_bytes(&[2; 32])));
        assert_eq!(token.encode(), bytes);
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read_as_they_are(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&b"RSct\x01\x00XYZ"[..], &bytes].concat();
            if let Ok(token) = ContentToken::decode(&bytes) {
                assert_eq!(token.encode(), bytes);
            }
        }
    }
}
