//! For every new chunk and page of a version: which part of a base it probably came from.
//!
//! Both manifests are walked by their index pages at first. A page of entries is compared with the
//! base's page over the same paths when something beneath it is asked for: a version in which only names
//! or times changed costs no more than its index. A page of a chunk list is compared with one that shares
//! a chunk or page with it.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use restock_names::{Digest, EntryPath};

use super::align::OldFile;
use super::{PREFIX_BYTES_MAX, Prefix};
use crate::manifest::{
    ChunkListRef, ChunkRun, EntryKind, FileChunks, ManifestError, ManifestRoot, Page, PageSource,
};
use crate::transfer::{Item, ItemKind};

/// Chunks and pages of chunk lists with a prefix, at most: 32 bytes each in memory.
const PREFIXES_MAX: usize = 1 << 20;
/// A file with more runs is not compared: its lists would take too much memory.
const FILE_RUNS_MAX: u64 = 1 << 18;

/// Prefixes by ordinal of the wanted version.
#[derive(Debug, Default)]
pub struct DeltaMap {
    new: Tree,
    old: Tree,
    /// Pages of the base's tree.
    known: HashSet<Digest>,
    /// What lies beneath each page of entries, in their order, once it was asked for.
    leaves: Vec<OnceLock<Leaf>>,
    /// Prefixes in `leaves`.
    kept: AtomicUsize,
}

/// Prefixes of what one page of entries lists, each list in order of the ordinals.
#[derive(Debug, Default)]
struct Leaf {
    chunks: Vec<(u64, Prefix)>,
    pages: Vec<(u64, Prefix)>,
}

impl DeltaMap {
    /// Compares the manifests `wanted` and `base`, both with all pages in `source`.
    ///
    /// Cost: the index pages of both. Limits: a million prefixes, the rest travels without; files of more
    /// than 262,144 runs are not compared. Errors: a page that is missing or damaged.
    pub fn new(
        source: &dyn PageSource,
        wanted: &ManifestRoot,
        base: &ManifestRoot,
    ) -> Result<Self, ManifestError> {
        if wanted.digest == base.digest {
            return Ok(Self::default());
        }
        let (new, old) = (Tree::read(source, wanted)?, Tree::read(source, base)?);
        let known = old.pages.iter().map(|page| page.digest).collect();
        let leaves = new.leaves().iter().map(|_| OnceLock::new()).collect();
        Ok(Self { new, old, known, leaves, kept: AtomicUsize::new(0) })
    }

    /// The prefix of an object, if it has one.
    ///
    /// Cost: two pages of entries and the chunk lists of their files, the first time one of them is asked
    /// for. What cannot be read in `source` has no prefix.
    pub fn prefix(&self, source: &dyn PageSource, item: Item) -> Option<Prefix> {
        if item.kind == ItemKind::Page
            && let Ok(at) = self.new.pages.binary_search_by_key(&item.ordinal, |page| page.ordinal)
        {
            let page = self.new.pages.get(at).filter(|page| !self.known.contains(&page.digest))?;
            let like = self.old.over_same_paths(page)?;
            return Some(whole_page(like.ordinal, like.length));
        }
        let begins = |at: &usize| match item.kind {
            ItemKind::Page => self.new.pages[*at].ordinal,
            ItemKind::Chunk => self.new.pages[*at].chunk,
        };
        let number = self.new.leaves().partition_point(|at| begins(at) <= item.ordinal).checked_sub(1)?;
        let leaf = self.leaf(source, number)?;
        let list = match item.kind {
            ItemKind::Page => &leaf.pages,
            ItemKind::Chunk => &leaf.chunks,
        };
        let at = list.binary_search_by_key(&item.ordinal, |(ordinal, _)| *ordinal).ok()?;
        Some(list[at].1)
    }

    /// What lies beneath the page of entries with this number.
    fn leaf(&self, source: &dyn PageSource, number: usize) -> Option<&Leaf> {
        let page = &self.new.pages[*self.new.leaves().get(number)?];
        Some(self.leaves.get(number)?.get_or_init(|| {
            if self.kept.load(Ordering::Relaxed) >= PREFIXES_MAX {
                tracing::debug!("more new objects than prefixes are kept for");
                return Leaf::default();
            }
            let leaf = self.compare_leaf(source, page).unwrap_or_else(|error| {
                tracing::warn!(%error, "two pages of entries cannot be compared");
                Leaf::default()
            });
            self.kept.fetch_add(leaf.chunks.len() + leaf.pages.len(), Ordering::Relaxed);
            leaf
        }))
    }

