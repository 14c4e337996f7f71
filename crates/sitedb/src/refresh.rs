//! Refresh requests: which run covers which request, who runs it, when it is tried again.
//!
//! Only the site that owns a package runs its requests; `mirror` has what the others do.
//!
//! Requests are numbered per package. A run covers all requests there are when it starts, so those
//! that wait together are one run and one that comes during a run is another. The first snapshot
//! of a package created with a source is request 1 and a run of its own. [`Refresh`] decides;
//! the statements below keep it.

mod mirror;

use std::time::Duration;

use restock_names::{PackageId, SiteCode, Timestamp};

use crate::package::Package;
use crate::replica::Kind;
use crate::state::{Event, RetryPolicy};
use crate::target::Context;
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx, Wake, Why};

pub(crate) use mirror::{OwnerRequest, OwnerState};

/// The refresh requests of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The newest request; 0 when there never was one.
    pub requested: u64,
    /// The request that creation made: 1 with a source, else 0.
    pub creation: u64,
    /// The newest request covered by the run that started last.
    pub started: u64,
    /// Requests up to this one have ended, well or not.
    pub done: u64,
    /// The newest request that ended without a version because attempts failed.
    pub failed: u64,
    /// A request arrived after the last run started.
    pub is_asked_since_start: bool,
    /// Runs started; also the fencing number of the newest lease.
    pub runs: u64,
    /// Who runs it at present.
    pub lease: Option<Lease>,
    /// Failed attempts since the last new request.
    pub attempts: u32,
    /// No run starts before.
    pub next_attempt: Timestamp,
    /// When the oldest request that has not ended was made.
    pub requested_at: Timestamp,
    /// Why it waits or how it ended.
    pub why: Option<Why>,
}

/// The right of one process to run a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Numbers the run: only its holder may publish.
    pub run: u64,
    /// The site process.
    pub owner: String,
    /// Another process may take over from then on.
    pub until: Timestamp,
}

/// A refresh that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// Its number.
    pub request: u64,
    /// How many distribution points will bring its version.
    pub targeted: u32,
    /// It joins one that still waits: one run covers both.
    pub joined: bool,
}

/// Where the requests of a package stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing waits, nothing failed.
    Idle,
    /// Waits for a run.
    Waiting,
    /// A run reads the source.
    Running,
    /// An attempt failed; another follows.
    Retrying,
    /// The last request ended without a version.
    Failed,
}

impl Refresh {
    /// No request yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            requested: 0,
            creation: 0,
            started: 0,
            done: 0,
            failed: 0,
            is_asked_since_start: false,
            runs: 0,
            lease: None,
            attempts: 0,
            next_attempt: now,
            requested_at: now,
            why: None,
        }
    }

    /// The request a package makes when it is created with a source.
    pub fn of_creation(now: Timestamp) -> Self {
        let mut refresh = Self::new(now);
        refresh.request(now);
        refresh.creation = refresh.requested;
        refresh
    }

    /// True while a request has not ended.
    pub fn is_pending(&self) -> bool {
        self.requested > self.done
    }

    /// True while the first snapshot of a package created with a source has not ended.
    pub fn is_creating(&self) -> bool {
        self.creation > self.done
    }

    /// The newest request that has not ended, 0 for none.
    pub fn pending(&self) -> u64 {
        if self.is_pending() { self.requested } else { 0 }
    }

    /// `ActionInProgress` of a package that is not being deleted: 0 none, 1 update, 2 add.
    pub fn action_in_progress(&self) -> u32 {
        match (self.is_pending(), self.is_creating()) {
            (false, _) => 0,
            (true, true) if self.requested == self.creation => 2,
            (true, _) => 1,
        }
    }

    /// Where it stands at `now`.
    pub fn phase(&self) -> Phase {
        match &self.lease {
            Some(_) if self.is_pending() => Phase::Running,
            _ if !self.is_pending() && self.failed > 0 && self.failed == self.done => Phase::Failed,
            _ if !self.is_pending() => Phase::Idle,
            _ if self.attempts > 0 => Phase::Retrying,
            _ => Phase::Waiting,
        }
    }

    /// Adds a request, due at once; returns whether it joins one that still waits.
    pub fn request(&mut self, now: Timestamp) -> bool {
        let covered = if self.lease.is_some() { self.started } else { self.done };
        let joins = self.requested > covered.max(self.creation);
        if !self.is_pending() {
            self.requested_at = now;
        }
        self.requested += 1;
        self.is_asked_since_start = true;
        self.attempts = 0;
        self.next_attempt = now;
        self.why = self.lease.is_none().then(|| Why::new("WAITING_FOR_RUN", "waits for the refresh loop"));
        joins
    }

    /// Starts a run if one is due and nobody runs: returns its number.
    pub fn claim(&mut self, owner: &str, now: Timestamp, lease: Duration) -> Option<u64> {
        let is_free = self.lease.as_ref().is_none_or(|lease| lease.until <= now);
        if !self.is_pending() || !is_free || self.next_attempt > now {
            return None;
        }
        self.started = if self.is_creating() { self.creation } else { self.requested };
        self.is_asked_since_start = false;
        self.runs += 1;
        self.lease = Some(Lease { run: self.runs, owner: owner.to_owned(), until: now.after(lease) });
        self.why = None;
        Some(self.runs)
    }

    /// True while `run` may go on and publish.
    pub fn is_held_by(&self, run: u64) -> bool {
        self.is_pending() && self.lease.as_ref().is_some_and(|lease| lease.run == run)
    }

    /// Ends a run that published a version.
    pub fn published(&mut self, now: Timestamp) {
        self.done = self.started;
        self.lease = None;
        self.attempts = 0;
        self.next_attempt = now;
        self.requested_at = now;
        self.why = self.is_pending().then(|| Why::new("WAITING_FOR_RUN", "waits for the refresh loop"));
    }

    /// Ends a run that failed; returns true when it was the last attempt.
    pub fn attempt_failed(&mut self, now: Timestamp, why: Why, retry: RetryPolicy) -> bool {
        self.lease = None;
        if self.is_asked_since_start {
            // Who asked during the run is owed an attempt of its own, at once.
            self.attempts = 1;
            self.next_attempt = now;
            self.why = Some(why.with_until(Some(now)));
            return false;
        }
        self.attempts += 1;
        if self.attempts >= retry.count {
            self.done = self.requested;
            self.failed = self.requested;
            self.why = Some(why);
            return true;
        }
        self.next_attempt = now.after(retry.delay);
        self.why = Some(why.with_until(Some(self.next_attempt)));
        false
    }

    /// Ends all requests without a version; returns whether there was one.
    pub fn cancel(&mut self) -> bool {
        let was_pending = self.is_pending();
        self.done = self.requested;
        self.lease = None;
        self.attempts = 0;
        self.why = None;
        self.failed = 0;
        was_pending
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT package_id, requested_seq, creation_seq, started_seq, done_seq, failed_seq, asked_since_start,
                runs, lease_run, lease_owner, leased_until, attempts, next_attempt, requested_at, why
             FROM refreshes ",
            $rest
        )
    };
}

