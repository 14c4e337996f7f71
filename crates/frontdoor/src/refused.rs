//! Refusals of the door, whoever speaks them: HTTP status, stable code, one sentence.

use http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use restock_cim::{Instance, Schema, Status};
use restock_provider::{CoreStatus, Refusal};
use restock_wire::odata::http_status;

use crate::framing::Violation;

/// A refusal on its way to the client.
#[derive(Debug)]
pub(crate) struct Refused {
    /// As it is sent.
    pub(crate) http: u16,
    /// The stable code.
    pub(crate) code: &'static str,
    /// One sentence.
    pub(crate) description: String,
    /// Headers of their own.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// What the object core or the provider says.
    pub(crate) status: Option<Box<Instance>>,
    /// What a failed method returns.
    pub(crate) return_value: Option<i32>,
    /// The connection ends with this answer.
    pub(crate) closes: bool,
}

impl Refused {
    /// A refusal of the transport: nothing of it concerns an object.
    pub(crate) fn transport(http: u16, code: &'static str, description: impl Into<String>) -> Self {
        Self {
            http,
            code,
            description: description.into(),
            headers: Vec::new(),
            status: None,
            return_value: None,
            closes: false,
        }
    }

    /// The connection ends with it: what follows on it cannot be trusted or is not wanted.
    pub(crate) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// 401: says how to sign in and nothing else.
    pub(crate) fn unauthorized() -> Self {
        Self::transport(
            401,
            "UNAUTHORIZED",
            "sign in with a name and a password, or with a token of this site",
        )
        .with(WWW_AUTHENTICATE, "Basic realm=\"Restock\", charset=\"UTF-8\"")
        .with(WWW_AUTHENTICATE, "Bearer realm=\"Restock\"")
    }

    /// 429 or 503, with the time after which to try again.
    pub(crate) fn later(http: u16, code: &'static str, description: &str, seconds: u64) -> Self {
        Self::transport(http, code, description).with(RETRY_AFTER, &seconds.max(1).to_string())
    }

    /// 405 with what is allowed instead.
    pub(crate) fn method(method: &http::Method, allowed: &'static str) -> Self {
        let shown: String = method.as_str().chars().take(20).collect();
        Self::transport(405, "METHOD_NOT_ALLOWED", format!("{shown} is not allowed here; {allowed} are"))
            .with(ALLOW, allowed)
    }

    pub(crate) fn framing(violation: &Violation) -> Self {
        let text = violation.to_string();
        let (code, description) = split_code(&text);
        Self::transport(violation.http_status(), code, description).closing()
    }
}

/// How refusals of objects become HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapping {
    pub(crate) schema: &'static Schema,
    pub(crate) everything_is_404: bool,
}

impl Mapping {
    /// A refusal of the provider.
    pub(crate) fn refusal(&self, refusal: &Refusal) -> Refused {
        Refused {
            http: http_status(refusal.status(), self.everything_is_404),
            code: refusal.code(),
            description: refusal.description().to_owned(),
            headers: match refusal.status() {
                Status::QuotaViolation | Status::ServerTooBusy => {
                    vec![(RETRY_AFTER, HeaderValue::from_static("1"))]
                }
                _ => Vec::new(),
            },
            status: refusal.instance(self.schema).map(Box::new),
            return_value: refusal.return_value(),
            closes: false,
        }
    }

    /// A refusal of what was read from URL or body: the object core's, before the provider is asked.
    ///
    /// `text` begins with its stable code, or the code is `code`.
    pub(crate) fn core(
        &self,
        status: Status,
        code: &'static str,
        text: &str,
        operation: &'static str,
        path: &str,
    ) -> Refused {
        let (_, description) = split_code(text);
        self.refusal(&Refusal::Core(CoreStatus {
            status,
            code,
            description: description.to_owned(),
            operation,
            parameter_info: path.to_owned(),
        }))
    }
}

/// The stable codes that texts of the door begin with.
const CODES: [&str; 18] = [
    "HEADERS_TOO_LARGE",
    "HEADERS_TOO_MANY",
    "BAD_FRAMING",
    "URL_LENGTH",
    "URL_TEXT",
    "URL_KEY",
    "NOT_FOUND",
    "NOT_SUPPORTED",
    "TYPE",
    "UNKNOWN_PROPERTY",
    "UNKNOWN_PARAMETER",
    "FILTER_SYNTAX",
    "FILTER_DEPTH",
    "QUERY_LIMIT",
    "QUERY_UNSUPPORTED",
    "UNKNOWN_CLASS",
    "WQL_SYNTAX",
    "REFUSED",
];

/// The code that a text begins with, and the rest.
pub(crate) fn split_code(text: &str) -> (&'static str, &str) {
    if let Some((code, rest)) = text.split_once(": ")
        && let Some(known) = CODES.into_iter().find(|known| *known == code)
    {
        return (known, rest);
    }
    ("REFUSED", text)
}
