//! Targets whose distribution point belongs to another site, and wishes of other sites about those of
//! this one.
//!
//! The row of such a target is what [`mirrored`] makes of the wish, of what its site told last (the
//! object of kind `state`) and of what this site knows of the package. It never has a job, a next
//! attempt or a message of its own.

use restock_names::{DistributionPointName, PackageId, SiteCode, Timestamp};

use super::{Applied, Context, Target, key};
use crate::admin::TYPE_POINT;
use crate::refresh::OwnerRequest;
use crate::replica::Kind;
use crate::replica::kinds::state::{Report, report};
use crate::state::{self, Event, Refusal, TargetState, Wish, mirrored, step};
use crate::tx::bind;
use crate::{DatabaseError, Tx, Wake, Why};

impl Context {
    /// The facts about the package that count at other sites: they may have what is only announced.
    fn elsewhere(&self) -> state::Package {
        state::Package { current: self.source, announced: self.source, pending: self.facts.pending }
    }
}

impl Target {
    fn wish(&self) -> Wish {
        let is_wanted = !self.facts.state.is_removal();
        Wish { is_wanted, redistributes: self.redistributes, cancels: self.cancels }
    }
}

/// Why a target waits of which its site has told nothing else.
fn site_tells(site: SiteCode) -> Why {
    Why::new("SITE_TELLS", format!("waits for site {site}"))
}

/// Why a target ended that a person of another site stopped.
pub(crate) fn cancelled(package: PackageId, point: &DistributionPointName) -> Why {
    Why::new("CANCELLED", "the distribution was cancelled by a person")
        .with_fix(format!("restock redistribute {package} --to {point}, or the next refresh"))
}

impl Tx {
    /// The site of a distribution point, when it is known to be another than this one.
    pub(crate) async fn other_site_of(
        &mut self,
        point: &DistributionPointName,
    ) -> Result<Option<SiteCode>, DatabaseError> {
        let row = self
            .row(
                "SELECT site_code FROM distribution_points WHERE name = $1
                     AND site_code NOT IN ('', COALESCE((SELECT s.site_code FROM site s), ''))",
                bind![point],
            )
            .await?;
        row.map(|row| row.parse("site_code")).transpose()
    }

    /// [`Tx::apply`] for a target of the site `site`.
    pub(super) async fn foresee(
        &mut self,
        target: &mut Target,
        site: SiteCode,
        context: &Context,
        event: Event,
        why: Option<Why>,
    ) -> Result<Result<Applied, Refusal>, DatabaseError> {
        match event {
            Event::Added | Event::RemoveAsked | Event::RedistributeAsked | Event::CancelAsked => {
                self.wish(target, site, context, event, why).await
            }
            Event::RefreshAsked | Event::RefreshEnded | Event::Published { .. } => {
                let before = target.facts.state;
                if event == Event::RefreshAsked && !self.is_cancelled_there(target).await? {
                    // What is told of it need not be read: only the installed state can be lost.
                    let (facts, _nothing) = match step(&target.facts, &context.elsewhere(), event) {
                        Ok(step) => step,
                        Err(refusal) => return Ok(Err(refusal)),
                    };
                    if facts != target.facts {
                        target.facts = facts;
                        target.why = Some(site_tells(site));
                        target.asked_at = context.now;
                        self.put_target(target).await?;
                    }
                } else {
                    let told = self.told_of(target).await?;
                    let wish = target.wish();
                    self.mirror(target, wish, told.as_ref(), context).await?;
                }
                Ok(Ok(done(before, Some(target.facts.state), false)))
            }
            // What a distribution point does is told by its site.
            Event::RetryDue
            | Event::Reported { .. }
            | Event::Holds(_)
            | Event::DamageFound(..)
            | Event::Healed(_) => Ok(Ok(done(target.facts.state, Some(target.facts.state), false))),
        }
    }

    /// Notes what a person wants, for its site to carry out, and shows at once what will become of it.
    async fn wish(
        &mut self,
        target: &mut Target,
        site: SiteCode,
        context: &Context,
        event: Event,
        why: Option<Why>,
    ) -> Result<Result<Applied, Refusal>, DatabaseError> {
        let before = target.facts.state;
        let (mut facts, _nothing) = match step(&target.facts, &context.elsewhere(), event) {
            Ok(step) => step,
            Err(refusal) => return Ok(Err(refusal)),
        };
        (facts.job, facts.next_attempt) = (None, None);
        let is_new = event == Event::Added && self.target(target.package, &target.point).await?.is_none();
        let told = self.told_of(target).await?;
        if event == Event::RemoveAsked && told.is_none() {
            // Its site has not even begun: should it have meanwhile, it tells.
            self.forget_target(target).await?;
            return Ok(Ok(done(before, None, true)));
        }
        let is_wished = match event {
            Event::RedistributeAsked => {
                target.redistributes += 1;
                true
            }
            Event::CancelAsked if facts.state != before => {
                target.cancels += 1;
                true
            }
            // Removal was tried and failed there.
            Event::RemoveAsked if before.is_removal() && before != TargetState::RemovalAsked => {
                target.cancels += 1;
                true
            }
            _ => facts.state.is_removal() != before.is_removal(),
        };
        if !is_wished && !is_new {
            return Ok(Ok(done(before, Some(before), false)));
        }
        target.facts = facts;
        target.why = why.or_else(|| Some(site_tells(site)));
        target.asked_at = context.now;
        self.put_target(target).await?;
        self.touch(Kind::Target, key(target));
        Ok(Ok(done(before, Some(target.facts.state), is_wished)))
    }

