//! Requests of a package that another site owns: asked for here, run there, shown here.
//!
//! A site that does not own a package counts what is asked for there (`refreshes.asked`) and tells the
//! number. The owner makes a request of it (`forwarded`), and tells how its requests stand
//! ([`OwnerState`]), with the count it has dealt with for each site. [`Refresh::mirror`] decides what
//! the requests here look like then; they are pending while the owner's are, or while the owner has
//! not dealt with what was asked here.

use std::collections::BTreeMap;

use restock_names::{Epoch, PackageId, SiteCode, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Refresh, Requested};
use crate::package::Package;
use crate::replica::Kind;
use crate::state::Event;
use crate::target::Context;
use crate::tx::bind;
use crate::{DatabaseError, Tx, Wake, Why};

/// A site's count of what it asked for may lie this far above the known one.
const ASKED_JUMP_MAX: u64 = 1_000_000;

/// How the requests of a package stand at its owner: the body of a `running` object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerState {
    /// The epoch in which the owner took the package over.
    pub(crate) epoch: Epoch,
    /// A request has not ended.
    pub(crate) pending: bool,
    /// The newest that has not, as the owner counts in this epoch; 0 for none, and from an owner of an
    /// earlier release.
    #[serde(default)]
    pub(crate) request: u64,
    /// The first snapshot of a package created with a source has not ended.
    pub(crate) creating: bool,
    /// The last request ended without a version.
    pub(crate) failed: bool,
    /// Why it waits, or how it ended.
    pub(crate) why: Option<Why>,
    /// How many of what each site asked for have ended.
    pub(crate) done_of: BTreeMap<SiteCode, u64>,
}

impl Refresh {
    /// Follows the owner's requests; `is_waiting`: something that was asked for here has not ended
    /// there. Returns what the distribution points are to be told.
    ///
    /// Pure. A request here begins when the first of both does and ends with the last, so a caller
    /// that asked here and polls never sees the end of an earlier one.
    pub(crate) fn mirror(
        &mut self,
        owner: SiteCode,
        state: Option<&OwnerState>,
        is_waiting: bool,
        now: Timestamp,
    ) -> Option<Event> {
        let is_running = state.is_some_and(|state| state.pending);
        let has_failed = state.is_some_and(|state| state.failed);
        self.lease = None;
        self.attempts = 0;
        let mut event = None;
        if is_running || is_waiting {
            if !self.is_pending() {
                self.request(now);
                event = Some(Event::RefreshAsked);
            }
            let is_creating = is_running && state.is_some_and(|state| state.creating);
            self.creation = if is_creating { self.requested } else { self.creation.min(self.done) };
            let of_owner = state.filter(|_| is_running).and_then(|state| state.why.clone());
            self.why = Some(of_owner.unwrap_or_else(|| waiting_for(owner)));
        } else {
            if self.is_pending() {
                self.done = self.requested;
                event = Some(Event::RefreshEnded);
            }
            self.creation = self.creation.min(self.done);
            self.failed = if has_failed { self.done } else { 0 };
            self.why = state.filter(|_| has_failed).and_then(|state| state.why.clone());
        }
        event
    }
}

/// Why a request waits that was made at another site than the owner.
pub(crate) fn waiting_for(owner: SiteCode) -> Why {
    Why::new("WAITING_FOR_OWNER", format!("waiting for owner {owner}"))
}

/// A request of an owner, by which sites that each count for themselves speak of the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnerRequest {
    /// The epoch in which the owner took the package over.
    pub(crate) epoch: Epoch,
    /// Its number there.
    pub(crate) number: u64,
}

/// What a site asked for, as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Forwarded {
    asked: u64,
    /// The request here that covers it, where this site is the owner.
    request: u64,
    done: u64,
}

impl Forwarded {
    /// How many have ended, where requests up to `ended` have.
    fn done_by(&self, ended: u64) -> u64 {
        if self.request > 0 && self.request <= ended { self.asked } else { self.done }
    }
}

impl Tx {
    /// How many refreshes of a package were asked for here while another site owned it.
    pub(crate) async fn asked_here(&mut self, id: PackageId) -> Result<u64, DatabaseError> {
        let row = self.row("SELECT asked FROM refreshes WHERE package_id = $1", bind![id]).await?;
        row.map_or(Ok(0), |row| row.u64("asked"))
    }

    async fn forwarded(&mut self, id: PackageId) -> Result<BTreeMap<SiteCode, Forwarded>, DatabaseError> {
        self.rows("SELECT site, asked, request, done FROM forwarded WHERE package_id = $1", bind![id])
            .await?
            .iter()
            .map(|row| {
                let forwarded = Forwarded {
                    asked: row.u64("asked")?,
                    request: row.u64("request")?,
                    done: row.u64("done")?,
                };
                Ok((row.parse("site")?, forwarded))
            })
            .collect()
    }

