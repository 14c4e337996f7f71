mod sealing;
mod statements;

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use restock_names::{ContentVersion, Digest, EntryPath, Epoch, SourceVersion, Timestamp};
use tempfile::TempDir;

use super::{Library, LibraryError, PlacedWriter, Recovered, Role, Writer};
use crate::files::DiskFiles;
use crate::hash::chunk_digest;
use crate::manifest::{
    Builder, ChunkRun, Entry, EntryKind, FileChunks, ManifestRoot, PageError, PageSink, PageSource,
};
use crate::plan::Missing;
use crate::statement::{SigningKey, Statement};

pub(super) fn create(role: Role) -> (TempDir, Library) {
    let folder = TempDir::new().expect("a temporary folder");
    let library = Library::create(Arc::new(DiskFiles), folder.path(), role).expect("an empty folder");
    (folder, library)
}

pub(super) fn reopen(folder: &Path) -> (Library, Recovered) {
    Library::open(Arc::new(DiskFiles), folder).expect("the library opens")
}

/// Text that compresses, different for each `n`.
pub(super) fn text(n: u32) -> Vec<u8> {
    format!("line {n} of some text that repeats itself; ").repeat(50).into_bytes()
}

pub(super) fn put(writer: &Writer, n: u32) -> Digest {
    let digest = chunk_digest(&text(n));
    writer.put_chunk(digest, &text(n)).expect("stored");
    digest
}

pub(super) fn version(n: u32) -> ContentVersion {
    ContentVersion {
        package: "XYZ00001".parse().expect("valid"),
        epoch: Epoch::FIRST,
        version: SourceVersion(n),
    }
}

pub(super) fn statement(n: u32, root: ManifestRoot) -> Statement {
    let key = SigningKey::from_bytes(&[1; 32]);
    Statement::sign("XYZ".parse().expect("valid"), version(n), root, Timestamp(0), &key)
}

struct Pages<'a>(&'a Writer);

impl PageSink for Pages<'_> {
    fn page(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), PageError> {
        self.0.put_page(digest, bytes).expect("stored");
        Ok(())
    }
}

/// A manifest of one file for each number.
pub(super) fn manifest(writer: &Writer, files: std::ops::Range<u32>) -> ManifestRoot {
    let mut sink = Pages(writer);
    let mut builder = Builder::new(&mut sink);
    for n in files {
        let digest = put(writer, n);
        let length = text(n).len() as u32;
        let chunks = FileChunks::Inline(vec![ChunkRun { digest, length, repeat: 1 }]);
        let kind = EntryKind::File { size: length.into(), chunks };
        let path = EntryPath::new(format!("f{n:06}")).expect("valid");
        builder.push(Entry { path, mode: 0o644, mtime_ns: 0, kind }).expect("ascending");
    }
    builder.finish().expect("stored")
}

pub(super) fn sealed_files(folder: &Path, end: &str) -> Vec<std::path::PathBuf> {
    let packs = std::fs::read_dir(folder.join("packs")).expect("readable");
    let mut paths: Vec<_> = packs.map(|e| e.expect("readable").path()).collect();
    paths.retain(|path| {
        path.extension().is_some_and(|e| e == end) && !path.to_string_lossy().contains(".open.")
    });
    paths.sort();
    paths
}

pub(super) fn flip_first_byte(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("owner");
    let mut bytes = std::fs::read(path).expect("readable");
    bytes[0] ^= 1;
    std::fs::write(path, bytes).expect("writable");
}

#[test]
fn frames_are_found_before_and_after_sealing_and_after_reopening() {
    let (folder, library) = create(Role::Site);
    let writer = library.begin();
    let digests: Vec<Digest> = (0..500).map(|n| put(&writer, n)).collect();
    assert!(!writer.put_chunk(digests[3], &text(3)).expect("known").is_new);
    assert_eq!(library.read(&digests[7]).expect("live"), text(7));
    let report = writer.seal().expect("sealed");
    assert_eq!((report.packs, report.frames), (1, 500));
    assert!(!library.begin().put_chunk(digests[3], &text(3)).expect("known").is_new);
    drop(library);
    let (library, recovered) = reopen(folder.path());
    assert_eq!(recovered, Recovered::default());
    for (n, digest) in digests.iter().enumerate() {
        assert_eq!(library.read(digest).expect("sealed"), text(n as u32));
        assert!(library.holds(digest).expect("readable"));
    }
    assert!(!library.holds(&chunk_digest(b"other")).expect("readable"));
    assert!(matches!(library.read(&chunk_digest(b"other")), Err(LibraryError::Missing(_))));
    let mode =
        std::fs::metadata(&sealed_files(folder.path(), "data")[0]).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let (folder, library) = create(Role::Site);
    let writer = library.begin();
    let digest = put(&writer, 1);
    drop(writer);
    assert!(!library.holds(&digest).expect("readable"));
    assert_eq!(std::fs::read_dir(folder.path().join("packs")).expect("readable").count(), 0);
}

