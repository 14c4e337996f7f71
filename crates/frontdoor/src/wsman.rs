//! WS-Management: not spoken yet.

use http::HeaderMap;

use crate::handler::{Answer, Asked, Handler};
use crate::refused::Refused;

/// What the door keeps between requests.
#[derive(Debug, Default)]
pub(crate) struct WsMan;

/// True for an Identify that is asked without signing in.
pub(crate) fn is_identify(_headers: &HeaderMap) -> bool {
    false
}

/// Answers an Identify.
pub(crate) fn identify(_handler: &Handler, _headers: &HeaderMap, _body: &[u8]) -> Result<Answer, Refused> {
    Err(not_spoken())
}

/// Answers somebody who has signed in.
pub(crate) async fn serve(_handler: &Handler, _asked: Asked) -> Result<Answer, Refused> {
    Err(not_spoken())
}

/// What a refusal of the transport looks like.
pub(crate) fn refusal(refused: &Refused, _correlation: &str) -> (&'static str, String) {
    ("text/plain; charset=utf-8", refused.description.clone())
}

fn not_spoken() -> Refused {
    Refused::transport(501, "NOT_SUPPORTED", "WS-Management is not spoken here")
}
