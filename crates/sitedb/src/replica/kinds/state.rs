//! Objects of kind `state`: how a package stands on a distribution point, as the site of the
//! distribution point tells it.

use restock_names::{Epoch, SourceVersion, Timestamp};
use serde_json::json;

use super::form;
use super::target::{of_key, own_targets, wish};
use crate::refresh::OwnerRequest;
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::state::{self, Damage, TargetState, Wish};
use crate::target::Target;
use crate::{DatabaseError, Tx, Why};

/// A target as its site tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// What decides what is shown.
    pub(crate) facts: state::Told,
    /// Every request up to this one was cancelled for the distribution point.
    pub(crate) skips: Option<OwnerRequest>,
    /// As [`Target::why`].
    pub(crate) why: Option<Why>,
    /// As [`Target::asked_at`].
    pub(crate) asked_at: Timestamp,
    /// As [`Target::last_copied_at`].
    pub(crate) last_copied_at: Option<Timestamp>,
    /// As [`Target::bytes_received`].
    pub(crate) bytes_received: u64,
}

fn body(target: &Target, skips: Option<OwnerRequest>) -> serde_json::Value {
    let facts = &target.facts;
    json!({
        "state": facts.state,
        "wanted": facts.wanted,
        "serving": facts.serving,
        "is_redistributing": facts.is_redistributing,
        "has_given_up": facts.has_given_up,
        "attempts": facts.attempts,
        "cause": facts.cause,
        "damage": facts.damage.map(Damage::message),
        "why": target.why,
        "asked_at": target.asked_at.0,
        "last_copied_at": target.last_copied_at.map(|at| at.0),
        "bytes_received": target.bytes_received,
        "redistributes": target.redistributes,
        "cancels": target.cancels,
        "skips": skips.map(|request| request.number),
        "skips_epoch": skips.map(|request| request.epoch.0),
    })
}

/// Reads the body of an object of this kind.
pub(crate) fn report(object: &Object) -> Result<Report, Why> {
    let fields = object.fields();
    let damage = fields.u32_or_none("damage")?.and_then(Damage::of_message);
    let state: TargetState = fields.parse("state")?;
    let serves = fields.u32("serving")? > 0;
    let agrees = match state {
        TargetState::Installed => serves && damage.is_none(),
        TargetState::Damaged => serves && damage.is_some(),
        _ => true,
    };
    if !agrees {
        return Err(Why::new("OBJECT_FORM", format!("no target is {} like this", state.as_str())));
    }
    Ok(Report {
        facts: state::Told {
            state,
            wanted: SourceVersion(fields.u32("wanted")?),
            serving: SourceVersion(fields.u32("serving")?),
            is_redistributing: fields.bool("is_redistributing")?,
            has_given_up: fields.bool("has_given_up")?,
            attempts: fields.u32("attempts")?,
            cause: fields.u32_or_none("cause")?,
            damage,
            done: Wish {
                is_wanted: true,
                redistributes: fields.u64("redistributes")?,
                cancels: fields.u64("cancels")?,
            },
        },
        // An earlier release says nothing of it.
        skips: fields
            .get("skips")
            .map(|_| {
                Ok(OwnerRequest { epoch: Epoch(fields.u32("skips_epoch")?), number: fields.u64("skips")? })
            })
            .transpose()?,
        why: form::why(fields, "why")?,
        asked_at: fields.time("asked_at")?,
        last_copied_at: fields.time_or_none("last_copied_at")?,
        bytes_received: fields.u64("bytes_received")?,
    })
}

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok((package, point)) = of_key(key) else { return Ok(Told::Others) };
    match tx.target(package, &point).await? {
        Some(target) if target.other_site.is_some() => Ok(Told::Others),
        Some(target) => {
            let skips = tx.cancelled_requests(&target).await?;
            Ok(Told::Body(body(&target, skips)))
        }
        None if tx.site_of_point(&point).await? == Some(tx.own_code().await?) => Ok(Told::Gone),
        None => Ok(Told::Others),
    }
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    own_targets(tx).await
}

/// Who may write it: the site of the distribution point.
pub(crate) async fn writer(tx: &mut Tx, object: &Object) -> Result<Writer, DatabaseError> {
    // A key that names no distribution point is refused when it is taken.
    let Ok((_, point)) = of_key(&object.key) else { return Ok(Writer::Any) };
    let site = tx.site_of_point(&point).await?;
    Ok(site.map_or_else(|| Writer::WaitsFor(Kind::Point, point.to_string()), Writer::Site))
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let (id, point) = match of_key(&object.key) {
        Ok(parts) => parts,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    let report = match object.body.as_ref().map(|_| report(object)).transpose() {
        Ok(report) => report,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    let Some(context) = tx.context(id, arrival.own, arrival.now).await? else {
        return Ok(Taken::WaitsFor(Kind::Package, id.to_string()));
    };
    let Some(site) = tx.site_of_point(&point).await? else {
        return Ok(Taken::WaitsFor(Kind::Point, point.to_string()));
    };
    if site == arrival.own {
        // What this site told before it was put back to an earlier state: its rows decide.
        return Ok(Taken::Done);
    }
    let known = tx.target(id, &point).await?;
    let mut wish = wished(tx, object, known.as_ref()).await?;
    // A package that is being deleted is wanted nowhere, whatever was wished before.
    wish.is_wanted &= !context.is_deleting;
    let mut target = known.unwrap_or_else(|| Target::new(id, point, arrival.now));
    target.other_site = Some(site);
    tx.mirror(&mut target, wish, report.as_ref(), &context).await?;
    Ok(Taken::Done)
}

/// What is wished of the target that `object` is about: as the object of kind `target` says, and
/// while that has not arrived, that the package is to be there.
async fn wished(tx: &mut Tx, object: &Object, known: Option<&Target>) -> Result<Wish, DatabaseError> {
    let counters = known.map_or((0, 0), |known| (known.redistributes, known.cancels));
    let stored = tx.replica(Kind::Target, &object.key).await?;
    let wanted = Wish { is_wanted: object.body.is_some(), redistributes: counters.0, cancels: counters.1 };
    Ok(stored.and_then(|stored| wish(&stored.object).ok()).unwrap_or(wanted))
}
