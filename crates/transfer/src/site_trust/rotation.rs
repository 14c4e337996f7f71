//! A site's authorities on disk, and how one takes the place of another while both count.
//!
//! | file | holds |
//! |---|---|
//! | `ca.pem`, `ca-key.pem` | the authority that has counted longest |
//! | `ca-next.pem`, `ca-next-key.pem` | during a change: the one that takes its place |
//! | `rotation.json` | during a change: when it began, how long both count, who has moved |
//! | `authorities` | once there was a change: those that count, signed by the root key |
//!
//! A change begins with `rotation.json` and ends when that file goes; whatever lies between is done
//! again at [`Authorities::open`], so a crash at any point is taken up. Who is enrolled, and so who
//! has still to move, is not known here.
//!
//! Source: docs/formats/link.md, "Another authority".

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use restock_content::statement::{AuthorityList, SigningKey};
use restock_names::{SiteCode, Timestamp};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::{SiteTrust, certificate_in, to_pem};
use crate::authority::{Authority, LEAF_LIFE, is_issued_by};
use crate::secret::{TrustError, read_secret, remove_secret, write_secret};
use crate::tls::Known;
use crate::{Fingerprint, Identity};

const CURRENT: (&str, &str) = ("ca.pem", "ca-key.pem");
const NEXT: (&str, &str) = ("ca-next.pem", "ca-next-key.pem");
const ROTATION: &str = "rotation.json";
const LIST: &str = "authorities";

/// A change of the authority that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// When it began.
    pub begun_at: Timestamp,
    /// When the older authority counts no more, whoever has not moved by then.
    pub ends_at: Timestamp,
    /// SHA-256 of the older authority's certificate.
    pub oldest: Fingerprint,
    /// SHA-256 of the newer one's.
    pub newest: Fingerprint,
    /// Who has shown a certificate of the newer authority.
    pub moved: BTreeSet<Identity>,
}

impl Rotation {
    /// How long both authorities count unless told otherwise: as long as a certificate lives. Who
    /// does not come by within that time has none that is valid, and enrols again.
    pub const PERIOD: Duration = LEAF_LIFE;
}

impl SiteTrust {
    /// Begins to change the authority: a new one is made and signs from here on, the one before it
    /// goes on counting for `period` ([`Rotation::PERIOD`] is usual), or until
    /// [`Self::advance_rotation`] finds that everybody has moved.
    ///
    /// Points and sites below that are connected hear of it at once, others when they come; each is
    /// given a certificate of the new authority over its enrolled key. Tokens made from here on name
    /// the new one; those made before hold until the old one is dropped. A change that is under way is
    /// given as it is. Writes and syncs files: call it off the runtime's threads.
    ///
    /// Errors: the files.
    pub fn begin_rotation(&self, period: Duration, now: Timestamp) -> Result<Rotation, TrustError> {
        self.change_authorities(now, |held, root| held.begin(&self.folder, self.site, root, (now, period)))?;
        Ok(self.rotation().expect("it was begun just now"))
    }

    /// The change of the authority that is under way.
    pub fn rotation(&self) -> Option<Rotation> {
        self.authorities.borrow().rotation().cloned()
    }

    /// Ends the change of the authority when all of `enrolled` have moved or its time is over.
    ///
    /// `enrolled` are the points and the sites below that are enrolled now. Returns the change that
    /// goes on; `None` when none is under way any more. To be called from time to time: who moves is
    /// noted by the listener. Writes and syncs files: call it off the runtime's threads.
    ///
    /// Errors: the files.
    pub fn advance_rotation(
        &self,
        enrolled: &BTreeSet<Identity>,
        now: Timestamp,
    ) -> Result<Option<Rotation>, TrustError> {
        let Some(rotation) = self.rotation() else { return Ok(None) };
        if now < rotation.ends_at && !enrolled.is_subset(&rotation.moved) {
            return Ok(Some(rotation));
        }
        self.change_authorities(now, |held, root| held.end(&self.folder, self.site, root))?;
        Ok(None)
    }

    /// Notes who shows a certificate of the newest authority while it is changed. Writes and syncs a
    /// file, once for each identity.
    pub(crate) fn note_moved(
        &self,
        identity: Identity,
        certificate: &CertificateDer<'_>,
        now: Timestamp,
    ) -> Result<(), TrustError> {
        let held = self.authorities();
        let is_news = held.rotation().is_some_and(|rotation| !rotation.moved.contains(&identity))
            && is_issued_by(certificate, held.newest().certificate());
        if !is_news {
            return Ok(());
        }
        tracing::info!(%identity, "has a certificate of the new authority");
        self.change_authorities(now, |held, _root| held.with_moved(&self.folder, identity))
    }

