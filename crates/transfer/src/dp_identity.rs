//! What a distribution point keeps of its enrolment.
//!
//! | file | holds |
//! |---|---|
//! | `key.pem` | the point's private key, made before it enrols |
//! | `ca.pem` | the authority of its site |
//! | `site.json` | the address of the site's link and the pinned root key |
//! | `key-list` | the newest list of signing keys it accepted |
//! | `certificate.pem` | its certificate |
//!
//! All have mode 0600. `certificate.pem` is written last: without it the folder holds no identity.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::KeyPair;
use restock_content::statement::{KeyList, PublicKey};
use restock_names::{DistributionPointName, SiteCode, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::authority::{is_due, new_key, request_for};
use crate::message::hex_bytes;
use crate::secret::{TrustError, create_folder, read_secret, write_secret};
use crate::site_trust::{certificate_in, key_in, to_pem};
use crate::tls::client_config;
use crate::{Fingerprint, Identity, SiteUrl};

/// An enrolled point: who it is, whom it trusts, where its site is.
#[derive(Debug)]
pub struct DpIdentity {
    folder: PathBuf,
    site: SiteCode,
    name: DistributionPointName,
    url: SiteUrl,
    root_key: PublicKey,
    fingerprint: Fingerprint,
    authority: CertificateDer<'static>,
    state: Mutex<State>,
}

/// What changes while a point runs.
#[derive(Debug)]
struct State {
    certificate: CertificateDer<'static>,
    config: Arc<ClientConfig>,
    key_list: KeyList,
}

/// `site.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SiteFile {
    pub(crate) url: SiteUrl,
    #[serde(with = "hex_bytes")]
    pub(crate) root_key: Vec<u8>,
}

/// What a site's answer to an enrolment gives a point to keep.
#[derive(Debug)]
pub(crate) struct Enrolment {
    pub(crate) url: SiteUrl,
    pub(crate) certificate: Vec<u8>,
    pub(crate) authority: Vec<u8>,
    pub(crate) root_key: Vec<u8>,
    pub(crate) key_list: Vec<u8>,
}

impl DpIdentity {
    /// Reads the identity in `folder`.
    ///
    /// Errors: [`TrustError::Missing`] when it holds none; [`TrustError::Mode`] for a file that
    /// others can read.
    pub fn open(folder: &Path) -> Result<Self, TrustError> {
        let path = |name: &str| folder.join(name);
        let read =
            |name: &str| read_secret(&path(name))?.ok_or_else(|| TrustError::Missing(folder.to_owned()));
        let certificate = certificate_in(&path("certificate.pem"), &read("certificate.pem")?)?;
        let authority = certificate_in(&path("ca.pem"), &read("ca.pem")?)?;
        let Identity::DistributionPoint(site, name) = Identity::of_certificate(&certificate)? else {
            return Err(TrustError::format(
                &path("certificate.pem"),
                "not a distribution point's certificate",
            ));
        };
        let file: SiteFile = serde_json::from_slice(&read("site.json")?)
            .map_err(|error| TrustError::format(&path("site.json"), error))?;
        let root_key =
            PublicKey(file.root_key.try_into().map_err(|_length| {
                TrustError::format(&path("site.json"), "the root key has not 32 bytes")
            })?);
        let key_list = check_key_list(&read("key-list")?, site, &root_key)?;
        let config = client_config(&authority, vec![certificate.clone()], key_in(&path("key.pem"))?)?;
        Ok(Self {
            folder: folder.to_owned(),
            site,
            name,
            url: file.url,
            root_key,
            fingerprint: Fingerprint::of_key_in(&certificate)?,
            authority,
            state: Mutex::new(State { certificate, config, key_list }),
        })
    }

    /// The point's site.
    pub fn site(&self) -> SiteCode {
        self.site
    }

    /// The point's name.
    pub fn name(&self) -> &DistributionPointName {
        &self.name
    }

    /// Where the site's link listens.
    pub fn url(&self) -> &SiteUrl {
        &self.url
    }

    /// The fingerprint of the point's key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The newest list of signing keys that was accepted.
    pub fn key_list(&self) -> KeyList {
        self.lock().key_list.clone()
    }

    /// TLS as this point.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.lock().config)
    }

    /// Takes a key list from the site: signed by the pinned root key, its serial not below the one held.
    ///
    /// Errors: [`TrustError::KeyList`]; the held list stays.
    pub(crate) fn accept_key_list(&self, bytes: &[u8]) -> Result<(), TrustError> {
        let list = check_key_list(bytes, self.site, &self.root_key)?;
        let mut state = self.lock();
        if list.serial < state.key_list.serial {
            let text = format!("serial {} is below {}, which is held", list.serial, state.key_list.serial);
            return Err(TrustError::KeyList(text));
        }
        if list != state.key_list {
            write_secret(&self.folder.join("key-list"), bytes)?;
            state.key_list = list;
        }
        Ok(())
    }

    /// A request for a new certificate over the same key, when the present one is due.
    pub(crate) fn renewal(&self, now: Timestamp) -> Result<Option<Vec<u8>>, TrustError> {
        if !is_due(&self.lock().certificate, now) {
            return Ok(None);
        }
        request_for(&open_key(&self.folder)?).map(Some)
    }

    /// Takes a renewed certificate: same identity, same key, and TLS accepts it.
    pub(crate) fn accept_renewal(&self, certificate: Vec<u8>) -> Result<(), TrustError> {
        let path = self.folder.join("certificate.pem");
        let certificate = CertificateDer::from(certificate);
        let identity = Identity::DistributionPoint(self.site, self.name.clone());
        if Identity::of_certificate(&certificate)? != identity
            || Fingerprint::of_key_in(&certificate)? != self.fingerprint
        {
            return Err(TrustError::format(&path, "the renewed certificate is of another name or key"));
        }
        let key = key_in(&self.folder.join("key.pem"))?;
        let config = client_config(&self.authority, vec![certificate.clone()], key)?;
        write_secret(&path, to_pem(&certificate).as_bytes())?;
        let mut state = self.lock();
        state.certificate = certificate;
        state.config = config;
        Ok(())
    }

    /// The key in `folder`, made when there is none, so that an enrolment whose answer was lost is
    /// repeated with the same key.
    pub(crate) fn prepare(folder: &Path) -> Result<KeyPair, TrustError> {
        create_folder(folder)?;
        if read_secret(&folder.join("certificate.pem"))?.is_some() {
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
        let certificate = CertificateDer::from(enrolment.certificate);
        let path = folder.join("certificate.pem");
        if Identity::of_certificate(&certificate)? != Identity::DistributionPoint(site, name.clone()) {
            return Err(TrustError::format(&path, "the certificate names another point"));
        }
        let root_key: [u8; 32] = enrolment
            .root_key
            .try_into()
            .map_err(|_length| TrustError::KeyList("the root key has not 32 bytes".to_owned()))?;
        check_key_list(&enrolment.key_list, site, &PublicKey(root_key))?;
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
        Self::open(folder)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while holding this lock")
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

/// A key list of `site`, signed by `root_key`.
pub(crate) fn check_key_list(
    bytes: &[u8],
    site: SiteCode,
    root_key: &PublicKey,
) -> Result<KeyList, TrustError> {
    let list = KeyList::decode(bytes).map_err(|error| TrustError::KeyList(error.to_string()))?;
    list.verify(root_key).map_err(|error| TrustError::KeyList(error.to_string()))?;
    if list.site != site {
        return Err(TrustError::KeyList(format!("the list is of site {}, not of {site}", list.site)));
    }
    Ok(list)
}
