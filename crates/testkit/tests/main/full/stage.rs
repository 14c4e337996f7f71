//! The prepared fleet, one member of which has little room.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use restock_testkit::fleet::{Fleet, Member, PACKAGE, binary, is_settled};
use restock_testkit::history::{Deed, History, Seen};
use restock_testkit::random::Random;
use restock_testkit::reader::{content_path, get};
use restock_testkit::small_disk::SmallDisk;
use serde_json::Value;
use tempfile::TempDir;

const DP: Member = Member::Dp(1);
/// Longer than a refusal takes, or a refresh with room.
const PATIENCE: Duration = Duration::from_secs(60);
const FILES: u64 = 12;
/// Of the first version and of the second, which has nothing of the first.
const FILE_BYTES: [usize; 2] = [20_000, 400_000];
/// What a member writes beside content: logs, the database, tables.
const BESIDE_BYTES: u64 = 3 << 20;

/// A fleet whose package is installed in version 1 and whose source holds version 2.
pub(super) struct Stage {
    // Processes end before the folder goes.
    fleet: Fleet,
    folder: TempDir,
    victim: Member,
    counts: Counts,
}

/// In how many runs…
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// the site showed `NO_SPACE` with its bytes;
    pub(super) told: u64,
    /// the request itself was refused, so that nothing was promised;
    pub(super) refused: u64,
    /// the member ended or did not start, and said why;
    pub(super) ended: u64,
    /// there was room enough;
    pub(super) fitted: u64,
    /// calls in the histories, none of which broke a rule.
    pub(super) calls: u64,
}

fn write_source(folder: &Path, version: u64) -> Result<()> {
    for file in 0..FILES {
        let bytes = Random::new(version * 1_000 + file).bytes(FILE_BYTES[version as usize - 1]);
        std::fs::write(folder.join(format!("f{file}")), bytes)?;
    }
    Ok(())
}