    fn compare_leaf(&self, source: &dyn PageSource, page: &TreePage) -> Result<Leaf, ManifestError> {
        let mut leaf = Leaf::default();
        if self.known.contains(&page.digest) {
            return Ok(leaf);
        }
        let mut opened: Option<(u64, Files)> = None;
        for (path, file) in Files::of(source, page)?.0 {
            let Some(holder) = self.old.leaf_of(&path) else { continue };
            if opened.as_ref().is_none_or(|(ordinal, _)| *ordinal != holder.ordinal) {
                opened = Some((holder.ordinal, Files::of(source, holder)?));
            }
            let older = opened.as_ref().and_then(|(_, files)| files.get(&path));
            if let Some(older) = older.filter(|older| !older.is_like(&file)) {
                leaf.compare(source, &file, older)?;
            }
        }
        Ok(leaf)
    }
}

impl Leaf {
    /// Two states of one file.
    fn compare(&mut self, source: &dyn PageSource, new: &File, old: &File) -> Result<(), ManifestError> {
        if new.runs() > FILE_RUNS_MAX || old.runs() > FILE_RUNS_MAX {
            return Ok(());
        }
        let (new_list, old_list) = (List::read(source, new)?, List::read(source, old)?);
        OldFile::new(&old_list.runs, old.first_chunk).align(&new_list.runs, |index, prefix| {
            self.chunks.push((new.first_chunk + index as u64, prefix));
        });
        let mut by_child: HashMap<Digest, (u64, u32)> = HashMap::new();
        for page in &old_list.pages {
            for child in &page.children {
                by_child.entry(*child).or_insert((page.ordinal, page.length));
            }
        }
        for page in &new_list.pages {
            if let Some((ordinal, length)) = page.children.iter().find_map(|child| by_child.get(child)) {
                self.pages.push((page.ordinal, whole_page(*ordinal, *length)));
            }
        }
        Ok(())
    }
}

fn whole_page(ordinal: u64, length: u32) -> Prefix {
    Prefix { first: ordinal, count: 1, skip: 0, length: length.min(PREFIX_BYTES_MAX) }
}

/// A page of the entry tree.
#[derive(Debug)]
struct TreePage {
    digest: Digest,
    length: u32,
    ordinal: u64,
    /// Ordinal of the first chunk beneath.
    chunk: u64,
    /// 0 for pages of entries.
    level: u8,
    /// The last path beneath; none for the root, beneath which everything lies.
    last: Option<EntryPath>,
}

/// The pages of an entry tree in preorder.
#[derive(Debug, Default)]
struct Tree {
    pages: Vec<TreePage>,
    /// Indexes of the pages of each level, in path order.
    levels: Vec<Vec<usize>>,
}

impl Tree {
    fn read(source: &dyn PageSource, root: &ManifestRoot) -> Result<Self, ManifestError> {
        let mut tree = Self { pages: Vec::new(), levels: Vec::new() };
        let top = TreePage {
            digest: root.digest,
            length: root.length,
            ordinal: 0,
            chunk: 0,
            level: u8::MAX,
            last: None,
        };
        let mut stack = vec![top];
        while let Some(mut page) = stack.pop() {
            // A page of entries is opened only when it differs; the root's level is not known before.
            if page.level > 0 {
                match decode(source, &page.digest)? {
                    Page::EntryIndex { level, children } => {
                        page.level = level;
                        let (mut ordinal, mut chunk) = (page.ordinal + 1, page.chunk);
                        let from = stack.len();
                        for child in children {
                            let below = TreePage {
                                digest: child.digest,
                                length: child.length,
                                ordinal,
                                chunk,
                                level: level.saturating_sub(1),
                                last: Some(child.last),
                            };
                            ordinal += child.pages;
                            chunk += child.chunks;
                            stack.push(below);
                        }
                        stack[from..].reverse();
                    }
                    Page::Entries(_) => page.level = 0,
                    Page::Runs(_) | Page::RunIndex { .. } => {
                        return Err(ManifestError::Inconsistent { digest: page.digest });
                    }
                }
            }
            let level = usize::from(page.level);
            if tree.levels.len() <= level {
                tree.levels.resize(level + 1, Vec::new());
            }
            tree.levels[level].push(tree.pages.len());
            tree.pages.push(page);
        }
        Ok(tree)
    }

