//! Checking and measuring a library, for a site and for a DP, running or not.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use restock_content::files::{DiskFiles, replace};
use restock_content::library::{self as content, Library, LibraryError};
use restock_names::{Clock, SystemClock};

use crate::config::Role;
use crate::control::{CheckProgress, Events, LibraryChecked, LibraryMeasured, PackageHeld, put};
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind};
use crate::output::{shown, shown_path};

/// How often a check says how far it is.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// Opens the library of a folder whose lock the caller holds.
pub(crate) fn open(folder: &Path) -> Result<Arc<Library>, Failure> {
    let files = Arc::new(DiskFiles);
    let (library, recovered) = Library::open(files, folder).map_err(|e| failure(folder, &e))?;
    tracing::debug!(?recovered, "library opened");
    Ok(Arc::new(library))
}

/// Makes sure that the library in the data folder is the one that was there before, and of `role`.
/// Nothing in it is written.
///
/// Errors: `LIBRARY_ID_MISMATCH`. A folder without a library is somebody else's to refuse.
pub(crate) fn check_identity(data: &DataFolder, role: Role) -> Result<(), Failure> {
    let folder = data.library();
    let (found_role, found) = match Library::identify(&folder) {
        Err(LibraryError::NotFound(_)) => return Ok(()),
        identified => identified.map_err(|e| failure(&folder, &e))?,
    };
    let path = data.library_id();
    let known = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => {
            return Err(Failure::caused(Kind::Failed, format!("cannot read {}", shown_path(&path)), &e));
        }
    };
    let is_of_role = match role {
        Role::Site => found_role == content::Role::Site,
        Role::Dp => found_role == content::Role::DistributionPoint,
    };
    match known {
        Some(known) if known != found.to_string() || !is_of_role => Err(Failure::refused(format!(
            "LIBRARY_ID_MISMATCH: {} holds library {found}, library {} belongs here",
            shown_path(&folder),
            shown(&known),
        ))
        .hint("mount the right library")
        .hint(format!("remove {} if this library is to be used from now on", shown_path(&path)))),
        None if !is_of_role => Err(Failure::refused(format!(
            "LIBRARY_ID_MISMATCH: the library in {} is not that of a {}",
            shown_path(&folder),
            match role {
                Role::Site => "site",
                Role::Dp => "distribution point",
            }
        ))
        .hint("mount the right library")),
        Some(_) => Ok(()),
        None => replace(&DiskFiles, &path, format!("{found}\n").as_bytes())
            .map_err(|e| Failure::caused(Kind::Failed, format!("cannot write {}", shown_path(&path)), &e)),
    }
}

/// Why a library cannot be used.
pub(crate) fn failure(folder: &Path, error: &LibraryError) -> Failure {
    let kind = match error {
        LibraryError::NotFound(_) => Kind::NotFound,
        LibraryError::Locked { .. } | LibraryError::Exists(_) => Kind::Refused,
        _ => Kind::Failed,
    };
    let mut failure = Failure::new(kind, crate::failure::chain(error));
    if kind == Kind::Failed && !failure.message.contains(&shown_path(folder)) {
        failure.message = format!("{} (library {})", failure.message, shown_path(folder));
    }
    failure
}

/// Re-hashes every frame, on a thread of its own; events are [`CheckProgress`]. It ends when nobody
/// takes them any more.
pub(crate) async fn check(library: Arc<Library>, events: Events) -> Result<LibraryChecked, Failure> {
    tokio::task::spawn_blocking(move || check_blocking(&library, &events))
        .await
        .map_err(|e| Failure::caused(Kind::Failed, "checking the library", &e))?
}

fn check_blocking(library: &Library, events: &Events) -> Result<LibraryChecked, Failure> {
    let start = SystemClock.monotonic();
    let fail = |e: &LibraryError| failure(library.folder(), e);
    let mut progress =
        CheckProgress { bytes: 0, bytes_total: library.stat().map_err(|e| fail(&e))?.stored_bytes };
    let mut told_at = start;
    let mut is_left = false;
    let report = library
        .check(|bytes| {
            progress.bytes += bytes;
            let now = SystemClock.monotonic();
            if now - told_at < PROGRESS_PERIOD {
                return ControlFlow::Continue(());
            }
            told_at = now;
            is_left = !put(events, &progress);
            if is_left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .map_err(|e| fail(&e))?;
    if is_left {
        return Err(Failure::failed("the check was stopped, because nobody waits for it any more"));
    }
    let mut problems = Vec::new();
    let (replaced, damaged): (Vec<_>, Vec<_>) = report.damaged.iter().partition(|frame| frame.is_replaced);
    for frame in damaged {
        problems.push(match frame.digest {
            Some(digest) => {
                format!("CONTENT_DAMAGED: {digest} in pack {} does not have its digest", frame.pack)
            }
            None => format!("CONTENT_DAMAGED: a record of the table of pack {} is damaged", frame.pack),
        });
    }
    if report.index_wrong > 0 {
        problems.push(format!(
            "INDEX_WRONG: the index does not find {} frames where they are; it is made anew",
            report.index_wrong
        ));
    }
    for version in &report.incomplete {
        problems.push(format!("CONTENT_MISSING: version {version} is not complete"));
    }
    Ok(LibraryChecked {
        packs: report.packs,
        frames: report.frames,
        bytes: report.bytes,
        duration_ms: u64::try_from((SystemClock.monotonic() - start).as_millis()).unwrap_or(u64::MAX),
        problems,
        replaced: replaced.len() as u64,
    })
}

/// Counts and sizes, on a thread of its own.
pub(crate) async fn stat(library: Arc<Library>) -> Result<LibraryMeasured, Failure> {
    tokio::task::spawn_blocking(move || stat_blocking(&library))
        .await
        .map_err(|e| Failure::caused(Kind::Failed, "measuring the library", &e))?
}

fn stat_blocking(library: &Library) -> Result<LibraryMeasured, Failure> {
    let stat = library.stat().map_err(|e| failure(library.folder(), &e))?;
    let index = library.index_state();
    let held = |id| {
        let statement = library.active(&id)?;
        Some(PackageHeld {
            package: id,
            version: statement.version.version,
            entries: statement.root.entries,
            bytes: statement.root.bytes,
            root: statement.root.digest,
        })
    };
    Ok(LibraryMeasured {
        library_id: library.id().to_string(),
        packs: stat.packs,
        frames: stat.frames,
        stored_bytes: stat.stored_bytes,
        decoded_bytes: stat.decoded_bytes,
        raw_chunks: stat.raw_chunks,
        raw_bytes: stat.raw_bytes,
        frames_in_index: index.frames_in_file,
        frames_in_memory: index.frames_in_memory,
        versions: stat.versions,
        packages: library.packages().into_iter().filter_map(held).collect(),
    })
}
