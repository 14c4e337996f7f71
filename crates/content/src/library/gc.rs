//! Cleaning: what no statement refers to is hidden, waited for, and deleted.
//!
//! [`Library::collect`] marks what the statements refer to and hides the rest: from then on nothing new
//! refers to it, while those who read it go on. When everybody who held the library before has let go
//! ([`Collection::waits_for`]), [`Collection::finish`] marks again what was stored meanwhile, deletes
//! the packs of which nothing is left and writes anew those of which less than half is, in the order
//! of the newest versions. A site writes anew, too, packs of raw chunks that would be smaller compressed. A collection that is dropped before changes nothing.
//!
//! It decides nothing about versions: a statement that is there is a root ([`Library::trim`] removes
//! them). It never asks a database. Packs in which damage was found stay as evidence.
//!
//! Source: docs/formats/library.md, "Cleaning".

mod mark;
mod rewrite;
mod shrink;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use restock_names::{ContentVersion, Digest, PackageId, Timestamp};

use super::{Inner, Library, LibraryError, io_error};
use crate::pack::{Marks, SealedPack};
use mark::Marked;

/// How cleaning is done.
#[derive(Debug, Clone, Copy)]
pub struct CollectOptions {
    /// Wall time.
    pub now: Timestamp,
    /// Packs sealed more recently are left alone: what an interrupted fetch stored is found again. A pack
    /// that is dated later than `now` counts as old.
    pub grace: Duration,
    /// Stored bytes that may be written anew.
    pub rewrite_bytes_max: u64,
}

impl CollectOptions {
    /// The usual grace of one hour, and no rewriting.
    pub fn new(now: Timestamp) -> Self {
        Self { now, grace: Duration::from_secs(60 * 60), rewrite_bytes_max: 0 }
    }
}

/// Why cleaning is not done. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// It is under way already.
    #[error("CLEAN_BUSY: the library is being cleaned already")]
    Busy,
    /// What a version refers to cannot be known, so it might be deleted.
    #[error("CLEAN_REFUSED: {version} cannot be read whole: page {page}")]
    Unreadable { version: ContentVersion, page: Digest, source: LibraryError },
    /// Somebody who began before still reads or builds.
    #[error("CLEAN_WAITS: {0} downloads or drafts that began before have not ended")]
    Waits(u64),
    /// The caller stopped it.
    #[error("CANCELLED: cleaning was stopped")]
    Stopped,
    /// The library failed.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// What cleaning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Packs deleted, those written anew included.
    pub packs_deleted: u64,
    /// Packs whose remaining frames were written anew.
    pub packs_rewritten: u64,
    /// Frames that are gone.
    pub frames_deleted: u64,
    /// Bytes of data files deleted, less those written anew.
    pub bytes_freed: u64,
    /// Stored bytes written anew.
    pub bytes_rewritten: u64,
    /// Chunks that were stored raw and are compressed now.
    pub chunks_compressed: u64,
    /// Frames that nothing refers to in packs that stay.
    pub frames_left: u64,
    /// Their stored bytes.
    pub bytes_left: u64,
}

/// A cleaning that has hidden what it will delete.
#[derive(Debug)]
pub struct Collection {
    inner: Arc<Inner>,
    options: CollectOptions,
    marked: Marked,
    /// Packs from which frames may be deleted.
    candidates: Vec<(Arc<SealedPack>, Arc<Marks>)>,
    generation: u64,
}

impl Library {
    /// Removes the statements of a package that its history does not keep: those older than the newest
    /// `keep` up to the active version. Versions above the active one stay, and everything of a package
    /// that has none. Returns what was removed.
    pub fn trim(&self, package: &PackageId, keep: usize) -> Result<Vec<ContentVersion>, LibraryError> {
        let Some(active) = self.active(package) else { return Ok(Vec::new()) };
        let mut older: Vec<ContentVersion> =
            self.statements(package)?.into_iter().map(|statement| statement.version).collect();
        older.retain(|version| *version <= active.version);
        older.sort_unstable();
        older.truncate(older.len().saturating_sub(keep.max(1)));
        older.retain(|version| *version != active.version);
        for version in &older {
            self.remove_statement(version)?;
        }
        Ok(older)
    }

