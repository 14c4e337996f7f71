//! The second look: after the last read, everything that was read and its folders once more.
//!
//! Reads lie seconds or hours apart; the second look makes them one tree. What is not as it was
//! when it was read is read again in a further round. Entries that were not read are not looked at.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use restock_names::EntryPath;
use rustix::fs::OFlags;

use super::SnapshotError;
use super::cache::{CacheReader, Record};
use super::links;
use super::source::{Folder, Kind, Source, Stat, Trouble, join, stat_at, stat_of};
use crate::library::Library;
use crate::manifest::{Entry, EntryKind, Manifest, ManifestRoot};

/// Reads remembered in memory; with more, the draft's own manifest and cache are gone through.
const LOGGED_MAX: usize = 64 * 1024;

/// What a round read.
#[derive(Debug)]
pub(super) struct ReadLog {
    root: Stat,
    folders: Vec<(Box<[u8]>, Stat)>,
    /// Index of the folder, name, stat when read.
    reads: Vec<(usize, Box<[u8]>, Stat)>,
    is_complete: bool,
}

impl ReadLog {
    /// A log of a round that found the source folder itself in the state `root`.
    pub(super) fn new(root: Stat) -> Self {
        Self { root, folders: Vec::new(), reads: Vec::new(), is_complete: true }
    }

    /// A log of more than it can remember.
    #[cfg(test)]
    pub(super) fn too_long(root: Stat) -> Self {
        Self { is_complete: false, ..Self::new(root) }
    }

    /// Remembers that `name` in `folder` was read in the state `stat`.
    pub(super) fn push(&mut self, folder: &Folder, name: &[u8], stat: &Stat) {
        if !self.is_complete {
            return;
        }
        if self.reads.len() == LOGGED_MAX {
            (self.folders, self.reads, self.is_complete) = (Vec::new(), Vec::new(), false);
            return;
        }
        if self.folders.last().is_none_or(|(path, _)| *path != folder.path) {
            self.folders.push((folder.path.clone(), folder.stat));
        }
        self.reads.push((self.folders.len() - 1, name.into(), *stat));
    }

    /// The first entry that is not as it was when it was read, or whose folder is not.
    ///
    /// `root` and `cache` are the manifest and scan cache that the round made.
    pub(super) fn first_moved(
        &self,
        source: &Source,
        library: &Library,
        root: ManifestRoot,
        cache: &Path,
    ) -> Result<Option<Vec<u8>>, SnapshotError> {
        let mut eye = Eye { source, open: None, real: Vec::new() };
        if !self.is_complete {
            return self.first_moved_of_draft(&mut eye, library, root, cache);
        }
        for (folder, name, stat) in &self.reads {
            let (path, folder_stat) = &self.folders[*folder];
            let moved = eye.look(path, folder_stat, name, stat)?;
            if moved.is_some() {
                return Ok(moved);
            }
        }
        Ok(None)
    }

    fn first_moved_of_draft(
        &self,
        eye: &mut Eye<'_>,
        library: &Library,
        root: ManifestRoot,
        cache: &Path,
    ) -> Result<Option<Vec<u8>>, SnapshotError> {
        let damaged = || SnapshotError::Cache {
            path: cache.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, "what was just written reads back damaged"),
        };
        let mut records = CacheReader::open(cache, &root).ok_or_else(damaged)?;
        // The folders on the way to the current entry.
        let mut folders: Vec<(EntryPath, Stat)> = Vec::new();
        for entry in Manifest::new(library, root).entries() {
            let entry = entry.map_err(|source| SnapshotError::ReadBack { source })?;
            let record = records.next().ok_or_else(damaged)?;
            let parent = entry.path.parent();
            while !folders.is_empty() && folders.last().map(|(path, _)| path) != parent.as_ref() {
                folders.pop();
            }
            let stat = stat_when_read(&entry, &record);
            if record.is_read {
                let (path, folder) = match folders.last() {
                    Some((path, folder)) => (path.as_bytes(), folder),
                    None => (&b""[..], &self.root),
                };
                let moved = eye.look(path, folder, entry.path.name(), &stat)?;
                if moved.is_some() {
                    return Ok(moved);
                }
            }
            if stat.kind == Kind::Folder {
                folders.push((entry.path, stat));
            }
        }
        Ok(None)
    }
}

/// Puts together what manifest and cache say of an entry.
fn stat_when_read(entry: &Entry, record: &Record) -> Stat {
    let (kind, size) = match &entry.kind {
        EntryKind::File { size, .. } => (Kind::File, *size),
        EntryKind::Folder => (Kind::Folder, 0),
        EntryKind::Symlink { target } => (Kind::Symlink, target.len() as u64),
    };
    Stat {
        kind,
        mode: entry.mode,
        size,
        mtime_ns: entry.mtime_ns,
        ctime_ns: record.ctime_ns,
        inode: record.inode,
        device: record.device,
    }
}

struct Eye<'a> {
    source: &'a Source,
    /// The folder looked at last; entries of one folder follow each other.
    open: Option<(Box<[u8]>, OwnedFd)>,
    /// Where that lies without links.
    real: Vec<u8>,
}

impl Eye<'_> {
    /// Where a folder lies without links; `None` when it is not to be found any more.
    fn real(&self, folder: &[u8]) -> Option<Vec<u8>> {
        if !self.source.follows_links() {
            return Some(folder.to_vec());
        }
        links::follow(self.source, b"", folder).ok().map(|place| place.real)
    }

    /// The path of the entry or of its folder, if it moved.
    fn look(
        &mut self,
        folder: &[u8],
        folder_stat: &Stat,
        name: &[u8],
        stat: &Stat,
    ) -> Result<Option<Vec<u8>>, SnapshotError> {
        let fd = match self.open.take() {
            Some((path, fd)) if *path == *folder => fd,
            _ => {
                let Some(real) = self.real(folder) else { return Ok(Some(folder.to_vec())) };
                let opened = self.source.open(None, &real, OFlags::DIRECTORY).and_then(|fd| {
                    let found = stat_of(&fd)?;
                    Ok((fd, found))
                });
                match opened {
                    Ok((fd, found)) if found == *folder_stat => {
                        self.real = real;
                        fd
                    }
                    Ok(_) => return Ok(Some(folder.to_vec())),
                    Err(errno) => return moved(self.source.folder_trouble(folder, errno), folder.to_vec()),
                }
            }
        };
        let found = stat_at(fd.as_fd(), name);
        self.open = Some((folder.into(), fd));
        match found {
            Ok(found) if found == *stat => Ok(None),
            Ok(found) if found.kind == Kind::Symlink && self.source.follows_links() => {
                // What was read is what the link led to.
                let is_same = links::follow(self.source, &self.real, name).is_ok_and(|p| p.stat == *stat);
                Ok((!is_same).then(|| join(folder, name)))
            }
            Ok(_) => Ok(Some(join(folder, name))),
            Err(errno) => {
                let path = join(folder, name);
                moved(self.source.trouble(&path, errno), path)
            }
        }
    }
}

fn moved(trouble: Trouble, path: Vec<u8>) -> Result<Option<Vec<u8>>, SnapshotError> {
    match trouble {
        Trouble::Moved => Ok(Some(path)),
        Trouble::Fatal(error) => Err(error),
    }
}
