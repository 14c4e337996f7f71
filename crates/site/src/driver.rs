//! Wakes the loops: by notification, when something becomes due, and by a slow period.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use restock_names::{Clock, Timestamp};
use restock_sitedb::loops::LoopStatus;
use restock_sitedb::{Database, DatabaseError, WakeListener};
use tokio_util::sync::CancellationToken;

use crate::message::{chain, distmgr};
use crate::{Outcome, SiteError};

/// A loop that failed looks again after this long at the latest.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(2);
/// An unchanged status is written again after this long.
const STATUS_PERIOD: Duration = Duration::from_secs(60);

/// One worker of a loop.
pub(crate) struct Driver {
    pub(crate) name: &'static str,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) database: Database,
    pub(crate) period: Duration,
    pub(crate) shutdown: CancellationToken,
    /// Only one worker of a loop keeps the loop's status.
    pub(crate) writes_status: bool,
}

impl Driver {
    /// Steps again and again until the shutdown; a step that runs then is waited for.
    pub(crate) async fn drive<F>(self, mut wake: Option<WakeListener>, step: impl Fn(Timestamp) -> F)
    where
        F: Future<Output = Result<Outcome, SiteError>>,
    {
        let mut written: Option<(LoopStatus, Timestamp)> = None;
        while !self.shutdown.is_cancelled() {
            let now = self.clock.now();
            let pause = match step(now).await {
                Ok(outcome) => {
                    self.write_status(&mut written, now, &outcome).await;
                    if outcome.is_busy {
                        continue;
                    }
                    outcome.next_due.map_or(self.period, |due| due.since(self.clock.now()).min(self.period))
                }
                Err(error) => {
                    distmgr!(error, "{} failed: {}", self.name, chain(&error));
                    let outcome = Outcome { is_busy: false, result: chain(&error), queue: 0, next_due: None };
                    self.write_status(&mut written, now, &outcome).await;
                    PAUSE_AFTER_ERROR.min(self.period)
                }
            };
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                () = woken(&mut wake) => {}
            }
        }
    }

    async fn write_status(
        &self,
        written: &mut Option<(LoopStatus, Timestamp)>,
        now: Timestamp,
        outcome: &Outcome,
    ) {
        if !self.writes_status {
            return;
        }
        let status = LoopStatus {
            name: self.name.to_owned(),
            last_run_at: now,
            result: outcome.result.clone(),
            queue: outcome.queue,
        };
        let is_fresh = written.as_ref().is_some_and(|(before, at)| {
            (&before.result, before.queue) == (&status.result, status.queue) && now.since(*at) < STATUS_PERIOD
        });
        if is_fresh {
            return;
        }
        let kept = status.clone();
        let done: Result<(), DatabaseError> = self
            .database
            .transact("loop_status", move |tx| Box::pin(async move { tx.put_loop(&kept).await }))
            .await;
        match done {
            Ok(()) => *written = Some((status, now)),
            Err(error) => distmgr!(warn, "the status of {} was not kept: {}", self.name, chain(&error)),
        }
    }
}

async fn woken(wake: &mut Option<WakeListener>) {
    match wake {
        Some(listener) => listener.woken().await,
        None => std::future::pending().await,
    }
}
