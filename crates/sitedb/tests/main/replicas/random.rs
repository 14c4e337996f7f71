//! Random trees of sites, with everything that can happen to what travels between them.
//!
//! In the end, when nothing is lost any more, all sites say the same, nothing was refused that was
//! right, and no (epoch, version) ever had two roots.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use restock_names::{Digest, DistributionPointName, Epoch, PackageId, SiteCode, SourceVersion};
use restock_sitedb::state::{Event, JobKind, Report, RetryPolicy};
use restock_sitedb::target::Target;
use restock_sitedb::{DatabaseError, Tx};

use super::line::context;
use super::net::{Batch, Node, collect, deliver, join, shared};
use crate::change;
use crate::samples::NOW;

const CODES: [&str; 6] = ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"];
/// In each round every link carries what there is both ways: a tree of six sites is at most five deep.
const ROUNDS_MAX: usize = 60;

#[derive(Debug, Clone, Copy)]
enum What {
    Package,
    Rename,
    Delete,
    Ask,
    Publish,
    Own,
    Wish,
    Work,
    Send,
    Lose,
    Twice,
    Hold,
    Late,
    BackUp,
    Restore,
    Restart,
    Forget,
}

/// What happens, and three numbers that say where.
type Step = (What, usize, usize, usize);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use What::{
        Ask, BackUp, Delete, Forget, Hold, Late, Lose, Own, Package, Publish, Rename, Restart, Restore, Send,
        Twice, Wish, Work,
    };
    let what = prop_oneof![
        3 => Just(Package),
        4 => Just(Rename),
        1 => Just(Delete),
        5 => Just(Ask),
        6 => Just(Publish),
        3 => Just(Own),
        5 => Just(Wish),
        4 => Just(Work),
        12 => Just(Send),
        2 => Just(Lose),
        2 => Just(Twice),
        3 => Just(Hold),
        3 => Just(Late),
        2 => Just(BackUp),
        2 => Just(Restore),
        1 => Just(Restart),
        1 => Just(Forget),
    ];
    prop::collection::vec((what, 0..1_000_usize, 0..1_000_usize, 0..1_000_usize), 10..70)
}

/// The sites, and what a test remembers of them.
struct World {
    nodes: Vec<Node>,
    /// Index of the site above each; the first has none.
    above: Vec<Option<usize>>,
    packages: Vec<PackageId>,
    held: Vec<(usize, Batch)>,
    /// Neighbours that a restored site has not heard to the end: until then it publishes nothing.
    unheard: BTreeMap<usize, BTreeSet<usize>>,
    roots: BTreeMap<(PackageId, Epoch, SourceVersion), Digest>,
    published: u64,
}

impl World {
    async fn new(parents: &[usize]) -> Self {
        let mut nodes = Vec::new();
        let mut above = Vec::new();
        for (place, parent) in parents.iter().enumerate() {
            let code: SiteCode = CODES[place].parse().unwrap();
            let node = Node::new(code).await;
            change!(node.database, |tx| tx.enrol_point(&point(code), "key", NOW, NOW).await?);
            nodes.push(node);
            above.push(place.checked_sub(1).map(|last| parent % (last + 1)));
            if let Some(above) = above[place] {
                join(&nodes[above], &nodes[place]).await;
            }
        }
        let (packages, held) = (Vec::new(), Vec::new());
        let (unheard, roots) = (BTreeMap::new(), BTreeMap::new());
        Self { nodes, above, packages, held, unheard, roots, published: 0 }
    }

    /// Every link, both ways.
    fn ways(&self) -> Vec<(usize, usize)> {
        let links =
            self.above.iter().enumerate().filter_map(|(place, above)| above.map(|above| (place, above)));
        links.flat_map(|(below, above)| [(below, above), (above, below)]).collect()
    }

    async fn deliver(&mut self, to: usize, batch: &Batch) {
        let applied = deliver(&self.nodes[to], batch, NOW).await;
        for refused in &applied.refused {
            // Two sites owned it for a while: the version of the one that lost stands nowhere.
            assert_eq!(refused.why.rule, "FENCED", "{refused:?} at {}", self.nodes[to].code);
        }
        let known = self.nodes[to]
            .read(|tx| {
                Box::pin(async move {
                    let mut known = Vec::new();
                    for package in tx.packages().await? {
                        known.extend(
                            tx.announced(package.id).await?.map(|a| (a.version.content, a.version.root)),
                        );
                    }
                    Ok(known)
                })
            })
            .await;
        for (content, root) in known {
            let name = (content.package, content.epoch, content.version);
            let before = *self.roots.entry(name).or_insert(root);
            assert_eq!(before, root, "two contents of {content} in epoch {}", content.epoch);
        }
    }

