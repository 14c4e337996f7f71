//! Symbolic links under each link policy of a package.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use restock_content::manifest::ManifestRoot;
use restock_content::snapshot::{Progress, Snapshot, SnapshotError, SnapshotOptions};
use restock_names::LinkPolicy;
use restock_testkit::random::Random;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::{Site, let_file_clock_advance, refusal};

fn take(
    site: &Site,
    source: &Path,
    base: Option<&ManifestRoot>,
    links: LinkPolicy,
) -> Result<Snapshot, SnapshotError> {
    let options = SnapshotOptions { threads: 2, links, ..SnapshotOptions::default() };
    site.take_with(source, base, options, &())
}

/// Files, folders and links between them, all inside.
fn source() -> TempDir {
    let source = TempDir::new().expect("a folder");
    let path = |name: &str| source.path().join(name);
    fs::create_dir_all(path("lib/deep")).expect("made");
    fs::create_dir_all(path("bin")).expect("made");
    fs::write(path("lib/x.so.1"), Random::new(1).bytes(300_000)).expect("written");
    fs::write(path("lib/deep/data"), Random::new(2).bytes(50_000)).expect("written");
    fs::write(path("bin/bash"), b"a program").expect("written");
    for (name, target) in [
        ("lib/x.so", "x.so.1"),
        ("bin/sh", "./bash"),
        ("bin/x", "../lib/x.so"),
        ("bin/lib", "../lib"),
        ("lib64", "lib"),
        ("bin/through", "lib/deep/../../bin/sh"),
        ("first", "lib64/deep/data"),
    ] {
        symlink(target, path(name)).expect("linked");
    }
    source
}

/// The same tree with each link replaced by what it leads to.
fn followed(source: &Path) -> TempDir {
    let copy = TempDir::new().expect("a folder");
    let from = source.join(".");
    let copied = Command::new("cp").arg("-aL").arg(from).arg(copy.path()).status().expect("cp runs");
    assert!(copied.success(), "{copied}");
    copy
}

/// The same tree without its links.
fn without_links(source: &Path) -> TempDir {
    let copy = TempDir::new().expect("a folder");
    let from = source.join(".");
    let copied = Command::new("cp").arg("-a").arg(from).arg(copy.path()).status().expect("cp runs");
    assert!(copied.success(), "{copied}");
    let mut folders = vec![copy.path().to_owned()];
    while let Some(folder) = folders.pop() {
        let mtime = folder.metadata().expect("a stat").modified().expect("a time");
        for entry in fs::read_dir(&folder).expect("listed") {
            let entry = entry.expect("listed");
            let kind = entry.file_type().expect("a kind");
            if kind.is_symlink() {
                fs::remove_file(entry.path()).expect("removed");
            } else if kind.is_dir() {
                folders.push(entry.path());
            }
        }
        fs::File::open(&folder).expect("opened").set_modified(mtime).expect("set");
    }
    copy
}

#[test]
fn links_are_followed_inside_the_source() {
    let source = source();
    let site = Site::new();
    let snapshot = take(&site, source.path(), None, LinkPolicy::Follow).expect("taken");
    assert_eq!(snapshot.report.symlinks, 0);
    let copy = followed(source.path());
    site.assert_holds(&snapshot.root, copy.path());
    // The bytes of a file are stored once, by however many links it is reached.
    assert!(snapshot.report.bytes_new_raw < 360_000, "{:?}", snapshot.report);
    for threads in [1, 7] {
        let options = SnapshotOptions { threads, links: LinkPolicy::Follow, ..SnapshotOptions::default() };
        let again = Site::new().take_with(source.path(), None, options, &()).expect("taken");
        assert_eq!(again.root, snapshot.root, "with {threads} threads");
    }
}

#[test]
fn links_are_left_out_by_a_package_that_skips_them() {
    let source = source();
    symlink("/etc", source.path().join("out")).expect("linked");
    symlink("loop", source.path().join("loop")).expect("linked");
    symlink("nothing", source.path().join("lib/dangling")).expect("linked");
    let site = Site::new();
    let snapshot = take(&site, source.path(), None, LinkPolicy::Skip).expect("taken");
    let copy = without_links(source.path());
    site.assert_holds(&snapshot.root, copy.path());
    assert_eq!(snapshot.report.symlinks, 0);
}

#[test]
fn a_package_that_refuses_links_names_the_link_and_its_target() {
    let source = TempDir::new().expect("a folder");
    fs::create_dir(source.path().join("sub")).expect("made");
    fs::write(source.path().join("sub/plain"), b"x").expect("written");
    let site = Site::new();
    take(&site, source.path(), None, LinkPolicy::Refuse).expect("nothing to refuse");
    let packs = site.library.stat().expect("a stat").packs;
    symlink("plain", source.path().join("sub/link")).expect("linked");
    let (code, text) = refusal(take(&site, source.path(), None, LinkPolicy::Refuse));
    assert_eq!(code, "SOURCE_SYMLINK");
    assert!(text.contains("sub/link") && text.contains("plain") && text.contains("refuses"), "{text}");
    assert_eq!(site.library.stat().expect("a stat").packs, packs, "nothing of it stays");
}

