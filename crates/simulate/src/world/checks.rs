//! What must hold: safety after every step, convergence at the end.

use std::collections::{BTreeMap, BTreeSet};

use restock_content::manifest::ManifestRoot;
use restock_names::{
    Clock as _, ContentVersion, Digest, DistributionPointName, Epoch, PackageId, SourceVersion, Timestamp,
};
use restock_sitedb::announced::Announced;
use restock_sitedb::package::Package;
use restock_sitedb::state::TargetState;
use restock_sitedb::target::Target;
use restock_sitedb::version::Version;
use restock_sitedb::{DatabaseError, Tx};

use super::World;
use crate::content::generation;
use crate::error::SimulateError;
use crate::image::{self, PLAN};
use crate::node::Which;

/// A package as the people of the simulation know it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The folder of its source.
    pub(crate) source: String,
    /// The state the source is in.
    pub(crate) generation: u64,
    /// Where and when its deletion was acknowledged.
    pub(crate) deleted: Vec<Asked>,
    /// Who acknowledged a deletion went back to a state before it.
    pub(crate) is_uncertain: bool,
    /// Where and when it was created.
    pub(crate) created: Asked,
}

/// Something that was asked and acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) site: usize,
    pub(crate) at: i64,
}

/// What was published: the root of its manifest and the generation of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Published {
    root: Digest,
    generation: Option<u64>,
    signer: usize,
}

type VersionKey = (PackageId, Epoch, SourceVersion);

/// Everything that was acknowledged or seen, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) packages: BTreeMap<PackageId, Known>,
    /// Refreshes: the package, who acknowledged it, and the source's generation then.
    pub(crate) refreshes: Vec<(PackageId, Asked, u64)>,
    /// What was wished of each target, in the order of the acknowledgements: true for added.
    pub(crate) wishes: BTreeMap<(PackageId, DistributionPointName), Vec<(bool, Asked)>>,
    /// Targets whose distribution somebody stopped: they may have been given up.
    pub(crate) cancelled: BTreeSet<(PackageId, DistributionPointName)>,
    published: BTreeMap<VersionKey, Published>,
    /// The highest version each site has shown of each package.
    seen: BTreeMap<(usize, PackageId), (Epoch, SourceVersion)>,
    /// What people asked for, by outcome.
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) violation: Option<String>,
}

impl Ledger {
    /// Keeps the first violation.
    pub(crate) fn violate(&mut self, text: String) {
        self.violation.get_or_insert(text);
    }

    /// A loop ended with an error although no disk and no database failed.
    pub(crate) fn loop_failed(&mut self, site: &str, which: Which, error: &str) {
        self.violate(format!("the {which:?} loop of {site} failed: {error}"));
    }

    /// A site goes back to the state of `at`: what it acknowledged later may be lost, and what it shows
    /// may be older.
    pub(crate) fn restored(&mut self, site: usize, at: i64) {
        let is_kept = |asked: &Asked| asked.site != site || asked.at <= at;
        self.refreshes.retain(|(_, asked, _)| is_kept(asked));
        for known in self.packages.values_mut() {
            let before = known.deleted.len();
            known.deleted.retain(is_kept);
            // Others may have heard of it all the same.
            known.is_uncertain |= known.deleted.len() < before;
        }
        // A wish that may be lost says nothing about the others of its target.
        self.wishes.retain(|_, wishes| wishes.iter().all(|(_, asked)| is_kept(asked)));
        self.packages.retain(|_, known| is_kept(&known.created));
        self.seen.retain(|(observer, _), _| *observer != site);
    }

    pub(crate) fn versions(&self) -> usize {
        self.published.len()
    }
}

/// What one site shows of one package.
#[derive(Debug)]
struct Shown {
    package: Package,
    newest: Option<Version>,
    announced: Option<Announced>,
}

async fn shown(tx: &mut Tx) -> Result<Vec<Shown>, DatabaseError> {
    let mut all = Vec::new();
    for package in tx.packages().await? {
        let newest = tx.newest_version(package.id).await?;
        let announced = tx.announced(package.id).await?;
        all.push(Shown { package, newest, announced });
    }
    Ok(all)
}

fn root_of(version: &Version) -> ManifestRoot {
    ManifestRoot {
        digest: version.root,
        length: version.root_length,
        pages: version.pages,
        entries: version.entries,
        chunks: version.chunks,
        bytes: version.bytes,
    }
}

