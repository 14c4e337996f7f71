//! The sorted walk: every entry of the source in path order, folders listed ahead by the pool.

use std::sync::Arc;

use restock_names::{EntryPath, NameRule};

use super::SnapshotError;
use super::links::{self, Refused};
use super::pool::Pool;
use super::source::{Folder, Kind, Listing, Stat, Trouble};

/// Walks the source without recursion; memory is the listings on the way to the current entry.
pub(super) struct Walk<'p, 'a> {
    pool: &'p Pool<'a>,
    frames: Vec<Frame>,
    /// The current entry's path.
    path: Vec<u8>,
    /// Where the file lies that the current entry, a link, leads to.
    real: Option<Box<[u8]>>,
    /// The name beside the current entry's that other systems take for it.
    collision: Option<(NameRule, Box<[u8]>)>,
}

struct Frame {
    listing: Listing,
    next: usize,
}

/// What the walk met.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// An entry; a folder's stat is that of the moment it was listed, a followed link's that of
    /// what it leads to.
    Entry(Stat),
    /// A folder that was gone or not at rest when it was to be listed.
    Moved,
}

impl<'p, 'a> Walk<'p, 'a> {
    /// A walk that begins beneath the root, whose listing is given.
    pub(super) fn new(pool: &'p Pool<'a>, root: Listing) -> Self {
        pool.add_folders(&root, 0);
        Self {
            pool,
            frames: vec![Frame { listing: root, next: 0 }],
            path: Vec::new(),
            real: None,
            collision: None,
        }
    }

    /// The current entry's path beneath the root.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The folder that holds the current entry, unless that is a folder itself.
    pub(super) fn folder(&self) -> &Arc<Folder> {
        &self.frames.last().expect("an entry lies in a folder").listing.folder
    }

    /// Where the current file lies beneath the root, when it is a link that was followed.
    pub(super) fn real(&self) -> Option<&[u8]> {
        self.real.as_deref()
    }

    /// The rule by which other systems take the current entry for another of its folder, and that
    /// one's name.
    pub(super) fn collision(&self) -> Option<(NameRule, &[u8])> {
        self.collision.as_ref().map(|(rule, other)| (*rule, &**other))
    }

    /// Moves to the next entry; `None` behind the last.
    ///
    /// Errors: a folder that no package can hold, or that cannot be read; a link that is to be
    /// followed and cannot be.
    pub(super) fn next(&mut self) -> Result<Option<Step>, SnapshotError> {
        self.real = None;
        loop {
            let Some(frame) = self.frames.last_mut() else { return Ok(None) };
            let Frame { listing, next } = frame;
            if *next == listing.len() {
                self.frames.pop();
                continue;
            }
            if *next == listing.stated() {
                match listing.stat_more(self.pool.source) {
                    Ok(()) => self.pool.add_folders(listing, *next),
                    Err(Trouble::Fatal(error)) => return Err(error),
                    Err(Trouble::Moved) => {
                        self.path.clear();
                        self.path.extend_from_slice(&listing.folder.path);
                        self.frames.pop();
                        return Ok(Some(Step::Moved));
                    }
                }
            }
            let index = *next;
            *next += 1;
            let Some(stat) = listing.stat(index) else { continue };
            self.path.clear();
            self.path.extend_from_slice(&listing.folder.path);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(listing.name(index));
            self.collision = listing.collision(index).map(|(rule, other)| (rule, other.into()));
            let (folder, name) = (Arc::clone(&listing.folder), listing.name(index).to_vec());
            return match stat.kind {
                Kind::Folder => {
                    self.check_path()?;
                    let listing = self.pool.listing(&folder, &self.path)?;
                    self.enter(listing).map(Some)
                }
                Kind::Symlink if self.pool.source.follows_links() => self.follow(&folder, &name).map(Some),
                _ => Ok(Some(Step::Entry(stat))),
            };
        }
    }

    /// Goes where the link `name` in `folder` leads.
    fn follow(&mut self, folder: &Folder, name: &[u8]) -> Result<Step, SnapshotError> {
        let source = self.pool.source;
        let place = match links::follow(source, folder.real(), name) {
            Ok(place) => place,
            Err(Refused::Trouble(Trouble::Moved)) => return Ok(Step::Moved),
            Err(Refused::Trouble(Trouble::Fatal(error))) => return Err(error),
            Err(refused) => return Err(self.refused(folder, name, &refused)),
        };
        if place.stat.kind != Kind::Folder {
            self.real = Some(place.real.into());
            return Ok(Step::Entry(place.stat));
        }
        // A folder that contains itself: whatever leads on from there leads here again.
        if self.frames.iter().any(|frame| *frame.listing.folder.real() == place.real) {
            return Err(self.refused(folder, name, &Refused::Circle));
        }
        self.check_path()?;
        let listing = self.pool.listing_of_link(&place.real, &self.path);
        self.enter(listing)
    }

    fn refused(&self, folder: &Folder, name: &[u8], refused: &Refused) -> SnapshotError {
        let source = self.pool.source;
        let (path, target) = (source.shown(&self.path), links::target_of(source, folder.real(), name));
        match refused {
            Refused::Circle => SnapshotError::SymlinkLoop { path, target },
            Refused::Outside => {
                let problem = "it leads out of the source folder and links are followed inside it only";
                SnapshotError::Symlink { path, target, problem }
            }
            _ => {
                SnapshotError::Symlink { path, target, problem: "it is to be followed and nothing is there" }
            }
        }
    }

    fn enter(&mut self, listing: Result<Listing, Trouble>) -> Result<Step, SnapshotError> {
        match listing {
            Ok(listing) => {
                let stat = listing.folder.stat;
                self.frames.push(Frame { listing, next: 0 });
                Ok(Step::Entry(stat))
            }
            Err(Trouble::Moved) => Ok(Step::Moved),
            Err(Trouble::Fatal(error)) => Err(error),
        }
    }

    /// Before a folder is opened: one whose path is too long cannot be.
    fn check_path(&self) -> Result<(), SnapshotError> {
        if self.path.len() > PATH_UNCHECKED_MAX {
            EntryPath::new(self.path.as_slice())?;
        }
        Ok(())
    }
}

/// Shorter paths need no check before they are opened.
const PATH_UNCHECKED_MAX: usize = 4_000;
