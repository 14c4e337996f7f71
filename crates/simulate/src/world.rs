//! The simulated hierarchy: nodes, network, events, and the step that takes one event.
//!
//! Every event is one atomic step: it is awaited alone, on one thread. What a step leads to is put
//! into the schedule; nothing happens beside it.

mod checks;
mod incidents;
mod neighbours;
mod people;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use restock_names::Clock;
use restock_transfer::{Hello, Job, Report, SiteHello};
use tempfile::TempDir;

pub(crate) use checks::Ledger;
pub(crate) use incidents::Incident;
pub(crate) use neighbours::Link;

use crate::clock::{NodeClock, Time};
use crate::error::SimulateError;
use crate::fetching::Shared;
use crate::image::{self, Image, PLAN};
use crate::network::{Fate, Network, Place};
use crate::node::{SiteNode, Stepped, Which};
use crate::options::Options;
use crate::point::{Next, Point};
use crate::random::Random;
use crate::schedule::{Schedule, micros};
use crate::sources::Sources;
use crate::trace::Trace;

/// A loop that nobody wakes looks by itself this often.
const LOOP_PERIOD: Duration = Duration::from_secs(5 * 60);
/// How often nodes look whether they still hear each other.
const TICK: Duration = Duration::from_secs(10);
/// The longest pause between a wake and the step it leads to.
const WAKE_DELAY: Duration = Duration::from_millis(300);
/// A loop that failed runs again after this.
const AFTER_ERROR: Duration = Duration::from_secs(2);

/// What may happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A loop of a site's process looks for work.
    Loop { site: usize, life: u64, which: Which },
    /// A site connects to the one above it.
    Connect { link: usize },
    /// A message between sites arrives.
    Neighbour { link: usize, connection: u64, upwards: bool, message: NeighbourMessage },
    /// A site looks for changes to send.
    Pump { link: usize, connection: u64, upper: bool },
    /// The network ended a connection between sites.
    LinkBroken { link: usize, connection: u64, upper: bool },
    /// A distribution point connects.
    PointConnect { point: usize },
    /// A message between a distribution point and its site arrives.
    Standing { point: usize, connection: u64, message: PointMessage },
    /// The network ended a distribution point's connection.
    PointBroken { point: usize, connection: u64, at_site: bool },
    /// A distribution point takes a step of a job.
    PointStep { point: usize, next: Next },
    /// Everybody looks whether the others are still there.
    Tick,
    /// A person asks for something.
    Person,
    /// Something goes wrong.
    Incident,
    /// What went wrong is put right.
    Repair(Incident),
}

/// What sites say to each other.
#[derive(Debug, Clone)]
pub(crate) enum NeighbourMessage {
    Hello(SiteHello),
    Welcome(SiteHello),
    Keys(Vec<u8>),
    Window(Vec<u8>),
    Acknowledged(u64),
    Closed,
}

/// What a distribution point and its site say to each other.
#[derive(Debug, Clone)]
pub(crate) enum PointMessage {
    Hello(Hello),
    Welcome(Vec<u8>),
    Keys(Vec<u8>),
    Job(Job),
    /// A job that was heard before.
    Echo(Job),
    Report(u64, Report),
    Taken(u64, bool),
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) time: Time,
    pub(crate) trace: Trace,
    pub(crate) schedule: Schedule<Event>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) sites: Vec<SiteNode>,
    pub(crate) links: Vec<Link>,
    pub(crate) points: Vec<Point>,
    pub(crate) ledger: Ledger,
    sources: Sources,
    random: Random,
    /// The time at which the last message of each direction of a connection arrives.
    lanes: BTreeMap<(u64, bool), i64>,
    connections: u64,
    roots: Vec<restock_content::statement::PublicKey>,
    /// Faults are over.
    pub(crate) is_calm: bool,
    pub(crate) steps: u64,
    /// Deferred events of paused nodes keep their order by this.
    deferred: i64,
    folder: TempDir,
}

