//! What a frame must be before it is stored.

use std::borrow::Cow;

use restock_names::Digest;

use super::{FrameHeader, Item, ItemKind};
use crate::delta::{DeltaBase, DeltaError, DeltaFrame};
use crate::files::Files;
use crate::pack::{DecodeFrameError, Encoding, FrameKind, decode_frame_in};

/// One item that was asked for: what its frame must turn out to be, and where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Which item.
    pub item: Item,
    /// The digest its decoded bytes must have.
    pub digest: Digest,
    /// Their length.
    pub length: u32,
    /// For a chunk its index in the plan, for a page the receiver's own number.
    pub slot: u32,
}

/// Why a frame is not stored. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More bytes than the manifest declares.
    #[error("CONTENT_TOO_LONG: {item} has more than the {limit} bytes the manifest declares")]
    TooLong { item: Item, limit: u32 },
    /// A compressed frame that goes on when all that the manifest declares has come out.
    #[error("DECOMPRESS_LIMIT: {item} expands to more than the {limit} bytes the manifest declares")]
    Expands { item: Item, limit: u32 },
    /// Fewer bytes.
    #[error("CONTENT_TRUNCATED: {item} has {found} of the {wanted} bytes the manifest declares")]
    Truncated { item: Item, wanted: u32, found: u64 },
    /// Bytes that are not those the manifest lists.
    #[error("CONTENT_HASH_MISMATCH: {item} should have digest {expected}, got {found}")]
    HashMismatch { item: Item, expected: Digest, found: Digest },
    /// Bytes that are not of the encoding they claim.
    #[error("CONTENT_HASH_MISMATCH: {item} does not decompress: {cause}")]
    Broken { item: Item, cause: String },
    /// A delta frame that names bytes of the base which it does not have. Asked for without a base, the
    /// object comes whole.
    #[error("{cause}")]
    DeltaRange { cause: String },
    /// A delta frame, and no base to decode it with, or one that makes other bytes of it. Asked for without
    /// a base, the object comes whole.
    #[error("DELTA_BASE: {item} cannot be decoded with the base held here: {cause}")]
    Base { item: Item, cause: String },
}

impl FrameError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "CONTENT_TOO_LONG",
            Self::Expands { .. } => "DECOMPRESS_LIMIT",
            Self::Truncated { .. } => "CONTENT_TRUNCATED",
            Self::HashMismatch { .. } | Self::Broken { .. } => "CONTENT_HASH_MISMATCH",
            Self::Base { .. } => "DELTA_BASE",
            Self::DeltaRange { .. } => "DELTA_RANGE",
        }
    }

    /// Is it the fault of the base, so that the object is to be asked for whole?
    pub fn is_of_base(&self) -> bool {
        matches!(self, Self::Base { .. } | Self::DeltaRange { .. })
    }
}

impl Expected {
    /// Decodes a frame and checks it: length, then digest by [`Files::accepts`].
    ///
    /// Limits: never more than [`Self::length`] bytes are produced. Needs no lock on the receiver.
    pub fn verify(
        &self,
        header: &FrameHeader,
        stored: &[u8],
        files: &dyn Files,
    ) -> Result<Vec<u8>, FrameError> {
        self.verify_in(header, stored, files, Vec::new).map(Cow::into_owned)
    }

