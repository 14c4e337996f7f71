//! CIM-XML: not spoken yet.

use crate::contexts::{Contexts, Enumeration};
use crate::handler::{Answer, Asked, Handler};
use crate::refused::Refused;

/// What the door keeps between requests.
#[derive(Debug, Default)]
pub(crate) struct Cimom {
    #[expect(dead_code, reason = "the operations come next")]
    contexts: Contexts<Enumeration>,
}

/// Answers somebody who has signed in.
pub(crate) async fn serve(_handler: &Handler, _asked: Asked) -> Result<Answer, Refused> {
    Err(Refused::transport(501, "NOT_SUPPORTED", "CIM-XML is not spoken here"))
}

/// What a refusal of the transport looks like.
pub(crate) fn refusal(refused: &Refused, _correlation: &str) -> (&'static str, String) {
    ("text/plain; charset=utf-8", refused.description.clone())
}
