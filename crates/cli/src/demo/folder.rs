//! The demo's source: a bounded copy of a folder of real files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use super::stop::Stop;
use crate::failure::{Failure, Kind};
use crate::output::{count, shown_path};

/// Folders looked at when none is named, best first.
const CANDIDATES: [&str; 7] = [
    "/usr/lib/python3",
    "/usr/share/doc",
    "/usr/include",
    "/usr/share/perl",
    "/usr/share/zoneinfo",
    "/usr/share",
    "/usr/lib",
];
/// A candidate with fewer files is passed over for the next one.
const FILES_WANTED: u64 = 200;
/// What is copied of a folder that was not named by the user.
const BOUNDS: Bounds = Bounds { files: 4_000, bytes: 64 << 20 };

/// How much is copied at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    files: u64,
    bytes: u64,
}

impl Bounds {
    /// Everything.
    pub(super) const NONE: Self = Self { files: u64::MAX, bytes: u64::MAX };
}

/// What a copy holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) files: u64,
    pub(super) folders: u64,
    pub(super) links: u64,
    pub(super) bytes: u64,
    /// Entries left out because they cannot be read or are no files, folders or links.
    pub(super) skipped: u64,
}

/// A folder of real files on this machine, and how much of it to take.
pub(super) fn choose(named: Option<PathBuf>) -> Result<(PathBuf, Bounds), Failure> {
    if let Some(folder) = named {
        let folder = fs::canonicalize(&folder).map_err(|e| {
            Failure::caused(Kind::NotFound, format!("cannot use {}", shown_path(&folder)), &e)
        })?;
        if !folder.is_dir() {
            return Err(Failure::usage(format!("{} is not a folder", shown_path(&folder))));
        }
        return Ok((folder, Bounds::NONE));
    }
    let mut best: Option<(u64, PathBuf)> = None;
    for candidate in CANDIDATES.map(PathBuf::from) {
        let files = count_files(&candidate, FILES_WANTED);
        if files >= FILES_WANTED {
            return Ok((candidate, BOUNDS));
        }
        if best.as_ref().is_none_or(|(most, _)| files > *most) {
            best = Some((files, candidate));
        }
    }
    match best {
        Some((files, folder)) if files > 0 => Ok((folder, BOUNDS)),
        _ => {
            Err(Failure::failed("no folder with files was found on this machine").hint("restock demo FOLDER"))
        }
    }
}

/// Files below `folder`, counted up to `enough`.
fn count_files(folder: &Path, enough: u64) -> u64 {
    let mut open = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => files += 1,
                _ => {}
            }
            if files >= enough {
                return files;
            }
        }
    }
    files
}

/// Copies `from` to the new folder `to`: bytes, permission bits, modification times, links as links.
///
/// Folders are walked in order of their names, so the same folder gives the same copy. What cannot
/// be read, sockets, pipes and devices are left out and counted. Files beyond `bounds` are left out.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    bounds: Bounds,
    stop: &Stop,
    step: &mut dyn FnMut(&Copied),
) -> Result<Copied, Failure> {
    let mut copied = Copied::default();
    fs::create_dir_all(to)
        .map_err(|e| Failure::caused(Kind::Failed, format!("cannot make {}", shown_path(to)), &e))?;
    let mut open = vec![(from.to_owned(), to.to_owned())];
    let mut times = Vec::new();
    while let Some((from, to)) = open.pop() {
        stop.check()?;
        let mut entries: Vec<fs::DirEntry> = match fs::read_dir(&from) {
            Ok(entries) => entries.flatten().collect(),
            Err(_) => {
                copied.skipped += 1;
                continue;
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let fail = |e: &io::Error| {
                Failure::caused(Kind::Failed, format!("cannot copy {}", shown_path(&source)), e)
            };
            let Ok(facts) = source.symlink_metadata() else {
                copied.skipped += 1;
                continue;
            };
            if facts.is_dir() {
                fs::create_dir(&target).map_err(|e| fail(&e))?;
                copied.folders += 1;
                times.push((target.clone(), facts.permissions(), facts.modified()));
                open.push((source, target));
            } else if facts.is_symlink() {
                let link = fs::read_link(&source).map_err(|e| fail(&e))?;
                symlink(link, &target).map_err(|e| fail(&e))?;
                copied.links += 1;
            } else if facts.is_file() {
                if copied.files >= bounds.files || copied.bytes.saturating_add(facts.size()) > bounds.bytes {
                    continue;
                }
                if File::open(&source).is_err() {
                    copied.skipped += 1;
                    continue;
                }
                copied.bytes += fs::copy(&source, &target).map_err(|e| fail(&e))?;
                copied.files += 1;
                if let Ok(modified) = facts.modified() {
                    // A read-only file can be opened for its times by its owner only when writable.
                    if let Ok(file) = File::open(&target) {
                        file.set_modified(modified).map_err(|e| fail(&e))?;
                    }
                }
                step(&copied);
            } else {
                copied.skipped += 1;
            }
        }
    }
    // Children first: making an entry changes its folder's time, and a folder may be read-only.
    for (folder, mode, modified) in times.into_iter().rev() {
        let set = || -> io::Result<()> {
            if let Ok(modified) = modified {
                File::open(&folder)?.set_modified(modified)?;
            }
            fs::set_permissions(&folder, mode)
        };
        set()
            .map_err(|e| Failure::caused(Kind::Failed, format!("cannot copy {}", shown_path(&folder)), &e))?;
    }
    if copied.files == 0 {
        return Err(Failure::failed(format!("{} holds no file that can be read", shown_path(from)))
            .hint("restock demo FOLDER, with a folder that has files"));
    }
    Ok(copied)
}

impl Copied {
    /// `4,000 files in 321 folders, 7 links`.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} in {}", count(self.files, "file"), count(self.folders + 1, "folder"));
        if self.links > 0 {
            text.push_str(&format!(", {}", count(self.links, "link")));
        }
        if self.skipped > 0 {
            text.push_str(&format!(", {} left out", count(self.skipped, "entry")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{Bounds, copy};
    use crate::demo::stop::Stop;

    #[test]
    fn a_copy_has_links_as_links_and_leaves_special_files_out() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/a"), "hello").unwrap();
        fs::set_permissions(from.join("sub/a"), fs::Permissions::from_mode(0o555)).unwrap();
        symlink("sub/a", from.join("link")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap());
        let to = dir.path().join("to");
        let copied = copy(&from, &to, Bounds::NONE, &Stop::default(), &mut |_| {}).unwrap();
        assert_eq!(
            (copied.files, copied.folders, copied.links, copied.bytes, copied.skipped),
            (1, 1, 1, 5, 1)
        );
        assert_eq!(fs::read_link(to.join("link")).unwrap().to_str(), Some("sub/a"));
        assert_eq!(fs::metadata(to.join("sub/a")).unwrap().permissions().mode() & 0o777, 0o555);
        let times = [&from, &to].map(|f| fs::metadata(f.join("sub/a")).unwrap().modified().unwrap());
        assert_eq!(times[0], times[1]);
    }

    #[test]
    fn a_copy_stays_within_its_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir(&from).unwrap();
        for name in ["a", "b", "c"] {
            fs::write(from.join(name), "12345").unwrap();
        }
        let bounds = Bounds { files: 9, bytes: 10 };
        let copied = copy(&from, &dir.path().join("to"), bounds, &Stop::default(), &mut |_| {}).unwrap();
        assert_eq!((copied.files, copied.bytes), (2, 10));
    }
}
