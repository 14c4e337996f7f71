//! What distribution points report: of their jobs, and of damage that they met.

use restock_names::{DistributionPointName, NalPath, PackageId};
use restock_sitedb::state::{self, Damage, Event, TargetState};
use restock_sitedb::target::{Context, Target};
use restock_sitedb::{DatabaseError, Tx, Why, message};
use restock_transfer::{JobId, Report, ReportState};

use super::Side;
use crate::distribute::context;
use crate::message::distmgr;

/// What came of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Kept,
    /// The distribution point dropped a job that nobody stopped.
    Dropped,
}

/// Takes in what a distribution point reports of a job.
pub(super) async fn take_report(
    tx: &mut Tx,
    side: &Side,
    point: &DistributionPointName,
    report: &Report,
    confirmed: Option<(PackageId, u64)>,
) -> Result<Taken, DatabaseError> {
    let (now, job, package) = (side.clock.now(), report.job_id.0, report.content.package);
    let has_ended = match report.state {
        ReportState::Installed | ReportState::Removed | ReportState::Cancelled => true,
        ReportState::Failed => !report.is_transient,
        _ => false,
    };
    if has_ended {
        tx.delete_stop(point, job).await?;
    }
    let Some(mut target) = tx.target(package, point).await? else { return Ok(Taken::Kept) };
    let Some(context) = context(tx, package, side.site, now).await? else { return Ok(Taken::Kept) };
    if let Some((_, settings)) = confirmed {
        target.settings = target.settings.max(settings);
        tx.put_target(&target).await?;
    }
    if report.job_id == JobId::OWN {
        found_by_itself(tx, &mut target, report, &context).await?;
        return Ok(Taken::Kept);
    }
    let event = match report.state {
        ReportState::Receiving => state::Report::Receiving,
        ReportState::Stored => state::Report::Stored,
        ReportState::Installed => state::Report::Installed(report.content.version),
        ReportState::Failed => state::Report::Failed { is_transient: report.is_transient },
        ReportState::Removed => state::Report::Removed,
        ReportState::Waiting if target.facts.job.is_some_and(|open| open.id == job) => {
            target.why = Some(Why::new("POINT_WAITS", report.detail.clone()));
            tx.put_target(&target).await?;
            return Ok(Taken::Kept);
        }
        ReportState::Cancelled if target.facts.job.is_some_and(|open| open.id == job) => {
            return Ok(Taken::Dropped);
        }
        ReportState::Accepted | ReportState::Waiting | ReportState::Cancelled | ReportState::Unknown => {
            return Ok(Taken::Kept);
        }
    };
    let open = target.facts.job.filter(|open| open.id == job);
    if report.state == ReportState::Installed && open.is_some() {
        installed(tx, side, &mut target, report, &context).await?;
    }
    let why = (report.state == ReportState::Failed && open.is_some()).then(|| failure(report, point));
    let event = Event::Reported { job, report: event, now, retry: side.retry };
    let before = target.facts.state;
    // Nobody wishes anything here, so nothing is refused.
    let _refused = tx.apply(&mut target, &context, event, why).await?;
    if target.facts.state == TargetState::Installed && before != TargetState::Installed {
        distmgr!(
            info,
            package.id = %package,
            point = %point,
            "Package {} is installed at {point}", report.content
        );
    }
    Ok(Taken::Kept)
}

/// A distribution point tells of damage that it met, and of its end: no job of the site.
async fn found_by_itself(
    tx: &mut Tx,
    target: &mut Target,
    report: &Report,
    context: &Context,
) -> Result<(), DatabaseError> {
    let (version, before) = (report.content.version, target.facts.state);
    let kept = target.why.clone();
    let (event, why) = match report.state {
        ReportState::Installed => (Event::Healed(version), kept),
        ReportState::Failed => {
            let damage = match report.code.as_str() {
                "CONTENT_DAMAGED" => Damage::Wrong,
                "CONTENT_MISSING" => Damage::Missing,
                _ => return Ok(()),
            };
            let shows = version == target.facts.serving
                && matches!(before, TargetState::Installed | TargetState::Damaged);
            let why = if shows { Some(failure(report, &target.point)) } else { kept };
            (Event::DamageFound(version, damage), why)
        }
        _ => return Ok(()),
    };
    // Nobody wishes anything here, so nothing is refused.
    let _refused = tx.apply(target, context, event, why).await?;
    Ok(())
}

/// What is kept and said when a job brought its version, whatever state follows.
async fn installed(
    tx: &mut Tx,
    side: &Side,
    target: &mut Target,
    report: &Report,
    context: &Context,
) -> Result<(), DatabaseError> {
    target.last_copied_at = Some(context.now);
    target.bytes_received = report.totals.wire_received;
    let nal = NalPath::new(side.site, &target.point);
    let (package, version, point) = (target.package, report.content.version, target.point.to_string());
    tx.raise(&message::reported(package, version, &point, &nal), context.now).await?;
    tx.raise(&message::distributed(package, &nal), context.now).await?;
    Ok(())
}

fn failure(report: &Report, point: &DistributionPointName) -> Why {
    let rule = if report.code.is_empty() { "POINT_FAILED" } else { report.code.as_str() };
    let detail = if report.detail.is_empty() { "no cause was reported" } else { report.detail.as_str() };
    let text = detail.strip_prefix(rule).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(detail);
    let fix = match rule {
        "NO_SPACE" => format!("make room on the disk of {point}; it goes on by itself"),
        _ => format!("see the log of {point}"),
    };
    Why::new(rule, text).with_fix(fix)
}
