//! One refresh as a site does it: snapshot, seal, statement, activate.

use std::path::Path;
use std::sync::Arc;

use restock_content::files::Files;
use restock_content::library::Library;
use restock_content::manifest::ManifestRoot;
use restock_content::snapshot::{self, SnapshotOptions};
use restock_content::statement::Statement;
use restock_names::{ContentVersion, SystemClock, Timestamp};
use restock_testkit::receive::Event;

use super::scene::{Acks, Keys, version};

/// Takes a snapshot of `source` as version `number` and makes it active.
pub(super) fn run(
    files: Arc<dyn Files>,
    folder: &Path,
    source: &Path,
    number: u32,
    keys: &Keys,
    acks: &Acks,
) -> anyhow::Result<()> {
    let (library, _) = Library::open(files, folder)?;
    let wanted = version(number);
    let base = library.active(&wanted.package).map(|statement| statement.root);
    let root = take(&library, source, &wanted, base.as_ref())?;
    publish(&library, wanted, root, keys, acks)
}

/// Stores the statement of `root` and makes it active.
pub(super) fn publish(
    library: &Library,
    version: ContentVersion,
    root: ManifestRoot,
    keys: &Keys,
    acks: &Acks,
) -> anyhow::Result<()> {
    let statement = Statement::sign(version.package.site(), version, root, Timestamp(0), &keys.signing);
    library.store_statement(&statement)?;
    acks.add(Event::Stored(version));
    library.activate(&version)?;
    acks.add(Event::Active(version));
    Ok(())
}

fn take(
    library: &Library,
    source: &Path,
    version: &ContentVersion,
    base: Option<&ManifestRoot>,
) -> anyhow::Result<ManifestRoot> {
    let options = SnapshotOptions { threads: 1, ..SnapshotOptions::default() };
    let snapshot = snapshot::take(library, source, &version.package, base, options, &SystemClock, &())?;
    let root = snapshot.root;
    snapshot.commit()?;
    Ok(root)
}
