//! The same with two sites, each of which shows the distribution points of both: whatever happens at
//! either, and whatever has not reached the other yet, the classes of each site agree. Once all has
//! arrived both sites count the same.

use restock_names::PackageId;
use restock_sitedb::DatabaseError;
use restock_sitedb::hierarchy::SiteType;

use proptest::prelude::*;

use super::{Happening, PACKAGES, POINTS, RETRY, carry_out, check, happening, numbers};
use crate::sites::Sites;
use crate::views::world::World;

/// The site of each of [`POINTS`]; the first owns the packages.
const SITES: [&str; 3] = ["XYZ", "XYZ", "ABC"];

/// Something that happens, and the site where people do it.
#[derive(Debug, Clone, Copy)]
enum Step {
    At(&'static str, Happening),
    /// Everything that was said arrives.
    Sync,
    /// The site below fetches what it lacks.
    Fetch,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop_oneof![Just("XYZ"), Just("ABC")], happening()).prop_map(|(site, what)| Step::At(site, what)),
        3 => Just(Step::Sync),
        2 => Just(Step::Fetch),
    ]
}

async fn carry_out_at(sites: &Sites, ids: &[PackageId], at: &str, what: Happening) {
    use Happening::{Damage, FailRefresh, Heal, Holds, Install, Publish, Report, RetryDue, Settle, Wait};
    // What loops and distribution points do is done at their sites.
    let at = match what {
        Publish(_) | FailRefresh(_) => SITES[0],
        Report(_, d, _) | Install(_, d) | Damage(_, d, _) | Heal(_, d) | Holds(_, d, _) | RetryDue(_, d) => {
            SITES[d]
        }
        _ => at,
    };
    match what {
        Publish(p) => {
            sites.at(at).publish_announced(ids[p], 1).await;
        }
        Settle => settle(sites, ids).await,
        Wait => {
            for world in &sites.worlds {
                world.clock.advance(RETRY.delay);
            }
        }
        what => carry_out(sites.at(at), ids, what).await,
    }
}

/// Fetches at the site below what it lacks.
async fn fetch(world: &World, ids: &[PackageId]) {
    let now = world.now();
    for id in ids.iter().copied() {
        let done: Result<(), DatabaseError> = world
            .database()
            .transact("fetch", move |tx| {
                Box::pin(async move {
                    let (package, announced) = (tx.package(id).await?, tx.announced(id).await?);
                    let (Some(package), Some(announced)) = (package, announced) else { return Ok(()) };
                    if !package.is_deleting && announced.version.content.version > package.stored_version {
                        assert!(tx.content_arrived(&announced, now).await?);
                    }
                    Ok(())
                })
            })
            .await;
        done.unwrap();
    }
}

/// Lets everything that is under way end well, at both sites.
async fn settle(sites: &Sites, ids: &[PackageId]) {
    for world in &sites.worlds {
        world.clock.advance(RETRY.delay);
    }
    for _round in 0..4 {
        sites.sync().await;
        for id in ids {
            while sites.at(SITES[0]).publish_announced(*id, 1).await {}
        }
        sites.sync().await;
        fetch(sites.at("ABC"), ids).await;
        for id in ids {
            for (point, site) in POINTS.into_iter().zip(SITES) {
                if sites.at(site).report(*id, point, super::Report::Removed).await {
                    sites.at(site).install(*id, point).await;
                }
            }
        }
    }
    sites.sync().await;
}

/// The counters of a package at a site.
async fn counters(world: &World, id: PackageId) -> Vec<[u64; 4]> {
    let query = format!("SELECT * FROM SMS_PackageStatusRootSummarizer WHERE PackageID = '{id}'");
    let rows = world.rows(&query).await;
    rows.iter().map(|row| numbers(row, ["Targeted", "Installed", "Retrying", "Failed"])).collect()
}

async fn run(steps: Vec<Step>) {
    let primary = SiteType::Primary;
    let sites =
        Sites::new(&[("XYZ", primary, None, &["DP01", "DP02"]), ("ABC", primary, Some("XYZ"), &["DP03"])])
            .await;
    let owner = sites.at("XYZ");
    let mut ids = Vec::new();
    for number in 0..PACKAGES {
        ids.push(owner.create(&format!("package {number}")).await);
    }
    super::make_group(owner, ids[0]).await;
    for id in &ids {
        owner.distribute(*id, &POINTS).await;
    }
    settle(&sites, &ids).await;
    for world in &sites.worlds {
        check(world, &ids).await;
        for id in &ids {
            assert_eq!(counters(world, *id).await, [[3, 3, 0, 0]], "{id} at {}", world.code);
        }
    }
    for step in steps {
        match step {
            Step::At(site, what) => carry_out_at(&sites, &ids, site, what).await,
            Step::Sync => sites.sync().await,
            Step::Fetch => fetch(sites.at("ABC"), &ids).await,
        }
        for world in &sites.worlds {
            check(world, &ids).await;
        }
    }
    sites.sync().await;
    // While a refresh waits, a cancel at the point's own site is shown elsewhere once the refresh has ended.
    let mut ended = Vec::new();
    for id in &ids {
        if !is_refreshing(owner, *id).await && !is_refreshing(sites.at("ABC"), *id).await {
            ended.push(*id);
        }
    }
    count_alike(&sites, &ended, "once all has arrived").await;
    settle(&sites, &ids).await;
    count_alike(&sites, &ids, "once all has ended").await;
}

async fn is_refreshing(world: &World, id: PackageId) -> bool {
    let refresh: Result<_, DatabaseError> =
        world.database().read("refresh", move |tx| Box::pin(async move { tx.refresh(id).await })).await;
    refresh.unwrap().is_some_and(|refresh| refresh.is_pending())
}

async fn count_alike(sites: &Sites, ids: &[PackageId], when: &str) {
    for id in ids {
        let (here, there) = (counters(sites.at("XYZ"), *id).await, counters(sites.at("ABC"), *id).await);
        assert_eq!(here, there, "{id} {when}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_at_two_sites_the_classes_of_each_agree_and_in_the_end_both_count_alike(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