    /// Makes the row of a target of another site what follows from `wish` and from what that site
    /// told; returns false when there is nothing to show, and no row.
    pub(crate) async fn mirror(
        &mut self,
        target: &mut Target,
        wish: Wish,
        told: Option<&Report>,
        context: &Context,
    ) -> Result<bool, DatabaseError> {
        let kept = target.clone();
        // Who deletes a package wants it nowhere, and says no more than that.
        let wish = Wish { is_wanted: wish.is_wanted && !context.is_deleting, ..wish };
        let mut skip_until = target.facts.skip_until;
        if let Some(skips) = told.and_then(|told| told.skips)
            && self.is_every_request_covered(context.package, skips).await?
        {
            skip_until = skip_until.max(context.facts.pending);
        }
        let facts = mirrored(skip_until, wish, told.map(|told| &told.facts), &context.elsewhere());
        let Some(facts) = facts else {
            self.forget_target(target).await?;
            return Ok(false);
        };
        let is_as_told = told.is_some_and(|told| told.facts.state == facts.state);
        target.why = match (told, target.other_site) {
            (Some(told), _) if is_as_told => told.why.clone(),
            (_, Some(_)) if facts.state == kept.facts.state && kept.why.is_some() => kept.why.clone(),
            (_, Some(site)) => Some(site_tells(site)),
            (_, None) => None,
        };
        if let Some(told) = told {
            target.asked_at = if is_as_told { told.asked_at } else { kept.asked_at };
            (target.last_copied_at, target.bytes_received) = (told.last_copied_at, told.bytes_received);
        }
        (target.redistributes, target.cancels) = (wish.redistributes, wish.cancels);
        target.facts = facts;
        if *target != kept || self.target(target.package, &target.point).await?.is_none() {
            self.put_target(target).await?;
        }
        Ok(true)
    }

    /// Did its site say that what is asked for was cancelled there?
    async fn is_cancelled_there(&mut self, target: &Target) -> Result<bool, DatabaseError> {
        if target.facts.state != TargetState::Failed {
            return Ok(false);
        }
        match self.told_of(target).await?.and_then(|told| told.skips) {
            Some(skips) => self.is_every_request_covered(target.package, skips).await,
            None => Ok(false),
        }
    }

    /// The requests of the owner that were cancelled for a target of this site, while they wait.
    pub(crate) async fn cancelled_requests(
        &mut self,
        target: &Target,
    ) -> Result<Option<OwnerRequest>, DatabaseError> {
        if target.facts.state != TargetState::Failed {
            return Ok(None);
        }
        let pending = self.refresh(target.package).await?.map_or(0, |refresh| refresh.pending());
        if pending == 0 || target.facts.skip_until < pending {
            return Ok(None);
        }
        self.request_of_owner(target.package).await
    }

    /// The owner of a package has said more of its requests: what was cancelled of them here is told anew.
    pub(crate) async fn tell_of_cancelled(&mut self, package: PackageId) -> Result<(), DatabaseError> {
        for target in self.targets_of_package(package).await? {
            let is_own = target.other_site.is_none();
            if is_own && target.facts.state == TargetState::Failed && target.facts.skip_until > 0 {
                self.touch(Kind::State, key(&target));
            }
        }
        Ok(())
    }

    async fn forget_target(&mut self, target: &Target) -> Result<(), DatabaseError> {
        self.delete_target(target).await?;
        self.touch(Kind::Target, key(target));
        // A package that is being deleted may have had its last target here.
        self.wake(Wake::Refresh);
        Ok(())
    }

    /// What the site of a target told last.
    pub(crate) async fn told_of(&mut self, target: &Target) -> Result<Option<Report>, DatabaseError> {
        let stored = self.replica(Kind::State, &key(target)).await?;
        // What was once taken was valid.
        Ok(stored
            .filter(|stored| stored.object.body.is_some())
            .and_then(|stored| report(&stored.object).ok()))
    }

