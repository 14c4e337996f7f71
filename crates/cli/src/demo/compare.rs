//! Fetches a package over HTTP and compares it with its source, entry by entry, byte by byte.
//!
//! Deliberately shares no code with the content library: it walks the folder with `std::fs`, asks
//! with an HTTP client, and has its own rules for links. A file must be there with exactly its
//! bytes; a link inside the package answers as its target, any other is 404; a folder is 404 for
//! GET and its listing names exactly what the source holds, so nothing extra is served either.

mod links;
mod tree;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use ureq::Agent;
use ureq::http::{Method, Request};

use self::links::Resolved;
pub(super) use self::tree::Tree;
use self::tree::{Entry, EntryKind};
use super::stop::Stop;
use crate::failure::{Failure, Kind};
use restock_names::Escaped;

/// Requests at once to one DP.
const THREADS: usize = 4;
/// Differences that are told one by one.
const TOLD_MAX: usize = 20;
const BLOCK: usize = 256 * 1024;

/// Everything but unreserved characters is encoded.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What was fetched from one DP.
#[derive(Debug, Default, Clone)]
pub(super) struct Compared {
    pub(super) files: u64,
    pub(super) folders: u64,
    pub(super) links: u64,
    pub(super) bytes: u64,
    /// The first differences, and how many there are.
    pub(super) differences: Vec<String>,
    pub(super) differences_count: u64,
}

/// Compares what `url` serves of `package` with the source.
///
/// `step` hears of each entry and its bytes. Errors: the folder cannot be read, or a stop was asked;
/// what the server does wrong is a difference.
pub(super) fn run(
    url: &str,
    package: &str,
    tree: &Tree,
    stop: &Stop,
    step: &(dyn Fn(u64) + Sync),
) -> Result<Compared, Failure> {
    let base = format!("{}/SMS_DP_SMSPKG$/{package}", url.trim_end_matches('/'));
    let comparer =
        Comparer { agent: agent(), base, tree, next: AtomicUsize::new(0), found: Found::default() };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| comparer.work(stop, step))).collect();
        threads.into_iter().try_for_each(|t| t.join().expect("the comparing threads do not panic"))
    })?;
    let mut found = comparer.found;
    let differences = std::mem::take(&mut *found.differences.get_mut().expect("no thread panicked"));
    Ok(Compared {
        files: found.files.into_inner(),
        folders: found.folders.into_inner(),
        links: found.links.into_inner(),
        bytes: found.bytes.into_inner(),
        differences,
        differences_count: found.differences_count.into_inner(),
    })
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .proxy(None)
        .user_agent("restock-demo")
        .timeout_per_read(Some(Duration::from_secs(60)))
        .timeout_connect(Some(Duration::from_secs(10)))
        .max_idle_connections_per_host(THREADS)
        .max_idle_connections(THREADS)
        .build()
        .new_agent()
}

#[derive(Debug, Default)]
struct Found {
    files: AtomicU64,
    folders: AtomicU64,
    links: AtomicU64,
    bytes: AtomicU64,
    differences: Mutex<Vec<String>>,
    differences_count: AtomicU64,
}

struct Comparer<'a> {
    agent: Agent,
    base: String,
    tree: &'a Tree,
    next: AtomicUsize,
    found: Found,
}

