//! What a machine keeps of its enrolment at a site, be it a distribution point or a site below.
//!
//! | file | holds |
//! |---|---|
//! | `ca.pem` | the authority of the site |
//! | `site.json` | the address of the site's link and its pinned root key |
//! | `key-list` | the newest of its key lists that was accepted |
//! | `certificate.pem` | the machine's certificate there |
//!
//! All have mode 0600. `certificate.pem` is written last: without it the folder holds no enrolment.
//! Whose the certificate has to be, and where its key lies, is known to [`crate::DpIdentity`] and
//! [`crate::SiteUpstream`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use restock_content::statement::{KeyList, PublicKey};
use restock_names::{SiteCode, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use crate::SiteUrl;
use crate::authority::is_due;
use crate::message::hex_bytes;
use crate::secret::{TrustError, read_secret, write_secret};
use crate::site_trust::{certificate_in, to_pem};
use crate::tls::client_config;

const AUTHORITY: &str = "ca.pem";
const SITE: &str = "site.json";
const KEY_LIST: &str = "key-list";
const CERTIFICATE: &str = "certificate.pem";

/// What a site's answer to an enrolment gives a machine to keep.
#[derive(Debug)]
pub(crate) struct Enrolment {
    pub(crate) url: SiteUrl,
    pub(crate) certificate: Vec<u8>,
    pub(crate) authority: Vec<u8>,
    pub(crate) root_key: Vec<u8>,
    pub(crate) key_list: Vec<u8>,
}

/// `site.json`.
#[derive(Debug, Serialize, Deserialize)]
struct SiteFile {
    url: SiteUrl,
    #[serde(with = "hex_bytes")]
    root_key: Vec<u8>,
}

/// An enrolment that is kept in a folder.
#[derive(Debug)]
pub(crate) struct Enrolled {
    folder: PathBuf,
    site: SiteCode,
    url: SiteUrl,
    root_key: PublicKey,
    authority: CertificateDer<'static>,
    state: Mutex<State>,
}

/// What changes while a machine runs.
#[derive(Debug)]
struct State {
    certificate: CertificateDer<'static>,
    config: Arc<ClientConfig>,
    key_list: KeyList,
}

impl Enrolled {
    /// The file of the certificate in `folder`.
    pub(crate) fn certificate_path(folder: &Path) -> PathBuf {
        folder.join(CERTIFICATE)
    }

    /// The certificate in `folder`: what says that there is an enrolment.
    pub(crate) fn certificate(folder: &Path) -> Result<CertificateDer<'static>, TrustError> {
        certificate_in(&Self::certificate_path(folder), &read(folder, CERTIFICATE)?)
    }

    /// True when `folder` holds an enrolment.
    pub(crate) fn is_in(folder: &Path) -> Result<bool, TrustError> {
        Ok(read_secret(&Self::certificate_path(folder))?.is_some())
    }

    /// Reads what `folder` holds beside its `certificate`; `key` is that of the certificate.
    pub(crate) fn open(
        folder: &Path,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TrustError> {
        let authority = certificate_in(&folder.join(AUTHORITY), &read(folder, AUTHORITY)?)?;
        let damaged = |what: &str| TrustError::format(&folder.join(SITE), what);
        let file: SiteFile =
            serde_json::from_slice(&read(folder, SITE)?).map_err(|error| damaged(&error.to_string()))?;
        let root_key =
            file.root_key.try_into().map_err(|_length| damaged("the root key has not 32 bytes"))?;
        let root_key = PublicKey(root_key);
        // The list is signed by the pinned key: it tells which site it is of.
        let key_list = verified(&read(folder, KEY_LIST)?, &root_key)?;
        let config = client_config(&authority, vec![certificate.clone()], key)?;
        Ok(Self {
            folder: folder.to_owned(),
            site: key_list.site,
            url: file.url,
            root_key,
            authority,
            state: Mutex::new(State { certificate, config, key_list }),
        })
    }

    /// Keeps an enrolment at `site` in `folder`.
    ///
    /// Errors: [`TrustError::KeyList`] when the key list is not of `site` and its root key.
    pub(crate) fn save(folder: &Path, site: SiteCode, enrolment: Enrolment) -> Result<(), TrustError> {
        let root_key: [u8; 32] = enrolment
            .root_key
            .try_into()
            .map_err(|_length| TrustError::KeyList("the root key has not 32 bytes".to_owned()))?;
        check_key_list(&enrolment.key_list, site, &PublicKey(root_key))?;
        let site_file = SiteFile { url: enrolment.url, root_key: root_key.to_vec() };
        let json = serde_json::to_vec_pretty(&site_file).expect("a flat structure is JSON");
        for (name, bytes) in [
            (AUTHORITY, to_pem(&CertificateDer::from(enrolment.authority)).as_bytes()),
            (SITE, &json),
            (KEY_LIST, &enrolment.key_list),
            (CERTIFICATE, to_pem(&CertificateDer::from(enrolment.certificate)).as_bytes()),
        ] {
            write_secret(&folder.join(name), bytes)?;
        }
        Ok(())
    }

    /// Forgets the enrolment in `folder`. Without one nothing happens.
    ///
    /// Errors: [`TrustError::File`].
    pub(crate) fn remove(folder: &Path) -> Result<(), TrustError> {
        // The marker first: what is left of a broken attempt is no enrolment.
        for name in [CERTIFICATE, KEY_LIST, SITE, AUTHORITY] {
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

    /// The site at which the machine is enrolled.
    pub(crate) fn site(&self) -> SiteCode {
        self.site
    }

    /// Where the site's link listens.
    pub(crate) fn url(&self) -> &SiteUrl {
        &self.url
    }

    /// The site's pinned root key.
    pub(crate) fn root_key(&self) -> PublicKey {
        self.root_key
    }

    /// The folder that holds it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The newest key list that was accepted.
    pub(crate) fn key_list(&self) -> KeyList {
        self.lock().key_list.clone()
    }

    /// TLS as this machine.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.lock().config)
    }

    /// True when two thirds of the certificate's life are over.
    pub(crate) fn is_renewal_due(&self, now: Timestamp) -> bool {
        is_due(&self.lock().certificate, now)
    }

    /// Takes a key list of the site: signed by the pinned root key, its serial not below the one held.
    /// Returns it.
    ///
    /// Errors: [`TrustError::KeyList`]; the held list stays.
    pub(crate) fn accept_key_list(&self, bytes: &[u8]) -> Result<KeyList, TrustError> {
        let list = check_key_list(bytes, self.site, &self.root_key)?;
        let mut state = self.lock();
        if list.serial < state.key_list.serial {
            let text = format!("serial {} is below {}, which is held", list.serial, state.key_list.serial);
            return Err(TrustError::KeyList(text));
        }
        if list != state.key_list {
            write_secret(&self.folder.join(KEY_LIST), bytes)?;
            state.key_list = list.clone();
        }
        Ok(list)
    }

    /// Takes a renewed certificate over `key`, which the caller has found to be the machine's.
    pub(crate) fn accept_certificate(
        &self,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), TrustError> {
        let config = client_config(&self.authority, vec![certificate.clone()], key)?;
        write_secret(&Self::certificate_path(&self.folder), to_pem(&certificate).as_bytes())?;
        let mut state = self.lock();
        state.certificate = certificate;
        state.config = config;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while holding this lock")
    }
}

/// Notes in `folder`, which holds an enrolment, that the link of its site listens at `url`; taken up
/// when the enrolment is opened next. The pinned keys stay: another site at that address is refused.
///
/// Errors: [`TrustError::Missing`] when the folder holds no enrolment; the file.
pub fn move_site(folder: &Path, url: &SiteUrl) -> Result<(), TrustError> {
    let path = folder.join(SITE);
    let held: SiteFile = serde_json::from_slice(&read(folder, SITE)?)
        .map_err(|error| TrustError::format(&path, error.to_string()))?;
    let moved = SiteFile { url: url.clone(), ..held };
    write_secret(&path, &serde_json::to_vec_pretty(&moved).expect("a flat structure is JSON"))
}

/// A key list of `site`, signed by `root_key`.
pub(crate) fn check_key_list(
    bytes: &[u8],
    site: SiteCode,
    root_key: &PublicKey,
) -> Result<KeyList, TrustError> {
    let list = verified(bytes, root_key)?;
    check_site(list.site, site)?;
    Ok(list)
}

/// Is a key list of `found` one of the site that is meant?
pub(crate) fn check_site(found: SiteCode, site: SiteCode) -> Result<(), TrustError> {
    if found == site {
        return Ok(());
    }
    Err(TrustError::KeyList(format!("the list is of site {found}, not of {site}")))
}

fn verified(bytes: &[u8], root_key: &PublicKey) -> Result<KeyList, TrustError> {
    let list = KeyList::decode(bytes).map_err(|error| TrustError::KeyList(error.to_string()))?;
    list.verify(root_key).map_err(|error| TrustError::KeyList(error.to_string()))?;
    Ok(list)
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, TrustError> {
    read_secret(&folder.join(name))?.ok_or_else(|| TrustError::Missing(folder.to_owned()))
}
