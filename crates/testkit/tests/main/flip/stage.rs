//! The prepared fleet, damaged and brought back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use restock_content::files::DiskFiles;
use restock_content::hash::chunk_digest;
use restock_content::library::Library;
use restock_testkit::fleet::{Fleet, Member, PACKAGE, binary};
use restock_testkit::history::{Deed, History, Seen};
use restock_testkit::random::Random;
use restock_testkit::reader::{content_path, get};
use restock_testkit::tree::{self, Entries, SeenKind, Shape};
use restock_testkit::version;
use tempfile::TempDir;

use super::damage::{Damage, Place};

const DP: Member = Member::Dp(1);
/// Longer than healing takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// Files of a version by path.
type Files = BTreeMap<Vec<u8>, Vec<u8>>;

/// A fleet whose package is installed in version 2, and its source in versions 2 and 3.
pub(super) struct Stage {
    folder: TempDir,
    fleet: Fleet,
    /// By version.
    truth: BTreeMap<u32, Files>,
    counts: Counts,
}

/// After how many damages…
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// an answer was refused because of it before it was healed;
    pub(super) refused: u64,
    /// the member did not start with it and said why;
    pub(super) not_started: u64,
    /// the site reported trouble with its database while it ran;
    pub(super) database_told: u64,
    /// calls in the histories, none of which broke a rule.
    pub(super) calls: u64,
}

