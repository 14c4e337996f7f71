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

#[cfg(test)]
mod tests {
    use restock_names::SiteCode;

    use super::{Hierarchy, STATUS_DELETED, SiteRow};
    use crate::hierarchy::{STATUS_ACTIVE, SiteType};

    fn code(text: &str) -> SiteCode {
        text.parse().unwrap()
    }

    fn row(text: &str, parent: &str) -> SiteRow {
        SiteRow {
            code: code(text),
            parent: parent.parse().ok(),
            site_type: SiteType::Primary,
            name: String::new(),
            server_name: String::new(),
            url: String::new(),
            software: String::new(),
            root_public_key: String::new(),
            key_list: Vec::new(),
            ca_fingerprint: String::new(),
            status: STATUS_ACTIVE,
        }
    }

    /// `TOP` has `LEF` and `RIG`; below `LEF` are `ONE` and `TWO`, below `TWO` is `LOW`.
    fn tree(own: &str) -> Hierarchy {
        let rows =
            [("TOP", ""), ("LEF", "TOP"), ("RIG", "TOP"), ("ONE", "LEF"), ("TWO", "LEF"), ("LOW", "TWO")];
        let sites = rows.map(|(site, parent)| (code(site), row(site, parent))).into_iter().collect();
        Hierarchy { own: code(own), sites }
    }

    fn names(codes: impl IntoIterator<Item = SiteCode>) -> String {
        codes.into_iter().map(|code| code.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_site_knows_which_neighbour_lies_towards_whom() {
        let left = tree("LEF");
        assert_eq!(names(left.neighbours()), "TOP ONE TWO");
        for (to, hop) in [("TOP", "TOP"), ("RIG", "TOP"), ("ONE", "ONE"), ("LOW", "TWO"), ("TWO", "TWO")] {
            assert_eq!(left.next_hop(code(to)), Some(code(hop)), "{to}");
        }
        assert_eq!((left.next_hop(code("LEF")), left.next_hop(code("XXX"))), (None, None));
        assert_eq!(names(left.beyond(code("TOP"))), "RIG TOP");
        assert_eq!(names(left.beyond(code("TWO"))), "LOW TWO");
        assert!(left.is_below(code("LOW"), code("LEF")) && !left.is_below(code("LEF"), code("LEF")));
        assert_eq!(names(tree("LOW").beyond(code("TWO"))), "LEF ONE RIG TOP TWO");
        assert_eq!(names(tree("TOP").neighbours()), "LEF RIG");
    }

    #[test]
    fn a_site_that_left_is_no_neighbour_and_rows_in_a_circle_end() {
        let mut left = tree("LEF");
        left.sites.get_mut(&code("ONE")).unwrap().status = STATUS_DELETED;
        assert_eq!(names(left.neighbours()), "TOP TWO");
        assert!(!left.is_active(code("ONE")));
        left.sites.get_mut(&code("TWO")).unwrap().parent = Some(code("LOW"));
        assert_eq!(left.next_hop(code("LOW")), Some(code("TOP")), "where it was not found it may be");
        assert!(!left.is_below(code("LOW"), code("TOP")));
    }
}
