//! A delta frame as bytes, and the compression itself.

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, CParameter, DCtx};

use super::{PREFIX_ITEMS_MAX, Prefix};
use crate::chunk::CHUNK_BYTES_MAX;
use crate::codec::{DecodeError, Reader, put_varint};
use crate::transfer::{Item, ItemError, ItemKind};

/// No prefix is longer, in bytes: as long as the longest page.
pub const PREFIX_BYTES_MAX: u32 = 4 << 20;

/// Fast, and with a prefix that fits still finds nearly everything.
const LEVEL: i32 = 1;
/// 2^23 bytes: the longest object and the longest prefix together.
const WINDOW_LOG: u32 = 23;

thread_local! {
    static COMPRESSOR: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// What a delta frame says: which object it is, its prefix, and the zstd frame made with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaFrame<'a> {
    /// Which page or chunk of the version.
    pub item: Item,
    /// Its length when decoded.
    pub raw_length: u32,
    /// Which bytes of the base it was compressed with.
    pub prefix: Prefix,
    /// One zstd frame.
    pub compressed: &'a [u8],
}

/// Why a delta frame does not decode. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The encoding is broken.
    #[error("LINK_FORMAT: {0}")]
    Encoding(#[from] DecodeError),
    /// An object of no known kind.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// Bytes of the base that it does not have, or more than a prefix may have.
    #[error("DELTA_RANGE: a delta frame with {what} {value}")]
    Range { what: &'static str, value: u64 },
    /// No base was offered, or it cannot be read here.
    #[error("DELTA_BASE: {0}")]
    Base(String),
    /// Not a zstd frame made with this prefix, or longer than declared.
    #[error("CONTENT_HASH_MISMATCH: the delta frame does not decompress: {0}")]
    Zstd(&'static str),
}

impl<'a> DeltaFrame<'a> {
    /// Splits the body of a delta frame.
    ///
    /// Errors: numbers outside their limits.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DeltaError> {
        let mut reader = Reader::new(bytes);
        let kind = ItemKind::decode(reader.u8()?)?;
        let item = Item { kind, ordinal: reader.u64()? };
        let raw_length = reader.u32()?;
        let mut number = |what| {
            reader.varint().map_err(|error| match error {
                // A number beyond 64 bits.
                DecodeError::Number { .. } => DeltaError::Range { what, value: u64::MAX },
                other => other.into(),
            })
        };
        let first = number("first")?;
        let mut limited = |what, limit: u32, least: u64| {
            let value = number(what)?;
            match u32::try_from(value) {
                Ok(fits) if fits <= limit && value >= least => Ok(fits),
                _ => Err(DeltaError::Range { what, value }),
            }
        };
        let count = limited("count", PREFIX_ITEMS_MAX, 1)?;
        let skip = limited("skip", PREFIX_BYTES_MAX, 0)?;
        let length = limited("length", PREFIX_BYTES_MAX, 1)?;
        if first.checked_add(count.into()).is_none() {
            return Err(DeltaError::Range { what: "first", value: first });
        }
        let compressed = bytes.get(reader.at()..).unwrap_or_default();
        Ok(Self { item, raw_length, prefix: Prefix { first, count, skip, length }, compressed })
    }

    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let Prefix { first, count, skip, length } = self.prefix;
        let mut out = Vec::with_capacity(32 + self.compressed.len());
        out.push(self.item.kind as u8);
        out.extend(self.item.ordinal.to_le_bytes());
        out.extend(self.raw_length.to_le_bytes());
        put_varint(&mut out, first);
        for number in [count, skip, length] {
            put_varint(&mut out, number.into());
        }
        out.extend_from_slice(self.compressed);
        out
    }
}

/// Compresses `raw` with `prefix`; `None` when the result has more than `limit` bytes.
pub(super) fn compress(prefix: &[u8], raw: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(limit);
    // Too small an output buffer makes zstd stop early, which is just what is wanted.
    if is_plain(prefix) && raw.len() <= CHUNK_BYTES_MAX {
        COMPRESSOR.with_borrow_mut(|slot| {
            let context = match slot {
                Some(context) => context,
                None => slot.insert(CCtx::try_create()?),
            };
            context.compress_using_dict(&mut out, raw, prefix, LEVEL).ok()
        })?;
        return Some(out);
    }
    // The window must hold long pages whole, which only a context with a prefix lets one say.
    let mut context = CCtx::try_create()?;
    for parameter in [CParameter::CompressionLevel(LEVEL), CParameter::WindowLog(WINDOW_LOG)] {
        context.set_parameter(parameter).ok()?;
    }
    context.ref_prefix(prefix).ok()?;
    context.compress2(&mut out, raw).ok()?;
    Some(out)
}

