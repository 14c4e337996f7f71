//! Files that were found a moment ago: what a path of a version is, and where its bytes lie.
//!
//! Versions never change, so nothing on the shelf is ever wrong; it is only forgotten. Where bytes
//! lie is asked again of the library at each use, since packs come and go.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use restock_content::library::{Extent, ExtentRef};
use restock_content::manifest::{Entry, EntryKind, FileChunks};
use restock_names::{Digest, EntryPath};

const SHARDS: usize = 8;
/// Bytes of one generation of a shard; two are kept, so that all take about 32 MiB at most.
const GENERATION_BYTES: usize = 2 << 20;
/// A file in more ranges than this is looked up again each time.
pub(crate) const RUNS_MAX: usize = 512;

/// A file of a version.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its entry; always a file.
    pub(crate) entry: Entry,
    pub(crate) size: u64,
    /// The digest of its bytes.
    pub(crate) digest: Digest,
    /// Where all of its bytes lie, in order, when that was found once.
    runs: RwLock<Option<Arc<[ExtentRef]>>>,
}

impl Found {
    pub(crate) fn new(entry: Entry, size: u64, digest: Digest) -> Self {
        Self { entry, size, digest, runs: RwLock::default() }
    }

    /// Its modification time in whole seconds.
    pub(crate) fn modified_s(&self) -> i64 {
        self.entry.mtime_ns.div_euclid(1_000_000_000)
    }

    /// Remembers where its bytes lie: `runs` are all of them in order.
    pub(crate) fn remember(&self, runs: &[Extent]) {
        let runs = runs.iter().map(Extent::reference).collect();
        *self.runs.write().unwrap_or_else(PoisonError::into_inner) = Some(runs);
    }

    /// The ranges that hold bytes `start..end`, when they are known and still right.
    ///
    /// Cost: one look at a file for each range.
    pub(crate) fn extents(&self, start: u64, end: u64) -> Option<Vec<Extent>> {
        let runs = Arc::clone(self.runs.read().unwrap_or_else(PoisonError::into_inner).as_ref()?);
        let mut found = Vec::new();
        let mut at = 0;
        for run in &*runs {
            let (from, to) = (at, at + run.length());
            at = to;
            if to > start && from < end {
                found.push(run.get()?.part(start.saturating_sub(from), end - from));
            }
        }
        Some(found)
    }

    /// About how much memory it takes.
    fn weight(&self) -> usize {
        let runs = match &self.entry.kind {
            EntryKind::File { chunks: FileChunks::Inline(runs), .. } => runs.len(),
            _ => 0,
        };
        // Where its bytes lie takes up to as much again as the list of its chunks.
        512 + self.entry.path.as_bytes().len() + 100 * runs
    }
}

/// The files found last.
#[derive(Debug)]
pub(crate) struct Shelf {
    shards: Vec<Mutex<Shard>>,
}

type Key = (Digest, EntryPath);

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Key, Arc<Found>>,
    old: HashMap<Key, Arc<Found>>,
    young_bytes: usize,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Shelf {
    /// The file at `key`: the root of a version and a path as it was asked for.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Found>> {
        let mut shard = self.shard(key);
        if let Some(found) = shard.young.get(key) {
            return Some(Arc::clone(found));
        }
        let (key, found) = shard.old.remove_entry(key)?;
        shard.keep(key, Arc::clone(&found));
        Some(found)
    }

    /// Keeps a file until others take its place.
    pub(crate) fn put(&self, key: Key, found: Arc<Found>) {
        self.shard(&key).keep(key, found);
    }

    fn shard(&self, key: &Key) -> std::sync::MutexGuard<'_, Shard> {
        let mut hasher = DefaultHasher::new();
        key.1.as_bytes().hash(&mut hasher);
        let shard = &self.shards[hasher.finish() as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn keep(&mut self, key: Key, found: Arc<Found>) {
        let weight = found.weight() + key.1.as_bytes().len();
        if self.young_bytes + weight > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += weight;
        self.young.insert(key, found);
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, GENERATION_BYTES, SHARDS, Shelf};
    use restock_content::manifest::{Entry, EntryKind, FileChunks};
    use restock_names::{Digest, EntryPath};
    use std::sync::Arc;

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let shelf = Shelf::default();
        let path = |n: usize| EntryPath::new(format!("folder/{n}")).expect("valid");
        let found = |n: usize| {
            let kind = EntryKind::File { size: 0, chunks: FileChunks::Inline(Vec::new()) };
            let entry = Entry { path: path(n), mode: 0o644, mtime_ns: -1, kind };
            Arc::new(Found::new(entry, 0, Digest([0; 32])))
        };
        let root = Digest([1; 32]);
        for n in 0..100_000 {
            shelf.put((root, path(n)), found(n));
            assert!(shelf.get(&(root, path(0))).is_some(), "it is asked for all the time");
        }
        assert!(shelf.get(&(root, path(1))).is_none());
        assert!(shelf.get(&(Digest([2; 32]), path(0))).is_none(), "of another version");
        let count: usize = shelf.shards.iter().map(|s| s.lock().expect("free").young.len()).sum();
        assert!(count <= SHARDS * GENERATION_BYTES / 512, "{count}");
        assert_eq!(found(1).modified_s(), -1, "rounded down");
    }
}
