//! Frames: a length, a type, a body.
//!
//! Source: docs/formats/link.md, "Frames".

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use restock_content::transfer::FrameHeader;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::LinkError;
use crate::message::{MESSAGE_BYTES_MAX, Message};

/// Type and body of one frame, at most.
pub(crate) const FRAME_BYTES_MAX: usize = (4 << 20) + (64 << 10);
/// A read buffer is made this long; frames keep it alive until they are stored.
const BUFFER_BYTES: usize = 256 << 10;
/// Buffers kept to be used again, at most: a window of frames, and some.
const BUFFERS_SPARE: usize = 24;
/// Longer buffers, made for long pages, are not kept.
const SPARE_BYTES_MAX: usize = 2 * BUFFER_BYTES;
/// A buffer with less room than one TLS record is replaced.
const ROOM_BYTES_MIN: usize = 16 << 10;

/// What a peer must take within a writer's patience.
const PIECE_BYTES: usize = 64 << 10;

/// A control message in JSON.
pub(crate) const TYPE_MESSAGE: u8 = 1;
/// A request for items.
pub(crate) const TYPE_REQUEST: u8 = 2;
/// One item.
pub(crate) const TYPE_ITEM: u8 = 3;
/// One item as a delta frame.
pub(crate) const TYPE_DELTA: u8 = 4;
/// Chunks of a draft that can be asked for.
pub(crate) const TYPE_FEED: u8 = 5;

/// One frame as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
}

impl Frame {
    /// The control message in this frame.
    pub(crate) fn message(&self) -> Result<Message, LinkError> {
        if self.kind != TYPE_MESSAGE {
            return Err(LinkError::Unexpected("a frame that is no control message"));
        }
        Message::decode(&self.body).map_err(|error| LinkError::Format(error.to_string()))
    }
}

