//! Reads a content version out of a library as the entries of a tree.

use anyhow::{Context, Result, ensure};
use restock_content::library::Library;
use restock_content::manifest::{EntryKind, Manifest, ManifestRoot};

use crate::tree::{Entries, Seen, SeenKind};

/// Every entry of the version with this root, contents included; each chunk is read and checked.
pub fn read(library: &Library, root: &ManifestRoot) -> Result<Entries> {
    let manifest = Manifest::new(library, *root);
    let mut entries = Entries::new();
    for entry in manifest.entries() {
        let entry = entry?;
        let kind = match &entry.kind {
            EntryKind::Folder => SeenKind::Folder,
            EntryKind::Symlink { target } => SeenKind::Symlink(target.clone()),
            EntryKind::File { size, .. } => {
                let mut bytes = Vec::new();
                for run in manifest.runs(&entry) {
                    let (_, run) = run?;
                    let raw = library
                        .read(&run.digest)
                        .with_context(|| format!("failed to read {}", entry.path))?;
                    ensure!(raw.len() == run.length as usize, "{}: a chunk has another length", entry.path);
                    (0..run.repeat).for_each(|_| bytes.extend_from_slice(&raw));
                }
                ensure!(bytes.len() as u64 == *size, "{} has {} bytes, not {size}", entry.path, bytes.len());
                SeenKind::File(bytes)
            }
        };
        let seen = Seen { mode: entry.mode, mtime_ns: entry.mtime_ns, kind };
        entries.insert(entry.path.as_bytes().to_vec(), seen);
    }
    Ok(entries)
}
