//! The file of a backup: named parts one after another, each with its digest.
//!
//! Source: docs/formats/backup.md.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use restock_names::{SiteCode, Timestamp};

const MAGIC: &[u8; 4] = b"RSbk";
const FORMAT: u16 = 1;
/// The kind of a part's header.
const PART: u8 = 1;
/// The kind of what follows the last part.
const END: u8 = 0;
/// The longest name of a part, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Parts of one backup, at most.
pub(crate) const PARTS_MAX: usize = 256;
/// The longest part that is not the database, in bytes: keys and certificates are small.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// The database's part.
pub(crate) const DATABASE: &str = "site.db";
/// The configuration's part.
pub(crate) const CONFIGURATION: &str = "restock.toml";
const BUFFER: usize = 1 << 16;

/// Why a file is no backup that can be used. The text begins with the stable code.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is something else, or of a format this program does not know.
    #[error("BACKUP_FORMAT: {0}")]
    Format(&'static str),
    /// A part is not the one that was written.
    #[error("BACKUP_DAMAGED: {0}")]
    Damaged(String),
    /// The file cannot be read or written.
    #[error("BACKUP_FILE: the backup cannot be read or written")]
    Io(#[from] io::Error),
}

/// What stands at the beginning of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) site: SiteCode,
    pub(crate) made_at: Timestamp,
}

/// Writes parts; dropped without [`Self::finish`] the file is no backup.
pub(crate) struct ArchiveWriter<W: Write> {
    out: BufWriter<W>,
    all: blake3::Hasher,
    parts: u32,
    bytes: u64,
}

impl<W: Write> ArchiveWriter<W> {
    pub(crate) fn begin(out: W, head: Head) -> Result<Self, ArchiveError> {
        let (out, all) = (BufWriter::new(out), blake3::Hasher::new());
        let mut this = Self { out, all, parts: 0, bytes: 0 };
        this.put(MAGIC)?;
        this.put(&FORMAT.to_le_bytes())?;
        this.put(&head.site.as_bytes())?;
        this.put(&head.made_at.0.to_le_bytes())?;
        Ok(this)
    }

    /// Adds the file at `path` under `name`. It must not change meanwhile.
    pub(crate) fn add(&mut self, name: &str, path: &Path) -> Result<(), ArchiveError> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        self.put(&[PART])?;
        self.put(&[u8::try_from(name.len()).map_err(|_long| ArchiveError::Format("a name is too long"))?])?;
        self.put(name.as_bytes())?;
        self.put(&length.to_le_bytes())?;
        let (mut hasher, mut left) = (blake3::Hasher::new(), length);
        let mut buffer = vec![0; BUFFER];
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let bytes = &mut buffer[..want];
            file.read_exact(bytes)?;
            hasher.update(bytes);
            self.put(bytes)?;
            left -= want as u64;
        }
        self.put(hasher.finalize().as_bytes())?;
        self.parts += 1;
        Ok(())
    }

    /// Ends the backup; returns what it was written to, parts and bytes.
    pub(crate) fn finish(mut self) -> Result<(W, u32, u64), ArchiveError> {
        self.put(&[END])?;
        self.put(&self.parts.to_le_bytes())?;
        let digest = *self.all.finalize().as_bytes();
        self.put(&digest)?;
        let (parts, bytes) = (self.parts, self.bytes);
        let out = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((out, parts, bytes))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.all.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(self.out.write_all(bytes)?)
    }
}

/// Reads a whole backup. `open` says where each part goes; what it wrote counts only when this
/// returns `Ok`: the last digest covers everything before it.
pub(crate) fn read<R: Read, W: Write>(
    input: R,
    mut open: impl FnMut(&str) -> io::Result<W>,
    mut close: impl FnMut(W) -> io::Result<()>,
) -> Result<Head, ArchiveError> {
    let mut input = Input { input: BufReader::new(input), all: blake3::Hasher::new() };
    if input.array::<4>()? != *MAGIC {
        return Err(ArchiveError::Format("the file is not a backup of a site"));
    }
    if u16::from_le_bytes(input.array()?) != FORMAT {
        return Err(ArchiveError::Format("the format of the backup is not known"));
    }
    let site = std::str::from_utf8(&input.array::<3>()?)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(ArchiveError::Format("the site code is not valid"))?;
    let made_at = Timestamp(i64::from_le_bytes(input.array()?));
    let mut names = BTreeSet::new();
    loop {
        match input.array::<1>()? {
            [PART] => {
                let name = input.name()?;
                if names.len() >= PARTS_MAX {
                    return Err(ArchiveError::Format("the backup has too many parts"));
                }
                let mut out = open(&name)?;
                input.part(&name, &mut out)?;
                close(out)?;
                if !names.insert(name) {
                    return Err(ArchiveError::Format("a part stands twice"));
                }
            }
            [END] => break,
            _ => return Err(ArchiveError::Format("a part of a kind that is not known")),
        }
    }
    if u64::from(u32::from_le_bytes(input.array()?)) != names.len() as u64 {
        return Err(ArchiveError::Damaged("parts are missing".to_owned()));
    }
    let wanted = *input.all.finalize().as_bytes();
    if input.array::<32>()? != wanted {
        return Err(ArchiveError::Damaged("the backup does not have its digest".to_owned()));
    }
    if input.input.read(&mut [0])? != 0 {
        return Err(ArchiveError::Format("something follows the backup"));
    }
    Ok(Head { site, made_at })
}

