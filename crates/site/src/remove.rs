//! Removing a site below: it is cut off at once, whether it hears of it or not.

use restock_names::SiteCode;
use restock_sitedb::{DatabaseError, Tx, Why};
use serde::{Deserialize, Serialize};

use crate::message::distmgr;
use crate::{Site, SiteError};

/// A site that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its code.
    pub site: SiteCode,
    /// The sites below it, which went with it.
    pub with: Vec<SiteCode>,
}

impl Site {
    /// Revokes the link of a site directly below, ends its connections and marks it, and what stands
    /// below it, as deleted. Packages they own are orphaned until somebody adopts them.
    ///
    /// Errors: [`SiteError::NotBelow`]; the database.
    pub async fn remove_site(&self, code: SiteCode) -> Result<Removed, SiteError> {
        let removed: Result<Option<Vec<SiteCode>>, DatabaseError> = self
            .database()
            .transact("remove_site", move |tx| Box::pin(async move { remove(tx, code).await }))
            .await;
        let with = removed?.ok_or(SiteError::NotBelow(code))?;
        // After the commit: who is cut off must not be let in again.
        self.inner.links.disconnect_site(code);
        distmgr!(info, site = %code, "site {code} was removed");
        Ok(Removed { site: code, with })
    }
}

async fn remove(tx: &mut Tx, code: SiteCode) -> Result<Option<Vec<SiteCode>>, DatabaseError> {
    let Some(mut link) = tx.link(code).await?.filter(|link| !link.is_above) else { return Ok(None) };
    let beyond = tx.hierarchy().await?.beyond(code);
    link.is_revoked = true;
    link.connected_to = None;
    link.why = Some(Why::new("SITE_REMOVED", format!("site {code} was removed here")));
    tx.put_link(&link).await?;
    let mut with = Vec::new();
    for site in beyond.into_iter().chain([code]) {
        if tx.remove_site(site).await? && site != code {
            with.push(site);
        }
    }
    Ok(Some(with))
}