impl Stage {
    pub(super) fn prepare() -> Result<Self> {
        let folder = TempDir::new()?;
        let at = |name: &str| folder.path().join(name);
        for name in ["run", "source"] {
            std::fs::create_dir(at(name))?;
        }
        let shape = Shape { folders: 6, files: 40, symlinks: 0, file_bytes_max: 150_000 };
        tree::generate(&at("source"), 41, shape)?;
        let mut fleet = Fleet::create(&binary()?, &at("run"), 1)?;
        let source = at("source").display().to_string();
        fleet.expect(&["source", "add", "src", &source])?;
        fleet.expect(&["package", "create", "p", "--source", &source, "--public", "--wait"])?;
        fleet.expect(&["distribute", PACKAGE, "--to", "DP1", "--wait"])?;
        tree::edit(&at("source"), 42, 30)?;
        fleet.expect(&["refresh", PACKAGE, "--wait", "--timeout", "60s"])?;
        fleet.stop_all(false)?;
        let second = files(&at("source"))?;
        copy(&at("run"), &at("prepared"))?;
        copy(&at("source"), &at("source2"))?;
        tree::edit(&at("source"), 43, 30)?;
        let truth = BTreeMap::from([(2, second), (3, files(&at("source"))?)]);
        std::fs::rename(at("source"), at("source3"))?;
        let stage = Self { folder, fleet, truth, counts: Counts::default() };
        ensure!(stage.truth[&2].len() > 20 && stage.truth[&2] != stage.truth[&3], "two versions are needed");
        Ok(stage)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Version 2 everywhere and in the source, nothing running.
    fn restore(&mut self) -> Result<()> {
        self.fleet.stop_all(true)?;
        std::fs::remove_dir_all(self.at("run"))?;
        copy(&self.at("prepared"), &self.at("run"))?;
        self.put_source("source2")
    }

    fn put_source(&self, from: &str) -> Result<()> {
        if self.at("source").exists() {
            std::fs::remove_dir_all(self.at("source"))?;
        }
        copy(&self.at(from), &self.at("source"))
    }

    /// Damages a file of the victim and lets everything run. False when nothing was damaged.
    pub(super) fn damage(
        &mut self,
        victim: Member,
        place: Place,
        damage: Damage,
        random: &mut Random,
    ) -> Result<bool> {
        self.restore()?;
        let file = place.pick(&self.fleet.data(victim), random)?;
        // Zeros may fall on zeros.
        let mut tries = 20;
        while !damage.inflict(&file, random)? {
            tries -= 1;
            if tries == 0 {
                return Ok(false);
            }
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let history = History::new("flip");
        self.run(victim, place, &history).with_context(|| format!("{name} was damaged"))?;
        self.counts.calls += history.expect_clean()?.calls;
        Ok(true)
    }

    fn run(&mut self, victim: Member, place: Place, history: &History) -> Result<()> {
        if place == Place::Database {
            return self.run_without_database(history);
        }
        for member in [DP, Member::Site] {
            self.fleet.start(member, None).with_context(|| format!("{member:?} does not start"))?;
        }
        let is_refused = self.until_served(2, history)?;
        self.counts.refused += u64::from(is_refused);
        // What no reader met is found by the look at everything that is asked for here.
        self.until_whole(victim)?;
        self.put_source("source3")?;
        let asked = history.begin("caller", Deed::Change, PACKAGE);
        let before = self.fleet.expect(&["refresh", PACKAGE])?.json[0]["source_version"].as_u64();
        asked.ok(&[Seen::version(before.context("the answer has no version")? + 1)]);
        self.fleet.settled()?;
        self.until_served(3, history)?;
        for member in [Member::Site, DP] {
            self.until_whole(member)?;
        }
        self.fleet.stop_all(false)?;
        for member in [Member::Site, DP] {
            self.is_whole(member, history).with_context(|| format!("{member:?} at the end"))?;
        }
        self.no_panic()
    }

    /// Every version that is kept can be read, and the two whose content is known are right. A
    /// distribution point keeps whole what it serves; an older version is mended when it is asked for.
    fn is_whole(&self, member: Member, history: &History) -> Result<()> {
        let (library, _) = Library::open(Arc::new(DiskFiles), &self.fleet.library(member))?;
        let statements = match member {
            Member::Site => library.statements(&PACKAGE.parse()?)?,
            Member::Dp(_) => library.active(&PACKAGE.parse()?).into_iter().collect(),
        };
        ensure!(!statements.is_empty(), "no version is left");
        for statement in &statements {
            let found = version::read(&library, &statement.root);
            let found = found.with_context(|| statement.version.to_string())?;
            if let Some(truth) = self.truth.get(&statement.version.version.0) {
                ensure!(only_files(found) == *truth, "{} is other than its source", statement.version);
            }
            let seen = Seen::content(&statement.version, statement.root.digest);
            history.note(&format!("library of {member:?}"), Deed::Read, PACKAGE, &[seen]);
        }
        Ok(())
    }

    /// A database that is damaged may stop the site, with its reason; content is served all the same.
    fn run_without_database(&mut self, history: &History) -> Result<()> {
        self.fleet.start(DP, None)?;
        if let Err(error) = self.fleet.start(Member::Site, None) {
            let talk = self.fleet.talk(Member::Site);
            // A database that is gone cannot be told from one that was never made.
            let codes = ["DB_", "DATABASE_STOPPED", "SITE_NOT_FOUND"];
            let has_reason = codes.iter().any(|code| talk.contains(code));
            ensure!(has_reason, "the site ended without a reason: {error:#}: {talk}");
            self.counts.not_started += 1;
        } else {
            let status = self.fleet.call(&["status"])?;
            let refreshed = self.fleet.call(&["refresh", PACKAGE])?;
            self.counts.database_told += u64::from(status.code != 0 || refreshed.code != 0);
        }
        let is_refused = self.until_served(2, history)?;
        ensure!(!is_refused, "the distribution point refused what it holds");
        self.no_panic()
    }

    fn no_panic(&self) -> Result<()> {
        for member in [Member::Site, DP] {
            let talk = self.fleet.talk(member);
            ensure!(!talk.contains("panicked"), "{member:?} panicked: {talk}");
        }
        Ok(())
    }

    /// Reads every file until all of them are those of `version`; an answer is right or refused. True
    /// when one was refused on the way.
    fn until_served(&self, version: u32, history: &History) -> Result<bool> {
        let until = Instant::now() + PATIENCE;
        let address = self.fleet.serve_address(1);
        let mut is_refused = false;
        for (path, expected) in &self.truth[&version] {
            let of = format!("{PACKAGE}/{}", restock_names::Escaped(path));
            loop {
                let asked = history.begin("reader", Deed::Read, &of);
                match get(address, &content_path(PACKAGE, path)) {
                    Ok(got) if got.status == 200 => {
                        let is_of = |wanted: &u32| self.truth[wanted].get(path) == Some(&got.body);
                        let Some(seen) = [version, 2].into_iter().find(is_of) else {
                            bail!("{of} was served with other bytes than any version has");
                        };
                        let root = Some(chunk_digest(&got.body));
                        asked.ok(&[Seen { epoch: 1, version: seen, root }]);
                        if got.body == *expected {
                            break;
                        }
                    }
                    Ok(got) => {
                        is_refused = true;
                        asked.failed(&got.status.to_string());
                    }
                    Err(error) => {
                        is_refused = true;
                        asked.failed(&error.to_string());
                    }
                }
                ensure!(Instant::now() < until, "{of} is not served: {}", self.fleet.status()?);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(is_refused)
    }

    /// Asks for a look at everything stored until nothing is lost any more.
    fn until_whole(&self, member: Member) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.fleet.call_at(member, &["library", "repair"])?;
            if answer.code == 0 && answer.json["lost"].as_array().is_some_and(Vec::is_empty) {
                break;
            }
            let said = (answer.code, answer.json, answer.talk);
            ensure!(Instant::now() < until, "{member:?} is not mended: {said:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

fn files(folder: &std::path::Path) -> Result<Files> {
    Ok(only_files(tree::read(folder)?))
}

fn only_files(entries: Entries) -> Files {
    let files = entries.into_iter().filter_map(|(path, entry)| match entry.kind {
        SeenKind::File(bytes) => Some((path, bytes)),
        SeenKind::Folder | SeenKind::Symlink(_) => None,
    });
    files.collect()
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let out = Command::new("cp").arg("-a").arg(from).arg(to).output()?;
    ensure!(out.status.success(), "cp: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}
