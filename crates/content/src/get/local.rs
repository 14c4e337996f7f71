//! What the destination holds: the digest of each file, and where each chunk lies.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use restock_names::{Digest, EntryPath};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::GetError;
use super::folder::{Folder, WORK_FOLDER, kind_at, names};
use crate::chunk::{Block, Cutter};
use crate::hash::{FileHasher, chunk_digest};

/// Chunks whose place is remembered; those beyond are fetched where they are needed.
const PLACES_MAX: usize = 4_000_000;
/// Files that are kept open for reading chunks.
const OPEN_MAX: usize = 16;

/// Where a chunk lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    file: u32,
    offset: u64,
}

/// The files of the destination as they were read.
#[derive(Debug, Default)]
pub(super) struct Local {
    files: Vec<EntryPath>,
    digests: BTreeMap<EntryPath, Digest>,
    paths: HashMap<Digest, EntryPath>,
    /// By the first eight bytes of the digest; what is read is hashed again.
    places: HashMap<u64, Place>,
    open: Vec<(u32, File)>,
}

impl Local {
    /// Reads everything beneath `folder`. `others` gets every entry that is not work in progress;
    /// `progress` hears of bytes read and may end it.
    pub(super) fn of(
        folder: &Folder,
        others: &mut BTreeSet<EntryPath>,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, GetError> {
        let mut local = Self::default();
        let mut waiting: Vec<Option<EntryPath>> = vec![None];
        while let Some(at) = waiting.pop() {
            let shown = at.as_ref().map_or(&b"."[..], EntryPath::as_bytes).to_vec();
            let opened = folder.folder(at.as_ref()).map_err(|e| GetError::io("open", &shown)(e.into()))?;
            for name in names(&*opened).map_err(|e| GetError::io("read", &shown)(e.into()))? {
                let path = match &at {
                    None => EntryPath::new(name.clone()),
                    Some(at) => at.join(&name),
                };
                // No version can have such a name; it is left alone.
                let Ok(path) = path else { continue };
                let kind = match kind_at(&*opened, &name) {
                    Ok(kind) => kind,
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(GetError::io("look at", path.as_bytes())(errno.into())),
                };
                let is_work = at.is_none() && name == WORK_FOLDER.as_bytes();
                let is_within_work = at.as_ref().is_some_and(|at| at.as_bytes() == WORK_FOLDER.as_bytes());
                if !is_work && !is_within_work {
                    others.insert(path.clone());
                }
                match kind {
                    FileType::Directory => waiting.push(Some(path)),
                    FileType::RegularFile => {
                        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                        // What cannot be read is as good as not there: it is replaced.
                        if let Ok(file) = rustix::fs::openat(&*opened, &*name, flags, Mode::empty()) {
                            local.file(path, &file.into(), progress)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(local)
    }

    fn file(
        &mut self,
        path: EntryPath,
        file: &File,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), GetError> {
        let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let places = &mut self.places;
        let read = digest_of(
            file,
            &mut |digest, offset| {
                if places.len() < PLACES_MAX && number != u32::MAX {
                    places.entry(short(digest)).or_insert(Place { file: number, offset });
                }
            },
            progress,
        );
        match read {
            Ok(Some(digest)) => {
                self.files.push(path.clone());
                self.paths.entry(digest).or_insert_with(|| path.clone());
                self.digests.insert(path, digest);
                Ok(())
            }
            Ok(None) => Err(GetError::Cancelled),
            // It is being written to, and is not what it was.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(GetError::io("read", path.as_bytes())(error)),
        }
    }

    /// A file of the destination that has this digest.
    pub(super) fn with_digest(&self, digest: &Digest) -> Option<&EntryPath> {
        self.paths.get(digest)
    }

    /// True when the file at `path` has this digest.
    pub(super) fn is_file(&self, path: &EntryPath, digest: &Digest) -> bool {
        self.digests.get(path) == Some(digest)
    }

    /// Where a chunk lies that may have this digest.
    pub(super) fn place(&self, digest: &Digest) -> Option<Place> {
        self.places.get(&short(digest)).copied()
    }

    /// The chunk's bytes, if they are still where they were.
    pub(super) fn chunk(&mut self, folder: &Folder, digest: &Digest, length: u32) -> Option<Vec<u8>> {
        let place = self.place(digest)?;
        let mut bytes = vec![0; length as usize];
        let file = self.open(folder, place.file)?;
        file.read_exact_at(&mut bytes, place.offset).ok()?;
        (chunk_digest(&bytes) == *digest).then_some(bytes)
    }

    fn open(&mut self, folder: &Folder, number: u32) -> Option<&File> {
        if let Some(at) = self.open.iter().position(|(known, _)| *known == number) {
            return Some(&self.open[at].1);
        }
        let path = self.files.get(number as usize)?;
        let file = folder.open_file(path).ok()?;
        if self.open.len() >= OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push((number, file));
        self.open.last().map(|(_, file)| file)
    }
}

/// The digest of a file as a manifest lists it. `on_chunk` hears each chunk and its offset; `None` when
/// `progress`, which hears of bytes read, ended it.
pub(super) fn digest_of(
    file: &File,
    on_chunk: &mut dyn FnMut(&Digest, u64),
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> io::Result<Option<Digest>> {
    let (mut cutter, mut block, mut hasher) = (Cutter::default(), Block::default(), FileHasher::default());
    cutter.start(file.metadata()?.len());
    let (mut offset, mut run): (u64, Option<(Digest, u32, u32)>) = (0, None);
    while cutter.next_block(&mut block, |buffer, at| file.read_at(buffer, at))? {
        for chunk in block.chunks() {
            let (digest, length) = (chunk_digest(chunk), chunk.len() as u32);
            on_chunk(&digest, offset);
            offset += u64::from(length);
            match &mut run {
                Some((before, of, repeat)) if (*before, *of) == (digest, length) => *repeat += 1,
                _ => {
                    if let Some((before, of, repeat)) = run.replace((digest, length, 1)) {
                        hasher.run(&before, of, repeat);
                    }
                }
            }
        }
        if progress(block.length() as u64).is_break() {
            return Ok(None);
        }
    }
    if let Some((digest, length, repeat)) = run {
        hasher.run(&digest, length, repeat);
    }
    Ok(Some(hasher.finish()))
}

fn short(digest: &Digest) -> u64 {
    u64::from_le_bytes(digest.0[..8].try_into().expect("a digest has more than eight bytes"))
}