    /// Carries what `from` has for `to`; false when there was nothing.
    async fn carry(&mut self, from: usize, to: usize, bytes_max: usize) -> bool {
        let Some(batch) = collect(&self.nodes[from], &self.nodes[to], bytes_max).await else {
            if let Some(unheard) = self.unheard.get_mut(&to) {
                unheard.remove(&from);
            }
            return false;
        };
        self.deliver(to, &batch).await;
        true
    }

    async fn publish(&mut self, place: usize) -> bool {
        if self.unheard.get(&place).is_some_and(|unheard| !unheard.is_empty()) {
            return false;
        }
        self.published += 1;
        let Some(published) = self.nodes[place].publish(self.published).await else { return false };
        let id = published.version.content.package;
        change!(self.nodes[place].database, |tx| {
            let covers = tx.refresh(id).await?.unwrap().done;
            let context = context(tx, id).await?;
            tx.tell_targets(&context, Event::Published { covers }, None).await?;
        });
        true
    }

    /// Content arrives at a site, and its distribution point does what it was told; false when there
    /// was nothing to do.
    async fn work(&self, place: usize) -> bool {
        let code = self.nodes[place].code;
        change!(self.nodes[place].database, |tx| {
            let mut is_busy = false;
            for due in tx.fetches_due(NOW, 100).await? {
                if tx.is_wanted_at(due.version.content.package, &BTreeSet::from([code])).await? {
                    is_busy |= tx.content_arrived(&due, NOW).await?;
                }
            }
            for mut target in tx.targets_of_point(&point(code)).await? {
                let Some(job) = target.facts.job else { continue };
                let report = match job.kind {
                    JobKind::Remove => Report::Removed,
                    _ => Report::Installed(target.facts.wanted),
                };
                let event = Event::Reported { job: job.id, report, now: NOW, retry: RetryPolicy::default() };
                let context = context(tx, target.package).await?;
                tx.apply(&mut target, &context, event, None).await?.unwrap();
                is_busy = true;
            }
            is_busy
        })
    }

    async fn step(&mut self, (what, a, b, c): Step) {
        let place = a % self.nodes.len();
        let ways = self.ways();
        let (from, to) = ways[b % ways.len()];
        let package = (!self.packages.is_empty()).then(|| self.packages[b % self.packages.len().max(1)]);
        let bytes_max = [1, 700, 1_000_000][c % 3];
        match (what, package) {
            (What::Package, _) if self.packages.len() < 6 => {
                self.packages.push(self.nodes[place].add_package().await);
            }
            (What::Rename, Some(id)) => change!(self.nodes[place].database, |tx| {
                if let Some(mut package) = tx.package(id).await?.filter(|package| !package.is_deleting) {
                    package.name = format!("name {c}");
                    tx.update_package(&package).await?;
                }
            }),
            (What::Delete, Some(id)) => change!(self.nodes[place].database, |tx| {
                if let Some(mut refresh) = tx.refresh(id).await? {
                    tx.mark_package_deleting(id).await?;
                    refresh.cancel();
                    tx.update_refresh(id, &refresh).await?;
                    let context = context(tx, id).await?;
                    tx.tell_targets(&context, Event::RemoveAsked, None).await?;
                }
            }),
            (What::Ask, Some(id)) => self.nodes[place].ask(id).await,
            (What::Publish, _) => drop(self.publish(place).await),
            (What::Own, Some(id)) => {
                let to = self.nodes[c % self.nodes.len()].code;
                change!(self.nodes[place].database, |tx| {
                    if tx.package(id).await?.is_some_and(|package| !package.is_deleting) {
                        tx.set_source_site(id, to, NOW).await?;
                    }
                });
            }
            (What::Wish, Some(id)) => {
                let point = point(self.nodes[c % self.nodes.len()].code);
                let event =
                    [Event::Added, Event::Added, Event::RedistributeAsked, Event::RemoveAsked][a / 7 % 4];
                change!(self.nodes[place].database, |tx| wish(tx, id, &point, event).await?);
            }
            (What::Work, _) => drop(self.work(place).await),
            (What::Send, _) => drop(self.carry(from, to, bytes_max).await),
            (What::Lose, _) => drop(collect(&self.nodes[from], &self.nodes[to], bytes_max).await),
            (What::Twice, _) => {
                if let Some(batch) = collect(&self.nodes[from], &self.nodes[to], bytes_max).await {
                    self.deliver(to, &batch).await;
                    self.deliver(to, &batch).await;
                }
            }
            (What::Hold, _) => {
                let batch = collect(&self.nodes[from], &self.nodes[to], bytes_max).await;
                self.held.extend(batch.map(|batch| (to, batch)));
            }
            (What::Late, _) if !self.held.is_empty() => {
                let (to, batch) = self.held.swap_remove(c % self.held.len());
                self.deliver(to, &batch).await;
            }
            (What::BackUp, _) => self.nodes[place].back_up().await,
            (What::Restore, _) => {
                let is_quiet = self.unheard.values().all(BTreeSet::is_empty);
                if is_quiet && self.nodes[place].restore(c, true).await {
                    // What was on its way belongs to connections that have ended.
                    let code = self.nodes[place].code;
                    self.held.retain(|(to, batch)| *to != place && batch.from != code);
                    let neighbours = ways.iter().filter(|(_, to)| *to == place).map(|(from, _)| *from);
                    self.unheard.insert(place, neighbours.collect());
                }
            }
            (What::Restart, _) => self.nodes[place].restart().await,
            (What::Forget, _) => self.forget(place).await,
            _ => {}
        }
    }

