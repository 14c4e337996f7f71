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
use restock_testkit::history::{Deed, History, Seen};
use restock_testkit::tree::{self, Entries, Shape};
use restock_testkit::version;
use serde_json::Value;
use tempfile::TempDir;

use super::calls::{WRITE_CALLS, parse};

const DP: Member = Member::Dp(1);
const SIGKILL: i32 = 9;
/// Longer than a refresh.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than a refresh with an attempt or two that fail, shorter than what has no room waits.
const PATIENCE_FAILING: Duration = Duration::from_secs(10);
/// A point that does not fire is tried this often in all.
const TRIES: usize = 4;

/// What is done to a process at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    /// It is killed as it enters the call.
    Kill,
    /// The call fails with this error and the process lives on.
    Fail(&'static str),
}

/// When a thread of `victim` enters its `number`-th call of this name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    victim: Member,
    call: String,
    number: u64,
    /// What the call did when it was recorded.
    seen: String,
    /// No thread's call of this name and number went elsewhere than to the data folder.
    is_always_ours: bool,
}

impl Point {
    /// A point that no run reaches; `strace` counts to 65,535.
    pub(super) fn beyond_any_run() -> Self {
        let seen = "never".to_owned();
        let call = "fdatasync".to_owned();
        Self { victim: Member::Site, call, number: 60_000, seen, is_always_ours: true }
    }

    /// True where an error can only meet a file of the data folder: what is no file fails otherwise.
    pub(super) fn can_fail(&self) -> bool {
        self.is_always_ours
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
    /// Since the last way back to version 1.
    history: History,
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
    /// Errors after which the process ended by itself.
    pub(super) gave_up: u64,
    /// Errors that came again in every thread, so that the process was started anew.
    pub(super) restarted: u64,
    /// Calls in the histories, none of which broke a rule.
    pub(super) calls: u64,
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
        let (counts, history) = (Counts::default(), History::new("sys"));
        let mut stage = Self { folder, fleet, source, root: Digest::ZERO, frames: 0, counts, history };
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
        self.history = History::new("sys");
        copy(&self.at("prepared"), &self.at("run"))
    }

    /// Asks for a refresh, and whether that was acknowledged.
    fn ask(&self) -> Result<bool> {
        let asked = self.history.begin("caller", Deed::Change, PACKAGE);
        let answer = self.fleet.call(&["refresh", PACKAGE])?;
        match answer.json[0]["source_version"].as_u64() {
            Some(before) if answer.code == 0 => asked.ok(&[Seen::version(before + 1)]),
            _ => asked.unknown(),
        }
        Ok(answer.code == 0)
    }

    /// What the site says, if it answers.
    fn status(&self, deed: Deed) -> Result<Value> {
        let asked = self.history.begin("site", deed, PACKAGE);
        let served = self.history.begin("DP1 by the site", deed, PACKAGE);
        let status = self.fleet.status()?;
        let seen = |version: &Value| version.as_u64().map(Seen::version);
        asked.ok(seen(&status["package"]["source_version"]).as_slice());
        served.ok(seen(&status["targets"][0]["serving_version"]).as_slice());
        Ok(status)
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
        let parsed = parse(&record);
        for call in parsed.iter().filter(|call| call.at >= begun && call.arguments.contains(&data)) {
            let seen = call.arguments.replace(&data, "").chars().take(100).collect();
            let (call, number) = (call.name.clone(), call.number);
            let point = Point { victim, call, number, seen, is_always_ours: false };
            // Two threads' calls with one number are one point: the first to get there is killed.
            if !points.iter().any(|p| (&p.call, p.number) == (&point.call, point.number)) {
                points.push(point);
            }
        }
        for point in &mut points {
            let same = parsed.iter().filter(|c| (&c.name, c.number) == (&point.call, point.number));
            point.is_always_ours = same.into_iter().all(|call| call.arguments.contains(&data));
        }
        let lines = record.lines().count();
        let last = record.lines().last().unwrap_or_default();
        ensure!(
            !points.is_empty(),
            "none of {lines} lines is a point: begun at {begun}, data {data}, last: {last}"
        );
        Ok(points)
    }

