//! What is asked for and how it is answered, as bytes: requests by ordinal, headers of frames.
//!
//! Source: docs/formats/link.md, "Requests" and "Items".

use std::fmt;

use crate::codec::{DecodeError, Reader, put_varint};
use crate::pack::Encoding;

/// Ranges in one request, at most.
pub const REQUEST_RANGES_MAX: usize = 4_096;
/// Bytes before the stored bytes of an item.
pub const FRAME_HEADER_BYTES: usize = 14;

/// What an ordinal counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ItemKind {
    /// Manifest pages in preorder; the root is 0.
    Page = 1,
    /// Chunk references in manifest order.
    Chunk = 2,
}

/// One page or chunk of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// Page or chunk.
    pub kind: ItemKind,
    /// Its number.
    pub ordinal: u64,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ItemKind::Page => write!(f, "page {}", self.ordinal),
            ItemKind::Chunk => write!(f, "chunk {}", self.ordinal),
        }
    }
}

/// `count` items of one kind from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Page or chunk.
    pub kind: ItemKind,
    /// The first number.
    pub first: u64,
    /// How many, at least 1.
    pub count: u64,
}

/// What a receiver asks for; the answer has the items in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// 1 to [`REQUEST_RANGES_MAX`] ranges.
    pub ranges: Vec<Range>,
}

/// What stands before the stored bytes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Which item.
    pub item: Item,
    /// How its bytes are stored.
    pub encoding: Encoding,
    /// Their length when decoded.
    pub raw_length: u32,
}

/// Why bytes are not a request or an item. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// The encoding is broken.
    #[error("LINK_FORMAT: {0}")]
    Encoding(#[from] DecodeError),
    /// A kind, encoding or count outside its range.
    #[error("LINK_FORMAT: {what} {value} is out of range")]
    Range { what: &'static str, value: u64 },
}

impl ItemKind {
    pub(crate) fn decode(byte: u8) -> Result<Self, ItemError> {
        match byte {
            1 => Ok(Self::Page),
            2 => Ok(Self::Chunk),
            other => Err(ItemError::Range { what: "item kind", value: other.into() }),
        }
    }
}

impl Request {
    /// Appends an item, joined to the last range where it follows it.
    ///
    /// Returns false, and leaves the request as it is, when the request is full.
    pub(super) fn push(&mut self, item: Item) -> bool {
        if let Some(last) = self.ranges.last_mut()
            && last.kind == item.kind
            && last.first.checked_add(last.count) == Some(item.ordinal)
        {
            last.count += 1;
            return true;
        }
        if self.ranges.len() == REQUEST_RANGES_MAX {
            return false;
        }
        self.ranges.push(Range { kind: item.kind, first: item.ordinal, count: 1 });
        true
    }

    /// The request's one encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 + self.ranges.len() * 8);
        put_varint(&mut out, self.ranges.len() as u64);
        for range in &self.ranges {
            out.push(range.kind as u8);
            put_varint(&mut out, range.first);
            put_varint(&mut out, range.count);
        }
        out
    }

    /// Reads a request.
    ///
    /// Errors: no range or too many, an empty range, ordinals beyond 64 bits.
    pub fn decode(bytes: &[u8]) -> Result<Self, ItemError> {
        let mut reader = Reader::new(bytes);
        let count = reader.varint()?;
        if count == 0 || count > REQUEST_RANGES_MAX as u64 {
            return Err(ItemError::Range { what: "range count", value: count });
        }
        let ranges = (0..count)
            .map(|_| {
                let kind = ItemKind::decode(reader.u8()?)?;
                let (first, count) = (reader.varint()?, reader.varint()?);
                if count == 0 || first.checked_add(count).is_none() {
                    return Err(ItemError::Range { what: "item count", value: count });
                }
                Ok(Range { kind, first, count })
            })
            .collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { ranges })
    }
}

impl FrameHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut out = [0; FRAME_HEADER_BYTES];
        out[0] = self.item.kind as u8;
        out[1] = self.encoding as u8;
        out[2..10].copy_from_slice(&self.item.ordinal.to_le_bytes());
        out[10..].copy_from_slice(&self.raw_length.to_le_bytes());
        out
    }

    /// Splits an item into its header and its stored bytes.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), ItemError> {
        let mut reader = Reader::new(bytes);
        let kind = ItemKind::decode(reader.u8()?)?;
        let encoding = Encoding::try_from(reader.u8()?)
            .map_err(|value| ItemError::Range { what: "encoding", value: value.into() })?;
        let ordinal = reader.u64()?;
        let raw_length = reader.u32()?;
        let header = Self { item: Item { kind, ordinal }, encoding, raw_length };
        Ok((header, bytes.get(reader.at()..).unwrap_or_default()))
    }
}

/// Fuzz target: any bytes are refused or survive a round trip, byte for byte.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    if let Ok((header, stored)) = FrameHeader::decode(bytes) {
        assert_eq!([&header.encode()[..], stored].concat(), bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{FrameHeader, Item, ItemKind, Range, Request, fuzz_one};
    use crate::pack::Encoding;

    #[test]
    fn requests_and_headers_have_their_documented_bytes() {
        let mut request = Request::default();
        for (kind, ordinal) in
            [(ItemKind::Page, 0), (ItemKind::Page, 1), (ItemKind::Chunk, 300), (ItemKind::Chunk, 302)]
        {
            assert!(request.push(Item { kind, ordinal }));
        }
        assert_eq!(request.encode(), [3, 1, 0, 2, 2, 0xac, 2, 1, 2, 0xae, 2, 1]);
        assert_eq!(Request::decode(&request.encode()).unwrap(), request);
        let header = FrameHeader {
            item: Item { kind: ItemKind::Chunk, ordinal: 5 },
            encoding: Encoding::Zstd,
            raw_length: 258,
        };
        assert_eq!(header.encode(), [2, 1, 5, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0]);
    }

    #[test]
    fn impossible_requests_are_refused() {
        let huge = Request { ranges: vec![Range { kind: ItemKind::Page, first: u64::MAX, count: 1 }] };
        for bad in
            [&[0][..], &[1, 1, 0, 0], &[1, 3, 0, 1], &[1, 1, 0, 1, 9], &huge.encode(), &[0xff, 0xff, 3]]
        {
            assert!(Request::decode(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_survive_a_round_trip(mut bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            fuzz_one(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = 1 + *first % 4;
                fuzz_one(&bytes);
            }
        }
    }
}
