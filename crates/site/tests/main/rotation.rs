//! The authority of a running site is changed, and its points and sites below follow.

use std::time::Duration;

use restock_names::{Clock as _, SystemClock};
use restock_transfer::Rotation;

use crate::world::{Running, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_changed_when_points_and_sites_have_moved_and_all_hear_of_it() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let _point = top.point("DP01").await;
    eventually!("the site below is up", top.is_connected("LOW").await);
    let trust = top.site.shared_trust();
    let before = trust.authority_fingerprint();
    let begin = {
        let trust = top.site.shared_trust();
        move || trust.begin_rotation(Rotation::PERIOD, SystemClock.now())
    };
    let begun = tokio::task::spawn_blocking(begin).await.unwrap().unwrap();
    assert_eq!(begun.oldest, before);
    eventually!("the change has ended", trust.rotation().is_none());
    assert_eq!(trust.authority_fingerprint(), begun.newest);
    let newest = begun.newest.to_string();
    eventually!("its row says so", top.row("TOP").await.unwrap().ca_fingerprint == newest);
    eventually!("the site below knows", low.row("TOP").await.unwrap().ca_fingerprint == newest);
    // All goes on: content reaches the point, and who joins now is let in.
    eventually!("the site below is up again", low.is_connected("TOP").await);
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    top.target(id, "DP01").await;
    eventually!("the point serves it", top.serves(id, "DP01").await == 1);
    eventually!("the site below has the row", low.versions(id).await.0 == 1);
    let late = top.below("NEW").await;
    eventually!("a new site is up", late.is_connected("TOP").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_does_not_come_keeps_both_authorities_until_the_time_is_over() {
    let top = Running::top("TOP").await;
    let away = top.token(restock_site::TokenKind::DistributionPoint, "DP01").await;
    let folder = top.path("identity-DP01");
    restock_transfer::enrol(&top.url, &away.parse().unwrap(), &folder).await.unwrap();
    let (trust, period) = (top.site.shared_trust(), Duration::from_secs(2));
    let begun = trust.begin_rotation(period, SystemClock.now()).unwrap();
    eventually!("the change has ended", trust.rotation().is_none());
    assert!(SystemClock.now() >= begun.ends_at, "not before its time");
    assert_eq!(trust.authority_fingerprint(), begun.newest);
}
