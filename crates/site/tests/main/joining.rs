//! Sites that join, leave and are removed.

use restock_site::{LinkState, Site, SiteConfig, SiteError, SiteType, TokenKind};
use restock_sitedb::hierarchy::STATUS_DELETED;
use std::sync::Arc;

use restock_names::SystemClock;

use crate::world::{Running, code, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn three_levels_know_each_other() {
    let top = Running::of_type("CEN", SiteType::Central).await;
    let middle = top.below("PRI").await;
    let bottom = middle.below("SEC").await;
    eventually!("all sites know all", {
        let mut all = true;
        for site in [&top, &middle, &bottom] {
            all &= site.site.tree().await.unwrap().rows.len() == 3;
        }
        all
    });
    let rows = bottom.site.tree().await.unwrap().rows;
    let shape: Vec<(&str, u32, u32)> =
        rows.iter().map(|row| (row.code.as_str(), row.depth, row.site_type)).collect();
    assert_eq!(shape, [("CEN", 0, 4), ("PRI", 1, 2), ("SEC", 2, 2)]);
    eventually!("the links are up", {
        top.tree_row("PRI").await.link == LinkState::Connected
            && bottom.tree_row("PRI").await.link == LinkState::Connected
    });
    assert_eq!(top.tree_row("SEC").await.link, LinkState::Beyond);
    assert_eq!(top.tree_row("CEN").await.link, LinkState::Own);
    eventually!("nothing is left to send", top.tree_row("PRI").await.backlog_objects == 0);
    // Their keys reach the list that distribution points follow.
    eventually!("keys of all sites are accepted", {
        bottom.site.shared_trust().key_list().foreign.len() == 2
            && top.site.shared_trust().key_list().foreign.len() == 2
    });
}

async fn refusal(at: &Running, config: &SiteConfig, code: &str) -> String {
    at.join(config, code).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_stands_in_one_place_without_circles_and_with_a_code_of_its_own() {
    let top = Running::top("TOP").await;
    let below = top.below("LOW").await;
    let (config, _folder) = top.made_below("OTH").await;

    // The one above cannot be joined below, and who stands somewhere joins nobody else.
    let (top_config, top_folder) = top.stop().await;
    let text = refusal(&below, &top_config, "TOP").await;
    assert!(text.starts_with("SITE_LOOP"), "{text}");
    let top = Running::start(top_config, top_folder).await;
    let (low_config, low_folder) = below.stop().await;
    let text = refusal(&top, &low_config, "LOW").await;
    assert!(text.starts_with("SITE_HAS_PARENT"), "{text}");
    let below = Running::start(low_config, low_folder).await;

    // Another site with a code that is taken.
    let (twin, _twin_folder) = top.made_below("LOW").await;
    let text = refusal(&top, &twin, "LOW").await;
    assert!(text.starts_with("SITE_CODE_USED"), "{text}");
    // A token of another name, of a point, and one that was used.
    let token = top.token(TokenKind::Site, "XXX").await;
    let own = "restock://oth.example:8720".parse().unwrap();
    let clock = || Arc::new(SystemClock);
    let named = Site::join(&config, &top.url, &token, &own, clock()).await.unwrap_err();
    assert!(named.to_string().starts_with("TOKEN_NAME"), "{named}");
    let point = top.token(TokenKind::DistributionPoint, "OTH").await;
    let kind = Site::join(&config, &top.url, &point, &own, clock()).await.unwrap_err();
    assert!(kind.to_string().starts_with("TOKEN_KIND"), "{kind}");
    assert!(matches!(Site::join(&config, &top.url, "rj1_x", &own, clock()).await, Err(SiteError::Token(_))));
    top.join(&config, "OTH").await.unwrap();
    assert_eq!(top.row("OTH").await.unwrap().parent, Some(code("TOP")));
    drop(below);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_central_site_stands_at_the_top_and_has_no_points() {
    let central = Running::of_type("CEN", SiteType::Central).await;
    let name = "DP01".parse().unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let refused = central.site.create_token(TokenKind::DistributionPoint, &name, hour).await.unwrap_err();
    assert!(refused.to_string().starts_with("SITE_TYPE"), "{refused}");
    let top = Running::top("TOP").await;
    let (config, _folder) = central.stop().await;
    let refused = top.join(&config, "CEN").await.unwrap_err();
    assert!(refused.to_string().starts_with("SITE_TYPE"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_leaves_is_gone_above_and_can_come_back() {
    let top = Running::top("TOP").await;
    let below = top.below("LOW").await;
    eventually!("they are connected", top.is_connected("LOW").await && below.is_connected("TOP").await);
    eventually!("they know each other", below.row("TOP").await.is_some_and(|row| !row.key_list.is_empty()));
    let left = below.site.leave().await.unwrap();
    assert_eq!((left.parent, left.is_told), (code("TOP"), true));
    assert!(matches!(below.site.leave().await, Err(SiteError::Top)));
    assert!(below.link("TOP").await.is_none());
    eventually!("it is gone above", top.row("LOW").await.is_some_and(|row| row.status == STATUS_DELETED));
    eventually!("its link is cut", top.link("LOW").await.is_some_and(|link| link.is_revoked));

    let (config, folder) = below.stop().await;
    top.join(&config, "LOW").await.unwrap();
    let below = Running::start(config, folder).await;
    eventually!("it is back", {
        top.is_connected("LOW").await && top.row("LOW").await.unwrap().status != STATUS_DELETED
    });
    drop(below);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_site_is_cut_off_at_once_with_what_stands_below_it() {
    let top = Running::top("TOP").await;
    let middle = top.below("MID").await;
    let bottom = middle.below("LOW").await;
    eventually!("the grandchild is known", top.row("LOW").await.is_some());
    eventually!("they are connected", top.is_connected("MID").await);
    assert!(matches!(top.site.remove_site(code("LOW")).await, Err(SiteError::NotBelow(_))));
    let removed = top.site.remove_site(code("MID")).await.unwrap();
    assert_eq!((removed.site, removed.with), (code("MID"), vec![code("LOW")]));
    assert!(!top.site.links().is_site_connected(code("MID")), "at once");
    for site in ["MID", "LOW"] {
        assert_eq!(top.row(site).await.unwrap().status, STATUS_DELETED);
    }
    // It tries again and is refused, and shows why.
    eventually!("it is refused", {
        middle.link("TOP").await.unwrap().why.is_some_and(|why| why.rule == "IDENTITY")
    });
    assert!(!top.is_connected("MID").await);
    eventually!("what is below it goes on", middle.is_connected("LOW").await);
    drop(bottom);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_above_that_moves_is_followed_to_its_new_address() {
    let top = Running::top("TOP").await;
    let below = top.below("LOW").await;
    eventually!("they are connected", below.is_connected("TOP").await);
    // It says where it will be, then it is there.
    let moved = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut config, folder) = top.stop().await;
    let before = config.link_listen;
    config.url = Some(restock_transfer::SiteUrl::of_address(moved));
    let top = Running::start(config, folder).await;
    eventually!("the new address is known", {
        below.row("TOP").await.is_some_and(|row| row.url.ends_with(&moved.port().to_string()))
    });
    let (mut config, folder) = top.stop().await;
    assert_eq!(config.link_listen, before);
    config.link_listen = moved;
    let top = Running::start(config, folder).await;
    eventually!("it is followed", top.is_connected("LOW").await && below.is_connected("TOP").await);
}
