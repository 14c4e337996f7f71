//! What a distribution point keeps of its enrolment.
//!
//! Beside the files of [`crate::enrolment`] there is `key.pem`, the point's private key, made before
//! it enrols; it has mode 0600 too.

use std::path::Path;
use std::sync::Arc;

use rcgen::KeyPair;
use restock_content::statement::KeyList;
use restock_names::{DistributionPointName, SiteCode, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::authority::{new_key, request_for};
use crate::enrolment::{Enrolled, Enrolment, check_site};
use crate::secret::{TrustError, create_folder, read_secret, write_secret};
use crate::site_trust::key_in;
use crate::{Fingerprint, Identity, SiteUrl};

/// An enrolled point: who it is, whom it trusts, where its site is.
#[derive(Debug)]
pub struct DpIdentity {
    name: DistributionPointName,
    fingerprint: Fingerprint,
    enrolled: Enrolled,
}

impl DpIdentity {
    /// Reads the identity in `folder`.
    ///
    /// Errors: [`TrustError::Missing`] when it holds none; [`TrustError::Mode`] for a file that
    /// others can read.
    pub fn open(folder: &Path) -> Result<Self, TrustError> {
        let certificate = Enrolled::certificate(folder)?;
        let Identity::DistributionPoint(site, name) = Identity::of_certificate(&certificate)? else {
            let path = Enrolled::certificate_path(folder);
            return Err(TrustError::format(&path, "not a distribution point's certificate"));
        };
        let fingerprint = Fingerprint::of_key_in(&certificate)?;
        let enrolled = Enrolled::open(folder, certificate, key_in(&folder.join("key.pem"))?)?;
        check_site(enrolled.site(), site)?;
        Ok(Self { name, fingerprint, enrolled })
    }

    /// The point's site.
    pub fn site(&self) -> SiteCode {
        self.enrolled.site()
    }

    /// The point's name.
    pub fn name(&self) -> &DistributionPointName {
        &self.name
    }

    /// Where the site's link listens.
    pub fn url(&self) -> &SiteUrl {
        self.enrolled.url()
    }

    /// The fingerprint of the point's key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The newest list of signing keys that was accepted.
    pub fn key_list(&self) -> KeyList {
        self.enrolled.key_list()
    }

    /// TLS as this point.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        self.enrolled.client_config()
    }

    /// Takes a key list from the site: signed by the pinned root key, its serial not below the one held.
    ///
    /// Errors: [`TrustError::KeyList`]; the held list stays.
    pub(crate) fn accept_key_list(&self, bytes: &[u8]) -> Result<(), TrustError> {
        self.enrolled.accept_key_list(bytes).map(drop)
    }

    /// Since when the site has not vouched for what it tells: its newest head has expired. What is held
    /// is served on. `None` while it has not, and for a site that never sent one.
    pub fn stale_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.enrolled.stale_since(now)
    }

    /// What is kept of the enrolment.
    pub(crate) fn enrolled(&self) -> &Enrolled {
        &self.enrolled
    }

    /// Takes a list of the site's authorities. Returns whether it changed anything.
    pub(crate) fn accept_authorities(&self, bytes: &[u8]) -> Result<bool, TrustError> {
        self.enrolled.accept_authorities(bytes, || key_in(&self.enrolled.folder().join("key.pem")))
    }

    /// A request for a new certificate over the same key, when the present one is due.
    pub(crate) fn renewal(&self, now: Timestamp) -> Result<Option<Vec<u8>>, TrustError> {
        if !self.enrolled.is_renewal_due(now) {
            return Ok(None);
        }
        request_for(&open_key(self.enrolled.folder())?).map(Some)
    }

    /// Takes a renewed certificate: same identity, same key, and TLS accepts it. Returns whether it is
    /// of another authority than the one before.
    pub(crate) fn accept_renewal(&self, certificate: Vec<u8>) -> Result<bool, TrustError> {
        let folder = self.enrolled.folder();
        let certificate = CertificateDer::from(certificate);
        let identity = Identity::DistributionPoint(self.site(), self.name.clone());
        if Identity::of_certificate(&certificate)? != identity
            || Fingerprint::of_key_in(&certificate)? != self.fingerprint
        {
            let path = Enrolled::certificate_path(folder);
            return Err(TrustError::format(&path, "the renewed certificate is of another name or key"));
        }
        self.enrolled.accept_certificate(certificate, key_in(&folder.join("key.pem"))?)
    }

    /// The key in `folder`, made when there is none, so that an enrolment whose answer was lost is
    /// repeated with the same key.
    pub(crate) fn prepare(folder: &Path) -> Result<KeyPair, TrustError> {
        create_folder(folder)?;
        if Enrolled::is_in(folder)? {
            return Err(TrustError::Exists(folder.to_owned()));
        }
        let path = folder.join("key.pem");
        if read_secret(&path)?.is_none() {
            write_secret(&path, new_key()?.serialize_pem().as_bytes())?;
        }
        open_key(folder)
    }

    /// Keeps an enrolment and opens it.
    pub(crate) fn save(
        folder: &Path,
        site: SiteCode,
        name: &DistributionPointName,
        enrolment: Enrolment,
    ) -> Result<Self, TrustError> {
        let certificate = CertificateDer::from(enrolment.certificate.as_slice());
        if Identity::of_certificate(&certificate)? != Identity::DistributionPoint(site, name.clone()) {
            let path = Enrolled::certificate_path(folder);
            return Err(TrustError::format(&path, "the certificate names another point"));
        }
        Enrolled::save(folder, site, enrolment)?;
        Self::open(folder)
    }
}

fn open_key(folder: &Path) -> Result<KeyPair, TrustError> {
    let path = folder.join("key.pem");
    let pem = read_secret(&path)?.ok_or_else(|| TrustError::Missing(folder.to_owned()))?;
    String::from_utf8(pem)
        .ok()
        .and_then(|pem| KeyPair::from_pem(&pem).ok())
        .ok_or_else(|| TrustError::format(&path, "not a key"))
}
