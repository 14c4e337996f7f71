//! Which distribution points hold a package: add, remove, redistribute, cancel.

use restock_names::{DistributionPointName, PackageId};
use restock_sitedb::state::{Event, Refusal};
use restock_sitedb::target::{Context, Target};
use restock_sitedb::{Tx, Why};

use crate::OperationError;
use crate::packages::known;
use crate::perform::Circumstances;
use crate::rows::{PointChanged, TargetsChanged};

/// Distribution points named in one call at most.
const POINTS_MAX: usize = 10_000;

pub(crate) async fn add(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
    points: Vec<DistributionPointName>,
) -> Result<TargetsChanged, OperationError> {
    let (package, refresh) = known(tx, id).await?;
    // A version may be known here whose content is elsewhere.
    if !package.has_source() && package.source_version.0 == 0 {
        let message = format!("package {id} has no source, so there is nothing to distribute");
        let hint = format!("restock package set {id} --source PATH");
        return Err(OperationError::refused("INVALID_OPERATION", message).hint(hint));
    }
    let context = Context::new(&package, &refresh, at.site, at.now);
    let mut changed = Vec::new();
    for point in each_once(points)? {
        if tx.point(&point).await?.is_none() {
            return Err(OperationError::unknown_point(&point));
        }
        let known = tx.target(id, &point).await?;
        let is_new = known.is_none();
        let mut target = known.unwrap_or_else(|| Target::new(id, point.clone(), at.now));
        let applied = carry_out(tx, &mut target, &context, Event::Added, None).await?;
        changed.push(PointChanged { point, changed: is_new || applied });
    }
    Ok(TargetsChanged { package: id, points: changed })
}

pub(crate) async fn remove(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
    points: Vec<DistributionPointName>,
) -> Result<TargetsChanged, OperationError> {
    each(tx, at, id, points, Event::RemoveAsked, |_| None).await
}

pub(crate) async fn redistribute(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
    points: Vec<DistributionPointName>,
) -> Result<TargetsChanged, OperationError> {
    each(tx, at, id, points, Event::RedistributeAsked, |_| None).await
}

pub(crate) async fn cancel(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
    points: Vec<DistributionPointName>,
) -> Result<TargetsChanged, OperationError> {
    let why = |point: &DistributionPointName| {
        Some(
            Why::new("CANCELLED", "the distribution was cancelled by a person")
                .with_fix(format!("restock redistribute {id} --to {point}, or the next refresh")),
        )
    };
    each(tx, at, id, points, Event::CancelAsked, why).await
}

async fn each(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
    points: Vec<DistributionPointName>,
    event: Event,
    why: impl Fn(&DistributionPointName) -> Option<Why>,
) -> Result<TargetsChanged, OperationError> {
    let (package, refresh) = known(tx, id).await?;
    let context = Context::new(&package, &refresh, at.site, at.now);
    let mut changed = Vec::new();
    for point in each_once(points)? {
        let Some(mut target) = tx.target(id, &point).await? else {
            let is_enrolled = tx.point(&point).await?.is_some();
            return Err(if is_enrolled {
                OperationError::not_targeted(id, &point)
            } else {
                OperationError::unknown_point(&point)
            });
        };
        let applied = carry_out(tx, &mut target, &context, event, why(&point)).await?;
        changed.push(PointChanged { point, changed: applied });
    }
    Ok(TargetsChanged { package: id, points: changed })
}

/// Applies the event; returns whether anything changed.
async fn carry_out(
    tx: &mut Tx,
    target: &mut Target,
    context: &Context,
    event: Event,
    why: Option<Why>,
) -> Result<bool, OperationError> {
    let (id, point) = (context.package, target.point.clone());
    match tx.apply(target, context, event, why).await? {
        Ok(applied) => Ok(applied.is_change()),
        Err(refusal) => {
            let code = match refusal {
                Refusal::BeingRemoved => "POINT_BEING_REMOVED",
                Refusal::NothingToCancel => "NOTHING_TO_CANCEL",
            };
            let message = format!("package {id} on {point}: {refusal}");
            Err(OperationError::refused(code, message).hint(format!("restock status {id}")))
        }
    }
}

fn each_once(points: Vec<DistributionPointName>) -> Result<Vec<DistributionPointName>, OperationError> {
    if points.is_empty() || points.len() > POINTS_MAX {
        let message = format!("{} distribution points were named, 1-{POINTS_MAX} are wanted", points.len());
        return Err(OperationError::invalid("POINTS_COUNT", message).hint("restock dp list"));
    }
    let mut seen = std::collections::HashSet::new();
    Ok(points.into_iter().filter(|point| seen.insert(point.clone())).collect())
}
