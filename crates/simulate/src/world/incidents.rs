//! What goes wrong with nodes and the network, and how it ends.

use std::time::Duration;

use restock_names::Clock;
use restock_site::Site;

use super::{Event, World};
use crate::error::SimulateError;
use crate::image::PLAN;
use crate::network::Place;
use crate::schedule::micros;

/// How long something is wrong.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(240);
/// Readings of the clock after which a process that dies within a step is dead.
const READS_MAX: u64 = 12;

/// Something that is wrong for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incident {
    /// A site's process died.
    SiteDown(usize),
    /// A site is to be restored from its backup.
    SiteLost(usize),
    /// A distribution point's process died.
    PointDown(usize),
    /// Nothing passes from the first to the second.
    Cut(Vec<(Place, Place)>),
    /// A site stands still.
    Paused(Place),
}

impl World {
    /// One thing goes wrong.
    pub(super) async fn incident(&mut self) -> Result<(), SimulateError> {
        let site = self.random.below(self.sites.len() as u64) as usize;
        let point = self.random.below(self.points.len() as u64) as usize;
        let lasts = self.random.time(SHORTEST, LONGEST);
        match self.random.below(100) {
            0..14 => {
                self.count("crash");
                self.crash_site(site).await?;
            }
            14..30 => {
                // It dies within one of its next steps.
                let reads = self.random.between(1, READS_MAX);
                self.clock_of(site).crash_after(Some(reads));
            }
            30..44 => {
                let link = self.random.below(self.links.len() as u64) as usize;
                let (a, b) = (Place::Site(self.links[link].parent), Place::Site(self.links[link].child));
                self.count("partition");
                self.cut(vec![(a, b), (b, a)], lasts);
            }
            44..54 => {
                let link = self.random.below(self.links.len() as u64) as usize;
                let (a, b) = (Place::Site(self.links[link].parent), Place::Site(self.links[link].child));
                self.count("one-way partition");
                let way = if self.random.chance(500) { (a, b) } else { (b, a) };
                self.cut(vec![way], lasts);
            }
            54..62 => {
                self.count("partition of a point");
                let (a, b) = (Place::Point(point), Place::Site(self.points[point].site));
                let both = self.random.chance(600);
                self.cut(if both { vec![(a, b), (b, a)] } else { vec![(b, a)] }, lasts);
            }
            62..72 => {
                let place = if self.random.chance(700) { Place::Site(site) } else { Place::Point(point) };
                self.count("pause");
                self.pause(place, lasts);
            }
            72..86 => self.backup_or_restore(site).await?,
            86..94 => {
                self.count("crash of a point");
                self.points[point].crash();
                if self.random.chance(250) {
                    self.count("lost disk of a point");
                    self.points[point].wipe();
                }
                self.note(Place::Point(point), format_args!("dies"));
                self.schedule.after(lasts, Event::Repair(Incident::PointDown(point)));
            }
            _ => {
                self.count("clock jump");
                let skew = micros(self.random.time(Duration::ZERO, 2 * self.options.skew));
                self.clock_of(site).set_skew(skew - micros(self.options.skew));
                self.note(Place::Site(site), format_args!("has its clock set"));
            }
        }
        Ok(())
    }

    fn count(&self, kind: &'static str) {
        self.shared.network().fired.count(kind);
    }

    fn cut(&mut self, ways: Vec<(Place, Place)>, lasts: Duration) {
        for (from, to) in &ways {
            self.shared.network().block(*from, *to, true);
        }
        self.trace.note(self.time.now(), "network", format_args!("lets nothing pass on {ways:?}"));
        self.schedule.after(lasts, Event::Repair(Incident::Cut(ways)));
    }

    fn pause(&mut self, place: Place, lasts: Duration) {
        let until = self.time.now() + micros(lasts);
        match place {
            Place::Site(site) => {
                self.sites[site].paused_until = self.sites[site].paused_until.max(until);
                self.shared.set_holder(site, None);
            }
            Place::Point(point) => {
                self.points[point].paused_until = self.points[point].paused_until.max(until);
            }
        }
        self.note(place, format_args!("stands still"));
        self.schedule.after(lasts, Event::Repair(Incident::Paused(place)));
    }

    /// A site's process dies; it starts again after a while.
    pub(super) async fn crash_site(&mut self, site: usize) -> Result<(), SimulateError> {
        if self.sites[site].running.is_none() {
            return Ok(());
        }
        self.end_process(site).await;
        self.note(Place::Site(site), format_args!("dies"));
        let lasts = self.random.time(SHORTEST, LONGEST / 2);
        self.schedule.after(lasts, Event::Repair(Incident::SiteDown(site)));
        Ok(())
    }