#[test]
fn frames_of_a_process_that_died_are_kept_if_they_are_right() {
    let (folder, library) = create(Role::Site);
    let writer = library.begin();
    // Long enough that not all of them wait in memory.
    let noise = |n: u32| -> Vec<u8> {
        (0..128).flat_map(|i: u32| chunk_digest(&[n.to_le_bytes(), i.to_le_bytes()].concat()).0).collect()
    };
    let put = |n| {
        let digest = chunk_digest(&noise(n));
        writer.put_chunk(digest, &noise(n)).expect("stored");
        digest
    };
    let digests: Vec<Digest> = (0..200).map(put).collect();
    // A process that dies runs no destructors; the kernel releases its lock.
    std::mem::forget(writer);
    let first = std::fs::read_dir(folder.path().join("packs")).expect("readable").flatten();
    let data =
        first.map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "data")).expect("open pack");
    flip_first_byte(&data);
    library.inner._lock.unlock().expect("held");
    let (library, recovered) = reopen(folder.path());
    assert_eq!((recovered.packs_recovered, recovered.frames_dropped), (1, 1));
    assert!(recovered.frames_kept >= 128, "frames are written in batches: {recovered:?}");
    assert!(!library.holds(&digests[0]).expect("readable"), "its bytes were damaged");
    assert_eq!(library.read(&digests[1]).expect("kept"), noise(1));
    drop(library);
    assert_eq!(reopen(folder.path()).1, Recovered::default());
}

#[test]
fn one_owner_at_a_time() {
    let (folder, library) = create(Role::Site);
    let refused = Library::open(Arc::new(DiskFiles), folder.path()).expect_err("held");
    assert!(refused.to_string().starts_with("LIBRARY_LOCKED"), "{refused}");
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    drop(library);
    reopen(folder.path());
    assert!(matches!(
        Library::open(Arc::new(DiskFiles), &folder.path().join("none")),
        Err(LibraryError::NotFound(_))
    ));
}

pub(super) fn missing(files: std::ops::Range<u32>) -> Vec<Missing> {
    files
        .map(|n| Missing {
            ordinal: n.into(),
            digest: chunk_digest(&text(n)),
            length: text(n).len() as u32,
            is_aligned: n % 3 == 0,
        })
        .collect()
}

#[test]
fn receiving_goes_on_where_a_dead_process_ended() {
    let (folder, library) = create(Role::DistributionPoint);
    let missing = missing(0..100);
    let writer = library.begin_receive(&version(1), &missing).expect("planned");
    for n in (0..100).rev().step_by(2) {
        writer.put(&[(missing[n as usize].digest, &text(n))]).expect("recorded");
    }
    std::mem::forget(writer);
    library.inner._lock.unlock().expect("held");
    let (library, recovered) = reopen(folder.path());
    assert_eq!((recovered.frames_kept, recovered.frames_dropped), (50, 0));
    assert_eq!(library.drafts(), [version(1)]);
    let writer = library.begin_receive(&version(1), &missing).expect("the same plan");
    let recorded = missing.iter().filter(|chunk| writer.is_recorded(&chunk.digest)).count();
    assert_eq!(recorded, 50);
    for n in (0..100).step_by(2) {
        let chunk = &missing[n as usize];
        assert!(!writer.is_recorded(&chunk.digest));
        writer.put(&[(chunk.digest, &text(n))]).expect("recorded");
    }
    assert_eq!(writer.seal().expect("sealed").packs, 1);
    for (n, chunk) in missing.iter().enumerate() {
        assert_eq!(library.read(&chunk.digest).expect("held"), text(n as u32));
    }
    assert!(library.drafts().is_empty());
}

