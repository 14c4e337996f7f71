//! Finding and reading frames.

use std::io;
use std::sync::Arc;

use restock_names::Digest;

use super::index::{FindError, Found};
use super::live::LiveFrame;
use super::{Inner, Library, LibraryError, StoredFrame};
use crate::manifest::{PageError, PageSource};
use crate::pack::{Encoding, FrameKind, OpenPack, Record, SealedPack, decode_frame};

/// A frame's place.
enum Place {
    Open(Arc<OpenPack>, Record),
    /// With the record's number.
    Sealed(Arc<SealedPack>, u64, Record),
}

impl Place {
    fn record(&self) -> &Record {
        match self {
            Self::Open(_, record) | Self::Sealed(_, _, record) => record,
        }
    }

    fn sequence(&self) -> u64 {
        match self {
            Self::Open(pack, _) => pack.sequence,
            Self::Sealed(pack, ..) => pack.header.sequence,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Open(pack, _) => format!("{:016x} (open)", pack.sequence),
            Self::Sealed(pack, ..) => pack.stem.clone(),
        }
    }

    fn read_into(&self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Open(pack, record) => pack.read_into(record, bytes),
            Self::Sealed(pack, _, record) => pack.read_into(record, bytes),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Open(pack, record) => pack.read(record),
            Self::Sealed(pack, _, record) => pack.read(record),
        }
    }
}

impl Library {
    /// True when a frame with this digest is in a sealed pack and not known to be damaged.
    ///
    /// What a writer has on its way does not count: it may yet be given up.
    pub fn holds(&self, digest: &Digest) -> Result<bool, LibraryError> {
        self.inner.is_sealed(digest)
    }

    /// The raw bytes of a chunk or page, checked against the digest.
    ///
    /// Errors: `CONTENT_MISSING`; `CONTENT_DAMAGED` when no copy has the digest, and from then on
    /// the frame counts as not held, so that it can be fetched again.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, LibraryError> {
        self.inner.read(digest)
    }

    /// A frame as it is stored, for sending on; the receiver checks it.
    pub fn read_stored(&self, digest: &Digest) -> Result<StoredFrame, LibraryError> {
        loop {
            let place = self.inner.locate(digest)?.ok_or(LibraryError::Missing(*digest))?;
            match place.read() {
                Ok(bytes) => {
                    let Record { encoding, raw_length, .. } = *place.record();
                    return Ok(StoredFrame { encoding, raw_length, bytes });
                }
                Err(_gone) if self.inner.is_lost(&place) => {}
                Err(source) => return Err(self.inner.read_error(&place, source)),
            }
        }
    }

    /// Appends a frame as it is stored to `out`, behind what `head` puts there, which is given its
    /// encoding, its raw and its stored length. After an error `out` is as it was.
    pub fn append_stored(
        &self,
        digest: &Digest,
        out: &mut Vec<u8>,
        mut head: impl FnMut(&mut Vec<u8>, Encoding, u32, u32),
    ) -> Result<(), LibraryError> {
        let start = out.len();
        loop {
            let place = self.inner.locate(digest)?.ok_or(LibraryError::Missing(*digest))?;
            let Record { encoding, raw_length, stored_length, .. } = *place.record();
            head(out, encoding, raw_length, stored_length);
            let from = out.len();
            out.resize(from + stored_length as usize, 0);
            let read = place.read_into(&mut out[from..]);
            if read.is_ok() {
                return Ok(());
            }
            out.truncate(start);
            match read {
                Err(source) if !self.inner.is_lost(&place) => {
                    return Err(self.inner.read_error(&place, source));
                }
                _ => {}
            }
        }
    }

    /// The bytes a frame takes as it is stored; `None` when no pack holds it. Cost: a lookup.
    pub fn stored_length(&self, digest: &Digest) -> Result<Option<u32>, LibraryError> {
        Ok(self.inner.locate(digest)?.map(|place| place.record().stored_length))
    }

    /// `length` bytes of a chunk from `start` on, after checking the whole chunk.
    pub fn read_chunk_range(
        &self,
        digest: &Digest,
        start: u32,
        length: u32,
    ) -> Result<Vec<u8>, LibraryError> {
        let mut bytes = self.read(digest)?;
        bytes.truncate((start as usize).saturating_add(length as usize));
        bytes.drain(..bytes.len().min(start as usize));
        Ok(bytes)
    }

    /// Forgets what was found right or wrong so far: nothing is sent unread before it was checked again,
    /// pages in memory included.
    pub fn forget_checks(&self) {
        self.inner.pages.clear();
        self.inner.sealed().iter().for_each(|pack| pack.checked.forget());
        self.inner.damaged.lock().expect("no code panics while holding this lock").clear();
    }
}

