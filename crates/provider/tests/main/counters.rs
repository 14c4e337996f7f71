//! One state, many views: whatever happens, the classes never disagree in one read, and
//! Targeted = Installed + Retrying + Failed + pending for every package, site and group.

mod sites;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use restock_names::{PackageId, SourceVersion};
use restock_provider::Operation;
use restock_sitedb::DatabaseError;
use restock_sitedb::group::Group;
use restock_sitedb::state::{Columns, Counters, Damage, Event, Report, TargetState};
use restock_sitedb::target::Target;

use crate::views::world::{NOW, RETRY, Row, World, dp};

const POINTS: [&str; 3] = ["DP01", "DP02", "DP03"];
const PACKAGES: usize = 2;

/// Something that can happen to a site.
#[derive(Debug, Clone, Copy)]
enum Happening {
    Add(usize, usize),
    Remove(usize, usize),
    Redistribute(usize, usize),
    CancelDistribution(usize, usize),
    Refresh(usize),
    CancelRefresh(usize),
    Publish(usize),
    FailRefresh(usize),
    Report(usize, usize, Report),
    Install(usize, usize),
    Damage(usize, usize, Damage),
    Heal(usize, usize),
    Holds(usize, usize, u32),
    RetryDue(usize, usize),
    Wait,
    /// Everything that is under way ends well.
    Settle,
    /// The package is put into the group, or taken out of it.
    Assign(usize, bool),
    /// The distribution point joins the group, or leaves it.
    Join(usize, bool),
    Delete(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{
        Add, Assign, CancelDistribution, CancelRefresh, Damage as Damaged, Delete, FailRefresh, Heal, Holds,
        Install, Join, Publish, Redistribute, Refresh, Remove, RetryDue, Settle, Wait,
    };
    let (package, point) = (|| 0..PACKAGES, || 0..POINTS.len());
    let report = prop_oneof![
        Just(Report::Receiving),
        Just(Report::Stored),
        Just(Report::Failed { is_transient: true }),
        Just(Report::Failed { is_transient: false }),
        Just(Report::Removed),
    ];
    let damage = prop_oneof![Just(Damage::Wrong), Just(Damage::Missing)];
    prop_oneof![
        6 => (package(), point()).prop_map(|(p, d)| Add(p, d)),
        3 => (package(), point()).prop_map(|(p, d)| Remove(p, d)),
        2 => (package(), point()).prop_map(|(p, d)| Redistribute(p, d)),
        2 => (package(), point()).prop_map(|(p, d)| CancelDistribution(p, d)),
        3 => package().prop_map(Refresh),
        1 => package().prop_map(CancelRefresh),
        6 => package().prop_map(Publish),
        2 => package().prop_map(FailRefresh),
        8 => (package(), point(), report).prop_map(|(p, d, r)| Happening::Report(p, d, r)),
        6 => (package(), point()).prop_map(|(p, d)| Install(p, d)),
        5 => (package(), point(), damage).prop_map(|(p, d, found)| Damaged(p, d, found)),
        2 => (package(), point()).prop_map(|(p, d)| Heal(p, d)),
        1 => (package(), point(), 0_u32..3).prop_map(|(p, d, version)| Holds(p, d, version)),
        2 => (package(), point()).prop_map(|(p, d)| RetryDue(p, d)),
        2 => Just(Wait),
        4 => Just(Settle),
        2 => (package(), any::<bool>()).prop_map(|(p, is_in)| Assign(p, is_in)),
        2 => (point(), any::<bool>()).prop_map(|(d, is_in)| Join(d, is_in)),
        1 => package().prop_map(Delete),
    ]
}

/// Lets it happen; what makes no sense at this moment is refused and changes nothing.
async fn carry_out(world: &World, ids: &[PackageId], happening: Happening) {
    let points = |d: usize| vec![dp(POINTS[d])];
    let operation = match happening {
        Happening::Add(p, d) => Operation::AddDistributionPoints { package: ids[p], points: points(d) },
        Happening::Remove(p, d) => Operation::RemoveDistributionPoints { package: ids[p], points: points(d) },
        Happening::Redistribute(p, d) => Operation::Redistribute { package: ids[p], points: points(d) },
        Happening::CancelDistribution(p, d) => {
            Operation::CancelDistribution { package: ids[p], points: points(d) }
        }
        Happening::Refresh(p) => Operation::RefreshPkgSource { package: ids[p] },
        Happening::CancelRefresh(p) => Operation::CancelRefresh { package: ids[p] },
        Happening::Delete(p) => Operation::DeletePackage { package: ids[p] },
        other => return report(world, ids, other).await,
    };
    if let Err(refused) = world.perform(operation).await {
        assert_ne!(refused.kind, restock_provider::ErrorKind::Failed, "{refused}");
    }
}

/// What loops and distribution points do.
async fn report(world: &World, ids: &[PackageId], happening: Happening) {
    match happening {
        Happening::Publish(p) => {
            world.publish(ids[p], 1).await;
        }
        Happening::FailRefresh(p) => {
            world.fail_refresh(ids[p], RETRY).await;
        }
        Happening::Report(p, d, report) => {
            world.report(ids[p], POINTS[d], report).await;
        }
        Happening::Install(p, d) => {
            world.install(ids[p], POINTS[d]).await;
        }
        Happening::Damage(p, d, damage) => {
            let version = serving(world, ids[p], d).await;
            world.happen(ids[p], POINTS[d], Event::DamageFound(version, damage), None).await;
        }
        Happening::Heal(p, d) => {
            let version = serving(world, ids[p], d).await;
            world.happen(ids[p], POINTS[d], Event::Healed(version), None).await;
        }
        Happening::Holds(p, d, version) => {
            world.happen(ids[p], POINTS[d], Event::Holds(SourceVersion(version)), None).await;
        }
        Happening::RetryDue(p, d) => {
            world.happen(ids[p], POINTS[d], Event::RetryDue, None).await;
        }
        Happening::Wait => world.clock.advance(Duration::from_secs(61)),
        Happening::Settle => settle(world, ids).await,
        Happening::Assign(p, is_in) => {
            let id = ids[p];
            world
                .change(move |tx| {
                    Box::pin(async move {
                        if is_in {
                            tx.insert_group_package("G1", id).await.map(|_| ())
                        } else {
                            tx.delete_group_package("G1", id).await.map(|_| ())
                        }
                    })
                })
                .await;
        }
        Happening::Join(d, is_in) => {
            world
                .change(move |tx| {
                    Box::pin(async move {
                        if is_in {
                            tx.insert_group_member("G1", &dp(POINTS[d])).await.map(|_| ())
                        } else {
                            tx.delete_group_member("G1", &dp(POINTS[d])).await.map(|_| ())
                        }
                    })
                })
                .await;
        }
        other => unreachable!("{other:?} is an operation"),
    }
}

async fn settle(world: &World, ids: &[PackageId]) {
    world.clock.advance(RETRY.delay);
    for id in ids {
        while world.publish(*id, 1).await {}
        for point in POINTS {
            if !world.report(*id, point, Report::Removed).await {
                continue;
            }
            world.install(*id, point).await;
        }
    }
}

async fn serving(world: &World, id: PackageId, d: usize) -> SourceVersion {
    let found: Result<Option<Target>, DatabaseError> = world
        .database()
        .read("serving", move |tx| Box::pin(async move { tx.target(id, &dp(POINTS[d])).await }))
        .await;
    found.unwrap().map_or(SourceVersion(0), |target| target.facts.serving)
}

/// Everything the database intends, read through its tables.
struct Truth {
    /// Every target with what the one table says of its state.
    targets: Vec<(Target, Columns)>,
    members: Vec<String>,
    assigned: Vec<PackageId>,
}

async fn truth(world: &World) -> Truth {
    let read: Result<_, DatabaseError> = world
        .database()
        .read("truth", |tx| {
            Box::pin(async move {
                let packages: BTreeMap<PackageId, SourceVersion> =
                    tx.packages().await?.into_iter().map(|p| (p.id, p.stored_version)).collect();
                let of = |target: Target| {
                    let facts = &target.facts;
                    let current = packages[&target.package];
                    let columns = Columns::of(facts.state, facts.serving, current, facts.cause);
                    (target, columns)
                };
                let targets = tx.targets().await?.into_iter().map(of).collect();
                let members = tx.group_members("G1").await?.iter().map(ToString::to_string).collect();
                Ok(Truth { targets, members, assigned: tx.group_packages("G1").await? })
            })
        })
        .await;
    read.unwrap()
}

fn numbers<const N: usize>(row: &Row, names: [&str; N]) -> [u64; N] {
    names.map(|name| row.number(name))
}

fn count<'t>(targets: impl Iterator<Item = &'t (Target, Columns)>) -> Counters {
    let mut counters = Counters::default();
    targets.for_each(|(_, columns)| counters.add(columns.counted));
    counters
}

