//! Manifests that are correctly signed and mean harm: rows 17, 19 to 21 and 31 to 36 on the link.

use restock_content::codec::put_varint;
use restock_content::hash::page_digest;
use restock_content::manifest::ManifestRoot;
use restock_content::pack::Encoding;
use restock_content::transfer::{FrameHeader, Item, ItemKind};
use serde_json::json;

use crate::hostile::{accepted, hostile_world, item, sign};
use crate::world::{content, in_runtime, options};

const FILE: u8 = 1;
const FOLDER: u8 = 2;
const LINK: u8 = 3;
const FILE_PAGED: u8 = 4;

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, value);
    bytes
}

/// An entry that shares no bytes of its path with the one before; mode 0, time 0.
fn entry(path: &[u8], kind: u8, rest: &[Vec<u8>]) -> Vec<u8> {
    [&varint(0)[..], &varint(path.len() as u64), path, &[kind, 0, 0], &rest.concat()].concat()
}

fn folder(path: &[u8]) -> Vec<u8> {
    entry(path, FOLDER, &[])
}

fn run(length: u64, repeat: u64) -> Vec<u8> {
    [vec![7; 32], varint(length), varint(repeat)].concat()
}

/// A file of `size` bytes whose one run is given.
fn file(path: &[u8], size: u64, run: Vec<u8>) -> Vec<u8> {
    entry(path, FILE, &[varint(size), varint(1), run])
}

fn paged(path: &[u8], size: u64) -> Vec<u8> {
    entry(path, FILE_PAGED, &[varint(size), vec![9; 32], varint(100), varint(1), varint(1)])
}

fn page(entries: &[Vec<u8>]) -> Vec<u8> {
    [vec![1, 1, 1, 0], varint(entries.len() as u64), entries.concat()].concat()
}

fn root(page: &[u8]) -> ManifestRoot {
    let length = u32::try_from(page.len()).expect("small");
    ManifestRoot { digest: page_digest(page), length, pages: 1, entries: 1, chunks: 0, bytes: 0 }
}

#[test]
fn manifests_that_mean_harm_are_refused_in_a_correctly_signed_version() {
    let one = |entries: &[Vec<u8>]| (page(entries), root(&page(entries)));
    let long_path = vec![b"n".repeat(200); 21].join(&b'/');
    assert!(long_path.len() > 4_095);
    let rows: Vec<(&str, (Vec<u8>, ManifestRoot))> = vec![
        ("NAME_TOO_LONG", one(&[folder(&[b'x'; 256])])),
        ("NAME_TOO_LONG", one(&[folder(&long_path)])),
        ("PATH_COMPONENT", one(&[folder(b"a//b")])),
        ("PATH_COMPONENT", one(&[folder(b"a/./b")])),
        ("PATH_FILE_AND_DIR", one(&[file(b"a", 5, run(5, 1)), file(b"a/b", 5, run(5, 1))])),
        ("PATH_FILE_AND_DIR", one(&[entry(b"a", LINK, &[varint(1), b"b".to_vec()]), folder(b"a/b")])),
        ("MANIFEST_DUPLICATE", one(&[folder(b"a"), folder(b"a")])),
        ("MANIFEST_ORDER", one(&[folder(b"b"), folder(b"a")])),
        ("MANIFEST_LENGTH", one(&[[&varint(0)[..], &varint(1 << 63), b"a"].concat()])),
        ("MANIFEST_LENGTH", one(&[entry(b"a", LINK, &[varint(1 << 63), b"b".to_vec()])])),
        ("MANIFEST_OVERFLOW", one(&[paged(b"a", u64::MAX), paged(b"b", 2)])),
        ("MANIFEST_INCONSISTENT", one(&[file(b"a", 6, run(5, 1))])),
        ("MANIFEST_INCONSISTENT", one(&[folder(b"a"), folder(b"b")])),
        ("MANIFEST_CHUNK_SIZE", one(&[file(b"a", 0, run(0, 1))])),
        ("MANIFEST_CHUNK_SIZE", one(&[file(b"a", 1 << 20, run(1 << 20, 1))])),
        ("HASH_FORMAT", {
            let mut other = page(&[folder(b"a")]);
            other[1] = 2;
            let root = root(&other);
            (other, root)
        }),
    ];
    in_runtime(async {
        let (world, listener, point) = hostile_world().await;
        let before = point.library.stat().unwrap();
        for (code, (page, root)) in rows {
            let statement = sign(&world, content(1), root, world.trust.signing_key());
            let statement = accepted(&world, &statement);
            let holder = async {
                let mut peer = listener.accept().await;
                peer.message().await.unwrap();
                peer.say(json!({"type": "pull_ready"})).await;
                assert_eq!(peer.frame().await.unwrap().0, 2);
                let item_0 = Item { kind: ItemKind::Page, ordinal: 0 };
                let header =
                    FrameHeader { item: item_0, encoding: Encoding::Raw, raw_length: page.len() as u32 };
                peer.send(3, &item(&header, &page)).await;
                while peer.frame().await.is_some() {}
            };
            let quick = options();
            let (pulled, ()) = tokio::join!(point.install(&statement, &quick), holder);
            let error = pulled.unwrap_err();
            assert_eq!((error.code().as_str(), error.is_transient()), (code, false), "{error}");
            assert!(point.library.active(&content(1).package).is_none());
        }
        assert_eq!(point.library.stat().unwrap().versions, before.versions);
    });
}

#[test]
fn versions_that_claim_too_much_are_refused_before_anything_is_asked_for() {
    in_runtime(async {
        let (world, listener, point) = hostile_world().await;
        let one = root(&page(&[folder(b"a")]));
        for (code, root) in [
            ("MANIFEST_TOO_LARGE", ManifestRoot { entries: 20_000_001, ..one }),
            ("MANIFEST_TOO_LARGE", ManifestRoot { pages: (4 << 20) + 1, ..one }),
            ("MANIFEST_TOO_LARGE", ManifestRoot { length: (4 << 20) + 1, ..one }),
            ("MANIFEST_CHUNK_SIZE", ManifestRoot { chunks: 1_000_000_000, bytes: 1_000_000_000, ..one }),
        ] {
            let statement = sign(&world, content(1), root, world.trust.signing_key());
            let statement = accepted(&world, &statement);
            let quick = options();
            let nobody_asks = async {
                let mut peer = listener.accept().await;
                peer.message().await;
                peer.say(json!({"type": "pull_ready"})).await;
                assert!(peer.frame().await.is_none(), "nothing is asked for");
                std::future::pending::<()>().await;
            };
            let error = tokio::select! {
                () = nobody_asks => unreachable!("it waits for ever"),
                pulled = point.install(&statement, &quick) => pulled.unwrap_err(),
            };
            assert_eq!((error.code().as_str(), error.is_transient()), (code, false), "{error}");
        }
    });
}