    /// Tells the targets of a package of a version that another site published: those of this site
    /// wait for its content, others are as their sites told.
    pub(crate) async fn tell_of_version(&mut self, context: &Context) -> Result<(), DatabaseError> {
        for mut target in self.targets_of_package(context.package).await? {
            if target.facts.state.is_removal() {
                continue;
            }
            let covers = context.facts.pending;
            let is_behind = context.facts.announced > context.facts.current;
            let event = match target.other_site {
                Some(_) => Event::Published { covers },
                None if is_behind => Event::RefreshAsked,
                None => continue,
            };
            // No person's wish, so nothing is refused.
            let _refused = self.apply(&mut target, context, event, None).await?;
        }
        Ok(())
    }

    /// Carries out what people of other sites want of a target of this one.
    pub(crate) async fn carry_out(
        &mut self,
        package: PackageId,
        point: &DistributionPointName,
        wish: Wish,
        context: &Context,
    ) -> Result<(), DatabaseError> {
        let known = self.target(package, point).await?;
        let is_new = known.is_none();
        if is_new && !wish.is_wanted {
            // Whoever shows a row of it learns that there is nothing.
            self.touch(Kind::State, format!("{package}/{point}"));
            return Ok(());
        }
        let mut target = known.unwrap_or_else(|| Target::new(package, point.clone(), context.now));
        let before = target.wish();
        (target.redistributes, target.cancels) = (wish.redistributes, wish.cancels);
        let has_asked_again = wish.cancels > before.cancels;
        let mut events = Vec::new();
        if wish.is_wanted {
            if is_new || !before.is_wanted {
                events.push((Event::Added, None));
            } else if wish.redistributes > before.redistributes {
                events.push((Event::RedistributeAsked, None));
            }
            if has_asked_again {
                events.push((Event::CancelAsked, Some(cancelled(package, point))));
            }
        } else if before.is_wanted || has_asked_again {
            events.push((Event::RemoveAsked, None));
        }
        if !is_new {
            // That the wish was acted on is told, whatever comes of it.
            self.put_target(&target).await?;
        }
        for (event, why) in events {
            // A wish that has been overtaken changes nothing.
            let _refused = self.apply(&mut target, context, event, why).await?;
        }
        Ok(())
    }

    /// What an event about a package needs to know of it; `None` when there is no such package.
    pub(crate) async fn context(
        &mut self,
        package: PackageId,
        site: SiteCode,
        now: Timestamp,
    ) -> Result<Option<Context>, DatabaseError> {
        let (Some(package), Some(refresh)) = (self.package(package).await?, self.refresh(package).await?)
        else {
            return Ok(None);
        };
        Ok(Some(Context::new(&package, &refresh, site, now)))
    }

    /// Forgets what stands here about a site that has left: its distribution points with their targets,
    /// its copies, and what it told of them. Should it join again, it tells everything again.
    pub async fn forget_points_of(&mut self, site: SiteCode) -> Result<(), DatabaseError> {
        if site == self.own_code().await? {
            return Ok(());
        }
        let points: Vec<DistributionPointName> = self
            .rows("SELECT name FROM distribution_points WHERE site_code = $1 ORDER BY name", bind![site])
            .await?
            .iter()
            .map(|row| row.parse("name"))
            .collect::<Result<_, _>>()?;
        for point in points {
            for about in ["state", "target"] {
                self.execute(
                    "DELETE FROM replicas WHERE kind = $1 AND object_key IN
                         (SELECT t.package_id || '/' || t.point FROM targets t WHERE t.point = $2)",
                    bind![about, &point],
                )
                .await?;
            }
            self.execute(
                "DELETE FROM replicas WHERE kind = 'point' AND object_key IN ($1, $2)",
                bind![&point, format!("{point}/settings")],
            )
            .await?;
            self.forget_point(&point).await?;
        }
        self.execute("DELETE FROM copies WHERE site = $1", bind![site]).await?;
        self.execute("DELETE FROM replicas WHERE kind = 'copy' AND writer = $1", bind![site]).await?;
        self.execute("UPDATE site_links SET received = 0 WHERE peer = $1", bind![site]).await?;
        Ok(())
    }

    /// Removes a distribution point of another site with its targets.
    pub(crate) async fn forget_point(&mut self, point: &DistributionPointName) -> Result<(), DatabaseError> {
        self.execute("DELETE FROM targets WHERE point = $1", bind![point]).await?;
        self.execute("DELETE FROM installed_counts WHERE point = $1", bind![point]).await?;
        self.execute("DELETE FROM stops WHERE point = $1", bind![point]).await?;
        self.remove_from_scopes(TYPE_POINT, point.as_str()).await?;
        self.execute("DELETE FROM distribution_points WHERE name = $1", bind![point]).await?;
        // A package that is being deleted may have had its last target there.
        self.wake(Wake::Refresh);
        Ok(())
    }
}

fn done(before: TargetState, after: Option<TargetState>, is_wished: bool) -> Applied {
    Applied { before, after, started: None, is_stopped: false, is_wished }
}
