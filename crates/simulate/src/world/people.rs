//! What people ask for, through the provider of any site that has one.

use std::time::Duration;

use restock_names::{Clock as _, DistributionPointName, PackageId};
use restock_provider::rows::SourceFlag;
use restock_provider::{Answer, Call, NewPackage, Operation, OperationError, PackageChange};
use restock_sitedb::DatabaseError;
use restock_sitedb::hierarchy::SiteType;

use super::checks::{Asked, Known, all_points};
use super::{Event, World};
use crate::error::SimulateError;
use crate::image::PLAN;
use crate::network::Place;
use crate::sources::Sources;

/// Packages that people have at once, at most.
const PACKAGES_MAX: usize = 4;
/// Distribution points wished for at once, at most.
const POINTS_MAX: u64 = 6;

impl World {
    /// Registers the folder of all sources at a site, as an administrator does.
    pub(super) async fn add_source_root(&mut self, site: usize) -> Result<(), SimulateError> {
        let root = restock_provider::NewSourceRoot {
            name: "src".to_owned(),
            folder: self.sources.folder().display().to_string(),
            aliases: vec![crate::sources::ALIAS.to_owned()],
            scopes: Vec::new(),
        };
        let Some(running) = &self.sites[site].running else { return Ok(()) };
        match running.provider.perform(&Call::default(), Operation::AddSourceRoot(root)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(SimulateError::Refused(error.to_string())),
        }
    }

    /// A person asks one thing of one site.
    pub(super) async fn person_asks(&mut self) -> Result<(), SimulateError> {
        let sites: Vec<usize> = (0..self.sites.len())
            .filter(|site| PLAN[*site].site_type != SiteType::Secondary)
            .filter(|site| self.sites[*site].running.is_some() && !self.is_paused(Place::Site(*site)))
            .collect();
        let Some(site) = self.random.pick(&sites).copied() else {
            // Nobody can be asked: later.
            self.soon(Duration::from_secs(20), Event::Person);
            return Ok(());
        };
        let alive: Vec<PackageId> = self
            .ledger
            .packages
            .iter()
            .filter(|(_, known)| known.deleted.is_empty())
            .map(|(id, _)| *id)
            .collect();
        let draw = self.random.below(100);
        let package = self.random.pick(&alive).copied();
        match package {
            None => self.create(site).await?,
            Some(_) if alive.len() < PACKAGES_MAX && draw < 12 => self.create(site).await?,
            Some(package) => self.ask(site, package, draw).await?,
        }
        self.observe(site).await?;
        self.after_step(site);
        Ok(())
    }

    async fn create(&mut self, site: usize) -> Result<(), SimulateError> {
        let source = format!("app{}", self.ledger.packages.len() + 1 + self.steps as usize);
        self.sources.write(&source, 1, &mut self.random).map_err(SimulateError::Folder)?;
        let new = NewPackage {
            name: source.clone(),
            source_path: Some(Sources::unc(&source)),
            source_flag: Some(SourceFlag::Direct),
            ..NewPackage::default()
        };
        let Some(Answer::Package(row)) = self.perform(site, Operation::CreatePackage(new)).await else {
            return Ok(());
        };
        let asked = self.asked(site);
        let known = Known { source, generation: 1, deleted: Vec::new(), is_uncertain: false, created: asked };
        self.ledger.packages.insert(row.package, known);
        self.ledger.refreshes.push((row.package, asked, 1));
        // Most packages are distributed at once.
        if self.random.chance(800) {
            self.target(site, row.package).await;
        }
        Ok(())
    }

    async fn ask(&mut self, site: usize, package: PackageId, draw: u64) -> Result<(), SimulateError> {
        match draw {
            0..50 => {
                self.change_source(package)?;
                let generation = self.ledger.packages.get(&package).map_or(0, |known| known.generation);
                if self.perform(site, Operation::RefreshPkgSource { package }).await.is_some() {
                    let asked = self.asked(site);
                    self.ledger.refreshes.push((package, asked, generation));
                }
                // Somebody regrets it for one of the points.
                if draw < 16 {
                    self.cancel(site, package).await;
                }
            }
            50..68 => self.target(site, package).await,
            68..76 => {
                let points = self.some_points(3);
                let operation = Operation::RemoveDistributionPoints { package, points: points.clone() };
                if self.perform(site, operation).await.is_some() {
                    self.wished(site, package, points, false);
                }
            }
            76..78 => {
                let points = self.some_points(3);
                self.perform(site, Operation::Redistribute { package, points }).await;
            }
            78..80 => self.cancel(site, package).await,
            80..86 => {
                let name = Some(format!("named {}", self.steps));
                let change = PackageChange { name, ..PackageChange::of(package) };
                self.perform(site, Operation::SetPackage(change)).await;
            }
            86..90 => {
                if self.perform(site, Operation::DeletePackage { package }).await.is_some() {
                    let asked = self.asked(site);
                    if let Some(known) = self.ledger.packages.get_mut(&package) {
                        known.deleted.push(asked);
                    }
                }
            }
            _ => self.take_over(site, package).await?,
        }
        Ok(())
    }

