//! What a site answers about content: differences, frames, plans. A distribution point answers the
//! part of it that asks its library alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restock_content::diff::{Difference, Differences, Totals, lacking};
use restock_content::library::{Library, LibraryError};
use restock_content::manifest::{EntryKind, Manifest, ManifestError, ManifestRoot};
use restock_content::snapshot::Progress;
use restock_names::{Clock, Digest, PackageId, SystemClock};
use restock_provider::rows::RefreshAccepted;
use restock_provider::{Call, audit};
use restock_site::{Plan, Site, SiteError, WithinApply};
use restock_sitedb::DatabaseError;

use super::content_rows::{
    Change, ContentRoot, DiffEnd, DiffLine, FRAMES_MAX, FrameLine, PlanApplied, PlanEvent, PlanMade,
    PlanProgress, VersionRef,
};
use super::listener::Events;
use super::protocol::FILES_PER_EVENT;
use super::site_desk::{put, site_failure};
use crate::failure::{Failure, Kind, chain};
use crate::running::{entries, library};

/// How often a plan says how far it is.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// The version that a site means when none is named: the stored one, which its library's pointer may
/// follow a moment later.
pub(super) async fn stored(site: &Site, of: VersionRef) -> Result<VersionRef, Failure> {
    if of.version.is_some() {
        return Ok(of);
    }
    let found = site.manifest_root(&of.package, None).await.map_err(site_failure)?;
    Ok(VersionRef { version: found.map(|(content, _)| content.version), ..of })
}

/// The manifest of a version that a library holds.
pub(super) async fn root(library: Arc<Library>, of: VersionRef) -> Result<ContentRoot, Failure> {
    blocking("looking for a version", move || library_root(&library, of)).await
}

/// The same of a library that this process has open.
pub(crate) fn library_root(
    library: &Library,
    VersionRef { package, version }: VersionRef,
) -> Result<ContentRoot, Failure> {
    let statement = match version {
        None => library.active(&package),
        Some(version) => {
            let all = library.statements(&package).map_err(|e| library::failure(library.folder(), &e))?;
            all.into_iter().rev().find(|statement| statement.version.version == version)
        }
    };
    let Some(statement) = statement else {
        let what = match version {
            Some(v) => format!("NOT_FOUND: version {v} of package {package} is not in the library"),
            None => format!("NOT_FOUND: package {package} has no version in the library"),
        };
        return Err(Failure::new(Kind::NotFound, what).hint(format!("restock package history {package}")));
    };
    Ok(ContentRoot { version: statement.version, root: statement.root.into() })
}

/// Frames by digest: events are [`FrameLine`]s in the order asked.
pub(super) async fn frames(
    library: Arc<Library>,
    digests: Vec<Digest>,
    events: Events,
) -> Result<u64, Failure> {
    if digests.len() > FRAMES_MAX {
        let text = format!("REQUEST_FORMAT: a request names at most {FRAMES_MAX} frames");
        return Err(Failure::usage(text));
    }
    blocking("reading frames", move || {
        let _hold = library.hold();
        let mut count = 0;
        for digest in digests {
            let bytes = library.read(&digest).map_err(|e| library::failure(library.folder(), &e))?;
            if !put(&events, &FrameLine { digest, bytes: STANDARD.encode(bytes) }) {
                break;
            }
            count += 1;
        }
        Ok(count)
    })
    .await
}

/// What differs between two versions: events are arrays of [`DiffLine`]s.
pub(super) async fn diff(
    library: Arc<Library>,
    before: VersionRef,
    after: VersionRef,
    events: Events,
) -> Result<DiffEnd, Failure> {
    blocking("comparing versions", move || {
        compare(&library, before, after, &mut |lines| put(&events, &lines))
    })
    .await
}

/// The same of a library that this process has open.
pub(crate) fn diff_here(
    library: &Library,
    before: VersionRef,
    after: VersionRef,
    on_lines: &mut dyn FnMut(Vec<DiffLine>),
) -> Result<DiffEnd, Failure> {
    compare(library, before, after, &mut |lines| {
        on_lines(lines);
        true
    })
}

