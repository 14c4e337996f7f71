//! Storing new frames in appending packs: what a snapshot and the page walk of a receiver use.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use restock_names::Digest;

use super::hold::Hold;
use super::live::Live;
use super::{Inner, Library, LibraryError, Role, io_error};
use crate::pack::{Encoding, FrameKind, OpenPack, PACK_BYTES_MAX, Record, SealedPack, compress};

/// What storing a frame did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// False when the library or this writer had it already.
    pub is_new: bool,
    /// Bytes written; 0 when it was not new.
    pub stored_bytes: u32,
    /// True when the frame was compressed, or that was tried.
    pub is_compressed: bool,
}

impl Put {
    /// What putting a frame does that is held already.
    const HELD: Self = Self { is_new: false, stored_bytes: 0, is_compressed: false };
}

/// How much trouble is taken to store frames small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Frames are compressed; where they do not shrink only samples of those that follow.
    Small,
    /// Only samples are compressed: somebody waits who takes raw bytes faster.
    Fast,
}

/// What was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealReport {
    /// Packs that became durable.
    pub packs: u64,
    /// Frames in them.
    pub frames: u64,
    /// Bytes of their data.
    pub stored_bytes: u64,
}

/// Appends frames to packs of its own. Use it from many threads at once.
///
/// Frames can be read as soon as they are put. They are durable after [`Writer::seal`]; a writer
/// that is dropped unsealed gives its frames up.
#[derive(Debug)]
pub struct Writer {
    inner: Arc<Inner>,
    pub(super) live: Arc<Live>,
    packs: Mutex<Vec<Arc<OpenPack>>>,
    /// Store a frame although one with its digest is held: repair.
    is_forced: bool,
    /// What it left out because it is held must stay.
    _hold: Hold,
}

impl Library {
    /// Begins to store new frames.
    pub fn begin(&self) -> Writer {
        self.writer(false)
    }

    /// Begins to store frames again that are damaged: nothing is left out because it seems held.
    pub fn begin_repair(&self) -> Writer {
        self.writer(true)
    }

    fn writer(&self, is_forced: bool) -> Writer {
        let (inner, live) = (Arc::clone(&self.inner), self.inner.new_live());
        let hold = Hold::new(&self.inner);
        Writer { inner, live, packs: Mutex::default(), is_forced, _hold: hold }
    }
}

impl Writer {
    /// Stores a chunk under its digest, which the caller computed from `raw`.
    pub fn put_chunk(&self, digest: Digest, raw: &[u8]) -> Result<Put, LibraryError> {
        self.put(FrameKind::Chunk, digest, raw, Packing::Small)
    }

    /// As [`Self::put_chunk`], stored as `packing` says.
    pub fn put_chunk_as(&self, digest: Digest, raw: &[u8], packing: Packing) -> Result<Put, LibraryError> {
        self.put(FrameKind::Chunk, digest, raw, packing)
    }

    /// Stores chunks under their digests as [`Self::put_chunk_as`]; those that are new lie side by side. The
    /// result has one for each.
    pub fn put_chunks_as(
        &self,
        chunks: &[(Digest, &[u8])],
        packing: Packing,
    ) -> Result<Vec<Put>, LibraryError> {
        let mut puts = Vec::with_capacity(chunks.len());
        self.put_all(FrameKind::Chunk, chunks, packing, |put| puts.push(put))?;
        Ok(puts)
    }

    /// Stores a manifest page under its digest, which the caller computed from `raw`.
    pub fn put_page(&self, digest: Digest, raw: &[u8]) -> Result<Put, LibraryError> {
        self.put(FrameKind::Page, digest, raw, Packing::Small)
    }

    /// Stores a frame that came from elsewhere, after checking it against its digest.
    ///
    /// Errors: `CONTENT_HASH_MISMATCH`; nothing is stored then.
    pub fn put_received(&self, kind: FrameKind, digest: Digest, raw: &[u8]) -> Result<Put, LibraryError> {
        let found = kind.digest(raw);
        if !self.inner.files.accepts(&digest, &found) {
            return Err(LibraryError::Mismatch { expected: digest, found });
        }
        self.put(kind, digest, raw, Packing::Small)
    }

    /// Claims a digest for this writer; false when it is held or on its way here already.
    pub(super) fn claim(&self, digest: &Digest) -> Result<bool, LibraryError> {
        Ok(self.is_forced || self.live.claim(digest, || self.inner.is_sealed(digest))?)
    }

    fn put(
        &self,
        kind: FrameKind,
        digest: Digest,
        raw: &[u8],
        packing: Packing,
    ) -> Result<Put, LibraryError> {
        let mut put = Put::HELD;
        self.put_all(kind, &[(digest, raw)], packing, |one| put = one)?;
        Ok(put)
    }