impl Inner {
    /// Whether something new may refer to the frame: it is in a sealed pack and not about to go.
    pub(super) fn is_sealed(&self, digest: &Digest) -> Result<bool, LibraryError> {
        Ok(self.find_sealed(digest, |pack, index| !pack.is_hidden(index))?.is_some())
    }

    fn locate(&self, digest: &Digest) -> Result<Option<Place>, LibraryError> {
        // Live first: a pack joins the sealed ones before its frames leave the live ones.
        for live in self.live.read().expect("no code panics while holding this lock").iter() {
            if let Some(LiveFrame::Written(pack, record)) = live.get(digest)
                && !self.is_damaged(pack.sequence, digest)
            {
                return Ok(Some(Place::Open(pack, record)));
            }
        }
        let sealed = self.locate_sealed(digest)?;
        Ok(sealed.map(|(pack, at, record)| Place::Sealed(pack, at, record)))
    }

    /// The newest sealed pack that holds a frame, the record's number and the record.
    pub(super) fn locate_sealed(&self, digest: &Digest) -> Result<Option<Found>, LibraryError> {
        self.find_sealed(digest, |_, _| true)
    }

    /// The newest copy of a frame that is not known to be damaged and that `admits` takes.
    pub(super) fn find_sealed(
        &self,
        digest: &Digest,
        admits: impl Fn(&SealedPack, u64) -> bool,
    ) -> Result<Option<Found>, LibraryError> {
        self.find_in_packs(digest, |pack, at| {
            !self.is_damaged(pack.header.sequence, digest) && admits(pack, at)
        })
    }

    /// The newest copy of a frame, be it damaged or not.
    pub(super) fn find_newest(&self, digest: &Digest) -> Result<Option<Found>, LibraryError> {
        self.find_in_packs(digest, |_, _| true)
    }

    fn find_in_packs(
        &self,
        digest: &Digest,
        takes: impl Fn(&SealedPack, u64) -> bool,
    ) -> Result<Option<Found>, LibraryError> {
        loop {
            let found = self.lock_packs().find(digest, &takes);
            match found {
                Ok(found) => return Ok(found),
                Err(FindError::Index(file, error)) => self.give_up_index(&file, &error),
                // Its files are gone: so is what it held.
                Err(FindError::Table(pack, _)) if pack.is_gone() && self.lose_pack(&pack) => {}
                Err(FindError::Table(pack, source)) => {
                    let path = pack.stem.clone().into();
                    return Err(LibraryError::Io { step: "read the table of pack", path, source });
                }
            }
        }
    }

    /// Takes a pack out whose files are gone; its frames count as missing from then on.
    pub(super) fn lose_pack(&self, pack: &Arc<SealedPack>) -> bool {
        let is_news = self.drop_pack(pack);
        if is_news {
            tracing::error!(pack = pack.stem, "the files of a pack are gone");
        }
        is_news
    }

    /// True when a frame could not be read because its pack is not there any more: another copy is to be
    /// looked for.
    fn is_lost(&self, place: &Place) -> bool {
        let Place::Sealed(pack, ..) = place else { return false };
        if !pack.is_gone() {
            return false;
        }
        // Deleted by cleaning, or by somebody else.
        self.lose_pack(pack);
        true
    }

    /// Remembers that a frame of the pack is damaged: it is not read again. Where one frame rots others
    /// may, so all of the pack are checked again before they are sent.
    pub(super) fn note_damage(&self, pack: &SealedPack, digest: &Digest) {
        tracing::error!(digest = %digest, pack = pack.stem, "frame is damaged and will not be served");
        let mut damaged = self.damaged.lock().expect("no code panics while holding this lock");
        damaged.insert((pack.header.sequence, *digest));
        drop(damaged);
        pack.checked.forget();
    }

