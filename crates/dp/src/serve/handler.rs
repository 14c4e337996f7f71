//! Answers requests: method by method, from the catalog.
//!
//! Source: docs/formats/serving.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HOST, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use restock_content::manifest::{Entry, EntryKind};
use restock_content::statement::Statement;
use tokio::sync::{Semaphore, mpsc};

use super::address::{Address, EntryAddress, versioned};
use super::answer::{METHODS, Refused};
use super::body::{Content, FileBody, ListingBody, ReadAhead};
use super::catalog::{Caller, Catalog, CatalogError};
use super::damage::Damages;
use super::file_reader::FileReader;
use super::follow::Place;
use super::listing::{EntryListed, Listing, PIECES_MAX};
use super::multistatus::OCTETS;
use super::propfind::{Asked, BODY_BYTES_MAX, depth};
use super::range::{Wanted, wanted};
use super::socket::Reset;
use super::validator::{Outcome, Validator};
use super::{ServeLimits, ServeStats};

/// Bytes read before the head of an answer is sent; a small file is read whole.
const FIRST_BYTES: u32 = 256 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) read_ahead: ReadAhead,
    pub(crate) listings: Arc<Semaphore>,
    pub(crate) damages: Damages,
    pub(crate) limits: ServeLimits,
    pub(crate) stats: Arc<ServeStats>,
    pub(crate) request_prefix: u32,
    pub(crate) request_count: AtomicU64,
}

