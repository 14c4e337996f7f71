//! Why a run has no snapshot, in the words that status and logs show.

use restock_content::library::LibraryError;
use restock_content::snapshot::SnapshotError;
use restock_names::PackageId;
use restock_sitedb::Why;

use crate::SiteError;
use crate::message::chain;
use crate::source::Found;

/// Why a run has no snapshot.
pub(super) enum SnapshotTrouble {
    Cancelled,
    Failed(Why),
}

pub(super) fn unexpected(error: &SiteError) -> SnapshotTrouble {
    SnapshotTrouble::Failed(Why::new("SITE_FAILED", chain(error)).with_fix("see the log of the site"))
}

/// True when the library lacks what it should have.
pub(super) fn is_content_lost(error: &SnapshotError) -> bool {
    let is_lost =
        |error: &LibraryError| matches!(error, LibraryError::Missing(_) | LibraryError::Damaged { .. });
    match error {
        SnapshotError::Library(LibraryError::Manifest(_)) | SnapshotError::ReadBack { .. } => true,
        SnapshotError::Library(error) => is_lost(error),
        _ => false,
    }
}

/// What is said of a snapshot that failed, and what to do about it.
pub(super) fn trouble(error: &SnapshotError, id: PackageId, folder: &Found) -> SnapshotTrouble {
    if matches!(error, SnapshotError::Cancelled) {
        return SnapshotTrouble::Cancelled;
    }
    let code = error.code();
    let text = folder.named(&chain(error));
    // The sentence follows the code elsewhere, so it is not repeated in it.
    let text = text.strip_prefix(code).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text).to_owned();
    let why = Why::new(code, text);
    let fix = match code {
        "SOURCE_NOT_FOUND" => "bring the folder back, or set another source path",
        "SOURCE_EMPTY" => "bring the files back, or allow an empty version of this package",
        "SOURCE_PERMISSION" => "let the account of the site read it",
        "SOURCE_SPECIAL_FILE" => "take it out of the source",
        "SOURCE_SYMLINK" | "SOURCE_SYMLINK_LOOP" => {
            let fix = format!("restock package set {id} --symlinks keep, or take the link out of the source");
            return SnapshotTrouble::Failed(why.with_fix(fix));
        }
        "SOURCE_CHANGED" => "refresh when nobody writes to the source",
        "SOURCE_TOO_LARGE" => "take it out of the source, exclude it, or raise refresh.file_bytes_max",
        "SOURCE_TOO_MANY_ENTRIES" => "split the package, or raise the limit",
        _ if matches!(error, SnapshotError::Name { .. }) => {
            let fix = format!("rename it in the source, or restock package set {id} --names posix");
            return SnapshotTrouble::Failed(why.with_fix(fix));
        }
        code if code.starts_with("PATH_") || code == "NAME_TOO_LONG" => "rename it in the source",
        "SOURCE_READ" => "check the disk or mount that holds the source",
        "NO_SPACE" => "make room on the disk of the site's library; it goes on by itself",
        _ => "check the disk of the site's library",
    };
    SnapshotTrouble::Failed(why.with_fix(fix))
}
