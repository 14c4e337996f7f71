//! Refreshes and distributions of the real binary on a disk that loses its power at a random moment.
//!
//! The list of what was acknowledged is kept outside the disk and counts only what was answered
//! before the cut. After each cut the fleet starts again on the same disk, must come to rest, and
//! must still have everything on the list.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use restock_content::files::DiskFiles;
use restock_content::library::{Library, Recovered};
use restock_testkit::fleet::{Fleet, Member, PACKAGE, binary};
use restock_testkit::history::{Deed, History, Seen, Verdict};
use restock_testkit::loop_disk::{FileSystem, LoopDisk};
use restock_testkit::random::Random;
use restock_testkit::tree::{self, Shape};
use restock_testkit::version;
use serde_json::Value;
use tempfile::TempDir;

const DPS: usize = 2;

/// What was answered before a cut.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Every refresh that was accepted must end in at least this version.
    version_asked: u64,
    /// The site said that this version is published.
    version_published: u64,
    /// The site said that these are served, by distribution point.
    versions_served: [u64; DPS],
}

/// A fleet whose data lie on the disk, and what it has acknowledged.
pub(super) struct Cycles {
    // Dropped in this order: processes before the disk they run on.
    fleet: Fleet,
    disk: LoopDisk,
    folder: TempDir,
    acknowledged: Acknowledged,
    /// Outside the disk too.
    history: History,
    cuts: u64,
    cuts_while_refreshing: u64,
    cuts_while_distributing: u64,
    requests: u64,
}

impl fmt::Display for Cycles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cuts, {} during a refresh, {} during distribution; {} refreshes acknowledged, version {}",
            self.cuts,
            self.cuts_while_refreshing,
            self.cuts_while_distributing,
            self.requests,
            self.acknowledged.version_published
        )
    }
}