fn compare(
    library: &Library,
    before: VersionRef,
    after: VersionRef,
    send: &mut dyn FnMut(Vec<DiffLine>) -> bool,
) -> Result<DiffEnd, Failure> {
    let _hold = library.hold();
    let (before, after) = (library_root(library, before)?, library_root(library, after)?);
    let (first, second) = (ManifestRoot::from(before.root), ManifestRoot::from(after.root));
    let fail = |error: ManifestError| library::failure(library.folder(), &LibraryError::from(error));
    let totals = tell(library, Some(first), second, send).map_err(fail)?;
    let (held, wanted) = (Manifest::new(library, first), Manifest::new(library, second));
    let lacking = lacking(Some(&held), &wanted, &mut |_, _| {}).map_err(fail)?;
    Ok(DiffEnd {
        before,
        after,
        differs: totals.into(),
        chunks: lacking.chunks,
        chunk_bytes: lacking.chunk_bytes,
    })
}

/// Tells all differences in arrays of at most [`FILES_PER_EVENT`]; stops when `send` is not heard.
fn tell(
    library: &Library,
    before: Option<ManifestRoot>,
    after: ManifestRoot,
    send: &mut dyn FnMut(Vec<DiffLine>) -> bool,
) -> Result<Totals, ManifestError> {
    let before = before.map(|root| Manifest::new(library, root));
    let (mut totals, mut lines) = (Totals::default(), Vec::new());
    for difference in Differences::new(before, Manifest::new(library, after)) {
        let difference = difference?;
        totals.add(&difference);
        lines.push(line(&difference));
        if lines.len() == FILES_PER_EVENT && !send(std::mem::take(&mut lines)) {
            return Ok(totals);
        }
    }
    if !lines.is_empty() {
        send(lines);
    }
    Ok(totals)
}

fn line(difference: &Difference) -> DiffLine {
    let (change, entry, before) = match difference {
        Difference::Added(entry) => (Change::Added, entry, None),
        Difference::Removed(entry) => (Change::Removed, entry, None),
        Difference::Changed { before, after } => (Change::Changed, after, Some(before)),
        Difference::Touched { before, after } => (Change::Touched, after, Some(before)),
    };
    let size_before = before.and_then(|before| match before.kind {
        EntryKind::File { size, .. } => Some(size),
        EntryKind::Folder | EntryKind::Symlink { .. } => None,
    });
    DiffLine { change, entry: entries::line(entry), size_before }
}

/// Makes a plan: events are [`PlanEvent`]s.
pub(super) async fn plan(
    site: &Site,
    package: PackageId,
    keep: Duration,
    events: Events,
) -> Result<PlanMade, Failure> {
    let meter = Arc::new(Meter::default());
    let planned = told(&meter, &events, site.plan(package, keep, Arc::clone(&meter) as _)).await?;
    let planned = planned.map_err(site_failure)?;
    let (library, plan) = (Arc::clone(site.library()), planned.plan);
    let (base, root) = (plan.base, ManifestRoot::from(plan.root));
    let free_bytes = blocking("comparing a plan", move || {
        let _hold = library.hold();
        let before = base.and_then(|base| library.statement(&base).ok().flatten()).map(|base| base.root);
        tell(&library, before, root, &mut |lines| put(&events, &PlanEvent::Entries(lines)))
            .map_err(|e| library::failure(library.folder(), &e.into()))?;
        Ok(free(library.folder()))
    })
    .await?;
    Ok(PlanMade { plan, points: planned.points, free_bytes })
}

