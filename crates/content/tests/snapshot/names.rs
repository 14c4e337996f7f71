//! Names that other systems cannot hold, and what a package leaves out: rows 9 to 18 and 29 at a source
//! folder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use restock_content::snapshot::SnapshotOptions;
use restock_names::{ExcludeRules, NamesPolicy};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::{Site, refusal};

fn portable() -> SnapshotOptions {
    SnapshotOptions { names: NamesPolicy::Portable, threads: 2, ..SnapshotOptions::default() }
}

fn excluding(rules: &[&str]) -> SnapshotOptions {
    let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let excludes = ExcludeRules::new(rules).expect("rules");
    SnapshotOptions { excludes, threads: 2, ..SnapshotOptions::default() }
}

fn put(source: &Path, path: &[u8]) {
    let path = source.join(OsStr::from_bytes(path));
    std::fs::create_dir_all(path.parent().expect("a folder above")).expect("made");
    std::fs::write(path, b"x").expect("written");
}

fn deep(levels: usize, last: &str) -> Vec<u8> {
    [vec!["d"; levels - 1].join("/"), last.to_owned()].join("/").into_bytes()
}

/// Each row with names that break it: together in one source they break nothing else.
fn rows() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let texts = |names: &[&[u8]]| names.iter().map(|name| name.to_vec()).collect::<Vec<_>>();
    let long = ["n".repeat(250), "n".repeat(250), "n".repeat(250), "n".repeat(250), "n".repeat(21)].join("/");
    assert_eq!(long.len(), 1_025);
    vec![
        ("NAME_CONTROL_CHAR", texts(&[b"new\nline", b"esc\x1b[1m"])),
        ("NAME_RESERVED_WINDOWS", texts(&[b"con", b"nul.txt", b"com1", b"lpt\xc2\xb9", b"aux.c"])),
        ("NAME_TRAILING", texts(&[b"file.", b"file "])),
        ("NAME_ADS", texts(&[b"a:stream"])),
        ("NAME_CHAR", texts(&[b"a<b", b"a?b", b"a*b", b"a\"b", b"a|b", b"a\\b"])),
        ("NAME_CASE_COLLISION", texts(&[b"sub/README", b"sub/readme"])),
        ("NAME_UNICODE_COLLISION", texts(&["sub/\u{e9}".as_bytes(), "sub/e\u{301}".as_bytes()])),
        ("NAME_BIDI", texts(&["x\u{202e}y".as_bytes()])),
        ("NAME_TOO_LONG", vec![long.into_bytes()]),
        ("PATH_DEPTH", vec![deep(65, "last")]),
        ("NAME_ENCODING", texts(&[b"caf\xe9"])),
    ]
}

#[test]
fn names_that_others_cannot_hold_are_refused_by_a_package_that_must_be_portable() {
    for (code, names) in rows() {
        let source = TempDir::new().expect("a folder");
        put(source.path(), b"sub/plain");
        for name in &names {
            put(source.path(), name);
        }
        let site = Site::new();
        let (found, text) = refusal(site.take_with(source.path(), None, portable(), &()));
        assert_eq!(found, code);
        assert!(text.starts_with(&format!("{code}: ")), "{text}");
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "escaped: {text:?}");
        if code.ends_with("COLLISION") {
            assert_eq!(
                text.matches("sub/").count() + text.matches("from ").count(),
                2,
                "both are named: {text}"
            );
        }
        if code == "NAME_TOO_LONG" {
            assert!(text.contains("1025") && text.contains("1024"), "{text}");
        }
        if code == "PATH_DEPTH" {
            assert!(text.contains("65") && text.contains("64"), "{text}");
        }
        assert_eq!(site.library.stat().expect("a stat").packs, 0, "nothing stays of a refused snapshot");
    }
}

#[test]
fn names_that_others_cannot_hold_are_kept_and_told_otherwise() {
    for (code, names) in rows() {
        let source = TempDir::new().expect("a folder");
        put(source.path(), b"sub/plain");
        for name in &names {
            put(source.path(), name);
        }
        let site = Site::new();
        let taken = site.take(source.path(), None).expect("kept");
        site.assert_holds(&taken.root, source.path());
        let found: Vec<(&str, u64)> =
            taken.names.iter().map(|finding| (finding.rule.code(), finding.count)).collect();
        let count = if code.ends_with("COLLISION") { 1 } else { names.len() as u64 };
        assert_eq!(found, [(code, count)]);
        let told = taken.names.iter().map(|finding| finding.to_string()).collect::<String>();
        assert!(!told.chars().any(|c| c.is_control() || c == '\u{202e}'), "escaped: {told:?}");
        // Told again by a snapshot that reads nothing.
        let again = site.take(source.path(), Some(&taken.root)).expect("kept");
        assert_eq!((again.root, &again.names), (taken.root, &taken.names));
    }
}

#[test]
fn only_the_first_few_names_are_shown_and_all_are_counted() {
    let source = TempDir::new().expect("a folder");
    for number in 0..40 {
        put(source.path(), format!("d/{number:02}:x").as_bytes());
    }
    let taken = Site::new().take(source.path(), None).expect("kept");
    let told: Vec<String> = taken.names.iter().map(|finding| finding.to_string()).collect();
    assert_eq!(
        told,
        ["40 names that hold a colon, which names a stream of a file in Windows: \
          d/00:x, d/01:x, d/02:x, d/03:x, d/04:x, …"]
    );
}

#[test]
fn a_very_deep_tree_is_walked_without_recursion() {
    let source = TempDir::new().expect("a folder");
    let mut folder = source.path().to_owned();
    for _ in 0..1_500 {
        folder.push("d");
    }
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("x"), b"x").expect("written");
    let small_stack = std::thread::Builder::new().stack_size(256 << 10);
    let path = source.path().to_owned();
    let taken = small_stack.spawn(move || {
        let site = Site::new();
        site.take(&path, None).map(|taken| taken.root.entries)
    });
    assert_eq!(taken.expect("spawned").join().expect("no overflow").expect("kept"), 1_501);
}

