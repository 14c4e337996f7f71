//! What can be read at an address: packages, their versions, their entries. Blocking.
//!
//! Rights are decided here and nowhere else: a package the caller may not read is not in the
//! catalog.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use restock_content::hash::FileHasher;
use restock_content::library::{Library, LibraryError};
use restock_content::manifest::{Entry, EntryKind, FileChunks, Manifest, ManifestError};
use restock_content::statement::Statement;
use restock_names::{ContentVersion, Digest, EntryPath, PackageId};

use super::address::EntryAddress;
use super::damage::Damages;
use super::follow::{Place, follow};
use super::rights::Caller;
use super::shelf::{Found, Shelf};
use super::source::damaged_page;
use crate::packages::Packages;

/// Digests kept of files with paged chunk lists.
const DIGESTS_MAX: usize = 4_096;

/// Why the catalog cannot tell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl CatalogError {
    /// Tells that something of `content` cannot be read.
    pub(crate) fn note(&self, damages: &Damages, content: &ContentVersion) {
        match self {
            Self::Manifest(error) => {
                if let Some(digest) = damaged_page(error) {
                    damages.note(content, digest, error);
                }
            }
            Self::Library(error) => tracing::error!(
                target: "smsdpprov",
                error = %error,
                package.id = %content.package,
                "the library cannot be read"
            ),
        }
    }
}

/// Packages and what is in them.
#[derive(Debug)]
pub(crate) struct Catalog {
    library: Arc<Library>,
    packages: Arc<Packages>,
    digests: Mutex<HashMap<Digest, Digest>>,
    shelf: Shelf,
}

impl Catalog {
    pub(crate) fn new(library: Arc<Library>, packages: Arc<Packages>) -> Self {
        Self { library, packages, digests: Mutex::default(), shelf: Shelf::default() }
    }

    pub(crate) fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Whether `caller` may read `package`.
    pub(crate) fn is_readable(&self, package: &PackageId, caller: &Caller) -> bool {
        self.packages.is_public(package) || caller.may_read(package)
    }

    /// Whether anybody may read `package`, so that shared caches may keep it.
    pub(crate) fn is_public(&self, package: &PackageId) -> bool {
        self.packages.is_public(package)
    }

    /// The active packages that `caller` may read, with their active versions.
    pub(crate) fn readable(&self, caller: &Caller) -> Vec<Statement> {
        let mut packages = self.library.packages();
        packages.sort();
        packages
            .iter()
            .filter(|id| self.is_readable(id, caller))
            .filter_map(|id| self.library.active(id))
            .collect()
    }

    /// [`Self::version`], if telling it takes no time: `None` when it may.
    pub(crate) fn version_at_once(
        &self,
        address: &EntryAddress,
        caller: &Caller,
    ) -> Option<Option<Statement>> {
        if !self.is_readable(&address.package, caller) {
            return Some(None);
        }
        let Some(active) = self.library.active(&address.package) else { return Some(None) };
        let is_active = address.version.is_none_or(|version| version == active.version.version);
        is_active.then_some(Some(active))
    }

    /// The version an address names: a stored one by its number, else the active one.
    ///
    /// A package without an active version was removed, or never arrived; its versions are not read.
    pub(crate) fn version(
        &self,
        address: &EntryAddress,
        caller: &Caller,
    ) -> Result<Option<Statement>, CatalogError> {
        if !self.is_readable(&address.package, caller) {
            return Ok(None);
        }
        let Some(active) = self.library.active(&address.package) else { return Ok(None) };
        match address.version {
            None => Ok(Some(active)),
            Some(version) if version == active.version.version => Ok(Some(active)),
            Some(version) => {
                let stored = self.library.statements(&address.package)?;
                let of_version = stored.into_iter().filter(|s| s.version.version == version);
                Ok(of_version.max_by_key(|s| s.version.epoch))
            }
        }
    }

    /// What lies at `path` of a version, links inside the package followed.
    pub(crate) fn place(
        &self,
        statement: &Statement,
        path: Option<&EntryPath>,
    ) -> Result<Option<Place>, CatalogError> {
        let Some(path) = path else { return Ok(Some(Place::Root)) };
        let manifest = self.manifest(statement);
        Ok(follow(path, |path| manifest.find(path))?)
    }

    /// The file at `path` of a version, if it was found a moment ago.
    pub(crate) fn file_at_once(&self, statement: &Statement, path: &EntryPath) -> Option<Arc<Found>> {
        self.shelf.get(&(statement.root.digest, path.clone()))
    }

    /// The file at `path` of a version, links followed; `None` for what is no file.
    pub(crate) fn file(
        &self,
        statement: &Statement,
        path: &EntryPath,
    ) -> Result<Option<Arc<Found>>, CatalogError> {
        if let Some(found) = self.file_at_once(statement, path) {
            return Ok(Some(found));
        }
        let Some(Place::Entry(entry)) = self.place(statement, Some(path))? else { return Ok(None) };
        let EntryKind::File { size, .. } = entry.kind else { return Ok(None) };
        let digest = self.file_digest(statement, &entry)?;
        let found = Arc::new(Found::new(entry, size, digest));
        self.shelf.put((statement.root.digest, path.clone()), Arc::clone(&found));
        Ok(Some(found))
    }

    /// The manifest of a version.
    pub(crate) fn manifest(&self, statement: &Statement) -> Manifest<'_> {
        Manifest::new(&*self.library, statement.root)
    }

    /// The digest of a file's bytes.
    ///
    /// Cost: none for a short chunk list, otherwise the list is read once and the digest remembered.
    pub(crate) fn file_digest(&self, statement: &Statement, file: &Entry) -> Result<Digest, CatalogError> {
        let list = match &file.kind {
            EntryKind::File { chunks: FileChunks::Paged(list), .. } => Some(list.root),
            _ => None,
        };
        if let Some(known) = list.and_then(|root| self.lock().get(&root).copied()) {
            return Ok(known);
        }
        let mut hasher = FileHasher::default();
        for run in self.manifest(statement).runs(file) {
            let (_, run) = run?;
            hasher.run(&run.digest, run.length, run.repeat);
        }
        let digest = hasher.finish();
        if let Some(root) = list {
            let mut digests = self.lock();
            if digests.len() >= DIGESTS_MAX {
                digests.clear();
            }
            digests.insert(root, digest);
        }
        Ok(digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Digest>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