    /// Stores frames, those that are new side by side; `done` hears of each, in order.
    fn put_all(
        &self,
        kind: FrameKind,
        objects: &[(Digest, &[u8])],
        packing: Packing,
        done: impl FnMut(Put),
    ) -> Result<(), LibraryError> {
        let mut new = Vec::with_capacity(objects.len());
        let stored = self.store(kind, objects, packing, &mut new);
        if stored.is_err() {
            // What was written before the failure is known by its place and stays.
            new.iter().for_each(|(at, _)| self.live.unclaim(&objects[*at].0));
        }
        stored?;
        let mut puts = vec![Put::HELD; objects.len()];
        new.into_iter().for_each(|(at, put)| puts[at] = put);
        puts.into_iter().for_each(done);
        Ok(())
    }

    /// Claims and stores objects; `new` has those that were claimed, by their place among `objects`.
    fn store(
        &self,
        kind: FrameKind,
        objects: &[(Digest, &[u8])],
        packing: Packing,
        new: &mut Vec<(usize, Put)>,
    ) -> Result<(), LibraryError> {
        thread_local! {
            /// Compressed frames, one behind the other, and one that is being tried.
            static BUFFERS: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
            static SAMPLER: RefCell<Sampler> = const { RefCell::new(Sampler::NEW) };
        }
        BUFFERS.with_borrow_mut(|(packed, buffer)| {
            packed.clear();
            let mut packed_ends = Vec::with_capacity(objects.len());
            for (at, (digest, raw)) in objects.iter().enumerate() {
                if !self.claim(digest)? {
                    continue;
                }
                let is_compressed = self.inner.role == Role::Site
                    && (kind == FrameKind::Page
                        || SAMPLER.with_borrow_mut(|sampler| sampler.is_due(packing)));
                let encoding = if is_compressed { compress(raw, buffer) } else { Encoding::Raw };
                if is_compressed && kind == FrameKind::Chunk {
                    SAMPLER.with_borrow_mut(|sampler| sampler.saw(encoding));
                }
                if encoding == Encoding::Zstd {
                    packed.extend_from_slice(buffer);
                }
                packed_ends.push((encoding, packed.len()));
                new.push((at, Put { is_new: true, stored_bytes: 0, is_compressed }));
            }
            let mut begin = 0;
            let mut frames: Vec<(&[u8], Record)> = Vec::with_capacity(new.len());
            for ((at, put), (encoding, end)) in new.iter_mut().zip(packed_ends) {
                let (digest, raw) = objects[*at];
                let stored = if encoding == Encoding::Zstd { &packed[begin..end] } else { raw };
                begin = end;
                put.stored_bytes = stored.len() as u32;
                let (stored_length, raw_length) = (put.stored_bytes, raw.len() as u32);
                frames
                    .push((stored, Record { digest, offset: 0, stored_length, raw_length, encoding, kind }));
            }
            self.append(&mut frames)
        })
    }

    /// Puts frames at the end of a pack, or of as many as they need.
    fn append(&self, mut frames: &mut [(&[u8], Record)]) -> Result<(), LibraryError> {
        // A site reads its source again; what a receiver recorded is never asked for again.
        let at_once = self.inner.role == Role::DistributionPoint;
        let mut full: Option<Arc<OpenPack>> = None;
        while let Some((first, _)) = frames.first() {
            let pack = {
                let mut packs = self.packs.lock().expect("no code panics while holding this lock");
                let is_full =
                    |pack: &Arc<OpenPack>| full.as_ref().is_some_and(|full| Arc::ptr_eq(full, pack));
                match packs.last().filter(|pack| !is_full(pack)) {
                    Some(pack) => Arc::clone(pack),
                    None => self.begin_pack(&mut packs, first.len() as u64)?,
                }
            };
            let failed = |source| LibraryError::Seal { sequence: pack.sequence, step: "write to", source };
            let count = pack.append(frames, at_once, PACK_BYTES_MAX).map_err(failed)?;
            let (taken, rest) = frames.split_at_mut(count);
            taken.iter().for_each(|(_, record)| self.live.written(&pack, *record));
            if !rest.is_empty() {
                full = Some(pack);
            }
            frames = rest;
        }
        Ok(())
    }

    /// The next `length` bytes of a pack, from a multiple of `border` on.
    pub(super) fn allot(&self, length: u64, border: u64) -> Result<(Arc<OpenPack>, u64), LibraryError> {
        let mut packs = self.packs.lock().expect("no code panics while holding this lock");
        if let Some(pack) = packs.last()
            && let Some(offset) = pack.allot(length, border, PACK_BYTES_MAX)
        {
            return Ok((Arc::clone(pack), offset));
        }
        let pack = self.begin_pack(&mut packs, length)?;
        let offset = pack.allot(length, border, PACK_BYTES_MAX).expect("an empty pack takes any length");
        Ok((pack, offset))
    }

