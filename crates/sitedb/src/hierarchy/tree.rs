//! The tree as seen from one site. Pure.

use std::collections::{BTreeMap, BTreeSet};

use restock_names::SiteCode;

use super::{STATUS_DELETED, SiteRow};

/// The sites of a hierarchy, seen from one of them.
///
/// Rows come from many sites and may for a moment contradict each other; no question runs in circles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// The site that looks.
    pub own: SiteCode,
    /// All sites by code, the own one too.
    pub sites: BTreeMap<SiteCode, SiteRow>,
}

impl Hierarchy {
    fn parent(&self, site: SiteCode) -> Option<SiteCode> {
        self.sites.get(&site).and_then(|row| row.parent)
    }

    /// `site` and what stands above it, nearest first, at most as many as there are sites.
    fn upwards(&self, site: SiteCode) -> impl Iterator<Item = SiteCode> + '_ {
        std::iter::successors(Some(site), |code| self.parent(*code)).take(self.sites.len() + 1)
    }

    /// The sites next to this one that take part: the one above first.
    pub fn neighbours(&self) -> Vec<SiteCode> {
        let is_there = |code: &SiteCode| self.sites.get(code).is_some_and(|row| row.status != STATUS_DELETED);
        let below = self.sites.values().filter(|row| row.parent == Some(self.own)).map(|row| row.code);
        self.parent(self.own).into_iter().chain(below).filter(is_there).collect()
    }

    /// True when `site` stands below `top`, at any depth; a site is not below itself.
    pub fn is_below(&self, site: SiteCode, top: SiteCode) -> bool {
        site != top && self.upwards(site).skip(1).any(|code| code == top)
    }

    /// The neighbour that lies towards `to`; `None` for the own site, and for one that is not known.
    pub fn next_hop(&self, to: SiteCode) -> Option<SiteCode> {
        if to == self.own || !self.sites.contains_key(&to) {
            return None;
        }
        let mut below = None;
        for code in self.upwards(to) {
            if code == self.own {
                return below;
            }
            below = Some(code);
        }
        self.parent(self.own)
    }

    /// The sites that lie on the side of the neighbour `peer`, it included.
    pub fn beyond(&self, peer: SiteCode) -> BTreeSet<SiteCode> {
        self.sites.keys().copied().filter(|code| self.next_hop(*code) == Some(peer)).collect()
    }

    /// True for a site that is known and takes part.
    pub fn is_active(&self, site: SiteCode) -> bool {
        self.sites.get(&site).is_some_and(|row| row.status != STATUS_DELETED)
    }
}
