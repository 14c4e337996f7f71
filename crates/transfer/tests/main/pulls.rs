//! Fetching versions: whole, changed, interrupted, cut, repaired.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use restock_content::files::DiskFiles;
use restock_content::library::Library;
use restock_content::transfer::{Item, ItemKind};
use restock_transfer::{PullError, PullProgress, SiteUrl, pull, pull_repair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::world::{NoProgress, Point, World, content, files, in_runtime, options, read_back};

#[test]
fn a_version_arrives_whole_and_the_next_moves_only_what_changed() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let mut tree = files(900, 30_000);
        tree.insert("large".to_owned(), noise(9_000_000));
        let first = world.publish(1, &tree);
        let report = point.install(&first, &options()).await.unwrap();
        assert_eq!(read_back(&point.library, first.root), tree);
        assert!(report.raw_bytes > 9_000_000 && report.wire_received > 9_000_000);
        assert!(report.wire_sent < 20_000, "requests are short: {report:?}");
        assert_eq!((report.pages, report.connections_failed), (first.root.pages, 0));

        tree.insert("folder3/file3".to_owned(), b"changed".to_vec());
        tree.remove("folder5/file5");
        let second = world.publish(2, &tree);
        let report = point.install(&second, &options()).await.unwrap();
        assert_eq!(read_back(&point.library, second.root), tree);
        assert_eq!((report.chunks, report.raw_bytes), (1, 7));
        assert!(report.wire_received < 60_000, "{report:?}");

        // The same tree again: not even a connection.
        let third = world.publish(3, &tree);
        assert_eq!(third.root, second.root);
        world.links.disconnect(point.identity.name());
        let report = point.install(&third, &options()).await.unwrap();
        assert_eq!((report.wire_received, report.wire_sent, report.pages, report.chunks), (0, 0, 0, 0));
        assert_eq!(point.library.active(&content(3).package).unwrap().version, content(3));
    });
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 9_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

#[test]
fn an_empty_version_is_one_page() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let statement = world.publish(1, &BTreeMap::new());
        let report = point.install(&statement, &options()).await.unwrap();
        assert_eq!((report.pages, report.chunks), (1, 0));
        assert!(read_back(&point.library, statement.root).is_empty());
    });
}

/// Cancels the run when so many raw bytes are stored.
struct CancelAfter {
    bytes: u64,
    seen: AtomicU64,
    cancel: CancellationToken,
}

impl PullProgress for CancelAfter {
    fn stored(&self, raw_bytes: u64) {
        if self.seen.fetch_add(raw_bytes, Ordering::Relaxed) + raw_bytes >= self.bytes {
            self.cancel.cancel();
        }
    }
}

#[test]
fn a_pull_that_was_interrupted_goes_on_after_a_restart_without_asking_again() {
    in_runtime(async {
        let world = World::new().await;
        let Point { identity, mut library, run } = world.point("DP01").await;
        let statement = world.publish(1, &files(3000, 20_000));
        let mut chunks = 0;
        let mut pages = 0;
        let mut interruptions = 0;
        loop {
            let job = run.child();
            let progress: Arc<dyn PullProgress> = Arc::new(CancelAfter {
                bytes: 6_000_000,
                seen: AtomicU64::new(0),
                cancel: job.cancel.clone(),
            });
            let counted = Arc::new(Counted { inner: progress, chunks: Mutex::new(0) });
            let progress: Arc<dyn PullProgress> = Arc::clone(&counted) as Arc<dyn PullProgress>;
            let ended = pull(&identity, &library, &statement, &options(), &progress, &job).await;
            match ended {
                Ok(report) => {
                    chunks += report.raw_bytes;
                    pages += report.pages;
                    break;
                }
                Err(PullError::Cancelled) => {
                    interruptions += 1;
                    chunks += *counted.chunks.lock().unwrap();
                    pages = statement.root.pages;
                }
                Err(other) => panic!("{other}"),
            }
            // As after a crash: the library is opened anew and finds what was recorded.
            let folder = library.folder().to_owned();
            assert_eq!(Arc::strong_count(&library), 1);
            drop(library);
            library = Arc::new(Library::open(Arc::new(DiskFiles), &folder).unwrap().0);
        }
        assert!(interruptions >= 2, "{interruptions}");
        let distinct: u64 = {
            let tree = files(3000, 20_000);
            let unique: std::collections::BTreeSet<&Vec<u8>> = tree.values().collect();
            unique.iter().map(|bytes| bytes.len() as u64).sum()
        };
        assert_eq!(chunks, distinct, "every chunk was fetched once");
        assert_eq!(pages, statement.root.pages);
        assert_eq!(read_back(&library, statement.root), files(3000, 20_000));
    });
}

/// Counts raw bytes stored.
struct Counted {
    inner: Arc<dyn PullProgress>,
    chunks: Mutex<u64>,
}

impl PullProgress for Counted {
    fn stored(&self, raw_bytes: u64) {
        *self.chunks.lock().unwrap() += raw_bytes;
        self.inner.stored(raw_bytes);
    }
}

