//! Walking the chain.

use std::fmt;
use std::str::FromStr;

use restock_names::Digest;
use restock_sitedb::audit::Record;
use restock_sitedb::{Database, DatabaseError};
use serde::{Deserialize, Serialize};

use super::hash;

/// Records read at once.
const PAGE: u32 = 1_000;

/// The end of the chain at some moment: what must still be there later. Shown as `SEQUENCE:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last record's number.
    pub sequence: u64,
    /// Its hash.
    pub hash: Digest,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (sequence, hash) = text.trim().split_once(':')?;
            Some(Self { sequence: sequence.parse().ok()?, hash: hash.parse().ok()? })
        };
        parse().ok_or_else(|| "a head is SEQUENCE:HASH, as audit verify prints it".to_owned())
    }
}

/// A chain that is as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Records in it.
    pub records: u64,
    /// Its end; `None` for an empty chain.
    pub head: Option<Head>,
}

/// The first record that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Its number.
    pub sequence: u64,
    /// What is wrong.
    pub why: &'static str,
}

/// Why the chain could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is broken.
    #[error("AUDIT_BROKEN: record {} {}", .0.sequence, .0.why)]
    Broken(Bad),
    /// The database could not be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The end of the chain; `None` when it is empty.
pub async fn head(database: &Database) -> Result<Option<Head>, DatabaseError> {
    let head = database.read("audit_head", |tx| Box::pin(tx.audit_head())).await?;
    Ok(head.map(|(sequence, hash)| Head { sequence, hash }))
}

/// True when the record that `head` names is there with its hash.
pub async fn holds(database: &Database, head: Head) -> Result<bool, DatabaseError> {
    let found = page(database, head.sequence.saturating_sub(1), 1).await?;
    Ok(found.first().is_some_and(|record| (record.sequence, record.hash) == (head.sequence, head.hash)))
}

/// Walks the whole chain. Each of `known`, heads that were kept elsewhere, must be part of it.
///
/// Limits: holds 1,000 records at a time. Errors: [`VerifyError::Broken`] names the first record
/// that was edited, removed, or cut off with all after it.
pub async fn verify(database: &Database, known: &[Head]) -> Result<Verified, VerifyError> {
    let mut chain = Chain { at: Head { sequence: 0, hash: Digest::ZERO }, known };
    loop {
        let page = match page(database, chain.at.sequence, PAGE).await {
            // A value that is not what its column holds: found again one by one.
            Err(DatabaseError::Value { .. }) => match page(database, chain.at.sequence, 1).await {
                Err(DatabaseError::Value { .. }) => {
                    return Err(bad(chain.at.sequence + 1, "holds a value that was never written"));
                }
                other => other?,
            },
            other => other?,
        };
        if page.is_empty() {
            return chain.end();
        }
        for record in &page {
            chain.follow(record)?;
        }
    }
}

/// The records after number `after`, oldest first, at most 1,000; none when there are no more.
pub async fn records(database: &Database, after: u64) -> Result<Vec<Record>, DatabaseError> {
    page(database, after, PAGE).await
}

async fn page(database: &Database, after: u64, limit: u32) -> Result<Vec<Record>, DatabaseError> {
    database.read("audit_records", move |tx| Box::pin(tx.audit_records(after, limit))).await
}

fn bad(sequence: u64, why: &'static str) -> VerifyError {
    VerifyError::Broken(Bad { sequence, why })
}

struct Chain<'a> {
    at: Head,
    known: &'a [Head],
}

impl Chain<'_> {
    fn follow(&mut self, record: &Record) -> Result<(), VerifyError> {
        let expected = self.at.sequence + 1;
        if record.sequence != expected {
            return Err(bad(expected, "was removed"));
        }
        if hash(self.at.hash, record) != record.hash {
            return Err(bad(expected, "was edited, or the one before it was"));
        }
        if self.known.iter().any(|head| head.sequence == expected && head.hash != record.hash) {
            return Err(bad(
                expected,
                "is another than the head that was kept: it or one before it was replaced",
            ));
        }
        self.at = Head { sequence: expected, hash: record.hash };
        Ok(())
    }

    fn end(&self) -> Result<Verified, VerifyError> {
        if self.known.iter().any(|head| head.sequence > self.at.sequence) {
            return Err(bad(self.at.sequence + 1, "is missing: the end was cut off"));
        }
        let head = Some(self.at).filter(|head| head.sequence > 0);
        Ok(Verified { records: self.at.sequence, head })
    }
}
