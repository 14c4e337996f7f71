//! Memory, descriptors and working files of the members over time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use restock_testkit::fleet::{Fleet, Member};

/// Samples of each member that a slope needs.
const SAMPLES_MIN: usize = 12;
const SAMPLE_PERIOD: Duration = Duration::from_secs(5);
/// A process takes its memory in its first seconds.
const WARM_UP: Duration = Duration::from_secs(20);
/// By how much the median of the last third may lie above that of the first.
const MEMORY_GROWTH_MAX: u64 = 48 << 20;
const DESCRIPTORS_GROWTH_MAX: u64 = 16;
const WORKING_FILES_GROWTH_MAX: u64 = 16;

#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    memory_bytes: u64,
    /// But those of packs.
    descriptors: u64,
    /// One or more for each pack, whose number is cleaning's affair.
    pack_descriptors: u64,
    working_files: u64,
}

#[derive(Debug)]
pub(super) struct Resources {
    begun: Instant,
    last: Option<Instant>,
    members: BTreeMap<Member, Vec<Sample>>,
    /// The process that a member is, and since when.
    lives: BTreeMap<Member, (u32, Instant)>,
}

impl Resources {
    pub(super) fn new(fleet: &Fleet) -> Self {
        let members = fleet.members().into_iter().map(|member| (member, Vec::new())).collect();
        Self { begun: Instant::now(), last: None, members, lives: BTreeMap::new() }
    }

    /// Looks at every member that has warmed up, if it is time to.
    pub(super) fn sample(&mut self, fleet: &mut Fleet) -> Result<()> {
        if self.last.is_some_and(|last| last.elapsed() < SAMPLE_PERIOD) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        for (member, samples) in &mut self.members {
            let Some(process) = fleet.process(*member) else { continue };
            let id = process.id();
            let life = self.lives.entry(*member).or_insert((id, Instant::now()));
            if life.0 != id {
                *life = (id, Instant::now());
            }
            if life.1.elapsed() < WARM_UP {
                continue;
            }
            let (descriptors, pack_descriptors) = descriptors(id);
            samples.push(Sample {
                seconds: self.begun.elapsed().as_secs_f64(),
                memory_bytes: memory_bytes(id),
                descriptors,
                pack_descriptors,
                working_files: working_files(&fleet.data(*member))?.len() as u64,
            });
        }
        Ok(())
    }

    /// One line for each member.
    pub(super) fn report(&self) -> String {
        let mut text = String::new();
        for (member, samples) in &self.members {
            let memory = Trend::of(samples, |s| s.memory_bytes);
            let descriptors = Trend::of(samples, |s| s.descriptors);
            let files = Trend::of(samples, |s| s.working_files);
            let packs = Trend::of(samples, |s| s.pack_descriptors);
            let count = samples.len();
            writeln!(
                text,
                "{member:?}, {count} samples: memory {} to {} KiB ({:+.0} KiB a minute), descriptors {} to {} ({:+.2}), \
                 working files {} to {} ({:+.2}), packs open {} to {}",
                memory.first / 1024,
                memory.last / 1024,
                memory.per_minute / 1024.0,
                descriptors.first,
                descriptors.last,
                descriptors.per_minute,
                files.first,
                files.last,
                files.per_minute,
                packs.first,
                packs.last,
            )
            .expect("a text can be written to");
        }
        text
    }

    /// What has grown.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (member, samples) in &self.members {
            if samples.len() < SAMPLES_MIN {
                found.push(format!("{member:?} was looked at {} times only", samples.len()));
            }
            let trends = [
                ("memory", Trend::of(samples, |s| s.memory_bytes), MEMORY_GROWTH_MAX),
                ("descriptors", Trend::of(samples, |s| s.descriptors), DESCRIPTORS_GROWTH_MAX),
                ("working files", Trend::of(samples, |s| s.working_files), WORKING_FILES_GROWTH_MAX),
            ];
            for (what, trend, growth_max) in trends {
                if trend.last > trend.first + growth_max {
                    found.push(format!("{what} of {member:?} grew from {} to {}", trend.first, trend.last));
                }
            }
        }
        found
    }
}

/// How something goes over time.
#[derive(Debug, PartialEq)]
struct Trend {
    /// Medians of the first and the last third.
    first: u64,
    last: u64,
    /// Slope of the line that fits best.
    per_minute: f64,
}

impl Trend {
    fn of(samples: &[Sample], value: impl Fn(&Sample) -> u64) -> Self {
        let third = (samples.len() / 3).max(1).min(samples.len());
        let median = |part: &[Sample]| {
            let mut values: Vec<u64> = part.iter().map(&value).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let count = samples.len().max(1) as f64;
        let (mean_x, mean_y) = samples.iter().fold((0.0, 0.0), |(x, y), sample| {
            (x + sample.seconds / count, y + value(sample) as f64 / count)
        });
        let (over, under) = samples.iter().fold((0.0, 0.0), |(over, under), sample| {
            let x = sample.seconds - mean_x;
            (over + x * (value(sample) as f64 - mean_y), under + x * x)
        });
        let per_minute = if under > 0.0 { over / under * 60.0 } else { 0.0 };
        Self { first: median(&samples[..third]), last: median(&samples[samples.len() - third..]), per_minute }
    }
}

/// Descriptors of a process: all but those of packs, and those; 0 when it has just ended.
fn descriptors(id: u32) -> (u64, u64) {
    let (mut others, mut of_packs) = (0, 0);
    for entry in std::fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if target.to_string_lossy().contains("/library/packs/") {
            of_packs += 1;
        } else {
            others += 1;
        }
    }
    (others, of_packs)
}

/// Memory that is the process's own; 0 when it has just ended.
fn memory_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Temporary files and open packs beneath a folder.
pub(super) fn working_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        // What is working goes away meanwhile.
        for entry in std::fs::read_dir(&at).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else if name.ends_with(".tmp") || name.contains(".open.") {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[test]
fn a_trend_tells_growth_from_noise() {
    let samples = |value: fn(u64) -> u64| -> Vec<Sample> {
        let one = |n: u64| Sample {
            seconds: n as f64 * 5.0,
            memory_bytes: value(n),
            descriptors: 0,
            pack_descriptors: 0,
            working_files: 0,
        };
        (0..30).map(one).collect()
    };
    let grown = Trend::of(&samples(|n| 1_000 + n), |s| s.memory_bytes);
    assert_eq!((grown.first, grown.last, grown.per_minute.round()), (1_005, 1_025, 12.0));
    let noise = Trend::of(&samples(|n| 1_000 + n % 2), |s| s.memory_bytes);
    assert!(noise.per_minute.abs() < 0.1 && noise.first.abs_diff(noise.last) <= 1, "{noise:?}");
    assert_eq!(Trend::of(&[], |s| s.memory_bytes), Trend { first: 0, last: 0, per_minute: 0.0 });
}
