//! Package shares by jobs of the site.

use std::path::{Path, PathBuf};

use restock_content::statement::Statement;
use restock_transfer::{Job, JobKind, ReportState};

use crate::site::Site;
use crate::support::{Node, eventually, file, noise};

fn job(site: &Site, kind: JobKind, statement: &Statement, share: Option<&str>) -> Job {
    Job { share: share.map(str::to_owned), ..site.job(kind, statement) }
}

fn install(site: &Site, statement: &Statement, share: Option<&str>) {
    let sent = site.send(job(site, JobKind::Install, statement, share));
    site.report(sent, ReportState::Installed);
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("listed")
        .map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned())
        .filter(|name| name != ".restock")
        .collect();
    names.sort();
    names
}

fn text(folder: &Path, path: &str) -> String {
    std::fs::read_to_string(folder.join(path)).unwrap_or_else(|error| error.kind().to_string())
}

#[test]
fn a_package_that_asks_for_one_has_a_folder_that_follows_what_is_served() {
    let site = Site::open();
    let point = site.point();
    let root: PathBuf = point.folder.join("share");
    let first = site.publish(1, 1, &[(b"a", file("one")), (b"d", Node::Folder), (b"d/b", file("same"))]);
    install(&site, &first, None);
    assert!(!root.exists(), "nobody asked for a share");

    install(&site, &first, Some("Apps$"));
    assert_eq!((text(&root, "Apps$/a"), text(&root, "Apps$/d/b")), ("one".into(), "same".into()));
    let second = site.publish(
        1,
        2,
        &[(b"a", file("two")), (b"d", Node::Folder), (b"d/b", file("same")), (b"e", file("more"))],
    );
    install(&site, &second, Some("Apps$"));
    assert_eq!(
        (text(&root, "Apps$/a"), names(&root.join("Apps$"))),
        ("two".into(), vec!["a".into(), "d".into(), "e".into()])
    );

    // Another name, then the common share, then none: nothing is received for it.
    install(&site, &second, Some("Tools"));
    assert_eq!((names(&root), text(&root, "Tools/a")), (vec!["Tools".to_owned()], "two".into()));
    install(&site, &second, Some("XYZ00001"));
    assert_eq!(names(&root), ["XYZ00001"]);
    install(&site, &second, None);
    assert_eq!(names(&root), Vec::<String>::new());

    install(&site, &second, Some("Apps$"));
    let removed = site.send(site.job(JobKind::Remove, &second));
    site.report(removed, ReportState::Removed);
    assert_eq!(names(&root), Vec::<String>::new());
    assert_eq!(point.text(1, "a"), "404");
}

#[test]
fn a_redistribution_mends_the_folder_too() {
    let site = Site::open();
    let point = site.point();
    let root = point.folder.join("share");
    let statement = site.publish(1, 1, &[(b"a", file("one")), (b"big", Node::File(noise(1, 300_000)))]);
    install(&site, &statement, Some("App"));
    std::fs::write(root.join("App/a"), "changed by somebody").expect("written");
    std::fs::remove_file(root.join("App/big")).expect("removed");
    let sent = site.send(job(&site, JobKind::Redistribute, &statement, Some("App")));
    let report = site.report(sent, ReportState::Installed);
    assert_eq!((report.totals.damaged, report.totals.repaired), (0, 2));
    assert_eq!(text(&root, "App/a"), "one");
    assert_eq!(std::fs::read(root.join("App/big")).expect("read"), noise(1, 300_000));
    assert_eq!(point.text(1, "a"), "one", "what is served was never harmed");
}

#[test]
fn a_name_that_cannot_be_fails_the_job_and_the_version_is_served_all_the_same() {
    let site = Site::open();
    let point = site.point();
    let root = point.folder.join("share");
    std::fs::create_dir_all(root.join("theirs")).expect("made");
    let statement = site.publish(1, 1, &[(b"a", file("one"))]);
    for (name, code) in [("theirs", "SHARE_NAME_TAKEN"), ("../out", "SHARE_NAME_INVALID")] {
        let sent = site.send(job(&site, JobKind::Install, &statement, Some(name)));
        let report = site.report(sent, ReportState::Failed);
        assert_eq!((report.code.as_str(), report.is_transient), (code, false), "{}", report.detail);
        assert_eq!(point.text(1, "a"), "one");
    }
    assert_eq!(names(&root), ["theirs"]);
}

#[test]
fn a_start_makes_what_an_earlier_process_did_not_come_to_make() {
    let site = Site::open();
    let point = site.point();
    let root = point.folder.join("share");
    let statement = site.publish(1, 1, &[(b"a", file("one"))]);
    install(&site, &statement, Some("App"));
    point.stop();
    std::fs::remove_dir_all(&root).expect("removed");
    let point = site.point();
    eventually("the folder is made again", || text(&root, "App/a") == "one");
    assert_eq!(point.text(1, "a"), "one");
}
