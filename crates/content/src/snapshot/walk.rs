//! The sorted walk: every entry of the source in path order, folders listed ahead by the pool.

use std::sync::Arc;

use restock_names::EntryPath;

use super::SnapshotError;
use super::pool::Pool;
use super::source::{Folder, Kind, Listing, Stat, Trouble};

/// Walks the source without recursion; memory is the listings on the way to the current entry.
pub(super) struct Walk<'p, 'a> {
    pool: &'p Pool<'a>,
    frames: Vec<Frame>,
    /// The current entry's path.
    path: Vec<u8>,
}

struct Frame {
    listing: Listing,
    next: usize,
}

/// What the walk met.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// An entry; a folder's stat is that of the moment it was listed.
    Entry(Stat),
    /// A folder that was gone or not at rest when it was to be listed.
    Moved,
}

impl<'p, 'a> Walk<'p, 'a> {
    /// A walk that begins beneath the root, whose listing is given.
    pub(super) fn new(pool: &'p Pool<'a>, root: Listing) -> Self {
        pool.add_folders(&root, 0);
        Self { pool, frames: vec![Frame { listing: root, next: 0 }], path: Vec::new() }
    }

    /// The current entry's path beneath the root.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The folder that holds the current entry, unless that is a folder itself.
    pub(super) fn folder(&self) -> &Arc<Folder> {
        &self.frames.last().expect("an entry lies in a folder").listing.folder
    }

    /// Moves to the next entry; `None` behind the last.
    ///
    /// Errors: a folder that no package can hold, or that cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Step>, SnapshotError> {
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
            if stat.kind != Kind::Folder {
                return Ok(Some(Step::Entry(stat)));
            }
            // Before the folder is opened: a path that is too long cannot be.
            if self.path.len() > PATH_UNCHECKED_MAX {
                EntryPath::new(self.path.as_slice())?;
            }
            return match self.pool.listing(&listing.folder, &self.path)? {
                Ok(listing) => {
                    let stat = listing.folder.stat;
                    self.frames.push(Frame { listing, next: 0 });
                    Ok(Some(Step::Entry(stat)))
                }
                Err(Trouble::Moved) => Ok(Some(Step::Moved)),
                Err(Trouble::Fatal(error)) => Err(error),
            };
        }
    }
}

/// Shorter paths need no check before they are opened.
const PATH_UNCHECKED_MAX: usize = 4_000;
