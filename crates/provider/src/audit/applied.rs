//! Plans that were carried out, or refused, in the audit trail.

use restock_names::{PackageId, SiteCode, Timestamp};
use restock_sitedb::{DatabaseError, Tx};

use super::operation::{caller_of, path_of};
use super::{Kept, keep};
use crate::Call;

/// Keeps that `plan` of `package` was carried out (`result` 0) or refused, within the transaction that
/// publishes it or in one of its own.
pub async fn applied(
    tx: &mut Tx,
    site: SiteCode,
    now: Timestamp,
    call: &Call,
    package: PackageId,
    plan: &str,
    result: u32,
) -> Result<(), DatabaseError> {
    let path = path_of(package);
    let parameters = serde_json::json!({ "plan": plan }).to_string();
    let kept = Kept {
        operation: "ExecMethod",
        path: &path,
        method: "ApplyPlan",
        parameters,
        package: Some(package),
        result,
        before: None,
    };
    keep(tx, site, now, &caller_of(call), &kept).await
}