    /// Indexes of the pages of entries, in path order.
    fn leaves(&self) -> &[usize] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// The first page of `level` whose last path does not lie before `path`.
    fn page_of(&self, level: u8, path: Option<&EntryPath>) -> Option<&TreePage> {
        let of_level = self.levels.get(usize::from(level)).filter(|pages| !pages.is_empty())?;
        let before = |index: &usize| match (&self.pages[*index].last, path) {
            (Some(last), Some(path)) => last < path,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let at = of_level.partition_point(before).min(of_level.len() - 1);
        self.pages.get(of_level[at])
    }

    fn over_same_paths(&self, page: &TreePage) -> Option<&TreePage> {
        self.page_of(page.level, page.last.as_ref())
    }

    fn leaf_of(&self, path: &EntryPath) -> Option<&TreePage> {
        self.page_of(0, Some(path))
    }
}

/// One file as its entry lists it.
struct File {
    chunks: FileChunks,
    first_chunk: u64,
    /// Ordinal of its list's root page, if it has pages.
    first_page: u64,
}

impl File {
    fn is_like(&self, other: &Self) -> bool {
        self.chunks == other.chunks
    }

    fn runs(&self) -> u64 {
        match &self.chunks {
            FileChunks::Inline(runs) => runs.len() as u64,
            FileChunks::Paged(list) => list.runs,
        }
    }
}

/// The files of one page of entries, in path order.
struct Files(Vec<(EntryPath, File)>);

impl Files {
    fn of(source: &dyn PageSource, page: &TreePage) -> Result<Self, ManifestError> {
        let Page::Entries(entries) = decode(source, &page.digest)? else {
            return Err(ManifestError::Inconsistent { digest: page.digest });
        };
        let (mut first_chunk, mut first_page) = (page.chunk, page.ordinal + 1);
        let mut files = Vec::new();
        for entry in entries {
            let EntryKind::File { chunks, .. } = entry.kind else { continue };
            let file = File { chunks, first_chunk, first_page };
            first_chunk += file.runs();
            if let FileChunks::Paged(list) = &file.chunks {
                first_page += list.pages;
            }
            files.push((entry.path, file));
        }
        Ok(Self(files))
    }

    fn get(&self, path: &EntryPath) -> Option<&File> {
        let at = self.0.binary_search_by(|(of, _)| of.cmp(path)).ok()?;
        self.0.get(at).map(|(_, file)| file)
    }
}

/// A page of a file's chunk list, with the digests it lists.
struct ListPage {
    ordinal: u64,
    length: u32,
    children: Vec<Digest>,
}

/// All runs of a file, and the pages they are listed on.
struct List {
    runs: Vec<ChunkRun>,
    pages: Vec<ListPage>,
}

impl List {
    fn read(source: &dyn PageSource, file: &File) -> Result<Self, ManifestError> {
        let mut list = Self { runs: Vec::new(), pages: Vec::new() };
        match &file.chunks {
            FileChunks::Inline(runs) => list.runs.clone_from(runs),
            FileChunks::Paged(ChunkListRef { root, root_length, .. }) => {
                let mut stack = vec![(*root, *root_length, file.first_page)];
                while let Some((digest, length, ordinal)) = stack.pop() {
                    let children = match decode(source, &digest)? {
                        Page::Runs(runs) => {
                            let digests = runs.iter().map(|run| run.digest).collect();
                            list.runs.extend(runs);
                            digests
                        }
                        Page::RunIndex { children, .. } => {
                            let from = stack.len();
                            let mut next = ordinal + 1;
                            for child in &children {
                                stack.push((child.digest, child.length, next));
                                next += child.pages;
                            }
                            stack[from..].reverse();
                            children.iter().map(|child| child.digest).collect()
                        }
                        Page::Entries(_) | Page::EntryIndex { .. } => {
                            return Err(ManifestError::Inconsistent { digest });
                        }
                    };
                    list.pages.push(ListPage { ordinal, length, children });
                }
            }
        }
        Ok(list)
    }
}

fn decode(source: &dyn PageSource, digest: &Digest) -> Result<Page, ManifestError> {
    Page::decode(&source.page(digest)?).map_err(|source| ManifestError::Decode { digest: *digest, source })
}
