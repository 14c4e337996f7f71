//! What two sites say to each other: who they are, what they have of each other, changes.
//!
//! What a change is, this crate does not know: objects are JSON values that pass through.
//!
//! Source: docs/formats/link.md, "Between sites".

use restock_names::SiteCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::{Message, hex_bytes};
use crate::{Fingerprint, LinkError, PROTOCOL, SiteUrl};

/// The longest JSON text of one object, in bytes: it must fit one frame.
pub const CHANGE_BYTES_MAX: usize = 1_000_000;

/// Numbers of changes are kept in signed 64 bits.
pub(crate) const SEQUENCE_MAX: u64 = i64::MAX as u64;

/// What a joining site adds to its enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JoiningSite {
    /// The public key that signs its key list.
    #[serde(with = "hex_bytes")]
    pub(crate) root_key: Vec<u8>,
    /// Its key list.
    #[serde(with = "hex_bytes")]
    pub(crate) key_list: Vec<u8>,
    /// SHA-256 of its authority's certificate.
    pub(crate) authority: Fingerprint,
    /// Where its own link listens.
    pub(crate) url: SiteUrl,
}

/// The first message on a control connection between sites, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteHello {
    /// The protocol spoken.
    pub protocol: u32,
    /// Who speaks.
    pub site: SiteCode,
    /// The speaker's database: another text after each restore.
    pub incarnation: String,
    /// What the speaker has of the other site's changes.
    pub received: Received,
    /// The number of the speaker's own last change: who has applied it knows all that the speaker knew.
    /// Sites of earlier releases do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
    /// The speaker's key list as encoded by `restock_content::statement::KeyList`.
    #[serde(with = "hex_bytes")]
    pub key_list: Vec<u8>,
    /// Name and version of its program.
    #[serde(default)]
    pub software: String,
    /// Of the site above: the authorities that count, as encoded by
    /// `restock_content::statement::AuthorityList`; empty while there was never another.
    #[serde(default, with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<u8>,
    /// Of the site above: its head as encoded by `restock_content::statement::Head`.
    #[serde(default, with = "hex_bytes", skip_serializing_if = "Vec::is_empty")]
    pub head: Vec<u8>,
}

/// How far one site has followed another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Received {
    /// The database whose numbers `sequence` counts in; empty when there was none.
    pub incarnation: String,
    /// The highest number applied.
    pub sequence: u64,
}

/// What a site says about itself to another one; the link adds the rest of [`SiteHello`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaFacts {
    /// This site's database: another text after each restore, at most 64 bytes.
    pub incarnation: String,
    /// What this site has of the other one's changes.
    pub received: Received,
    /// The number of this site's last change.
    pub last: Option<u64>,
}

/// One object and the number of its last change at the sending site.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The number.
    pub sequence: u64,
    /// The object, at most [`CHANGE_BYTES_MAX`] as text.
    pub object: Value,
}

/// Changes to send, in rising order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NextChanges {
    /// Every change up to this number is among `changes` or does not concern the other site.
    pub through: u64,
    /// The changes.
    pub changes: Vec<Change>,
}

/// Changes that arrived, to be applied in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The sender's database.
    pub incarnation: String,
    /// They follow the number before this one.
    pub first: u64,
    /// What is applied with them, to be stored with them and told in the next hello.
    pub last: u64,
    /// The objects.
    pub objects: Vec<Value>,
}

/// `changes` on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The number after the one that is acknowledged.
    pub first: u64,
    /// What is applied with them.
    pub last: u64,
    /// The objects.
    pub objects: Vec<Value>,
}

impl Changes {
    /// Reads the JSON text of a window as the link sends it.
    ///
    /// Errors: it is no message, or another one.
    pub fn decode(text: &[u8]) -> Result<Self, LinkError> {
        match Message::decode(text).map_err(|error| LinkError::Format(error.to_string()))? {
            Message::Changes(changes) => Ok(changes),
            _ => Err(LinkError::Unexpected("a message that is no changes")),
        }
    }
}

impl SiteHello {
    pub(crate) fn new(site: SiteCode, facts: &ReplicaFacts, key_list: Vec<u8>) -> Self {
        Self {
            protocol: PROTOCOL,
            site,
            incarnation: facts.incarnation.clone(),
            received: facts.received.clone(),
            last: facts.last,
            key_list,
            software: format!("restock {}", env!("CARGO_PKG_VERSION")),
            authorities: Vec::new(),
            head: Vec::new(),
        }
    }
}
