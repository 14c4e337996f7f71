//! Backup, restore, promotion: versions never go back.

use super::Sites;

fn distribute(sites: &Sites, points: &[&str]) {
    let to = [&["distribute", "ABC00001", "--wait", "--timeout", "60s", "--to"][..], points].concat();
    assert_eq!(sites.ask("ABC", &to).done()["outcome"], "done");
}

fn refresh(sites: &Sites) -> u64 {
    let ran = sites.ask("ABC", &["refresh", "ABC00001", "--wait", "--timeout", "60s"]);
    ran.done()["packages"][0]["package"]["source_version"].as_u64().unwrap()
}

#[test]
fn an_owner_restored_from_an_old_backup_makes_no_version_twice() {
    let mut sites = Sites::pair();
    sites.package();
    sites.point("DP01", "ABC");
    sites.point("DP02", "DEF");
    sites.poll("ABC", &["dp", "list"], |points| points.as_array().is_some_and(|all| all.len() == 2));
    distribute(&sites, &["DP01", "DP02"]);
    let file = sites.path("backup");
    let saved = sites.ask("ABC", &["site", "backup", file.to_str().unwrap()]).done();
    assert_eq!(saved["site_code"], "ABC");
    assert_eq!(saved["bytes"].as_u64().unwrap(), std::fs::metadata(&file).unwrap().len());
    let again = sites.ask("ABC", &["site", "backup", file.to_str().unwrap()]);
    assert_eq!(again.code, 6, "an existing file is never replaced: {again:?}");

    sites.write("app/a", "two\n");
    assert_eq!(refresh(&sites), 2);
    let restore = ["site", "restore", file.to_str().unwrap()];
    let running = sites.ask("ABC", &restore);
    assert_eq!(running.code, 6, "the site runs: {running:?}");
    sites.stop("ABC");
    let kept = sites.ask("ABC", &restore);
    assert_eq!((kept.code, &kept.document()["error"]["code"]), (6, &"SITE_EXISTS".into()), "{kept:?}");
    let restored = sites.ask("ABC", &[&restore[..], &["--replace"]].concat()).done();
    assert_eq!(restored["site_code"], "ABC", "{restored}");
    assert!(std::path::Path::new(restored["replaced"].as_str().unwrap()).join("site.db").exists());
    sites.start("ABC");
    sites.until_up("DEF", "ABC");
    sites.write("app/a", "three\n");
    assert!(refresh(&sites) >= 3, "version 2 was seen by others");
    for point in ["DP01", "DP02"] {
        assert_eq!(sites.served(point, "a"), (200, b"three\n".to_vec()), "{point}");
    }
}

#[test]
fn a_child_restored_from_an_old_backup_converges() {
    let mut sites = Sites::pair();
    sites.package();
    sites.point("DP02", "DEF");
    let file = sites.path("backup");
    sites.ask("DEF", &["site", "backup", file.to_str().unwrap()]).done();
    sites.poll("ABC", &["dp", "list"], |points| points.as_array().is_some_and(|all| all.len() == 1));
    distribute(&sites, &["DP02"]);
    sites.stop("DEF");
    sites.ask("DEF", &["site", "restore", "--replace", file.to_str().unwrap()]).done();
    sites.start("DEF");
    sites.until_up("DEF", "ABC");
    sites.write("app/a", "two\n");
    assert_eq!(refresh(&sites), 2);
    assert_eq!(sites.served("DP02", "a"), (200, b"two\n".to_vec()));
}

#[test]
fn a_promotion_raises_the_epoch_and_the_next_version_is_taken_everywhere() {
    let mut sites = Sites::pair();
    sites.package();
    sites.point("DP02", "DEF");
    sites.poll("ABC", &["dp", "list"], |points| points.as_array().is_some_and(|all| all.len() == 1));
    distribute(&sites, &["DP02"]);
    sites.stop("ABC");
    let epoch = |sites: &Sites| sites.ask("ABC", &["site", "promote"]).done()["epoch"].as_u64().unwrap();
    let first = epoch(&sites);
    assert!(first > 1 && epoch(&sites) > first);
    sites.start("ABC");
    sites.until_up("DEF", "ABC");
    sites.write("app/a", "two\n");
    assert_eq!(refresh(&sites), 2);
    assert_eq!(sites.served("DP02", "a"), (200, b"two\n".to_vec()));
}

#[test]
fn a_file_that_is_no_backup_restores_nothing() {
    let mut sites = Sites::new();
    sites.top("ABC");
    sites.stop("ABC");
    let before = std::fs::read(sites.path("ABC").join("site.db")).unwrap();
    let file = sites.path("no backup");
    std::fs::write(&file, "no backup at all").unwrap();
    let ran = sites.ask("ABC", &["site", "restore", "--replace", file.to_str().unwrap()]);
    assert!(ran.code != 0 && ran.document()["error"]["code"].is_string(), "{ran:?}");
    let missing = sites.ask("ABC", &["site", "restore", "/nowhere/at/all"]);
    assert_ne!(missing.code, 0, "{missing:?}");
    assert_eq!(std::fs::read(sites.path("ABC").join("site.db")).unwrap(), before);
    sites.start("ABC");
}
