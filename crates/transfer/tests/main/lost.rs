//! What a site lost comes back from one of its points, over a connection that the point opens.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use restock_content::library::Library;
use restock_content::transfer::{AcceptedStatement, locate};
use restock_transfer::{
    DpLink, DpLinkConfig, DpSide, HelloFacts, Holder, Job, PullError, PullProgress, PullReport, PullSource,
    Welcome, pull_repair,
};
use serde_json::json;

use crate::peer::{Peer, dial};
use crate::world::{NoProgress, Point, World, eventually, files, in_runtime, options, read_back, run};

/// A point that serves its site, or one of an older release.
struct Serving(Option<Arc<Library>>);

impl DpSide for Serving {
    async fn hello(&self) -> HelloFacts {
        HelloFacts::default()
    }
    async fn welcome(&self, _welcome: Welcome) {}
    async fn job(&self, _job: Job) {}
    fn library(&self) -> Option<Arc<Library>> {
        self.0.clone()
    }
}

fn connect(point: &Point, library: Option<Arc<Library>>) -> DpLink {
    let side = Arc::new(Serving(library));
    DpLink::start(DpLinkConfig::default(), Arc::clone(&point.identity), side, &point.run)
}

/// Changes every thousandth byte of every pack.
fn rot(library: &Path) {
    for entry in std::fs::read_dir(library.join("packs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "data") {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.iter_mut().step_by(1_000).for_each(|byte| *byte ^= 1);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

/// Reads all of the version: what is damaged counts as not held from then on.
fn find_damage(world: &World, statement: &AcceptedStatement) {
    world.library.audit(&statement.root, |_| ControlFlow::Continue(())).unwrap();
}

/// Asks `holder` until nothing is lacking.
async fn mend(
    world: &World,
    statement: &AcceptedStatement,
    holder: &Holder,
) -> Result<PullReport, PullError> {
    let source = PullSource::Below(world.links.clone(), holder.clone());
    let progress: Arc<dyn PullProgress> = Arc::new(NoProgress);
    let mut all = PullReport::default();
    loop {
        // Damaged chunks are found once the pages above them are right again.
        find_damage(world, statement);
        let items = world.library.lacking_items(&statement.root).unwrap();
        if items.is_empty() {
            return Ok(all);
        }
        let (at, library) = (source.clone(), &world.library);
        let report = pull_repair(at, library, statement, &items, &options(), &progress, &run()).await?;
        all.chunks += report.chunks;
        all.pages += report.pages;
    }
}

/// A site with a version of these files, all of which it has lost, and a point that serves it.
async fn lost(tree: &BTreeMap<String, Vec<u8>>) -> (World, Point, AcceptedStatement) {
    let world = World::new().await;
    let point = world.point("DP01").await;
    let statement = world.publish(1, tree);
    point.install(&statement, &options()).await.unwrap();
    rot(world.library.folder());
    let check = world.library.check(|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(check.incomplete, [statement.version]);
    find_damage(&world, &statement);
    (world, point, statement)
}

#[test]
fn a_site_fetches_what_it_lost_from_a_point_that_serves_it() {
    in_runtime(async {
        let tree = files(400, 60_000);
        let (world, point, statement) = lost(&tree).await;
        let holder = Holder::Point(point.identity.name().clone());
        let refused = mend(&world, &statement, &holder).await.unwrap_err();
        assert_eq!((refused.code().as_str(), refused.is_transient()), ("LINK_DOWN", true));
        let _link = connect(&point, Some(Arc::clone(&point.library)));
        eventually("it is connected", || world.links.is_connected(point.identity.name())).await;
        // Its word comes with the hello, which is taken a moment before the connection counts.
        let report = loop {
            match mend(&world, &statement, &holder).await {
                Ok(report) => break report,
                Err(error) => assert_eq!(error.code(), "LINK_DOWN"),
            }
        };
        assert!(report.chunks > 100 && report.pages > 0, "{report:?}");
        assert_eq!(read_back(&world.library, statement.root), tree);
        assert!(world.library.audit(&statement.root, |_| ControlFlow::Continue(())).unwrap().is_clean());
        // A version that the point does not have.
        let other = world.publish(2, &files(5, 100));
        rot(world.library.folder());
        let refused = mend(&world, &other, &holder).await.unwrap_err();
        assert_eq!(refused.code(), "CONTENT_MISSING");
    });
}

#[test]
fn a_point_that_does_not_serve_its_site_is_not_asked() {
    in_runtime(async {
        let (world, point, statement) = lost(&files(20, 1_000)).await;
        let link = connect(&point, None);
        eventually("it is connected", || {
            link.is_connected() && world.links.is_connected(point.identity.name())
        })
        .await;
        let holder = Holder::Point(point.identity.name().clone());
        let refused = mend(&world, &statement, &holder).await.unwrap_err();
        assert_eq!(refused.to_string(), "LINK_DOWN: distribution point DP01 does not serve its site");
        assert!(link.is_connected());
    });
}

/// A connection of the point, as whoever has its keys makes it.
async fn knock(world: &World) -> Peer {
    let folder = world.path("DP01-identity");
    dial(world.address, &world.path("trust/ca.pem"), Some(&folder), b"restock-link/1").await.unwrap()
}

/// Answers the first item of a pull with `bytes` in place of what was asked for.
async fn serve_wrong(world: &World, control: &mut Peer, bytes: &[u8]) {
    let wanted = loop {
        let message = control.message().await.unwrap();
        if message["type"] == "pull_wanted" {
            break message;
        }
    };
    let mut peer = knock(world).await;
    let (ticket, content) = (&wanted["ticket"], &wanted["content"]);
    peer.say(json!({"type": "serve_hello", "protocol": 1, "ticket": ticket, "content": content})).await;
    assert_eq!(peer.message().await.unwrap()["type"], "pull_hello");
    peer.say(json!({"type": "pull_ready"})).await;
    // The first range of the request; its first ordinal is below 128.
    let (kind, request) = peer.frame().await.unwrap();
    assert!(kind == 2 && request[2] < 128, "{kind} {request:?}");
    let mut item = vec![request[1], 0];
    item.extend(u64::from(request[2]).to_le_bytes());
    item.extend((bytes.len() as u32).to_le_bytes());
    item.extend(bytes);
    peer.send(3, &item).await;
    peer.fate().await;
}

#[test]
fn what_a_point_sends_that_has_not_its_digest_is_not_taken() {
    in_runtime(async {
        let tree = files(3, 500);
        let (world, point, statement) = lost(&tree).await;
        let holder = Holder::Point(point.identity.name().clone());
        let mut control = knock(&world).await;
        control.say(json!({"type": "hello", "protocol": 1, "library_id": "00", "serves": true})).await;
        assert_eq!(control.message().await.unwrap()["type"], "welcome");
        eventually("it is connected", || world.links.is_connected(point.identity.name())).await;
        let before = world.library.lacking_items(&statement.root).unwrap();
        let wanted = locate(&*world.library, &statement.root, before[0]).unwrap();
        let length = wanted.unwrap().1 as usize;
        for (bytes, code) in [
            (vec![7; length], "CONTENT_HASH_MISMATCH"),
            (vec![7; length + 1], "CONTENT_TOO_LONG"),
            (Vec::new(), "CONTENT_TRUNCATED"),
        ] {
            let (served, refused) =
                tokio::join!(serve_wrong(&world, &mut control, &bytes), mend(&world, &statement, &holder));
            let () = served;
            assert_eq!(refused.unwrap_err().code(), code);
            assert_eq!(world.library.lacking_items(&statement.root).unwrap(), before, "{code}");
        }
        // A connection that nobody asked for is refused.
        let mut uninvited = knock(&world).await;
        let content = json!({"package": "XYZ00001", "epoch": 1, "version": 1});
        uninvited.say(json!({"type": "serve_hello", "protocol": 1, "ticket": 99, "content": content})).await;
        assert_eq!(uninvited.message().await.unwrap()["code"], "LINK_UNEXPECTED");
        drop(control);
        // One that is honest brings it.
        let link = connect(&point, Some(Arc::clone(&point.library)));
        eventually("it is connected", || link.is_connected()).await;
        loop {
            match mend(&world, &statement, &holder).await {
                Ok(_) => break,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        }
        assert_eq!(read_back(&world.library, statement.root), tree);
    });
}