#[test]
fn a_plan_that_grows_keeps_what_was_recorded() {
    let (_folder, library) = create(Role::DistributionPoint);
    let missing = missing(0..300);
    let put = |writer: &PlacedWriter, numbers: std::ops::Range<u32>| {
        let all: Vec<Vec<u8>> = numbers.clone().map(text).collect();
        let chunks: Vec<_> =
            numbers.zip(&all).map(|(n, text)| (missing[n as usize].digest, text.as_slice())).rev().collect();
        writer.put(&chunks).expect("recorded");
    };
    let writer = library.begin_receive(&version(1), &missing[..100]).expect("planned");
    put(&writer, 20..70);
    drop(writer);
    let writer =
        library.begin_receive(&version(1), &missing).expect("planned, the rest in a pack of its own");
    let is_recorded = |n: usize| writer.is_recorded(&missing[n].digest);
    assert_eq!((0..300).filter(|n| is_recorded(*n)).collect::<Vec<_>>(), (20..70).collect::<Vec<_>>());
    put(&writer, 60..300);
    put(&writer, 0..20);
    assert_eq!(writer.seal().expect("sealed").packs, 2);
    for (n, chunk) in missing.iter().enumerate() {
        assert_eq!(library.read(&chunk.digest).expect("held"), text(n as u32));
    }
}

#[test]
fn bytes_without_their_digest_are_not_stored() {
    let (_folder, library) = create(Role::DistributionPoint);
    let missing = missing(0..2);
    let writer = library.begin_receive(&version(1), &missing).expect("planned");
    let refused = writer.put(&[(missing[0].digest, &text(0)), (missing[1].digest, b"other")]);
    assert!(refused.expect_err("refused").to_string().starts_with("CONTENT_HASH_MISMATCH"));
    assert!(!writer.is_recorded(&missing[0].digest));
}

#[test]
fn a_draft_that_is_abandoned_leaves_nothing() {
    let (folder, library) = create(Role::DistributionPoint);
    let missing = missing(0..2);
    let writer = library.begin_receive(&version(1), &missing).expect("planned");
    writer.put(&[(missing[0].digest, &text(0))]).expect("recorded");
    drop(writer);
    assert_eq!(library.read(&missing[0].digest).expect("kept"), text(0), "an attempt that ended is not lost");
    assert!(!library.holds(&missing[0].digest).expect("readable"), "another draft must not build on it");
    library.abandon(&version(1));
    assert!(!library.holds(&missing[0].digest).expect("readable"));
    assert_eq!(std::fs::read_dir(folder.path().join("packs")).expect("readable").count(), 0);
}

#[test]
fn what_was_received_for_an_overtaken_version_is_held() {
    let (folder, library) = create(Role::DistributionPoint);
    let missing = missing(0..10);
    let writer = library.begin_receive(&version(1), &missing).expect("planned");
    writer.put(&[(missing[4].digest, &text(4))]).expect("recorded");
    drop(writer);
    assert_eq!(library.settle(&version(1)).expect("sealed").frames, 1);
    assert!(library.holds(&missing[4].digest).expect("readable"));
    drop(library);
    let (library, recovered) = reopen(folder.path());
    assert_eq!(recovered, Recovered::default());
    assert_eq!(library.read(&missing[4].digest).expect("sealed"), text(4));
}

#[test]
fn a_writer_does_not_build_on_what_another_may_give_up() {
    let (_folder, library) = create(Role::Site);
    let (first, second) = (library.begin(), library.begin());
    let digest = put(&first, 1);
    assert!(second.put_chunk(digest, &text(1)).expect("stored").is_new, "its own copy");
    drop(first);
    second.seal().expect("sealed");
    assert_eq!(library.read(&digest).expect("sealed"), text(1));
}

