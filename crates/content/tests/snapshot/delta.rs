//! Delta frames between two states of a real folder: each decodes to its object, most are small.

use std::collections::HashSet;
use std::path::Path;

use proptest::prelude::{ProptestConfig, any, proptest};
use restock_content::delta::{DeltaBase, DeltaFrame, DeltaMap, DeltaSender};
use restock_content::hash::{chunk_digest, page_digest};
use restock_content::manifest::{Manifest, ManifestRoot};
use restock_content::transfer::{Item, ItemKind, Outgoing};
use restock_names::Digest;
use restock_testkit::random::Random;
use restock_testkit::tree::{self, Shape};
use tempfile::TempDir;

use crate::{Site, let_file_clock_advance};

/// What the new objects of a version cost.
#[derive(Debug, Default)]
struct Cost {
    objects: usize,
    deltas: usize,
    raw_bytes: usize,
    sent_bytes: usize,
}

/// Every page and chunk of the version with its number, each object once.
fn objects(site: &Site, root: ManifestRoot) -> Vec<Outgoing> {
    let manifest = Manifest::new(&site.library, root);
    let mut seen = HashSet::new();
    let pages = manifest.pages_from(0).map(|page| page.expect("a page"));
    let chunks = manifest.chunks_from(0).map(|run| run.map(|run| (run.digest, run.length)).expect("a run"));
    let numbered = |kind, list: Vec<(Digest, u32)>| {
        list.into_iter().enumerate().map(move |(ordinal, (digest, length))| Outgoing {
            item: Item { kind, ordinal: ordinal as u64 },
            digest,
            length,
        })
    };
    numbered(ItemKind::Page, pages.collect())
        .chain(numbered(ItemKind::Chunk, chunks.collect()))
        .filter(|object| seen.insert(object.digest))
        .collect()
}

/// Sends every object of `wanted` that `base` has not, as delta frames where there are any, and
/// checks what comes out.
fn send(site: &Site, wanted: ManifestRoot, base: ManifestRoot) -> Cost {
    let known: HashSet<Digest> = objects(site, base).into_iter().map(|object| object.digest).collect();
    let library = &site.library;
    let sender = DeltaSender::new(library, &wanted, &base).expect("both are there");
    let (mut cursor, mut receiver) = (sender.cursor(library), DeltaBase::new(library, base));
    let mut cost = Cost::default();
    for object in objects(site, wanted).iter().filter(|object| !known.contains(&object.digest)) {
        let stored = library.read_stored(&object.digest).expect("stored").bytes.len();
        cost.objects += 1;
        cost.raw_bytes += object.length as usize;
        let Some(frame) = sender.frame(library, &mut cursor, object, stored).expect("readable") else {
            cost.sent_bytes += stored;
            continue;
        };
        assert!(frame.len() < stored, "a delta is smaller than what it stands for");
        let delta = DeltaFrame::decode(&frame).expect("a frame");
        assert_eq!((delta.item, delta.raw_length), (object.item, object.length));
        let raw = receiver.decode(&delta, object.length).expect("decodes");
        let found = match object.item.kind {
            ItemKind::Page => page_digest(&raw),
            ItemKind::Chunk => chunk_digest(&raw),
        };
        assert_eq!(found, object.digest, "{:?}", object.item);
        let again =
            sender.frame(library, &mut cursor, object, stored).expect("readable").expect("made before");
        assert_eq!(again, frame, "a second receiver gets the same frame");
        cost.deltas += 1;
        cost.sent_bytes += frame.len();
    }
    cost
}

fn take(site: &Site, source: &Path, base: Option<&ManifestRoot>) -> ManifestRoot {
    let snapshot = site.take(source, base).expect("taken");
    let root = snapshot.root;
    snapshot.commit().expect("committed");
    root
}

