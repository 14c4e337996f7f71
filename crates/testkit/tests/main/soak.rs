//! One site, two distribution points and many readers for a long time, with fault after fault.
//!
//! The source changes and is refreshed all the while. Every file says in each of its blocks which file
//! of which generation it is, so that a reader finds wrong bytes, mixed versions and steps back at
//! once. At the end everything must come to rest, the history must hold, and memory, descriptors and
//! working files must not have grown. The short form has a fault of each kind and judges no slopes.

mod content;
mod faults;
mod readers;
mod resources;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use restock_testkit::fleet::{Fleet, PACKAGE, binary};
use restock_testkit::history::{Deed, History, Seen};
use restock_testkit::random::Random;
use restock_testkit::tally::Tally;
use serde_json::Value;
use tempfile::TempDir;

use content::Content;
use faults::{Fault, Faults};
use readers::Readers;
use resources::Resources;

const DPS: usize = 2;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

struct Soak {
    // Processes end before the folder goes.
    fleet: Fleet,
    folder: TempDir,
    history: History,
    content: Content,
    random: Random,
    refreshes: u64,
}

impl Soak {
    fn prepare() -> Result<Self> {
        let folder = TempDir::new()?;
        let run = folder.path().join("run");
        std::fs::create_dir(&run)?;
        let content = Content::create(&folder.path().join("source"))?;
        let fleet = Fleet::create(&binary()?, &run, DPS)?;
        let source = content.folder().display().to_string();
        fleet.expect(&["source", "add", "src", &source])?;
        fleet.expect(&["package", "create", "p", "--source", &source, "--public", "--wait"])?;
        fleet.expect(&["distribute", PACKAGE, "--to", "DP1", "DP2", "--wait"])?;
        let random = Random::new(setting("RESTOCK_TORTURE_SEED", 1));
        Ok(Self { fleet, folder, history: History::new("soak"), content, random, refreshes: 0 })
    }

    /// Changes some files and asks for a refresh; whether it is accepted depends on the fault under way.
    fn refresh(&mut self) -> Result<()> {
        self.content.edit(&mut self.random)?;
        let asked = self.history.begin("caller", Deed::Change, PACKAGE);
        let answer = self.fleet.call(&["refresh", PACKAGE])?;
        match answer.json[0]["source_version"].as_u64() {
            Some(before) if answer.code == 0 => {
                asked.ok(&[Seen::version(before + 1)]);
                self.refreshes += 1;
            }
            _ => asked.unknown(),
        }
        Ok(())
    }

    fn look(&self, deed: Deed) -> Result<Value> {
        let asked = self.history.begin("site", deed, PACKAGE);
        let status = self.fleet.status()?;
        asked.ok(&[Seen::version(status["package"]["source_version"].as_u64().unwrap_or_default())]);
        Ok(status)
    }

    /// Everything is whole and of the newest generation.
    fn rest(&mut self) -> Result<()> {
        self.refresh()?;
        let status = self.fleet.settled()?;
        self.look(Deed::Rest)?;
        let version = &status["package"]["source_version"];
        let targets = status["targets"].as_array().context("there are targets")?;
        for target in targets {
            ensure!(target["serving_version"] == *version, "{status}");
            let observer = format!("{} by the site", target["point"]);
            let seen = Seen::version(version.as_u64().unwrap_or_default());
            self.history.note(&observer, Deed::Rest, PACKAGE, &[seen]);
        }
        for number in 1..=DPS {
            readers::read_all(self.fleet.serve_address(number), &self.content)
                .with_context(|| format!("DP{number} at rest"))?;
        }
        for member in self.fleet.members() {
            let talk = self.fleet.talk(member);
            ensure!(!talk.contains("panicked"), "{member:?} panicked: {talk}");
            let repaired = self.fleet.call_at(member, &["library", "repair"])?;
            let has_lost = repaired.json["lost"].as_array().is_none_or(|lost| !lost.is_empty());
            ensure!(repaired.code == 0 && !has_lost, "{member:?}: {} {}", repaired.json, repaired.talk);
        }
        Ok(())
    }

    /// Working files that are left when nothing runs.
    fn leftovers(&mut self) -> Result<Vec<PathBuf>> {
        self.fleet.stop_all(false)?;
        let members = self.fleet.members();
        let all: Result<Vec<_>> =
            members.iter().map(|m| resources::working_files(&self.fleet.data(*m))).collect();
        Ok(all?.into_iter().flatten().collect())
    }
}

fn soak(seconds: u64, readers: u64, every: Duration, judges_slopes: bool) -> Result<Tally> {
    let mut soak = Soak::prepare()?;
    let mut tally = Tally::default();
    let mut faults = Faults::default();
    let mut resources = Resources::new(&soak.fleet);
    let is_over = AtomicBool::new(false);
    let until = Instant::now() + Duration::from_secs(seconds);
    let addresses: Vec<_> = (1..=DPS).map(|number| soak.fleet.serve_address(number)).collect();
    let (history, shape) = (soak.history.clone(), soak.content.shape());
    let wrong = std::thread::scope(|scope| {
        let all = Readers::start(scope, readers, &addresses, &history, shape, &is_over);
        let run = (|| -> Result<()> {
            let mut next_fault = Instant::now() + every;
            for fault in Fault::ALL.iter().cycle() {
                while Instant::now() < next_fault {
                    soak.refresh()?;
                    // A site that is away is the fault's doing.
                    let _status = soak.look(Deed::Read);
                    resources.sample(&mut soak.fleet)?;
                    std::thread::sleep(every.min(Duration::from_secs(2)) / 2);
                }
                let outcome = faults.inflict(*fault, &mut soak.fleet, &soak.content, &mut soak.random);
                tally.add(&format!("{fault:?}"), outcome);
                next_fault = Instant::now() + every;
                if Instant::now() >= until && tally.points >= Fault::ALL.len() as u64 {
                    break;
                }
            }
            Ok(())
        })();
        is_over.store(true, Ordering::Relaxed);
        let wrong = all.end();
        run.map(|()| wrong)
    })?;
    println!("{wrong}");
    tally.violations.extend(wrong.violations);
    ensure!(wrong.reads > 0, "nobody read anything");
    soak.rest()?;
    println!("{}", resources.report());
    if judges_slopes {
        tally.violations.extend(resources.violations());
    }
    let left = soak.leftovers()?;
    if !left.is_empty() {
        tally.violations.push(format!("working files are left: {left:?}"));
    }
    println!("{}; {} refreshes in {:?}", soak.history.verdict()?, soak.refreshes, soak.folder.path());
    soak.history.expect_clean()?;
    Ok(tally)
}

#[test]
fn readers_see_whole_versions_that_rise_through_all_faults() {
    let seconds = setting("RESTOCK_SOAK_SECONDS", 0);
    let is_long = seconds > 0;
    let every = if is_long { Duration::from_secs(30) } else { Duration::from_secs(1) };
    let readers = setting("RESTOCK_SOAK_READERS", if is_long { 50 } else { 6 });
    let tally = soak(seconds, readers, every, is_long).expect("everything comes to rest");
    tally.report("soak", &format!("{readers} readers"));
    assert_eq!(tally.violations, Vec::<String>::new());
    assert_eq!(tally.fired, tally.points, "some fault did nothing");
}
