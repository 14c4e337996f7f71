//! One frame: how a chunk or page lies in a pack or on a link.

use std::borrow::Cow;
use std::cell::RefCell;

/// How a frame's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// The bytes themselves.
    Raw = 0,
    /// One zstd frame without a dictionary or prefix.
    Zstd = 1,
}

impl TryFrom<u8> for Encoding {
    type Error = u8;
    fn try_from(byte: u8) -> Result<Self, u8> {
        match byte {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            other => Err(other),
        }
    }
}

/// Why stored bytes do not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeFrameError {
    /// More bytes come out than the manifest declares.
    #[error("CONTENT_TOO_LONG: the frame holds more than the declared {expected} bytes")]
    TooLong { expected: u32 },
    /// Fewer bytes come out.
    #[error("CONTENT_TRUNCATED: the frame holds {found} of the declared {expected} bytes")]
    TooShort { expected: u32, found: usize },
    /// Not a zstd frame.
    #[error("CONTENT_HASH_MISMATCH: the frame does not decompress: {0}")]
    Zstd(String),
}

/// Frames shorter than this are not worth a zstd header.
const COMPRESS_BYTES_MIN: usize = 128;
const LEVEL: i32 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses `raw` into `out` (cleared first) if that saves at least a sixteenth.
///
/// Returns how `out` or `raw` is to be stored: with [`Encoding::Raw`] `out` is of no use.
pub fn compress(raw: &[u8], out: &mut Vec<u8>) -> Encoding {
    if raw.len() < COMPRESS_BYTES_MIN {
        return Encoding::Raw;
    }
    out.clear();
    // Too small an output buffer makes zstd stop early, which is just what is wanted.
    out.reserve(raw.len());
    let limit = raw.len() - raw.len() / 16;
    let written = COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(zstd::bulk::Compressor::new(LEVEL).ok()?),
        };
        compressor.compress_to_buffer(raw, out).ok()
    });
    match written {
        Some(length) if length <= limit => Encoding::Zstd,
        _ => Encoding::Raw,
    }
}

/// Decodes stored bytes to exactly `raw_length` bytes. The digest is the caller's to check.
///
/// Limits: never more than `raw_length` bytes are produced.
pub fn decode_frame(encoding: Encoding, stored: &[u8], raw_length: u32) -> Result<Vec<u8>, DecodeFrameError> {
    decode_frame_in(encoding, stored, raw_length, Vec::new).map(Cow::into_owned)
}

/// As [`decode_frame`]; raw bytes are not copied, others go into a buffer that `spare` gives.
pub(crate) fn decode_frame_in<'s>(
    encoding: Encoding,
    stored: &'s [u8],
    raw_length: u32,
    spare: impl FnOnce() -> Vec<u8>,
) -> Result<Cow<'s, [u8]>, DecodeFrameError> {
    let expected = raw_length as usize;
    let raw = match encoding {
        Encoding::Raw => Cow::Borrowed(stored),
        Encoding::Zstd => Cow::Owned(decompress(stored, raw_length, spare())?),
    };
    match raw.len() {
        found if found > expected => Err(DecodeFrameError::TooLong { expected: raw_length }),
        found if found < expected => Err(DecodeFrameError::TooShort { expected: raw_length, found }),
        _ => Ok(raw),
    }
}

fn decompress(stored: &[u8], raw_length: u32, mut raw: Vec<u8>) -> Result<Vec<u8>, DecodeFrameError> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot
                .insert(zstd::bulk::Decompressor::new().map_err(|e| DecodeFrameError::Zstd(e.to_string()))?),
        };
        // Exactly so many: nothing longer comes out.
        raw.resize(raw_length as usize, 0);
        match decompressor.decompress_to_buffer(stored, raw.as_mut_slice()) {
            Ok(length) => {
                raw.truncate(length);
                Ok(raw)
            }
            Err(error) if error.to_string().contains("too small") => {
                Err(DecodeFrameError::TooLong { expected: raw_length })
            }
            Err(error) => Err(DecodeFrameError::Zstd(error.to_string())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{DecodeFrameError, Encoding, compress, decode_frame};

    #[test]
    fn text_shrinks_and_comes_back() {
        let raw = b"the same words again and again ".repeat(100);
        let mut out = Vec::new();
        assert_eq!(compress(&raw, &mut out), Encoding::Zstd);
        assert!(out.len() < raw.len() / 5);
        assert_eq!(decode_frame(Encoding::Zstd, &out, raw.len() as u32).expect("decodes"), raw);
        let short = raw.len() as u32 - 1;
        assert_eq!(
            decode_frame(Encoding::Zstd, &out, short),
            Err(DecodeFrameError::TooLong { expected: short })
        );
        let long = raw.len() as u32 + 1;
        assert!(matches!(decode_frame(Encoding::Zstd, &out, long), Err(DecodeFrameError::TooShort { .. })));
        assert!(matches!(decode_frame(Encoding::Zstd, b"junk", 9), Err(DecodeFrameError::Zstd(_))));
    }

    #[test]
    fn bytes_that_do_not_shrink_stay_raw() {
        let noise: Vec<u8> =
            (0..2_000_u64).flat_map(|i| crate::hash::chunk_digest(&i.to_le_bytes()).0).collect();
        assert_eq!(compress(&noise, &mut Vec::new()), Encoding::Raw);
        assert_eq!(compress(b"tiny", &mut Vec::new()), Encoding::Raw);
    }
}
