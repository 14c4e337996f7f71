//! The same tree is the same root, however it came about and however it is read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::{ProptestConfig, any, proptest};
use restock_content::snapshot::SnapshotOptions;
use restock_testkit::random::Random;
use restock_testkit::tree::{self, Seen, SeenKind, Shape};
use tempfile::TempDir;

use crate::{Site, let_file_clock_advance};

fn small() -> Shape {
    Shape { folders: 8, files: 40, symlinks: 6, file_bytes_max: 300_000 }
}

#[test]
fn the_root_does_not_depend_on_threads() {
    let source = TempDir::new().expect("a folder");
    tree::generate(source.path(), 11, Shape { folders: 40, files: 400, ..small() }).expect("a tree");
    std::fs::write(source.path().join("large"), Random::new(1).bytes(20 << 20)).expect("written");
    let mut roots = Vec::new();
    for threads in [1, 2, 3, 8] {
        let site = Site::new();
        let options = SnapshotOptions { threads, ..SnapshotOptions::default() };
        let snapshot = site.take_with(source.path(), None, options, &()).expect("taken");
        site.assert_holds(&snapshot.root, source.path());
        roots.push(snapshot.root);
    }
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "{roots:?}");
}

#[test]
fn the_root_does_not_depend_on_file_system_or_order_of_creation() {
    let first = TempDir::new().expect("a folder");
    tree::generate(first.path(), 5, Shape::default()).expect("a tree");
    let entries: Vec<(Vec<u8>, Seen)> = tree::read(first.path()).expect("read").into_iter().collect();
    let site = Site::new();
    let root = site.take(first.path(), None).expect("taken").root;
    // In memory and on disk, forwards and backwards.
    for place in ["/dev/shm", "/var/tmp"] {
        let copy = TempDir::new_in(place).expect("a folder");
        make(copy.path(), entries.iter().rev());
        assert_eq!(Site::new().take(copy.path(), None).expect("taken").root, root, "in {place}");
    }
}

/// Makes a tree in the order given; folders come into being when something in them does.
fn make<'a>(root: &Path, entries: impl Iterator<Item = &'a (Vec<u8>, Seen)> + Clone) {
    use std::os::unix::ffi::OsStrExt;
    let path = |entry: &[u8]| root.join(std::ffi::OsStr::from_bytes(entry));
    for (name, seen) in entries.clone() {
        let path = path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        match &seen.kind {
            SeenKind::Folder => std::fs::create_dir_all(&path).expect("made"),
            SeenKind::Symlink(target) => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), &path).expect("linked");
            }
            SeenKind::File(bytes) => std::fs::write(&path, bytes).expect("written"),
        }
        if !matches!(seen.kind, SeenKind::Symlink(_)) {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(seen.mode)).expect("set");
        }
    }
    let mut deepest_first: Vec<_> = entries.collect();
    deepest_first.sort_by_key(|(name, _)| std::cmp::Reverse(name.clone()));
    for (name, seen) in deepest_first {
        tree::set_mtime(&path(name), seen.mtime_ns).expect("set");
    }
}

#[test]
fn an_unchanged_tree_is_not_read_again() {
    let source = TempDir::new().expect("a folder");
    tree::generate(source.path(), 3, Shape::default()).expect("a tree");
    // Long enough for a chunk list in pages of its own.
    std::fs::write(source.path().join("paged"), Random::new(2).bytes(9 << 20)).expect("written");
    let site = Site::new();
    let first = site.take(source.path(), None).expect("taken");
    assert_eq!(first.report.entries_read, first.report.files + first.report.symlinks);
    assert_eq!(first.report.entries_added, first.root.entries);
    assert_eq!(first.report.rounds, 1);
    first.commit().expect("committed");
    let second = site.take(source.path(), Some(&first.root)).expect("taken");
    assert_eq!(second.root, first.root);
    let report = second.report;
    assert_eq!((report.entries_read, report.bytes_read, report.chunks_new, report.rounds), (0, 0, 0, 1));
    assert_eq!((report.entries_added, report.entries_changed, report.entries_removed), (0, 0, 0));
    assert_eq!((report.files, report.bytes_total), (first.report.files, first.report.bytes_total));
}

