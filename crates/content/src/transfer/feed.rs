//! What a snapshot that is still being taken has stored so far, for holders that fetch it meanwhile.
//!
//! The snapshot's threads add the chunks that are new to the library, batch by batch; the [`Feed`]
//! gives them out in the order of the source, numbered from 0. A holder that follows it places them in
//! that order, so a file becomes one range there as it would by a plan. What the feed leaves out, or
//! what a holder does not get of it, is fetched with the published version like any other chunk.
//!
//! It also knows whether the link is faster than the compressor: then frames are stored, and sent, raw.
//!
//! Source: docs/formats/link.md, "Following a draft".

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restock_names::Digest;

use crate::chunk::CHUNK_BYTES_MAX;
use crate::codec::{DecodeError, Reader};

/// Chunks in a feed, at most: 40 bytes each in memory. What lies behind them comes with the version.
pub const FEED_CHUNKS_MAX: usize = 1 << 20;
/// What a follower's connection takes at first goes into buffers and says nothing about the link.
const BUFFERED_BYTES: u64 = 8 << 20;
/// A rate is worth something when it was measured over so many bytes.
const RATE_BYTES_MIN: u64 = 8 << 20;
/// Measurements are halved when they have so many bytes, so that what was long ago counts little.
const RATE_BYTES_MAX: u64 = 64 << 20;

/// One new chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedChunk {
    /// Its digest.
    pub digest: Digest,
    /// Its raw length in bytes.
    pub length: u32,
    /// True for the first chunk of a file that is to begin on a border.
    pub is_aligned: bool,
}

/// Chunks as they are announced on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPart {
    /// The number of the first.
    pub first: u64,
    /// At most [`FEED_PART_MAX`].
    pub chunks: Vec<FeedChunk>,
}

/// Chunks announced at once, at most.
pub const FEED_PART_MAX: usize = 4_096;
const CHUNK_FIELD_BYTES: usize = 37;
const FLAG_ALIGNED: u8 = 1;

/// Why bytes are not announced chunks. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The encoding is broken.
    #[error("LINK_FORMAT: {0}")]
    Encoding(#[from] DecodeError),
    /// A number outside its range.
    #[error("LINK_FORMAT: announced chunks with {what} {value}")]
    Range { what: &'static str, value: u64 },
}

impl FeedPart {
    /// The body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.chunks.len() * CHUNK_FIELD_BYTES);
        out.extend(self.first.to_le_bytes());
        for FeedChunk { digest, length, is_aligned } in &self.chunks {
            out.extend(digest.0);
            out.extend(length.to_le_bytes());
            out.push(u8::from(*is_aligned));
        }
        out
    }

    /// Reads the body of a frame.
    ///
    /// Errors: lengths no chunk has, too many chunks, numbers beyond [`FEED_CHUNKS_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FeedError> {
        let mut reader = Reader::new(bytes);
        let first = reader.u64()?;
        let count = bytes.len().saturating_sub(8).div_ceil(CHUNK_FIELD_BYTES);
        if count > FEED_PART_MAX {
            return Err(FeedError::Range { what: "count", value: count as u64 });
        }
        if first.checked_add(count as u64).is_none_or(|end| end > FEED_CHUNKS_MAX as u64) {
            return Err(FeedError::Range { what: "number", value: first });
        }
        let mut chunks = Vec::with_capacity(count);
        while !reader.is_empty() {
            let (digest, length, flags) = (Digest(reader.array()?), reader.u32()?, reader.u8()?);
            if length == 0 || length as usize > CHUNK_BYTES_MAX {
                return Err(FeedError::Range { what: "length", value: length.into() });
            }
            if flags > FLAG_ALIGNED {
                return Err(FeedError::Range { what: "flags", value: flags.into() });
            }
            chunks.push(FeedChunk { digest, length, is_aligned: flags == FLAG_ALIGNED });
        }
        Ok(Self { first, chunks })
    }
}

/// Fuzz target: any bytes are refused or survive a round trip, byte for byte.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    if let Ok(part) = FeedPart::decode(bytes) {
        assert_eq!(part.encode(), bytes);
    }
}

