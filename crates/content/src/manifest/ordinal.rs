//! Reading a manifest by ordinal: the numbers by which a receiver asks for pages and chunks.
//!
//! Pages are numbered in preorder, the root is 0; the pages of a file's chunk list follow the
//! entry page that lists the file, in entry order, before the next entry page. Chunks are
//! numbered by their runs in manifest order, repeats counted once. Subtrees before the wanted
//! number are skipped by the counts their index carries.
//!
//! Source: docs/formats/manifest.md, "Ordinals".

use std::ops::ControlFlow;

use restock_names::Digest;

use super::read::{ListPage, Manifest, TreePage};
use super::{ChunkRun, EntryKind, FileChunks, ManifestError};

/// One object of a version, with its ordinal.
pub(crate) enum Visit {
    Page { digest: Digest, ordinal: u64 },
    Chunk { digest: Digest, ordinal: u64 },
}

/// A subtree that was not opened yet.
#[derive(Debug, Clone)]
enum Node {
    Tree { digest: Digest, length: u32, pages: u64, chunks: u64 },
    List { digest: Digest, length: u32, pages: u64, runs: u64 },
    Runs(Vec<ChunkRun>),
}

impl Node {
    fn pages(&self) -> u64 {
        match self {
            Self::Tree { pages, .. } | Self::List { pages, .. } => *pages,
            Self::Runs(_) => 0,
        }
    }

    fn chunks(&self) -> u64 {
        match self {
            Self::Tree { chunks, .. } => *chunks,
            Self::List { runs, .. } => *runs,
            Self::Runs(runs) => runs.len() as u64,
        }
    }
}

impl<'a> Manifest<'a> {
    fn root_node(&self) -> Node {
        Node::Tree {
            digest: self.root.digest,
            length: self.root.length,
            pages: self.root.pages,
            chunks: self.root.chunks,
        }
    }

    /// Opens a subtree's page and puts what lies beneath on `stack`, the first on top.
    fn expand(&self, node: &Node, stack: &mut Vec<Node>) -> Result<(), ManifestError> {
        let from = stack.len();
        match node {
            Node::Runs(_) => {}
            Node::Tree { digest, .. } => match self.tree_page(digest)? {
                TreePage::Index(children) => stack.extend(children.into_iter().map(|c| Node::Tree {
                    digest: c.digest,
                    length: c.length,
                    pages: c.pages,
                    chunks: c.chunks,
                })),
                TreePage::Entries(entries) => {
                    stack.extend(entries.into_iter().filter_map(|entry| match entry.kind {
                        EntryKind::File { chunks: FileChunks::Inline(runs), .. } => Some(Node::Runs(runs)),
                        EntryKind::File { chunks: FileChunks::Paged(list), .. } => Some(Node::List {
                            digest: list.root,
                            length: list.root_length,
                            pages: list.pages,
                            runs: list.runs,
                        }),
                        EntryKind::Folder | EntryKind::Symlink { .. } => None,
                    }))
                }
            },
            Node::List { digest, .. } => match self.list_page(digest)? {
                ListPage::Runs(runs) => stack.push(Node::Runs(runs)),
                ListPage::Index(children) => stack.extend(children.into_iter().map(|c| Node::List {
                    digest: c.digest,
                    length: c.length,
                    pages: c.pages,
                    runs: c.runs,
                })),
            },
        }
        stack[from..].reverse();
        Ok(())
    }

    /// Calls `seen` for every page and chunk reference in order, a page before what lies beneath.
    ///
    /// `seen` answers whether a page can be opened; if not, what lies beneath is passed over with
    /// its ordinals. Breaking ends the walk.
    pub(crate) fn visit(&self, seen: &mut dyn FnMut(Visit) -> ControlFlow<(), bool>) {
        let mut stack = vec![self.root_node()];
        let (mut page, mut chunk) = (0, 0);
        while let Some(node) = stack.pop() {
            match &node {
                Node::Runs(runs) => {
                    for run in runs {
                        if seen(Visit::Chunk { digest: run.digest, ordinal: chunk }).is_break() {
                            return;
                        }
                        chunk += 1;
                    }
                }
                Node::Tree { digest, .. } | Node::List { digest, .. } => {
                    let opens = match seen(Visit::Page { digest: *digest, ordinal: page }) {
                        ControlFlow::Continue(opens) => opens,
                        ControlFlow::Break(()) => return,
                    };
                    if opens && self.expand(&node, &mut stack).is_ok() {
                        page += 1;
                    } else {
                        page += node.pages();
                        chunk += node.chunks();
                    }
                }
            }
        }
    }

    /// Pages from ordinal `first` on.
    pub fn pages_from(&self, first: u64) -> PageWalk<'a> {
        PageWalk { manifest: *self, stack: vec![self.root_node()], skip: first }
    }

    /// Chunk runs from ordinal `first` on.
    pub fn chunks_from(&self, first: u64) -> ChunkWalk<'a> {
        ChunkWalk {
            manifest: *self,
            stack: vec![self.root_node()],
            runs: Vec::new().into_iter(),
            skip: first,
        }
    }

    /// The digest and length of page `ordinal`; `None` behind the last page.
    pub fn page_at(&self, ordinal: u64) -> Result<Option<(Digest, u32)>, ManifestError> {
        self.pages_from(ordinal).next().transpose()
    }

    /// The run of chunk `ordinal`; `None` behind the last chunk.
    pub fn chunk_at(&self, ordinal: u64) -> Result<Option<ChunkRun>, ManifestError> {
        self.chunks_from(ordinal).next().transpose()
    }
}

/// Pages in the order of their ordinals: digest and length.
pub struct PageWalk<'a> {
    manifest: Manifest<'a>,
    stack: Vec<Node>,
    skip: u64,
}

impl Iterator for PageWalk<'_> {
    type Item = Result<(Digest, u32), ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let node = self.stack.pop()?;
            if node.pages() <= self.skip {
                self.skip -= node.pages();
                continue;
            }
            // A page without others beneath it need not be opened.
            if node.pages() > 1
                && let Err(error) = self.manifest.expand(&node, &mut self.stack)
            {
                self.stack.clear();
                return Some(Err(error));
            }
            match node {
                Node::Tree { digest, length, .. } | Node::List { digest, length, .. } => {
                    if self.skip == 0 {
                        return Some(Ok((digest, length)));
                    }
                    self.skip -= 1;
                }
                Node::Runs(_) => {}
            }
        }
    }
}

/// Chunk runs in the order of their ordinals.
pub struct ChunkWalk<'a> {
    manifest: Manifest<'a>,
    stack: Vec<Node>,
    runs: std::vec::IntoIter<ChunkRun>,
    skip: u64,
}

impl Iterator for ChunkWalk<'_> {
    type Item = Result<ChunkRun, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(run) = self.runs.next() {
                return Some(Ok(run));
            }
            let node = self.stack.pop()?;
            if node.chunks() <= self.skip {
                self.skip -= node.chunks();
                continue;
            }
            if let Node::Runs(mut runs) = node {
                // The skip is below the count, so it fits.
                runs.drain(..self.skip as usize);
                self.skip = 0;
                self.runs = runs.into_iter();
            } else if let Err(error) = self.manifest.expand(&node, &mut self.stack) {
                self.stack.clear();
                return Some(Err(error));
            }
        }
    }
}
