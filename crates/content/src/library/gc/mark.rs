//! Marking: which frames the statements of a library refer to.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use restock_names::{ContentVersion, Digest};

use super::super::{Inner, Library, LibraryError};
use super::CollectError;
use crate::manifest::{EntryKind, FileChunks, Page, PageSource};
use crate::pack::{Marks, SealedPack};

/// The caller is asked whether to go on after so many pages.
const STEP_PAGES: u64 = 64;

/// What was found to be referred to. Memory: a bit for each frame of the packs there were at the
/// beginning, and a digest for each page sealed since.
#[derive(Debug, Default)]
pub(super) struct Marked {
    packs: BTreeMap<u64, Arc<Marks>>,
    pages_since: HashSet<Digest>,
    walked: BTreeSet<(ContentVersion, Digest)>,
    pages: u64,
}

impl Marked {
    /// Has room for the marks of a pack.
    pub(super) fn admit(&mut self, pack: &SealedPack) {
        self.packs.insert(pack.header.sequence, Arc::new(Marks::new(pack.header.records)));
    }

    pub(super) fn of(&self, pack: &SealedPack) -> Option<Arc<Marks>> {
        self.packs.get(&pack.header.sequence).cloned()
    }

    /// Marks what the statements refer to that were not walked yet.
    pub(super) fn mark(
        &mut self,
        library: &Library,
        step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(), CollectError> {
        for package in library.inner.packages_with_statements()? {
            for statement in library.statements(&package)? {
                let (version, root) = (statement.version, statement.root.digest);
                if self.walked.contains(&(version, root)) {
                    continue;
                }
                self.walk(library, version, root, step)?;
                self.walked.insert((version, root));
            }
        }
        Ok(())
    }

    /// Marks everything beneath a root. A page that is marked already was walked before.
    fn walk(
        &mut self,
        library: &Library,
        version: ContentVersion,
        root: Digest,
        step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<(), CollectError> {
        let mut pages = vec![root];
        while let Some(page) = pages.pop() {
            let unreadable = |source| CollectError::Unreadable { version, page, source };
            if !self.mark_page(&library.inner, &page).map_err(unreadable)? {
                continue;
            }
            self.pages += 1;
            if self.pages.is_multiple_of(STEP_PAGES) && step().is_break() {
                return Err(CollectError::Stopped);
            }
            let bytes = library.page(&page).map_err(|_told| unreadable(LibraryError::Missing(page)))?;
            let decoded = Page::decode(&bytes).map_err(|error| {
                unreadable(LibraryError::Manifest(Box::new(crate::manifest::ManifestError::Decode {
                    digest: page,
                    source: error,
                })))
            })?;
            match decoded {
                Page::EntryIndex { children, .. } => pages.extend(children.iter().map(|child| child.digest)),
                Page::RunIndex { children, .. } => pages.extend(children.iter().map(|child| child.digest)),
                Page::Runs(runs) => {
                    for run in runs {
                        self.mark_chunk(&library.inner, &run.digest)?;
                    }
                }
                Page::Entries(entries) => {
                    for entry in entries {
                        match entry.kind {
                            EntryKind::File { chunks: FileChunks::Paged(list), .. } => pages.push(list.root),
                            EntryKind::File { chunks: FileChunks::Inline(runs), .. } => {
                                for run in runs {
                                    self.mark_chunk(&library.inner, &run.digest)?;
                                }
                            }
                            EntryKind::Folder | EntryKind::Symlink { .. } => {}
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Marks a page; true when it was not marked before. Errors: no pack holds it.
    fn mark_page(&mut self, inner: &Inner, page: &Digest) -> Result<bool, LibraryError> {
        let (pack, index, _) = inner.find_sealed(page, |_, _| true)?.ok_or(LibraryError::Missing(*page))?;
        Ok(match self.packs.get(&pack.header.sequence) {
            Some(marks) => marks.set(index),
            None => self.pages_since.insert(*page),
        })
    }

    /// Marks a chunk. One that is missing is no reason to keep others: healing brings it.
    fn mark_chunk(&self, inner: &Inner, chunk: &Digest) -> Result<(), LibraryError> {
        if let Some((pack, index, _)) = inner.find_sealed(chunk, |_, _| true)?
            && let Some(marks) = self.packs.get(&pack.header.sequence)
        {
            marks.set(index);
        }
        Ok(())
    }
}
