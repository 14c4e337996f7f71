//! Jobs from a site, over the real link: installed, refused, cancelled, removed, repaired, resumed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use restock_content::statement::{ForeignKey, SigningKey, Statement};
use restock_dp::Activity;
use restock_names::{Epoch, Timestamp};
use restock_transfer::{Backoff, JobId, JobKind, ReportState};

use crate::site::Site;
use crate::support::{Node, content, eventually, file, flip, noise, pack_with, package, store};

#[test]
fn a_version_is_installed_and_the_next_moves_only_what_changed() {
    let site = Site::open();
    let point = site.point();
    assert_eq!(point.text(1, "a"), "404");
    let first = site.publish(1, 1, &[(b"a", file("one")), (b"big", Node::File(noise(1, 5_000_000)))]);
    let job = site.send(site.job(JobKind::Install, &first));
    let report = site.report(job, ReportState::Installed);
    assert_eq!((report.totals.raw_bytes, report.totals.bytes_total), (5_000_003, 5_000_003));
    assert_eq!(site.states(job), [ReportState::Receiving, ReportState::Stored, ReportState::Installed]);
    assert_eq!(point.text(1, "a"), "one");
    assert!(point.get("/XYZ00001.1/big").body == noise(1, 5_000_000));

    let second = site.publish(1, 2, &[(b"a", file("two")), (b"big", Node::File(noise(1, 5_000_000)))]);
    let report = site.install(&second);
    assert_eq!(report.totals.raw_bytes, 3);
    assert_eq!((point.text(1, "a"), point.get("/XYZ00001.1/a").text()), ("two".into(), "one".into()));

    // Unchanged content: a version of its own that moves nothing.
    let third = site.publish(1, 3, &[(b"a", file("two")), (b"big", Node::File(noise(1, 5_000_000)))]);
    let report = site.install(&third);
    assert_eq!((report.totals.raw_bytes, report.totals.frames), (0, 0));
    assert_eq!(point.get("/SMS_DP_SMSPKG$/XYZ00001/a").header("content-location"), Some("/xyz00001.3/a"));
    // Sent again: nothing happens, and the site hears the same.
    assert_eq!(site.install(&third).totals.raw_bytes, 0);
    let held = || point.library().active(&package(1)).map(|s| s.version);
    assert_eq!(held(), Some(content(1, 3)));
}

#[test]
fn the_site_is_told_what_is_held_at_each_connection() {
    let site = Site::open();
    let point = site.point();
    let hello = site.last_hello();
    assert_eq!((hello.held.len(), hello.library_id), (0, point.library().id().to_string()));
    assert_eq!(hello.serve_urls, [format!("http://{}/", point.address())]);
    site.install(&site.publish(1, 4, &[(b"a", file("one"))]));
    point.stop();
    let point = site.point();
    assert_eq!(site.last_hello().held, [content(1, 4)]);
    assert_eq!(point.text(1, "a"), "one", "served without a job");
}

#[test]
fn a_job_changes_who_may_read_without_moving_anything() {
    let site = Site::open();
    let point = site.point();
    let statement = site.publish(1, 1, &[(b"a", file("one"))]);
    let mut job = site.job(JobKind::Install, &statement);
    job.is_public = false;
    let id = site.send(job);
    site.report(id, ReportState::Installed);
    assert_eq!(point.text(1, "a"), "404");
    site.install(&statement);
    assert_eq!(point.text(1, "a"), "one");
}

