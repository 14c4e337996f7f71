//! Versions travel to the distribution points of other sites, and to nobody else.

use restock_names::ContentVersion;
use restock_sitedb::announced::Announced;
use restock_sitedb::state::{Event, TargetState};

use crate::world::{Running, dp, eventually, look, noise};

async fn announced(site: &Running, id: restock_names::PackageId) -> Option<Announced> {
    look!(site.site, |tx| tx.announced(id).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_reaches_a_grandchilds_point_and_the_middle_only_passes_it_on() {
    let top = Running::top("TOP").await;
    let middle = top.below("MID").await;
    let low = middle.below("LOW").await;
    let idle = top.below("IDL").await;
    top.write("app", "a.bin", noise(1, 300_000));
    let id = top.package("app").await;
    eventually!("version 1 is stored", top.versions(id).await == (1, 1));
    let point = low.point("DP01").await;
    eventually!("the point is known at the top", look!(top.site, |tx| tx.point(&dp("DP01")).await).is_some());
    // Targeted at the owner, two levels above the point.
    top.target(id, "DP01").await;
    eventually!("it is installed", low.is_installed(id, "DP01", 1).await);
    assert_eq!(point.serves(id).unwrap().version.0, 1);
    eventually!("the owner sees it", top.is_installed(id, "DP01", 1).await);
    eventually!("the middle sees it", middle.is_installed(id, "DP01", 1).await);

    top.write("app", "b.bin", noise(2, 200_000));
    top.ask(id).await;
    assert_ne!(top.state(id, "DP01").await, Some(TargetState::Installed), "in the same transaction");
    eventually!("version 2 is installed", top.is_installed(id, "DP01", 2).await);
    assert_eq!(point.serves(id).unwrap().version.0, 2);
    for site in [&middle, &low, &idle] {
        eventually!("the row is everywhere", site.versions(id).await.0 == 2);
    }
    // The middle held it while it was on its way, and has no version of its own.
    assert_eq!(middle.versions(id).await.1, 0);
    assert!(middle.site.library().active(&id).is_none());
    eventually!("the draft is dropped", {
        announced(&middle, id).await.is_some_and(|held| held.lease_until.is_none())
            && middle.site.library().statements(&id).unwrap().is_empty()
    });
    // The new frames went over each link once.
    let (sent, _) = top.content("MID");
    assert!((500_000..540_000).contains(&sent), "{sent} bytes for 500,000");
    let (sent, _) = middle.content("LOW");
    assert!((500_000..540_000).contains(&sent), "{sent} bytes for 500,000");
    // Who needs nothing gets the row and no bytes.
    assert_eq!((top.content("IDL"), idle.content("TOP")), ((0, 0), (0, 0)));
    assert_eq!(idle.versions(id).await, (2, 0));
    // Each step was said where it happened.
    assert!(top.message_ids(id).await.contains(&2333));
    let below = low.message_ids(id).await;
    for message in [4400, 2311, 2301, 2342, 2330] {
        assert!(below.contains(&message), "{message} in {below:?}");
    }
    eventually!("and is told upwards", top.message_ids(id).await.contains(&4400));
}

#[tokio::test(flavor = "multi_thread")]
async fn local_points_and_sites_below_get_a_version_together() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let _near = top.point("DP01").await;
    let far = low.point("DP02").await;
    eventually!("the point is known", look!(top.site, |tx| tx.point(&dp("DP02")).await).is_some());
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    top.target(id, "DP01").await;
    top.target(id, "DP02").await;
    eventually!("both have it", {
        top.is_installed(id, "DP01", 1).await && top.is_installed(id, "DP02", 1).await
    });
    // The point of the other site is not told by this one.
    assert_eq!(far.serves(id).unwrap().version.0, 1);
    assert!(top.content("LOW").1 < 1_000, "requests come from below, no content");
    // Taken away again, the other point stays.
    top.tell(id, "DP02", Event::RemoveAsked).await;
    eventually!("it is removed", far.serves(id).is_none());
    eventually!("and its target is gone", {
        top.state(id, "DP02").await.is_none() && low.state(id, "DP02").await.is_none()
    });
    assert!(top.is_installed(id, "DP01", 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_away_acts_by_itself_and_converges_when_it_comes_back() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let first = low.point("DP01").await;
    let second = low.point("DP02").await;
    eventually!("the points are known", look!(top.site, |tx| tx.point(&dp("DP02")).await).is_some());
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    top.target(id, "DP01").await;
    eventually!("it is installed", top.is_installed(id, "DP01", 1).await);

    // The site above is away: what is stored is distributed all the same.
    let (config, folder) = top.stop().await;
    low.target(id, "DP02").await;
    eventually!("another point gets it", low.is_installed(id, "DP02", 1).await);
    assert_eq!(second.serves(id).unwrap().version.0, 1);

    // The site below is away: it follows when it comes back.
    let (low_config, low_folder) = low.stop().await;
    let first = first.stop().await;
    let top = Running::start(config, folder).await;
    top.write("app", "a.txt", "two");
    top.ask(id).await;
    eventually!("version 2 is made", top.versions(id).await == (2, 2));
    top.write("app", "a.txt", "three");
    top.ask(id).await;
    eventually!("version 3 is made", top.versions(id).await == (3, 3));
    assert!(!top.is_connected("LOW").await);
    assert!(top.tree_row("LOW").await.backlog_objects > 0);
    let low = Running::start(low_config, low_folder).await;
    let first = crate::point::Point::started(first);
    for site in [&top, &low] {
        eventually!("both points serve version 3", {
            site.is_installed(id, "DP01", 3).await && site.is_installed(id, "DP02", 3).await
        });
    }
    assert_eq!(first.serves(id).unwrap().version.0, 3);
    eventually!("nothing is left to send", top.tree_row("LOW").await.backlog_objects == 0);
    eventually!("and nothing is behind", top.tree_row("LOW").await.packages_behind == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_package_leaves_every_site_and_point_also_those_that_were_away() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let away = top.below("AWY").await;
    let near = top.point("DP01").await;
    let far = low.point("DP02").await;
    let off = away.point("DP03").await;
    for point in ["DP02", "DP03"] {
        eventually!("the point is known", look!(top.site, |tx| tx.point(&dp(point)).await).is_some());
    }
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    for point in ["DP01", "DP02", "DP03"] {
        top.target(id, point).await;
        eventually!("it is installed", top.is_installed(id, point, 1).await);
    }
    let (config, folder) = away.stop().await;
    let off = off.stop().await;
    top.delete(id).await;
    eventually!("it is gone near", near.serves(id).is_none() && far.serves(id).is_none());
    eventually!("and below", low.state(id, "DP02").await.is_none());
    // The one that was away still has it; the row waits for that.
    assert!(top.found(id).await.is_some_and(|package| package.is_deleting));
    let away = Running::start(config, folder).await;
    let off = crate::point::Point::started(off);
    eventually!("it leaves that one too", off.serves(id).is_none());
    for point in ["DP01", "DP02", "DP03"] {
        eventually!(format!("the owner has no target {point} left"), top.state(id, point).await.is_none());
    }
    for site in [&top, &low, &away] {
        let code = site.code();
        eventually!(format!("{code} does not know it any more"), site.found(id).await.is_none());
        eventually!("no statement is left", site.site.library().statements(&id).unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_grandchild_owns_is_passed_on_upwards() {
    let top = Running::top("TOP").await;
    let middle = top.below("MID").await;
    let low = middle.below("LOW").await;
    low.write("app", "a.bin", noise(3, 100_000));
    let id = low.package("app").await;
    let point = top.point("DP01").await;
    eventually!("the package is known at the top", top.found(id).await.is_some());
    top.target(id, "DP01").await;
    eventually!("it is installed", top.is_installed(id, "DP01", 1).await);
    let held: ContentVersion = point.serves(id).unwrap();
    assert_eq!(held.version.0, 1);
    eventually!("the owner sees it", low.is_installed(id, "DP01", 1).await);
    assert_eq!(middle.versions(id).await.1, 0);
    eventually!("the draft is dropped", middle.site.library().statements(&id).unwrap().is_empty());
    assert!(middle.content("TOP").0 < 110_000 && low.content("MID").0 < 110_000);
}