/// Carries a plan out: events are [`PlanEvent`]s. It is kept in the audit trail, refused or not.
pub(super) async fn apply(
    site: &Site,
    call: Call,
    id: String,
    events: Events,
) -> Result<PlanApplied, Failure> {
    let meter = Arc::new(Meter::default());
    let plan = site.plans().await.map_err(site_failure)?.into_iter().find(|plan| plan.plan == id);
    let (code, now) = (site.code(), site.clock().now());
    let kept = plan.as_ref().map(|plan| (plan.package, plan.plan.clone()));
    let (within_call, within_kept) = (call.clone(), kept.clone());
    let within: WithinApply = Arc::new(move |tx| {
        let (call, kept) = (within_call.clone(), within_kept.clone());
        Box::pin(async move {
            match kept {
                Some((package, plan)) => audit::applied(tx, code, now, &call, package, &plan, 0).await,
                None => Ok(()),
            }
        })
    });
    let applied = told(&meter, &events, site.apply_plan(&id, Arc::clone(&meter) as _, within)).await?;
    if applied.is_err()
        && let Some((package, plan)) = kept
    {
        let refused: Result<(), DatabaseError> = site
            .database()
            .transact("audit_refusal", move |tx| {
                Box::pin(async move { audit::applied(tx, code, now, &call, package, &plan, 1).await })
            })
            .await;
        if let Err(error) = refused {
            tracing::error!(error = %chain(&error), "a refusal could not be kept in the audit trail");
        }
    }
    let (plan, applied) = applied.map_err(site_failure)?;
    Ok(PlanApplied {
        plan: plan.plan,
        version: applied.content,
        refresh: RefreshAccepted {
            package: plan.package,
            request: applied.request,
            source_version: plan.base.map_or(restock_names::SourceVersion(0), |base| base.version),
            targeted: applied.targeted,
            joined: false,
        },
    })
}

/// Forgets a plan.
pub(super) async fn discard(site: &Site, id: String) -> Result<Plan, Failure> {
    let plan = site.plans().await.map_err(site_failure)?.into_iter().find(|plan| plan.plan == id);
    let Some(plan) = plan else { return Err(site_failure(restock_site::PlanError::NotFound(id).into())) };
    site.discard_plan(&id).await.map_err(site_failure)?;
    Ok(plan)
}

/// Waits for a snapshot and tells how far it is; one whose caller has gone is stopped.
async fn told<T>(
    meter: &Meter,
    events: &Events,
    work: impl Future<Output = Result<T, SiteError>>,
) -> Result<Result<T, SiteError>, Failure> {
    tokio::pin!(work);
    let mut last = PlanProgress::default();
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = events.closed() => meter.is_left.store(true, Relaxed),
            () = tokio::time::sleep(PROGRESS_PERIOD) => {
                let now = meter.now();
                if now != last {
                    last = now;
                    let event = super::site_desk::value(&PlanEvent::Progress(now));
                    if events.send(event).await.is_err() {
                        meter.is_left.store(true, Relaxed);
                    }
                }
            }
        }
        if meter.is_left.load(Relaxed) {
            return Ok(work.await);
        }
    }
}

/// Counts what a snapshot meets.
#[derive(Debug, Default)]
struct Meter {
    entries: AtomicU64,
    bytes_read: AtomicU64,
    bytes_new: AtomicU64,
    is_left: AtomicBool,
}

impl Meter {
    fn now(&self) -> PlanProgress {
        PlanProgress {
            entries: self.entries.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
            bytes_new: self.bytes_new.load(Relaxed),
        }
    }
}

impl Progress for Meter {
    fn add(&self, entries: u64, bytes_read: u64, bytes_new: u64) {
        self.entries.fetch_add(entries, Relaxed);
        self.bytes_read.fetch_add(bytes_read, Relaxed);
        self.bytes_new.fetch_add(bytes_new, Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.is_left.load(Relaxed)
    }
}

/// Free bytes of the file system that holds `folder`; 0 when it cannot be asked.
fn free(folder: &std::path::Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let started = SystemClock.monotonic();
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|e| Failure::caused(Kind::Failed, what, &e))?;
    tracing::debug!(what, took_ms = (SystemClock.monotonic() - started).as_millis() as u64, "content asked");
    done
}
