//! The authorities that sign certificates of a site's link, as its root key lists them.
//!
//! While a site changes its authority two of them count. A holder takes a list that the pinned root
//! key signed; an authority that is not in the newest list counts no more.
//!
//! Certificates are bytes here: what is in them is the link's matter.
//!
//! Source: docs/formats/statement.md, "Authority list".

use ed25519_dalek::Signer;
use restock_names::SiteCode;

use super::{PublicKey, SigningKey, StatementError, opening};
use crate::codec::Reader;

const MAGIC: &[u8; 4] = b"RSal";
const FORMAT: u16 = 1;
/// Authorities in one list, at most.
const AUTHORITIES_MAX: u8 = 4;
/// The longest certificate of an authority.
const CERTIFICATE_BYTES_MAX: u16 = 4_096;

/// The certificates of a site's authorities, signed by the site's root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityList {
    /// The site.
    pub site: SiteCode,
    /// Rises with each list; a holder refuses a lower one.
    pub serial: u32,
    /// The root key that signed.
    pub root: PublicKey,
    /// Certificates in DER, 1 to 4, the newest first.
    pub certificates: Vec<Vec<u8>>,
    /// Ed25519 of the root key over everything before it.
    pub signature: [u8; 64],
}

impl AuthorityList {
    /// Makes and signs a list of 1 to 4 certificates of at most 4,096 bytes, the newest first.
    pub fn sign(site: SiteCode, serial: u32, certificates: Vec<Vec<u8>>, root: &SigningKey) -> Self {
        let mut list = Self { site, serial, root: root.public(), certificates, signature: [0; 64] };
        list.signature = root.0.sign(&list.signed_bytes()).to_bytes();
        list
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(46 + self.certificates.iter().map(|c| c.len() + 2).sum::<usize>());
        out.extend(MAGIC);
        out.extend(FORMAT.to_le_bytes());
        out.extend(self.site.as_bytes());
        out.extend(self.serial.to_le_bytes());
        out.extend(self.root.0);
        out.push(self.certificates.len() as u8);
        for certificate in &self.certificates {
            out.extend((certificate.len() as u16).to_le_bytes());
            out.extend(certificate);
        }
        out
    }

    /// The list's bytes, signature last.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signed_bytes();
        out.extend(self.signature);
        out
    }

    /// Reads a list. Its signature is not checked: see [`AuthorityList::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        let mut reader = Reader::new(bytes);
        let refusals = ["not a list of authorities", "the format of the list of authorities is not known"];
        let (_, site) = opening(&mut reader, MAGIC, &[FORMAT], refusals)?;
        let serial = reader.u32()?;
        let root = PublicKey(reader.array()?);
        let count = reader.u8()?;
        if count == 0 || count > AUTHORITIES_MAX {
            return Err(StatementError::Form("a list has 1 to 4 authorities"));
        }
        let certificates = (0..count)
            .map(|_| {
                let length = reader.u16()?;
                if length == 0 || length > CERTIFICATE_BYTES_MAX {
                    return Err(StatementError::Form("the certificate of an authority has 1 to 4096 bytes"));
                }
                Ok(reader.take(usize::from(length))?.to_vec())
            })
            .collect::<Result<_, _>>()?;
        let signature = reader.array()?;
        reader.finish()?;
        Ok(Self { site, serial, root, certificates, signature })
    }

    /// Checks that the pinned root key signed this list.
    pub fn verify(&self, pinned_root: &PublicKey) -> Result<(), StatementError> {
        if self.root != *pinned_root {
            return Err(StatementError::Signature("the list of authorities is signed by another root key"));
        }
        pinned_root.verify(&self.signed_bytes(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::AuthorityList;
    use crate::statement::{SigningKey, fuzz_one};

    #[test]
    fn only_the_pinned_root_key_lists_authorities() {
        let (root, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let site = "XYZ".parse().expect("valid");
        let list = AuthorityList::sign(site, 3, vec![vec![1; 400], vec![2; 300]], &root);
        assert_eq!(AuthorityList::decode(&list.encode()).expect("decodes"), list);
        assert_eq!(list.verify(&root.public()), Ok(()));
        assert!(list.verify(&other.public()).is_err());
        let forged =
            AuthorityList { root: root.public(), ..AuthorityList::sign(site, 3, vec![vec![9]], &other) };
        assert!(forged.verify(&root.public()).is_err());
        let lower = AuthorityList { serial: 2, ..list.clone() };
        assert!(lower.verify(&root.public()).is_err());
        for bad in [vec![], vec![vec![]], vec![vec![1]; 5], vec![vec![1; 5_000]]] {
            let bytes = AuthorityList::sign(site, 1, bad, &root).encode();
            assert!(AuthorityList::decode(&bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn damaged_lists_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_one(&[&b"RSal\x01\x00XYZ"[..], &bytes].concat());
        }
    }
}