#[test]
fn the_scan_cache_serves_also_when_it_was_never_committed() {
    let source = TempDir::new().expect("a folder");
    tree::generate(source.path(), 3, small()).expect("a tree");
    let site = Site::new();
    let mut root = site.take(source.path(), None).expect("taken").root;
    for name in ["one", "two", "three"] {
        std::fs::write(source.path().join(name), name).expect("written");
        let next = site.take(source.path(), Some(&root)).expect("taken");
        assert_eq!(next.report.entries_read, 1, "{name}");
        root = next.root;
    }
    site.assert_holds(&root, source.path());
}

#[test]
fn an_edit_is_read_alone() {
    let source = TempDir::new().expect("a folder");
    tree::generate(source.path(), 3, Shape::default()).expect("a tree");
    std::fs::write(source.path().join("kept"), b"before").expect("written");
    std::fs::write(source.path().join("gone"), b"before").expect("written");
    let site = Site::new();
    let first = site.take(source.path(), None).expect("taken");
    first.commit().expect("committed");
    let_file_clock_advance(source.path());
    // As long as before and with the time of before: only the change time tells.
    let kept = source.path().join("kept");
    let time = kept.metadata().expect("a stat").modified().expect("a time");
    let file = std::fs::File::create(&kept).expect("opened");
    std::io::Write::write_all(&mut &file, b"AFTER!").expect("written");
    file.set_modified(time).expect("set");
    std::fs::write(source.path().join("new"), b"new").expect("written");
    std::fs::remove_file(source.path().join("gone")).expect("removed");
    let second = site.take(source.path(), Some(&first.root)).expect("taken");
    site.assert_holds(&second.root, source.path());
    let report = second.report;
    assert_eq!((report.entries_read, report.bytes_read, report.chunks_new), (2, 9, 2));
    assert_eq!((report.entries_added, report.entries_changed, report.entries_removed), (1, 1, 1));
}

#[test]
fn a_lost_or_damaged_cache_costs_reading_and_nothing_else() {
    let source = TempDir::new().expect("a folder");
    tree::generate(source.path(), 4, Shape { files: 1_500, file_bytes_max: 2_000, ..small() })
        .expect("a tree");
    let damages: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes[50_000] ^= 1, |bytes| bytes.truncate(60_000), Vec::clear];
    for damage in damages {
        let site = Site::new();
        let first = site.take(source.path(), None).expect("taken");
        first.commit().expect("committed");
        let cache = site.library.scan_cache_path(&crate::package());
        let mut bytes = std::fs::read(&cache).expect("read");
        damage(&mut bytes);
        std::fs::write(&cache, bytes).expect("written");
        let again = site.take(source.path(), Some(&first.root)).expect("taken");
        assert_eq!(again.root, first.root);
        assert!(again.report.entries_read > 100, "{} entries read", again.report.entries_read);
        assert_eq!(again.report.chunks_new, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever happened to a tree: taken on top of the version before it is what it would be
    /// taken afresh, and read back it is what the folder holds.
    #[test]
    fn edits_on_top_of_a_base_are_a_full_snapshot(seed in any::<u64>(), edits in 1_usize..40, threads in 1_usize..4) {
        let source = TempDir::new().expect("a folder");
        tree::generate(source.path(), seed, small()).expect("a tree");
        let site = Site::new();
        let options = SnapshotOptions { threads, allow_empty: true, ..SnapshotOptions::default() };
        let mut base = None;
        for step in 0..4 {
            let incremental = site.take_with(source.path(), base.as_ref(), options.clone(), &()).expect("taken");
            site.assert_holds(&incremental.root, source.path());
            let full = Site::new().take(source.path(), None).expect("taken");
            assert_eq!(incremental.root, full.root);
            if step % 2 == 0 {
                incremental.commit().expect("committed");
            }
            base = Some(incremental.root);
            let_file_clock_advance(source.path());
            tree::edit(source.path(), seed.wrapping_add(step), edits).expect("edited");
        }
    }
}
