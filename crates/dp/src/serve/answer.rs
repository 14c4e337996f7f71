//! Answers: a status, header lines, a body; and the one form of those without content.

use std::fmt::Write as _;
use std::sync::mpsc::Receiver;

use bytes::Bytes;

use super::address::AddressError;
use super::framing::FramingError;
use super::head::HeadError;
use super::listing::Sheet;
use super::piece::Piece;
use super::propfind::AskError;
use super::range::RANGES_MAX;
use super::source::FileSource;

/// The methods of the content listener.
pub(crate) const METHODS: &str = "GET, HEAD, OPTIONS, PROPFIND";

/// An answer. `Date`, `X-Request-Id` and what frames the body are added when it is sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Header lines, each ended by CR LF.
    pub(crate) headers: String,
    pub(crate) body: Body,
    /// The connection ends with it.
    pub(crate) is_last: bool,
}

/// What follows the head of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// Nothing, and nothing is said of a length: 304.
    None,
    Text(Bytes),
    /// So many bytes: those at hand, then what the source gives.
    File {
        length: u64,
        pieces: Vec<Piece>,
        source: Option<Box<FileSource>>,
    },
    Listing(Receiver<Sheet>),
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: String::with_capacity(512), body: Body::Text(Bytes::new()), is_last: false }
    }

    /// Adds a header line.
    pub(crate) fn header(&mut self, name: &str, value: impl std::fmt::Display) {
        write!(self.headers, "{name}: {value}\r\n").expect("writing to a string cannot fail");
    }
}

/// The reason phrase of a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        207 => "Multi-Status",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Answer",
    }
}

/// Why a request is not answered with content. The text begins with a stable code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Unknown, a folder, or without a right: all the same to the caller.
    #[error(
        "NOT_FOUND: there is no content at this address, or it is not public; ask the site which packages are"
    )]
    NotFound,
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error("BODY_FRAMING: the body is not in the chunked coding")]
    Chunked,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("BODY_TOO_LARGE: the body of a PROPFIND has more than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("BODY_RATE: the body of the request did not arrive in time; send it at once")]
    BodyRate,
    #[error("METHOD_NOT_ALLOWED: content is only read here; use {METHODS}")]
    Method,
    #[error("EXPECTATION: only 100-continue can be expected here")]
    Expectation,
    #[error("HOST_MISSING: an HTTP/1.1 request has exactly one Host header")]
    Host,
    #[error(
        "HOST_UNKNOWN: the request asks for another name than this service has; list it under hosts in [serve]"
    )]
    HostUnknown,
    #[error("PRECONDITION_FAILED: the file is not in the state that the request names")]
    Precondition,
    #[error("RANGE_NOT_SATISFIABLE: the file has {size} bytes and the range asks for none of them")]
    Range { size: u64 },
    #[error("RANGE_TOO_MANY: {count} ranges in one request, at most {RANGES_MAX} are allowed; ask for fewer")]
    Ranges { count: usize },
    #[error(
        "CONTENT_DAMAGED: the stored bytes do not have their digest and are being fetched again; try later"
    )]
    Damaged,
    #[error("CONTENT_UNREADABLE: the content library cannot be read at the moment; try later")]
    Unreadable,
}

impl Refused {
    fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Head(HeadError::TooLarge { .. }) => 431,
            Self::Head(HeadError::Version(_)) => 505,
            Self::Framing(FramingError::Coding) => 501,
            Self::Ask(error) if error.is_forbidden() => 403,
            Self::Head(_)
            | Self::Framing(_)
            | Self::Chunked
            | Self::Address(_)
            | Self::Ask(_)
            | Self::Host
            | Self::Ranges { .. } => 400,
            Self::BodyTooLarge { .. } => 413,
            Self::BodyRate => 408,
            Self::Method => 405,
            Self::Expectation => 417,
            Self::HostUnknown => 421,
            Self::Precondition => 412,
            Self::Range { .. } => 416,
            Self::Damaged | Self::Unreadable => 503,
        }
    }

    /// Whether what follows on the connection cannot be told from the request that is refused.
    fn is_last(&self) -> bool {
        matches!(
            self,
            Self::Head(_)
                | Self::Framing(_)
                | Self::Chunked
                | Self::BodyTooLarge { .. }
                | Self::BodyRate
                | Self::Expectation
                | Self::Host
        )
    }

    /// The answer that says so.
    pub(crate) fn answer(&self) -> Answer {
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
        let mut answer = Answer::new(self.status());
        answer.is_last = self.is_last();
        answer.header("Content-Type", media_type);
        answer.header("X-Content-Type-Options", "nosniff");
        answer.header("Cache-Control", "no-store");
        match self {
            Self::Method => answer.header("Allow", METHODS),
            Self::Damaged | Self::Unreadable => answer.header("Retry-After", 30),
            Self::Range { size } => answer.header("Content-Range", format_args!("bytes */{size}")),
            _ => {}
        }
        answer.body = Body::Text(Bytes::from(text));
        answer
    }
}
