//! TLS 1.3 and nothing older: configurations of both ends, and how the far end is verified.

use std::sync::{Arc, LazyLock};

use restock_names::{Digest, SiteCode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::authority::site_server_name;
use crate::{Fingerprint, TrustError};

/// The protocol both ends must agree on.
pub(crate) const ALPN: &[u8] = b"restock-link/1";

/// AES-128 before the others: it is the fastest where a processor helps with AES.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
    ];
    Arc::new(provider)
});

/// SHA-256, by the hash that TLS uses.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().expect("a TLS 1.3 suite");
    let output = suite.common.hash_provider.hash(bytes);
    Digest(output.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Which authorities a client says that it knows: their fingerprints, each as a distinguished name
/// with nothing but the common name `HEX`, in TLS's `certificate_authorities`.
#[derive(Debug, Default)]
pub(crate) struct Known(Vec<DistinguishedName>);

impl Known {
    /// What a client says.
    pub(crate) fn of(hello: &rustls::server::ClientHello<'_>) -> Self {
        Self(hello.certificate_authorities().map(<[DistinguishedName]>::to_vec).unwrap_or_default())
    }

    /// Does it know the authority with this fingerprint?
    pub(crate) fn contains(&self, authority: Fingerprint) -> bool {
        let wanted = hint(authority);
        self.0.iter().any(|name| name.as_ref() == wanted.as_ref())
    }
}

/// The name by which a client says that it knows an authority: a common name (2.5.4.3) in UTF-8.
fn hint(authority: Fingerprint) -> DistinguishedName {
    let text = authority.to_string();
    let put = |tag: u8, body: &[u8]| {
        let length = u8::try_from(body.len()).expect("64 digits and what stands before them");
        [&[tag, length][..], body].concat()
    };
    let attribute = [&[0x06, 3, 0x55, 0x04, 0x03][..], &put(0x0c, text.as_bytes())].concat();
    DistinguishedName::in_sequence(&put(0x31, &put(0x30, &attribute)))
}

/// The configuration of a site's listener: clients with a certificate of one of these authorities, or
/// with none (who may only enrol).
pub(crate) fn server_config(
    authorities: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TrustError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authorities)?), Arc::clone(&PROVIDER))
            .allow_unauthenticated()
            .build()
            .map_err(verifier_failed)?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_failed)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(tls_failed)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Every connection proves its key again: a removed point must not come back by a ticket.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The configuration of an enrolled point: it trusts its site's authorities and shows its certificate.
pub(crate) fn client_config(
    authorities: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>, TrustError> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AuthorityVerifier::new(authorities)?))
        .with_client_auth_cert(chain, key)
        .map_err(tls_failed)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The configuration of a joiner: it trusts whatever authority has the token's fingerprint.
pub(crate) fn joining_config(authority: Fingerprint) -> Result<Arc<ClientConfig>, TrustError> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(FingerprintVerifier {
            authority,
            hints: [hint(authority)],
        }))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The name a client asks a site for.
pub(crate) fn server_name(site: SiteCode) -> ServerName<'static> {
    ServerName::try_from(site_server_name(site)).expect("a site code makes a DNS label")
}

pub(crate) fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(tls_failed)?;
    }
    Ok(roots)
}

fn tls_failed(source: rustls::Error) -> TrustError {
    TrustError::Tls { source }
}

fn verifier_failed(error: rustls::client::VerifierBuilderError) -> TrustError {
    tls_failed(rustls::Error::General(error.to_string()))
}

/// Verifies a site's chain against the authorities that are known, and says which they are.
#[derive(Debug)]
struct AuthorityVerifier {
    inner: Arc<WebPkiServerVerifier>,
    hints: Vec<DistinguishedName>,
}

impl AuthorityVerifier {
    fn new(authorities: &[CertificateDer<'static>]) -> Result<Self, TrustError> {
        let roots = Arc::new(roots(authorities)?);
        let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER))
            .build()
            .map_err(verifier_failed)?;
        Ok(Self { inner, hints: authorities.iter().map(|a| hint(Fingerprint::of(a))).collect() })
    }
}

impl ServerCertVerifier for AuthorityVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        Some(&self.hints)
    }
}

/// Verifies a site's chain against the authority in that chain whose fingerprint is known.
#[derive(Debug)]
struct FingerprintVerifier {
    authority: Fingerprint,
    hints: [DistinguishedName; 1],
}

impl ServerCertVerifier for FingerprintVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == self.authority)
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&PROVIDER))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &PROVIDER.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        Some(&self.hints)
    }
}