    async fn forget(&self, place: usize) {
        change!(self.nodes[place].database, |tx| {
            for id in tx.packages_to_forget().await? {
                tx.delete_package(id).await?;
            }
        });
    }

    /// Lets everything arrive, and every request be run, until nothing happens any more.
    async fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut is_busy = false;
            for (from, to) in self.ways() {
                is_busy |= self.carry(from, to, 1_000_000).await;
            }
            if !is_busy {
                for place in 0..self.nodes.len() {
                    while self.publish(place).await {
                        is_busy = true;
                    }
                    is_busy |= self.work(place).await;
                    self.forget(place).await;
                }
                for (from, to) in self.ways() {
                    is_busy |= self.carry(from, to, 1_000_000).await;
                }
            }
            if !is_busy {
                return;
            }
        }
        panic!("the sites go on talking after {ROUNDS_MAX} rounds");
    }
}

/// The one distribution point of a site.
fn point(site: SiteCode) -> DistributionPointName {
    format!("DP{site}").parse().unwrap()
}

/// A person wants something of a package on a distribution point that is known there.
async fn wish(
    tx: &mut Tx,
    id: PackageId,
    point: &DistributionPointName,
    event: Event,
) -> Result<(), DatabaseError> {
    let is_known = tx.package(id).await?.is_some_and(|package| !package.is_deleting);
    if !is_known || tx.point(point).await?.is_none() {
        return Ok(());
    }
    let known = tx.target(id, point).await?;
    if known.is_none() && event != Event::Added {
        return Ok(());
    }
    let context = context(tx, id).await?;
    let mut target = known.unwrap_or_else(|| Target::new(id, point.clone(), NOW));
    let _refused = tx.apply(&mut target, &context, event, None).await?;
    Ok(())
}

async fn run(parents: Vec<usize>, steps: Vec<Step>) {
    let mut world = World::new(&parents).await;
    for step in steps {
        world.step(step).await;
    }
    world.held.clear();
    world.settle().await;
    let first = shared(&world.nodes[0]).await;
    for node in &world.nodes[1..] {
        let found = shared(node).await;
        for (name, said) in &first {
            assert_eq!(found.get(name), Some(said), "{name} at {}", node.code);
        }
        assert_eq!(found.len(), first.len(), "objects at {}", node.code);
    }
    for (name, said) in first.iter().filter(|(name, _)| name.starts_with("row/")) {
        assert!(said.ends_with("false"), "no request of {name} waits: {said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn sites_agree_whatever_was_lost_repeated_or_put_back(
        parents in prop::collection::vec(0..100_usize, 2..=6),
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(parents, steps));
    }
}
