//! Which job runs next: one for each package at a time, in the order received. Pure.
//!
//! - The same work asked for again, while it waits or runs, is not done twice; the newest job id
//!   is the one reported on.
//! - A newer version takes the place of an older one that waits, or that only waits to be tried
//!   again; one that is being received is finished first, so that its bytes are not lost.
//! - A removal ends everything of the package that waits or runs; a cancel ends what it names.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use restock_names::{ContentVersion, Digest, PackageId};
use restock_transfer::{Job, JobId, JobKind};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Something to do for one package.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// What the site asks for.
    Job(Job),
    /// Fetch stored objects again that a reader found damaged; `code` is what the site was told.
    Heal { content: ContentVersion, damaged: Vec<Digest>, code: &'static str },
}

impl Work {
    /// The version it is about.
    pub fn content(&self) -> ContentVersion {
        match self {
            Self::Job(job) => job.content,
            Self::Heal { content, .. } => *content,
        }
    }

    fn kind(&self) -> Option<JobKind> {
        match self {
            Self::Job(job) => Some(job.kind),
            Self::Heal { .. } => None,
        }
    }

    fn brings_content(&self) -> bool {
        matches!(self.kind(), Some(JobKind::Install | JobKind::Redistribute))
    }

    /// Whether doing this twice in a row is the same as once.
    fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Job(a), Self::Job(b)) => a.kind == b.kind && a.content == b.content,
            _ => false,
        }
    }
}

/// What a job that runs shares with the queue.
#[derive(Debug)]
pub struct Ticket {
    /// Cancelled when the job must end.
    pub cancel: CancellationToken,
    /// Wakes a job that waits to be tried again.
    pub retry_now: Notify,
    job_id: AtomicU64,
    is_waiting: AtomicBool,
    is_superseded: AtomicBool,
}

impl Ticket {
    fn new(work: &Work, parent: &CancellationToken) -> Self {
        let id = match work {
            Work::Job(job) => job.job_id.0,
            Work::Heal { .. } => 0,
        };
        Self {
            cancel: parent.child_token(),
            retry_now: Notify::new(),
            job_id: AtomicU64::new(id),
            is_waiting: AtomicBool::new(false),
            is_superseded: AtomicBool::new(false),
        }
    }

    /// The job to report on.
    pub fn job_id(&self) -> JobId {
        JobId(self.job_id.load(Ordering::Relaxed))
    }

    /// Says whether the job only waits for its next attempt.
    pub fn set_waiting(&self, is_waiting: bool) {
        self.is_waiting.store(is_waiting, Ordering::Relaxed);
    }

    /// Whether a newer version took the job's place.
    pub fn is_superseded(&self) -> bool {
        self.is_superseded.load(Ordering::Relaxed)
    }
}

/// Why a job ended before it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// A newer version is to be installed.
    Superseded,
    /// The same work was asked for again under another job id.
    Repeated,
    /// A cancel or a removal.
    Cancelled,
}

/// What the arrival of work leads to.
#[derive(Debug, Default)]
pub struct Arrival {
    /// Start this now.
    pub start: Option<(Work, Arc<Ticket>)>,
    /// These will not be done.
    pub dropped: Vec<(Job, Dropped)>,
    /// The work waits behind another of its package.
    pub is_queued: bool,
}

/// The work of all packages.
#[derive(Debug)]
pub struct Queue {
    lanes: BTreeMap<PackageId, Lane>,
    parent: CancellationToken,
}

#[derive(Debug)]
struct Lane {
    running: (Work, Arc<Ticket>),
    waiting: VecDeque<Work>,
}

impl Queue {
    /// An empty queue; what runs is cancelled with `parent`.
    pub fn new(parent: CancellationToken) -> Self {
        Self { lanes: BTreeMap::new(), parent }
    }

    /// Takes in work.
    pub fn arrive(&mut self, work: Work) -> Arrival {
        let package = work.content().package;
        let Some(lane) = self.lanes.get_mut(&package) else {
            let ticket = Arc::new(Ticket::new(&work, &self.parent));
            self.lanes.insert(
                package,
                Lane { running: (work.clone(), Arc::clone(&ticket)), waiting: VecDeque::new() },
            );
            return Arrival { start: Some((work, ticket)), ..Arrival::default() };
        };
        lane.arrive(work)
    }

