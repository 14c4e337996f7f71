//! One change on its way through the star, event by event.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::FutureExt as _;
use restock_names::{Clock as _, SystemClock};
use restock_sitedb::package::Package;

use super::{Star, StarCost, Woken, change};
use crate::error::SimulateError;
use crate::random::Random;
use crate::schedule::{Schedule, micros};

/// What a frame has beside its message.
const FRAME_BYTES: u64 = 4;
/// An acknowledgement is about this long.
const ACKNOWLEDGEMENT_BYTES: u64 = 40;
/// Events of a pass, at most.
const STEPS_MAX: u64 = 1_000_000;

#[derive(Debug)]
enum Event {
    /// A package is changed at the site above, and the next one after it.
    Change,
    /// An end of a link looks for something to send.
    Pump { link: usize, upper: bool },
    /// A window arrives at an end.
    Window { link: usize, upper: bool, text: Vec<u8> },
    /// An acknowledgement arrives at an end.
    Acknowledged { link: usize, upper: bool, last: u64 },
    /// A loop was woken.
    Loop { site: usize, which: Woken },
}

/// A site's processor.
#[derive(Debug, Clone, Copy, Default)]
struct Processor {
    /// Nothing else happens before, in simulated microseconds.
    free_at: i64,
    busy: Duration,
}

#[derive(Debug)]
pub(super) struct Pass<'a> {
    star: &'a mut Star,
    schedule: Schedule<Event>,
    /// Steps take the time that they took on this machine.
    is_charged: bool,
    processors: Vec<Processor>,
    changes: VecDeque<Package>,
    /// Ends that are to look, so that each does it once.
    pumps: Vec<[bool; 2]>,
    /// Windows sent down each link, and when its lower end had taken the last of them.
    windows: Vec<u64>,
    arrived: Vec<Option<i64>>,
    bytes: u64,
}

impl<'a> Pass<'a> {
    pub(super) fn new(star: &'a mut Star, is_charged: bool) -> Self {
        let (sites, links) = (star.sites.len(), star.links.len());
        let schedule = Schedule::new(&star.time, Random::new(1));
        Self {
            star,
            schedule,
            is_charged,
            processors: vec![Processor::default(); sites],
            changes: VecDeque::new(),
            pumps: vec![[false; 2]; links],
            windows: vec![0; links],
            arrived: vec![None; links],
            bytes: 0,
        }
    }

    /// Every package is to be described by `text`.
    pub(super) async fn describe(&mut self, text: &str) -> Result<(), SimulateError> {
        let found = change::all(&self.star.sites[0].site).await?;
        let changed = found.into_iter().map(|package| Package { description: text.to_owned(), ..package });
        self.changes = changed.collect();
        Ok(())
    }

    pub(super) fn packages(&self) -> u32 {
        u32::try_from(self.changes.len()).unwrap_or(u32::MAX)
    }

    /// Goes on until nobody has anything to say. `changes` is how many there are to make.
    pub(super) async fn run(mut self, changes: u32) -> Result<StarCost, SimulateError> {
        let begun = self.star.time.now();
        if changes > 0 {
            self.schedule.at(begun, Event::Change);
        }
        for link in 0..self.star.links.len() {
            for upper in [true, false] {
                self.look(link, upper, begun);
            }
        }
        let mut steps = 0;
        while let Some(event) = self.schedule.next(i64::MAX) {
            steps += 1;
            if steps > STEPS_MAX {
                return Err(SimulateError::Runtime("the star does not come to rest".to_owned()));
            }
            let (site, now) = (self.site_of(&event), self.star.time.now());
            let free_at = self.processors[site].free_at;
            if free_at > now {
                self.schedule.at(free_at, event);
                continue;
            }
            let is_change = matches!(event, Event::Change);
            let measured = SystemClock.monotonic();
            let then = self.take(event).await?;
            let spent = SystemClock.monotonic().saturating_duration_since(measured);
            let processor = &mut self.processors[site];
            processor.busy += spent;
            if self.is_charged {
                processor.free_at = now + micros(spent);
            }
            self.follow(site, then);
            if is_change && !self.changes.is_empty() {
                let at = self.processors[0].free_at.max(now);
                self.schedule.at(at, Event::Change);
            }
        }
        let arrived = self.arrived.iter().flatten().max().copied().unwrap_or(begun);
        let below = &self.processors[1..];
        Ok(StarCost {
            took: Duration::from_micros(u64::try_from(arrived - begun).unwrap_or(0)),
            round_trips: self.windows.iter().max().copied().unwrap_or(0),
            bytes: self.bytes,
            busy_below_max: below.iter().map(|one| one.busy).max().unwrap_or_default(),
            busy_below: below.iter().map(|one| one.busy).sum(),
            busy_above: self.processors[0].busy,
        })
    }

