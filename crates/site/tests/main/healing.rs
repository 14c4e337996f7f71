//! What a site lost comes back from a site next to it.

use std::os::unix::fs::PermissionsExt;

use restock_content::library::Library;

use crate::world::{Running, dp, eventually, look, noise};

/// Spoils every frame of a library.
fn spoil(library: &Library) {
    for entry in std::fs::read_dir(library.folder().join("packs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "data") {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.iter_mut().step_by(50).for_each(|byte| *byte ^= 1);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

async fn is_mended(site: &Running) -> bool {
    let scrubs = site.site.scrub_loop();
    // What lies beneath lost pages is found when they are back.
    scrubs.run_once(site.site.clock().now(), true).await.unwrap();
    let library = site.site.library();
    let check = library.check(|_| std::ops::ControlFlow::Continue(())).unwrap();
    check.incomplete.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_lost_comes_back_from_the_one_below_and_the_other_way() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    top.write("app", "a.bin", noise(1, 300_000));
    top.write("app", "b.txt", "words");
    let id = top.package("app").await;
    eventually!("version 1 is stored", top.versions(id).await == (1, 1));
    let point = low.point("DP01").await;
    eventually!("the point is known", look!(top.site, |tx| tx.point(&dp("DP01")).await).is_some());
    top.target(id, "DP01").await;
    eventually!("it is installed", low.is_installed(id, "DP01", 1).await);
    drop(point.stop().await);
    // The source has something else: only the site below, whose point is gone, can help.
    top.write("app", "a.bin", noise(2, 300_000));
    top.write("app", "b.txt", "other");
    spoil(top.site.library());
    eventually!("the owner is whole", is_mended(&top).await);
    assert_eq!(top.versions(id).await, (1, 1), "no other version was made");
    spoil(low.site.library());
    eventually!("the site below is whole", is_mended(&low).await);
}
