//! The record of one package's folder, beside its spare tree.
//!
//! Replaced as a whole, and written before and after each step that a crash must not hide. Source:
//! docs/formats/share.md, "The record".

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use restock_content::files::{Files, replace};
use restock_content::manifest::ManifestRoot;
use restock_names::{Digest, PackageId};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{ShareError, folders};

const FORMAT: u32 = 1;
const SUFFIX: &str = ".json";

/// What is known of a package's two trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    /// The folder's name in the root.
    pub(super) name: String,
    /// Its name before, while it is being renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) earlier_name: Option<String>,
    /// The tree that is seen; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) live: Option<Tree>,
    /// The other one; none while it is in the making, and when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) spare: Option<Tree>,
}

/// One tree and the manifest it is equal to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tree {
    /// The inode of its folder: this is how the two are told apart after a crash.
    pub(super) inode: u64,
    /// The modification time of its folder when it was finished.
    pub(super) mtime_ns: i64,
    /// False when damage was found in it.
    #[serde(default = "yes")]
    pub(super) is_right: bool,
    digest: String,
    length: u32,
    pages: u64,
    entries: u64,
    chunks: u64,
    bytes: u64,
}

fn yes() -> bool {
    true
}

impl Tree {
    pub(super) fn new(inode: u64, mtime_ns: i64, root: ManifestRoot) -> Self {
        let ManifestRoot { digest, length, pages, entries, chunks, bytes } = root;
        let digest = digest.to_string();
        Self { inode, mtime_ns, is_right: true, digest, length, pages, entries, chunks, bytes }
    }

    /// The manifest's root. A digest that cannot be read is one that nothing has.
    pub(super) fn root(&self) -> ManifestRoot {
        ManifestRoot {
            digest: self.digest.parse().unwrap_or(Digest([0; 32])),
            length: self.length,
            pages: self.pages,
            entries: self.entries,
            chunks: self.chunks,
            bytes: self.bytes,
        }
    }
}

impl State {
    pub(super) fn new(name: &str) -> Self {
        Self { format: FORMAT, name: name.to_owned(), earlier_name: None, live: None, spare: None }
    }
}

fn path(folder: &Path, package: &PackageId) -> PathBuf {
    folder.join(format!("{package}{SUFFIX}"))
}

/// The record in `folder`, if there is one.
pub(super) fn load(folder: &Path, package: &PackageId) -> Result<Option<State>, ShareError> {
    let path = path(folder, package);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ShareError::Io { step: "read", path, source }),
    };
    let state: State =
        serde_json::from_slice(&bytes).map_err(|source| ShareError::State { path: path.clone(), source })?;
    if state.format != FORMAT {
        let source = serde::de::Error::custom(format_args!("format {} is not known", state.format));
        return Err(ShareError::State { path, source });
    }
    Ok(Some(state))
}

/// Replaces the record, durably.
pub(super) fn store(
    files: &dyn Files,
    folder: &Path,
    package: &PackageId,
    state: &State,
) -> Result<(), ShareError> {
    let path = path(folder, package);
    let bytes = serde_json::to_vec_pretty(state).expect("texts and numbers are JSON");
    replace(files, &path, &bytes).map_err(|source| ShareError::Io { step: "write", path, source })
}

/// Removes the record.
pub(super) fn forget(files: &dyn Files, folder: &Path, package: &PackageId) -> Result<(), ShareError> {
    let path = path(folder, package);
    files.remove(&path).map_err(|source| ShareError::Io { step: "remove", path, source })
}

/// The packages that have a record.
pub(super) fn packages(folder: impl AsFd) -> Result<Vec<PackageId>, Errno> {
    let names = folders::names(folder.as_fd())?;
    let mut packages: Vec<PackageId> = names
        .iter()
        .filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix(SUFFIX)?.parse().ok())
        .collect();
    packages.sort_unstable();
    Ok(packages)
}
