//! Keeping the folders of a distribution point's shares right while it runs: at the start what a crash
//! or a stop left, from then on what somebody changed in them.
//!
//! The share's root is made when the first package asks for a folder.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restock_content::library::Library;
use restock_content::statement::Statement;
use restock_names::PackageId;
use restock_transfer::Run;
use tokio_util::sync::CancellationToken;

use super::{OWN_FOLDER, ShareError, ShareReport, Shares};
use crate::packages::Packages;

/// The names, lengths and times in the folders are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// The shares of a distribution point, opened when they are first needed.
#[derive(Debug)]
pub(crate) struct ShareRoot {
    root: PathBuf,
    library: Arc<Library>,
    opened: Mutex<Option<Arc<Shares>>>,
}

impl ShareRoot {
    pub(crate) fn new(root: PathBuf, library: Arc<Library>) -> Self {
        Self { root, library, opened: Mutex::default() }
    }

    /// The shares, opened. Blocking.
    fn shares(&self) -> Result<Arc<Shares>, ShareError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        match &*opened {
            Some(shares) => Ok(Arc::clone(shares)),
            None => {
                let shares = Arc::new(Shares::open(&self.root, Arc::clone(&self.library))?);
                *opened = Some(Arc::clone(&shares));
                Ok(shares)
            }
        }
    }

    /// True when nothing was ever shared here.
    fn is_unused(&self) -> bool {
        !self.root.join(OWN_FOLDER).exists()
    }

    /// Makes the folder of a package what it is to be: named `name` and equal to `statement`'s version,
    /// or gone. Blocking.
    pub(crate) fn bring(
        &self,
        name: Option<&str>,
        statement: &Statement,
        cancel: &CancellationToken,
    ) -> Result<(), ShareError> {
        let Some(name) = name else { return self.remove(&statement.version.package) };
        let is_stopped = || self.is_over(statement, cancel);
        let report = self.shares()?.keep(name, &statement.version, statement.root, &is_stopped)?;
        tell(name, statement, &report);
        Ok(())
    }

    /// Nobody waits for it any more, or another version is served by now, whose folder another job makes.
    fn is_over(&self, statement: &Statement, cancel: &CancellationToken) -> bool {
        let version = &statement.version;
        cancel.is_cancelled()
            || self.library.active(&version.package).is_none_or(|active| active.version != *version)
    }

    /// As [`Self::bring`], after every file was read and compared. Returns how many entries were wrong.
    pub(crate) fn check(
        &self,
        name: Option<&str>,
        statement: &Statement,
        reads: bool,
        cancel: &CancellationToken,
    ) -> Result<u64, ShareError> {
        self.bring(name, statement, cancel)?;
        let Some(name) = name else { return Ok(0) };
        let (shares, is_stopped) = (self.shares()?, || self.is_over(statement, cancel));
        let version = &statement.version;
        let found = shares.check(&version.package, statement.root, reads, &is_stopped)?;
        let Some(damage) = found.filter(|damage| !damage.is_none()) else { return Ok(0) };
        tracing::warn!(
            target: "smsdpprov",
            entries = damage.count,
            package.id = %version.package,
            package.version = %version.version,
            "SHARE_DAMAGED: the folder {name} of a share is not what it was made and is mended"
        );
        let report = shares.mend(name, version, statement.root, &damage, &is_stopped)?;
        tell(name, statement, &report);
        Ok(damage.count)
    }

    /// Removes the folder of a package, if it has one. Blocking.
    pub(crate) fn remove(&self, package: &PackageId) -> Result<(), ShareError> {
        if self.is_unused() {
            return Ok(());
        }
        self.shares()?.remove(package)
    }

    /// Looks after all folders until the run ends; reads all files once in `period`.
    pub(crate) async fn keep_up(self: Arc<Self>, packages: Arc<Packages>, period: Duration, run: Run) {
        let began = run.clock.monotonic();
        let (mut rounds, mut readings) = (0_u32, 0_u32);
        loop {
            let age = run.clock.monotonic().saturating_duration_since(began);
            let reads = age >= period.saturating_mul(readings + 1);
            readings += u32::from(reads);
            let (this, packages, cancel) = (Arc::clone(&self), Arc::clone(&packages), run.cancel.clone());
            let is_first = rounds == 0;
            let round = run.tracker.spawn_blocking(move || this.round(&packages, (is_first, reads), &cancel));
            if let Err(error) = round.await {
                tracing::error!(target: "smsdpprov", %error, "looking after shares ended unexpectedly");
            }
            rounds = rounds.saturating_add(1);
            tokio::select! {
                () = run.cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn round(&self, packages: &Packages, (is_first, reads): (bool, bool), cancel: &CancellationToken) {
        for package in self.library.packages() {
            if cancel.is_cancelled() {
                return;
            }
            let Some(name) = packages.facts(&package).share else { continue };
            let Some(statement) = self.library.active(&package) else { continue };
            let done = match is_first {
                true => self.bring(Some(&name), &statement, cancel),
                false => self.check(Some(&name), &statement, reads, cancel).map(|_wrong| ()),
            };
            self.failed(&package, done);
        }
        self.remove_forgotten(packages);
    }

    /// Removes the folders of packages that are not here any more, or are not to have one.
    fn remove_forgotten(&self, packages: &Packages) {
        if self.is_unused() {
            return;
        }
        let known = match self.shares().and_then(|shares| shares.packages()) {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(target: "smsdpprov", error = &error as &dyn std::error::Error, "the share cannot be read");
                return;
            }
        };
        for package in known {
            if self.library.active(&package).is_none() || packages.facts(&package).share.is_none() {
                self.failed(&package, self.remove(&package));
            }
        }
    }

    fn failed(&self, package: &PackageId, done: Result<(), ShareError>) {
        match done {
            Ok(()) | Err(ShareError::Stopped) => {}
            Err(error) => tracing::error!(
                target: "smsdpprov",
                error = &error as &dyn std::error::Error,
                package.id = %package,
                "the folder of a package cannot be kept"
            ),
        }
    }
}

fn tell(name: &str, statement: &Statement, report: &ShareReport) {
    if *report == ShareReport::default() {
        return;
    }
    tracing::info!(
        target: "smsdpprov",
        files_written = report.files_written,
        bytes_written = report.bytes_written,
        files_linked = report.files_linked,
        links_left_out = report.links_left_out,
        package.id = %statement.version.package,
        package.version = %statement.version.version,
        "the folder {name} holds the version"
    );
}