#[test]
fn statements_that_are_not_the_sites_are_refused_and_the_old_version_stays() {
    let site = Site::open();
    let point = site.point();
    site.install(&site.publish(1, 5, &[(b"a", file("five"))]));
    let tree: &[(&[u8], Node)] = &[(b"a", file("evil"))];
    let next = site.publish(1, 6, tree);
    let other = site.publish(2, 6, tree);
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let forged = Statement::sign(next.site, next.version, next.root, Timestamp(0), &stranger);
    let lower = store(&site.library, site.signing_key(), 1, 4, tree);
    let conflict = Statement::sign(next.site, content(1, 5), next.root, Timestamp(0), site.signing_key());
    let mut job = site.job(JobKind::Install, &next);
    job.statement = other.encode();
    let wrong_subject = job;
    let mut job = site.job(JobKind::Install, &next);
    job.statement.truncate(20);
    let broken = job;
    let mut job = site.job(JobKind::Install, &next);
    job.kind = JobKind::Unknown;
    let unknown = job;
    for (job, code) in [
        (site.job(JobKind::Install, &forged), "MANIFEST_SIGNATURE"),
        (site.job(JobKind::Redistribute, &forged), "MANIFEST_SIGNATURE"),
        (wrong_subject, "MANIFEST_SUBJECT"),
        (site.job(JobKind::Install, &lower), "VERSION_DOWNGRADE"),
        (site.job(JobKind::Install, &conflict), "VERSION_CONFLICT"),
        (broken, "MANIFEST_FORMAT"),
        (unknown, "JOB_UNKNOWN"),
    ] {
        let id = site.send(job);
        let report = site.report(id, ReportState::Failed);
        assert_eq!((report.code.as_str(), report.is_transient), (code, false), "{}", report.detail);
        assert!(report.detail.starts_with(code), "{}", report.detail);
        assert_eq!(point.text(1, "a"), "five");
    }
    // A lower version is refused after a restart too, and the right one is taken.
    point.stop();
    let point = site.point();
    let id = site.send(site.job(JobKind::Install, &lower));
    assert_eq!(site.report(id, ReportState::Failed).code, "VERSION_DOWNGRADE");
    site.install(&next);
    assert_eq!(point.text(1, "a"), "evil");
}

#[test]
fn a_job_that_comes_before_the_keys_of_its_signer_is_done_when_they_come() {
    let site = Site::open();
    let never = Duration::from_secs(3600);
    let point = site.point_with(|config| config.retry = Backoff { first: never, most: never });
    let made = site.publish(1, 1, &[(b"a", file("one"))]);
    let (other, key) = ("ABC".parse().expect("a site code"), SigningKey::from_bytes(&[9; 32]));
    let elsewhere = Statement::sign(other, made.version, made.root, Timestamp(0), &key);
    let id = site.send(site.job(JobKind::Install, &elsewhere));
    let report = site.report(id, ReportState::Failed);
    assert_eq!(
        (report.code.as_str(), report.is_transient),
        ("MANIFEST_SIGNATURE", true),
        "{}",
        report.detail
    );
    assert_eq!(point.text(1, "a"), "404");
    site.trust.accept_foreign_keys(vec![ForeignKey { site: other, key: key.public() }]).expect("kept");
    site.report(id, ReportState::Installed);
    assert_eq!(point.text(1, "a"), "one");
}

#[test]
fn an_epoch_outranks_every_version_of_the_one_before() {
    let site = Site::open();
    let point = site.point();
    site.install(&site.publish(1, 9, &[(b"a", file("nine"))]));
    let restored = store(&site.library, site.signing_key(), 1, 8, &[(b"a", file("restored"))]);
    let mut version = restored.version;
    version.epoch = Epoch(2);
    let raised = Statement::sign(restored.site, version, restored.root, Timestamp(0), site.signing_key());
    site.library.store_statement(&raised).expect("stored");
    site.install(&raised);
    assert_eq!(point.text(1, "a"), "restored");
}

#[test]
fn packages_are_received_side_by_side_within_the_limit() {
    let site = Site::open();
    let point = site.point_with(|config| config.packages_at_once = 2);
    let blocked = site.publish(1, 1, &[(b"a", file("blocked"))]);
    site.refuse(package(1));
    let first = site.send(site.job(JobKind::Install, &blocked));
    let failed = site.report(first, ReportState::Failed);
    assert_eq!((failed.code.as_str(), failed.is_transient), ("NOT_AUTHORISED", true));
    // The first is still at it, and holds nobody up.
    for number in 2..8 {
        site.install(&site.publish(number, 1, &[(b"a", file("free"))]));
        assert_eq!(point.text(number, "a"), "free");
    }
    assert_eq!(point.text(1, "a"), "404");
    // A job is reported a moment before it leaves the board.
    eventually("only the first is at it", || point.running().jobs().len() == 1);
    site.refuse_nobody();
    site.report(first, ReportState::Installed);
    assert_eq!(point.text(1, "a"), "blocked");
}

