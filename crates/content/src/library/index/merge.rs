//! Writing the index file: the records of all packs in one order, in bounded memory.
//!
//! Digests are spread evenly, so the work is cut into ranges of digests that hold about as many records
//! each: of each range every source is read on from where the last range ended, what was read is sorted
//! and written. Sources are the file before, as far as its packs are there, and the tables of the packs
//! that are not in it.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::super::{Inner, Library, LibraryError, io_error};
use super::file::{
    BLOCK_BYTES, BLOCK_ENTRIES, COPIES_MAX, Entry, HEADER_BYTES, Head, IndexError, IndexFile, Listed,
    PACKS_MAX, SAMPLE_BYTES, encode_block, encode_list, sample,
};
use super::packs::Packs;
use crate::files::OutFile;
use crate::hash::compare;
use crate::pack::SealedPack;

/// Records that are sorted at once. Memory: about 10 MB.
const RANGE_RECORDS: u64 = 1 << 17;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// What a merge made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// Packs in the file.
    pub packs: u64,
    /// Records in it.
    pub frames: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// How frames are found in a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexState {
    /// Records in the index file.
    pub frames_in_file: u64,
    /// Records found through memory.
    pub frames_in_memory: u64,
    /// Packs that are searched one by one.
    pub packs_searched: u64,
    /// Reads that lookups took since the library was opened.
    pub reads: u64,
}

/// What is remembered between merges.
#[derive(Debug, Default)]
pub(in crate::library) struct Merging {
    /// One at a time.
    turn: Mutex<()>,
    /// Packs whose tables could not be read: they are searched by themselves.
    unusable: Mutex<HashSet<u64>>,
}

impl Merging {
    fn is_usable(&self, pack: &SealedPack) -> bool {
        !self.unusable.lock().expect("no code panics while holding this lock").contains(&pack.header.sequence)
    }
}

impl Library {
    /// True when the index file should be written anew. Cheap.
    pub fn is_index_due(&self) -> bool {
        self.inner.lock_packs().is_due(|pack| self.inner.merging.is_usable(pack))
    }

    /// How frames are found.
    pub fn index_state(&self) -> IndexState {
        let (frames_in_file, frames_in_memory, packs_searched, reads) = self.inner.lock_packs().counts();
        IndexState { frames_in_file, frames_in_memory, packs_searched, reads }
    }

    /// Writes the index file anew from the file before and the tables of the packs that are not in it.
    /// Works beside everything else. `step` is asked now and then whether to go on; stopped it changes
    /// nothing and returns `None`.
    ///
    /// Memory: 10 MB. Cost: reads and writes about 60 bytes for each frame of the library. Errors:
    /// `NO_SPACE`; I/O, after which frames are found as before.
    pub fn merge_index(&self, step: impl FnMut() -> ControlFlow<()>) -> Result<Option<Merged>, LibraryError> {
        self.inner.merge_index(step)
    }
}