    /// Marks what the statements refer to and hides the rest.
    ///
    /// Cost: reads every manifest page once. Memory: a bit for each frame. Errors: [`CollectError`];
    /// nothing is hidden then.
    pub fn collect(
        &self,
        options: CollectOptions,
        mut step: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Collection, CollectError> {
        let inner = &self.inner;
        if inner.is_collecting.swap(true, Ordering::AcqRel) {
            return Err(CollectError::Busy);
        }
        let mut collection = Collection {
            inner: Arc::clone(inner),
            options,
            marked: Marked::default(),
            candidates: Vec::new(),
            generation: 0,
        };
        // Before anything is marked: what is sealed later is left alone.
        let packs = inner.sealed();
        packs.iter().for_each(|pack| collection.marked.admit(pack));
        collection.marked.mark(self, &mut step)?;
        for pack in packs {
            if collection.is_candidate(&pack)
                && let Some(marks) = collection.marked.of(&pack)
            {
                collection.candidates.push((pack, marks));
            }
        }
        if inner.files.hides_and_waits() {
            for (pack, marks) in &collection.candidates {
                pack.keep_only(Some(Arc::clone(marks)));
            }
        }
        collection.generation = inner.holds.begin_generation();
        Ok(collection)
    }
}

impl Collection {
    /// Holds that were taken before it began.
    pub fn waits_for(&self) -> u64 {
        if self.inner.files.hides_and_waits() { self.inner.holds.until(self.generation) } else { 0 }
    }

    /// Marks again, deletes and writes anew. `step` hears of the bytes written anew and can stop that.
    ///
    /// A crash at any point leaves garbage at most. Errors: [`CollectError::Waits`] when it is too early.
    pub fn finish(mut self, mut step: impl FnMut(u64) -> ControlFlow<()>) -> Result<Collected, CollectError> {
        match self.waits_for() {
            0 => {}
            waiting => return Err(CollectError::Waits(waiting)),
        }
        let library = Library { inner: Arc::clone(&self.inner) };
        self.marked.mark(&library, &mut || step(0))?;
        let mut collected = Collected::default();
        let (mut gone, mut thin) = (Vec::new(), Vec::new());
        for (pack, marks) in std::mem::take(&mut self.candidates) {
            let Some(tally) = self.tally(&pack, &marks)? else {
                pack.keep_only(None);
                continue;
            };
            if tally.kept_frames == 0 {
                collected.frames_deleted += pack.header.records;
                collected.bytes_freed += pack.header.data_bytes;
                gone.push(pack);
                continue;
            }
            let is_thin = tally.kept_bytes < pack.header.data_bytes / 2 && tally.gone_frames > 0;
            // A pack that cannot be read is the scrub's matter.
            let shrinks = self.inner.shrinks(&pack).unwrap_or_else(|error| {
                tracing::error!(%error, pack = pack.stem, "a pack cannot be read to be compressed");
                false
            });
            if is_thin || shrinks {
                let kept_bytes = tally.kept_bytes;
                thin.push(rewrite::Thin { pack, marks, kept_bytes, gone: tally, shrinks });
            } else {
                collected.frames_left += tally.gone_frames;
                collected.bytes_left += tally.gone_bytes;
                // What stays may be referred to again.
                pack.keep_only(None);
            }
        }
        let rewritten = rewrite::rewrite(&library, thin, &self.options, &mut collected, &mut step)?;
        gone.extend(rewritten);
        collected.packs_deleted = gone.len() as u64;
        self.inner.delete(&gone)?;
        Ok(collected)
    }

