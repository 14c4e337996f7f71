//! Requests and answers that are sealed with the keys of the connection.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Response};
use restock_wire::spnego::{SealedBody, SealedBy, sealed_body};

use crate::content::{Content, Sent};
use crate::refused::{Refused, split_code};
use crate::socket::Shared;

/// The longest answer that is sealed: it is sealed whole, in memory.
const SEALED_ANSWER_BYTES_MAX: usize = 16 << 20;

/// A request that came sealed: its answer goes sealed too, whatever it says.
#[derive(Debug)]
pub(crate) struct Sealing {
    shared: Arc<Shared>,
    /// What the request called its sealing; the answer calls it the same.
    by: SealedBy,
}

/// Why an answer could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotSealed {
    TooLarge,
    Broken,
}

impl Sealing {
    /// True when the headers announce a sealed body.
    pub(crate) fn is_announced(headers: &HeaderMap) -> bool {
        content_type(headers).is_some_and(SealedBody::is_sealed)
    }

    /// Opens a body, whose type takes the place of the sealed one's among the headers.
    ///
    /// Errors: a body that is not of the form, was changed, or came out of order: 400, and the
    /// connection ends, for nothing after it could be opened.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(Self, Vec<u8>), Refused> {
        let refuse = |text: &str| {
            let (_, description) = split_code(text);
            let refused = Refused::transport(400, "SEALED_FORMAT", description);
            shared.negotiation().forget();
            refused.closing()
        };
        let announced = content_type(headers).unwrap_or_default().to_owned();
        let sealed = SealedBody::parse(&announced, body).map_err(|error| refuse(&error.to_string()))?;
        let opened = shared.negotiation().open(sealed.by, sealed.signature, sealed.data);
        let opened = opened.ok_or_else(|| refuse("the sealed body was changed or came out of order"))?;
        match HeaderValue::from_str(sealed.original_type) {
            Ok(value) if !sealed.original_type.is_empty() => {
                headers.insert(CONTENT_TYPE, value);
            }
            _ => {
                headers.remove(CONTENT_TYPE);
            }
        }
        Ok((Self { shared: Arc::clone(shared), by: sealed.by }, opened))
    }

    /// Seals an answer. One without a body stays as it is.
    ///
    /// Errors: [`NotSealed`]; the answer is gone then.
    pub(crate) async fn close(&self, response: &mut Response<Sent>) -> Result<(), NotSealed> {
        let bytes = match response.body_mut().whole(SEALED_ANSWER_BYTES_MAX).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(NotSealed::TooLarge),
            Err(_broken) => return Err(NotSealed::Broken),
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let original_type = content_type(response.headers()).unwrap_or("application/octet-stream");
        let (signature, data) = self.shared.negotiation().close(&bytes).ok_or(NotSealed::Broken)?;
        let (announced, body) = sealed_body(self.by, original_type, &signature, &data);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(&announced).map_err(|_bad| NotSealed::Broken)?);
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        response.body_mut().replace(Content::Text(body.into()));
        Ok(())
    }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()
}