impl World {
    /// Opens every site in a copy of `image` and lets everybody connect.
    pub(crate) async fn build(image: &Image, options: &Options, prints: bool) -> Result<Self, SimulateError> {
        let folder = image::scratch()?;
        image.copy_to(folder.path())?;
        let sources = Sources::create(folder.path().join("src")).map_err(SimulateError::Folder)?;
        let time = Time::default();
        let mut random = Random::new(options.seed);
        let schedule = Schedule::new(&time, random.fork());
        let shared = Shared::new(Network::new(options, random.fork()), PLAN.len());
        let mut clocks = random.fork();
        let mut clock = || {
            let skew = clocks.time(Duration::ZERO, 2 * options.skew);
            NodeClock::new(&time, micros(skew) - micros(options.skew))
        };
        let site = |index: usize, clock| SiteNode {
            code: image::code(index),
            config: {
                let mut config = image::config(folder.path().join(PLAN[index].code));
                if options.sabotage == crate::Sabotage::NoWait {
                    config.restore_wait = Duration::ZERO;
                }
                config
            },
            clock,
            running: None,
            life: 0,
            paused_until: 0,
            was_restored: false,
            is_lost: false,
            backup: None,
        };
        let sites: Vec<SiteNode> = (0..PLAN.len()).map(|index| site(index, clock())).collect();
        let points: Vec<Point> = image::points()
            .into_iter()
            .map(|(name, site)| Point::new(name, site, clock(), options.sabotage))
            .collect();
        let links: Vec<Link> =
            (0..PLAN.len()).filter_map(|child| Some(Link::new(PLAN[child].parent?, child))).collect();
        let mut world = Self {
            options: options.clone(),
            trace: Trace::new(prints),
            schedule,
            shared,
            sites,
            links,
            points,
            ledger: Ledger::default(),
            sources,
            random,
            lanes: BTreeMap::new(),
            connections: 0,
            roots: image.roots.clone(),
            is_calm: false,
            steps: 0,
            deferred: 0,
            folder,
            time,
        };
        world.begin().await?;
        Ok(world)
    }

    async fn begin(&mut self) -> Result<(), SimulateError> {
        for site in 0..self.sites.len() {
            self.start_site(site).await?;
            self.add_source_root(site).await?;
        }
        for link in 0..self.links.len() {
            self.soon(Duration::from_secs(1), Event::Connect { link });
        }
        for point in 0..self.points.len() {
            self.soon(Duration::from_secs(2), Event::PointConnect { point });
        }
        self.schedule.after(TICK, Event::Tick);
        let faults = self.options.faults;
        for _ in 0..self.options.requests {
            let at = self.random.time(Duration::from_secs(3), faults);
            self.schedule.after(at, Event::Person);
        }
        if self.options.sabotage != crate::Sabotage::NoFaults {
            for _ in 0..self.options.incidents {
                let at = self.random.time(Duration::from_secs(20), faults);
                self.schedule.after(at, Event::Incident);
            }
        }
        Ok(())
    }

    /// Lets `event` happen within `most` from here.
    pub(crate) fn soon(&mut self, most: Duration, event: Event) {
        let delay = self.random.time(Duration::from_millis(1), most);
        self.schedule.after(delay, event);
    }

    /// Starts a site's process, and its loops.
    pub(crate) async fn start_site(&mut self, site: usize) -> Result<(), SimulateError> {
        let shared = Arc::clone(&self.shared);
        self.sites[site].start(site, &shared).await?;
        let life = self.sites[site].life;
        self.note(Place::Site(site), format_args!("starts, life {life}"));
        for which in Which::ALL {
            self.loop_soon(site, which, Duration::from_millis(200));
        }
        Ok(())
    }

    fn loop_soon(&mut self, site: usize, which: Which, most: Duration) {
        let delay = self.random.time(Duration::from_millis(1), most);
        self.loop_after(site, which, delay);
    }

