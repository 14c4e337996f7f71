//! The receiver's half: the base it holds, and what a delta frame makes of it.

use super::cursor::DeltaCursor;
use super::{DeltaError, DeltaFrame, frame};
use crate::library::Library;
use crate::manifest::ManifestRoot;

/// A version that is complete in a library, as the base of delta frames.
#[derive(Debug)]
pub struct DeltaBase<'a>(DeltaCursor<'a>);

impl<'a> DeltaBase<'a> {
    /// The version with this root, complete in `library`.
    pub fn new(library: &'a Library, root: ManifestRoot) -> Self {
        Self(DeltaCursor::new(library, root))
    }

    /// The bytes of the object a frame stands for; the digest is the caller's to check.
    ///
    /// Limits: never more than `length` bytes are produced. Errors: [`DeltaError::Base`] when the
    /// base cannot be read here; anything else is the sender's fault.
    pub fn decode(&mut self, frame: &DeltaFrame<'_>, length: u32) -> Result<Vec<u8>, DeltaError> {
        let base = self.0.prefix(frame.item.kind, &frame.prefix)?;
        frame::decompress(base, frame.compressed, length)
    }
}
