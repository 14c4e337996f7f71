//! Reading a manifest by entry and by path.

use std::sync::Arc;

use restock_names::{Digest, EntryPath};

use super::{
    ChunkListChild, ChunkListRef, ChunkRun, EntriesChild, Entry, EntryKind, FileChunks, ManifestError,
    ManifestRoot, Page, PageSource,
};

/// A manifest whose pages are fetched as they are needed.
#[derive(Clone, Copy)]
pub struct Manifest<'a> {
    pub(super) source: &'a dyn PageSource,
    pub(super) root: ManifestRoot,
}

/// Where reading begins.
#[derive(Debug, Clone)]
enum Start {
    First,
    At(EntryPath),
    AfterTree(EntryPath),
}

impl Start {
    /// True when `path` lies at or behind the start.
    fn admits(&self, path: &EntryPath) -> bool {
        match self {
            Self::First => true,
            Self::At(start) => path >= start,
            Self::AfterTree(folder) => path > folder && !is_beneath(path, folder),
        }
    }
}

/// Does `path` lie beneath the entry at `folder`?
pub(crate) fn is_beneath(path: &EntryPath, folder: &EntryPath) -> bool {
    path.as_bytes().strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
}

impl<'a> Manifest<'a> {
    /// A manifest with this root, its pages in `source`.
    pub fn new(source: &'a dyn PageSource, root: ManifestRoot) -> Self {
        Self { source, root }
    }

    /// The root.
    pub fn root(&self) -> &ManifestRoot {
        &self.root
    }

    /// All entries in path order.
    pub fn entries(&self) -> Entries<'a> {
        Entries::new(*self, Start::First)
    }

    /// The entries from `path` on, the entry at `path` included.
    pub fn entries_from(&self, path: &EntryPath) -> Entries<'a> {
        Entries::new(*self, Start::At(path.clone()))
    }

    /// The entry at `path`. Cost: one page for each level.
    pub fn find(&self, path: &EntryPath) -> Result<Option<Entry>, ManifestError> {
        match self.entries_from(path).next().transpose()? {
            Some(entry) if entry.path == *path => Ok(Some(entry)),
            _ => Ok(None),
        }
    }

    /// The entries directly in `folder` (`None`: the package's root), in path order.
    ///
    /// Cost: the pages those entries lie on; what lies deeper is skipped.
    pub fn children(&self, folder: Option<&EntryPath>) -> Children<'a> {
        let mut entries = match folder {
            None => self.entries(),
            Some(folder) => self.entries_from(folder),
        };
        let skipped = folder.and_then(|f| match entries.next() {
            Some(Ok(entry)) if entry.path == *f => None,
            other => other,
        });
        Children { entries, folder: folder.cloned(), pending: skipped, seek: None }
    }

    /// The chunk runs of a file in order; none for other kinds.
    pub fn runs(&self, entry: &Entry) -> RunCursor<'a> {
        self.runs_from(entry, 0)
    }

    /// The chunk runs of a file from the one that holds byte `offset` on.
    pub fn runs_from(&self, entry: &Entry, offset: u64) -> RunCursor<'a> {
        let mut cursor = RunCursor { manifest: *self, stack: Vec::new(), position: 0, from: offset };
        if let EntryKind::File { size, chunks } = &entry.kind {
            match chunks {
                FileChunks::Inline(runs) => cursor.stack.push(Step::Runs(runs.clone().into_iter())),
                FileChunks::Paged(list) => cursor.stack.push(Step::list_root(list, *size)),
            }
        }
        cursor
    }

    pub(crate) fn fetch(&self, digest: &Digest) -> Result<Page, ManifestError> {
        let bytes: Arc<[u8]> = self.source.page(digest)?;
        Page::decode(&bytes).map_err(|source| ManifestError::Decode { digest: *digest, source })
    }

    /// The root page, whose kind only its own bytes tell.
    pub(super) fn tree_page(&self, digest: &Digest) -> Result<TreePage, ManifestError> {
        match self.fetch(digest)? {
            Page::Entries(entries) => Ok(TreePage::Entries(entries)),
            Page::EntryIndex { children, .. } => Ok(TreePage::Index(children)),
            Page::Runs(_) | Page::RunIndex { .. } => Err(ManifestError::Inconsistent { digest: *digest }),
        }
    }

    pub(super) fn list_page(&self, digest: &Digest) -> Result<ListPage, ManifestError> {
        match self.fetch(digest)? {
            Page::Runs(runs) => Ok(ListPage::Runs(runs)),
            Page::RunIndex { children, .. } => Ok(ListPage::Index(children)),
            Page::Entries(_) | Page::EntryIndex { .. } => {
                Err(ManifestError::Inconsistent { digest: *digest })
            }
        }
    }
}