    /// Says that the running work of `package` has ended; returns what to start next.
    pub fn finished(&mut self, package: &PackageId) -> Option<(Work, Arc<Ticket>)> {
        let lane = self.lanes.get_mut(package)?;
        match lane.waiting.pop_front() {
            Some(work) => {
                let ticket = Arc::new(Ticket::new(&work, &self.parent));
                lane.running = (work.clone(), Arc::clone(&ticket));
                Some((work, ticket))
            }
            None => {
                self.lanes.remove(package);
                None
            }
        }
    }

    /// Lets everything that waits to be tried again try now: the site is back.
    pub fn retry_all(&self) {
        self.lanes.values().for_each(|lane| lane.running.1.retry_now.notify_one());
    }

    /// What runs and what waits, package by package.
    pub fn works(&self) -> impl Iterator<Item = (&Work, bool)> {
        self.lanes.values().flat_map(|lane| {
            std::iter::once((&lane.running.0, true)).chain(lane.waiting.iter().map(|w| (w, false)))
        })
    }
}

impl Lane {
    fn arrive(&mut self, work: Work) -> Arrival {
        let mut arrival = Arrival::default();
        let (running, ticket) = (&self.running.0, &self.running.1);
        let is_ending = ticket.cancel.is_cancelled();
        match work.kind() {
            // A heal is done by whoever is next to read everything anyway.
            None if self.waiting.iter().chain([running]).any(|w| w.kind().is_none()) => return arrival,
            Some(JobKind::Install | JobKind::Redistribute) => {
                if let (Work::Job(job), false) = (&work, is_ending)
                    && job.kind == JobKind::Install
                    && running.is_same_as(&work)
                {
                    let old = ticket.job_id.swap(job.job_id.0, Ordering::Relaxed);
                    if old != job.job_id.0 {
                        ticket.retry_now.notify_one();
                    }
                    return arrival;
                }
                let is_same_job = |other: &Work| match (other, &work) {
                    (Work::Job(a), Work::Job(b)) => a.job_id == b.job_id,
                    _ => false,
                };
                if is_same_job(running) || self.waiting.iter().any(is_same_job) {
                    return arrival;
                }
                let (epoch, version) = (work.content().epoch, work.content().version);
                let is_older = |other: &Work| {
                    let content = other.content();
                    other.brings_content() && (content.epoch, content.version) < (epoch, version)
                };
                if is_older(running) && ticket.is_waiting.load(Ordering::Relaxed) {
                    ticket.is_superseded.store(true, Ordering::Relaxed);
                    ticket.cancel.cancel();
                }
                self.take_out(&mut arrival, is_older, Dropped::Superseded);
                self.take_out(&mut arrival, |other| other.is_same_as(&work), Dropped::Repeated);
            }
            Some(JobKind::Remove) => {
                if running.is_same_as(&work) {
                    if let Work::Job(job) = &work {
                        ticket.job_id.store(job.job_id.0, Ordering::Relaxed);
                    }
                    return arrival;
                }
                ticket.cancel.cancel();
                self.take_out(&mut arrival, |_| true, Dropped::Cancelled);
            }
            Some(JobKind::Cancel) => {
                let content = work.content();
                let is_named = |other: &Work| other.brings_content() && other.content() == content;
                if is_named(running) {
                    ticket.cancel.cancel();
                }
                self.take_out(&mut arrival, is_named, Dropped::Cancelled);
                self.take_out(&mut arrival, |other| other.is_same_as(&work), Dropped::Repeated);
            }
            None | Some(JobKind::Unknown) => {}
        }
        self.waiting.push_back(work);
        arrival.is_queued = true;
        arrival
    }

    fn take_out(&mut self, arrival: &mut Arrival, matches: impl Fn(&Work) -> bool, why: Dropped) {
        let (out, kept): (VecDeque<Work>, VecDeque<Work>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|work| matches(work));
        self.waiting = kept;
        arrival.dropped.extend(out.into_iter().filter_map(|work| match work {
            Work::Job(job) => Some((job, why)),
            Work::Heal { .. } => None,
        }));
    }
}

#[cfg(test)]
mod tests;
