//! Single cases of the exchange: what is refused, what waits, what a site without links does.

use restock_names::{ContentVersion, Epoch, PackageId, SiteCode, SourceVersion, Timestamp};
use restock_sitedb::refresh::Refresh;
use restock_sitedb::replica::AppliedChanges;
use restock_sitedb::{DatabaseError, Tx};
use serde_json::{Value, json};

use super::line::Line;
use super::net::{Batch, Node, collect, deliver, join, shared, signed};
use crate::change;
use crate::samples::NOW;
use crate::server::Cluster;

/// One object of each kind in the form of the first release, as a site at the top would send them.
pub(super) const OBJECTS_1: &str = include_str!("../../../../../docs/formats/samples/replicas-1.json");

/// A clock that no site of these tests has reached.
const LATER: u64 = 1 << 30;

pub(super) fn code(text: &str) -> SiteCode {
    text.parse().unwrap()
}

/// A site at the top and one below it.
pub(super) async fn two() -> (Node, Node) {
    let (above, below) = (Node::new(code("AAA")).await, Node::new(code("BBB")).await);
    join(&above, &below).await;
    (above, below)
}

/// Lets `objects` arrive at `to` as the next changes of `from`.
pub(super) async fn say(from: &Node, to: &Node, objects: Vec<Value>) -> AppliedChanges {
    let (source, target) = (from.code, to.code);
    let incarnation = from.read(move |tx| Box::pin(tx.replica_facts(target))).await.incarnation;
    let known = to.read(move |tx| Box::pin(tx.replica_facts(source))).await;
    let first = if known.received_incarnation == incarnation { known.received + 1 } else { 1 };
    deliver(to, &Batch { from: source, incarnation, first, last: first, objects }, NOW).await
}

fn object(kind: &str, key: &str, clock: u64, writer: &str, body: Value) -> Value {
    let is_deleted = body.is_null();
    json!({ "kind": kind, "key": key, "clock": clock, "writer": writer, "at": 5, "deleted": is_deleted, "body": body })
}

fn version(id: PackageId, (epoch, number): (Epoch, u32), clock: u64, signer: &str, root: u64) -> Value {
    let content = ContentVersion { package: id, epoch, version: SourceVersion(number) };
    let v = signed(content, code(signer), root);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    object(
        "version",
        id.as_str(),
        clock,
        signer,
        json!({
            "epoch": epoch, "version": number, "statement": hex(&v.statement), "root": hex(&v.version.root.0),
            "root_length": 7, "pages": 1, "entries": root, "chunks": 1, "bytes": 1, "files": 1, "bytes_read": 1,
            "chunks_new": 1, "bytes_new": 1, "published_at": 5, "duration_ms": 1,
        }),
    )
}

pub(super) async fn settle(a: &Node, b: &Node) {
    for _ in 0..20 {
        let mut is_busy = false;
        for (from, to) in [(a, b), (b, a)] {
            if let Some(batch) = collect(from, to, 1_000_000).await {
                is_busy = true;
                assert_eq!(deliver(to, &batch, NOW).await.refused, []);
            }
        }
        if !is_busy {
            return;
        }
    }
    panic!("the sites go on talking");
}

fn rules(applied: &AppliedChanges) -> Vec<&str> {
    applied.refused.iter().map(|refused| refused.why.rule.as_str()).collect()
}

#[tokio::test]
async fn a_site_without_links_writes_no_replica() {
    let alone = Node::new(code("AAA")).await;
    let id = alone.add_package().await;
    alone.ask(id).await;
    alone.publish(1).await.unwrap();
    change!(alone.database, |tx| {
        assert_eq!(tx.replicas_shared().await?, Vec::<Value>::new());
        assert_eq!(tx.incarnation().await?, "");
    });
    assert!(shared(&alone).await.keys().all(|name| name.starts_with("row/")));
}

#[tokio::test]
async fn a_site_that_joins_shares_what_it_had_before() {
    let (above, below) = (Node::new(code("AAA")).await, Node::new(code("BBB")).await);
    let (first, second) = (above.add_package().await, below.add_package().await);
    above.publish(1).await.unwrap();
    below.publish(2).await.unwrap();
    join(&above, &below).await;
    settle(&above, &below).await;
    let (here, there) = (shared(&above).await, shared(&below).await);
    assert_eq!(here, there);
    for (id, owner) in [(first, "AAA"), (second, "BBB")] {
        assert!(here[&format!("row/{id}")].starts_with(&format!("a {owner} 1 false Some")), "{here:?}");
    }
}

