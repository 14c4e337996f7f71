//! A pack that is being written.

mod gathered;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use self::gathered::{GATHERED_BYTES, GATHERED_FRAME_BYTES, Gathered, Waiting};
use super::{HEADER_BYTES, Header, PACK_FRAMES_MAX, PackState, RECORD_BYTES, Record};
use crate::files::{Files, OutFile};
use crate::hash::{compare, table_digest};

/// Writeback is started each time this many bytes have been written.
const WRITEBACK_BYTES: u64 = 16 << 20;
/// Records of an appending writer are written this many at a time.
const RECORDS_BATCH: usize = 64;

/// Best effort: what stays is removed when the library is opened, or is a copy.
fn remove_all(files: &dyn Files, pack: u64, paths: &[PathBuf]) {
    for path in paths {
        if let Err(error) = files.remove(path) {
            tracing::debug!(pack, %error, "a file that is of no use stays");
        }
    }
}

/// Two files under construction. Bytes are written at any offset from several threads, or appended; a
/// record follows its bytes.
#[derive(Debug)]
pub(crate) struct OpenPack {
    pub(crate) sequence: u64,
    library: [u8; 16],
    folder: PathBuf,
    data: Box<dyn OutFile>,
    table: Box<dyn OutFile>,
    reader: File,
    state: Mutex<State>,
    gathered: Gathered,
}

#[derive(Debug, Default)]
struct State {
    /// Records in the table file: they are kept there only, since packs may have very many.
    recorded: u64,
    /// Records whose bytes are written and which are not in the table file yet.
    waiting: Vec<Record>,
    /// Frames that have got their place at the end of the data.
    allotted: u64,
    data_bytes: u64,
    /// Written since writeback was last started: how much, and the range it lies in.
    unflushed_bytes: u64,
    unflushed: Option<(u64, u64)>,
}

/// Why a pack could not be sealed. The pack must be given up: its files are removed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {step} pack {sequence}")]
pub(crate) struct SealError {
    pub(crate) sequence: u64,
    pub(crate) step: &'static str,
    pub(crate) source: io::Error,
}

pub(crate) fn open_data_path(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:016x}.open.data"))
}

pub(crate) fn open_table_path(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:016x}.open.table"))
}

pub(crate) fn plan_path(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:016x}.open.plan"))
}

impl OpenPack {
    /// Makes the two files of a new pack.
    pub(crate) fn create(
        files: &dyn Files,
        folder: &Path,
        sequence: u64,
        library: [u8; 16],
    ) -> io::Result<Self> {
        let data_path = open_data_path(folder, sequence);
        let data = files.create(&data_path)?;
        let table = files.create(&open_table_path(folder, sequence))?;
        let header = Header { state: PackState::Open, sequence, library, records: 0, data_bytes: 0 };
        table.write_all_at(&header.encode(), 0)?;
        let reader = File::open(&data_path)?;
        let folder = folder.to_owned();
        let (state, gathered) = (Mutex::default(), Gathered::default());
        Ok(Self { sequence, library, folder, data, table, reader, state, gathered })
    }

    /// Takes up an open pack again. `records` are those found right; the table is rewritten with
    /// them, so that nothing doubtful stays recorded.
    pub(crate) fn resume(
        files: &dyn Files,
        folder: &Path,
        sequence: u64,
        library: [u8; 16],
        records: &[Record],
    ) -> io::Result<Self> {
        let data_path = open_data_path(folder, sequence);
        let data = files.open(&data_path)?;
        let table = files.open(&open_table_path(folder, sequence))?;
        let header = Header { state: PackState::Open, sequence, library, records: 0, data_bytes: 0 };
        let mut bytes = header.encode().to_vec();
        records.iter().for_each(|record| bytes.extend(record.encode()));
        // A longer table of before the crash keeps its tail: records found wrong there would be
        // found wrong again, so they are blanked.
        let old = std::fs::metadata(open_table_path(folder, sequence))?.len();
        bytes.resize(bytes.len().max(old as usize), 0);
        table.write_all_at(&bytes, 0)?;
        let data_bytes = records.iter().filter_map(Record::end).max().unwrap_or(0);
        let reader = File::open(&data_path)?;
        let state = State { recorded: records.len() as u64, data_bytes, ..State::default() };
        let (state, folder, gathered) = (Mutex::new(state), folder.to_owned(), Gathered::default());
        Ok(Self { sequence, library, folder, data, table, reader, state, gathered })
    }

    /// Takes the next `length` bytes at the end of the data, from a multiple of `border` on; `None`
    /// when the pack would grow above `limit` or has [`PACK_FRAMES_MAX`] frames. An empty pack takes any
    /// length.
    pub(crate) fn allot(&self, length: u64, border: u64, limit: u64) -> Option<u64> {
        let mut state = self.lock();
        let offset = state.data_bytes.next_multiple_of(border);
        if state.data_bytes > 0 && (offset + length > limit || state.allotted >= PACK_FRAMES_MAX) {
            return None;
        }
        state.allotted += 1;
        state.data_bytes = offset + length;
        Some(offset)
    }

