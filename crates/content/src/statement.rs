//! The signed statement that makes a manifest a content version, and the keys that sign it.
//!
//! A site has a root key that signs its [`KeyList`]; the keys in the list sign [`Statement`]s. A
//! holder pins the root key when it is enrolled and accepts what a listed key signed. The list also
//! names the keys of other sites ([`ForeignKey`]), each good for statements of its own site only.
//!
//! The site also signs its [`Head`], which expires, and its [`AuthorityList`].
//!
//! Source: docs/formats/statement.md.

mod authorities;
mod content_token;
mod head;
mod key_list;

pub use authorities::AuthorityList;
pub use content_token::{ContentToken, ContentTokenError, TOKEN_LIFE_MAX, TOKEN_PACKAGES_MAX};
pub use head::Head;
pub use key_list::{FOREIGN_KEYS_MAX, ForeignKey, KeyList};

use ed25519_dalek::{Signer, VerifyingKey};
use restock_names::{ContentVersion, Digest, Epoch, PackageId, SiteCode, SourceVersion, Timestamp};

use crate::codec::{DecodeError, Reader};
use crate::hash::key_id;
use crate::manifest::ManifestRoot;

const STATEMENT_MAGIC: &[u8; 4] = b"RSst";
const FORMAT: u16 = 1;

/// A content version, signed by the site that owns the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The owning site.
    pub site: SiteCode,
    /// Package, epoch and source version.
    pub version: ContentVersion,
    /// The manifest and its totals.
    pub root: ManifestRoot,
    /// When the version was published, by the owning site's clock.
    pub published_at: Timestamp,
    /// The key that signed.
    pub key_id: [u8; 8],
    /// Ed25519 over everything before it.
    pub signature: [u8; 64],
}

/// Why bytes are not an acceptable statement or key list. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The encoding is broken.
    #[error("MANIFEST_FORMAT: {0}")]
    Encoding(#[from] DecodeError),
    /// Not this kind of object, or a format this reader does not know.
    #[error("MANIFEST_FORMAT: {0}")]
    Form(&'static str),
    /// No listed key made the signature.
    #[error("MANIFEST_SIGNATURE: {0}")]
    Signature(&'static str),
    /// The key list names no key of the site that signed; a newer list may.
    #[error("MANIFEST_SIGNATURE: the key list has no key of the statement's site")]
    UnknownSite,
}

impl Statement {
    /// Makes and signs a statement.
    pub fn sign(
        site: SiteCode,
        version: ContentVersion,
        root: ManifestRoot,
        published_at: Timestamp,
        key: &SigningKey,
    ) -> Self {
        let mut statement =
            Self { site, version, root, published_at, key_id: key.key_id(), signature: [0; 64] };
        statement.signature = key.0.sign(&statement.signed_bytes()).to_bytes();
        statement
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        out.extend(STATEMENT_MAGIC);
        out.extend(FORMAT.to_le_bytes());
        out.extend(self.site.as_bytes());
        out.extend(self.version.package.as_str().as_bytes());
        out.extend(self.version.epoch.0.to_le_bytes());
        out.extend(self.version.version.0.to_le_bytes());
        out.extend(self.published_at.0.to_le_bytes());
        out.extend(self.root.digest.0);
        out.extend(self.root.length.to_le_bytes());
        for number in [self.root.pages, self.root.entries, self.root.chunks, self.root.bytes] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.key_id);
        out
    }

    /// The statement's bytes, signature last.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signed_bytes();
        out.extend(self.signature);
        out
    }

    /// Reads a statement. Its signature is not checked: see [`Statement::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        let mut reader = Reader::new(bytes);
        let refusals = ["not a statement", "statement format is not known"];
        let (_, site) = opening(&mut reader, STATEMENT_MAGIC, &[FORMAT], refusals)?;
        let package = std::str::from_utf8(reader.take(8)?)
            .ok()
            .and_then(|text| text.parse::<PackageId>().ok().filter(|id| id.as_str() == text))
            .ok_or(StatementError::Form("the package ID is not valid"))?;
        let (epoch, version) = (Epoch(reader.u32()?), SourceVersion(reader.u32()?));
        let published_at = Timestamp(reader.u64()?.cast_signed());
        let root = ManifestRoot {
            digest: Digest(reader.array()?),
            length: reader.u32()?,
            pages: reader.u64()?,
            entries: reader.u64()?,
            chunks: reader.u64()?,
            bytes: reader.u64()?,
        };
        let (key_id, signature) = (reader.array()?, reader.array()?);
        reader.finish()?;
        let version = ContentVersion { package, epoch, version };
        Ok(Self { site, version, root, published_at, key_id, signature })
    }

    /// Checks that a key which `keys` lists for the statement's site signed it.
    ///
    /// A key that is listed for one site signs nothing for another. Whether that site owns the
    /// package is not told by a key list: the caller knows.
    pub fn verify(&self, keys: &KeyList) -> Result<(), StatementError> {
        let mut of_site = keys.keys_of(self.site).peekable();
        if of_site.peek().is_none() {
            return Err(StatementError::UnknownSite);
        }
        let key = of_site
            .find(|key| key.key_id() == self.key_id)
            .ok_or(StatementError::Signature("the signing key is not listed for the statement's site"))?;
        key.verify(&self.signed_bytes(), &self.signature)
    }
}

