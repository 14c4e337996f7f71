//! A version from a DP's HTTP address: listings by PROPFIND, files by GET with ranges.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use restock_content::get::{FileSource, GetOptions, GetReport, Listed, ListedFile, get_listed};
use restock_names::{EntryPath, SourceVersion};
use ureq::Agent;
use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

use super::{failure, listing};
use crate::commands::progress::ProgressLine;
use crate::control::VersionRef;
use crate::failure::{Failure, Kind};
use crate::output::{shown, shown_path};

/// The longest listing of one folder, in bytes.
const LISTING_BYTES_MAX: u64 = 256 << 20;
/// The longest content token or certificate file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Everything but unreserved characters is encoded.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where a DP is, and what it is shown.
#[derive(Debug)]
pub(super) struct Access<'a> {
    pub(super) url: &'a str,
    pub(super) token: Option<&'a Path>,
    pub(super) ca: Option<&'a Path>,
}

/// Brings the version into `destination`.
pub(super) fn get(
    access: &Access<'_>,
    of: VersionRef,
    destination: &Path,
    options: GetOptions,
    line: &mut ProgressLine,
) -> Result<(VersionRef, GetReport), Failure> {
    let mut point = Point::new(access, of)?;
    let (pinned, total) = point.pin(of)?;
    let walker = Walker { point: &point, waiting: vec![None], found: Vec::new() };
    let mut entries = walker;
    let mut files = &point;
    let mut progress = |report: &GetReport| {
        line.show(report.bytes_total, total);
        ControlFlow::Continue(())
    };
    let report = get_listed(&mut entries, destination, &mut files, options, &mut progress);
    Ok((pinned, report.map_err(|error| failure(&error))?))
}

/// The address of a package at a DP.
struct Point {
    agent: Agent,
    /// Scheme, host and port.
    server: String,
    /// The path of the package's folder, without a slash at its end.
    base: String,
    token: Option<String>,
}

impl Point {
    fn new(access: &Access<'_>, of: VersionRef) -> Result<Self, Failure> {
        let url = access.url.trim_end_matches('/');
        let is_tls = url.starts_with("https://");
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
            let text = format!("URL_INVALID: {} is not http://HOST:PORT or https://HOST:PORT", shown(url));
            return Err(Failure::usage(text).hint("restock dp list shows where each DP serves"));
        }
        if access.token.is_some() && !is_tls {
            let text = "TOKEN_PLAIN: a content token is sent over https only";
            return Err(Failure::refused(text).hint("--from https://… with --ca"));
        }
        let token = access.token.map(small_file).transpose()?.map(|token| token.trim().to_owned());
        let base = match of.version {
            Some(version) => format!("/{}.{version}", of.package),
            None => format!("/SMS_DP_SMSPKG$/{}", of.package),
        };
        Ok(Self { agent: agent(access.ca)?, server: url.to_owned(), base, token })
    }

    /// Finds out which version is served, and goes on with that one whatever becomes active meanwhile.
    /// Also the bytes of all files at the top, as a first idea of how much there is.
    fn pin(&mut self, of: VersionRef) -> Result<(VersionRef, u64), Failure> {
        let fail = |e: &Error| {
            let what = format!("cannot read {} at {}", of.package, shown(&self.server));
            let text = e.to_string();
            let kind = if text.starts_with("NOT_FOUND") { Kind::NotFound } else { Kind::Failed };
            Failure::new(kind, format!("{text} ({what})"))
                .hint("restock dp list: is it the right address, and is the package public there?")
        };
        let top = self.list(None).map_err(|e| fail(&e))?;
        let total = top.iter().filter_map(|entry| Some(entry.file?.size)).sum();
        if of.version.is_some() {
            return Ok((of, total));
        }
        let mut waiting: Vec<Option<EntryPath>> = Vec::new();
        let mut entries = top;
        let file = loop {
            if let Some(found) = entries.iter().find(|entry| entry.file.is_some()) {
                break Some(found.path.clone());
            }
            waiting.extend(entries.into_iter().map(|entry| Some(entry.path)));
            let Some(next) = waiting.pop() else { break None };
            entries = self.list(next.as_ref()).map_err(|e| fail(&e))?;
        };
        // A package without a file has no version to be told apart by.
        let Some(file) = file else { return Ok((of, total)) };
        let head = self.ask(Method::HEAD, &self.path(Some(&file)), &[]).map_err(|e| fail(&e))?;
        let location = head.headers().get("content-location").and_then(|v| v.to_str().ok()).unwrap_or("");
        let folder = location.trim_start_matches('/').split('/').next().unwrap_or_default();
        let version = folder.rsplit_once('.').and_then(|(_, version)| version.parse::<u32>().ok());
        if let Some(version) = version {
            self.base = format!("/{}.{version}", of.package);
        }
        Ok((VersionRef { version: version.map(SourceVersion), ..of }, total))
    }

    fn path(&self, of: Option<&EntryPath>) -> String {
        let mut path = self.base.clone();
        for component in of.into_iter().flat_map(EntryPath::components) {
            path.push('/');
            for piece in component.utf8_chunks() {
                path.extend(utf8_percent_encode(piece.valid(), &ENCODED));
                piece.invalid().iter().for_each(|b| path.push_str(&format!("%{b:02X}")));
            }
        }
        path
    }

    /// An answer of the kind that a request of its form has when all is well.
    fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<ureq::Body>, Error> {
        let mut request = Request::builder().method(method.clone()).uri(format!("{}{path}", self.server));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut response = self.agent.run(request.body(())?)?;
        match response.status().as_u16() {
            200 | 206 | 207 => Ok(response),
            status => {
                let mut text = String::new();
                response.body_mut().as_reader().take(1_000).read_to_string(&mut text)?;
                let code = if status == 404 { "NOT_FOUND: " } else { "" };
                Err(format!("{code}{method} is answered with {status}: {}", shown(text.trim())).into())
            }
        }
    }

    fn list(&self, folder: Option<&EntryPath>) -> Result<Vec<Listed>, Error> {
        let method = Method::from_bytes(b"PROPFIND").expect("a valid method name");
        let mut response = self.ask(method, &format!("{}/", self.path(folder)), &[("Depth", "1")])?;
        let mut text = String::new();
        let body = response.body_mut().as_reader();
        body.take(LISTING_BYTES_MAX).read_to_string(&mut text)?;
        Ok(listing::entries(&text, &self.base, folder)?)
    }
}