    /// Reserves room for a planned pack.
    pub(crate) fn reserve(&self, length: u64) -> io::Result<()> {
        self.data.reserve(length)
    }

    /// Takes room for frames at the end of the data, writes and records them: as many of them, from the
    /// first on, as the pack has room for as [`Self::allot`] says. Their records get their offsets; returns
    /// how many they are.
    ///
    /// With `at_once` both files have them when this returns. Otherwise small frames wait in memory, where
    /// [`Self::read`] finds them, and are written together. After an error these frames are not stored;
    /// those that wait are tried again with the next ones, and by [`Self::seal`] at last.
    pub(crate) fn append(
        &self,
        frames: &mut [(&[u8], Record)],
        at_once: bool,
        limit: u64,
    ) -> io::Result<usize> {
        let mut waiting = self.gathered.lock();
        let (mut count, mut bytes, mut is_small) = (0, 0, !at_once);
        for (stored, record) in &mut *frames {
            let Some(offset) = self.allot(stored.len() as u64, 1, limit) else { break };
            if count == 0 && waiting.end() != offset {
                self.write_waiting(&mut waiting, &[], at_once)?;
                waiting.offset = offset;
            }
            record.offset = offset;
            is_small &= stored.len() < GATHERED_FRAME_BYTES;
            bytes += stored.len();
            count += 1;
        }
        let taken = &frames[..count];
        if count < frames.len() || !is_small || waiting.bytes.len() + bytes > GATHERED_BYTES {
            self.write_waiting(&mut waiting, taken, at_once)?;
            if count < frames.len() {
                // Nothing waits in a full pack any more.
                waiting.bytes = Vec::new();
            }
        } else {
            for (stored, record) in taken {
                waiting.bytes.extend_from_slice(stored);
                waiting.records.push(*record);
            }
            self.gathered.set_written(waiting.offset);
        }
        Ok(count)
    }

    /// Writes and records the frames that wait, and others directly behind them.
    fn write_waiting(
        &self,
        waiting: &mut Waiting,
        others: &[(&[u8], Record)],
        at_once: bool,
    ) -> io::Result<()> {
        let mut parts = Vec::with_capacity(1 + others.len());
        parts.extend((!waiting.bytes.is_empty()).then_some(waiting.bytes.as_slice()));
        parts.extend(others.iter().map(|(stored, _)| *stored));
        if !parts.is_empty() {
            self.write_parts(&parts, waiting.offset)?;
        }
        waiting.offset += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        waiting.bytes.clear();
        self.gathered.set_written(waiting.offset);
        waiting.records.extend(others.iter().map(|(_, record)| *record));
        let records = std::mem::take(&mut waiting.records);
        if records.is_empty() { Ok(()) } else { self.record(&records, at_once) }
    }

