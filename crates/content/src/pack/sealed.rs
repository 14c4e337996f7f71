//! A sealed pack: read only. Its frames are found through the library's index; by itself a pack is
//! searched through a sparse index of its table.
//!
//! Files are opened when they are first read: the data file then stays open until too many are
//! ([`OpenFiles`]), the table only while the pack is searched by itself.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use restock_names::{Digest, Timestamp};

use super::checked::Checked;
use super::marks::Marks;
use super::open_files::{DataFile, OpenFiles};
use super::{Encoding, FrameKind, HEADER_BYTES, Header, PackState, RECORD_BYTES, Record, TableError};

/// Every this many records one digest prefix is kept in memory while a pack is searched by itself.
const SAMPLE: u64 = 64;
/// Records read at once by whoever reads a whole table.
const BLOCK: u64 = 256 * SAMPLE;

/// The two files of a sealed pack. Memory: a bit for each frame.
#[derive(Debug)]
pub(crate) struct SealedPack {
    pub(crate) header: Header,
    pub(crate) stem: String,
    /// The folder and the stem.
    base: PathBuf,
    data: DataFile,
    search: RwLock<Option<Arc<Search>>>,
    tally: OnceLock<PackTally>,
    /// Which frames were found right.
    pub(crate) checked: Checked,
    /// While cleaning waits: the frames that are referred to; nothing new may refer to the others.
    kept: RwLock<Option<Arc<Marks>>>,
    sealed_at: Timestamp,
    /// Reads of the table by whoever searched it.
    reads: AtomicU64,
}

/// What it takes to search a pack by itself.
#[derive(Debug)]
struct Search {
    table: File,
    /// Prefix of the digest of every 64th record, in order.
    samples: OnceLock<Vec<u64>>,
}

/// What a pack's frames come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PackTally {
    /// Chunks that are stored raw.
    pub(crate) raw_chunks: u64,
    /// Their bytes.
    pub(crate) raw_bytes: u64,
    /// Bytes of all frames after decoding.
    pub(crate) decoded_bytes: u64,
}

/// Digest prefix and number of each record of a table that matches its checksum, in order.
pub(crate) type Run = Vec<(u64, u32)>;

/// Why a sealed pack cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenPackError {
    #[error("failed to read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} {source}")]
    Table { path: PathBuf, source: TableError },
    #[error("{path} has {actual} bytes, {wanted} are wanted")]
    Length { path: PathBuf, actual: u64, wanted: u64 },
}

