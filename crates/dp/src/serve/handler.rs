//! Answers requests: method by method, from the catalog.
//!
//! [`Handler::at_once`] answers what needs no disk, on the thread of the connection; everything else
//! is [`Handler::answer`], on a thread that may wait.
//!
//! Source: docs/formats/serving.md.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use restock_content::manifest::EntryKind;
use restock_content::statement::Statement;
use restock_names::EntryPath;

use super::ServeStats;
use super::address::{Address, EntryAddress, versioned};
use super::answer::{Answer, Body, METHODS, Refused};
use super::catalog::{Catalog, CatalogError};
use super::damage::Damages;
use super::follow::Place;
use super::head::Head;
use super::listing::{EntryListed, Feed, Listing, PIECES_MAX};
use super::multistatus::OCTETS;
use super::piece::ReadAhead;
use super::pool::Pool;
use super::propfind::{Asked, depth};
use super::range::{Wanted, wanted};
use super::rights::Caller;
use super::shelf::Found;
use super::source::{FileSource, Part, pieces_at_once};
use super::validator::{Outcome, Validator};

/// A request whose head and body have arrived and whose host is known.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    /// The path of its target, without query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) caller: Caller,
}

impl Request {
    fn is_head(&self) -> bool {
        self.head.method() == "HEAD"
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) catalog: Catalog,
    pub(crate) read_ahead: ReadAhead,
    /// Where listings are written.
    pub(crate) listings: Pool,
    pub(crate) damages: Damages,
    pub(crate) stats: Arc<ServeStats>,
}

/// The length of a body and its parts.
type Parts = (u64, VecDeque<Part>);

/// What [`Handler::at_once`] makes of a request.
#[derive(Debug)]
pub(crate) enum AtOnce {
    Answered(Answer),
    /// It may wait for a disk: to be given to [`Handler::answer`].
    Later(Request),
}

/// A file that is asked for, found.
struct Asking<'a> {
    request: &'a Request,
    address: EntryAddress,
    statement: Statement,
    found: Arc<Found>,
}

impl Handler {
    /// Answers `request` if that needs no disk; gives it back when it may.
    pub(crate) fn at_once(&self, request: Request) -> AtOnce {
        match self.dispatch_at_once(&request) {
            Ok(Some(answer)) => AtOnce::Answered(answer),
            Ok(None) => AtOnce::Later(request),
            Err(refused) => AtOnce::Answered(self.refuse(&refused)),
        }
    }

    /// Answers `request`; may wait for a disk. `wake` is called when a listing goes on.
    pub(crate) fn answer(self: &Arc<Self>, request: &Request, wake: Box<dyn Fn() + Send>) -> Answer {
        let answered = match request.head.method() {
            "PROPFIND" => self.list(request, wake),
            _ => self.get(request),
        };
        answered.unwrap_or_else(|refused| self.refuse(&refused))
    }

    /// The answer that refuses.
    pub(crate) fn refuse(&self, refused: &Refused) -> Answer {
        self.stats.refusals.fetch_add(1, Ordering::Relaxed);
        refused.answer()
    }

    fn dispatch_at_once(&self, request: &Request) -> Result<Option<Answer>, Refused> {
        match request.head.method() {
            "OPTIONS" => return Ok(Some(options())),
            "PROPFIND" => return Ok(None),
            "GET" | "HEAD" => {}
            _ => return Err(Refused::Method),
        }
        let (address, path) = file_address(&request.path)?;
        let Some(statement) = self.catalog.version_at_once(&address, &request.caller) else {
            return Ok(None);
        };
        let statement = statement.ok_or(Refused::NotFound)?;
        let Some(found) = self.catalog.file_at_once(&statement, &path) else { return Ok(None) };
        let asking = Asking { request, address, statement, found };
        let (mut answer, parts) = self.respond(&asking)?;
        let Some((length, parts)) = parts else { return Ok(Some(answer)) };
        Ok(pieces_at_once(&asking.found, &parts).map(|pieces| {
            self.stats.files.fetch_add(1, Ordering::Relaxed);
            answer.body = Body::File { length, pieces, source: None };
            answer
        }))
    }

