//! What a machine keeps of its enrolment at a site, be it a distribution point or a site below.
//!
//! | file | holds |
//! |---|---|
//! | `ca.pem` | the authority of the site |
//! | `site.json` | the address of the site's link and its pinned root key |
//! | `key-list` | the newest of its key lists that was accepted |
//! | `authorities` | the newest list of its authorities that was accepted, if there ever was one |
//! | `head` | the newest of its heads |
//! | `certificate.pem` | the machine's certificate there |
//!
//! All have mode 0600. `certificate.pem` is written last: without it the folder holds no enrolment.
//! Whose the certificate has to be, and where its key lies, is known to [`crate::DpIdentity`] and
//! [`crate::SiteUpstream`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use restock_content::statement::{AuthorityList, Head, KeyList, PublicKey};
use restock_names::{SiteCode, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use crate::SiteUrl;
use crate::authority::{is_due, is_issued_by};
use crate::message::hex_bytes;
use crate::secret::{TrustError, read_secret, write_secret};
use crate::site_trust::{certificate_in, to_pem};
use crate::tls::client_config;

const AUTHORITY: &str = "ca.pem";
const SITE: &str = "site.json";
const KEY_LIST: &str = "key-list";
const AUTHORITIES: &str = "authorities";
const HEAD: &str = "head";
const CERTIFICATE: &str = "certificate.pem";

/// What a site's answer to an enrolment gives a machine to keep.
#[derive(Debug)]
pub(crate) struct Enrolment {
    pub(crate) url: SiteUrl,
    pub(crate) certificate: Vec<u8>,
    pub(crate) authority: Vec<u8>,
    pub(crate) root_key: Vec<u8>,
    pub(crate) key_list: Vec<u8>,
    /// Empty when there is but one authority.
    pub(crate) authorities: Vec<u8>,
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
    state: Mutex<State>,
}

/// What changes while a machine runs.
#[derive(Debug)]
struct State {
    certificate: CertificateDer<'static>,
    config: Arc<ClientConfig>,
    key_list: KeyList,
    /// The site's authorities, the newest first.
    authorities: Vec<CertificateDer<'static>>,
    /// The serial of the list they are from; 0 when they are from the enrolment.
    authorities_serial: u32,
    head: Option<Head>,
    /// Was it told that the head has expired?
    is_stale: bool,
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
        let list = match read_secret(&folder.join(AUTHORITIES))? {
            Some(bytes) => Some(check_authorities(&bytes, key_list.site, &root_key)?),
            None => None,
        };
        let authorities_serial = list.as_ref().map_or(0, |list| list.serial);
        let authorities = list.map_or_else(|| vec![authority], |list| certificates(&list));
        let config = client_config(&authorities, vec![certificate.clone()], key)?;
        // A head that cannot be read is as good as none: the next one takes its place.
        let head = read_secret(&folder.join(HEAD))?.and_then(|bytes| Head::decode(&bytes).ok());
        let state = State {
            certificate,
            config,
            key_list: key_list.clone(),
            authorities,
            authorities_serial,
            head,
            is_stale: false,
        };
        Ok(Self {
            folder: folder.to_owned(),
            site: key_list.site,
            url: file.url,
            root_key,
            state: Mutex::new(state),
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
        if !enrolment.authorities.is_empty() {
            check_authorities(&enrolment.authorities, site, &PublicKey(root_key))?;
            write_secret(&folder.join(AUTHORITIES), &enrolment.authorities)?;
        }
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
        for name in [CERTIFICATE, HEAD, AUTHORITIES, KEY_LIST, SITE, AUTHORITY] {
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

    /// The site's authorities, the newest first.
    pub(crate) fn authorities(&self) -> Vec<CertificateDer<'static>> {
        self.lock().authorities.clone()
    }

    /// TLS as this machine.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.lock().config)
    }

    /// True when two thirds of the certificate's life are over, or its authority is not the newest.
    pub(crate) fn is_renewal_due(&self, now: Timestamp) -> bool {
        let state = self.lock();
        is_due(&state.certificate, now) || !state.is_of_newest(&state.certificate)
    }

    /// Takes a list of the site's authorities: signed by the pinned root key, its serial above the one
    /// held; `key` is that of the certificate. Returns whether it was taken: one that is held, or an
    /// older one, changes nothing.
    ///
    /// Errors: [`TrustError::Authorities`]; what is held stays.
    pub(crate) fn accept_authorities(
        &self,
        bytes: &[u8],
        key: impl FnOnce() -> Result<PrivateKeyDer<'static>, TrustError>,
    ) -> Result<bool, TrustError> {
        let list = check_authorities(bytes, self.site, &self.root_key)?;
        let mut state = self.lock();
        if list.serial <= state.authorities_serial {
            if list.serial < state.authorities_serial {
                let held = state.authorities_serial;
                tracing::warn!(serial = list.serial, held, "an old list of authorities has no effect");
            }
            return Ok(false);
        }
        let authorities = certificates(&list);
        let config = client_config(&authorities, vec![state.certificate.clone()], key()?)?;
        write_secret(&self.folder.join(AUTHORITIES), bytes)?;
        tracing::info!(site = %self.site, serial = list.serial, count = authorities.len(), "the site's authorities changed");
        state.authorities = authorities;
        state.authorities_serial = list.serial;
        state.config = config;
        Ok(true)
    }

    /// Takes a head of the site: signed by a key of its list, and made after the one held; an older
    /// one changes nothing.
    ///
    /// Errors: [`TrustError::Head`]; what is held stays.
    pub(crate) fn accept_head(&self, bytes: &[u8], now: Timestamp) -> Result<(), TrustError> {
        let failed = |error: restock_content::statement::StatementError| {
            let text = error.to_string();
            TrustError::Head(text.split_once(": ").map_or(text.clone(), |(_, text)| text.to_owned()))
        };
        let head = Head::decode(bytes).map_err(failed)?;
        {
            let mut state = self.lock();
            head.verify(&state.key_list, now).map_err(failed)?;
            if state.head.as_ref().is_some_and(|held| held.issued_at >= head.issued_at) {
                return Ok(());
            }
            write_secret(&self.folder.join(HEAD), bytes)?;
            state.head = Some(head);
        }
        self.watch_head(now);
        Ok(())
    }

    /// As [`Self::accept_head`] of a connection that goes on without: one that is not in order is told
    /// of, and the one that is held grows stale in its time.
    pub(crate) fn take_head(&self, bytes: &[u8], now: Timestamp) {
        if !bytes.is_empty()
            && let Err(error) = self.accept_head(bytes, now)
        {
            tracing::warn!(site = %self.site, %error, "the head of the site is not taken");
        }
    }

    /// Since when the newest head of the site has expired. `None` while it has not, and for a site that
    /// never sent one.
    pub(crate) fn stale_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.lock().head.as_ref().and_then(|head| head.stale_since(now))
    }

    /// Tells once when the head has expired, and once when there is a valid one again.
    pub(crate) fn watch_head(&self, now: Timestamp) {
        let since = self.stale_since(now);
        let was_stale = std::mem::replace(&mut self.lock().is_stale, since.is_some());
        match since {
            Some(since) if !was_stale => tracing::warn!(
                code = "STALE_METADATA",
                site = %self.site,
                %since,
                "nothing that site {} vouches for has come; stale since {since}, what is held is served on",
                self.site
            ),
            None if was_stale => {
                tracing::info!(site = %self.site, "site {} vouches for what it tells again", self.site);
            }
            _ => {}
        }
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

    /// Takes a renewed certificate over `key`, which the caller has found to be the machine's. Returns
    /// whether it is of another authority than the one before: then connections are to be made anew,
    /// so that the site sees it.
    ///
    /// Errors: it is of none of the site's authorities; the file.
    pub(crate) fn accept_certificate(
        &self,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<bool, TrustError> {
        let mut state = self.lock();
        if !state.authorities.iter().any(|authority| is_issued_by(&certificate, authority)) {
            let path = Self::certificate_path(&self.folder);
            return Err(TrustError::format(&path, "the renewed certificate is of an unknown authority"));
        }
        let config = client_config(&state.authorities, vec![certificate.clone()], key)?;
        write_secret(&Self::certificate_path(&self.folder), to_pem(&certificate).as_bytes())?;
        let has_moved = state.is_of_newest(&certificate) && !state.is_of_newest(&state.certificate);
        state.certificate = certificate;
        state.config = config;
        Ok(has_moved)
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

impl State {
    fn is_of_newest(&self, certificate: &CertificateDer<'_>) -> bool {
        self.authorities.first().is_some_and(|newest| is_issued_by(certificate, newest))
    }
}

/// A list of authorities of `site`, signed by `root_key`.
fn check_authorities(
    bytes: &[u8],
    site: SiteCode,
    root_key: &PublicKey,
) -> Result<AuthorityList, TrustError> {
    let list = AuthorityList::decode(bytes).map_err(|error| TrustError::Authorities(error.to_string()))?;
    list.verify(root_key).map_err(|error| TrustError::Authorities(error.to_string()))?;
    if list.site != site {
        return Err(TrustError::Authorities(format!("the list is of site {}, not of {site}", list.site)));
    }
    Ok(list)
}

fn certificates(list: &AuthorityList) -> Vec<CertificateDer<'static>> {
    list.certificates.iter().map(|der| CertificateDer::from(der.clone())).collect()
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
