//! Sample folders: made from a seed, edited from a seed, compared entry by entry.
//!
//! [`generate`] makes the odd things that real folders hold: names that are not UTF-8, links that
//! lead nowhere, empty files and folders, holes, repeated bytes. [`edit`] changes such a folder as
//! people do. [`read`] takes down what a folder holds, [`differences`] compares two of those.

mod edit;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::random::Random;

pub use edit::edit;

/// How large a tree becomes.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Folders beside the root.
    pub folders: usize,
    /// Files.
    pub files: usize,
    /// Symbolic links.
    pub symlinks: usize,
    /// Bytes of the largest file; most are far smaller.
    pub file_bytes_max: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { folders: 12, files: 60, symlinks: 8, file_bytes_max: 600_000 }
    }
}

/// An entry as it is seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    /// Permission bits.
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
    /// What it is.
    pub kind: SeenKind,
}

/// What an entry is, with its content.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SeenKind {
    Folder,
    Symlink(Vec<u8>),
    File(Vec<u8>),
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            SeenKind::Folder => write!(f, "folder")?,
            SeenKind::Symlink(target) => write!(f, "link to {}", String::from_utf8_lossy(target))?,
            SeenKind::File(bytes) => {
                let digest = restock_content::hash::chunk_digest(bytes);
                write!(f, "file of {} bytes ({})", bytes.len(), digest.short())?;
            }
        }
        write!(f, ", mode {:o}, mtime {}", self.mode, self.mtime_ns)
    }
}

/// Entries by path relative to the folder; the folder itself is left out.
pub type Entries = BTreeMap<Vec<u8>, Seen>;

