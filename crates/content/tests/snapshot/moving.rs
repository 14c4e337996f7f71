//! Sources that change while they are read.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use restock_content::snapshot::{Progress, Snapshot, SnapshotError, SnapshotOptions};
use restock_names::LinkPolicy;
use restock_testkit::random::Random;
use restock_testkit::tree::SeenKind;
use restock_testkit::version;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::{Site, refusal};

/// Does something to the source each time bytes were read from it, before the reader's second stat.
struct Meddler<F> {
    reads: AtomicU64,
    act: Mutex<F>,
}

impl<F: FnMut(u64)> Meddler<F> {
    /// `act` is given the number of reads so far, from 1.
    fn new(act: F) -> Self {
        Self { reads: AtomicU64::new(0), act: Mutex::new(act) }
    }
}

impl<F: FnMut(u64) + Send> Progress for Meddler<F> {
    fn add(&self, _: u64, bytes_read: u64, _: u64) {
        if bytes_read > 0 {
            let number = self.reads.fetch_add(1, Ordering::Relaxed) + 1;
            (self.act.lock().expect("no panic"))(number);
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

fn take_with(site: &Site, source: &Path, act: impl FnMut(u64) + Send) -> Result<Snapshot, SnapshotError> {
    let options = SnapshotOptions { threads: 1, ..SnapshotOptions::default() };
    site.take_with(source, None, options, &Meddler::new(act))
}

fn append(path: &Path) {
    let mut file = File::options().append(true).open(path).expect("opened");
    file.write_all(b"more").expect("written");
}

/// A few files whose names come before and after `moving`.
fn source() -> (TempDir, PathBuf) {
    let source = TempDir::new().expect("a folder");
    for name in ["a", "z"] {
        fs::create_dir(source.path().join(name)).expect("made");
        fs::write(source.path().join(name).join("still"), Random::new(1).bytes(100_000)).expect("written");
    }
    let moving = source.path().join("moving");
    fs::write(&moving, Random::new(2).bytes(300_000)).expect("written");
    (source, moving)
}

#[test]
fn a_file_that_moves_once_is_read_again() {
    let (source, moving) = source();
    let site = Site::new();
    let snapshot = take_with(&site, source.path(), |read| {
        if read == 2 {
            append(&moving);
        }
    });
    site.assert_holds(&snapshot.expect("taken").root, source.path());
}

#[test]
fn a_file_that_never_rests_is_refused_by_name() {
    type Act = fn(&Path, u64);
    let acts: [(&str, Act); 4] = [
        ("grows", |path, _| append(path)),
        ("shrinks", |path, read| {
            let file = File::options().write(true).open(path).expect("opened");
            file.set_len(300_000 - 10 * read).expect("cut");
        }),
        ("is emptied and filled", |path, read| {
            fs::write(path, Random::new(read).bytes(300_000)).expect("written");
        }),
        ("is replaced", |path, read| {
            let other = path.with_extension("other");
            fs::write(&other, Random::new(read).bytes(300_000)).expect("written");
            fs::rename(&other, path).expect("renamed");
        }),
    ];
    for (what, act) in acts {
        let (source, moving) = source();
        let site = Site::new();
        let (code, text) = refusal(take_with(&site, source.path(), |read| act(&moving, read)));
        assert_eq!(code, "SOURCE_CHANGED", "a file that {what}: {text}");
        // A replaced file changes its folder, which may be named instead.
        assert!(text.contains("moving") || what == "is replaced", "a file that {what}: {text}");
        assert_eq!(site.library.stat().expect("a stat").packs, 0, "nothing of it stays");
    }
}

#[test]
fn a_large_file_that_grows_is_refused_by_name() {
    let (source, moving) = source();
    fs::write(&moving, Random::new(3).bytes(12 << 20)).expect("written");
    let options = SnapshotOptions { threads: 3, ..SnapshotOptions::default() };
    let site = Site::new();
    let grow = Meddler::new(|_| append(&moving));
    let (code, text) = refusal(site.take_with(source.path(), None, options, &grow));
    assert_eq!(code, "SOURCE_CHANGED");
    assert!(text.contains("moving"), "{text}");
}

#[test]
fn the_second_look_finds_what_changed_behind_the_reader() {
    let (source, moving) = source();
    let site = Site::new();
    // `a/still` has been read by the time `moving` is.
    let snapshot = take_with(&site, source.path(), |read| {
        if read == 2 {
            append(&source.path().join("a/still"));
        }
    })
    .expect("taken");
    assert_eq!(snapshot.report.rounds, 2);
    site.assert_holds(&snapshot.root, source.path());
    // A new file beside one that was read, too.
    let snapshot = take_with(&site, source.path(), |read| {
        if read == 3 {
            fs::write(source.path().join("beside"), b"new").expect("written");
        }
    })
    .expect("taken");
    assert_eq!(snapshot.report.rounds, 2);
    site.assert_holds(&snapshot.root, source.path());
    assert!(moving.exists());
}

#[test]
fn a_file_that_goes_is_left_out() {
    let (source, _) = source();
    let site = Site::new();
    let snapshot = take_with(&site, source.path(), |read| {
        if read == 1 {
            fs::remove_file(source.path().join("z/still")).expect("removed");
        }
    })
    .expect("taken");
    site.assert_holds(&snapshot.root, source.path());
}

#[test]
fn a_folder_swapped_for_a_link_is_refused() {
    let outside = TempDir::new().expect("a folder");
    fs::write(outside.path().join("still"), b"secret").expect("written");
    // Before it is read, and after; a package that skips links must not lose a folder that way.
    for (swapped, links) in [
        ("z", LinkPolicy::Keep),
        ("a", LinkPolicy::Keep),
        ("z", LinkPolicy::Skip),
        ("a", LinkPolicy::Skip),
        ("z", LinkPolicy::Follow),
        ("a", LinkPolicy::Follow),
    ] {
        let (source, _) = source();
        let elsewhere = TempDir::new().expect("a folder");
        let site = Site::new();
        let meddler = Meddler::new(|read| {
            if read == 2 {
                fs::rename(source.path().join(swapped), elsewhere.path().join("moved")).expect("moved away");
                symlink(outside.path(), source.path().join(swapped)).expect("linked");
            }
        });
        let options = SnapshotOptions { threads: 1, links, ..SnapshotOptions::default() };
        let (code, text) = refusal(site.take_with(source.path(), None, options, &meddler));
        assert_eq!(code, "SOURCE_CHANGED", "{swapped} {links}");
        assert!(text.contains(source.path().to_str().expect("UTF-8")), "{text}");
    }
}

#[test]
fn a_file_swapped_for_a_fifo_holds_nothing_up() {
    let (source, _) = source();
    let site = Site::new();
    let taken = take_with(&site, source.path(), |read| {
        if read == 1 {
            let path = source.path().join("z/still");
            fs::remove_file(&path).expect("removed");
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
        }
    });
    assert_eq!(refusal(taken).0, "SOURCE_SPECIAL_FILE");
}

#[test]
fn what_was_not_read_is_not_looked_at_again() {
    let (source, moving) = source();
    let site = Site::new();
    let first = site.take(source.path(), None).expect("taken");
    first.commit().expect("committed");
    append(&moving);
    let options = SnapshotOptions { threads: 1, ..SnapshotOptions::default() };
    let touch = Meddler::new(|_| append(&source.path().join("a/still")));
    let second = site.take_with(source.path(), Some(&first.root), options, &touch).expect("taken");
    assert_eq!((second.report.entries_read, second.report.rounds), (1, 1));
    // The next one sees it.
    let third = site.take(source.path(), Some(&second.root)).expect("taken");
    site.assert_holds(&third.root, source.path());
}

/// Bytes of which every beginning tells whether it is whole.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32 / 4 + 1).flat_map(u32::to_le_bytes).take(length).collect()
}

#[test]
fn beside_a_mutator_every_file_is_of_one_moment() {
    let source = TempDir::new().expect("a folder");
    for number in 0..40 {
        fs::create_dir_all(source.path().join((number % 5).to_string())).expect("made");
        fs::write(file(source.path(), number), pattern(50_000)).expect("written");
    }
    let site = Site::new();
    let is_over = AtomicBool::new(false);
    let mut base = None;
    let (mut taken, mut refused, mut rounds) = (0, 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(99);
            while !is_over.load(Ordering::Relaxed) {
                mutate(source.path(), &mut random);
                // Rests now and then, so that some scans end well.
                for _ in 0..random.below(200_000) {
                    std::hint::spin_loop();
                }
            }
        });
        for _ in 0..40 {
            match site.take(source.path(), base.as_ref()) {
                Ok(snapshot) => {
                    assert_files_are_whole(&site, &snapshot);
                    taken += 1;
                    rounds += snapshot.report.rounds;
                    base = Some(snapshot.root);
                }
                Err(error) => {
                    assert_eq!(error.code(), "SOURCE_CHANGED", "{error}");
                    refused += 1;
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(
        rounds > taken || refused > 0,
        "{taken} taken in {rounds} rounds, {refused} refused: nothing moved"
    );
    // At rest again, all of it is seen.
    let last = site.take(source.path(), base.as_ref()).expect("taken");
    site.assert_holds(&last.root, source.path());
}

fn file(root: &Path, number: u64) -> PathBuf {
    root.join((number % 5).to_string()).join(number.to_string())
}

fn mutate(root: &Path, random: &mut Random) {
    let path = file(root, random.below(40));
    let length = random.below(120_000) as usize;
    match random.below(4) {
        0 => {
            let other = root.join("other");
            fs::write(&other, pattern(length)).expect("written");
            fs::rename(&other, &path).expect("renamed");
        }
        1 => match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        },
        2 => {
            if let Ok(mut file) = File::options().append(true).open(&path) {
                let have = file.metadata().expect("a stat").len() as usize;
                file.write_all(&pattern(have + 5_000)[have..]).expect("written");
            }
        }
        _ => {
            if let Ok(file) = File::options().write(true).open(&path) {
                let have = file.metadata().expect("a stat").len();
                file.set_len(have / 2).expect("cut");
            }
        }
    }
}

fn assert_files_are_whole(site: &Site, snapshot: &Snapshot) {
    for (path, seen) in version::read(&site.library, &snapshot.root).expect("every chunk is there") {
        if let SeenKind::File(bytes) = seen.kind {
            assert!(bytes == pattern(bytes.len()), "{} is torn", path.escape_ascii());
        }
    }
}
