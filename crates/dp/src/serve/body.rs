//! Bodies of answers, as the HTTP machinery draws them.
//!
//! A file's bytes come in batches that the blocking pool reads ahead of the socket: one batch is
//! sent while the next is read and verified. Memory: two batches for each download while the
//! shared [`ReadAhead`] budget lasts, one chunk beyond it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::catalog::CatalogError;
use super::file_reader::{FileReader, ReadError};
use super::socket::Reset;

/// Bytes read at once when the budget allows.
const BATCH_BYTES: u32 = 1 << 20;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    Empty,
    Text(Bytes),
    File(Box<FileBody>),
    Listing(ListingBody),
}

/// Why a body ends early. The connection is reset.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Listing(CatalogError),
    #[error("reading was stopped before the end")]
    Stopped,
}

/// Memory that all downloads together may use for reading ahead.
#[derive(Debug, Clone)]
pub(crate) struct ReadAhead(Arc<Semaphore>);

impl ReadAhead {
    /// A budget of about `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / BATCH_BYTES as usize)))
    }
}

/// The verified bytes of a file or of a part of it.
#[derive(Debug)]
pub(crate) struct FileBody {
    ready: VecDeque<Bytes>,
    ready_permit: Option<OwnedSemaphorePermit>,
    remaining: u64,
    next: Next,
    read_ahead: ReadAhead,
    reset: Reset,
}

#[derive(Debug)]
enum Next {
    Idle(Box<FileReader>),
    Reading(JoinHandle<Batch>),
    Done,
}

#[derive(Debug)]
struct Batch {
    reader: Box<FileReader>,
    chunks: Result<VecDeque<Bytes>, ReadError>,
    permit: Option<OwnedSemaphorePermit>,
}

impl FileBody {
    /// A body that begins with `first`, already read from `reader`.
    pub(crate) fn new(
        first: VecDeque<Bytes>,
        reader: FileReader,
        read_ahead: ReadAhead,
        reset: Reset,
    ) -> Self {
        let first_bytes: u64 = first.iter().map(|b| b.len() as u64).sum();
        let remaining = first_bytes + reader.remaining();
        let next = if reader.remaining() == 0 { Next::Done } else { Next::Idle(Box::new(reader)) };
        Self { ready: first, ready_permit: None, remaining, next, read_ahead, reset }
    }

    /// Starts reading the next batch when that is due.
    fn read_on(&mut self) {
        let Next::Idle(_) = self.next else { return };
        let permit = Arc::clone(&self.read_ahead.0).try_acquire_owned().ok();
        if permit.is_none() && !self.ready.is_empty() {
            return;
        }
        let Next::Idle(mut reader) = std::mem::replace(&mut self.next, Next::Done) else { return };
        // Without a permit the batch is a single chunk.
        let bytes = if permit.is_some() { BATCH_BYTES } else { 1 };
        self.next = Next::Reading(tokio::task::spawn_blocking(move || {
            let chunks = reader.read(bytes);
            Batch { reader, chunks, permit }
        }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            self.read_on();
            if let Some(bytes) = self.ready.pop_front() {
                self.remaining -= bytes.len() as u64;
                return Poll::Ready(Some(Ok(bytes)));
            }
            self.ready_permit = None;
            let Next::Reading(reading) = &mut self.next else { return Poll::Ready(None) };
            let batch = match ready!(Pin::new(reading).poll(cx)) {
                Ok(batch) => batch,
                Err(_stopped) => return self.fail(BodyError::Stopped),
            };
            match batch.chunks {
                Ok(chunks) => self.ready = chunks,
                Err(error) => return self.fail(error.into()),
            }
            self.ready_permit = batch.permit;
            self.next = if batch.reader.remaining() == 0 { Next::Done } else { Next::Idle(batch.reader) };
        }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.next = Next::Done;
        self.reset.mark();
        Poll::Ready(Some(Err(error)))
    }
}

/// A listing, written by a thread of its own that stops when the reader is gone.
#[derive(Debug)]
pub(crate) struct ListingBody {
    pub(crate) pieces: mpsc::Receiver<Result<Bytes, BodyError>>,
    pub(crate) reset: Reset,
}

impl Body for Content {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = match &mut *self {
            Self::Empty => None,
            Self::Text(_) => match std::mem::replace(&mut *self, Self::Empty) {
                Self::Text(text) => Some(Ok(text)),
                _ => None,
            },
            Self::File(file) => ready!(file.poll(cx)),
            Self::Listing(listing) => {
                let piece = ready!(listing.pieces.poll_recv(cx));
                if let Some(Err(_)) = &piece {
                    listing.reset.mark();
                }
                piece
            }
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::File(file) => file.remaining == 0,
            Self::Text(_) | Self::Listing(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::File(file) => SizeHint::with_exact(file.remaining),
            Self::Listing(_) => SizeHint::default(),
        }
    }
}