#[test]
fn a_cancelled_installation_leaves_the_old_version_and_can_be_asked_for_again() {
    let site = Site::open();
    let point = site.point();
    site.install(&site.publish(1, 1, &[(b"a", file("one"))]));
    let second = site.publish(1, 2, &[(b"a", file("two")), (b"b", Node::File(noise(2, 40_000_000)))]);
    site.wire.cut_after(5_000_000);
    let job = site.send(site.job(JobKind::Install, &second));
    site.wire.wait_until_cut();
    let cancel = site.send(site.job(JobKind::Cancel, &second));
    let ended = [site.report(job, ReportState::Cancelled), site.report(cancel, ReportState::Cancelled)];
    assert!(ended.iter().all(|report| report.content == content(1, 2)));
    site.wire.release();
    assert_eq!((point.text(1, "a"), point.get("/XYZ00001.2/a").status), ("one".into(), 404));
    assert_eq!(point.library().drafts(), [], "what was received of it is given up");
    site.install(&second);
    assert_eq!(point.text(1, "a"), "two");
    // Too late to cancel.
    let late = site.send(site.job(JobKind::Cancel, &second));
    site.report(late, ReportState::Installed);
}

#[test]
fn a_removed_package_is_gone_and_comes_back_when_asked() {
    let site = Site::open();
    let point = site.point();
    let first = site.publish(1, 1, &[(b"a", file("one"))]);
    site.install(&first);
    site.install(&site.publish(2, 1, &[(b"a", file("other"))]));
    for round in 0..2 {
        let mut job = site.job(JobKind::Remove, &first);
        job.statement.clear();
        let id = site.send(job);
        site.report(id, ReportState::Removed);
        assert_eq!((point.text(1, "a"), point.get("/XYZ00001.1/a").status), ("404".into(), 404), "{round}");
        assert!(!point.running().packages().is_public(&package(1)));
    }
    assert_eq!(point.text(2, "a"), "other");
    point.stop();
    let point = site.point();
    assert_eq!(site.last_hello().held, [content(2, 1)]);
    site.install(&first);
    assert_eq!(point.text(1, "a"), "one");
}

#[test]
fn redistribution_finds_damage_and_fetches_only_that() {
    let site = Site::open();
    let whole = noise(3, 8_000_000);
    let statement =
        site.publish(1, 1, &[(b"big", Node::File(whole.clone())), (b"a-name-on-a-page", file("small"))]);
    let damaged = {
        let point = site.point();
        site.install(&statement);
        let clean = site.send(site.job(JobKind::Redistribute, &statement));
        let totals = site.report(clean, ReportState::Installed).totals;
        assert_eq!((totals.damaged, totals.repaired, totals.wire_received), (0, 0, 0));
        let library = point.library_folder();
        point.stop();
        let data = flip(&library, &whole[4_000_000..4_000_100]);
        flip(&library, b"a-name-on-a-page");
        data
    };
    let evidence = std::fs::read(&damaged).expect("read");
    let point = site.point();
    let job = site.send(site.job(JobKind::Redistribute, &statement));
    let report = site.report(job, ReportState::Installed);
    // The damaged page is found by the look at the start too: whoever comes first fetches it.
    assert!(report.totals.repaired >= 1 && report.totals.damaged >= 1, "{:?}", report.totals);
    assert!(report.totals.raw_bytes < 1_000_000, "only the damage is fetched: {:?}", report.totals);
    assert!(point.get("/SMS_DP_SMSPKG$/XYZ00001/big").body == whole);
    assert_eq!(point.text(1, "a-name-on-a-page"), "small");
    assert!(std::fs::read(&damaged).expect("still there") == evidence, "the evidence is untouched");
    assert_eq!(point.library().active(&package(1)).map(|s| s.version), Some(content(1, 1)), "no new version");
    point.stop();
    let point = site.point();
    assert!(point.get("/SMS_DP_SMSPKG$/XYZ00001/big").body == whole, "the newer pack wins after a restart");
}

