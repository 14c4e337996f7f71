//! Versions in the making: fetched before there is a job.

use std::sync::Arc;

use restock_content::hash::chunk_digest;
use restock_content::snapshot::{self, SnapshotOptions};
use restock_content::statement::Statement;
use restock_content::transfer::Feed;
use restock_names::{SystemClock, Timestamp};
use restock_transfer::{Draft, JobKind, ReportState};
use tempfile::TempDir;

use crate::site::Site;
use crate::support::{content, noise, package};

struct Announcing(Arc<Draft>);

impl snapshot::Progress for Announcing {
    fn add(&self, _: u64, _: u64, _: u64) {}

    fn is_cancelled(&self) -> bool {
        false
    }

    fn feed(&self) -> Option<&Feed> {
        Some(self.0.feed())
    }
}

/// Takes a snapshot of two files as the next version, announced as it is made, and publishes it.
fn publish(site: &Site, draft: &Arc<Draft>) -> Statement {
    let source = TempDir::new().expect("a folder");
    std::fs::write(source.path().join("a"), "one").expect("written");
    std::fs::write(source.path().join("big"), noise(1, 12_000_000)).expect("written");
    let (options, progress) = (SnapshotOptions::default(), Announcing(Arc::clone(draft)));
    let package = draft.content().package;
    let taken =
        snapshot::take(&site.library, source.path(), &package, None, options, &SystemClock, &progress)
            .expect("taken");
    let code = site.trust.site();
    let statement =
        Statement::sign(code, draft.content(), taken.root, Timestamp(0), site.trust.signing_key());
    site.library.store_statement(&statement).expect("stored");
    site.library.activate(&statement.version).expect("activated");
    statement
}

#[test]
fn what_was_fetched_of_a_draft_is_held_when_its_job_begins() {
    let site = Site::open();
    let point = site.point();
    let open = site.ear.drafts.begin(content(1, 1), |_| {});
    site.tell_draft(content(1, 1));
    site.wait_for_follower();
    // Nothing comes over pull connections for now: what is there came by following.
    site.refuse(package(1));
    let statement = publish(&site, open.draft());
    let job = site.send(site.job(JobKind::Install, &statement));
    site.failure(job, "NOT_AUTHORISED");
    assert!(point.library().holds(&chunk_digest(b"one")).expect("it can be read"));
    assert_eq!(point.text(1, "a"), "404", "a draft is never served");
    site.refuse_nobody();
    let report = site.report(job, ReportState::Installed);
    assert_eq!(report.totals.raw_bytes, 12_000_003, "what the draft brought counts");
    assert_eq!(point.text(1, "a"), "one");
    assert!(point.get("/XYZ00001.1/big").body == noise(1, 12_000_000));
}

#[test]
fn a_package_that_leaves_ends_what_is_followed_of_it() {
    let site = Site::open();
    let point = site.point();
    let first = site.publish(1, 1, &[(b"a", crate::support::file("one"))]);
    site.install(&first);
    let open = site.ear.drafts.begin(content(1, 2), |_| {});
    site.tell_draft(content(1, 2));
    site.wait_for_follower();
    // The draft is open all the while.
    let job = site.send(site.job(JobKind::Remove, &first));
    site.report(job, ReportState::Removed);
    assert_eq!(point.text(1, "a"), "404");
    drop(open);
}