    fn is_candidate(&self, pack: &SealedPack) -> bool {
        let (now, sealed) = (self.options.now, pack.sealed_at());
        let is_old = sealed > now || now.since(sealed) >= self.options.grace;
        is_old && !self.inner.has_damage(pack.header.sequence)
    }

    /// What is kept and what is gone of a pack; `None` when the pack must stay as it is.
    fn tally(&self, pack: &Arc<SealedPack>, marks: &Marks) -> Result<Option<Tally>, LibraryError> {
        let mut tally = Tally::default();
        if self.inner.has_damage(pack.header.sequence) {
            return Ok(None);
        }
        for (index, record) in (0..).zip(pack.records()) {
            let Ok(Ok(record)) = record else {
                tracing::error!(pack = pack.stem, "a table record is damaged; the pack stays as evidence");
                return Ok(None);
            };
            let stored = u64::from(record.stored_length);
            // The copy that is read in place of this one must be right before this one goes.
            if !marks.get(index) && self.inner.is_needed_copy(pack, &record.digest)? {
                marks.set(index);
            }
            if marks.get(index) {
                tally.kept_frames += 1;
                tally.kept_bytes += stored;
            } else {
                tally.gone_frames += 1;
                tally.gone_bytes += stored;
            }
        }
        Ok(Some(tally))
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        for pack in self.inner.sealed() {
            pack.keep_only(None);
        }
        self.inner.is_collecting.store(false, Ordering::Release);
    }
}

/// Frames of one pack, and their stored bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    kept_frames: u64,
    kept_bytes: u64,
    gone_frames: u64,
    gone_bytes: u64,
}

impl Inner {
    /// True when a frame of the pack was found damaged.
    pub(super) fn has_damage(&self, sequence: u64) -> bool {
        let damaged = self.damaged.lock().expect("no code panics while holding this lock");
        let is_known = damaged.iter().any(|(of, _)| *of == sequence);
        drop(damaged);
        is_known || self.lock_health().damage.keys().any(|(of, _)| *of == sequence)
    }

    /// Takes a pack out whose files are gone; false when it is out already.
    pub(super) fn drop_pack(&self, pack: &Arc<SealedPack>) -> bool {
        let mut packs = self.lock_packs_to_change();
        let before = packs.all().len();
        packs.retain(|other| !Arc::ptr_eq(other, pack));
        packs.all().len() < before
    }

    /// True when another pack's copy is read in place of that in `pack`, and turns out to be wrong.
    fn is_needed_copy(&self, pack: &SealedPack, digest: &Digest) -> Result<bool, LibraryError> {
        let other = self.find_sealed(digest, |other, _| other.header.sequence != pack.header.sequence)?;
        // A frame that is in no other pack and not marked here is one that nothing refers to.
        Ok(other.is_some() && self.read(digest).is_ok() && self.is_damaged_elsewhere(pack, digest))
    }

    fn is_damaged_elsewhere(&self, pack: &SealedPack, digest: &Digest) -> bool {
        let damaged = self.damaged.lock().expect("no code panics while holding this lock");
        damaged.iter().any(|(of, known)| *of != pack.header.sequence && known == digest)
    }

    /// Deletes packs. Tables go first and durably: data without a table is removed at the next start.
    fn delete(&self, packs: &[Arc<SealedPack>]) -> Result<(), LibraryError> {
        if packs.is_empty() {
            return Ok(());
        }
        let is_gone = |pack: &Arc<SealedPack>| packs.iter().any(|gone| Arc::ptr_eq(pack, gone));
        self.lock_packs_to_change().retain(|pack| !is_gone(pack));
        let folder = self.packs_folder();
        for end in ["table", "data"] {
            for pack in packs {
                let path = folder.join(format!("{}.{end}", pack.stem));
                self.files.remove(&path).map_err(io_error("remove", &path))?;
            }
            self.files.sync_folder(&folder).map_err(io_error("sync", &folder))?;
        }
        Ok(())
    }
}
