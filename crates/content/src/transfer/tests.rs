//! Receiver and sender against each other in memory: random trees, random interleavings, lost
//! connections, resumed and hostile transfers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::{any, prop, proptest};
use restock_names::{ContentVersion, Digest, EntryPath, Epoch, SourceVersion, Timestamp};

use super::{
    AcceptedStatement, ConnectionId, Expected, FrameHeader, Inventory, Item, ItemKind, Outgoing,
    ReceiveError, Receiver, Request, Sender, Step, WINDOW_BYTES, WalkError, locate,
};
use crate::files::DiskFiles;
use crate::hash::{chunk_digest, page_digest};
use crate::manifest::{
    Builder, ChunkRun, EntriesChild, Entry, EntryKind, FileChunks, Manifest, ManifestRoot, MemoryPages, Page,
    PageError, PageSource,
};
use crate::pack::Encoding;
use crate::statement::{SigningKey, Statement};

/// A small generator, so that a case is a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// A holder in memory.
#[derive(Default, Clone)]
struct Holder {
    pages: MemoryPages,
    chunks: BTreeMap<Digest, Vec<u8>>,
    complete: BTreeSet<Digest>,
}

impl Inventory for Holder {
    fn holds(&self, chunk: &Digest) -> Result<bool, PageError> {
        Ok(self.chunks.contains_key(chunk))
    }
    fn page(&self, page: &Digest) -> Option<Arc<[u8]>> {
        self.pages.page(page).ok()
    }
    fn is_complete(&self, page: &Digest) -> bool {
        self.complete.contains(page)
    }
}

impl Holder {
    fn complete_version(&mut self, root: ManifestRoot) {
        let pages: Vec<Digest> =
            Manifest::new(&self.pages, root).pages_from(0).map(|page| page.unwrap().0).collect();
        self.complete.extend(pages);
    }

    /// True when every page and chunk of the version is here.
    fn has_all(&self, root: ManifestRoot) -> bool {
        let manifest = Manifest::new(&self.pages, root);
        manifest.pages_from(0).all(|page| page.is_ok_and(|(digest, _)| self.pages.0.contains_key(&digest)))
            && manifest.chunks_from(0).all(|run| run.is_ok_and(|run| self.chunks.contains_key(&run.digest)))
    }

