//! A holder that holds the site's keys and means harm on the link, and then a good holder that
//! shows the point is none the worse.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use restock_content::library::Library;
use restock_content::manifest::{Entry, EntryKind, ManifestRoot, Page};
use restock_content::pack::Encoding;
use restock_content::statement::{SigningKey, Statement};
use restock_content::transfer::{
    AcceptedStatement, FrameHeader, Item, ItemKind, Outgoing, Request, Sender, accept_statement,
};
use restock_names::{ContentVersion, EntryPath, Timestamp};
use restock_transfer::{
    DpLink, DpLinkConfig, DpSide, HelloFacts, Job, PullError, PullOptions, SiteUrl, Welcome,
};
use serde_json::json;

use crate::peer::{Listener, Peer};
use crate::world::{Point, World, content, eventually, files, in_runtime, options, read_back};

/// A world, a hostile listener with the same keys, and a point that is told to use that listener.
pub(crate) async fn hostile_world() -> (World, Arc<Listener>, Point) {
    let world = World::new().await;
    let listener = Arc::new(Listener::new(&world.path("trust")).await);
    let point = world.point_at("DP01", &SiteUrl::of_address(listener.address())).await;
    (world, listener, point)
}

/// Serves pull connections for ever: `answer` changes what an honest holder would answer.
pub(crate) async fn serve<F, R>(listener: Arc<Listener>, library: Arc<Library>, root: ManifestRoot, answer: F)
where
    F: Fn(Peer, Vec<(FrameHeader, Vec<u8>)>) -> R,
    R: Future<Output = Option<Peer>>,
{
    loop {
        let mut peer = listener.accept().await;
        // One that does not like the certificate goes without a word.
        let Some(hello) = peer.message().await else { continue };
        assert_eq!((hello["type"].as_str(), hello["protocol"].as_u64()), (Some("pull_hello"), Some(1)));
        peer.say(json!({"type": "pull_ready"})).await;
        let mut sender = Sender::new(&*library, root);
        while let Some((kind, body)) = peer.frame().await {
            assert_eq!(kind, 2);
            let request = Request::decode(&body).unwrap();
            let mut honest = Vec::new();
            for range in &request.ranges {
                for outgoing in sender.resolve(range) {
                    let Outgoing { item, digest, .. } = outgoing.unwrap();
                    let frame = library.read_stored(&digest).unwrap();
                    let header = FrameHeader { item, encoding: frame.encoding, raw_length: frame.raw_length };
                    honest.push((header, frame.bytes));
                }
            }
            match answer(peer, honest).await {
                Some(same) => peer = same,
                None => break,
            }
        }
    }
}

pub(crate) fn item(header: &FrameHeader, stored: &[u8]) -> Vec<u8> {
    [&header.encode()[..], stored].concat()
}

/// Runs a pull against a holder that spoils its first chunk, then one against the honest site.
async fn spoilt<F, R>(spoil: F) -> PullError
where
    F: Fn(Peer, FrameHeader, Vec<u8>) -> R + Clone,
    R: Future<Output = Option<Peer>>,
{
    let (world, listener, point) = hostile_world().await;
    let tree = files(40, 9_000);
    let statement = world.publish(1, &tree);
    let holder = serve(listener, Arc::clone(&world.library), statement.root, |mut peer, honest| {
        let spoil = spoil.clone();
        async move {
            for (header, stored) in honest {
                if header.item.kind == ItemKind::Chunk && header.item.ordinal == 7 {
                    peer = spoil(peer, header, stored).await?;
                } else if !peer.send(3, &item(&header, &stored)).await {
                    return None;
                }
            }
            Some(peer)
        }
    });
    let quick = PullOptions { attempts_max: 3, idle: Duration::from_secs(5), ..options() };
    let error = tokio::select! {
        () = holder => unreachable!("the holder serves for ever"),
        pulled = point.install(&statement, &quick) => pulled.unwrap_err(),
    };
    assert!(point.library.active(&content(1).package).is_none(), "nothing was published");
    // An honest holder finishes it, without what was right being fetched again.
    let folder = world.path("DP01-identity");
    let text = std::fs::read_to_string(folder.join("site.json")).unwrap();
    let url = point.identity.url().to_string();
    std::fs::write(folder.join("site.json"), text.replace(&url, &world.url().to_string())).unwrap();
    let identity = Arc::new(restock_transfer::DpIdentity::open(&folder).unwrap());
    let point = Point { identity, ..point };
    let report = point.install(&statement, &options()).await.unwrap();
    assert_eq!(read_back(&point.library, statement.root), tree);
    assert_eq!(report.pages, 0);
    assert!(report.chunks <= 34, "{report:?}");
    error
}

