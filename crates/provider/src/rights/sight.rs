//! What rights let the database show.

use restock_sitedb::query::{Listed, Seen, Sight};

use super::Rights;
use super::object_types::{ADMIN, GROUP, PACKAGE, POINT, ROLE, SCOPE, SITE};
use super::operations::READ;

impl Rights {
    /// What the account may see.
    ///
    /// An account sees itself, its own roles and its own scopes. Audit is seen by who sees all
    /// accounts and every object: its records name objects of all kinds.
    pub fn sight(&self) -> Sight {
        let own = |id: fn(&super::held::Held) -> &String| {
            let mut ids: Vec<String> = self.held.iter().map(|held| id(held).clone()).collect();
            ids.sort_unstable();
            ids.dedup();
            Listed::Only(ids)
        };
        let sight = Sight {
            packages: self.seen(PACKAGE),
            points: self.seen(POINT),
            groups: self.seen(GROUP),
            site: self.seen(SITE),
            admins: match self.may_type(ADMIN, READ) {
                true => Listed::All,
                false => Listed::Only(self.account.into_iter().collect()),
            },
            roles: if self.may_type(ROLE, READ) { Listed::All } else { own(|held| &held.role) },
            scopes: if self.may_type(SCOPE, READ) { Listed::All } else { own(|held| &held.scope) },
            audit: false,
        };
        let sees_objects =
            [&sight.packages, &sight.points, &sight.groups, &sight.site].into_iter().all(|s| *s == Seen::All);
        Sight { audit: sees_objects && sight.admins == Listed::All, ..sight }
    }

    fn seen(&self, object_type: u32) -> Seen {
        if self.may_all(object_type, READ) {
            return Seen::All;
        }
        if self.limit.on(object_type) & READ == 0 {
            return Seen::Nothing;
        }
        let reading = self.held.iter().filter(|held| held.operations.on(object_type) & READ != 0);
        let mut scopes: Vec<String> = reading.map(|held| held.scope.clone()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() { Seen::Nothing } else { Seen::Scopes(scopes) }
    }
}
