//! Whom a site asks for what its own library has lost: its distribution points, then the sites next to it.
//!
//! A holder is asked for exactly the objects that a version lacks; what comes is checked against the
//! digests of the signed manifest before it is stored. Who does not have the version, or may not give it,
//! says so at once, and the next one is asked.

use std::sync::{Arc, PoisonError};

use restock_content::library::{Library, LibraryError};
use restock_content::transfer::AcceptedStatement;
use restock_names::ContentVersion;
use restock_sitedb::target::Target;
use restock_sitedb::{Database, DatabaseError};
use restock_transfer::{Holder, Links, PullError, PullOptions, PullProgress, PullSource, Run, pull_repair};

use crate::SiteError;
use crate::fetch::Upstream;
use crate::message::{chain, distmgr};
use crate::site::blocking;

/// Points that are asked for one version.
const POINTS_MAX: usize = 8;
/// Rounds with one holder: pages that were lost hide what lies beneath them, level by level, and each
/// round brings 10,000 objects at most.
const ROUNDS_MAX: usize = 1_000;
/// Attempts at a connection to one holder; there are others.
const ATTEMPTS_MAX: u32 = 2;

/// The holders a site may ask.
#[derive(Debug, Clone)]
pub(crate) struct Holders {
    pub(crate) database: Database,
    pub(crate) links: Links,
    /// The enrolment at the site above.
    pub(crate) upstream: Upstream,
    pub(crate) options: PullOptions,
    pub(crate) run: Run,
}

/// Nobody waits for how far it is.
struct Quiet;

impl PullProgress for Quiet {}

impl Holders {
    /// Asks one holder after the other for what the version lacks, until nothing is lacking. Returns
    /// whether that is so.
    ///
    /// Errors: the database, the library. A holder that does not help is no error.
    pub(crate) async fn mend(
        &self,
        library: &Arc<Library>,
        content: ContentVersion,
    ) -> Result<bool, SiteError> {
        let at = Arc::clone(library);
        let stored = blocking("the scrub", move || Ok(at.statement(&content)?)).await?;
        let Some(statement) = stored.map(AcceptedStatement::from_library) else { return Ok(false) };
        for (name, source) in self.sources(content).await? {
            match self.mend_from(library, &statement, &source).await {
                Ok(0) => {}
                Ok(objects) => {
                    distmgr!(
                        info,
                        package.id = %content.package,
                        package.version = %content.version,
                        objects,
                        "{objects} objects of {content} that were lost here came from {name}"
                    );
                }
                Err(MendError::Site(error)) => return Err(error),
                Err(MendError::Pull(error)) => {
                    distmgr!(
                        info,
                        package.id = %content.package,
                        package.version = %content.version,
                        "{name} does not help with {content}: {}",
                        chain(&error)
                    );
                }
            }
            if self.is_whole(library, &statement).await? {
                return Ok(true);
            }
        }
        self.is_whole(library, &statement).await
    }

    /// Fetches what is lacking from one holder. Returns how many objects came.
    async fn mend_from(
        &self,
        library: &Arc<Library>,
        statement: &AcceptedStatement,
        source: &PullSource,
    ) -> Result<u64, MendError> {
        let options = PullOptions { connections: 1, attempts_max: ATTEMPTS_MAX, ..self.options };
        let progress: Arc<dyn PullProgress> = Arc::new(Quiet);
        let mut objects = 0;
        for _ in 0..ROUNDS_MAX {
            let items = self.lacking(library, statement).await?;
            if items.is_empty() {
                break;
            }
            let pulled =
                pull_repair(source.clone(), library, statement, &items, &options, &progress, &self.run)
                    .await?;
            objects += pulled.pages + pulled.chunks;
            if pulled.pages + pulled.chunks == 0 {
                break;
            }
        }
        Ok(objects)
    }

    async fn is_whole(
        &self,
        library: &Arc<Library>,
        statement: &AcceptedStatement,
    ) -> Result<bool, SiteError> {
        Ok(self.lacking(library, statement).await?.is_empty())
    }

    async fn lacking(
        &self,
        library: &Arc<Library>,
        statement: &AcceptedStatement,
    ) -> Result<Vec<restock_content::transfer::Item>, SiteError> {
        let (library, root) = (Arc::clone(library), statement.root);
        blocking("the scrub", move || {
            let found: Result<_, LibraryError> = library.lacking_items(&root);
            Ok(found?)
        })
        .await
    }

    /// Who may have the version and can be reached, each with a name for people: points that serve it come
    /// first, then other points that have the package, then sites.
    async fn sources(&self, content: ContentVersion) -> Result<Vec<(String, PullSource)>, SiteError> {
        let package = content.package;
        let targets: Result<Vec<Target>, DatabaseError> = self
            .database
            .read("holders", move |tx| Box::pin(async move { tx.targets_of_package(package).await }))
            .await;
        let mut targets = targets?;
        targets.retain(|target| self.links.is_connected(&target.point));
        targets.sort_by_key(|target| target.facts.serving != content.version);
        let below = |holder: Holder| (holder.to_string(), PullSource::Below(self.links.clone(), holder));
        let mut sources: Vec<(String, PullSource)> =
            targets.into_iter().take(POINTS_MAX).map(|target| below(Holder::Point(target.point))).collect();
        let upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sources.extend(upstream.map(|above| (format!("site {}", above.parent()), PullSource::Above(above))));
        sources.extend(self.links.sites_connected().into_iter().map(|site| below(Holder::Site(site))));
        Ok(sources)
    }
}

/// Why one holder did not help, or why nobody can.
enum MendError {
    Site(SiteError),
    Pull(PullError),
}

impl From<SiteError> for MendError {
    fn from(error: SiteError) -> Self {
        Self::Site(error)
    }
}

impl From<PullError> for MendError {
    fn from(error: PullError) -> Self {
        Self::Pull(error)
    }
}
