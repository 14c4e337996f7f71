//! What a site answers about accounts and its audit trail.

use std::path::Path;

use restock_names::{Digest, Timestamp};
use restock_provider::Caller;
use restock_provider::audit::{self, Head, Record, Verified, VerifyError};
use restock_sitedb::Database;
use serde::{Deserialize, Serialize};

use super::listener::Events;
use super::site_desk::value;
use crate::failure::{Failure, Kind};
use crate::running::audit_head;

/// Records in one event of an export.
const RECORDS_PER_EVENT: usize = 200;

/// Somebody at the control socket: `user` is the account of the machine.
pub(super) fn caller(user: &str, request_id: Option<String>) -> Caller {
    let account = format!(r"local\{user}");
    Caller { account, request_id, ..Caller::local(audit::correlation_id()) }
}

/// One record of an export.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecordLine {
    pub(crate) sequence: u64,
    /// Microseconds since 1970 in UTC.
    pub(crate) at: Timestamp,
    pub(crate) account: String,
    pub(crate) address: String,
    pub(crate) door: String,
    pub(crate) operation: String,
    pub(crate) path: String,
    pub(crate) method: String,
    /// JSON as text: it is hashed as it stands.
    pub(crate) parameters: String,
    pub(crate) package: Option<String>,
    pub(crate) result: u32,
    pub(crate) correlation: String,
    pub(crate) before: Option<Digest>,
    pub(crate) after: Option<Digest>,
    pub(crate) previous: Digest,
    pub(crate) hash: Digest,
}

fn line(previous: Digest, record: Record) -> RecordLine {
    RecordLine {
        sequence: record.sequence,
        at: record.at,
        account: record.account,
        address: record.address,
        door: record.door,
        operation: record.operation,
        path: record.path,
        method: record.method,
        parameters: record.parameters,
        package: record.package,
        result: record.result,
        correlation: record.correlation,
        before: record.before,
        after: record.after,
        previous,
        hash: record.hash,
    }
}

/// Walks the audit trail; it must hold the head kept in the data folder and all of `known`.
pub(super) async fn verify(database: &Database, data: &Path, known: Vec<Head>) -> Result<Verified, Failure> {
    let mut known = known;
    known.extend(audit_head::read(data)?);
    audit::verify(database, &known).await.map_err(|error| match error {
        VerifyError::Broken(_) => Failure::failed(error.to_string())
            .hint("a copy of the database from before, and restock audit export of both"),
        VerifyError::Database(error) => Failure::caused(Kind::Failed, "reading the audit trail", &error),
    })
}

/// Sends every record, oldest first; the answer is their number.
pub(super) async fn export(database: &Database, events: Events) -> Result<u64, Failure> {
    let (mut after, mut previous) = (0, Digest::ZERO);
    loop {
        let records = audit::records(database, after).await;
        let records =
            records.map_err(|error| Failure::caused(Kind::Failed, "reading the audit trail", &error))?;
        if records.is_empty() {
            return Ok(after);
        }
        let mut lines = Vec::with_capacity(records.len());
        for record in records {
            let (sequence, hash) = (record.sequence, record.hash);
            lines.push(line(previous, record));
            (after, previous) = (sequence, hash);
        }
        for page in lines.chunks(RECORDS_PER_EVENT) {
            if events.send(value(&page)).await.is_err() {
                return Ok(after);
            }
        }
    }
}