#[test]
fn small_edits_of_incompressible_files_travel_as_small_deltas() {
    let (source, site) = (TempDir::new().expect("a folder"), Site::new());
    tree::generate(source.path(), 3, Shape { folders: 20, files: 600, symlinks: 0, file_bytes_max: 30_000 })
        .expect("a tree");
    let (image, tool) = (source.path().join("image"), source.path().join("tool"));
    let mut large = Random::new(1).bytes(12 << 20);
    let mut small = Random::new(2).bytes(150_000);
    std::fs::write(&image, &large).expect("written");
    std::fs::write(&tool, &small).expect("written");
    let base = take(&site, source.path(), None);
    let_file_clock_advance(source.path());
    for at in [1_000_000, 5_000_000, 5_300_000, 11_900_000] {
        large[at..at + 300].copy_from_slice(&Random::new(at as u64).bytes(300));
    }
    large.splice(3_000_000..3_000_000, *b"inserted bytes");
    small[70_000] ^= 1;
    std::fs::write(&image, &large).expect("written");
    std::fs::write(&tool, &small).expect("written");
    let wanted = take(&site, source.path(), Some(&base));
    let cost = send(&site, wanted, base);
    assert_eq!(cost.deltas, cost.objects, "every new object has a place it came from: {cost:?}");
    assert!(cost.sent_bytes * 20 < cost.raw_bytes, "{cost:?}");
}

#[test]
fn new_times_alone_cost_a_fraction_of_the_manifest() {
    let (source, site) = (TempDir::new().expect("a folder"), Site::new());
    tree::generate(source.path(), 4, Shape { folders: 60, files: 3_000, symlinks: 0, file_bytes_max: 100 })
        .expect("a tree");
    let base = take(&site, source.path(), None);
    let_file_clock_advance(source.path());
    for entry in tree::read(source.path()).expect("read").keys() {
        use std::os::unix::ffi::OsStrExt;
        let path = source.path().join(std::ffi::OsStr::from_bytes(entry));
        if path.is_file() {
            tree::set_mtime(&path, 1_700_000_000_000_000_000 + entry.len() as i64).expect("touched");
        }
    }
    let wanted = take(&site, source.path(), Some(&base));
    let cost = send(&site, wanted, base);
    assert_eq!(cost.deltas, cost.objects, "{cost:?}");
    assert!(cost.sent_bytes * 3 < cost.raw_bytes, "{cost:?}");
}

#[test]
fn versions_without_anything_in_common_have_no_deltas_that_do_not_pay() {
    let (first, second, site) =
        (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"), Site::new());
    std::fs::write(first.path().join("a"), Random::new(1).bytes(900_000)).expect("written");
    std::fs::write(second.path().join("a"), Random::new(2).bytes(900_000)).expect("written");
    let (base, wanted) = (take(&site, first.path(), None), take(&site, second.path(), None));
    assert_eq!(send(&site, wanted, base).deltas, 0);
    let map = DeltaMap::new(&site.library, &base, &base).expect("read");
    assert!(objects(&site, base).iter().all(|object| map.prefix(&site.library, object.item).is_none()));
}

#[test]
fn a_base_that_is_not_what_the_sender_means_gives_an_error_or_other_bytes() {
    let (source, site) = (TempDir::new().expect("a folder"), Site::new());
    let mut bytes = Random::new(7).bytes(400_000);
    std::fs::write(source.path().join("f"), &bytes).expect("written");
    let base = take(&site, source.path(), None);
    let_file_clock_advance(source.path());
    bytes[200_000] ^= 1;
    std::fs::write(source.path().join("f"), &bytes).expect("written");
    let wanted = take(&site, source.path(), Some(&base));
    let sender = DeltaSender::new(&site.library, &wanted, &base).expect("both are there");
    let mut cursor = sender.cursor(&site.library);
    let other = take(&site, TempDir::new().expect("a folder").path(), None);
    let mut tried = 0;
    for object in objects(&site, wanted) {
        let stored = object.length as usize;
        let Some(frame) = sender.frame(&site.library, &mut cursor, &object, stored).expect("readable") else {
            continue;
        };
        let delta = DeltaFrame::decode(&frame).expect("a frame");
        let decoded = DeltaBase::new(&site.library, other).decode(&delta, object.length);
        assert!(
            !decoded
                .is_ok_and(|raw| chunk_digest(&raw) == object.digest || page_digest(&raw) == object.digest)
        );
        tried += 1;
    }
    assert!(tried > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_edited_every_delta_gives_its_object(seed in any::<u64>()) {
        let (source, site) = (TempDir::new().expect("a folder"), Site::new());
        tree::generate(source.path(), seed, Shape { folders: 6, files: 60, symlinks: 4, file_bytes_max: 400_000 }).expect("a tree");
        let base = take(&site, source.path(), None);
        let_file_clock_advance(source.path());
        tree::edit(source.path(), seed ^ 1, 25).expect("edited");
        let wanted = take(&site, source.path(), Some(&base));
        send(&site, wanted, base);
        send(&site, base, wanted);
    }
}
