//! What a restricted caller is told equals what a database without the hidden rows would say.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use restock_cim::Instance;
use restock_sitedb::query::{Listed, Seen, Sight};

use super::{ask, insert_package, insert_point, insert_target, prepared, run, shown};
use crate::server::{Cluster, Fresh, sqlite};

/// What exists and who is in which of the scopes `S0`, `S1`, `S2`.
#[derive(Debug, Clone)]
struct World {
    packages: Vec<[bool; 3]>,
    points: Vec<[bool; 3]>,
    groups: Vec<[bool; 3]>,
    /// The site itself, XYZ, and another one, ABC.
    sites: [[bool; 3]; 2],
    targets: Vec<(usize, usize)>,
    members: Vec<(usize, usize)>,
    /// Package and point each message is about, if any, and which site raised it.
    messages: Vec<(Option<usize>, Option<usize>, usize)>,
}

/// Which scopes the caller may see of each type; `None` means all objects.
#[derive(Debug, Clone)]
struct Caller([Option<Vec<usize>>; 4]);

impl Caller {
    fn sight(&self) -> Sight {
        let seen = |index: usize| match &self.0[index] {
            None => Seen::All,
            Some(scopes) if scopes.is_empty() => Seen::Nothing,
            Some(scopes) => Seen::Scopes(scopes.iter().map(|scope| format!("s{scope}")).collect()),
        };
        Sight {
            packages: seen(0),
            points: seen(1),
            groups: seen(2),
            site: seen(3),
            admins: Listed::All,
            roles: Listed::All,
            scopes: Listed::All,
            audit: true,
        }
    }

    fn sees(&self, index: usize, scopes: [bool; 3]) -> bool {
        self.0[index].as_ref().is_none_or(|seen| seen.iter().any(|scope| scopes[*scope]))
    }
}

const SITES: [&str; 2] = ["XYZ", "ABC"];

fn package(index: usize) -> String {
    format!("XYZ{index:05}")
}

fn point(index: usize) -> String {
    format!("DP{index:02}")
}