    /// Is a change under way in which `identity` has not moved?
    pub(crate) fn awaits(&self, identity: &Identity) -> bool {
        self.authorities.borrow().rotation().is_some_and(|rotation| !rotation.moved.contains(identity))
    }

    fn change_authorities(
        &self,
        now: Timestamp,
        change: impl FnOnce(&Authorities, &SigningKey) -> Result<Authorities, TrustError>,
    ) -> Result<(), TrustError> {
        let _turn = self.renewing.lock().expect("no code panics while holding this lock");
        let next = Arc::new(change(&self.authorities(), &self.root_key()?)?);
        let is_changed = next.all().len() != self.authorities.borrow().all().len();
        self.authorities.send_if_modified(|held| {
            *held = Arc::clone(&next);
            is_changed
        });
        if is_changed {
            // TLS is set up for the others before anybody comes with one of them.
            self.leaves.lock().expect("no code panics while holding this lock").clear();
            self.shown(&Known::default(), now)?;
        }
        Ok(())
    }
}

/// The authorities that count at one time.
#[derive(Debug, Clone)]
pub(crate) struct Authorities {
    /// One, or two during a change; the newest first.
    all: Vec<Arc<Authority>>,
    list: Option<Arc<AuthorityList>>,
    rotation: Option<Rotation>,
}

/// `rotation.json`.
#[derive(Debug, Serialize, Deserialize)]
struct RotationFile {
    begun_at: Timestamp,
    ends_at: Timestamp,
    /// The end was decided; what is left of it is done at the next start.
    #[serde(default)]
    is_ending: bool,
    #[serde(default)]
    moved: BTreeSet<String>,
}

impl Authorities {
    /// Reads what `folder` holds, and takes up a change that was interrupted.
    pub(super) fn open(folder: &Path, site: SiteCode, root: &SigningKey) -> Result<Self, TrustError> {
        if let Some(file) = read_rotation(folder)? {
            match file.is_ending {
                false => make_next(folder, site, file.begun_at, root)?,
                true => replace_current(folder, site, root)?,
            }
        }
        Self::read(folder)
    }

    /// Begins a change, or gives the one that is under way.
    pub(super) fn begin(
        &self,
        folder: &Path,
        site: SiteCode,
        root: &SigningKey,
        (now, period): (Timestamp, Duration),
    ) -> Result<Self, TrustError> {
        if self.rotation.is_some() {
            return Ok(self.clone());
        }
        let file = RotationFile {
            begun_at: now,
            ends_at: now.after(period),
            is_ending: false,
            moved: BTreeSet::new(),
        };
        write_rotation(folder, &file)?;
        make_next(folder, site, now, root)?;
        Self::read(folder)
    }

    /// Ends the change that is under way: the older authority counts no more.
    pub(super) fn end(&self, folder: &Path, site: SiteCode, root: &SigningKey) -> Result<Self, TrustError> {
        let Some(rotation) = &self.rotation else { return Ok(self.clone()) };
        write_rotation(folder, &RotationFile { is_ending: true, ..rotation.to_file() })?;
        replace_current(folder, site, root)?;
        Self::read(folder)
    }

    /// Notes that `identity` has shown a certificate of the newest authority.
    pub(super) fn with_moved(&self, folder: &Path, identity: Identity) -> Result<Self, TrustError> {
        let mut next = self.clone();
        if let Some(rotation) = &mut next.rotation
            && rotation.moved.insert(identity)
        {
            write_rotation(folder, &rotation.to_file())?;
        }
        Ok(next)
    }

    fn read(folder: &Path) -> Result<Self, TrustError> {
        let oldest = Arc::new(load(folder, CURRENT)?);
        let list = read_list(folder)?.map(Arc::new);
        let Some(file) = read_rotation(folder)? else {
            return Ok(Self { all: vec![oldest], list, rotation: None });
        };
        let newest = Arc::new(load(folder, NEXT)?);
        let rotation = Rotation {
            begun_at: file.begun_at,
            ends_at: file.ends_at,
            oldest: oldest.fingerprint(),
            newest: newest.fingerprint(),
            moved: file.moved.iter().filter_map(|uri| uri.parse().ok()).collect(),
        };
        Ok(Self { all: vec![newest, oldest], list, rotation: Some(rotation) })
    }

    /// The newest first.
    pub(crate) fn all(&self) -> &[Arc<Authority>] {
        &self.all
    }

    /// The one that signs what lasts.
    pub(crate) fn newest(&self) -> &Authority {
        self.all.first().expect("a site has an authority")
    }