/// The rows of a class by package and distribution point.
async fn by_target(world: &World, class: &str, nal_path: &str) -> BTreeMap<(String, String), Row> {
    let rows = world.rows(&format!("SELECT * FROM {class}")).await;
    let of_points = rows.into_iter().filter(|row| row.text(nal_path).starts_with("[\"Display"));
    of_points
        .map(|row| {
            let name = row.text(nal_path).rsplit('\\').nth(1).unwrap().to_owned();
            ((row.text("PackageID").to_owned(), name), row)
        })
        .collect()
}

async fn check(world: &World, ids: &[PackageId]) {
    let truth = truth(world).await;
    check_packages(world, ids, &truth).await;
    check_points(world, &truth).await;
    check_group(world, &truth).await;
    check_targets(world, &truth).await;
}

async fn check_packages(world: &World, ids: &[PackageId], truth: &Truth) {
    for id in ids {
        let c = count(truth.targets.iter().filter(|(target, _)| target.package == *id));
        assert_eq!(c.targeted, c.installed + c.retrying + c.failed + c.pending);
        let wanted = [c.targeted, c.installed, c.retrying, c.failed].map(u64::from);
        let names = ["Targeted", "Installed", "Retrying", "Failed"];
        let query = format!("SELECT * FROM SMS_PackageStatusRootSummarizer WHERE PackageID = '{id}'");
        assert_eq!(numbers(&world.row(&query).await, names), wanted);
        // A row for each site that has something to count; together they are the root.
        let query = format!("SELECT * FROM SMS_PackageStatusDetailSummarizer WHERE PackageID = '{id}'");
        let mut sum = [0; 4];
        for row in world.rows(&query).await {
            let is_at = |target: &Target| {
                target.other_site.unwrap_or(world.code).as_str() == row.text("SiteCode")
                    && target.package == *id
            };
            let c = count(truth.targets.iter().filter(|(target, _)| is_at(target)));
            let shown = numbers(&row, names);
            let wanted = [c.targeted, c.installed, c.retrying, c.failed].map(u64::from);
            assert_eq!(shown, wanted, "{id} at {}", row.text("SiteCode"));
            sum = std::array::from_fn(|at| sum[at] + shown[at]);
        }
        assert_eq!(sum, wanted, "{id}");
        let query = format!("SELECT * FROM SMS_ObjectContentExtraInfo WHERE ObjectID = '{id}'");
        let row = world.row(&query).await;
        let names = ["Targeted", "NumberSuccess", "NumberInProgress", "NumberErrors", "NumberUnknown"];
        let wanted = [c.targeted, c.installed, c.retrying + c.pending, c.failed, 0].map(u64::from);
        assert_eq!(numbers(&row, names), wanted);

        let mut by_type: BTreeMap<u64, u64> = BTreeMap::new();
        let query = format!("SELECT * FROM SMS_DistributionStatus WHERE ObjectID = '{id}'");
        for row in world.rows(&query).await {
            *by_type.entry(row.number("Type")).or_default() += row.number("Assets");
        }
        let wanted = [(1, c.installed), (2, c.retrying + c.pending), (4, c.failed)];
        for (state, number) in wanted {
            assert_eq!(by_type.get(&state).copied().unwrap_or(0), u64::from(number), "type {state} of {id}");
        }
    }
}

