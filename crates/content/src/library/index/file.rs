//! The index file: its bytes, and looking up a digest in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use restock_names::Digest;

use crate::codec::{DecodeError, Reader};
use crate::pack::{Encoding, FrameKind, PackTally, Record};

const MAGIC: &[u8; 4] = b"RSix";
const FORMAT: u16 = 1;
/// Bytes of the file's first part.
pub(super) const HEADER_BYTES: usize = 64;
/// Bytes of a pack in the list.
pub(super) const PACK_BYTES: usize = 48;
/// Bytes of a block; the first begins on a multiple of it.
pub(super) const BLOCK_BYTES: usize = 4_096;
/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 58;
/// Entries in a block, at most.
pub(super) const BLOCK_ENTRIES: usize = (BLOCK_BYTES - 6) / ENTRY_BYTES;
/// Bytes of a block's first digest that stand behind the blocks.
pub(super) const SAMPLE_BYTES: usize = 16;
/// Copies of one frame that are kept; of more the newest are.
pub(super) const COPIES_MAX: usize = 16;
/// Packs in one file, at most.
pub(super) const PACKS_MAX: usize = 1 << 20;
/// Blocks kept in memory: 8 MiB, as much as 145,000 frames take.
const CACHE_BLOCKS: usize = 2_048;

/// Why the index cannot be used. It is derived, so that is never the end.
#[derive(Debug, thiserror::Error)]
pub(in crate::library) enum IndexError {
    #[error("failed to read it: {0}")]
    Read(#[from] io::Error),
    #[error("it {0}")]
    Format(&'static str),
}

impl From<DecodeError> for IndexError {
    fn from(_ends_early: DecodeError) -> Self {
        Self::Format("ends too early")
    }
}

/// The file's first 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) library: [u8; 16],
    pub(super) packs: u32,
    pub(super) entries: u64,
    pub(super) blocks: u64,
}

/// A pack whose records the file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) sequence: u64,
    /// The first bytes of its table's digest, as in its name.
    pub(super) name: [u8; 8],
    pub(super) records: u64,
    pub(super) tally: PackTally,
}

/// Where a copy of a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Number of the pack in the list.
    pub(super) pack: u32,
    /// Number of the record in its table.
    pub(super) number: u32,
    pub(super) record: Record,
}

impl Head {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend(MAGIC);
        out.extend(FORMAT.to_le_bytes());
        out.extend([0; 2]);
        out.extend(self.library);
        out.extend(self.packs.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.entries.to_le_bytes());
        out.extend(self.blocks.to_le_bytes());
        out.resize(HEADER_BYTES - 4, 0);
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out.try_into().expect("60 bytes and a checksum of 4")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let checked = checked(bytes)?;
        let mut reader = Reader::new(checked);
        if reader.take(4)? != MAGIC {
            return Err(IndexError::Format("is no index"));
        }
        if reader.u16()? != FORMAT {
            return Err(IndexError::Format("has a format this release does not know"));
        }
        reader.take(2)?;
        let library = reader.array()?;
        let packs = reader.u32()?;
        reader.take(4)?;
        let (entries, blocks) = (reader.u64()?, reader.u64()?);
        if packs as usize > PACKS_MAX {
            return Err(IndexError::Format("lists too many packs"));
        }
        Ok(Self { library, packs, entries, blocks })
    }

    /// Where the first block is: behind the list of packs and its checksum.
    pub(super) fn first_block(&self) -> u64 {
        let list = HEADER_BYTES + self.packs as usize * PACK_BYTES + 4;
        list.next_multiple_of(BLOCK_BYTES) as u64
    }

    /// Where the samples are, and the length of the file; `None` when that is beyond 64 bits.
    pub(super) fn layout(&self) -> Option<(u64, u64)> {
        let samples = self.blocks.checked_mul(BLOCK_BYTES as u64)?.checked_add(self.first_block())?;
        let end = self.blocks.checked_mul(SAMPLE_BYTES as u64)?.checked_add(samples)?.checked_add(4)?;
        Some((samples, end))
    }
}

pub(super) fn encode_list(packs: &[Listed]) -> Vec<u8> {
    let mut out = Vec::with_capacity(packs.len() * PACK_BYTES + 4);
    for pack in packs {
        out.extend(pack.sequence.to_le_bytes());
        out.extend(pack.name);
        let PackTally { raw_chunks, raw_bytes, decoded_bytes } = pack.tally;
        out.extend(
            [pack.records, raw_chunks, raw_bytes, decoded_bytes].into_iter().flat_map(u64::to_le_bytes),
        );
    }
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out
}

