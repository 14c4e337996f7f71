//! TLS of a distribution point's content listeners.
//!
//! The certificate is the operator's own, for the names by which clients ask. Clients may show the
//! certificate of an enrolled holder; nobody else's is accepted. TLS 1.2 is spoken beside 1.3, for
//! older clients.

use std::sync::{Arc, LazyLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use crate::tls::roots;
use crate::{DpIdentity, Identity, TrustError};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

impl DpIdentity {
    /// TLS of a content listener with this chain and key. A client without a certificate is served;
    /// one that shows a certificate which none of the site's authorities signed is not.
    ///
    /// Errors: [`TrustError::Tls`], for example a key of another certificate.
    pub fn content_tls(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<ServerConfig>, TrustError> {
        content_tls(&self.enrolled().authorities(), chain, key)
    }
}

/// As [`DpIdentity::content_tls`], for clients of these authorities; without any, no client can show
/// a certificate.
pub fn content_tls(
    authorities: &[CertificateDer<'static>],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TrustError> {
    let failed = |source| TrustError::Tls { source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(failed)?;
    let builder = if authorities.is_empty() {
        builder.with_no_client_auth()
    } else {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authorities)?), Arc::clone(&PROVIDER))
                .allow_unauthenticated()
                .build()
                .map_err(|error| failed(rustls::Error::General(error.to_string())))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder.with_single_cert(chain, key).map_err(failed)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The holder whom a verified client certificate names.
pub fn holder_of(certificate: &CertificateDer<'_>) -> Option<Identity> {
    Identity::of_certificate(certificate).ok()
}
