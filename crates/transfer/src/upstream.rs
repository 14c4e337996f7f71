//! What a site keeps of its enrolment at the site above it.
//!
//! The files are those of [`crate::enrolment`]; the certificate is over the key of the site's own
//! link.

use std::path::Path;
use std::sync::Arc;

use restock_content::statement::{KeyList, PublicKey};
use restock_names::{SiteCode, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::enrolment::{Enrolled, Enrolment};
use crate::secret::{TrustError, create_folder};
use crate::{Fingerprint, Identity, SiteTrust, SiteUrl};

/// A site enrolled at another one: who it is there, whom it trusts, where that site is.
#[derive(Debug)]
pub struct SiteUpstream {
    trust: Arc<SiteTrust>,
    enrolled: Enrolled,
}

impl SiteUpstream {
    /// Reads the enrolment in `folder` of the site whose keys are `trust`.
    ///
    /// Errors: [`TrustError::Missing`] when it holds none; [`TrustError::Mode`] for a file that
    /// others can read; an enrolment of another site or key.
    pub fn open(folder: &Path, trust: &Arc<SiteTrust>) -> Result<Self, TrustError> {
        let certificate = Enrolled::certificate(folder)?;
        check_certificate(folder, &certificate, trust)?;
        let enrolled = Enrolled::open(folder, certificate, trust.link_key()?)?;
        Ok(Self { trust: Arc::clone(trust), enrolled })
    }

    /// Forgets the enrolment in `folder`, for a site that leaves. Without one nothing happens.
    ///
    /// Errors: [`TrustError::File`].
    pub fn remove(folder: &Path) -> Result<(), TrustError> {
        Enrolled::remove(folder)
    }

    /// The site itself.
    pub fn site(&self) -> SiteCode {
        self.trust.site()
    }

    /// The site above it.
    pub fn parent(&self) -> SiteCode {
        self.enrolled.site()
    }

    /// Where the link of the site above listens.
    pub fn url(&self) -> &SiteUrl {
        self.enrolled.url()
    }

    /// The pinned root key of the site above.
    pub fn parent_root_key(&self) -> PublicKey {
        self.enrolled.root_key()
    }

    /// The newest key list of the site above that was accepted.
    pub fn parent_key_list(&self) -> KeyList {
        self.enrolled.key_list()
    }

    /// Since when the site above has not vouched for what it tells: its newest head has expired. What
    /// is held is served on. `None` while it has not, and for a site that never sent one.
    pub fn stale_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.enrolled.stale_since(now)
    }

    /// What is kept of the enrolment.
    pub(crate) fn enrolled(&self) -> &Enrolled {
        &self.enrolled
    }

    /// Takes a list of the authorities of the site above. Returns whether it changed anything.
    pub(crate) fn accept_authorities(&self, bytes: &[u8]) -> Result<bool, TrustError> {
        self.enrolled.accept_authorities(bytes, || self.trust.link_key())
    }

    /// The keys of the site itself.
    pub(crate) fn trust(&self) -> &Arc<SiteTrust> {
        &self.trust
    }

    /// TLS as this site, towards the one above.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        self.enrolled.client_config()
    }

    /// Takes a key list of the site above: signed by the pinned root key, its serial not below the
    /// one held. Returns it.
    ///
    /// Errors: [`TrustError::KeyList`]; the held list stays.
    pub(crate) fn accept_key_list(&self, bytes: &[u8]) -> Result<KeyList, TrustError> {
        self.enrolled.accept_key_list(bytes)
    }

    /// A request for a new certificate over the same key, when the present one is due: after two
    /// thirds of its life.
    pub(crate) fn renewal(&self, now: Timestamp) -> Result<Option<Vec<u8>>, TrustError> {
        if !self.enrolled.is_renewal_due(now) {
            return Ok(None);
        }
        self.trust.link_request().map(Some)
    }

    /// Takes a renewed certificate: same site, same key, and TLS accepts it. Returns whether it is of
    /// another authority than the one before.
    pub(crate) fn accept_renewal(&self, certificate: Vec<u8>) -> Result<bool, TrustError> {
        let certificate = CertificateDer::from(certificate);
        check_certificate(self.enrolled.folder(), &certificate, &self.trust)?;
        self.enrolled.accept_certificate(certificate, self.trust.link_key()?)
    }

    /// Makes room for an enrolment.
    ///
    /// Errors: [`TrustError::Exists`] when the folder holds one.
    pub(crate) fn prepare(folder: &Path) -> Result<(), TrustError> {
        create_folder(folder)?;
        if Enrolled::is_in(folder)? { Err(TrustError::Exists(folder.to_owned())) } else { Ok(()) }
    }

    /// Keeps an enrolment at `parent` and opens it.
    pub(crate) fn save(
        folder: &Path,
        trust: &Arc<SiteTrust>,
        parent: SiteCode,
        enrolment: Enrolment,
    ) -> Result<Self, TrustError> {
        check_certificate(folder, &CertificateDer::from(enrolment.certificate.as_slice()), trust)?;
        Enrolled::save(folder, parent, enrolment)?;
        Self::open(folder, trust)
    }
}

/// Is the certificate this site's, over the key of its link?
fn check_certificate(
    folder: &Path,
    certificate: &CertificateDer<'_>,
    trust: &SiteTrust,
) -> Result<(), TrustError> {
    let is_ours = Identity::of_certificate(certificate)? == Identity::Site(trust.site())
        && Fingerprint::of_key_in(certificate)? == trust.link_fingerprint()?;
    if is_ours {
        return Ok(());
    }
    let path = Enrolled::certificate_path(folder);
    Err(TrustError::format(&path, "the certificate is of another site or key"))
}
