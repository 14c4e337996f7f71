//! A person's certificate: what is kept of it, and that it is none of the link.

use restock_names::{Digest, Timestamp};
use ring::digest::{SHA256, digest};
use x509_parser::extensions::GeneralName;

/// What identities of the link begin with, in a certificate's alternative names.
const IDENTITY: &str = "restock://";
/// Characters of a subject that are kept.
const SUBJECT_CHARS_MAX: usize = 512;

/// What a certificate says, as far as signing in is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonCertificate {
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// Whom it names.
    pub subject: String,
    /// It is refused before.
    pub not_before: Timestamp,
    /// It is refused afterwards.
    pub not_after: Timestamp,
    /// It is the certificate of a site or a distribution point, which never signs in.
    pub is_of_link: bool,
}

impl PersonCertificate {
    /// Reads a certificate in DER; `None` when it is none.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (rest, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let names = parsed.subject_alternative_name().ok()?;
        let mut names = names.iter().flat_map(|extension| &extension.value.general_names);
        let is_of_link = names.any(|name| matches!(name, GeneralName::URI(uri) if uri.starts_with(IDENTITY)));
        let at = |time: &x509_parser::time::ASN1Time| Timestamp(time.timestamp().saturating_mul(1_000_000));
        Some(Self {
            fingerprint: fingerprint(der),
            subject: parsed.subject().to_string().chars().take(SUBJECT_CHARS_MAX).collect(),
            not_before: at(&parsed.validity().not_before),
            not_after: at(&parsed.validity().not_after),
            is_of_link,
        })
    }
}

/// SHA-256 of a certificate in DER.
fn fingerprint(der: &[u8]) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, der).as_ref());
    Digest(hash)
}
