//! Targets: the rows behind [`state`], and how an event is carried out on them.
//!
//! A target whose distribution point belongs to another site is shown as that site tells: events
//! start nothing there, and people's wishes travel (`elsewhere`).

mod counted;
mod elsewhere;
mod notes;
mod stops;

pub use self::stops::Stop;

use restock_names::{DistributionPointName, Epoch, PackageId, SiteCode, SourceVersion, Timestamp};

use crate::message::{self, nal};
use crate::package::Package;
use crate::refresh::Refresh;
use crate::replica::Kind;
use crate::state::{self, Damage, Effect, Event, JobKind, OpenJob, Refusal, TargetState, step};
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx, Wake, Why};

/// One package on one distribution point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The package.
    pub package: PackageId,
    /// The distribution point.
    pub point: DistributionPointName,
    /// Its state and all that [`step`] decides on.
    pub facts: state::Target,
    /// Why it is not installed, where more is known than the state says.
    pub why: Option<Why>,
    /// When the state was last asked to change.
    pub asked_at: Timestamp,
    /// The last activation or redistribution.
    pub last_copied_at: Option<Timestamp>,
    /// Bytes the last ended job received.
    pub bytes_received: u64,
    /// The package's settings the distribution point has confirmed.
    pub settings: u64,
    /// The site of the distribution point, when it is another than this one.
    pub other_site: Option<SiteCode>,
    /// How often people asked for its redistribution from another site.
    pub redistributes: u64,
    /// How often people stopped it, or asked for its removal again, from another site.
    pub cancels: u64,
}

/// What an event about a package needs to know of it.
#[derive(Debug, Clone)]
pub struct Context {
    /// The package.
    pub package: PackageId,
    /// The site that raises messages.
    pub site: SiteCode,
    /// The stored version and the requests that wait.
    pub facts: state::Package,
    /// The epoch of the stored version.
    pub epoch: Epoch,
    /// The newest version that is known, stored here or not.
    pub source: SourceVersion,
    /// The site that owns the package.
    pub owner: SiteCode,
    /// Whether the package is being deleted.
    pub is_deleting: bool,
    /// When it happens.
    pub now: Timestamp,
}

impl Context {
    /// The context of `package` with its requests, at `now`.
    pub fn new(package: &Package, refresh: &Refresh, site: SiteCode, now: Timestamp) -> Self {
        let current = package.stored_version;
        // The number of the version that is being made for the first time is shown already.
        let is_first = package.source_site == site && current.0 == 0;
        let announced = if is_first { current } else { current.max(package.source_version) };
        Self {
            package: package.id,
            site,
            facts: state::Package { current, announced, pending: refresh.pending() },
            epoch: package.epoch,
            source: package.source_version,
            owner: package.source_site,
            is_deleting: package.is_deleting,
            now,
        }
    }
}

/// What [`Tx::apply`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The state before.
    pub before: TargetState,
    /// The state after; `None` when the target is gone.
    pub after: Option<TargetState>,
    /// The job that was given, if any.
    pub started: Option<OpenJob>,
    /// Whether a running job was told to stop.
    pub is_stopped: bool,
    /// Whether the site of the distribution point is told of a wish.
    pub is_wished: bool,
}

impl Applied {
    /// True when anything about the target changed.
    pub fn is_change(&self) -> bool {
        self.after != Some(self.before) || self.started.is_some() || self.is_stopped || self.is_wished
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT package_id, point, state, wanted_version, serving_version, job, job_kind, is_redistributing,
                has_given_up, skip_until, attempts, next_attempt, cause, damage, why, asked_at, last_copied_at,
                bytes_received, settings, redistributes, cancels,
                (SELECT d.site_code FROM distribution_points d WHERE d.name = targets.point AND d.site_code NOT IN
                    ('', COALESCE((SELECT s.site_code FROM site s), ''))) AS other_site
             FROM targets ",
            $rest
        )
    };
}

fn target(row: &Row) -> Result<Target, DatabaseError> {
    let job = match row.text_or_none("job_kind")? {
        Some(_) => Some(OpenJob { id: row.u64("job")?, kind: row.parse("job_kind")? }),
        None => None,
    };
    let facts = state::Target {
        state: row.parse("state")?,
        wanted: row.version("wanted_version")?,
        serving: row.version("serving_version")?,
        job,
        is_redistributing: row.bool("is_redistributing")?,
        has_given_up: row.bool("has_given_up")?,
        skip_until: row.u64("skip_until")?,
        attempts: row.u32("attempts")?,
        next_attempt: row.time_or_none("next_attempt")?,
        cause: row.u32_or_none("cause")?,
        damage: row.u32_or_none("damage")?.and_then(Damage::of_message),
    };
    Ok(Target {
        package: row.parse("package_id")?,
        point: row.parse("point")?,
        facts,
        why: row.why("why")?,
        asked_at: row.time("asked_at")?,
        last_copied_at: row.time_or_none("last_copied_at")?,
        bytes_received: row.u64("bytes_received")?,
        settings: row.u64("settings")?,
        other_site: row.text_or_none("other_site")?.map(|_| row.parse("other_site")).transpose()?,
        redistributes: row.u64("redistributes")?,
        cancels: row.u64("cancels")?,
    })
}