fn refresh(row: &Row) -> Result<(PackageId, Refresh), DatabaseError> {
    let lease = match (row.i64_or_none("lease_run")?, row.text_or_none("lease_owner")?) {
        (Some(_), Some(owner)) => {
            Some(Lease { run: row.u64("lease_run")?, owner, until: row.time("leased_until")? })
        }
        _ => None,
    };
    let refresh = Refresh {
        requested: row.u64("requested_seq")?,
        creation: row.u64("creation_seq")?,
        started: row.u64("started_seq")?,
        done: row.u64("done_seq")?,
        failed: row.u64("failed_seq")?,
        is_asked_since_start: row.bool("asked_since_start")?,
        runs: row.u64("runs")?,
        lease,
        attempts: row.u32("attempts")?,
        next_attempt: row.time("next_attempt")?,
        requested_at: row.time("requested_at")?,
        why: row.why("why")?,
    };
    Ok((row.parse("package_id")?, refresh))
}

impl Tx {
    /// Adds a refresh request: from the commit of this transaction on `ActionInProgress` is 1 and no
    /// targeted distribution point counts as installed.
    ///
    /// `why`: what is shown while it waits for a run, where more is known than that. Where another
    /// site owns the package it is told of the request, and what is shown is whom it waits for.
    pub async fn request_refresh(
        &mut self,
        package: &Package,
        mut refresh: Refresh,
        site: SiteCode,
        now: Timestamp,
        why: Option<Why>,
    ) -> Result<Requested, DatabaseError> {
        self.noted_now = Some(now);
        if package.source_site != site {
            return self.request_elsewhere(package, refresh, site, now).await;
        }
        let joined = refresh.request(now);
        if refresh.why.is_some() && why.is_some() {
            refresh.why = why;
        }
        self.update_refresh(package.id, &refresh).await?;
        let context = Context::new(package, &refresh, site, now);
        let targeted = self.tell_targets(&context, Event::RefreshAsked, None).await?;
        self.wake(Wake::Refresh);
        Ok(Requested { request: refresh.requested, targeted, joined })
    }