pub(super) enum TreePage {
    Entries(Vec<Entry>),
    Index(Vec<EntriesChild>),
}

pub(super) enum ListPage {
    Runs(Vec<ChunkRun>),
    Index(Vec<ChunkListChild>),
}

/// Entries in path order. Memory: one page for each level.
pub struct Entries<'a> {
    manifest: Manifest<'a>,
    start: Start,
    index: Vec<std::vec::IntoIter<EntriesChild>>,
    leaf: std::vec::IntoIter<Entry>,
    root: Option<Digest>,
}

impl<'a> Entries<'a> {
    fn new(manifest: Manifest<'a>, start: Start) -> Self {
        Self {
            manifest,
            start,
            index: Vec::new(),
            leaf: Vec::new().into_iter(),
            root: Some(manifest.root.digest),
        }
    }

    fn open(&mut self, digest: &Digest) -> Result<(), ManifestError> {
        match self.manifest.tree_page(digest)? {
            TreePage::Entries(entries) => self.leaf = entries.into_iter(),
            TreePage::Index(children) => self.index.push(children.into_iter()),
        }
        Ok(())
    }

    /// Restarts at the first entry behind everything beneath `folder`.
    fn skip_tree(&mut self, folder: &EntryPath) {
        self.start = Start::AfterTree(folder.clone());
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(root) = self.root.take()
            && let Err(error) = self.open(&root)
        {
            return Some(Err(error));
        }
        loop {
            if let Some(entry) = self.leaf.by_ref().find(|entry| self.start.admits(&entry.path)) {
                return Some(Ok(entry));
            }
            let child = loop {
                match self.index.last_mut()?.find(|child| self.start.admits(&child.last)) {
                    Some(child) => break child,
                    None => drop(self.index.pop()),
                }
            };
            if let Err(error) = self.open(&child.digest) {
                self.index.clear();
                return Some(Err(error));
            }
        }
    }
}

/// The entries directly in one folder.
pub struct Children<'a> {
    entries: Entries<'a>,
    folder: Option<EntryPath>,
    pending: Option<Result<Entry, ManifestError>>,
    seek: Option<EntryPath>,
}

impl Iterator for Children<'_> {
    type Item = Result<Entry, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(folder) = self.seek.take() {
            self.entries.skip_tree(&folder);
        }
        let entry = match self.pending.take().or_else(|| self.entries.next())? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        if let Some(folder) = &self.folder
            && !is_beneath(&entry.path, folder)
        {
            self.entries.index.clear();
            self.entries.leaf = Vec::new().into_iter();
            return None;
        }
        if matches!(entry.kind, EntryKind::Folder) {
            self.seek = Some(entry.path.clone());
        }
        Some(Ok(entry))
    }
}

/// Chunk runs of one file in order, with the offset at which each begins.
pub struct RunCursor<'a> {
    manifest: Manifest<'a>,
    stack: Vec<Step>,
    position: u64,
    from: u64,
}

enum Step {
    Runs(std::vec::IntoIter<ChunkRun>),
    Children(std::vec::IntoIter<ChunkListChild>),
}

impl Step {
    fn list_root(list: &ChunkListRef, size: u64) -> Self {
        let root = ChunkListChild {
            digest: list.root,
            length: list.root_length,
            pages: list.pages,
            runs: list.runs,
            bytes: size,
        };
        Self::Children(vec![root].into_iter())
    }
}

impl RunCursor<'_> {
    /// Moves over `bytes` that lie wholly before the wanted offset.
    fn passes(&mut self, bytes: u64) -> bool {
        let end = self.position.saturating_add(bytes);
        let passes = end <= self.from;
        if passes {
            self.position = end;
        }
        passes
    }
}

impl Iterator for RunCursor<'_> {
    /// The offset of the run's first byte in the file, and the run.
    type Item = Result<(u64, ChunkRun), ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.stack.last_mut()? {
                Step::Runs(runs) => match runs.next() {
                    None => drop(self.stack.pop()),
                    Some(run) if self.passes(run.bytes()) => {}
                    Some(run) => {
                        let start = self.position;
                        self.position = start.saturating_add(run.bytes());
                        return Some(Ok((start, run)));
                    }
                },
                Step::Children(children) => match children.next() {
                    None => drop(self.stack.pop()),
                    Some(child) if self.passes(child.bytes) => {}
                    Some(child) => match self.manifest.list_page(&child.digest) {
                        Ok(ListPage::Runs(runs)) => self.stack.push(Step::Runs(runs.into_iter())),
                        Ok(ListPage::Index(next)) => self.stack.push(Step::Children(next.into_iter())),
                        Err(error) => {
                            self.stack.clear();
                            return Some(Err(error));
                        }
                    },
                },
            }
        }
    }
}
