//! A site's head: its signed word that what it told until then is all there was to tell.
//!
//! A head lives for a short time and is made again while the site runs. A holder whose newest head
//! has expired does not know whether it sees everything: it goes on serving and says since when.
//!
//! What a head deliberately does not say is which versions there are: each has its own statement.
//!
//! Source: docs/formats/statement.md, "Head".

use std::time::Duration;

use ed25519_dalek::Signer;
use restock_names::{SiteCode, Timestamp};

use super::{KeyList, SigningKey, StatementError, opening};
use crate::codec::Reader;

const MAGIC: &[u8; 4] = b"RShd";
const FORMAT: u16 = 1;
/// The longest life a holder believes: a key that was stolen once must not speak for years.
const LIFE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How far the site's clock may be ahead of the holder's.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// That a site was there and had told everything, signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The site.
    pub site: SiteCode,
    /// When it was made, by the site's clock. A holder keeps the one that was made last.
    pub issued_at: Timestamp,
    /// From then on a holder that has no later one is stale.
    pub expires_at: Timestamp,
    /// The serial of the site's key list when it was made.
    pub key_list_serial: u32,
    /// The key that signed.
    pub key_id: [u8; 8],
    /// Ed25519 over everything before it.
    pub signature: [u8; 64],
}

impl Head {
    /// Makes and signs a head.
    pub fn sign(
        site: SiteCode,
        (issued_at, expires_at): (Timestamp, Timestamp),
        key_list_serial: u32,
        key: &SigningKey,
    ) -> Self {
        let mut head =
            Self { site, issued_at, expires_at, key_list_serial, key_id: key.key_id(), signature: [0; 64] };
        head.signature = key.0.sign(&head.signed_bytes()).to_bytes();
        head
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(101);
        out.extend(MAGIC);
        out.extend(FORMAT.to_le_bytes());
        out.extend(self.site.as_bytes());
        out.extend(self.issued_at.0.to_le_bytes());
        out.extend(self.expires_at.0.to_le_bytes());
        out.extend(self.key_list_serial.to_le_bytes());
        out.extend(self.key_id);
        out
    }

    /// The head's 101 bytes, signature last.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signed_bytes();
        out.extend(self.signature);
        out
    }

    /// Reads a head. Its signature is not checked: see [`Head::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        let mut reader = Reader::new(bytes);
        let refusals = ["not a site's head", "the format of the site's head is not known"];
        let (_, site) = opening(&mut reader, MAGIC, &[FORMAT], refusals)?;
        let issued_at = Timestamp(reader.u64()?.cast_signed());
        let expires_at = Timestamp(reader.u64()?.cast_signed());
        let key_list_serial = reader.u32()?;
        let (key_id, signature) = (reader.array()?, reader.array()?);
        reader.finish()?;
        Ok(Self { site, issued_at, expires_at, key_list_serial, key_id, signature })
    }

    /// Checks that a key which `keys` lists for its own site signed it, and that its times can be
    /// meant: it lives at most 7 days and is not made more than a day from `now`.
    ///
    /// One that has expired is in order: that it is stale is for its holder to say.
    pub fn verify(&self, keys: &KeyList, now: Timestamp) -> Result<(), StatementError> {
        if self.site != keys.site {
            return Err(StatementError::Form("the head is of another site"));
        }
        let key = keys
            .keys_of(self.site)
            .find(|key| key.key_id() == self.key_id)
            .ok_or(StatementError::Signature("the key that signed the head is not listed"))?;
        key.verify(&self.signed_bytes(), &self.signature)?;
        if self.expires_at <= self.issued_at || self.expires_at.since(self.issued_at) > LIFE_MAX {
            return Err(StatementError::Form("a head lives for at most 7 days"));
        }
        if self.issued_at > now.after(AHEAD_MAX) {
            return Err(StatementError::Form("the head is made more than a day from now"));
        }
        Ok(())
    }

    /// Since when its holder is stale, if it is.
    pub fn stale_since(&self, now: Timestamp) -> Option<Timestamp> {
        (self.expires_at <= now).then_some(self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, prop, proptest};
    use restock_names::Timestamp;

    use super::Head;
    use crate::statement::{KeyList, SigningKey, fuzz_one};

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_head_is_believed_when_a_listed_key_signed_it_and_its_times_can_be_meant() {
        let (root, key) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let (xyz, abc) = ("XYZ".parse().expect("valid"), "ABC".parse().expect("valid"));
        let keys = KeyList::sign(xyz, 4, vec![key.public()], &root);
        let now = Timestamp(1_795_363_200_000_000);
        let head = |site, from: Timestamp, life| Head::sign(site, (from, from.after(life)), 4, &key);
        let good = head(xyz, now, DAY);
        assert_eq!(good.encode().len(), 101);
        assert_eq!(Head::decode(&good.encode()).expect("decodes"), good);
        assert_eq!(good.verify(&keys, now), Ok(()));
        assert_eq!((good.stale_since(now), good.stale_since(now.after(DAY))), (None, Some(now.after(DAY))));
        assert_eq!(good.verify(&keys, now.after(400 * DAY)), Ok(()), "an expired one is in order");
        let stranger = SigningKey::from_bytes(&[3; 32]);
        let long_ago = Timestamp(now.0 - 2 * 86_400_000_000);
        for (what, bad) in [
            ("another key", Head::sign(xyz, (now, now.after(DAY)), 4, &stranger)),
            ("the root key", Head::sign(xyz, (now, now.after(DAY)), 4, &root)),
            ("another site", head(abc, now, DAY)),
            ("too long a life", head(xyz, now, 8 * DAY)),
            ("no life", head(xyz, now, Duration::ZERO)),
            ("from the future", head(xyz, now.after(2 * DAY), DAY)),
            ("changed", Head { expires_at: now.after(6 * DAY), ..head(xyz, long_ago, DAY) }),
        ] {
            assert!(bad.verify(&keys, now).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn damaged_heads_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..110)) {
            fuzz_one(&[&b"RShd\x01\x00XYZ"[..], &bytes].concat());
        }
    }
}
