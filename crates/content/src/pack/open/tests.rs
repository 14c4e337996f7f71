use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::{OpenPack, open_data_path};
use crate::files::{DiskFiles, Files, OutFile};
use crate::hash::chunk_digest;
use crate::pack::{Encoding, FrameKind, OpenFiles, PACK_BYTES_MAX, Record, SealedPack};

/// Files on disk whose data cannot be written while `is_full`.
#[derive(Debug, Default, Clone)]
struct FullDisk {
    is_full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct FullFile(Box<dyn OutFile>, Arc<AtomicBool>);

impl Files for FullDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        DiskFiles.create_folder(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        Ok(Box::new(FullFile(DiskFiles.create(path)?, Arc::clone(&self.is_full))))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn OutFile>> {
        DiskFiles.open(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskFiles.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskFiles.remove(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        DiskFiles.sync_folder(path)
    }
    fn make_read_only(&self, path: &Path) -> io::Result<()> {
        DiskFiles.make_read_only(path)
    }
}

impl OutFile for FullFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.1.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn reserve(&self, length: u64) -> io::Result<()> {
        self.0.reserve(length)
    }
    fn start_writeback(&self, offset: u64, length: u64) {
        self.0.start_writeback(offset, length);
    }
}

/// Frame `number` of `length` bytes.
fn frame(number: u32, length: usize) -> (Vec<u8>, Record) {
    let bytes: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(length).collect();
    let record = Record {
        digest: chunk_digest(&bytes),
        offset: 0,
        stored_length: length as u32,
        raw_length: length as u32,
        encoding: Encoding::Raw,
        kind: FrameKind::Chunk,
    };
    (bytes, record)
}

fn append(pack: &OpenPack, (bytes, record): &(Vec<u8>, Record), at_once: bool) -> io::Result<Record> {
    let mut frames = [(bytes.as_slice(), *record)];
    assert_eq!(pack.append(&mut frames, at_once, PACK_BYTES_MAX)?, 1, "there is room");
    Ok(frames[0].1)
}

/// What is sealed has exactly these frames, each with its bytes.
fn check_sealed(folder: &Path, pack: &OpenPack, files: &dyn Files, frames: &[(Vec<u8>, Record)]) {
    let sealed =
        SealedPack::open(folder, &pack.seal(files).expect("sealed"), &OpenFiles::new(1)).expect("opened");
    assert_eq!(sealed.header.records, frames.len() as u64);
    for (bytes, record) in frames {
        let (_, found) = sealed.find(&record.digest).expect("searched").expect("found");
        assert_eq!(sealed.read(&found).expect("read"), *bytes);
    }
}

#[test]
fn small_frames_wait_in_memory_and_are_read_like_written_ones() {
    let folder = TempDir::new().expect("a folder");
    let pack = OpenPack::create(&DiskFiles, folder.path(), 1, [7; 16]).expect("created");
    let written = || std::fs::metadata(open_data_path(folder.path(), 1)).expect("there").len();
    let lengths = [100, 5_000, 1, 90_000, 17, 40_000, 31_000, 12].into_iter().cycle().take(60);
    let frames: Vec<_> = (0..).zip(lengths).map(|(number, length)| frame(number, length)).collect();
    let mut placed = Vec::new();
    let mut has_waited = false;
    for frame in &frames {
        placed.push(append(&pack, frame, false).expect("appended"));
        has_waited |= written() < pack.data_bytes();
        for (record, (bytes, _)) in placed.iter().zip(&frames) {
            assert_eq!(pack.read(record).expect("read"), *bytes);
        }
    }
    assert!(has_waited, "not every frame is a write of its own");
    assert!(placed.windows(2).all(|two| two[0].end() == Some(two[1].offset)), "no gaps");
    assert_eq!(pack.frames(), 60);
    check_sealed(folder.path(), &pack, &DiskFiles, &frames);
}

#[test]
fn what_is_appended_at_once_is_in_both_files_when_that_returns() {
    let folder = TempDir::new().expect("a folder");
    let pack = OpenPack::create(&DiskFiles, folder.path(), 1, [7; 16]).expect("created");
    let frames = [frame(1, 300), frame(2, 50)];
    let written = || std::fs::metadata(open_data_path(folder.path(), 1)).expect("there").len();
    append(&pack, &frames[0], false).expect("appended");
    assert_eq!(written(), 0);
    append(&pack, &frames[1], true).expect("appended");
    assert_eq!((written(), pack.records().expect("read").len()), (350, 2));
    check_sealed(folder.path(), &pack, &DiskFiles, &frames);
}

#[test]
fn frames_behind_room_that_others_took_lie_behind_it() {
    let folder = TempDir::new().expect("a folder");
    let pack = OpenPack::create(&DiskFiles, folder.path(), 1, [7; 16]).expect("created");
    let frames = [frame(1, 300), frame(2, 64), frame(3, 50)];
    append(&pack, &frames[0], false).expect("appended");
    let offset = pack.allot(64, 4_096, PACK_BYTES_MAX).expect("room");
    assert_eq!(offset, 4_096);
    let behind = append(&pack, &frames[2], false).expect("appended");
    assert_eq!(behind.offset, 4_096 + 64);
    let placed = Record { offset, ..frames[1].1 };
    pack.write(&frames[1].0, offset).expect("written");
    pack.record(&[placed], false).expect("recorded");
    assert_eq!(pack.read(&placed).expect("read"), frames[1].0);
    assert_eq!(pack.read(&behind).expect("read"), frames[2].0);
    check_sealed(folder.path(), &pack, &DiskFiles, &frames);
}

#[test]
fn a_frame_that_cannot_be_written_is_refused_and_those_that_wait_are_not_lost() {
    let (folder, files) = (TempDir::new().expect("a folder"), FullDisk::default());
    let pack = OpenPack::create(&files, folder.path(), 1, [7; 16]).expect("created");
    let (small, large, behind) = (frame(1, 300), frame(2, 70_000), frame(3, 40));
    let waiting = append(&pack, &small, false).expect("appended");
    files.is_full.store(true, Ordering::Relaxed);
    append(&pack, &large, false).expect_err("no room on the disk");
    assert_eq!(pack.read(&waiting).expect("read"), small.0);
    append(&pack, &behind, false).expect_err("what waits cannot be written either");
    assert!(pack.seal(&files).is_err(), "what was accepted must not be left out");
    files.is_full.store(false, Ordering::Relaxed);
    append(&pack, &behind, false).expect("there is room again");
    check_sealed(folder.path(), &pack, &files, &[small, behind]);
}

#[test]
fn of_frames_appended_together_a_pack_takes_as_many_as_it_has_room_for() {
    let folder = TempDir::new().expect("a folder");
    let pack = OpenPack::create(&DiskFiles, folder.path(), 1, [7; 16]).expect("created");
    let frames: Vec<_> = (0..5).map(|number| frame(number, 40_000)).collect();
    append(&pack, &frames[0], false).expect("appended");
    let mut together: Vec<(&[u8], Record)> =
        frames[1..].iter().map(|(bytes, record)| (bytes.as_slice(), *record)).collect();
    assert_eq!(pack.append(&mut together, false, 130_000).expect("appended"), 2);
    assert_eq!(pack.append(&mut together[2..], false, 130_000).expect("appended"), 0);
    for ((_, record), (bytes, _)) in together[..2].iter().zip(&frames[1..]) {
        assert_eq!(pack.read(record).expect("read"), *bytes);
    }
    check_sealed(folder.path(), &pack, &DiskFiles, &frames[..3]);
}
