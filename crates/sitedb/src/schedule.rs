//! The schedules of packages: their tokens, up to when they were looked at, when they run next.
//!
//! [`Tx::set_schedule`] is what a Put calls, [`Tx::run_schedule`] what the schedule loop calls; all
//! arithmetic is of `restock_cim::schedule`. Source: docs/formats/schedule.md.

use std::time::Duration;

use restock_cim::schedule::{self, ScheduleToken, next_of};
use restock_names::{PackageId, SiteCode, Timestamp, Zone};

use crate::message::{self, MissedRuns};
use crate::replica::Kind;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx, Wake, Why};

/// A run that starts later than this after its time counts as missed and is caught up with.
const LATE_AFTER: Duration = Duration::from_secs(60);
/// A clock that was put back by more than this is believed: the schedule is reckoned from what it
/// shows, since it would otherwise stand still for as long as the clock was wrong.
const PUT_BACK_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Missed runs are counted up to this many.
const MISSED_COUNTED_MAX: u32 = 1_000;

/// The schedule of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSchedule {
    /// At most fifteen; empty when the package has no schedule.
    pub tokens: Vec<ScheduleToken>,
    /// Runs up to then have been asked for.
    pub seen_at: Option<Timestamp>,
    /// The next run; `None` when there is none any more.
    pub next_at: Option<Timestamp>,
}

/// What [`Tx::run_schedule`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleRun {
    /// Nothing was due.
    Nothing,
    /// The clock was put back, or the package cannot be refreshed: only the next run is kept.
    Reckoned,
    /// A refresh was asked for, in time.
    Asked,
    /// One refresh was asked for in place of runs that were missed.
    CaughtUp(MissedRuns),
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT package_id, refresh_schedule, schedule_seen_at, schedule_next_at FROM packages ",
            $rest
        )
    };
}

fn schedule(row: &Row) -> Result<PackageSchedule, DatabaseError> {
    let text = row.text("refresh_schedule")?;
    Ok(PackageSchedule {
        tokens: schedule::decode(&text).map_err(|error| row.refuse("refresh_schedule", error))?,
        seen_at: row.time_or_none("schedule_seen_at")?,
        next_at: row.time_or_none("schedule_next_at")?,
    })
}

impl Tx {
    /// Gives the package this schedule; no tokens take it away. The first run is later than `now`.
    ///
    /// The same tokens again change nothing: a run that is due stays due. The caller has checked
    /// that the package is one that can be refreshed.
    pub async fn set_schedule(
        &mut self,
        package: PackageId,
        tokens: &[ScheduleToken],
        now: Timestamp,
        zone: &Zone,
    ) -> Result<(), DatabaseError> {
        let before = self.schedule(package).await?;
        if before.is_some_and(|before| before.tokens == tokens) {
            return Ok(());
        }
        let text = schedule::encode(tokens);
        self.execute("UPDATE packages SET refresh_schedule = $2 WHERE package_id = $1", bind![package, text])
            .await?;
        self.touch(Kind::Package, package.as_str());
        let seen_at = (!tokens.is_empty()).then_some(now);
        self.put_schedule_times(package, seen_at, next_of(tokens, now, zone)).await?;
        self.wake(Wake::Schedule);
        Ok(())
    }

    /// The schedule of a package; `None` when there is no such package.
    pub async fn schedule(&mut self, package: PackageId) -> Result<Option<PackageSchedule>, DatabaseError> {
        let row = self.row(select!("WHERE package_id = $1"), bind![package]).await?;
        row.as_ref().map(schedule).transpose()
    }

