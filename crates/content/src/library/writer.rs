//! Storing new frames in appending packs: what a snapshot and the page walk of a receiver use.

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
    live: Arc<Live>,
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
        self.put(FrameKind::Chunk, digest, raw)
    }

    /// Stores a manifest page under its digest, which the caller computed from `raw`.
    pub fn put_page(&self, digest: Digest, raw: &[u8]) -> Result<Put, LibraryError> {
        self.put(FrameKind::Page, digest, raw)
    }

    /// Stores a frame that came from elsewhere, after checking it against its digest.
    ///
    /// Errors: `CONTENT_HASH_MISMATCH`; nothing is stored then.
    pub fn put_received(&self, kind: FrameKind, digest: Digest, raw: &[u8]) -> Result<Put, LibraryError> {
        let found = kind.digest(raw);
        if !self.inner.files.accepts(&digest, &found) {
            return Err(LibraryError::Mismatch { expected: digest, found });
        }
        self.put(kind, digest, raw)
    }

    fn put(&self, kind: FrameKind, digest: Digest, raw: &[u8]) -> Result<Put, LibraryError> {
        if !self.is_forced && !self.live.claim(&digest, || self.inner.is_sealed(&digest))? {
            return Ok(Put { is_new: false, stored_bytes: 0 });
        }
        let result = self.store(kind, digest, raw);
        if result.is_err() {
            self.live.unclaim(&digest);
        }
        result
    }

    fn store(&self, kind: FrameKind, digest: Digest, raw: &[u8]) -> Result<Put, LibraryError> {
        thread_local! {
            static BUFFER: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        BUFFER.with_borrow_mut(|buffer| {
            let encoding = match self.inner.role {
                Role::Site => compress(raw, buffer),
                Role::DistributionPoint => Encoding::Raw,
            };
            let stored = if encoding == Encoding::Zstd { buffer.as_slice() } else { raw };
            let (pack, offset) = self.allot(stored.len() as u64)?;
            let record = Record {
                digest,
                offset,
                stored_length: stored.len() as u32,
                raw_length: raw.len() as u32,
                encoding,
                kind,
            };
            let fail = |step| move |source| LibraryError::Seal { sequence: record.offset, step, source };
            pack.write(stored, offset).map_err(fail("write to"))?;
            // A site reads its source again; what a receiver recorded is never asked for again.
            pack.record(&[record], self.inner.role == Role::DistributionPoint).map_err(fail("record in"))?;
            self.live.written(&pack, record);
            Ok(Put { is_new: true, stored_bytes: record.stored_length })
        })
    }

    fn allot(&self, length: u64) -> Result<(Arc<OpenPack>, u64), LibraryError> {
        let mut packs = self.packs.lock().expect("no code panics while holding this lock");
        if let Some(pack) = packs.last()
            && let Some(offset) = pack.allot(length, PACK_BYTES_MAX)
        {
            return Ok((Arc::clone(pack), offset));
        }
        let folder = self.inner.packs_folder();
        let sequence = self.inner.next_sequence();
        let pack = OpenPack::create(&*self.inner.files, &folder, sequence, self.inner.id.0)
            .map_err(io_error("create a pack in", &folder))?;
        let pack = Arc::new(pack);
        let offset = pack.allot(length, PACK_BYTES_MAX).expect("an empty pack takes any length");
        packs.push(Arc::clone(&pack));
        Ok((pack, offset))
    }

    /// Makes everything stored so far durable: data, tables, names, folder.
    ///
    /// Errors: a pack that could not be made durable is given up with its frames.
    pub fn seal(self) -> Result<SealReport, LibraryError> {
        let packs = std::mem::take(&mut *self.packs.lock().expect("no code panics while holding this lock"));
        self.inner.seal(&self.live, packs)
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
            let frames = pack.records().len() as u64;
            let data_bytes = pack.data_bytes();
            if frames == 0 {
                self.give_up(live, &pack);
                continue;
            }
            let sealed = pack.seal(&*self.files).map_err(LibraryError::from).and_then(|stem| {
                SealedPack::open(&self.packs_folder(), &stem).map_err(|error| LibraryError::Io {
                    step: "open the sealed pack in",
                    path: self.packs_folder().join(stem),
                    source: std::io::Error::other(error),
                })
            });
            match sealed {
                Ok(sealed) => {
                    self.add_sealed(sealed);
                    live.forget(&pack);
                    report.packs += 1;
                    report.frames += frames;
                    report.stored_bytes += data_bytes;
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
        let mut sealed = self.sealed.write().expect("no code panics while holding this lock");
        let at = sealed.partition_point(|other| other.header.sequence > pack.header.sequence);
        sealed.insert(at, Arc::new(pack));
    }

    pub(super) fn give_up(&self, live: &Live, pack: &OpenPack) {
        live.forget(pack);
        pack.discard(&*self.files);
    }
}
