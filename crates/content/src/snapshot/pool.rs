//! The threads of a scan and what they hand each other.
//!
//! One thread, the *merger*, walks and writes the manifest in path order. Workers do the rest, in
//! this order of preference: chunks of large files, batches of files, folders ahead of the merger.
//! All queues lie under one lock; a job is large enough for that to cost nothing.
//!
//! Nothing can wait for itself: workers wait only for work, a reader of a large file does queued
//! blocks itself before it waits, and the merger lists a folder itself that nobody has begun.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use restock_names::{Clock, Digest, compare_paths};

use super::read::{FileJob, Outcome, Reader};
use super::source::{Folder, Kind, Listing, Source, Trouble, join};
use super::{Progress, SnapshotError};
use crate::chunk::Block;
use crate::hash::chunk_digest;
use crate::library::{Library, LibraryError, Packing, Writer};
use crate::transfer::{Feed, FeedChunk};

/// Entries listed ahead of the merger; with more, workers list no further folder.
const LISTED_AHEAD_MAX: usize = 64 * 1024;

/// What all threads of a scan share.
pub(super) struct Pool<'a> {
    pub(super) source: &'a Source,
    pub(super) writer: &'a Writer,
    pub(super) clock: &'a dyn Clock,
    pub(super) progress: &'a dyn Progress,
    pub(super) counts: &'a Counts,
    pub(super) feed: Option<&'a Feed>,
    pub(super) library: &'a Library,
    threads: usize,
    queues: Mutex<Queues>,
    /// Signalled when there is work.
    work: Condvar,
    /// Signalled when work is done.
    done: Condvar,
    is_stopped: AtomicBool,
}

/// What the threads add up.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) bytes_read: AtomicU64,
    pub(super) chunks_new: AtomicU64,
    pub(super) bytes_new_raw: AtomicU64,
    pub(super) bytes_new_stored: AtomicU64,
}

#[derive(Default)]
struct Queues {
    block_id: u64,
    /// Blocks, and the digests their chunks are expected to have, if any are.
    blocks: VecDeque<(u64, Block, Option<Vec<Digest>>)>,
    /// Blocks queued, being worked on or done and not yet taken back by the reader of their file.
    blocks_in_flight: usize,
    blocks_done: HashMap<u64, BlockDone>,
    batches: VecDeque<(u64, Vec<FileJob>)>,
    batches_done: HashMap<u64, Vec<Outcome>>,
    /// Folders nobody has begun, the nearest ahead of the merger first.
    folders: BTreeMap<FolderPath, Arc<Folder>>,
    listings: BTreeMap<FolderPath, Result<Listing, Trouble>>,
    /// Entries of listings that the merger has not taken.
    listed: usize,
}

/// A chunk that is in the library.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) length: u32,
    /// False when the library had it before this scan, or this scan has met it before.
    pub(super) is_new: bool,
}

impl Stored {
    /// As a feed announces it, if it is new.
    pub(super) fn announced(&self, is_aligned: bool) -> Option<FeedChunk> {
        let Self { digest, length, is_new } = *self;
        is_new.then_some(FeedChunk { digest, length, is_aligned })
    }
}

/// A block's chunks in order, and the block to be filled again.
pub(super) struct BlockDone {
    /// None where the bytes are not the expected chunk: nothing is stored of those.
    pub(super) chunks: Result<Vec<Option<Stored>>, LibraryError>,
    pub(super) block: Block,
}

/// A folder's path, ordered as the walk meets it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FolderPath(Box<[u8]>);

impl Ord for FolderPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_paths(&self.0, &other.0)
    }
}

impl PartialOrd for FolderPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Stops the workers when the merger ends, however it ends, and when a worker panics.
pub(super) struct StopOnDrop<'p, 'a> {
    pool: &'p Pool<'a>,
    /// False where only a panic should stop the others.
    always: bool,
}

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        if self.always || std::thread::panicking() {
            self.pool.stop();
        }
    }
}