    /// Answers GET and HEAD of an entry.
    fn get(&self, request: &Request) -> Result<Answer, Refused> {
        let (address, path) = file_address(&request.path)?;
        let _hold = self.catalog.library().hold();
        let statement = self.version(&address, &request.caller)?;
        let found = self.noted(&statement, self.catalog.file(&statement, &path))?;
        let found = found.ok_or(Refused::NotFound)?;
        let asking = Asking { request, address, statement, found };
        let (mut answer, parts) = self.respond(&asking)?;
        if let Some((length, parts)) = parts {
            let mut source = self.source(asking, parts);
            let pieces = source.first().map_err(|_told| Refused::Damaged)?;
            self.stats.files.fetch_add(1, Ordering::Relaxed);
            let source = (!source.is_done()).then(|| Box::new(source));
            answer.body = Body::File { length, pieces, source };
        }
        Ok(answer)
    }

    fn source(&self, asking: Asking<'_>, parts: VecDeque<Part>) -> FileSource {
        let library = Arc::clone(self.catalog.library());
        let Asking { statement, found, .. } = asking;
        FileSource::new(library, statement, found, parts, self.read_ahead.clone(), self.damages.clone())
    }

    /// The head of the answer to a file's request, and the parts of its body with their length.
    fn respond(&self, asking: &Asking<'_>) -> Result<(Answer, Option<Parts>), Refused> {
        let Asking { request, address, statement, found } = asking;
        let size = found.size;
        let validator = Validator {
            digest: found.digest,
            modified_s: found.modified_s(),
            is_immutable: address.version.is_some(),
        };
        let outcome = validator.judge(&request.head);
        if outcome == Outcome::Failed {
            return Err(Refused::Precondition);
        }
        let mut answer = Answer::new(200);
        self.describe(&mut answer, statement, address, &validator);
        if outcome == Outcome::NotModified {
            (answer.status, answer.body) = (304, Body::None);
            return Ok((answer, None));
        }
        answer.header("X-Content-Type-Options", "nosniff");
        // A HEAD has no ranges (RFC 9110 section 14.2).
        let range = request.head.only("range").filter(|_| !request.is_head());
        let wanted = match range.filter(|_| validator.allows_range(&request.head)) {
            Some(range) => wanted(range, size),
            None => Wanted::Whole,
        };
        let (parts, length) = match wanted {
            Wanted::Unsatisfiable => return Err(Refused::Range { size }),
            Wanted::TooMany(count) => return Err(Refused::Ranges { count }),
            Wanted::Whole => {
                answer.header("Content-Type", OCTETS);
                (VecDeque::from([Part::Span(0..size)]), size)
            }
            Wanted::Parts(parts) => {
                answer.status = 206;
                match parts.as_slice() {
                    [part] => {
                        let range = format_args!("bytes {}-{}/{size}", part.start, part.end - 1);
                        answer.header("Content-Range", range);
                        answer.header("Content-Type", OCTETS);
                        (VecDeque::from([Part::Span(part.clone())]), part.end - part.start)
                    }
                    _ => multipart(&mut answer, &parts, size, &validator),
                }
            }
        };
        if request.is_head() {
            answer.body = Body::File { length, pieces: Vec::new(), source: None };
            return Ok((answer, None));
        }
        Ok((answer, Some((length, parts))))
    }

    /// The headers that 200, 206 and 304 share.
    fn describe(
        &self,
        answer: &mut Answer,
        statement: &Statement,
        address: &EntryAddress,
        validator: &Validator,
    ) {
        answer.header("Accept-Ranges", "bytes");
        answer.header("ETag", validator.etag());
        if let Some(date) = validator.last_modified() {
            answer.header("Last-Modified", date);
        }
        answer.header("Content-Location", versioned(&statement.version, address.path.as_ref()));
        let cache_control = match (validator.is_immutable, self.catalog.is_public(&address.package)) {
            (false, _) => "no-cache",
            (true, true) => "public, max-age=31536000, immutable",
            (true, false) => "private, max-age=31536000, immutable",
        };
        answer.header("Cache-Control", cache_control);
    }

