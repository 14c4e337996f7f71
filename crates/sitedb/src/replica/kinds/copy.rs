//! Objects of kind `copy`: what a site holds of a package, under `PKGID/SITE`, as that site tells it.

use restock_names::{Epoch, PackageId, SiteCode, SourceVersion};
use serde_json::json;

use super::form;
use super::target::bad_key;
use crate::copies::{COPY_FAILED, Copy};
use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::tx::bind;
use crate::{DatabaseError, Tx, Why};

fn of_key(key: &str) -> Result<(PackageId, SiteCode), Why> {
    let parts = key.split_once('/').and_then(|(id, site)| Some((id.parse().ok()?, site.parse().ok()?)));
    let (id, site): (PackageId, SiteCode) = parts.ok_or_else(bad_key)?;
    if format!("{id}/{site}") == key { Ok((id, site)) } else { Err(bad_key()) }
}

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Ok((package, site)) = of_key(key) else { return Ok(Told::Others) };
    if site != tx.own_code().await? {
        return Ok(Told::Others);
    }
    let copy = tx.copies_of(package).await?.into_iter().find(|copy| copy.site == site);
    Ok(copy.map_or(Told::Gone, |copy| {
        Told::Body(json!({
            "epoch": copy.epoch,
            "version": copy.version,
            "state": copy.state,
            "why": copy.why,
            "at": copy.at.0,
        }))
    }))
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    tx.rows(
        "SELECT c.package_id || '/' || c.site AS object_key FROM copies c JOIN site s ON s.site_code = c.site
         ORDER BY c.package_id",
        bind![],
    )
    .await?
    .iter()
    .map(|row| row.text("object_key"))
    .collect()
}

/// Who may write it: the site in the key.
pub(crate) async fn writer(_tx: &mut Tx, object: &Object) -> Result<Writer, DatabaseError> {
    // A key that is none is refused when the object is taken.
    Ok(of_key(&object.key).map_or(Writer::Any, |(_, site)| Writer::Site(site)))
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let fields = object.fields();
    let read = |package, site| -> Result<_, Why> {
        let state = fields.u32("state")?;
        if state > COPY_FAILED {
            return Err(Why::new("OBJECT_FORM", "the field state of the body is not valid"));
        }
        Ok(Copy {
            package,
            site,
            epoch: Epoch(fields.u32("epoch")?),
            version: SourceVersion(fields.u32("version")?),
            state,
            why: form::why(fields, "why")?,
            at: fields.time("at")?,
        })
    };
    let (package, site) = match of_key(&object.key) {
        Ok(parts) => parts,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    if site == arrival.own {
        // What this site told before it was put back to an earlier state: its rows decide.
        return Ok(Taken::Done);
    }
    if object.body.is_none() {
        tx.delete_copy(package, site).await?;
        return Ok(Taken::Done);
    }
    let copy = match read(package, site) {
        Ok(copy) => copy,
        Err(why) => return Ok(Taken::Refused(why)),
    };
    if tx.package(package).await?.is_none() {
        return Ok(Taken::WaitsFor(Kind::Package, package.to_string()));
    }
    if !super::point::is_active(tx, site).await? {
        return Ok(Taken::WaitsFor(Kind::Site, site.to_string()));
    }
    tx.put_copy(&copy).await?;
    Ok(Taken::Done)
}
