//! What sites share: objects, each with the state that stands, exchanged with the neighbours.
//!
//! An object is named by a [`Kind`] and a key. Its body is what rows of this database say about it;
//! the functions that change those rows `Tx::touch` it, and before the commit `flush` writes the
//! bodies that changed, with a stamp, to the table `replicas`. `exchange` sends what a neighbour
//! lacks, `arrival` takes what it sends: `merge` says which of two states stands, and the file of a kind
//! under `kinds` carries out what an object says.
//!
//! A site without links writes no replicas.
//!
//! What it does not do: it opens no connection and knows no signature; [`StatementCheck`] is the
//! caller's. Source: docs/formats/replicas.md.

mod arrival;
mod exchange;
mod flush;
pub(crate) mod kinds;
mod merge;
mod object;

use restock_names::{ContentVersion, Digest, SiteCode, Timestamp};
use serde_json::Value;

use crate::hierarchy::SiteRow;
use crate::{Tx, Why};

pub(crate) use object::Object;
pub use object::{Kind, OBJECT_BYTES_MAX};

/// What this site tells a neighbour when they meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// This site's database.
    pub incarnation: String,
    /// The neighbour's database, in whose numbers `received` counts; empty when there was none.
    pub received_incarnation: String,
    /// The neighbour's changes up to this number are applied here.
    pub received: u64,
    /// The number of this site's last change.
    pub last: u64,
}

/// Changes to send, in rising order.
#[derive(Debug, Clone, PartialEq)]
pub struct NextChanges {
    /// Every change up to this number is among `changes` or does not concern the neighbour.
    pub through: u64,
    /// Number and object of each.
    pub changes: Vec<(u64, Value)>,
}

/// Changes of a neighbour, to be applied in one transaction.
pub struct Incoming<'a> {
    /// The neighbour.
    pub peer: SiteCode,
    /// Its database.
    pub incarnation: &'a str,
    /// They follow the number before this one.
    pub first: u64,
    /// What is applied with them.
    pub last: u64,
    /// The objects.
    pub objects: Vec<Value>,
    /// Who checks signatures.
    pub check: &'a dyn StatementCheck,
    /// When they arrived.
    pub now: Timestamp,
}

impl std::fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("peer", &self.peer)
            .field("first", &self.first)
            .field("last", &self.last)
            .field("objects", &self.objects.len())
            .finish_non_exhaustive()
    }
}

/// What became of changes of a neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppliedChanges {
    /// Objects that are not in force here: each was logged and raised as a status message.
    pub refused: Vec<RefusedObject>,
    /// Objects that said nothing that was not known.
    pub replayed: u64,
    /// Objects that refer to something that has not arrived; they are taken when it has.
    pub waiting: u64,
    /// A key list or a root key of a site is another: what checks signatures is to be told.
    pub key_lists_changed: bool,
    /// Changes between those received and these are missing. Nothing was applied; the connection is
    /// to begin anew.
    pub is_gap: bool,
}

/// An object that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedObject {
    /// Its kind, as it came; at most 80 bytes.
    pub kind: String,
    /// Its key, as it came; at most 200 bytes.
    pub key: String,
    /// The reason.
    pub why: Why,
}

/// What a neighbour still has to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Objects.
    pub objects: u64,
    /// When the oldest of them was written, if that is known.
    pub oldest_at: Option<Timestamp>,
}

/// Checks the statements of versions that neighbours announce.
pub trait StatementCheck: Send + Sync {
    /// What `statement` says, if a key of `signer` signed it. `signer` is the site's row in this
    /// transaction: its key list may have arrived together with the statement.
    ///
    /// Errors: why it is not acceptable, as it is shown to people.
    fn check(&self, signer: &SiteRow, statement: &[u8]) -> Result<CheckedVersion, Why>;
}

/// What a statement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedVersion {
    /// Package, epoch and version.
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
}

/// What the rows of this database say about an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// Its body: a JSON object with every field of the kind.
    Body(Value),
    /// It is no more.
    Gone,
    /// It is another site's to write.
    Others,
}

/// What became of an object whose state is to stand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Taken {
    /// The rows of this database say the same.
    Done,
    /// It was taken, and the rows say more: that is told in turn.
    Outdone,
    /// It refers to this, which is not here.
    WaitsFor(Kind, String),
    /// It is not acceptable; nothing was changed.
    Refused(Why),
}

/// Who may write an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Every site.
    Any,
    /// This one.
    Site(SiteCode),
    /// It is told by this, which is not here.
    WaitsFor(Kind, String),
}

/// Where an object comes from.
pub(crate) struct Arrival<'a> {
    /// This site.
    pub(crate) own: SiteCode,
    /// The neighbour that sent it.
    pub(crate) peer: SiteCode,
    /// Who checks signatures.
    pub(crate) check: &'a dyn StatementCheck,
    /// When it arrived.
    pub(crate) now: Timestamp,
}

/// Reads any bytes as an object: for fuzzing.
///
/// Panics only when an object that was read would not be read as the same again.
pub fn fuzz_one(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    if let Ok(object) = Object::decode(&value) {
        let again = Object::decode(&object.encode());
        assert_eq!(again.as_ref(), Ok(&object), "an object that was read is written as it was");
    }
}

impl Tx {
    /// Notes that rows behind an object may have changed. Costs nothing but the note where there is
    /// no link.
    pub(crate) fn touch(&mut self, kind: Kind, key: impl Into<String>) {
        self.touched.insert((kind, key.into()));
    }
}
