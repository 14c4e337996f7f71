//! A site of the simulation: the production site, opened in a copy of the image, its loops stepped.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use restock_names::{Clock, SiteCode, Timestamp};
use restock_provider::Provider;
use restock_site::{
    DistributeLoop, FetchLoop, Outcome, RefreshLoop, ScheduleLoop, Side, Site, SiteConfig, SiteError,
};
use restock_sitedb::{Wake, WakeListener};
use restock_transfer::{Fingerprint, Registration};

use crate::clock::{Crash, NodeClock};
use crate::error::SimulateError;
use crate::fetching::{Holder, Shared, SimFetch};

/// A loop of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    Refresh,
    Distribute,
    Schedule,
    Fetch,
}

impl Which {
    pub(crate) const ALL: [Self; 4] = [Self::Refresh, Self::Distribute, Self::Schedule, Self::Fetch];
}

/// How often a site that cannot be opened yet is tried again, and how long it pauses.
const OPEN_TRIES: u32 = 2_000;
const OPEN_PAUSE: Duration = Duration::from_millis(2);

/// The site's end of a distribution point's connection.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) connection: u64,
    pub(crate) registration: Registration,
    pub(crate) heard: i64,
    pub(crate) keys_serial: u32,
}

/// A site that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) site: Site,
    pub(crate) side: Side,
    pub(crate) provider: Provider,
    refresh: RefreshLoop,
    distribute: DistributeLoop,
    schedule: ScheduleLoop,
    fetch: FetchLoop<SimFetch>,
    listeners: Vec<(Which, WakeListener)>,
    sites: WakeListener,
    /// When each loop runs next, in simulated microseconds.
    pub(crate) due: BTreeMap<Which, i64>,
    pub(crate) points: BTreeMap<usize, Standing>,
}

/// A site, whether it runs or not.
#[derive(Debug)]
pub(crate) struct SiteNode {
    pub(crate) code: SiteCode,
    pub(crate) config: SiteConfig,
    pub(crate) clock: Arc<NodeClock>,
    pub(crate) running: Option<Running>,
    /// Counts its processes.
    pub(crate) life: u64,
    /// Nothing of it happens before, in simulated microseconds.
    pub(crate) paused_until: i64,
    /// It came back from a backup: packages it heard of from others have no account behind their path.
    pub(crate) was_restored: bool,
    /// Its disk is gone until it is restored.
    pub(crate) is_lost: bool,
    /// A backup, and when it was made.
    pub(crate) backup: Option<(PathBuf, i64)>,
}

/// How a step of a loop ended.
#[derive(Debug)]
pub(crate) enum Stepped {
    Done(Outcome),
    Failed(String),
    /// The process was to die in the middle of it.
    Crashed,
}

impl SiteNode {
    /// Starts the site's process.
    pub(crate) async fn start(&mut self, index: usize, shared: &Arc<Shared>) -> Result<(), SimulateError> {
        let site = self.open().await?;
        site.recover().await?;
        let (side, library) = (site.side(), Arc::clone(site.library()));
        shared.set_holder(index, Some(Holder { side: side.clone(), library: Arc::clone(&library) }));
        let fetch = SimFetch { site: index, library, shared: Arc::clone(shared) };
        let database = site.database();
        let own = site.config().folders();
        let wakes = [Wake::Refresh, Wake::Distribute, Wake::Schedule, Wake::Fetch];
        self.life += 1;
        self.running = Some(Running {
            provider: Provider::new(database.clone(), Arc::clone(site.clock()), own),
            refresh: site.refresh_loop(),
            distribute: site.distribute_loop(),
            schedule: site.schedule_loop(),
            fetch: site.fetch_loop(fetch),
            listeners: Which::ALL.into_iter().zip(wakes.map(|wake| database.listen(wake))).collect(),
            sites: database.listen(Wake::Sites),
            due: BTreeMap::new(),
            points: BTreeMap::new(),
            side,
            site,
        });
        Ok(())
    }

    /// Opens the site; what a process that died left running is waited for.
    async fn open(&self) -> Result<Site, SimulateError> {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        for _ in 1..OPEN_TRIES {
            match Site::open(self.config.clone(), Arc::clone(&clock)).await {
                Err(SiteError::Library(error)) if error.to_string().contains("LIBRARY_LOCKED") => {
                    tokio::time::sleep(OPEN_PAUSE).await;
                }
                opened => return Ok(opened?),
            }
        }
        Ok(Site::open(self.config.clone(), clock).await?)
    }

    /// Ends the site's process; what it committed stays.
    pub(crate) async fn stop(&mut self, index: usize, shared: &Shared) {
        shared.set_holder(index, None);
        self.clock.crash_after(None);
        if let Some(running) = self.running.take() {
            let site = running.site.clone();
            drop(running);
            // What was handed to the writer is committed or not by then, and never later.
            site.close().await;
        }
    }
}

impl Running {
    /// Runs one step of a loop at the node's own time.
    pub(crate) async fn step(&mut self, which: Which, clock: &NodeClock, now: Timestamp) -> Stepped {
        let step = async {
            match which {
                Which::Refresh => self.refresh.run_once(now).await,
                Which::Distribute => self.distribute.run_once(now).await,
                Which::Schedule => self.schedule.run_once(now).await,
                Which::Fetch => self.fetch.run_once(now).await,
            }
        };
        clock.step(true);
        let stepped = tokio::select! {
            biased;
            // In a transaction, which has then failed.
            () = clock.crashed() => Stepped::Crashed,
            outcome = AssertUnwindSafe(step).catch_unwind() => match outcome {
                Ok(Ok(outcome)) => Stepped::Done(outcome),
                Ok(Err(error)) => Stepped::Failed(error.to_string()),
                Err(panic) if panic.is::<Crash>() => {
                    clock.crashed().await;
                    Stepped::Crashed
                }
                Err(panic) => resume_unwind(panic),
            },
        };
        clock.step(false);
        stepped
    }

    /// The key by which the site above knows this one.
    pub(crate) fn link_key(&self) -> Option<Fingerprint> {
        self.site.shared_trust().link_fingerprint().ok()
    }

    /// The loops that were woken since the last call, and whether there is something to send to
    /// neighbours.
    pub(crate) fn woken(&mut self) -> (Vec<Which>, bool) {
        let mut woken = Vec::new();
        for (which, listener) in &mut self.listeners {
            if listener.woken().now_or_never().is_some() {
                woken.push(*which);
            }
        }
        (woken, self.sites.woken().now_or_never().is_some())
    }
}
