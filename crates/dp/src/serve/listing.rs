//! Writes listings piece by piece, so that a folder of any size needs little memory. Blocking.

use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use restock_content::library::Hold;
use restock_content::manifest::{Entry, EntryKind};
use restock_content::statement::Statement;
use restock_names::EntryPath;

use super::address::{EntryAddress, PACKAGES_FOLDER, escape, unversioned, versioned};
use super::catalog::{Catalog, CatalogError};
use super::damage::Damages;
use super::follow::Place;
use super::multistatus::{FileFacts, HEAD, Resource, TAIL};
use super::propfind::{Asked, Depth};

/// Pieces that wait for a reader.
pub(crate) const PIECES_MAX: usize = 2;
/// About the size of a piece.
const PIECE_BYTES: usize = 32 * 1024;

/// A part of a listing on its way to the reader.
#[derive(Debug)]
pub(crate) enum Sheet {
    Text(Bytes),
    /// The listing is whole.
    End,
    /// It is not, and ends here.
    Broken,
}

/// Where a listing is written: a short queue, and what wakes its reader.
pub(crate) struct Feed<'a> {
    pub(crate) sheets: SyncSender<Sheet>,
    pub(crate) wake: &'a dyn Fn(),
}

/// What is listed.
#[derive(Debug)]
pub(crate) enum Listing {
    /// `/`: the folder of packages.
    Root,
    /// The packages a caller may read.
    Packages(Vec<Statement>),
    /// An entry of a version, or the version's own folder.
    Entry(Box<EntryListed>),
}

/// An entry that is listed.
#[derive(Debug)]
pub(crate) struct EntryListed {
    pub(crate) address: EntryAddress,
    pub(crate) statement: Statement,
    pub(crate) place: Place,
    /// Cleaning removes nothing that the listing still reads.
    pub(crate) _hold: Hold,
}

/// Why a listing ends early.
enum Stop {
    /// The reader is gone.
    Reader,
    /// The manifest cannot be read on.
    Catalog(CatalogError),
}

impl From<CatalogError> for Stop {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl Listing {
    /// Writes the whole answer into `feed`; ends when its reader is gone.
    pub(crate) fn write(
        &self,
        catalog: &Catalog,
        damages: &Damages,
        depth: Depth,
        asked: &Asked,
        feed: &Feed<'_>,
    ) {
        let mut page = Page { text: HEAD.to_owned(), asked, feed };
        let written = match self {
            Self::Root => root(depth, &mut page),
            Self::Packages(packages) => list_packages(packages, depth, &mut page),
            Self::Entry(listed) => EntryListing { catalog, listed }.write(depth, &mut page),
        };
        let written = written.and_then(|()| {
            page.text.push_str(TAIL);
            page.send()
        });
        if let (Err(Stop::Catalog(error)), Self::Entry(listed)) = (&written, self) {
            error.note(damages, &listed.statement.version);
        }
        let last = if written.is_ok() { Sheet::End } else { Sheet::Broken };
        // A reader that is gone needs no end.
        drop(page.give(last));
    }
}

/// Text on its way to the reader.
struct Page<'a> {
    text: String,
    asked: &'a Asked,
    feed: &'a Feed<'a>,
}

impl Page<'_> {
    fn add(&mut self, resource: &Resource) -> Result<(), Stop> {
        resource.write(self.asked, &mut self.text);
        if self.text.len() >= PIECE_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Stop> {
        let text = std::mem::replace(&mut self.text, String::with_capacity(PIECE_BYTES + 1024));
        self.give(Sheet::Text(Bytes::from(text)))
    }

    fn give(&self, sheet: Sheet) -> Result<(), Stop> {
        let given = self.feed.sheets.send(sheet).map_err(|_gone| Stop::Reader);
        (self.feed.wake)();
        given
    }
}

fn root(depth: Depth, page: &mut Page<'_>) -> Result<(), Stop> {
    page.add(&Resource { href: "/".into(), name: b"/".into(), modified_s: None, file: None })?;
    match depth {
        Depth::Zero => Ok(()),
        Depth::One => page.add(&packages_folder()),
    }
}

