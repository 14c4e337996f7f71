//! Where the bytes of an answer come from: checked ranges of packs where there are any, else bytes
//! read and checked here. Blocking, except [`pieces_at_once`].

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use restock_content::library::{Extent, Hold, Library, LibraryError};
use restock_content::manifest::{Manifest, ManifestError};
use restock_content::statement::Statement;
use restock_names::Digest;

use super::damage::Damages;
use super::piece::{BATCH_BYTES, Permit, Piece, ReadAhead};
use super::shelf::{Found, RUNS_MAX};

/// Bytes in one window of checked ranges.
const WINDOW_BYTES: u64 = 64 << 20;
/// Pieces of one window.
const PIECES_MAX: usize = 256;
/// Bytes read before the head of an answer is sent; a small file is read whole.
const FIRST_BYTES: usize = 256 * 1024;

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

/// A part of an answer's body.
#[derive(Debug)]
pub(crate) enum Part {
    Text(Bytes),
    /// Bytes of the file.
    Span(Range<u64>),
}

/// A body made of parts of one file of one version. It goes on reading that version whatever becomes
/// active.
#[derive(Debug)]
pub(crate) struct FileSource {
    library: Arc<Library>,
    statement: Statement,
    found: Arc<Found>,
    parts: VecDeque<Part>,
    read_ahead: ReadAhead,
    damages: Damages,
    /// Where the file's bytes lie, while all of them were passed in order.
    runs: Option<Vec<Extent>>,
    /// Cleaning removes nothing that this download may still ask for.
    _hold: Hold,
}

/// What a window is collected into.
#[derive(Debug, Default)]
struct Window {
    pieces: Vec<Piece>,
    extent_bytes: u64,
    read_bytes: usize,
}

impl Window {
    fn is_full(&self, read_max: usize) -> bool {
        self.read_bytes >= read_max || self.extent_bytes >= WINDOW_BYTES || self.pieces.len() >= PIECES_MAX
    }

    fn push(&mut self, extent: Extent) {
        self.extent_bytes += extent.length();
        if let Some(Piece::File(last)) = self.pieces.last_mut()
            && last.extent.join(&extent)
        {
            return;
        }
        self.pieces.push(Piece::file(extent));
    }
}

/// All pieces of a body made of `parts` of `found`, if it is known where they lie. Takes no time to
/// speak of.
pub(crate) fn pieces_at_once(found: &Found, parts: &VecDeque<Part>) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => pieces.push(Piece::text(text.clone())),
            Part::Span(span) => {
                pieces.extend(found.extents(span.start, span.end)?.into_iter().map(Piece::file))
            }
        }
    }
    Some(pieces)
}

impl FileSource {
    /// The body made of `parts` of `found`, a file of `statement`'s version.
    pub(crate) fn new(
        library: Arc<Library>,
        statement: Statement,
        found: Arc<Found>,
        parts: VecDeque<Part>,
        read_ahead: ReadAhead,
        damages: Damages,
    ) -> Self {
        let hold = library.hold();
        let is_whole = matches!(parts.front(), Some(Part::Span(span)) if *span == (0..found.size));
        let runs = (is_whole && parts.len() == 1).then(Vec::new);
        Self { library, statement, found, parts, read_ahead, damages, runs, _hold: hold }
    }

    /// True when everything was given out.
    pub(crate) fn is_done(&self) -> bool {
        self.parts.is_empty()
    }

    /// The first pieces; everything that is read has been checked before the head is sent.
    pub(crate) fn first(&mut self) -> Result<Vec<Piece>, ReadError> {
        self.told(FIRST_BYTES, None)
    }

    /// The next pieces, none when it is done: as many as there is memory for reading ahead, otherwise at
    /// least one chunk.
    pub(crate) fn next(&mut self) -> Result<Vec<Piece>, ReadError> {
        let permit = self.read_ahead.take().map(Arc::new);
        let read_max = if permit.is_some() { BATCH_BYTES } else { 1 };
        self.told(read_max, permit)
    }