    /// Lets a loop run after `delay`, or earlier when it is to run earlier already.
    fn loop_after(&mut self, site: usize, which: Which, delay: Duration) {
        let at = self.time.now() + micros(delay);
        let node = &mut self.sites[site];
        let life = node.life;
        let Some(running) = &mut node.running else { return };
        if running.due.get(&which).is_some_and(|due| *due <= at) {
            return;
        }
        running.due.insert(which, at);
        self.schedule.at(at, Event::Loop { site, life, which });
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&mut self, place: Place, what: std::fmt::Arguments<'_>) {
        let at = self.time.now();
        match place {
            Place::Site(site) => self.trace.note(at, self.sites[site].code, what),
            Place::Point(point) => self.trace.note(at, &self.points[point].name, what),
        }
    }

    /// The node an event belongs to.
    fn place_of(&self, event: &Event) -> Option<Place> {
        let end = |link: usize, upper: bool| {
            let link = &self.links[link];
            Place::Site(if upper { link.parent } else { link.child })
        };
        match event {
            Event::Loop { site, .. } => Some(Place::Site(*site)),
            Event::Connect { link } => Some(end(*link, false)),
            Event::Neighbour { link, upwards, .. } => Some(end(*link, *upwards)),
            Event::Pump { link, upper, .. } | Event::LinkBroken { link, upper, .. } => {
                Some(end(*link, *upper))
            }
            Event::PointConnect { point } | Event::PointStep { point, .. } => Some(Place::Point(*point)),
            Event::Standing { point, message, .. } => Some(match message {
                PointMessage::Hello(_) | PointMessage::Report(..) => Place::Site(self.points[*point].site),
                _ => Place::Point(*point),
            }),
            Event::PointBroken { point, at_site: true, .. } => Some(Place::Site(self.points[*point].site)),
            Event::PointBroken { point, at_site: false, .. } => Some(Place::Point(*point)),
            Event::Tick | Event::Person | Event::Incident | Event::Repair(_) => None,
        }
    }

    pub(crate) fn is_paused(&self, place: Place) -> bool {
        let until = match place {
            Place::Site(site) => self.sites[site].paused_until,
            Place::Point(point) => self.points[point].paused_until,
        };
        until > self.time.now()
    }

    /// Takes the next event before `end`. False when there is none.
    pub(crate) async fn step(&mut self, end: i64) -> Result<bool, SimulateError> {
        let Some(event) = self.schedule.next(end) else { return Ok(false) };
        if let Some(place) = self.place_of(&event)
            && self.is_paused(place)
        {
            let until = match place {
                Place::Site(site) => self.sites[site].paused_until,
                Place::Point(point) => self.points[point].paused_until,
            };
            self.deferred += 1;
            self.schedule.at(until + self.deferred % 100_000, event);
            return Ok(true);
        }
        self.steps += 1;
        match event {
            Event::Loop { site, life, which } => self.run_loop(site, life, which).await?,
            Event::Connect { link } => self.connect_link(link).await?,
            Event::Neighbour { link, connection, upwards, message } => {
                self.neighbour_heard(link, connection, upwards, message).await?;
            }
            Event::Pump { link, connection, upper } => self.pump(link, connection, upper).await?,
            Event::LinkBroken { link, connection, upper } => {
                if self.links[link].is_at(connection, upper) {
                    self.drop_end(link, upper, "the connection broke").await?;
                }
            }
            Event::PointConnect { point } => self.connect_point(point),
            Event::Standing { point, connection, message } => {
                self.standing_heard(point, connection, message).await?;
            }
            Event::PointBroken { point, connection, at_site } => {
                self.standing_broken(point, connection, at_site).await?;
            }
            Event::PointStep { point, next } => self.step_point(point, next).await?,
            Event::Tick => self.tick().await?,
            Event::Person => self.person_asks().await?,
            Event::Incident => self.incident().await?,
            Event::Repair(incident) => self.repair(incident).await?,
        }
        Ok(true)
    }

