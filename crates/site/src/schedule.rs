//! The schedule loop: asks for the refreshes that `RefreshSchedule` of packages names.
//!
//! One step looks at the packages whose next run is due and asks, for each in a transaction of its
//! own, for one refresh, however many runs have passed. What is due, and what a jump of the clock
//! means, is decided in `restock_sitedb::schedule`. Source: docs/formats/schedule.md.

use restock_names::{PackageId, SiteCode, Timestamp, Zone};
use restock_sitedb::schedule::ScheduleRun;
use restock_sitedb::{Database, DatabaseError};

use crate::message::distmgr;
use crate::{Outcome, SiteError};

/// Packages looked at in one step.
const PACKAGES_STEP: u32 = 100;

/// Asks for refreshes by schedule.
#[derive(Debug, Clone)]
pub struct ScheduleLoop {
    pub(crate) database: Database,
    pub(crate) site: SiteCode,
    pub(crate) zone: Zone,
}

impl ScheduleLoop {
    /// Asks for the refreshes that are due at `now`, for at most 100 packages.
    ///
    /// `next_due` is the next run of any package. Errors: the database.
    pub async fn run_once(&self, now: Timestamp) -> Result<Outcome, SiteError> {
        let site = self.site;
        let due: Result<Vec<PackageId>, DatabaseError> = self
            .database
            .read("schedules_due", move |tx| {
                Box::pin(async move { tx.schedules_due(site, now, PACKAGES_STEP).await })
            })
            .await;
        let due = due?;
        let (mut asked, mut is_busy, mut failed) = (0, false, None);
        for package in &due {
            let run = self.run(*package, now).await;
            is_busy |= run.as_ref().is_ok_and(|run| *run != ScheduleRun::Nothing);
            match run {
                // The others are not made to wait for one that cannot be read.
                Err(error) => failed = Some(error),
                Ok(ScheduleRun::Nothing | ScheduleRun::Reckoned) => {}
                Ok(ScheduleRun::Asked) => {
                    distmgr!(info, package.id = %package, "The schedule of package {package} asks for a refresh");
                    asked += 1;
                }
                Ok(ScheduleRun::CaughtUp(missed)) => {
                    distmgr!(
                        warn,
                        package.id = %package,
                        "One refresh of package {package} catches up with its schedule: {missed}"
                    );
                    asked += 1;
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if is_busy {
            // The next step, which follows at once, says what waits.
            let result = format!("asked for {asked} refreshes");
            return Ok(Outcome { is_busy, result, queue: due.len() as u64, next_due: None });
        }
        let waiting: Result<_, DatabaseError> = self
            .database
            .read("schedule_queue", move |tx| Box::pin(async move { tx.schedule_queue(site).await }))
            .await;
        let (queue, next_due) = waiting?;
        Ok(Outcome { is_busy, result: "idle".to_owned(), queue, next_due })
    }

    /// Reckons all next runs anew, since the time zone or its rules may be others than before.
    pub(crate) async fn recover(&self) -> Result<(), SiteError> {
        let zone = self.zone.clone();
        let changed: Result<u64, DatabaseError> = self
            .database
            .transact("reckon_schedules", move |tx| Box::pin(async move { tx.reckon_schedules(&zone).await }))
            .await;
        let changed = changed?;
        if changed > 0 {
            distmgr!(info, changed, zone = self.zone.name(), "reckoned the next runs of schedules anew");
        }
        Ok(())
    }

    async fn run(&self, package: PackageId, now: Timestamp) -> Result<ScheduleRun, SiteError> {
        let (site, zone) = (self.site, self.zone.clone());
        let run: Result<ScheduleRun, DatabaseError> = self
            .database
            .transact("run_schedule", move |tx| {
                Box::pin(async move { tx.run_schedule(package, site, now, &zone).await })
            })
            .await;
        Ok(run?)
    }
}