async fn check_points(world: &World, truth: &Truth) {
    for row in world.rows("SELECT * FROM SMS_DPStatusInfo").await {
        let name = row.text("Name");
        let c = count(truth.targets.iter().filter(|(target, _)| target.point.as_str() == name));
        let shown = numbers(&row, ["NumberInstalled", "NumberInProgress", "NumberErrors", "NumberUnknown"]);
        assert_eq!(shown, [c.installed, c.retrying + c.pending, c.failed, 0].map(u64::from), "{name}");
    }
}

async fn check_group(world: &World, truth: &Truth) {
    let is_in = |target: &Target| {
        truth.assigned.contains(&target.package) && truth.members.iter().any(|m| m == target.point.as_str())
    };
    let targets: Vec<&(Target, Columns)> = truth.targets.iter().filter(|(target, _)| is_in(target)).collect();
    let c = count(targets.iter().copied());
    let row = world.row("SELECT * FROM SMS_DPGroupInfo").await;
    let shown = numbers(&row, ["NumberSuccess", "NumberInProgress", "NumberErrors", "NumberUnknown"]);
    assert_eq!(shown, [c.installed, c.retrying + c.pending, c.failed, 0].map(u64::from));

    let details = world.rows("SELECT * FROM SMS_DPGroupDistributionStatusDetails").await;
    assert_eq!(details.len(), targets.len());
    for row in world.rows("SELECT * FROM SMS_DPGroupDistributionStatus").await {
        let category = row.number("MessageCategory");
        let of = details.iter().filter(|row| row.number("MessageCategory") == category);
        let points: std::collections::BTreeSet<&str> = of.clone().map(|row| row.text("DPName")).collect();
        let packages: std::collections::BTreeSet<&str> = of.map(|row| row.text("PackageID")).collect();
        let wanted = [points.len() as u64, packages.len() as u64];
        assert_eq!(numbers(&row, ["Assets", "ContentCount"]), wanted, "{category}");
    }
}

