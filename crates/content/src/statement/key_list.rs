//! Which keys may sign a site's statements, and those of other sites.
//!
//! Source: docs/formats/statement.md.

use ed25519_dalek::Signer;
use restock_names::SiteCode;

use super::{FORMAT, PublicKey, SigningKey, StatementError, opening, site_code};
use crate::codec::Reader;

const MAGIC: &[u8; 4] = b"RSkl";
/// A list that names keys of other sites.
const FORMAT_FOREIGN: u16 = 2;
const KEYS_MAX: u16 = 256;
/// Keys of other sites in one list, at most.
pub const FOREIGN_KEYS_MAX: usize = 8_192;

/// A key of another site, whose statements a site accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForeignKey {
    /// The site whose statements it signs, and no other's.
    pub site: SiteCode,
    /// The key.
    pub key: PublicKey,
}

/// The keys that may sign a site's statements, signed by the site's root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyList {
    /// The site.
    pub site: SiteCode,
    /// Rises with each list; a holder refuses a lower one.
    pub serial: u32,
    /// The root key that signed.
    pub root: PublicKey,
    /// Signing keys, 1 to 256.
    pub keys: Vec<PublicKey>,
    /// Keys of other sites, at most [`FOREIGN_KEYS_MAX`], rising, each once; none of the list's own site.
    pub foreign: Vec<ForeignKey>,
    /// Ed25519 of the root key over everything before it.
    pub signature: [u8; 64],
}

impl KeyList {
    /// Makes and signs a list without keys of other sites.
    pub fn sign(site: SiteCode, serial: u32, keys: Vec<PublicKey>, root: &SigningKey) -> Self {
        Self::sign_with_foreign(site, serial, keys, Vec::new(), root)
    }

    /// Makes and signs a list. Foreign keys are put in order; those of `site` itself are left out.
    pub fn sign_with_foreign(
        site: SiteCode,
        serial: u32,
        keys: Vec<PublicKey>,
        foreign: Vec<ForeignKey>,
        root: &SigningKey,
    ) -> Self {
        let foreign = Self::in_order(site, foreign);
        let mut list = Self { site, serial, root: root.public(), keys, foreign, signature: [0; 64] };
        list.signature = root.0.sign(&list.signed_bytes()).to_bytes();
        list
    }

    /// Foreign keys as the list of `site` keeps them: in order, each once, none of its own.
    pub fn in_order(site: SiteCode, mut foreign: Vec<ForeignKey>) -> Vec<ForeignKey> {
        foreign.retain(|key| key.site != site);
        foreign.sort_unstable();
        foreign.dedup();
        foreign
    }

    /// The keys that sign for `site`.
    pub fn keys_of(&self, site: SiteCode) -> impl Iterator<Item = PublicKey> + '_ {
        let own = self.keys.iter().copied().filter(move |_| site == self.site);
        let foreign = self.foreign.iter().filter(move |key| key.site == site).map(|key| key.key);
        own.chain(foreign)
    }

    /// The site's own keys as another site lists them.
    pub fn as_foreign(&self) -> impl Iterator<Item = ForeignKey> + '_ {
        self.keys.iter().map(|key| ForeignKey { site: self.site, key: *key })
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + 32 * self.keys.len() + 35 * self.foreign.len());
        out.extend(MAGIC);
        // Without foreign keys a list is readable by holders that know format 1 only.
        let format = if self.foreign.is_empty() { FORMAT } else { FORMAT_FOREIGN };
        out.extend(format.to_le_bytes());
        out.extend(self.site.as_bytes());
        out.extend(self.serial.to_le_bytes());
        out.extend(self.root.0);
        out.extend((self.keys.len() as u16).to_le_bytes());
        self.keys.iter().for_each(|key| out.extend(key.0));
        if !self.foreign.is_empty() {
            out.extend((self.foreign.len() as u16).to_le_bytes());
            for foreign in &self.foreign {
                out.extend(foreign.site.as_bytes());
                out.extend(foreign.key.0);
            }
        }
        out
    }

    /// The list's bytes, signature last.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signed_bytes();
        out.extend(self.signature);
        out
    }

    /// Reads a list. Its signature is not checked: see [`KeyList::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        let mut reader = Reader::new(bytes);
        let refusals = ["not a key list", "key list format is not known"];
        let (format, site) = opening(&mut reader, MAGIC, &[FORMAT, FORMAT_FOREIGN], refusals)?;
        let serial = reader.u32()?;
        let root = PublicKey(reader.array()?);
        let count = reader.u16()?;
        if count == 0 || count > KEYS_MAX {
            return Err(StatementError::Form("a key list has 1 to 256 keys"));
        }
        let keys = (0..count).map(|_| reader.array().map(PublicKey)).collect::<Result<_, _>>()?;
        let foreign = if format == FORMAT_FOREIGN { foreign_keys(&mut reader, site)? } else { Vec::new() };
        let signature = reader.array()?;
        reader.finish()?;
        Ok(Self { site, serial, root, keys, foreign, signature })
    }

    /// Checks that the pinned root key signed this list.
    pub fn verify(&self, pinned_root: &PublicKey) -> Result<(), StatementError> {
        if self.root != *pinned_root {
            return Err(StatementError::Signature(
                "the key list is signed by another root key than the pinned one",
            ));
        }
        pinned_root.verify(&self.signed_bytes(), &self.signature)
    }
}

/// The keys of other sites in a list of format 2: at least one, rising, none of `own`.
fn foreign_keys(reader: &mut Reader<'_>, own: SiteCode) -> Result<Vec<ForeignKey>, StatementError> {
    let count = usize::from(reader.u16()?);
    if count == 0 || count > FOREIGN_KEYS_MAX {
        return Err(StatementError::Form("a key list of format 2 has 1 to 8192 keys of other sites"));
    }
    let mut keys: Vec<ForeignKey> = Vec::new();
    for _ in 0..count {
        let key = ForeignKey { site: site_code(reader)?, key: PublicKey(reader.array()?) };
        if key.site == own || keys.last().is_some_and(|last| *last >= key) {
            return Err(StatementError::Form("the keys of other sites are not in order"));
        }
        keys.push(key);
    }
    Ok(keys)
}
