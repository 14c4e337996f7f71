//! The scan cache: what the manifest does not say about the entries a scan read.
//!
//! One record for each entry of one manifest, in its order. With the manifest's own size and
//! times it says whether an entry can have changed since its bytes were read. The file is derived:
//! without it, or where it is damaged, entries are read again.
//!
//! Source: docs/formats/scan-cache.md.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use restock_names::Digest;

use super::source::Stat;
use crate::files::{Files, OutFile};
use crate::manifest::ManifestRoot;

const MAGIC: &[u8; 8] = b"RSscan\x01\0";
const HEADER_BYTES: usize = 96;
const RECORD_BYTES: usize = 40;
const BLOCK_RECORDS: usize = 1_024;
/// An entry is trusted if it had been left alone for this long when it was read.
const SETTLED_NS: i64 = 2_000_000_000;

/// What is remembered of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) ctime_ns: i64,
    pub(super) inode: u64,
    pub(super) device: u64,
    /// The source's clock when the scan began that read it; not used for folders.
    pub(super) scan_ns: i64,
    /// True when the scan that wrote this record read the entry.
    pub(super) is_read: bool,
}

impl Record {
    /// The record of an entry that a scan read.
    pub(super) fn read(stat: &Stat, scan_ns: i64) -> Self {
        Self { scan_ns, is_read: true, ..Self::of_folder(stat) }
    }

    /// The record of a folder; it never vouches for anything.
    pub(super) fn of_folder(stat: &Stat) -> Self {
        let Stat { ctime_ns, inode, device, .. } = *stat;
        Self { ctime_ns, inode, device, scan_ns: i64::MIN, is_read: false }
    }

    /// The record of an entry that a later scan found unchanged and did not read.
    pub(super) fn carried_over(self) -> Self {
        Self { is_read: false, ..self }
    }

    /// True when an entry with this record, whose size and modification time are unchanged, still
    /// has the bytes that were read.
    ///
    /// A change sets the change time to the source's clock. If that clock stood two seconds behind
    /// the remembered change time when the bytes were read, no later change can have the same time.
    pub(super) fn vouches_for(&self, stat: &Stat) -> bool {
        (self.ctime_ns, self.inode, self.device) == (stat.ctime_ns, stat.inode, stat.device)
            && self.ctime_ns.checked_add(SETTLED_NS).is_some_and(|settled| settled <= self.scan_ns)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.ctime_ns.to_le_bytes());
        out.extend(self.inode.to_le_bytes());
        out.extend(self.device.to_le_bytes());
        out.extend(self.scan_ns.to_le_bytes());
        out.extend(u64::from(self.is_read).to_le_bytes());
    }

    fn decode(bytes: &[u8; RECORD_BYTES]) -> Self {
        let word = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().expect("a record has five words") };
        Self {
            ctime_ns: i64::from_le_bytes(word(0)),
            inode: u64::from_le_bytes(word(8)),
            device: u64::from_le_bytes(word(16)),
            scan_ns: i64::from_le_bytes(word(24)),
            is_read: u64::from_le_bytes(word(32)) & 1 == 1,
        }
    }
}

/// What a whole cache file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    /// Tells the blocks of this file from those of a file that lay in the same place before.
    nonce: u64,
    root: Digest,
    entries: u64,
    /// The newest change time seen in the source.
    newest_ns: i64,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(self.nonce.to_le_bytes());
        bytes.extend(self.root.0);
        bytes.extend(self.entries.to_le_bytes());
        bytes.extend(self.newest_ns.to_le_bytes());
        bytes.resize(HEADER_BYTES - 4, 0);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes.try_into().expect("filled to its length")
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (checked, sum) = bytes.split_at(HEADER_BYTES - 4);
        let is_padded = checked[64..].iter().all(|byte| *byte == 0);
        if &bytes[..8] != MAGIC || !is_padded || sum != crc32fast::hash(checked).to_le_bytes() {
            return None;
        }
        let word = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().expect("within the header") };
        Some(Self {
            nonce: u64::from_le_bytes(word(8)),
            root: Digest(bytes[16..48].try_into().expect("within the header")),
            entries: u64::from_le_bytes(word(48)),
            newest_ns: i64::from_le_bytes(word(56)),
        })
    }
}