    /// The one that everybody knows.
    pub(crate) fn oldest(&self) -> &Authority {
        self.all.last().expect("a site has an authority")
    }

    /// All of them as the root key signed them; `None` while there was never another than the first.
    pub(crate) fn list(&self) -> Option<&Arc<AuthorityList>> {
        self.list.as_ref()
    }

    /// The change that is under way.
    pub(crate) fn rotation(&self) -> Option<&Rotation> {
        self.rotation.as_ref()
    }
}

impl Rotation {
    fn to_file(&self) -> RotationFile {
        RotationFile {
            begun_at: self.begun_at,
            ends_at: self.ends_at,
            is_ending: false,
            moved: self.moved.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Makes the authority that is to come, unless it is there, and lists both.
fn make_next(folder: &Path, site: SiteCode, now: Timestamp, root: &SigningKey) -> Result<(), TrustError> {
    if read_secret(&folder.join(NEXT.0))?.is_none() {
        let (authority, key) = Authority::create(site, now)?;
        // The certificate last: a key without one is made anew.
        write_secret(&folder.join(NEXT.1), key.as_bytes())?;
        write_secret(&folder.join(NEXT.0), to_pem(authority.certificate()).as_bytes())?;
    }
    let both = [load(folder, NEXT)?, load(folder, CURRENT)?];
    write_list(folder, site, both.iter().map(Authority::certificate), root)
}

/// Puts the newer authority in the place of the older one.
///
/// Each step may have been done before: what is still called "next" is moved, key before certificate.
fn replace_current(folder: &Path, site: SiteCode, root: &SigningKey) -> Result<(), TrustError> {
    let at = |name: &str| folder.join(name);
    let certificate = match read_secret(&at(NEXT.0))? {
        Some(pem) => certificate_in(&at(NEXT.0), &pem)?,
        None => certificate_of(folder, CURRENT.0)?,
    };
    // Nobody is told of the older one from here on.
    write_list(folder, site, [&certificate], root)?;
    if let Some(key) = read_secret(&at(NEXT.1))? {
        write_secret(&at(CURRENT.1), &key)?;
    }
    write_secret(&at(CURRENT.0), to_pem(&certificate).as_bytes())?;
    // The certificate first: without its key it would not do.
    remove_secret(&at(NEXT.0))?;
    remove_secret(&at(NEXT.1))?;
    remove_secret(&at(ROTATION))
}

fn load(folder: &Path, (certificate, key): (&str, &str)) -> Result<Authority, TrustError> {
    let path = folder.join(key);
    let pem = read_secret(&path)?.ok_or_else(|| TrustError::Missing(folder.to_owned()))?;
    let pem = String::from_utf8(pem).map_err(|error| TrustError::format(&path, error))?;
    Authority::load(&pem, certificate_of(folder, certificate)?)
}

fn certificate_of(folder: &Path, name: &str) -> Result<CertificateDer<'static>, TrustError> {
    let path = folder.join(name);
    let pem = read_secret(&path)?.ok_or_else(|| TrustError::Missing(folder.to_owned()))?;
    certificate_in(&path, &pem)
}

fn read_list(folder: &Path) -> Result<Option<AuthorityList>, TrustError> {
    let path = folder.join(LIST);
    let Some(bytes) = read_secret(&path)? else { return Ok(None) };
    AuthorityList::decode(&bytes).map(Some).map_err(|error| TrustError::format(&path, error))
}

/// Signs a list with these certificates, its serial above the last one's, unless the last one has them.
fn write_list<'a>(
    folder: &Path,
    site: SiteCode,
    certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
    root: &SigningKey,
) -> Result<(), TrustError> {
    let wanted: Vec<Vec<u8>> = certificates.into_iter().map(|certificate| certificate.to_vec()).collect();
    let held = read_list(folder)?;
    if held.as_ref().is_some_and(|held| held.certificates == wanted) {
        return Ok(());
    }
    let serial = held.map_or(0, |held| held.serial).checked_add(1).ok_or_else(|| {
        TrustError::Authorities("the serial of the list of authorities cannot rise any more".to_owned())
    })?;
    write_secret(&folder.join(LIST), &AuthorityList::sign(site, serial, wanted, root).encode())
}

fn read_rotation(folder: &Path) -> Result<Option<RotationFile>, TrustError> {
    let path = folder.join(ROTATION);
    let Some(bytes) = read_secret(&path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| TrustError::format(&path, error))
}

fn write_rotation(folder: &Path, file: &RotationFile) -> Result<(), TrustError> {
    let json = serde_json::to_vec_pretty(file).expect("a flat structure is JSON");
    write_secret(&folder.join(ROTATION), &json)
}