#[test]
fn a_frame_with_other_bytes_is_not_stored() {
    in_runtime(async {
        let error = spoilt(async |mut peer: Peer, header, mut stored: Vec<u8>| {
            let last = stored.len() - 1;
            stored[last] ^= 1;
            peer.send(3, &item(&header, &stored)).await.then_some(peer)
        })
        .await;
        assert_eq!(error.code(), "CONTENT_HASH_MISMATCH");
        let text = error.to_string();
        assert!(text.starts_with("CONTENT_HASH_MISMATCH: chunk 7 "), "{text}");
    });
}

#[test]
fn a_frame_longer_than_the_manifest_says_is_cut() {
    in_runtime(async {
        let longer = async |mut peer: Peer, mut header: FrameHeader, mut stored: Vec<u8>| {
            header.encoding = Encoding::Raw;
            header.raw_length += 1;
            stored.resize(header.raw_length as usize, 0);
            peer.send(3, &item(&header, &stored)).await.then_some(peer)
        };
        assert_eq!(spoilt(longer).await.code(), "CONTENT_TOO_LONG");
    });
}

#[test]
fn a_frame_that_claims_its_length_and_holds_more_is_cut() {
    in_runtime(async {
        let bomb = async |mut peer: Peer, mut header: FrameHeader, _| {
            let mut packed = Vec::new();
            header.encoding = restock_content::pack::compress(&vec![0; 64 << 20], &mut packed);
            peer.send(3, &item(&header, &packed)).await.then_some(peer)
        };
        assert_eq!(spoilt(bomb).await.code(), "DECOMPRESS_LIMIT");
    });
}

#[test]
fn an_endless_stream_is_cut_at_the_limit() {
    in_runtime(async {
        // A frame that claims 4 GiB, and then bytes without end.
        let endless = async |mut peer: Peer, _, _| {
            let mut is_open = peer.raw(&[0xff, 0xff, 0xff, 0xff, 3]).await;
            while is_open {
                is_open = peer.raw(&[7; 64 << 10]).await;
            }
            None
        };
        assert_eq!(spoilt(endless).await.code(), "CONTENT_TOO_LONG");
        // Frames without end, each of them well formed, none of them asked for.
        let flood = async |mut peer: Peer, header: FrameHeader, stored: Vec<u8>| {
            while peer.send(3, &item(&header, &stored)).await {}
            None
        };
        assert_eq!(spoilt(flood).await.code(), "LINK_UNEXPECTED");
    });
}

#[test]
fn a_stream_that_is_cut_short_and_cleanly_closed_is_not_published() {
    in_runtime(async {
        let closed = async |peer: Peer, _, _| {
            peer.close().await;
            None
        };
        let error = spoilt(closed).await;
        assert_eq!((error.code().as_str(), error.is_transient()), ("CONTENT_TRUNCATED", true));
        let inside_a_frame = async |mut peer: Peer, header, stored: Vec<u8>| {
            let whole = item(&header, &stored);
            peer.raw(&(whole.len() as u32 + 1).to_le_bytes()).await;
            peer.raw(&[3]).await;
            peer.raw(&whole[..whole.len() / 2]).await;
            peer.close().await;
            None
        };
        assert_eq!(spoilt(inside_a_frame).await.code(), "CONTENT_TRUNCATED");
        let shorter = async |mut peer: Peer, mut header: FrameHeader, mut stored: Vec<u8>| {
            header.encoding = Encoding::Raw;
            header.raw_length -= 1;
            stored.truncate(header.raw_length as usize);
            stored.resize(header.raw_length as usize, 0);
            peer.send(3, &item(&header, &stored)).await.then_some(peer)
        };
        assert_eq!(spoilt(shorter).await.code(), "CONTENT_TRUNCATED");
    });
}