impl World {
    /// Looks at the versions a site shows after a step that may have changed them.
    pub(super) async fn observe(&mut self, site: usize) -> Result<(), SimulateError> {
        let Some(running) = &self.sites[site].running else { return Ok(()) };
        let read: Result<Vec<Shown>, DatabaseError> =
            running.site.database().read("observe", |tx| Box::pin(async move { shown(tx).await })).await;
        let library = std::sync::Arc::clone(running.site.library());
        for Shown { package, newest, announced } in read? {
            for version in newest.iter().chain(announced.as_ref().map(|announced| &announced.version)) {
                self.version_seen(site, version, &library);
            }
            let newest = newest.as_ref().map(|version| version.content);
            let announced = announced.as_ref().map(|announced| announced.version.content);
            if let Some(top) = newest.max(announced) {
                self.site_shows(site, top);
            }
            let stored = (package.epoch, package.stored_version);
            if package.stored_version.0 > 0
                && newest.is_none_or(|newest| (newest.epoch, newest.version) < stored)
            {
                let code = PLAN[site].code;
                self.ledger.violate(format!("{code} stores {} {stored:?} without knowing it", package.id));
            }
        }
        Ok(())
    }

    /// One root for each (epoch, version), and only the site that the epoch names makes it.
    fn version_seen(&mut self, site: usize, version: &Version, library: &restock_content::library::Library) {
        let content = version.content;
        let key = (content.package, content.epoch, content.version);
        let code = PLAN[site].code;
        match self.ledger.published.get(&key) {
            Some(known) if known.root == version.root => {}
            Some(known) => {
                let by = PLAN[known.signer].code;
                self.ledger.violate(format!(
                    "{code} has another content of {content} in epoch {} than {by} published",
                    content.epoch
                ));
            }
            None => {
                let signer = content.epoch.signer(content.package);
                let is_own = signer.is_some_and(|signer| signer == self.sites[site].code);
                if !is_own {
                    self.ledger.violate(format!(
                        "{code} has {content} in epoch {}, which nobody has published",
                        content.epoch
                    ));
                    return;
                }
                let made = generation(library, root_of(version)).ok().flatten();
                let published = Published { root: version.root, generation: made, signer: site };
                self.ledger.published.insert(key, published);
                self.note(
                    crate::network::Place::Site(site),
                    format_args!("has published {content} in epoch {}, generation {made:?}", content.epoch),
                );
            }
        }
    }

    /// (epoch, version) never falls at an observer.
    fn site_shows(&mut self, site: usize, top: ContentVersion) {
        let now = (top.epoch, top.version);
        let before = self.ledger.seen.insert((site, top.package), now);
        if let Some(before) = before.filter(|before| *before > now) {
            let (code, package) = (PLAN[site].code, top.package);
            self.ledger.violate(format!("{code} shows {package} {now:?} after {before:?}"));
        }
    }

    /// Looks at what a point serves after a step.
    pub(super) fn point_observed(&mut self, at: usize, package: PackageId, before: Option<ContentVersion>) {
        let point = &self.points[at];
        let (name, after) = (point.name.clone(), point.held.get(&package).cloned());
        let Some(after) = after.filter(|after| Some(after.content) != before) else { return };
        let content = after.content;
        let order = |content: ContentVersion| (content.epoch, content.version);
        if let Some(before) = before.filter(|before| order(*before) > order(content)) {
            let (old, new) = (order(before), order(content));
            self.ledger.violate(format!("{name} went back from {package} {old:?} to {new:?}"));
        }
        match self.ledger.published.get(&(package, content.epoch, content.version)) {
            Some(published) if published.root == after.root.digest => {}
            Some(_) => self.ledger.violate(format!("{name} serves another content of {content}")),
            None => self.ledger.violate(format!("{name} serves {content}, which nobody has published")),
        }
        if !self.points[at].memory.has_all(after.root) {
            self.ledger.violate(format!("{name} serves {content} and lacks objects of it"));
        }
        let generation = after.generation;
        self.note(
            crate::network::Place::Point(at),
            format_args!("serves {content} in epoch {}, generation {generation:?}", content.epoch),
        );
    }

