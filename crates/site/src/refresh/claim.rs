//! Taking the lease of a package whose refresh is due, and what a run knows from then on.

use std::time::Duration;

use restock_names::Timestamp;
use restock_sitedb::package::{Options, Package};
use restock_sitedb::source_root::SourceRoot;
use restock_sitedb::version::Version;
use restock_sitedb::{DatabaseError, Tx, Why, message};

use crate::source;

/// A run whose lease this process holds.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) package: Package,
    pub(super) options: Options,
    /// What the snapshot warned of; empty until it is taken.
    pub(crate) warnings: Vec<Why>,
    pub(crate) run: u64,
    /// The newest request the run covers.
    pub(crate) covers: u64,
    pub(crate) started_at: Timestamp,
    pub(super) base: Option<Version>,
    pub(super) roots: Vec<SourceRoot>,
    /// Why the account that set the source path may not have it read; none when it may.
    pub(super) not_within_scope: Option<Why>,
}

/// Takes the lease of a package whose refresh is due, if there is one.
pub(super) async fn claim(
    tx: &mut Tx,
    owner: &str,
    lease: Duration,
    now: Timestamp,
) -> Result<Option<Claim>, DatabaseError> {
    let Some(id) = tx.refresh_due(now).await? else { return Ok(None) };
    let (Some(package), Some(mut refresh)) = (tx.package(id).await?, tx.refresh(id).await?) else {
        return Ok(None);
    };
    // Only the owner reads the source.
    if tx.own_code().await? != package.source_site {
        return Ok(None);
    }
    let Some(run) = refresh.claim(owner, now, lease) else { return Ok(None) };
    tx.update_refresh(id, &refresh).await?;
    tx.raise(&message::processing(id, &package.name), now).await?;
    let roots = tx.source_roots().await?;
    let not_within_scope = not_within_scope(tx, &package, &roots).await?;
    Ok(Some(Claim {
        run,
        covers: refresh.started,
        started_at: now,
        base: tx.newest_version(id).await?,
        roots,
        not_within_scope,
        options: tx.package_options(id).await?,
        warnings: Vec::new(),
        package,
    }))
}

/// Why the account that set the source path may not have it read: it is gone or disabled, or has no
/// role within a scope of the root any more. Nothing for a path under no root, or set at the site.
pub(super) async fn not_within_scope(
    tx: &mut Tx,
    package: &Package,
    roots: &[SourceRoot],
) -> Result<Option<Why>, DatabaseError> {
    let Some(root) = source::root_of(&package.source_path, roots) else { return Ok(None) };
    let Some(account) = tx.source_set_by(package.id).await? else { return Ok(None) };
    if tx.account_reaches_root(account, root).await? {
        return Ok(None);
    }
    let text = format!(
        "the account that set the source path has no role with Modify on packages within a scope of source {} ({})",
        root.name,
        root.scopes.join(", ")
    );
    let fix = format!("restock package set {} --source PATH, or give the account such a role", package.id);
    Ok(Some(Why::new("SOURCE_SCOPE", text).with_fix(fix)))
}
