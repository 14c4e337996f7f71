//! The prepared fleet, recorded and killed.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use restock_content::files::DiskFiles;
use restock_content::library::Library;
use restock_content::pack::{HEADER_BYTES, RECORD_BYTES, Record};
use restock_names::{Clock, Digest, SystemClock};
use restock_testkit::fleet::{Ended, Fleet, Member, PACKAGE, Strace, binary, is_settled};
use restock_testkit::tree::{self, Entries, Shape};
use restock_testkit::version;
use serde_json::Value;
use tempfile::TempDir;

use super::calls::{WRITE_CALLS, parse};

const DP: Member = Member::Dp(1);
const SIGKILL: i32 = 9;
/// A point that does not fire is tried this often in all.
const TRIES: usize = 4;

/// Kill `victim` when a thread enters its `number`-th call of this name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    victim: Member,
    call: String,
    number: u64,
    /// What the call did when it was recorded.
    seen: String,
}

impl Point {
    /// A point that no run reaches; `strace` counts to 65,535.
    pub(super) fn beyond_any_run() -> Self {
        let seen = "never".to_owned();
        Self { victim: Member::Site, call: "fdatasync".to_owned(), number: 60_000, seen }
    }

    /// True for the same number of the same call, whatever it did.
    pub(super) fn is_same_call(&self, other: &Self) -> bool {
        (&self.call, self.number) == (&other.call, other.number)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} {} ({})", self.victim, self.call, self.number, self.seen)
    }
}

/// A fleet whose package is installed in version 1 and whose source has changed since.
pub(super) struct Stage {
    folder: TempDir,
    fleet: Fleet,
    source: Entries,
    /// Root digest of version 2, and frames the distribution point fetches for it.
    root: Digest,
    frames: u64,
    counts: Counts,
}

/// In how many of the points that fired…
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// the refresh had been acknowledged before the kill;
    pub(super) acknowledged: u64,
    /// the distribution point had recorded frames that must not be asked for again;
    pub(super) resumed: u64,
    /// and how many frames those were.
    pub(super) frames_recorded: u64,
}