#[test]
fn what_is_excluded_is_not_read_and_not_in_the_version() {
    let source = TempDir::new().expect("a folder");
    for path in ["keep/a", "keep/a.tmp", ".git/config", "keep/.git/x/y", "build/out", "sub/build/kept", "CON"]
    {
        put(source.path(), path.as_bytes());
    }
    // None of these could be packaged, and none is looked at.
    mknodat(CWD, source.path().join("keep/pipe.tmp"), FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
    std::fs::File::create(source.path().join("huge.tmp")).expect("made").set_len(1 << 43).expect("set");
    let site = Site::new();
    let options = SnapshotOptions {
        names: NamesPolicy::Portable,
        file_bytes_max: 1 << 20,
        ..excluding(&["*.tmp", ".git/", "/build", "CON"])
    };
    let taken = site.take_with(source.path(), None, options.clone(), &()).expect("taken");
    let manifest = restock_content::manifest::Manifest::new(&site.library, taken.root);
    let paths: Vec<String> =
        manifest.entries().map(|entry| entry.expect("readable").path.to_string()).collect();
    assert_eq!(paths, ["keep", "keep/a", "sub", "sub/build", "sub/build/kept"]);
    assert_eq!((taken.report.entries_read, taken.report.bytes_read), (2, 2));
    // Rules that change take effect at the next snapshot, whatever the base was taken with.
    let without = SnapshotOptions { excludes: ExcludeRules::default(), ..options.clone() };
    let (code, _) = refusal(site.take_with(source.path(), Some(&taken.root), without, &()));
    assert!(["SOURCE_SPECIAL_FILE", "SOURCE_TOO_LARGE", "NAME_RESERVED_WINDOWS"].contains(&code), "{code}");
    for path in ["keep/pipe.tmp", "huge.tmp"] {
        std::fs::remove_file(source.path().join(path)).expect("removed");
    }
    let all = site.take(source.path(), Some(&taken.root)).expect("taken");
    site.assert_holds(&all.root, source.path());
    let fewer = site.take_with(source.path(), Some(&all.root), options.clone(), &()).expect("taken");
    let fresh = site.take_with(source.path(), None, options, &()).expect("taken");
    assert_eq!((fewer.root, fewer.report.entries_read), (fresh.root, 0));
    assert_eq!(fewer.report.entries_removed, all.root.entries - taken.root.entries);
}

#[test]
fn a_source_that_is_excluded_whole_counts_as_empty() {
    let source = TempDir::new().expect("a folder");
    put(source.path(), b"a");
    let site = Site::new();
    let base = site.take(source.path(), None).expect("taken").root;
    let (code, _) = refusal(site.take_with(source.path(), Some(&base), excluding(&["*"]), &()));
    assert_eq!(code, "SOURCE_EMPTY");
}

#[test]
fn a_file_above_the_limit_is_refused_before_anything_is_read() {
    let source = TempDir::new().expect("a folder");
    let file = std::fs::File::create(source.path().join("image")).expect("made");
    file.set_len((1 << 30) + 1).expect("set");
    let options =
        |file_bytes_max| SnapshotOptions { file_bytes_max, threads: 2, ..SnapshotOptions::default() };
    let site = Site::new();
    let (code, text) = refusal(site.take_with(source.path(), None, options(1 << 30), &NothingIsRead));
    assert_eq!(code, "SOURCE_TOO_LARGE");
    assert!(text.contains("1073741825") && text.contains("1073741824") && text.contains("image"), "{text}");
    site.take_with(source.path(), None, options((1 << 30) + 1), &()).expect("as large as allowed");
}

struct NothingIsRead;

impl restock_content::snapshot::Progress for NothingIsRead {
    fn add(&self, _: u64, bytes_read: u64, _: u64) {
        assert_eq!(bytes_read, 0);
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

#[test]
fn a_sparse_image_of_200_gigabytes_is_taken_by_what_it_holds() {
    let source = TempDir::new().expect("a folder");
    let path = source.path().join("disk.img");
    let file = std::fs::File::create(&path).expect("made");
    file.set_len(200 << 30).expect("set");
    let bytes = restock_testkit::random::Random::new(7).bytes(700_000);
    for at in [0, (77 << 30) + 5, (200 << 30) - bytes.len() as u64] {
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, at).expect("written");
    }
    let site = Site::new();
    let taken = site.take(source.path(), None).expect("taken");
    assert_eq!(taken.root.bytes, 200 << 30);
    assert!(taken.report.bytes_read < 16 << 20, "holes are not read: {:?}", taken.report);
    assert!(taken.report.bytes_new_raw < 16 << 20, "{:?}", taken.report);
    assert!(taken.root.chunks < 10_000, "runs of zeros are one reference: {:?}", taken.root);
    let manifest = restock_content::manifest::Manifest::new(&site.library, taken.root);
    let entry = manifest.entries().next().expect("an entry").expect("readable");
    let run = manifest.runs_from(&entry, (77 << 30) + 5).next().expect("a run").expect("readable");
    assert!(run.0 <= (77 << 30) + 5);
    let chunk = site.library.read(&run.1.digest).expect("held");
    let within = usize::try_from(((77 << 30) + 5 - run.0) % u64::from(run.1.length)).expect("small");
    let part = &chunk[within..];
    assert_eq!(part, &bytes[..part.len()]);
    let again = site.take(source.path(), Some(&taken.root)).expect("taken");
    assert_eq!((again.root, again.report.bytes_read), (taken.root, 0));
}