/// A private Ed25519 key. `Debug` shows only its key id.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new key from the machine's randomness.
    ///
    /// Errors: the operating system's source of randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self::from_bytes(&seed))
    }

    /// The key with this seed.
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, for a key file of mode 0600.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// The identifier statements carry.
    pub fn key_id(&self) -> [u8; 8] {
        self.public().key_id()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:02x?})", self.key_id())
    }
}

/// A public Ed25519 key as its 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The identifier statements carry.
    pub fn key_id(&self) -> [u8; 8] {
        key_id(&self.0)
    }

    fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), StatementError> {
        let key = VerifyingKey::from_bytes(&self.0)
            .map_err(|_invalid| StatementError::Signature("the public key is not valid"))?;
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature))
            .map_err(|_mismatch| StatementError::Signature("the signature does not match the bytes"))
    }
}

/// What every signed form begins with: its magic, its format, the site's code. Returns the last two.
///
/// Errors: the first of `refusals` for another magic, the second for a format not among `formats`.
fn opening(
    reader: &mut Reader<'_>,
    magic: &[u8],
    formats: &[u16],
    refusals: [&'static str; 2],
) -> Result<(u16, SiteCode), StatementError> {
    let [other_magic, other_format] = refusals;
    if reader.take(4)? != magic {
        return Err(StatementError::Form(other_magic));
    }
    let format = reader.u16()?;
    if !formats.contains(&format) {
        return Err(StatementError::Form(other_format));
    }
    Ok((format, site_code(reader)?))
}

fn site_code(reader: &mut Reader<'_>) -> Result<SiteCode, StatementError> {
    std::str::from_utf8(reader.take(3)?)
        .ok()
        .and_then(|text| text.parse::<SiteCode>().ok().filter(|code| code.as_str() == text))
        .ok_or(StatementError::Form("the site code is not valid"))
}

/// Fuzz target: any bytes are refused or survive a round trip, byte for byte.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    if let Ok(statement) = Statement::decode(bytes) {
        assert_eq!(statement.encode(), bytes);
    }
    if let Ok(list) = KeyList::decode(bytes) {
        assert_eq!(list.encode(), bytes);
    }
    if let Ok(head) = Head::decode(bytes) {
        assert_eq!(head.encode(), bytes);
    }
    if let Ok(list) = AuthorityList::decode(bytes) {
        assert_eq!(list.encode(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{AuthorityList, ForeignKey, Head, KeyList, SigningKey, Statement, StatementError, fuzz_one};
    use crate::manifest::ManifestRoot;
    use proptest::prelude::{any, prop, proptest};
    use restock_names::{ContentVersion, Digest, Epoch, SourceVersion, Timestamp};

    fn statement(key: &SigningKey) -> Statement {
        let version = ContentVersion {
            package: "XYZ00001".parse().expect("valid"),
            epoch: Epoch::FIRST,
            version: SourceVersion(7),
        };
        let root =
            ManifestRoot { digest: Digest([9; 32]), length: 5, pages: 1, entries: 2, chunks: 3, bytes: 4 };
        Statement::sign("XYZ".parse().expect("valid"), version, root, Timestamp(1_000_000), key)
    }

    #[test]
    fn a_listed_key_is_accepted_and_no_other() {
        let (root, key, other) = (
            SigningKey::from_bytes(&[1; 32]),
            SigningKey::from_bytes(&[2; 32]),
            SigningKey::from_bytes(&[3; 32]),
        );
        let list = KeyList::sign("XYZ".parse().expect("valid"), 1, vec![key.public()], &root);
        assert_eq!(KeyList::decode(&list.encode()).expect("decodes"), list);
        assert_eq!(list.verify(&root.public()), Ok(()));
        assert!(list.verify(&other.public()).is_err());
        let good = statement(&key);
        assert_eq!(Statement::decode(&good.encode()).expect("decodes"), good);
        assert_eq!(good.verify(&list), Ok(()));
        assert!(matches!(statement(&other).verify(&list), Err(StatementError::Signature(_))));
        let mut forged = good.clone();
        forged.root.bytes += 1;
        assert!(matches!(forged.verify(&list), Err(StatementError::Signature(_))));
        let foreign = KeyList::sign("ABC".parse().expect("valid"), 1, vec![key.public()], &root);
        assert!(matches!(good.verify(&foreign), Err(StatementError::UnknownSite)));
    }

    #[test]
    fn a_foreign_key_signs_for_its_own_site_only() {
        let sites = ["ABC", "DEF", "XYZ"].map(|code| code.parse().expect("valid"));
        let [abc, def, xyz] = sites;
        let keys: Vec<SigningKey> = (1..=4).map(|seed| SigningKey::from_bytes(&[seed; 32])).collect();
        let root = SigningKey::from_bytes(&[9; 32]);
        let foreign = vec![
            ForeignKey { site: def, key: keys[2].public() },
            ForeignKey { site: abc, key: keys[1].public() },
            ForeignKey { site: abc, key: keys[1].public() },
            ForeignKey { site: xyz, key: keys[3].public() },
        ];
        let list = KeyList::sign_with_foreign(xyz, 2, vec![keys[0].public()], foreign, &root);
        assert_eq!(list.foreign.len(), 2, "each once, none of the list's own site");
        assert_eq!(KeyList::decode(&list.encode()).expect("decodes"), list);
        assert_eq!(list.verify(&root.public()), Ok(()));
        let good = statement(&keys[0]);
        // Rows: the site, which of the keys sign for it.
        for (site, signs) in [(xyz, 0), (abc, 1), (def, 2)] {
            for (at, key) in keys.iter().enumerate() {
                let signed = Statement::sign(site, good.version, good.root, good.published_at, key);
                assert_eq!(signed.verify(&list).is_ok(), at == signs, "{site:?}, key {at}");
            }
        }
        let mut unordered = list;
        unordered.foreign.reverse();
        assert!(matches!(KeyList::decode(&unordered.encode()), Err(StatementError::Form(_))));
    }

    #[test]
    fn samples_of_both_formats_are_read() {
        let root: [u8; 32] = *include_bytes!("../../../docs/formats/samples/keys/root-public-key");
        let decode = |bytes: &[u8]| {
            fuzz_one(bytes);
            let list = KeyList::decode(bytes).expect("decodes");
            list.verify(&super::PublicKey(root)).expect("signed by the root key");
            list
        };
        let first = decode(include_bytes!("../../../docs/formats/samples/keys/list"));
        let second = decode(include_bytes!("../../../docs/formats/samples/keys/list-2"));
        assert_eq!((first.serial, first.foreign.len()), (1, 0));
        assert_eq!((second.serial, second.foreign.len(), second.keys == first.keys), (2, 2, true));
        let foreign = include_bytes!("../../../docs/formats/samples/keys/foreign-statement");
        let foreign = Statement::decode(foreign).expect("decodes");
        assert_eq!(foreign.verify(&second), Ok(()));
        assert!(foreign.verify(&first).is_err());
        let head = include_bytes!("../../../docs/formats/samples/keys/head");
        fuzz_one(head);
        let head = Head::decode(head).expect("decodes");
        assert_eq!(head.verify(&first, head.issued_at), Ok(()));
        assert_eq!((head.site, head.key_list_serial), ("XYZ".parse().expect("valid"), 1));
        let authorities = include_bytes!("../../../docs/formats/samples/keys/authorities");
        fuzz_one(authorities);
        let authorities = AuthorityList::decode(authorities).expect("decodes");
        assert_eq!(authorities.verify(&super::PublicKey(root)), Ok(()));
        assert_eq!((authorities.serial, authorities.certificates.len()), (1, 2));
    }

    proptest! {
        #[test]
        fn damaged_statements_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), flip in any::<usize>()) {
            fuzz_one(&bytes);
            let mut good = statement(&SigningKey::from_bytes(&[2; 32])).encode();
            let at = flip % good.len();
            good[at] ^= 1 << (flip % 8);
            fuzz_one(&good);
            let (first, second) = (b"RSkl\x01\x00", b"RSkl\x02\x00XYZ");
            fuzz_one(&[&first[..], &bytes].concat());
            bytes.splice(0..0, *second);
            fuzz_one(&bytes);
        }
    }
}
