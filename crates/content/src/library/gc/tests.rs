use std::ops::ControlFlow;
use std::time::Duration;

use restock_names::{Digest, Timestamp};

use super::super::tests::{
    create, flip_first_byte, manifest, put, reopen, sealed_files, statement, text, version,
};
use super::super::{Library, LibraryError, Packing, Role};
use super::{CollectError, CollectOptions, Collected};
use crate::hash::chunk_digest;

/// All that is stored is old.
fn options() -> CollectOptions {
    CollectOptions { now: Timestamp(i64::MAX), grace: Duration::ZERO, rewrite_bytes_max: u64::MAX }
}

fn publish(library: &Library, number: u32, files: std::ops::Range<u32>) {
    let writer = library.begin();
    let root = manifest(&writer, files);
    writer.seal().expect("sealed");
    library.store_statement(&statement(number, root)).expect("stored");
    library.activate(&version(number)).expect("activated");
}

fn collect(library: &Library) -> Collected {
    let collection = library.collect(options(), || ControlFlow::Continue(())).expect("begins");
    collection.finish(|_| ControlFlow::Continue(())).expect("ends")
}

fn chunk(n: u32) -> Digest {
    chunk_digest(&text(n))
}

#[test]
fn the_history_keeps_the_newest_versions_up_to_the_active_one() {
    let (_folder, library) = create(Role::Site);
    for n in 1..=4 {
        publish(&library, n, n..n + 2);
    }
    let writer = library.begin();
    let root = manifest(&writer, 0..1);
    writer.seal().expect("sealed");
    library.store_statement(&statement(9, root)).expect("stored, but never activated");
    let package = version(1).package;
    assert_eq!(library.trim(&package, 3).expect("removed"), [version(1)]);
    let kept: Vec<u32> =
        library.statements(&package).expect("readable").iter().map(|s| s.version.version.0).collect();
    assert_eq!(kept, [2, 3, 4, 9]);
    library.trim(&package, 0).expect("the active one stays whatever is asked");
    assert_eq!(library.statements(&package).expect("readable").len(), 2);
}

#[test]
fn packs_of_which_nothing_is_left_are_deleted_and_their_room_is_free() {
    let (folder, library) = create(Role::Site);
    publish(&library, 1, 0..50);
    publish(&library, 2, 50..60);
    library.trim(&version(1).package, 1).expect("removed");
    let collected = collect(&library);
    assert_eq!((collected.packs_deleted, collected.packs_rewritten), (1, 0));
    assert!(!library.holds(&chunk(3)).expect("readable"));
    assert_eq!(library.read(&chunk(55)).expect("kept"), text(55));
    assert_eq!(sealed_files(folder.path(), "data").len(), 1);
    drop(library);
    let (library, recovered) = reopen(folder.path());
    assert!(recovered.packs_damaged.is_empty());
    assert!(matches!(library.read(&chunk(3)), Err(LibraryError::Missing(_))));
}

#[test]
fn what_was_stored_within_the_grace_is_left_alone() {
    let (_folder, library) = create(Role::Site);
    let writer = library.begin();
    let digest = put(&writer, 1);
    writer.seal().expect("sealed");
    let sealed_at = library.inner.sealed()[0].sealed_at();
    for (later, is_left) in [(59, true), (60, false)] {
        let now = sealed_at.after(Duration::from_secs(later * 60));
        let collection = library.collect(CollectOptions::new(now), || ControlFlow::Continue(()));
        collection.expect("begins").finish(|_| ControlFlow::Continue(())).expect("ends");
        assert_eq!(library.holds(&digest).expect("readable"), is_left, "after {later} minutes");
    }
}

