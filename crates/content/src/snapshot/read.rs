//! Reading one file: its bytes of one moment, cut, hashed and stored.
//!
//! A file is stat'ed before and after it is read; when anything differs it is read again. The
//! times of a file system advance in steps, so a write within the step of the first stat would
//! leave no trace: a file changed that recently is read until two readings agree.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{Advice, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use super::SnapshotError;
use super::pool::{BlockDone, Pool, Stored};
use super::predict::Expected;
use super::source::{Folder, Kind, Stat, Trouble, join, stat_and_space_of, stat_of};
use crate::chunk::{Block, CHUNK_BYTES_MAX, Cutter};
use crate::library::Writer;
use crate::manifest::{ChunkListBuilder, Entry, FileChunks, PageError, PageSink};
use crate::plan::ALIGNED_FILE_BYTES_MIN;
use crate::transfer::FeedChunk;
use restock_names::Digest;

/// Readings of one file in one round.
const ATTEMPTS: u32 = 4;
/// No file system's clock advances in larger steps than this, as far as change times go.
const CLOCK_STEP_NS: i64 = 20_000_000;
/// The chunks of larger files are hashed and stored by all workers.
pub(super) const SHARED_BYTES_MIN: u64 = 8 << 20;
/// Blocks a reader keeps between files.
const SPARE_BLOCKS: usize = 2;
/// Files up to this length are put off to the end of their batch when the disk has to be waited for;
/// of larger ones the kernel fetches ahead.
const LATE_BYTES_MAX: u64 = 1 << 20;
/// Smaller files are not searched for holes.
const SPARSE_BYTES_MIN: u64 = 1 << 20;

/// A file to be read.
#[derive(Debug)]
pub(super) struct FileJob {
    pub(super) folder: Arc<Folder>,
    pub(super) name: Box<[u8]>,
    /// Where it lies beneath the root, when the name is that of a link which was followed.
    pub(super) real: Option<Box<[u8]>>,
    /// True when holders may fetch its chunks before the version is published: there is nothing in
    /// the version before that they could be fetched with as delta frames.
    pub(super) is_announced: bool,
    /// Its entry in the version before, if the file is large.
    pub(super) before: Option<Entry>,
}

/// What became of a [`FileJob`].
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its bytes, all of the moment of `stat`.
    Read { folder: Arc<Folder>, stat: Stat, chunks: FileChunks },
    /// It was gone, replaced or written to while it was read.
    Moved,
    /// The scan must end.
    Failed(SnapshotError),
}

/// A worker's means to read files, kept from one to the next.
pub(super) struct Reader<'p, 'a> {
    pub(super) pool: &'p Pool<'a>,
    cutter: Cutter,
    /// Blocks to be filled.
    pub(super) spare: Vec<Block>,
    /// New chunks of the batch that the feed does not have yet.
    announced: Vec<FeedChunk>,
    batch: u64,
}

impl<'p, 'a> Reader<'p, 'a> {
    pub(super) fn new(pool: &'p Pool<'a>) -> Self {
        Self { pool, cutter: Cutter::default(), spare: Vec::new(), announced: Vec::new(), batch: 0 }
    }

    /// Reads files and stores what the library lacks of them; the outcomes are in their order.
    ///
    /// What lies in memory is read first. The rest is asked for meanwhile and read afterwards, so
    /// that a disk has many files to fetch at once and not one for each worker.
    pub(super) fn read(&mut self, batch: u64, jobs: &[FileJob]) -> Vec<Outcome> {
        self.batch = batch;
        let at_hand: Vec<Option<Outcome>> = jobs.iter().map(|job| self.read_one(job, false)).collect();
        let mut read_late = |job| self.read_one(job, true).expect("a reader that may wait has an outcome");
        let outcomes = at_hand
            .into_iter()
            .zip(jobs)
            .map(|(outcome, job)| outcome.unwrap_or_else(|| read_late(job)))
            .collect();
        if let Some(feed) = self.pool.feed {
            feed.add(batch, &mut self.announced);
            feed.end_batch(batch);
        }
        outcomes
    }

