use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::{any, prop, proptest};
use restock_names::Digest;
use tempfile::TempDir;

use super::super::tests::{create, flip_first_byte, put, reopen, sealed_files, text};
use super::super::{Library, LibraryError, Recovered, Role};
use super::file::{BLOCK_BYTES, Entry, Head, IndexFile, fuzz_one};
use crate::files::{DiskFiles, Files, OutFile};
use crate::hash::chunk_digest;
use crate::pack::{Encoding, FrameKind};

fn chunk(n: u32) -> Digest {
    chunk_digest(&text(n))
}

/// Seals one pack of these chunks.
fn pack(library: &Library, chunks: std::ops::Range<u32>) {
    let writer = library.begin();
    chunks.for_each(|n| {
        put(&writer, n);
    });
    writer.seal().expect("sealed");
}

fn merge(library: &Library) -> super::Merged {
    let merged = library.merge_index(|| ControlFlow::Continue(())).expect("written");
    merged.expect("nobody stopped it")
}

/// Every chunk can be read and nothing else is held.
fn assert_holds(library: &Library, chunks: std::ops::Range<u32>) {
    for n in chunks.clone() {
        assert_eq!(library.read(&chunk(n)).expect("held"), text(n), "chunk {n}");
    }
    assert!(!library.holds(&chunk(chunks.end)).expect("readable"));
    assert!(matches!(library.read(&chunk(chunks.end)), Err(LibraryError::Missing(_))));
}

/// The machine's files without syncs: making a thousand packs is not what is tested.
#[derive(Debug)]
struct Hasty;

#[derive(Debug)]
struct HastyFile(Box<dyn OutFile>);

