//! A site that runs: its listener, the connection to the site above, the loops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use restock_sitedb::Wake;
use restock_transfer::{Run, SiteLink, SiteLinkConfig, SiteUpstream, SiteUrl, UpstreamLink};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::driver::Driver;
use crate::message::{chain, distmgr};
use crate::{Outcome, RefreshLoop, ScheduleLoop, Site, SiteError};

/// How often the connection to the site above is looked at.
const ADDRESS_PERIOD: Duration = Duration::from_millis(250);
/// After this long without a connection another address is tried, if there is one.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(3);
/// The scrub loop looks at the clock this often while no step is due.
const SCRUB_LOOK_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// How often running snapshots are asked to end while the site shuts down.
const STOP_PERIOD: Duration = Duration::from_millis(50);

impl Site {
    /// Runs the loops and the listener until `shutdown`, then waits for the steps under way.
    ///
    /// Errors: the listener's address is taken; the database stopped after a failed write.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), SiteError> {
        let inner = &*self.inner;
        if inner.is_running.swap(true, Ordering::AcqRel) {
            return Err(SiteError::Running);
        }
        let result = self.run_loops(shutdown).await;
        inner.listening.send_replace(None);
        inner.is_running.store(false, Ordering::Release);
        result
    }

    async fn run_loops(&self, shutdown: CancellationToken) -> Result<(), SiteError> {
        let inner = &*self.inner;
        // Ends the loops when the listener cannot start, without ending the caller's token.
        let cancel = shutdown.child_token();
        let run =
            Run { clock: Arc::clone(&inner.clock), tracker: TaskTracker::new(), cancel: cancel.clone() };
        let refreshes = self.refresh_loop();
        refreshes.recover().await?;
        let schedules = self.schedule_loop();
        schedules.recover().await?;
        let config = SiteLinkConfig { listen: inner.config.link_listen, limits: inner.config.link_limits };
        let link = SiteLink::start(
            config,
            Arc::clone(&inner.trust),
            Arc::clone(&inner.library),
            Arc::new(self.side()),
            inner.links.clone(),
            &run,
        )
        .await?;
        inner.listening.send_replace(Some(link.address()));
        self.keep_upstream(&run);
        distmgr!(info, site = %self.code(), address = %link.address(), "site {} runs", self.code());

        self.start_loops(&run, &refreshes, schedules);
        run.tracker.close();
        let stopped = tokio::select! {
            () = cancel.cancelled() => None,
            cause = inner.database.stopped() => Some(cause),
        };
        cancel.cancel();
        // A worker may have taken up one more run in the moment of the shutdown.
        loop {
            refreshes.stop_runs();
            tokio::select! {
                () = run.tracker.wait() => break,
                () = tokio::time::sleep(STOP_PERIOD) => {}
            }
        }
        match stopped {
            None => Ok(()),
            Some(cause) => Err(SiteError::DatabaseStopped(cause)),
        }
    }

    fn start_loops(&self, run: &Run, refreshes: &RefreshLoop, schedules: ScheduleLoop) {
        let database = &self.inner.database;
        let driver = |name, writes_status| Driver {
            name,
            clock: Arc::clone(&run.clock),
            database: database.clone(),
            period: self.inner.config.wake_period,
            shutdown: run.cancel.clone(),
            writes_status,
        };
        for worker in 0..self.inner.config.packages_at_once.max(1) {
            let (refreshes, driver) = (refreshes.clone(), driver("refresh", worker == 0));
            let wake = database.listen(Wake::Refresh);
            run.tracker.spawn(async move {
                driver.drive(Some(wake), |now| refreshes.run_once(now)).await;
            });
        }
        let (renewing, mut renewals) = (refreshes.clone(), driver("renew", false));
        renewals.period = self.inner.config.lease / 3;
        let wake = database.listen(Wake::Refresh);
        run.tracker.spawn(async move {
            renewals
                .drive(Some(wake), |now| {
                    let refreshes = renewing.clone();
                    async move {
                        refreshes.renew_once(now).await?;
                        Ok(Outcome { is_busy: false, result: String::new(), queue: 0, next_due: None })
                    }
                })
                .await;
        });
        let (distributes, driver_of_distributes) = (self.distribute_loop(), driver("distribute", true));
        let wake = database.listen(Wake::Distribute);
        run.tracker.spawn(async move {
            driver_of_distributes.drive(Some(wake), |now| distributes.run_once(now)).await;
        });
        let fetches = self.fetch_loop(self.link_fetch(run));
        for worker in 0..self.inner.config.fetches_at_once.max(1) {
            let (fetches, driver) = (fetches.clone(), driver("fetch", worker == 0));
            let wake = database.listen(Wake::Fetch);
            run.tracker.spawn(async move {
                driver.drive(Some(wake), |now| fetches.run_once(now)).await;
            });
        }
        let (mut wake, links, cancel) =
            (database.listen(Wake::Sites), self.inner.links.clone(), run.cancel.clone());
        run.tracker.spawn(async move {
            while cancel.run_until_cancelled(wake.woken()).await.is_some() {
                links.wake_sites();
            }
        });
        let driver_of_schedules = driver("schedule", true);
        let wake = database.listen(Wake::Schedule);
        run.tracker.spawn(async move {
            driver_of_schedules.drive(Some(wake), |now| schedules.run_once(now)).await;
        });
        let (site, driver_of_rotation) = (self.clone(), driver("rotate", false));
        run.tracker.spawn(async move {
            driver_of_rotation.drive(None, |now| site.advance_rotation(now)).await;
        });
        let (cleans, mut driver_of_cleans) = (self.clean_loop(), driver("clean", true));
        driver_of_cleans.period = Duration::from_secs(60 * 60);
        run.tracker.spawn(async move {
            driver_of_cleans.drive(None, |now| cleans.run_once(now)).await;
        });
        let (cleans, driver_of_index) = (self.clean_loop(), driver("index", false));
        run.tracker.spawn(async move {
            driver_of_index.drive(None, |_now| cleans.keep_index()).await;
        });
        let (scrubs, mut driver_of_scrubs) = (self.scrub_loop().within(run), driver("scrub", true));
        driver_of_scrubs.period = SCRUB_LOOK_PERIOD;
        run.tracker.spawn(async move {
            let is_first = AtomicBool::new(true);
            driver_of_scrubs
                .drive(None, |now| scrubs.run_once(now, is_first.swap(false, Ordering::AcqRel)))
                .await;
        });
    }

    /// Keeps the connection to the site above up, if there is one, until the run ends or the site
    /// leaves. When that one cannot be reached, the address it announced is tried in turn with the one
    /// that was known before.
    fn keep_upstream(&self, run: &Run) {
        let (site, run) = (self.clone(), run.child());
        let mut ends = self.inner.upstream_ends.lock().unwrap_or_else(PoisonError::into_inner);
        *ends = Some(run.cancel.clone());
        run.tracker.clone().spawn(async move {
            let mut before: Option<SiteUrl> = None;
            loop {
                let upstream = site.inner.upstream.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let Some(upstream) = upstream else { return };
                let link = run.child();
                let connection = UpstreamLink::start(
                    site.inner.config.upstream,
                    Arc::clone(&upstream),
                    Arc::clone(&site.inner.library),
                    Arc::new(site.side()),
                    site.inner.links.clone(),
                    &link,
                );
                let moved = site.moved(&connection, &upstream, &mut before);
                let ended = run.cancel.run_until_cancelled(moved).await;
                link.cancel.cancel();
                if ended.is_none() {
                    return;
                }
            }
        });
    }

    /// Returns when the site above was out of reach for a while and another address is in use from
    /// here on.
    async fn moved(&self, link: &UpstreamLink, upstream: &Arc<SiteUpstream>, before: &mut Option<SiteUrl>) {
        let mut down_since = self.inner.clock.monotonic();
        loop {
            tokio::time::sleep(ADDRESS_PERIOD).await;
            let now = self.inner.clock.monotonic();
            if link.is_connected() {
                (down_since, *before) = (now, None);
                continue;
            }
            if now.saturating_duration_since(down_since) < ADDRESS_PATIENCE {
                continue;
            }
            down_since = now;
            let known = upstream.url().clone();
            match self.try_address(upstream, before.take()).await {
                Ok(true) => {
                    *before = Some(known);
                    return;
                }
                Ok(false) => {}
                Err(error) => distmgr!(error, "{}", chain(&error)),
            }
        }
    }

    /// Ends the connection to the site above for good.
    pub(crate) fn stop_upstream(&self) {
        let ends = self.inner.upstream_ends.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ends) = ends {
            ends.cancel();
        }
        self.inner.upstream.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
