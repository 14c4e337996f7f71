//! What the scenarios start from, and the loop over operations and faults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use restock_content::files::{DiskFiles, Files};
use restock_content::library::{Library, Role};
use restock_content::statement::{KeyList, SigningKey, Statement};
use restock_names::{ContentVersion, Digest, Epoch, SourceVersion};
use restock_testkit::faulty::{Fault, FaultyFiles, OperationKind, Sabotage};
use restock_testkit::history::History;
use restock_testkit::receive::{Event, Receive};
use restock_testkit::scratch;
use restock_testkit::tally::Tally;
use restock_testkit::tree::{self, Entries, Shape};
use tempfile::TempDir;

use super::judge::{State, judge, leftovers};
use super::{clean, refresh};

pub(super) const PACKAGE: &str = "XYZ00001";

pub(super) fn version(number: u32) -> ContentVersion {
    let package = PACKAGE.parse().expect("a package ID");
    ContentVersion { package, epoch: Epoch(1), version: SourceVersion(number) }
}

/// What a scenario was told has succeeded, or did.
#[derive(Debug, Default)]
pub(super) struct Acks(Mutex<Vec<Event>>);

impl Acks {
    pub(super) fn add(&self, ack: Event) {
        self.0.lock().expect("no code panics while holding this lock").push(ack);
    }

    fn list(&self) -> Vec<Event> {
        self.0.lock().expect("no code panics while holding this lock").clone()
    }
}

#[derive(Debug)]
pub(super) struct Keys {
    pub(super) signing: SigningKey,
    pub(super) list: KeyList,
}

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// A site takes version 2 of a source whose version 1 it holds.
    Refresh,
    /// A distribution point that serves version 1 receives version 2.
    Receive,
    /// A site that holds both, and a third with few of their files, keeps the third alone and cleans.
    Clean,
}

