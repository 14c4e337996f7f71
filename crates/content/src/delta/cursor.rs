//! Reading the bytes of a base that prefixes name, one prefix after the other.
//!
//! Prefixes of chunks that follow each other overlap: what the last ones took is remembered, so each
//! object of the base is looked up, decoded and checked about once.

use std::collections::VecDeque;

use restock_names::Digest;

use super::{DeltaError, Prefix};
use crate::library::Library;
use crate::manifest::ManifestRoot;
use crate::transfer::{Item, ItemKind, Range, SendError, Sender};

/// Bytes of objects kept, apart from those of the prefix at hand.
const KEPT_BYTES_MAX: usize = 2 << 20;
/// Digests kept: what the prefixes of a few chunks have.
const FOUND_MAX: usize = 256;

/// A place in a base version, moved on by each prefix that is read.
pub struct DeltaCursor<'a> {
    library: &'a Library,
    sender: Sender<'a>,
    found: VecDeque<(Item, Digest)>,
    objects: VecDeque<(Digest, Vec<u8>)>,
    objects_bytes: usize,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for DeltaCursor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaCursor").finish_non_exhaustive()
    }
}

impl<'a> DeltaCursor<'a> {
    /// A cursor over the version with this root, complete in `library`.
    pub(super) fn new(library: &'a Library, base: ManifestRoot) -> Self {
        Self {
            library,
            sender: Sender::new(library, base),
            found: VecDeque::new(),
            objects: VecDeque::new(),
            objects_bytes: 0,
            bytes: Vec::new(),
        }
    }

    /// The bytes of the base that `prefix` names.
    ///
    /// Errors: [`DeltaError::Base`] when they cannot be read here, [`DeltaError::Range`] when the base
    /// has fewer.
    pub(super) fn prefix(&mut self, kind: ItemKind, prefix: &Prefix) -> Result<&[u8], DeltaError> {
        let (skip, end) = (prefix.skip as usize, prefix.skip as usize + prefix.length as usize);
        self.bytes.clear();
        let mut at = 0;
        for ordinal in prefix.first..prefix.first.saturating_add(prefix.count.into()) {
            // Only what was promised: many long pages would be a great many bytes.
            if at >= end {
                break;
            }
            let digest = self.digest(Item { kind, ordinal })?;
            let index = self.object(digest)?;
            let object = &self.objects[index].1;
            let (from, to) = (skip.saturating_sub(at).min(object.len()), (end - at).min(object.len()));
            self.bytes.extend_from_slice(object.get(from..to).unwrap_or_default());
            at += object.len();
        }
        if at < end {
            return Err(DeltaError::Range { what: "length", value: prefix.length.into() });
        }
        Ok(&self.bytes)
    }

    fn digest(&mut self, item: Item) -> Result<Digest, DeltaError> {
        if let Some((_, digest)) = self.found.iter().rev().find(|(of, _)| *of == item) {
            return Ok(*digest);
        }
        let range = Range { kind: item.kind, first: item.ordinal, count: 1 };
        let object = self.sender.resolve(&range).next();
        let object = object.ok_or(DeltaError::Range { what: "first", value: item.ordinal })?;
        let digest = object
            .map_err(|error| match error {
                SendError::Range(_) => DeltaError::Range { what: "first", value: item.ordinal },
                SendError::Manifest(error) => DeltaError::Base(error.to_string()),
            })?
            .digest;
        if self.found.len() == FOUND_MAX {
            self.found.pop_front();
        }
        self.found.push_back((item, digest));
        Ok(digest)
    }

    /// Where an object lies among those kept, read if need be.
    fn object(&mut self, digest: Digest) -> Result<usize, DeltaError> {
        if let Some(index) = self.objects.iter().rposition(|(of, _)| *of == digest) {
            return Ok(index);
        }
        let object = self.library.read(&digest).map_err(|error| DeltaError::Base(error.to_string()))?;
        while self.objects_bytes + object.len() > KEPT_BYTES_MAX
            && let Some((_, gone)) = self.objects.pop_front()
        {
            self.objects_bytes -= gone.len();
        }
        self.objects_bytes += object.len();
        self.objects.push_back((digest, object));
        Ok(self.objects.len() - 1)
    }
}