#[test]
fn damage_that_a_reader_meets_is_fetched_again_without_being_asked() {
    let site = Site::open();
    let whole = noise(4, 3_000_000);
    let statement = site.publish(1, 1, &[(b"big", Node::File(whole.clone()))]);
    let point = site.point();
    site.install(&statement);
    flip(&point.library_folder(), &whole[2_000_000..2_000_100]);
    let answer = point.get("/SMS_DP_SMSPKG$/XYZ00001/big");
    assert!(answer.is_broken && whole.starts_with(&answer.body), "nothing wrong is served");
    let told = site.report(JobId::OWN, ReportState::Failed);
    assert_eq!((told.code.as_str(), told.content), ("CONTENT_DAMAGED", content(1, 1)));
    let healed = site.report(JobId::OWN, ReportState::Installed);
    assert_eq!(healed.totals.repaired, 1);
    assert!(point.get("/SMS_DP_SMSPKG$/XYZ00001/big").body == whole);
}

#[test]
fn a_heal_that_failed_is_tried_again_when_the_site_comes_back() {
    let site = Site::open();
    let statement = site.publish(1, 1, &[(b"a", file("some content to damage"))]);
    let point = site.point();
    site.install(&statement);
    flip(&point.library_folder(), b"some content to damage");
    site.refuse(package(1));
    assert_eq!(point.text(1, "a"), "503");
    let failed = site.failure(JobId::OWN, "cannot be fetched again");
    assert_eq!(failed.code, "CONTENT_DAMAGED");
    assert!(failed.detail.contains("NOT_AUTHORISED"), "{failed:?}");
    site.refuse_nobody();
    point.running().link().reconnect();
    assert_eq!(site.report(JobId::OWN, ReportState::Installed).totals.repaired, 1);
    assert_eq!(point.text(1, "a"), "some content to damage");
}

#[test]
fn content_that_is_not_there_is_told_apart_from_content_that_is_wrong() {
    let site = Site::open();
    let statement = site.publish(1, 1, &[(b"a", file("some content to lose"))]);
    let point = site.point();
    site.install(&statement);
    let library = point.library_folder();
    point.stop();
    std::fs::remove_file(pack_with(&library, b"some content to lose")).expect("removed");
    // The look at the start fetches it again, before the reader comes perhaps: not until it was refused.
    site.refuse(package(1));
    let point = site.point();
    assert_eq!(point.text(1, "a"), "503");
    assert_eq!(site.failure(JobId::OWN, "").code, "CONTENT_MISSING");
    site.refuse_nobody();
    point.running().link().reconnect();
    site.report(JobId::OWN, ReportState::Installed);
    assert_eq!(point.text(1, "a"), "some content to lose");
}

#[test]
fn a_fetch_goes_on_after_a_restart_and_asks_for_nothing_twice() {
    const SIZE: usize = 40_000_000;
    let site = Site::open();
    let statement = site.publish(1, 1, &[(b"big", Node::File(noise(5, SIZE)))]);
    let point = site.point();
    site.wire.cut_after(15_000_000);
    site.send(site.job(JobKind::Install, &statement));
    site.wire.wait_until_cut();
    point.stop();
    site.wire.release();
    let before = site.wire.passed();
    let point = site.point();
    assert_eq!(point.text(1, "big"), "404", "nothing half is served");
    let report = site.install(&statement);
    assert!(point.get("/SMS_DP_SMSPKG$/XYZ00001/big").body == noise(5, SIZE));
    let again = SIZE as u64 - report.totals.raw_bytes;
    // What was on its way when the wire was cut: at most 4 MiB for each of the two connections.
    assert!(again > 15_000_000 - 9_000_000, "only {again} bytes were kept");
    assert!(site.wire.passed() - before < SIZE as u64 - again + 1_000_000, "more than the rest was moved");
}