    /// Answers PROPFIND.
    fn list(self: &Arc<Self>, request: &Request, wake: Box<dyn Fn() + Send>) -> Result<Answer, Refused> {
        let depth = depth(&request.head)?;
        let asked = Asked::parse(&request.body)?;
        let listing = self.listing(&request.path, &request.caller)?;
        let (sheets, receiver) = sync_channel(PIECES_MAX);
        // One listing is one thread while it is written; the others wait their turn.
        let handler = Arc::clone(self);
        self.listings.submit(move || {
            let feed = Feed { sheets, wake: &*wake };
            listing.write(&handler.catalog, &handler.damages, depth, &asked, &feed);
        });
        let mut answer = Answer::new(207);
        answer.header("Content-Type", "application/xml; charset=utf-8");
        answer.header("Cache-Control", "no-cache");
        answer.header("X-Content-Type-Options", "nosniff");
        answer.body = Body::Listing(receiver);
        Ok(answer)
    }

    /// What a PROPFIND of `path` lists.
    fn listing(&self, path: &str, caller: &Caller) -> Result<Listing, Refused> {
        let address = match Address::parse(path)? {
            Address::Nothing => return Err(Refused::NotFound),
            Address::Root => return Ok(Listing::Root),
            Address::Packages => return Ok(Listing::Packages(self.catalog.readable(caller))),
            Address::Entry(address) => address,
        };
        let hold = self.catalog.library().hold();
        let statement = self.version(&address, caller)?;
        let place = self.noted(&statement, self.catalog.place(&statement, address.path.as_ref()))?;
        let place = place.ok_or(Refused::NotFound)?;
        let is_file = matches!(&place, Place::Entry(entry) if matches!(entry.kind, EntryKind::File { .. }));
        if is_file && address.is_folder_wanted {
            return Err(Refused::NotFound);
        }
        Ok(Listing::Entry(Box::new(EntryListed { address, statement, place, _hold: hold })))
    }

    fn version(&self, address: &EntryAddress, caller: &Caller) -> Result<Statement, Refused> {
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

    /// Turns a failure to read a manifest into the answer, and tells it.
    fn noted<T>(&self, statement: &Statement, result: Result<T, CatalogError>) -> Result<T, Refused> {
        result.map_err(|error| {
            error.note(&self.damages, &statement.version);
            Refused::Damaged
        })
    }
}

/// The address of a path that can be a file's.
fn file_address(path: &str) -> Result<(EntryAddress, EntryPath), Refused> {
    let Address::Entry(address) = Address::parse(path)? else { return Err(Refused::NotFound) };
    match &address.path {
        Some(path) if !address.is_folder_wanted => {
            let path = path.clone();
            Ok((address, path))
        }
        _ => Err(Refused::NotFound),
    }
}

/// A body of several ranges (RFC 9110 section 14.6): its parts and its length.
fn multipart(
    answer: &mut Answer,
    parts: &[std::ops::Range<u64>],
    size: u64,
    validator: &Validator,
) -> (VecDeque<Part>, u64) {
    // A digest of the file's bytes is in none of them but by intent.
    let boundary = format!("restock-{}", &validator.digest.to_string()[..32]);
    answer.header("Content-Type", format_args!("multipart/byteranges; boundary={boundary}"));
    let mut body = VecDeque::new();
    let mut length = 0;
    let mut text = |text: String| {
        length += text.len() as u64;
        Part::Text(Bytes::from(text))
    };
    for (at, part) in parts.iter().enumerate() {
        let start = if at == 0 { "" } else { "\r\n" };
        let (from, last) = (part.start, part.end - 1);
        body.push_back(text(format!(
            "{start}--{boundary}\r\nContent-Type: {OCTETS}\r\nContent-Range: bytes {from}-{last}/{size}\r\n\r\n"
        )));
        body.push_back(Part::Span(part.clone()));
    }
    body.push_back(text(format!("\r\n--{boundary}--\r\n")));
    length += parts.iter().map(|part| part.end - part.start).sum::<u64>();
    (body, length)
}

fn options() -> Answer {
    let mut answer = Answer::new(200);
    answer.header("DAV", "1");
    answer.header("Allow", METHODS);
    answer
}
