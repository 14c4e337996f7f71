//! The bytes of a pack's table: a header and one record for each frame, 64 bytes each.

use restock_names::Digest;

use super::Encoding;
use crate::codec::Reader;

/// Bytes of a table's header.
pub const HEADER_BYTES: u64 = 64;
/// Bytes of a record.
pub const RECORD_BYTES: u64 = 64;

const MAGIC: &[u8; 4] = b"RSpt";
const FORMAT: u16 = 1;
const CHECKED_BYTES: usize = 60;

/// What a frame holds; it decides the digest's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A run of a file's bytes.
    Chunk = 1,
    /// A manifest page.
    Page = 2,
}

impl FrameKind {
    /// The digest of `raw` as an object of this kind.
    pub fn digest(self, raw: &[u8]) -> Digest {
        match self {
            Self::Chunk => crate::hash::chunk_digest(raw),
            Self::Page => crate::hash::page_digest(raw),
        }
    }
}

/// What a table file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PackState {
    /// Records in order of arrival; the frames may be incomplete.
    Open = 0,
    /// Records sorted by digest; never written again.
    Sealed = 1,
    /// Records of frames that are to arrive, each at its planned offset.
    Planned = 2,
}

/// The first 64 bytes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Open, sealed or planned.
    pub state: PackState,
    /// Rises with each pack of a library; of two packs that hold a digest the higher wins.
    pub sequence: u64,
    /// The library the pack was written in.
    pub library: [u8; 16],
    /// Records that follow; 0 in an open table.
    pub records: u64,
    /// Bytes of the data file that records refer to; 0 in an open table.
    pub data_bytes: u64,
}

/// Where one frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Digest of the raw bytes.
    pub digest: Digest,
    /// First byte in the data file.
    pub offset: u64,
    /// Bytes in the data file.
    pub stored_length: u32,
    /// Bytes after decoding.
    pub raw_length: u32,
    /// How the bytes are stored.
    pub encoding: Encoding,
    /// What they are.
    pub kind: FrameKind,
}

/// Why bytes are not a table header or record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not the right number of bytes.
    #[error("ends too early")]
    Truncated,
    /// Another kind of file.
    #[error("is not a pack table")]
    Magic,
    /// A format this reader does not know.
    #[error("has format {0}, which is not known")]
    Format(u16),
    /// Damaged.
    #[error("does not match its checksum")]
    Checksum,
    /// A value outside its range.
    #[error("has {what} {value}, which is not known")]
    Value { what: &'static str, value: u8 },
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut out = Vec::with_capacity(HEADER_BYTES as usize);
        out.extend(MAGIC);
        out.extend(FORMAT.to_le_bytes());
        out.push(self.state as u8);
        out.push(0);
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.library);
        out.extend(self.records.to_le_bytes());
        out.extend(self.data_bytes.to_le_bytes());
        with_checksum(out)
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        let truncated = |_| TableError::Truncated;
        let mut reader = Reader::new(bytes);
        if reader.take(4).map_err(truncated)? != MAGIC {
            return Err(TableError::Magic);
        }
        match reader.u16().map_err(truncated)? {
            FORMAT => {}
            other => return Err(TableError::Format(other)),
        }
        check(bytes)?;
        let state = match reader.u8().map_err(truncated)? {
            0 => PackState::Open,
            1 => PackState::Sealed,
            2 => PackState::Planned,
            value => return Err(TableError::Value { what: "state", value }),
        };
        reader.u8().map_err(truncated)?;
        Ok(Self {
            state,
            sequence: reader.u64().map_err(truncated)?,
            library: reader.array().map_err(truncated)?,
            records: reader.u64().map_err(truncated)?,
            data_bytes: reader.u64().map_err(truncated)?,
        })
    }
}

impl Record {
    /// The record's bytes.
    pub fn encode(&self) -> [u8; RECORD_BYTES as usize] {
        let mut out = Vec::with_capacity(RECORD_BYTES as usize);
        out.extend(self.digest.0);
        out.extend(self.offset.to_le_bytes());
        out.extend(self.stored_length.to_le_bytes());
        out.extend(self.raw_length.to_le_bytes());
        out.push(self.encoding as u8);
        out.push(self.kind as u8);
        with_checksum(out)
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, TableError> {
        check(bytes)?;
        let truncated = |_| TableError::Truncated;
        let mut reader = Reader::new(bytes);
        Ok(Self {
            digest: Digest(reader.array().map_err(truncated)?),
            offset: reader.u64().map_err(truncated)?,
            stored_length: reader.u32().map_err(truncated)?,
            raw_length: reader.u32().map_err(truncated)?,
            encoding: Encoding::try_from(reader.u8().map_err(truncated)?)
                .map_err(|value| TableError::Value { what: "encoding", value })?,
            kind: match reader.u8().map_err(truncated)? {
                1 => FrameKind::Chunk,
                2 => FrameKind::Page,
                value => return Err(TableError::Value { what: "frame kind", value }),
            },
        })
    }

    /// The offset behind the frame's last byte; `None` when it does not fit 64 bits.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.stored_length))
    }
}

fn with_checksum(mut out: Vec<u8>) -> [u8; 64] {
    out.resize(CHECKED_BYTES, 0);
    let checksum = crc32fast::hash(&out);
    out.extend(checksum.to_le_bytes());
    out.try_into().expect("60 bytes and a checksum of 4")
}

fn check(bytes: &[u8]) -> Result<(), TableError> {
    let (checked, checksum) = bytes.split_at_checked(CHECKED_BYTES).ok_or(TableError::Truncated)?;
    let checksum: [u8; 4] = checksum.try_into().ok().ok_or(TableError::Truncated)?;
    if crc32fast::hash(checked) == u32::from_le_bytes(checksum) { Ok(()) } else { Err(TableError::Checksum) }
}

/// Fuzz target: any bytes are refused or survive a round trip.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }
    if let Ok(record) = Record::decode(bytes) {
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, FrameKind, Header, PackState, Record, TableError, fuzz_one};
    use proptest::prelude::{any, prop, proptest};
    use restock_names::Digest;

    #[test]
    fn a_flipped_bit_is_noticed_everywhere() {
        let record = Record {
            digest: Digest([7; 32]),
            offset: 1 << 40,
            stored_length: 3,
            raw_length: 9,
            encoding: Encoding::Zstd,
            kind: FrameKind::Page,
        };
        let header =
            Header { state: PackState::Sealed, sequence: 3, library: [5; 16], records: 1, data_bytes: 3 };
        assert_eq!(Record::decode(&record.encode()), Ok(record));
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        for bit in 0..512 {
            let (mut r, mut h) = (record.encode(), header.encode());
            r[bit / 8] ^= 1 << (bit % 8);
            h[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::decode(&r), Err(TableError::Checksum), "bit {bit}");
            assert!(Header::decode(&h).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn damaged_tables_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..130)) {
            fuzz_one(&bytes);
        }
    }
}
