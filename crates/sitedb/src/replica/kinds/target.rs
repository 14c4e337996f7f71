//! Objects of kind `target`: what people want of a package on a distribution point. Every site may
//! write one; the site of the distribution point acts on it, others show what will come of it.

use restock_names::{DistributionPointName, PackageId};
use serde_json::json;

use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::state::Wish;
use crate::target::Target;
use crate::tx::bind;
use crate::{DatabaseError, Tx, Why};

/// Package and distribution point of the key of a `target` or a `state`.
pub(super) fn of_key(key: &str) -> Result<(PackageId, DistributionPointName), Why> {
    let parts = key.split_once('/').and_then(|(id, point)| Some((id.parse().ok()?, point.parse().ok()?)));
    let (id, point): (PackageId, DistributionPointName) = parts.ok_or_else(bad_key)?;
    if format!("{id}/{point}") == key { Ok((id, point)) } else { Err(bad_key()) }
}

/// A key that is not in the one form its kind has.
pub(super) fn bad_key() -> Why {
    Why::new("OBJECT_FORM", "the key of an object is not valid")
}

fn body(target: &Target) -> serde_json::Value {
    json!({
        "wanted": !target.facts.state.is_removal(),
        "redistributes": target.redistributes,
        "cancels": target.cancels,
    })
}

/// What is wished; an object that was deleted wishes nothing.
pub(super) fn wish(object: &Object) -> Result<Wish, Why> {
    let fields = object.fields();
    if object.body.is_none() {
        return Ok(Wish { is_wanted: false, redistributes: 0, cancels: 0 });
    }
    Ok(Wish {
        is_wanted: fields.bool("wanted")?,
        redistributes: fields.u64("redistributes")?,
        cancels: fields.u64("cancels")?,
    })
}

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok((package, point)) = of_key(key) else { return Ok(Told::Others) };
    // The wish to delete the package is all that need be told.
    let Some(false) = tx.package(package).await?.map(|package| package.is_deleting) else {
        return Ok(Told::Others);
    };
    let target = tx.target(package, &point).await?;
    Ok(target.map_or(Told::Gone, |target| Told::Body(body(&target))))
}

/// All that this site writes: what is wished of its own distribution points.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    own_targets(tx).await
}

/// The keys of the targets at distribution points of this site.
pub(super) async fn own_targets(tx: &mut Tx) -> Result<Vec<String>, DatabaseError> {
    tx.rows(
        "SELECT t.package_id || '/' || t.point AS object_key
         FROM targets t JOIN distribution_points d ON d.name = t.point
         WHERE d.site_code IN ('', COALESCE((SELECT s.site_code FROM site s), ''))
         ORDER BY t.package_id, t.point",
        bind![],
    )
    .await?
    .iter()
    .map(|row| row.text("object_key"))
    .collect()
}

/// Who may write it.
pub(crate) async fn writer(_tx: &mut Tx, _object: &Object) -> Result<Writer, DatabaseError> {
    Ok(Writer::Any)
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let (id, point, wish) = match of_key(&object.key).and_then(|(id, point)| Ok((id, point, wish(object)?))) {
        Ok(parts) => parts,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    let Some(context) = tx.context(id, arrival.own, arrival.now).await? else {
        return Ok(Taken::WaitsFor(Kind::Package, id.to_string()));
    };
    let Some(site) = tx.site_of_point(&point).await? else {
        return Ok(Taken::WaitsFor(Kind::Point, point.to_string()));
    };
    if wish.is_wanted && context.is_deleting {
        if site == arrival.own && tx.target(id, &point).await?.is_none() {
            // It never was here: the sites that show it as wished hear that it is gone.
            tx.touch(Kind::State, object.key.as_str());
        }
        return Ok(Taken::Done);
    }
    if site == arrival.own {
        tx.carry_out(id, &point, wish, &context).await?;
        return Ok(Taken::Done);
    }
    let known = tx.target(id, &point).await?;
    let mut target = known.unwrap_or_else(|| Target::new(id, point, arrival.now));
    target.other_site = Some(site);
    let told = tx.told_of(&target).await?;
    tx.mirror(&mut target, wish, told.as_ref(), &context).await?;
    Ok(Taken::Done)
}
