//! Sources that cannot become a version, each refused with its code and its path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use restock_content::manifest::ManifestRoot;
use restock_content::snapshot::{Progress, SnapshotError, SnapshotOptions};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::{Site, refusal};

fn source_with(name: &[u8]) -> TempDir {
    let source = TempDir::new().expect("a folder");
    std::fs::create_dir(source.path().join("sub")).expect("made");
    std::fs::write(source.path().join("sub/plain"), b"plain").expect("written");
    std::fs::write(source.path().join(OsStr::from_bytes(name)), b"x").expect("written");
    source
}

#[test]
fn names_that_would_leave_the_package_are_refused() {
    for (name, code) in [
        (&b"C:\\x"[..], "PATH_DRIVE"),
        (b"C:x", "PATH_DRIVE"),
        (b"z:", "PATH_DRIVE"),
        (b"\\\\host\\share\\x", "PATH_UNC"),
        (b"\\\\?\\C:\\x", "PATH_UNC"),
        (b"a\\..\\..\\b", "PATH_SEPARATOR"),
        (b"sub/..\\x", "PATH_SEPARATOR"),
        (b"sub/\\x", "PATH_SEPARATOR"),
    ] {
        let source = source_with(name);
        let (found, text) = Site::new().refusal(source.path(), None);
        assert_eq!(found, code, "{}", name.escape_ascii());
        assert!(text.starts_with(code) && !text.contains('\u{1b}'), "{text}");
    }
    // A folder is refused as a file is.
    let source = TempDir::new().expect("a folder");
    std::fs::create_dir(source.path().join("D:")).expect("made");
    assert_eq!(Site::new().refusal(source.path(), None).0, "PATH_DRIVE");
}

#[test]
fn names_like_those_of_other_systems_are_kept() {
    let source = TempDir::new().expect("a folder");
    for name in [&b"B::Op"[..], b"a\\b", b"caf\xe9", b"a:stream", b"new\nline", b"...", b"-rf", b" "] {
        std::fs::write(source.path().join(OsStr::from_bytes(name)), name).expect("written");
    }
    let site = Site::new();
    let root = site.take(source.path(), None).expect("taken").root;
    site.assert_holds(&root, source.path());
}

#[test]
fn a_missing_source_is_not_found() {
    let folder = TempDir::new().expect("a folder");
    let (code, text) = Site::new().refusal(&folder.path().join("none"), None);
    assert_eq!(code, "SOURCE_NOT_FOUND");
    assert!(text.contains("none"), "{text}");
    std::fs::write(folder.path().join("file"), b"x").expect("written");
    assert_eq!(Site::new().refusal(&folder.path().join("file"), None).0, "SOURCE_NOT_FOUND");
}

#[test]
fn a_source_that_became_empty_is_refused_unless_told() {
    let source = TempDir::new().expect("a folder");
    let site = Site::new();
    let empty = site.take(source.path(), None).expect("an empty source can begin a package").root;
    assert_eq!((empty.entries, empty.bytes), (0, 0));
    std::fs::write(source.path().join("file"), b"x").expect("written");
    let base = site.take(source.path(), Some(&empty)).expect("taken").root;
    std::fs::remove_file(source.path().join("file")).expect("removed");
    let (code, text) = site.refusal(source.path(), Some(&base));
    assert_eq!(code, "SOURCE_EMPTY");
    assert!(text.contains("1 entries"), "{text}");
    let options = SnapshotOptions { allow_empty: true, ..SnapshotOptions::default() };
    let taken = site.take_with(source.path(), Some(&base), options, &()).expect("told so");
    assert_eq!(taken.root, empty);
}

#[test]
fn special_files_are_refused_by_name_and_nothing_waits_for_them() {
    let mut made: Vec<(&str, TempDir)> = Vec::new();
    let add = |kind: &'static str, make: &dyn Fn(&Path)| {
        let source = source_with(b"other");
        make(&source.path().join("sub/odd"));
        (kind, source)
    };
    // A FIFO that nobody writes to would hold up an ordinary open for ever.
    made.push(add("FIFO", &|path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).expect("a FIFO")));
    made.push(add("socket", &|path| drop(UnixListener::bind(path).expect("a socket"))));
    if rustix::process::geteuid().is_root() {
        let null = rustix::fs::makedev(1, 3);
        made.push(add("character device", &|path| {
            mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, null).expect("a device");
        }));
    }
    for (kind, source) in made {
        let (code, text) = Site::new().refusal(source.path(), None);
        assert_eq!(code, "SOURCE_SPECIAL_FILE");
        assert!(text.contains("sub/odd") && text.contains(kind), "{text}");
    }
}

