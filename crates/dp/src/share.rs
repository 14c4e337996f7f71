//! Package shares: for users who need plain files, a folder of each package that asks for one, kept
//! equal to the version that is served.
//!
//! [`Shares`] keeps two trees for each package: the one that is seen, and a spare one, the version
//! before. A new version is made in the spare tree from what differs, unchanged files being further
//! names of the seen tree's, and then the two change places in one step. So an unchanged file stays the
//! same file, whoever reads the old version can finish, and nobody sees a mixture.
//!
//! Files come out of the library checked. They are never names of packs, so whoever may write in the
//! share harms the share alone: [`Shares::check`] finds that and [`Shares::mend`] makes it right.
//! This does not serve anything itself: the folder is for a file server beside.
//!
//! Source: docs/formats/share.md.

mod check;
mod fill;
mod folders;
mod place;
mod state;
mod tree;
mod upkeep;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use restock_content::library::{Library, LibraryError};
use restock_content::manifest::{Manifest, ManifestError, ManifestRoot};
use restock_names::{ContentVersion, EntryPath, PackageId, ShareName, ShareNameError};
use rustix::io::Errno;

use self::place::{Place, Switching};
use self::state::{State, Tree};
use self::tree::{Change, Donor};

pub use self::check::ShareDamage;
pub(crate) use self::upkeep::ShareRoot;

/// The folder in the share's root that is this program's own.
pub(crate) const OWN_FOLDER: &str = ".restock";

/// What one call of [`Shares::keep`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShareReport {
    /// Files written.
    pub files_written: u64,
    /// Bytes written; what was cloned or lies in holes is counted too.
    pub bytes_written: u64,
    /// Unchanged files that got a further name.
    pub files_linked: u64,
    /// Entries taken away.
    pub entries_removed: u64,
    /// Links that lead out of the package, which a share does not have.
    pub links_left_out: u64,
}

/// Why a package's folder is not as it should be. The text begins with the stable code.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// A name that no folder of a share has.
    #[error(transparent)]
    Name(#[from] ShareNameError),
    /// The name is another's.
    #[error("SHARE_NAME_TAKEN: {} is there and belongs to {owner}", .path.display())]
    Taken { path: PathBuf, owner: String },
    /// The operating system failed.
    #[error("SHARE_IO: failed to {step} {}", .path.display())]
    Io { step: &'static str, path: PathBuf, source: io::Error },
    /// The record of a package cannot be understood.
    #[error("SHARE_STATE: {} is not the record of a package's folder", .path.display())]
    State { path: PathBuf, source: serde_json::Error },
    /// The library could not give what the folder holds.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The manifest of the version cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The caller asked to stop.
    #[error("the share was stopped")]
    Stopped,
}

impl ShareError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "SHARE_NAME_INVALID",
            Self::Taken { .. } => "SHARE_NAME_TAKEN",
            Self::Io { .. } => "SHARE_IO",
            Self::State { .. } => "SHARE_STATE",
            Self::Library(_) | Self::Manifest(_) => "LIBRARY",
            Self::Stopped => "CANCELLED",
        }
    }

    /// True when it may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Name(_) | Self::Taken { .. } | Self::State { .. })
    }

    fn io(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(Errno) -> Self {
        let path = path.into();
        move |errno| Self::Io { step, path, source: errno.into() }
    }
}

/// All packages' folders beneath one root.
#[derive(Debug)]
pub struct Shares {
    library: Arc<Library>,
    root: PathBuf,
    root_fd: OwnedFd,
    /// The folder [`OWN_FOLDER`].
    own: OwnedFd,
    switching: Switching,
    /// One for each package at work, so that two jobs do not meet in a tree.
    busy: Mutex<HashMap<PackageId, Arc<Mutex<()>>>>,
}

impl Shares {
    /// Takes over or makes the share at `root`. Blocking.
    pub fn open(root: &Path, library: Arc<Library>) -> Result<Self, ShareError> {
        let own = root.join(OWN_FOLDER);
        std::fs::create_dir_all(&own).map_err(|source| ShareError::Io {
            step: "make",
            path: own.clone(),
            source,
        })?;
        let open = |path: &Path| folders::open(path).map_err(ShareError::io("open", path));
        let (root_fd, own_fd) = (open(root)?, open(&own)?);
        let switching = place::probe(&own_fd).map_err(ShareError::io("try", &own))?;
        place::protect(&own_fd, switching).map_err(ShareError::io("protect", &own))?;
        Ok(Self { library, root: root.to_owned(), root_fd, own: own_fd, switching, busy: Mutex::default() })
    }

    /// Lets trees change places as on a file system that cannot exchange two names.
    #[doc(hidden)]
    pub fn switching_by_links(self) -> Result<Self, ShareError> {
        let switching = Switching::Link;
        place::protect(&self.own, switching).map_err(ShareError::io("protect", self.own_path()))?;
        Ok(Self { switching, ..self })
    }