    /// Adds the row every package has.
    pub async fn insert_refresh(&mut self, id: PackageId, r: &Refresh) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO refreshes (package_id, requested_seq, creation_seq, started_seq, done_seq, failed_seq,
                 asked_since_start, runs, attempts, next_attempt, requested_at, why)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            bind![
                id,
                r.requested,
                r.creation,
                r.started,
                r.done,
                r.failed,
                r.is_asked_since_start,
                r.runs,
                r.attempts,
                r.next_attempt,
                r.requested_at,
                r.why.as_ref()
            ],
        )
        .await?;
        self.touch(Kind::Running, id.as_str());
        Ok(())
    }

    /// The requests of a package; those of an unknown package are none.
    pub async fn refresh(&mut self, id: PackageId) -> Result<Option<Refresh>, DatabaseError> {
        let row = self.row(select!("WHERE package_id = $1"), bind![id]).await?;
        row.as_ref().map(|row| refresh(row).map(|(_, refresh)| refresh)).transpose()
    }

    /// The requests of all packages.
    pub async fn refreshes(&mut self) -> Result<Vec<(PackageId, Refresh)>, DatabaseError> {
        self.rows(select!("ORDER BY package_id"), bind![]).await?.iter().map(refresh).collect()
    }

    /// Keeps the requests of a package.
    pub async fn update_refresh(&mut self, id: PackageId, r: &Refresh) -> Result<(), DatabaseError> {
        let lease = r.lease.as_ref();
        self.execute(
            "UPDATE refreshes SET requested_seq = $2, creation_seq = $3, started_seq = $4, done_seq = $5,
                 failed_seq = $6, asked_since_start = $7, runs = $8, lease_run = $9, lease_owner = $10,
                 leased_until = $11, attempts = $12, next_attempt = $13, requested_at = $14, why = $15
             WHERE package_id = $1",
            bind![
                id,
                r.requested,
                r.creation,
                r.started,
                r.done,
                r.failed,
                r.is_asked_since_start,
                r.runs,
                lease.map(|lease| lease.run),
                lease.map(|lease| lease.owner.clone()),
                lease.map(|lease| lease.until),
                r.attempts,
                r.next_attempt,
                r.requested_at,
                r.why.as_ref()
            ],
        )
        .await?;
        self.touch(Kind::Running, id.as_str());
        Ok(())
    }

    /// A package of this site whose requests wait for a run that may start at `now`: by priority, then oldest.
    pub async fn refresh_due(&mut self, now: Timestamp) -> Result<Option<PackageId>, DatabaseError> {
        let row = self
            .row(
                "SELECT r.package_id FROM refreshes r JOIN packages p ON p.package_id = r.package_id
                 WHERE r.requested_seq > r.done_seq AND r.next_attempt <= $1 AND p.is_deleting = 0
                   AND p.source_site = COALESCE((SELECT s.site_code FROM site s), p.source_site)
                   AND (r.lease_run IS NULL OR r.leased_until <= $1)
                 ORDER BY p.priority, r.requested_at, r.package_id LIMIT 1",
                bind![now],
            )
            .await?;
        row.map(|row| row.parse("package_id")).transpose()
    }

    /// How many packages of this site wait for a run or have one, and when the next becomes due after `now`.
    pub async fn refresh_queue(&mut self, now: Timestamp) -> Result<(u64, Option<Timestamp>), DatabaseError> {
        let row = self
            .row(
                "SELECT COUNT(*) AS waiting,
                    MIN(CASE WHEN r.next_attempt > $1 THEN r.next_attempt END) AS next_due
                 FROM refreshes r JOIN packages p ON p.package_id = r.package_id
                 WHERE r.requested_seq > r.done_seq
                   AND p.source_site = COALESCE((SELECT s.site_code FROM site s), p.source_site)",
                bind![now],
            )
            .await?;
        row.map_or(Ok((0, None)), |row| Ok((row.u64("waiting")?, row.time_or_none("next_due")?)))
    }

    /// The leases that `owner` holds.
    pub async fn leases_of(&mut self, owner: &str) -> Result<Vec<(PackageId, u64)>, DatabaseError> {
        self.rows(
            "SELECT package_id, lease_run FROM refreshes WHERE lease_owner = $1 AND requested_seq > done_seq",
            bind![owner],
        )
        .await?
        .iter()
        .map(|row| Ok((row.parse("package_id")?, row.u64("lease_run")?)))
        .collect()
    }

    /// Prolongs a lease; false when it was lost.
    pub async fn renew_lease(
        &mut self,
        id: PackageId,
        run: u64,
        until: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let changed = self
            .execute(
                "UPDATE refreshes SET leased_until = $3
                 WHERE package_id = $1 AND lease_run = $2 AND requested_seq > done_seq",
                bind![id, run, until],
            )
            .await?;
        Ok(changed == 1)
    }

    /// Gives up all leases of `owner`, whose process has just started: nothing of it runs.
    pub async fn release_leases(&mut self, owner: &str) -> Result<u64, DatabaseError> {
        self.execute(
            "UPDATE refreshes SET lease_run = NULL, lease_owner = NULL, leased_until = NULL
             WHERE lease_owner = $1",
            bind![owner],
        )
        .await
    }
}

#[cfg(test)]
mod tests;
