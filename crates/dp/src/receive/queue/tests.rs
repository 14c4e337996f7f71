use restock_names::{ContentVersion, Epoch, SourceVersion};
use restock_transfer::{Job, JobId, JobKind};
use tokio_util::sync::CancellationToken;

use super::{Arrival, Dropped, Queue, Work};

fn content(package: u32, version: u32) -> ContentVersion {
    let package = restock_names::PackageId::new("XYZ".parse().expect("valid"), package).expect("small");
    ContentVersion { package, epoch: Epoch::FIRST, version: SourceVersion(version) }
}

fn job(id: u64, kind: JobKind, package: u32, version: u32) -> Work {
    Work::Job(Job {
        job_id: JobId(id),
        kind,
        content: content(package, version),
        statement: Vec::new(),
        is_public: false,
        name: String::new(),
        share: None,
    })
}

fn id(work: &Work) -> u64 {
    match work {
        Work::Job(job) => job.job_id.0,
        Work::Heal { .. } => 0,
    }
}

fn queue() -> Queue {
    Queue::new(CancellationToken::new())
}

fn dropped(arrival: &Arrival) -> Vec<(u64, Dropped)> {
    arrival.dropped.iter().map(|(job, why)| (job.job_id.0, *why)).collect()
}

fn next(queue: &mut Queue, package: u32) -> Option<u64> {
    queue.finished(&content(package, 1).package).map(|(work, _)| id(&work))
}

#[test]
fn packages_run_side_by_side_and_jobs_of_one_package_in_turn() {
    let mut queue = queue();
    assert!(queue.arrive(job(1, JobKind::Install, 1, 1)).start.is_some());
    assert!(queue.arrive(job(2, JobKind::Install, 2, 1)).start.is_some());
    let second = queue.arrive(job(3, JobKind::Redistribute, 1, 1));
    assert!(second.start.is_none() && second.is_queued);
    assert_eq!(next(&mut queue, 1), Some(3));
    assert_eq!(next(&mut queue, 1), None);
    assert!(queue.arrive(job(4, JobKind::Install, 1, 1)).start.is_some());
}

#[test]
fn the_same_install_again_is_not_done_twice_but_reported_under_the_newest_id() {
    let mut queue = queue();
    let (_, ticket) = queue.arrive(job(1, JobKind::Install, 1, 1)).start.expect("started");
    let again = queue.arrive(job(1, JobKind::Install, 1, 1));
    assert!(!again.is_queued && again.dropped.is_empty());
    assert!(!queue.arrive(job(5, JobKind::Install, 1, 1)).is_queued);
    assert_eq!(ticket.job_id(), JobId(5));
    assert_eq!(next(&mut queue, 1), None);
}

#[test]
fn a_redistribution_asked_while_one_runs_runs_once_more() {
    let mut queue = queue();
    queue.arrive(job(1, JobKind::Redistribute, 1, 1));
    assert!(!queue.arrive(job(1, JobKind::Redistribute, 1, 1)).is_queued);
    assert!(queue.arrive(job(2, JobKind::Redistribute, 1, 1)).is_queued);
    let third = queue.arrive(job(3, JobKind::Redistribute, 1, 1));
    assert_eq!(dropped(&third), [(2, Dropped::Repeated)]);
    assert_eq!(next(&mut queue, 1), Some(3));
}

#[test]
fn a_newer_version_replaces_an_older_one_that_waits() {
    let mut queue = queue();
    let (_, ticket) = queue.arrive(job(1, JobKind::Install, 1, 1)).start.expect("started");
    queue.arrive(job(2, JobKind::Install, 1, 2));
    let third = queue.arrive(job(3, JobKind::Install, 1, 3));
    assert_eq!(dropped(&third), [(2, Dropped::Superseded)]);
    assert!(!ticket.cancel.is_cancelled(), "what is being received is finished");
    assert_eq!(next(&mut queue, 1), Some(3));
}

#[test]
fn a_newer_version_ends_the_wait_of_an_older_one_for_its_next_attempt() {
    let mut queue = queue();
    let (_, ticket) = queue.arrive(job(1, JobKind::Install, 1, 1)).start.expect("started");
    ticket.set_waiting(true);
    queue.arrive(job(2, JobKind::Install, 1, 2));
    assert!(ticket.cancel.is_cancelled() && ticket.is_superseded());
    assert_eq!(next(&mut queue, 1), Some(2));
}

#[test]
fn a_removal_ends_everything_of_its_package() {
    let mut queue = queue();
    let (_, ticket) = queue.arrive(job(1, JobKind::Install, 1, 1)).start.expect("started");
    let (_, other) = queue.arrive(job(2, JobKind::Install, 2, 1)).start.expect("started");
    queue.arrive(job(3, JobKind::Install, 1, 2));
    let removal = queue.arrive(job(4, JobKind::Remove, 1, 1));
    assert_eq!(dropped(&removal), [(3, Dropped::Cancelled)]);
    assert!(ticket.cancel.is_cancelled() && !other.cancel.is_cancelled());
    // Asked for again after the removal: that counts.
    assert!(queue.arrive(job(5, JobKind::Install, 1, 1)).is_queued);
    assert_eq!((next(&mut queue, 1), next(&mut queue, 1)), (Some(4), Some(5)));
}

#[test]
fn a_cancel_ends_only_the_version_it_names() {
    let mut queue = queue();
    let (_, ticket) = queue.arrive(job(1, JobKind::Install, 1, 1)).start.expect("started");
    queue.arrive(job(2, JobKind::Install, 1, 2));
    let cancel = queue.arrive(job(3, JobKind::Cancel, 1, 2));
    assert_eq!(dropped(&cancel), [(2, Dropped::Cancelled)]);
    assert!(!ticket.cancel.is_cancelled());
    queue.arrive(job(4, JobKind::Cancel, 1, 1));
    assert!(ticket.cancel.is_cancelled());
    assert_eq!((next(&mut queue, 1), next(&mut queue, 1), next(&mut queue, 1)), (Some(3), Some(4), None));
}

#[test]
fn an_install_after_its_own_cancel_is_done() {
    let mut queue = queue();
    queue.arrive(job(1, JobKind::Install, 1, 1));
    queue.arrive(job(2, JobKind::Cancel, 1, 1));
    assert!(queue.arrive(job(3, JobKind::Install, 1, 1)).is_queued);
    assert_eq!((next(&mut queue, 1), next(&mut queue, 1)), (Some(2), Some(3)));
}

#[test]
fn one_heal_at_a_time() {
    let mut queue = queue();
    let heal = Work::Heal { content: content(1, 1), damaged: Vec::new(), code: "CONTENT_DAMAGED" };
    assert!(queue.arrive(heal.clone()).start.is_some());
    assert!(!queue.arrive(heal).is_queued);
    assert!(queue.arrive(job(1, JobKind::Install, 1, 2)).is_queued);
}