#[test]
fn an_installation_that_died_before_its_last_step_is_finished_by_the_same_job() {
    let site = Site::open();
    let point = site.point();
    site.install(&site.publish(1, 1, &[(b"a", file("one"))]));
    let second = site.publish(1, 2, &[(b"a", file("two"))]);
    // As after a kill between "statement stored" and "pointer replaced".
    point.library().store_statement(&second).expect("stored");
    point.stop();
    let point = site.point();
    assert_eq!((point.text(1, "a"), site.last_hello().held), ("one".into(), vec![content(1, 1)]));
    site.install(&second);
    assert_eq!(point.text(1, "a"), "two");
}

#[test]
fn a_version_never_rests_on_what_another_has_not_finished() {
    let site = Site::open();
    let shared = noise(7, 20_000_000);
    let stopped = site.publish(1, 1, &[(b"big", Node::File(shared.clone()))]);
    let other = site.publish(2, 1, &[(b"same", Node::File(shared.clone()))]);
    let point = site.point();
    site.wire.cut_after(8_000_000);
    site.send(site.job(JobKind::Install, &stopped));
    site.wire.wait_until_cut();
    point.stop();
    site.wire.release();
    let point = site.point();
    assert_eq!(point.library().drafts(), [stopped.version], "half of it is kept");
    assert_eq!(site.install(&other).totals.raw_bytes, 20_000_000);
    let removal = site.send(site.job(JobKind::Remove, &stopped));
    site.report(removal, ReportState::Removed);
    assert_eq!(point.library().drafts(), []);
    point.stop();
    let point = site.point();
    let check = site.send(site.job(JobKind::Redistribute, &other));
    assert_eq!(site.report(check, ReportState::Installed).totals.damaged, 0);
    assert!(point.get("/SMS_DP_SMSPKG$/XYZ00002/same").body == shared);
}

#[test]
fn a_lost_connection_is_made_again_and_the_job_ends_well() {
    let site = Site::open();
    let statement = site.publish(1, 1, &[(b"big", Node::File(noise(6, 30_000_000)))]);
    let point = site.point();
    site.wire.cut_after(8_000_000);
    let job = site.send(site.job(JobKind::Install, &statement));
    site.wire.wait_until_cut();
    let progress = site.progress(job);
    assert_eq!((progress.bytes_total, progress.content), (30_000_000, content(1, 1)));
    let shown = point.running().jobs();
    assert_eq!((shown.len(), shown[0].activity, shown[0].bytes_total), (1, Activity::Receiving, 30_000_000));
    site.links.disconnect(&Site::point_name());
    site.wire.release();
    site.report(job, ReportState::Installed);
    assert!(point.get("/SMS_DP_SMSPKG$/XYZ00001/big").body == noise(6, 30_000_000));
}

#[test]
fn readers_see_whole_versions_while_jobs_switch_them() {
    const VERSIONS: u32 = 25;
    let site = Site::open();
    let point = site.point();
    let tree = |version: u32| -> Vec<(&[u8], Node)> {
        vec![(b"file", Node::File(vec![b'A' + (version % 26) as u8; 400_000]))]
    };
    site.install(&site.publish(1, 1, &tree(1)));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (point, is_over) = (&point, &is_over);
                scope.spawn(move || {
                    let mut reads = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = point.get("/SMS_DP_SMSPKG$/XYZ00001/file");
                        let first = answer.body.first().copied().expect("bytes");
                        assert!(answer.body.len() == 400_000 && answer.body.iter().all(|b| *b == first));
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for version in 2..=VERSIONS {
            site.install(&site.publish(1, version, &tree(version)));
            let served = point.get("/SMS_DP_SMSPKG$/XYZ00001/file").body[0];
            assert_eq!(served, b'A' + (version % 26) as u8, "what was reported as installed is served");
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().all(|reader| reader.join().expect("no failure") > 0));
    });
}