impl Files for Hasty {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        DiskFiles.create_folder(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(HastyFile(DiskFiles.create(path)?)))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(HastyFile(DiskFiles.open(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskFiles.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskFiles.remove(path)
    }
    fn sync_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn make_read_only(&self, path: &Path) -> io::Result<()> {
        DiskFiles.make_read_only(path)
    }
}

impl OutFile for HastyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn reserve(&self, length: u64) -> io::Result<()> {
        self.0.reserve(length)
    }
    fn start_writeback(&self, _offset: u64, _length: u64) {}
}

#[test]
fn a_lookup_costs_one_read_however_many_packs_there_are() {
    const PACKS: u32 = 1_000;
    let folder = TempDir::new().expect("a temporary folder");
    let library = Library::create(Arc::new(Hasty), folder.path(), Role::Site).expect("an empty folder");
    (0..PACKS).for_each(|n| pack(&library, n * 5..n * 5 + 5));
    assert!(library.is_index_due());
    let merged = merge(&library);
    assert_eq!((merged.packs, merged.frames), (u64::from(PACKS), u64::from(PACKS) * 5));
    assert!(!library.is_index_due());
    drop(library);
    let (library, recovered) = Library::open(Arc::new(Hasty), folder.path()).expect("it opens");
    assert_eq!(recovered, Recovered::default());
    let state = library.index_state();
    assert_eq!((state.frames_in_file, state.frames_in_memory), (u64::from(PACKS) * 5, 0));
    assert_eq!((state.packs_searched, state.reads), (0, 0));
    // What is there, and what is not; far apart, so that memory does not help.
    for n in (0..PACKS * 5).step_by(7).chain(PACKS * 5..PACKS * 5 + 100) {
        let before = library.index_state().reads;
        assert_eq!(library.holds(&chunk(n)).expect("readable"), n < PACKS * 5);
        assert!(library.index_state().reads <= before + 1, "chunk {n}");
    }
    // What came since the file was written costs one read too, and none where it is not.
    pack(&library, 9_000..9_010);
    let before = library.index_state().reads;
    assert!(library.holds(&chunk(9_003)).expect("readable"));
    assert_eq!(library.index_state().reads, before + 1);
}

#[test]
fn what_is_merged_again_and_again_stays_what_it_was() {
    let (folder, library) = create(Role::Site);
    for round in 0..6 {
        pack(&library, round * 40..round * 40 + 40);
        assert_eq!(merge(&library).frames, u64::from(round) * 40 + 40);
        assert_holds(&library, 0..round * 40 + 40);
    }
    pack(&library, 240..250);
    assert_holds(&library, 0..250);
    drop(library);
    let (library, recovered) = reopen(folder.path());
    assert_eq!(recovered, Recovered::default());
    assert_eq!(library.index_state().frames_in_memory, 10);
    assert_holds(&library, 0..250);
}

#[test]
fn of_copies_the_newest_is_read_wherever_it_is_found() {
    let (folder, library) = create(Role::Site);
    pack(&library, 0..20);
    merge(&library);
    for _ in 0..20 {
        let repair = library.begin_repair();
        repair.put_chunk(chunk(3), &text(3)).expect("stored");
        repair.seal().expect("sealed");
    }
    let newest = |library: &Library| {
        let found = library.inner.locate_sealed(&chunk(3)).expect("readable").expect("held");
        (found.0.header.sequence, library.inner.sealed()[0].header.sequence)
    };
    let (found, highest) = newest(&library);
    assert_eq!(found, highest, "in memory");
    merge(&library);
    let (found, highest) = newest(&library);
    assert_eq!(found, highest, "in the file, which keeps a part of so many copies");
    // The newest turn out to be wrong, one by one: the next is read.
    for data in sealed_files(folder.path(), "data").iter().rev().take(3) {
        flip_first_byte(data);
        assert_eq!(library.read(&chunk(3)).expect("an older copy"), text(3));
    }
    assert_eq!(library.inner.damaged.lock().expect("no panics").len(), 3);
}

#[test]
fn a_lost_index_is_made_anew_and_nothing_is_missed_meanwhile() {
    let (folder, library) = create(Role::Site);
    (0..5).for_each(|n| pack(&library, n * 10..n * 10 + 10));
    merge(&library);
    drop(library);
    std::fs::remove_file(folder.path().join("index")).expect("owner");
    let (library, recovered) = reopen(folder.path());
    assert!(!recovered.is_index_damaged);
    assert_holds(&library, 0..50);
    assert_eq!(merge(&library).packs, 5);
    assert_holds(&library, 0..50);
}

#[test]
fn an_index_of_other_packs_or_of_another_library_says_nothing() {
    let (folder, library) = create(Role::Site);
    (0..5).for_each(|n| pack(&library, n * 10..n * 10 + 10));
    merge(&library);
    let stale = std::fs::read(folder.path().join("index")).expect("readable");
    pack(&library, 50..60);
    merge(&library);
    drop(library);
    // Stale: one pack is not in it, and one that is in it is gone.
    std::fs::write(folder.path().join("index"), &stale).expect("owner");
    for end in ["data", "table"] {
        std::fs::remove_file(&sealed_files(folder.path(), end)[1]).expect("owner");
    }
    let (library, recovered) = reopen(folder.path());
    assert_eq!(recovered, Recovered::default());
    for n in 0..60 {
        assert_eq!(library.holds(&chunk(n)).expect("readable"), !(10..20).contains(&n), "chunk {n}");
    }
    assert_eq!(library.index_state().frames_in_memory, 10);
    drop(library);
    // Of another library, whose packs have the same numbers.
    let (other_folder, other) = create(Role::Site);
    (0..5).for_each(|n| pack(&other, n * 10 + 500..n * 10 + 510));
    merge(&other);
    drop(other);
    std::fs::copy(other_folder.path().join("index"), folder.path().join("index")).expect("owner");
    let (library, recovered) = reopen(folder.path());
    assert!(recovered.is_index_damaged);
    for n in 0..60 {
        assert_eq!(library.holds(&chunk(n)).expect("readable"), !(10..20).contains(&n), "chunk {n}");
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_index_is_noticed_and_costs_no_frame() {
    let (folder, library) = create(Role::Site);
    (0..3).for_each(|n| pack(&library, n * 100..n * 100 + 100));
    let merged = merge(&library);
    drop(library);
    let path = folder.path().join("index");
    let right = std::fs::read(&path).expect("readable");
    assert_eq!(right.len() as u64, merged.bytes);
    // A part of each kind of bytes: header, list, blocks, samples.
    let step = right.len() / 61;
    for byte in (0..80).step_by(9).chain((80..right.len()).step_by(step)).chain(right.len() - 8..right.len())
    {
        let mut flipped = right.clone();
        flipped[byte] ^= 1 << (byte % 8);
        std::fs::write(&path, &flipped).expect("owner");
        let (library, recovered) = reopen(folder.path());
        assert_holds(&library, 0..300);
        // Noticed at once, or at the first lookup that needs the block, or it was padding before a block.
        let is_given_up = library.index_state().frames_in_file == 0;
        let list = 64 + 3 * 48 + 4;
        assert!(is_given_up || (list..BLOCK_BYTES).contains(&byte), "byte {byte}: {recovered:?}");
    }
    for cut in [0, 63, 64, 4_096, right.len() - 1] {
        std::fs::write(&path, &right[..cut]).expect("owner");
        let (library, recovered) = reopen(folder.path());
        assert!(recovered.is_index_damaged, "cut at {cut}");
        assert_holds(&library, 0..300);
        drop(library);
    }
    std::fs::write(&path, vec![0; right.len()]).expect("owner");
    let (library, recovered) = reopen(folder.path());
    assert!(recovered.is_index_damaged, "zeroes");
    assert_holds(&library, 0..300);
    merge(&library);
    drop(library);
    assert_eq!(std::fs::read(&path).expect("readable"), right, "the same packs give the same bytes");
}

#[test]
fn a_check_finds_an_index_that_says_something_else_than_the_tables() {
    let (folder, library) = create(Role::Site);
    (0..3).for_each(|n| pack(&library, n * 100..n * 100 + 100));
    merge(&library);
    let check = |library: &Library| library.check(|_| ControlFlow::Continue(())).expect("checked");
    assert_eq!(check(&library).index_wrong, 0);
    drop(library);
    // A block that is right in itself and has other entries than it should.
    let path = folder.path().join("index");
    let mut bytes = std::fs::read(&path).expect("readable");
    let file = IndexFile::open(&path, bytes[8..24].try_into().expect("an id")).expect("readable");
    let file = file.expect("there");
    let entries: Vec<Entry> = file.entries_of(0).expect("readable");
    let block = super::file::encode_block(&entries[..entries.len() - 5]);
    bytes[BLOCK_BYTES..BLOCK_BYTES * 2].copy_from_slice(&block);
    std::fs::write(&path, bytes).expect("owner");
    let (library, recovered) = reopen(folder.path());
    assert!(!recovered.is_index_damaged);
    assert_eq!(check(&library).index_wrong, 5);
    assert_holds(&library, 0..300);
}

#[test]
fn a_merge_that_is_stopped_or_has_no_room_changes_nothing() {
    let (folder, library) = create(Role::Site);
    pack(&library, 0..10);
    assert!(library.merge_index(|| ControlFlow::Break(())).expect("stopped").is_none());
    assert!(!folder.path().join("index").exists() && !folder.path().join("index.tmp").exists());
    assert_holds(&library, 0..10);
    merge(&library);
    assert_eq!(library.index_state().frames_in_memory, 0);
}

#[test]
fn packs_that_come_and_go_while_the_file_is_written_are_found_or_not_as_they_should() {
    let (_folder, library) = create(Role::Site);
    (0..4).for_each(|n| pack(&library, n * 10..n * 10 + 10));
    let mut is_first = true;
    let merged = library.merge_index(|| {
        if std::mem::take(&mut is_first) {
            pack(&library, 40..50);
            let gone = Arc::clone(library.inner.sealed().last().expect("the oldest"));
            assert!(library.inner.drop_pack(&gone));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(merged.expect("written").expect("not stopped").packs, 4);
    for n in 0..50 {
        assert_eq!(library.holds(&chunk(n)).expect("readable"), n >= 10, "chunk {n}");
    }
}

#[test]
fn an_old_sample_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/samples/library-index");
    let file = IndexFile::open(&path, [7; 16]).expect("it is read").expect("it is there");
    assert_eq!(file.head, Head { library: [7; 16], packs: 2, entries: 3, blocks: 1 });
    assert_eq!(super::packs::stem(&file.packs[1]), "0000000000000009-1122334455667788");
    let copies = file.find(&Digest([5; 32])).expect("readable");
    assert_eq!(copies.iter().map(|copy| (copy.pack, copy.number)).collect::<Vec<_>>(), [(1, 0), (0, 1)]);
    let record = copies[0].record;
    assert_eq!((record.offset, record.stored_length, record.raw_length), (4_096, 100, 300));
    assert_eq!((record.encoding, record.kind), (Encoding::Zstd, FrameKind::Page));
    assert_eq!(file.find(&Digest([6; 32])).expect("readable"), []);
}

proptest! {
    #[test]
    fn damaged_parts_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_one(&bytes);
        fuzz_one(&[&b"RSix\x01\0"[..], &bytes].concat());
    }
}