#[test]
fn a_holder_that_says_nothing_is_given_up() {
    in_runtime(async {
        let (world, listener, point) = hostile_world().await;
        let statement = world.publish(1, &files(40, 9_000));
        let silent = serve(listener, Arc::clone(&world.library), statement.root, |peer, _| async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(peer);
            None
        });
        let quick = PullOptions { attempts_max: 1, idle: Duration::from_millis(100), ..options() };
        let error = tokio::select! {
            () = silent => unreachable!("the holder serves for ever"),
            pulled = point.install(&statement, &quick) => pulled.unwrap_err(),
        };
        assert_eq!((error.code().as_str(), error.is_transient()), ("LINK_TIMEOUT", true));
    });
}

/// The one page of a signed version whose entry has this path.
fn page_with_path(path: &[u8]) -> Vec<u8> {
    let stand_in = EntryPath::new(vec![b'x'; path.len()]).unwrap();
    let entry = Entry { path: stand_in, mode: 0o644, mtime_ns: 0, kind: EntryKind::Folder };
    let mut page = Page::Entries(vec![entry]).encode();
    let at = page.windows(path.len()).position(|window| window.iter().all(|b| *b == b'x')).unwrap();
    page[at..at + path.len()].copy_from_slice(path);
    page
}

#[test]
fn paths_that_leave_the_package_are_refused_in_a_correctly_signed_version() {
    let rows: [(&[u8], &str); 13] = [
        (b"../../etc/passwd", "PATH_TRAVERSAL"),
        (b"a/../../b", "PATH_TRAVERSAL"),
        (b"/etc/passwd", "PATH_ABSOLUTE"),
        (b"C:\\x", "PATH_DRIVE"),
        (b"C:x", "PATH_DRIVE"),
        (b"c:/x", "PATH_DRIVE"),
        (b"\\\\host\\share\\x", "PATH_UNC"),
        (b"\\\\?\\C:\\x", "PATH_UNC"),
        (b"//host/x", "PATH_UNC"),
        (b"a\\..\\..\\b", "PATH_SEPARATOR"),
        (b"\\etc", "PATH_SEPARATOR"),
        (b"a\0b", "PATH_CONTROL_CHAR"),
        (b"\0", "PATH_CONTROL_CHAR"),
    ];
    in_runtime(async {
        let (world, listener, point) = hostile_world().await;
        let before = point.library.stat().unwrap();
        for (path, code) in rows {
            let page = page_with_path(path);
            let root = ManifestRoot {
                digest: restock_content::hash::page_digest(&page),
                length: page.len() as u32,
                pages: 1,
                entries: 1,
                chunks: 0,
                bytes: 0,
            };
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
            assert!(error.to_string().ends_with("entry 0 of page 0"), "{error}");
            assert!(point.library.active(&content(1).package).is_none());
        }
        assert_eq!(point.library.stat().unwrap().versions, before.versions);
    });
}

pub(crate) fn sign(
    world: &World,
    version: ContentVersion,
    root: ManifestRoot,
    key: &SigningKey,
) -> Statement {
    Statement::sign(world.trust.site(), version, root, Timestamp(0), key)
}

pub(crate) fn accepted(world: &World, statement: &Statement) -> AcceptedStatement {
    accept_statement(&statement.encode(), &statement.version, &world.trust.key_list(), None).unwrap()
}

/// A point that does with a job what a distribution point does first.
#[derive(Default)]
struct Accepting {
    identity: Mutex<Option<Arc<restock_transfer::DpIdentity>>>,
    answers: Mutex<Vec<(String, String)>>,
}

