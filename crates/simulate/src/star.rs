//! How fast a change reaches many sites: one site with others below it, no faults, links that take their
//! time, the production exchange at both ends.
//!
//! Two runs of the same change. In the first, processors cost nothing: what is left is the way of the
//! messages, the same on every machine. In the second, each site has a processor of its own, and a step
//! takes as long as it took on this machine, where all of them share what there is.
//!
//! What it does not show: sockets, TLS, the durability of a disk; `crates/testkit/benches/sites` has those.

mod change;
mod pass;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use restock_names::{Clock, SiteCode};
use restock_site::{DistributeLoop, Outcome, RefreshLoop, ScheduleLoop, Side, Site, SiteError};
use restock_sitedb::hierarchy::SiteType;
use restock_sitedb::{Wake, WakeListener};
use restock_transfer::SiteSide;
use tempfile::TempDir;

use crate::batch::{runtime, stay_on_one_core};
use crate::clock::{NodeClock, Time};
use crate::error::SimulateError;
use crate::exchange::{self, Talk};
use crate::image::{self, Wanted};
use pass::Pass;

/// Sites below the one, at most: their codes are numbered.
const BELOW_MAX: usize = 100;

/// What is to be measured.
#[derive(Debug, Clone, Copy)]
pub struct StarOptions {
    /// Sites below the one.
    pub below: usize,
    /// Packages whose metadata change.
    pub packages: u32,
    /// How long a message takes, each way.
    pub one_way: Duration,
}

/// What a change cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct StarCost {
    /// From the first change at the site above until the last site had all, in simulated time.
    pub took: Duration,
    /// Messages with changes that the last site was sent one after the other: each takes a round trip.
    pub round_trips: u64,
    /// Bytes of all messages, both ways, without those of TLS.
    pub bytes: u64,
    /// The longest that one of the sites below was busy, on this machine.
    pub busy_below_max: Duration,
    /// How long all sites below were busy.
    pub busy_below: Duration,
    /// How long the site above was busy.
    pub busy_above: Duration,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct StarReport {
    /// What was asked for.
    pub options: StarOptions,
    /// Processors cost nothing.
    pub links_alone: StarCost,
    /// Each site has a processor of its own.
    pub with_processors: StarCost,
}

impl StarReport {
    /// How long a site below was busy on average.
    pub fn busy_below_mean(&self) -> Duration {
        self.with_processors.busy_below / u32::try_from(self.options.below.max(1)).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for StarReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StarOptions { below, packages, one_way } = self.options;
        let (links, all) = (&self.links_alone, &self.with_processors);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        writeln!(
            f,
            "{packages} packages changed, {below} sites below, {:.0} ms each way\n\
             links alone:      {:.2} s until the last site has all; {} round trips, {} bytes on all links",
            ms(one_way),
            links.took.as_secs_f64(),
            links.round_trips,
            links.bytes,
        )?;
        write!(
            f,
            "with processors:  {:.2} s until the last site has all; {} round trips, {} bytes on all links;\n\
             \u{20}                 a site below is busy for {:.0} ms ({:.0} ms at most), the one above for {:.0} ms",
            all.took.as_secs_f64(),
            all.round_trips,
            all.bytes,
            ms(self.busy_below_mean()),
            ms(all.busy_below_max),
            ms(all.busy_above),
        )
    }
}

/// Makes the sites and measures.
///
/// Errors: the simulation itself, and a site that does not have what it was sent.
pub fn measure_star(options: StarOptions) -> Result<StarReport, SimulateError> {
    if options.below == 0 || options.below > BELOW_MAX || options.packages == 0 {
        return Err(SimulateError::Image("a star has 1 to 100 sites below and at least one package"));
    }
    let measuring = || {
        stay_on_one_core(0);
        runtime()?.block_on(Box::pin(measure(options)))
    };
    // On a thread of its own: the caller's stays where it is.
    std::thread::scope(|scope| scope.spawn(measuring).join())
        .map_err(|_panic| SimulateError::Runtime("the measurement panicked".to_owned()))?
}

async fn measure(options: StarOptions) -> Result<StarReport, SimulateError> {
    let mut star = Box::pin(Star::make(options)).await?;
    for _ in 0..options.packages {
        change::add(&star.sites[0].site).await?;
    }
    Box::pin(Pass::new(&mut star, false).run(0)).await?;
    let links_alone = Box::pin(star.change("first", false)).await?;
    let with_processors = Box::pin(star.change("second", true)).await?;
    for node in &star.sites {
        node.site.close().await;
    }
    Ok(StarReport { options, links_alone, with_processors })
}

/// A loop of a site that changes of others wake. Nothing is fetched: nobody has a distribution point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Refresh,
    Distribute,
    Schedule,
}