/// Appends a frame of `kind` whose body is `parts`.
pub(crate) fn put_frame(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let length = u32::try_from(length).expect("a frame is below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// The frame of a control message's JSON text.
pub(crate) fn message_frame(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + 5);
    put_frame(&mut out, TYPE_MESSAGE, &[json]);
    out
}

/// Appends the head of one item, behind which its stored bytes come.
pub(crate) fn put_item_head(out: &mut Vec<u8>, header: &FrameHeader, stored_length: u32) {
    let header = header.encode();
    let length = 1 + header.len() + stored_length as usize;
    let length = u32::try_from(length).expect("a frame is below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.push(TYPE_ITEM);
    out.extend_from_slice(&header);
}

/// Takes the next complete frame off the front of `buffer`; `None` when more bytes are needed.
///
/// Errors: a length of 0 or above the limit, as soon as the length is there.
fn take_frame(buffer: &mut BytesMut) -> Result<Option<Frame>, LinkError> {
    let Some((head, rest)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*head) as usize;
    if length == 0 {
        return Err(LinkError::Format("a frame without a type".to_owned()));
    }
    // Control messages have a limit of their own; it is known once the type is there. What is said of
    // a length that no frame may have does not depend on how much has arrived.
    let is_message = rest.first() == Some(&TYPE_MESSAGE) && length <= FRAME_BYTES_MAX;
    let limit = if is_message { MESSAGE_BYTES_MAX } else { FRAME_BYTES_MAX };
    if length > limit {
        return Err(LinkError::TooLong { length: length as u64, limit });
    }
    if rest.len() < length {
        return Ok(None);
    }
    buffer.advance(4);
    let mut body = buffer.split_to(length).freeze();
    let kind = body.get_u8();
    Ok(Some(Frame { kind, body }))
}

/// Reads frames; keeps what was read beyond the last one.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
    /// Bytes the buffer was made for.
    buffer_bytes: usize,
    /// Empty ends of buffers that are used again once the frames in them are stored.
    spare: Vec<BytesMut>,
    received: u64,
    /// Why there is no more behind what was read; told by the next read.
    ended: Option<LinkError>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(io: R) -> Self {
        Self { io, buffer: BytesMut::new(), buffer_bytes: 0, spare: Vec::new(), received: 0, ended: None }
    }

    /// Bytes read so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The next frame if it has arrived whole.
    pub(crate) fn buffered(&mut self) -> Result<Option<Frame>, LinkError> {
        take_frame(&mut self.buffer)
    }

    /// Reads some bytes. Dropping the future loses nothing.
    ///
    /// Errors: [`LinkError::Closed`] at a clean end, [`LinkError::Truncated`] inside a frame.
    pub(crate) async fn fill(&mut self) -> Result<(), LinkError> {
        if let Some(ended) = self.ended.take() {
            return Err(ended);
        }
        match self.read().await? {
            0 if self.buffer.is_empty() => Err(LinkError::Closed),
            0 => Err(LinkError::Truncated),
            _ => Ok(()),
        }
    }

    /// As [`Self::fill`], and reads on as long as something is there and the buffer has room: one read is a
    /// TLS record, and whoever waits for the next has other things to look at each time.
    pub(crate) async fn fill_up(&mut self) -> Result<(), LinkError> {
        self.fill().await?;
        while self.buffer.capacity() - self.buffer.len() >= ROOM_BYTES_MIN {
            let more = tokio::select! {
                biased;
                more = self.read() => more,
                () = std::future::ready(()) => break,
            };
            match more {
                // Whether it is a clean end shows when what came before was taken.
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    self.ended = Some(error);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads once; 0 at the end of the stream.
    async fn read(&mut self) -> Result<usize, LinkError> {
        if self.buffer.capacity() - self.buffer.len() < ROOM_BYTES_MIN {
            self.replace_buffer();
        }
        match self.io.read_buf(&mut self.buffer).await {
            Ok(count) => {
                self.received += count as u64;
                Ok(count)
            }
            // A peer that goes without TLS's farewell has cut the stream.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(LinkError::Truncated),
            Err(error) => Err(LinkError::io("read from the link")(error)),
        }
    }

    /// Goes on in a buffer with room, a used one where there is one: fresh memory costs more than what
    /// is read into it.
    fn replace_buffer(&mut self) {
        // Where nobody holds a frame of it any more it is used from its start.
        if self.buffer.try_reclaim(BUFFER_BYTES / 2) {
            return;
        }
        let wanted = self.buffer.len() + BUFFER_BYTES;
        let free = self.spare.iter_mut().position(|spare| spare.try_reclaim(wanted));
        let mut next = free.map_or_else(|| BytesMut::with_capacity(wanted), |at| self.spare.swap_remove(at));
        next.extend_from_slice(&self.buffer);
        let mut full = std::mem::replace(&mut self.buffer, next);
        full.clear();
        let made_for = std::mem::replace(&mut self.buffer_bytes, wanted);
        if made_for > 0 && made_for <= SPARE_BYTES_MAX && self.spare.len() < BUFFERS_SPARE {
            self.spare.push(full);
        }
    }

    /// The next frame. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Frame, LinkError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The next control message, within `after`; messages of unknown types are skipped.
    pub(crate) async fn message(
        &mut self,
        what: &'static str,
        after: Duration,
    ) -> Result<Message, LinkError> {
        self.message_by(what, Instant::now() + after, after).await
    }

    /// As [`Self::message`] up to `deadline`, which is `after` from the last sign of life: a wait that
    /// is begun again has no more time. Dropping the future loses nothing.
    pub(crate) async fn message_by(
        &mut self,
        what: &'static str,
        deadline: Instant,
        after: Duration,
    ) -> Result<Message, LinkError> {
        let wait = async {
            loop {
                match self.next().await?.message()? {
                    Message::Unknown => {}
                    message => return Ok(message),
                }
            }
        };
        tokio::time::timeout_at(deadline, wait)
            .await
            .map_err(|_elapsed| LinkError::Timeout { what, after })?
    }
}

/// Writes frames.
#[derive(Debug)]
pub(crate) struct FrameWriter<W> {
    io: W,
    sent: u64,
    /// A peer that takes less than [`PIECE_BYTES`] in this time is given up.
    patience: Duration,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(io: W, patience: Duration) -> Self {
        Self { io, sent: 0, patience }
    }

    /// Gives up a peer that takes too little for so long.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Bytes written so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Writes bytes that are whole frames.
    pub(crate) async fn write(&mut self, frames: &[u8]) -> Result<(), LinkError> {
        // By pieces: a slow peer may take its time for all of them, not for one.
        for piece in frames.chunks(PIECE_BYTES) {
            let write = async {
                self.io.write_all(piece).await?;
                self.io.flush().await
            };
            match tokio::time::timeout(self.patience, write).await {
                Ok(written) => written.map_err(LinkError::io("write to the link"))?,
                Err(_elapsed) => return Err(LinkError::Timeout { what: "take data", after: self.patience }),
            }
        }
        self.sent += frames.len() as u64;
        Ok(())
    }

    /// Writes one control message.
    pub(crate) async fn message(&mut self, message: &Message) -> Result<(), LinkError> {
        self.write(&message_frame(&message.encode())).await
    }

    /// Says farewell, best effort.
    pub(crate) async fn close(mut self) {
        let after = Duration::from_secs(1);
        if let Ok(Err(error)) = tokio::time::timeout(after, self.io.shutdown()).await {
            tracing::trace!(%error, "link was gone before it was closed");
        }
    }
}

/// Feeds the frame decoder with any bytes, split anywhere: same frames, same error.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    let all = |split: usize| {
        let mut frames = Vec::new();
        let mut buffer = BytesMut::new();
        for piece in [&bytes[..split], &bytes[split..]] {
            buffer.extend_from_slice(piece);
            loop {
                match take_frame(&mut buffer) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error.to_string())),
                }
            }
        }
        (frames, None)
    };
    let whole = all(bytes.len());
    for split in [0, bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        assert_eq!(all(split), whole);
    }
    for frame in whole.0 {
        assert!(frame.body.len() < FRAME_BYTES_MAX);
        if frame.kind == TYPE_MESSAGE {
            crate::message::fuzz_one(&frame.body);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::{any, prop, proptest};
    use tokio::io::AsyncReadExt;

    use super::{FRAME_BYTES_MAX, FrameReader, TYPE_ITEM, TYPE_MESSAGE, fuzz_one, put_frame, take_frame};
    use crate::LinkError;

    #[tokio::test]
    async fn what_came_before_the_end_is_taken_before_the_end_is_told() {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, TYPE_ITEM, &[b"one"]);
        let whole = bytes.len();
        put_frame(&mut bytes, TYPE_ITEM, &[b"cut short"]);
        for length in [whole, bytes.len() - 2] {
            let mut reader = FrameReader::new(bytes[..3].chain(&bytes[3..length]));
            reader.fill_up().await.expect("there is something");
            let frame = reader.buffered().expect("well formed").expect("it is whole");
            assert_eq!((frame.kind, &frame.body[..]), (TYPE_ITEM, &b"one"[..]));
            assert_eq!(reader.buffered().expect("no frame yet"), None);
            let ended = reader.fill_up().await.expect_err("there is no more");
            let is_clean = matches!(ended, LinkError::Closed);
            assert!(is_clean == (length == whole), "{ended:?}");
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_bytes_arrive() {
        let take = |bytes: &[u8]| take_frame(&mut BytesMut::from(bytes));
        assert!(matches!(
            take(&[0xff, 0xff, 0xff, 0xff]),
            Err(LinkError::TooLong { length: 0xffff_ffff, .. })
        ));
        let limit = FRAME_BYTES_MAX as u32;
        assert!(take(&limit.to_le_bytes()).unwrap().is_none());
        assert!(take(&(limit + 1).to_le_bytes()).is_err());
        let mut message = limit.to_le_bytes().to_vec();
        message.push(TYPE_MESSAGE);
        assert!(take(&message).is_err());
        assert!(take(&[0; 4]).is_err());
        fuzz_one(&[0xff, 0xff, 0xff, 0x7f, TYPE_MESSAGE, 0, 0, 0]);
        fuzz_one(&[0, 0, 0x20, 0, TYPE_MESSAGE, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn frames_do_not_depend_on_how_they_are_split(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5),
            tail in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut bytes = Vec::new();
            for body in &bodies {
                put_frame(&mut bytes, TYPE_ITEM, &[body]);
            }
            bytes.extend(tail);
            fuzz_one(&bytes);
        }
    }
}