impl DpSide for Accepting {
    async fn hello(&self) -> HelloFacts {
        HelloFacts::default()
    }
    async fn welcome(&self, _welcome: Welcome) {}
    async fn job(&self, job: Job) {
        let keys = self.identity.lock().unwrap().as_ref().unwrap().key_list();
        let code = match accept_statement(&job.statement, &job.content, &keys, None) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.code().to_owned(),
        };
        self.answers.lock().unwrap().push((job.name, code));
    }
}

#[test]
fn statements_of_another_key_site_or_package_are_refused() {
    in_runtime(async {
        let (world, listener, point) = hostile_world().await;
        let good = world.publish(1, &BTreeMap::new()).into_inner();
        let mut unsigned = good.encode();
        unsigned.truncate(unsigned.len() - 64);
        let mut wrong = good.encode();
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        let stranger = sign(&world, content(1), good.root, &SigningKey::from_bytes(&[3; 32]));
        let elsewhere = Statement::sign(
            "ABC".parse().unwrap(),
            content(1),
            good.root,
            Timestamp(0),
            world.trust.signing_key(),
        );
        let mut other_package = content(1);
        other_package.package = "XYZ00002".parse().unwrap();
        let other = sign(&world, other_package, good.root, world.trust.signing_key());
        let later = sign(&world, content(2), good.root, world.trust.signing_key());
        let jobs: [(&str, Vec<u8>, &str); 7] = [
            ("good", good.encode(), "accepted"),
            ("unsigned", unsigned, "MANIFEST_SIGNATURE"),
            ("wrong", wrong, "MANIFEST_SIGNATURE"),
            ("stranger", stranger.encode(), "MANIFEST_SIGNATURE"),
            ("other site", elsewhere.encode(), "MANIFEST_SIGNATURE"),
            ("other package", other.encode(), "MANIFEST_SUBJECT"),
            ("other version", later.encode(), "MANIFEST_SUBJECT"),
        ];
        let side = Arc::new(Accepting::default());
        *side.identity.lock().unwrap() = Some(Arc::clone(&point.identity));
        let _link = DpLink::start(
            DpLinkConfig::default(),
            Arc::clone(&point.identity),
            Arc::clone(&side),
            &point.run,
        );
        let mut peer = listener.accept().await;
        assert_eq!(peer.message().await.unwrap()["type"], "hello");
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let keys = hex(&world.trust.key_list().encode());
        peer.say(json!({"type": "welcome", "protocol": 1, "site": "XYZ", "key_list": keys, "later": true}))
            .await;
        for (name, statement, _) in &jobs {
            let content = json!({"package": "XYZ00001", "epoch": 1, "version": 1});
            let statement = hex(statement);
            peer.say(json!({"type": "job", "job_id": 1, "kind": "install", "content": content, "statement": statement, "name": name})).await;
        }
        eventually("every job was looked at", || side.answers.lock().unwrap().len() == jobs.len()).await;
        let wanted: Vec<(String, String)> =
            jobs.iter().map(|(name, _, code)| ((*name).to_owned(), (*code).to_owned())).collect();
        assert_eq!(*side.answers.lock().unwrap(), wanted);
    });
}

#[test]
fn a_key_list_of_another_root_key_or_an_older_one_is_not_taken() {
    in_runtime(async {
        let (world, listener, point) = hostile_world().await;
        let forged = restock_content::statement::KeyList::sign(
            world.trust.site(),
            9,
            vec![SigningKey::from_bytes(&[3; 32]).public()],
            &SigningKey::from_bytes(&[4; 32]),
        );
        let side = Arc::new(Accepting::default());
        let link = DpLink::start(DpLinkConfig::default(), Arc::clone(&point.identity), side, &point.run);
        let mut peer = listener.accept().await;
        assert_eq!(peer.message().await.unwrap()["type"], "hello");
        let keys: String = forged.encode().iter().map(|b| format!("{b:02x}")).collect();
        peer.say(json!({"type": "welcome", "protocol": 1, "site": "XYZ", "key_list": keys})).await;
        assert!(peer.frame().await.is_none(), "the point hangs up");
        assert!(!link.is_connected());
        assert_eq!(point.identity.key_list(), *world.trust.key_list());
    });
}