impl World {
    /// The statements that make it; only what `caller` sees when one is given.
    fn statements(&self, caller: Option<&Caller>) -> Vec<String> {
        let sees = |kind: usize, scopes: [bool; 3]| caller.is_none_or(|caller| caller.sees(kind, scopes));
        let sees_package = |index: usize| sees(0, self.packages[index]);
        let sees_point = |index: usize| sees(1, self.points[index]);
        let sees_group = |index: usize| sees(2, self.groups[index]);
        let mut made = vec![
            "DELETE FROM scope_members".to_owned(),
            "INSERT INTO site (one, site_code, epoch, ca_fingerprint, root_public_key, created_at) VALUES (1, 'XYZ', 1, 'a', 'b', 1)".to_owned(),
        ];
        for scope in 0..3 {
            made.push(format!(
                "INSERT INTO scopes (scope_id, name, description, is_built_in, created_by, created_at, modified_by, modified_at)
                 VALUES ('S{scope}', 'scope {scope}', '', 0, '', 0, '', 0)"
            ));
        }
        let member = |kind: u32, key: &str, scopes: [bool; 3]| -> Vec<String> {
            let of = |scope: usize| {
                format!(
                    "INSERT INTO scope_members (scope_id, object_type, object_key) VALUES ('S{scope}', {kind}, '{key}')"
                )
            };
            (0..3).filter(|scope| scopes[*scope]).map(of).collect()
        };
        for (index, scopes) in self.packages.iter().enumerate().filter(|(index, _)| sees_package(*index)) {
            made.push(insert_package(
                &package(index),
                &format!("name {}", index % 3),
                if index % 4 == 3 { 257 } else { 0 },
                5,
            ));
            made.extend(member(2, &package(index), *scopes));
        }
        for (index, scopes) in self.points.iter().enumerate().filter(|(index, _)| sees_point(*index)) {
            made.push(insert_point(&point(index), u32::try_from(index).unwrap()));
            made.extend(member(42, &point(index).to_lowercase(), *scopes));
        }
        for (index, scopes) in self.groups.iter().enumerate().filter(|(index, _)| sees_group(*index)) {
            made.push(format!(
                "INSERT INTO dp_groups (group_id, number, name, description, source_site, created_by, created_at, modified_by, modified_at)
                 VALUES ('G{index}', {index}, 'group {index}', '', 'XYZ', '', 0, '', 0)"
            ));
            made.extend(member(43, &format!("g{index}"), *scopes));
        }
        // The row in `site` stays: its code is in every name.
        for (code, scopes) in SITES.iter().zip(self.sites).filter(|(_, scopes)| sees(3, *scopes)) {
            made.push(format!(
                "INSERT INTO sites (site_code, parent, site_type, name, server_name, url, software, root_public_key,
                     key_list, ca_fingerprint, status, is_below)
                 VALUES ('{code}', NULL, 2, '{code}', '', '', '', '', unhex(''), '', 1, 1)"
            ));
            made.extend(member(6, code, scopes));
        }
        for (number, (of, at)) in self.targets.iter().enumerate() {
            if sees_package(*of) && sees_point(*at) {
                made.push(insert_target(
                    &package(*of),
                    &point(*at),
                    "installed",
                    u32::try_from(number).unwrap(),
                ));
            }
        }
        for (group, at) in &self.members {
            if sees_group(*group) && sees_point(*at) {
                made.push(format!(
                    "INSERT INTO dp_group_members (group_id, point) VALUES ('G{group}', '{}')",
                    point(*at)
                ));
            }
        }
        for (record, (of, at, site)) in self.messages.iter().enumerate() {
            let visible = of.map_or(sees(3, self.sites[*site]), sees_package) && at.is_none_or(sees_point);
            if !visible {
                continue;
            }
            let of = of.map_or("NULL".to_owned(), |of| format!("'{}'", package(of)));
            made.push(format!(
                "INSERT INTO status_messages (record, message_id, severity, message_type, component, time, package_id, site)
                 VALUES ({record}, 2300, 1, 256, 'X', 1, {of}, '{}')",
                SITES[*site]
            ));
            made.push(format!("INSERT INTO status_message_strings (record, position, value) VALUES ({record}, 1, 'text {record}')"));
            if let Some(at) = at {
                let nal = format!(r#"["Display=\\{0}\"]MSWNET:["SMS_SITE=XYZ"]\\{0}\"#, point(*at));
                made.push(format!("INSERT INTO status_message_attributes (record, attribute, value) VALUES ({record}, 404, '{nal}')"));
            }
        }
        made
    }
}

fn world() -> impl Strategy<Value = World> {
    let scopes = || any::<[bool; 3]>();
    (
        prop::collection::vec(scopes(), 1..6),
        prop::collection::vec(scopes(), 1..5),
        prop::collection::vec(scopes(), 0..3),
        [scopes(), scopes()],
    )
        .prop_flat_map(|(packages, points, groups, sites)| {
            let (p, d, g) = (packages.len(), points.len(), groups.len());
            let pairs = prop::collection::btree_set((0..p, 0..d), 0..12);
            let members = prop::collection::btree_set((0..g.max(1), 0..d), 0..if g == 0 { 1 } else { 6 });
            let about = (prop::option::of(0..p), prop::option::of(0..d), 0..SITES.len());
            (Just((packages, points, groups, sites)), pairs, members, prop::collection::vec(about, 0..6))
        })
        .prop_map(|((packages, points, groups, sites), targets, members, messages)| {
            let members = if groups.is_empty() { Vec::new() } else { members.into_iter().collect() };
            World {
                packages,
                points,
                groups,
                sites,
                targets: targets.into_iter().collect(),
                members,
                messages,
            }
        })
}

