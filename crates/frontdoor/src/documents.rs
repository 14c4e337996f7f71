//! Documents that say the same as long as the process runs.

use bytes::Bytes;
use restock_cim::{Name, Schema};
use restock_wire::odata::{empty_metadata, entity_sets, metadata};

/// They are made once, at start.
#[derive(Debug)]
pub(crate) struct Documents {
    /// `wmi/$metadata`
    pub(crate) metadata: Bytes,
    /// `v1.0/$metadata`
    pub(crate) empty: Bytes,
    /// What `wmi/` lists.
    pub(crate) sets: Vec<Name>,
}

impl Documents {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self { metadata: metadata(schema).into(), empty: empty_metadata().into(), sets: entity_sets(schema) }
    }
}
