//! Plans: what a refresh would do, looked at before anybody sees it.
//!
//! [`Site::plan`] takes a snapshot that is not published: its frames lie in the library, no statement
//! names them, no row speaks of them. The [`Plan`] says what differs from the newest version and what
//! it costs. [`Site::apply_plan`] looks at the source once more and publishes exactly the planned tree, or
//! refuses with `PLAN_STALE`. A plan ends by itself; until then its frames are held.
//!
//! A plan is a small file ([`store`]), so that it outlives the process. It is a promise about content,
//! not an intent: nothing happens because of it.

mod cost;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restock_content::library::Hold;
use restock_content::manifest::ManifestRoot;
use restock_content::snapshot::Progress;
use restock_names::{ContentVersion, Digest, LinkPolicy, PackageId, SiteCode, Timestamp};
use restock_sitedb::{DatabaseError, Tx, Why};
use serde::{Deserialize, Serialize};

use crate::{Site, SiteError};

pub use cost::PointCost;
pub(crate) use store::fresh_id;

/// The format of a plan's file.
pub(crate) const FORMAT: u32 = 1;
/// Plans a site keeps at once.
pub const PLANS_MAX: usize = 64;
/// How long a plan is kept unless the caller says.
pub const PLAN_LEASE: Duration = Duration::from_secs(60 * 60);
/// The longest it can be kept.
pub const PLAN_LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A snapshot that is kept and not published. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// 1.
    pub format: u32,
    /// Names it: the package ID, `-`, eight hex digits.
    pub plan: String,
    /// The package.
    pub package: PackageId,
    /// The newest version when it was made; none before the first.
    pub base: Option<ContentVersion>,
    /// The source path it was taken from.
    pub source_path: String,
    /// What became of links.
    pub link_policy: LinkPolicy,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
    /// Its manifest.
    pub root: PlanRoot,
    /// Files in the tree.
    pub files: u64,
    /// What differs from the newest version.
    pub differs: PlanTotals,
    /// Files and links that were read.
    pub entries_read: u64,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Chunks the library lacked.
    pub chunks_new: u64,
    /// Their bytes.
    pub bytes_new: u64,
    /// Their bytes as stored: what the plan takes on the site's disk.
    pub bytes_stored: u64,
}

/// The root of a plan's manifest; see [`ManifestRoot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRoot {
    /// Digest of the root page.
    pub digest: Digest,
    /// Length of the root page.
    pub length: u32,
    /// Pages of the manifest.
    pub pages: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// Chunk references.
    pub chunks: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl From<ManifestRoot> for PlanRoot {
    fn from(root: ManifestRoot) -> Self {
        let ManifestRoot { digest, length, pages, entries, chunks, bytes } = root;
        Self { digest, length, pages, entries, chunks, bytes }
    }
}

impl From<PlanRoot> for ManifestRoot {
    fn from(root: PlanRoot) -> Self {
        let PlanRoot { digest, length, pages, entries, chunks, bytes } = root;
        Self { digest, length, pages, entries, chunks, bytes }
    }
}

/// How many entries differ, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanTotals {
    /// Entries that come.
    pub added: u64,
    /// Their bytes.
    pub bytes_added: u64,
    /// Entries that go.
    pub removed: u64,
    /// Their bytes.
    pub bytes_removed: u64,
    /// Entries with other content.
    pub changed: u64,
    /// Their bytes afterwards.
    pub bytes_changed: u64,
    /// Entries of which mode or time alone change.
    pub touched: u64,
}

impl From<restock_content::diff::Totals> for PlanTotals {
    fn from(totals: restock_content::diff::Totals) -> Self {
        let restock_content::diff::Totals {
            added,
            bytes_added,
            removed,
            bytes_removed,
            changed,
            bytes_changed,
            touched,
        } = totals;
        Self { added, bytes_added, removed, bytes_removed, changed, bytes_changed, touched }
    }
}

/// Why a plan cannot be made or carried out. Nothing was published. The text begins with the code.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The package is not there.
    #[error("NOT_FOUND: there is no package {0}")]
    NoPackage(PackageId),
    /// The plan is not there, was carried out, or has ended.
    #[error("PLAN_NOT_FOUND: there is no plan {0}: it was carried out, discarded, or its time is over")]
    NotFound(String),
    /// The source, or the package, is not what it was.
    #[error("PLAN_STALE: {0}")]
    Stale(String),
    /// A refresh is under way.
    #[error("PLAN_BUSY: a refresh of package {0} waits or runs, and brings its own version")]
    Busy(PackageId),
    /// Another site reads the source.
    #[error("PLAN_OWNER: site {owner} owns package {package}, and alone reads its source")]
    Owner {
        /// The package.
        package: PackageId,
        /// Its owner.
        owner: SiteCode,
    },
    /// The source cannot be read.
    #[error("{}: {}", .0.rule, .0.text)]
    Source(Why),
    /// More plans than a site keeps.
    #[error("PLAN_LIMIT: {PLANS_MAX} plans are kept, and no more can be")]
    TooMany,
    /// A lease outside the limits.
    #[error("PLAN_LEASE: a plan is kept for at least a minute and at most 24 hours")]
    Lease,
    /// The caller stopped it, or the site is stopping.
    #[error("PLAN_STOPPED: the plan was stopped before its end")]
    Stopped,
    /// A plan's file.
    #[error("failed to {step} {path}")]
    File {
        /// What was tried.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl PlanError {
    /// The exit code of a command that ends with it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoPackage(_) | Self::NotFound(_) => 4,
            Self::Stale(_) | Self::Busy(_) | Self::Owner { .. } | Self::TooMany => 6,
            Self::Lease => 2,
            Self::Source(_) | Self::Stopped | Self::File { .. } => 1,
        }
    }

    /// What a person could do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoPackage(_) => Some("restock package list".to_owned()),
            Self::NotFound(_) => Some("restock plan --list".to_owned()),
            Self::Stale(_) => Some("restock plan PKG, and look at the new plan".to_owned()),
            Self::Busy(package) => Some(format!("restock why {package}")),
            Self::Owner { package, owner } => Some(format!("restock plan {package} at site {owner}")),
            Self::Source(why) => why.fix.clone(),
            Self::TooMany => Some("restock plan --discard PLAN".to_owned()),
            Self::Lease => Some("--keep 24h".to_owned()),
            Self::Stopped | Self::File { .. } => None,
        }
    }
}