    /// Packages of `site` to look at at `now`, at most `limit`: a run is due, or the clock was put
    /// back far behind the moment they were looked at last.
    pub async fn schedules_due(
        &mut self,
        site: SiteCode,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<PackageId>, DatabaseError> {
        // Two queries, since each has its own index.
        let mut due = self
            .package_ids(
                "SELECT package_id FROM packages
                 WHERE schedule_next_at <= $1 AND is_deleting = 0 AND source_site = $2
                 ORDER BY schedule_next_at LIMIT $3",
                bind![now, site, limit],
            )
            .await?;
        if due.is_empty() {
            due = self
                .package_ids(
                    "SELECT package_id FROM packages
                     WHERE schedule_seen_at > $1 AND schedule_next_at IS NOT NULL AND is_deleting = 0
                       AND source_site = $2
                     ORDER BY schedule_seen_at DESC LIMIT $3",
                    bind![now.after(PUT_BACK_MAX), site, limit],
                )
                .await?;
        }
        Ok(due)
    }

    /// How many packages of `site` wait for a run of their schedule, and when the next one is due.
    pub async fn schedule_queue(
        &mut self,
        site: SiteCode,
    ) -> Result<(u64, Option<Timestamp>), DatabaseError> {
        let row = self
            .row(
                "SELECT COUNT(*) AS waiting, MIN(schedule_next_at) AS next_due FROM packages
                 WHERE schedule_next_at IS NOT NULL AND is_deleting = 0 AND source_site = $1",
                bind![site],
            )
            .await?;
        row.map_or(Ok((0, None)), |row| Ok((row.u64("waiting")?, row.time_or_none("next_due")?)))
    }

    /// Asks for a refresh of the package when its schedule is due at `now`, as the site's own wish.
    ///
    /// All runs up to `now` are one request. What was missed is raised as a message and is the
    /// reason the request shows.
    pub async fn run_schedule(
        &mut self,
        id: PackageId,
        site: SiteCode,
        now: Timestamp,
        zone: &Zone,
    ) -> Result<ScheduleRun, DatabaseError> {
        let (Some(package), Some(refresh), Some(plan)) =
            (self.package(id).await?, self.refresh(id).await?, self.schedule(id).await?)
        else {
            return Ok(ScheduleRun::Nothing);
        };
        let (Some(seen_at), Some(next_at)) = (plan.seen_at, plan.next_at) else {
            return Ok(ScheduleRun::Nothing);
        };
        let is_due = next_at <= now;
        let was_put_back = seen_at > now.after(PUT_BACK_MAX);
        if package.is_deleting || package.source_site != site || !(is_due || was_put_back) {
            return Ok(ScheduleRun::Nothing);
        }
        self.put_schedule_times(id, Some(now), next_of(&plan.tokens, now, zone)).await?;
        if !is_due || !package.has_source() {
            return Ok(ScheduleRun::Reckoned);
        }
        let missed = missed(&plan.tokens, next_at, now, zone);
        let (message, why) = match &missed {
            None => (
                message::schedule_ran(id, &package.name, next_at),
                Why::new("SCHEDULE_DUE", format!("asked by the schedule for {next_at}")),
            ),
            Some(missed) => {
                let text = format!("catches up with the schedule: {missed}");
                (message::schedule_missed(id, &package.name, missed), Why::new("SCHEDULE_MISSED", text))
            }
        };
        self.request_refresh(&package, refresh, site, now, Some(why)).await?;
        self.raise(&message, now).await?;
        Ok(missed.map_or(ScheduleRun::Asked, ScheduleRun::CaughtUp))
    }

    /// Reckons the next runs anew from the moments looked at last: the zone or its rules may have
    /// changed while the site was stopped. Returns how many changed.
    pub async fn reckon_schedules(&mut self, zone: &Zone) -> Result<u64, DatabaseError> {
        let rows = self.rows(select!("WHERE schedule_seen_at IS NOT NULL"), bind![]).await?;
        let mut changed = 0;
        for row in rows {
            let plan = schedule(&row)?;
            let next_at = plan.seen_at.and_then(|seen_at| next_of(&plan.tokens, seen_at, zone));
            if next_at != plan.next_at {
                self.put_schedule_times(row.parse("package_id")?, plan.seen_at, next_at).await?;
                changed += 1;
            }
        }
        Ok(changed)
    }

    /// Keeps a schedule that another site set; its next run is reckoned by the schedule loop.
    ///
    /// Errors: the inner one is that the text is no schedule.
    pub(crate) async fn take_schedule(
        &mut self,
        id: PackageId,
        text: &str,
        now: Timestamp,
    ) -> Result<Result<(), Why>, DatabaseError> {
        if let Err(error) = schedule::decode(text) {
            return Ok(Err(Why::new(
                "OBJECT_FORM",
                format!("the schedule of package {id} is none: {error}"),
            )));
        }
        let changed = self
            .execute(
                "UPDATE packages SET refresh_schedule = $2 WHERE package_id = $1 AND refresh_schedule <> $2",
                bind![id, text],
            )
            .await?;
        if changed == 1 {
            self.reckon_schedule(id, now).await?;
        }
        Ok(Ok(()))
    }

    /// Lets the schedule loop reckon the next run from the present on, and run nothing that was due
    /// before: the zone is known there. To the loop it looks like a clock that was put back.
    pub(crate) async fn reckon_schedule(
        &mut self,
        id: PackageId,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let Some(plan) = self.schedule(id).await? else { return Ok(()) };
        let ahead = now.after(PUT_BACK_MAX * 2);
        let ahead = (!plan.tokens.is_empty()).then_some(ahead);
        self.put_schedule_times(id, ahead, ahead).await?;
        self.wake(Wake::Schedule);
        Ok(())
    }

    async fn put_schedule_times(
        &mut self,
        package: PackageId,
        seen_at: Option<Timestamp>,
        next_at: Option<Timestamp>,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE packages SET schedule_seen_at = $2, schedule_next_at = $3 WHERE package_id = $1",
            bind![package, seen_at, next_at],
        )
        .await
        .map(|_| ())
    }

    async fn package_ids(
        &mut self,
        sql: &'static str,
        values: Vec<crate::tx::Value>,
    ) -> Result<Vec<PackageId>, DatabaseError> {
        self.rows(sql, values).await?.iter().map(|row| row.parse("package_id")).collect()
    }
}

/// The runs from `first` to `now` that did not start in time; `None` when the only one did.
fn missed(tokens: &[ScheduleToken], first: Timestamp, now: Timestamp, zone: &Zone) -> Option<MissedRuns> {
    let (mut last, mut count) = (first, 1);
    let mut is_all = true;
    while let Some(next) = next_of(tokens, last, zone).filter(|next| *next <= now) {
        if count == MISSED_COUNTED_MAX {
            is_all = false;
            break;
        }
        (last, count) = (next, count + 1);
    }
    // The last one is in time when it has only just become due.
    if is_all && now.since(last) <= LATE_AFTER {
        count -= 1;
    }
    (count > 0).then_some(MissedRuns { first, count, is_all })
}