struct Input<R> {
    input: BufReader<R>,
    all: blake3::Hasher,
}

impl<R: Read> Input<R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Damaged("the backup is cut off".to_owned()),
            _ => ArchiveError::Io(error),
        })?;
        self.all.update(bytes);
        Ok(())
    }

    fn name(&mut self) -> Result<String, ArchiveError> {
        let [length] = self.array()?;
        let mut bytes = vec![0; usize::from(length)];
        self.fill(&mut bytes)?;
        let name = String::from_utf8(bytes).ok().filter(|name| is_part(name));
        name.ok_or(ArchiveError::Format("a part has a name that no backup has"))
    }

    fn part(&mut self, name: &str, out: &mut impl Write) -> Result<(), ArchiveError> {
        let mut left = u64::from_le_bytes(self.array()?);
        if name != DATABASE && left > SMALL_BYTES_MAX {
            return Err(ArchiveError::Format("a part is too long"));
        }
        let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; BUFFER]);
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let bytes = &mut buffer[..want];
            self.fill(bytes)?;
            hasher.update(bytes);
            out.write_all(bytes)?;
            left -= want as u64;
        }
        let wanted = *hasher.finalize().as_bytes();
        if self.array::<32>()? == wanted {
            return Ok(());
        }
        Err(ArchiveError::Damaged(format!("{name} does not have its digest")))
    }
}

/// Is it the name of a part: the database, the configuration, or a file of the keys' or the join
/// folder? No other name is ever made a path.
pub(crate) fn is_part(name: &str) -> bool {
    if name.len() > NAME_BYTES_MAX {
        return false;
    }
    let is_file = |name: &str| {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
        !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain)
    };
    match name.split_once('/') {
        None => name == DATABASE || name == CONFIGURATION,
        Some((folder, file)) => ["keys", "join"].contains(&folder) && is_file(file),
    }
}

/// Decodes anything: an error or a backup, never a panic, and nothing beside the named parts.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    let written = std::cell::Cell::new(0_usize);
    let read = read(
        bytes,
        |name| {
            assert!(is_part(name), "{name}");
            Ok(Vec::new())
        },
        |part| {
            written.set(written.get() + part.len());
            Ok(())
        },
    );
    assert!(written.get() <= bytes.len());
    drop(read);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use restock_names::Timestamp;

    use super::{ArchiveError, ArchiveWriter, Head, fuzz_one, is_part, read};

    fn made(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let head = Head { site: "XYZ".parse().unwrap(), made_at: Timestamp(7) };
        let mut writer = ArchiveWriter::begin(Vec::new(), head).unwrap();
        for (name, bytes) in parts {
            let path = folder.path().join("part");
            std::fs::write(&path, bytes).unwrap();
            writer.add(name, &path).unwrap();
        }
        let (bytes, count, length) = writer.finish().unwrap();
        assert_eq!((count as usize, length as usize), (parts.len(), bytes.len()));
        bytes
    }

    fn parts_of(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, ArchiveError> {
        let (parts, name) =
            (std::cell::RefCell::new(BTreeMap::new()), std::cell::RefCell::new(String::new()));
        let head = read(
            bytes,
            |part| {
                *name.borrow_mut() = part.to_owned();
                Ok::<_, io::Error>(Vec::new())
            },
            |bytes| {
                parts.borrow_mut().insert(name.borrow().clone(), bytes);
                Ok(())
            },
        )?;
        assert_eq!((head.site.as_str(), head.made_at), ("XYZ", Timestamp(7)));
        Ok(parts.into_inner())
    }

    #[test]
    fn a_backup_is_read_as_it_was_written_and_any_changed_byte_is_noticed() {
        let long = vec![9; 200_000];
        let bytes = made(&[("keys/ca.pem", b"pem"), ("join/site.json", b""), ("site.db", &long)]);
        let parts = parts_of(&bytes).unwrap();
        assert_eq!(parts.keys().collect::<Vec<_>>(), ["join/site.json", "keys/ca.pem", "site.db"]);
        assert_eq!((parts["keys/ca.pem"].as_slice(), parts["site.db"].len()), (b"pem".as_slice(), 200_000));
        for at in (0..100).chain(bytes.len() - 100..bytes.len()) {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(parts_of(&bad).is_err(), "byte {at}");
        }
        for length in (0..200).chain([bytes.len() - 1]) {
            assert!(parts_of(&bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(parts_of(&[bytes.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn a_part_is_never_a_path_out_of_the_folder() {
        for good in ["site.db", "restock.toml", "keys/ca-key.pem", "join/key-list"] {
            assert!(is_part(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "keys/../x",
            "keys/",
            "keys/.x",
            "library/x",
            "join/a/b",
            "keys\\a",
            "site.db-wal",
        ] {
            assert!(!is_part(bad), "{bad}");
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let sample = made(&[("keys/root-key", &[7; 32]), ("site.db", b"SQLite")]);
        fuzz_one(&sample);
        let mut state = 1_u64;
        for round in 0..2_000_usize {
            let mut bytes = sample.clone();
            for _ in 0..=round % 4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(state >> 33).unwrap() % bytes.len();
                bytes[at] = u8::try_from(state >> 56).unwrap();
            }
            bytes.truncate(bytes.len() - round % 7);
            fuzz_one(&bytes);
        }
    }
}