/// Gives the package another source path, as a command at the site does.
async fn set_path(node: &Node, id: PackageId, path: &'static str) {
    change!(node.database, |tx| {
        let mut package = tx.package(id).await?.unwrap();
        package.source_path = path.to_owned();
        tx.update_package(&package).await?;
    });
}

async fn set_by(node: &Node, id: PackageId) -> (String, Option<u32>) {
    node.read(move |tx| {
        Box::pin(async move { Ok((tx.package(id).await?.unwrap().source_path, tx.source_set_by(id).await?)) })
    })
    .await
}

#[tokio::test]
async fn a_path_that_a_site_below_sets_has_nobody_behind_it_above() {
    let (above, below) = two().await;
    let id = above.add_package().await;
    settle(&above, &below).await;
    set_path(&above, id, "/srv/of/the/top").await;
    settle(&above, &below).await;
    assert_eq!(set_by(&above, id).await, ("/srv/of/the/top".to_owned(), None));
    assert_eq!(
        set_by(&below, id).await,
        ("/srv/of/the/top".to_owned(), None),
        "the word of a site above counts"
    );
    set_path(&below, id, "/srv/secrets").await;
    settle(&above, &below).await;
    let (path, account) = set_by(&above, id).await;
    assert_eq!((path.as_str(), account), ("/srv/secrets", Some(u32::MAX)), "no account has this number");
    // Another change above does not take the path away from who set it.
    change!(above.database, |tx| {
        let mut package = tx.package(id).await?.unwrap();
        package.description = "changed above".to_owned();
        tx.update_package(&package).await?;
    });
    settle(&above, &below).await;
    assert_eq!(set_by(&below, id).await, ("/srv/secrets".to_owned(), None));
}

