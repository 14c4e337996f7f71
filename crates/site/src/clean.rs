//! The clean loop: forgets answered requests, ended tokens, old status messages, and the traces of
//! deleted objects that every neighbour has heard of; then cleans the library.
//!
//! The library is cleaned only while it and the database agree about the newest version of each
//! package: a database that is older than its library does not know what it would delete.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::{Cleaned, Cleaner, CollectError, Library};
use restock_names::{ContentVersion, Timestamp};
use restock_sitedb::package::Package;
use restock_sitedb::{Database, DatabaseError, Why};

use crate::message::{chain, distmgr};
use crate::site::blocking;
use crate::{Outcome, SiteError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Answers to request ids are kept this long.
const REQUESTS_KEPT: Duration = DAY.saturating_mul(7);
/// Tokens are kept this long after they ended.
const TOKENS_KEPT: Duration = DAY.saturating_mul(7);
/// Status messages are kept this long.
const MESSAGES_KEPT: Duration = DAY.saturating_mul(90);
/// Status messages removed in one step, so that no transaction is long.
const MESSAGES_STEP: u32 = 5_000;
/// How often a cleaning that waits for downloads looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Forgets what is old.
#[derive(Debug, Clone)]
pub struct CleanLoop {
    pub(crate) database: Database,
    pub(crate) cleaner: Arc<Cleaner>,
}

/// What cleaning the library came to.
#[derive(Debug, Clone, PartialEq)]
pub enum LibraryCleaned {
    /// It was not time, it waits, or it is done.
    Stepped(Cleaned),
    /// Database and library disagree; nothing was deleted.
    Refused(Why),
}

impl CleanLoop {
    /// Forgets what is too old at `now`, a bounded part of it.
    pub async fn run_once(&self, now: Timestamp) -> Result<Outcome, SiteError> {
        let before = |age: Duration| {
            Timestamp(now.0.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)))
        };
        let (requests, tokens, messages) =
            (before(REQUESTS_KEPT), before(TOKENS_KEPT), before(MESSAGES_KEPT));
        let removed: Result<(u64, u64), DatabaseError> = self
            .database
            .transact("clean", move |tx| {
                Box::pin(async move {
                    let others = tx.delete_answered(requests).await?
                        + tx.delete_tokens_expired(tokens).await?
                        + tx.clean_replicas(now).await?;
                    Ok((others, tx.delete_messages(messages, MESSAGES_STEP).await?))
                })
            })
            .await;
        let (others, messages) = removed?;
        let library = self.clean_library(now, None).await;
        let (text, next_due) = match &library {
            Ok(LibraryCleaned::Stepped(Cleaned::NotDue(next))) => (String::new(), Some(*next)),
            Ok(LibraryCleaned::Stepped(Cleaned::Waits(holds))) => {
                (format!("; cleaning waits for {holds} downloads or drafts"), Some(now.after(LOOK_AGAIN)))
            }
            Ok(LibraryCleaned::Stepped(Cleaned::Done { collected, versions_removed })) => {
                distmgr!(
                    info,
                    packs_deleted = collected.packs_deleted,
                    bytes_freed = collected.bytes_freed,
                    bytes_rewritten = collected.bytes_rewritten,
                    chunks_compressed = collected.chunks_compressed,
                    versions_removed,
                    "the library was cleaned"
                );
                (
                    format!("; {} bytes of the library freed", collected.bytes_freed),
                    Some(now.after(LOOK_AGAIN)),
                )
            }
            Ok(LibraryCleaned::Refused(why)) => {
                distmgr!(error, code = why.rule, "the library is not cleaned: {}", why.text);
                (format!("; the library is not cleaned: {}: {}", why.rule, why.text), None)
            }
            Err(error) => {
                distmgr!(error, "the library is not cleaned: {}", chain(error));
                (format!("; the library is not cleaned: {}", chain(error)), None)
            }
        };
        Ok(Outcome {
            is_busy: messages == u64::from(MESSAGES_STEP),
            result: format!(
                "removed {messages} messages, {others} requests, tokens and traces of what was deleted{text}"
            ),
            queue: 0,
            next_due,
        })
    }

    /// Makes the library's index anew when it is worth it. A library without it finds its frames too, only
    /// slower: a failure is told, and tried again.
    pub async fn keep_index(&self) -> Result<Outcome, SiteError> {
        let library = Arc::clone(self.cleaner.library());
        let merged = blocking("making the index", move || {
            Ok(library.is_index_due().then(|| library.merge_index(|| ControlFlow::Continue(()))))
        })
        .await?;
        match merged {
            Some(Ok(Some(merged))) => {
                distmgr!(
                    info,
                    packs = merged.packs,
                    frames = merged.frames,
                    "the library's index was made anew"
                );
            }
            Some(Err(error)) => distmgr!(warn, "the library's index cannot be made anew: {}", chain(&error)),
            Some(Ok(None)) | None => {}
        }
        Ok(Outcome { is_busy: false, result: String::new(), queue: 0, next_due: None })
    }

    /// Cleans the library when that is due at `now`; with `asked` in any case, leaving alone what was
    /// stored within that time. A cleaning that waits goes on with the next call.
    pub async fn clean_library(
        &self,
        now: Timestamp,
        asked: Option<Duration>,
    ) -> Result<LibraryCleaned, SiteError> {
        // Asked each time: a wait may be long.
        if asked.is_some() || self.cleaner.is_due(now) {
            let packages: Result<Vec<Package>, DatabaseError> =
                self.database.read("packages", |tx| Box::pin(async move { tx.packages().await })).await;
            let (library, packages) = (Arc::clone(self.cleaner.library()), packages?);
            let refused = blocking("cleaning", move || Ok(disagreement(&library, &packages)?)).await?;
            if let Some(why) = refused {
                return Ok(LibraryCleaned::Refused(why));
            }
        }
        let cleaner = Arc::clone(&self.cleaner);
        let stepped =
            tokio::task::spawn_blocking(move || cleaner.step(now, asked, |_bytes| ControlFlow::Continue(())))
                .await
                .map_err(|_panic| SiteError::Panicked("cleaning"))?;
        match stepped {
            Ok(cleaned) => Ok(LibraryCleaned::Stepped(cleaned)),
            Err(CollectError::Library(error)) => Err(error.into()),
            Err(error) => {
                let text = error.to_string();
                let (rule, text) = text.split_once(": ").unwrap_or(("CLEAN_REFUSED", &text));
                let fix = "restock library repair";
                Ok(LibraryCleaned::Refused(Why::new(rule, text).with_fix(fix)))
            }
        }
    }
}

/// The first package of whose newest version library and database say different things.
///
/// A statement above the pointer is no disagreement: a crash may leave it, and it stays.
pub(crate) fn disagreement(
    library: &Library,
    packages: &[Package],
) -> Result<Option<Why>, restock_content::library::LibraryError> {
    for package in packages.iter().filter(|package| !package.is_deleting) {
        let stored =
            ContentVersion { package: package.id, epoch: package.epoch, version: package.stored_version };
        let active = library.active(&package.id).map(|statement| statement.version);
        if let Some(active) = active.filter(|active| *active > stored) {
            let text =
                format!("the library holds {active}, the database knows {stored}: the database is older");
            let fix =
                "restore the database of the time of the library, or refresh the package above that version";
            return Ok(Some(Why::new("DATABASE_BEHIND", text).with_fix(fix)));
        }
        if stored.version.0 > 0 && library.statement(&stored)?.is_none() {
            let text = format!("the database knows {stored}, which is not in the library");
            return Ok(Some(Why::new("LIBRARY_BEHIND", text).with_fix("restock library repair")));
        }
    }
    Ok(None)
}
