//! One cleaning as a site does it: the history is cut, the rest is collected and written anew.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use restock_content::files::Files;
use restock_content::library::{CollectOptions, Library};
use restock_names::Timestamp;
use restock_testkit::receive::Event;

use super::scene::{Acks, version};

/// Keeps the active version alone and deletes what nothing refers to.
pub(super) fn run(files: Arc<dyn Files>, folder: &Path, acks: &Acks) -> Result<()> {
    let (library, _) = Library::open(files, folder)?;
    let package = version(1).package;
    let active = library.active(&package).context("a version is active")?.version;
    acks.add(Event::Active(active));
    library.trim(&package, 1)?;
    // All that is stored is old, whatever the clock of the file system says.
    let now = Timestamp(i64::MAX);
    let options = CollectOptions { now, grace: Duration::ZERO, rewrite_bytes_max: u64::MAX };
    let collection = library.collect(options, || ControlFlow::Continue(()))?;
    collection.finish(|_| ControlFlow::Continue(()))?;
    Ok(())
}