#[test]
fn a_followed_link_never_leads_out_of_the_source() {
    let outside = TempDir::new().expect("a folder");
    fs::create_dir(outside.path().join("root")).expect("made");
    fs::write(outside.path().join("secret"), b"secret").expect("written");
    let source = outside.path().join("root");
    fs::create_dir(source.join("sub")).expect("made");
    fs::write(source.join("plain"), b"plain").expect("written");
    let absolute_inside = source.join("plain");
    for (name, target) in [
        ("out", "../secret"),
        ("sub/out", "../../secret"),
        ("sub/over", "../../root/plain"),
        ("etc", "/etc/passwd"),
        ("home", absolute_inside.to_str().expect("UTF-8")),
        ("folder", ".."),
        ("sub/magic", "/proc/self/root/etc/passwd"),
    ] {
        symlink(target, source.join(name)).expect("linked");
        let site = Site::new();
        let (code, text) = refusal(take(&site, &source, None, LinkPolicy::Follow));
        assert_eq!(code, "SOURCE_SYMLINK", "{name} -> {target}");
        assert!(text.contains(name) && text.contains(target), "{text}");
        assert!(text.contains("leads out of the source"), "{text}");
        assert_eq!(site.library.stat().expect("a stat").packs, 0);
        fs::remove_file(source.join(name)).expect("removed");
    }
    // A way through a link that leads out is no way in either.
    symlink("..", source.join("up")).expect("linked");
    symlink("up/root/plain", source.join("a")).expect("linked");
    assert_eq!(refusal(take(&Site::new(), &source, None, LinkPolicy::Follow)).0, "SOURCE_SYMLINK");
}

#[test]
fn a_followed_link_to_nothing_is_refused() {
    for target in ["gone", "plain/", "plain/x", "plain/../plain", &"x".repeat(300)] {
        let source = TempDir::new().expect("a folder");
        fs::write(source.path().join("plain"), b"plain").expect("written");
        symlink(target, source.path().join("link")).expect("linked");
        let (code, text) = refusal(take(&Site::new(), source.path(), None, LinkPolicy::Follow));
        assert_eq!(code, "SOURCE_SYMLINK", "{target}");
        assert!(text.contains("nothing is there"), "{text}");
    }
}

#[test]
fn a_circle_of_followed_links_ends_and_is_refused() {
    let circles: [&[(&str, &str)]; 7] = [
        &[("self", "self")],
        &[("ping", "pong"), ("pong", "ping")],
        &[("dot", ".")],
        &[("sub/deep/up", "../..")],
        &[("sub/again", "../sub")],
        // Two folders that contain each other.
        &[("sub/deep/there", "../../other"), ("other/back", "../sub")],
        // Reached by a link first, then by its own name.
        &[("a", "sub/deep"), ("sub/deep/up", "..")],
    ];
    for links in circles {
        let source = TempDir::new().expect("a folder");
        fs::create_dir_all(source.path().join("sub/deep")).expect("made");
        fs::create_dir_all(source.path().join("other")).expect("made");
        for (name, target) in links {
            symlink(target, source.path().join(name)).expect("linked");
        }
        let (code, text) = refusal(take(&Site::new(), source.path(), None, LinkPolicy::Follow));
        assert_eq!(code, "SOURCE_SYMLINK_LOOP", "{links:?}");
        assert!(links.iter().any(|(name, _)| text.contains(name.rsplit('/').next().unwrap())), "{text}");
        // The other policies have nothing to go round in.
        take(&Site::new(), source.path(), None, LinkPolicy::Keep).expect("kept");
        take(&Site::new(), source.path(), None, LinkPolicy::Skip).expect("skipped");
    }
}

#[test]
fn links_that_multiply_end_at_the_limit_of_entries() {
    let source = TempDir::new().expect("a folder");
    for level in 0..30 {
        let folder = source.path().join(format!("d{level}"));
        fs::create_dir(&folder).expect("made");
        if level > 0 {
            for side in ["l", "r"] {
                symlink(format!("../d{}", level - 1), folder.join(side)).expect("linked");
            }
        }
    }
    let options =
        SnapshotOptions { entries_max: 5_000, links: LinkPolicy::Follow, ..SnapshotOptions::default() };
    let taken = Site::new().take_with(source.path(), None, options, &());
    assert_eq!(refusal(taken).0, "SOURCE_TOO_MANY_ENTRIES");
}

