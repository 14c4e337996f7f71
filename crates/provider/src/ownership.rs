//! Which site owns a package: moving it, adopting an orphan, and what needs an owner.
//!
//! The owner alone reads the source and makes versions. No file moves with the ownership and no
//! version is made; a run that reads the source at the old owner ends without one.
//!
//! What it does not do: it asks for no rights, and not whether the owner's machine can reach the
//! source; the next refresh says so.

use restock_names::{PackageId, SiteCode};
use restock_sitedb::Tx;
use restock_sitedb::hierarchy::{STATUS_DELETED, SiteRow, SiteType};
use restock_sitedb::package::Package;

use crate::OperationError;
use crate::packages::known;
use crate::perform::Circumstances;
use crate::rows::OwnerChanged;

/// Makes the site `to` the owner; the package it owns already stays as it is.
///
/// Errors: `NOT_FOUND` for a package that is being deleted, `SITE_UNKNOWN`, `SITE_TYPE`.
pub(crate) async fn set_source_site(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
    to: SiteCode,
) -> Result<OwnerChanged, OperationError> {
    let (package, _) = known(tx, id).await?;
    let before = package.source_site;
    if before != to {
        let site = active(tx, to).await?;
        if site.site_type == SiteType::Secondary {
            let message = format!("site {to} is a secondary site, which owns no packages");
            let hint = match site.parent {
                Some(parent) => format!("restock package set-source-site {id} {parent}"),
                None => "restock site tree".to_owned(),
            };
            return Err(OperationError::refused("SITE_TYPE", message).hint(hint));
        }
        tx.set_source_site(id, to, at.now).await?;
    }
    Ok(OwnerChanged { package: id, source_site: to, before })
}

/// The same for a command at the site itself, which then answers for the source path it reads.
pub(crate) async fn set_here(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
    to: SiteCode,
) -> Result<OwnerChanged, OperationError> {
    let changed = set_source_site(tx, at, id, to).await?;
    if changed.before != to && to == at.site {
        tx.source_set_here(id).await?;
    }
    Ok(changed)
}

/// Makes this site the owner of a package whose owner is gone, for a command at the site itself.
///
/// Errors: as [`set_source_site`]; `INVALID_OPERATION` when another site owns it, which must be named.
pub(crate) async fn adopt_here(
    tx: &mut Tx,
    at: &Circumstances,
    id: PackageId,
) -> Result<OwnerChanged, OperationError> {
    let (package, _) = known(tx, id).await?;
    if package.source_site != at.site && !tx.is_orphaned(&package).await? {
        let message = format!("package {id} is no orphan: site {} owns it", package.source_site);
        let hint = format!("restock package set-source-site {id} {}", at.site);
        return Err(OperationError::refused("INVALID_OPERATION", message).hint(hint));
    }
    set_here(tx, at, id, at.site).await
}

/// Refuses what an owner must do for a package that has none.
///
/// Errors: `ORPHANED`, with the remedy.
pub(crate) async fn require_owner(tx: &mut Tx, package: &Package) -> Result<(), OperationError> {
    if !tx.is_orphaned(package).await? {
        return Ok(());
    }
    let message = format!(
        "package {} belongs to site {}, which is no longer part of the hierarchy: no site reads its source",
        package.id, package.source_site
    );
    let hint = format!("Unlock, or restock package adopt {}, makes this site its owner", package.id);
    Err(OperationError::refused("ORPHANED", message).hint(hint))
}

/// Refuses to make a package at a site that owns none.
///
/// Errors: `SITE_TYPE`.
pub(crate) async fn require_ownership_here(tx: &mut Tx, at: &Circumstances) -> Result<(), OperationError> {
    let own = tx.site_row(at.site).await?;
    let Some(SiteRow { site_type: SiteType::Secondary, parent, .. }) = own else { return Ok(()) };
    let message = format!("site {} is a secondary site, which owns no packages", at.site);
    let above = parent.map_or_else(|| "the site above".to_owned(), |parent| format!("site {parent}"));
    Err(OperationError::refused("SITE_TYPE", message).hint(format!("create the package at {above}")))
}

async fn active(tx: &mut Tx, code: SiteCode) -> Result<SiteRow, OperationError> {
    let site = tx.site_row(code).await?;
    site.filter(|site| site.status != STATUS_DELETED).ok_or_else(|| {
        OperationError::not_found("SITE_UNKNOWN", format!("no site {code} is part of this hierarchy"))
            .hint("restock site tree")
    })
}