    /// Writes a frame's bytes.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_parts(&[bytes], offset)
    }

    /// Writes the bytes of frames that lie side by side, the first at `offset`.
    pub(crate) fn write_parts(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.data.write_parts_at(parts, offset)?;
        let length = parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let end = offset + length;
        let due = {
            let mut state = self.lock();
            state.data_bytes = state.data_bytes.max(end);
            state.unflushed_bytes += length;
            let (from, to) =
                state.unflushed.map_or((offset, end), |(from, to)| (from.min(offset), to.max(end)));
            let is_due = state.unflushed_bytes >= WRITEBACK_BYTES;
            state.unflushed = (!is_due).then_some((from, to));
            if is_due {
                state.unflushed_bytes = 0;
            }
            is_due.then_some((from, to))
        };
        if let Some((from, to)) = due {
            self.data.start_writeback(from, to - from);
        }
        Ok(())
    }

    /// Records frames whose bytes are written. With `at_once` the table file has them when this
    /// returns; otherwise some may wait in memory until [`Self::seal`].
    pub(crate) fn record(&self, records: &[Record], at_once: bool) -> io::Result<()> {
        let mut state = self.lock();
        state.waiting.extend_from_slice(records);
        if !at_once && state.waiting.len() < RECORDS_BATCH {
            return Ok(());
        }
        self.flush_records(&mut state)
    }

    fn flush_records(&self, state: &mut State) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(state.waiting.len() * RECORD_BYTES as usize);
        state.waiting.iter().for_each(|record| bytes.extend(record.encode()));
        self.table.write_all_at(&bytes, HEADER_BYTES + state.recorded * RECORD_BYTES)?;
        state.recorded += state.waiting.len() as u64;
        state.waiting.clear();
        Ok(())
    }

    /// Reads stored bytes back.
    pub(crate) fn read(&self, record: &Record) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; record.stored_length as usize];
        self.read_into(record, &mut bytes)?;
        Ok(bytes)
    }

    /// As [`Self::read`], into a buffer of the frame's length.
    pub(crate) fn read_into(&self, record: &Record, bytes: &mut [u8]) -> io::Result<()> {
        if self.gathered.read(record, bytes) {
            return Ok(());
        }
        self.reader.read_exact_at(bytes, record.offset)
    }

    /// How many frames were recorded so far, or wait for it.
    pub(crate) fn frames(&self) -> u64 {
        let gathered = self.gathered.lock().records.len() as u64;
        let state = self.lock();
        state.recorded + state.waiting.len() as u64 + gathered
    }

    /// The records, read back from the table file.
    fn records(&self) -> io::Result<Vec<Record>> {
        let state = self.lock();
        let mut bytes = vec![0; (state.recorded * RECORD_BYTES) as usize];
        File::open(open_table_path(&self.folder, self.sequence))?.read_exact_at(&mut bytes, HEADER_BYTES)?;
        let read = bytes.chunks_exact(RECORD_BYTES as usize).map(Record::decode);
        let waiting = state.waiting.iter().copied().map(Ok);
        read.chain(waiting).collect::<Result<_, _>>().map_err(io::Error::other)
    }

    /// Bytes of data so far.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.lock().data_bytes
    }

    /// Makes the pack durable and gives it its final names. Order: data synced, sorted table
    /// synced, data renamed, table renamed, folder synced, working files removed.
    ///
    /// Returns the final stem. Errors: the pack must be given up with [`Self::discard`].
    pub(crate) fn seal(&self, files: &dyn Files) -> Result<String, SealError> {
        let fail = |step| move |source| SealError { sequence: self.sequence, step, source };
        self.write_waiting(&mut self.gathered.lock(), &[], false).map_err(fail("write the data of"))?;
        self.data.sync().map_err(fail("sync the data of"))?;
        let mut records = self.records().map_err(fail("read the open table of"))?;
        // Room that was allotted to a frame whose write failed is none: the file may end before it.
        let data_bytes = records.iter().filter_map(Record::end).max().unwrap_or(0);
        records.sort_by(|a, b| compare(&a.digest, &b.digest));
        records.dedup_by_key(|record| record.digest);
        let header = Header {
            state: PackState::Sealed,
            sequence: self.sequence,
            library: self.library,
            records: records.len() as u64,
            data_bytes,
        };
        let mut bytes = Vec::with_capacity((records.len() + 1) * RECORD_BYTES as usize);
        bytes.extend(header.encode());
        records.iter().for_each(|record| bytes.extend(record.encode()));
        let stem = format!("{:016x}-{}", self.sequence, &table_digest(&bytes).to_string()[..16]);
        let temporary = self.folder.join(format!("{stem}.table.tmp"));
        let table = files.create(&temporary).map_err(fail("write the table of"))?;
        table.write_all_at(&bytes, 0).map_err(fail("write the table of"))?;
        table.sync().map_err(fail("sync the table of"))?;
        self.place(files, &stem, &temporary).inspect_err(|_| self.discard_sealed(files, &stem))?;
        Ok(stem)
    }

    /// Gives the files of a finished pack their final names, and syncs those.
    fn place(&self, files: &dyn Files, stem: &str, temporary: &Path) -> Result<(), SealError> {
        let fail = |step| move |source| SealError { sequence: self.sequence, step, source };
        let (data_path, table_path) = self.sealed_paths(stem);
        let open_data = open_data_path(&self.folder, self.sequence);
        files.rename(&open_data, &data_path).map_err(fail("rename the data of"))?;
        files.rename(temporary, &table_path).map_err(fail("rename the table of"))?;
        // Only now: an interrupted seal is taken up again by its owner, who must be able to write.
        files.make_read_only(&data_path).map_err(fail("protect"))?;
        files.make_read_only(&table_path).map_err(fail("protect"))?;
        files.sync_folder(&self.folder).map_err(fail("sync the folder of"))?;
        // What is left is of no use any more; a leftover is removed when the library is opened.
        for path in [open_table_path(&self.folder, self.sequence), plan_path(&self.folder, self.sequence)] {
            files.remove(&path).map_err(fail("tidy up behind"))?;
        }
        Ok(())
    }

    fn sealed_paths(&self, stem: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{stem}.data")), self.folder.join(format!("{stem}.table")))
    }

    /// Removes a pack that has its final names and cannot be used: what is stored again in its place
    /// would be there twice. The table goes first: data alone is an open pack, a table alone is damage.
    pub(crate) fn discard_sealed(&self, files: &dyn Files, stem: &str) {
        let (data, table) = self.sealed_paths(stem);
        remove_all(files, self.sequence, &[table.with_extension("table.tmp"), table, data]);
    }

    /// Removes the working files. Best effort: leftovers are removed when the library is opened.
    pub(crate) fn discard(&self, files: &dyn Files) {
        let paths =
            [plan_path, open_table_path, open_data_path].map(|path| path(&self.folder, self.sequence));
        remove_all(files, self.sequence, &paths);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while holding this lock")
    }
}

#[cfg(test)]
mod tests;
