//! The sending holder's half: delta frames of one version against one base, made once and kept.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::cursor::DeltaCursor;
use super::{DeltaFrame, DeltaMap, frame};
use crate::library::{Library, LibraryError};
use crate::manifest::{ManifestError, ManifestRoot};
use crate::transfer::{Item, Outgoing};

/// Frames kept for other receivers of the same version, in bytes.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// Makes delta frames of one version against one base. Many connections share one.
#[derive(Debug)]
pub struct DeltaSender {
    map: DeltaMap,
    base: ManifestRoot,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    frames: HashMap<Item, Option<Arc<[u8]>>>,
    order: VecDeque<Item>,
    bytes: usize,
}

impl DeltaSender {
    /// Compares two versions that `library` holds.
    ///
    /// Errors: a manifest page that cannot be read.
    pub fn new(library: &Library, wanted: &ManifestRoot, base: &ManifestRoot) -> Result<Self, ManifestError> {
        Ok(Self { map: DeltaMap::new(library, wanted, base)?, base: *base, kept: Mutex::default() })
    }

    /// A cursor over the base, one for each connection.
    pub fn cursor<'a>(&self, library: &'a Library) -> DeltaCursor<'a> {
        DeltaCursor::new(library, self.base)
    }

    /// True when the object has a place in the base: then [`Self::frame`] may have a frame of it.
    pub fn has_prefix(&self, library: &Library, item: Item) -> bool {
        self.map.prefix(library, item).is_some()
    }

    /// The body of a delta frame for the object; `None` when it has no prefix or is not smaller than the
    /// `stored_bytes` it is sent in otherwise.
    ///
    /// Errors: the object or its prefix cannot be read here.
    pub fn frame(
        &self,
        library: &Library,
        cursor: &mut DeltaCursor<'_>,
        outgoing: &Outgoing,
        stored_bytes: usize,
    ) -> Result<Option<Arc<[u8]>>, LibraryError> {
        let Some(prefix) = self.map.prefix(library, outgoing.item) else { return Ok(None) };
        if let Some(kept) = self.kept().frames.get(&outgoing.item) {
            return Ok(kept.clone());
        }
        // A base that cannot be read here is no reason to send nothing.
        let Ok(base) = cursor.prefix(outgoing.item.kind, &prefix) else { return Ok(None) };
        let raw = library.read(&outgoing.digest)?;
        // It must be worth the work of the receiver: an eighth at least.
        let limit = stored_bytes - stored_bytes / 8;
        let made: Option<Arc<[u8]>> = frame::compress(base, &raw, limit)
            .map(|compressed| {
                let (item, raw_length) = (outgoing.item, outgoing.length);
                DeltaFrame { item, raw_length, prefix, compressed: &compressed }.encode().into()
            })
            .filter(|frame: &Arc<[u8]>| frame.len() < stored_bytes);
        self.kept().keep(outgoing.item, made.clone());
        Ok(made)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // What is kept is whole at every moment: a panic elsewhere changes nothing about it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, item: Item, frame: Option<Arc<[u8]>>) {
        /// What an entry costs beside its bytes.
        const ENTRY_BYTES: usize = 96;
        let cost = |frame: &Option<Arc<[u8]>>| ENTRY_BYTES + frame.as_ref().map_or(0, |frame| frame.len());
        self.bytes += cost(&frame);
        if let Some(before) = self.frames.insert(item, frame) {
            self.bytes -= cost(&before);
        } else {
            self.order.push_back(item);
        }
        while self.bytes > KEPT_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            if let Some(gone) = self.frames.remove(&oldest) {
                self.bytes -= cost(&gone);
            }
        }
    }
}
