//! Entries of a manifest as lines of `package files`.

use restock_content::manifest::{Entry, EntryKind};

use crate::control::{FileKind, FileLine};

/// The line of one entry.
pub(crate) fn line(entry: &Entry) -> FileLine {
    let bytes = entry.path.as_bytes();
    let path = String::from_utf8_lossy(bytes).into_owned();
    let path_hex = (path.as_bytes() != bytes).then(|| bytes.iter().map(|b| format!("{b:02x}")).collect());
    let (kind, size, target) = match &entry.kind {
        EntryKind::File { size, .. } => (FileKind::File, Some(*size), None),
        EntryKind::Folder => (FileKind::Folder, None, None),
        EntryKind::Symlink { target } => {
            (FileKind::Symlink, None, Some(String::from_utf8_lossy(target).into_owned()))
        }
    };
    FileLine {
        path,
        path_hex,
        kind,
        size,
        mode: format!("{:04o}", entry.mode),
        mtime_ns: entry.mtime_ns,
        target,
    }
}
