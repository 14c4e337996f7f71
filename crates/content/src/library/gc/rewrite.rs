//! Writing anew what is left of thin packs, in the order of the newest versions. Chunks of packs that would
//! be smaller compressed are compressed on the way.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use restock_names::Digest;

use super::super::live::Live;
use super::super::{Inner, Library, LibraryError, Role, io_error};
use super::{CollectError, CollectOptions, Collected, Tally};
use crate::manifest::{EntryKind, Manifest};
use crate::pack::{Encoding, Marks, OpenPack, PACK_BYTES_MAX, Record, SealedPack, compress, decode_frame};
use crate::plan::{ALIGNED_FILE_BYTES_MIN, ALIGNMENT};

/// A pack of which less than half is referred to, or whose chunks shrink.
pub(super) struct Thin {
    pub(super) pack: Arc<SealedPack>,
    pub(super) marks: Arc<Marks>,
    pub(super) kept_bytes: u64,
    pub(super) gone: Tally,
    /// A sample of its raw chunks was smaller compressed.
    pub(super) shrinks: bool,
}

/// Writes the frames of as many packs anew as the limit allows, the thinnest first. Returns the packs
/// that are of no more use; the others may be referred to again.
pub(super) fn rewrite(
    library: &Library,
    mut thin: Vec<Thin>,
    options: &CollectOptions,
    collected: &mut Collected,
    step: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Vec<Arc<SealedPack>>, CollectError> {
    thin.sort_by_key(|thin| thin.kept_bytes.saturating_mul(1_000) / thin.pack.header.data_bytes.max(1));
    let mut room = options.rewrite_bytes_max;
    let mut chosen = BTreeMap::new();
    for thin in thin {
        if thin.kept_bytes > room {
            thin.pack.keep_only(None);
            collected.frames_left += thin.gone.gone_frames;
            collected.bytes_left += thin.gone.gone_bytes;
            continue;
        }
        room -= thin.kept_bytes;
        chosen.insert(thin.pack.header.sequence, thin);
    }
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let mut mover = Mover {
        inner: &library.inner,
        moved: chosen.iter().map(|(sequence, t)| (*sequence, Marks::new(t.pack.header.records))).collect(),
        chosen,
        packs: Vec::new(),
        bytes: 0,
        compressed: 0,
        buffer: Vec::new(),
        step,
    };
    match mover.move_all(library) {
        Ok(()) => {
            let Mover { chosen, packs, bytes, compressed, .. } = mover;
            library.inner.seal(&Live::default(), packs)?;
            let (mut gone, mut before) = (Vec::new(), 0_u64);
            for thin in chosen.into_values() {
                // A frame that turned out to be damaged stays where it is, with its pack.
                if library.inner.has_damage(thin.pack.header.sequence) {
                    thin.pack.keep_only(None);
                    continue;
                }
                collected.packs_rewritten += 1;
                collected.frames_deleted += thin.gone.gone_frames;
                before += thin.pack.header.data_bytes;
                gone.push(thin.pack);
            }
            collected.bytes_freed += before.saturating_sub(bytes);
            collected.bytes_rewritten += bytes;
            collected.chunks_compressed += compressed;
            Ok(gone)
        }
        Err(error) => {
            mover.packs.iter().for_each(|pack| library.inner.give_up(&Live::default(), pack));
            Err(error)
        }
    }
}

struct Mover<'a> {
    inner: &'a Inner,
    chosen: BTreeMap<u64, Thin>,
    moved: BTreeMap<u64, Marks>,
    packs: Vec<Arc<OpenPack>>,
    bytes: u64,
    /// Chunks that were raw and are not any more.
    compressed: u64,
    buffer: Vec<u8>,
    step: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl Mover<'_> {
    fn move_all(&mut self, library: &Library) -> Result<(), CollectError> {
        // What is served comes first and in its order, so that a file is one run again.
        for package in library.packages() {
            let Some(active) = library.active(&package) else { continue };
            let manifest = Manifest::new(library, active.root);
            for entry in manifest.entries() {
                let entry = entry.map_err(LibraryError::from)?;
                let EntryKind::File { size, .. } = entry.kind else { continue };
                let alignment = match self.inner.role {
                    Role::DistributionPoint if size >= ALIGNED_FILE_BYTES_MIN => ALIGNMENT,
                    Role::DistributionPoint | Role::Site => 1,
                };
                for (at, run) in manifest.runs(&entry).enumerate() {
                    let (_, run) = run.map_err(LibraryError::from)?;
                    self.move_found(&run.digest, if at == 0 { alignment } else { 1 })?;
                }
            }
        }
        // Then the rest: pages, and what only older versions have.
        let rest: Vec<(u64, Arc<SealedPack>)> =
            self.chosen.iter().map(|(sequence, thin)| (*sequence, Arc::clone(&thin.pack))).collect();
        for (sequence, pack) in rest {
            for (index, record) in (0..).zip(pack.records()) {
                let record = record.map_err(|source| read_failed(&pack, source))?;
                let is_kept = self.chosen.get(&sequence).is_some_and(|thin| thin.marks.get(index));
                if let (true, Ok(record)) = (is_kept, record) {
                    self.move_frame(&pack, index, &record, 1)?;
                }
            }
        }
        Ok(())
    }

    fn move_found(&mut self, digest: &Digest, alignment: u64) -> Result<(), CollectError> {
        if let Some((pack, index, record)) = self.inner.find_sealed(digest, |_, _| true)?
            && self.chosen.get(&pack.header.sequence).is_some_and(|thin| thin.marks.get(index))
        {
            self.move_frame(&pack, index, &record, alignment)?;
        }
        Ok(())
    }

    /// Writes a frame anew after checking it: as it is stored, or compressed if that is to be tried.
    fn move_frame(
        &mut self,
        pack: &SealedPack,
        index: u64,
        record: &Record,
        alignment: u64,
    ) -> Result<(), CollectError> {
        let is_first = self.moved.get(&pack.header.sequence).is_some_and(|moved| moved.set(index));
        if !is_first {
            return Ok(());
        }
        let stored = pack.read(record).map_err(|source| read_failed(pack, source))?;
        let raw = decode_frame(record.encoding, &stored, record.raw_length).ok();
        let Some(raw) = raw.filter(|raw| record.kind.digest(raw) == record.digest) else {
            self.inner.note_damage(pack, &record.digest);
            return Ok(());
        };
        let is_tried = record.encoding == Encoding::Raw
            && self.chosen.get(&pack.header.sequence).is_some_and(|thin| thin.shrinks);
        let mut buffer = std::mem::take(&mut self.buffer);
        let (encoding, bytes) = match is_tried.then(|| compress(&raw, &mut buffer)) {
            Some(Encoding::Zstd) => {
                self.compressed += 1;
                (Encoding::Zstd, buffer.as_slice())
            }
            Some(Encoding::Raw) | None => (record.encoding, stored.as_slice()),
        };
        let (target, offset) = self.allot(bytes.len() as u64, alignment)?;
        let (stored_length, sequence) = (bytes.len() as u32, target.sequence);
        let fail = |step| move |source| LibraryError::Seal { sequence, step, source };
        target.write(bytes, offset).map_err(fail("write to"))?;
        let record = Record { offset, encoding, stored_length, ..*record };
        target.record(&[record], false).map_err(fail("record in"))?;
        self.buffer = buffer;
        self.bytes += u64::from(stored_length);
        match (self.step)(stored_length.into()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(CollectError::Stopped),
        }
    }

    fn allot(&mut self, length: u64, alignment: u64) -> Result<(Arc<OpenPack>, u64), LibraryError> {
        if let Some(pack) = self.packs.last()
            && let Some(offset) = pack.allot(length, alignment, PACK_BYTES_MAX)
        {
            return Ok((Arc::clone(pack), offset));
        }
        let folder = self.inner.packs_folder();
        let pack = OpenPack::create(&*self.inner.files, &folder, self.inner.next_sequence(), self.inner.id.0)
            .map_err(io_error("create a pack in", &folder))?;
        let pack = Arc::new(pack);
        self.packs.push(Arc::clone(&pack));
        let offset = pack.allot(length, alignment, PACK_BYTES_MAX);
        Ok((pack, offset.expect("an empty pack takes any length")))
    }
}

fn read_failed(pack: &SealedPack, source: std::io::Error) -> LibraryError {
    LibraryError::Io { step: "read pack", path: pack.stem.clone().into(), source }
}
