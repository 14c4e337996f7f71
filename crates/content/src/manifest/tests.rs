use std::collections::BTreeMap;

use proptest::prelude::{Strategy, any, prop, proptest};
use restock_names::{Digest, EntryPath};

use super::{
    Builder, ChunkRun, Entry, EntryKind, FileChunks, Manifest, ManifestRoot, MemoryPages, Page, fuzz_one,
};

fn digest(n: u32) -> Digest {
    crate::hash::chunk_digest(&n.to_le_bytes())
}

fn file(path: &str, runs: Vec<ChunkRun>) -> Entry {
    Entry {
        path: EntryPath::new(path).expect("valid"),
        mode: 0o644,
        mtime_ns: 1,
        kind: EntryKind::File {
            size: runs.iter().map(ChunkRun::bytes).sum(),
            chunks: FileChunks::Inline(runs),
        },
    }
}

fn runs(count: u32, salt: u32) -> Vec<ChunkRun> {
    (0..count)
        .map(|i| ChunkRun { digest: digest(i ^ salt << 20), length: 1000 + i % 7, repeat: 1 + i % 3 })
        .collect()
}

fn build(entries: &[Entry]) -> (MemoryPages, ManifestRoot) {
    let mut pages = MemoryPages::default();
    let mut builder = Builder::new(&mut pages);
    for entry in entries {
        builder.push(entry.clone()).expect("ascending");
    }
    let root = builder.finish().expect("memory does not fail");
    (pages, root)
}

fn large_tree() -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        (0..3_000).map(|i| file(&format!("d{:02}/f{i:05}", i % 40), runs(i % 4, i))).collect();
    entries.push(file("big/one", runs(9_000, 1)));
    entries.push(file("big/two", runs(70, 2)));
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

/// The runs of every file in order, however they are kept.
fn all_runs(manifest: &Manifest<'_>) -> Vec<ChunkRun> {
    let entries: Vec<Entry> = manifest.entries().map(|e| e.expect("readable")).collect();
    entries
        .iter()
        .flat_map(|e| manifest.runs(e).map(|r| r.expect("readable").1).collect::<Vec<_>>())
        .collect()
}

#[test]
fn what_was_pushed_is_read_back() {
    let entries = large_tree();
    let (pages, root) = build(&entries);
    let manifest = Manifest::new(&pages, root);
    let read: Vec<Entry> = manifest.entries().map(|e| e.expect("readable")).collect();
    assert_eq!(read.len(), entries.len());
    for (read, pushed) in read.iter().zip(&entries) {
        assert_eq!(read.path, pushed.path);
        let back: Vec<ChunkRun> = manifest.runs(read).map(|r| r.expect("readable").1).collect();
        let EntryKind::File { chunks: FileChunks::Inline(want), .. } = &pushed.kind else { panic!("a file") };
        assert_eq!(&back, want, "{}", pushed.path);
        assert_eq!(manifest.find(&pushed.path).expect("readable").as_ref(), Some(read));
    }
    assert_eq!(root.entries, entries.len() as u64);
    assert_eq!(root.chunks, all_runs(&manifest).len() as u64);
    assert_eq!(root.pages, pages.0.len() as u64, "every page is counted once: no two are equal in this tree");
    assert!(manifest.find(&EntryPath::new("d00/none").expect("valid")).expect("readable").is_none());
}

#[test]
fn ordinals_name_pages_and_chunks_from_any_start() {
    let (pages, root) = build(&large_tree());
    let manifest = Manifest::new(&pages, root);
    let all: Vec<_> = manifest.pages_from(0).map(|p| p.expect("readable")).collect();
    assert_eq!(all.len() as u64, root.pages);
    assert_eq!(all[0], (root.digest, root.length));
    for (i, want) in all.iter().enumerate() {
        assert_eq!(manifest.page_at(i as u64).expect("readable").as_ref(), Some(want), "page {i}");
    }
    assert!(manifest.page_at(root.pages).expect("readable").is_none());
    let chunks = all_runs(&manifest);
    for i in (0..chunks.len()).step_by(37) {
        assert_eq!(manifest.chunk_at(i as u64).expect("readable"), Some(chunks[i]), "chunk {i}");
    }
    assert!(manifest.chunk_at(root.chunks).expect("readable").is_none());
}

#[test]
fn runs_are_found_by_offset() {
    let (pages, root) = build(&large_tree());
    let manifest = Manifest::new(&pages, root);
    let entry = manifest.find(&EntryPath::new("big/one").expect("valid")).expect("readable").expect("there");
    let all: Vec<_> = manifest.runs(&entry).map(|r| r.expect("readable")).collect();
    for (start, run) in all.iter().step_by(101) {
        for offset in [*start, start + run.bytes() - 1] {
            let first = manifest.runs_from(&entry, offset).next().expect("inside").expect("readable");
            assert_eq!(first, (*start, *run), "offset {offset}");
        }
    }
    let EntryKind::File { size, .. } = entry.kind else { panic!("a file") };
    assert!(manifest.runs_from(&entry, size).next().is_none());
}