    /// Makes the folder `name` equal to `content`, whose manifest is `root`; afterwards the package has no
    /// other folder here. What is right already is not touched. Blocking.
    ///
    /// `is_stopped` is asked again and again. Errors: [`ShareError`]; the folder is then as it was.
    pub fn keep(
        &self,
        name: &str,
        content: &ContentVersion,
        root: ManifestRoot,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<ShareReport, ShareError> {
        let lock = self.lock(content.package);
        let _busy = lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.keep_locked(name, content, root, Some(&BTreeSet::new()), is_stopped)
    }

    /// Removes the package's folder, if it has one. Blocking.
    pub fn remove(&self, package: &PackageId) -> Result<(), ShareError> {
        let lock = self.lock(*package);
        let _busy = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = self.load(package)? else { return Ok(()) };
        self.place(package, &state.name).remove(state.live.as_ref())?;
        self.forget(package)
    }

    /// The packages that have a folder here.
    pub fn packages(&self) -> Result<Vec<PackageId>, ShareError> {
        state::packages(&self.own).map_err(ShareError::io("list", self.own_path()))
    }

    /// What the package's folder lacks, has too much or has otherwise than `root` says; `None` when it
    /// has no folder. With `reads` every file is read and compared, else only looked at. Blocking.
    pub fn check(
        &self,
        package: &PackageId,
        root: ManifestRoot,
        reads: bool,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Option<ShareDamage>, ShareError> {
        let lock = self.lock(*package);
        let _busy = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = self.load(package)? else { return Ok(None) };
        let place = self.place(package, &state.name);
        let Some(live) = place.open_live(state.live.as_ref())? else {
            return Ok(Some(ShareDamage::of_all()));
        };
        let manifest = Manifest::new(&*self.library, root);
        check::compare(&manifest, live.as_fd(), reads, is_stopped)
            .map_err(|error| error.within(&place.live_path()))
            .map(Some)
    }

    /// As [`Self::keep`], making what `damage` names anew.
    pub fn mend(
        &self,
        name: &str,
        content: &ContentVersion,
        root: ManifestRoot,
        damage: &ShareDamage,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<ShareReport, ShareError> {
        let lock = self.lock(content.package);
        let _busy = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut state) = self.load(&content.package)? {
            // The spare tree has files in common with the seen one: it is made anew as well.
            state.spare = None;
            if let Some(live) = &mut state.live {
                live.is_right = false;
            }
            self.store(&content.package, &state)?;
        }
        let distrusted = if damage.is_all() { None } else { Some(damage.paths()) };
        let report = self.keep_locked(name, content, root, distrusted, is_stopped)?;
        if let Some(mut state) = self.load(&content.package)? {
            state.spare = None;
            self.store(&content.package, &state)?;
            self.place(&content.package, &state.name).remove_spare()?;
        }
        Ok(report)
    }

    fn keep_locked(
        &self,
        name: &str,
        content: &ContentVersion,
        root: ManifestRoot,
        distrusted: Option<&BTreeSet<EntryPath>>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<ShareReport, ShareError> {
        let name = name.parse::<ShareName>()?.for_package(&content.package)?;
        let name = name.as_str();
        let package = &content.package;
        let mut state = match self.load(package)? {
            Some(state) => state,
            None => State::new(name),
        };
        if state.name != name {
            self.rename(package, &mut state, name)?;
        }
        let place = self.place(package, name);
        let live = place.open_live(state.live.as_ref())?;
        if let (Some(_), Some(tree)) = (&live, &state.live)
            && tree.is_right
            && tree.root() == root
        {
            return Ok(ShareReport::default());
        }
        if live.is_none() {
            self.require_free(package, &place)?;
        }
        if is_stopped() {
            return Err(ShareError::Stopped);
        }
        // From here on the spare tree is in the making: a crash leaves one that is made anew.
        let before = state.spare.take();
        self.store(package, &state)?;
        let made = self.fill_spare(
            &place,
            before,
            (live.as_ref(), state.live.as_ref()),
            root,
            distrusted,
            is_stopped,
        );
        let (report, spare) = match made {
            Ok(made) => made,
            Err(error) => {
                // What is half made would only take up space.
                if let Err(left) = place.remove_spare() {
                    tracing::warn!(target: "smsdpprov", error = &left as &dyn std::error::Error, "a spare tree is left");
                }
                return Err(error);
            }
        };
        rustix::fs::syncfs(&self.own).map_err(ShareError::io("sync", &self.root))?;
        if is_stopped() {
            place.remove_spare()?;
            return Err(ShareError::Stopped);
        }
        state.spare = Some(spare);
        self.store(package, &state)?;
        place.switch(live.is_some())?;
        let earlier = state.live.take().filter(|_| live.is_some());
        state.live = state.spare.take();
        state.spare = earlier;
        self.store(package, &state)?;
        Ok(report)
    }

    /// Makes the spare tree of a package what `root` lists.
    fn fill_spare(
        &self,
        place: &Place<'_>,
        before: Option<Tree>,
        (live, live_tree): (Option<&OwnedFd>, Option<&Tree>),
        root: ManifestRoot,
        distrusted: Option<&BTreeSet<EntryPath>>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(ShareReport, Tree), ShareError> {
        let target = Manifest::new(&*self.library, root);
        let donor = match (live, live_tree, distrusted) {
            (Some(fd), Some(tree), Some(distrusted)) => Some(Donor {
                tree: fd.as_fd(),
                manifest: Manifest::new(&*self.library, tree.root()),
                distrusted,
            }),
            _ => None,
        };
        let trash = self.own.as_fd();
        if let Some(before) = before
            && let Some(spare) = place.open_spare(&before)?
        {
            let from = Manifest::new(&*self.library, before.root());
            let change =
                Change { from: Some(from), donor: donor.as_ref(), target, trash, library: &self.library };
            match tree::apply(&change, &spare, is_stopped) {
                Ok(report) => return Ok((report, place.describe(&spare, root)?)),
                Err(tree::Failed::Stopped) => return Err(ShareError::Stopped),
                // Somebody changed it while it was the one that is seen, or its version is forgotten.
                Err(error @ (tree::Failed::Unexpected(_) | tree::Failed::Before(_))) => {
                    tracing::debug!(target: "smsdpprov", %error, "the spare tree is made anew");
                }
                Err(error) => return Err(error.within(&place.live_path())),
            }
        }
        let spare = place.empty_spare()?;
        let change = Change { from: None, donor: donor.as_ref(), target, trash, library: &self.library };
        let report =
            tree::apply(&change, &spare, is_stopped).map_err(|error| error.within(&place.live_path()))?;
        Ok((report, place.describe(&spare, root)?))
    }

    /// Gives the folder of a package another name.
    fn rename(&self, package: &PackageId, state: &mut State, name: &str) -> Result<(), ShareError> {
        let (old, new) = (self.place(package, &state.name), self.place(package, name));
        if old.open_live(state.live.as_ref())?.is_some() {
            self.require_free(package, &new)?;
            // Written first: after a crash the folder is found under one of the two.
            state.earlier_name = Some(std::mem::replace(&mut state.name, name.to_owned()));
            self.store(package, state)?;
            old.rename_live_to(&new)?;
        } else {
            state.name = name.to_owned();
        }
        state.earlier_name = None;
        self.store(package, state)
    }

    /// Nothing of somebody else's is at the place where the package's folder is to be.
    fn require_free(&self, package: &PackageId, place: &Place<'_>) -> Result<(), ShareError> {
        if !place.is_taken()? {
            return Ok(());
        }
        let mut owner = "nobody this distribution point knows: move it away".to_owned();
        for other in self.packages()?.iter().filter(|other| *other != package) {
            if self.load(other)?.is_some_and(|state| state.name == place.name) {
                owner = format!("package {other}");
            }
        }
        Err(ShareError::Taken { path: place.live_path(), owner })
    }

    fn place<'s>(&'s self, package: &PackageId, name: &str) -> Place<'s> {
        Place {
            root: self.root_fd.as_fd(),
            own: self.own.as_fd(),
            path: &self.root,
            package: *package,
            name: name.to_owned(),
            switching: self.switching,
        }
    }

    /// The record of a package, made to agree with what a crash left.
    fn load(&self, package: &PackageId) -> Result<Option<State>, ShareError> {
        let Some(mut state) = state::load(&self.own_path(), package)? else { return Ok(None) };
        if let Some(earlier) = &state.earlier_name {
            let old = self.place(package, earlier);
            if old.open_live(state.live.as_ref())?.is_some() {
                old.rename_live_to(&self.place(package, &state.name))?;
            }
            state.earlier_name = None;
        }
        let place = self.place(package, &state.name);
        if let Some(spare) = &state.spare
            && place.open_live(Some(spare))?.is_some()
        {
            // The trees had changed places when the record was not written yet.
            std::mem::swap(&mut state.live, &mut state.spare);
        }
        Ok(Some(state))
    }

    fn store(&self, package: &PackageId, state: &State) -> Result<(), ShareError> {
        state::store(&**self.library.files(), &self.own_path(), package, state)
    }

    fn forget(&self, package: &PackageId) -> Result<(), ShareError> {
        state::forget(&**self.library.files(), &self.own_path(), package)
    }

    fn own_path(&self) -> PathBuf {
        self.root.join(OWN_FOLDER)
    }

    fn lock(&self, package: PackageId) -> Arc<Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(busy.entry(package).or_default())
    }
}
