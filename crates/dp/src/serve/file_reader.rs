//! Reads the bytes of one file of one version, checked chunk by chunk. Blocking.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use restock_content::library::{Library, LibraryError};
use restock_content::manifest::{Entry, Manifest, ManifestError};
use restock_content::statement::Statement;
use restock_names::Digest;

use super::damage::Damages;

/// Why bytes cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("failed to read chunk {digest}")]
    Chunk { digest: Digest, source: LibraryError },
    #[error("chunk {digest} has {found} bytes, the manifest says {listed}")]
    Length { digest: Digest, listed: u32, found: usize },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("the chunks of the file end before its size")]
    Short,
}

impl ReadError {
    /// The chunk or page that could not be read.
    fn object(&self) -> Option<&Digest> {
        match self {
            Self::Chunk { digest, .. } | Self::Length { digest, .. } => Some(digest),
            Self::Manifest(error) => damaged_page(error),
            Self::Short => None,
        }
    }
}

/// The manifest page that an error is about.
pub(crate) fn damaged_page(error: &ManifestError) -> Option<&Digest> {
    match error {
        ManifestError::Page(error) => Some(&error.digest),
        ManifestError::Decode { digest, .. } | ManifestError::Inconsistent { digest } => Some(digest),
    }
}

/// A position in a file of a version. It goes on reading that version whatever becomes active.
#[derive(Debug)]
pub(crate) struct FileReader {
    library: Arc<Library>,
    statement: Statement,
    entry: Entry,
    position: u64,
    end: u64,
    damages: Damages,
}

impl FileReader {
    /// A reader of bytes `start..end` of `entry`, which is a file of `statement`'s version.
    pub(crate) fn new(
        library: Arc<Library>,
        statement: Statement,
        entry: Entry,
        start: u64,
        end: u64,
        damages: Damages,
    ) -> Self {
        Self { library, statement, entry, position: start, end: end.max(start), damages }
    }

    /// Bytes not read yet.
    pub(crate) fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// Reads on until `bytes` or more are read or the end is reached.
    ///
    /// Every chunk is checked against its digest. On an error nothing of this call is given out,
    /// and the damage is told.
    pub(crate) fn read(&mut self, bytes: u32) -> Result<VecDeque<Bytes>, ReadError> {
        let read = self.read_checked(bytes);
        if let Err(error) = &read
            && let Some(digest) = error.object()
        {
            self.damages.note(&self.statement.version, digest, error);
        }
        read
    }

    fn read_checked(&mut self, bytes: u32) -> Result<VecDeque<Bytes>, ReadError> {
        let mut pieces = VecDeque::new();
        let mut wanted = u64::from(bytes.max(1)).min(self.remaining());
        let manifest = Manifest::new(&*self.library, self.statement.root);
        let mut runs = manifest.runs_from(&self.entry, self.position);
        while wanted > 0 {
            let (run_start, run) = runs.next().ok_or(ReadError::Short)??;
            if run.bytes() == 0 {
                return Err(ReadError::Short);
            }
            let run_end = run_start + run.bytes();
            let chunk = self.chunk(&run.digest, run.length)?;
            while wanted > 0 && self.position < run_end {
                let length = u64::from(run.length);
                let from = (self.position - run_start) % length;
                let to = length.min(from + self.remaining());
                // Both lie within one chunk, at most 256 KiB.
                pieces.push_back(chunk.slice(from as usize..to as usize));
                self.position += to - from;
                wanted = wanted.saturating_sub(to - from);
            }
        }
        Ok(pieces)
    }

    fn chunk(&self, digest: &Digest, listed: u32) -> Result<Bytes, ReadError> {
        let chunk =
            self.library.read(digest).map_err(|source| ReadError::Chunk { digest: *digest, source })?;
        if chunk.len() != listed as usize {
            return Err(ReadError::Length { digest: *digest, listed, found: chunk.len() });
        }
        Ok(Bytes::from(chunk))
    }
}