    /// `None` if the file must be waited for and `may_wait` is false.
    fn read_one(&mut self, job: &FileJob, may_wait: bool) -> Option<Outcome> {
        match self.read_at_rest(job, may_wait) {
            Ok(Some((stat, chunks))) => Some(Outcome::Read { folder: Arc::clone(&job.folder), stat, chunks }),
            Ok(None) => None,
            Err(Trouble::Moved) => Some(Outcome::Moved),
            Err(Trouble::Fatal(error)) => Some(Outcome::Failed(error)),
        }
    }

    fn read_at_rest(&mut self, job: &FileJob, may_wait: bool) -> Result<Option<(Stat, FileChunks)>, Trouble> {
        let source = self.pool.source;
        let path = join(&job.folder.path, &job.name);
        let failed = |errno| source.trouble(&path, errno);
        let mut earlier = None;
        for _ in 0..ATTEMPTS {
            self.pool.check().map_err(Trouble::Fatal)?;
            let now_ns = self.pool.clock.now().0.saturating_mul(1_000);
            let opened = match &job.real {
                Some(real) => source.open(None, real, OFlags::empty()),
                None => source.open(Some(&job.folder), &job.name, OFlags::empty()),
            };
            let file = match opened {
                Ok(file) => file,
                Err(Errno::LOOP) if job.real.is_none() => return Err(self.find_link(&job.folder)),
                Err(errno) => return Err(failed(errno)),
            };
            let (before, space) = stat_and_space_of(&file).map_err(failed)?;
            if before.kind != Kind::File {
                return Err(Trouble::Moved);
            }
            let file = OpenFile {
                fd: file.as_fd(),
                length: before.size,
                is_sparse: before.size >= SPARSE_BYTES_MIN && space < before.size,
                may_wait: may_wait || before.size > LATE_BYTES_MAX,
                was_cold: Cell::new(may_wait),
            };
            let read = self.read_once(&file, job);
            file.give_back();
            let chunks = match read {
                Ok(chunks) => chunks,
                Err(Failure::Stop(error)) => return Err(Trouble::Fatal(error)),
                Err(Failure::Read(error)) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::UnexpectedEof => {
                        earlier = None;
                        continue;
                    }
                    _ => return Err(Trouble::Fatal(source.failed(&path, error))),
                },
            };
            if stat_of(file.fd).map_err(failed)? != before {
                earlier = None;
                continue;
            }
            let reading = (before, chunks);
            if before.ctime_ns.saturating_add(CLOCK_STEP_NS) <= now_ns || earlier.as_ref() == Some(&reading) {
                return Ok(Some(reading));
            }
            earlier = Some(reading);
        }
        Err(Trouble::Moved)
    }

    /// Tells a file that became a link from a folder that did.
    fn find_link(&self, folder: &Folder) -> Trouble {
        let source = self.pool.source;
        match source.open(None, folder.real(), OFlags::DIRECTORY) {
            Ok(_) => Trouble::Moved,
            Err(errno) => source.folder_trouble(&folder.path, errno),
        }
    }

    /// Reads a file's bytes once. Fails with [`io::ErrorKind::UnexpectedEof`] when there are fewer
    /// than its length, with [`io::ErrorKind::WouldBlock`] when it may not wait for them.
    fn read_once(&mut self, file: &OpenFile<'_>, job: &FileJob) -> Result<FileChunks, Failure> {
        let mut list = List {
            pool: self.pool,
            chunks: ChunkListBuilder::default(),
            sink: WriterSink(self.pool.writer),
            is_shared: file.length >= SHARED_BYTES_MIN,
            waiting: VecDeque::new(),
            announced: std::mem::take(&mut self.announced),
            batch: self.batch,
            is_announced: job.is_announced && self.pool.feed.is_some(),
            is_aligned: file.length >= ALIGNED_FILE_BYTES_MIN,
        };
        let before = job.before.as_ref().filter(|_| list.is_shared && !file.is_sparse);
        let expected = before.and_then(|before| Expected::read(self.pool.library, before));
        let read = match &expected {
            Some(expected) => self.read_expected(file, expected, &mut list),
            None => self.read_blocks(file, 0, &mut list),
        };
        // Also after a failure: no block in flight may outlive the reading.
        let put = list.take_all(&mut self.spare);
        self.spare.truncate(SPARE_BLOCKS);
        self.announced = std::mem::take(&mut list.announced);
        read.and(put)?;
        Ok(list.chunks.finish(&mut list.sink)?)
    }

    /// Reads and cuts from the cut at `position` on.
    pub(super) fn read_blocks(
        &mut self,
        file: &OpenFile<'_>,
        position: u64,
        list: &mut List<'p, 'a>,
    ) -> Result<(), Failure> {
        let OpenFile { fd, length, .. } = *file;
        let mut data_end = if file.is_sparse { 0 } else { length };
        self.cutter.start_at(position, length);
        loop {
            self.pool.check()?;
            let position = self.cutter.position();
            if position >= data_end && position < length {
                let zeros = hole_at(fd, position, length)? / CHUNK_BYTES_MAX as u64;
                if zeros > 0 {
                    self.cutter.skip_zero_chunks(zeros);
                    list.add_zeros(zeros, &mut self.spare)?;
                    continue;
                }
                data_end = data_end_after(fd, position, length)?;
            }
            let mut block = self.spare.pop().unwrap_or_default();
            let mut bytes_read = 0;
            let has_more = self.cutter.next_block(&mut block, |buffer, offset| {
                let count = file.read(buffer, offset)?;
                bytes_read += count as u64;
                Ok(count)
            })?;
            if !has_more {
                self.spare.push(block);
                return Ok(());
            }
            self.pool.counts.bytes_read.fetch_add(bytes_read, Relaxed);
            self.pool.progress.add(0, bytes_read, 0);
            list.add(block, &mut self.spare)?;
        }
    }
}