pub(super) fn decode_list(bytes: &[u8]) -> Result<Vec<Listed>, IndexError> {
    let mut reader = Reader::new(checked(bytes)?);
    let mut packs: Vec<Listed> = Vec::with_capacity(bytes.len() / PACK_BYTES);
    while !reader.is_empty() {
        let (sequence, name, records) = (reader.u64()?, reader.array()?, reader.u64()?);
        let tally =
            PackTally { raw_chunks: reader.u64()?, raw_bytes: reader.u64()?, decoded_bytes: reader.u64()? };
        if packs.last().is_some_and(|before| before.sequence >= sequence) {
            return Err(IndexError::Format("does not list its packs in order"));
        }
        packs.push(Listed { sequence, name, records, tally });
    }
    Ok(packs)
}

/// A block of at most [`BLOCK_ENTRIES`] entries.
pub(super) fn encode_block(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(BLOCK_BYTES);
    for entry in entries {
        let record = &entry.record;
        out.extend(record.digest.0);
        out.extend(entry.pack.to_le_bytes());
        out.extend(entry.number.to_le_bytes());
        out.extend(record.offset.to_le_bytes());
        out.extend(record.stored_length.to_le_bytes());
        out.extend(record.raw_length.to_le_bytes());
        out.push(record.encoding as u8);
        out.push(record.kind as u8);
    }
    out.resize(BLOCK_BYTES - 6, 0);
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend(crc32fast::hash(&out).to_le_bytes());
    out
}

/// The entries of a block, each as its bytes, once its checksum was compared.
fn entries(block: &[u8]) -> Result<&[[u8; ENTRY_BYTES]], IndexError> {
    split(checked(block)?)
}

/// The entries of a block without its checksum, which was compared before.
fn split(checked: &[u8]) -> Result<&[[u8; ENTRY_BYTES]], IndexError> {
    let (bytes, count) = checked.split_last_chunk().ok_or(IndexError::Format("ends too early"))?;
    let count = usize::from(u16::from_le_bytes(*count));
    bytes.as_chunks().0.get(..count).ok_or(IndexError::Format("has a block with too many entries"))
}

fn decode_entry(bytes: &[u8]) -> Result<Entry, IndexError> {
    let mut reader = Reader::new(bytes);
    let digest = Digest(reader.array()?);
    let (pack, number) = (reader.u32()?, reader.u32()?);
    let (offset, stored_length, raw_length) = (reader.u64()?, reader.u32()?, reader.u32()?);
    let encoding =
        Encoding::try_from(reader.u8()?).map_err(|_byte| IndexError::Format("has an unknown encoding"))?;
    let kind = match reader.u8()? {
        1 => FrameKind::Chunk,
        2 => FrameKind::Page,
        _ => return Err(IndexError::Format("has an unknown kind of frame")),
    };
    let record = Record { digest, offset, stored_length, raw_length, encoding, kind };
    Ok(Entry { pack, number, record })
}

/// What stands before the checksum that ends `bytes`.
fn checked(bytes: &[u8]) -> Result<&[u8], IndexError> {
    let (checked, sum) = bytes.split_last_chunk().ok_or(IndexError::Format("ends too early"))?;
    let is_right = crc32fast::hash(checked) == u32::from_le_bytes(*sum);
    if is_right { Ok(checked) } else { Err(IndexError::Format("does not match its checksum")) }
}

pub(super) fn sample(digest: &Digest) -> u128 {
    digest.0.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes))
}

/// An open index. Memory: 16 bytes for each 70 frames, 48 for each pack, and 1 MiB.
#[derive(Debug)]
pub(in crate::library) struct IndexFile {
    file: File,
    pub(super) head: Head,
    pub(super) packs: Vec<Listed>,
    /// The first bytes of each block's first digest, in order.
    samples: Vec<u128>,
    /// Blocks that were read lately, each at its number modulo the length.
    cache: Vec<Mutex<Option<Kept>>>,
    reads: AtomicU64,
}

/// A block and its number.
type Kept = (u64, Arc<[u8]>);

