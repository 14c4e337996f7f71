//! The fetch loop: it brings versions that other sites made to this one.
//!
//! A version is fetched when a distribution point of this site is to have it, or when a site that
//! reaches it only through this one is. In the first case it is published here, as one made here
//! would be; in the second it is held for a while and forgotten. Where nobody needs it no byte of
//! it comes.
//!
//! What is needed stands in the database (`announced`); how bytes move is [`Fetch`].

mod draft;
mod link;
mod route;
mod steps;

pub(crate) use draft::is_held;
pub use link::LinkFetch;
pub(crate) use link::Upstream;
pub(crate) use steps::HELD_FOR_SITES;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restock_content::library::{Library, LibraryError};
use restock_content::statement::Statement;
use restock_names::{PackageId, SiteCode, Timestamp};
use restock_sitedb::announced::Announced;
use restock_sitedb::state::RetryPolicy;
use restock_sitedb::{Database, DatabaseError, Wake};

use crate::message::transfers;
use crate::{Outcome, SiteError};
use link::library_failed;
use steps::{Came, Claim, Parts};

/// Versions looked at for one that nobody fetches yet.
const DUE_MAX: u32 = 64;

/// The site next to this one from which something is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// The site above.
    Above(SiteCode),
    /// A site directly below.
    Below(SiteCode),
}

impl Neighbour {
    /// Its code.
    pub fn site(self) -> SiteCode {
        match self {
            Self::Above(site) | Self::Below(site) => site,
        }
    }
}

/// Moves the bytes of versions between neighbours.
pub trait Fetch: Send + Sync + 'static {
    /// Brings every object of the version into the site's library, verified, sealed and durable.
    ///
    /// The statement is not stored: that makes it a version, and is the loop's next step. What an
    /// earlier attempt brought is not asked for again. A version is fetched by one call at a time.
    fn fetch(
        &self,
        what: &Announced,
        from: Neighbour,
    ) -> impl Future<Output = Result<Fetched, FetchError>> + Send;
}

/// What a fetch moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fetched {
    /// Bytes received on the link.
    pub wire_received: u64,
    /// Raw bytes of the chunks among them.
    pub raw_bytes: u64,
}

/// Why a version was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {text}")]
pub struct FetchError {
    /// A stable code, such as `CONTENT_NOT_HERE`, `LINK_DOWN` or `NO_SPACE`.
    pub rule: String,
    /// One sentence.
    pub text: String,
    /// True when another attempt may succeed soon without anybody doing something.
    pub is_transient: bool,
}

/// Fetches versions that this site, or sites that reach them through it, need.
#[derive(Debug)]
pub struct FetchLoop<F> {
    pub(crate) database: Database,
    pub(crate) library: Arc<Library>,
    pub(crate) site: SiteCode,
    pub(crate) retry: RetryPolicy,
    pub(crate) draft_lease: Duration,
    pub(crate) fetch: Arc<F>,
    /// Packages of which a version is being fetched by this process.
    pub(crate) busy: Arc<Mutex<BTreeSet<PackageId>>>,
    pub(crate) asked: Asked,
}

/// Packages of which neighbours, who may have them, asked for a version that is not here: it is fetched
/// for them. Lost with the process; they ask again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<BTreeSet<PackageId>>>);

impl Asked {
    /// Notes a wish; true when it is a new one.
    pub(crate) fn note(&self, package: PackageId) -> bool {
        lock(&self.0).insert(package)
    }

    fn all(&self) -> Vec<PackageId> {
        lock(&self.0).iter().copied().collect()
    }

    fn forget(&self, package: PackageId) {
        lock(&self.0).remove(&package);
    }
}

impl<F> Clone for FetchLoop<F> {
    fn clone(&self) -> Self {
        Self {
            database: self.database.clone(),
            library: Arc::clone(&self.library),
            site: self.site,
            retry: self.retry,
            draft_lease: self.draft_lease,
            fetch: Arc::clone(&self.fetch),
            busy: Arc::clone(&self.busy),
            asked: self.asked.clone(),
        }
    }
}

/// A package that is being fetched until this is dropped.
#[derive(Debug)]
struct Busy {
    packages: Arc<Mutex<BTreeSet<PackageId>>>,
    package: PackageId,
}

impl Drop for Busy {
    fn drop(&mut self) {
        lock(&self.packages).remove(&self.package);
    }
}