#[test]
fn a_followed_link_to_a_special_file_is_refused_as_that() {
    let source = TempDir::new().expect("a folder");
    fs::create_dir(source.path().join("z")).expect("made");
    mknodat(CWD, source.path().join("z/fifo"), FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
    symlink("z/fifo", source.path().join("a")).expect("linked");
    let (code, text) = refusal(take(&Site::new(), source.path(), None, LinkPolicy::Follow));
    assert_eq!(code, "SOURCE_SPECIAL_FILE");
    assert!(text.contains("/a is a FIFO"), "{text}");
}

#[test]
fn a_changed_policy_reads_what_it_changes_and_nothing_else() {
    use LinkPolicy::{Follow, Keep, Refuse, Skip};
    let source = source();
    let fresh = |links| take(&Site::new(), source.path(), None, links).expect("taken").root;
    let site = Site::new();
    let mut last = take(&site, source.path(), None, Keep).expect("taken");
    last.commit().expect("committed");
    // Links are seven: five lead to a file, two to `lib`, which holds two files and a link to one.
    for (links, read) in [(Follow, 5 + 2 * 3), (Keep, 7), (Skip, 0), (Keep, 7), (Skip, 0), (Follow, 11)] {
        let next = take(&site, source.path(), Some(&last.root), links).expect("taken");
        next.commit().expect("committed");
        assert_eq!(next.report.entries_read, read, "{links}");
        assert_eq!(next.root, fresh(links), "{links}");
        let same = take(&site, source.path(), Some(&next.root), links).expect("taken");
        assert_eq!((same.report.entries_read, same.root), (0, next.root), "{links} again");
        last = next;
    }
    let (code, _) = refusal(take(&site, source.path(), Some(&last.root), Refuse));
    assert_eq!(code, "SOURCE_SYMLINK");
}

#[test]
fn what_changes_behind_a_followed_link_is_seen() {
    let source = source();
    let site = Site::new();
    let first = take(&site, source.path(), None, LinkPolicy::Follow).expect("taken");
    first.commit().expect("committed");
    let_file_clock_advance(source.path());
    fs::write(source.path().join("lib/deep/data"), b"other").expect("written");
    let second = take(&site, source.path(), Some(&first.root), LinkPolicy::Follow).expect("taken");
    second.commit().expect("committed");
    // By its own name, through `lib64`, `bin/lib` and `first`.
    assert_eq!(second.report.entries_read, 4);
    site.assert_holds(&second.root, followed(source.path()).path());
    // A link that leads elsewhere is another file, though neither file changed.
    fs::remove_file(source.path().join("first")).expect("removed");
    symlink("bin/bash", source.path().join("first")).expect("linked");
    let third = take(&site, source.path(), Some(&second.root), LinkPolicy::Follow).expect("taken");
    assert_eq!((third.report.entries_read, third.report.entries_changed), (1, 1));
    site.assert_holds(&third.root, followed(source.path()).path());
}

/// Does something to the source once, at the read with this number.
struct Once<F>(AtomicU64, u64, F);

impl<F: Fn() + Sync> Progress for Once<F> {
    fn add(&self, _: u64, bytes_read: u64, _: u64) {
        if bytes_read > 0 && self.0.fetch_add(1, Ordering::Relaxed) + 1 == self.1 {
            (self.2)();
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

#[test]
fn what_moves_behind_a_followed_link_is_read_again() {
    let outside = TempDir::new().expect("a folder");
    fs::write(outside.path().join("data"), b"secret").expect("written");
    type Act<'a> = &'a (dyn Fn(&Path) + Sync);
    let relink = |path: &Path, target: &Path| {
        fs::remove_file(path).expect("removed");
        symlink(target, path).expect("linked");
    };
    let acts: [Act<'_>; 3] = [
        &|source| fs::write(source.join("lib/x.so.1"), b"other").expect("written"),
        &|source| relink(&source.join("bin/sh"), Path::new("../lib/x.so")),
        &|source| relink(&source.join("lib64"), outside.path()),
    ];
    for (number, act) in acts.iter().enumerate() {
        let (mut again, mut refused) = (0, 0);
        for read in 1..=12 {
            let source = source();
            let site = Site::new();
            let options =
                SnapshotOptions { threads: 1, links: LinkPolicy::Follow, ..SnapshotOptions::default() };
            let meddler = Once(AtomicU64::new(0), read, || act(source.path()));
            match site.take_with(source.path(), None, options, &meddler) {
                Ok(snapshot) => {
                    again += snapshot.report.rounds - 1;
                    site.assert_holds(&snapshot.root, followed(source.path()).path());
                }
                Err(error) => {
                    refused += 1;
                    assert!(["SOURCE_CHANGED", "SOURCE_SYMLINK"].contains(&error.code()), "{error}");
                }
            }
        }
        let leads_out = number == 2;
        assert!((again > 0, refused > 0) == (!leads_out, leads_out), "{number}: {again} {refused}");
    }
}