    /// Adds a tree of `files`, each a list of chunk seeds; the same seed is the same chunk.
    fn add_tree(&mut self, files: &BTreeMap<u32, Vec<u32>>) -> ManifestRoot {
        let mut entries: Vec<Entry> = files
            .iter()
            .map(|(name, seeds)| {
                let runs: Vec<ChunkRun> = seeds
                    .iter()
                    .map(|seed| {
                        let raw = chunk(*seed);
                        let run = ChunkRun {
                            digest: chunk_digest(&raw),
                            length: raw.len() as u32,
                            repeat: 1 + seed % 3,
                        };
                        self.chunks.insert(run.digest, raw);
                        run
                    })
                    .collect();
                let size = runs.iter().map(ChunkRun::bytes).sum();
                let path = EntryPath::new(format!("d{}/f{name}", name % 7)).unwrap();
                Entry {
                    path,
                    mode: 0o644,
                    mtime_ns: 1,
                    kind: EntryKind::File { size, chunks: FileChunks::Inline(runs) },
                }
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let mut builder = Builder::new(&mut self.pages);
        entries.into_iter().for_each(|entry| builder.push(entry).unwrap());
        builder.finish().unwrap()
    }
}

fn chunk(seed: u32) -> Vec<u8> {
    // Most are small, so that cases are quick; some fill a window soon.
    let length = if seed.is_multiple_of(50) { 250_000 } else { 4 + seed as usize * 7_919 % 2_000 };
    let mut raw = vec![seed as u8; length];
    raw[..4].copy_from_slice(&seed.to_le_bytes());
    raw
}

fn accepted(root: ManifestRoot) -> AcceptedStatement {
    let version = ContentVersion {
        package: "XYZ00001".parse().unwrap(),
        epoch: Epoch::FIRST,
        version: SourceVersion(1),
    };
    let key = SigningKey::from_bytes(&[1; 32]);
    AcceptedStatement::from_library(Statement::sign(
        "XYZ".parse().unwrap(),
        version,
        root,
        Timestamp(0),
        &key,
    ))
}

/// What the sending holder answers to a request.
fn answer(source: &Holder, sender: &mut Sender<'_>, request: &Request) -> Vec<(FrameHeader, Vec<u8>)> {
    let again = Request::decode(&request.encode()).unwrap();
    assert_eq!(again, *request);
    let mut frames = Vec::new();
    for range in &request.ranges {
        for outgoing in sender.resolve(range) {
            let Outgoing { item, digest, length } = outgoing.unwrap();
            let stored = match item.kind {
                ItemKind::Page => source.pages.page(&digest).unwrap().to_vec(),
                ItemKind::Chunk => source.chunks[&digest].clone(),
            };
            frames.push((FrameHeader { item, encoding: Encoding::Raw, raw_length: length }, stored));
        }
    }
    frames
}

struct Wire<'a> {
    id: ConnectionId,
    sender: Sender<'a>,
    coming: VecDeque<(FrameHeader, Vec<u8>)>,
}

/// Everything that was asked for, in order.
type Asked = Vec<Item>;

/// Runs a transfer to its end, or to `steps_max`; connections are lost at random when `lossy`.
fn transfer(
    source: &Holder,
    target: &mut Holder,
    root: ManifestRoot,
    seed: u64,
    lossy: bool,
    steps_max: usize,
) -> (Asked, bool) {
    let mut random = Random(seed);
    let mut receiver = Receiver::new(&accepted(root), target).unwrap();
    let mut asked = Asked::new();
    let mut wires: Vec<Wire<'_>> = Vec::new();
    let mut next_id = 0;
    for _ in 0..steps_max {
        if let Some(planned) = receiver.planned() {
            assert!(planned.missing.is_sorted_by(|a, b| a.ordinal < b.ordinal));
            let missing: Vec<Digest> = planned.missing.iter().map(|chunk| chunk.digest).collect();
            receiver.fetch(|index| target.chunks.contains_key(&missing[index]));
        }
        if receiver.is_done() {
            return (asked, true);
        }
        if wires.is_empty() || (wires.len() < 3 && random.below(20) == 0) {
            let id = ConnectionId(next_id);
            next_id += 1;
            receiver.opened(id);
            wires.push(Wire { id, sender: Sender::new(&source.pages, root), coming: VecDeque::new() });
        }
        let at = random.below(wires.len() as u64) as usize;
        if lossy && random.below(25) == 0 {
            let wire = wires.swap_remove(at);
            receiver.closed(wire.id);
            continue;
        }
        let wire = &mut wires[at];
        if let Step::Ask(request) = receiver.next(wire.id) {
            let frames = answer(source, &mut wire.sender, &request);
            asked.extend(frames.iter().map(|(header, _)| header.item));
            wire.coming.extend(frames);
            let in_flight: u64 = wire.coming.iter().map(|(header, _)| u64::from(header.raw_length)).sum();
            assert!(in_flight <= WINDOW_BYTES || wire.coming.len() == 1);
        }
        for _ in 0..random.below(40) {
            let Some((header, stored)) = wire.coming.pop_front() else { break };
            let expected = receiver.expect(wire.id, &header).unwrap();
            let raw = expected.verify(&header, &stored, &DiskFiles).unwrap();
            match expected.item.kind {
                ItemKind::Page => {
                    target.pages.0.insert(expected.digest, raw.clone().into());
                    receiver.page_stored(wire.id, &expected, &raw, target).unwrap();
                }
                ItemKind::Chunk => {
                    target.chunks.insert(expected.digest, raw);
                    receiver.chunk_stored(wire.id, &expected);
                }
            }
        }
    }
    (asked, false)
}

fn tree(random: &mut Random, files: u64, seeds: u64) -> BTreeMap<u32, Vec<u32>> {
    (0..files)
        .map(|name| {
            let count = if random.below(12) == 0 { random.below(400) } else { random.below(5) };
            (name as u32, (0..count).map(|_| random.below(seeds) as u32).collect())
        })
        .collect()
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(16))]

    #[test]
    fn any_interleaving_with_any_losses_ends_with_everything_held(seed in any::<u64>(), files in 0_u64..300) {
        let mut random = Random(seed);
        let mut source = Holder::default();
        let files = tree(&mut random, files, 500);
        let root = source.add_tree(&files);
        for lossy in [false, true] {
            let mut target = Holder::default();
            let (asked, done) = transfer(&source, &mut target, root, seed, lossy, usize::MAX);
            assert!(done && target.has_all(root));
            assert_eq!((target.pages.0.len(), target.chunks.len()), (source.pages.0.len(), source.chunks.len()));
            let distinct: BTreeSet<Item> = asked.iter().copied().collect();
            assert!(lossy || distinct.len() == asked.len(), "nothing is asked for twice");
        }
    }

    #[test]
    fn an_update_asks_only_for_what_changed(seed in any::<u64>(), changes in prop::collection::vec((0_u32..400, 500_u32..600), 0..6)) {
        let mut random = Random(seed);
        let mut source = Holder::default();
        let mut files = tree(&mut random, 400, 300);
        let first = source.add_tree(&files);
        let mut target = Holder::default();
        transfer(&source, &mut target, first, seed, false, usize::MAX);
        target.complete_version(first);
        let (pages, chunks) = (target.pages.0.len(), target.chunks.len());
        for (name, new) in &changes {
            files.insert(*name, vec![*new]);
        }
        let second = source.add_tree(&files);
        let (asked, done) = transfer(&source, &mut target, second, seed, false, usize::MAX);
        assert!(done && target.has_all(second));
        let added = (target.pages.0.len() - pages) + (target.chunks.len() - chunks);
        assert_eq!(asked.len(), added);
        assert!(changes.is_empty() == asked.is_empty());
    }

    #[test]
    fn a_transfer_that_died_goes_on_without_asking_again(seed in any::<u64>(), died_after in 1_usize..60) {
        let mut random = Random(seed);
        let mut source = Holder::default();
        let files = tree(&mut random, 200, 400);
        let root = source.add_tree(&files);
        let mut target = Holder::default();
        transfer(&source, &mut target, root, seed, false, died_after);
        let kept: BTreeSet<Digest> = target.chunks.keys().chain(target.pages.0.keys()).copied().collect();
        let (asked, done) = transfer(&source, &mut target, root, !seed, false, usize::MAX);
        assert!(done && target.has_all(root));
        for item in asked {
            let (digest, _) = locate(&source.pages, &root, item).unwrap().unwrap();
            assert!(!kept.contains(&digest), "{item} was recorded");
        }
    }
}

