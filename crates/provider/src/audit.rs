//! The audit trail: who did, or was refused, what.
//!
//! `record` keeps one action in the transaction that carries it out: a row whose hash covers the
//! row before it, and a status message. [`verify`] walks the chain and names the first record that
//! is not as it was written; it also knows heads that were kept elsewhere ([`Head`]), without which
//! a cut-off end cannot be seen.
//!
//! What it does not do: it keeps no head outside the database itself (the running site does), and
//! cannot stop who writes both database and heads. Source: docs/formats/audit.md.

mod applied;
mod encode;
mod message;
mod operation;
mod parameters;
mod state;
mod verify;

use restock_cim::{Name, Value};
use restock_names::{Digest, PackageId, SiteCode, Timestamp};
use restock_sitedb::{DatabaseError, Tx};

use crate::errors::Action;
use crate::object::Caller;

pub use applied::applied;
pub use encode::hash;
pub(crate) use operation::{Subject, caller_of, result_of};
pub use restock_sitedb::audit::Record;
pub(crate) use state::digest_of;
pub use verify::{Bad, Head, Verified, VerifyError, head, holds, records, verify};

/// The longest path, address or account that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

/// What was done or refused.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) action: Action,
    /// The object, or the class for a static method and for what was refused before a key was known.
    pub(crate) path: &'a str,
    /// Empty for other actions than a method call.
    pub(crate) method: &'a str,
    /// What was sent; secrets in it are replaced.
    pub(crate) parameters: &'a [(Name, Value)],
    pub(crate) package: Option<PackageId>,
    /// 0, or the error code of the refusal.
    pub(crate) result: u32,
    /// [`digest_of`] the object before it was changed.
    pub(crate) before: Option<Digest>,
}

/// Keeps `entry` in the audit trail and raises its status message.
///
/// To be called in the transaction of the change, or in one of its own for a refusal.
pub(crate) async fn record(
    tx: &mut Tx,
    site: SiteCode,
    now: Timestamp,
    caller: &Caller,
    entry: &Entry<'_>,
) -> Result<(), DatabaseError> {
    let parameters = parameters::json(entry.parameters);
    let operation = entry.action.operation();
    keep(
        tx,
        site,
        now,
        caller,
        &Kept {
            operation,
            path: entry.path,
            method: entry.method,
            parameters,
            package: entry.package,
            result: entry.result,
            before: entry.before,
        },
    )
    .await
}

/// What is kept of an action, whichever API it came by.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) operation: &'a str,
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
    /// JSON without secrets.
    pub(crate) parameters: String,
    pub(crate) package: Option<PackageId>,
    pub(crate) result: u32,
    pub(crate) before: Option<Digest>,
}

/// Keeps an action in the audit trail and raises its status message.
pub(crate) async fn keep(
    tx: &mut Tx,
    site: SiteCode,
    now: Timestamp,
    caller: &Caller,
    kept: &Kept<'_>,
) -> Result<(), DatabaseError> {
    let after = if kept.result == 0 { digest_of(tx, kept.path).await? } else { None };
    let (sequence, previous) = tx.audit_head().await?.unwrap_or((0, Digest::ZERO));
    let mut record = Record {
        sequence: sequence + 1,
        at: now,
        account: short(&caller.account),
        address: short(&caller.address),
        door: caller.door.name().to_owned(),
        operation: kept.operation.to_owned(),
        path: short(kept.path),
        method: short(kept.method),
        parameters: kept.parameters.clone(),
        package: kept.package.map(|id| id.to_string()),
        result: kept.result,
        correlation: short(&caller.correlation),
        before: kept.before,
        after,
        hash: Digest::ZERO,
    };
    record.hash = hash(previous, &record);
    tx.append_audit_record(&record).await?;
    tx.raise_audit_message(&message::of(&record, site, kept.package), now).await
}

/// A random UUID that joins a request with its lines in logs and audit records.
pub fn correlation_id() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    // Version 4, variant 1.
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn short(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}