impl<'a> Pool<'a> {
    pub(super) fn new(
        library: &'a Library,
        source: &'a Source,
        writer: &'a Writer,
        clock: &'a dyn Clock,
        progress: &'a dyn Progress,
        counts: &'a Counts,
        threads: usize,
    ) -> Self {
        let feed = progress.feed();
        if let Some(feed) = feed {
            feed.begin_round(threads);
        }
        Self {
            source,
            writer,
            clock,
            progress,
            counts,
            feed,
            library,
            threads,
            queues: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Ends the workers when dropped.
    pub(super) fn stopper<'p>(&'p self) -> StopOnDrop<'p, 'a> {
        StopOnDrop { pool: self, always: true }
    }

    fn stop(&self) {
        self.is_stopped.store(true, Relaxed);
        // Taking the lock makes sure that nobody is between looking at the flag and waiting.
        drop(self.queues.lock());
        self.work.notify_all();
        self.done.notify_all();
    }

    /// Refuses to go on when the scan was cancelled or has ended.
    pub(super) fn check(&self) -> Result<(), SnapshotError> {
        if self.is_stopped.load(Relaxed) || self.progress.is_cancelled() {
            Err(SnapshotError::Cancelled)
        } else {
            Ok(())
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("no code panics while holding this lock")
    }

    fn wait<'g>(&self, on: &Condvar, guard: MutexGuard<'g, Queues>) -> MutexGuard<'g, Queues> {
        on.wait(guard).expect("no code panics while holding this lock")
    }

    /// A worker's life: jobs until the scan ends.
    pub(super) fn work(&self) {
        let _stop = StopOnDrop { pool: self, always: false };
        let mut reader = Reader::new(self);
        let mut queues = self.lock();
        loop {
            if self.is_stopped.load(Relaxed) {
                return;
            }
            if let Some((id, block, expected)) = queues.blocks.pop_front() {
                drop(queues);
                let done = self.put_block(block, expected.as_deref());
                queues = self.lock();
                queues.blocks_done.insert(id, done);
                self.done.notify_all();
            } else if let Some((id, jobs)) = queues.batches.pop_front() {
                drop(queues);
                let outcomes = reader.read(id, &jobs);
                queues = self.lock();
                queues.batches_done.insert(id, outcomes);
                self.done.notify_all();
            } else if queues.listed < LISTED_AHEAD_MAX
                && let Some((path, parent)) = queues.folders.pop_first()
            {
                drop(queues);
                let listing = self.source.list(Some(&parent), &path.0);
                queues = self.lock();
                if let Ok(listing) = &listing {
                    queues.listed += listing.len();
                    if queues.add_folders(listing, 0) {
                        self.work.notify_all();
                    }
                }
                queues.listings.insert(path, listing);
                self.done.notify_all();
            } else {
                queues = self.wait(&self.work, queues);
            }
        }
    }

    /// Hashes and stores a block's chunks; of expected ones those that are as expected.
    fn put_block(&self, block: Block, expected: Option<&[Digest]>) -> BlockDone {
        let hashed = block.chunks().map(|chunk| (chunk_digest(chunk), chunk));
        let chunks = match expected {
            None => {
                self.put_hashed(&hashed.collect::<Vec<_>>()).map(|all| all.into_iter().map(Some).collect())
            }
            Some(expected) => {
                let is_expected: Vec<((Digest, &[u8]), bool)> =
                    hashed.zip(expected).map(|(one, expected)| (one, one.0 == *expected)).collect();
                let right: Vec<_> =
                    is_expected.iter().filter(|(_, is_it)| *is_it).map(|(one, _)| *one).collect();
                self.put_hashed(&right).map(|stored| {
                    let mut stored = stored.into_iter();
                    is_expected.iter().map(|(_, is_it)| is_it.then(|| stored.next()).flatten()).collect()
                })
            }
        };
        BlockDone { chunks, block }
    }

    /// Hashes and stores one chunk.
    pub(super) fn put_chunk(&self, chunk: &[u8]) -> Result<Stored, LibraryError> {
        let mut stored = self.put_hashed(&[(chunk_digest(chunk), chunk)])?;
        Ok(stored.pop().expect("one for each chunk"))
    }

    fn put_hashed(&self, chunks: &[(Digest, &[u8])]) -> Result<Vec<Stored>, LibraryError> {
        let packing = match self.feed {
            Some(feed) if feed.is_link_faster() => Packing::Fast,
            _ => Packing::Small,
        };
        let begun = self.feed.map(|_| self.clock.monotonic());
        let puts = self.writer.put_chunks_as(chunks, packing)?;
        let (mut all, mut compressed) = (0, 0);
        let stored: Vec<Stored> = chunks
            .iter()
            .zip(puts)
            .map(|((digest, chunk), put)| {
                let length = u32::try_from(chunk.len()).expect("a chunk has at most 256 KiB");
                all += u64::from(length);
                compressed += if put.is_compressed { length.into() } else { 0 };
                if put.is_new {
                    self.counts.chunks_new.fetch_add(1, Relaxed);
                    self.counts.bytes_new_raw.fetch_add(u64::from(length), Relaxed);
                    self.counts.bytes_new_stored.fetch_add(u64::from(put.stored_bytes), Relaxed);
                    self.progress.add(0, 0, u64::from(put.stored_bytes));
                }
                Stored { digest: *digest, length, is_new: put.is_new }
            })
            .collect();
        // Chunks that are not compressed take next to no time.
        if let (Some(feed), Some(begun)) = (self.feed, begun.filter(|_| compressed * 2 > all)) {
            feed.note_compressed(compressed, self.clock.monotonic().saturating_duration_since(begun));
        }
        Ok(stored)
    }