#[test]
fn every_page_and_chunk_is_located_by_its_ordinal() {
    let mut source = Holder::default();
    let files = tree(&mut Random(5), 500, 5_000);
    let root = source.add_tree(&files);
    let manifest = Manifest::new(&source.pages, root);
    for (ordinal, page) in manifest.pages_from(0).enumerate() {
        let item = Item { kind: ItemKind::Page, ordinal: ordinal as u64 };
        assert_eq!(locate(&source.pages, &root, item).unwrap(), Some(page.unwrap()));
        // The page itself need not be readable.
        let (digest, _) = locate(&source.pages, &root, item).unwrap().unwrap();
        let mut damaged = source.pages.clone();
        damaged.0.remove(&digest);
        assert_eq!(locate(&damaged, &root, item).unwrap().unwrap().0, digest);
    }
    for kind in [ItemKind::Page, ItemKind::Chunk] {
        let count = if kind == ItemKind::Page { root.pages } else { root.chunks };
        assert_eq!(locate(&source.pages, &root, Item { kind, ordinal: count }).unwrap(), None);
    }
}

#[test]
fn a_repair_asks_for_exactly_the_items_given() {
    let item = |kind, ordinal| Item { kind, ordinal };
    let items = [
        (item(ItemKind::Page, 3), page_digest(b"p"), 1),
        (item(ItemKind::Chunk, 7), chunk_digest(b"c"), 1),
        (item(ItemKind::Chunk, 8), chunk_digest(b"d"), 1),
    ];
    let mut receiver = Receiver::repair(&items);
    let id = ConnectionId(0);
    receiver.opened(id);
    let Step::Ask(request) = receiver.next(id) else { panic!("there is something to ask") };
    assert_eq!(
        request.ranges.iter().map(|range| (range.first, range.count)).collect::<Vec<_>>(),
        [(3, 1), (7, 2)]
    );
    for (index, (item, digest, _)) in items.iter().enumerate() {
        let header = FrameHeader { item: *item, encoding: Encoding::Raw, raw_length: 1 };
        let expected = receiver.expect(id, &header).unwrap();
        assert_eq!(expected.digest, *digest);
        let raw = expected.verify(&header, [b"p", b"c", b"d"][index], &DiskFiles).unwrap();
        match item.kind {
            ItemKind::Page => receiver.page_stored(id, &expected, &raw, &Holder::default()).unwrap(),
            ItemKind::Chunk => receiver.chunk_stored(id, &expected),
        }
    }
    assert!(receiver.is_done());
    assert_eq!(receiver.next(id), Step::Done);
}