    fn asked(&self, site: usize) -> Asked {
        Asked { site, at: self.time.now() }
    }

    /// Performs an operation; `None` when it is refused.
    async fn perform(&mut self, site: usize, operation: Operation) -> Option<Answer> {
        let running = self.sites[site].running.as_ref()?;
        let what = shown(&operation);
        let result: Result<Answer, OperationError> =
            running.provider.perform(&Call::default(), operation).await;
        match result {
            Ok(answer) => {
                self.ledger.acknowledged += 1;
                self.note(Place::Site(site), format_args!("is asked to {what}"));
                Some(answer)
            }
            Err(error) => {
                self.ledger.refused += 1;
                self.note(Place::Site(site), format_args!("refuses to {what}: {error}"));
                None
            }
        }
    }

    /// The source of a package changes.
    fn change_source(&mut self, package: PackageId) -> Result<(), SimulateError> {
        if let Some(known) = self.ledger.packages.get_mut(&package) {
            known.generation += 1;
            self.sources
                .write(&known.source, known.generation, &mut self.random)
                .map_err(SimulateError::Folder)?;
        }
        Ok(())
    }

    fn some_points(&mut self, most: u64) -> Vec<DistributionPointName> {
        let all = all_points();
        let count = self.random.between(1, most);
        let mut chosen: Vec<_> = (0..count).filter_map(|_| self.random.pick(&all).cloned()).collect();
        chosen.sort();
        chosen.dedup();
        chosen
    }

    async fn target(&mut self, site: usize, package: PackageId) {
        let points = self.some_points(POINTS_MAX);
        let operation = Operation::AddDistributionPoints { package, points: points.clone() };
        if self.perform(site, operation).await.is_some() {
            self.wished(site, package, points, true);
        }
    }

    /// Stops the distribution to a point that was once wished for.
    async fn cancel(&mut self, site: usize, package: PackageId) {
        let wished: Vec<DistributionPointName> = self
            .ledger
            .wishes
            .keys()
            .filter(|(of, _)| *of == package)
            .map(|(_, point)| point.clone())
            .collect();
        let Some(point) = self.random.pick(&wished).cloned() else { return };
        let operation = Operation::CancelDistribution { package, points: vec![point.clone()] };
        if self.perform(site, operation).await.is_some() {
            self.ledger.cancelled.insert((package, point));
        }
    }

    fn wished(&mut self, site: usize, package: PackageId, points: Vec<DistributionPointName>, wish: bool) {
        let asked = self.asked(site);
        for point in points {
            self.ledger.wishes.entry((package, point)).or_default().push((wish, asked));
        }
    }

    /// The administrators of restored sites answer for the source paths of the packages these own.
    pub(crate) async fn answer_for_sources(&mut self) -> Result<(), SimulateError> {
        for site in 0..self.sites.len() {
            let node = &self.sites[site];
            let (code, Some(running)) = (node.code, &node.running) else { continue };
            if !node.was_restored {
                continue;
            }
            let answered: Result<(), DatabaseError> = running
                .site
                .database()
                .transact("answer_for_sources", move |tx| {
                    Box::pin(async move {
                        for package in tx.packages().await? {
                            if package.source_site == code && !package.is_deleting {
                                tx.source_set_here(package.id).await?;
                            }
                        }
                        Ok(())
                    })
                })
                .await;
            answered?;
            self.note(Place::Site(site), format_args!("has its source paths set again"));
            self.after_step(site);
        }
        Ok(())
    }

    /// A site becomes the owner of a package, whatever the others know of it.
    async fn take_over(&mut self, site: usize, package: PackageId) -> Result<(), SimulateError> {
        let node = &self.sites[site];
        let (code, now) = (node.code, node.clock.now());
        let Some(running) = &node.running else { return Ok(()) };
        let taken: Result<bool, DatabaseError> = running
            .site
            .database()
            .transact("take_over", move |tx| {
                Box::pin(async move {
                    let Some(known) = tx.package(package).await? else { return Ok(false) };
                    if known.source_site == code || known.is_deleting {
                        return Ok(false);
                    }
                    tx.set_source_site(package, code, now).await?;
                    // Whoever takes it here answers for the path that is read here.
                    tx.source_set_here(package).await?;
                    Ok(true)
                })
            })
            .await;
        if taken? {
            self.shared.network().fired.count("owner changed");
            self.note(Place::Site(site), format_args!("becomes the owner of {package}"));
        }
        Ok(())
    }
}

fn shown(operation: &Operation) -> String {
    match operation {
        Operation::CreatePackage(new) => format!("create {}", new.name),
        Operation::SetPackage(change) => format!("rename {}", change.package),
        Operation::DeletePackage { package } => format!("delete {package}"),
        Operation::RefreshPkgSource { package } => format!("refresh {package}"),
        Operation::AddDistributionPoints { package, points } => format!("distribute {package} to {points:?}"),
        Operation::RemoveDistributionPoints { package, points } => {
            format!("remove {package} from {points:?}")
        }
        Operation::Redistribute { package, points } => format!("redistribute {package} to {points:?}"),
        other => other.name().to_owned(),
    }
}