    /// Queues a block of a large file.
    pub(super) fn add_block(&self, block: Block, expected: Option<Vec<Digest>>) -> u64 {
        let mut queues = self.lock();
        queues.block_id += 1;
        let id = queues.block_id;
        queues.blocks.push_back((id, block, expected));
        queues.blocks_in_flight += 1;
        // INVARIANT: at most the limit and one for each reader, which bounds the memory of blocks.
        debug_assert!(queues.blocks_in_flight <= 3 * self.threads, "{} blocks", queues.blocks_in_flight);
        drop(queues);
        self.work.notify_one();
        id
    }

    /// True when readers of large files should take blocks back before they cut more.
    pub(super) fn is_full_of_blocks(&self) -> bool {
        self.lock().blocks_in_flight >= 2 * self.threads
    }

    /// The result of a queued block; does queued blocks while it waits.
    pub(super) fn block_done(&self, id: u64) -> BlockDone {
        let mut queues = self.lock();
        loop {
            if let Some(done) = queues.blocks_done.remove(&id) {
                queues.blocks_in_flight -= 1;
                return done;
            }
            if let Some((other, block, expected)) = queues.blocks.pop_front() {
                drop(queues);
                let done = self.put_block(block, expected.as_deref());
                queues = self.lock();
                queues.blocks_done.insert(other, done);
                self.done.notify_all();
            } else {
                queues = self.wait(&self.done, queues);
            }
        }
    }

    /// Queues files to be read; `id` is the merger's.
    pub(super) fn add_batch(&self, id: u64, jobs: Vec<FileJob>) {
        self.lock().batches.push_back((id, jobs));
        self.work.notify_one();
    }

    /// The outcomes of a batch in the order of its files, if they are there; `wait` waits for them.
    pub(super) fn batch_done(&self, id: u64, wait: bool) -> Result<Option<Vec<Outcome>>, SnapshotError> {
        let mut queues = self.lock();
        loop {
            if let Some(outcomes) = queues.batches_done.remove(&id) {
                return Ok(Some(outcomes));
            }
            if !wait {
                return Ok(None);
            }
            self.check()?;
            queues = self.wait(&self.done, queues);
        }
    }

    /// Lets workers list the folders among entries `from` on that have stats.
    pub(super) fn add_folders(&self, listing: &Listing, from: usize) {
        if self.lock().add_folders(listing, from) {
            self.work.notify_all();
        }
    }

    /// The listing of the folder at `path`, which lies in `parent`.
    pub(super) fn listing(
        &self,
        parent: &Folder,
        path: &[u8],
    ) -> Result<Result<Listing, Trouble>, SnapshotError> {
        let key = FolderPath(path.into());
        let mut queues = self.lock();
        loop {
            if let Some(listing) = queues.listings.remove(&key) {
                if let Ok(listing) = &listing {
                    let before = queues.listed;
                    queues.listed -= listing.len();
                    if before >= LISTED_AHEAD_MAX && queues.listed < LISTED_AHEAD_MAX {
                        self.work.notify_all();
                    }
                }
                return Ok(listing);
            }
            if queues.folders.remove(&key).is_some() {
                drop(queues);
                let listing = self.source.list(Some(parent), path);
                if let Ok(listing) = &listing {
                    self.add_folders(listing, 0);
                }
                return Ok(listing);
            }
            self.check()?;
            queues = self.wait(&self.done, queues);
        }
    }

    /// The listing of the folder at `real`, to which the link at `path` leads. No worker lists it
    /// ahead: where a link leads is known when the walk meets it.
    pub(super) fn listing_of_link(&self, real: &[u8], path: &[u8]) -> Result<Listing, Trouble> {
        let listing = self.source.list_real(real, path)?;
        self.add_folders(&listing, 0);
        Ok(listing)
    }
}

impl Queues {
    /// True when there was one.
    fn add_folders(&mut self, listing: &Listing, from: usize) -> bool {
        let before = self.folders.len();
        for index in from..listing.stated() {
            if listing.stat(index).is_some_and(|stat| stat.kind == Kind::Folder) {
                let path = join(&listing.folder.path, listing.name(index)).into_boxed_slice();
                self.folders.insert(FolderPath(path), Arc::clone(&listing.folder));
            }
        }
        self.folders.len() > before
    }
}