    /// True when some pack's copy of the frame was found damaged.
    pub(super) fn is_damaged_anywhere(&self, digest: &Digest) -> bool {
        self.known_damage(digest).is_some()
    }

    fn is_damaged(&self, sequence: u64, digest: &Digest) -> bool {
        let damaged = self.damaged.lock().expect("no code panics while holding this lock");
        !damaged.is_empty() && damaged.contains(&(sequence, *digest))
    }

    pub(super) fn read(&self, digest: &Digest) -> Result<Vec<u8>, LibraryError> {
        let mut damage = None;
        while let Some(place) = self.locate(digest)? {
            match self.read_place(&place) {
                Ok(raw) => return Ok(raw),
                Err(LibraryError::Io { .. }) if self.is_lost(&place) => continue,
                Err(error @ LibraryError::Io { .. }) if damage.is_none() => damage = Some(error),
                Err(_) => {
                    damage = Some(LibraryError::Damaged { digest: *digest, pack: place.name() });
                }
            }
            tracing::error!(digest = %digest, pack = place.name(), "frame is damaged and will not be served");
            let mut damaged = self.damaged.lock().expect("no code panics while holding this lock");
            damaged.insert((place.sequence(), *digest));
            drop(damaged);
            // Where one frame rots others may: all of the pack are checked again.
            if let Place::Sealed(pack, ..) = &place {
                pack.checked.forget();
            }
        }
        Err(damage.or_else(|| self.known_damage(digest)).unwrap_or(LibraryError::Missing(*digest)))
    }

    /// The error for a frame whose copies were all found damaged before.
    fn known_damage(&self, digest: &Digest) -> Option<LibraryError> {
        let damaged = self.damaged.lock().expect("no code panics while holding this lock");
        let (sequence, _) = damaged.iter().find(|(_, known)| known == digest)?;
        Some(LibraryError::Damaged { digest: *digest, pack: format!("{sequence:016x}") })
    }

    fn read_place(&self, place: &Place) -> Result<Vec<u8>, LibraryError> {
        let record = place.record();
        let epoch = match place {
            Place::Sealed(pack, ..) => Some(pack.confirm().map_err(|source| self.read_error(place, source))?),
            Place::Open(..) => None,
        };
        let stored = place.read().map_err(|source| self.read_error(place, source))?;
        let raw = decode_frame(record.encoding, &stored, record.raw_length)?;
        let found = record.kind.digest(&raw);
        if found == record.digest {
            if let (Place::Sealed(pack, at, _), Some(epoch)) = (place, epoch) {
                pack.checked.mark(*at, epoch);
            }
            Ok(raw)
        } else {
            Err(LibraryError::Mismatch { expected: record.digest, found })
        }
    }

    fn read_error(&self, place: &Place, source: io::Error) -> LibraryError {
        LibraryError::Io { step: "read", path: self.packs_folder().join(place.name()), source }
    }

    pub(super) fn sealed_read_error(&self, pack: &SealedPack, source: io::Error) -> LibraryError {
        LibraryError::Io { step: "read", path: self.packs_folder().join(&pack.stem), source }
    }

    pub(super) fn read_page(&self, digest: &Digest) -> Result<Arc<[u8]>, LibraryError> {
        if let Some(page) = self.pages.get(digest) {
            return Ok(page);
        }
        let page: Arc<[u8]> = self.read(digest)?.into();
        // The record says of which kind the frame is; a chunk must not pass as a page.
        let found = FrameKind::Page.digest(&page);
        if found != *digest {
            return Err(LibraryError::Mismatch { expected: *digest, found });
        }
        self.pages.put(*digest, Arc::clone(&page));
        Ok(page)
    }
}

impl PageSource for Library {
    fn page(&self, digest: &Digest) -> Result<Arc<[u8]>, PageError> {
        self.inner.read_page(digest).map_err(|error| PageError { digest: *digest, source: Box::new(error) })
    }
}
