//! A site below that says what it may not say is refused, and harms nothing.

use restock_content::manifest::ManifestRoot;
use restock_content::statement::{SigningKey, Statement};
use restock_names::{
    Clock as _, ContentVersion, Digest, Epoch, PackageId, SourceVersion, SystemClock, Timestamp,
};
use restock_transfer::{Batch, SiteSide as _};
use serde_json::{Value, json};

use crate::world::{Running, code, eventually, look};

/// Objects of LOW as they are at TOP.
async fn objects(top: &Running, site: &str) -> Vec<Value> {
    let site = code(site);
    look!(top.site, |tx| tx.next_changes(site, 0, 8 << 20).await)
        .changes
        .into_iter()
        .map(|(_, object)| object)
        .collect()
}

/// Hands `object` to the site above as if the site below had sent it.
async fn send(top: &Running, objects: Vec<Value>) {
    let side = top.site.side();
    let facts = side.replica_facts(code("LOW")).await.unwrap();
    let first = facts.received.sequence + 1;
    let last = facts.received.sequence + objects.len() as u64;
    let batch = Batch { incarnation: facts.received.incarnation, first, last, objects };
    side.take_changes(code("LOW"), batch).await.unwrap();
}

fn object(kind: &str, key: &str, writer: &str, body: Value) -> Value {
    json!({"kind": kind, "key": key, "clock": 1_000, "writer": writer, "at": 1, "deleted": false, "body": body})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_below_may_not_write_is_refused_and_the_rest_goes_on() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    top.write("app", "a.txt", "one");
    let id = top.package("app").await;
    eventually!("it is known below", low.versions(id).await.0 == 1);
    eventually!("the link is quiet", low.tree_row("TOP").await.backlog_objects == 0);
    let (config, _folder) = low.stop().await;
    drop(config);
    eventually!("it is away", !top.is_connected("LOW").await);

    let before = objects(&top, "LOW").await;
    let find = |kind: &str| before.iter().find(|object| object["kind"] == kind).cloned().unwrap();
    let mut version = find("version");
    // The same version with another content, signed by a stranger.
    let root =
        ManifestRoot { digest: Digest([7; 32]), length: 10, pages: 1, entries: 1, chunks: 1, bytes: 1 };
    let content =
        |version: u32| ContentVersion { package: id, epoch: Epoch::FIRST, version: SourceVersion(version) };
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let forged = Statement::sign(code("TOP"), content(2), root, Timestamp(0), &stranger);
    let hex: String = forged.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    version["body"]["statement"] = json!(hex);
    version["body"]["version"] = json!(2);
    version["clock"] = json!(1_000);

    let accounts = look!(top.site, |tx| Ok(tx.accounts().await?.len()));
    let mut renamed = find("package");
    renamed["clock"] = json!(renamed["clock"].as_u64().unwrap() + 1_000);
    renamed["writer"] = json!("LOW");
    renamed["body"]["name"] = json!("renamed below");
    send(
        &top,
        vec![
            object("account", "mallory", "LOW", json!({"name": "mallory"})),
            object("site", "TOP", "LOW", json!({})),
            object("nonsense", "x", "LOW", json!({})),
            json!({"kind": "package"}),
            version,
            renamed,
        ],
    )
    .await;
    assert_eq!(look!(top.site, |tx| Ok(tx.accounts().await?.len())), accounts, "no account comes from below");
    assert_eq!(top.versions(id).await, (1, 1));
    let kept = look!(top.site, |tx| tx.announced(id).await).unwrap();
    assert_eq!(kept.version.content, content(1));
    assert_eq!(top.found(id).await.unwrap().name, "renamed below", "the others were taken");
    assert_eq!(top.row("TOP").await.unwrap().parent, None);
    // The next version of the owner is a good one.
    top.ask(id).await;
    eventually!("the owner goes on", top.versions(id).await.1 >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_given_only_to_neighbours_that_need_it() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    top.write("app", "a.txt", "one");
    let id: PackageId = top.package("app").await;
    eventually!("version 1 is stored", top.versions(id).await == (1, 1));
    let side = top.site.side();
    let content =
        |version: u32| ContentVersion { package: id, epoch: Epoch::FIRST, version: SourceVersion(version) };
    let refused = side.authorise_site_pull(code("LOW"), &content(1)).await.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.is_transient),
        ("NOT_AUTHORISED", false),
        "no point of it is targeted"
    );
    let _point = low.point("DP01").await;
    eventually!(
        "the point is known",
        look!(top.site, |tx| tx.point(&"DP01".parse().unwrap()).await).is_some()
    );
    top.target(id, "DP01").await;
    side.authorise_site_pull(code("LOW"), &content(1)).await.unwrap();
    for stranger in ["OTH", "TOP"] {
        assert!(side.authorise_site_pull(code(stranger), &content(1)).await.is_err());
    }
    let unknown = side.authorise_site_pull(code("LOW"), &content(7)).await.unwrap_err();
    assert_eq!(unknown.code, "NOT_AUTHORISED");
    top.site.remove_site(code("LOW")).await.unwrap();
    assert!(side.authorise_site_pull(code("LOW"), &content(1)).await.is_err(), "at once");
    assert!(SystemClock.now() > Timestamp(0));
}
