//! A sealed pack: read only, found by digest through a sparse index in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use restock_names::{Digest, Timestamp};

use super::checked::Checked;
use super::marks::Marks;
use super::{HEADER_BYTES, Header, PackState, RECORD_BYTES, Record, TableError};

/// Every this many records one digest prefix is kept in memory.
const SAMPLE: u64 = 64;

/// The two files of a sealed pack. Memory: sixteen bytes for each 64 frames.
#[derive(Debug)]
pub(crate) struct SealedPack {
    pub(crate) header: Header,
    pub(crate) stem: String,
    data: File,
    table: File,
    /// Prefix of the digest of every 64th record, in order.
    samples: Vec<u64>,
    /// Which frames were found right.
    pub(crate) checked: Checked,
    /// While cleaning waits: the frames that are referred to; nothing new may refer to the others.
    kept: RwLock<Option<Arc<Marks>>>,
    sealed_at: Timestamp,
}

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
    /// Opens the pack `stem` of `folder` and reads the index samples.
    pub(crate) fn open(folder: &Path, stem: &str) -> Result<Self, OpenPackError> {
        let path = |end| folder.join(format!("{stem}.{end}"));
        let open = |path: PathBuf| {
            File::open(&path)
                .map_err(|source| OpenPackError::Read { path: path.clone(), source })
                .map(|f| (f, path))
        };
        let (data, data_path) = open(path("data"))?;
        let (table, table_path) = open(path("table"))?;
        let read = |path: &PathBuf| {
            let path = path.clone();
            move |source| OpenPackError::Read { path, source }
        };
        let mut bytes = [0; HEADER_BYTES as usize];
        table.read_exact_at(&mut bytes, 0).map_err(read(&table_path))?;
        let header = Header::decode(&bytes)
            .and_then(|header| match header.state {
                PackState::Sealed => Ok(header),
                state => Err(TableError::Value { what: "state", value: state as u8 }),
            })
            .map_err(|source| OpenPackError::Table { path: table_path.clone(), source })?;
        let wanted = HEADER_BYTES.saturating_add(header.records.saturating_mul(RECORD_BYTES));
        let lengths = [(&table, &table_path, wanted), (&data, &data_path, header.data_bytes)];
        for (file, path, wanted) in lengths {
            let actual = file.metadata().map_err(read(path))?.len();
            // A planned pack may have room behind its last frame.
            let is_right =
                if std::ptr::eq(file, &raw const table) { actual == wanted } else { actual >= wanted };
            if !is_right {
                return Err(OpenPackError::Length { path: path.clone(), actual, wanted });
            }
        }
        let facts = data.metadata().map_err(read(&data_path))?;
        let checked = Checked::new(header.records, &facts);
        let sealed_at = table.metadata().and_then(|about| about.modified()).map_err(read(&table_path))?;
        let mut pack = Self {
            header,
            stem: stem.to_owned(),
            data,
            table,
            samples: Vec::new(),
            checked,
            kept: RwLock::default(),
            sealed_at: timestamp(sealed_at),
        };
        pack.samples = pack.read_samples().map_err(read(&table_path))?;
        Ok(pack)
    }

    fn read_samples(&self) -> io::Result<Vec<u64>> {
        // Whole blocks are read in few calls; single reads of 8 bytes would cost more calls.
        const BLOCK: u64 = 256 * SAMPLE;
        let mut samples = Vec::with_capacity((self.header.records / SAMPLE) as usize + 1);
        let mut block = Vec::new();
        for first in (0..self.header.records).step_by(BLOCK as usize) {
            let count = BLOCK.min(self.header.records - first);
            block.resize((count * RECORD_BYTES) as usize, 0);
            self.table.read_exact_at(&mut block, HEADER_BYTES + first * RECORD_BYTES)?;
            samples.extend(block.chunks((SAMPLE * RECORD_BYTES) as usize).map(prefix));
        }
        Ok(samples)
    }

    /// The record of `digest` and its number. A record that does not match its checksum counts as
    /// absent.
    pub(crate) fn find(&self, digest: &Digest) -> io::Result<Option<(u64, Record)>> {
        let wanted = prefix(&digest.0);
        // Records with one prefix may begin in the block before the first sample that equals it.
        let first = self.samples.partition_point(|sample| *sample < wanted).saturating_sub(1);
        let behind = self.samples.partition_point(|sample| *sample <= wanted);
        let mut block = [0; (SAMPLE * RECORD_BYTES) as usize];
        for sample in first..behind {
            let start = sample as u64 * SAMPLE;
            let count = SAMPLE.min(self.header.records - start) as usize;
            let bytes = &mut block[..count * RECORD_BYTES as usize];
            self.table.read_exact_at(bytes, HEADER_BYTES + start * RECORD_BYTES)?;
            let records: &[[u8; RECORD_BYTES as usize]] = bytes.as_chunks().0;
            if let Ok(at) = records.binary_search_by(|record| record[..32].cmp(&digest.0)) {
                let record = Record::decode(&records[at]).ok();
                return Ok(record.map(|record| (start + at as u64, record)));
            }
        }
        Ok(None)
    }

    /// All records in digest order; `Err` for each that does not match its checksum.
    pub(crate) fn records(&self) -> impl Iterator<Item = io::Result<Result<Record, TableError>>> + '_ {
        (0..self.header.records).step_by(SAMPLE as usize).flat_map(move |start| {
            let count = SAMPLE.min(self.header.records - start);
            let mut block = vec![0; (count * RECORD_BYTES) as usize];
            match self.table.read_exact_at(&mut block, HEADER_BYTES + start * RECORD_BYTES) {
                Err(error) => vec![Err(error)],
                Ok(()) => block.chunks(RECORD_BYTES as usize).map(|r| Ok(Record::decode(r))).collect(),
            }
        })
    }

    /// When its table was written, by the clock of the file system.
    pub(crate) fn sealed_at(&self) -> Timestamp {
        self.sealed_at
    }

    /// True when one of its files has no name any more.
    pub(crate) fn is_gone(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        [&self.data, &self.table].iter().any(|file| file.metadata().is_ok_and(|about| about.nlink() == 0))
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
        self.checked.confirm(&self.data)
    }

    /// The data file.
    pub(crate) fn data(&self) -> &File {
        &self.data
    }

    /// Stored bytes of a frame.
    pub(crate) fn read(&self, record: &Record) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; record.stored_length as usize];
        self.data.read_exact_at(&mut bytes, record.offset)?;
        Ok(bytes)
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn prefix(record: &[u8]) -> u64 {
    record.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