#[test]
fn a_folders_children_are_listed_without_what_lies_deeper() {
    let mut entries = large_tree();
    for folder in ["big", "d00", "d07", "x", "x/y", "x/y/z"] {
        let path = EntryPath::new(folder).expect("valid");
        entries.push(Entry { path, mode: 0o755, mtime_ns: 0, kind: EntryKind::Folder });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let (pages, root) = build(&entries);
    let manifest = Manifest::new(&pages, root);
    let names = |folder: Option<&str>| -> Vec<String> {
        let folder = folder.map(|f| EntryPath::new(f).expect("valid"));
        manifest.children(folder.as_ref()).map(|e| e.expect("readable").path.to_string()).collect()
    };
    assert_eq!(names(Some("big")), ["big/one", "big/two"]);
    assert_eq!(names(Some("x")), ["x/y"]);
    assert_eq!(names(Some("x/y/z")), Vec::<String>::new());
    assert_eq!(names(Some("d07")).len(), 75);
    let top = names(None);
    assert!(
        top.contains(&"big".to_owned()) && top.contains(&"x".to_owned()) && !top.contains(&"x/y".to_owned())
    );
}

#[test]
fn a_change_of_one_file_changes_one_page_of_each_level() {
    let mut entries = large_tree();
    let (before, _) = build(&entries);
    entries[1_500].mtime_ns += 1;
    let (after, _) = build(&entries);
    let changed = after.0.keys().filter(|d| !before.0.contains_key(*d)).count();
    assert!(changed <= 3, "{changed} pages changed");
}

#[test]
fn entries_must_ascend_and_add_up() {
    let mut pages = MemoryPages::default();
    let mut builder = Builder::new(&mut pages);
    builder.push(file("b", runs(1, 0))).expect("the first");
    assert!(builder.push(file("a", runs(1, 0))).is_err());
    assert!(builder.push(file("b", runs(1, 0))).is_err());
    let mut wrong = file("c", runs(1, 0));
    wrong.kind = EntryKind::File { size: 1, chunks: FileChunks::Inline(runs(1, 0)) };
    assert!(builder.push(wrong).is_err());
}

#[test]
fn an_empty_tree_has_a_root() {
    let (pages, root) = build(&[]);
    assert_eq!((root.pages, root.entries), (1, 0));
    assert_eq!(Manifest::new(&pages, root).entries().count(), 0);
}

#[test]
fn damaged_pages_are_refused_by_code() {
    let page = |entries| Page::Entries(entries).encode();
    let code = |bytes: &[u8]| Page::decode(bytes).expect_err("refused").to_string();
    assert!(code(&page(vec![file("b", runs(1, 0)), file("a", runs(1, 0))])).contains("MANIFEST_ORDER"));
    assert!(code(&page(vec![file("b", runs(1, 0)), file("b", runs(1, 0))])).contains("MANIFEST_DUPLICATE"));
    assert!(code(&page(vec![file("a", runs(1, 0)), file("a/b", runs(1, 0))])).contains("PATH_FILE_AND_DIR"));
    let mut wrong = file("b", runs(1, 0));
    wrong.kind = EntryKind::File { size: 1, chunks: FileChunks::Inline(runs(1, 0)) };
    assert!(code(&page(vec![wrong])).contains("MANIFEST_INCONSISTENT"));
    let long = ChunkRun { digest: digest(1), length: 1 << 20, repeat: 1 };
    assert!(code(&page(vec![file("b", vec![long])])).contains("MANIFEST_CHUNK_SIZE"));
    assert!(code(&[2, 1, 1, 0, 0]).contains("HASH_FORMAT"));
    let good = page(vec![file("b", runs(2, 0))]);
    assert!(code(&good[..good.len() - 1]).contains("MANIFEST_FORMAT"));
    let traversal = String::from_utf8_lossy(&good).into_owned();
    drop(traversal);
    let mut bytes = page(vec![file("bb", Vec::new())]);
    let at = bytes.windows(2).position(|w| w == b"bb").expect("the path is in the page");
    bytes[at..at + 2].copy_from_slice(b"..");
    assert!(code(&bytes).contains("PATH_TRAVERSAL"), "{}", code(&bytes));
}

fn trees() -> impl Strategy<Value = BTreeMap<String, (u8, u32)>> {
    prop::collection::btree_map("[a-c.]{1,3}(/[a-c-]{1,2}){0,2}", (any::<u8>(), 0..200_u32), 0..200).prop_map(
        |map| {
            let mut kept: BTreeMap<String, (u8, u32)> = BTreeMap::new();
            for (path, file) in map.into_iter().filter(|(path, _)| EntryPath::new(path.as_str()).is_ok()) {
                // A file has nothing beneath it.
                let is_above = |other: &String| path.starts_with(&format!("{other}/"));
                if !kept.keys().any(is_above) {
                    kept.retain(|other, _| !other.starts_with(&format!("{path}/")));
                    kept.insert(path, file);
                }
            }
            kept
        },
    )
}

proptest! {
    #[test]
    fn any_tree_survives_and_its_root_depends_only_on_it(tree in trees()) {
        let mut entries: Vec<Entry> = tree.iter().map(|(p, (salt, n))| file(p, runs(*n, u32::from(*salt)))).collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let (pages, root) = build(&entries);
        let (_, again) = build(&entries);
        assert_eq!(root, again);
        let manifest = Manifest::new(&pages, root);
        let paths: Vec<EntryPath> = manifest.entries().map(|e| e.expect("readable").path).collect();
        assert_eq!(paths, entries.iter().map(|e| e.path.clone()).collect::<Vec<_>>());
        let want: Vec<ChunkRun> = entries.iter().flat_map(|e| match &e.kind {
            EntryKind::File { chunks: FileChunks::Inline(runs), .. } => runs.clone(),
            _ => Vec::new(),
        }).collect();
        assert_eq!(all_runs(&manifest), want);
        assert_eq!(manifest.chunks_from(0).map(|r| r.expect("readable")).collect::<Vec<_>>(), want);
    }

    #[test]
    fn damaged_encodings_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), flip in any::<usize>()) {
        fuzz_one(&bytes);
        let mut page = Page::Entries(vec![file("a/b", runs(3, 1)), file("a/c", runs(1, 2))]).encode();
        let at = flip % page.len();
        page[at] ^= 1 << (flip % 8);
        fuzz_one(&page);
        bytes.splice(0..0, [1, 1, 2, 1]);
        fuzz_one(&bytes);
    }
}