fn lock(packages: &Mutex<BTreeSet<PackageId>>) -> MutexGuard<'_, BTreeSet<PackageId>> {
    packages.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<F: Fetch> FetchLoop<F> {
    /// Fetches one version that is due at `now` to its end, or lets go of one that was held for others.
    ///
    /// Errors: the database, the library. A neighbour that does not give the version is no error but a
    /// failed attempt.
    pub async fn run_once(&self, now: Timestamp) -> Result<Outcome, SiteError> {
        let dropped = self.drop_drafts(now).await?;
        if let Some((claim, busy)) = self.claim(now).await? {
            let content = claim.what.version.content;
            let result = self.run(claim, now).await;
            drop(busy);
            return Ok(Outcome {
                is_busy: true,
                result: format!("{content}: {}", result?),
                queue: 1,
                next_due: None,
            });
        }
        let waiting: Result<(u64, Option<Timestamp>), DatabaseError> = self
            .database
            .read("fetch_queue", move |tx| Box::pin(async move { tx.fetch_queue(now).await }))
            .await;
        let (queue, next_due) = waiting?;
        Ok(Outcome { is_busy: dropped, result: "idle".to_owned(), queue, next_due })
    }

    /// A version to fetch that no other worker fetches.
    async fn claim(&self, now: Timestamp) -> Result<Option<(Claim, Busy)>, SiteError> {
        let asked = self.asked.all();
        let due: Result<Vec<Announced>, DatabaseError> = self
            .database
            .read("fetches_due", move |tx| Box::pin(async move { steps::due(tx, asked, now).await }))
            .await;
        for what in due? {
            let content = what.version.content;
            if !lock(&self.busy).insert(content.package) {
                continue;
            }
            let busy = Busy { packages: Arc::clone(&self.busy), package: content.package };
            let parts = self.parts();
            let begun: Result<Option<Claim>, DatabaseError> = self
                .database
                .transact("begin_fetch", move |tx| {
                    Box::pin(async move { steps::begin(tx, parts, content, now).await })
                })
                .await;
            if let Some(claim) = begun? {
                return Ok(Some((claim, busy)));
            }
        }
        Ok(None)
    }

    async fn run(&self, claim: Claim, now: Timestamp) -> Result<&'static str, SiteError> {
        let (what, from) = (&claim.what, claim.from);
        let content = what.version.content;
        // Until the statement is stored nothing says that what is held already is needed.
        let _hold = self.library.hold();
        transfers!(info, package.id = %content.package, package.version = %content.version, site = %from.site(),
            "Began to fetch {content} from site {}", from.site());
        match self.fetch.fetch(what, from).await {
            // The site stops: nothing failed.
            Err(error) if error.rule == "CANCELLED" => Ok("stopped"),
            Ok(fetched) => match self.arrived(what, from, fetched, now).await {
                Err(SiteError::Library(error)) => self.failed(what, from, library_failed(&error), now).await,
                result => result,
            },
            Err(error) => self.failed(what, from, error, now).await,
        }
    }

    /// Everything is in the library: the statement makes it a version, here or for the others.
    async fn arrived(
        &self,
        what: &Announced,
        from: Neighbour,
        fetched: Fetched,
        now: Timestamp,
    ) -> Result<&'static str, SiteError> {
        let content = what.version.content;
        let statement = Statement::decode(&what.statement).map_err(|source| LibraryError::Statement {
            path: PathBuf::from(format!("{content}")),
            source,
        })?;
        let library = Arc::clone(&self.library);
        blocking(move || library.store_statement(&statement)).await?;
        let (parts, what) = (self.parts(), what.clone());
        let came: Result<Came, DatabaseError> = self
            .database
            .transact("content_arrived", move |tx| {
                Box::pin(async move { steps::arrived(tx, parts, what, from.site(), now).await })
            })
            .await;
        let came = came?;
        self.asked.forget(content.package);
        let library = Arc::clone(&self.library);
        match came {
            Came::Published => {
                transfers!(info, package.id = %content.package, site = %from.site(), bytes_received = fetched.wire_received,
                    "{content} has arrived from site {}", from.site());
                blocking(move || library.activate(&content)).await?;
                self.database.wake(Wake::Distribute);
                Ok("stored")
            }
            Came::Held => {
                transfers!(info, package.id = %content.package, site = %from.site(), bytes_received = fetched.wire_received,
                    "{content} is held for other sites");
                Ok("held for other sites")
            }
            Came::Unwanted => {
                blocking(move || {
                    let is_served =
                        library.active(&content.package).is_some_and(|active| active.version == content);
                    if is_served { Ok(()) } else { library.remove_statement(&content) }
                })
                .await?;
                Ok("not wanted any more")
            }
        }
    }

    async fn failed(
        &self,
        what: &Announced,
        from: Neighbour,
        error: FetchError,
        now: Timestamp,
    ) -> Result<&'static str, SiteError> {
        let content = what.version.content;
        transfers!(warn, package.id = %content.package, site = %from.site(), code = error.rule, is_transient = error.is_transient,
            "{content} was not fetched from site {}: {}", from.site(), error.text);
        let parts = self.parts();
        let done: Result<(), DatabaseError> = self
            .database
            .transact("fetch_failed", move |tx| {
                Box::pin(async move { steps::failed(tx, parts, content, from.site(), &error, now).await })
            })
            .await;
        done?;
        // Who asked for it asks again.
        self.asked.forget(content.package);
        Ok("failed, will be tried again")
    }

    fn parts(&self) -> Parts {
        Parts { site: self.site, retry: self.retry, draft_lease: self.draft_lease }
    }
}

/// Runs blocking work of the library on a thread of its own.
async fn blocking(work: impl FnOnce() -> Result<(), LibraryError> + Send + 'static) -> Result<(), SiteError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_panic| SiteError::Panicked("keeping fetched content"))??)
}