impl Comparer<'_> {
    fn work(&self, stop: &Stop, step: &(dyn Fn(u64) + Sync)) -> Result<(), Failure> {
        let mut buffers = (vec![0; BLOCK], vec![0; BLOCK]);
        loop {
            stop.check()?;
            let Some(entry) = self.tree.entries().get(self.next.fetch_add(1, Ordering::Relaxed)) else {
                return Ok(());
            };
            let result = self.entry(entry, &mut buffers)?;
            let bytes = match result {
                Ok(bytes) => bytes,
                Err(difference) => {
                    self.differ(format!("{}: {difference}", Escaped(&entry.path)));
                    0
                }
            };
            self.found.bytes.fetch_add(bytes, Ordering::Relaxed);
            step(bytes);
        }
    }

    fn differ(&self, text: String) {
        self.found.differences_count.fetch_add(1, Ordering::Relaxed);
        let mut told = self.found.differences.lock().expect("no thread panics while holding this lock");
        if told.len() < TOLD_MAX {
            told.push(text);
        }
    }

    /// The bytes compared, or how the server differs.
    fn entry(&self, entry: &Entry, buffers: &mut (Vec<u8>, Vec<u8>)) -> Result<Result<u64, String>, Failure> {
        match &entry.kind {
            EntryKind::File { size } => {
                self.found.files.fetch_add(1, Ordering::Relaxed);
                self.file(&entry.path, &entry.path, *size, buffers)
            }
            EntryKind::Folder => {
                self.found.folders.fetch_add(1, Ordering::Relaxed);
                Ok(self.absent(&entry.path).and_then(|()| self.listing(&entry.path)).map(|()| 0))
            }
            EntryKind::Link { .. } => {
                self.found.links.fetch_add(1, Ordering::Relaxed);
                match links::resolve(self.tree, &entry.path) {
                    Resolved::File { path, size } => self.file(&entry.path, &path, size, buffers),
                    Resolved::Folder | Resolved::Nothing => Ok(self.absent(&entry.path).map(|()| 0)),
                }
            }
        }
    }

    /// GET must answer with the bytes of the source file `source`.
    fn file(
        &self,
        path: &[u8],
        source: &[u8],
        size: u64,
        (want, got): &mut (Vec<u8>, Vec<u8>),
    ) -> Result<Result<u64, String>, Failure> {
        let unreadable = |e: &std::io::Error| {
            Failure::caused(Kind::Failed, format!("cannot read the source file {}", Escaped(source)), e)
        };
        let mut file = File::open(self.tree.on_disk(source)).map_err(|e| unreadable(&e))?;
        let mut response = match self.agent.get(self.url(path)).call() {
            Ok(response) => response,
            Err(e) => return Ok(Err(format!("GET failed: {e}"))),
        };
        if response.status().as_u16() != 200 {
            return Ok(Err(format!("GET gives {}, 200 is wanted", response.status())));
        }
        let length =
            response.headers().get("content-length").and_then(|v| v.to_str().ok()).map(str::to_owned);
        if length.as_deref() != Some(size.to_string().as_str()) {
            return Ok(Err(format!("Content-Length is {}, {size} is wanted", length.unwrap_or_default())));
        }
        let mut body = response.body_mut().as_reader();
        let mut at = 0;
        loop {
            let wanted = fill(&mut file, want).map_err(|e| unreadable(&e))?;
            let given = match fill(&mut body, got) {
                Ok(given) => given,
                Err(e) => return Ok(Err(format!("the answer breaks off after {at} bytes: {e}"))),
            };
            if want[..wanted] != got[..given] {
                let same =
                    want[..wanted].iter().zip(&got[..given]).take_while(|(a, b)| a == b).count() as u64;
                return Ok(Err(format!("differs from the source at byte {}", at + same)));
            }
            at += wanted as u64;
            if wanted == 0 {
                return Ok(Ok(at));
            }
        }
    }

    /// GET must answer 404.
    fn absent(&self, path: &[u8]) -> Result<(), String> {
        let response = self.agent.get(self.url(path)).call().map_err(|e| format!("GET failed: {e}"))?;
        match response.status().as_u16() {
            404 => Ok(()),
            other => Err(format!("GET gives {other}, 404 is wanted")),
        }
    }

    /// PROPFIND of depth 1 must name exactly the files and folders of the source.
    fn listing(&self, path: &[u8]) -> Result<(), String> {
        let method = Method::from_bytes(b"PROPFIND").expect("a valid method name");
        let request = Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("Depth", "1")
            .body(())
            .map_err(|e| e.to_string())?;
        let mut response = self.agent.run(request).map_err(|e| format!("PROPFIND failed: {e}"))?;
        if response.status().as_u16() != 207 {
            return Err(format!("PROPFIND gives {}, 207 is wanted", response.status()));
        }
        let mut text = String::new();
        response
            .body_mut()
            .as_reader()
            .read_to_string(&mut text)
            .map_err(|e| format!("the listing breaks off: {e}"))?;
        let mut listed = BTreeSet::new();
        for href in hrefs(&text)? {
            let plain: Vec<u8> = percent_decode(href.as_bytes()).collect();
            let plain = plain.strip_suffix(b"/").unwrap_or(&plain);
            let name = plain.rsplit(|b| *b == b'/').next().unwrap_or_default();
            listed.insert(name.to_vec());
        }
        // The folder itself is one of the answers.
        let own = path.rsplit(|b| *b == b'/').next().filter(|n| !n.is_empty());
        let package = self.base.rsplit('/').next().unwrap_or_default().as_bytes();
        let own = own.unwrap_or(package).to_vec();
        let mut wanted: BTreeSet<Vec<u8>> = self
            .tree
            .children(path)
            .filter(|e| match &e.kind {
                EntryKind::Link { .. } => matches!(links::resolve(self.tree, &e.path), Resolved::File { .. }),
                _ => true,
            })
            .map(|e| e.path.rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec())
            .collect();
        wanted.insert(own);
        let show = |names: Vec<&Vec<u8>>| {
            names.iter().take(5).map(|n| Escaped(n).to_string()).collect::<Vec<_>>().join(", ")
        };
        let missing: Vec<_> = wanted.difference(&listed).collect();
        let extra: Vec<_> = listed.difference(&wanted).collect();
        if missing.is_empty() && extra.is_empty() {
            return Ok(());
        }
        Err(format!("its listing lacks [{}] and has [{}] beyond the source", show(missing), show(extra)))
    }

    fn url(&self, path: &[u8]) -> String {
        let mut url = self.base.clone();
        for component in path.split(|b| *b == b'/').filter(|c| !c.is_empty()) {
            url.push('/');
            for piece in component.utf8_chunks() {
                url.extend(utf8_percent_encode(piece.valid(), &ENCODED));
                piece.invalid().iter().for_each(|b| url.push_str(&format!("%{b:02X}")));
            }
        }
        if path.is_empty() {
            url.push('/');
        }
        url
    }
}

/// The texts of all `href` elements of a multistatus document.
fn hrefs(text: &str) -> Result<Vec<String>, String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(text);
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    loop {
        match reader.read_event().map_err(|e| format!("the listing is not XML: {e}"))? {
            Event::Eof => return Ok(found),
            Event::Start(e) if e.local_name().as_ref() == b"href" => current = Some(String::new()),
            Event::End(e) if e.local_name().as_ref() == b"href" => found.extend(current.take()),
            Event::Text(e) => {
                if let Some(text) = &mut current {
                    text.push_str(&e.decode().map_err(|e| e.to_string())?);
                }
            }
            Event::GeneralRef(e) => {
                if let Some(text) = &mut current {
                    let name = e.decode().map_err(|e| e.to_string())?;
                    let plain = quick_xml::escape::unescape(&format!("&{name};"))
                        .map_err(|e| e.to_string())?
                        .into_owned();
                    text.push_str(&plain);
                }
            }
            _ => {}
        }
    }
}

/// Reads until the buffer is full or the end is reached.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
