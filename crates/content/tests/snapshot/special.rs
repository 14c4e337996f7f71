//! Trees that are unlike the usual: deep, wide, sparse, linked.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, symlink};

use restock_content::manifest::{EntryKind, Manifest};
use restock_names::EntryPath;
use restock_testkit::random::Random;
use rustix::fs::{CWD, Mode, OFlags};
use tempfile::TempDir;

use crate::Site;

#[test]
fn links_are_kept_as_they_are_and_never_followed() {
    let source = TempDir::new().expect("a folder");
    let outside = TempDir::new().expect("a folder");
    std::fs::write(outside.path().join("secret"), b"secret").expect("written");
    symlink(outside.path().join("secret"), source.path().join("out")).expect("linked");
    symlink(outside.path(), source.path().join("out folder")).expect("linked");
    symlink("loop b", source.path().join("loop a")).expect("linked");
    symlink("loop a", source.path().join("loop b")).expect("linked");
    symlink(".", source.path().join("self")).expect("linked");
    symlink("x".repeat(4_000), source.path().join("long")).expect("linked");
    let site = Site::new();
    let snapshot = site.take(source.path(), None).expect("taken");
    assert_eq!((snapshot.report.symlinks, snapshot.root.entries, snapshot.root.bytes), (6, 6, 0));
    site.assert_holds(&snapshot.root, source.path());
    // A link's target is part of the tree.
    std::fs::remove_file(source.path().join("out")).expect("removed");
    symlink("elsewhere", source.path().join("out")).expect("linked");
    let again = site.take(source.path(), Some(&snapshot.root)).expect("taken");
    assert_eq!((again.report.entries_read, again.report.entries_changed), (1, 1));
    site.assert_holds(&again.root, source.path());
}

#[test]
fn a_sparse_file_of_five_gibibytes_costs_what_it_holds() {
    const SIZE: u64 = 5 << 30;
    let source = TempDir::new().expect("a folder");
    let file = std::fs::File::create(source.path().join("sparse")).expect("made");
    file.set_len(SIZE).expect("set");
    file.write_all_at(b"in the middle", (4 << 30) + 12_345).expect("written");
    let site = Site::new();
    let snapshot = site.take(source.path(), None).expect("taken");
    assert_eq!((snapshot.root.bytes, snapshot.report.bytes_total), (SIZE, SIZE));
    assert!(snapshot.report.bytes_read < 64 << 20, "{} bytes were read", snapshot.report.bytes_read);
    let manifest = Manifest::new(&site.library, snapshot.root);
    let path = EntryPath::new("sparse").expect("a path");
    let entry = manifest.find(&path).expect("readable").expect("listed");
    assert!(matches!(entry.kind, EntryKind::File { size: SIZE, .. }));
    let mut found = 0;
    for run in manifest.runs(&entry) {
        let (start, run) = run.expect("readable");
        let bytes = site.library.read(&run.digest).expect("there");
        assert_eq!((bytes.len(), start), (run.length as usize, found));
        if run.repeat == 1 && bytes.iter().any(|b| *b != 0) {
            let at = ((4_u64 << 30) + 12_345 - start) as usize;
            assert_eq!(&bytes[at..at + 13], b"in the middle");
        } else {
            assert!(bytes.iter().all(|b| *b == 0));
        }
        found += run.bytes();
    }
    assert_eq!(found, SIZE);
}

#[test]
fn holes_are_cut_as_the_zeros_they_are() {
    let source = TempDir::new().expect("a folder");
    let noise = Random::new(4).bytes(700_000);
    let (sparse, dense) = (source.path().join("sparse"), source.path().join("dense"));
    let mut bytes = vec![0; 9 << 20];
    let file = std::fs::File::create(&sparse).expect("made");
    file.set_len(bytes.len() as u64).expect("set");
    for at in [300_000, 2_500_000, 2_500_000 + 700_000 + 200_000, 7_000_000] {
        file.write_all_at(&noise, at as u64).expect("written");
        bytes[at..at + noise.len()].copy_from_slice(&noise);
    }
    std::fs::write(&dense, &bytes).expect("written");
    let site = Site::new();
    let root = site.take(source.path(), None).expect("taken").root;
    site.assert_holds(&root, source.path());
    let manifest = Manifest::new(&site.library, root);
    let runs = |name: &str| -> Vec<_> {
        let path = EntryPath::new(name).expect("a path");
        let entry = manifest.find(&path).expect("readable").expect("listed");
        manifest.runs(&entry).map(|run| run.expect("readable")).collect()
    };
    assert_eq!(runs("sparse"), runs("dense"));
}

#[test]
fn empty_files_and_folders_are_kept() {
    let source = TempDir::new().expect("a folder");
    std::fs::create_dir_all(source.path().join("a/b/c")).expect("made");
    std::fs::create_dir(source.path().join("a.b")).expect("made");
    std::fs::write(source.path().join("a/empty"), b"").expect("written");
    let site = Site::new();
    let snapshot = site.take(source.path(), None).expect("taken");
    assert_eq!((snapshot.report.folders, snapshot.report.files, snapshot.root.chunks), (4, 1, 0));
    site.assert_holds(&snapshot.root, source.path());
}

#[test]
fn a_wide_folder_is_taken_in_steps() {
    let source = TempDir::new().expect("a folder");
    for number in 0..4_500 {
        let path = source.path().join(format!("{number}"));
        if number % 10 == 0 { std::fs::create_dir(path) } else { std::fs::write(path, b"x") }.expect("made");
    }
    let site = Site::new();
    let snapshot = site.take(source.path(), None).expect("taken");
    assert_eq!((snapshot.report.folders, snapshot.report.files), (450, 4_050));
    site.assert_holds(&snapshot.root, source.path());
}

#[test]
fn a_deep_tree_needs_neither_stack_nor_descriptors() {
    let source = TempDir::new().expect("a folder");
    let mut folder = open(&CWD, source.path().to_str().expect("UTF-8"));
    let mut depth = 0;
    // Paths of up to 4,095 bytes are allowed; each level adds two.
    while 2 * depth + 1 < 4_090 {
        rustix::fs::mkdirat(&folder, "d", Mode::RWXU).expect("made");
        let file =
            rustix::fs::openat(&folder, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).expect("made");
        rustix::io::write(&file, b"deep").expect("written");
        folder = open(&folder, "d");
        depth += 1;
    }
    let site = Site::new();
    let snapshot = site.take(source.path(), None).expect("taken");
    assert_eq!((snapshot.report.folders, snapshot.report.files), (depth, depth));
    assert_eq!(snapshot.root.bytes, 4 * depth);
    // A few levels more are longer than any path may be.
    for _ in 0..4 {
        rustix::fs::mkdirat(&folder, "d", Mode::RWXU).expect("made");
        folder = open(&folder, "d");
    }
    assert_eq!(site.refusal(source.path(), None).0, "NAME_TOO_LONG");
}

fn open(folder: &impl AsFd, name: &str) -> OwnedFd {
    rustix::fs::openat(folder, name, OFlags::DIRECTORY, Mode::empty()).expect("opened")
}