fn packages_folder() -> Resource {
    let href = format!("/{PACKAGES_FOLDER}/");
    Resource { href, name: PACKAGES_FOLDER.into(), modified_s: None, file: None }
}

fn list_packages(packages: &[Statement], depth: Depth, page: &mut Page<'_>) -> Result<(), Stop> {
    page.add(&packages_folder())?;
    if depth == Depth::One {
        for statement in packages {
            let package = statement.version.package;
            page.add(&Resource {
                href: unversioned(&package, None),
                name: package.as_str().into(),
                modified_s: Some(published_s(statement)),
                file: None,
            })?;
        }
    }
    Ok(())
}

fn published_s(statement: &Statement) -> i64 {
    statement.published_at.0.div_euclid(1_000_000)
}

struct EntryListing<'a> {
    catalog: &'a Catalog,
    listed: &'a EntryListed,
}

impl EntryListing<'_> {
    fn write(&self, depth: Depth, page: &mut Page<'_>) -> Result<(), Stop> {
        let EntryListed { address, statement, place, .. } = self.listed;
        let own = self.href(address.path.as_ref());
        let (folder, is_folder) = match place {
            Place::Root => (None, true),
            Place::Entry(entry) => (Some(&entry.path), matches!(entry.kind, EntryKind::Folder)),
        };
        let name = match &address.path {
            Some(path) => path.name().to_vec(),
            None => address.package.as_str().into(),
        };
        let resource = match place {
            Place::Root => {
                Resource { href: own.clone(), name, modified_s: Some(published_s(statement)), file: None }
            }
            Place::Entry(entry) => self.resource(own.clone(), name, entry, page.asked)?,
        };
        let base = resource.href.clone();
        page.add(&resource)?;
        if !is_folder || depth == Depth::Zero {
            return Ok(());
        }
        for child in self.catalog.manifest(statement).children(folder) {
            let child = child.map_err(CatalogError::from)?;
            let name = child.path.name().to_vec();
            let Some(shown) = self.shown(child)? else { continue };
            let href = format!("{base}{}", escape(&name));
            page.add(&self.resource(href, name, &shown, page.asked)?)?;
        }
        Ok(())
    }

    /// The entry to show for a child: itself, or the file that a link leads to.
    ///
    /// A link to a folder is not listed (a reader that walks would never end in a circle of them),
    /// and neither is one that leads nowhere.
    fn shown(&self, child: Entry) -> Result<Option<Entry>, CatalogError> {
        if !matches!(child.kind, EntryKind::Symlink { .. }) {
            return Ok(Some(child));
        }
        match self.catalog.place(&self.listed.statement, Some(&child.path))? {
            Some(Place::Entry(target)) if matches!(target.kind, EntryKind::File { .. }) => Ok(Some(target)),
            _ => Ok(None),
        }
    }

    fn resource(
        &self,
        mut href: String,
        name: Vec<u8>,
        entry: &Entry,
        asked: &Asked,
    ) -> Result<Resource, CatalogError> {
        let modified_s = Some(entry.mtime_ns.div_euclid(1_000_000_000));
        let EntryKind::File { size, .. } = entry.kind else {
            if !href.ends_with('/') {
                href.push('/');
            }
            return Ok(Resource { href, name, modified_s, file: None });
        };
        let etag = match asked.wants("getetag") {
            true => Some(format!("\"{}\"", self.catalog.file_digest(&self.listed.statement, entry)?)),
            false => (*asked == Asked::Names).then(String::new),
        };
        let file = FileFacts { size, etag, is_executable: entry.mode & 0o111 != 0 };
        Ok(Resource { href, name, modified_s, file: Some(file) })
    }

    fn href(&self, path: Option<&EntryPath>) -> String {
        match self.listed.address.version {
            Some(_) => versioned(&self.listed.statement.version, path),
            None => unversioned(&self.listed.address.package, path),
        }
    }
}
