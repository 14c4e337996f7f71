//! The thread of a connection: frames are decoded, verified and stored, a batch at a time.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use restock_content::chunk::CHUNK_BYTES_MAX;
use restock_content::delta::{DeltaBase, DeltaError, DeltaFrame};
use restock_content::transfer::{ConnectionId, Expected, FrameError, FrameHeader, ItemKind};
use restock_names::Digest;

use super::{Pull, PullError};
use crate::LinkError;
use crate::frame::{Frame, TYPE_DELTA, TYPE_FEED, TYPE_ITEM, TYPE_MESSAGE};
use crate::message::Message;

/// Decoded chunks are written when they have this many bytes.
const WRITE_BYTES: usize = 1 << 20;

/// Buffers kept for decoded frames, at most: those of a write, and some.
const SPARE_MAX: usize = 64;

/// The thread of a connection, from batch to batch.
pub(super) struct Storing<'p> {
    pull: &'p Pull,
    connection: ConnectionId,
    /// What delta frames are decoded with, once there was one.
    base: Option<DeltaBase<'p>>,
    /// Buffers of frames that were stored, to be used again: fresh memory costs more than decoding.
    spare: Vec<Vec<u8>>,
}

/// Chunks that were verified and wait to be written together.
#[derive(Default)]
struct Waiting<'f> {
    chunks: Vec<(Expected, Cow<'f, [u8]>)>,
    bytes: usize,
}

impl<'p> Storing<'p> {
    pub(super) fn new(pull: &'p Pull, connection: ConnectionId) -> Self {
        Self { pull, connection, base: None, spare: Vec::new() }
    }

    /// Stores the items in `frames`, in order.
    ///
    /// What was stored before an error stays stored.
    pub(super) fn store(&mut self, frames: &[Frame]) -> Result<(), PullError> {
        let mut waiting = Waiting::default();
        let taken = self.take_all(frames, &mut waiting);
        // Frames before a bad one are right: they need not be sent again.
        self.write(&mut waiting)?;
        self.pull.announce();
        taken
    }

    /// What a delta frame makes of the base.
    fn take_delta(&mut self, body: &[u8]) -> Result<(Expected, Vec<u8>), PullError> {
        let delta = DeltaFrame::decode(body).map_err(|error| match error {
            DeltaError::Range { .. } => FrameError::DeltaRange { cause: error.to_string() }.into(),
            other => PullError::from(LinkError::Format(other.to_string())),
        })?;
        let expected = self.pull.receiver().expect_item(self.connection, delta.item)?;
        let files = &**self.pull.library.files();
        Ok((expected, expected.verify_delta(&delta, self.base.as_mut(), files)?))
    }

    fn take_all<'f>(&mut self, frames: &'f [Frame], waiting: &mut Waiting<'f>) -> Result<(), PullError> {
        let (pull, connection) = (self.pull, self.connection);
        let files = &**pull.library.files();
        match pull.base() {
            None => self.base = None,
            Some((_, root)) if self.base.is_none() => self.base = Some(DeltaBase::new(&pull.library, root)),
            Some(_) => {}
        }
        for frame in frames {
            let (expected, raw) = match frame.kind {
                TYPE_ITEM => {
                    let (header, stored) = FrameHeader::decode(&frame.body)
                        .map_err(|error| LinkError::Format(error.to_string()))?;
                    let expected = pull.receiver().expect_item(connection, header.item)?;
                    let spare = || self.spare.pop().unwrap_or_default();
                    (expected, expected.verify_in(&header, stored, files, spare)?)
                }
                TYPE_DELTA => {
                    let (expected, raw) = self.take_delta(&frame.body).inspect_err(|error| {
                        if matches!(error, PullError::Frame(error) if error.is_of_base()) {
                            pull.is_base_lost.store(true, Ordering::Relaxed);
                        }
                    })?;
                    (expected, Cow::Owned(raw))
                }
                TYPE_FEED => {
                    super::follow::announced(pull, &frame.body)?;
                    continue;
                }
                TYPE_MESSAGE => match frame.message()? {
                    Message::Refused(refusal) => return Err(LinkError::Refused(refusal).into()),
                    Message::Unknown | Message::Ping => continue,
                    Message::DraftEnded { is_kept: true } if pull.following.is_some() => {
                        pull.receiver().end_follow();
                        continue;
                    }
                    Message::DraftEnded { is_kept: false } if pull.following.is_some() => {
                        return Err(PullError::DraftDropped);
                    }
                    _ => return Err(LinkError::Unexpected("a message among items").into()),
                },
                _ => return Err(LinkError::Unexpected("a frame that is no item").into()),
            };
            match (expected.item.kind, pull.chunks.get()) {
                (ItemKind::Chunk, Some(_)) => {
                    waiting.bytes += raw.len();
                    waiting.chunks.push((expected, raw));
                    if waiting.bytes >= WRITE_BYTES {
                        self.write(waiting)?;
                    }
                }
                _ => {
                    put(pull, connection, &expected, &raw)?;
                    self.keep(raw);
                }
            }
        }
        Ok(())
    }

    /// Writes what waits; the receiver hears of it only then.
    fn write(&mut self, waiting: &mut Waiting<'_>) -> Result<(), PullError> {
        let pull = self.pull;
        let (Some(writer), false) = (pull.chunks.get(), waiting.chunks.is_empty()) else { return Ok(()) };
        let chunks: Vec<(Digest, &[u8])> =
            waiting.chunks.iter().map(|(expected, raw)| (expected.digest, &**raw)).collect();
        writer.put_checked(&chunks)?;
        let (count, bytes) = (chunks.len() as u64, waiting.bytes as u64);
        let mut receiver = pull.receiver();
        waiting.chunks.iter().for_each(|(expected, _)| receiver.chunk_stored(self.connection, expected));
        drop(receiver);
        waiting.chunks.drain(..).for_each(|(_, raw)| self.keep(raw));
        waiting.bytes = 0;
        count_chunks(pull, count, bytes);
        Ok(())
    }

    fn keep(&mut self, raw: Cow<'_, [u8]>) {
        // The buffers of long pages are not kept.
        if let Cow::Owned(buffer) = raw
            && buffer.capacity() <= CHUNK_BYTES_MAX
            && self.spare.len() < SPARE_MAX
        {
            self.spare.push(buffer);
        }
    }
}

/// Stores one page, or one chunk of a repair.
fn put(pull: &Pull, connection: ConnectionId, expected: &Expected, raw: &[u8]) -> Result<(), PullError> {
    let pages = pull.pages.read().expect("no code panics while holding this lock");
    let writer = pages.as_ref().ok_or(LinkError::Unexpected("a page after the plan"))?;
    match expected.item.kind {
        ItemKind::Page => {
            writer.put_page(expected.digest, raw).map_err(PullError::Library)?;
            pull.counts.pages.fetch_add(1, Ordering::Relaxed);
            pull.receiver().page_stored(connection, expected, raw, &pull.inventory)?;
        }
        ItemKind::Chunk => {
            writer.put_chunk(expected.digest, raw).map_err(PullError::Library)?;
            pull.receiver().chunk_stored(connection, expected);
            count_chunks(pull, 1, raw.len() as u64);
        }
    }
    Ok(())
}

fn count_chunks(pull: &Pull, count: u64, bytes: u64) {
    pull.counts.chunks.fetch_add(count, Ordering::Relaxed);
    pull.counts.raw_bytes.fetch_add(bytes, Ordering::Relaxed);
    pull.progress.stored(bytes);
}
