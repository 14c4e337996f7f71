//! Backups, restores and promotions: versions never go back.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use restock_names::{Clock as _, SystemClock};
use restock_site::{Site, SiteError};

use crate::point::Point;
use crate::world::{Running, change, code, dp, eventually, look};

fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_private_complete_and_never_written_over_another() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let file = low.path("low.backup");
    let made = low.site.backup(&file).await.unwrap();
    assert_eq!((made.site, made.bytes), (code("LOW"), file.metadata().unwrap().len()));
    assert!(made.files >= 12, "database, keys and enrolment: {}", made.files);
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
    assert!(matches!(low.site.backup(&file).await, Err(SiteError::BackupExists(_))));
    // Not into a folder that holds a site; nothing of a damaged one.
    assert!(matches!(
        Site::restore(&low.config, &file, clock()).await,
        Err(SiteError::Exists { code: found, .. }) if found == code("LOW")
    ));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let bad = low.path("bad.backup");
    std::fs::write(&bad, bytes).unwrap();
    let mut config = low.config.clone();
    config.data = low.path("elsewhere");
    let refused = Site::restore(&config, &bad, clock()).await.unwrap_err();
    assert!(refused.to_string().starts_with("BACKUP_DAMAGED"), "{refused}");
    assert!(!config.data.join("keys").exists() && !config.data.join("site.db").exists());
    let restored = Site::restore(&config, &file, clock()).await.unwrap();
    assert_eq!((restored.site, restored.epoch.generation()), (code("LOW"), 1));
    assert!(!config.data.join("restoring").exists());
    for folder in ["keys", "join"] {
        for entry in std::fs::read_dir(config.data.join(folder)).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o7777, 0o600);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_restored_from_an_old_backup_goes_on_above_what_the_others_saw() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let near = top.point("DP01").await;
    let far = low.point("DP02").await;
    eventually!("the point is known", look!(top.site, |tx| tx.point(&dp("DP02")).await).is_some());
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    for point in ["DP01", "DP02"] {
        top.target(id, point).await;
        eventually!("it is installed", top.is_installed(id, point, 1).await);
    }
    let file = top.path("top.backup");
    top.site.backup(&file).await.unwrap();
    for (version, text) in [(2, "two"), (3, "three")] {
        top.write("app", "a.txt", text);
        top.ask(id).await;
        for point in ["DP01", "DP02"] {
            eventually!("the next one is installed", top.is_installed(id, point, version).await);
        }
    }

    // The machine burns; the backup knows of version 1 only, and the library is gone.
    let (mut config, folder) = top.stop().await;
    let near = near.stop().await;
    config.data = folder.path().join("again");
    let restored = Site::restore(&config, &file, clock()).await.unwrap();
    assert_eq!(restored.packages_missing, 1);
    let top = Running::start(config, folder).await;
    // It makes nothing before it has heard from all.
    top.write("app", "a.txt", "four");
    top.ask(id).await;
    eventually!("it waits for its holders", {
        top.refresh(id)
            .await
            .why
            .is_some_and(|why| why.rule == "WAITING_FOR_HOLDERS" && why.text.contains("DP01"))
    });
    eventually!("it learns from the site below", top.versions(id).await.0 == 3);
    assert_eq!(top.versions(id).await.0, 3, "it does not fall, and does not rise yet");
    let near = Point::started(near);
    for (site, point) in [(&top, "DP01"), (&low, "DP02")] {
        eventually!("version 4 is installed", site.is_installed(id, point, 4).await);
    }
    let (a, b) = (near.serves(id).unwrap(), far.serves(id).unwrap());
    assert_eq!(a, b);
    assert_eq!((a.version.0, a.epoch.generation(), a.epoch.signer(id)), (4, 1, Some(code("TOP"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_site_restored_from_an_old_backup_converges_and_fetches_what_it_lost() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    let point = low.point("DP01").await;
    eventually!("the point is known", look!(top.site, |tx| tx.point(&dp("DP01")).await).is_some());
    let file = low.path("low.backup");
    low.site.backup(&file).await.unwrap();
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    top.target(id, "DP01").await;
    eventually!("it is installed", top.is_installed(id, "DP01", 1).await);
    top.write("app", "a.txt", "two");
    top.ask(id).await;
    eventually!("version 2 is installed", top.is_installed(id, "DP01", 2).await);

    let (mut config, folder) = low.stop().await;
    config.data = folder.path().join("again");
    Site::restore(&config, &file, clock()).await.unwrap();
    let low = Running::start(config, folder).await;
    for site in [&top, &low] {
        eventually!("it converges", site.is_installed(id, "DP01", 2).await);
        eventually!("and has it", site.versions(id).await == (2, 2));
    }
    assert_eq!(point.serves(id).unwrap().version.0, 2);
    top.write("app", "a.txt", "three");
    low.ask(id).await;
    eventually!("and goes on", top.is_installed(id, "DP01", 3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_copy_outranks_the_machine_before() {
    let top = Running::top("TOP").await;
    let point = top.point("DP01").await;
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    top.target(id, "DP01").await;
    eventually!("it is installed", top.is_installed(id, "DP01", 1).await);
    assert!(Site::promote(&top.config, clock()).await.is_err(), "it runs");
    let (config, folder) = top.stop().await;
    let promoted = Site::promote(&config, clock()).await.unwrap();
    assert_eq!((promoted.site, promoted.epoch.generation()), (code("TOP"), 1));
    let top = Running::start(config, folder).await;
    top.ask(id).await;
    eventually!("version 2 is installed", top.is_installed(id, "DP01", 2).await);
    assert_eq!(point.serves(id).unwrap().epoch, promoted.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_only_the_lost_library_held_is_made_again_from_its_source() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    // It waits for a version, and is never there.
    let now = SystemClock.now();
    change!(top.site, |tx| tx.enrol_point(&dp("DP01"), "key", now, now).await);
    top.target(id, "DP01").await;
    eventually!("version 1 is known below", low.versions(id).await.0 == 1);
    let file = top.path("top.backup");
    top.site.backup(&file).await.unwrap();
    top.write("app", "a.txt", "two");
    top.ask(id).await;
    eventually!("version 2 is known below", low.versions(id).await.0 == 2);

    // No point has received it, so that nobody else holds its content.
    let (mut config, folder) = top.stop().await;
    config.data = folder.path().join("again");
    config.restore_wait = Duration::from_secs(1);
    Site::restore(&config, &file, clock()).await.unwrap();
    let top = Running::start(config, folder).await;
    eventually!("version 3 has what version 2 had", {
        let (known, stored) = top.versions(id).await;
        known >= 3 && known == stored
    });
    // The pointer follows the row.
    eventually!("it is the active one", {
        top.site.library().active(&id).is_some_and(|active| active.version.version.0 >= 3)
    });
    eventually!("and is known below", low.versions(id).await.0 >= 3);
}