impl Handler {
    /// Answers one request; refusals are answers too.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        caller: Caller,
        reset: Reset,
    ) -> Response<Content> {
        let number = self.request_count.fetch_add(1, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let answered = Arc::clone(&self).dispatch(parts, body, caller, reset).await;
        let mut response = answered.unwrap_or_else(|refused| {
            self.stats.refusals.fetch_add(1, Ordering::Relaxed);
            refused.answer()
        });
        let id = format!("{:08x}-{number:x}", self.request_prefix);
        tracing::debug!(
            target: "smsdpprov",
            status = response.status().as_u16(),
            request.id = %id,
            request.method = %method,
            request.path = %path,
            bytes = response.body().size_hint().exact(),
            "request answered"
        );
        let id = HeaderValue::try_from(id).expect("hex digits are a header value");
        response.headers_mut().insert("x-request-id", id);
        response
    }

    async fn dispatch(
        self: Arc<Self>,
        parts: Parts,
        body: Incoming,
        caller: Caller,
        reset: Reset,
    ) -> Result<Response<Content>, Refused> {
        if parts.version == Version::HTTP_11 && parts.headers.get_all(HOST).iter().count() != 1 {
            return Err(Refused::Host);
        }
        if parts.method == Method::OPTIONS {
            return Ok(options());
        }
        let is_listing = parts.method.as_str() == "PROPFIND";
        let is_head = parts.method == Method::HEAD;
        if !is_listing && !is_head && parts.method != Method::GET {
            return Err(Refused::Method);
        }
        let address = Address::parse(parts.uri.path())?;
        if is_listing {
            return self.list(&parts.headers, body, address, caller, reset).await;
        }
        let Address::Entry(address) = address else { return Err(Refused::NotFound) };
        blocking(move || {
            let wanted = Get { headers: &parts.headers, is_head, caller };
            self.get(&address, &wanted, reset)
        })
        .await
    }

    /// Answers GET and HEAD of an entry. Blocking.
    fn get(&self, address: &EntryAddress, get: &Get<'_>, reset: Reset) -> Result<Response<Content>, Refused> {
        let statement = self.version(address, get.caller)?;
        let place = self.noted(&statement, self.catalog.place(&statement, address.path.as_ref()))?;
        let Some(Place::Entry(file)) = place else { return Err(Refused::NotFound) };
        let EntryKind::File { size, .. } = file.kind else { return Err(Refused::NotFound) };
        if address.is_folder_wanted {
            return Err(Refused::NotFound);
        }
        let validator = self.validator(&statement, &file, address)?;
        let mut response = Response::new(Content::Empty);
        self.describe(response.headers_mut(), &statement, address, &validator);
        match validator.judge(get.headers) {
            Outcome::Proceed => {}
            Outcome::Failed => return Err(Refused::Precondition),
            Outcome::NotModified => {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return Ok(response);
            }
        }
        let (mut start, mut end) = (0, size);
        if let Some(range) = get.range(&validator) {
            match wanted(range, size) {
                Wanted::Whole => {}
                Wanted::Unsatisfiable => return Err(Refused::Range { size }),
                Wanted::TooMany(count) => return Err(Refused::Ranges { count }),
                Wanted::Part { start: from, end: to } => {
                    (start, end) = (from, to);
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    let value = format!("bytes {start}-{}/{size}", end - 1);
                    response.headers_mut().insert(CONTENT_RANGE, header(value));
                }
            }
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, (end - start).into());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCTETS));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if get.is_head {
            return Ok(response);
        }
        let library = Arc::clone(self.catalog.library());
        let mut reader = FileReader::new(library, statement, file, start, end, self.damages.clone());
        let first = reader.read(FIRST_BYTES).map_err(|_told| Refused::Damaged)?;
        self.stats.files.fetch_add(1, Ordering::Relaxed);
        self.stats.bytes.fetch_add(end - start, Ordering::Relaxed);
        let body = FileBody::new(first, reader, self.read_ahead.clone(), reset);
        *response.body_mut() = Content::File(Box::new(body));
        Ok(response)
    }

    /// The headers that 200, 206 and 304 share.
    fn describe(
        &self,
        headers: &mut HeaderMap,
        statement: &Statement,
        address: &EntryAddress,
        validator: &Validator,
    ) {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(ETAG, header(validator.etag()));
        if let Some(date) = validator.last_modified() {
            headers.insert(LAST_MODIFIED, header(date));
        }
        headers.insert(CONTENT_LOCATION, header(versioned(&statement.version, address.path.as_ref())));
        let cache_control = match (validator.is_immutable, self.catalog.is_public(&address.package)) {
            (false, _) => "no-cache",
            (true, true) => "public, max-age=31536000, immutable",
            (true, false) => "private, max-age=31536000, immutable",
        };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    }

    /// Answers PROPFIND.
    async fn list(
        self: Arc<Self>,
        headers: &HeaderMap,
        body: Incoming,
        address: Address,
        caller: Caller,
        reset: Reset,
    ) -> Result<Response<Content>, Refused> {
        let depth = depth(headers)?;
        let asked = Asked::parse(&collect(body, self.limits.body_timeout).await?)?;
        let place = Arc::clone(&self);
        let listing = blocking(move || place.listing(address, caller)).await?;
        // One listing is one thread while it is written; the others wait their turn.
        let Ok(turn) = Arc::clone(&self.listings).acquire_owned().await else {
            return Err(Refused::Unreadable);
        };
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let stall_max = self.limits.stall_max;
        let handler = Arc::clone(&self);
        drop(tokio::task::spawn_blocking(move || {
            listing.write(&handler.catalog, &handler.damages, depth, &asked, &sender, stall_max);
            drop(turn);
        }));
        let mut response = Response::new(Content::Listing(ListingBody { pieces, reset }));
        *response.status_mut() = StatusCode::MULTI_STATUS;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }

    /// What a PROPFIND of `address` lists. Blocking.
    fn listing(&self, address: Address, caller: Caller) -> Result<Listing, Refused> {
        let address = match address {
            Address::Nothing => return Err(Refused::NotFound),
            Address::Root => return Ok(Listing::Root),
            Address::Packages => return Ok(Listing::Packages(self.catalog.readable(caller))),
            Address::Entry(address) => address,
        };
        let statement = self.version(&address, caller)?;
        let place = self.noted(&statement, self.catalog.place(&statement, address.path.as_ref()))?;
        let place = place.ok_or(Refused::NotFound)?;
        let is_file = matches!(&place, Place::Entry(entry) if matches!(entry.kind, EntryKind::File { .. }));
        if is_file && address.is_folder_wanted {
            return Err(Refused::NotFound);
        }
        Ok(Listing::Entry(Box::new(EntryListed { address, statement, place })))
    }

    fn version(&self, address: &EntryAddress, caller: Caller) -> Result<Statement, Refused> {
        match self.catalog.version(address, caller) {
            Ok(Some(statement)) => Ok(statement),
            Ok(None) => Err(Refused::NotFound),
            Err(error) => {
                tracing::error!(
                    target: "smsdpprov",
                    error = %error,
                    package.id = %address.package,
                    "the versions of a package cannot be read"
                );
                Err(Refused::Unreadable)
            }
        }
    }

    fn validator(
        &self,
        statement: &Statement,
        file: &Entry,
        address: &EntryAddress,
    ) -> Result<Validator, Refused> {
        let digest = self.noted(statement, self.catalog.file_digest(statement, file))?;
        let modified_s = file.mtime_ns.div_euclid(1_000_000_000);
        Ok(Validator { digest, modified_s, is_immutable: address.version.is_some() })
    }

    /// Turns a failure to read a manifest into the answer, and tells it.
    fn noted<T>(&self, statement: &Statement, result: Result<T, CatalogError>) -> Result<T, Refused> {
        result.map_err(|error| {
            error.note(&self.damages, &statement.version);
            Refused::Damaged
        })
    }
}

/// What a GET or HEAD brings beside its address.
struct Get<'a> {
    headers: &'a HeaderMap,
    is_head: bool,
    caller: Caller,
}

impl<'a> Get<'a> {
    /// The range to serve, if any. HEAD has none (RFC 9110 section 14.2).
    fn range(&self, validator: &Validator) -> Option<&'a [u8]> {
        let range = self.headers.get(RANGE).filter(|_| !self.is_head)?;
        validator.allows_range(self.headers).then(|| range.as_bytes())
    }
}

fn options() -> Response<Content> {
    let mut response = Response::new(Content::Empty);
    let headers = response.headers_mut();
    headers.insert("dav", HeaderValue::from_static("1"));
    headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, hex digits and escaped paths are header values")
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(target: "smsdpprov", %error, "a request ended unexpectedly");
            Err(Refused::Unreadable)
        }
    }
}

async fn collect(body: Incoming, timeout: Duration) -> Result<Bytes, Refused> {
    let body = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(timeout, body).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refused::BodyTooLarge { limit: BODY_BYTES_MAX })
        }
        Ok(Err(_)) | Err(_) => Err(Refused::BodyTimeout),
    }
}
