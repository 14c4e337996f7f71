//! Snapshots of real folders, taken and read back.

mod delta;
mod expected;
mod links;
mod moving;
mod names;
mod refused;
mod same;
mod special;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use restock_content::files::DiskFiles;
use restock_content::library::{Library, Role};
use restock_content::manifest::ManifestRoot;
use restock_content::snapshot::{Progress, Snapshot, SnapshotError, SnapshotOptions, take};
use restock_names::{Clock, ManualClock, PackageId, SystemClock};
use restock_testkit::{tree, version};
use tempfile::TempDir;

/// An empty site library.
struct Site {
    library: Library,
    _folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let library = Library::create(Arc::new(DiskFiles), folder.path(), Role::Site).expect("a library");
        Self { library, _folder: folder }
    }

    fn take(&self, source: &Path, base: Option<&ManifestRoot>) -> Result<Snapshot, SnapshotError> {
        self.take_with(source, base, SnapshotOptions { threads: 2, ..SnapshotOptions::default() }, &())
    }

    fn take_with(
        &self,
        source: &Path,
        base: Option<&ManifestRoot>,
        options: SnapshotOptions,
        progress: &dyn Progress,
    ) -> Result<Snapshot, SnapshotError> {
        take(&self.library, source, &package(), base, options, &settled_clock(), progress)
    }

    /// The code and text of the refusal.
    fn refusal(&self, source: &Path, base: Option<&ManifestRoot>) -> (&'static str, String) {
        refusal(self.take(source, base))
    }

    /// Fails unless the version is byte for byte what the folder holds.
    fn assert_holds(&self, root: &ManifestRoot, source: &Path) {
        let found = version::read(&self.library, root).expect("every chunk is there");
        let expected = tree::read(source).expect("the source can be read");
        assert_eq!(tree::differences(&expected, &found), Vec::<String>::new());
        assert_eq!(root.entries, expected.len() as u64);
    }
}

fn refusal(taken: Result<Snapshot, SnapshotError>) -> (&'static str, String) {
    let error = taken.expect_err("must be refused");
    (error.code(), error.to_string())
}

fn package() -> PackageId {
    "XYZ00001".parse().expect("a package ID")
}

/// A clock for which everything on the disk has been left alone for a while.
fn settled_clock() -> ManualClock {
    ManualClock::new(SystemClock.now().after(Duration::from_secs(60)))
}

/// Waits until the file system's clock has moved on, so that a change now has a later time.
fn let_file_clock_advance(folder: &Path) {
    let probe = tempfile::NamedTempFile::new_in(folder.parent().expect("a parent")).expect("a file");
    let changed = || {
        let metadata = probe.as_file().metadata().expect("a stat");
        metadata.modified().expect("a time")
    };
    let first = changed();
    while changed() == first {
        probe.as_file().set_len(0).expect("emptied");
        std::io::Write::write_all(&mut probe.as_file(), b"x").expect("written");
    }
}