impl SealedPack {
    /// Takes up the pack `stem` of `folder`: the table's header is read and lengths are compared.
    pub(crate) fn open(folder: &Path, stem: &str, files: &Arc<OpenFiles>) -> Result<Self, OpenPackError> {
        let base = folder.join(stem);
        let (data_path, table_path) = (with_end(&base, "data"), with_end(&base, "table"));
        let read = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenPackError::Read { path, source }
        };
        let table = File::open(&table_path).map_err(read(&table_path))?;
        let mut bytes = [0; HEADER_BYTES as usize];
        table.read_exact_at(&mut bytes, 0).map_err(read(&table_path))?;
        let header = Header::decode(&bytes)
            .and_then(|header| match header.state {
                PackState::Sealed => Ok(header),
                state => Err(TableError::Value { what: "state", value: state as u8 }),
            })
            .map_err(|source| OpenPackError::Table { path: table_path.clone(), source })?;
        let facts = |path: &Path, found: io::Result<Metadata>| found.map_err(read(path));
        let of_table = facts(&table_path, table.metadata())?;
        let of_data = facts(&data_path, std::fs::metadata(&data_path))?;
        let wanted = HEADER_BYTES.saturating_add(header.records.saturating_mul(RECORD_BYTES));
        if of_table.len() != wanted {
            return Err(OpenPackError::Length { path: table_path, actual: of_table.len(), wanted });
        }
        // A planned pack may have room behind its last frame.
        if of_data.len() < header.data_bytes {
            let (actual, wanted) = (of_data.len(), header.data_bytes);
            return Err(OpenPackError::Length { path: data_path, actual, wanted });
        }
        let sealed_at = of_table.modified().map_err(read(&table_path))?;
        Ok(Self {
            header,
            stem: stem.to_owned(),
            base,
            data: DataFile::new(files),
            search: RwLock::default(),
            tally: OnceLock::new(),
            checked: Checked::new(header.records, &of_data),
            kept: RwLock::default(),
            sealed_at: timestamp(sealed_at),
            reads: AtomicU64::new(0),
        })
    }

    /// Reads the whole table.
    pub(crate) fn scan(&self) -> io::Result<Run> {
        let mut run = Vec::with_capacity(self.header.records.min(1 << 20) as usize);
        let mut tally = PackTally::default();
        for (number, record) in (0_u32..).zip(self.records()) {
            // One that does not match its checksum counts as absent.
            let Ok(record) = record? else { continue };
            run.push((prefix(&record.digest.0), number));
            tally.decoded_bytes += u64::from(record.raw_length);
            if record.encoding == Encoding::Raw && record.kind == FrameKind::Chunk {
                tally.raw_chunks += 1;
                tally.raw_bytes += u64::from(record.stored_length);
            }
        }
        self.set_tally(tally);
        Ok(run)
    }

    /// What the pack's frames come to; nothing while its table was never read.
    pub(crate) fn tally(&self) -> PackTally {
        self.tally.get().copied().unwrap_or_default()
    }

    pub(crate) fn set_tally(&self, tally: PackTally) {
        // It is the same each time.
        let _is_first = self.tally.set(tally);
    }

    /// The record of `digest` and its number, found in this pack's own table. A record that does not
    /// match its checksum counts as absent.
    pub(crate) fn find(&self, digest: &Digest) -> io::Result<Option<(u64, Record)>> {
        let search = self.search()?;
        let samples = match search.samples.get() {
            Some(samples) => samples,
            None => {
                let read = self.read_samples(&search.table)?;
                search.samples.get_or_init(|| read)
            }
        };
        let wanted = prefix(&digest.0);
        // Records with one prefix may begin in the block before the first sample that equals it.
        let first = samples.partition_point(|sample| *sample < wanted).saturating_sub(1);
        let behind = samples.partition_point(|sample| *sample <= wanted);
        let mut block = [0; (SAMPLE * RECORD_BYTES) as usize];
        for sample in first..behind {
            let start = sample as u64 * SAMPLE;
            let count = SAMPLE.min(self.header.records - start) as usize;
            let bytes = &mut block[..count * RECORD_BYTES as usize];
            self.reads.fetch_add(1, Ordering::Relaxed);
            search.table.read_exact_at(bytes, HEADER_BYTES + start * RECORD_BYTES)?;
            let records: &[[u8; RECORD_BYTES as usize]] = bytes.as_chunks().0;
            if let Ok(at) = records.binary_search_by(|record| record[..32].cmp(&digest.0)) {
                let record = Record::decode(&records[at]).ok();
                return Ok(record.map(|record| (start + at as u64, record)));
            }
        }
        Ok(None)
    }

    /// Record `number`; `None` when it does not match its checksum.
    pub(crate) fn record(&self, number: u64) -> io::Result<Option<Record>> {
        let mut bytes = [0; RECORD_BYTES as usize];
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.search()?.table.read_exact_at(&mut bytes, HEADER_BYTES + number * RECORD_BYTES)?;
        Ok(Record::decode(&bytes).ok())
    }

    /// The pack is found through an index: what searching it by itself took is let go.
    pub(crate) fn end_search(&self) {
        *self.search.write().expect("no code panics while holding this lock") = None;
    }

    /// How often its table was read by whoever searched it.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn search(&self) -> io::Result<Arc<Search>> {
        let known = self.search.read().expect("no code panics while holding this lock").clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let search = Arc::new(Search { table: self.open_table()?, samples: OnceLock::new() });
        let mut slot = self.search.write().expect("no code panics while holding this lock");
        Ok(Arc::clone(slot.get_or_insert(search)))
    }

    fn read_samples(&self, table: &File) -> io::Result<Vec<u64>> {
        // Whole blocks are read in few calls; single reads of 8 bytes would cost more calls.
        let mut samples = Vec::with_capacity((self.header.records / SAMPLE) as usize + 1);
        let mut block = Vec::new();
        for first in (0..self.header.records).step_by(BLOCK as usize) {
            self.read_block(table, first, BLOCK, &mut block)?;
            samples.extend(block.chunks((SAMPLE * RECORD_BYTES) as usize).map(prefix));
        }
        Ok(samples)
    }

    /// The bytes of up to `count` records from `first` on.
    fn read_block(&self, table: &File, first: u64, count: u64, block: &mut Vec<u8>) -> io::Result<()> {
        let count = count.min(self.header.records - first);
        block.resize((count * RECORD_BYTES) as usize, 0);
        table.read_exact_at(block, HEADER_BYTES + first * RECORD_BYTES)
    }

    /// The table file, to be read through. Nothing keeps it open.
    pub(crate) fn open_table(&self) -> io::Result<File> {
        File::open(with_end(&self.base, "table"))
    }

    /// Up to 64 records from number `first` on, read from `table`; `Err` for each that does not match its
    /// checksum.
    pub(crate) fn records_at(
        &self,
        table: &File,
        first: u64,
        block: &mut Vec<u8>,
    ) -> io::Result<Vec<Result<Record, TableError>>> {
        self.read_block(table, first, SAMPLE, block)?;
        Ok(block.chunks(RECORD_BYTES as usize).map(Record::decode).collect())
    }

    /// All records in digest order; `Err` for each that does not match its checksum.
    pub(crate) fn records(&self) -> impl Iterator<Item = io::Result<Result<Record, TableError>>> + '_ {
        let (mut table, mut failed) = (None, false);
        let mut block = Vec::new();
        (0..self.header.records).step_by(BLOCK as usize).flat_map(move |first| {
            if failed {
                return Vec::new();
            }
            let read = match &table {
                Some(table) => self.read_block(table, first, BLOCK, &mut block),
                None => self
                    .open_table()
                    .and_then(|opened| self.read_block(table.insert(opened), first, BLOCK, &mut block)),
            };
            match read {
                Ok(()) => block.chunks(RECORD_BYTES as usize).map(|r| Ok(Record::decode(r))).collect(),
                Err(error) => {
                    failed = true;
                    vec![Err(error)]
                }
            }
        })
    }

    /// When its table was written, by the clock of the file system.
    pub(crate) fn sealed_at(&self) -> Timestamp {
        self.sealed_at
    }

    /// True when one of its files has no name any more.
    pub(crate) fn is_gone(&self) -> bool {
        ["data", "table"].iter().any(|end| {
            let found = std::fs::symlink_metadata(with_end(&self.base, end));
            found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        })
    }

    /// Lets nothing new refer to what is not marked, or ends that.
    pub(crate) fn keep_only(&self, kept: Option<Arc<Marks>>) {
        *self.kept.write().expect("no code panics while holding this lock") = kept;
    }

    /// True when nothing new may refer to the record.
    pub(crate) fn is_hidden(&self, index: u64) -> bool {
        let kept = self.kept.read().expect("no code panics while holding this lock");
        kept.as_ref().is_some_and(|kept| !kept.get(index))
    }

    /// Looks whether the data file changed; see [`Checked::confirm`].
    pub(crate) fn confirm(&self) -> io::Result<u32> {
        self.checked.confirm(&*self.data()?)
    }

    /// The data file; it stays open as long as the answer is kept.
    pub(crate) fn data(&self) -> io::Result<Arc<File>> {
        self.data.get(|| with_end(&self.base, "data"))
    }

    /// Stored bytes of a frame.
    pub(crate) fn read(&self, record: &Record) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; record.stored_length as usize];
        self.read_into(record, &mut bytes)?;
        Ok(bytes)
    }

    /// As [`Self::read`], into a buffer of the frame's length.
    pub(crate) fn read_into(&self, record: &Record, bytes: &mut [u8]) -> io::Result<()> {
        self.data()?.read_exact_at(bytes, record.offset)
    }
}

/// A path with a further ending; the stem of a pack has no dot.
fn with_end(base: &Path, end: &str) -> PathBuf {
    base.with_extension(end)
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn prefix(record: &[u8]) -> u64 {
    record.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