    async fn put_forwarded(
        &mut self,
        id: PackageId,
        site: SiteCode,
        f: Forwarded,
    ) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO forwarded (package_id, site, asked, request, done) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (package_id, site) DO UPDATE SET asked = EXCLUDED.asked,
                 request = EXCLUDED.request, done = EXCLUDED.done",
            bind![id, site, f.asked, f.request, f.done],
        )
        .await
        .map(|_| ())
    }

    /// How the requests of a package of this site stand, as others are told.
    pub(crate) async fn owner_state_here(
        &mut self,
        id: PackageId,
    ) -> Result<Option<OwnerState>, DatabaseError> {
        let Some(refresh) = self.refresh(id).await? else { return Ok(None) };
        let epoch = self.owner_epoch(id).await?;
        let of_sites = self.forwarded(id).await?;
        Ok(Some(OwnerState {
            epoch,
            pending: refresh.is_pending(),
            request: refresh.pending(),
            creating: refresh.is_creating(),
            failed: refresh.failed > 0 && refresh.failed == refresh.done,
            done_of: of_sites.iter().map(|(site, f)| (*site, f.done_by(refresh.done))).collect(),
            why: refresh.why,
        }))
    }

    /// The newest request of the package's owner that has not ended, as far as it is known here; `None`
    /// when there is none.
    pub(crate) async fn request_of_owner(
        &mut self,
        id: PackageId,
    ) -> Result<Option<OwnerRequest>, DatabaseError> {
        let (own, epoch) = (self.own_code().await?, self.owner_epoch(id).await?);
        let (Some(package), Some(refresh)) = (self.package(id).await?, self.refresh(id).await?) else {
            return Ok(None);
        };
        let number = if package.source_site == own {
            refresh.pending()
        } else {
            let told = self.owner_state_told(id).await?;
            told.filter(|told| told.epoch == epoch && told.pending).map_or(0, |told| told.request)
        };
        Ok((number > 0).then_some(OwnerRequest { epoch, number }))
    }

    /// Does the request `covered` cover every one that is waited for here? Not while something waits that
    /// was asked here and that the owner counts under a number of its own.
    pub(crate) async fn is_every_request_covered(
        &mut self,
        id: PackageId,
        covered: OwnerRequest,
    ) -> Result<bool, DatabaseError> {
        let own = self.own_code().await?;
        let done = self.forwarded(id).await?.get(&own).map_or(0, |of_here| of_here.done);
        if self.asked_here(id).await? > done {
            return Ok(false);
        }
        let newest = self.request_of_owner(id).await?;
        Ok(newest.is_some_and(|newest| newest.epoch == covered.epoch && newest.number <= covered.number))
    }

    /// What the owner said last about its requests.
    async fn owner_state_told(&mut self, id: PackageId) -> Result<Option<OwnerState>, DatabaseError> {
        let row = self.row("SELECT owner_state FROM refreshes WHERE package_id = $1", bind![id]).await?;
        Ok(match row.map(|row| row.text_or_none("owner_state")).transpose()? {
            Some(Some(text)) => serde_json::from_str(&text).ok(),
            _ => None,
        })
    }

    /// Adds a request for a package that another site owns: durable here, told to the owner.
    pub(super) async fn request_elsewhere(
        &mut self,
        package: &Package,
        mut refresh: Refresh,
        site: SiteCode,
        now: Timestamp,
    ) -> Result<Requested, DatabaseError> {
        let id = package.id;
        let of_here = self.forwarded(id).await?.get(&site).copied().unwrap_or_default();
        let asked = self.asked_here(id).await?.max(of_here.asked).max(of_here.done) + 1;
        self.set_asked(id, site, Forwarded { asked, request: 0, done: of_here.done }).await?;
        let joined = refresh.request(now);
        refresh.why = Some(waiting_for(package.source_site));
        self.update_refresh(id, &refresh).await?;
        let context = Context::new(package, &refresh, site, now);
        let targeted = self.tell_targets(&context, Event::RefreshAsked, None).await?;
        self.wake(Wake::Sites);
        Ok(Requested { request: refresh.requested, targeted, joined })
    }

    async fn set_asked(&mut self, id: PackageId, own: SiteCode, f: Forwarded) -> Result<(), DatabaseError> {
        self.execute("UPDATE refreshes SET asked = $2 WHERE package_id = $1", bind![id, f.asked]).await?;
        self.put_forwarded(id, own, f).await?;
        self.touch(Kind::Refresh, format!("{id}/{own}"));
        Ok(())
    }

    /// A site says that it asked for `asked` refreshes of a package: at the owner a request follows.
    ///
    /// Errors: the inner one is that the number lies too far above the known one.
    pub(crate) async fn forward_asked(
        &mut self,
        id: PackageId,
        site: SiteCode,
        asked: u64,
        now: Timestamp,
    ) -> Result<Result<(), Why>, DatabaseError> {
        let own = self.own_code().await?;
        let (Some(package), Some(refresh)) = (self.package(id).await?, self.refresh(id).await?) else {
            return Ok(Ok(()));
        };
        let known = self.forwarded(id).await?.get(&site).copied().unwrap_or_default();
        if asked > known.asked.max(known.done).saturating_add(ASKED_JUMP_MAX) {
            let text = format!("site {site} says that it asked for {asked} refreshes of package {id}");
            return Ok(Err(Why::new("ASKED_JUMP", text)));
        }
        if site == own {
            // This site asked for them before its database was put back. What it has asked since is
            // one more, or the owner would take it for one of those.
            let is_waiting = self.asked_here(id).await? > known.done;
            let asked = asked + u64::from(is_waiting);
            self.set_asked(id, own, Forwarded { asked, request: 0, done: known.done }).await?;
            return Ok(Ok(()));
        }
        if asked <= known.asked {
            return Ok(Ok(()));
        }
        let mut forwarded = Forwarded { asked, request: 0, done: known.done };
        if package.source_site == own {
            forwarded.done = known.done_by(refresh.done);
            if package.is_deleting || !package.has_source() {
                forwarded.done = asked;
            } else {
                forwarded.request = self.request_refresh(&package, refresh, own, now, None).await?.request;
            }
            self.touch(Kind::Running, id.as_str());
        }
        self.put_forwarded(id, site, forwarded).await.map(Ok)
    }

    /// Keeps what the owner says about the requests of a package, and follows it.
    pub(crate) async fn take_owner_state(
        &mut self,
        id: PackageId,
        state: &OwnerState,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let known = self.forwarded(id).await?;
        for (site, done) in &state.done_of {
            let before = known.get(site).copied().unwrap_or_default();
            let (asked, done) = (before.asked.max(*done), before.done.max(*done));
            if (asked, done) != (before.asked, before.done) {
                self.put_forwarded(id, *site, Forwarded { asked, request: 0, done }).await?;
            }
        }
        let text = serde_json::to_string(state).expect("a state is plain data");
        self.execute("UPDATE refreshes SET owner_state = $2 WHERE package_id = $1", bind![id, text]).await?;
        self.mirror_refresh(id, now).await?;
        self.tell_of_cancelled(id).await
    }

    /// Gives the requests here the look of the owner's.
    pub(crate) async fn mirror_refresh(
        &mut self,
        id: PackageId,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let own = self.own_code().await?;
        let (Some(package), Some(before)) = (self.package(id).await?, self.refresh(id).await?) else {
            return Ok(());
        };
        if package.source_site == own {
            return Ok(());
        }
        let state = self.owner_state_told(id).await?;
        let done = self.forwarded(id).await?.get(&own).map_or(0, |of_here| of_here.done);
        let is_waiting = self.asked_here(id).await? > done;
        let mut refresh = before.clone();
        let event = refresh.mirror(package.source_site, state.as_ref(), is_waiting, now);
        if refresh != before {
            self.update_refresh(id, &refresh).await?;
        }
        if let Some(event) = event {
            let context = Context::new(&package, &refresh, own, now);
            let why = refresh.why.clone().filter(|_| event == Event::RefreshEnded);
            self.tell_targets(&context, event, why).await?;
        }
        Ok(())
    }

    /// This site owns the package no more: what it had not run is asked of the new owner.
    pub(crate) async fn hand_over_requests(
        &mut self,
        id: PackageId,
        own: SiteCode,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let Some(mut refresh) = self.refresh(id).await? else { return Ok(()) };
        for (site, f) in self.forwarded(id).await? {
            let done = f.done_by(refresh.done);
            self.put_forwarded(id, site, Forwarded { asked: f.asked, request: 0, done }).await?;
        }
        if refresh.is_pending() {
            let of_here = self.forwarded(id).await?.get(&own).copied().unwrap_or_default();
            let asked = self.asked_here(id).await?.max(of_here.asked).max(of_here.done) + 1;
            self.set_asked(id, own, Forwarded { asked, request: 0, done: of_here.done }).await?;
        }
        refresh.lease = None;
        self.update_refresh(id, &refresh).await?;
        self.execute("UPDATE refreshes SET owner_state = NULL WHERE package_id = $1", bind![id]).await?;
        self.mirror_refresh(id, now).await
    }

    /// This site has become the owner: what sites wait for, itself too, becomes a request here.
    pub(crate) async fn take_over_requests(
        &mut self,
        id: PackageId,
        own: SiteCode,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let (Some(package), Some(mut refresh)) = (self.package(id).await?, self.refresh(id).await?) else {
            return Ok(());
        };
        self.execute("UPDATE refreshes SET owner_state = NULL WHERE package_id = $1", bind![id]).await?;
        let is_shown = refresh.cancel();
        self.update_refresh(id, &refresh).await?;
        let waiting: Vec<(SiteCode, Forwarded)> =
            self.forwarded(id).await?.into_iter().filter(|(_, f)| f.asked > f.done).collect();
        if waiting.is_empty() || package.is_deleting || !package.has_source() {
            for (site, f) in waiting {
                self.put_forwarded(id, site, Forwarded { done: f.asked, ..f }).await?;
            }
            if is_shown {
                let context = Context::new(&package, &refresh, own, now);
                self.tell_targets(&context, Event::RefreshEnded, None).await?;
            }
        } else {
            let request = self.request_refresh(&package, refresh, own, now, None).await?.request;
            for (site, f) in waiting {
                self.put_forwarded(id, site, Forwarded { request, ..f }).await?;
            }
        }
        self.touch(Kind::Running, id.as_str());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