    /// A restored site takes nothing from its points that a neighbour could still tell of: before its wait
    /// is over it asks for no removal of a package that it does not know and a neighbour wants there.
    pub(super) async fn removal_heard(&mut self, at: usize, package: PackageId) -> Result<(), SimulateError> {
        let (point, site) = (self.points[at].name.clone(), self.points[at].site);
        let is_kept = self.ledger.packages.get(&package);
        let is_kept = is_kept.is_some_and(|known| known.deleted.is_empty() && !known.is_uncertain);
        let Some(running) = self.sites[site].running.as_ref().filter(|_| is_kept) else { return Ok(()) };
        let read: Result<(bool, Option<Timestamp>), DatabaseError> = running
            .site
            .database()
            .read("removal_heard", move |tx| {
                Box::pin(async move { Ok((tx.package(package).await?.is_some(), tx.restored_at().await?)) })
            })
            .await;
        let (is_known, restored_at) = read?;
        let now = self.sites[site].clock.now();
        if is_known || restored_at.is_none_or(|at| now >= at.after(image::RESTORE_WAIT)) {
            return Ok(());
        }
        for link in &self.links {
            let peer = match (link.parent == site, link.child == site) {
                (true, _) => link.child,
                (_, true) => link.parent,
                _ => continue,
            };
            // One that was restored itself may have heard of it just now.
            let Some(peer) = Some(&self.sites[peer]).filter(|peer| !peer.was_restored) else { continue };
            let (Some(running), point) = (&peer.running, point.clone()) else { continue };
            let target: Result<Option<Target>, DatabaseError> = running
                .site
                .database()
                .read("removal_heard", move |tx| Box::pin(async move { tx.target(package, &point).await }))
                .await;
            if target?.is_some_and(|target| !target.facts.state.is_removal()) {
                let (own, peer) = (PLAN[site].code, peer.code);
                self.ledger.violate(format!(
                    "{own} was restored and removes {package} from {}, where {peer} wants it",
                    self.points[at].name
                ));
            }
        }
        Ok(())
    }

    /// What still differs from the state that everything is to reach; empty when it is reached.
    pub(crate) async fn differences(&mut self) -> Result<Vec<String>, SimulateError> {
        let mut found = Vec::new();
        for link in &self.links {
            if !link.is_quiet() {
                found.push(format!("{} and {} still talk", PLAN[link.parent].code, PLAN[link.child].code));
            }
        }
        for point in &self.points {
            if !point.is_up || point.connection.is_none() {
                found.push(format!("{} is not connected", point.name));
            } else if !point.is_idle() {
                found.push(format!("{} has something to do", point.name));
            }
        }
        let mut tables = Vec::new();
        for (site, plan) in self.sites.iter().zip(PLAN.iter()) {
            let Some(running) = &site.running else {
                found.push(format!("{} does not run", plan.code));
                continue;
            };
            let now = site.clock.now();
            let read: Result<(Table, u64), DatabaseError> = running
                .site
                .database()
                .read("table", move |tx| {
                    Box::pin(async move { Ok((table(tx).await?, tx.fetch_queue(now).await?.0)) })
                })
                .await;
            let (table, waiting) = read?;
            if waiting > 0 {
                found.push(format!("{} still waits for the content of {waiting} packages", plan.code));
            }
            tables.push((plan.code, table));
        }
        let Some((_, first)) = tables.first() else { return Ok(found) };
        for (site, table) in &tables[1..] {
            found.extend(first.differences(table, tables[0].0, site));
        }
        let first = tables.swap_remove(0).1;
        self.compare_points(&first, &mut found);
        self.compare_ledger(&first, &mut found);
        Ok(found)
    }

    /// Every targeted point serves the current version, and nothing else; where a person stopped the
    /// distribution it may serve an older one, or none.
    fn compare_points(&self, table: &Table, found: &mut Vec<String>) {
        for point in &self.points {
            for ((package, name), (state, _)) in &table.targets {
                if *name != point.name {
                    continue;
                }
                let wanted = table.packages.get(package).and_then(|row| row.current);
                let held = point.held.get(package).map(|held| held.content);
                let is_right = match wanted {
                    Some(wanted) if *state == TargetState::Failed => {
                        self.ledger.cancelled.contains(&(*package, name.clone())) && held < Some(wanted)
                    }
                    Some(wanted) => held == Some(wanted) && *state == TargetState::Installed,
                    None => true,
                };
                if !is_right {
                    let state = state.as_str();
                    found.push(format!("{name} serves {held:?} instead of {wanted:?}, state {state}"));
                }
            }
            for package in point.held.keys() {
                if !table.targets.contains_key(&(*package, point.name.clone())) {
                    found.push(format!("{} serves {package} although it is not targeted", point.name));
                }
            }
        }
    }

