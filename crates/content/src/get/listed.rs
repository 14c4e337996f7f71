//! The same from a listing: files by path and digest, without a manifest.
//!
//! For places that give whole files, such as a distribution point's HTTP address. A file is begun under
//! the name of its digest, so that a later run goes on with it, and takes its place only when what
//! arrived has that digest.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;

use restock_names::{Digest, EntryPath};

use super::folder::{Folder, Meta};
use super::local::{Local, digest_of};
use super::{GetError, GetOptions, GetReport};

/// Bytes that are moved at once.
const BLOCK_BYTES: usize = 256 * 1024;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// An entry of a listing; folders come before what lies in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it lies.
    pub path: EntryPath,
    /// What it is; `None` for a folder.
    pub file: Option<ListedFile>,
}

/// A file of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedFile {
    /// Its bytes.
    pub size: u64,
    /// Its digest, as a manifest has it.
    pub digest: Digest,
    /// Whether it may be executed.
    pub is_executable: bool,
    /// Its modification time.
    pub mtime_ns: i64,
}

/// Where files come from.
pub trait FileSource {
    /// The bytes of a file from `offset` on; fewer than there are when the connection ends.
    fn file(&mut self, path: &EntryPath, file: &ListedFile, offset: u64) -> Result<Box<dyn Read>, Error>;
}

/// Makes the folder `destination` hold what `entries` lists; see [`super::get`].
///
/// Memory: one entry for each of the listing and the destination. Errors: see [`GetError`].
pub fn get_listed(
    entries: &mut dyn Iterator<Item = Result<Listed, Error>>,
    destination: &Path,
    source: &mut dyn FileSource,
    options: GetOptions,
    progress: &mut dyn FnMut(&GetReport) -> ControlFlow<()>,
) -> Result<GetReport, GetError> {
    let mut folder = Folder::open(destination)?;
    let mut report = GetReport::default();
    let mut others = BTreeSet::new();
    let local = Local::of(&folder, &mut others, &mut |bytes| {
        report.bytes_looked_at += bytes;
        progress(&report)
    })?;
    for entry in entries {
        let Listed { path, file } = entry.map_err(GetError::Fetch)?;
        others.remove(&path);
        let Some(wanted) = file else {
            folder.make_folder(&path)?;
            folder.set_meta_of_folder(&path)?;
            report.folders += 1;
            continue;
        };
        report.files += 1;
        let meta = Meta { mode: if wanted.is_executable { 0o755 } else { 0o644 }, mtime_ns: wanted.mtime_ns };
        if local.is_file(&path, &wanted.digest) {
            folder.set_meta(&path, meta)?;
            report.files_kept += 1;
        } else {
            let name = wanted.digest.to_string();
            let mut part = folder.open_part(&name)?;
            let is_copied = local
                .with_digest(&wanted.digest)
                .is_some_and(|from| copy(&folder, from, &mut part, &wanted.digest));
            if !is_copied {
                fetch(&mut part, &path, &wanted, source, &mut report, progress)?;
            }
            folder.put_part(part, &name, &path, meta)?;
        }
        report.bytes_total += wanted.size;
        if progress(&report).is_break() {
            return Err(GetError::Cancelled);
        }
    }
    for path in others.iter().rev() {
        if options.removes_others {
            folder.remove(path)?;
            report.removed += 1;
        } else {
            report.others += 1;
        }
    }
    folder.finish()?;
    Ok(report)
}

/// Copies a file of the destination that has the digest; false when it has it no more.
fn copy(folder: &Folder, from: &EntryPath, into: &mut File, digest: &Digest) -> bool {
    let copied = folder.open_file(from).ok().and_then(|mut file| {
        into.set_len(0).ok()?;
        into.seek(SeekFrom::Start(0)).ok()?;
        std::io::copy(&mut file, into).ok()
    });
    copied.is_some() && is(into, digest)
}

fn is(file: &File, digest: &Digest) -> bool {
    let found = digest_of(file, &mut |_, _| {}, &mut |_| ControlFlow::Continue(()));
    found.ok().flatten() == Some(*digest)
}

/// Fetches what a begun file lacks; what then is not the file is fetched once more from its start.
fn fetch(
    part: &mut File,
    path: &EntryPath,
    wanted: &ListedFile,
    source: &mut dyn FileSource,
    report: &mut GetReport,
    progress: &mut dyn FnMut(&GetReport) -> ControlFlow<()>,
) -> Result<(), GetError> {
    let fail = |error| GetError::io("write", path.as_bytes())(error);
    let mut found = Digest::ZERO;
    for _ in 0..2 {
        let mut at = part.seek(SeekFrom::End(0)).map_err(fail)?;
        if at > wanted.size {
            part.set_len(0).map_err(fail)?;
            at = part.seek(SeekFrom::Start(0)).map_err(fail)?;
        }
        if at < wanted.size {
            let mut body = source.file(path, wanted, at).map_err(GetError::Fetch)?;
            let mut block = vec![0; BLOCK_BYTES];
            while at < wanted.size {
                let count = match body.read(&mut block) {
                    Ok(0) => {
                        let text = format!("the answer ended after {at} of {} bytes", wanted.size);
                        return Err(GetError::Fetch(text.into()));
                    }
                    Ok(count) => count,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(GetError::Fetch(error.into())),
                };
                let left = usize::try_from(wanted.size - at).unwrap_or(usize::MAX);
                part.write_all(&block[..count.min(left)]).map_err(fail)?;
                at += count.min(left) as u64;
                report.bytes_fetched += count as u64;
                if progress(report).is_break() {
                    return Err(GetError::Cancelled);
                }
            }
        }
        let read = digest_of(part, &mut |_, _| {}, &mut |_| ControlFlow::Continue(()));
        found = read.map_err(fail)?.unwrap_or(Digest::ZERO);
        if found == wanted.digest {
            return Ok(());
        }
        part.set_len(0).map_err(fail)?;
    }
    Err(GetError::Mismatch { expected: wanted.digest, found })
}