/// A file as it was when it was opened.
pub(super) struct OpenFile<'f> {
    fd: BorrowedFd<'f>,
    pub(super) length: u64,
    is_sparse: bool,
    /// False to read only what lies in memory.
    may_wait: bool,
    /// True when the disk had to be asked.
    was_cold: Cell<bool>,
}

impl OpenFile<'_> {
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if !self.was_cold.get() {
            let mut parts = [IoSliceMut::new(&mut *buffer)];
            match rustix::io::preadv2(self.fd, &mut parts, offset, ReadWriteFlags::NOWAIT) {
                Err(Errno::AGAIN) if self.may_wait => self.was_cold.set(true),
                Err(Errno::AGAIN) => {
                    // Best effort: without it the disk is asked when the file is read.
                    let _ignored = rustix::fs::fadvise(self.fd, 0, None, Advice::WillNeed);
                    return Err(Errno::AGAIN);
                }
                // Not every file system and kernel can read without waiting.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => {}
                other => return other,
            }
        }
        retry_on_intr(|| rustix::io::pread(self.fd, &mut *buffer, offset))
    }

    /// What was not in memory before is not left there: it would take the place of what is served.
    fn give_back(&self) {
        if self.may_wait && self.was_cold.get() {
            // Best effort: it is only room.
            let _ignored = rustix::fs::fadvise(self.fd, 0, None, Advice::DontNeed);
        }
    }
}

/// Why one reading ended.
pub(super) enum Failure {
    Read(io::Error),
    Stop(SnapshotError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        Self::Stop(error)
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        Self::Stop(error.into())
    }
}

/// A file's chunk list in the making.
pub(super) struct List<'p, 'a> {
    pool: &'p Pool<'a>,
    chunks: ChunkListBuilder,
    sink: WriterSink<'a>,
    /// True when blocks go to all workers.
    is_shared: bool,
    /// Blocks under way, in file order.
    waiting: VecDeque<u64>,
    /// New chunks that the feed does not have yet.
    announced: Vec<FeedChunk>,
    batch: u64,
    is_announced: bool,
    /// True before the first chunk of a file that is to begin on a border.
    is_aligned: bool,
}

