//! What a caller may see, and the tables as they are for that caller.
//!
//! A query of a caller who may see everything reads the views installed in the database. Any other
//! query begins with common table expressions that bear the names of the base tables and hold
//! their visible rows; the texts of the views follow and so read those. Counters, joins and
//! sub-selects therefore answer as over a database that lacks the hidden rows.
//!
//! Rules for the texts of views: base tables are named bare. A view whose rows are sites, objects
//! that can be hidden, reads `visible_site` or `visible_sites`; `site` and `sites` every view may
//! read for codes and names. Tables without a row in [`TABLES`] cannot be read by views.
//!
//! What it does not do: it does not decide who may see what.

use super::sql::{Bound, Sql};
use crate::Engine;

/// Objects of a secured type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Every object, also those that are in no scope.
    All,
    /// The objects that are members of at least one of these scopes, by scope ID in any case.
    Scopes(Vec<String>),
    /// None.
    Nothing,
}

/// Things that are no members of scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed<T> {
    /// Every one.
    All,
    /// These; an empty list is none.
    Only(Vec<T>),
}

/// What a caller may see. Dependent rows (targets, versions, status messages, members of groups)
/// are visible when all they belong to is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Packages (object type 2), with their programs, versions, refreshes and messages.
    pub packages: Seen,
    /// Distribution points (type 42).
    pub points: Seen,
    /// Distribution point groups (type 43).
    pub groups: Seen,
    /// Sites (type 6), the source roots and loops of this one, and messages that are about no
    /// package.
    pub site: Seen,
    /// Accounts by number, with their permissions and tokens.
    pub admins: Listed<u32>,
    /// Roles by ID, with their operations.
    pub roles: Listed<String>,
    /// Security scopes by ID, with their memberships.
    pub scopes: Listed<String>,
    /// Audit records and audit status messages.
    pub audit: bool,
}

/// `SMS_StatusMessage.MessageType` of audit messages.
const MESSAGE_TYPE_AUDIT: u32 = 768;

impl Sight {
    /// Everything is visible.
    pub fn all() -> Self {
        Self {
            packages: Seen::All,
            points: Seen::All,
            groups: Seen::All,
            site: Seen::All,
            admins: Listed::All,
            roles: Listed::All,
            scopes: Listed::All,
            audit: true,
        }
    }

    /// Nothing is visible.
    pub fn nothing() -> Self {
        Self {
            packages: Seen::Nothing,
            points: Seen::Nothing,
            groups: Seen::Nothing,
            site: Seen::Nothing,
            admins: Listed::Only(Vec::new()),
            roles: Listed::Only(Vec::new()),
            scopes: Listed::Only(Vec::new()),
            audit: false,
        }
    }

    /// True when nothing is hidden.
    pub fn is_unrestricted(&self) -> bool {
        *self == Self::all()
    }

    /// Writes the condition for visible rows of `t`; false when all rows are visible.
    fn write(&self, rule: Rule, sql: &mut Sql) -> bool {
        match rule {
            Rule::Everyone => false,
            Rule::Hidden => always_false(sql),
            Rule::Package => member(&self.packages, 2, "t.package_id", sql),
            Rule::Point => member(&self.points, 42, "t.name", sql),
            Rule::Group => member(&self.groups, 43, "t.group_id", sql),
            Rule::Site => member(&self.site, 6, "t.site_code", sql),
            Rule::OfSite => match self.site {
                Seen::All => false,
                Seen::Nothing => always_false(sql),
                Seen::Scopes(_) => {
                    sql.push("EXISTS (SELECT 1 FROM visible_site)");
                    true
                }
            },
            Rule::Admin => listed(&self.admins, "t.admin_id", sql, |id| Bound::Int(i64::from(*id))),
            Rule::Role => listed(&self.roles, "t.role_id COLLATE nocase", sql, |id| Bound::Text(id.clone())),
            Rule::Scope => {
                listed(&self.scopes, "t.scope_id COLLATE nocase", sql, |id| Bound::Text(id.clone()))
            }
            Rule::Audit => !self.audit && always_false(sql),
            Rule::Message => self.write_message(sql),
            Rule::OfMessage => {
                if !self.hides_messages() {
                    return false;
                }
                sql.push("EXISTS (SELECT 1 FROM status_messages m WHERE m.record = t.record)");
                true
            }
            Rule::Member => self.write_member(sql),
            Rule::Of(parents) => {
                let hidden: Vec<&Parent> = parents.iter().filter(|parent| self.hides(**parent)).collect();
                sql.list(&hidden, " AND ", |sql, parent| {
                    sql.push(parent.exists());
                });
                !hidden.is_empty()
            }
            Rule::Counted => self.hides(Parent::Package) || self.hides(Parent::Point),
        }
    }

