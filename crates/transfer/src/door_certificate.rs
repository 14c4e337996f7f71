//! The certificate of the management listeners: issued by the site's authority for the names by
//! which clients ask, renewed when it is due.
//!
//! | file | holds |
//! |---|---|
//! | `door-key.pem` | its key |
//! | `door.pem` | the certificate |
//!
//! It names hosts and addresses and no identity of the link: it opens no link, and a certificate
//! of the link opens no management listener. TLS 1.2 is spoken beside 1.3, for older clients.
//!
//! A client may show a certificate of its own. Here only its time and its key are checked: who it
//! signs in is decided by its fingerprint, where the accounts are.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex};

use restock_names::{Digest, Timestamp};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use x509_parser::extensions::GeneralName;

use crate::authority::{is_due, new_key};
use crate::secret::{TrustError, read_secret, write_secret};
use crate::site_trust::{certificate_in, key_in, to_pem};
use crate::tls::sha256;
use crate::{Fingerprint, Identity, SiteTrust};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

/// Names ending so belong to the link.
const LINK_DOMAIN: &str = ".restock.internal";

/// A certificate for the names of a site's management listeners.
#[derive(Debug)]
pub struct DoorCertificate {
    trust: Arc<SiteTrust>,
    names: Vec<String>,
    leaf: Mutex<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    authority: Fingerprint,
    certificate: CertificateDer<'static>,
    config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, which is signed with it.
    hash: Digest,
}

impl DoorCertificate {
    /// Reads or makes the certificate for `names`: DNS names and IP addresses.
    ///
    /// Errors: no name, or one that no certificate can carry; files that cannot be read or written.
    pub fn open(trust: Arc<SiteTrust>, names: &[String], now: Timestamp) -> Result<Self, TrustError> {
        let names: BTreeSet<String> = names.iter().map(|name| plain(name)).collect();
        if names.is_empty() || names.iter().any(|name| name.is_empty() || name.ends_with(LINK_DOMAIN)) {
            let what = "at least one name of this machine is wanted, and none of the link's own";
            return Err(TrustError::format(&trust.folder().join("door.pem"), what));
        }
        let names: Vec<String> = names.into_iter().collect();
        let path = trust.folder().join("door.pem");
        let kept = match read_secret(&path)? {
            Some(pem) => Some(certificate_in(&path, &pem)?),
            None => None,
        };
        let usable = kept.filter(|certificate| {
            !is_due(certificate, now) && names_in(certificate) == names && trust.has_issued(certificate)
        });
        let certificate = match usable {
            Some(certificate) => certificate,
            None => issue(&trust, &names, now)?,
        };
        let config = config(&trust, certificate.clone())?;
        let hash = sha256(&certificate);
        let leaf = Mutex::new(Leaf { authority: trust.oldest_authority(), certificate, config, hash });
        Ok(Self { leaf, trust, names })
    }

    /// TLS with the certificate, renewed first when it is due or its authority counts no more; and
    /// SHA-256 of the certificate, to which clients can bind what they sign in with.
    pub fn server_config(&self, now: Timestamp) -> Result<(Arc<ServerConfig>, Digest), TrustError> {
        let mut leaf = self.leaf.lock().expect("no code panics while holding this lock");
        if is_due(&leaf.certificate, now) || leaf.authority != self.trust.oldest_authority() {
            let authority = self.trust.oldest_authority();
            let certificate = issue(&self.trust, &self.names, now)?;
            let config = config(&self.trust, certificate.clone())?;
            let hash = sha256(&certificate);
            *leaf = Leaf { authority, certificate, config, hash };
        }
        Ok((Arc::clone(&leaf.config), leaf.hash))
    }
}

fn plain(name: &str) -> String {
    name.trim().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

/// Signs a certificate over the door's key, which is made when there is none.
fn issue(trust: &SiteTrust, names: &[String], now: Timestamp) -> Result<CertificateDer<'static>, TrustError> {
    let key_path = trust.folder().join("door-key.pem");
    let key = match read_secret(&key_path)? {
        Some(pem) => String::from_utf8(pem)
            .ok()
            .and_then(|pem| rcgen::KeyPair::from_pem(&pem).ok())
            .ok_or_else(|| TrustError::format(&key_path, "not a key"))?,
        None => {
            let key = new_key()?;
            write_secret(&key_path, key.serialize_pem().as_bytes())?;
            key
        }
    };
    let certificate = trust.issue_for_names(names, &key, now)?;
    write_secret(&trust.folder().join("door.pem"), to_pem(&certificate).as_bytes())?;
    Ok(certificate)
}

fn config(trust: &SiteTrust, certificate: CertificateDer<'static>) -> Result<Arc<ServerConfig>, TrustError> {
    let failed = |source| TrustError::Tls { source };
    let key = key_in(&trust.folder().join("door-key.pem"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(failed)?
        .with_client_cert_verifier(Arc::new(AnyPerson))
        .with_single_cert(vec![certificate], key)
        .map_err(failed)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Lets clients show a certificate: within its time, and with its key.
#[derive(Debug)]
struct AnyPerson;

impl ClientCertVerifier for AnyPerson {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let (_, parsed) = x509_parser::parse_x509_certificate(end_entity)
            .map_err(|_unread| rustls::Error::from(CertificateError::BadEncoding))?;
        let (validity, now) = (parsed.validity(), i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        if now < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// The names of a certificate, sorted; empty for one that carries an identity or cannot be read.
fn names_in(certificate: &CertificateDer<'_>) -> Vec<String> {
    if Identity::of_certificate(certificate).is_ok() {
        return Vec::new();
    }
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return Vec::new() };
    let Ok(extension) = parsed.subject_alternative_name() else { return Vec::new() };
    let mut names: Vec<String> = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            },
            _ => None,
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use restock_names::{Clock, ManualClock, SystemClock};

    use super::{DoorCertificate, names_in, sha256};
    use crate::{Identity, SiteTrust};

    #[test]
    fn a_door_certificate_is_kept_renewed_and_reissued_for_other_names() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(SystemClock.now());
        let trust = Arc::new(SiteTrust::create(folder.path(), "XYZ".parse().unwrap(), &clock).unwrap());
        let names = ["Site.Example".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
        let open = |names: &[String]| DoorCertificate::open(Arc::clone(&trust), names, clock.now()).unwrap();
        let kept = |door: &DoorCertificate| door.leaf.lock().unwrap().certificate.clone();
        let first = open(&names);
        assert_eq!(names_in(&kept(&first)), ["127.0.0.1", "::1", "site.example"]);
        assert!(Identity::of_certificate(&kept(&first)).is_err(), "it is no identity of the link");
        assert_eq!(kept(&open(&names)), kept(&first));
        assert_ne!(kept(&open(&names[..1])), kept(&first));
        let (before, hash) = first.server_config(clock.now()).unwrap();
        assert_eq!(hash, sha256(&kept(&first)));
        clock.advance(Duration::from_secs(41 * 86_400));
        assert!(!Arc::ptr_eq(&before, &first.server_config(clock.now()).unwrap().0));
        for bad in [vec![], vec!["xyz.site.restock.internal".to_owned()], vec!["a b".to_owned()]] {
            let opened = DoorCertificate::open(Arc::clone(&trust), &bad, clock.now());
            assert!(opened.is_err(), "{bad:?}");
        }
    }
}