    /// On an error nothing of this window is given out, and the damage is told.
    fn told(&mut self, read_max: usize, permit: Option<Arc<Permit>>) -> Result<Vec<Piece>, ReadError> {
        let window = self.window(read_max, permit);
        if let Err(error) = &window
            && let Some(digest) = error.object()
        {
            self.damages.note(&self.statement.version, digest, error);
        }
        window
    }

    fn window(&mut self, read_max: usize, permit: Option<Arc<Permit>>) -> Result<Vec<Piece>, ReadError> {
        let mut window = Window::default();
        while !window.is_full(read_max) {
            match self.parts.pop_front() {
                None => break,
                Some(Part::Text(text)) => window.pieces.push(Piece::Bytes(text, None)),
                Some(Part::Span(span)) => {
                    let at = self.read(&span, read_max, permit.as_ref(), &mut window)?;
                    if at < span.end {
                        self.parts.push_front(Part::Span(at..span.end));
                    }
                }
            }
        }
        if self.parts.is_empty()
            && let Some(runs) = self.runs.take().filter(|runs| !runs.is_empty())
        {
            self.found.remember(&runs);
        }
        Ok(window.pieces)
    }

    /// Collects bytes of `span` until the window is full; returns how far it came.
    fn read(
        &mut self,
        span: &Range<u64>,
        read_max: usize,
        permit: Option<&Arc<Permit>>,
        window: &mut Window,
    ) -> Result<u64, ReadError> {
        if let Some(extents) = self.found.extents(span.start, span.end) {
            self.runs = None;
            extents.into_iter().for_each(|extent| window.push(extent));
            return Ok(span.end);
        }
        let (library, found) = (Arc::clone(&self.library), Arc::clone(&self.found));
        let manifest = Manifest::new(&*library, self.statement.root);
        let mut runs = manifest.runs_from(&found.entry, span.start);
        let mut at = span.start;
        while at < span.end && !window.is_full(read_max) {
            let (run_start, run) = runs.next().ok_or(ReadError::Short)??;
            if run.bytes() == 0 {
                return Err(ReadError::Short);
            }
            let run_end = (run_start + run.bytes()).min(span.end);
            let length = u64::from(run.length);
            let known = self.extent(&run.digest, run.length)?;
            let read = match &known {
                Some(_) => None,
                None => Some(self.chunk(&run.digest, run.length)?),
            };
            let place = match known {
                Some(extent) => Some(extent),
                None => self.extent(&run.digest, run.length)?,
            };
            while at < run_end && !window.is_full(read_max) {
                let from = (at - run_start) % length;
                let to = length.min(from + (span.end - at));
                match (&read, &place) {
                    (Some(chunk), _) => {
                        // Both lie within one chunk, at most 256 KiB.
                        let bytes = chunk.slice(from as usize..to as usize);
                        window.read_bytes += bytes.len();
                        window.pieces.push(Piece::Bytes(bytes, permit.cloned()));
                    }
                    (None, Some(extent)) => window.push(extent.part(from, to)),
                    (None, None) => return Err(ReadError::Short),
                }
                self.passed(place.as_ref());
                at += to - from;
            }
        }
        Ok(at)
    }

    /// Keeps in mind where a chunk lies that was passed.
    fn passed(&mut self, place: Option<&Extent>) {
        let Some(runs) = &mut self.runs else { return };
        match place {
            None => self.runs = None,
            Some(place) if runs.last_mut().is_some_and(|last| last.join(place)) => {}
            Some(_) if runs.len() >= RUNS_MAX => self.runs = None,
            Some(place) => runs.push(place.clone()),
        }
    }

    fn extent(&self, digest: &Digest, length: u32) -> Result<Option<Extent>, ReadError> {
        self.library.extent(digest, length).map_err(|source| ReadError::Chunk { digest: *digest, source })
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