impl Stage {
    pub(super) fn prepare(victim: Member, reserve: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let at = |name: &str| folder.path().join(name);
        for name in ["run", "source"] {
            std::fs::create_dir(at(name))?;
        }
        write_source(&at("source"), 1)?;
        let mut fleet = Fleet::create(&binary()?, &at("run"), 1)?;
        let source = at("source").display().to_string();
        fleet.expect(&["source", "add", "src", &source])?;
        fleet.expect(&["package", "create", "p", "--source", &source, "--public", "--wait"])?;
        fleet.expect(&["distribute", PACKAGE, "--to", "DP1", "--wait"])?;
        fleet.stop_all(false)?;
        fleet.configure(victim, &[("health", "reserve", &format!("\"{reserve}\""))])?;
        write_source(&at("source"), 2)?;
        copy(&at("run"), &at("prepared"))?;
        Ok(Self { folder, fleet, victim, counts: Counts::default() })
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// About what version 2 takes at the victim.
    pub(super) fn needed_bytes(&self) -> u64 {
        FILES * FILE_BYTES[1] as u64 + BESIDE_BYTES
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Refreshes with so many bytes free and then with room. False when it fitted at once.
    pub(super) fn fill(&mut self, free_bytes: u64) -> Result<bool> {
        self.fleet.stop_all(true)?;
        std::fs::remove_dir_all(self.at("run"))?;
        copy(&self.at("prepared"), &self.at("run"))?;
        let disk = SmallDisk::mount_over(&self.fleet.data(self.victim), free_bytes)?;
        let done = self.fill_disk(&disk);
        let stopped = self.fleet.stop_all(true);
        drop(disk);
        let has_fired = done?;
        stopped?;
        Ok(has_fired)
    }

    fn fill_disk(&mut self, disk: &SmallDisk) -> Result<bool> {
        let history = History::new("full");
        for member in [DP, Member::Site] {
            if let Err(error) = self.fleet.start(member, None) {
                ensure!(member == self.victim, "{member:?}: {error:#}");
                self.has_reason()?;
            }
        }
        let was_acknowledged = self.ask(&history)?;
        self.counts.refused += u64::from(!was_acknowledged);
        let has_fired = self.until_refused_or_done(&history, was_acknowledged)?;
        self.counts.fitted += u64::from(!has_fired);
        self.read_all(&history, &[1, 2])?;
        disk.leave_free(1 << 30)?;
        // Who ended is started again, as a service manager does; the others go on by themselves.
        if self.has_ended()? {
            self.counts.ended += 1;
            self.fleet.stop(self.victim, true)?;
            self.fleet.start(self.victim, None).context("with room")?;
        }
        if !was_acknowledged {
            ensure!(self.ask(&history)?, "with room the request is refused");
        }
        self.until_done(&history)?;
        self.read_all(&history, &[2])?;
        for member in [Member::Site, DP] {
            let talk = self.fleet.talk(member);
            ensure!(!talk.contains("panicked"), "{member:?} panicked: {talk}");
            let checked = self.fleet.call_at(member, &["library", "check"])?;
            let has_none = checked.json["problems"] == Value::Array(Vec::new());
            ensure!(checked.code == 0 && has_none, "{member:?}: {} {}", checked.json, checked.talk);
        }
        self.counts.calls += history.expect_clean()?.calls;
        Ok(has_fired)
    }

    fn ask(&self, history: &History) -> Result<bool> {
        let asked = history.begin("caller", Deed::Change, PACKAGE);
        let answer = self.fleet.call(&["refresh", PACKAGE])?;
        match answer.json[0]["source_version"].as_u64() {
            Some(before) if answer.code == 0 => asked.ok(&[Seen::version(before + 1)]),
            _ => asked.unknown(),
        }
        Ok(answer.code == 0)
    }

    /// Waits until the victim cannot go on and says so, or all is done. False for the latter.
    fn until_refused_or_done(&mut self, history: &History, was_acknowledged: bool) -> Result<bool> {
        let until = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < until {
            if self.has_ended()? {
                self.has_reason()?;
                return Ok(true);
            }
            if !was_acknowledged {
                return Ok(true);
            }
            self.read_all(history, &[1, 2])?;
            let Ok(status) = self.fleet.status() else { continue };
            if is_done(&status) {
                return Ok(false);
            }
            let waits = match self.victim {
                Member::Site => &status["package"]["refresh"]["why"],
                Member::Dp(_) => &status["targets"][0]["why"],
            };
            if waits["rule"] == "NO_SPACE" {
                let text = waits["text"].as_str().unwrap_or_default();
                let has_bytes = text.bytes().any(|b| b.is_ascii_digit());
                ensure!(has_bytes, "the reason names no bytes: {waits}");
                self.counts.told += 1;
                return Ok(true);
            }
            last = status;
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("neither done nor refused with NO_SPACE: {last}")
    }

    fn until_done(&self, history: &History) -> Result<()> {
        let until = Instant::now() + PATIENCE * 2;
        loop {
            let asked = history.begin("site", Deed::Read, PACKAGE);
            let status = self.fleet.status()?;
            asked.ok(&[Seen::version(status["package"]["source_version"].as_u64().unwrap_or_default())]);
            if is_done(&status) {
                let version = status["package"]["source_version"].as_u64().unwrap_or_default();
                history.note("site", Deed::Rest, PACKAGE, &[Seen::version(version)]);
                return Ok(());
            }
            ensure!(Instant::now() < until, "it does not go on by itself: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Every file is that of one of these versions, or refused for a moment while they are switched.
    fn read_all(&self, history: &History, versions: &[u64]) -> Result<()> {
        if self.victim == DP && self.is_away(DP) {
            return Ok(());
        }
        let bytes = |version: u64, file: u64| {
            Random::new(version * 1_000 + file).bytes(FILE_BYTES[version as usize - 1])
        };
        let mut seen = BTreeMap::new();
        for file in 0..FILES {
            let name = format!("f{file}");
            let of = format!("{PACKAGE}/{name}");
            let asked = history.begin("reader", Deed::Read, &of);
            let got = get(self.fleet.serve_address(1), &content_path(PACKAGE, name.as_bytes()))?;
            ensure!(got.status == 200, "{of} is answered with {}", got.status);
            let version = versions.iter().find(|v| bytes(**v, file) == got.body);
            let version = version.with_context(|| format!("{of} has other bytes than {versions:?}"))?;
            asked.ok(&[Seen::version(*version)]);
            seen.insert(file, *version);
        }
        ensure!(seen.values().is_sorted(), "the version switches back: {seen:?}");
        Ok(())
    }

    fn is_away(&self, member: Member) -> bool {
        std::os::unix::net::UnixStream::connect(self.fleet.data(member).join("control.sock")).is_err()
    }

    fn has_ended(&mut self) -> Result<bool> {
        match self.fleet.process(self.victim) {
            Some(process) => Ok(process.ended()?.is_some()),
            None => Ok(true),
        }
    }

    /// A process that ends because of a full disk says so.
    fn has_reason(&self) -> Result<()> {
        let talk = self.fleet.talk(self.victim);
        let said = ["NO_SPACE", "No space left", "disk is full", "os error 28"];
        ensure!(said.iter().any(|text| talk.contains(text)), "{:?} ended otherwise: {talk}", self.victim);
        Ok(())
    }
}

fn is_done(status: &Value) -> bool {
    let version = status["package"]["source_version"].as_u64().unwrap_or_default();
    is_settled(status) && version >= 2 && status["targets"][0]["serving_version"] == version
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let out = Command::new("cp").arg("-a").arg(from).arg(to).output()?;
    ensure!(out.status.success(), "cp: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}