#[test]
fn while_cleaning_waits_what_goes_can_be_read_and_is_not_built_on() {
    let (_folder, library) = create(Role::Site);
    publish(&library, 1, 0..5);
    publish(&library, 2, 5..9);
    let reader = library.hold();
    library.trim(&version(1).package, 1).expect("removed");
    let collection = library.collect(options(), || ControlFlow::Continue(())).expect("begins");
    assert_eq!(library.read(&chunk(1)).expect("a reader goes on"), text(1));
    assert!(!library.holds(&chunk(1)).expect("readable"));
    assert!(library.holds(&chunk(6)).expect("readable"));
    assert!(matches!(library.collect(options(), || ControlFlow::Continue(())), Err(CollectError::Busy)));
    let late = library.hold();
    assert_eq!(collection.waits_for(), 1, "who came later is not waited for");
    assert!(matches!(collection.finish(|_| ControlFlow::Continue(())), Err(CollectError::Waits(1))));
    assert!(library.holds(&chunk(1)).expect("given up: everything is as before"));
    drop((reader, late));
    collect(&library);
    assert!(!library.holds(&chunk(1)).expect("readable"));
}

#[test]
fn thin_packs_are_written_anew_and_large_files_begin_on_a_boundary_again() {
    let (folder, library) = create(Role::DistributionPoint);
    publish(&library, 1, 0..40);
    publish(&library, 2, 0..8);
    library.trim(&version(1).package, 1).expect("removed");
    let collected = collect(&library);
    assert_eq!(collected.packs_rewritten, 1);
    assert!(collected.bytes_freed > collected.bytes_rewritten, "{collected:?}");
    for n in 0..8 {
        assert_eq!(library.read(&chunk(n)).expect("kept"), text(n));
    }
    assert!(!library.holds(&chunk(30)).expect("readable"));
    drop(library);
    let (library, _) = reopen(folder.path());
    assert!(library.check(|_| ControlFlow::Continue(())).expect("checked").incomplete.is_empty());
    assert_eq!(collect(&library), Collected::default(), "nothing is left to do");
}

#[test]
fn no_more_is_written_anew_than_was_received() {
    let (_folder, library) = create(Role::Site);
    publish(&library, 1, 0..40);
    publish(&library, 2, 0..8);
    library.trim(&version(1).package, 1).expect("removed");
    let limited = CollectOptions { rewrite_bytes_max: 0, ..options() };
    let collection = library.collect(limited, || ControlFlow::Continue(())).expect("begins");
    let collected = collection.finish(|_| ControlFlow::Continue(())).expect("ends");
    assert_eq!((collected.packs_rewritten, collected.packs_deleted), (0, 0));
    assert!(collected.frames_left >= 32, "{collected:?}");
    assert!(library.holds(&chunk(30)).expect("what stays may be referred to again"));
}

#[test]
fn a_version_that_cannot_be_read_whole_stops_cleaning() {
    let (folder, library) = create(Role::Site);
    let writer = library.begin();
    let root = manifest(&writer, 0..3);
    library.store_statement(&statement(1, root)).expect("stored before its pages, and then they are lost");
    drop(writer);
    publish(&library, 2, 3..6);
    let refused = library.collect(options(), || ControlFlow::Continue(())).expect_err("refused");
    assert!(refused.to_string().starts_with("CLEAN_REFUSED"), "{refused}");
    assert_eq!(sealed_files(folder.path(), "data").len(), 1);
    library.remove_statement(&version(1)).expect("removed");
    collect(&library);
}

#[test]
fn a_pack_with_damage_stays_as_evidence() {
    let (folder, library) = create(Role::Site);
    publish(&library, 1, 0..5);
    let data = sealed_files(folder.path(), "data");
    flip_first_byte(&data[0]);
    assert!(library.read(&chunk(0)).is_err(), "its bytes lie first");
    publish(&library, 2, 7..9);
    library.trim(&version(1).package, 1).expect("removed");
    collect(&library);
    assert!(data[0].exists());
    library.remember_damage(Timestamp(1_000)).expect("kept");
    drop(library);
    let (library, _) = reopen(folder.path());
    assert!(matches!(library.read(&chunk(0)), Err(LibraryError::Damaged { .. })), "known from before");
    collect(&library);
    assert!(data[0].exists());
    let month = Duration::from_secs(31 * 24 * 60 * 60);
    library.remember_damage(Timestamp(1_000).after(month)).expect("kept");
    drop(library);
    let (library, _) = reopen(folder.path());
    collect(&library);
    assert!(!data[0].exists(), "not for ever");
}