/// How a snapshot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedEnd {
    /// It is published, or will be: everything in the feed stays.
    Kept,
    /// It is given up, and its chunks with it.
    Dropped,
}

/// The chunks of one snapshot in the making. Used from many threads.
pub struct Feed {
    state: Mutex<State>,
    rates: Mutex<Rates>,
    changed: Box<dyn Fn(u64) + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    chunks: Vec<FeedChunk>,
    /// Their raw lengths added up.
    bytes: u64,
    /// The batch whose chunks are taken at once; those of later batches wait.
    front: u64,
    waiting: BTreeMap<u64, Waiting>,
    end: Option<FeedEnd>,
}

#[derive(Debug, Default)]
struct Waiting {
    chunks: Vec<FeedChunk>,
    has_ended: bool,
}

/// Bytes moved and the time that took.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    bytes: u64,
    time: Duration,
}

#[derive(Debug, Default)]
struct Rates {
    measured: FeedRates,
    /// True when something was sent to somebody who follows this feed.
    is_link_measured: bool,
    /// Threads that compress.
    threads: u32,
}

/// How fast the link to those who followed a feed was, and the compressor. A later feed of the same
/// package begins with it: what is stored before anybody follows is stored as the link is likely to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeedRates {
    link: Measured,
    compressor: Measured,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("chunks", &self.lock().chunks.len()).finish_non_exhaustive()
    }
}

impl Feed {
    /// An empty feed; `changed` is called, from any thread, when there is more in it or it has ended,
    /// with the raw bytes of all its chunks.
    pub fn new(changed: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { state: Mutex::default(), rates: Mutex::default(), changed: Box::new(changed) }
    }

    /// This feed, beginning with what an earlier one measured.
    pub fn starting_with(self, measured: FeedRates) -> Self {
        self.rates().measured = measured;
        self
    }

    /// What was measured, if anybody followed this feed long enough.
    pub fn measured(&self) -> Option<FeedRates> {
        let rates = self.rates();
        (rates.is_link_measured && rates.measured.link.rate().is_some()).then_some(rates.measured)
    }

    /// Another round of the snapshot begins: batches are counted from 0 again, by `threads` threads.
    pub(crate) fn begin_round(&self, threads: usize) {
        self.rates().threads = u32::try_from(threads).unwrap_or(u32::MAX);
        let mut state = self.lock();
        state.front = 0;
        state.waiting.clear();
    }

    /// Adds new chunks of a batch; they follow those it has already.
    pub(crate) fn add(&self, batch: u64, chunks: &mut Vec<FeedChunk>) {
        if chunks.is_empty() {
            return;
        }
        let mut state = self.lock();
        if batch == state.front {
            state.take(chunks);
            let bytes = state.bytes;
            drop(state);
            (self.changed)(bytes);
        } else {
            state.waiting.entry(batch).or_default().chunks.append(chunks);
        }
    }

    /// A batch has no more chunks.
    pub(crate) fn end_batch(&self, batch: u64) {
        let mut state = self.lock();
        state.waiting.entry(batch).or_default().has_ended = true;
        let before = state.chunks.len();
        while state.waiting.get(&state.front).is_some_and(|waiting| waiting.has_ended) {
            let front = state.front;
            let mut ended = state.waiting.remove(&front).unwrap_or_default();
            state.take(&mut ended.chunks);
            state.front += 1;
            // The next one is at the front from here on: what waited of it is taken.
            if let Some(next) = state.waiting.get_mut(&(front + 1)) {
                let mut chunks = std::mem::take(&mut next.chunks);
                state.take(&mut chunks);
            }
        }
        let (has_grown, bytes) = (state.chunks.len() > before, state.bytes);
        drop(state);
        if has_grown {
            (self.changed)(bytes);
        }
    }

