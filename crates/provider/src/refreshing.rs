//! `RefreshPkgSource` and its end: the transaction that makes a request durable and visible.

use restock_names::PackageId;
use restock_sitedb::package::Package;
use restock_sitedb::refresh::Refresh;
use restock_sitedb::state::Event;
use restock_sitedb::target::Context;
use restock_sitedb::{DatabaseError, Tx, Wake, Why};

use crate::packages::known;
use crate::perform::Circumstances;
use crate::rows::{RefreshAccepted, RefreshCancelled};
use crate::{OperationError, ownership};

pub(crate) async fn refresh_pkg_source(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
) -> Result<RefreshAccepted, OperationError> {
    let (package, refresh) = known(tx, id).await?;
    if !package.has_source() {
        let message = format!("package {id} has no source");
        let hint = format!("restock package set {id} --source PATH");
        return Err(OperationError::refused("INVALID_OPERATION", message).hint(hint));
    }
    request(tx, at, &package, refresh).await
}

/// Adds a refresh request: from the commit of this transaction on `ActionInProgress` is 1 and no
/// targeted distribution point counts as installed. Where another site owns the package the request
/// waits for it.
///
/// Errors: `ORPHANED`.
pub(crate) async fn request(
    tx: &mut Tx,
    at: &Circumstances,
    package: &Package,
    refresh: Refresh,
) -> Result<RefreshAccepted, OperationError> {
    ownership::require_owner(tx, package).await?;
    let requested = tx.request_refresh(package, refresh, at.site, at.now, None).await?;
    Ok(RefreshAccepted {
        package: package.id,
        request: requested.request,
        source_version: package.source_version,
        targeted: requested.targeted,
        joined: requested.joined,
    })
}

pub(crate) async fn cancel_refresh(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
) -> Result<RefreshCancelled, OperationError> {
    let (package, mut refresh) = known(tx, id).await?;
    if package.source_site != at.site && refresh.is_pending() && !tx.is_orphaned(&package).await? {
        let owner = package.source_site;
        let message = format!("site {owner} owns package {id}, and alone ends a refresh of it");
        let hint = format!("restock cancel {id} at site {owner}");
        return Err(OperationError::refused("INVALID_OPERATION", message).hint(hint));
    }
    let was_pending = refresh.cancel();
    if was_pending {
        tx.update_refresh(id, &refresh).await?;
        tell_targets(tx, at, &package, &refresh, Event::RefreshEnded, None).await?;
        tx.wake(Wake::Refresh);
    }
    Ok(RefreshCancelled { package: id, was_pending })
}

/// Lets `event` happen to every target of the package that is not being removed; returns how many.
pub(crate) async fn tell_targets(
    tx: &mut Tx,
    at: &Circumstances,
    package: &Package,
    refresh: &Refresh,
    event: Event,
    why: Option<Why>,
) -> Result<u32, DatabaseError> {
    tx.tell_targets(&Context::new(package, refresh, at.site, at.now), event, why).await
}
