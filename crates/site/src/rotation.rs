//! The rotate loop: ends a change of the site's authority when everybody who is enrolled has moved, or
//! its time is over.
//!
//! That a change begins, who moves, and what counts meanwhile is the keys' matter
//! ([`restock_transfer::SiteTrust`]); here is only known who is enrolled.

use std::collections::BTreeSet;

use restock_names::Timestamp;
use restock_sitedb::DatabaseError;
use restock_transfer::Identity;

use crate::message::distmgr;
use crate::{Outcome, Site, SiteError};

impl Site {
    /// Looks whether a change of the authority can end. Without one under way nothing is asked.
    pub(crate) async fn advance_rotation(&self, now: Timestamp) -> Result<Outcome, SiteError> {
        let idle = |result| Outcome { is_busy: false, result, queue: 0, next_due: None };
        let trust = self.shared_trust();
        let Some(begun) = trust.rotation() else { return Ok(idle(String::new())) };
        let own = self.code();
        let enrolled: Result<BTreeSet<Identity>, DatabaseError> = self
            .database()
            .read("enrolled", move |tx| {
                Box::pin(async move {
                    let points = tx.points().await?.into_iter();
                    let points =
                        points.filter(|point| point.site == Some(own) && !point.fingerprint.is_empty());
                    let sites = tx.links().await?.into_iter();
                    let sites = sites.filter(|link| !link.is_above && !link.is_revoked);
                    let points = points.map(|point| Identity::DistributionPoint(own, point.name));
                    Ok(points.chain(sites.map(|link| Identity::Site(link.peer))).collect())
                })
            })
            .await;
        let enrolled = enrolled?;
        let waits = enrolled.difference(&begun.moved).count() as u64;
        let advanced = tokio::task::spawn_blocking(move || trust.advance_rotation(&enrolled, now))
            .await
            .map_err(|_panic| SiteError::Panicked("changing the authority"))?;
        // The row of the site names its authority.
        self.introduce().await?;
        if advanced?.is_some() {
            let result = format!("{waits} have not moved to the new authority");
            return Ok(Outcome { queue: waits, next_due: Some(begun.ends_at), ..idle(result) });
        }
        distmgr!(
            info,
            site = %own,
            authority = %begun.newest,
            left_behind = waits,
            "the authority of site {own} was changed; {waits} that had not moved must enrol again"
        );
        Ok(idle("the authority was changed".to_owned()))
    }
}
