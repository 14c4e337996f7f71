//! Versions that a point must not take, and what it says when its site vouches for nothing.

use std::sync::Arc;
use std::time::Duration;

use restock_content::statement::Statement;
use restock_content::transfer::JumpPolicy;
use restock_names::{Clock, ContentVersion, Epoch, ManualClock, SystemClock, Timestamp};
use restock_transfer::{JobKind, ReportState};

use crate::site::Site;
use crate::support::{Node, content, eventually, file, store};

#[test]
fn downgrades_fenced_owners_conflicts_and_leaps_are_refused_after_a_restart_too() {
    let site = Site::open();
    let mut point = site.point();
    site.install(&site.publish(1, 5, &[(b"a", file("five"))]));
    let tree: &[(&[u8], Node)] = &[(b"a", file("evil"))];
    let made = store(&site.library, site.signing_key(), 1, 4, tree);
    let sign = |epoch: u32, number: u32| {
        let version = ContentVersion { epoch: Epoch(epoch), ..content(1, number) };
        Statement::sign(made.site, version, made.root, Timestamp(0), site.signing_key())
    };
    // The owner was restored or another site took its place: its epoch is higher.
    let promoted = sign(1 << 16 | 33, 6);
    site.library.store_statement(&promoted).expect("stored");
    let rows = [
        (sign(1, 4), "VERSION_DOWNGRADE", "epoch 1, version 4 is below what is held: epoch 1, version 5"),
        (sign(1, 5), "VERSION_CONFLICT", "stored here with other content"),
        (sign(1, u32::MAX), "VERSION_JUMP", "at most 1000000 more is accepted"),
        (sign(1, 1_000_006), "VERSION_JUMP", "version 1000006 is too far above epoch 1, version 5"),
        (sign(u32::MAX, 6), "VERSION_JUMP", "at most 1000 more is accepted"),
    ];
    for round in 0..2 {
        for (statement, code, says) in &rows {
            for kind in [JobKind::Install, JobKind::Redistribute] {
                let id = site.send(site.job(kind, statement));
                let report = site.report(id, ReportState::Failed);
                assert_eq!((report.code.as_str(), report.is_transient), (*code, false), "{}", report.detail);
                assert!(report.detail.starts_with(&format!("{code}: ")), "{}", report.detail);
                assert!(report.detail.contains(says), "{}", report.detail);
                assert_eq!(point.text(1, "a"), "five", "round {round}");
            }
        }
        point.stop();
        point = site.point();
    }
    // The old owner goes on after the promotion.
    site.install(&promoted);
    assert_eq!(point.text(1, "a"), "evil");
    point.stop();
    let point = site.point();
    let id = site.send(site.job(JobKind::Install, &sign(1, 7)));
    let report = site.report(id, ReportState::Failed);
    assert_eq!((report.code.as_str(), report.is_transient), ("FENCED", false), "{}", report.detail);
    assert!(report.detail.contains("epoch 1 of version 7 has ended"), "{}", report.detail);
    assert_eq!(point.text(1, "a"), "evil");
    let check = point.library().check(|_| std::ops::ControlFlow::Continue(())).expect("read");
    assert!(check.damaged.is_empty() && check.incomplete.is_empty());
}

#[test]
fn how_far_versions_may_leap_is_configuration() {
    let site = Site::open();
    let _point = site.point_with(|config| config.jump = JumpPolicy { versions_max: 10, generations_max: 0 });
    site.install(&site.publish(1, 10, &[(b"a", file("ten"))]));
    let next = store(&site.library, site.signing_key(), 1, 21, &[(b"a", file("leap"))]);
    let id = site.send(site.job(JobKind::Install, &next));
    assert_eq!(site.report(id, ReportState::Failed).code, "VERSION_JUMP");
    site.install(&site.publish(1, 20, &[(b"a", file("step"))]));
    site.install(&next);
}

#[test]
fn a_point_whose_site_vouches_for_nothing_says_since_when_and_serves_on() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let site = Site::open_with(Arc::clone(&clock) as Arc<dyn Clock>);
    let point = site.point_with(|config| config.link.ping = Duration::from_millis(20));
    let statement = site.publish(1, 1, &[(b"a", file("one"))]);
    site.install(&statement);
    assert_eq!(point.running().stale_since(), None);
    let begun = clock.now();
    let day = Duration::from_secs(86_400);
    clock.advance(day + Duration::from_secs(60));
    assert_eq!(point.running().stale_since(), Some(begun.after(day)));
    // It serves, receives, and knows it after a restart that does not reach the site.
    assert_eq!(point.text(1, "a"), "one");
    site.install(&site.publish(1, 2, &[(b"a", file("two"))]));
    assert_eq!((point.text(1, "a"), point.running().stale_since()), ("two".into(), Some(begun.after(day))));
    point.stop();
    site.wire.cut_after(0);
    let point = site.point();
    assert_eq!((point.text(1, "a"), point.running().stale_since()), ("two".into(), Some(begun.after(day))));
    let hellos = site.hellos();
    site.wire.release();
    site.wait_for_hello(hellos);
    eventually("the site's next word is taken", || point.running().stale_since().is_none());
}