impl FileSource for &Point {
    fn file(&mut self, path: &EntryPath, file: &ListedFile, offset: u64) -> Result<Box<dyn Read>, Error> {
        let (range, etag) = (format!("bytes={offset}-"), format!("\"{}\"", file.digest));
        let headers = [("Range", range.as_str()), ("If-Match", etag.as_str())];
        let headers = if offset == 0 { &headers[1..] } else { &headers[..] };
        let response = self.ask(Method::GET, &self.path(Some(path)), headers)?;
        if offset > 0 && response.status().as_u16() != 206 {
            return Err("the DP does not answer with the range that was asked for".into());
        }
        Ok(Box::new(response.into_body().into_reader()))
    }
}

/// All entries, each folder before what lies in it.
struct Walker<'a> {
    point: &'a Point,
    waiting: Vec<Option<EntryPath>>,
    found: Vec<Listed>,
}

impl Iterator for Walker<'_> {
    type Item = Result<Listed, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.found.is_empty() {
            let folder = self.waiting.pop()?;
            match self.point.list(folder.as_ref()) {
                Ok(found) => self.found = found,
                Err(error) => {
                    self.waiting.clear();
                    return Some(Err(error));
                }
            }
        }
        let entry = self.found.pop()?;
        if entry.file.is_none() {
            self.waiting.push(Some(entry.path.clone()));
        }
        Some(Ok(entry))
    }
}

fn agent(ca: Option<&Path>) -> Result<Agent, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    if let Some(ca) = ca {
        let text = small_file(ca)?;
        let found: Vec<Certificate<'static>> = ureq::tls::parse_pem(text.as_bytes())
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if found.is_empty() {
            return Err(Failure::usage(format!("{} has no certificate in PEM form", shown_path(ca))));
        }
        tls = tls.root_certs(RootCerts::new_with_certs(&found));
    }
    Ok(Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .proxy(None)
        .user_agent("restock-get")
        .tls_config(tls.build())
        .timeout_per_read(Some(Duration::from_secs(60)))
        .timeout_connect(Some(Duration::from_secs(10)))
        .build()
        .new_agent())
}

fn small_file(path: &Path) -> Result<String, Failure> {
    let read = || -> std::io::Result<String> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|e| Failure::caused(Kind::Usage, format!("cannot read {}", shown_path(path)), &e))
}