    /// Begins a pack, of which `length` bytes are wanted at once.
    fn begin_pack(&self, packs: &mut Vec<Arc<OpenPack>>, length: u64) -> Result<Arc<OpenPack>, LibraryError> {
        self.inner.check_space(length)?;
        let folder = self.inner.packs_folder();
        let sequence = self.inner.next_sequence();
        let pack = OpenPack::create(&*self.inner.files, &folder, sequence, self.inner.id.0)
            .map_err(io_error("create a pack in", &folder))?;
        let pack = Arc::new(pack);
        packs.push(Arc::clone(&pack));
        Ok(pack)
    }

    /// Makes everything stored so far durable: data, tables, names, folder.
    ///
    /// Errors: a pack that could not be made durable is given up with its frames.
    pub fn seal(self) -> Result<SealReport, LibraryError> {
        let packs = std::mem::take(&mut *self.packs.lock().expect("no code panics while holding this lock"));
        self.inner.seal(&self.live, packs)
    }
}

/// Which chunks a thread compresses. Chunks that follow each other are mostly of one file, so what did
/// not shrink lately is not tried again with each.
#[derive(Debug)]
struct Sampler {
    /// Chunks in a row that did not shrink.
    failures: u32,
    /// Chunks stored raw since the last that was tried.
    skipped: u32,
}

impl Sampler {
    const NEW: Self = Self { failures: 0, skipped: 0 };
    /// After so many failures only samples are tried.
    const FAILURES_MAX: u32 = 3;
    /// One of so many chunks is a sample.
    const SAMPLE: u32 = 8;
    /// The same, while somebody waits.
    const SAMPLE_FAST: u32 = 64;

    fn is_due(&mut self, packing: Packing) -> bool {
        let every = match packing {
            Packing::Fast => Self::SAMPLE_FAST,
            Packing::Small if self.failures >= Self::FAILURES_MAX => Self::SAMPLE,
            Packing::Small => 1,
        };
        self.skipped += 1;
        let is_due = self.skipped >= every;
        if is_due {
            self.skipped = 0;
        }
        is_due
    }

    fn saw(&mut self, encoding: Encoding) {
        self.failures = if encoding == Encoding::Raw { self.failures.saturating_add(1) } else { 0 };
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let packs = std::mem::take(&mut *self.packs.lock().expect("no code panics while holding this lock"));
        packs.iter().for_each(|pack| self.inner.give_up(&self.live, pack));
        self.inner.drop_live(&self.live);
    }
}

impl Inner {
    /// Seals packs in order. After a failure the rest is given up too.
    pub(super) fn seal(&self, live: &Live, packs: Vec<Arc<OpenPack>>) -> Result<SealReport, LibraryError> {
        let mut report = SealReport::default();
        let mut failure = None;
        for pack in packs {
            if failure.is_some() {
                self.give_up(live, &pack);
                continue;
            }
            let frames = pack.frames();
            let data_bytes = pack.data_bytes();
            if frames == 0 {
                self.give_up(live, &pack);
                continue;
            }
            let sealed = pack.seal(&*self.files).map_err(LibraryError::from).and_then(|stem| {
                SealedPack::open(&self.packs_folder(), &stem, &self.open_files).map_err(|error| {
                    pack.discard_sealed(&*self.files, &stem);
                    LibraryError::Io {
                        step: "open the sealed pack in",
                        path: self.packs_folder().join(stem),
                        source: std::io::Error::other(error),
                    }
                })
            });
            match sealed {
                Ok(sealed) => {
                    self.add_sealed(sealed);
                    live.forget(&pack);
                    report.packs += 1;
                    report.frames += frames;
                    report.stored_bytes += data_bytes;
                    self.received_bytes.fetch_add(data_bytes, Ordering::Relaxed);
                }
                Err(error) => {
                    self.give_up(live, &pack);
                    failure = Some(error);
                }
            }
        }
        failure.map_or(Ok(report), Err)
    }

    pub(super) fn add_sealed(&self, pack: SealedPack) {
        // A table that cannot be read is no reason not to have the pack: it is searched by itself.
        let run = pack.scan().inspect_err(|error| {
            tracing::error!(%error, pack = pack.stem, "the table of a pack cannot be read");
        });
        self.lock_packs_to_change().add(&Arc::new(pack), run.ok());
    }

    pub(super) fn give_up(&self, live: &Live, pack: &OpenPack) {
        live.forget(pack);
        pack.discard(&*self.files);
    }
}
