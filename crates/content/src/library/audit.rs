//! Reading everything again: one version, or the whole library.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use restock_names::{ContentVersion, Digest};

use super::{Inner, Library, LibraryError};
use crate::manifest::{Manifest, ManifestRoot, Visit};
use crate::pack::{Record, SealedPack, decode_frame};

/// What is wrong with one version, by ordinal.
///
/// A damaged page hides what lies beneath it: repair the pages, then audit again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Page ordinals that are missing or damaged.
    pub pages: Vec<u64>,
    /// Chunk ordinals (of first occurrences) that are missing or damaged.
    pub chunks: Vec<u64>,
    /// Objects that were read.
    pub frames_read: u64,
    /// Their raw bytes.
    pub bytes_read: u64,
}

impl Audit {
    /// True when every object of the version is there and right.
    pub fn is_clean(&self) -> bool {
        self.pages.is_empty() && self.chunks.is_empty()
    }
}

/// A frame that does not have its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFrame {
    /// The pack it lies in.
    pub pack: String,
    /// What it should be; `None` when the record itself is damaged.
    pub digest: Option<Digest>,
    /// True when another pack holds a right copy, which is what is read.
    pub is_replaced: bool,
}

/// What a check of the whole library found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Packs read.
    pub packs: u64,
    /// Frames read.
    pub frames: u64,
    /// Stored bytes read.
    pub bytes: u64,
    /// Frames that do not have their digest.
    pub damaged: Vec<DamagedFrame>,
    /// Versions of which an object is missing or damaged in every copy.
    pub incomplete: Vec<ContentVersion>,
    /// Frames that the index did not find, or elsewhere than they are. It is given up then and made anew.
    pub index_wrong: u64,
}

impl Library {
    /// Reads and hashes every object of a version. `step` hears of the bytes of each and can stop
    /// the audit.
    ///
    /// Memory: the digests of the version's distinct chunks.
    pub fn audit(
        &self,
        root: &ManifestRoot,
        mut step: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Audit, LibraryError> {
        self.forget_checks();
        let mut audit = Audit::default();
        let mut seen = HashSet::new();
        Manifest::new(self, *root).visit(&mut |item| {
            let (digest, ordinal, is_page) = match item {
                Visit::Page { digest, ordinal } => (digest, ordinal, true),
                Visit::Chunk { digest, ordinal } if seen.insert(digest) => (digest, ordinal, false),
                Visit::Chunk { .. } => return ControlFlow::Continue(true),
            };
            let result = if is_page {
                self.inner.read_page(&digest).map(|p| p.len())
            } else {
                self.read(&digest).map(|c| c.len())
            };
            match result {
                Ok(length) => {
                    audit.frames_read += 1;
                    audit.bytes_read += length as u64;
                    match step(length as u64) {
                        ControlFlow::Continue(()) => ControlFlow::Continue(true),
                        ControlFlow::Break(()) => ControlFlow::Break(()),
                    }
                }
                Err(_) => {
                    if is_page {
                        audit.pages.push(ordinal)
                    } else {
                        audit.chunks.push(ordinal)
                    }
                    ControlFlow::Continue(false)
                }
            }
        });
        Ok(audit)
    }

    /// Reads and hashes every frame of every sealed pack, then asks of each version whether all its
    /// objects can be had. Works beside everything else. `step` hears of the stored bytes of each
    /// frame and can stop the check, which then tells what it found until there, and of no version.
    pub fn check(&self, mut step: impl FnMut(u64) -> ControlFlow<()>) -> Result<CheckReport, LibraryError> {
        let mut report = CheckReport::default();
        for pack in self.inner.sealed() {
            report.packs += 1;
            for record in pack.records() {
                let damaged = |digest| DamagedFrame { pack: pack.stem.clone(), digest, is_replaced: false };
                let record = match record {
                    Ok(Ok(record)) => record,
                    Ok(Err(_)) | Err(_) => {
                        report.damaged.push(damaged(None));
                        continue;
                    }
                };
                report.frames += 1;
                report.index_wrong += u64::from(!self.inner.is_found(&pack, &record)?);
                report.bytes += u64::from(record.stored_length);
                let is_right = pack.read(&record).is_ok_and(|stored| {
                    decode_frame(record.encoding, &stored, record.raw_length)
                        .is_ok_and(|raw| record.kind.digest(&raw) == record.digest)
                });
                if !is_right {
                    report.damaged.push(damaged(Some(record.digest)));
                }
                if step(u64::from(record.stored_length)).is_break() {
                    return Ok(report);
                }
            }
        }
        if report.index_wrong > 0 {
            self.inner.distrust_index();
        }
        for frame in &mut report.damaged {
            frame.is_replaced = frame.digest.is_some_and(|digest| self.read(&digest).is_ok());
        }
        let damaged: HashSet<Digest> = report.damaged.iter().filter_map(|frame| frame.digest).collect();
        for package in self.inner.packages_with_statements()? {
            for statement in self.statements(&package)? {
                if !self.has_all(&statement.root, &damaged)? {
                    report.incomplete.push(statement.version);
                }
            }
        }
        Ok(report)
    }

    /// True when every object of the version is in a pack whose copy is not among the `damaged` ones.
    fn has_all(&self, root: &ManifestRoot, damaged: &HashSet<Digest>) -> Result<bool, LibraryError> {
        let mut is_whole = true;
        let mut failure = None;
        Manifest::new(self, *root).visit(&mut |item| {
            let (Visit::Page { digest, .. } | Visit::Chunk { digest, .. }) = item;
            // A damaged copy may be outlived by a right one: reading finds out.
            let held =
                if damaged.contains(&digest) { Ok(self.read(&digest).is_ok()) } else { self.holds(&digest) };
            match held {
                Ok(held) => {
                    is_whole &= held;
                    ControlFlow::Continue(held)
                }
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        failure.map_or(Ok(is_whole), Err)
    }
}

impl Inner {
    /// Does looking the frame up lead to this record, or to a newer copy?
    fn is_found(&self, pack: &Arc<SealedPack>, record: &Record) -> Result<bool, LibraryError> {
        let newest = self.find_newest(&record.digest)?;
        let is_right = newest.is_some_and(|(found, _, place)| {
            let (sequence, of) = (found.header.sequence, pack.header.sequence);
            sequence > of || sequence == of && place == *record
        });
        // Cleaning may have taken it away meanwhile.
        Ok(is_right || !self.lock_packs().all().iter().any(|other| Arc::ptr_eq(other, pack)))
    }
}
