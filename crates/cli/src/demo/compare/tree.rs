//! The source as the comparison sees it.

use std::cmp::Ordering;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind};
use crate::output::shown_path;

/// One entry below the source folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Bytes relative to the folder; empty for the folder itself.
    pub(super) path: Box<[u8]>,
    pub(super) kind: EntryKind,
}

/// The kinds of entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryKind {
    File { size: u64 },
    Folder,
    Link { target: Box<[u8]> },
}

/// All entries of a folder, itself first.
#[derive(Debug)]
pub(in crate::demo) struct Tree {
    folder: PathBuf,
    /// In order of folder, then name: what lies directly in a folder is one run.
    entries: Vec<Entry>,
}

impl Tree {
    /// Walks `folder` without following links.
    pub(in crate::demo) fn read(folder: &Path) -> Result<Self, Failure> {
        let root = Entry { path: Box::default(), kind: EntryKind::Folder };
        let mut tree = Self { folder: folder.to_owned(), entries: vec![root] };
        let mut open: Vec<Box<[u8]>> = vec![Box::default()];
        while let Some(path) = open.pop() {
            tree.read_folder(&path, &mut open).map_err(|e| {
                Failure::caused(Kind::Failed, format!("cannot read {}", shown_path(&tree.on_disk(&path))), &e)
            })?;
        }
        tree.entries.sort_unstable_by(|a, b| order(&a.path, &b.path));
        tree.entries.shrink_to_fit();
        Ok(tree)
    }

    fn read_folder(&mut self, path: &[u8], open: &mut Vec<Box<[u8]>>) -> std::io::Result<()> {
        for entry in fs::read_dir(self.on_disk(path))? {
            let entry = entry?;
            let name = entry.file_name();
            let below: Box<[u8]> = if path.is_empty() {
                name.as_bytes().into()
            } else {
                [path, b"/", name.as_bytes()].concat().into()
            };
            let facts = entry.metadata()?;
            let kind = if facts.is_dir() {
                open.push(below.clone());
                EntryKind::Folder
            } else if facts.is_symlink() {
                EntryKind::Link { target: fs::read_link(entry.path())?.into_os_string().into_vec().into() }
            } else {
                EntryKind::File { size: facts.size() }
            };
            self.entries.push(Entry { path: below, kind });
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Entries, and bytes of all files.
    pub(in crate::demo) fn measure(&self) -> (u64, u64) {
        let size = |e: &Entry| if let EntryKind::File { size } = e.kind { size } else { 0 };
        (self.entries.len() as u64, self.entries.iter().map(size).sum())
    }

    pub(super) fn find(&self, path: &[u8]) -> Option<&Entry> {
        self.entries.binary_search_by(|e| order(&e.path, path)).ok().map(|place| &self.entries[place])
    }

    /// What lies directly in a folder.
    pub(super) fn children(&self, folder: &[u8]) -> impl Iterator<Item = &Entry> {
        let start = self.entries.partition_point(|e| place(&e.path) < (Some(folder), &[]));
        self.entries[start..].iter().take_while(move |e| place(&e.path).0 == Some(folder))
    }

    pub(super) fn on_disk(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() {
            self.folder.clone()
        } else {
            self.folder.join(std::ffi::OsStr::from_bytes(path))
        }
    }
}

/// The folder that an entry lies in, and its name; the root lies in none and is first.
fn place(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (Some(&path[..at]), &path[at + 1..]),
        None if path.is_empty() => (None, path),
        None => (Some(&[]), path),
    }
}

fn order(a: &[u8], b: &[u8]) -> Ordering {
    place(a).cmp(&place(b))
}
