use std::ops::ControlFlow;
use std::time::Duration;

use restock_names::{Digest, Timestamp};

use super::super::tests::{
    create, flip_first_byte, manifest, missing, reopen, sealed_files, statement, text, version,
};
use super::super::{Lacking, Library, LibraryError, Role, SCRUB_STEP_BYTES, ScrubState};
use crate::hash::chunk_digest;
use crate::plan::Missing;

fn publish(library: &Library, number: u32, files: std::ops::Range<u32>) {
    let writer = library.begin();
    let root = manifest(&writer, files);
    writer.seal().expect("sealed");
    library.store_statement(&statement(number, root)).expect("stored");
    library.activate(&version(number)).expect("activated");
}

fn chunk(n: u32) -> Digest {
    chunk_digest(&text(n))
}

fn lacking(library: &Library) -> Vec<Lacking> {
    library.lacking(|| ControlFlow::Continue(())).expect("readable")
}

#[test]
fn a_flipped_bit_is_found_told_and_remembered() {
    let (folder, library) = create(Role::DistributionPoint);
    publish(&library, 1, 0..20);
    assert_eq!(library.read(&chunk(0)).expect("right, and found so"), text(0));
    flip_first_byte(&sealed_files(folder.path(), "data")[0]);
    let scrubbed = library.scrub(Timestamp(5), u64::MAX).expect("read");
    assert!(scrubbed.is_round_done);
    assert_eq!(scrubbed.damaged.iter().map(|frame| frame.digest).collect::<Vec<_>>(), [Some(chunk(0))]);
    let found = Lacking { version: version(1), digest: chunk(0), is_missing: false };
    assert_eq!(lacking(&library), [found]);
    drop(library);
    let (library, _) = reopen(folder.path());
    assert_eq!(lacking(&library), [found], "another process knows it without reading");
    let repair = library.begin_repair();
    repair.put_chunk(chunk(0), &text(0)).expect("stored");
    repair.seal().expect("sealed");
    assert_eq!(lacking(&library), []);
    assert_eq!(library.read(&chunk(0)).expect("the newer pack wins"), text(0));
}

#[test]
fn packs_that_are_deleted_or_cut_short_are_found() {
    let (folder, library) = create(Role::DistributionPoint);
    publish(&library, 1, 0..20);
    std::fs::remove_file(&sealed_files(folder.path(), "data")[0]).expect("owner");
    let scrubbed = library.scrub(Timestamp(5), u64::MAX).expect("read");
    assert_eq!(scrubbed.packs_gone.len(), 1);
    let root = lacking(&library);
    assert_eq!((root.len(), root[0].is_missing), (1, true), "the root hides what lies beneath");

    let (folder, library) = create(Role::DistributionPoint);
    publish(&library, 1, 0..20);
    publish(&library, 2, 0..21);
    drop(library);
    let data = sealed_files(folder.path(), "data");
    std::fs::remove_file(&data[0]).expect("owner");
    std::fs::write(&data[0], b"").expect("a pack of 0 bytes");
    let (library, recovered) = reopen(folder.path());
    assert_eq!(recovered.packs_damaged.len(), 1);
    let found = lacking(&library);
    assert!(found.iter().all(|lacking| lacking.is_missing), "{found:?}");
    let newest = found.iter().filter(|lacking| lacking.version == version(2)).count();
    assert_eq!(newest, 20, "chunks of the older version that the newer one needs too");
}

#[test]
fn a_round_is_read_in_steps_and_goes_on_after_a_restart() {
    let (folder, library) = create(Role::Site);
    for n in 0..4 {
        publish(&library, n + 1, n * 50..n * 50 + 50);
    }
    let all = library.stat().expect("readable").frames;
    let (mut frames, mut steps) = (0, 0);
    let mut library = Some(library);
    loop {
        let at = library.take().expect("open");
        let scrubbed = at.scrub(Timestamp(7), 2_000).expect("read");
        (frames, steps) = (frames + scrubbed.frames, steps + 1);
        if scrubbed.is_round_done {
            assert_eq!(at.scrub_state().ended_at, Timestamp(7));
            break;
        }
        drop(at);
        library = Some(reopen(folder.path()).0);
    }
    assert_eq!(frames, all, "each frame once");
    assert!(steps > 4, "{steps} steps");
}

#[test]
fn a_round_takes_half_a_period_and_the_next_begins_with_the_next_period() {
    let period = Duration::from_secs(1_000);
    let state = |sequence| ScrubState { sequence, began_at: Timestamp(0), ..ScrubState::default() };
    let now = Timestamp(0).after(Duration::from_secs(300));
    assert_eq!(state(0).pause(now, period, 0), Duration::from_secs(700));
    assert_eq!(state(3).pause(now, period, SCRUB_STEP_BYTES * 99), Duration::from_secs(5));
    assert_eq!(state(3).pause(now, period, 0), Duration::from_secs(60), "nothing waits for hours");
    assert_eq!(state(0).pause(Timestamp(-1), period, 0), period, "a clock that was set back");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let (folder, library) = create(Role::DistributionPoint);
    library.set_reserve(u64::MAX);
    let space = library.space().expect("readable");
    assert_eq!(space.reserve_bytes, space.total_bytes / 20, "never more than a part");
    let huge: Vec<Missing> =
        missing(0..1).into_iter().map(|chunk| Missing { length: u32::MAX, ..chunk }).collect();
    let many = space.total_bytes / u64::from(u32::MAX) + 1;
    let all: Vec<Missing> = (0..many)
        .map(|n| Missing { digest: chunk_digest(&n.to_le_bytes()), ordinal: n, ..huge[0] })
        .collect();
    let refused = library.begin_receive(&version(1), &all).expect_err("it does not fit");
    let LibraryError::NoSpace { needed_bytes, .. } = refused else { panic!("{refused}") };
    assert_eq!(needed_bytes, many * u64::from(u32::MAX));
    assert!(refused.to_string().starts_with("NO_SPACE: "), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path().join("packs")).expect("readable").count(), 0);
    assert!(library.drafts().is_empty());
}