    /// Ends the feed; the first end counts.
    pub fn close(&self, end: FeedEnd) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        let bytes = state.bytes;
        drop(state);
        (self.changed)(bytes);
    }

    /// Raw bytes of all its chunks.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// At most `most` chunks from number `from` on, and how the feed ended if these are the last.
    pub fn after(&self, from: u64, most: usize) -> (Vec<FeedChunk>, Option<FeedEnd>) {
        let state = self.lock();
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(state.chunks.len());
        let to = from.saturating_add(most).min(state.chunks.len());
        let end = state.end.filter(|end| to == state.chunks.len() || *end == FeedEnd::Dropped);
        (state.chunks[from..to].to_vec(), end)
    }

    /// One chunk by its number.
    pub fn chunk(&self, number: u64) -> Option<FeedChunk> {
        self.lock().chunks.get(usize::try_from(number).ok()?).copied()
    }

    /// A follower's connection has taken `sent` stored bytes so far, the last `bytes` of them in `time`.
    pub fn note_sent(&self, sent: u64, bytes: u64, time: Duration) {
        if sent > BUFFERED_BYTES {
            let mut rates = self.rates();
            rates.measured.link.add(bytes, time);
            rates.is_link_measured = true;
        }
    }

    /// A thread of the snapshot has compressed and stored `bytes` raw bytes in `time`.
    pub(crate) fn note_compressed(&self, bytes: u64, time: Duration) {
        self.rates().measured.compressor.add(bytes, time);
    }

    /// True when somebody follows over a link that is faster than the compressor: then compressing
    /// would only make everybody wait.
    pub(crate) fn is_link_faster(&self) -> bool {
        let rates = self.rates();
        match (rates.measured.link.rate(), rates.measured.compressor.rate()) {
            (Some(link), Some(compressor)) => link > compressor * f64::from(rates.threads.max(1)),
            _ => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every moment: a panic elsewhere changes nothing about it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, chunks: &mut Vec<FeedChunk>) {
        chunks.truncate(FEED_CHUNKS_MAX.saturating_sub(self.chunks.len()));
        self.bytes += chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
        self.chunks.append(chunks);
    }
}

impl Measured {
    fn add(&mut self, bytes: u64, time: Duration) {
        self.bytes += bytes;
        self.time += time;
        if self.bytes > RATE_BYTES_MAX {
            self.bytes /= 2;
            self.time /= 2;
        }
    }

    /// Bytes a second, when that is known.
    fn rate(&self) -> Option<f64> {
        (self.bytes >= RATE_BYTES_MIN).then(|| self.bytes as f64 / self.time.as_secs_f64().max(1e-6))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use proptest::prelude::{any, prop, proptest};
    use restock_names::Digest;

    use super::{Feed, FeedChunk, FeedEnd, FeedError, FeedPart, fuzz_one};

    fn chunk(number: u32) -> FeedChunk {
        FeedChunk { digest: Digest([number as u8; 32]), length: number, is_aligned: false }
    }

    fn lengths(feed: &Feed, from: u64) -> Vec<u32> {
        feed.after(from, 1_000).0.iter().map(|chunk| chunk.length).collect()
    }

    #[test]
    fn chunks_come_in_the_order_of_the_batches() {
        let told = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&told);
        let feed = Feed::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        feed.begin_round(2);
        feed.add(1, &mut vec![chunk(10)]);
        assert_eq!((lengths(&feed, 0), told.load(Ordering::Relaxed)), (vec![], 0));
        feed.add(0, &mut vec![chunk(1), chunk(2)]);
        assert_eq!((lengths(&feed, 0), told.load(Ordering::Relaxed)), (vec![1, 2], 1));
        feed.end_batch(0);
        assert_eq!((lengths(&feed, 1), told.load(Ordering::Relaxed)), (vec![2, 10], 2));
        // Batch 1 is at the front: what is added to it is given out at once.
        feed.add(1, &mut vec![chunk(11)]);
        assert_eq!(lengths(&feed, 2), [10, 11]);
        feed.end_batch(2);
        feed.end_batch(1);
        feed.begin_round(2);
        feed.add(0, &mut vec![chunk(3)]);
        assert_eq!(feed.after(4, 9), (vec![chunk(3)], None));
        feed.close(FeedEnd::Kept);
        feed.close(FeedEnd::Dropped);
        assert_eq!(feed.after(0, 2).1, None, "there is more before the end");
        assert_eq!(feed.after(4, 2), (vec![chunk(3)], Some(FeedEnd::Kept)));
        assert_eq!(feed.after(9, 2), (vec![], Some(FeedEnd::Kept)));
        assert_eq!((feed.chunk(4), feed.chunk(5)), (Some(chunk(3)), None));
    }