impl IndexFile {
    /// Opens the index of a library; `None` when there is none. Reads the list of packs and the samples.
    pub(in crate::library) fn open(path: &Path, library: [u8; 16]) -> Result<Option<Self>, IndexError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, 0)?;
        let head = Head::decode(&bytes)?;
        if head.library != library {
            return Err(IndexError::Format("is of another library"));
        }
        let layout = head.layout().filter(|(_, end)| file.metadata().is_ok_and(|about| about.len() == *end));
        let (samples_at, end) = layout.ok_or(IndexError::Format("has another length than it says"))?;
        // Lengths are those of the file from here on.
        let mut list = vec![0; head.packs as usize * PACK_BYTES + 4];
        file.read_exact_at(&mut list, HEADER_BYTES as u64)?;
        let packs = decode_list(&list)?;
        let mut samples = vec![0; (end - samples_at) as usize];
        file.read_exact_at(&mut samples, samples_at)?;
        let samples: Vec<u128> =
            checked(&samples)?.as_chunks().0.iter().map(|bytes| u128::from_be_bytes(*bytes)).collect();
        if !samples.is_sorted() {
            return Err(IndexError::Format("does not have its blocks in order"));
        }
        let cache = (0..CACHE_BLOCKS).map(|_| Mutex::default()).collect();
        Ok(Some(Self { file, head, packs, samples, cache, reads: AtomicU64::new(0) }))
    }

    /// Every copy of a frame, the newest first. Cost: one read of one block, unless it was read lately.
    pub(super) fn find(&self, digest: &Digest) -> Result<Vec<Entry>, IndexError> {
        // All copies of a frame stand in one block, and no two digests have one sample.
        let behind = self.samples.partition_point(|first| *first <= sample(digest));
        let Some(number) = behind.checked_sub(1) else { return Ok(Vec::new()) };
        let block = self.block(number as u64)?;
        let (compared, _sum) = block.split_last_chunk::<4>().ok_or(IndexError::Format("ends too early"))?;
        let entries = split(compared)?;
        let first = entries.partition_point(|entry| entry[..32] < digest.0[..]);
        let copies = entries[first..].iter().take_while(|entry| entry[..32] == digest.0);
        copies.map(|bytes| decode_entry(bytes)).collect()
    }

    fn block(&self, number: u64) -> Result<Arc<[u8]>, IndexError> {
        let slot = &self.cache[number as usize % CACHE_BLOCKS];
        let kept = slot.lock().expect("no code panics while holding this lock").clone();
        if let Some((of, block)) = kept
            && of == number
        {
            return Ok(block);
        }
        let block = self.read_block(number)?;
        // Compared once: what is kept is right.
        checked(&block)?;
        let block: Arc<[u8]> = block.into();
        *slot.lock().expect("no code panics while holding this lock") = Some((number, Arc::clone(&block)));
        Ok(block)
    }

    fn read_block(&self, number: u64) -> Result<Vec<u8>, IndexError> {
        let mut block = vec![0; BLOCK_BYTES];
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.file.read_exact_at(&mut block, self.head.first_block() + number * BLOCK_BYTES as u64)?;
        Ok(block)
    }

    /// The entries of a block, for who reads all of them.
    pub(super) fn entries_of(&self, number: u64) -> Result<Vec<Entry>, IndexError> {
        let block = self.read_block(number)?;
        entries(&block)?.iter().map(|bytes| decode_entry(bytes)).collect()
    }

    /// Blocks read so far.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

/// Fuzz target: any bytes are refused or survive a round trip, as header, list and block.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    let with_sum = [bytes, &crc32fast::hash(bytes).to_le_bytes()].concat();
    for bytes in [bytes, &with_sum] {
        if let Ok(head) = Head::decode(bytes) {
            assert_eq!(Head::decode(&head.encode()).ok(), Some(head));
            let _is_within_64_bits = head.layout();
        }
        if let Ok(packs) = decode_list(bytes) {
            assert_eq!(encode_list(&packs), bytes);
        }
        if let Ok(entries) = entries(bytes) {
            assert!(entries.len() * ENTRY_BYTES <= bytes.len());
            let decoded: Vec<Entry> = entries.iter().filter_map(|bytes| decode_entry(bytes).ok()).collect();
            if decoded.len() <= BLOCK_ENTRIES {
                let again = encode_block(&decoded);
                let survived = self::entries(&again).map(|entries| entries.len());
                assert_eq!(survived.ok(), Some(decoded.len()));
            }
        }
    }
}