/// A source with two versions, a site that holds both, and libraries that hold the first.
#[derive(Debug)]
pub(super) struct Scene {
    folder: TempDir,
    keys: Keys,
    truth: BTreeMap<ContentVersion, Entries>,
    /// The site with both versions, for receivers.
    site: Library,
    statement: Statement,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::prepare().expect("the scene is set up without faults")
    }

    fn prepare() -> Result<Self> {
        let folder = scratch()?;
        let at = |name: &str| folder.path().join(name);
        let signing = SigningKey::from_bytes(&[7; 32]);
        let list =
            KeyList::sign("XYZ".parse()?, 1, vec![signing.public()], &SigningKey::from_bytes(&[8; 32]));
        let keys = Keys { signing, list };
        let disk: Arc<dyn Files> = Arc::new(DiskFiles);
        let source = at("source");
        std::fs::create_dir(&source)?;
        tree::generate(&source, 1, Shape { folders: 6, files: 40, symlinks: 4, file_bytes_max: 300_000 })?;
        let mut truth = BTreeMap::from([(version(1), tree::read(&source)?)]);
        drop(Library::create(Arc::clone(&disk), &at("site1"), Role::Site)?);
        refresh::run(Arc::clone(&disk), &at("site1"), &source, 1, &keys, &Acks::default())?;
        tree::edit(&source, 2, 12)?;
        truth.insert(version(2), tree::read(&source)?);
        copy(&at("site1"), &at("site2"))?;
        refresh::run(Arc::clone(&disk), &at("site2"), &source, 2, &keys, &Acks::default())?;
        copy(&at("site2"), &at("site3"))?;
        let few = at("few");
        copy(&source, &few)?;
        thin_out(&few)?;
        truth.insert(version(3), tree::read(&few)?);
        refresh::run(Arc::clone(&disk), &at("site3"), &few, 3, &keys, &Acks::default())?;
        let (site, _) = Library::open(Arc::clone(&disk), &at("site2"))?;
        drop(Library::create(Arc::clone(&disk), &at("dp1"), Role::DistributionPoint)?);
        let first = site.statement(&version(1))?.context("version 1 was published")?;
        Receive::new(&site, &first).run(disk, &at("dp1"), &|_| {})?;
        let statement = site.statement(&version(2))?.context("version 2 was published")?;
        Ok(Self { folder, keys, truth, site, statement })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A fresh copy of the library the scenario starts from, in a folder of its own.
    fn start(&self, scenario: Scenario) -> Result<PathBuf> {
        let disk = self.at("disk");
        for old in [&disk, &self.at("image")] {
            if old.exists() {
                std::fs::remove_dir_all(old)?;
            }
        }
        std::fs::create_dir(&disk)?;
        let base = match scenario {
            Scenario::Refresh => "site1",
            Scenario::Receive => "dp1",
            Scenario::Clean => "site3",
        };
        copy(&self.at(base), &disk.join("library"))?;
        Ok(disk)
    }

    fn run(&self, scenario: Scenario, files: Arc<dyn Files>, folder: &Path, acks: &Acks) -> Result<()> {
        match scenario {
            Scenario::Refresh => refresh::run(files, folder, &self.at("source"), 2, &self.keys, acks),
            Scenario::Receive => {
                Receive::new(&self.site, &self.statement).run(files, folder, &|event| acks.add(event))
            }
            Scenario::Clean => clean::run(files, folder, acks),
        }
    }

    /// The end state of a run without faults, and its operations.
    fn undisturbed(&self, scenario: Scenario) -> Result<(State, Vec<OperationKind>)> {
        let disk = self.start(scenario)?;
        let files = FaultyFiles::new(&disk)?;
        let acks = Acks::default();
        self.run(scenario, Arc::new(files.clone()), &disk.join("library"), &acks)?;
        let kinds = files.trace().into_iter().map(|operation| operation.kind).collect();
        let state = judge(&disk.join("library"), &acks.list(), &self.truth, &self.keys)?;
        Ok((state, kinds))
    }

    /// Runs the scenario once per operation with `fault` there, and judges what is left.
    pub(super) fn cut_everywhere(&self, scenario: Scenario, fault: Fault, tally: &mut Tally) {
        let (end, kinds) = self.undisturbed(scenario).expect("nothing is in the way of an undisturbed run");
        // One more than there are operations: the fault after the last one, when all is acknowledged.
        for number in 1..=kinds.len() as u64 + 1 {
            let outcome = self.cut(scenario, number, seeded(fault, number), Sabotage::None, &end);
            tally.add(&format!("{fault:?} at {}", at(&kinds, number)), outcome);
        }
    }

    /// The last operation at which `fault` does harm while a safeguard is out.
    pub(super) fn first_violation(
        &self,
        scenario: Scenario,
        fault: Fault,
        sabotage: Sabotage,
    ) -> Option<String> {
        let (end, kinds) = self.undisturbed(scenario).expect("nothing is in the way of an undisturbed run");
        // Backwards: what is missing shows when everything has been acknowledged.
        (1..=kinds.len() as u64 + 1).rev().find_map(|number| {
            let error = self.cut(scenario, number, seeded(fault, number), sabotage, &end).err()?;
            Some(format!("{fault:?} at {}: {error:#}", at(&kinds, number)))
        })
    }

    fn cut(
        &self,
        scenario: Scenario,
        number: u64,
        fault: Fault,
        sabotage: Sabotage,
        end: &State,
    ) -> Result<bool> {
        let disk = self.start(scenario)?;
        let files = FaultyFiles::new(&disk)?;
        files.sabotage(sabotage);
        files.fail_at(number, fault);
        let acks = Acks::default();
        let result = self.run(scenario, Arc::new(files.clone()), &disk.join("library"), &acks);
        let operations = files.trace().len() as u64;
        if files.fired().is_none() && (result.is_err() || operations + 1 != number) {
            return Ok(false);
        }
        self.judge_and_finish(scenario, &files, fault, &acks.list(), end)?;
        Ok(true)
    }

    /// Judges the crash image, runs the scenario again on it, and compares with the end state.
    fn judge_and_finish(
        &self,
        scenario: Scenario,
        files: &FaultyFiles,
        fault: Fault,
        acks: &[Event],
        end: &State,
    ) -> Result<()> {
        let image = self.at("image");
        files.image_after(fault, &image)?;
        let library = image.join("library");
        let history = History::new("disk");
        judge(&library, acks, &self.truth, &self.keys)?.note(&history, acks);
        let again = Acks::default();
        self.run(scenario, Arc::new(DiskFiles), &library, &again).context("the run after the fault fails")?;
        let found =
            judge(&library, &again.list(), &self.truth, &self.keys).context("after the second run")?;
        ensure!(found == *end, "the second run ends otherwise: {found:?} instead of {end:?}");
        found.note(&history, &again.list());
        history.expect_clean()?;
        let left = leftovers(&library)?;
        ensure!(left.is_empty(), "working files are left: {left:?}");
        if matches!(fault, Fault::Nothing | Fault::Half | Fault::Kill) {
            let recorded: BTreeSet<Digest> = digests(acks, |ack| matches!(ack, Event::Recorded(_)));
            let asked: BTreeSet<Digest> = digests(&again.list(), |ack| matches!(ack, Event::Asked(_)));
            let twice = recorded.intersection(&asked).count();
            ensure!(twice == 0, "{twice} recorded frames are asked for again");
        }
        Ok(())
    }

    /// Lets each operation of a matching kind fail once while the disk lives on; then power fails.
    pub(super) fn fail_everywhere(
        &self,
        scenario: Scenario,
        matches: fn(OperationKind) -> bool,
        sabotage: Sabotage,
        tally: &mut Tally,
    ) {
        let (end, kinds) = self.undisturbed(scenario).expect("nothing is in the way of an undisturbed run");
        for (index, kind) in kinds.iter().enumerate().filter(|(_, kind)| matches(**kind)) {
            let number = index as u64 + 1;
            let outcome = self.fail(scenario, number, sabotage, &end);
            tally.add(&format!("error of {kind:?} {number}"), outcome);
        }
    }

    fn fail(&self, scenario: Scenario, number: u64, sabotage: Sabotage, end: &State) -> Result<bool> {
        let disk = self.start(scenario)?;
        let files = FaultyFiles::new(&disk)?;
        files.sabotage(sabotage);
        files.fail_at(number, Fault::Error);
        let acks = Acks::default();
        let library = disk.join("library");
        if self.run(scenario, Arc::new(files.clone()), &library, &acks).is_err() {
            // The caller tries again, as a loop does, on the same disk.
            self.run(scenario, Arc::new(files.clone()), &library, &acks)
                .context("the second attempt fails")?;
        }
        if files.fired().is_none() {
            return Ok(false);
        }
        self.judge_and_finish(scenario, &files, Fault::Power, &acks.list(), end)?;
        Ok(true)
    }

    /// Ends the process at each operation, lets the next process finish, and then cuts the power:
    /// what the next process built on must be durable too.
    pub(super) fn kill_then_cut_power(&self, scenario: Scenario, tally: &mut Tally) {
        let (end, kinds) = self.undisturbed(scenario).expect("nothing is in the way of an undisturbed run");
        for (index, kind) in kinds.iter().enumerate() {
            for fault in [Fault::Half, Fault::Kill] {
                let number = index as u64 + 1;
                let outcome = self.kill_then_cut(scenario, number, fault, &end).map(|()| true);
                tally.add(&format!("{fault:?} at {kind:?} {number}, then power"), outcome);
            }
        }
    }

    fn kill_then_cut(&self, scenario: Scenario, number: u64, fault: Fault, end: &State) -> Result<()> {
        let disk = self.start(scenario)?;
        let files = FaultyFiles::new(&disk)?;
        files.fail_at(number, fault);
        let acks = Acks::default();
        let library = disk.join("library");
        let first = self.run(scenario, Arc::new(files.clone()), &library, &acks);
        ensure!(files.fired().is_some(), "the fault did not fire: {first:?}");
        files.restart();
        self.run(scenario, Arc::new(files.clone()), &library, &acks).context("the next process fails")?;
        self.judge_and_finish(scenario, &files, Fault::Power, &acks.list(), end)
    }

    /// Receives from a site that damages one chunk; with the check in place the receive must fail.
    pub(super) fn receive_from_a_liar(&self, sabotage: Sabotage, tally: &mut Tally) {
        tally.add(&"a chunk that is damaged on its way", self.lied_to(sabotage).map(|()| true));
    }

    fn lied_to(&self, sabotage: Sabotage) -> Result<()> {
        let disk = self.start(Scenario::Receive)?;
        let files = FaultyFiles::new(&disk)?;
        files.sabotage(sabotage);
        let acks = Acks::default();
        let library = disk.join("library");
        let receive = Receive { lie: Some(self.chunk_asked()?), ..Receive::new(&self.site, &self.statement) };
        let result = receive.run(Arc::new(files), &library, &|event| acks.add(event));
        judge(&library, &acks.list(), &self.truth, &self.keys)?;
        ensure!(result.is_err(), "a damaged chunk was taken");
        Ok(())
    }

    /// The ordinal of a chunk that a receiver of version 2 asks for.
    fn chunk_asked(&self) -> Result<u64> {
        let (dp, _) = Library::open(Arc::new(DiskFiles), &self.at("dp1"))?;
        let manifest = restock_content::manifest::Manifest::new(&self.site, self.statement.root);
        for (ordinal, run) in manifest.chunks_from(0).enumerate() {
            let run = run?;
            if !dp.holds(&run.digest)? {
                return Ok(ordinal as u64);
            }
        }
        anyhow::bail!("version 2 has no chunk that version 1 lacks")
    }
}

/// Gives a fault that rolls dice other dice at each operation.
fn seeded(fault: Fault, number: u64) -> Fault {
    match fault {
        Fault::PowerMixed(seed) => Fault::PowerMixed(seed * 1_000_003 + number),
        other => other,
    }
}

fn at(kinds: &[OperationKind], number: u64) -> String {
    let kind = kinds.get(number as usize - 1);
    kind.map_or("the end".to_owned(), |kind| format!("{kind:?} {number}"))
}

fn digests(acks: &[Event], keep: impl Fn(&Event) -> bool) -> BTreeSet<Digest> {
    let kept = acks.iter().filter(|ack| keep(ack));
    kept.filter_map(|ack| if let Event::Asked(d) | Event::Recorded(d) = ack { Some(*d) } else { None })
        .collect()
}

/// Leaves one file of four in each folder.
fn thin_out(folder: &Path) -> Result<()> {
    let mut paths = std::fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for (index, path) in paths.iter().enumerate() {
        if path.is_dir() && !path.is_symlink() {
            thin_out(path)?;
        } else if index % 4 != 0 {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
