//! The scrub: every frame is read from the disk, past the page cache, and checked, a step at a time.
//!
//! A round goes through the sealed packs in order of their sequence and of the bytes within. Then
//! [`Library::lacking`] tells what versions lack, whether it is damaged or gone. The scrub mends
//! nothing: who keeps the library does.

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;

use restock_names::{ContentVersion, Digest, Timestamp};
use rustix::fs::Advice;

use super::audit::DamagedFrame;
use super::{Library, LibraryError};
use crate::manifest::{Manifest, ManifestRoot, Visit};
use crate::pack::{Record, SealedPack, decode_frame};
use crate::transfer::{Item, ItemKind};

/// Objects that one look at the versions tells of; the next look tells the rest.
const LACKING_MAX: usize = 10_000;

/// What a step of the scrub read and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Frames read.
    pub frames: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Frames that do not have their digest. They are not served from here on.
    pub damaged: Vec<DamagedFrame>,
    /// Packs whose files are gone from the folder. Their frames count as missing from here on.
    pub packs_gone: Vec<String>,
    /// True when this step ended a round.
    pub is_round_done: bool,
}

/// An object that a version needs and that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// The version.
    pub version: ContentVersion,
    /// The page or chunk.
    pub digest: Digest,
    /// True when no pack has it; false when what packs have is damaged.
    pub is_missing: bool,
}

impl Library {
    /// Goes on with the round, or begins one at `now`: reads about `bytes_max` stored bytes. How far it
    /// came is kept durably, so that a restart goes on there.
    ///
    /// Errors: where it stands cannot be kept. A pack that cannot be read is damage, not an error.
    pub fn scrub(&self, now: Timestamp, bytes_max: u64) -> Result<Scrubbed, LibraryError> {
        let mut state = self.scrub_state();
        if state.sequence == 0 {
            state.began_at = now;
        }
        let mut scrubbed = Scrubbed::default();
        let mut packs = self.inner.sealed();
        packs.sort_by_key(|pack| pack.header.sequence);
        let first = state.sequence;
        let mut rest = packs.into_iter().filter(|pack| pack.header.sequence >= first).peekable();
        while let Some(pack) = rest.peek() {
            if scrubbed.bytes >= bytes_max {
                break;
            }
            let sequence = pack.header.sequence;
            let from = if sequence == state.sequence { state.offset } else { 0 };
            state.sequence = sequence;
            match self.scrub_pack(pack, from, bytes_max - scrubbed.bytes, &mut scrubbed) {
                Some(offset) => state.offset = offset,
                None => {
                    (state.sequence, state.offset) = (sequence + 1, 0);
                    rest.next();
                }
            }
        }
        if rest.peek().is_none() {
            (state.sequence, state.offset, state.ended_at) = (0, 0, now);
            scrubbed.is_round_done = true;
        }
        self.inner.change_health(|health, _| {
            health.scrub = state;
            true
        })?;
        if !scrubbed.damaged.is_empty() {
            self.remember_damage(now)?;
        }
        Ok(scrubbed)
    }

