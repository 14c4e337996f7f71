//! Who owns a package, who may refresh it, and what becomes of it when the owner goes.

use restock_names::{Clock as _, PackageId, SystemClock};

use crate::world::{Running, change, code, dp, eventually, look, noise};

impl Running {
    async fn give_to(&self, id: PackageId, to: &str) {
        let (to, now) = (code(to), SystemClock.now());
        let is_here = to == self.site.code();
        change!(self.site, |tx| {
            tx.set_source_site(id, to, now).await?;
            if is_here {
                tx.source_set_here(id).await?;
            }
            Ok(())
        });
    }

    async fn owner(&self, id: PackageId) -> Option<restock_names::SiteCode> {
        self.found(id).await.map(|package| package.source_site)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_asked_elsewhere_is_forwarded_to_the_owner_and_ends() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let point = low.point("DP01").await;
    eventually!("the point is known", look!(top.site, |tx| tx.point(&dp("DP01")).await).is_some());
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    top.target(id, "DP01").await;
    eventually!("it is installed", low.is_installed(id, "DP01", 1).await);
    eventually!("and seen above", top.is_installed(id, "DP01", 1).await);

    // While the owner is away it waits, visibly.
    let (config, folder) = top.stop().await;
    low.ask(id).await;
    assert!(!low.is_installed(id, "DP01", 1).await, "in the same transaction");
    let why = low.refresh(id).await.why.unwrap();
    assert_eq!(why.rule, "WAITING_FOR_OWNER");
    assert!(why.text.contains("TOP"), "{why:?}");
    let top = Running::start(config, folder).await;
    for site in [&top, &low] {
        eventually!("the owner made version 2", site.is_installed(id, "DP01", 2).await);
        eventually!("and no request is left", !site.refresh(id).await.is_pending());
    }
    assert_eq!(point.serves(id).unwrap().version.0, 2);
    assert_eq!(top.versions(id).await, (2, 2), "one refresh is one step");
}

#[tokio::test(flavor = "multi_thread")]
async fn ownership_moves_without_files_and_without_a_second_content_of_one_version() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let near = top.point("DP01").await;
    let far = low.point("DP02").await;
    eventually!("the point is known", look!(top.site, |tx| tx.point(&dp("DP02")).await).is_some());
    top.write("app", "a.txt", "of the top");
    let id = top.package("app").await;
    for point in ["DP01", "DP02"] {
        top.target(id, point).await;
        eventually!("it is installed", top.is_installed(id, point, 1).await);
    }
    eventually!("the link is quiet", top.tree_row("LOW").await.backlog_objects == 0);
    let (sent, _) = top.content("LOW");

    top.give_to(id, "LOW").await;
    eventually!("everybody knows", low.owner(id).await == Some(code("LOW")));
    assert_eq!(top.content("LOW").0, sent, "no file moved");
    assert_eq!(low.versions(id).await, (1, 1));
    // The new owner reads its own folder. The old one forwards.
    low.write("app", "a.txt", "of the low");
    top.ask(id).await;
    for (site, point) in [(&top, "DP01"), (&low, "DP02")] {
        eventually!("version 2 is installed", site.is_installed(id, point, 2).await);
    }
    let (a, b) = (near.serves(id).unwrap(), far.serves(id).unwrap());
    assert_eq!(a, b);
    assert_eq!((a.epoch.generation(), a.epoch.signer(id)), (1, Some(code("LOW"))));

    // And back: the site that is asked to unlock becomes the owner.
    top.give_to(id, "TOP").await;
    eventually!("everybody knows", low.owner(id).await == Some(code("TOP")));
    top.ask(id).await;
    for (site, point) in [(&top, "DP01"), (&low, "DP02")] {
        eventually!("version 3 is installed", site.is_installed(id, point, 3).await);
    }
    let held = near.serves(id).unwrap();
    assert_eq!((held.epoch.generation(), held.epoch.signer(id)), (2, Some(code("TOP"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sites_that_took_one_package_while_apart_make_two_versions_and_one_stands() {
    let top = Running::top("TOP").await;
    let left = top.below("LFT").await;
    let right = top.below("RGT").await;
    top.write("app", "a.txt", "of the top");
    left.write("app", "a.txt", "of the left");
    right.write("app", "a.txt", "of the right");
    let id = top.package("app").await;
    for site in [&left, &right] {
        eventually!("it is known", site.versions(id).await.0 == 1);
    }
    // The site between them is away; each takes the package and refreshes it.
    let (config, folder) = top.stop().await;
    for (site, own) in [(&left, "LFT"), (&right, "RGT")] {
        site.give_to(id, own).await;
        site.ask(id).await;
        eventually!("it makes version 2", {
            let active = site.site.library().active(&id);
            active.is_some_and(|active| active.version.version.0 == 2)
        });
    }
    let of = |site: &Running| site.site.library().active(&id).unwrap();
    let (a, b) = (of(&left), of(&right));
    assert_ne!(a.version.epoch, b.version.epoch, "never one version of two contents");
    let top = Running::start(config, folder).await;
    let winner = if a.version.epoch > b.version.epoch { "LFT" } else { "RGT" };
    for site in [&top, &left, &right] {
        eventually!("one owner stands", site.owner(id).await == Some(code(winner)));
    }
    // Whoever asks, the owner makes the next version, above both. What the other made is asked for once
    // more, which may come to a version of its own.
    left.ask(id).await;
    for site in [&top, &left, &right] {
        eventually!("a version above both is known", (3..=4).contains(&site.versions(id).await.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_whose_owner_was_removed_is_adopted() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let point = top.point("DP01").await;
    low.write("app", "a.txt", "one");
    let id = low.package("app").await;
    eventually!("it is known", top.found(id).await.is_some());
    top.target(id, "DP01").await;
    eventually!("it is installed", top.is_installed(id, "DP01", 1).await);
    top.site.remove_site(code("LOW")).await.unwrap();
    let is_orphaned = look!(top.site, |tx| {
        let package = tx.package(id).await?.unwrap();
        tx.is_orphaned(&package).await
    });
    assert!(is_orphaned);
    top.write("app", "a.txt", "mine");
    top.give_to(id, "TOP").await;
    top.ask(id).await;
    eventually!("version 2 is installed", top.is_installed(id, "DP01", 2).await);
    assert_eq!(point.serves(id).unwrap().epoch.signer(id), Some(code("TOP")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_reads_the_source_while_the_package_is_given_away_publishes_nothing() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    top.write("app", "a.bin", noise(1, 1_000));
    let id = top.package("app").await;
    eventually!("version 1 is known", low.versions(id).await.0 == 1 && top.versions(id).await == (1, 1));
    for file in 0..8 {
        top.write("app", &format!("{file}.bin"), noise(file, 8_000_000));
    }
    top.ask(id).await;
    eventually!("it runs", !top.site.progress().snapshot().refreshes.is_empty());
    top.give_to(id, "LOW").await;
    eventually!("the run has ended", top.site.progress().snapshot().refreshes.is_empty());
    assert_eq!(top.versions(id).await, (1, 1));
    eventually!("no statement of it is left", {
        let kept = top.site.library().statements(&id).unwrap();
        kept.iter().map(|found| found.version.version.0).eq([1])
    });
    // The new owner is asked for what the old one did not end; it has no such folder.
    eventually!("the request went over", {
        low.refresh(id).await.why.is_some_and(|why| why.rule.starts_with("SOURCE_"))
    });
}