const LOOPS: [(Woken, Wake); 3] = [
    (Woken::Refresh, Wake::Refresh),
    (Woken::Distribute, Wake::Distribute),
    (Woken::Schedule, Wake::Schedule),
];

#[derive(Debug)]
struct Node {
    site: Site,
    side: Side,
    refresh: RefreshLoop,
    distribute: DistributeLoop,
    schedule: ScheduleLoop,
    loops: Vec<(Woken, WakeListener)>,
    changes: WakeListener,
}

impl Node {
    fn new(site: Site) -> Self {
        let database = site.database();
        Self {
            side: site.side(),
            refresh: site.refresh_loop(),
            distribute: site.distribute_loop(),
            schedule: site.schedule_loop(),
            loops: LOOPS.iter().map(|(which, wake)| (*which, database.listen(*wake))).collect(),
            changes: database.listen(Wake::Sites),
            site,
        }
    }

    fn code(&self) -> SiteCode {
        self.site.code()
    }

    async fn step(&self, which: Woken) -> Result<Outcome, SiteError> {
        let now = self.site.clock().now();
        match which {
            Woken::Refresh => self.refresh.run_once(now).await,
            Woken::Distribute => self.distribute.run_once(now).await,
            Woken::Schedule => self.schedule.run_once(now).await,
        }
    }
}

/// Both ends of the link to a site below.
#[derive(Debug)]
struct Link {
    upper: Talk,
    lower: Talk,
}

#[derive(Debug)]
struct Star {
    options: StarOptions,
    time: Time,
    /// The one above is the first; the link to the site `n + 1` is `links[n]`.
    sites: Vec<Node>,
    links: Vec<Link>,
    _folder: TempDir,
}

impl Star {
    async fn make(options: StarOptions) -> Result<Self, SimulateError> {
        let folder = image::scratch()?;
        let time = Time::default();
        let clock: Arc<dyn Clock> = NodeClock::new(&time, 0);
        let code = |text: String| text.parse().expect("a letter and two digits are a site code");
        let top = Wanted { code: code("TOP".to_owned()), site_type: SiteType::Primary, parent: None };
        let below = (0..options.below).map(|number| Wanted {
            code: code(format!("L{number:02}")),
            parent: Some(0),
            ..top
        });
        let wanted: Vec<Wanted> = std::iter::once(top).chain(below).collect();
        let sites = image::make_sites(folder.path(), &wanted, &clock).await?;
        let sites: Vec<Node> = sites.into_iter().map(Node::new).collect();
        let mut links = Vec::with_capacity(options.below);
        for below in &sites[1..] {
            links.push(connect(&sites[0], below).await?);
        }
        Ok(Self { options, time, sites, links, _folder: folder })
    }

    /// One end of a link, the site it belongs to, and whom it talks with.
    fn end(&mut self, link: usize, upper: bool) -> (&mut Talk, &Side, SiteCode) {
        let Self { sites, links, .. } = self;
        let (own, peer) = if upper { (0, link + 1) } else { (link + 1, 0) };
        let ends = &mut links[link];
        let talk = if upper { &mut ends.upper } else { &mut ends.lower };
        (talk, &sites[own].side, sites[peer].code())
    }

    /// Lets every package be described by `text`, and everybody hear of it.
    async fn change(&mut self, text: &'static str, is_charged: bool) -> Result<StarCost, SimulateError> {
        let mut pass = Pass::new(self, is_charged);
        pass.describe(text).await?;
        let packages = pass.packages();
        let cost = Box::pin(pass.run(packages)).await?;
        for node in &self.sites {
            let known = change::described(&node.site, text).await?;
            if known != packages {
                let text = format!("site {} knows {known} of {packages} changes", node.code());
                return Err(SimulateError::Runtime(text));
            }
        }
        Ok(cost)
    }
}

/// Introduces two sites to each other, as the link does.
async fn connect(upper: &Node, lower: &Node) -> Result<Link, SimulateError> {
    let refused = |refusal: restock_transfer::Refusal| SimulateError::Refused(refusal.to_string());
    let ours = upper.side.replica_facts(lower.code()).await.map_err(refused)?;
    let theirs = lower.side.replica_facts(upper.code()).await.map_err(refused)?;
    let keys = |node: &Node| (*node.site.shared_trust().key_list()).clone();
    let hello = |node: &Node, facts| exchange::hello(node.code(), facts, keys(node).encode());
    let (down, up) = (hello(upper, &ours), hello(lower, &theirs));
    let made = Link { upper: Talk::between(&ours, &up), lower: Talk::between(&theirs, &down) };
    upper.side.site_connected(lower.code(), up, keys(lower), None).await.map_err(refused)?;
    lower.side.site_connected(upper.code(), down, keys(upper), None).await.map_err(refused)?;
    Ok(made)
}
