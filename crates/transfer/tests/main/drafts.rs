//! Following a draft: content arrives while the site still takes the snapshot.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use restock_content::snapshot::{self, SnapshotOptions};
use restock_content::statement::Statement;
use restock_content::transfer::{AcceptedStatement, Feed, accept_statement};
use restock_names::{SystemClock, Timestamp};
use restock_transfer::{Draft, PullError, PullProgress, PullReport, follow};
use tokio::task::JoinHandle;

use crate::world::{NoProgress, Point, World, content, eventually, files, in_runtime, options, read_back};

/// Stops the snapshot after so many bytes until it is let go on.
#[derive(Default)]
struct Gate {
    state: Mutex<(u64, bool)>,
    opened: Condvar,
}

struct Announcing {
    draft: Arc<Draft>,
    gate: Arc<Gate>,
    bytes_before: u64,
}

impl snapshot::Progress for Announcing {
    fn add(&self, _: u64, bytes_read: u64, _: u64) {
        let mut state = self.gate.state.lock().unwrap();
        state.0 += bytes_read;
        while state.0 > self.bytes_before && !state.1 {
            state = self.gate.opened.wait(state).unwrap();
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn feed(&self) -> Option<&Feed> {
        Some(self.draft.feed())
    }
}

impl Gate {
    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.opened.notify_all();
    }
}

fn write_tree(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (path, bytes) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Takes a snapshot of `source` on a thread of its own, announced to `draft`; the gate stands at
/// `bytes_before`.
fn take(world: &World, draft: &Arc<Draft>, bytes_before: u64) -> (Arc<Gate>, JoinHandle<AcceptedStatement>) {
    let gate = Arc::new(Gate::default());
    let progress = Announcing { draft: Arc::clone(draft), gate: Arc::clone(&gate), bytes_before };
    let (library, trust, source) =
        (Arc::clone(&world.library), Arc::clone(&world.trust), world.path("source"));
    let content = draft.content();
    let taken = tokio::task::spawn_blocking(move || {
        let options = SnapshotOptions { threads: 2, ..SnapshotOptions::default() };
        let package = content.package;
        let taken =
            snapshot::take(&library, &source, &package, None, options, &SystemClock, &progress).unwrap();
        let statement = Statement::sign(trust.site(), content, taken.root, Timestamp(0), trust.signing_key());
        library.store_statement(&statement).unwrap();
        library.activate(&content).unwrap();
        accept_statement(&statement.encode(), &content, &trust.key_list(), None).unwrap()
    });
    (gate, taken)
}

fn begin_follow(point: &Point, version: u32) -> JoinHandle<Result<PullReport, PullError>> {
    let (identity, library, run) =
        (Arc::clone(&point.identity), Arc::clone(&point.library), point.run.clone());
    run.tracker.clone().spawn(async move {
        let progress: Arc<dyn PullProgress> = Arc::new(NoProgress);
        follow(&identity, &library, &content(version), &options(), &progress, &run).await
    })
}

/// What the point has of a version, without folders.
fn files_of(point: &Point, statement: &AcceptedStatement) -> BTreeMap<String, Vec<u8>> {
    let all = read_back(&point.library, statement.root);
    all.into_iter().filter(|(path, _)| path.contains('/')).collect()
}

fn stored(point: &Point) -> u64 {
    let packs = std::fs::read_dir(point.library.folder().join("packs")).unwrap();
    packs.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_draft_arrives_while_it_is_made_and_its_version_brings_only_the_rest() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let tree = files(600, 60_000);
        write_tree(&world.path("source"), &tree);
        let open = world.side.drafts.begin(content(1), |_| {});
        let following = begin_follow(&point, 1);
        let (gate, taken) = take(&world, open.draft(), 9_000_000);
        eventually("chunks arrive while the snapshot stands still", || stored(&point) > 2_000_000).await;
        assert!(!taken.is_finished() && !following.is_finished());
        gate.open();
        let statement = taken.await.unwrap();
        let followed = following.await.unwrap().unwrap();
        assert!(followed.raw_bytes > 10_000_000, "{followed:?}");
        let report = point.install(&statement, &options()).await.unwrap();
        assert_eq!((report.chunks, report.raw_bytes), (0, 0), "all chunks had been announced");
        assert!(files_of(&point, &statement) == tree, "every file has its bytes");
    });
}

#[test]
fn a_follower_that_was_cut_off_goes_on_where_it_was() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let tree = files(600, 60_000);
        write_tree(&world.path("source"), &tree);
        let open = world.side.drafts.begin(content(1), |_| {});
        let following = begin_follow(&point, 1);
        let (gate, taken) = take(&world, open.draft(), 9_000_000);
        eventually("chunks arrive", || stored(&point) > 2_000_000).await;
        world.links.disconnect(&"DP01".parse().unwrap());
        gate.open();
        let statement = taken.await.unwrap();
        let followed = following.await.unwrap().unwrap();
        assert_eq!(followed.connections_failed, 1);
        let raw: u64 = tree.values().map(|bytes| bytes.len() as u64).sum();
        assert!(followed.raw_bytes <= raw, "nothing was stored twice: {followed:?}");
        let report = point.install(&statement, &options()).await.unwrap();
        assert_eq!(report.chunks, 0, "{report:?}");
        assert!(files_of(&point, &statement) == tree, "every file has its bytes");
    });
}

#[test]
fn of_a_draft_that_is_given_up_nothing_stays() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        write_tree(&world.path("source"), &files(600, 60_000));
        let open = world.side.drafts.begin(content(1), |_| {});
        let following = begin_follow(&point, 1);
        let (gate, taken) = take(&world, open.draft(), 9_000_000);
        eventually("chunks arrive", || stored(&point) > 2_000_000).await;
        drop(open);
        let ended = following.await.unwrap();
        assert!(matches!(ended, Err(PullError::DraftDropped)), "{ended:?}");
        assert_eq!((point.library.stat().unwrap().frames, stored(&point)), (0, 0));
        gate.open();
        taken.await.unwrap();
    });
}

#[test]
fn a_draft_is_followed_only_by_who_may_and_while_it_is_there() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let code = |ended: Result<PullReport, PullError>| ended.unwrap_err().code();
        assert_eq!(code(begin_follow(&point, 1).await.unwrap()), "DRAFT_UNKNOWN");
        let _open = world.side.drafts.begin(content(1), |_| {});
        assert_eq!(code(begin_follow(&point, 2).await.unwrap()), "DRAFT_UNKNOWN");
        world.side.forbidden.lock().unwrap().push(content(1).package);
        assert_eq!(code(begin_follow(&point, 1).await.unwrap()), "NOT_AUTHORISED");
    });
}