fn block_sum(nonce: u64, block: u64, records: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&nonce.to_le_bytes());
    hasher.update(&block.to_le_bytes());
    hasher.update(records);
    hasher.finalize().to_le_bytes()
}

/// Writes a cache file; without [`CacheWriter::finish`] it is not one.
#[derive(Debug)]
pub(super) struct CacheWriter {
    file: Box<dyn OutFile>,
    path: PathBuf,
    nonce: u64,
    block: Vec<u8>,
    blocks: u64,
    at: u64,
}

impl CacheWriter {
    /// Makes or empties the file at `path`. `nonce` must differ from file to file.
    pub(super) fn create(files: &dyn Files, path: PathBuf, nonce: u64) -> io::Result<Self> {
        let file = files.create(&path)?;
        Ok(Self { file, path, nonce, block: Vec::new(), blocks: 0, at: HEADER_BYTES as u64 })
    }

    /// Adds the record of the manifest's next entry.
    pub(super) fn push(&mut self, record: &Record) -> io::Result<()> {
        record.encode(&mut self.block);
        if self.block.len() == BLOCK_RECORDS * RECORD_BYTES { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> io::Result<()> {
        let sum = block_sum(self.nonce, self.blocks, &self.block);
        self.block.extend(sum);
        self.file.write_all_at(&self.block, self.at)?;
        self.at += self.block.len() as u64;
        self.blocks += 1;
        self.block.clear();
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file the cache of a manifest. Nothing is synced: a damaged cache is noticed.
    pub(super) fn finish(mut self, root: &ManifestRoot, newest_ns: i64) -> io::Result<PathBuf> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        let header = Header { nonce: self.nonce, root: root.digest, entries: root.entries, newest_ns };
        self.file.write_all_at(&header.encode(), 0)?;
        Ok(self.path)
    }
}

/// Reads a cache file from its first record to its last.
#[derive(Debug)]
pub(super) struct CacheReader<R = File> {
    file: R,
    header: Header,
    block: Vec<u8>,
    at: usize,
    blocks: u64,
    /// Records not yet read from the file.
    left: u64,
}

impl CacheReader {
    /// Opens the file at `path` if it is the cache of the manifest `root`.
    pub(super) fn open(path: &Path, root: &ManifestRoot) -> Option<Self> {
        let reader = Self::new(File::open(path).ok()?)?;
        let is_of_root = (reader.header.root, reader.header.entries) == (root.digest, root.entries);
        is_of_root.then_some(reader)
    }
}

impl<R: Read> CacheReader<R> {
    fn new(mut file: R) -> Option<Self> {
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact(&mut bytes).ok()?;
        let header = Header::decode(&bytes)?;
        Some(Self { file, header, block: Vec::new(), at: 0, blocks: 0, left: header.entries })
    }

    /// The newest change time that the scan saw in the source.
    pub(super) fn newest_ns(&self) -> i64 {
        self.header.newest_ns
    }

    /// The record of the manifest's next entry; `None` from a damaged place on.
    pub(super) fn next(&mut self) -> Option<Record> {
        if self.at == self.block.len() && !self.fill() {
            self.left = 0;
            self.block.clear();
            self.at = 0;
            return None;
        }
        let bytes = self.block[self.at..].first_chunk().expect("a block is whole records");
        self.at += RECORD_BYTES;
        Some(Record::decode(bytes))
    }

    fn fill(&mut self) -> bool {
        let records = self.left.min(BLOCK_RECORDS as u64);
        let mut sum = [0; 4];
        self.block.resize(records as usize * RECORD_BYTES, 0);
        self.at = 0;
        let is_read = records > 0
            && self.file.read_exact(&mut self.block).is_ok()
            && self.file.read_exact(&mut sum).is_ok()
            && sum == block_sum(self.header.nonce, self.blocks, &self.block);
        self.left -= records;
        self.blocks += 1;
        is_read
    }
}

/// Reads bytes as a scan cache and checks what must hold whatever they are.
pub fn fuzz_one(bytes: &[u8]) {
    let Some(mut reader) = CacheReader::new(bytes) else { return };
    let entries = reader.header.entries;
    assert!(bytes.starts_with(&reader.header.encode()), "a header that is accepted is the one way to say it");
    let records = std::iter::from_fn(|| reader.next()).count() as u64;
    assert!(records <= entries && records <= (bytes.len() / RECORD_BYTES) as u64, "{records} records");
}

#[cfg(test)]
mod tests {
    use super::{CacheReader, CacheWriter, Record, fuzz_one};
    use crate::files::DiskFiles;
    use crate::manifest::ManifestRoot;
    use crate::snapshot::source::{Kind, Stat};
    use proptest::prelude::{any, prop, proptest};
    use restock_names::Digest;
    use std::path::Path;

    fn root(entries: u64) -> ManifestRoot {
        ManifestRoot { digest: Digest([7; 32]), length: 1, pages: 1, entries, chunks: 0, bytes: 0 }
    }

    fn record(n: u64) -> Record {
        Record { ctime_ns: n as i64, inode: n * 3, device: 9, scan_ns: -5, is_read: n.is_multiple_of(2) }
    }

    fn write(path: &Path, entries: u64, nonce: u64) {
        let mut writer = CacheWriter::create(&DiskFiles, path.to_owned(), nonce).expect("created");
        (0..entries).for_each(|n| writer.push(&record(n)).expect("written"));
        writer.finish(&root(entries), 77).expect("finished");
    }

    #[test]
    fn records_come_back_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cache");
        for entries in [0, 1, 1_023, 1_024, 1_025, 5_000] {
            write(&path, entries, entries);
            let mut reader = CacheReader::open(&path, &root(entries)).expect("of this root");
            assert_eq!(reader.newest_ns(), 77);
            assert!((0..entries).all(|n| reader.next() == Some(record(n))));
            assert_eq!(reader.next(), None);
        }
    }

    #[test]
    fn a_cache_of_another_manifest_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cache");
        write(&path, 3, 1);
        let other = ManifestRoot { digest: Digest([8; 32]), ..root(3) };
        assert!(CacheReader::open(&path, &other).is_none());
        assert!(CacheReader::open(&folder.path().join("none"), &root(3)).is_none());
    }