    fn hides(&self, parent: Parent) -> bool {
        match parent {
            Parent::Package => self.packages != Seen::All,
            Parent::Point => self.points != Seen::All,
            Parent::Group => self.groups != Seen::All,
            Parent::Admin => self.admins != Listed::All,
            Parent::Role => self.roles != Listed::All,
            Parent::Scope => self.scopes != Listed::All,
        }
    }

    fn hides_messages(&self) -> bool {
        self.packages != Seen::All || self.points != Seen::All || self.site != Seen::All || !self.audit
    }

    /// A message is visible when its package and its distribution point are.
    fn write_message(&self, sql: &mut Sql) -> bool {
        if !self.hides_messages() {
            return false;
        }
        sql.push("1 = 1");
        match (&self.packages, &self.site) {
            (Seen::All, _) => {}
            (_, Seen::Nothing) => {
                sql.push(" AND ").push(Parent::Package.exists());
            }
            _ => {
                sql.push(" AND (t.package_id IS NULL OR ").push(Parent::Package.exists()).push(")");
            }
        }
        match &self.site {
            Seen::All => {}
            Seen::Nothing => {
                sql.push(" AND t.package_id IS NOT NULL");
            }
            Seen::Scopes(_) => {
                sql.push(" AND (t.package_id IS NOT NULL OR EXISTS (SELECT 1 FROM visible_sites s");
                sql.push(" WHERE s.site_code = t.site))");
            }
        }
        if self.points != Seen::All {
            // Attribute 404 is the distribution point's NAL path. The list is made once for the
            // whole statement.
            let schema = schema_of(sql.engine);
            sql.push(" AND NOT EXISTS (SELECT 1 FROM ").push(schema).push(
                r#"status_message_attributes a WHERE a.record = t.record AND a.attribute = 404
                AND a.value NOT IN (SELECT d.nal_path FROM distribution_points d))"#,
            );
        }
        if !self.audit {
            sql.push(" AND t.message_type <> ").number(MESSAGE_TYPE_AUDIT);
        }
        true
    }

    /// A membership is visible when its object and its scope are.
    fn write_member(&self, sql: &mut Sql) -> bool {
        let types = [
            (2, &self.packages, "packages p WHERE p.package_id"),
            (42, &self.points, "distribution_points p WHERE p.name"),
            (43, &self.groups, "dp_groups p WHERE p.group_id"),
            (6, &self.site, "visible_sites p WHERE p.site_code"),
        ];
        let hides_objects = types.iter().any(|(_, seen, _)| **seen != Seen::All);
        if hides_objects {
            sql.push("(");
            sql.list(types, " OR ", |sql, (number, seen, of)| {
                sql.push("(t.object_type = ").number(number);
                match seen {
                    Seen::All => {}
                    Seen::Nothing => {
                        sql.push(" AND 1 = 0");
                    }
                    Seen::Scopes(_) => {
                        sql.push(" AND EXISTS (SELECT 1 FROM ")
                            .push(of)
                            .push(" COLLATE nocase = t.object_key)");
                    }
                }
                sql.push(")");
            });
            sql.push(")");
        }
        if self.hides(Parent::Scope) {
            sql.push(if hides_objects { " AND " } else { "" }).push(Parent::Scope.exists());
        }
        hides_objects || self.hides(Parent::Scope)
    }
}