/// A receiver that has asked for the first frames of a tree, and those frames.
fn asked_once() -> (Holder, Receiver, Vec<(FrameHeader, Vec<u8>)>) {
    let mut source = Holder::default();
    let files = tree(&mut Random(9), 40, 90);
    let root = source.add_tree(&files);
    let target = Holder { pages: source.pages.clone(), ..Holder::default() };
    let mut receiver = Receiver::new(&accepted(root), &target).unwrap();
    receiver.fetch(|_| false);
    receiver.opened(ConnectionId(0));
    let Step::Ask(request) = receiver.next(ConnectionId(0)) else { panic!("chunks are lacking") };
    let frames = answer(&source, &mut Sender::new(&source.pages, root), &request);
    assert!(frames.len() > 3);
    (source, receiver, frames)
}

#[test]
fn frames_not_asked_for_or_out_of_turn_are_refused() {
    let id = ConnectionId(0);
    let (_, mut receiver, frames) = asked_once();
    let unexpected = |result: Result<Expected, ReceiveError>| {
        assert!(matches!(result, Err(ReceiveError::Unexpected { .. })), "{result:?}");
    };
    unexpected(receiver.expect(id, &frames[1].0));
    unexpected(receiver.expect(ConnectionId(7), &frames[0].0));
    receiver.expect(id, &frames[0].0).unwrap();
    unexpected(receiver.expect(id, &frames[0].0));
    for (header, _) in &frames[1..] {
        receiver.expect(id, header).unwrap();
    }
    unexpected(receiver.expect(id, &frames[0].0));
}

#[test]
fn a_window_of_tiny_chunks_is_bounded_by_their_number() {
    let items: Vec<(Item, Digest, u32)> =
        (0..20_000).map(|ordinal| (Item { kind: ItemKind::Chunk, ordinal }, chunk_digest(b"c"), 1)).collect();
    let mut receiver = Receiver::repair(&items);
    let id = ConnectionId(0);
    receiver.opened(id);
    let Step::Ask(request) = receiver.next(id) else { panic!("there is something to ask") };
    assert_eq!(request.ranges.iter().map(|range| range.count).sum::<u64>(), 8_192);
    assert_eq!(receiver.next(id), Step::Wait);
}

#[test]
fn what_a_lost_connection_owed_is_asked_for_on_another_once() {
    let (_, mut receiver, frames) = asked_once();
    let first = receiver.expect(ConnectionId(0), &frames[0].0).unwrap();
    receiver.chunk_stored(ConnectionId(0), &first);
    let second = receiver.expect(ConnectionId(0), &frames[1].0).unwrap();
    assert_eq!(receiver.closed(ConnectionId(0)), frames.len() - 1);
    // Stored too late: the work was handed back, so it is fetched again and counted once.
    receiver.chunk_stored(ConnectionId(0), &second);
    receiver.opened(ConnectionId(1));
    let Step::Ask(request) = receiver.next(ConnectionId(1)) else { panic!("work was handed back") };
    assert_eq!(request.ranges.iter().map(|range| range.count).sum::<u64>(), frames.len() as u64 - 1);
    assert_eq!(request.ranges[0].first, frames[1].0.item.ordinal);
    for (header, _) in &frames[1..] {
        let expected = receiver.expect(ConnectionId(1), header).unwrap();
        receiver.chunk_stored(ConnectionId(1), &expected);
    }
    assert!(receiver.is_done());
}

