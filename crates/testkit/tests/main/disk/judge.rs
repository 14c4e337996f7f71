//! What must hold of a library after any fault.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use restock_content::files::DiskFiles;
use restock_content::library::Library;
use restock_names::ContentVersion;
use restock_testkit::history::{Deed, History, Seen};
use restock_testkit::receive::Event;
use restock_testkit::tree::{Entries, differences};
use restock_testkit::version;

use super::scene::{Keys, PACKAGE};

/// What a library shows from outside.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Stored versions with their roots, in order.
    versions: Vec<(ContentVersion, restock_names::Digest)>,
    active: Option<ContentVersion>,
}

impl State {
    /// Writes down what was acknowledged and what is there at rest.
    pub(super) fn note(&self, history: &History, acks: &[Event]) {
        let pointer = format!("{PACKAGE} active");
        for ack in acks {
            let (of, version) = match ack {
                Event::Stored(version) => (PACKAGE, version),
                Event::Active(version) => (pointer.as_str(), version),
                Event::Asked(_) | Event::Recorded(_) => continue,
            };
            let seen = Seen { epoch: version.epoch.0, version: version.version.0, root: None };
            history.note("scenario", Deed::Change, of, &[seen]);
        }
        let seen: Vec<Seen> = self.versions.iter().map(|(v, root)| Seen::content(v, *root)).collect();
        for one in &seen {
            history.note("reader", Deed::Read, &format!("{PACKAGE} {one}"), &[*one]);
        }
        let newest = seen.last().copied();
        history.note("library", Deed::Rest, PACKAGE, newest.as_slice());
        let active = self.active.and_then(|active| seen.iter().find(|s| s.version == active.version.0));
        history.note("library", Deed::Rest, &pointer, active.copied().as_slice());
    }
}

/// Opens the library in `folder` and checks it against what was acknowledged.
///
/// `truth`: what each version holds. Errors: the first thing that is wrong.
pub(super) fn judge(
    folder: &Path,
    acks: &[Event],
    truth: &BTreeMap<ContentVersion, Entries>,
    keys: &Keys,
) -> Result<State> {
    let (library, recovered) =
        Library::open(Arc::new(DiskFiles), folder).context("the library does not open")?;
    ensure!(recovered.packs_damaged.is_empty(), "packs are set aside: {:?}", recovered.packs_damaged);
    ensure!(
        recovered.pointers_damaged.is_empty(),
        "pointers are set aside: {:?}",
        recovered.pointers_damaged
    );
    let package = PACKAGE.parse().expect("a package ID");
    let statements = library.statements(&package).context("statements cannot be read")?;
    for statement in &statements {
        statement.verify(&keys.list).context("a stored statement has no valid signature")?;
        let expected = truth.get(&statement.version).context("a statement of a version nobody made")?;
        let found = version::read(&library, &statement.root)
            .with_context(|| format!("{} is not whole", statement.version))?;
        let differences = differences(expected, &found);
        ensure!(differences.is_empty(), "{} holds other content: {}", statement.version, differences[0]);
    }
    let versions = statements.iter().map(|s| (s.version, s.root.digest)).collect();
    let active = library.active(&package).map(|statement| statement.version);
    let state = State { versions, active };
    for ack in acks {
        match ack {
            Event::Stored(version) => {
                let is_there = state.versions.iter().any(|(stored, _)| stored == version);
                ensure!(is_there, "{version} was stored and is lost");
            }
            Event::Active(version) => {
                ensure!(active >= Some(*version), "{version} was active, {active:?} is now");
            }
            Event::Asked(_) | Event::Recorded(_) => {}
        }
    }
    let report = library.check(|_| ControlFlow::Continue(())).context("the library cannot be checked")?;
    ensure!(report.damaged.is_empty(), "damaged frames: {:?}", report.damaged);
    ensure!(report.incomplete.is_empty(), "incomplete versions: {:?}", report.incomplete);
    Ok(state)
}

/// The names of working files that are left in the library: none after a run that ended well.
pub(super) fn leftovers(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".tmp") || name.contains(".open.") {
                found.push(name);
            }
        }
    }
    Ok(found)
}