    async fn run_loop(&mut self, site: usize, life: u64, which: Which) -> Result<(), SimulateError> {
        let at = self.time.now();
        let node = &mut self.sites[site];
        let clock = Arc::clone(&node.clock);
        let Some(running) = node.running.as_mut().filter(|_| node.life == life) else { return Ok(()) };
        // It may have run earlier than this event said; one that stood still runs later.
        if running.due.get(&which).is_none_or(|due| *due > at) {
            return Ok(());
        }
        running.due.remove(&which);
        let now = clock.now();
        let next = match running.step(which, &clock, now).await {
            Stepped::Crashed => {
                self.shared.network().fired.count("crash within a step");
                self.note(Place::Site(site), format_args!("{which:?} crashes"));
                self.crash_site(site).await?;
                return Ok(());
            }
            Stepped::Failed(error) => {
                self.note(Place::Site(site), format_args!("{which:?} failed: {error}"));
                self.ledger.loop_failed(PLAN[site].code, which, &error);
                AFTER_ERROR
            }
            Stepped::Done(outcome) if outcome.is_busy => {
                self.note(Place::Site(site), format_args!("{which:?} {}", outcome.result));
                self.observe(site).await?;
                Duration::from_millis(1)
            }
            Stepped::Done(outcome) => {
                if outcome.result != "idle" {
                    self.note(Place::Site(site), format_args!("{which:?} {}", outcome.result));
                }
                let due = outcome.next_due.map_or(LOOP_PERIOD, |due| due.since(now));
                due.clamp(Duration::from_millis(5), LOOP_PERIOD)
            }
        };
        self.loop_after(site, which, next);
        self.after_step(site);
        Ok(())
    }

    /// Follows up what a step at a site gave others to do.
    pub(crate) fn after_step(&mut self, site: usize) {
        let Some(running) = &mut self.sites[site].running else { return };
        let (woken, has_changes) = running.woken();
        for which in woken {
            self.loop_soon(site, which, WAKE_DELAY);
        }
        if has_changes {
            self.changes_at(site);
        }
        self.send_jobs(site);
    }

    /// Sends a message; `connection` is its connection and `upwards` its direction. A lost message
    /// breaks the connection some time later, as it does on a stream.
    pub(crate) fn send(
        &mut self,
        (from, to): (Place, Place),
        (connection, upwards): (u64, bool),
        is_ordered: bool,
        event: impl Fn() -> Event,
        broken: impl Fn(bool) -> Event,
    ) {
        let fate = self.shared.network().fate(from, to, is_ordered);
        match fate {
            Fate::Lost => {
                for at_upper in [true, false] {
                    let after = self.random.time(Duration::from_secs(1), Duration::from_secs(40));
                    self.schedule.after(after, broken(at_upper));
                }
            }
            Fate::Arrives { delay, again, overtakes } => {
                let lane = self.lanes.entry((connection, upwards)).or_default();
                let at = self.time.now() + micros(delay);
                let at = if overtakes { at } else { at.max(*lane + 1) };
                if !overtakes {
                    *lane = at;
                }
                self.schedule.at(at, event());
                if let Some(again) = again {
                    self.schedule.after(again, event());
                }
            }
        }
    }

    /// A number for a connection.
    pub(crate) fn next_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    /// Everybody looks whether the others are still there, and what was not answered is sent again.
    async fn tick(&mut self) -> Result<(), SimulateError> {
        self.tick_links().await?;
        self.tick_points().await?;
        self.schedule.after(TICK, Event::Tick);
        Ok(())
    }

    /// Ends every process.
    pub(crate) async fn close(mut self) {
        let shared = Arc::clone(&self.shared);
        for (index, site) in self.sites.iter_mut().enumerate() {
            site.stop(index, &shared).await;
        }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn clock_of(&self, site: usize) -> &NodeClock {
        &self.sites[site].clock
    }
}
