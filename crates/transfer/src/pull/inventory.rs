//! What the library has already, as the receiver asks for it.

use std::collections::HashSet;
use std::sync::Arc;

use restock_content::library::Library;
use restock_content::manifest::{Manifest, ManifestRoot, PageError, PageSource};
use restock_content::transfer::Inventory;
use restock_names::{ContentVersion, Digest};

/// A library, and the pages of the version of a package that is complete in it.
#[derive(Debug)]
pub(super) struct LibraryInventory {
    library: Arc<Library>,
    complete: HashSet<Digest>,
    base: Option<(ContentVersion, ManifestRoot)>,
}

impl LibraryInventory {
    /// Reads which pages the active version of the package has.
    ///
    /// Cost: its index pages. A version that cannot be read counts as not complete.
    pub(super) fn new(library: Arc<Library>, wanted: &ContentVersion) -> Self {
        let mut complete = HashSet::new();
        let mut base = None;
        if let Some(active) = library.active(&wanted.package) {
            base = Some((active.version, active.root));
            for page in Manifest::new(&*library, active.root).pages_from(0) {
                match page {
                    Ok((digest, _)) => {
                        complete.insert(digest);
                    }
                    Err(error) => {
                        tracing::warn!(version = %active.version, %error, "active version is damaged");
                        complete.clear();
                        base = None;
                        break;
                    }
                }
            }
        }
        Self { library, complete, base }
    }

    /// The complete version, if there is one.
    pub(super) fn base(&self) -> Option<(ContentVersion, ManifestRoot)> {
        self.base
    }

    /// An inventory that knows no complete version.
    pub(super) fn empty(library: Arc<Library>) -> Self {
        Self { library, complete: HashSet::new(), base: None }
    }
}

impl Inventory for LibraryInventory {
    fn holds(&self, chunk: &Digest) -> Result<bool, PageError> {
        self.library.holds(chunk).map_err(|error| PageError { digest: *chunk, source: Box::new(error) })
    }

    fn page(&self, page: &Digest) -> Option<Arc<[u8]>> {
        // Asked first: reading what is not there would be logged as an error.
        self.library.holds(page).is_ok_and(|held| held).then(|| self.library.page(page).ok())?
    }

    fn is_complete(&self, page: &Digest) -> bool {
        self.complete.contains(page)
    }
}
