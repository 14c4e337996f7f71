//! Reading a large file that the version before has: its old cuts are tried first.
//!
//! Looking for cuts costs more than hashing, and one thread must do it from front to back. A chunk that
//! still has its old digest, followed by another that has, is cut where it was: the cutter looks at the
//! chunk's bytes and the one behind. So workers hash the file at its old cuts, and only what does not
//! match is cut again, from the last certain cut to the next place where both agree. Bytes that were
//! inserted or removed move the old cuts: when a chunk that was cut again turns out to be an old one,
//! those behind it are expected where it says.
//!
//! The result is the same as without any of this.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering::Relaxed;

use restock_names::Digest;

use super::SnapshotError;
use super::pool::Stored;
use super::read::{Failure, List, OpenFile, Reader};
use crate::chunk::{CHUNK_BYTES_MAX, first_cut};
use crate::library::Library;
use crate::manifest::{Entry, EntryKind, Manifest, ManifestRoot};

/// Chunks of an older state, at most: about 100 bytes each in memory.
const EXPECTED_MAX: usize = 1 << 18;
/// Bytes handed to a worker at once.
const BLOCK_BYTES: u64 = 1 << 20;
/// After so many chunks cut again without meeting an old cut, the rest is read as if it were new.
const CUT_AGAIN_MAX: u32 = 64;
/// A chunk that the file had more than once is looked for among so many on either side.
const NEAR: usize = 64;

/// A chunk of the older state.
#[derive(Debug, Clone, Copy)]
struct Old {
    start: u64,
    length: u32,
    digest: Digest,
}

impl Old {
    fn end(&self) -> u64 {
        self.start + u64::from(self.length)
    }
}

/// How a file was cut when it was read last.
#[derive(Debug)]
pub(super) struct Expected {
    chunks: Vec<Old>,
    /// Where each chunk lies that the file has once.
    by_digest: HashMap<Digest, Option<usize>>,
}

impl Expected {
    /// The chunks of a file's entry; `None` if there are too many, or they cannot be read.
    pub(super) fn read(library: &Library, before: &Entry) -> Option<Self> {
        let EntryKind::File { size, .. } = before.kind else { return None };
        // Only the file's own list is read.
        let root =
            ManifestRoot { digest: Digest::ZERO, length: 0, pages: 0, entries: 0, chunks: 0, bytes: 0 };
        let (mut chunks, mut by_digest) = (Vec::new(), HashMap::new());
        let mut start = 0;
        for run in Manifest::new(library, root).runs(before) {
            let (_, run) = run.ok()?;
            if usize::try_from(run.repeat).ok()?.checked_add(chunks.len())? > EXPECTED_MAX {
                return None;
            }
            for _ in 0..run.repeat {
                by_digest.entry(run.digest).and_modify(|at| *at = None).or_insert(Some(chunks.len()));
                chunks.push(Old { start, length: run.length, digest: run.digest });
                start += u64::from(run.length);
            }
        }
        (start == size && !chunks.is_empty()).then_some(Self { chunks, by_digest })
    }

    /// The old chunk that a chunk is which was met near the old chunk `near` and ends at `end`, counted in
    /// the old state: the only one with its digest, or else the one that ends there or the nearest.
    fn find(&self, digest: &Digest, near: usize, end: i128) -> Option<usize> {
        if let Some(index) = self.by_digest.get(digest)? {
            return Some(*index);
        }
        let around = near.saturating_sub(NEAR)..near.saturating_add(NEAR).min(self.chunks.len());
        around
            .filter(|index| self.chunks[*index].digest == *digest)
            .min_by_key(|index| (i128::from(self.chunks[*index].end()) != end, index.abs_diff(near)))
    }

    fn is_last(&self, index: usize) -> bool {
        index + 1 == self.chunks.len()
    }
}

/// A block under way: its first chunk, and where that is expected.
struct UnderWay {
    id: u64,
    first: usize,
    start: u64,
}

/// What became of an expected chunk.
struct Checked {
    index: usize,
    start: u64,
    /// `None` if other bytes are there.
    stored: Option<Stored>,
}

/// How far a file is, and what is expected next.
struct Course {
    /// Everything before is in the list.
    position: u64,
    /// A chunk at `position` that is right if the byte behind it is.
    unsure: Option<Checked>,
    /// The next old chunk to be tried, and where it is expected.
    next: (usize, u64),
    under_way: VecDeque<UnderWay>,
    /// Chunks cut again since an expected one was right.
    cut_again: u32,
    /// An old chunk that was met elsewhere than expected: the one behind it is tried next.
    met: Option<usize>,
}

impl<'p, 'a> Reader<'p, 'a> {
    /// Reads a file that is expected to be like its older state, at least in part.
    pub(super) fn read_expected(
        &mut self,
        file: &OpenFile<'_>,
        expected: &Expected,
        list: &mut List<'p, 'a>,
    ) -> Result<(), Failure> {
        let mut course = Course {
            position: 0,
            unsure: None,
            next: (0, 0),
            under_way: VecDeque::new(),
            cut_again: 0,
            met: None,
        };
        let read = self.follow(file, expected, &mut course, list);
        // Also after a failure: no block may outlive the reading.
        self.drop_blocks(&mut course);
        read?;
        self.read_blocks(file, course.position, list)
    }

