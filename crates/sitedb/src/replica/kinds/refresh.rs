//! Objects of kind `refresh`: how many refreshes of a package a site asked for, `PKGID/SITE`. The
//! highest number stands; at the owner of the package it becomes a request.

use restock_names::{PackageId, SiteCode};
use serde_json::json;

use crate::replica::{Arrival, Kind, Object, Taken, Told, Writer};
use crate::{DatabaseError, Tx, Why};

fn parse(key: &str) -> Option<(PackageId, SiteCode)> {
    let (package, site) = key.split_once('/')?;
    Some((package.parse().ok()?, site.parse().ok()?))
}

/// What the rows say about it.
pub(crate) async fn told(tx: &mut Tx, _kind: Kind, key: &str) -> Result<Told, DatabaseError> {
    let Some((package, site)) = parse(key) else { return Ok(Told::Others) };
    if site != tx.own_code().await? {
        return Ok(Told::Others);
    }
    Ok(match tx.asked_here(package).await? {
        0 => Told::Others,
        asked => Told::Body(json!({ "asked": asked })),
    })
}

/// All that this site writes.
pub(crate) async fn keys(tx: &mut Tx, _kind: Kind) -> Result<Vec<String>, DatabaseError> {
    let own = tx.own_code().await?;
    let packages = tx.packages().await?;
    Ok(packages.into_iter().map(|package| format!("{}/{own}", package.id)).collect())
}

/// Who may write it.
pub(crate) async fn writer(_tx: &mut Tx, object: &Object) -> Result<Writer, DatabaseError> {
    Ok(parse(&object.key).map_or(Writer::Any, |(_, site)| Writer::Site(site)))
}

/// Makes the rows say what it says.
pub(crate) async fn take(
    tx: &mut Tx,
    object: &Object,
    arrival: &Arrival<'_>,
) -> Result<Taken, DatabaseError> {
    let asked = match (parse(&object.key), object.fields().u64("asked")) {
        (Some((package, site)), Ok(asked)) => (package, site, asked),
        _ => return Ok(Taken::Refused(Why::new("OBJECT_FORM", "no request of a site for a package"))),
    };
    let (package, site, asked) = asked;
    Ok(match tx.forward_asked(package, site, asked, arrival.now).await? {
        Ok(()) => Taken::Done,
        Err(why) => Taken::Refused(why),
    })
}