/// Decompresses what [`compress`] made; never more than `length` bytes come out.
pub(super) fn decompress(prefix: &[u8], compressed: &[u8], length: u32) -> Result<Vec<u8>, DeltaError> {
    let failed = |code| DeltaError::Zstd(zstd::zstd_safe::get_error_name(code));
    let mut out = Vec::with_capacity(length as usize);
    if is_plain(prefix) {
        DECOMPRESSOR.with_borrow_mut(|slot| {
            let context = match slot {
                Some(context) => context,
                None => slot.insert(DCtx::try_create().ok_or(DeltaError::Zstd("no memory"))?),
            };
            context.decompress_using_dict(&mut out, compressed, prefix).map_err(failed)
        })?;
        return Ok(out);
    }
    let mut context = DCtx::try_create().ok_or(DeltaError::Zstd("no memory"))?;
    context.ref_prefix(prefix).map_err(failed)?;
    context.decompress(&mut out, compressed).map_err(failed)?;
    Ok(out)
}

/// True when zstd takes the bytes for what they are also where it takes a dictionary: a context is then
/// used for one object after the other, which a prefix, borrowed for as long as the context lives, does
/// not allow.
fn is_plain(prefix: &[u8]) -> bool {
    !prefix.starts_with(&zstd::zstd_safe::MAGIC_DICTIONARY.to_le_bytes())
}

/// Fuzz target: any bytes are refused or survive a round trip, byte for byte.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    if let Ok(frame) = DeltaFrame::decode(bytes) {
        assert_eq!(frame.encode(), bytes);
        if let Ok(raw) = decompress(b"words that repeat", frame.compressed, 4_096) {
            assert!(raw.len() <= 4_096);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{DeltaFrame, Item, ItemKind, Prefix, compress, decompress, fuzz_one};

    #[test]
    fn a_delta_of_similar_bytes_is_small_and_needs_its_prefix() {
        let old: Vec<u8> =
            (0..4_000_u64).flat_map(|i| crate::hash::chunk_digest(&i.to_le_bytes()).0).collect();
        let mut new = old.clone();
        new[50_000] ^= 1;
        new.splice(70_000..70_000, *b"inserted");
        let packed = compress(&old, &new, new.len()).expect("it shrinks");
        assert!(packed.len() < 500, "{} bytes", packed.len());
        assert_eq!(decompress(&old, &packed, new.len() as u32).unwrap(), new);
        let length = new.len() as u32;
        assert_ne!(
            decompress(&old[1..], &packed, length).ok(),
            Some(new.clone()),
            "another prefix gives other bytes"
        );
        assert!(decompress(&old, &packed, length - 1).is_err(), "no more than declared comes out");
        let noise: Vec<u8> =
            (9_000..9_100_u64).flat_map(|i| crate::hash::chunk_digest(&i.to_le_bytes()).0).collect();
        assert_eq!(compress(&old, &noise, noise.len() / 2), None);
    }

    #[test]
    fn a_prefix_that_looks_like_a_dictionary_and_a_long_object_come_back_too() {
        let noise = |count: u64| -> Vec<u8> {
            (0..count).flat_map(|i| crate::hash::chunk_digest(&i.to_le_bytes()).0).collect()
        };
        let dictionary = [&[0x37, 0xa4, 0x30, 0xec][..], &noise(2_000)].concat();
        for prefix in [dictionary, noise(30_000), noise(1)[..5].to_vec()] {
            let mut raw = prefix.repeat(2);
            raw.extend_from_slice(b"and more");
            let packed = compress(&prefix, &raw, raw.len() + 64).expect("it fits");
            assert!(prefix.len() < 100 || packed.len() * 2 < raw.len(), "{} of {}", packed.len(), raw.len());
            assert_eq!(decompress(&prefix, &packed, raw.len() as u32).unwrap(), raw);
        }
    }

    #[test]
    fn a_delta_frame_has_its_documented_bytes() {
        let frame = DeltaFrame {
            item: Item { kind: ItemKind::Chunk, ordinal: 7 },
            raw_length: 258,
            prefix: Prefix { first: 300, count: 2, skip: 5, length: 200 },
            compressed: b"zz",
        };
        let head = [2, 7, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0];
        assert_eq!(frame.encode(), [&head[..], &[0xac, 2, 2, 5, 0xc8, 1, b'z', b'z']].concat());
        assert_eq!(DeltaFrame::decode(&frame.encode()).unwrap(), frame);
        assert!(DeltaFrame::decode(&[&[3][..], &head[1..], &[1, 1, 0, 1]].concat()).is_err());
        for bad in [&[][..], &[1, 0, 0, 1], &[1, 65, 0, 1], &[1, 1, 0, 0], &[1, 1, 0, 0xff, 0xff, 0xff, 0x7f]]
        {
            assert!(DeltaFrame::decode(&[&head, bad].concat()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_survive_a_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            fuzz_one(&bytes);
            fuzz_one(&[&[1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 1, 0, 9][..], &bytes].concat());
        }
    }
}