    #[test]
    fn nothing_is_read_from_a_damaged_place_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cache");
        write(&path, 3_000, 1);
        let whole = std::fs::read(&path).expect("read");
        for at in (0..whole.len()).step_by(101).chain([whole.len() - 1]) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).expect("written");
            let Some(mut reader) = CacheReader::open(&path, &root(3_000)) else {
                assert!(at < 96, "only a damaged header hides all records");
                continue;
            };
            let good = (0..).take_while(|n| reader.next() == Some(record(*n))).count();
            assert!(good < 3_000 && (good + 1) * 40 <= at + 40, "{good} records before byte {at}");
            assert_eq!(reader.next(), None);
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
        let mut reader = CacheReader::open(&path, &root(3_000)).expect("the header is whole");
        assert_eq!(std::iter::from_fn(|| reader.next()).count(), 1_024);
    }

    proptest! {
        #[test]
        fn no_bytes_upset_the_reader(
            noise in prop::collection::vec(any::<u8>(), 0..400),
            entries in 0_u64..3_000,
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            fuzz_one(&noise);
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("cache");
            write(&path, entries, 5);
            let mut bytes = std::fs::read(&path).expect("read");
            fuzz_one(&bytes);
            fuzz_one(&bytes[..cut.index(bytes.len())]);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            // A header whose sum is right is believed in its number of entries.
            if at < 92 {
                let sum = crc32fast::hash(&bytes[..92]).to_le_bytes();
                bytes[92..96].copy_from_slice(&sum);
            }
            fuzz_one(&bytes);
        }
    }

    #[test]
    fn only_what_had_settled_when_it_was_read_is_trusted() {
        let second = 1_000_000_000;
        let stat = Stat {
            kind: Kind::File,
            mode: 0o644,
            size: 5,
            mtime_ns: 3,
            ctime_ns: 100 * second,
            inode: 4,
            device: 5,
        };
        assert!(Record::read(&stat, 102 * second).vouches_for(&stat));
        assert!(!Record::read(&stat, 102 * second - 1).vouches_for(&stat));
        assert!(!Record::of_folder(&stat).vouches_for(&stat));
        for other in [
            Stat { ctime_ns: stat.ctime_ns + 1, ..stat },
            Stat { inode: 6, ..stat },
            Stat { device: 6, ..stat },
        ] {
            assert!(!Record::read(&stat, 900 * second).vouches_for(&other));
        }
    }
}
