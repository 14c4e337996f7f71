//! What cannot be reached from outside: kernels without `openat2`, scans too large to remember.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use restock_names::SystemClock;
use rustix::fs::OFlags;
use rustix::io::Errno;
use tempfile::TempDir;

use super::look::ReadLog;
use super::source::{Source, stat_of};
use super::{Snapshot, SnapshotError, SnapshotOptions, take_from};
use crate::files::DiskFiles;
use crate::library::{Library, Role};

fn library() -> (Library, TempDir) {
    let folder = TempDir::new().expect("a folder");
    (Library::create(Arc::new(DiskFiles), folder.path(), Role::Site).expect("a library"), folder)
}

fn source() -> TempDir {
    let source = TempDir::new().expect("a folder");
    std::fs::create_dir_all(source.path().join("a/b")).expect("made");
    for name in ["a/b/c", "a/d", "e"] {
        std::fs::write(source.path().join(name), name).expect("written");
    }
    symlink("a", source.path().join("to a folder")).expect("linked");
    symlink("e", source.path().join("to a file")).expect("linked");
    source
}

fn take(library: &Library, source: &Source) -> Result<Snapshot, SnapshotError> {
    let package = "XYZ00001".parse().expect("a package ID");
    take_from(library, source, &package, None, SnapshotOptions::default(), &SystemClock, &())
}

fn both_ways(path: &Path) -> [Source; 2] {
    let open = || Source::new(path).expect("opened");
    [open(), open().without_openat2()]
}

#[test]
fn no_link_is_followed_with_or_without_openat2() {
    let folder = source();
    for source in both_ways(folder.path()) {
        for (path, flags) in [
            (&b"to a file"[..], OFlags::empty()),
            (b"to a folder", OFlags::empty()),
            (b"to a folder", OFlags::DIRECTORY),
            (b"to a folder/b", OFlags::DIRECTORY),
            (b"to a folder/b/c", OFlags::empty()),
        ] {
            assert_eq!(source.open(None, path, flags).expect_err("refused"), Errno::LOOP, "{path:?}");
        }
        assert_eq!(source.open(None, b"e/x", OFlags::empty()).expect_err("refused"), Errno::NOTDIR);
        assert_eq!(source.open(None, b"a/x", OFlags::empty()).expect_err("refused"), Errno::NOENT);
        source.open(None, b"a/b/c", OFlags::empty()).expect("opened");
        source.open(None, b"a/b", OFlags::DIRECTORY).expect("opened");
    }
}

#[test]
fn a_kernel_without_openat2_gives_the_same_root() {
    let folder = source();
    let roots = both_ways(folder.path()).map(|source| take(&library().0, &source).expect("taken").root);
    assert_eq!(roots[0], roots[1]);
    assert_eq!(roots[0].entries, 7);
}

#[test]
fn the_second_look_from_the_draft_follows_links_as_the_scan_did() {
    let folder = source();
    let (library, _folder) = library();
    let source = Source::new(folder.path()).expect("opened").following_links(true);
    let snapshot = take(&library, &source).expect("taken");
    // `a` twice with three entries each, `e` twice.
    assert_eq!(snapshot.root.entries, 10);
    let root = stat_of(source.open(None, b"", OFlags::DIRECTORY).expect("opened")).expect("a stat");
    let first_moved = || {
        let log = ReadLog::too_long(root);
        log.first_moved(&source, &library, snapshot.root, &snapshot.cache_draft).expect("looked")
    };
    assert_eq!(first_moved(), None);
    std::fs::write(folder.path().join("e"), "changed").expect("written");
    assert_eq!(first_moved(), Some(b"e".to_vec()));
    // The link itself changes its folder, which is therefore named.
    std::fs::remove_file(folder.path().join("to a file")).expect("removed");
    symlink("a/d", folder.path().join("to a file")).expect("linked");
    assert_eq!(first_moved(), Some(Vec::new()));
}

#[test]
fn the_second_look_also_works_from_the_draft() {
    let folder = source();
    let (library, _folder) = library();
    let source = Source::new(folder.path()).expect("opened");
    let snapshot = take(&library, &source).expect("taken");
    let root = stat_of(source.open(None, b"", OFlags::DIRECTORY).expect("opened")).expect("a stat");
    let first_moved = || {
        let log = ReadLog::too_long(root);
        log.first_moved(&source, &library, snapshot.root, &snapshot.cache_draft).expect("looked")
    };
    assert_eq!(first_moved(), None);
    std::fs::write(folder.path().join("a/d"), "changed").expect("written");
    assert_eq!(first_moved(), Some(b"a/d".to_vec()));
    std::fs::write(folder.path().join("a/b/new"), "new").expect("written");
    assert_eq!(first_moved(), Some(b"a/b".to_vec()));
    std::fs::remove_file(folder.path().join("to a file")).expect("removed");
    std::fs::remove_dir_all(folder.path().join("a")).expect("removed");
    assert_eq!(first_moved(), Some(b"a/b".to_vec()));
}