#[tokio::test]
async fn a_change_that_was_refused_leaves_no_object() {
    let (above, _below) = two().await;
    let id = above.add_package().await;
    let before = shared(&above).await;
    let refused: Result<(), DatabaseError> = above
        .database
        .transact("refused", move |tx: &mut Tx| {
            Box::pin(async move {
                let mut package = tx.package(id).await?.unwrap();
                package.name = "another".to_owned();
                tx.update_package(&package).await?;
                Err(DatabaseError::Closed("refused"))
            })
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(shared(&above).await, before);
}

#[tokio::test]
async fn a_version_is_taken_only_above_the_known_one_and_with_its_owners_signature() {
    let (above, below) = two().await;
    let id = above.add_package().await;
    above.publish(1).await.unwrap();
    settle(&above, &below).await;
    let first = Epoch::FIRST;
    let later = first.next(code("AAA"));
    let far = Epoch(0x7000_0000 | u32::from(code("AAA").number()));
    let mut forged = version(id, (first, 2), 1_000, "AAA", 2);
    forged["body"]["statement"] = json!("7b7d");
    let mut other_root = version(id, (first, 2), 1_000, "AAA", 2);
    other_root["body"]["entries"] = json!(3);

    let cases = [
        (version(id, (first, 2), 1_000, "BBB", 2), vec!["MANIFEST_SIGNATURE"]),
        (forged, vec!["MANIFEST_SIGNATURE"]),
        (other_root, vec!["MANIFEST_SUBJECT"]),
        (version(id, (first, 1_000_002), 1_000, "AAA", 2), vec!["VERSION_JUMP"]),
        (version(id, (far, 2), 1_000, "AAA", 2), vec!["VERSION_JUMP"]),
        (version(id, (first, 0), 1_000, "AAA", 2), vec!["OBJECT_FORM"]),
        (version(id, (first, 1), 1_000, "AAA", 9), vec!["VERSION_CONFLICT"]),
        (version(id, (first, 1), 1_000, "AAA", 1), vec![]),
        (version(id, (later, 7), 1_001, "AAA", 3), vec![]),
        (version(id, (later, 6), 1_002, "AAA", 4), vec!["VERSION_DOWNGRADE"]),
        (version(id, (first, 40), 1_003, "AAA", 5), vec!["FENCED"]),
        (version(id, (later, 6), 1_000, "AAA", 4), vec![]),
    ];
    for (object, wanted) in cases {
        assert_eq!(rules(&say(&above, &below, vec![object.clone()]).await), wanted, "{object}");
    }
    let known = below.read(move |tx| Box::pin(tx.announced(id))).await.unwrap();
    assert_eq!((known.version.content.epoch, known.version.content.version), (later, SourceVersion(7)));
    // What was refused is never given again: the next one of this site lies above the highest seen.
    let next = change!(below.database, |tx| {
        tx.set_source_site(id, code("BBB"), NOW).await?;
        tx.next_publish(id).await?
    });
    let (epoch, number) = next.unwrap();
    assert_eq!(number, SourceVersion(41));
    assert!(epoch > later && epoch.signer(id) == Some(code("BBB")));
    let raised = below.read(move |tx| Box::pin(tx.messages(Some(id), None, 100))).await;
    let errors = raised.iter().filter(|message| message.id == 60021).count();
    assert_eq!(errors, 1, "two contents under one version are an alarm");
}

#[tokio::test]
async fn a_version_waits_for_the_keys_of_its_owner_and_is_then_taken() {
    let (above, below) = two().await;
    let id = above.add_package().await;
    settle(&above, &below).await;
    let epoch = Epoch::FIRST.next(code("CCC"));
    let early = version(id, (epoch, 3), 2_000, "CCC", 3);
    let applied = say(&above, &below, vec![early]).await;
    assert_eq!((applied.refused.len(), applied.waiting), (0, 1));
    assert_eq!(below.read(move |tx| Box::pin(tx.announced(id))).await, None);
    let site = json!({
        "parent": "AAA", "type": 2, "name": "", "server_name": "", "url": "", "software": "",
        "root_public_key": "key of CCC", "key_list": "434343", "ca_fingerprint": "", "status": 1,
    });
    let applied = say(&above, &below, vec![object("site", "CCC", 2_001, "CCC", site)]).await;
    assert!(applied.refused.is_empty() && applied.key_lists_changed);
    let known = below.read(move |tx| Box::pin(tx.announced(id))).await.unwrap();
    assert_eq!((known.version.content.version, known.signer), (SourceVersion(3), code("CCC")));
}

#[tokio::test]
async fn a_site_that_was_put_back_leaves_the_epoch_in_which_it_had_taken_a_package_over() {
    let (above, below) = two().await;
    let id = above.add_package().await;
    above.publish(1).await.unwrap();
    settle(&above, &below).await;
    // It took the package over and published, which it does not know any more; the site above does.
    let taken = Epoch::FIRST.next(code("BBB"));
    change!(below.database, |tx| tx.begin_recovery(NOW).await?);
    let owner = json!({ "source_site": "BBB", "epoch": taken });
    let applied = say(&above, &below, vec![object("owner", id.as_str(), 1_000, "BBB", owner)]).await;
    assert!(applied.refused.is_empty(), "{:?}", applied.refused);
    let (epoch, _) = below.read(move |tx| Box::pin(tx.next_publish(id))).await.unwrap();
    assert!(epoch > taken && epoch.signer(id) == Some(code("BBB")), "{epoch}");
    // And says so.
    settle(&above, &below).await;
    let told = shared(&above).await[&format!("owner/{id}")].clone();
    assert!(told.contains(&format!("\"epoch\":{epoch}")), "{told}");
}

#[tokio::test]
async fn an_object_that_is_wrong_is_refused_alone() {
    let (above, below) = two().await;
    let id = above.add_package().await;
    settle(&above, &below).await;
    let before = shared(&below).await;
    let site = |key: &str| {
        json!({
            "parent": null, "type": 2, "name": "x", "server_name": "", "url": "", "software": "",
            "root_public_key": key, "key_list": "41", "ca_fingerprint": "", "status": 1,
        })
    };
    let mut package = serde_json::from_str::<Value>(&before[&format!("package/{id}")]).unwrap();
    package["clock"] = json!(LATER);
    package["body"]["name"] = json!("the good one");
    let long = "x".repeat(1_000_001);
    let objects = vec![
        json!(7),
        json!({ "kind": "package" }),
        object("toaster", "T", LATER, "AAA", json!({})),
        object("package", "no package", LATER, "AAA", json!({})),
        object("package", id.as_str(), LATER, "AAA", json!({ "name": 7 })),
        object("package", id.as_str(), 0, "AAA", json!({})),
        object("package", id.as_str(), u64::MAX, "AAA", json!({})),
        object("package", id.as_str(), 1 << 40, "AAA", json!({})),
        object("package", id.as_str(), LATER, "AAA", json!({ "name": long })),
        object("site", "AAA", LATER, "AAA", site("another key")),
        object("site", "AAA", LATER, "AAA", Value::Null),
        object("owner", id.as_str(), LATER, "AAA", json!({ "source_site": "AAA", "epoch": 65_537 })),
        // What only BBB may say, and what only comes from below.
        object("copy", &format!("{id}/CCC"), LATER, "AAA", json!({})),
        object("message", "AAA/1", LATER, "AAA", json!({})),
        package,
    ];
    let applied = say(&above, &below, objects).await;
    let refused =
        ["OBJECT_KIND", "OBJECT_FORM", "OBJECT_SIZE", "CLOCK_JUMP", "KEY_CHANGED", "OBJECT_DIRECTION"];
    for rule in refused {
        assert!(rules(&applied).contains(&rule), "{rule} in {:?}", applied.refused);
    }
    assert_eq!((applied.refused.len(), applied.waiting), (13, 1), "{:?}", applied.refused);
    let after = shared(&below).await;
    assert!(after[&format!("row/{id}")].starts_with("the good one AAA"));
    assert_eq!(after.len(), before.len());
    // A site tells of sites on its own side, and none puts another right below this one.
    let below_own = |parent: &str| {
        let mut body = site("key of XXX");
        body["parent"] = json!(parent);
        object("site", "XXX", LATER, "AAA", body)
    };
    let placed = say(&above, &below, vec![below_own("BBB")]).await;
    assert_eq!(rules(&placed), ["OBJECT_WRITER"], "there is no link to XXX");
    let mut top = below_own("AAA");
    top["body"]["parent"] = Value::Null;
    assert_eq!(rules(&say(&below, &above, vec![top]).await), ["OBJECT_WRITER"]);
    assert_eq!(say(&above, &below, vec![below_own("YYY")]).await.waiting, 1);
    let many = object("refresh", &format!("{id}/BBB"), LATER, "BBB", json!({ "asked": 1_u64 << 40 }));
    assert_eq!(rules(&say(&below, &above, vec![many]).await), ["ASKED_JUMP"]);
    // Accounts come from above only.
    let upwards = object("account", "EVE", LATER, "BBB", json!({}));
    assert_eq!(rules(&say(&below, &above, vec![upwards]).await), ["OBJECT_DIRECTION"]);
    // Nobody but the owner says how its requests stand.
    let running = json!({ "epoch": 1, "pending": true, "creating": false, "failed": false, "why": null, "done_of": {} });
    let lie = object("running", id.as_str(), LATER, "BBB", running);
    settle(&above, &below).await;
    assert_eq!(rules(&say(&below, &above, vec![lie]).await), ["OBJECT_WRITER"]);
}

#[tokio::test]
async fn changes_after_a_gap_are_not_applied_and_old_ones_change_nothing() {
    let (above, below) = two().await;
    above.add_package().await;
    let all = collect(&above, &below, 1_000_000).await.unwrap();
    let early = Batch { first: 5, ..all.clone() };
    let applied = deliver(&below, &early, NOW).await;
    assert!(applied.is_gap && applied.refused.is_empty());
    assert_eq!(deliver(&below, &all, NOW).await.refused, []);
    let before = shared(&below).await;
    let again = deliver(&below, &all, NOW).await;
    assert_eq!(usize::try_from(again.replayed).unwrap(), all.objects.len());
    assert_eq!(shared(&below).await, before);
    assert!(collect(&below, &above, 1_000_000).await.is_some(), "what BBB wrote itself");
    settle(&above, &below).await;
    let backlog = above.read(|tx| Box::pin(tx.backlog(code("BBB")))).await;
    assert_eq!(backlog.objects, 0);
}

#[tokio::test]
async fn a_database_that_was_put_back_unnoticed_is_noticed_and_catches_up() {
    let (above, mut below) = two().await;
    settle(&above, &below).await;
    below.back_up().await;
    let id = below.add_package().await;
    below.publish(1).await.unwrap();
    settle(&above, &below).await;
    assert!(below.restore(0, false).await);
    let before = below.read(|tx| Box::pin(tx.incarnation())).await;
    assert!(collect(&below, &above, 1_000_000).await.is_none(), "AAA has more of BBB's changes than BBB");
    assert_ne!(below.read(|tx| Box::pin(tx.incarnation())).await, before);
    settle(&above, &below).await;
    assert_eq!(shared(&above).await, shared(&below).await);
    // The number was given before: the next package gets another, the next version a later epoch.
    assert_ne!(below.add_package().await, id);
    below.ask(id).await;
    let published = below.publish(2).await.unwrap().version.content;
    assert!(published.package != id || published.epoch > Epoch::FIRST);
}

async fn requests(node: &Node, id: PackageId) -> Refresh {
    node.read(move |tx| Box::pin(tx.refresh(id))).await.unwrap()
}

async fn a_request_made_elsewhere_is_run_by_the_owner(mut line: Line) {
    let id = line.package().await;
    line.publish().await;
    line.settle().await;
    line.nodes[2].ask(id).await;
    line.nodes[2].ask(id).await;
    let waiting = requests(&line.nodes[2], id).await;
    assert!(waiting.is_pending() && waiting.action_in_progress() == 1);
    assert_eq!(waiting.why.unwrap().text, "waiting for owner AAA");
    let due = line.nodes[2].read(|tx| Box::pin(tx.refresh_due(NOW))).await;
    assert_eq!(due, None, "only the owner runs it");
    line.settle().await;
    for node in &line.nodes {
        assert!(requests(node, id).await.is_pending(), "at {}", node.code);
    }
    line.nodes[0].publish(8).await.unwrap();
    assert!(line.nodes[0].publish(9).await.is_none(), "requests that wait together are one run");
    // Asked while the end of the last run is on its way: it does not end this one.
    line.nodes[2].ask(id).await;
    line.settle().await;
    assert!(requests(&line.nodes[2], id).await.is_pending());
    line.nodes[0].publish(10).await.unwrap();
    line.settle().await;
    for node in &line.nodes {
        let refresh = requests(node, id).await;
        assert_eq!((refresh.is_pending(), refresh.why), (false, None), "at {}", node.code);
        let package = node.read(move |tx| Box::pin(tx.package(id))).await.unwrap();
        assert_eq!(package.source_version, SourceVersion(3), "at {}", node.code);
    }
    assert_eq!(line.refused, []);
}

#[tokio::test]
async fn a_request_made_elsewhere_is_run_by_the_owner_on_sqlite() {
    a_request_made_elsewhere_is_run_by_the_owner(Line::new(None, "asked").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_made_elsewhere_is_run_by_the_owner_on_postgres() {
    let Some(cluster) = Cluster::start() else { return };
    a_request_made_elsewhere_is_run_by_the_owner(Line::new(Some(&cluster), "asked").await).await;
}

#[tokio::test]
async fn a_tombstone_stays_until_all_have_it_and_thirty_days_are_over() {
    let (above, below) = two().await;
    let id = above.add_package().await;
    settle(&above, &below).await;
    change!(above.database, |tx| {
        tx.mark_package_deleting(id).await?;
        assert_eq!(tx.packages_to_forget().await?, [id]);
        tx.delete_package(id).await?;
    });
    let days = |days: i64| Timestamp(NOW.0 + days * 86_400_000_000);
    for (when, removed) in [(0, 0), (31, 0)] {
        let now = days(when);
        assert_eq!(change!(above.database, |tx| tx.clean_replicas(now).await?), removed, "BBB has not heard");
    }
    settle(&above, &below).await;
    let found = shared(&below).await;
    let about: Vec<&String> = found.keys().filter(|name| name.contains(id.as_str())).collect();
    assert_eq!(about, [&format!("package/{id}")], "what belongs to the package goes with it");
    let now = days(31);
    assert_eq!(change!(above.database, |tx| tx.clean_replicas(now).await?), 1);
    for (when, removed) in [(31, 0), (60, 0), (62, 1)] {
        let now = days(when);
        assert_eq!(change!(below.database, |tx| tx.clean_replicas(now).await?), removed, "day {when}");
    }
}

#[tokio::test]
async fn objects_of_the_first_release_are_read() {
    let below = Node::new(code("BBB")).await;
    let above = Node::new(code("AAA")).await;
    join(&above, &below).await;
    let objects: Vec<Value> = serde_json::from_str(OBJECTS_1).unwrap();
    let applied = say(&above, &below, objects.clone()).await;
    assert_eq!((rules(&applied), applied.waiting), (vec![], 0));
    let found = shared(&below).await;
    for object in &objects {
        let name = format!("{}/{}", object["kind"].as_str().unwrap(), object["key"].as_str().unwrap());
        if !matches!(object["kind"].as_str(), Some("scope" | "role" | "account")) {
            assert!(found.contains_key(&name), "{name}");
        }
    }
    let id: PackageId = "AAA00001".parse().unwrap();
    let package = below.read(move |tx| Box::pin(tx.package(id))).await.unwrap();
    assert_eq!((package.name.as_str(), package.source_version), ("Tools", SourceVersion(3)));
}