    fn site_of(&self, event: &Event) -> usize {
        match event {
            Event::Change => 0,
            Event::Loop { site, .. } => *site,
            Event::Pump { link, upper }
            | Event::Window { link, upper, .. }
            | Event::Acknowledged { link, upper, .. } => {
                if *upper {
                    0
                } else {
                    link + 1
                }
            }
        }
    }

    /// Takes one event; returns the message that follows from it, if one does, and its length.
    async fn take(&mut self, event: Event) -> Result<Option<(Event, u64)>, SimulateError> {
        let ended = SimulateError::Runtime;
        match event {
            Event::Change => {
                if let Some(package) = self.changes.pop_front() {
                    change::put(&self.star.sites[0].site, package).await?;
                }
                Ok(None)
            }
            Event::Loop { site, which } => {
                let outcome = self.star.sites[site].step(which).await?;
                if outcome.is_busy {
                    self.schedule.after(Duration::from_micros(1), Event::Loop { site, which });
                }
                Ok(None)
            }
            Event::Pump { link, upper } => {
                self.pumps[link][usize::from(upper)] = false;
                let (talk, side, peer) = self.star.end(link, upper);
                if !talk.is_due() {
                    return Ok(None);
                }
                let Some(text) = talk.window(side, peer).await.map_err(ended)? else { return Ok(None) };
                self.windows[link] += u64::from(upper);
                let length = text.len() as u64;
                Ok(Some((Event::Window { link, upper: !upper, text }, length)))
            }
            Event::Window { link, upper, text } => {
                let (talk, side, peer) = self.star.end(link, upper);
                let last = talk.take(side, peer, &text).await.map_err(ended)?.answer;
                Ok(Some((Event::Acknowledged { link, upper: !upper, last }, ACKNOWLEDGEMENT_BYTES)))
            }
            Event::Acknowledged { link, upper, last } => {
                let (talk, side, peer) = self.star.end(link, upper);
                talk.acknowledged(side, peer, last).await.map_err(ended)?;
                let now = self.star.time.now();
                self.look(link, upper, now);
                Ok(None)
            }
        }
    }

    /// What follows from a step at a site, from the moment at which its processor is free.
    fn follow(&mut self, site: usize, message: Option<(Event, u64)>) {
        let at = self.processors[site].free_at.max(self.star.time.now());
        if let Some((event, length)) = message {
            if let Event::Acknowledged { link, upper: true, .. } = &event {
                self.arrived[*link] = Some(at);
            }
            self.bytes += length + FRAME_BYTES;
            self.schedule.at(at + micros(self.star.options.one_way), event);
        }
        let node = &mut self.star.sites[site];
        for (which, listener) in &mut node.loops {
            if listener.woken().now_or_never().is_some() {
                self.schedule.at(at, Event::Loop { site, which: *which });
            }
        }
        if node.changes.woken().now_or_never().is_some() {
            let ends = if site == 0 { 0..self.star.links.len() } else { site - 1..site };
            for link in ends {
                let upper = site == 0;
                self.star.end(link, upper).0.looks = true;
                self.look(link, upper, at);
            }
        }
    }

    /// An end looks for something to send, once, at `at`.
    fn look(&mut self, link: usize, upper: bool, at: i64) {
        let waits = &mut self.pumps[link][usize::from(upper)];
        if !std::mem::replace(waits, true) {
            self.schedule.at(at, Event::Pump { link, upper });
        }
    }
}
