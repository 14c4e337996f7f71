use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::{Strategy, any, prop, proptest};
use restock_names::{Digest, EntryPath};

use super::{Difference, Differences, Totals, lacking};
use crate::manifest::{
    Builder, ChunkRun, Entry, EntryKind, FileChunks, Manifest, ManifestRoot, MemoryPages, PageError,
    PageSource,
};

/// A tree as a test writes it: path → (content, mode); no content is a folder.
type Tree = BTreeMap<Vec<u8>, (Option<u16>, u32)>;

fn run(content: u16) -> ChunkRun {
    let digest = crate::hash::chunk_digest(&content.to_le_bytes());
    ChunkRun { digest, length: 1_000 + u32::from(content % 100), repeat: 1 }
}

fn entry(path: &[u8], (content, mode): (Option<u16>, u32)) -> Entry {
    let kind = match content {
        None => EntryKind::Folder,
        Some(content) => {
            let runs = vec![run(content)];
            EntryKind::File { size: runs[0].bytes(), chunks: FileChunks::Inline(runs) }
        }
    };
    Entry { path: EntryPath::new(path).expect("valid"), mode, mtime_ns: 1, kind }
}

fn entries(tree: &Tree) -> Vec<Entry> {
    let mut entries: Vec<Entry> = tree.iter().map(|(path, what)| entry(path, *what)).collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

fn build(pages: &mut MemoryPages, tree: &Tree) -> ManifestRoot {
    let mut builder = Builder::new(pages);
    for entry in entries(tree) {
        builder.push(entry).expect("ascending");
    }
    builder.finish().expect("memory does not fail")
}

/// Pages that count how often they are read.
struct Counted(MemoryPages, Cell<usize>);

impl PageSource for Counted {
    fn page(&self, digest: &Digest) -> Result<Arc<[u8]>, PageError> {
        self.1.set(self.1.get() + 1);
        self.0.page(digest)
    }
}

fn differences(pages: &dyn PageSource, before: Option<ManifestRoot>, after: ManifestRoot) -> Vec<Difference> {
    let before = before.map(|root| Manifest::new(pages, root));
    let found = Differences::new(before, Manifest::new(pages, after));
    found.map(|difference| difference.expect("memory does not fail")).collect()
}

fn large() -> Tree {
    (0..20_000_u32)
        .map(|n| (format!("d{:03}/f{n:05}", n % 200).into_bytes(), (Some((n % 60_000) as u16), 0o644)))
        .collect()
}

#[test]
fn a_small_change_of_a_large_tree_is_found_by_reading_few_pages() {
    let before = large();
    let mut after = before.clone();
    after.remove(b"d007/f00007".as_slice());
    after.insert(b"d100/a new one".to_vec(), (Some(7), 0o600));
    after.insert(b"d150/f00150".to_vec(), (Some(61_000), 0o644));
    after.insert(b"d151/f00151".to_vec(), (Some(151), 0o755));
    let mut pages = MemoryPages::default();
    let (before, after) = (build(&mut pages, &before), build(&mut pages, &after));
    let pages = Counted(pages, Cell::new(0));
    let found = differences(&pages, Some(before), after);
    let words: Vec<String> = found
        .iter()
        .map(|difference| match difference {
            Difference::Added(e) => format!("+{}", String::from_utf8_lossy(e.path.as_bytes())),
            Difference::Removed(e) => format!("-{}", String::from_utf8_lossy(e.path.as_bytes())),
            Difference::Changed { after, .. } => {
                format!("*{}", String::from_utf8_lossy(after.path.as_bytes()))
            }
            Difference::Touched { after, .. } => {
                format!("~{}", String::from_utf8_lossy(after.path.as_bytes()))
            }
        })
        .collect();
    assert_eq!(words, ["-d007/f00007", "+d100/a new one", "*d150/f00150", "~d151/f00151"]);
    assert!(pages.1.get() < 40, "{} of {} pages were read", pages.1.get(), before.pages);

    let mut totals = Totals::default();
    found.iter().for_each(|difference| totals.add(difference));
    assert_eq!((totals.added, totals.removed, totals.changed, totals.touched), (1, 1, 1, 1));
    assert_eq!((totals.bytes_added, totals.bytes_removed), (1_007, 1_007));
    assert!(!totals.is_none() && Totals::default().is_none());
}

#[test]
fn a_tree_does_not_differ_from_itself_and_wholly_from_nothing() {
    let tree = large();
    let mut pages = MemoryPages::default();
    let root = build(&mut pages, &tree);
    let pages = Counted(pages, Cell::new(0));
    assert!(differences(&pages, Some(root), root).is_empty());
    assert_eq!(pages.1.get(), 0, "equal roots need no page");
    assert_eq!(differences(&pages, None, root).len(), tree.len());
}

#[test]
fn a_missing_page_ends_the_comparison_with_its_error() {
    let mut pages = MemoryPages::default();
    let (before, after) = (build(&mut pages, &Tree::new()), build(&mut pages, &large()));
    pages.0.remove(&after.digest);
    let mut found = Differences::new(Some(Manifest::new(&pages, before)), Manifest::new(&pages, after));
    assert!(found.next().expect("an item").is_err());
    assert!(found.next().is_none());
}

#[test]
fn a_chunk_that_moved_to_another_file_is_not_lacking() {
    let before: Tree = [(b"a".to_vec(), (Some(1), 0o644)), (b"b".to_vec(), (Some(2), 0o644))].into();
    let after: Tree = [
        (b"b".to_vec(), (Some(1), 0o644)),
        (b"c".to_vec(), (Some(3), 0o644)),
        (b"d".to_vec(), (Some(3), 0o644)),
    ]
    .into();
    let mut pages = MemoryPages::default();
    let (before, after) = (build(&mut pages, &before), build(&mut pages, &after));
    let (before, after) = (Manifest::new(&pages, before), Manifest::new(&pages, after));
    let mut chunks = Vec::new();
    let found = lacking(Some(&before), &after, &mut |digest, length| chunks.push((*digest, length)));
    let found = found.expect("memory does not fail");
    assert_eq!(chunks, [(run(3).digest, run(3).length)], "each chunk once");
    assert_eq!((found.chunks, found.chunk_bytes, found.pages), (1, 1_003, 1));
    let all = lacking(None, &after, &mut |_, _| {}).expect("memory does not fail");
    assert_eq!(all.chunks, 2);
}

fn trees() -> impl Strategy<Value = (Tree, Tree)> {
    let path = prop::collection::vec(0_u8..12, 1..4).prop_map(|names| {
        let names: Vec<String> = names.iter().map(|n| format!("n{n}")).collect();
        names.join("/").into_bytes()
    });
    let what = (prop::option::of(any::<u16>()), 0_u32..0o1000);
    let base = prop::collection::btree_map(path.clone(), what.clone(), 0..300);
    let edits = prop::collection::vec((path, prop::option::of(what)), 0..30);
    (base, edits).prop_map(|(base, edits)| {
        let mut after = base.clone();
        for (path, what) in edits {
            match what {
                Some(what) => drop(after.insert(path, what)),
                None => drop(after.remove(&path)),
            }
        }
        (without_orphans(&base), without_orphans(&after))
    })
}

/// The tree without what would lie beneath a file.
fn without_orphans(tree: &Tree) -> Tree {
    let is_file = |path: &[u8]| tree.get(path).is_some_and(|(content, _)| content.is_some());
    let mut fits = tree.clone();
    fits.retain(|path, _| {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        !ends.into_iter().any(|at| is_file(&path[..at]))
    });
    fits
}

proptest! {
    #[test]
    fn differences_turn_the_first_tree_into_the_second((before, after) in trees()) {
        let mut pages = MemoryPages::default();
        let roots = (build(&mut pages, &before), build(&mut pages, &after));
        let mut tree: BTreeMap<EntryPath, Entry> =
            entries(&before).into_iter().map(|e| (e.path.clone(), e)).collect();
        let mut paths = BTreeSet::new();
        for difference in differences(&pages, Some(roots.0), roots.1) {
            let (path, old, new) = match difference {
                Difference::Added(e) => (e.path.clone(), None, Some(e)),
                Difference::Removed(e) => (e.path.clone(), Some(e), None),
                Difference::Changed { before, after } | Difference::Touched { before, after } => {
                    (after.path.clone(), Some(before), Some(after))
                }
            };
            assert!(old != new && paths.insert(path.clone()), "each entry once: {path:?}");
            let was = match new {
                Some(new) => tree.insert(path, new),
                None => tree.remove(&path),
            };
            assert_eq!(was, old);
        }
        assert_eq!(tree.into_values().collect::<Vec<_>>(), entries(&after));
    }
}
