//! The certificate of a TLS listener: two PEM files of the operator, read again when they change.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use restock_transfer::{DpIdentity, TrustError, content_tls};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How often the files are looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Where the certificate of a TLS listener lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and the chain above it, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why a TLS listener has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsFilesError {
    /// A file is not there, or is not what it should be.
    #[error("failed to read {}: {what}", .path.display())]
    Read { path: PathBuf, what: String },
    /// Certificate and key do not fit.
    #[error("TLS does not accept the certificate {}", .path.display())]
    Tls { path: PathBuf, source: TrustError },
}

/// The TLS configuration of the moment.
#[derive(Debug)]
pub(crate) struct TlsKeeper {
    files: TlsFiles,
    identity: Option<Arc<DpIdentity>>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    config: Arc<ServerConfig>,
    written: [Option<SystemTime>; 2],
    looked_at: Instant,
}

impl TlsKeeper {
    /// Reads the files. Clients of `identity`'s site may show their certificates.
    pub(crate) fn open(
        files: TlsFiles,
        identity: Option<Arc<DpIdentity>>,
        now: Instant,
    ) -> Result<Self, TlsFilesError> {
        let written = files.written();
        let config = files.config(identity.as_deref())?;
        let kept = Mutex::new(Kept { config, written, looked_at: now });
        Ok(Self { files, identity, kept })
    }

    /// The configuration for a connection accepted at `now`. Files that changed and are in order
    /// take effect; others change nothing and are told of.
    pub(crate) fn config(&self, now: Instant) -> Arc<ServerConfig> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(kept.looked_at) >= LOOK_PERIOD {
            kept.looked_at = now;
            let written = self.files.written();
            if written != kept.written || self.identity.is_some() {
                match self.files.config(self.identity.as_deref()) {
                    Ok(config) => kept.config = config,
                    Err(error) if written != kept.written => {
                        tracing::warn!(target: "smsdpprov", %error, "the certificate of the listener stays the old one");
                    }
                    Err(_) => {}
                }
                kept.written = written;
            }
        }
        Arc::clone(&kept.config)
    }
}

impl TlsFiles {
    fn written(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok())
    }

    fn config(&self, identity: Option<&DpIdentity>) -> Result<Arc<ServerConfig>, TlsFilesError> {
        let failed = |path: &PathBuf, what: String| TlsFilesError::Read { path: path.clone(), what };
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| failed(path, error.to_string()));
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(&self.certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|error| failed(&self.certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(failed(&self.certificate, "it holds no certificate".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| failed(&self.key, error.to_string()))?;
        let config = match identity {
            Some(identity) => identity.content_tls(chain, key),
            None => content_tls(&[], chain, key),
        };
        config.map_err(|source| TlsFilesError::Tls { path: self.certificate.clone(), source })
    }
}