    /// Everything that was acknowledged has come true.
    fn compare_ledger(&self, table: &Table, found: &mut Vec<String>) {
        for (package, asked, generation) in &self.ledger.refreshes {
            let Some(row) = table.packages.get(package) else { continue };
            let current = row
                .current
                .and_then(|current| self.ledger.published.get(&(*package, current.epoch, current.version)));
            let made = current.and_then(|published| published.generation);
            if made < Some(*generation) {
                let site = PLAN[asked.site].code;
                found.push(format!(
                    "a refresh of {package} asked at {site} saw generation {generation}, current is {made:?}"
                ));
            }
        }
        for (package, known) in &self.ledger.packages {
            match (known.deleted.is_empty(), table.packages.contains_key(package)) {
                (true, false) if !known.is_uncertain => {
                    found.push(format!("{package} is gone although nobody deleted it"))
                }
                (false, true) => found.push(format!("{package} is still there although it was deleted")),
                _ => {}
            }
        }
        for ((package, point), wishes) in &self.ledger.wishes {
            let is_kept = self.ledger.packages.get(package).is_some_and(|known| known.deleted.is_empty());
            if !is_kept || !table.packages.contains_key(package) {
                continue;
            }
            let is_targeted = table.targets.contains_key(&(*package, point.clone()));
            let wished: BTreeSet<bool> = wishes.iter().map(|(wish, _)| *wish).collect();
            // Wishes of different people against each other: the later one stands, whichever it is.
            if wished.len() == 1 && !wished.contains(&is_targeted) {
                found.push(format!("{package} at {point} was wished {wished:?}, is {is_targeted}"));
            }
        }
    }

    /// Nothing that is referred to is missing or damaged: every site's stored versions are read.
    pub(crate) async fn audit(&mut self) -> Result<Vec<String>, SimulateError> {
        let mut found = Vec::new();
        for (index, node) in self.sites.iter().enumerate() {
            let Some(running) = &node.running else { continue };
            let read: Result<Vec<Shown>, DatabaseError> =
                running.site.database().read("audit", |tx| Box::pin(async move { shown(tx).await })).await;
            let (library, code) = (running.site.library(), PLAN[index].code);
            for Shown { package, newest, .. } in read? {
                let Some(version) = newest.filter(|_| package.stored_version.0 > 0 && !package.is_deleting)
                else {
                    continue;
                };
                let content = version.content;
                match library.statement(&content) {
                    Ok(Some(statement)) if statement.root.digest == version.root => {}
                    other => found.push(format!("{code} lacks the statement of {content}: {other:?}")),
                }
                match library.audit(&root_of(&version), |_| std::ops::ControlFlow::Continue(())) {
                    Ok(audit) if audit.is_clean() => {}
                    other => found.push(format!("{code} lacks objects of {content}: {other:?}")),
                }
            }
        }
        Ok(found)
    }
}

/// A package as all sites are to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    source_site: String,
    source_version: SourceVersion,
    is_deleting: bool,
    is_pending: bool,
    current: Option<ContentVersion>,
}

/// What all sites are to have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Table {
    packages: BTreeMap<PackageId, Row>,
    targets: BTreeMap<(PackageId, DistributionPointName), (TargetState, SourceVersion)>,
    points: BTreeMap<DistributionPointName, String>,
    sites: BTreeMap<String, (Option<String>, u32)>,
}

async fn table(tx: &mut Tx) -> Result<Table, DatabaseError> {
    let mut table = Table::default();
    for package in tx.packages().await? {
        let is_pending = tx.refresh(package.id).await?.is_some_and(|refresh| refresh.is_pending());
        let current = tx.announced(package.id).await?.map(|announced| announced.version.content);
        let newest = tx.newest_version(package.id).await?.map(|version| version.content);
        let row = Row {
            name: package.name,
            source_site: package.source_site.to_string(),
            source_version: package.source_version,
            is_deleting: package.is_deleting,
            is_pending,
            current: current.max(newest),
        };
        table.packages.insert(package.id, row);
    }
    for target in tx.targets().await? {
        table.targets.insert((target.package, target.point), (target.facts.state, target.facts.serving));
    }
    for point in tx.points().await? {
        // The path names the site.
        table.points.insert(point.name, point.nal_path);
    }
    for site in tx.sites().await? {
        let parent = site.parent.map(|parent| parent.to_string());
        table.sites.insert(site.code.to_string(), (parent, site.status));
    }
    Ok(table)
}

impl Table {
    fn differences(&self, other: &Self, here: &str, there: &str) -> Vec<String> {
        let mut found = Vec::new();
        compare("package", &self.packages, &other.packages, (here, there), &mut found);
        compare("target", &self.targets, &other.targets, (here, there), &mut found);
        compare("point", &self.points, &other.points, (here, there), &mut found);
        compare("site", &self.sites, &other.sites, (here, there), &mut found);
        found
    }
}

fn compare<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
    (here, there): (&str, &str),
    found: &mut Vec<String>,
) {
    let keys: BTreeSet<&K> = a.keys().chain(b.keys()).collect();
    for key in keys {
        let (mine, theirs) = (a.get(key), b.get(key));
        if mine != theirs {
            found.push(format!("{what} {key:?}: {here} has {mine:?}, {there} has {theirs:?}"));
        }
    }
}

/// The names of all points, for people who choose some.
pub(super) fn all_points() -> Vec<DistributionPointName> {
    image::points().into_iter().map(|(name, _)| name).collect()
}