#[test]
fn a_right_copy_is_not_deleted_for_a_newer_one_that_is_wrong() {
    let (folder, library) = create(Role::Site);
    publish(&library, 1, 0..1);
    let repair = library.begin_repair();
    repair.put_chunk(chunk(0), &text(0)).expect("stored again");
    repair.seal().expect("sealed");
    let newest = sealed_files(folder.path(), "data").pop().expect("two packs");
    flip_first_byte(&newest);
    collect(&library);
    assert_eq!(library.read(&chunk(0)).expect("the older copy"), text(0));
}

/// A version whose chunks were stored in haste: only samples were compressed.
fn publish_fast(library: &Library, number: u32, files: std::ops::Range<u32>) {
    let writer = library.begin();
    for n in files.clone() {
        writer.put_chunk_as(chunk(n), &text(n), Packing::Fast).expect("stored");
    }
    let root = manifest(&writer, files);
    writer.seal().expect("sealed");
    library.store_statement(&statement(number, root)).expect("stored");
    library.activate(&version(number)).expect("activated");
}

#[test]
fn chunks_that_were_stored_raw_in_haste_are_compressed_by_cleaning() {
    let (folder, library) = create(Role::Site);
    publish_fast(&library, 1, 0..160);
    let before = library.stat().expect("readable");
    assert!(before.raw_chunks >= 140 && before.raw_bytes > 200_000, "{before:?}");
    let none = CollectOptions { rewrite_bytes_max: before.stored_bytes / 2, ..options() };
    let collection = library.collect(none, || ControlFlow::Continue(())).expect("begins");
    let collected = collection.finish(|_| ControlFlow::Continue(())).expect("ends");
    assert_eq!(collected.chunks_compressed, 0, "no more than was received");
    let collected = collect(&library);
    assert_eq!((collected.packs_rewritten, collected.chunks_compressed), (1, before.raw_chunks));
    let after = library.stat().expect("readable");
    assert_eq!((after.frames, after.raw_chunks), (before.frames, 0));
    assert_eq!(after.decoded_bytes, before.decoded_bytes);
    assert!(after.stored_bytes < before.stored_bytes / 5, "{after:?}");
    assert_eq!(collected.bytes_freed, before.stored_bytes - after.stored_bytes);
    assert_eq!(collect(&library), Collected::default(), "nothing is left to do");
    drop(library);
    let (library, _) = reopen(folder.path());
    for n in 0..160 {
        assert_eq!(library.read(&chunk(n)).expect("kept"), text(n));
    }
    assert!(library.check(|_| ControlFlow::Continue(())).expect("checked").incomplete.is_empty());
}

#[test]
fn chunks_that_do_not_shrink_and_those_of_a_distribution_point_stay_raw() {
    let (_folder, library) = create(Role::DistributionPoint);
    publish_fast(&library, 1, 0..160);
    assert_eq!(collect(&library), Collected::default());

    let (_folder, library) = create(Role::Site);
    let writer = library.begin();
    let noise = |n: u64| -> Vec<u8> {
        (0..64_u64).flat_map(|i| chunk_digest(&(n << 8 | i).to_le_bytes()).0).collect()
    };
    for n in 0..100 {
        writer.put_chunk(chunk_digest(&noise(n)), &noise(n)).expect("stored");
    }
    let root = manifest(&writer, 0..1);
    writer.seal().expect("sealed");
    library.store_statement(&statement(1, root)).expect("stored");
    library.activate(&version(1)).expect("activated");
    // Not referred to, but within what is kept: only whether it shrinks is asked here.
    let packs = library.inner.sealed();
    assert!(packs[0].tally().raw_bytes > 100_000);
    assert!(!library.inner.shrinks(&packs[0]).expect("readable"));
}