#[test]
fn what_the_account_may_not_read_is_refused_with_path_and_account() {
    for (name, mode, is_folder) in [
        ("file", 0o000, false),
        ("folder", 0o000, true),
        ("listable only", 0o444, true),
        ("enterable only", 0o111, true),
    ] {
        let source = TempDir::new().expect("a folder");
        let path = source.path().join(name);
        if is_folder {
            std::fs::create_dir(&path).expect("made");
            std::fs::write(path.join("inner"), b"x").expect("written");
        } else {
            std::fs::write(&path, b"x").expect("written");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        let (code, text, account) = as_ordinary_user(source.path());
        assert_eq!(code, "SOURCE_PERMISSION", "{name}: {text}");
        assert!(text.contains(name) && text.contains(&format!("uid {account} ")), "{text}");
        // So that the folder can be removed by whoever runs this.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("set");
    }
    // The source folder itself.
    let source = source_with(b"x");
    std::fs::set_permissions(source.path(), std::fs::Permissions::from_mode(0o000)).expect("set");
    let (code, ..) = as_ordinary_user(source.path());
    std::fs::set_permissions(source.path(), std::fs::Permissions::from_mode(0o700)).expect("set");
    assert_eq!(code, "SOURCE_PERMISSION");
}

/// Takes a snapshot as an ordinary user, because root may read everything, and says as whom.
fn as_ordinary_user(source: &Path) -> (&'static str, String, u32) {
    const NOBODY: u32 = 65_534;
    let site = Site::new();
    if !rustix::process::geteuid().is_root() {
        let (code, text) = site.refusal(source, None);
        return (code, text, rustix::process::geteuid().as_raw());
    }
    let mut folders = vec![site.library.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        std::os::unix::fs::chown(&folder, Some(NOBODY), None).expect("given away");
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("listed").path();
            if path.is_dir() {
                folders.push(path)
            } else {
                std::os::unix::fs::chown(path, Some(NOBODY), None).expect("given")
            }
        }
    }
    let is_closed = source.metadata().expect("a stat").permissions().mode() & 0o777 == 0;
    if !is_closed {
        std::fs::set_permissions(source, std::fs::Permissions::from_mode(0o755)).expect("set");
    }
    let (code, text) = std::thread::scope(|scope| {
        // Identity belongs to a thread in Linux; the snapshot's own threads inherit it.
        let taken = scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(NOBODY);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("root may");
            assert!(std::fs::read("/etc/shadow").is_err(), "this thread has no rights left");
            refusal(site.take(source, None))
        });
        taken.join().expect("no panic")
    });
    (code, text, NOBODY)
}

#[test]
fn more_entries_than_the_limit_are_refused() {
    let source = TempDir::new().expect("a folder");
    for number in 0..11 {
        std::fs::write(source.path().join(number.to_string()), b"x").expect("written");
    }
    let options = |entries_max| SnapshotOptions { entries_max, ..SnapshotOptions::default() };
    let site = Site::new();
    site.take_with(source.path(), None, options(11), &()).expect("as many as allowed");
    let (code, text) = refusal(site.take_with(source.path(), None, options(10), &()));
    assert_eq!(code, "SOURCE_TOO_MANY_ENTRIES");
    assert!(text.contains("10"), "{text}");
}

/// Cancels when the first bytes were read.
#[derive(Default)]
struct CancelSoon(AtomicBool);

impl Progress for CancelSoon {
    fn add(&self, _: u64, bytes_read: u64, _: u64) {
        if bytes_read > 0 {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_cancelled_snapshot_ends_and_leaves_nothing() {
    let source = TempDir::new().expect("a folder");
    let bytes = restock_testkit::random::Random::new(1).bytes(3 << 20);
    for number in 0..8 {
        std::fs::write(source.path().join(number.to_string()), &bytes).expect("written");
    }
    std::fs::File::create(source.path().join("huge")).expect("made").set_len(1 << 43).expect("set");
    let site = Site::new();
    let taken = site.take_with(source.path(), None, SnapshotOptions::default(), &CancelSoon::default());
    assert!(matches!(taken, Err(SnapshotError::Cancelled)), "{taken:?}");
    assert_eq!(site.library.stat().expect("a stat").packs, 0);
    let none: Option<&ManifestRoot> = None;
    std::fs::remove_file(source.path().join("huge")).expect("removed");
    let root = site.take(source.path(), none).expect("the library is as good as before").root;
    site.assert_holds(&root, source.path());
}
