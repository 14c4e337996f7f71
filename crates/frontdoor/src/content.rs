//! Bodies of answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};

use crate::socket::{Busy, Shared};

/// Pieces of a long answer, made as the client takes them. After an error nothing follows.
pub(crate) type Pieces = Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, Broken>> + Send>>;

/// An answer that was begun cannot be finished; why stands in the log.
#[derive(Debug, thiserror::Error)]
#[error("the answer cannot be finished")]
pub(crate) struct Broken;

/// What an answer carries.
pub(crate) enum Content {
    Empty,
    Text(Bytes),
    Pieces(Pieces),
}

/// The content of an answer while it is sent.
pub(crate) struct Sent {
    content: Content,
    shared: Arc<Shared>,
    _busy: Busy,
}

impl Sent {
    /// The whole content, which is gone from here then; `None` when it has more bytes than allowed.
    pub(crate) async fn whole(&mut self, bytes_max: usize) -> Result<Option<Bytes>, Broken> {
        let mut bytes = Vec::new();
        while let Some(frame) = self.frame().await {
            let frame = frame?;
            let Some(data) = frame.data_ref() else { continue };
            if bytes.len().saturating_add(data.len()) > bytes_max {
                self.content = Content::Empty;
                return Ok(None);
            }
            bytes.extend_from_slice(data);
        }
        Ok(Some(bytes.into()))
    }

    /// Puts something else in the content's place.
    pub(crate) fn replace(&mut self, content: Content) {
        self.content = content;
    }

    pub(crate) fn new(content: Content, shared: Arc<Shared>, busy: Busy) -> Self {
        Self { content, shared, _busy: busy }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let piece = match &mut this.content {
            Content::Empty => None,
            Content::Text(text) => {
                let text = std::mem::take(text);
                this.content = Content::Empty;
                Some(Ok(text))
            }
            Content::Pieces(pieces) => {
                let piece = ready!(pieces.as_mut().poll_next(cx));
                if let Some(Err(_)) = &piece {
                    this.shared.reset();
                    this.content = Content::Empty;
                }
                piece
            }
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Text(text) => SizeHint::with_exact(text.len() as u64),
            Content::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Why a request's body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    TooLarge,
    TooSlow,
    Broken,
}

/// Reads a request's body within a limit of bytes and a minimum rate.
pub(crate) async fn read_body(
    mut body: hyper::body::Incoming,
    limits: &crate::DoorLimits,
) -> Result<Vec<u8>, BodyFault> {
    if body.size_hint().lower() > limits.body_bytes_max as u64 {
        return Err(BodyFault::TooLarge);
    }
    let begun = tokio::time::Instant::now();
    let mut bytes = Vec::new();
    loop {
        let earned = bytes.len() as u64 * 1_000_000 / limits.body_rate_min.max(1);
        let until = begun + limits.rate_grace + std::time::Duration::from_micros(earned);
        let frame = match tokio::time::timeout_at(until, body.frame()).await {
            Err(_elapsed) => return Err(BodyFault::TooSlow),
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(_))) => return Err(BodyFault::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > limits.body_bytes_max {
            return Err(BodyFault::TooLarge);
        }
        bytes.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use futures_util::{FutureExt as _, stream};
    use http_body_util::BodyExt as _;

    use super::{Broken, Content, Sent};
    use crate::socket::Shared;

    #[test]
    fn an_answer_that_cannot_be_finished_asks_for_a_reset() {
        let shared = Arc::new(Shared::default());
        let pieces = stream::iter([Ok(Bytes::from_static(b"{\"value\":[")), Err(Broken), Ok(Bytes::new())]);
        let content = Content::Pieces(Box::pin(pieces));
        let mut sent = Sent::new(content, Arc::clone(&shared), shared.begin());
        let mut frame = || sent.frame().now_or_never().expect("the pieces are there");
        assert!(frame().is_some_and(|frame| frame.is_ok()));
        assert!(!shared.must_reset());
        assert!(frame().is_some_and(|frame| frame.is_err()), "hyper ends the connection at an error");
        assert!(shared.must_reset());
        assert!(frame().is_none(), "nothing follows");
        assert!(shared.is_busy());
        drop(sent);
        assert!(!shared.is_busy(), "between requests the connection may be idle again");
    }
}