/// What a plan will do, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The plan, kept.
    pub plan: Plan,
    /// What each distribution point would fetch, by name.
    pub points: Vec<PointCost>,
}

/// A plan that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The version it became.
    pub content: ContentVersion,
    /// The request that it ended; see `PackageRow::requests_done`.
    pub request: u64,
    /// Distribution points that get it.
    pub targeted: u32,
}

/// What the caller adds to the transaction that publishes a plan, such as an audit record.
pub type WithinApply = Arc<
    dyn for<'t> Fn(&'t mut Tx) -> Pin<Box<dyn Future<Output = Result<(), DatabaseError>> + Send + 't>>
        + Send
        + Sync,
>;

/// What this process does with sources and plans: one reader of a source at a time, and a hold on the
/// frames of each plan. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plans {
    inner: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Locked while a snapshot of the package is taken: its scan caches have one writer.
    sources: BTreeMap<PackageId, Arc<tokio::sync::Mutex<()>>>,
    holds: BTreeMap<String, (Timestamp, Hold)>,
}

impl Plans {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What whoever takes a snapshot of the package has to lock.
    pub(crate) fn source(&self, package: PackageId) -> Arc<tokio::sync::Mutex<()>> {
        let mut state = self.lock();
        state.sources.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(state.sources.entry(package).or_default())
    }

    fn hold(&self, plan: &Plan, hold: Hold) {
        self.lock().holds.insert(plan.plan.clone(), (plan.until, hold));
    }

    fn drop_hold(&self, plan: &str) {
        self.lock().holds.remove(plan);
    }

    fn drop_ended(&self, now: Timestamp) {
        self.lock().holds.retain(|_, (until, _)| *until > now);
    }
}

impl Site {
    /// Takes a snapshot of the package's source, keeps it for `keep` and says what it would change.
    ///
    /// Nothing is visible of it. Cost: that of a refresh. Errors: [`PlanError`]; the database.
    pub async fn plan(
        &self,
        package: PackageId,
        keep: Duration,
        progress: Arc<dyn Progress + Send + Sync>,
    ) -> Result<Planned, SiteError> {
        if !(Duration::from_secs(60)..=PLAN_LEASE_MAX).contains(&keep) {
            return Err(PlanError::Lease.into());
        }
        if self.plans().await?.len() >= PLANS_MAX {
            return Err(PlanError::TooMany.into());
        }
        // From before anything is read to the end of the plan nothing of it is cleaned away.
        let hold = self.library().hold();
        let plan = self.refresh_loop().make_plan(package, keep, progress).await?;
        let points = cost::points(self, &plan).await?;
        let (folder, kept) = (self.plans_folder(), plan.clone());
        crate::site::blocking("keeping a plan", move || Ok(store::write(&folder, &kept)?)).await?;
        self.inner.plans.hold(&plan, hold);
        Ok(Planned { plan, points })
    }

    /// Publishes the planned tree, if the source still is that tree.
    ///
    /// Errors: `PLAN_STALE`, `PLAN_BUSY`, `PLAN_NOT_FOUND`; nothing was published then.
    pub async fn apply_plan(
        &self,
        id: &str,
        progress: Arc<dyn Progress + Send + Sync>,
        within: WithinApply,
    ) -> Result<(Plan, Applied), SiteError> {
        let hold = self.library().hold();
        let plan = self
            .plans()
            .await?
            .into_iter()
            .find(|plan| plan.plan == id)
            .ok_or_else(|| PlanError::NotFound(id.to_owned()))?;
        let applied = self.refresh_loop().apply_plan(&plan, progress, within).await?;
        drop(hold);
        self.discard_plan(id).await?;
        Ok((plan, applied))
    }

    /// The plans that are kept, by name. Those whose time is over are forgotten.
    pub async fn plans(&self) -> Result<Vec<Plan>, SiteError> {
        let (folder, now) = (self.plans_folder(), self.clock().now());
        self.inner.plans.drop_ended(now);
        crate::site::blocking("reading plans", move || Ok(store::read_all(&folder, now)?)).await
    }

    /// Forgets a plan; true when it was there.
    pub async fn discard_plan(&self, id: &str) -> Result<bool, SiteError> {
        let is_there = self.plans().await?.iter().any(|plan| plan.plan == id);
        if is_there {
            let (folder, id) = (self.plans_folder(), id.to_owned());
            let of = id.clone();
            crate::site::blocking("forgetting a plan", move || Ok(store::remove(&folder, &of)?)).await?;
            self.inner.plans.drop_hold(&id);
        }
        Ok(is_there)
    }

    /// Holds what the plans of an earlier process need.
    pub(crate) async fn hold_plans(&self) -> Result<(), SiteError> {
        for plan in self.plans().await? {
            self.inner.plans.hold(&plan, self.library().hold());
        }
        Ok(())
    }

    fn plans_folder(&self) -> PathBuf {
        self.config().data.join("plans")
    }
}
