//! Pulls of a changed version by a point that holds the one before: differences travel, not chunks.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, PermissionsExt};

use crate::world::{Point, World, files, in_runtime, options, read_back};

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

/// A tree with a large file, and the same after four small edits of it.
fn edited() -> (BTreeMap<String, Vec<u8>>, BTreeMap<String, Vec<u8>>) {
    let mut before = files(400, 3_000);
    before.insert("large".to_owned(), noise(5, 6_000_000));
    let mut after = before.clone();
    let large = after.get_mut("large").unwrap();
    for at in [300_000, 2_000_000, 2_050_000, 5_999_000] {
        large[at..at + 40].copy_from_slice(&noise(at as u64, 40));
    }
    large.splice(4_000_000..4_000_000, *b"inserted");
    (before, after)
}

fn damage_every_pack(point: &Point, pieces: u64) {
    for entry in std::fs::read_dir(point.library.folder().join("packs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "data") {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            let length = file.metadata().unwrap().len();
            if length > 1_000_000 {
                (0..pieces).for_each(|n| file.write_all_at(b"damage", n * (length - 6) / pieces).unwrap());
            }
        }
    }
}

#[test]
fn small_edits_of_a_large_file_travel_as_differences() {
    in_runtime(async {
        let world = World::new().await;
        let (first, second) = (world.point("DP01").await, world.point("DP02").await);
        let (before, after) = edited();
        let version = world.publish(1, &before);
        first.install(&version, &options()).await.unwrap();
        second.install(&version, &options()).await.unwrap();
        let version = world.publish(2, &after);
        for point in [&first, &second] {
            let report = point.install(&version, &options()).await.unwrap();
            assert_eq!(read_back(&point.library, version.root), after);
            assert!(report.raw_bytes > 200_000, "whole chunks are what is stored: {report:?}");
            assert!(report.wire_received < 12_000, "differences are what travels: {report:?}");
            assert_eq!(report.connections_failed, 0);
        }
        // Back again: the newer version is the base of the older content.
        let version = world.publish(3, &before);
        let report = first.install(&version, &options()).await.unwrap();
        assert_eq!((report.chunks, report.raw_bytes), (0, 0), "its chunks are still held");
        assert_eq!(read_back(&first.library, version.root), before);
    });
}

#[test]
fn a_base_that_has_rotted_makes_the_point_ask_for_whole_objects() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let (before, after) = edited();
        point.install(&world.publish(1, &before), &options()).await.unwrap();
        // Nothing of the large file can be read any more.
        damage_every_pack(&point, 600);
        let version = world.publish(2, &after);
        let report = point.install(&version, &options()).await.unwrap();
        assert!(report.connections_failed >= 1, "the base was found wrong on the way: {report:?}");
        assert!(report.wire_received > 100_000, "{report:?}");
        // What arrived is right; what lies in damaged packs is not this pull's to repair.
        assert_eq!(point.library.active(&version.version.package).unwrap().version, version.version);
    });
}

#[test]
fn a_base_that_the_site_does_not_have_costs_whole_chunks_and_no_failure() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let (before, after) = edited();
        let version = world.publish(1, &before);
        point.install(&version, &options()).await.unwrap();
        world.library.remove_statement(&version.version).unwrap();
        let version = world.publish(2, &after);
        let report = point.install(&version, &options()).await.unwrap();
        assert_eq!(read_back(&point.library, version.root), after);
        assert_eq!(report.connections_failed, 0);
        assert!(report.wire_received > 100_000, "{report:?}");
    });
}