/// Fills the empty folder `root` with the tree that belongs to `seed` and `shape`.
///
/// All times lie in the past, from 2001 to 2022.
pub fn generate(root: &Path, seed: u64, shape: Shape) -> io::Result<()> {
    let mut random = Random::new(seed);
    let mut folders = vec![root.to_owned()];
    for _ in 0..shape.folders {
        let parent = &folders[random.index(folders.len())];
        let path = parent.join(name(&mut random));
        if std::fs::symlink_metadata(&path).is_err() {
            std::fs::create_dir(&path)?;
            folders.push(path);
        }
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for _ in 0..shape.files {
        let path = folders[random.index(folders.len())].join(name(&mut random));
        if std::fs::symlink_metadata(&path).is_err() {
            write_file(&path, &files, &mut random, shape.file_bytes_max)?;
            files.push(path);
        }
    }
    for _ in 0..shape.symlinks {
        let path = folders[random.index(folders.len())].join(name(&mut random));
        if std::fs::symlink_metadata(&path).is_err() {
            symlink(link_target(&files, &mut random), &path)?;
            set_mtime(&path, random_mtime(&mut random))?;
        }
    }
    // Children first: making them has changed their folder's time.
    for folder in folders.iter().skip(1).rev() {
        set_mtime(folder, random_mtime(&mut random))?;
    }
    Ok(())
}

/// A name nobody would choose, or an ordinary one. Always allowed in a package.
fn name(random: &mut Random) -> OsString {
    let number = random.below(100_000);
    let text = match random.below(12) {
        0 => format!("caf\u{e9} {number}"),
        1 => format!("-rf {number}"),
        2 => format!(".hidden{number}"),
        3 => format!("new\nline{number}"),
        4 => format!("{number}-{}", "long".repeat(55)),
        5 => format!("tab\t'quote\" {number}"),
        6 => return OsString::from_vec([b"bad\xff\xfe".as_slice(), number.to_string().as_bytes()].concat()),
        7 => format!("B::Op{number}.3pm"),
        _ => format!("file{number}.bin"),
    };
    text.into()
}

fn write_file(path: &Path, others: &[PathBuf], random: &mut Random, bytes_max: u64) -> io::Result<()> {
    let file = std::fs::File::create(path)?;
    match random.below(10) {
        0 => {}
        1 => {
            // A hole with a few bytes behind it.
            let length = random.below(bytes_max) + 1;
            file.set_len(length)?;
            file.write_all_at(b"end", length - 1)?;
        }
        2 => {
            let block = random.bytes(4_096);
            for number in 0..random.below(bytes_max / 4_096 + 1) {
                file.write_all_at(&block, number * 4_096)?;
            }
        }
        3 if !others.is_empty() => {
            let copied = std::fs::read(&others[random.index(others.len())])?;
            file.write_all_at(&copied, 0)?;
        }
        4 | 5 => {
            let length = random.below(bytes_max) as usize;
            file.write_all_at(&random.bytes(length), 0)?;
        }
        _ => {
            let words = ["site", "content", "package", "refresh", "holder", "pack"];
            let count = random.index(2_000);
            let text: Vec<&str> = (0..count).map(|_| words[random.index(words.len())]).collect();
            file.write_all_at(text.join(" ").as_bytes(), 0)?;
        }
    }
    let modes = [0o644, 0o755, 0o600, 0o444, 0o640, 0o4755];
    file.set_permissions(Permissions::from_mode(modes[random.index(modes.len())]))?;
    drop(file);
    set_mtime(path, random_mtime(random))
}

fn link_target(files: &[PathBuf], random: &mut Random) -> OsString {
    match random.below(5) {
        0 => "does/not/exist".into(),
        1 => "/etc/passwd".into(),
        2 => "../../../../outside".into(),
        _ if !files.is_empty() => {
            let file = &files[random.index(files.len())];
            file.file_name().unwrap_or(OsStr::new(".")).to_owned()
        }
        _ => ".".into(),
    }
}

fn random_mtime(random: &mut Random) -> i64 {
    const FROM: u64 = 1_000_000_000_000_000_000;
    const SPAN: u64 = 650_000_000_000_000_000;
    (FROM + random.below(SPAN)).cast_signed()
}

/// Sets an entry's modification time without following a link.
pub fn set_mtime(path: &Path, mtime_ns: i64) -> io::Result<()> {
    let time =
        Timespec { tv_sec: mtime_ns.div_euclid(1_000_000_000), tv_nsec: mtime_ns.rem_euclid(1_000_000_000) };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Takes down everything beneath `root`, contents included.
pub fn read(root: &Path) -> io::Result<Entries> {
    let mut entries = Entries::new();
    for path in paths(root)? {
        let metadata = std::fs::symlink_metadata(&path)?;
        let kind = if metadata.is_dir() {
            SeenKind::Folder
        } else if metadata.is_symlink() {
            SeenKind::Symlink(std::fs::read_link(&path)?.into_os_string().into_vec())
        } else {
            SeenKind::File(std::fs::read(&path)?)
        };
        let relative = path.strip_prefix(root).expect("listed beneath the root");
        let mtime_ns = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
        let seen = Seen { mode: metadata.mode() & 0o7777, mtime_ns, kind };
        entries.insert(relative.as_os_str().as_bytes().to_vec(), seen);
    }
    Ok(entries)
}

/// All paths beneath `root`, folders before what they hold, in the order of their bytes.
fn paths(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// What differs between two trees, one line an entry; empty when they are equal.
pub fn differences(expected: &Entries, found: &Entries) -> Vec<String> {
    let shown = |path: &[u8]| restock_names::Escaped(path).to_string();
    let mut lines = Vec::new();
    for (path, entry) in expected {
        match found.get(path) {
            None => lines.push(format!("{} is missing: {entry:?}", shown(path))),
            Some(other) if other != entry => {
                lines.push(format!("{} differs: expected {entry:?}, found {other:?}", shown(path)));
            }
            Some(_) => {}
        }
    }
    let extra = found.keys().filter(|path| !expected.contains_key(*path));
    lines.extend(extra.map(|path| format!("{} is not expected", shown(path))));
    lines
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{Shape, differences, edit, generate, read};

    #[test]
    fn a_seed_gives_the_same_tree_each_time() {
        let folders = [TempDir::new().expect("a folder"), TempDir::new().expect("a folder")];
        for folder in &folders {
            generate(folder.path(), 7, Shape::default()).expect("generates");
        }
        let [a, b] = folders.each_ref().map(|f| read(f.path()).expect("reads"));
        assert_eq!(differences(&a, &b), Vec::<String>::new());
        assert!(a.len() > 60, "{} entries", a.len());
    }

    #[test]
    fn an_edit_changes_some_entries_and_keeps_most() {
        let folder = TempDir::new().expect("a folder");
        generate(folder.path(), 7, Shape::default()).expect("generates");
        let before = read(folder.path()).expect("reads");
        edit(folder.path(), 8, 10).expect("edits");
        let changed = differences(&before, &read(folder.path()).expect("reads")).len();
        assert!((5..50).contains(&changed), "{changed} differences");
    }
}
