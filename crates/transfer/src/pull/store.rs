//! The thread of a connection: frames are decoded, verified and stored, a batch at a time.

use std::sync::atomic::Ordering;

use restock_content::delta::{DeltaBase, DeltaFrame};
use restock_content::transfer::{ConnectionId, Expected, FrameError, FrameHeader, ItemKind};
use restock_names::Digest;

use super::{Pull, PullError};
use crate::LinkError;
use crate::frame::{Frame, TYPE_DELTA, TYPE_FEED, TYPE_ITEM, TYPE_MESSAGE};
use crate::message::Message;

/// Decoded chunks are written when they have this many bytes.
const WRITE_BYTES: usize = 1 << 20;

/// Chunks that were verified and wait to be written together.
#[derive(Default)]
struct Waiting {
    chunks: Vec<(Expected, Vec<u8>)>,
    bytes: usize,
}

/// Stores the items in `frames`, in order.
///
/// What was stored before an error stays stored.
pub(super) fn store(pull: &Pull, connection: ConnectionId, frames: &[Frame]) -> Result<(), PullError> {
    let mut waiting = Waiting::default();
    let taken = take_all(pull, connection, frames, &mut waiting);
    // Frames before a bad one are right: they need not be sent again.
    write(pull, connection, &mut waiting)?;
    pull.announce();
    taken
}

fn take_all(
    pull: &Pull,
    connection: ConnectionId,
    frames: &[Frame],
    waiting: &mut Waiting,
) -> Result<(), PullError> {
    let files = &**pull.library.files();
    let mut base = pull.base().map(|(_, root)| DeltaBase::new(&pull.library, root));
    for frame in frames {
        let (expected, raw) = match frame.kind {
            TYPE_ITEM => {
                let (header, stored) =
                    FrameHeader::decode(&frame.body).map_err(|error| LinkError::Format(error.to_string()))?;
                let expected = pull.receiver().expect_item(connection, header.item)?;
                (expected, expected.verify(&header, stored, files)?)
            }
            TYPE_DELTA => {
                let delta =
                    DeltaFrame::decode(&frame.body).map_err(|error| LinkError::Format(error.to_string()))?;
                let expected = pull.receiver().expect_item(connection, delta.item)?;
                let verified = expected.verify_delta(&delta, base.as_mut(), files);
                if matches!(verified, Err(FrameError::Base { .. })) {
                    pull.is_base_lost.store(true, Ordering::Relaxed);
                }
                (expected, verified?)
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
                    write(pull, connection, waiting)?;
                }
            }
            _ => put(pull, connection, &expected, &raw)?,
        }
    }
    Ok(())
}

/// Writes what waits; the receiver hears of it only then.
fn write(pull: &Pull, connection: ConnectionId, waiting: &mut Waiting) -> Result<(), PullError> {
    let (Some(writer), false) = (pull.chunks.get(), waiting.chunks.is_empty()) else { return Ok(()) };
    let chunks: Vec<(Digest, &[u8])> =
        waiting.chunks.iter().map(|(expected, raw)| (expected.digest, raw.as_slice())).collect();
    writer.put_checked(&chunks)?;
    let (count, bytes) = (chunks.len() as u64, waiting.bytes as u64);
    let mut receiver = pull.receiver();
    waiting.chunks.iter().for_each(|(expected, _)| receiver.chunk_stored(connection, expected));
    drop(receiver);
    waiting.chunks.clear();
    waiting.bytes = 0;
    count_chunks(pull, count, bytes);
    Ok(())
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
