//! The certificates by which a site shows itself: one of each authority that counts, over one key.

use std::sync::Arc;

use restock_names::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::{SiteTrust, certificate_in, key_in, open_link_key, to_pem};
use crate::Fingerprint;
use crate::authority::{is_due, is_issued_by};
use crate::secret::{TrustError, read_secret, write_secret};
use crate::tls::{Known, server_config};

/// The site's own certificate of one authority, and TLS set up with it.
#[derive(Debug)]
pub(super) struct Leaf {
    authority: CertificateDer<'static>,
    pub(super) certificate: CertificateDer<'static>,
    config: Arc<ServerConfig>,
}

/// How a listener shows itself to one client.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The authority of the certificate that is shown.
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) config: Arc<ServerConfig>,
}

impl SiteTrust {
    /// How to show this site to a client that knows some of its authorities: with a certificate of the
    /// newest it knows, or of the oldest that counts if it does not say. Certificates that are due are
    /// renewed first.
    pub(crate) fn shown(&self, known: &Known, now: Timestamp) -> Result<Shown, TrustError> {
        let mut leaves = self.leaves.lock().expect("no code panics while holding this lock");
        if leaves.is_empty() || leaves.iter().any(|leaf| is_due(&leaf.certificate, now)) {
            *leaves = self.issue_leaves(now)?;
        }
        let leaf = leaves.iter().find(|leaf| known.contains(Fingerprint::of(&leaf.authority)));
        let leaf = leaf.or(leaves.last()).expect("a site has an authority");
        Ok(Shown { authority: leaf.authority.clone(), config: Arc::clone(&leaf.config) })
    }

    /// The site's own certificates, one of each authority that counts. That of the oldest is kept.
    fn issue_leaves(&self, now: Timestamp) -> Result<Vec<Leaf>, TrustError> {
        let (authorities, key) = (self.authorities(), open_link_key(&self.folder)?);
        let path = self.folder.join("link.pem");
        let kept = read_secret(&path)?.ok_or_else(|| TrustError::Missing(self.folder.clone()))?;
        let kept = certificate_in(&path, &kept)?;
        let roots: Vec<_> = authorities.all().iter().map(|a| a.certificate().clone()).collect();
        let mut leaves = Vec::new();
        for authority in authorities.all() {
            let is_kept = !is_due(&kept, now) && is_issued_by(&kept, authority.certificate());
            let certificate =
                if is_kept { kept.clone() } else { authority.issue_for_listener(self.site, &key, now)? };
            if !is_kept && authority.fingerprint() == authorities.oldest().fingerprint() {
                write_secret(&path, to_pem(&certificate).as_bytes())?;
            }
            // The authority is sent along: a joiner knows it by its fingerprint only.
            let chain = vec![certificate.clone(), authority.certificate().clone()];
            let config = server_config(&roots, chain, key_in(&self.folder.join("link-key.pem"))?)?;
            leaves.push(Leaf { authority: authority.certificate().clone(), certificate, config });
        }
        Ok(leaves)
    }
}