#[test]
fn a_damaged_frame_is_never_returned_and_a_newer_pack_heals_it() {
    let (folder, library) = create(Role::DistributionPoint);
    let writer = library.begin();
    let root = manifest(&writer, 0..10);
    writer.seal().expect("sealed");
    library.store_statement(&statement(1, root)).expect("stored");
    library.activate(&version(1)).expect("activated");
    let first = chunk_digest(&text(0));
    flip_first_byte(&sealed_files(folder.path(), "data")[0]);
    let report = library.check(|_| ControlFlow::Continue(())).expect("checked");
    assert_eq!(report.damaged.iter().map(|d| d.digest).collect::<Vec<_>>(), [Some(first)]);
    assert_eq!(report.incomplete, [version(1)]);
    assert!(!report.damaged[0].is_replaced);
    assert!(matches!(library.read(&first), Err(LibraryError::Damaged { .. })));
    assert!(!library.holds(&first).expect("readable"), "a damaged frame counts as missing");
    let audit = library.audit(&root, |_| ControlFlow::Continue(())).expect("audited");
    assert_eq!((audit.pages.as_slice(), audit.chunks.as_slice()), (&[][..], &[0][..]));
    let repair = library.begin_repair();
    repair.put_chunk(first, &text(0)).expect("stored");
    repair.seal().expect("sealed");
    assert_eq!(library.read(&first).expect("healed"), text(0));
    assert!(library.audit(&root, |_| ControlFlow::Continue(())).expect("audited").is_clean());
    drop(library);
    let (library, _) = reopen(folder.path());
    assert_eq!(library.read(&first).expect("the newer pack wins"), text(0));
    let report = library.check(|_| ControlFlow::Continue(())).expect("checked");
    assert!(report.incomplete.is_empty());
    assert!(report.damaged[0].is_replaced, "the damaged pack stays as evidence");
}

#[test]
fn a_pack_that_cannot_be_used_is_set_aside() {
    let (folder, library) = create(Role::Site);
    for range in [0..5, 5..10] {
        let writer = library.begin();
        for n in range {
            put(&writer, n);
        }
        writer.seal().expect("sealed");
    }
    drop(library);
    flip_first_byte(&sealed_files(folder.path(), "table")[0]);
    let (library, recovered) = reopen(folder.path());
    assert_eq!(recovered.packs_damaged.len(), 1);
    assert!(!library.holds(&chunk_digest(&text(1))).expect("readable"));
    assert!(library.holds(&chunk_digest(&text(6))).expect("readable"));
    assert_eq!(sealed_files(folder.path(), "table").len(), 2, "the damaged pack stays as evidence");
}

#[test]
fn versions_only_rise_and_survive_reopening() {
    let (folder, library) = create(Role::DistributionPoint);
    let writer = library.begin();
    let root = manifest(&writer, 0..3);
    writer.seal().expect("sealed");
    assert!(matches!(library.activate(&version(1)), Err(LibraryError::NoStatement(_))));
    for n in [1, 2] {
        library.store_statement(&statement(n, root)).expect("stored");
        library.activate(&version(n)).expect("activated");
    }
    let refused = library.activate(&version(1)).expect_err("lower");
    assert!(refused.to_string().starts_with("VERSION_DOWNGRADE"), "{refused}");
    drop(library);
    let (library, _) = reopen(folder.path());
    let package = version(1).package;
    assert_eq!(library.active(&package).expect("active").version, version(2));
    assert_eq!(library.statements(&package).expect("readable").len(), 2);
    assert_eq!(library.packages(), [package]);
    library.forget(&package).expect("removed");
    drop(library);
    let (library, _) = reopen(folder.path());
    assert!(library.active(&package).is_none() && library.statements(&package).expect("readable").is_empty());
}

#[test]
fn a_damaged_pointer_is_reported_and_not_followed() {
    let (folder, library) = create(Role::DistributionPoint);
    let writer = library.begin();
    let root = manifest(&writer, 0..3);
    writer.seal().expect("sealed");
    library.store_statement(&statement(1, root)).expect("stored");
    library.activate(&version(1)).expect("activated");
    drop(library);
    flip_first_byte(&folder.path().join("packages/XYZ00001"));
    let (library, recovered) = reopen(folder.path());
    assert_eq!(recovered.pointers_damaged.len(), 1);
    assert!(library.active(&version(1).package).is_none());
}

#[test]
fn pages_are_served_from_the_library() {
    let (_folder, library) = create(Role::Site);
    let writer = library.begin();
    let root = manifest(&writer, 0..1_000);
    assert!(library.page(&root.digest).is_ok(), "before sealing");
    writer.seal().expect("sealed");
    let paths =
        crate::manifest::Manifest::new(&library, root).entries().inspect(|e| assert!(e.is_ok())).count();
    assert_eq!(paths, 1_000);
    let chunk = chunk_digest(&text(1));
    assert!(library.page(&chunk).is_err(), "a chunk does not pass as a page");
}