    async fn end_process(&mut self, site: usize) {
        let shared = std::sync::Arc::clone(&self.shared);
        self.sites[site].stop(site, &shared).await;
        for link in &mut self.links {
            link.forget(site);
        }
    }

    /// The process of a site starts, with its connection to the site above.
    async fn bring_up(&mut self, site: usize) -> Result<(), SimulateError> {
        if self.sites[site].running.is_some() {
            return Ok(());
        }
        self.start_site(site).await?;
        self.observe(site).await?;
        for link in 0..self.links.len() {
            if self.links[link].child == site {
                self.soon(Duration::from_secs(2), Event::Connect { link });
            }
        }
        Ok(())
    }

    /// A site is backed up; one that has a backup already loses its disk.
    async fn backup_or_restore(&mut self, site: usize) -> Result<(), SimulateError> {
        // Most backups are used: a restore is what they are for.
        let kept: Vec<usize> = (0..self.sites.len())
            .filter(|site| self.sites[*site].backup.is_some() && self.sites[*site].running.is_some())
            .collect();
        let site =
            if self.random.chance(700) { self.random.pick(&kept).copied().unwrap_or(site) } else { site };
        let Some(running) = &self.sites[site].running else { return Ok(()) };
        if self.sites[site].backup.is_some() {
            self.end_process(site).await;
            self.sites[site].is_lost = true;
            self.note(Place::Site(site), format_args!("loses its disk"));
            let lasts = self.random.time(SHORTEST, LONGEST);
            self.schedule.after(lasts, Event::Repair(Incident::SiteLost(site)));
            return Ok(());
        }
        let path = self.folder().join(format!("{}.{}.backup", PLAN[site].code, self.steps));
        running.site.backup(&path).await?;
        self.sites[site].backup = Some((path, self.time.now()));
        self.note(Place::Site(site), format_args!("is backed up"));
        Ok(())
    }

    /// A site comes back from its backup in an empty folder.
    async fn restore(&mut self, site: usize) -> Result<(), SimulateError> {
        let Some((path, made_at)) = self.sites[site].backup.take() else { return Ok(()) };
        self.count("restore");
        let node = &mut self.sites[site];
        node.life += 1;
        node.is_lost = false;
        node.was_restored = true;
        let folder = node.config.data.with_extension(format!("life{}", node.life));
        node.config.data = folder;
        let clock = std::sync::Arc::clone(&node.clock) as std::sync::Arc<dyn Clock>;
        Site::restore(&node.config, &path, clock).await?;
        self.ledger.restored(site, made_at);
        self.note(Place::Site(site), format_args!("is restored"));
        self.bring_up(site).await
    }

    /// What went wrong ends.
    pub(super) async fn repair(&mut self, incident: Incident) -> Result<(), SimulateError> {
        match incident {
            Incident::SiteDown(site) => {
                // One that lost its disk meanwhile comes back by its restore.
                if self.sites[site].running.is_none() && !self.sites[site].is_lost {
                    self.bring_up(site).await?;
                }
            }
            Incident::SiteLost(site) => self.restore(site).await?,
            Incident::PointDown(point) => {
                if !self.points[point].is_up {
                    self.points[point].is_up = true;
                    self.note(Place::Point(point), format_args!("starts"));
                    self.soon(Duration::from_secs(2), Event::PointConnect { point });
                }
            }
            Incident::Cut(ways) => {
                for (from, to) in &ways {
                    self.shared.network().block(*from, *to, false);
                }
                self.trace.note(self.time.now(), "network", format_args!("lets pass again on {ways:?}"));
            }
            Incident::Paused(Place::Site(site)) => {
                if !self.is_paused(Place::Site(site))
                    && let Some(running) = &self.sites[site].running
                {
                    let library = std::sync::Arc::clone(running.site.library());
                    let holder = crate::fetching::Holder { side: running.side.clone(), library };
                    self.shared.set_holder(site, Some(holder));
                    self.note(Place::Site(site), format_args!("goes on"));
                }
            }
            Incident::Paused(Place::Point(_)) => {}
        }
        Ok(())
    }

    /// Faults end: the network is whole, clocks are right, everybody runs.
    pub(crate) async fn calm(&mut self) -> Result<(), SimulateError> {
        self.is_calm = true;
        self.shared.network().heal();
        self.trace.note(self.time.now(), "everything", "is put right");
        for site in 0..self.sites.len() {
            self.clock_of(site).set_skew(0);
            self.clock_of(site).crash_after(None);
            if self.is_paused(Place::Site(site)) {
                self.sites[site].paused_until = self.time.now();
                self.repair(Incident::Paused(Place::Site(site))).await?;
            }
        }
        for point in 0..self.points.len() {
            self.points[point].paused_until = self.points[point].paused_until.min(self.time.now());
            self.repair(Incident::PointDown(point)).await?;
        }
        Ok(())
    }
}