    /// As [`Self::verify`]; raw bytes are not copied, others go into a buffer that `spare` gives.
    pub fn verify_in<'s>(
        &self,
        header: &FrameHeader,
        stored: &'s [u8],
        files: &dyn Files,
        spare: impl FnOnce() -> Vec<u8>,
    ) -> Result<Cow<'s, [u8]>, FrameError> {
        let item = self.item;
        let too_long = FrameError::TooLong { item, limit: self.length };
        if header.raw_length > self.length {
            return Err(too_long);
        }
        if header.raw_length < self.length {
            let found = header.raw_length.into();
            return Err(FrameError::Truncated { item, wanted: self.length, found });
        }
        let raw =
            decode_frame_in(header.encoding, stored, self.length, spare).map_err(|error| match error {
                DecodeFrameError::TooLong { .. } if header.encoding == Encoding::Zstd => {
                    FrameError::Expands { item, limit: self.length }
                }
                DecodeFrameError::TooLong { .. } => too_long,
                DecodeFrameError::TooShort { found, .. } => {
                    FrameError::Truncated { item, wanted: self.length, found: found as u64 }
                }
                DecodeFrameError::Zstd(cause) => FrameError::Broken { item, cause },
            })?;
        self.check(raw, files)
    }

    /// Decodes a delta frame with `base` and checks it likewise.
    ///
    /// Errors: [`FrameError::DeltaRange`]; [`FrameError::Base`] when there is no base, it cannot be read
    /// here, or what comes out has not the digest: who sent the frame had another base.
    pub fn verify_delta(
        &self,
        delta: &DeltaFrame<'_>,
        base: Option<&mut DeltaBase<'_>>,
        files: &dyn Files,
    ) -> Result<Vec<u8>, FrameError> {
        let item = self.item;
        let no_base = |cause| FrameError::Base { item, cause };
        let base = base.ok_or_else(|| no_base("none was offered".to_owned()))?;
        let raw = base.decode(delta, self.length).map_err(|error| match error {
            DeltaError::Base(cause) => no_base(cause),
            DeltaError::Range { .. } => FrameError::DeltaRange { cause: error.to_string() },
            other => no_base(other.to_string()),
        })?;
        self.check(raw, files).map_err(|error| no_base(error.to_string()))
    }

    fn check<B: AsRef<[u8]>>(&self, raw: B, files: &dyn Files) -> Result<B, FrameError> {
        let kind = match self.item.kind {
            ItemKind::Page => FrameKind::Page,
            ItemKind::Chunk => FrameKind::Chunk,
        };
        let found = kind.digest(raw.as_ref());
        if files.accepts(&self.digest, &found) {
            Ok(raw)
        } else {
            Err(FrameError::HashMismatch { item: self.item, expected: self.digest, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, FrameHeader};
    use crate::files::DiskFiles;
    use crate::hash::chunk_digest;
    use crate::pack::{Encoding, compress};
    use crate::transfer::{Item, ItemKind};

    #[test]
    fn only_the_bytes_the_manifest_lists_pass() {
        let raw = b"words that repeat, words that repeat, ".repeat(40);
        let item = Item { kind: ItemKind::Chunk, ordinal: 4 };
        let expected = Expected { item, digest: chunk_digest(&raw), length: raw.len() as u32, slot: 0 };
        let mut packed = Vec::new();
        assert_eq!(compress(&raw, &mut packed), Encoding::Zstd);
        let code = |encoding, raw_length: usize, stored: &[u8]| {
            let header = FrameHeader { item, encoding, raw_length: raw_length as u32 };
            expected.verify(&header, stored, &DiskFiles).map(|_| ()).map_err(|error| error.code())
        };
        let length = raw.len();
        assert_eq!(code(Encoding::Raw, length, &raw), Ok(()));
        assert_eq!(code(Encoding::Zstd, length, &packed), Ok(()));
        let mut flipped = raw.clone();
        flipped[9] ^= 4;
        assert_eq!(code(Encoding::Raw, length, &flipped), Err("CONTENT_HASH_MISMATCH"));
        assert_eq!(code(Encoding::Zstd, length, b"not zstd"), Err("CONTENT_HASH_MISMATCH"));
        assert_eq!(code(Encoding::Raw, length, &[&raw[..], b"x"].concat()), Err("CONTENT_TOO_LONG"));
        assert_eq!(code(Encoding::Raw, length + 1, &[&raw[..], b"x"].concat()), Err("CONTENT_TOO_LONG"));
        assert_eq!(code(Encoding::Raw, length, &raw[1..]), Err("CONTENT_TRUNCATED"));
        assert_eq!(code(Encoding::Raw, length - 1, &raw[1..]), Err("CONTENT_TRUNCATED"));
        let mut bomb = Vec::new();
        assert_eq!(compress(&vec![0; 64 << 20], &mut bomb), Encoding::Zstd);
        assert_eq!(code(Encoding::Zstd, length, &bomb), Err("DECOMPRESS_LIMIT"));
    }
}