fn caller() -> impl Strategy<Value = Caller> {
    let seen = || prop::option::weighted(0.7, prop::sample::subsequence(vec![0_usize, 1, 2], 0..=3));
    [seen(), seen(), seen(), seen()].prop_map(Caller)
}

/// Counters, joins, sub-selects, base classes, messages.
const QUERIES: &[&str] = &[
    "SELECT PackageID, Name, TargetCount FROM T_Package ORDER BY PackageID",
    "SELECT PackageID, Name FROM T_Package WHERE PackageID = 'XYZ00001'",
    "SELECT COUNT(*) FROM T_Content",
    "SELECT COUNT(*) FROM T_Target",
    "SELECT PackageID FROM T_Content WHERE __CLASS = 'T_Image' ORDER BY PackageID",
    "SELECT PackageID, Point FROM T_Target ORDER BY PackageID, Point",
    "SELECT Name FROM T_Point WHERE Name NOT IN (SELECT Point FROM T_Target) ORDER BY Name",
    "SELECT PackageID FROM T_Package WHERE PackageID NOT IN (SELECT PackageID FROM T_Target) ORDER BY PackageID",
    "SELECT p.Name, t.Point FROM T_Content p LEFT JOIN T_Target t ON p.PackageID = t.PackageID ORDER BY p.PackageID, t.Point",
    "SELECT p.PackageID, d.Point FROM T_Content p FULL JOIN T_Target d ON p.PackageID = d.PackageID ORDER BY p.PackageID, d.Point",
    "SELECT a.PackageID FROM T_Target a JOIN T_Target b ON a.Point = b.Point AND a.PackageID <> b.PackageID ORDER BY a.PackageID, a.Point",
    "SELECT Team, Point FROM T_Member ORDER BY Team, Point",
    "SELECT COUNT(*) FROM T_Member",
    "SELECT Record, PackageID, Text FROM T_Message ORDER BY Record",
    "SELECT DISTINCT Name FROM T_Package ORDER BY Name",
    "SELECT COUNT(*) FROM T_Package p, T_Point d",
    "SELECT SiteCode FROM T_Site ORDER BY SiteCode",
    "SELECT PackageID, Point FROM T_Keyless ORDER BY PackageID, Point",
];

async fn compare(whole: &Fresh, part: &Fresh, world: &World, caller: &Caller) -> Result<(), TestCaseError> {
    run(whole, &world.statements(None)).await;
    run(part, &world.statements(Some(caller))).await;
    for text in QUERIES {
        let Ok(_) = restock_cim::query::wql::parse(text) else { panic!("{text} is no query") };
        let show = |rows: Vec<Instance>| rows.iter().map(shown).collect::<Vec<_>>();
        let restricted = show(ask(&whole.database, text, caller.sight()).await.unwrap());
        let without = show(ask(&part.database, text, Sight::all()).await.unwrap());
        prop_assert_eq!(restricted, without, "{}", text);
    }
    Ok(())
}

/// Runs `cases` random worlds; `fresh` makes an empty database each time.
fn property(cases: u32, runtime: &tokio::runtime::Runtime, fresh: impl Fn() -> Fresh) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    });
    let result = runner.run(&(world(), caller()), |(world, caller)| {
        let (whole, part) = (fresh(), fresh());
        runtime.block_on(async {
            let (whole, part) = (prepared(whole).await, prepared(part).await);
            compare(&whole, &part, &world, &caller).await
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn sqlite_answers_as_without_the_hidden_rows() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    property(48, &runtime, || runtime.block_on(sqlite()));
}

#[test]
fn postgres_answers_as_without_the_hidden_rows() {
    let Some(cluster) = Cluster::start() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let number = std::cell::Cell::new(0);
    property(6, &runtime, || {
        number.set(number.get() + 1);
        runtime.block_on(cluster.database(&format!("security{}", number.get())))
    });
}
