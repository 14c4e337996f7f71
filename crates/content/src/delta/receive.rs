//! The receiver's half: the base it holds, and what a delta frame makes of it.

use super::{DeltaError, DeltaFrame, Prefix, frame};
use crate::library::Library;
use crate::manifest::ManifestRoot;
use crate::transfer::{ItemKind, Range, Sender};

/// A version that is complete in a library, as the base of delta frames.
pub struct DeltaBase<'a> {
    library: &'a Library,
    cursor: Sender<'a>,
}

impl std::fmt::Debug for DeltaBase<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaBase").finish_non_exhaustive()
    }
}

impl<'a> DeltaBase<'a> {
    /// The version with this root, complete in `library`.
    pub fn new(library: &'a Library, root: ManifestRoot) -> Self {
        Self { library, cursor: Sender::new(library, root) }
    }

    /// The bytes of the object a frame stands for; the digest is the caller's to check.
    ///
    /// Limits: never more than `length` bytes are produced. Errors: [`DeltaError::Base`] when the
    /// base cannot be read here; anything else is the sender's fault.
    pub fn decode(&mut self, frame: &DeltaFrame<'_>, length: u32) -> Result<Vec<u8>, DeltaError> {
        let base = prefix_bytes(self.library, &mut self.cursor, frame.item.kind, &frame.prefix)?;
        frame::decompress(&base, frame.compressed, length)
    }
}

/// The bytes of the base that `prefix` names.
pub(super) fn prefix_bytes(
    library: &Library,
    cursor: &mut Sender<'_>,
    kind: ItemKind,
    prefix: &Prefix,
) -> Result<Vec<u8>, DeltaError> {
    let (skip, end) = (prefix.skip as usize, prefix.skip as usize + prefix.length as usize);
    let range = Range { kind, first: prefix.first, count: prefix.count.into() };
    let mut bytes = Vec::with_capacity(end);
    for found in cursor.resolve(&range) {
        let found = found.map_err(|error| DeltaError::Base(error.to_string()))?;
        let object = library.read(&found.digest).map_err(|error| DeltaError::Base(error.to_string()))?;
        bytes.extend_from_slice(&object);
        // Only what was promised: many long pages would be a great many bytes.
        if bytes.len() >= end {
            break;
        }
    }
    if bytes.len() < end {
        return Err(DeltaError::Range { what: "length", value: prefix.length.into() });
    }
    bytes.truncate(end);
    bytes.drain(..skip);
    Ok(bytes)
}
