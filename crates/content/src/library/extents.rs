//! Where the bytes of a chunk lie, for a holder that sends them unread.
//!
//! An [`Extent`] is given only for a raw frame of a sealed pack that was found right since the pack's
//! file last changed; [`Library::read`] is what finds a frame right. Neighbouring extents join to one
//! range of one file.

use std::fs::File;
use std::io;
use std::sync::{Arc, Weak};

use restock_names::Digest;

use super::{Library, LibraryError};
use crate::pack::{Encoding, SealedPack};

/// A range of a pack's data file that holds checked, raw bytes. The file stays open with it, even
/// when cleaning removes its name.
#[derive(Debug, Clone)]
pub struct Extent {
    pack: Arc<SealedPack>,
    file: Arc<File>,
    epoch: u32,
    offset: u64,
    length: u64,
}

/// An [`Extent`] to be asked for again later: it keeps no file open.
#[derive(Debug, Clone)]
pub struct ExtentRef {
    pack: Weak<SealedPack>,
    epoch: u32,
    offset: u64,
    length: u64,
}

impl Library {
    /// The place of chunk `digest` of `length` bytes, if it may be sent unread.
    ///
    /// `None`: it is not held, not raw, of another length, or was not found right since its pack
    /// changed; [`Library::read`] then tells which. Cost: one look at the pack's file.
    pub fn extent(&self, digest: &Digest, length: u32) -> Result<Option<Extent>, LibraryError> {
        let Some((pack, at, record)) = self.inner.locate_sealed(digest)? else { return Ok(None) };
        if record.encoding != Encoding::Raw || record.raw_length != length || record.stored_length != length {
            return Ok(None);
        }
        let (file, epoch) = match looked_at(&pack) {
            Ok(found) => found,
            // Reading the chunk finds another copy, or tells that there is none.
            Err(_gone) if pack.is_gone() => return Ok(None),
            Err(source) => return Err(self.inner.sealed_read_error(&pack, source)),
        };
        if !pack.checked.is_checked(at, epoch) {
            return Ok(None);
        }
        Ok(Some(Extent { pack, file, epoch, offset: record.offset, length: u64::from(length) }))
    }
}

impl Extent {
    /// The file that holds the bytes.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The first byte in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes `from..to` of it, cut to what it has.
    #[must_use]
    pub fn part(&self, from: u64, to: u64) -> Self {
        let to = to.min(self.length);
        let from = from.min(to);
        Self { offset: self.offset + from, length: to - from, ..self.clone() }
    }

    /// Takes `next` in when its bytes follow these in the same file.
    pub fn join(&mut self, next: &Self) -> bool {
        let follows = Arc::ptr_eq(&self.pack, &next.pack)
            && self.epoch == next.epoch
            && self.offset + self.length == next.offset;
        if follows {
            self.length += next.length;
        }
        follows
    }

    /// Is the file as it was when its frames were checked?
    pub fn is_unchanged(&self) -> io::Result<bool> {
        Ok(self.pack.checked.confirm(&self.file)? == self.epoch)
    }

    /// The same range without keeping its file.
    pub fn reference(&self) -> ExtentRef {
        let Self { pack, epoch, offset, length, .. } = self;
        ExtentRef { pack: Arc::downgrade(pack), epoch: *epoch, offset: *offset, length: *length }
    }
}

impl ExtentRef {
    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The extent, if its pack is still in the library and as it was. Cost: one look at the file.
    pub fn get(&self) -> Option<Extent> {
        let pack = self.pack.upgrade()?;
        let (file, epoch) = looked_at(&pack).ok()?;
        let extent = Extent { pack, file, epoch, offset: self.offset, length: self.length };
        (epoch == self.epoch).then_some(extent)
    }
}

/// A pack's file, and its state.
fn looked_at(pack: &SealedPack) -> io::Result<(Arc<File>, u32)> {
    let file = pack.data()?;
    let epoch = pack.checked.confirm(&file)?;
    Ok((file, epoch))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, PermissionsExt};
    use std::sync::Arc;

    use super::Extent;
    use crate::files::DiskFiles;
    use crate::hash::chunk_digest;
    use crate::library::{Library, Role};

    fn bytes(extent: &Extent) -> Vec<u8> {
        let mut bytes = vec![0; extent.length() as usize];
        extent.file().read_exact_at(&mut bytes, extent.offset()).expect("read");
        bytes
    }

    #[test]
    fn a_chunk_may_be_sent_unread_once_it_was_found_right_and_until_its_pack_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let library = Library::create(Arc::new(DiskFiles), folder.path(), Role::DistributionPoint);
        let library = library.expect("an empty folder");
        let raw: [&[u8]; 2] = [b"the first chunk", b"the second chunk"];
        let digests = raw.map(chunk_digest);
        let writer = library.begin();
        for (digest, raw) in digests.iter().zip(raw) {
            writer.put_chunk(*digest, raw).expect("stored");
        }
        writer.seal().expect("sealed");
        let extent = |at: usize| library.extent(&digests[at], raw[at].len() as u32).expect("looked");
        assert!(extent(0).is_none(), "nobody has read it yet");
        library.read(&digests[0]).expect("right");
        assert!(extent(1).is_none(), "only the other one was read");
        library.read(&digests[1]).expect("right");
        let (mut first, second) = (extent(0).expect("checked"), extent(1).expect("checked"));
        assert_eq!((bytes(&first).as_slice(), bytes(&second).as_slice()), (raw[0], raw[1]));
        assert_eq!(bytes(&first.part(4, 9)), b"first");
        assert!(library.extent(&digests[0], 3).expect("looked").is_none(), "of another length");
        assert!(first.join(&second), "they lie side by side");
        assert_eq!(bytes(&first), [raw[0], raw[1]].concat());

        library.forget_checks();
        assert!(extent(0).is_none() && first.reference().get().is_none());
        library.read(&digests[0]).expect("right");
        let kept = extent(0).expect("checked").reference();
        assert!(kept.get().is_some());
        let packs = std::fs::read_dir(folder.path().join("packs")).expect("listed");
        for path in packs.map(|entry| entry.expect("listed").path()) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o444)).expect("set");
        }
        assert!(kept.get().is_none() && extent(0).is_none(), "the file's change time moved");
        drop(library);
        assert!(kept.get().is_none(), "it keeps no pack open");
    }
}
