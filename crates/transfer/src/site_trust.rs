//! What a site trusts and is trusted by: its authority, its own certificate, its signing keys.
//!
//! | file | holds |
//! |---|---|
//! | `ca.pem`, `ca-key.pem` | the authority that signs certificates of the link |
//! | `link.pem`, `link-key.pem` | the site's own certificate |
//! | `root-key` | the seed of the key that signs the key list |
//! | `signing-key` | the seed of the key that signs statements |
//! | `key-list` | the signing keys and those of other sites that are accepted, signed by the root key |
//!
//! All have mode 0600. `ca.pem` is written last: without it the folder holds nothing. While the
//! authority is changed there are two of them, and more files: see [`rotation`].

mod leaves;
mod rotation;

pub use rotation::Rotation;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use restock_content::statement::{AuthorityList, FOREIGN_KEYS_MAX, ForeignKey, Head, KeyList, SigningKey};
use restock_names::{Clock, DistributionPointName, SiteCode, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::watch;

use crate::authority::{Authority, is_issued_by, new_key, request_for};
use crate::secret::{TrustError, create_folder, read_secret, write_secret};
use crate::tls::Known;
use crate::{EnrolmentToken, Fingerprint, Identity, TokenKind};

use leaves::Leaf;
pub(crate) use leaves::Shown;
pub(crate) use rotation::Authorities;

/// How long a site's head lives. It is made again at each connection and each hour.
const HEAD_LIFE: Duration = Duration::from_secs(86_400);

/// A site's authority, certificate and signing keys, kept in one folder.
#[derive(Debug)]
pub struct SiteTrust {
    folder: PathBuf,
    site: SiteCode,
    /// The authorities; whoever is connected hears of others.
    authorities: watch::Sender<Arc<Authorities>>,
    signing_key: SigningKey,
    /// The list; whoever is connected hears of a newer one.
    key_list: watch::Sender<Arc<KeyList>>,
    renewing: Mutex<()>,
    leaves: Mutex<Vec<Leaf>>,
}

impl SiteTrust {
    /// Makes authority, certificate and keys for `site` in `folder`.
    ///
    /// Errors: [`TrustError::Exists`] when the folder holds them already.
    pub fn create(folder: &Path, site: SiteCode, clock: &dyn Clock) -> Result<Self, TrustError> {
        let marker = folder.join("ca.pem");
        if read_secret(&marker)?.is_some() {
            return Err(TrustError::Exists(folder.to_owned()));
        }
        create_folder(folder)?;
        let (authority, authority_key) = Authority::create(site, clock.now())?;
        let link_key = new_key()?;
        let certificate = authority.issue_for_listener(site, &link_key, clock.now())?;
        let random = |source| TrustError::Random { source };
        let root_key = SigningKey::generate().map_err(random)?;
        let signing_key = SigningKey::generate().map_err(random)?;
        let key_list = KeyList::sign(site, 1, vec![signing_key.public()], &root_key);
        for (name, bytes) in [
            ("ca-key.pem", authority_key.as_bytes()),
            ("link-key.pem", link_key.serialize_pem().as_bytes()),
            ("link.pem", to_pem(&certificate).as_bytes()),
            ("root-key", &root_key.to_bytes()),
            ("signing-key", &signing_key.to_bytes()),
            ("key-list", &key_list.encode()),
            ("ca.pem", to_pem(authority.certificate()).as_bytes()),
        ] {
            write_secret(&folder.join(name), bytes)?;
        }
        Self::open(folder, clock)
    }

    /// Reads what [`Self::create`] made, and renews the site's certificate when it is due.
    ///
    /// Errors: [`TrustError::Missing`] when the folder holds nothing; [`TrustError::Mode`] for a
    /// file that others can read.
    pub fn open(folder: &Path, clock: &dyn Clock) -> Result<Self, TrustError> {
        let read = |name: &str| {
            read_secret(&folder.join(name))?.ok_or_else(|| TrustError::Missing(folder.to_owned()))
        };
        let seed = |name: &str| -> Result<SigningKey, TrustError> {
            let bytes: [u8; 32] = read(name)?
                .try_into()
                .map_err(|_length| TrustError::format(&folder.join(name), "32 bytes are wanted"))?;
            Ok(SigningKey::from_bytes(&bytes))
        };
        read("ca.pem")?;
        let (signing_key, root_key) = (seed("signing-key")?, seed("root-key")?);
        let list_path = folder.join("key-list");
        let key_list =
            KeyList::decode(&read("key-list")?).map_err(|error| TrustError::format(&list_path, error))?;
        key_list.verify(&root_key.public()).map_err(|error| TrustError::format(&list_path, error))?;
        let certificate = certificate_in(&folder.join("link.pem"), &read("link.pem")?)?;
        let Identity::Site(site) = Identity::of_certificate(&certificate)? else {
            return Err(TrustError::format(&folder.join("link.pem"), "not a site's certificate"));
        };
        let authorities = Authorities::open(folder, site, &root_key)?;
        let trust = Self {
            folder: folder.to_owned(),
            site,
            authorities: watch::Sender::new(Arc::new(authorities)),
            signing_key,
            key_list: watch::Sender::new(Arc::new(key_list)),
            renewing: Mutex::new(()),
            leaves: Mutex::default(),
        };
        trust.shown(&Known::default(), clock.now())?;
        Ok(trust)
    }

    /// The site.
    pub fn site(&self) -> SiteCode {
        self.site
    }

    /// SHA-256 of the authority's certificate, as enrolment tokens carry it: while the authority is
    /// changed, of the newer one.
    pub fn authority_fingerprint(&self) -> Fingerprint {
        self.authorities().newest().fingerprint()
    }

    /// The authorities that count.
    pub(crate) fn authorities(&self) -> Arc<Authorities> {
        Arc::clone(&self.authorities.borrow())
    }

    /// Hears when others count.
    pub(crate) fn authority_changes(&self) -> watch::Receiver<Arc<Authorities>> {
        self.authorities.subscribe()
    }

    /// The authorities as whoever is enrolled here learns them: signed by the root key. `None` while
    /// there was never another than the first.
    pub(crate) fn authority_list(&self) -> Option<Arc<AuthorityList>> {
        self.authorities().list().cloned()
    }

    /// This site's head, made at `now`.
    pub(crate) fn head(&self, now: Timestamp) -> Head {
        let serial = self.key_list.borrow().serial;
        Head::sign(self.site, (now, now.after(HEAD_LIFE)), serial, &self.signing_key)
    }

    fn root_key(&self) -> Result<SigningKey, TrustError> {
        let path = self.folder.join("root-key");
        let seed = read_secret(&path)?.ok_or_else(|| TrustError::Missing(self.folder.clone()))?;
        let seed: [u8; 32] =
            seed.try_into().map_err(|_length| TrustError::format(&path, "32 bytes are wanted"))?;
        Ok(SigningKey::from_bytes(&seed))
    }

    /// The key that signs statements.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    /// The keys whose statements this site and its points accept, signed by the site's root key.
    pub fn key_list(&self) -> Arc<KeyList> {
        Arc::clone(&self.key_list.borrow())
    }

    /// Hears of each newer list.
    pub(crate) fn key_list_changes(&self) -> watch::Receiver<Arc<KeyList>> {
        self.key_list.subscribe()
    }

    /// Makes `foreign` the keys of other sites this site accepts, and tells whoever is connected.
    ///
    /// The caller has checked each against the root key of its site. Keys of this site itself are
    /// left out. Nothing happens when the keys are the accepted ones; else the list's serial rises.
    /// Returns the list's serial. Writes and syncs a file: call it off the runtime's threads.
    ///
    /// Errors: more than [`restock_content::statement::FOREIGN_KEYS_MAX`] keys; the file.
    pub fn accept_foreign_keys(&self, foreign: Vec<ForeignKey>) -> Result<u32, TrustError> {
        self.renew_key_list(|held| {
            let wanted = KeyList::in_order(self.site, foreign);
            (wanted != held.foreign).then_some((held.serial, wanted))
        })
    }

    /// Raises the list's serial above `seen`, which a holder has: after a restore from an old backup
    /// holders refuse lists until then. Returns the list's serial.
    ///
    /// Errors: the file.
    pub fn raise_key_list_serial(&self, seen: u32) -> Result<u32, TrustError> {
        self.renew_key_list(|held| (held.serial <= seen).then(|| (seen, held.foreign.clone())))
    }

    /// Signs a list with these foreign keys and the serial after the given one, if one is wanted.
    fn renew_key_list(
        &self,
        wanted: impl FnOnce(&KeyList) -> Option<(u32, Vec<ForeignKey>)>,
    ) -> Result<u32, TrustError> {
        // One at a time: a serial stands for one list.
        let _turn = self.renewing.lock().expect("no code panics while holding this lock");
        let held = self.key_list();
        let Some((above, foreign)) = wanted(&held) else { return Ok(held.serial) };
        if foreign.len() > FOREIGN_KEYS_MAX {
            let text = format!("{} keys of other sites, at most {FOREIGN_KEYS_MAX} are kept", foreign.len());
            return Err(TrustError::KeyList(text));
        }
        let serial = above
            .checked_add(1)
            .ok_or_else(|| TrustError::KeyList("the serial cannot rise any more".to_owned()))?;
        let root = self.root_key()?;
        let list = KeyList::sign_with_foreign(self.site, serial, held.keys.clone(), foreign, &root);
        write_secret(&self.folder.join("key-list"), &list.encode())?;
        self.key_list.send_replace(Arc::new(list));
        Ok(serial)
    }

    /// A fresh enrolment token; the caller stores its hash with an expiry.
    pub fn new_token(
        &self,
        kind: TokenKind,
        name: &DistributionPointName,
    ) -> Result<EnrolmentToken, TrustError> {
        EnrolmentToken::new(self.site, self.authority_fingerprint(), kind, name)
    }

    /// Signs a certificate for a point over the key of its request.
    pub(crate) fn issue(
        &self,
        name: &DistributionPointName,
        request: &[u8],
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, TrustError> {
        let identity = Identity::DistributionPoint(self.site, name.clone());
        self.authorities().newest().issue_for_request(&identity, request, now)
    }

    /// Signs the certificate by which a site below this one connects, over the key of its request.
    pub(crate) fn issue_to_site(
        &self,
        site: SiteCode,
        request: &[u8],
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, TrustError> {
        self.authorities().newest().issue_for_request(&Identity::Site(site), request, now)
    }

    /// The fingerprint of the key that this site's own certificate is over.
    pub fn link_fingerprint(&self) -> Result<Fingerprint, TrustError> {
        let leaves = self.leaves.lock().expect("no code panics while holding this lock");
        let leaf = leaves.first().expect("they are made before anything else");
        Ok(Fingerprint::of_key_in(&leaf.certificate)?)
    }

    /// A request for a certificate over the key of this site's link.
    pub(crate) fn link_request(&self) -> Result<Vec<u8>, TrustError> {
        request_for(&open_link_key(&self.folder)?)
    }

    /// The private key of this site's link.
    pub(crate) fn link_key(&self) -> Result<PrivateKeyDer<'static>, TrustError> {
        key_in(&self.folder.join("link-key.pem"))
    }

    /// Signs a certificate for a listener of this machine under `names`, over `key`, by the authority
    /// that its clients know.
    pub(crate) fn issue_for_names(
        &self,
        names: &[String],
        key: &rcgen::KeyPair,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, TrustError> {
        self.authorities().oldest().issue_for_names(names, key, now)
    }

    /// SHA-256 of the authority that clients of this machine's other listeners know.
    pub(crate) fn oldest_authority(&self) -> Fingerprint {
        self.authorities().oldest().fingerprint()
    }

    /// True when a certificate for a listener of this machine is of the authority that its clients
    /// know.
    pub(crate) fn has_issued(&self, certificate: &CertificateDer<'_>) -> bool {
        is_issued_by(certificate, self.authorities().oldest().certificate())
    }

    /// Where keys and certificates are kept.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificates of the authorities that count in PEM, the newest first: what clients of the
    /// management listeners trust.
    pub fn authority_pem(&self) -> String {
        self.authorities().all().iter().map(|authority| to_pem(authority.certificate())).collect()
    }
}

fn open_link_key(folder: &Path) -> Result<rcgen::KeyPair, TrustError> {
    let path = folder.join("link-key.pem");
    let key = read_secret(&path)?.ok_or_else(|| TrustError::Missing(folder.to_owned()))?;
    String::from_utf8(key)
        .ok()
        .and_then(|pem| rcgen::KeyPair::from_pem(&pem).ok())
        .ok_or_else(|| TrustError::format(&path, "not a key"))
}

/// The certificate in PEM.
pub(crate) fn to_pem(certificate: &CertificateDer<'_>) -> String {
    const LINE: usize = 48;
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in certificate.chunks(LINE) {
        pem.push_str(&crate::token::to_base64(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// The first certificate in a PEM file's bytes.
pub(crate) fn certificate_in(path: &Path, pem: &[u8]) -> Result<CertificateDer<'static>, TrustError> {
    CertificateDer::from_pem_slice(pem).map_err(|error| TrustError::format(path, error))
}

/// The private key in a PEM file.
pub(crate) fn key_in(path: &Path) -> Result<PrivateKeyDer<'static>, TrustError> {
    let pem = read_secret(path)?.ok_or_else(|| TrustError::Missing(path.to_owned()))?;
    PrivatePkcs8KeyDer::from_pem_slice(&pem)
        .map(PrivateKeyDer::from)
        .map_err(|error| TrustError::format(path, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;
    use std::time::Duration;

    use restock_content::statement::{ForeignKey, SigningKey};
    use restock_names::{Clock, ManualClock, SystemClock};

    use super::SiteTrust;
    use crate::tls::Known;
    use crate::{TokenKind, TrustError};

    #[test]
    fn the_key_list_rises_with_the_keys_of_other_sites_and_survives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let clock = SystemClock;
        let trust = SiteTrust::create(folder.path(), "XYZ".parse().unwrap(), &clock).unwrap();
        let key = |site: &str, seed: u8| ForeignKey {
            site: site.parse().unwrap(),
            key: SigningKey::from_bytes(&[seed; 32]).public(),
        };
        assert_eq!(trust.accept_foreign_keys(vec![key("XYZ", 9)]).unwrap(), 1, "its own are no foreign keys");
        let mut heard = trust.key_list_changes();
        assert_eq!(trust.accept_foreign_keys(vec![key("DEF", 2), key("ABC", 1)]).unwrap(), 2);
        assert!(heard.has_changed().unwrap());
        heard.mark_unchanged();
        assert_eq!(trust.accept_foreign_keys(vec![key("ABC", 1), key("DEF", 2), key("ABC", 1)]).unwrap(), 2);
        assert!(!heard.has_changed().unwrap());
        assert_eq!(trust.raise_key_list_serial(1).unwrap(), 2);
        assert_eq!(trust.raise_key_list_serial(2).unwrap(), 3);
        let opened = SiteTrust::open(folder.path(), &clock).unwrap();
        assert_eq!(opened.key_list(), trust.key_list());
        assert_eq!((opened.key_list().serial, opened.key_list().foreign.len()), (3, 2));
        assert!(opened.key_list().verify(&trust.key_list().root).is_ok());
        assert!(trust.raise_key_list_serial(u32::MAX).is_err());
    }

    #[test]
    fn a_sites_keys_are_made_once_kept_private_and_renewed_when_due() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(SystemClock.now());
        let site = "XYZ".parse().unwrap();
        assert!(matches!(SiteTrust::open(folder.path(), &clock), Err(TrustError::Missing(_))));
        let made = SiteTrust::create(folder.path(), site, &clock).unwrap();
        assert!(matches!(SiteTrust::create(folder.path(), site, &clock), Err(TrustError::Exists(_))));
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o7777, 0o600);
        }
        let token = made.new_token(TokenKind::DistributionPoint, &"DP01".parse().unwrap()).unwrap();
        assert_eq!(token.authority_fingerprint(), made.authority_fingerprint());
        let shown = || made.shown(&Known::default(), clock.now()).unwrap().config;
        let first = shown();
        clock.advance(Duration::from_secs(39 * 86_400));
        assert!(Arc::ptr_eq(&first, &shown()));
        clock.advance(Duration::from_secs(2 * 86_400));
        assert!(!Arc::ptr_eq(&first, &shown()));
        let opened = SiteTrust::open(folder.path(), &clock).unwrap();
        assert_eq!(opened.key_list(), made.key_list());
        assert_eq!(opened.site(), site);
    }
}
