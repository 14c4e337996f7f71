//! Clients that read files again and again and judge every byte.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Result, ensure};
use restock_content::hash::chunk_digest;
use restock_testkit::fleet::PACKAGE;
use restock_testkit::history::{Deed, History, Seen};
use restock_testkit::random::Random;
use restock_testkit::reader::{content_path, get};

use super::content::{Content, Shape};

/// Wrong answers that are told in full.
const VIOLATIONS_MAX: usize = 20;

/// What all readers together met.
#[derive(Debug, Default)]
pub(super) struct Met {
    pub(super) reads: u64,
    pub(super) refused: u64,
    pub(super) broken: u64,
    pub(super) violations: Vec<String>,
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, refused, broken, violations } = self;
        let wrong = violations.len();
        write!(f, "{reads} whole answers, {refused} refused, {broken} broken off, {wrong} wrong")
    }
}

/// The running readers.
pub(super) struct Readers<'scope>(Vec<ScopedJoinHandle<'scope, Met>>);

impl<'scope> Readers<'scope> {
    pub(super) fn start(
        scope: &'scope Scope<'scope, '_>,
        count: u64,
        addresses: &[SocketAddr],
        history: &History,
        shape: Shape,
        is_over: &'scope AtomicBool,
    ) -> Self {
        let one = |number: u64| {
            let at = number as usize % addresses.len();
            let (address, history) = (addresses[at], history.clone());
            let name = format!("DP{}/reader {number}", at + 1);
            scope.spawn(move || read_on(&name, address, &history, shape, Random::new(number), is_over))
        };
        Self((0..count).map(one).collect())
    }

    /// Waits for their last answers.
    pub(super) fn end(self) -> Met {
        let mut all = Met::default();
        for reader in self.0 {
            let met = reader.join().expect("a reader does not panic");
            all.reads += met.reads;
            all.refused += met.refused;
            all.broken += met.broken;
            all.violations.extend(met.violations);
        }
        all.violations.truncate(VIOLATIONS_MAX);
        all
    }
}

fn read_on(
    name: &str,
    address: SocketAddr,
    history: &History,
    shape: Shape,
    mut random: Random,
    is_over: &AtomicBool,
) -> Met {
    let mut met = Met::default();
    while !is_over.load(Ordering::Relaxed) {
        let file = random.below(shape.files());
        let path = shape.name(file);
        let asked = history.begin(name, Deed::Read, &format!("{PACKAGE}/{path}"));
        match get(address, &content_path(PACKAGE, path.as_bytes())) {
            Ok(got) if got.status == 200 => {
                met.reads += 1;
                match shape.generations(file, &got.body) {
                    Ok(generations) => {
                        let root = (generations.len() == 1).then(|| chunk_digest(&got.body));
                        let seen = generations.iter().map(|g| Seen { root, ..Seen::version((*g).into()) });
                        asked.ok(&seen.collect::<Vec<_>>());
                    }
                    Err(error) => {
                        asked.failed("wrong bytes");
                        met.violations.push(format!("{name}: {error:#}"));
                    }
                }
            }
            // Not there at all would be a step back: it was installed before anybody read.
            Ok(got) if got.status == 404 => asked.ok(&[]),
            Ok(got) => {
                met.refused += 1;
                asked.failed(&got.status.to_string());
            }
            Err(error) => {
                met.broken += 1;
                asked.failed(&error.to_string());
            }
        }
        std::thread::sleep(Duration::from_millis(100 + random.below(300)));
    }
    met
}

/// Every file is there in the generation of the source.
pub(super) fn read_all(address: SocketAddr, content: &Content) -> Result<()> {
    let shape = content.shape();
    for file in 0..shape.files() {
        let got = get(address, &content_path(PACKAGE, shape.name(file).as_bytes()))?;
        ensure!(got.status == 200, "file {file} is answered with {}", got.status);
        let found = shape.generations(file, &got.body)?;
        ensure!(found == [content.generation(file)], "file {file} is of generation {found:?}");
    }
    Ok(())
}
