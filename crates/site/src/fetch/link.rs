//! Fetching over the link: the protocol that distribution points use, from either neighbour.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use restock_content::library::{Library, LibraryError};
use restock_content::statement::Statement;
use restock_content::transfer::AcceptedStatement;
use restock_names::ContentVersion;
use restock_sitedb::announced::Announced;
use restock_transfer::{
    Holder, LinkError, Links, PullError, PullOptions, PullProgress, PullSource, Run, SiteUpstream, pull,
};

use super::{Fetch, FetchError, Fetched, Neighbour};
use crate::message::chain;
use crate::progress::ProgressBoard;

/// The enrolment at the site above that is in use, if there is one.
pub(crate) type Upstream = Arc<Mutex<Option<Arc<SiteUpstream>>>>;

/// Fetches with `restock_transfer::pull`.
#[derive(Debug, Clone)]
pub struct LinkFetch {
    pub(crate) library: Arc<Library>,
    pub(crate) links: Links,
    pub(crate) upstream: Upstream,
    pub(crate) board: ProgressBoard,
    pub(crate) options: PullOptions,
    pub(crate) run: Run,
}

impl Fetch for LinkFetch {
    async fn fetch(&self, what: &Announced, from: Neighbour) -> Result<Fetched, FetchError> {
        let source = self.source(from)?;
        // It was verified before it was announced.
        let statement =
            Statement::decode(&what.statement).map(AcceptedStatement::from_library).map_err(|error| {
                FetchError {
                    rule: "MANIFEST_FORMAT".to_owned(),
                    text: error.to_string(),
                    is_transient: false,
                }
            })?;
        let line = Line { board: self.board.clone(), content: what.version.content, run: self.run.clone() };
        self.board.open_fetch(what.version.content, from.site());
        let progress: Arc<dyn PullProgress> = Arc::new(line);
        let pulled = pull(source, &self.library, &statement, &self.options, &progress, &self.run).await;
        self.board.close_fetch(what.version.content);
        match pulled {
            Ok(report) => {
                self.board.note_site_traffic(from.site(), 0, report.wire_received);
                Ok(Fetched { wire_received: report.wire_received, raw_bytes: report.raw_bytes })
            }
            Err(error) => Err(told(&error)),
        }
    }
}

impl LinkFetch {
    fn source(&self, from: Neighbour) -> Result<PullSource, FetchError> {
        match from {
            Neighbour::Below(site) => Ok(PullSource::Below(self.links.clone(), Holder::Site(site))),
            Neighbour::Above(site) => {
                let upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let upstream = upstream.filter(|upstream| upstream.parent() == site);
                upstream.map(PullSource::Above).ok_or_else(|| FetchError {
                    rule: "LINK_DOWN".to_owned(),
                    text: format!("there is no link to site {site}"),
                    is_transient: true,
                })
            }
        }
    }
}

fn told(error: &PullError) -> FetchError {
    if let PullError::Library(error) = error {
        return library_failed(error);
    }
    // What the other site said is a reason of its own.
    let (rule, text) = match error {
        PullError::Link(LinkError::Refused(refusal)) => (refusal.code.clone(), refusal.text.clone()),
        error => (error.code(), chain(error)),
    };
    let text = text.strip_prefix(&rule).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text).to_owned();
    FetchError { rule, text, is_transient: error.is_transient() }
}

/// Why the site's own library could not take content; a full disk has a rule of its own.
pub(super) fn library_failed(error: &LibraryError) -> FetchError {
    if matches!(error, LibraryError::NoSpace { .. }) {
        let text = error.to_string();
        let text = text.strip_prefix("NO_SPACE: ").unwrap_or(&text).to_owned();
        return FetchError { rule: "NO_SPACE".to_owned(), text, is_transient: true };
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(part) = cause {
        let kind = part.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            let text = format!("the disk of the site's library is full: {}", chain(error));
            return FetchError { rule: "NO_SPACE".to_owned(), text, is_transient: true };
        }
        cause = part.source();
    }
    FetchError { rule: "LIBRARY".to_owned(), text: chain(error), is_transient: true }
}

/// Notes how far a fetch is.
struct Line {
    board: ProgressBoard,
    content: ContentVersion,
    run: Run,
}

impl PullProgress for Line {
    fn planned(&self, _chunks: u64, bytes: u64) {
        self.board.note_fetch(self.content, self.run.clock.monotonic(), |line| line.bytes_total = bytes);
    }

    fn stored(&self, raw_bytes: u64) {
        self.board.note_fetch(self.content, self.run.clock.monotonic(), |line| line.bytes_done += raw_bytes);
    }

    fn received(&self, wire_bytes: u64) {
        self.board.note_fetch(self.content, self.run.clock.monotonic(), |line| line.wire_bytes += wire_bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use restock_content::library::LibraryError;
    use restock_transfer::{LinkError, PullError, Refusal};

    use super::told;

    #[test]
    fn a_full_disk_and_what_the_neighbour_says_are_reasons_of_their_own() {
        let full = |kind| {
            let source = io::Error::from(kind);
            PullError::Library(LibraryError::Io { step: "write", path: "/library".into(), source })
        };
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let error = told(&full(kind));
            assert_eq!((error.rule.as_str(), error.is_transient), ("NO_SPACE", true));
            assert!(error.text.contains("/library"), "{error}");
        }
        assert_eq!(told(&full(io::ErrorKind::PermissionDenied)).rule, "LIBRARY");
        let refusal = Refusal::transient("CONTENT_NOT_HERE", "it has not arrived at site TOP yet");
        let error = told(&PullError::Link(LinkError::Refused(refusal)));
        assert_eq!(error.to_string(), "CONTENT_NOT_HERE: it has not arrived at site TOP yet");
        assert!(error.is_transient);
        let error = told(&PullError::Link(LinkError::Refused(Refusal::new("NOT_AUTHORISED", "no"))));
        assert_eq!((error.rule.as_str(), error.is_transient), ("NOT_AUTHORISED", false));
    }
}