async fn check_targets(world: &World, truth: &Truth) {
    let summarizer = by_target(world, "SMS_PackageStatusDistPointsSummarizer", "ServerNALPath").await;
    let status = by_target(world, "SMS_PackageStatus", "PkgServer").await;
    let points = by_target(world, "SMS_DistributionPoint", "ServerNALPath").await;
    let distribution = by_target(world, "SMS_DistributionDPStatus", "NalPath").await;
    let details = by_target(world, "SMS_DPStatusDetails", "NALPath").await;
    for rows in [&summarizer, &status, &points, &distribution, &details] {
        assert_eq!(rows.len(), truth.targets.len());
    }
    for (target, columns) in &truth.targets {
        let key = (target.package.to_string(), target.point.to_string());
        let state: TargetState = target.facts.state;
        let shown = [
            summarizer[&key].number("State"),
            summarizer[&key].number("SourceVersion"),
            status[&key].number("Status"),
            points[&key].number("Status"),
        ];
        let wanted =
            [columns.summarizer_state, target.facts.serving.0, columns.package_status, columns.point_status];
        assert_eq!(shown, wanted.map(u64::from), "{state:?}");
        for row in [&distribution[&key], &details[&key]] {
            let wanted = [columns.message_state, columns.message_id.unwrap_or(0)].map(u64::from);
            assert_eq!(numbers(row, ["MessageState", "MessageID"]), wanted, "{state:?}");
            assert_eq!(row.text("InsString1"), key.0);
        }
    }
}

/// Puts a package and the first two distribution points into a group G1.
async fn make_group(world: &World, first: PackageId) {
    world
        .change(move |tx| {
            Box::pin(async move {
                tx.insert_group(&Group {
                    id: "G1".to_owned(),
                    name: "all".to_owned(),
                    description: String::new(),
                    source_site: "XYZ".parse().unwrap(),
                    created_by: String::new(),
                    created_at: NOW,
                    modified_by: String::new(),
                    modified_at: NOW,
                })
                .await?;
                tx.insert_group_package("G1", first).await?;
                for point in ["DP01", "DP02"] {
                    tx.insert_group_member("G1", &dp(point)).await?;
                }
                Ok(())
            })
        })
        .await;
}

async fn run(happenings: Vec<Happening>) {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..PACKAGES {
        ids.push(world.create(&format!("package {number}")).await);
    }
    make_group(&world, ids[0]).await;
    for id in &ids {
        world.distribute(*id, &POINTS).await;
    }
    settle(&world, &ids).await;
    check(&world, &ids).await;
    for happening in happenings {
        carry_out(&world, &ids, happening).await;
        check(&world, &ids).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_classes_agree_and_the_counters_add_up(
        happenings in proptest::collection::vec(happening(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(happenings));
    }
}