fn always_false(sql: &mut Sql) -> bool {
    sql.push("1 = 0");
    true
}

fn member(seen: &Seen, object_type: u32, key: &str, sql: &mut Sql) -> bool {
    match seen {
        Seen::All => false,
        Seen::Scopes(scopes) if !scopes.is_empty() => {
            let schema = schema_of(sql.engine);
            sql.push("EXISTS (SELECT 1 FROM ").push(schema).push("scope_members m WHERE m.object_type = ");
            sql.number(object_type).push(" AND m.object_key = ").push(key);
            sql.push(" COLLATE nocase AND m.scope_id COLLATE nocase IN (");
            sql.list(scopes, ", ", |sql, scope| {
                sql.bind(Bound::Text(scope.clone()));
            });
            sql.push("))");
            true
        }
        _ => always_false(sql),
    }
}

fn listed<T>(list: &Listed<T>, key: &str, sql: &mut Sql, bound: impl Fn(&T) -> Bound) -> bool {
    match list {
        Listed::All => false,
        Listed::Only(ids) if ids.is_empty() => always_false(sql),
        Listed::Only(ids) => {
            sql.push(key).push(" IN (");
            sql.list(ids, ", ", |sql, id| {
                sql.bind(bound(id));
            });
            sql.push(")");
            true
        }
    }
}

/// What stands before the name of a base table to get past an expression of the same name.
fn schema_of(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "main.",
        Engine::Postgres => "public.",
    }
}

/// What makes a row of a table visible.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Nothing is asked: the table says nothing of single objects.
    Everyone,
    /// Only callers who see everything see its rows.
    Hidden,
    Package,
    Point,
    Group,
    Site,
    /// The site must be visible.
    OfSite,
    Admin,
    Role,
    Scope,
    Audit,
    Message,
    OfMessage,
    /// A member of a scope.
    Member,
    /// All of these rows must be visible.
    Of(&'static [Parent]),
    /// Numbers kept of the targets: counted anew from the visible ones when any may be hidden.
    Counted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    Package,
    Point,
    Group,
    Admin,
    Role,
    Scope,
}

impl Parent {
    fn table(self) -> &'static str {
        match self {
            Self::Package => "packages",
            Self::Point => "distribution_points",
            Self::Group => "dp_groups",
            Self::Admin => "admins",
            Self::Role => "roles",
            Self::Scope => "scopes",
        }
    }

    fn exists(self) -> &'static str {
        match self {
            Self::Package => "EXISTS (SELECT 1 FROM packages p WHERE p.package_id = t.package_id)",
            Self::Point => "EXISTS (SELECT 1 FROM distribution_points d WHERE d.name = t.point)",
            Self::Group => "EXISTS (SELECT 1 FROM dp_groups g WHERE g.group_id = t.group_id)",
            Self::Admin => "EXISTS (SELECT 1 FROM admins a WHERE a.admin_id = t.admin_id)",
            Self::Role => "EXISTS (SELECT 1 FROM roles r WHERE r.role_id = t.role_id)",
            Self::Scope => "EXISTS (SELECT 1 FROM scopes s WHERE s.scope_id = t.scope_id)",
        }
    }
}

/// A table that views may read.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The base table whose rows it has, when that bears another name.
    base: &'static str,
    rule: Rule,
}

const fn table(name: &'static str, rule: Rule) -> Table {
    Table { name, base: name, rule }
}

/// What the numbers of [`Rule::Counted`] are, over the targets that are visible.
const COUNTED: &str =
    "SELECT t.point, COUNT(*) AS installed FROM targets t WHERE t.state = 'installed' GROUP BY t.point";

