//! The audit trail: append-only rows, each with the hash of itself and the one before.
//!
//! [`Record`] is one row. What is hashed, and how, is decided by `restock-provider`; rows are added
//! and read here, and nothing changes or removes one. Source: docs/formats/audit.md.

mod state;

use restock_names::{Digest, PackageId, Timestamp};

pub use state::Subject;

use crate::message::{ATTRIBUTE_PACKAGE, ATTRIBUTE_USER, Severity};
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// One row of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// 1 for the first, one more for each.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who: a logon name.
    pub account: String,
    /// From where.
    pub address: String,
    /// Through which door.
    pub door: String,
    /// `PutInstance`, `DeleteInstance`, `ExecMethod`, or an operation of `restock admin`.
    pub operation: String,
    /// On what.
    pub path: String,
    /// Which method, or empty.
    pub method: String,
    /// With what, as JSON without secrets.
    pub parameters: String,
    /// The package it is about.
    pub package: Option<String>,
    /// 0, or the error code of the refusal.
    pub result: u32,
    /// What joins it with lines of the logs.
    pub correlation: String,
    /// Digest of the object before.
    pub before: Option<Digest>,
    /// Digest of the object afterwards.
    pub after: Option<Digest>,
    /// The hash of this record and the one before.
    pub hash: Digest,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, at, account, address, door, operation, path, method, parameters, package_id, result,
                correlation, before_digest, after_digest, hash FROM audit_records ",
            $rest
        )
    };
}

fn record(row: &Row) -> Result<Record, DatabaseError> {
    Ok(Record {
        sequence: row.u64("sequence")?,
        at: row.time("at")?,
        account: row.text("account")?,
        address: row.text("address")?,
        door: row.text("door")?,
        operation: row.text("operation")?,
        path: row.text("path")?,
        method: row.text("method")?,
        parameters: row.text("parameters")?,
        package: row.text_or_none("package_id")?,
        result: row.u32("result")?,
        correlation: row.text("correlation")?,
        before: row.digest_or_none("before_digest")?,
        after: row.digest_or_none("after_digest")?,
        hash: row.digest("hash")?,
    })
}

impl Tx {
    /// Sequence number and hash of the last record; `None` when there is none.
    pub async fn audit_head(&mut self) -> Result<Option<(u64, Digest)>, DatabaseError> {
        let row = self
            .row("SELECT sequence, hash FROM audit_records ORDER BY sequence DESC LIMIT 1", bind![])
            .await?;
        row.map(|row| Ok((row.u64("sequence")?, row.digest("hash")?))).transpose()
    }

    /// Adds a record, whose sequence number follows that of the head.
    pub async fn append_audit_record(&mut self, r: &Record) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO audit_records (sequence, at, account, address, door, operation, path, method, parameters,
                 package_id, result, correlation, before_digest, after_digest, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            bind![
                r.sequence,
                r.at,
                &r.account,
                &r.address,
                &r.door,
                &r.operation,
                &r.path,
                &r.method,
                &r.parameters,
                r.package.clone(),
                r.result,
                &r.correlation,
                r.before,
                r.after,
                r.hash
            ],
        )
        .await
        .map(|_| ())
    }

    /// Records after `after`, oldest first, at most `limit`.
    pub async fn audit_records(&mut self, after: u64, limit: u32) -> Result<Vec<Record>, DatabaseError> {
        self.rows(select!("WHERE sequence > $1 ORDER BY sequence LIMIT $2"), bind![after, limit])
            .await?
            .iter()
            .map(record)
            .collect()
    }
}

/// The status message of an audit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditMessage {
    /// Its number, 30000-30999.
    pub id: u32,
    /// How bad it is.
    pub severity: Severity,
    /// The package it is about.
    pub package: Option<PackageId>,
    /// Who: attribute 403.
    pub user: String,
    /// Account, path, operation or method, address, door, result, correlation, site.
    pub strings: [String; 8],
}

/// `SMS_StatusMessage.MessageType` of audit messages.
const MESSAGE_TYPE: u32 = 768;
/// The component that says it.
const COMPONENT: &str = "SMS Provider";

impl Tx {
    /// Keeps the status message of an audit record.
    pub async fn raise_audit_message(
        &mut self,
        message: &AuditMessage,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let row = self
            .row(
                "INSERT INTO status_messages (message_id, severity, message_type, component, time, package_id, site)
                 VALUES ($1, $2, $3, $4, $5, $6, COALESCE((SELECT s.site_code FROM site s), '')) RETURNING record",
                bind![message.id, message.severity.number(), MESSAGE_TYPE, COMPONENT, now, message.package],
            )
            .await?;
        let record = row.map_or(Ok(0), |row| row.i64("record"))?;
        let [s1, s2, s3, s4, s5, s6, s7, s8] = &message.strings;
        self.execute(
            "INSERT INTO status_message_strings (record, position, value)
             VALUES ($1, 1, $2), ($1, 2, $3), ($1, 3, $4), ($1, 4, $5), ($1, 5, $6), ($1, 6, $7), ($1, 7, $8),
                 ($1, 8, $9)",
            bind![record, s1, s2, s3, s4, s5, s6, s7, s8],
        )
        .await?;
        self.execute(
            "INSERT INTO status_message_attributes (record, attribute, value) VALUES ($1, $2, $3)",
            bind![record, ATTRIBUTE_USER, &message.user],
        )
        .await?;
        if let Some(package) = message.package {
            self.execute(
                "INSERT INTO status_message_attributes (record, attribute, value) VALUES ($1, $2, $3)",
                bind![record, ATTRIBUTE_PACKAGE, package],
            )
            .await?;
        }
        Ok(())
    }
}