    /// Goes on until expectations end or are given up; from [`Course::position`] on all is to be read.
    fn follow(
        &mut self,
        file: &OpenFile<'_>,
        expected: &Expected,
        course: &mut Course,
        list: &mut List<'p, 'a>,
    ) -> Result<(), Failure> {
        loop {
            self.pool.check()?;
            while (course.under_way.is_empty() || !self.pool.is_full_of_blocks())
                && self.send_block(file, expected, course)?
            {}
            let Some(block) = course.under_way.pop_front() else { break };
            let done = self.pool.block_done(block.id);
            let mut start = block.start;
            let checked = done.chunks.map_err(SnapshotError::from)?;
            self.spare.push(done.block);
            for (index, stored) in (block.first..).zip(checked) {
                let length = u64::from(expected.chunks[index].length);
                self.take_checked(file, expected, course, Checked { index, start, stored }, list)?;
                start += length;
                if course.cut_again > CUT_AGAIN_MAX {
                    return Ok(());
                }
                if let Some(met) = course.met.take() {
                    self.drop_blocks(course);
                    course.next = (met + 1, course.position);
                    break;
                }
            }
        }
        // The end of a file is a cut for that reason alone: of both, or of none.
        if let Some(last) = course.unsure.take()
            && let Some(stored) = &last.stored
            && expected.is_last(last.index)
            && last.start + u64::from(stored.length) == file.length
        {
            list.push(stored)?;
            course.position = file.length;
        }
        Ok(())
    }

    /// Hands the next expected chunks to the workers; false when there are none.
    fn send_block(
        &mut self,
        file: &OpenFile<'_>,
        expected: &Expected,
        course: &mut Course,
    ) -> Result<bool, Failure> {
        let (first, start) = course.next;
        let (mut length, mut count) = (0, 0);
        for old in &expected.chunks[first..] {
            let longer = length + u64::from(old.length);
            if longer > BLOCK_BYTES || start + longer > file.length {
                break;
            }
            (length, count) = (longer, count + 1);
        }
        if count == 0 {
            return Ok(false);
        }
        let chunks = &expected.chunks[first..first + count];
        let mut block = self.spare.pop().unwrap_or_default();
        let lengths = chunks.iter().map(|old| old.length as usize);
        block.fill(start, lengths, |buffer, offset| Ok(file.read(buffer, offset)?))?;
        self.count_read(length);
        let digests = chunks.iter().map(|old| old.digest).collect();
        let id = self.pool.add_block(block, Some(digests));
        course.under_way.push_back(UnderWay { id, first, start });
        course.next = (first + count, start + length);
        Ok(true)
    }

    /// Takes in what became of the next expected chunk.
    fn take_checked(
        &mut self,
        file: &OpenFile<'_>,
        expected: &Expected,
        course: &mut Course,
        checked: Checked,
        list: &mut List<'p, 'a>,
    ) -> Result<(), Failure> {
        if let Some(Checked { stored: Some(stored), .. }) = course.unsure.take()
            && checked.stored.is_some()
        {
            list.push(&stored)?;
            course.position = checked.start;
        }
        while course.position < checked.start
            || (course.position == checked.start && checked.stored.is_none())
        {
            self.cut_again(file, expected, course, &checked, list)?;
            if course.met.is_some() || course.cut_again > CUT_AGAIN_MAX {
                return Ok(());
            }
        }
        if course.position == checked.start && checked.stored.is_some() {
            course.cut_again = 0;
            course.unsure = Some(checked);
        }
        Ok(())
    }

    /// Cuts one chunk at the position.
    fn cut_again(
        &mut self,
        file: &OpenFile<'_>,
        expected: &Expected,
        course: &mut Course,
        checked: &Checked,
        list: &mut List<'p, 'a>,
    ) -> Result<(), Failure> {
        let mut block = self.spare.pop().unwrap_or_default();
        let left = file.length - course.position;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
        let filled = block.fill(course.position, std::iter::once(wanted), |buffer, offset| {
            Ok::<_, io::Error>(file.read(buffer, offset)?)
        });
        let bytes = block.chunks().next().unwrap_or_default();
        let stored = filled.map_err(Failure::from).and_then(|()| {
            let put = self.pool.put_chunk(&bytes[..first_cut(bytes)]);
            put.map_err(|error| Failure::from(SnapshotError::from(error)))
        });
        self.spare.push(block);
        let stored = stored?;
        self.count_read(stored.length.into());
        list.push(&stored)?;
        course.position += u64::from(stored.length);
        course.cut_again += 1;
        // Known bytes at another place than those that are checked: the rest has moved with them.
        let shift = i128::from(checked.start) - i128::from(expected.chunks[checked.index].start);
        let end = i128::from(course.position) - shift;
        course.met = expected
            .find(&stored.digest, checked.index, end)
            .filter(|index| !expected.is_last(*index) && i128::from(expected.chunks[*index].end()) != end);
        Ok(())
    }

    /// Takes back blocks whose results are of no use any more.
    fn drop_blocks(&mut self, course: &mut Course) {
        for block in course.under_way.drain(..) {
            self.spare.push(self.pool.block_done(block.id).block);
        }
        course.unsure = None;
    }

    fn count_read(&self, bytes: u64) {
        self.pool.counts.bytes_read.fetch_add(bytes, Relaxed);
        self.pool.progress.add(0, bytes, 0);
    }
}
