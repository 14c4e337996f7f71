//! What a round starts from: the manifest made before, read alongside the walk.

use restock_names::compare_paths;

use super::cache::{CacheReader, Record};
use crate::library::Library;
use crate::manifest::{Entries, Entry, Manifest, ManifestRoot};

/// What a round starts from: a manifest in the library and what was remembered with it.
#[derive(Default)]
pub(super) struct Base {
    pub(super) root: Option<ManifestRoot>,
    pub(super) cache: Option<CacheReader>,
    /// True when it was made in an earlier round of the same scan.
    pub(super) is_draft: bool,
}

/// The base manifest's entries with their records, read alongside the walk.
pub(super) struct BaseStream<'m> {
    entries: Option<Entries<'m>>,
    cache: Option<CacheReader>,
    pub(super) is_draft: bool,
    next: Option<(Entry, Option<Record>)>,
}

impl<'m> BaseStream<'m> {
    pub(super) fn new(library: &'m Library, base: Base) -> Self {
        let entries = base.root.map(|root| Manifest::new(library, root).entries());
        let mut stream = Self { entries, cache: base.cache, is_draft: base.is_draft, next: None };
        stream.advance();
        stream
    }

    fn advance(&mut self) {
        let entry = match self.entries.as_mut().and_then(Iterator::next) {
            Some(Ok(entry)) => entry,
            None => return self.next = None,
            Some(Err(error)) => {
                // Everything can be read from the source again.
                tracing::warn!(error = &error as &dyn std::error::Error, "base manifest is not used further");
                self.entries = None;
                return self.next = None;
            }
        };
        let record = self.cache.as_mut().and_then(CacheReader::next);
        self.next = Some((entry, record));
    }

    /// The base's entry at `path`; entries before it are gone from the source and added to
    /// `removed`.
    pub(super) fn at(&mut self, path: &[u8], removed: &mut u64) -> Option<(Entry, Option<Record>)> {
        loop {
            match compare_paths(self.next.as_ref()?.0.path.as_bytes(), path) {
                std::cmp::Ordering::Less => *removed += 1,
                std::cmp::Ordering::Equal => {
                    let found = self.next.take();
                    self.advance();
                    return found;
                }
                std::cmp::Ordering::Greater => return None,
            }
            self.advance();
        }
    }

    /// How many entries are left.
    pub(super) fn skip_rest(&mut self) -> u64 {
        let mut count = 0;
        while self.next.is_some() {
            count += 1;
            self.advance();
        }
        count
    }
}