    /// Does the harm at the point, restarts what ended, and checks the end. False when it did not fire.
    pub(super) fn strike(&mut self, point: &Point, harm: Harm) -> Result<bool> {
        for _ in 0..TRIES {
            if self.strike_once(point, harm)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn strike_once(&mut self, point: &Point, harm: Harm) -> Result<bool> {
        self.restore()?;
        let (call, number) = (point.call.clone(), point.number);
        let strace = match harm {
            Harm::Kill => Strace::Kill { call, number },
            Harm::Fail(error) => Strace::Fail { call, number, error, to: self.at("failed") },
        };
        for member in [DP, Member::Site] {
            self.fleet.start(member, (member == point.victim).then_some(&strace))?;
        }
        // No answer, or a refusal because the site is just ending: then nothing was promised.
        let was_acknowledged = self.ask()?;
        let ended = self.wait_for_end(point.victim, harm, was_acknowledged)?;
        let has_fired = match harm {
            Harm::Kill => ended == Some(Ended::Signal(SIGKILL)),
            Harm::Fail(_) => {
                let data = self.fleet.data(point.victim).display().to_string();
                strace.has_failed()?.is_some_and(|call| call.contains(&data))
            }
        };
        if !has_fired {
            return Ok(false);
        }
        self.counts.acknowledged += u64::from(was_acknowledged);
        let mut recorded = 0;
        let pulls_before = self.frames_fetched()?.len();
        if ended.is_some() {
            self.counts.gave_up += u64::from(harm != Harm::Kill);
            self.fleet.stop(point.victim, true)?;
            recorded = if point.victim == DP { self.recorded_chunks()? } else { 0 };
            self.counts.resumed += u64::from(recorded > 0);
            self.counts.frames_recorded += recorded;
            self.fleet.start(point.victim, None).context("it does not start again")?;
        } else if !was_acknowledged || !self.fleet.status().is_ok_and(|status| is_settled(&status)) {
            // It is just ending, or every fresh thread fails its first calls again: what waits for that
            // goes on without faults.
            self.counts.restarted += 1;
            self.fleet.stop(point.victim, false)?;
            self.fleet.start(point.victim, None).context("it does not start again")?;
        }
        let versions: &[u64] = if was_acknowledged {
            &[2]
        } else {
            ensure!(self.ask()?, "the refresh asked again is refused");
            // The request that got no answer may have been taken.
            &[2, 3]
        };
        self.fleet.settled()?;
        let status = self.status(Deed::Rest)?;
        ensure!(status["targets"][0]["serving_version"] == status["package"]["source_version"], "{status}");
        let fetched: u64 = self.frames_fetched()?.iter().skip(pulls_before).sum();
        if versions.len() == 1 && harm == Harm::Kill {
            ensure!(
                fetched + recorded <= self.frames,
                "{recorded} frames were recorded, yet {fetched} of {} were fetched afterwards",
                self.frames
            );
        }
        self.fleet.stop_all(false)?;
        let talk = self.fleet.talk(point.victim);
        ensure!(!talk.contains("panicked"), "{:?} panicked: {talk}", point.victim);
        self.check_end(versions)?;
        Ok(true)
    }

    /// Waits until the victim has ended; `None` when everything is done and it still lives, or when it has
    /// waited long enough after an error.
    fn wait_for_end(&mut self, victim: Member, harm: Harm, was_acknowledged: bool) -> Result<Option<Ended>> {
        let patience = if harm == Harm::Kill { PATIENCE } else { PATIENCE_FAILING };
        let until = Instant::now() + patience;
        loop {
            let process = self.fleet.process(victim).context("the victim was started")?;
            match process.ended()? {
                Some(Ended::Signal(SIGKILL)) => return Ok(Some(Ended::Signal(SIGKILL))),
                Some(other) if harm == Harm::Kill => bail!("the victim ended by itself: {other:?}"),
                Some(other) => return Ok(Some(other)),
                None => {}
            }
            if harm != Harm::Kill && !was_acknowledged {
                return Ok(None);
            }
            // The site may be the victim: an unanswered question is no news.
            let status = self.status(Deed::Read).unwrap_or(Value::Null);
            if is_settled(&status) && status["package"]["source_version"] == 2 {
                std::thread::sleep(Duration::from_millis(200));
                return self.fleet.process(victim).context("the victim was started")?.ended();
            }
            if harm != Harm::Kill && Instant::now() > until {
                return Ok(None);
            }
            ensure!(Instant::now() < until, "neither ended nor done: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Compares what site and distribution point hold with the end of an undisturbed run.
    fn check_end(&mut self, versions: &[u64]) -> Result<()> {
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
            let observer = format!("library of {member:?}");
            for statement in &statements {
                let seen = Seen::content(&statement.version, statement.root.digest);
                self.history.note(&observer, Deed::Read, PACKAGE, &[seen]);
            }
            let seen = Seen::content(&newest.version, newest.root.digest);
            self.history.note(&observer, Deed::Rest, PACKAGE, &[seen]);
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
        self.counts.calls += self.history.expect_clean()?.calls;
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