impl Inner {
    pub(in crate::library) fn lock_packs(&self) -> std::sync::RwLockReadGuard<'_, Packs> {
        self.packs.read().expect("no code panics while holding this lock")
    }

    pub(in crate::library) fn lock_packs_to_change(&self) -> std::sync::RwLockWriteGuard<'_, Packs> {
        self.packs.write().expect("no code panics while holding this lock")
    }

    fn index_path(&self) -> PathBuf {
        self.folder.join("index")
    }

    /// The index file, if there is one that can be used; true when there is one that cannot.
    pub(in crate::library) fn open_index(&self) -> (Option<IndexFile>, bool) {
        match IndexFile::open(&self.index_path(), self.id.0) {
            Ok(file) => (file, false),
            Err(error) => {
                tracing::warn!(%error, "the library's index is not usable and will be made anew");
                (None, true)
            }
        }
    }

    /// Finds frames without a file that turned out to be wrong.
    pub(in crate::library) fn give_up_index(&self, file: &Arc<IndexFile>, error: &IndexError) {
        if self.lock_packs_to_change().give_up(file) {
            tracing::error!(%error, "the library's index is damaged and will be made anew");
        }
    }

    /// Finds frames without the file: it says something else than the tables.
    pub(in crate::library) fn distrust_index(&self) {
        let file = self.lock_packs().in_file().map(|(file, _)| file);
        if let Some(file) = file {
            self.give_up_index(&file, &IndexError::Format("says something else than the tables"));
        }
    }

    fn merge_index(&self, mut step: impl FnMut() -> ControlFlow<()>) -> Result<Option<Merged>, LibraryError> {
        let _turn = self.merging.turn.lock().expect("no code panics while holding this lock");
        let (before, mut packs) = {
            let packs = self.lock_packs();
            (packs.in_file(), packs.outside())
        };
        packs.retain(|pack| self.merging.is_usable(pack));
        let in_file = before.iter().flat_map(|(_, packs)| packs).flatten();
        let mut listed: Vec<Arc<SealedPack>> = in_file.chain(&packs).cloned().collect();
        listed.sort_by_key(|pack| pack.header.sequence);
        // What the list has no room for is searched by itself.
        listed.truncate(PACKS_MAX);
        let records: u64 = listed.iter().map(|pack| pack.header.records).sum();
        let place = |pack: &Arc<SealedPack>| {
            let at = listed.binary_search_by_key(&pack.header.sequence, |pack| pack.header.sequence);
            at.ok().map(|at| at as u32)
        };
        let mut sources: Vec<Source> = Vec::new();
        if let Some((file, packs)) = &before {
            let places = packs.iter().map(|pack| pack.as_ref().and_then(place)).collect();
            sources.push(Source::File { file: Arc::clone(file), places, block: 0, rest: Vec::new() });
        }
        sources.extend(packs.iter().filter_map(|pack| {
            place(pack).map(|place| Source::Table { pack: Arc::clone(pack), place, next: 0 })
        }));
        self.check_space(records * 64 + (listed.len() * 64 + 2 * BLOCK_BYTES) as u64)?;
        let path = self.index_path();
        let temporary = self.folder.join("index.tmp");
        let written = Output::create(self, &temporary, &listed).and_then(|mut output| {
            Ok(match output.write_all(self, &mut sources, records, &mut step)? {
                ControlFlow::Continue(()) => Some(output.finish()?),
                ControlFlow::Break(()) => None,
            })
        });
        let merged = match written {
            Ok(Some(merged)) => merged,
            unfinished => {
                if let Err(error) = self.files.remove(&temporary) {
                    tracing::debug!(%error, "an unfinished index stays until the next one is made");
                }
                return unfinished;
            }
        };
        self.files.rename(&temporary, &path).map_err(io_error("rename", &temporary))?;
        self.files.sync_folder(&self.folder).map_err(io_error("sync", &self.folder))?;
        let file = IndexFile::open(&path, self.id.0).map_err(|error| LibraryError::Io {
            step: "open the index that was just made at",
            path: path.clone(),
            source: io::Error::other(error),
        })?;
        if let Some(file) = file {
            self.lock_packs_to_change().install(Arc::new(file));
        }
        Ok(Some(merged))
    }
}

/// Where entries come from, each in the order of digests.
#[derive(Debug)]
enum Source {
    Table {
        pack: Arc<SealedPack>,
        /// The pack's number in the new list.
        place: u32,
        next: u64,
    },
    File {
        file: Arc<IndexFile>,
        /// Numbers in the new list by those in the old one; none for packs that are gone.
        places: Vec<Option<u32>>,
        block: u64,
        /// Entries of the block before that lie beyond the last range.
        rest: Vec<Entry>,
    },
}

/// Why a source cannot be read on.
#[derive(Debug)]
enum SourceError {
    Table(Arc<SealedPack>, io::Error),
    File(Arc<IndexFile>, IndexError),
}

impl Source {
    /// Takes entries whose digests begin with less than `end`; all when that is none.
    fn take(&mut self, end: Option<u64>, out: &mut Vec<Entry>) -> Result<(), SourceError> {
        let is_within = |entry: &Entry| {
            end.is_none_or(|end| {
                entry.record.digest.0.first_chunk().is_some_and(|first| u64::from_be_bytes(*first) < end)
            })
        };
        match self {
            Self::Table { pack, place, next } => {
                let failed = |source| SourceError::Table(Arc::clone(pack), source);
                if *next >= pack.header.records {
                    return Ok(());
                }
                let table = pack.open_table().map_err(failed)?;
                let mut bytes = Vec::new();
                while *next < pack.header.records {
                    for record in pack.records_at(&table, *next, &mut bytes).map_err(failed)? {
                        // One that does not match its checksum counts as absent.
                        if let Ok(record) = record {
                            let entry = Entry { pack: *place, number: *next as u32, record };
                            if !is_within(&entry) {
                                return Ok(());
                            }
                            out.push(entry);
                        }
                        *next += 1;
                    }
                }
            }
            Self::File { file, places, block, rest } => loop {
                let within = rest.partition_point(is_within);
                out.extend(rest.drain(..within).filter_map(|entry| {
                    let pack = places.get(entry.pack as usize).copied().flatten()?;
                    Some(Entry { pack, ..entry })
                }));
                if !rest.is_empty() || *block >= file.head.blocks {
                    break;
                }
                *rest =
                    file.entries_of(*block).map_err(|error| SourceError::File(Arc::clone(file), error))?;
                *block += 1;
            },
        }
        Ok(())
    }
}

