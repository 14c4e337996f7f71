//! What a site keeps of its enrolment at the site above it.
//!
//! | file | holds |
//! |---|---|
//! | `ca.pem` | the authority of the site above |
//! | `site.json` | the address of its link and its pinned root key |
//! | `key-list` | the newest of its key lists that was accepted |
//! | `certificate.pem` | this site's certificate there, over the key of its own link |
//!
//! All have mode 0600. `certificate.pem` is written last: without it the folder holds no enrolment.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use restock_content::statement::{KeyList, PublicKey};
use restock_names::{SiteCode, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::authority::is_due;
use crate::dp_identity::{Enrolment, SiteFile, check_key_list};
use crate::secret::{TrustError, create_folder, read_secret, write_secret};
use crate::site_trust::{certificate_in, to_pem};
use crate::tls::client_config;
use crate::{Fingerprint, Identity, SiteTrust, SiteUrl};

/// A site enrolled at another one: who it is there, whom it trusts, where that site is.
#[derive(Debug)]
pub struct SiteUpstream {
    folder: PathBuf,
    trust: Arc<SiteTrust>,
    parent: SiteCode,
    url: SiteUrl,
    root_key: PublicKey,
    authority: CertificateDer<'static>,
    state: Mutex<State>,
}

/// What changes while a site runs.
#[derive(Debug)]
struct State {
    certificate: CertificateDer<'static>,
    config: Arc<ClientConfig>,
    key_list: KeyList,
}

impl SiteUpstream {
    /// Reads the enrolment in `folder` of the site whose keys are `trust`.
    ///
    /// Errors: [`TrustError::Missing`] when it holds none; [`TrustError::Mode`] for a file that
    /// others can read; an enrolment of another site or key.
    pub fn open(folder: &Path, trust: &Arc<SiteTrust>) -> Result<Self, TrustError> {
        let path = |name: &str| folder.join(name);
        let read =
            |name: &str| read_secret(&path(name))?.ok_or_else(|| TrustError::Missing(folder.to_owned()));
        let certificate = certificate_in(&path("certificate.pem"), &read("certificate.pem")?)?;
        check_certificate(&path("certificate.pem"), &certificate, trust)?;
        let authority = certificate_in(&path("ca.pem"), &read("ca.pem")?)?;
        let damaged = |what: &str| TrustError::format(&path("site.json"), what);
        let file: SiteFile =
            serde_json::from_slice(&read("site.json")?).map_err(|error| damaged(&error.to_string()))?;
        let root_key =
            file.root_key.try_into().map_err(|_length| damaged("the root key has not 32 bytes"))?;
        let root_key = PublicKey(root_key);
        // The list is signed: it tells which site it is of.
        let list = read("key-list")?;
        let parent = KeyList::decode(&list).map_err(|error| TrustError::KeyList(error.to_string()))?.site;
        let key_list = check_key_list(&list, parent, &root_key)?;
        let config = client_config(&authority, vec![certificate.clone()], trust.link_key()?)?;
        Ok(Self {
            folder: folder.to_owned(),
            trust: Arc::clone(trust),
            parent,
            url: file.url,
            root_key,
            authority,
            state: Mutex::new(State { certificate, config, key_list }),
        })
    }

    /// Forgets the enrolment in `folder`, for a site that leaves. Without one nothing happens.
    ///
    /// Errors: [`TrustError::File`].
    pub fn remove(folder: &Path) -> Result<(), TrustError> {
        // The marker first: what is left of a broken attempt is no enrolment.
        for name in ["certificate.pem", "key-list", "site.json", "ca.pem"] {
            let path = folder.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(TrustError::file("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The site itself.
    pub fn site(&self) -> SiteCode {
        self.trust.site()
    }

    /// The site above it.
    pub fn parent(&self) -> SiteCode {
        self.parent
    }

    /// Where the link of the site above listens.
    pub fn url(&self) -> &SiteUrl {
        &self.url
    }

    /// The pinned root key of the site above.
    pub fn parent_root_key(&self) -> PublicKey {
        self.root_key
    }

    /// The newest key list of the site above that was accepted.
    pub fn parent_key_list(&self) -> KeyList {
        self.lock().key_list.clone()
    }

    /// The keys of the site itself.
    pub(crate) fn trust(&self) -> &Arc<SiteTrust> {
        &self.trust
    }

    /// TLS as this site, towards the one above.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.lock().config)
    }

    /// Takes a key list of the site above: signed by the pinned root key, its serial not below the
    /// one held. Returns it.
    ///
    /// Errors: [`TrustError::KeyList`]; the held list stays.
    pub(crate) fn accept_key_list(&self, bytes: &[u8]) -> Result<KeyList, TrustError> {
        let list = check_key_list(bytes, self.parent, &self.root_key)?;
        let mut state = self.lock();
        if list.serial < state.key_list.serial {
            let text = format!("serial {} is below {}, which is held", list.serial, state.key_list.serial);
            return Err(TrustError::KeyList(text));
        }
        if list != state.key_list {
            write_secret(&self.folder.join("key-list"), bytes)?;
            state.key_list = list.clone();
        }
        Ok(list)
    }

    /// A request for a new certificate over the same key, when the present one is due: after two
    /// thirds of its life.
    pub(crate) fn renewal(&self, now: Timestamp) -> Result<Option<Vec<u8>>, TrustError> {
        if !is_due(&self.lock().certificate, now) {
            return Ok(None);
        }
        self.trust.link_request().map(Some)
    }

    /// Takes a renewed certificate: same site, same key, and TLS accepts it.
    pub(crate) fn accept_renewal(&self, certificate: Vec<u8>) -> Result<(), TrustError> {
        let path = self.folder.join("certificate.pem");
        let certificate = CertificateDer::from(certificate);
        check_certificate(&path, &certificate, &self.trust)?;
        let config = client_config(&self.authority, vec![certificate.clone()], self.trust.link_key()?)?;
        write_secret(&path, to_pem(&certificate).as_bytes())?;
        let mut state = self.lock();
        state.certificate = certificate;
        state.config = config;
        Ok(())
    }

    /// Makes room for an enrolment.
    ///
    /// Errors: [`TrustError::Exists`] when the folder holds one.
    pub(crate) fn prepare(folder: &Path) -> Result<(), TrustError> {
        create_folder(folder)?;
        match read_secret(&folder.join("certificate.pem"))? {
            Some(_) => Err(TrustError::Exists(folder.to_owned())),
            None => Ok(()),
        }
    }

    /// Keeps an enrolment at `parent` and opens it.
    pub(crate) fn save(
        folder: &Path,
        trust: &Arc<SiteTrust>,
        parent: SiteCode,
        enrolment: Enrolment,
    ) -> Result<Self, TrustError> {
        let certificate = CertificateDer::from(enrolment.certificate);
        check_certificate(&folder.join("certificate.pem"), &certificate, trust)?;
        let root_key: [u8; 32] = enrolment
            .root_key
            .try_into()
            .map_err(|_length| TrustError::KeyList("the root key has not 32 bytes".to_owned()))?;
        check_key_list(&enrolment.key_list, parent, &PublicKey(root_key))?;
        let site_file = SiteFile { url: enrolment.url, root_key: root_key.to_vec() };
        let json = serde_json::to_vec_pretty(&site_file).expect("a flat structure is JSON");
        for (name, bytes) in [
            ("ca.pem", to_pem(&CertificateDer::from(enrolment.authority)).as_bytes()),
            ("site.json", &json),
            ("key-list", &enrolment.key_list),
            ("certificate.pem", to_pem(&certificate).as_bytes()),
        ] {
            write_secret(&folder.join(name), bytes)?;
        }
        Self::open(folder, trust)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while holding this lock")
    }
}

/// Is the certificate this site's, over the key of its link?
fn check_certificate(
    path: &Path,
    certificate: &CertificateDer<'_>,
    trust: &SiteTrust,
) -> Result<(), TrustError> {
    let is_ours = Identity::of_certificate(certificate)? == Identity::Site(trust.site())
        && Fingerprint::of_key_in(certificate)? == trust.link_fingerprint()?;
    if is_ours { Ok(()) } else { Err(TrustError::format(path, "the certificate is of another site or key")) }
}
