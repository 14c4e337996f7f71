//! Cutting a file's bytes into chunks by content: profile 1, FastCDC 2020.
//!
//! A cut depends only on the bytes between the last cut and the new one, so equal runs of bytes in
//! two files, or in two versions of one file, become equal chunks. [`first_cut`] finds one cut in
//! bytes at hand; [`Cutter`] cuts a file of any length in buffers of bounded size.
//!
//! The parameters are part of the format (the manifest names the profile) and never configuration.
//! Nothing here hashes, stores or opens anything.
//!
//! Source: docs/formats/chunking.md.

mod gear;

use std::io;
use std::ops::Range;

/// No chunk is shorter, except the last of a file.
pub const CHUNK_BYTES_MIN: usize = 16 * 1024;
/// Up to this length a cut needs the strict mask, beyond it the relaxed one.
pub const CHUNK_BYTES_AVERAGE: usize = 64 * 1024;
/// No chunk is longer.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Masks of profile 1: those for an average four times as long and a quarter as long.
const MASK_STRICT: u64 = 0x0000_d907_0753_7000;
const MASK_RELAXED: u64 = 0x0000_d903_1353_0000;
const _: () = assert!((MASK_STRICT | MASK_RELAXED) >> gear::WINDOW == 0, "the window covers the masks");

/// Bytes that a [`Cutter`] reads at once, apart from what it carries over.
const BLOCK_BYTES: usize = 1 << 20;

/// The length of the first chunk of `bytes`, 0 for no bytes.
///
/// `bytes` must hold [`CHUNK_BYTES_MAX`] bytes or everything up to the end of the file: with less
/// the result would depend on how the file was buffered.
pub fn first_cut(bytes: &[u8]) -> usize {
    let length = bytes.len().min(CHUNK_BYTES_MAX);
    if length <= CHUNK_BYTES_MIN {
        return length;
    }
    // Bytes are looked at in pairs: an odd one at the end is no place for a cut.
    let (end, average) = (length & !1, length.min(CHUNK_BYTES_AVERAGE) & !1);
    match gear::search(bytes, CHUNK_BYTES_MIN, average, MASK_STRICT, 0) {
        Ok(cut) => cut,
        Err(hash) => gear::search(bytes, average, end, MASK_RELAXED, hash).unwrap_or(length),
    }
}

/// Whole chunks of a file, one directly after the other. Reused from read to read.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Block {
    /// The chunks in file order.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges().map(|range| &self.bytes[range])
    }

    /// Fills the block with bytes from `offset` on, cut at the lengths given.
    ///
    /// `read` puts bytes from an offset into a buffer and returns how many, as `pread` does.
    /// Errors: those of `read`; [`io::ErrorKind::UnexpectedEof`] when there are fewer bytes.
    pub(crate) fn fill(
        &mut self,
        offset: u64,
        lengths: impl Iterator<Item = usize>,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.ends.clear();
        self.ends.extend(lengths.scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        let wanted = self.length();
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        fill(&mut self.bytes[..wanted], 0, offset, &mut read)
    }

    /// Bytes of all chunks.
    pub fn length(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start..*end)
    }
}

/// Cuts one file after another in bounded buffers; the cuts do not depend on the buffering.
///
/// Memory: at most 256 KiB beside the blocks, which have at most 1 MiB each.
#[derive(Debug, Default)]
pub struct Cutter {
    /// Bytes that were read and not yet cut.
    tail: Vec<u8>,
    /// Offset of the first byte not yet cut.
    position: u64,
    length: u64,
}

impl Cutter {
    /// Begins a file of `length` bytes; what is left of the file before is dropped.
    pub fn start(&mut self, length: u64) {
        self.start_at(0, length);
    }

    /// As [`Self::start`], from a cut at `position` on.
    pub(crate) fn start_at(&mut self, position: u64, length: u64) {
        self.tail.clear();
        self.position = position;
        self.length = length;
    }

