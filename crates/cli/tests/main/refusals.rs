//! What is refused, with its code, and leaves everything as it was.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::support::{Running, World, as_nobody, is_root, json, restock};

/// Creates a package of `folder` and asks to wait for its first version; returns code and message.
fn first_version(world: &World, name: &str) -> (i32, String) {
    let source = world.root().join(name);
    let ran = world.ask(&[
        "package",
        "create",
        name,
        "--source",
        source.to_str().unwrap(),
        "--wait",
        "--timeout",
        "60s",
    ]);
    let problems = ran.document()["problems"].clone();
    (ran.code, problems[0].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_source_that_cannot_be_read_fails_with_its_code_and_path() {
    let world = World::new();
    world.source("fifo", &[("a", b"1")]);
    assert!(Command::new("mkfifo").arg(world.root().join("fifo/pipe")).status().unwrap().success());
    world.source("drive", &[("C:\\x", b"1")]);
    world.source("unc", &[("\\\\host\\share", b"1")]);
    world.source("hidden", &[("a\\..\\..\\b", b"1")]);
    for (name, code) in [
        ("missing", "SOURCE_NOT_FOUND"),
        ("fifo", "SOURCE_SPECIAL_FILE"),
        ("drive", "PATH_DRIVE"),
        ("unc", "PATH_UNC"),
        ("hidden", "PATH_SEPARATOR"),
    ] {
        let (exit, problem) = first_version(&world, name);
        assert_eq!(exit, 1, "{name}: {problem}");
        assert!(problem.contains(code), "{name}: {problem}");
    }
    let rows = world.ask(&["package", "list"]).done();
    assert!(rows.as_array().unwrap().iter().all(|r| r["stored_version"] == 0), "{rows}");
}

#[test]
fn a_refresh_that_fails_leaves_the_version_and_can_be_tried_again_at_once() {
    let world = World::new();
    let source = world.source("app", &[("a", b"1")]);
    assert_eq!(first_version(&world, "app").0, 0);
    let moved = world.root().join("moved");
    std::fs::rename(&source, &moved).unwrap();
    let ran = world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.document()["problems"][0].as_str().unwrap().contains("SOURCE_NOT_FOUND"), "{ran:?}");
    let shown = world.ask(&["package", "show", "XYZ00001"]).done();
    assert_eq!(
        (shown["source_version"].as_u64(), shown["refresh"]["state"].as_str()),
        (Some(1), Some("retrying"))
    );

    std::fs::rename(&moved, &source).unwrap();
    let ran = world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"]);
    assert_eq!(ran.done()["packages"][0]["package"]["source_version"], 2);

    std::fs::remove_file(source.join("a")).unwrap();
    let ran = world.ask(&["refresh", "XYZ00001", "--wait", "--timeout", "60s"]);
    assert!(ran.document()["problems"][0].as_str().unwrap().contains("SOURCE_EMPTY"), "{ran:?}");
    assert_eq!(world.ask(&["cancel", "XYZ00001"]).done()["was_pending"], true);
    let shown = world.ask(&["package", "show", "XYZ00001"]).done();
    assert_eq!((shown["source_version"].as_u64(), shown["refresh"].is_null()), (Some(2), true));
    assert_eq!(world.ask(&["cancel", "XYZ00001"]).done()["was_pending"], false);
}

#[test]
fn a_source_beneath_no_root_is_stored_and_its_refresh_names_the_missing_root() {
    let world = World::new();
    for path in ["\\\\attacker\\x", "/etc", "C:\\data"] {
        let ran = world.ask(&["package", "create", "x", "--source", path, "--wait", "--timeout", "60s"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let problem = ran.document()["problems"][0].as_str().unwrap().to_owned();
        assert!(problem.contains("SOURCE_ROOT_MISSING"), "{path}: {problem}");
    }
    for folder in [
        "/",
        "/etc",
        "/proc/self",
        world.site_data().to_str().unwrap(),
        world.folder.path().to_str().unwrap(),
    ] {
        let ran = world.ask(&["source", "add", "bad", folder]);
        assert_eq!(ran.document()["error"]["code"], "SOURCE_ROOT_FORBIDDEN", "{folder} {ran:?}");
    }
    assert_eq!(world.ask(&["source", "list"]).done().as_array().unwrap().len(), 1);
}

#[test]
fn a_package_that_does_not_exist_is_4_and_nothing_is_created() {
    let world = World::new();
    for id in ["XYZ00099", "AB'1", "XYZ000001", "' OR 1=1 --"] {
        for arguments in
            [&["refresh", id][..], &["package", "show", id], &["cancel", id], &["package", "delete", id]]
        {
            let ran = world.ask(arguments);
            assert_eq!(
                (ran.code, ran.document()["error"]["code"].as_str()),
                (4, Some("NOT_FOUND")),
                "{ran:?}"
            );
        }
    }
    assert_eq!(world.ask(&["package", "list"]).done().as_array().unwrap().len(), 0);
}

#[test]
fn a_package_without_source_cannot_be_refreshed() {
    let world = World::new();
    world.ask(&["package", "create", "no source"]).done();
    let ran = restock(&world.site_data(), &["refresh", "XYZ00001"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.stderr.contains("INVALID_OPERATION") && ran.stderr.contains("\nTry: "), "{ran:?}");
}

#[test]
fn names_of_callers_are_escaped_on_the_terminal_and_in_logs() {
    let world = World::new();
    let ran = world.ask(&["package", "create", "evil\x1b[2J\n"]);
    assert_eq!((ran.code, ran.document()["error"]["code"].as_str()), (2, Some("NAME_INVALID")));
    assert!(!ran.stderr.contains('\x1b'), "{ran:?}");
    let name = "evil\u{202e}]LOG]!>$$<X>";
    let source = world.source("evil", &[("a", b"1")]);
    let ran = world.ask(&["package", "create", name, "--source", source.to_str().unwrap(), "--wait"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = restock(&world.site_data(), &["package", "list"]).stdout;
    assert!(text.contains(r"evil\u{202e}]LOG]!>$$<X>"), "{text:?}");
    assert_eq!(world.ask(&["package", "list"]).done()[0]["name"], name);
    let log = std::fs::read_to_string(world.site_data().join("logs/distmgr.log")).unwrap();
    assert!(!log.contains("]LOG]!>") && !log.contains("$$<X>") && !log.contains('\u{202e}'), "{log}");
}

#[test]
fn a_link_that_leads_outside_or_in_a_circle_is_kept_as_a_link() {
    let world = World::new();
    let source = world.source("links", &[("a", b"1")]);
    symlink("../../../etc/passwd", source.join("out")).unwrap();
    symlink("circle", source.join("circle")).unwrap();
    assert_eq!(first_version(&world, "links"), (0, String::new()));
    let files = world.ask(&["package", "files", "XYZ00001"]).done();
    let targets: Vec<&str> =
        files["files"].as_array().unwrap().iter().filter_map(|f| f["target"].as_str()).collect();
    assert_eq!(targets, ["circle", "../../../etc/passwd"]);
}

#[test]
fn a_token_lets_in_once_and_only_its_own_site() {
    let mut world = World::new();
    world.add_point("DP01");
    let site = world.site.as_ref().unwrap().url().to_owned();
    let token = world.ask(&["token", "create", "DP02"]).done()["token"].as_str().unwrap().to_owned();
    let init = |folder: &str| {
        json(
            &world.path(folder),
            &["dp", "init", "--site", &site, "--token", &token, "--serve", "127.0.0.1:0"],
        )
    };
    init("first").done();
    let again = init("second");
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.document()["error"]["message"].as_str().unwrap().contains("TOKEN_USED"), "{again:?}");
    assert!(!world.path("second").join("restock.toml").exists());

    let other = World::new();
    let other_site = other.site.as_ref().unwrap().url().to_owned();
    let token = world.ask(&["token", "create", "DP03"]).done()["token"].as_str().unwrap().to_owned();
    let ran = json(&world.path("third"), &["dp", "init", "--site", &other_site, "--token", &token]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let wrong = json(&world.path("fourth"), &["dp", "init", "--site", &site, "--token", "rj1_nonsense"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}

#[test]
fn what_the_sites_account_may_not_read_fails_with_path_and_account() {
    // Root reads everything: the site runs as an ordinary account.
    let folder = tempfile::TempDir::with_prefix("restock-test-").unwrap();
    let (data, root) = (folder.path().join("site"), folder.path().join("root"));
    for closed in ["file", "folder"] {
        std::fs::create_dir_all(root.join(closed).join("closed folder")).unwrap();
        std::fs::write(root.join(closed).join("open"), "1").unwrap();
    }
    std::fs::write(root.join("file/closed"), "1").unwrap();
    let close = |path: &str| {
        std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(0o000)).unwrap();
    };
    close("file/closed");
    close("folder/closed folder");
    if is_root() {
        let owner = Command::new("chown").args(["-R", "65534:65534"]).arg(folder.path()).status().unwrap();
        assert!(owner.success());
    }
    let ran = as_nobody(&data).args(["--json", "site", "init", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let _site = Running::of(as_nobody(&data), "site");
    json(&data, &["source", "add", "root", root.to_str().unwrap()]).done();
    for (name, path) in [("file", "closed"), ("folder", "closed folder")] {
        let source = root.join(name);
        let ran = json(&data, &["package", "create", name, "--source", source.to_str().unwrap(), "--wait"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let problem = ran.document()["problems"][0].as_str().unwrap().to_owned();
        assert!(problem.contains("SOURCE_PERMISSION") && problem.contains(path), "{problem}");
        assert!(!is_root() || problem.contains("65534"), "{problem}");
    }
}

#[test]
fn another_account_is_refused_at_the_data_folder() {
    let world = World::new();
    if !is_root() {
        // There is no second account to try it with.
        return;
    }
    let ran = as_nobody(&world.site_data()).args(["--json", "status"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(6), "{ran:?}");
    assert!(String::from_utf8(ran.stdout).unwrap().contains("DATA_PERMISSION"));
}
