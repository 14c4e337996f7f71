//! Answers without content: refusals, and their one form.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use super::address::AddressError;
use super::body::Content;
use super::propfind::AskError;
use super::range::RANGES_MAX;

/// The methods of the content listener.
pub(crate) const METHODS: &str = "GET, HEAD, OPTIONS, PROPFIND";

/// Why a request is not answered with content. The text begins with a stable code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Unknown, a folder, or without a right: all the same to the caller.
    #[error(
        "NOT_FOUND: there is no content at this address, or it is not public; ask the site which packages are"
    )]
    NotFound,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("BODY_TOO_LARGE: the body of a PROPFIND has more than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("BODY_TIMEOUT: the body of the request did not arrive in time; send it at once")]
    BodyTimeout,
    #[error("METHOD_NOT_ALLOWED: content is only read here; use {METHODS}")]
    Method,
    #[error("HOST_MISSING: an HTTP/1.1 request has exactly one Host header")]
    Host,
    #[error("PRECONDITION_FAILED: the file has another ETag than If-Match names")]
    Precondition,
    #[error("RANGE_NOT_SATISFIABLE: the file has {size} bytes and the range asks for none of them")]
    Range { size: u64 },
    #[error("RANGE_TOO_MANY: {count} ranges in one request, at most {RANGES_MAX} are allowed; ask for one")]
    Ranges { count: usize },
    #[error(
        "CONTENT_DAMAGED: the stored bytes do not have their digest and are being fetched again; try later"
    )]
    Damaged,
    #[error("CONTENT_UNREADABLE: the content library cannot be read at the moment; try later")]
    Unreadable,
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Ask(error) if error.is_forbidden() => StatusCode::FORBIDDEN,
            Self::Address(_) | Self::Ask(_) | Self::Host | Self::Ranges { .. } => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Precondition => StatusCode::PRECONDITION_FAILED,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Damaged | Self::Unreadable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The answer that says so.
    pub(crate) fn answer(&self) -> Response<Content> {
        let (text, media_type) = match self {
            // RFC 4918 section 9.1: the precondition code of a refused infinite depth.
            Self::Ask(error) if error.is_forbidden() => (
                format!(
                    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:error xmlns:D=\"DAV:\">\
                     <D:propfind-finite-depth/><!-- {error} --></D:error>\n"
                ),
                "application/xml; charset=utf-8",
            ),
            other => (format!("{other}\n"), "text/plain; charset=utf-8"),
        };
        let mut response = Response::new(Content::Empty);
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CONTENT_LENGTH, text.len().into());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Method => drop(headers.insert(ALLOW, HeaderValue::from_static(METHODS))),
            Self::Damaged | Self::Unreadable => {
                drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("30")));
            }
            Self::Range { size } => {
                let value =
                    HeaderValue::try_from(format!("bytes */{size}")).expect("digits are a header value");
                headers.insert(CONTENT_RANGE, value);
            }
            _ => {}
        }
        *response.body_mut() = Content::Text(Bytes::from(text));
        response
    }
}