    /// Reads a pack from byte `from` on; the byte to go on from, `None` at its end.
    fn scrub_pack(
        &self,
        pack: &Arc<SealedPack>,
        from: u64,
        bytes_max: u64,
        scrubbed: &mut Scrubbed,
    ) -> Option<u64> {
        if pack.is_gone() {
            if self.inner.lose_pack(pack) {
                scrubbed.packs_gone.push(pack.stem.clone());
            }
            return None;
        }
        let mut records: Vec<Record> = Vec::new();
        for record in pack.records() {
            match record {
                Ok(Ok(record)) if record.offset >= from => records.push(record),
                Ok(Ok(_)) => {}
                // Told once a round, with the first step of the pack.
                Ok(Err(_)) | Err(_) if from == 0 => scrubbed.damaged.push(DamagedFrame {
                    pack: pack.stem.clone(),
                    digest: None,
                    is_replaced: false,
                }),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        records.sort_unstable_by_key(|record| record.offset);
        let mut read = 0;
        for record in records {
            if read >= bytes_max {
                scrubbed.bytes += read;
                return Some(record.offset);
            }
            read += u64::from(record.stored_length);
            scrubbed.frames += 1;
            // What is in memory says nothing about the disk.
            forget_pages(pack, &record);
            let is_right = pack.read(&record).is_ok_and(|stored| {
                decode_frame(record.encoding, &stored, record.raw_length)
                    .is_ok_and(|raw| record.kind.digest(&raw) == record.digest)
            });
            // Nor shall the scrub take the place of what readers need.
            forget_pages(pack, &record);
            if !is_right {
                self.inner.note_damage(pack, &record.digest);
                let is_replaced = self.read(&record.digest).is_ok();
                let (pack, digest) = (pack.stem.clone(), Some(record.digest));
                scrubbed.damaged.push(DamagedFrame { pack, digest, is_replaced });
            }
        }
        scrubbed.bytes += read;
        None
    }

    /// What the stored versions need and cannot be read: an object stands once, with the newest version
    /// that needs it. At most 10,000.
    ///
    /// Cost: every manifest page once, a lookup for each chunk; no chunk is read.
    pub fn lacking(&self, mut step: impl FnMut() -> ControlFlow<()>) -> Result<Vec<Lacking>, LibraryError> {
        let mut lacking: Vec<Lacking> = Vec::new();
        let mut walked: HashSet<Digest> = HashSet::new();
        let mut told: HashSet<Digest> = HashSet::new();
        for package in self.inner.packages_with_statements()? {
            for statement in self.statements(&package)?.into_iter().rev() {
                let version = statement.version;
                let mut failure = None;
                Manifest::new(self, statement.root).visit(&mut |item| {
                    if lacking.len() >= LACKING_MAX || step().is_break() {
                        return ControlFlow::Break(());
                    }
                    let (digest, is_page) = match item {
                        Visit::Page { digest, .. } => (digest, true),
                        Visit::Chunk { digest, .. } => (digest, false),
                    };
                    if is_page && !walked.insert(digest) {
                        return ControlFlow::Continue(false);
                    }
                    let is_right = match self.inner.locate_sealed(&digest) {
                        // Pages are few, and what lies beneath is found through them.
                        Ok(Some(_)) => !is_page || self.inner.read_page(&digest).is_ok(),
                        Ok(None) => false,
                        Err(error) => {
                            failure = Some(error);
                            return ControlFlow::Break(());
                        }
                    };
                    if !is_right && told.insert(digest) {
                        let is_missing = !self.inner.is_damaged_anywhere(&digest);
                        lacking.push(Lacking { version, digest, is_missing });
                    }
                    ControlFlow::Continue(is_right)
                });
                if let Some(error) = failure {
                    return Err(error);
                }
            }
        }
        Ok(lacking)
    }
}

impl Library {
    /// What of a version cannot be read, by ordinal, at most 10,000. Missing pages come alone: they hide what
    /// lies beneath.
    ///
    /// Cost: every manifest page, a lookup for each chunk; no chunk is read.
    pub fn lacking_items(&self, root: &ManifestRoot) -> Result<Vec<Item>, LibraryError> {
        let (mut pages, mut chunks) = (Vec::new(), Vec::new());
        let mut seen: HashSet<Digest> = HashSet::new();
        let mut failure = None;
        Manifest::new(self, *root).visit(&mut |item| {
            if pages.len() + chunks.len() >= LACKING_MAX {
                return ControlFlow::Break(());
            }
            let (digest, ordinal, kind) = match item {
                Visit::Page { digest, ordinal } => (digest, ordinal, ItemKind::Page),
                Visit::Chunk { digest, ordinal } => (digest, ordinal, ItemKind::Chunk),
            };
            let is_right = match self.inner.locate_sealed(&digest) {
                Ok(Some(_)) => kind == ItemKind::Chunk || self.inner.read_page(&digest).is_ok(),
                Ok(None) => false,
                Err(error) => {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            };
            if !is_right && seen.insert(digest) {
                let to = if kind == ItemKind::Page { &mut pages } else { &mut chunks };
                to.push(Item { kind, ordinal });
            }
            ControlFlow::Continue(is_right)
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(if pages.is_empty() { chunks } else { pages }),
        }
    }

    /// True when every object of a version is in a sealed pack and not known to be damaged.
    ///
    /// Cost: every manifest page, a lookup for each chunk.
    pub fn holds_all(&self, root: &ManifestRoot) -> Result<bool, LibraryError> {
        let mut is_whole = true;
        let mut failure = None;
        Manifest::new(self, *root).visit(&mut |item| {
            let (digest, is_page) = match item {
                Visit::Page { digest, .. } => (digest, true),
                Visit::Chunk { digest, .. } => (digest, false),
            };
            match self.inner.locate_sealed(&digest) {
                Ok(found) => {
                    is_whole &= found.is_some() && (!is_page || self.inner.read_page(&digest).is_ok())
                }
                Err(error) => failure = Some(error),
            }
            if is_whole && failure.is_none() { ControlFlow::Continue(true) } else { ControlFlow::Break(()) }
        });
        failure.map_or(Ok(is_whole), Err)
    }
}

fn forget_pages(pack: &SealedPack, record: &Record) {
    let length = NonZeroU64::new(u64::from(record.stored_length));
    // Best effort: a page that somebody sends at this moment stays.
    if let Ok(data) = pack.data() {
        let _ignored = rustix::fs::fadvise(&*data, record.offset, length, Advice::DontNeed);
    }
}

#[cfg(test)]
mod tests;