impl List<'_, '_> {
    /// Adds a block's chunks, now or when another worker has done it.
    fn add(&mut self, block: Block, spare: &mut Vec<Block>) -> Result<(), Failure> {
        if !self.is_shared {
            for chunk in block.chunks() {
                let stored = self.pool.put_chunk(chunk).map_err(SnapshotError::from)?;
                self.push(&stored)?;
            }
            spare.push(block);
            return Ok(());
        }
        self.waiting.push_back(self.pool.add_block(block, None));
        while self.pool.is_full_of_blocks() {
            let Some(id) = self.waiting.pop_front() else { break };
            let done = self.pool.block_done(id);
            spare.push(self.take(done)?);
        }
        Ok(())
    }

    /// Adds `count` chunks of zeros.
    fn add_zeros(&mut self, count: u64, spare: &mut Vec<Block>) -> Result<(), Failure> {
        self.take_all(spare)?;
        let stored = self.pool.put_chunk(&ZEROS).map_err(SnapshotError::from)?;
        self.push(&stored)?;
        for _ in 1..count {
            self.chunks.push(stored.digest, stored.length, &mut self.sink)?;
        }
        Ok(())
    }

    /// Adds the file's next chunk.
    pub(super) fn push(&mut self, stored: &Stored) -> Result<(), Failure> {
        if self.is_announced {
            self.announced.extend(stored.announced(std::mem::take(&mut self.is_aligned)));
        }
        Ok(self.chunks.push(stored.digest, stored.length, &mut self.sink)?)
    }

    /// Waits for all blocks under way, also behind one that failed.
    fn take_all(&mut self, spare: &mut Vec<Block>) -> Result<(), Failure> {
        let mut result = Ok(());
        while let Some(id) = self.waiting.pop_front() {
            let done = self.pool.block_done(id);
            match self.take(done) {
                Ok(block) => spare.push(block),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    fn take(&mut self, done: BlockDone) -> Result<Block, Failure> {
        for stored in done.chunks.map_err(SnapshotError::from)?.into_iter().flatten() {
            self.push(&stored)?;
        }
        // A large file is fetched while it is read.
        if let Some(feed) = self.pool.feed {
            feed.add(self.batch, &mut self.announced);
        }
        Ok(done.block)
    }
}

static ZEROS: [u8; CHUNK_BYTES_MAX] = [0; CHUNK_BYTES_MAX];

/// Bytes from `position` on that lie in a hole.
fn hole_at(file: BorrowedFd<'_>, position: u64, length: u64) -> io::Result<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(data) => Ok(data.min(length).saturating_sub(position)),
        // Only a hole is left.
        Err(Errno::NXIO) => Ok(length - position),
        Err(Errno::INVAL) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

/// Where, behind `position`, it is worth looking for a hole again.
fn data_end_after(file: BorrowedFd<'_>, position: u64, length: u64) -> io::Result<u64> {
    let data = match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(data) => data,
        Err(Errno::NXIO | Errno::INVAL) => return Ok(length),
        Err(errno) => return Err(errno.into()),
    };
    match rustix::fs::seek(file, SeekFrom::Hole(data)) {
        Ok(hole) => Ok(hole.min(length).max(position + 1)),
        Err(Errno::NXIO | Errno::INVAL) => Ok(length),
        Err(errno) => Err(errno.into()),
    }
}

/// Puts manifest pages into the library's open packs.
pub(super) struct WriterSink<'a>(pub(super) &'a Writer);

impl PageSink for WriterSink<'_> {
    fn page(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), PageError> {
        match self.0.put_page(digest, bytes) {
            Ok(_) => Ok(()),
            Err(error) => Err(PageError { digest, source: Box::new(error) }),
        }
    }
}
