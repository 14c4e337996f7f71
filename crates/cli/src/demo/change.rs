//! The changes the demo makes to its copy: what an update of real software looks like.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind};
use crate::output::{count, shown_path};

/// One file in this many is changed.
const ONE_IN: usize = 100;

/// What was done.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub(super) struct Changes {
    pub(super) changed: u64,
    pub(super) added: u64,
    pub(super) renamed: u64,
    pub(super) removed: u64,
}

/// Changes about one file in a hundred of the folder, at least one: lines are appended, bytes are
/// inserted in the middle of the largest file, one file is renamed, one removed, one added, and a
/// link and an empty folder are made.
pub(super) fn make(folder: &Path) -> Result<Changes, Failure> {
    let fail =
        |e: &io::Error| Failure::caused(Kind::Failed, format!("cannot change {}", shown_path(folder)), e);
    list(folder).and_then(|files| edit(folder, &files)).map_err(|e| fail(&e))
}

fn edit(folder: &Path, files: &[(PathBuf, u64)]) -> io::Result<Changes> {
    let mut changes = Changes::default();
    if let Some((largest, size)) = files.iter().max_by_key(|(_, size)| *size) {
        insert(largest, size / 2, b"restock demo: these bytes were inserted\n")?;
        changes.changed += 1;
        for (path, _) in files.iter().step_by(ONE_IN).filter(|(p, _)| p != largest) {
            writable(path, |path| {
                OpenOptions::new().append(true).open(path)?.write_all(b"restock demo: one more line\n")
            })?;
            changes.changed += 1;
        }
        let untouched: Vec<&PathBuf> = files
            .iter()
            .enumerate()
            .filter(|(i, (p, _))| i % ONE_IN != 0 && p != largest)
            .map(|(_, f)| &f.0)
            .collect();
        if let [first, .., last] = untouched.as_slice() {
            fs::remove_file(first)?;
            let mut renamed = last.as_os_str().to_owned();
            renamed.push(".renamed");
            fs::rename(last, &renamed)?;
            changes.removed += 1;
            changes.renamed += 1;
        }
    }
    fs::write(
        folder.join("restock-demo: 100% neu & größer?.txt"),
        "a new file with a name that needs care\n",
    )?;
    fs::create_dir_all(folder.join("restock-demo-empty"))?;
    let link = folder.join("restock-demo-link");
    if link.symlink_metadata().is_err() {
        symlink("restock-demo: 100% neu & größer?.txt", link)?;
    }
    changes.added += 3;
    Ok(changes)
}

/// Regular files below `folder` with their sizes.
fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let facts = entry.metadata()?;
            if facts.is_dir() {
                open.push(entry.path());
            } else if facts.is_file() {
                files.push((entry.path(), facts.size()));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Inserts `bytes` at `offset` and moves the rest up.
fn insert(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut rest = File::open(path)?;
    rest.seek(SeekFrom::Start(offset))?;
    let mut moved = path.as_os_str().to_owned();
    moved.push(".restock-demo");
    let moved = PathBuf::from(moved);
    let mut file = File::create(&moved)?;
    io::copy(&mut io::Read::take(File::open(path)?, offset), &mut file)?;
    file.write_all(bytes)?;
    io::copy(&mut rest, &mut file)?;
    file.set_permissions(fs::metadata(path)?.permissions())?;
    fs::rename(moved, path)
}

/// Runs `act` while the owner may write to the file.
fn writable(path: &Path, act: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let before = fs::metadata(path)?.permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(before.mode() | 0o200))?;
    act(path)?;
    fs::set_permissions(path, before)
}

impl Changes {
    /// `41 files changed, 3 entries added, 1 renamed, 1 removed`.
    pub(super) fn text(self) -> String {
        let mut text =
            format!("{} changed, {} added", count(self.changed, "file"), count(self.added, "entry"));
        if self.renamed > 0 {
            text.push_str(&format!(", {} renamed, {} removed", self.renamed, self.removed));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::make;

    #[test]
    fn a_few_files_change_and_most_stay() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..250 {
            fs::write(dir.path().join(format!("{n:03}")), format!("file {n}")).unwrap();
        }
        fs::write(dir.path().join("big"), vec![b'x'; 1000]).unwrap();
        let changes = make(dir.path()).unwrap();
        assert_eq!((changes.changed, changes.added, changes.renamed, changes.removed), (4, 3, 1, 1));
        let big = fs::read(dir.path().join("big")).unwrap();
        assert!(big.len() > 1000 && big.starts_with(&[b'x'; 500]) && big.ends_with(&[b'x'; 500]));
        assert_eq!(fs::read(dir.path().join("005")).unwrap(), b"file 5");
    }
}