/// Walks a manifest whose pages were forged and gives the code of the refusal.
fn walk_code(pages: &[Page], root: impl FnOnce(ManifestRoot) -> ManifestRoot) -> String {
    let mut holder = Holder::default();
    for page in pages {
        let bytes = page.encode();
        holder.pages.0.insert(page_digest(&bytes), bytes.into());
    }
    let bytes = pages.last().expect("a root").encode();
    let honest = ManifestRoot {
        digest: page_digest(&bytes),
        length: bytes.len() as u32,
        pages: pages.len() as u64,
        entries: 2,
        chunks: 0,
        bytes: 0,
    };
    match Receiver::new(&accepted(root(honest)), &holder) {
        Ok(_) => "accepted".to_owned(),
        Err(ReceiveError::Walk(error)) => error.code(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn pages_that_contradict_each_other_are_refused() {
    let folder = |path: &str| Entry {
        path: EntryPath::new(path).unwrap(),
        mode: 0o755,
        mtime_ns: 0,
        kind: EntryKind::Folder,
    };
    let child = |page: &Page, last: &str| EntriesChild {
        last: EntryPath::new(last).unwrap(),
        digest: page_digest(&page.encode()),
        length: page.encode().len() as u32,
        pages: 1,
        entries: 1,
        chunks: 0,
        bytes: 0,
    };
    let (a, b) = (Page::Entries(vec![folder("a")]), Page::Entries(vec![folder("b")]));
    let index = |children: Vec<EntriesChild>| {
        let root = Page::EntryIndex { level: 1, children };
        vec![a.clone(), b.clone(), root]
    };
    let good = index(vec![child(&a, "a"), child(&b, "b")]);
    assert_eq!(walk_code(&good, |root| root), "accepted");
    let totals = |change: fn(&mut ManifestRoot)| {
        walk_code(&good, move |mut root| {
            change(&mut root);
            root
        })
    };
    assert_eq!(totals(|root| root.entries += 1), "MANIFEST_INCONSISTENT");
    assert_eq!(totals(|root| root.pages += 1), "MANIFEST_INCONSISTENT");
    assert_eq!(totals(|root| root.bytes = 1), "MANIFEST_INCONSISTENT");
    assert_eq!(totals(|root| root.entries = 1 << 40), "MANIFEST_TOO_LARGE");
    // The same page for two ranges of paths, ranges that cross, a wrong last path.
    assert_eq!(walk_code(&index(vec![child(&a, "a"), child(&a, "b")]), |root| root), "MANIFEST_DUPLICATE");
    assert_eq!(walk_code(&index(vec![child(&b, "a"), child(&a, "b")]), |root| root), "MANIFEST_ORDER");
    assert_eq!(walk_code(&index(vec![child(&a, "a"), child(&b, "c")]), |root| root), "MANIFEST_ORDER");
    let overflow = EntriesChild { bytes: u64::MAX, ..child(&a, "a") };
    let more = EntriesChild { bytes: 1, ..child(&b, "b") };
    assert_eq!(walk_code(&index(vec![overflow, more]), |root| root), "MANIFEST_OVERFLOW");
    let none = EntriesChild { pages: 0, ..child(&a, "a") };
    assert_eq!(walk_code(&index(vec![none, child(&b, "b")]), |root| root), "MANIFEST_INCONSISTENT");
    // A list of chunks where entries should be; an index that skips a level.
    let runs = Page::Runs(Vec::new());
    let mut wrong = index(vec![child(&runs, "a"), child(&b, "b")]);
    wrong.insert(0, runs);
    assert_eq!(walk_code(&wrong, |root| ManifestRoot { pages: 3, ..root }), "MANIFEST_INCONSISTENT");
    let deep = vec![a.clone(), Page::EntryIndex { level: 2, children: vec![child(&a, "a")] }];
    assert_eq!(walk_code(&deep, |root| ManifestRoot { entries: 1, ..root }), "MANIFEST_INCONSISTENT");
    assert!(matches!(
        WalkError::TooLarge { what: "x", actual: 1, limit: 0 }.code().as_str(),
        "MANIFEST_TOO_LARGE"
    ));
}