impl Stage {
    pub(super) fn prepare() -> Result<Self> {
        let folder = TempDir::new()?;
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("run"))?;
        std::fs::create_dir(at("source"))?;
        let shape = Shape { folders: 20, files: 300, symlinks: 10, file_bytes_max: 400_000 };
        tree::generate(&at("source"), 21, shape)?;
        let mut fleet = Fleet::create(&binary()?, &at("run"), 1)?;
        let source = at("source").display().to_string();
        fleet.expect(&["source", "add", "src", &source])?;
        fleet.expect(&["package", "create", "p", "--source", &source, "--public", "--wait"])?;
        fleet.expect(&["distribute", PACKAGE, "--to", "DP1", "--wait"])?;
        fleet.stop_all(false)?;
        copy(&at("run"), &at("prepared"))?;
        tree::edit(&at("source"), 22, 200)?;
        let source = tree::read(&at("source"))?;
        let mut stage =
            Self { folder, fleet, source, root: Digest::ZERO, frames: 0, counts: Counts::default() };
        stage.learn_end()?;
        Ok(stage)
    }

    /// What the points so far have met.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs undisturbed and notes the end state.
    fn learn_end(&mut self) -> Result<()> {
        self.fleet.start(DP, None)?;
        self.fleet.start(Member::Site, None)?;
        self.fleet.expect(&["refresh", PACKAGE, "--wait", "--timeout", "60s"])?;
        self.fleet.stop_all(false)?;
        let (library, _) = Library::open(Arc::new(DiskFiles), &self.fleet.library(Member::Site))?;
        let statements = library.statements(&PACKAGE.parse()?)?;
        ensure!(statements.len() == 2, "an undisturbed refresh made {} versions", statements.len());
        self.root = statements[1].root.digest;
        self.frames =
            self.frames_fetched()?.last().copied().context("the distribution point logged no pull")?;
        ensure!(self.frames > 60, "only {} frames are fetched", self.frames);
        drop(library);
        self.check_end(&[2])
    }

    /// Back to version 1 everywhere, nothing running.
    fn restore(&mut self) -> Result<()> {
        self.fleet.stop_all(true)?;
        std::fs::remove_dir_all(self.at("run"))?;
        copy(&self.at("prepared"), &self.at("run"))
    }

    /// Records a refresh; returns its write-type calls on files of the victim's data folder.
    pub(super) fn record(&mut self, victim: Member) -> Result<Vec<Point>> {
        self.restore()?;
        let to = self.at("record");
        let strace = Strace::Record { calls: WRITE_CALLS, to: to.clone() };
        for member in [DP, Member::Site] {
            self.fleet.start(member, (member == victim).then_some(&strace))?;
        }
        let begun = SystemClock.now().0 as f64 / 1e6;
        self.fleet.expect(&["refresh", PACKAGE, "--wait", "--timeout", "60s"])?;
        self.fleet.stop_all(false)?;
        let data = self.fleet.data(victim).display().to_string();
        let record = std::fs::read_to_string(&to)?;
        let mut points: Vec<Point> = Vec::new();
        for call in
            parse(&record).into_iter().filter(|call| call.at >= begun && call.arguments.contains(&data))
        {
            let seen = call.arguments.replace(&data, "").chars().take(100).collect();
            let point = Point { victim, call: call.name, number: call.number, seen };
            // Two threads' calls with one number are one point: the first to get there is killed.
            if !points.iter().any(|p| (&p.call, p.number) == (&point.call, point.number)) {
                points.push(point);
            }
        }
        let lines = record.lines().count();
        let last = record.lines().last().unwrap_or_default();
        ensure!(
            !points.is_empty(),
            "none of {lines} lines is a point: begun at {begun}, data {data}, last: {last}"
        );
        Ok(points)
    }

    /// Kills at the point, restarts, and checks the end. False when it did not fire.
    pub(super) fn kill_at(&mut self, point: &Point) -> Result<bool> {
        for _ in 0..TRIES {
            if self.kill_once(point)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn kill_once(&mut self, point: &Point) -> Result<bool> {
        self.restore()?;
        let strace = Strace::Kill { call: point.call.clone(), number: point.number };
        for member in [DP, Member::Site] {
            self.fleet.start(member, (member == point.victim).then_some(&strace))?;
        }
        // No answer, or a refusal because the site is just ending: then nothing was promised.
        let was_acknowledged = self.fleet.call(&["refresh", PACKAGE])?.code == 0;
        if !self.wait_for_kill(point.victim)? {
            return Ok(false);
        }
        self.fleet.stop(point.victim, true)?;
        let recorded = if point.victim == DP { self.recorded_chunks()? } else { 0 };
        self.counts.acknowledged += u64::from(was_acknowledged);
        self.counts.resumed += u64::from(recorded > 0);
        self.counts.frames_recorded += recorded;
        let pulls_before = self.frames_fetched()?.len();
        self.fleet.start(point.victim, None).context("it does not start again")?;
        let versions: &[u64] = if was_acknowledged {
            &[2]
        } else {
            self.fleet.expect(&["refresh", PACKAGE]).context("the refresh asked again")?;
            // The request that got no answer may have been taken.
            &[2, 3]
        };
        let status = self.fleet.settled()?;
        ensure!(status["targets"][0]["serving_version"] == status["package"]["source_version"], "{status}");
        let fetched: u64 = self.frames_fetched()?.iter().skip(pulls_before).sum();
        if versions.len() == 1 {
            ensure!(
                fetched + recorded <= self.frames,
                "{recorded} frames were recorded, yet {fetched} of {} were fetched afterwards",
                self.frames
            );
        }
        self.fleet.stop_all(false)?;
        self.check_end(versions)?;
        Ok(true)
    }

    /// Waits until the victim is killed; false when everything is done and it still lives.
    fn wait_for_kill(&mut self, victim: Member) -> Result<bool> {
        let until = Instant::now() + Duration::from_secs(40);
        loop {
            let process = self.fleet.process(victim).context("the victim was started")?;
            match process.ended()? {
                Some(Ended::Signal(SIGKILL)) => return Ok(true),
                Some(other) => bail!("the victim ended by itself: {other:?}"),
                None => {}
            }
            // The site may be the victim: an unanswered question is no news.
            let status = self.fleet.status().unwrap_or(Value::Null);
            if is_settled(&status) && status["package"]["source_version"] == 2 {
                std::thread::sleep(Duration::from_millis(200));
                let process = self.fleet.process(victim).context("the victim was started")?;
                return Ok(process.ended()? == Some(Ended::Signal(SIGKILL)));
            }
            ensure!(Instant::now() < until, "neither killed nor done: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Compares what site and distribution point hold with the end of an undisturbed run.
    fn check_end(&self, versions: &[u64]) -> Result<()> {
        let package = PACKAGE.parse()?;
        for member in [Member::Site, DP] {
            let (library, recovered) = Library::open(Arc::new(DiskFiles), &self.fleet.library(member))?;
            ensure!(
                recovered.packs_damaged.is_empty(),
                "{member:?} set packs aside: {:?}",
                recovered.packs_damaged
            );
            let statements = library.statements(&package)?;
            let newest = statements.last().with_context(|| format!("{member:?} has no statement"))?;
            ensure!(newest.root.digest == self.root, "{member:?} ends with other content");
            let number = u64::from(newest.version.version.0);
            ensure!(versions.contains(&number), "{member:?} ends with version {number}, not {versions:?}");
            if member == DP {
                let active = library.active(&package).context("nothing is active")?;
                ensure!(active.version == newest.version, "{} is active", active.version);
            }
            let found = version::read(&library, &newest.root).with_context(|| format!("{member:?}"))?;
            let differences = tree::differences(&self.source, &found);
            ensure!(differences.is_empty(), "{member:?}: {}", differences[0]);
            let report = library.check(|_| ControlFlow::Continue(()))?;
            ensure!(report.damaged.is_empty() && report.incomplete.is_empty(), "{member:?}: {report:?}");
            let twice = frames_twice(&self.fleet.library(member))?;
            ensure!(twice == 0, "{member:?} stores {twice} frames twice");
        }
        Ok(())
    }

    /// Chunks that the distribution point had recorded when it died, by its open tables.
    fn recorded_chunks(&self) -> Result<u64> {
        let folder = self.fleet.library(DP).join("packs");
        let mut count = 0;
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Only planned packs: others hold pages, whose records are written in batches.
            if let Some(stem) = name.strip_suffix(".open.table")
                && folder.join(format!("{stem}.open.plan")).exists()
            {
                count += records(&path)?.len() as u64;
            }
        }
        Ok(count)
    }

    /// Frames fetched by each finished pull, as the distribution point logged them.
    fn frames_fetched(&self) -> Result<Vec<u64>> {
        let log = self.fleet.data(DP).join("logs/restock.jsonl");
        let text =
            std::fs::read_to_string(&log).with_context(|| format!("failed to read {}", log.display()))?;
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let served = events.filter(|event| event["message"] == "package version is served");
        Ok(served.filter_map(|event| event["frames"].as_u64()).collect())
    }
}

fn records(table: &Path) -> Result<Vec<Record>> {
    let bytes = std::fs::read(table)?;
    let rest = bytes.get(HEADER_BYTES as usize..).unwrap_or_default();
    Ok(rest.chunks(RECORD_BYTES as usize).filter_map(|bytes| Record::decode(bytes).ok()).collect())
}

/// Digests that several sealed packs hold: each was fetched or stored again without need.
fn frames_twice(library: &Path) -> Result<usize> {
    let mut digests = Vec::new();
    for entry in std::fs::read_dir(library.join("packs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "table") {
            digests.extend(records(&path)?.into_iter().map(|record| record.digest));
        }
    }
    digests.sort();
    Ok(digests.windows(2).filter(|pair| pair[0] == pair[1]).count())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let out = Command::new("cp").arg("-a").arg(from).arg(to).output()?;
    ensure!(out.status.success(), "cp: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}
