//! Published content versions: the root of each manifest and what it cost to make.

use restock_names::{ContentVersion, Digest, PackageId, SourceVersion, Timestamp};

use crate::tx::{Row, Value, bind};
use crate::{DatabaseError, Tx};

/// A published version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Which version of which package.
    pub content: ContentVersion,
    /// Digest of the manifest's root page.
    pub root: Digest,
    /// Length of the root page in bytes.
    pub root_length: u32,
    /// Pages of the manifest.
    pub pages: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// Chunk references.
    pub chunks: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files alone.
    pub files: u64,
    /// Bytes read from the source for it.
    pub bytes_read: u64,
    /// Chunks that were not in the library before.
    pub chunks_new: u64,
    /// Their bytes before compression.
    pub bytes_new: u64,
    /// When it became the stored version.
    pub published_at: Timestamp,
    /// From the start of the run to then.
    pub duration_ms: u64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT package_id, epoch, version, root, root_length, pages, entries, chunks, bytes, files,
                bytes_read, chunks_new, bytes_new, published_at, duration_ms FROM versions ",
            $rest
        )
    };
}

pub(crate) fn version(row: &Row) -> Result<Version, DatabaseError> {
    Ok(Version {
        content: row.content_version()?,
        root: row.digest("root")?,
        root_length: row.u32("root_length")?,
        pages: row.u64("pages")?,
        entries: row.u64("entries")?,
        chunks: row.u64("chunks")?,
        bytes: row.u64("bytes")?,
        files: row.u64("files")?,
        bytes_read: row.u64("bytes_read")?,
        chunks_new: row.u64("chunks_new")?,
        bytes_new: row.u64("bytes_new")?,
        published_at: row.time("published_at")?,
        duration_ms: row.u64("duration_ms")?,
    })
}

/// What is bound to a version's columns, in the order of the table.
pub(crate) fn values(v: &Version) -> Vec<Value> {
    bind![
        v.content.package,
        v.content.epoch,
        v.content.version,
        v.root,
        v.root_length,
        v.pages,
        v.entries,
        v.chunks,
        v.bytes,
        v.files,
        v.bytes_read,
        v.chunks_new,
        v.bytes_new,
        v.published_at,
        v.duration_ms
    ]
}

impl Tx {
    /// Adds a version.
    pub async fn insert_version(&mut self, v: &Version) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO versions (package_id, epoch, version, root, root_length, pages, entries, chunks, bytes,
                 files, bytes_read, chunks_new, bytes_new, published_at, duration_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            values(v),
        )
        .await
        .map(|_| ())
    }

    /// A version by number, in the highest epoch that has it.
    pub async fn version(
        &mut self,
        id: PackageId,
        number: SourceVersion,
    ) -> Result<Option<Version>, DatabaseError> {
        let row = self
            .row(
                select!("WHERE package_id = $1 AND version = $2 ORDER BY epoch DESC LIMIT 1"),
                bind![id, number],
            )
            .await?;
        row.as_ref().map(version).transpose()
    }

    /// The newest version.
    pub async fn newest_version(&mut self, id: PackageId) -> Result<Option<Version>, DatabaseError> {
        let row = self
            .row(select!("WHERE package_id = $1 ORDER BY epoch DESC, version DESC LIMIT 1"), bind![id])
            .await?;
        row.as_ref().map(version).transpose()
    }

    /// The newest `limit` versions, newest first.
    pub async fn versions(&mut self, id: PackageId, limit: u32) -> Result<Vec<Version>, DatabaseError> {
        self.rows(
            select!("WHERE package_id = $1 ORDER BY epoch DESC, version DESC LIMIT $2"),
            bind![id, limit],
        )
        .await?
        .iter()
        .map(version)
        .collect()
    }

    /// Entries and bytes of each package's stored version.
    pub async fn stored_totals(&mut self) -> Result<Vec<(PackageId, u64, u64)>, DatabaseError> {
        self.rows(
            "SELECT v.package_id, v.entries, v.bytes FROM versions v JOIN packages p
             ON p.package_id = v.package_id AND p.stored_version = v.version AND p.epoch = v.epoch",
            bind![],
        )
        .await?
        .iter()
        .map(|row| Ok((row.parse("package_id")?, row.u64("entries")?, row.u64("bytes")?)))
        .collect()
    }
}