    /// The offset of the first byte not yet cut.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on after `count` chunks of [`CHUNK_BYTES_MAX`] zero bytes that begin at
    /// [`Self::position`]: zeros are always cut at that length, so a hole need not be read.
    pub fn skip_zero_chunks(&mut self, count: u64) {
        self.tail.clear();
        self.position += count * CHUNK_BYTES_MAX as u64;
    }

    /// Fills `block` with the next chunks; false at the end of the file.
    ///
    /// `read` puts bytes from an offset into a buffer and returns how many, as `pread` does.
    /// Errors: those of `read`; [`io::ErrorKind::UnexpectedEof`] when the file ends before its
    /// length.
    pub fn next_block(
        &mut self,
        block: &mut Block,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<bool> {
        block.ends.clear();
        let left = self.length - self.position;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        if wanted == 0 {
            return Ok(false);
        }
        // Growing zeroes the new bytes once; a reused buffer is not touched again.
        if block.bytes.len() < wanted {
            block.bytes.resize(wanted, 0);
        }
        let buffer = &mut block.bytes[..wanted];
        let filled = self.tail.len();
        buffer[..filled].copy_from_slice(&self.tail);
        fill(buffer, filled, self.position, &mut read)?;
        let is_last = left == wanted as u64;
        let mut at = 0;
        while at < wanted && (is_last || wanted - at >= CHUNK_BYTES_MAX) {
            at += first_cut(&buffer[at..]);
            block.ends.push(at);
        }
        self.tail.clear();
        self.tail.extend_from_slice(&buffer[at..]);
        self.position += at as u64;
        Ok(true)
    }
}

/// Reads until `buffer`, whose first `filled` bytes are there, has all bytes from `offset` on.
fn fill(
    buffer: &mut [u8],
    mut filled: usize,
    offset: u64,
    read: &mut impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    while filled < buffer.len() {
        match read(&mut buffer[filled..], offset + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        Block, CHUNK_BYTES_AVERAGE, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Cutter, MASK_RELAXED, MASK_STRICT,
        first_cut,
    };
    use fastcdc::v2020;
    use proptest::prelude::{ProptestConfig, any, prop, proptest};

    /// SplitMix64, as docs/formats/chunking.md says.
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn cuts_in_memory(mut bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !bytes.is_empty() {
            let length = first_cut(bytes);
            lengths.push(length);
            bytes = &bytes[length..];
        }
        lengths
    }

    fn cuts_streamed(bytes: &[u8], read_max: usize) -> Vec<usize> {
        let (mut cutter, mut block, mut lengths) = (Cutter::default(), Block::default(), Vec::new());
        cutter.start(bytes.len() as u64);
        let mut read = |buffer: &mut [u8], offset: u64| {
            let rest = &bytes[offset as usize..];
            let count = rest.len().min(buffer.len()).min(read_max);
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        };
        let mut seen = Vec::new();
        while cutter.next_block(&mut block, &mut read).expect("memory can be read") {
            lengths.extend(block.chunks().map(<[u8]>::len));
            block.chunks().for_each(|chunk| seen.extend_from_slice(chunk));
        }
        assert!(seen == bytes, "the chunks in order are the file");
        lengths
    }

    #[test]
    fn cut_points_are_those_of_the_format() {
        assert_eq!(cuts_in_memory(&noise(1, 2 << 20)), GOLDEN_NOISE);
        // Repeating text, as sources and configuration files are.
        let text: Vec<u8> = (0..40_000_u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        assert_eq!(cuts_in_memory(&text), GOLDEN_TEXT);
    }

    #[test]
    fn masks_are_those_of_normalisation_two() {
        let masks = v2020::select_masks(CHUNK_BYTES_AVERAGE, v2020::Normalization::Level2);
        assert_eq!((MASK_STRICT, MASK_RELAXED), masks);
    }

    #[test]
    fn zeros_are_cut_at_the_limit() {
        assert_eq!(cuts_in_memory(&vec![0; 2 * CHUNK_BYTES_MAX + 5]), [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 5]);
        // Also with other bytes after them: a hole ends where data begins.
        let mut bytes = vec![0; CHUNK_BYTES_MAX];
        bytes.extend(noise(9, CHUNK_BYTES_MAX));
        assert_eq!(first_cut(&bytes), CHUNK_BYTES_MAX);
    }

    #[test]
    fn short_files_are_one_chunk() {
        assert_eq!(first_cut(&[]), 0);
        for length in [1, 2, 17, CHUNK_BYTES_MIN - 1, CHUNK_BYTES_MIN] {
            assert_eq!(cuts_in_memory(&noise(2, length)), [length]);
        }
    }

    #[test]
    fn a_file_that_ends_early_is_noticed() {
        let (mut cutter, mut block) = (Cutter::default(), Block::default());
        cutter.start(10);
        let error = cutter.next_block(&mut block, |_, _| Ok(0)).expect_err("ten bytes were promised");
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_inserted_byte_changes_chunks_near_it_only() {
        let before = noise(3, 4 << 20);
        let mut after = before.clone();
        after.insert(2 << 20, 7);
        let (before, after) = (cuts_in_memory(&before), cuts_in_memory(&after));
        let same_start = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
        let same_end = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
        assert!(before.len() - same_start - same_end <= 3, "{before:?} {after:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn cuts_are_those_of_a_search_byte_by_byte(
            seed in any::<u64>(),
            length in CHUNK_BYTES_MIN..(2 * CHUNK_BYTES_MAX),
            // Few different bytes make the same hashes again and again.
            kinds in prop::sample::select(vec![2_u8, 3, 7, 40, 255]),
            zeros in 0_usize..CHUNK_BYTES_MAX,
            zeros_at in 0_usize..70_000,
        ) {
            let mut bytes: Vec<u8> = noise(seed, length).into_iter().map(|byte| byte % kinds).collect();
            if seed % 3 == 0 {
                bytes.iter_mut().skip(zeros_at).take(zeros).for_each(|byte| *byte = 0);
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (_, wanted) = v2020::cut(
                    rest,
                    CHUNK_BYTES_MIN,
                    CHUNK_BYTES_AVERAGE,
                    CHUNK_BYTES_MAX,
                    MASK_STRICT,
                    MASK_RELAXED,
                    MASK_STRICT << 1,
                    MASK_RELAXED << 1,
                );
                assert_eq!(first_cut(rest), wanted, "{} bytes", rest.len());
                rest = &rest[wanted..];
            }
        }

        #[test]
        fn cuts_do_not_depend_on_the_buffering(
            seed in any::<u64>(),
            length in 0_usize..(5 << 20),
            zeros in prop::option::of(0_usize..(3 << 20)),
            read_max in 1_000_usize..(2 << 20),
        ) {
            let mut bytes = noise(seed, length);
            if let Some(from) = zeros {
                bytes.iter_mut().skip(from).take(700_000).for_each(|b| *b = 0);
            }
            let lengths = cuts_in_memory(&bytes);
            assert_eq!(cuts_streamed(&bytes, read_max), lengths);
            let all_but_last = &lengths[..lengths.len().saturating_sub(1)];
            assert!(all_but_last.iter().all(|l| (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(l)));
        }
    }

    const GOLDEN_NOISE: &[usize] = &[
        28128, 82036, 72057, 82576, 52231, 50371, 98119, 92333, 27009, 113882, 80242, 70100, 77250, 65957,
        75660, 38239, 50387, 82666, 46500, 141724, 66485, 70950, 83623, 70133, 118117, 120439, 43039, 92391,
        4508,
    ];
    const GOLDEN_TEXT: &[usize] = &[107116, 89326, 80970, 74242, 62576, 14660];
}