impl Target {
    /// A target that was just asked for.
    pub fn new(package: PackageId, point: DistributionPointName, now: Timestamp) -> Self {
        Self {
            package,
            point,
            facts: state::Target::new(),
            why: None,
            asked_at: now,
            last_copied_at: None,
            bytes_received: 0,
            settings: 0,
            other_site: None,
            redistributes: 0,
            cancels: 0,
        }
    }
}

impl Tx {
    /// One target.
    pub async fn target(
        &mut self,
        package: PackageId,
        point: &DistributionPointName,
    ) -> Result<Option<Target>, DatabaseError> {
        let row = self.row(select!("WHERE package_id = $1 AND point = $2"), bind![package, point]).await?;
        row.as_ref().map(target).transpose()
    }

    /// The targets of a package by distribution point.
    pub async fn targets_of_package(&mut self, package: PackageId) -> Result<Vec<Target>, DatabaseError> {
        let rows = self.rows(select!("WHERE package_id = $1 ORDER BY point"), bind![package]).await?;
        rows.iter().map(target).collect()
    }

    /// Lets `event` happen to every target of the package that is not being removed; returns to how
    /// many it did.
    pub async fn tell_targets(
        &mut self,
        context: &Context,
        event: Event,
        why: Option<Why>,
    ) -> Result<u32, DatabaseError> {
        let mut told = 0;
        for mut target in self.targets_of_package(context.package).await? {
            if target.facts.state.is_removal() && event != Event::RemoveAsked {
                continue;
            }
            // Only a person's wish can be refused, and none is sent here.
            if self.apply(&mut target, context, event, why.clone()).await?.is_ok() {
                told += 1;
            }
        }
        Ok(told)
    }

    /// The targets of a distribution point by package.
    pub async fn targets_of_point(
        &mut self,
        point: &DistributionPointName,
    ) -> Result<Vec<Target>, DatabaseError> {
        let rows = self.rows(select!("WHERE point = $1 ORDER BY package_id"), bind![point]).await?;
        rows.iter().map(target).collect()
    }

    /// All targets by package and distribution point.
    pub async fn targets(&mut self) -> Result<Vec<Target>, DatabaseError> {
        self.rows(select!("ORDER BY package_id, point"), bind![]).await?.iter().map(target).collect()
    }

    /// Targets whose next attempt is due at `now`, at most `limit`.
    pub async fn targets_due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<Target>, DatabaseError> {
        let rows = self
            .rows(
                select!(
                    "WHERE next_attempt IS NOT NULL AND next_attempt <= $1 ORDER BY next_attempt LIMIT $2"
                ),
                bind![now, limit],
            )
            .await?;
        rows.iter().map(target).collect()
    }

