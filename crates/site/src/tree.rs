//! The hierarchy as it stands, for people: who is connected, what still has to be sent, who is behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use restock_names::{PackageId, SiteCode, Timestamp};
use restock_sitedb::copies::{COPY_STORED, Copy};
use restock_sitedb::hierarchy::{Hierarchy, LinkRow, STATUS_DELETED, SiteRow};
use restock_sitedb::package::Package;
use restock_sitedb::replica::Backlog;
use restock_sitedb::{DatabaseError, Tx, Why};
use serde::{Deserialize, Serialize};

use crate::{Site, SiteError};

/// All sites, each after the one above it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tree {
    /// The sites, from the top, depth first.
    pub rows: Vec<TreeRow>,
}

/// How a site is linked with the one that looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It is the site that looks.
    Own,
    /// A neighbour whose connection is up.
    Connected,
    /// A neighbour whose connection is down.
    Disconnected,
    /// A neighbour that may not connect any more.
    Revoked,
    /// No neighbour: it is heard of through others.
    Beyond,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeRow {
    /// Its code.
    pub code: SiteCode,
    /// The site above it.
    pub parent: Option<SiteCode>,
    /// How many sites stand above it.
    pub depth: u32,
    /// 1 secondary, 2 primary, 4 central.
    pub site_type: u32,
    /// What people call it.
    pub name: String,
    /// The machine it runs on.
    pub server_name: String,
    /// Where its link listens.
    pub url: String,
    /// Its program.
    pub software: String,
    /// As `SMS_Site.Status`.
    pub status: u32,
    /// Whether it is the site that looks.
    pub is_own: bool,
    /// How it is linked with the site that looks.
    pub link: LinkState,
    /// When a neighbour connected or disconnected last.
    pub last_seen_at: Option<Timestamp>,
    /// Objects a neighbour still has to be sent.
    pub backlog_objects: u64,
    /// How old the oldest of them is, in seconds.
    pub lag_seconds: u64,
    /// Packages whose newest version the site needs and has not stored.
    pub packages_behind: u64,
    /// Why it is not connected, or not to be relied on.
    pub why: Option<Why>,
}

impl Site {
    /// The hierarchy as this site knows it. Cost: reads packages, copies and targets once.
    pub async fn tree(&self) -> Result<Tree, SiteError> {
        let now = self.clock().now();
        let tree: Result<Tree, DatabaseError> =
            self.database().read("tree", move |tx| Box::pin(async move { tree(tx, now).await })).await;
        let mut tree = tree?;
        let upstream = self.inner.upstream.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((upstream, since)) = upstream.and_then(|up| up.stale_since(now).map(|since| (up, since)))
        {
            let parent = upstream.parent();
            let text = format!("site {parent} has not vouched for what it tells: stale since {since}");
            for row in tree.rows.iter_mut().filter(|row| row.code == parent) {
                row.why = Some(match row.why.take() {
                    None => Why::new("STALE_METADATA", &*text),
                    Some(down) => Why { text: format!("{}; {text}", down.text), ..down },
                });
            }
        }
        Ok(tree)
    }
}

async fn tree(tx: &mut Tx, now: Timestamp) -> Result<Tree, DatabaseError> {
    let hierarchy = tx.hierarchy().await?;
    let mut links: BTreeMap<SiteCode, (LinkRow, Backlog)> = BTreeMap::new();
    for link in tx.links().await? {
        let backlog = tx.backlog(link.peer).await?;
        links.insert(link.peer, (link, backlog));
    }
    let behind = behind(tx, &hierarchy).await?;
    let row = |site: &SiteRow, depth: u32| {
        let is_own = site.code == hierarchy.own;
        let link = links.get(&site.code);
        let state = match link {
            _ if is_own => LinkState::Own,
            None => LinkState::Beyond,
            Some((link, _)) if link.is_revoked => LinkState::Revoked,
            Some((link, _)) if link.connected_to.is_some() => LinkState::Connected,
            Some(_) => LinkState::Disconnected,
        };
        let backlog = link.map(|(_, backlog)| *backlog);
        let oldest = backlog.and_then(|backlog| backlog.oldest_at);
        TreeRow {
            code: site.code,
            parent: site.parent,
            depth,
            site_type: site.site_type.number(),
            name: site.name.clone(),
            server_name: site.server_name.clone(),
            url: site.url.clone(),
            software: site.software.clone(),
            status: site.status,
            is_own,
            link: state,
            last_seen_at: link.and_then(|(link, _)| link.last_seen_at),
            backlog_objects: backlog.map_or(0, |backlog| backlog.objects),
            lag_seconds: oldest.map_or(0, |oldest| now.since(oldest).as_secs()),
            packages_behind: behind.get(&site.code).copied().unwrap_or(0),
            why: link.and_then(|(link, _)| link.why.clone()),
        }
    };
    Ok(Tree { rows: in_order(&hierarchy).into_iter().map(|(site, depth)| row(site, depth)).collect() })
}

/// Every site once, each after the one above it; those whose place is not known come last.
fn in_order(hierarchy: &Hierarchy) -> Vec<(&SiteRow, u32)> {
    let mut order: Vec<(&SiteRow, u32)> = Vec::new();
    let mut seen = BTreeSet::new();
    let is_top = |site: &SiteRow| site.parent.is_none_or(|parent| !hierarchy.sites.contains_key(&parent));
    let tops = hierarchy.sites.values().filter(|site| is_top(site));
    // What stands in a circle for a moment has no top.
    for top in tops.chain(hierarchy.sites.values()) {
        let mut open = vec![(top, 0)];
        while let Some((site, depth)) = open.pop() {
            if !seen.insert(site.code) {
                continue;
            }
            order.push((site, depth));
            let below = hierarchy.sites.values().filter(|below| below.parent == Some(site.code));
            open.extend(below.rev().map(|below| (below, depth + 1)));
        }
    }
    order
}

/// How many packages each site needs in a version that it has not stored.
async fn behind(tx: &mut Tx, hierarchy: &Hierarchy) -> Result<BTreeMap<SiteCode, u64>, DatabaseError> {
    let packages = tx.packages().await?;
    let mut copies: BTreeMap<(PackageId, SiteCode), Copy> = BTreeMap::new();
    for copy in tx.copies().await? {
        copies.insert((copy.package, copy.site), copy);
    }
    let sites: BTreeMap<_, SiteCode> =
        tx.points().await?.into_iter().filter_map(|point| Some((point.name, point.site?))).collect();
    let mut needs: BTreeSet<(PackageId, SiteCode)> = BTreeSet::new();
    for target in tx.targets().await? {
        if let Some(site) = sites.get(&target.point).filter(|_| !target.facts.state.is_removal()) {
            needs.insert((target.package, *site));
        }
    }
    let packages: BTreeMap<PackageId, Package> = packages
        .into_iter()
        .filter(|package| !package.is_deleting)
        .map(|package| (package.id, package))
        .collect();
    let mut behind = BTreeMap::new();
    for (id, site) in needs {
        let Some(package) = packages.get(&id) else { continue };
        if hierarchy.sites.get(&site).is_none_or(|row| row.status == STATUS_DELETED) {
            continue;
        }
        let stored = if site == hierarchy.own {
            package.stored_version
        } else {
            let copy = copies.get(&(id, site)).filter(|copy| copy.state == COPY_STORED);
            copy.map_or(restock_names::SourceVersion(0), |copy| copy.version)
        };
        if stored < package.source_version {
            *behind.entry(site).or_insert(0) += 1;
        }
    }
    Ok(behind)
}