/// Every table that views may read. Tables that the rules of others read stand before those.
pub(crate) const TABLES: &[Table] = &[
    table("site", Rule::Everyone),
    table("settings", Rule::Everyone),
    table("facts", Rule::Everyone),
    table("counters", Rule::Hidden),
    table("tokens", Rule::Hidden),
    table("requests", Rule::Hidden),
    table("sites", Rule::Everyone),
    Table { name: "visible_site", base: "site", rule: Rule::Site },
    Table { name: "visible_sites", base: "sites", rule: Rule::Site },
    table("packages", Rule::Package),
    table("distribution_points", Rule::Point),
    table("dp_groups", Rule::Group),
    table("admins", Rule::Admin),
    table("roles", Rule::Role),
    table("scopes", Rule::Scope),
    table("source_roots", Rule::OfSite),
    table("source_root_scopes", Rule::OfSite),
    table("loops", Rule::OfSite),
    table("audit_records", Rule::Audit),
    table("refreshes", Rule::Of(&[Parent::Package])),
    table("versions", Rule::Of(&[Parent::Package])),
    table("announced", Rule::Of(&[Parent::Package])),
    table("copies", Rule::Of(&[Parent::Package])),
    table("programs", Rule::Of(&[Parent::Package])),
    table("targets", Rule::Of(&[Parent::Package, Parent::Point])),
    table("installed_counts", Rule::Counted),
    table("stops", Rule::Of(&[Parent::Package, Parent::Point])),
    table("dp_group_members", Rule::Of(&[Parent::Group, Parent::Point])),
    table("dp_group_packages", Rule::Of(&[Parent::Group, Parent::Package])),
    table("dp_group_collections", Rule::Of(&[Parent::Group])),
    table("role_operations", Rule::Of(&[Parent::Role])),
    table("admin_permissions", Rule::Of(&[Parent::Admin, Parent::Role, Parent::Scope])),
    table("api_tokens", Rule::Of(&[Parent::Admin])),
    table("scope_members", Rule::Member),
    table("status_messages", Rule::Message),
    table("status_message_strings", Rule::OfMessage),
    table("status_message_attributes", Rule::OfMessage),
];

impl Table {
    /// The tables whose visible rows decide over the rows of this one.
    fn parents(&self) -> Vec<&'static str> {
        match self.rule {
            Rule::Of(parents) => parents.iter().map(|parent| parent.table()).collect(),
            Rule::OfSite => vec!["visible_site"],
            Rule::Counted => vec!["targets"],
            Rule::Message => vec!["visible_sites", "packages", "distribution_points"],
            Rule::OfMessage => vec!["status_messages"],
            Rule::Member => vec!["visible_sites", "packages", "distribution_points", "dp_groups", "scopes"],
            _ => Vec::new(),
        }
    }

    fn find(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }
}

/// Writes an expression `name AS (…)` for each of `wanted`, and for those they depend on, that has
/// hidden rows; each followed by a comma.
pub(crate) fn write_tables(sight: &Sight, wanted: impl IntoIterator<Item = &'static str>, sql: &mut Sql) {
    let mut needed: Vec<&str> = Vec::new();
    let mut waiting: Vec<&'static Table> = wanted.into_iter().filter_map(Table::find).collect();
    while let Some(table) = waiting.pop() {
        if !needed.contains(&table.name) {
            needed.push(table.name);
            waiting.extend(table.parents().into_iter().filter_map(Table::find));
        }
    }
    for table in TABLES.iter().filter(|table| needed.contains(&table.name)) {
        let mark = (sql.text.len(), sql.values.len());
        sql.push(table.name).push(" AS NOT MATERIALIZED (");
        let schema = schema_of(sql.engine);
        match table.rule {
            Rule::Counted => sql.push(COUNTED),
            _ => sql.push("SELECT t.* FROM ").push(schema).push(table.base).push(" t WHERE "),
        };
        if sight.write(table.rule, sql) {
            sql.push("),\n");
        } else {
            sql.text.truncate(mark.0);
            sql.values.truncate(mark.1);
        }
    }
}
