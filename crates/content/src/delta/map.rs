//! For every new chunk and page of a version: which part of a base it probably came from.
//!
//! Both manifests are walked by their index pages; pages of entries that both have are not opened.
//! A page of entries is compared with the base's page over the same paths, a page of a chunk list
//! with one that shares a chunk or page with it.

use std::collections::{HashMap, HashSet};

use restock_names::{Digest, EntryPath};

use super::align::OldFile;
use super::{PREFIX_BYTES_MAX, Prefix};
use crate::manifest::{
    ChunkListRef, ChunkRun, EntryKind, FileChunks, ManifestError, ManifestRoot, Page, PageSource,
};
use crate::transfer::{Item, ItemKind};

/// Chunks and pages with a prefix, at most: 64 bytes each in memory.
const PREFIXES_MAX: usize = 1 << 20;
/// A file with more runs is not compared: its lists would take too much memory.
const FILE_RUNS_MAX: u64 = 1 << 18;

/// Prefixes by ordinal of the wanted version.
#[derive(Debug, Default)]
pub struct DeltaMap {
    chunks: HashMap<u64, Prefix>,
    pages: HashMap<u64, Prefix>,
}

impl DeltaMap {
    /// Compares the manifests `wanted` and `base`, both with all pages in `source`.
    ///
    /// Cost: the index pages of both, and the pages of entries that differ. Limits: a million
    /// prefixes, the rest travels without; files of more than 262,144 runs are not compared.
    /// Errors: a page that is missing or damaged.
    pub fn new(
        source: &dyn PageSource,
        wanted: &ManifestRoot,
        base: &ManifestRoot,
    ) -> Result<Self, ManifestError> {
        let mut map = Self::default();
        if wanted.digest == base.digest {
            return Ok(map);
        }
        let (new, old) = (Tree::read(source, wanted)?, Tree::read(source, base)?);
        let known: HashSet<Digest> = old.pages.iter().map(|page| page.digest).collect();
        let mut opened: Option<(u64, Files)> = None;
        for page in new.pages.iter().filter(|page| !known.contains(&page.digest)) {
            let Some(like) = old.over_same_paths(page) else { continue };
            map.add(
                Item { kind: ItemKind::Page, ordinal: page.ordinal },
                whole_page(like.ordinal, like.length),
            );
            if page.level > 0 {
                continue;
            }
            for (path, file) in Files::of(source, page)?.0 {
                let Some(holder) = old.leaf_of(&path) else { continue };
                if opened.as_ref().is_none_or(|(ordinal, _)| *ordinal != holder.ordinal) {
                    opened = Some((holder.ordinal, Files::of(source, holder)?));
                }
                let older = opened.as_ref().and_then(|(_, files)| files.0.get(&path));
                if let Some(older) = older.filter(|older| !older.is_like(&file)) {
                    map.compare(source, &file, older)?;
                }
            }
            if map.is_full() {
                tracing::debug!("more new objects than prefixes are kept for");
                break;
            }
        }
        Ok(map)
    }

    /// The prefix of an object, if it has one.
    pub fn prefix(&self, item: Item) -> Option<Prefix> {
        match item.kind {
            ItemKind::Page => self.pages.get(&item.ordinal).copied(),
            ItemKind::Chunk => self.chunks.get(&item.ordinal).copied(),
        }
    }

    /// How many objects have one.
    pub fn len(&self) -> usize {
        self.chunks.len() + self.pages.len()
    }

    /// True when no object has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_full(&self) -> bool {
        self.len() >= PREFIXES_MAX
    }

    fn add(&mut self, item: Item, prefix: Prefix) {
        match item.kind {
            _ if self.is_full() => None,
            ItemKind::Page => self.pages.insert(item.ordinal, prefix),
            ItemKind::Chunk => self.chunks.insert(item.ordinal, prefix),
        };
    }

    /// Two states of one file.
    fn compare(&mut self, source: &dyn PageSource, new: &File, old: &File) -> Result<(), ManifestError> {
        if new.runs() > FILE_RUNS_MAX || old.runs() > FILE_RUNS_MAX {
            return Ok(());
        }
        let (new_list, old_list) = (List::read(source, new)?, List::read(source, old)?);
        OldFile::new(&old_list.runs, old.first_chunk).align(&new_list.runs, |index, prefix| {
            let ordinal = new.first_chunk + index as u64;
            self.add(Item { kind: ItemKind::Chunk, ordinal }, prefix);
        });
        let mut by_child: HashMap<Digest, (u64, u32)> = HashMap::new();
        for page in &old_list.pages {
            for child in &page.children {
                by_child.entry(*child).or_insert((page.ordinal, page.length));
            }
        }
        for page in &new_list.pages {
            if let Some((ordinal, length)) = page.children.iter().find_map(|child| by_child.get(child)) {
                self.add(Item { kind: ItemKind::Page, ordinal: page.ordinal }, whole_page(*ordinal, *length));
            }
        }
        Ok(())
    }
}

fn whole_page(ordinal: u64, length: u32) -> Prefix {
    Prefix { first: ordinal, count: 1, skip: 0, length: length.min(PREFIX_BYTES_MAX) }
}

/// A page of the entry tree.
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

    /// The first page of `level` whose last path does not lie before `path`.
    fn page_of(&self, level: u8, path: Option<&EntryPath>) -> Option<&TreePage> {
        let of_level = self.levels.get(usize::from(level))?;
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

/// The files of one page of entries.
struct Files(HashMap<EntryPath, File>);

impl Files {
    fn of(source: &dyn PageSource, page: &TreePage) -> Result<Self, ManifestError> {
        let Page::Entries(entries) = decode(source, &page.digest)? else {
            return Err(ManifestError::Inconsistent { digest: page.digest });
        };
        let (mut first_chunk, mut first_page) = (page.chunk, page.ordinal + 1);
        let mut files = HashMap::new();
        for entry in entries {
            let EntryKind::File { chunks, .. } = entry.kind else { continue };
            let file = File { chunks, first_chunk, first_page };
            first_chunk += file.runs();
            if let FileChunks::Paged(list) = &file.chunks {
                first_page += list.pages;
            }
            files.insert(entry.path, file);
        }
        Ok(Self(files))
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