/// The file while it is written.
#[derive(Debug)]
struct Output<'a> {
    path: &'a Path,
    file: Box<dyn OutFile>,
    library: [u8; 16],
    packs: u32,
    entries: u64,
    samples: Vec<u128>,
    block: Vec<Entry>,
    buffer: Vec<u8>,
    at: u64,
}

impl<'a> Output<'a> {
    /// Makes the file with its list of packs.
    fn create(inner: &Inner, path: &'a Path, packs: &[Arc<SealedPack>]) -> Result<Self, LibraryError> {
        let file = inner.files.create(path).map_err(io_error("create", path))?;
        let list: Vec<Listed> = packs
            .iter()
            .map(|pack| Listed {
                sequence: pack.header.sequence,
                name: name(&pack.stem),
                records: pack.header.records,
                tally: pack.tally(),
            })
            .collect();
        // The header follows when the rest is there.
        let mut buffer = vec![0; HEADER_BYTES];
        buffer.extend(encode_list(&list));
        buffer.resize(buffer.len().next_multiple_of(BLOCK_BYTES), 0);
        let (library, packs) = (inner.id.0, packs.len() as u32);
        let (samples, block) = (Vec::new(), Vec::new());
        Ok(Self { path, file, library, packs, entries: 0, samples, block, buffer, at: 0 })
    }

    /// Writes the entries of all sources, range by range.
    fn write_all(
        &mut self,
        inner: &Inner,
        sources: &mut [Source],
        records: u64,
        step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LibraryError> {
        let ranges = records / RANGE_RECORDS + 1;
        let mut entries = Vec::new();
        for range in 1..=ranges {
            if step().is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let end = (range < ranges)
                .then(|| u64::try_from((u128::from(range) << 64) / u128::from(ranges)).unwrap_or(u64::MAX));
            entries.clear();
            for source in &mut *sources {
                source.take(end, &mut entries).map_err(|error| failed(inner, error))?;
            }
            // Numbers rise with the sequence: of copies the newest comes first.
            entries.sort_unstable_by(|a: &Entry, b: &Entry| {
                compare(&a.record.digest, &b.record.digest).then(b.pack.cmp(&a.pack))
            });
            for copies in entries.chunk_by(|a, b| a.record.digest == b.record.digest) {
                self.push(&copies[..copies.len().min(COPIES_MAX)])?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Copies of one frame; they stand in one block.
    fn push(&mut self, copies: &[Entry]) -> Result<(), LibraryError> {
        if self.block.len() + copies.len() > BLOCK_ENTRIES {
            self.end_block()?;
        }
        self.block.extend_from_slice(copies);
        self.entries += copies.len() as u64;
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), LibraryError> {
        let Some(first) = self.block.first() else { return Ok(()) };
        self.samples.push(sample(&first.record.digest));
        self.buffer.extend(encode_block(&self.block));
        self.block.clear();
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LibraryError> {
        self.file.write_all_at(&self.buffer, self.at).map_err(io_error("write", self.path))?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left and the header, and makes the file durable.
    fn finish(mut self) -> Result<Merged, LibraryError> {
        self.end_block()?;
        let mut samples = Vec::with_capacity(self.samples.len() * SAMPLE_BYTES + 4);
        self.samples.iter().for_each(|sample| samples.extend(sample.to_be_bytes()));
        samples.extend(crc32fast::hash(&samples).to_le_bytes());
        self.buffer.extend(samples);
        self.flush()?;
        let head = Head {
            library: self.library,
            packs: self.packs,
            entries: self.entries,
            blocks: self.samples.len() as u64,
        };
        self.file.write_all_at(&head.encode(), 0).map_err(io_error("write", self.path))?;
        self.file.sync().map_err(io_error("sync", self.path))?;
        Ok(Merged { packs: self.packs.into(), frames: self.entries, bytes: self.at })
    }
}

/// Notes what cannot be used, so that the next merge does without it.
fn failed(inner: &Inner, error: SourceError) -> LibraryError {
    let (step, path, source) = match error {
        SourceError::Table(pack, source) => {
            let mut unusable = inner.merging.unusable.lock().expect("no code panics while holding this lock");
            unusable.insert(pack.header.sequence);
            ("read the table of pack", PathBuf::from(&pack.stem), source)
        }
        SourceError::File(file, error) => {
            inner.give_up_index(&file, &error);
            ("read", inner.index_path(), io::Error::other(error))
        }
    };
    LibraryError::Io { step, path, source }
}

/// The bytes that the second half of a pack's name shows.
fn name(stem: &str) -> [u8; 8] {
    let digits = stem.rsplit_once('-').map_or("", |(_, digits)| digits);
    u64::from_str_radix(digits, 16).unwrap_or(0).to_be_bytes()
}