    /// Targets whose distribution point has something to be told: an open job, or settings it has
    /// not confirmed while it serves the stored version.
    pub async fn targets_to_tell(&mut self) -> Result<Vec<Target>, DatabaseError> {
        let rows = self
            .rows(
                select!(
                    "WHERE job_kind IS NOT NULL OR EXISTS (SELECT 1 FROM packages p
                         WHERE p.package_id = targets.package_id AND p.settings > targets.settings
                           AND p.stored_version = targets.serving_version AND p.stored_version > 0)
                     ORDER BY point, package_id"
                ),
                bind![],
            )
            .await?;
        rows.iter().map(target).collect()
    }

    /// Open jobs, and when the next attempt of a failed one is due.
    pub async fn target_queue(&mut self) -> Result<(u64, Option<Timestamp>), DatabaseError> {
        let row = self
            .row("SELECT COUNT(job_kind) AS jobs, MIN(next_attempt) AS next_due FROM targets", bind![])
            .await?;
        row.map_or(Ok((0, None)), |row| Ok((row.u64("jobs")?, row.time_or_none("next_due")?)))
    }

    /// Keeps a target, new or changed.
    pub async fn put_target(&mut self, t: &Target) -> Result<(), DatabaseError> {
        let job = t.facts.job;
        self.count_installed(t, t.facts.state == TargetState::Installed).await?;
        self.execute(
            "INSERT INTO targets (package_id, point, state, wanted_version, serving_version, job, job_kind,
                 is_redistributing, has_given_up, skip_until, attempts, next_attempt, cause, damage, why,
                 asked_at, last_copied_at, bytes_received, settings, redistributes, cancels, number)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                 COALESCE((SELECT number FROM targets WHERE package_id = $1 AND point = $2),
                     (SELECT MAX(number) + 1 FROM targets), 1))
             ON CONFLICT (package_id, point) DO UPDATE SET state = EXCLUDED.state,
                 wanted_version = EXCLUDED.wanted_version, serving_version = EXCLUDED.serving_version,
                 job = EXCLUDED.job, job_kind = EXCLUDED.job_kind,
                 is_redistributing = EXCLUDED.is_redistributing, has_given_up = EXCLUDED.has_given_up,
                 skip_until = EXCLUDED.skip_until, attempts = EXCLUDED.attempts,
                 next_attempt = EXCLUDED.next_attempt, cause = EXCLUDED.cause,
                 damage = EXCLUDED.damage, why = EXCLUDED.why,
                 asked_at = EXCLUDED.asked_at, last_copied_at = EXCLUDED.last_copied_at,
                 bytes_received = EXCLUDED.bytes_received, settings = EXCLUDED.settings,
                 redistributes = EXCLUDED.redistributes, cancels = EXCLUDED.cancels",
            bind![
                t.package,
                &t.point,
                t.facts.state.as_str(),
                t.facts.wanted,
                t.facts.serving,
                job.map_or(0, |job| job.id),
                job.map(|job| job.kind.as_str().to_owned()),
                t.facts.is_redistributing,
                t.facts.has_given_up,
                t.facts.skip_until,
                t.facts.attempts,
                t.facts.next_attempt,
                t.facts.cause,
                t.facts.damage.map(Damage::message),
                t.why.as_ref(),
                t.asked_at,
                t.last_copied_at,
                t.bytes_received,
                // Settings are told by the site of the distribution point.
                if t.other_site.is_some() { u64::MAX } else { t.settings },
                t.redistributes,
                t.cancels
            ],
        )
        .await?;
        if t.other_site.is_none() {
            self.touch(Kind::State, key(t));
        }
        Ok(())
    }

    async fn delete_target(&mut self, t: &Target) -> Result<(), DatabaseError> {
        self.count_installed(t, false).await?;
        self.execute("DELETE FROM targets WHERE package_id = $1 AND point = $2", bind![t.package, &t.point])
            .await?;
        if t.other_site.is_none() {
            self.touch(Kind::State, key(t));
        }
        Ok(())
    }

    /// Lets `event` happen to `target`: the one way its state changes.
    ///
    /// Keeps the row, gives or stops jobs, raises the messages that belong to the change and wakes
    /// the distribute loop. `why` explains the state that follows; `None` derives one. At a distribution
    /// point of another site nothing is started: a wish is noted, which that site is told.
    /// Errors: the outer one is the database's, the inner one a refusal that changed nothing.
    pub async fn apply(
        &mut self,
        target: &mut Target,
        context: &Context,
        event: Event,
        why: Option<Why>,
    ) -> Result<Result<Applied, Refusal>, DatabaseError> {
        if event == Event::Added {
            target.other_site = self.other_site_of(&target.point).await?;
            // What nobody here needed until this moment may have been announced already.
            self.wake(Wake::Fetch);
            // The version in the making can be followed.
            self.wake(Wake::Distribute);
        }
        if let Some(site) = target.other_site {
            return self.foresee(target, site, context, event, why).await;
        }
        let (before, kept) = (target.facts.state, target.clone());
        let (facts, effects) = match step(&target.facts, &context.facts, event) {
            Ok(step) => step,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut applied =
            Applied { before, after: Some(facts.state), started: None, is_stopped: false, is_wished: false };
        target.facts = facts;
        for effect in effects {
            match effect {
                Effect::Stop(job) => {
                    self.insert_stop(target, job.id, context).await?;
                    applied.is_stopped = true;
                    self.wake(Wake::Distribute);
                }
                Effect::Start(kind) => {
                    applied.started = Some(self.start_job(target, kind, context).await?);
                }
                Effect::Forget => {
                    self.delete_target(target).await?;
                    applied.after = None;
                    self.wake(Wake::Refresh);
                    return Ok(Ok(applied));
                }
            }
        }
        target.why = why.or_else(|| derived_why(target, context));
        if target.facts.state == TargetState::Installed {
            target.why = None;
        }
        if applied.is_change() {
            target.asked_at = context.now;
        }
        // Events of the whole package leave most rows as they are; others may come with columns that
        // the caller changed.
        let is_of_package = matches!(event, Event::RefreshAsked | Event::RefreshEnded);
        if !(is_of_package && *target == kept) {
            self.put_target(target).await?;
        }
        if matches!(event, Event::Added | Event::RemoveAsked) {
            self.touch(Kind::Target, key(target));
        }
        if before != target.facts.state {
            self.raise_change(target, before, context).await?;
        }
        Ok(Ok(applied))
    }

    async fn start_job(
        &mut self,
        target: &mut Target,
        kind: JobKind,
        context: &Context,
    ) -> Result<OpenJob, DatabaseError> {
        let job = OpenJob { id: self.next_number("job").await?, kind };
        target.facts.job = Some(job);
        self.wake(Wake::Distribute);
        if kind != JobKind::Remove {
            let nal = nal(context.site, &target.point);
            self.raise(&message::distributing(context.package, &nal), context.now).await?;
            self.raise(&message::job_handed_over(context.package, &nal), context.now).await?;
        }
        Ok(job)
    }

    async fn raise_change(
        &mut self,
        target: &Target,
        before: TargetState,
        context: &Context,
    ) -> Result<(), DatabaseError> {
        let nal = nal(context.site, &target.point);
        let (package, point, version) = (context.package, target.point.as_str(), target.facts.wanted);
        let unknown = Why::new("UNKNOWN", "no reason was reported");
        let why = target.why.as_ref().unwrap_or(&unknown);
        let has_healed = before == TargetState::Damaged;
        let message = match target.facts.state {
            TargetState::Damaged => {
                let damage = target.facts.damage.unwrap_or(Damage::Wrong);
                message::damaged(damage.message(), package, &nal, why)
            }
            TargetState::Installed if has_healed => message::healed(package, &nal),
            TargetState::Receiving => message::sending(package, version, point, &nal),
            TargetState::Complete => message::sent(package, version, point, &nal),
            TargetState::Retrying if why.rule == "NO_SPACE" => {
                message::point_waits_for_space(package, &nal, why)
            }
            TargetState::Retrying | TargetState::RemovalRetrying => {
                message::attempt_failed(package, &nal, why)
            }
            TargetState::Failed | TargetState::RemovalFailed => {
                message::gave_up(package, version, point, &nal, why)
            }
            _ => return Ok(()),
        };
        self.raise(&message, context.now).await.map(|_| ())
    }

    /// A job id that belongs to no target: to remove what should not be there.
    pub async fn next_job(&mut self) -> Result<u64, DatabaseError> {
        self.next_number("job").await
    }
}