    #[test]
    fn frames_are_raw_only_while_a_measured_link_beats_all_compressing_threads() {
        let feed = Feed::new(|_| {});
        feed.begin_round(2);
        let second = Duration::from_secs(1);
        assert!(!feed.is_link_faster(), "nobody follows");
        feed.note_compressed(100 << 20, second);
        feed.note_sent(4 << 20, 4 << 20, Duration::from_nanos(1));
        assert!(!feed.is_link_faster(), "what fits into buffers is no measurement");
        feed.note_sent(400 << 20, 150 << 20, second);
        assert!(!feed.is_link_faster(), "two threads make 200 MiB a second");
        for _ in 0..20 {
            feed.note_sent(900 << 20, 300 << 20, second);
        }
        assert!(feed.is_link_faster());
        for _ in 0..20 {
            feed.note_sent(900 << 20, 30 << 20, second);
        }
        assert!(!feed.is_link_faster(), "a link that became slow");
    }

    #[test]
    fn a_feed_begins_with_what_an_earlier_one_measured_and_learns_otherwise() {
        let second = Duration::from_secs(1);
        let fast = Feed::new(|_| {});
        fast.begin_round(1);
        fast.note_compressed(32 << 20, second);
        fast.note_sent(400 << 20, 64 << 20, second);
        let measured = fast.measured().expect("somebody followed");
        let next = Feed::new(|_| {}).starting_with(measured);
        next.begin_round(1);
        assert!(next.is_link_faster());
        assert!(next.measured().is_none(), "nobody followed this one");
        for _ in 0..20 {
            next.note_sent(900 << 20, 16 << 20, second);
        }
        assert!(!next.is_link_faster(), "a link that became slow");
    }

    #[test]
    fn announced_chunks_have_their_documented_bytes_and_lengths_no_chunk_has_are_refused() {
        let one = FeedChunk { digest: Digest([7; 32]), length: 0x0102_0304 >> 8, is_aligned: true };
        let part = FeedPart { first: 5, chunks: vec![one] };
        let bytes = part.encode();
        assert_eq!(bytes[..8], [5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[8..40], [7; 32]);
        assert_eq!(bytes[40..], [3, 2, 1, 0, 1]);
        assert_eq!(FeedPart::decode(&bytes), Ok(part));
        let what = |bytes: &[u8]| match FeedPart::decode(bytes) {
            Err(FeedError::Range { what, .. }) => what,
            Err(FeedError::Encoding(_)) => "encoding",
            Ok(_) => "fine",
        };
        let with = |at: usize, byte: u8| {
            let mut bad = bytes.clone();
            bad[at] = byte;
            bad
        };
        assert_eq!(what(&with(43, 1)), "length");
        assert_eq!(what(&with(44, 2)), "flags");
        assert_eq!(what(&with(7, 255)), "number");
        assert_eq!(what(&bytes[..44]), "encoding");
        assert_eq!(what(&vec![1; 8 + 37 * 4_097]), "count");
        assert_eq!(what(&[0; 45]), "length");
    }

    proptest! {
        #[test]
        fn any_bytes_are_announced_chunks_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..130)) {
            fuzz_one(&bytes);
        }

        #[test]
        fn the_order_does_not_depend_on_who_comes_first(
            batches in prop::collection::vec(prop::collection::vec(1_u32..200, 0..6), 1..8),
            seed in any::<u64>(),
        ) {
            let feed = Feed::new(|_| {});
            feed.begin_round(4);
            // Each batch adds its chunks one by one and then ends; which batch goes on is by chance.
            let mut left: Vec<(u64, std::collections::VecDeque<u32>)> =
                (0..).zip(batches.iter().map(|batch| batch.iter().copied().collect())).collect();
            let mut state = seed;
            while !left.is_empty() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % left.len();
                match left[at].1.pop_front() {
                    Some(number) => feed.add(left[at].0, &mut vec![chunk(number)]),
                    None => feed.end_batch(left.remove(at).0),
                }
            }
            assert_eq!(lengths(&feed, 0), batches.concat());
        }
    }
}