impl Cycles {
    pub(super) fn prepare(kind: FileSystem) -> Result<Self> {
        let folder = TempDir::new()?;
        let disk = LoopDisk::create(folder.path(), kind, 600)?;
        let source = folder.path().join("source");
        std::fs::create_dir(&source)?;
        let shape = Shape { folders: 20, files: 250, symlinks: 10, file_bytes_max: 400_000 };
        tree::generate(&source, 31, shape)?;
        let fleet = Fleet::create(&binary()?, disk.path(), DPS)?;
        let source = source.display().to_string();
        fleet.expect(&["source", "add", "src", &source])?;
        fleet.expect(&["package", "create", "p", "--source", &source, "--public", "--wait"])?;
        fleet.expect(&["distribute", PACKAGE, "--to", "DP1", "DP2"])?;
        let acknowledged = Acknowledged { version_asked: 1, ..Acknowledged::default() };
        let mut run = Self {
            fleet,
            disk,
            folder,
            acknowledged,
            history: History::new("power"),
            cuts: 0,
            cuts_while_refreshing: 0,
            cuts_while_distributing: 0,
            requests: 0,
        };
        let status = run.fleet.settled()?;
        run.note(&status, Deed::Rest);
        Ok(run)
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    /// What the whole history shows.
    pub(super) fn verdict(&self) -> Result<Verdict> {
        self.history.expect_clean()
    }

    /// True when cuts came during a refresh and during distribution: others prove less.
    pub(super) fn has_met_work(&self) -> bool {
        self.cuts < 10 || (self.cuts_while_refreshing > 0 && self.cuts_while_distributing > 0)
    }

    /// Changes the source, asks for a refresh, cuts the power at a random moment, starts again.
    pub(super) fn cut_once(&mut self, number: u64) -> Result<()> {
        let mut random = Random::new(number);
        tree::edit(&self.source(), 1_000 + number, 15)?;
        let asked = self.history.begin("caller", Deed::Change, PACKAGE);
        let accepted = self.fleet.expect(&["refresh", PACKAGE])?.json;
        let before = accepted[0]["source_version"].as_u64().context("the answer has no version")?;
        asked.ok(&[Seen::version(before + 1)]);
        self.acknowledged.version_asked = before + 1;
        self.requests += 1;
        // The moments that matter lie close together behind the request.
        let spread = if random.chance(4) { 1_000 } else { 150 };
        let until = Instant::now() + Duration::from_millis(random.below(spread));
        let mut last = Value::Null;
        while Instant::now() < until {
            last = self.fleet.status()?;
            self.note(&last, Deed::Read);
        }
        self.disk.cut()?;
        self.cuts += 1;
        // Nothing heard since the request: it waits or runs.
        if last.is_null() || !last["package"]["refresh"].is_null() {
            self.cuts_while_refreshing += 1;
        } else if last["installed"] != last["targeted"] {
            self.cuts_while_distributing += 1;
        }
        self.fleet.stop_all(true)?;
        self.disk.remount()?;
        self.check_libraries().context("after the cut")?;
        for member in self.fleet.members() {
            self.fleet.start(member, None)?;
        }
        let status = self.fleet.settled()?;
        let version = status["package"]["source_version"].as_u64().unwrap_or_default();
        let Acknowledged { version_asked, version_published, .. } = self.acknowledged;
        ensure!(version >= version_asked, "a refresh that was accepted is lost: version {version}");
        ensure!(version >= version_published, "version {version_published} was published, {version} is now");
        self.note(&status, Deed::Rest);
        self.check_content()
    }

    /// Takes down what an answer says.
    fn note(&mut self, status: &Value, deed: Deed) {
        if let Some(version) = status["package"]["source_version"].as_u64() {
            self.history.note("site", deed, PACKAGE, &[Seen::version(version)]);
        }
        let stored = status["package"]["stored_version"].as_u64().unwrap_or_default();
        self.acknowledged.version_published = self.acknowledged.version_published.max(stored);
        for target in status["targets"].as_array().into_iter().flatten() {
            let number = target["point"].as_str().and_then(|p| p.strip_prefix("DP")?.parse::<usize>().ok());
            if let Some(served) = number.and_then(|n| self.acknowledged.versions_served.get_mut(n - 1)) {
                let version = target["serving_version"].as_u64().unwrap_or_default();
                *served = (*served).max(version);
                let observer = format!("{} by the site", target["point"]);
                self.history.note(&observer, deed, PACKAGE, &[Seen::version(version)]);
            }
        }
    }

    /// With nothing running: everything acknowledged is in the libraries, whole.
    fn check_libraries(&self) -> Result<()> {
        let package = PACKAGE.parse()?;
        for member in self.fleet.members() {
            let (_copy, library, recovered) = self.open_copy(member)?;
            let damaged = (recovered.packs_damaged.len(), recovered.pointers_damaged.len());
            ensure!(damaged == (0, 0), "{member:?} set packs or pointers aside: {recovered:?}");
            let observer = format!("library of {member:?}");
            for statement in library.statements(&package)? {
                let seen = Seen::content(&statement.version, statement.root.digest);
                self.history.note(&observer, Deed::Read, &statement.version.to_string(), &[seen]);
            }
            if let Some(active) = library.active(&package) {
                let seen = Seen::content(&active.version, active.root.digest);
                self.history.note(&observer, Deed::Read, PACKAGE, &[seen]);
            }
            let report = library.check(|_| ControlFlow::Continue(()))?;
            ensure!(report.damaged.is_empty() && report.incomplete.is_empty(), "{member:?}: {report:?}");
            match member {
                Member::Site => {
                    let newest = library.statements(&package)?.last().map(|s| u64::from(s.version.version.0));
                    let wanted = self.acknowledged.version_published;
                    ensure!(
                        newest >= Some(wanted),
                        "version {wanted} was published, the library has {newest:?}"
                    );
                }
                Member::Dp(number) => {
                    let active = library.active(&package).map_or(0, |s| u64::from(s.version.version.0));
                    let wanted = self.acknowledged.versions_served[number - 1];
                    ensure!(active >= wanted, "DP{number} served version {wanted}, {active} is active");
                }
            }
        }
        Ok(())
    }

    /// At rest: a distribution point serves what the source holds.
    fn check_content(&self) -> Result<()> {
        let source = tree::read(&self.source())?;
        for number in 1..=DPS {
            let (_copy, library, _) = self.open_copy(Member::Dp(number))?;
            let active = library.active(&PACKAGE.parse()?).context("nothing is active")?;
            let found = version::read(&library, &active.root)?;
            let differences = tree::differences(&source, &found);
            ensure!(differences.is_empty(), "DP{number}: {}", differences[0]);
        }
        Ok(())
    }

    /// Opens a copy of a member's library outside the disk: opening recovers, which is left to the
    /// member itself.
    fn open_copy(&self, member: Member) -> Result<(TempDir, Library, Recovered)> {
        let folder = TempDir::new()?;
        let to = folder.path().join("library");
        let out = Command::new("cp").arg("-a").arg(self.fleet.library(member)).arg(&to).output()?;
        ensure!(out.status.success(), "cp: {}", String::from_utf8_lossy(&out.stderr));
        let (library, recovered) = Library::open(Arc::new(DiskFiles), &to)?;
        Ok((folder, library, recovered))
    }
}