/// Forwards to `target` and cuts each connection after a while; the allowance grows.
async fn cutting_proxy(target: SocketAddr, tracker: tokio_util::task::TaskTracker) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tracker.clone().spawn(async move {
        let mut allowance = 20_000_u64;
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(target).await.unwrap();
            let bytes = allowance;
            allowance = allowance * 5 / 4;
            tracker.spawn(async move {
                let (mut from_client, mut to_client) = client.split();
                let (from_server, mut to_server) = server.split();
                let mut from_server = from_server.take(bytes);
                tokio::select! {
                    // Ends at the allowance: both sockets are dropped in the middle of a frame.
                    _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {
                        let _ended = to_server.shutdown().await;
                        let _ended = tokio::io::copy(&mut from_server, &mut to_client).await;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_connection_that_is_cut_again_and_again_still_ends_with_everything() {
    in_runtime(async {
        let world = World::new().await;
        let tracker = tokio_util::task::TaskTracker::new();
        let proxy = cutting_proxy(world.address, tracker).await;
        let point = world.point_at("DP01", &SiteUrl::of_address(proxy)).await;
        let tree = files(600, 20_000);
        let statement = world.publish(1, &tree);
        let report = point.install(&statement, &options()).await.unwrap();
        assert!(report.connections_failed >= 5, "{report:?}");
        assert_eq!(read_back(&point.library, statement.root), tree);
        let unique: std::collections::BTreeSet<&Vec<u8>> = tree.values().collect();
        assert_eq!(report.raw_bytes, unique.iter().map(|bytes| bytes.len() as u64).sum::<u64>());
    });
}

#[test]
fn a_holder_that_is_gone_for_good_is_given_up_with_its_cause() {
    in_runtime(async {
        let mut world = World::new().await;
        let point = world.point("DP01").await;
        let statement = world.publish(1, &files(10, 100));
        world.stop().await;
        let error = point.install(&statement, &options()).await.unwrap_err();
        assert_eq!((error.code().as_str(), error.is_transient()), ("LINK_CONNECT", true));
    });
}

#[test]
fn damaged_pages_and_chunks_are_fetched_again_into_a_newer_pack() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let tree = files(700, 5_000);
        let statement = world.publish(1, &tree);
        point.install(&statement, &options()).await.unwrap();
        let packs = point.library.folder().join("packs");
        for entry in std::fs::read_dir(&packs).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "data") {
                let mut mode = std::fs::metadata(&path).unwrap().permissions();
                std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
                std::fs::set_permissions(&path, mode).unwrap();
                let file = std::fs::File::options().write(true).open(&path).unwrap();
                let length = file.metadata().unwrap().len();
                (0..20).for_each(|n| file.write_all_at(b"damage", n * (length - 6) / 20).unwrap());
            }
        }
        let progress: Arc<dyn PullProgress> = Arc::new(NoProgress);
        let mut repaired = 0;
        let mut rounds = 0;
        loop {
            let audit =
                point.library.audit(&statement.root, |_| std::ops::ControlFlow::Continue(())).unwrap();
            if audit.is_clean() {
                break;
            }
            let item = |kind| move |ordinal: &u64| Item { kind, ordinal: *ordinal };
            let damaged: Vec<Item> = (audit.pages.iter().map(item(ItemKind::Page)))
                .chain(audit.chunks.iter().map(item(ItemKind::Chunk)))
                .collect();
            let report = pull_repair(
                &point.identity,
                &point.library,
                &statement,
                &damaged,
                &options(),
                &progress,
                &point.run,
            )
            .await
            .unwrap();
            assert_eq!(report.pages + report.chunks, damaged.len() as u64);
            repaired += damaged.len();
            rounds += 1;
            assert!(rounds < 5);
        }
        assert!(repaired > 20, "{repaired}");
        assert_eq!(read_back(&point.library, statement.root), tree);
        // The evidence stays, the newer pack wins after a restart too.
        let folder = point.library.folder().to_owned();
        drop(point);
        let (library, _) = Library::open(Arc::new(DiskFiles), &folder).unwrap();
        assert_eq!(read_back(&library, statement.root), tree);
    });
}

#[test]
fn what_was_received_for_a_version_that_was_overtaken_is_not_fetched_again() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let mut tree = files(2000, 20_000);
        let first = world.publish(1, &tree);
        let job = point.run.child();
        let inner: Arc<dyn PullProgress> =
            Arc::new(CancelAfter { bytes: 6_000_000, seen: AtomicU64::new(0), cancel: job.cancel.clone() });
        let counted = Arc::new(Counted { inner, chunks: Mutex::new(0) });
        let progress: Arc<dyn PullProgress> = Arc::clone(&counted) as Arc<dyn PullProgress>;
        let ended = pull(&point.identity, &point.library, &first, &options(), &progress, &job).await;
        assert!(matches!(ended, Err(PullError::Cancelled)), "{ended:?}");
        let before = *counted.chunks.lock().unwrap();
        tree.insert("added".to_owned(), b"added".to_vec());
        let second = world.publish(2, &tree);
        let report = point.install(&second, &options()).await.unwrap();
        let unique: std::collections::BTreeSet<&Vec<u8>> = tree.values().collect();
        let total: u64 = unique.iter().map(|bytes| bytes.len() as u64).sum();
        assert_eq!(report.raw_bytes, total - before);
        assert_eq!(read_back(&point.library, second.root), tree);
    });
}