/// The key of the objects about a target.
pub(crate) fn key(target: &Target) -> String {
    format!("{}/{}", target.package, target.point)
}

fn derived_why(target: &Target, context: &Context) -> Option<Why> {
    match target.facts.state {
        // A failure that a refresh has covered shows again if the refresh ends without a version.
        TargetState::Waiting if target.facts.has_given_up => target.why.clone(),
        TargetState::Waiting
            if target.facts.job.is_none() && context.facts.announced > context.facts.current =>
        {
            let (source, owner) = (context.source, context.owner);
            Some(Why::new("WAITING_FOR_CONTENT", format!("waits for version {source} of site {owner}")))
        }
        TargetState::Waiting if context.facts.current.0 == 0 && context.facts.pending == 0 => Some(
            Why::new("WAITING_FOR_CONTENT", "the package has no version yet, and no refresh of it is asked")
                .with_fix(format!("restock refresh {}", context.package)),
        ),
        TargetState::Waiting if target.facts.job.is_none() && context.facts.current.0 == 0 => {
            Some(Why::new("WAITING_FOR_CONTENT", "waits for the package's first snapshot"))
        }
        TargetState::Waiting if target.facts.job.is_none() => {
            Some(Why::new("WAITING_FOR_SNAPSHOT", "waits for the snapshot of the refresh that was asked"))
        }
        TargetState::Waiting | TargetState::RemovalAsked => {
            Some(Why::new("WAITING_FOR_POINT", format!("waits for {} to take the job", target.point)))
        }
        // The last reason is still the reason.
        TargetState::Failed
        | TargetState::Retrying
        | TargetState::RemovalRetrying
        | TargetState::RemovalFailed => target.why.clone(),
        // A refresh that ended without a version may have put its own reason in between.
        TargetState::Damaged => Some(match &target.why {
            Some(why) if !why.rule.starts_with("WAITING_") => why.clone(),
            _ => Why::new("CONTENT_DAMAGED", "stored content is damaged and is being fetched again"),
        }),
        _ => None,
    }
}
