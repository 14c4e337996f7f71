//! Which content a site wants, and what becomes of it when it arrives.

use std::collections::BTreeSet;

use restock_names::{PackageId, SiteCode, SourceVersion};
use restock_sitedb::announced::Announced;
use restock_sitedb::copies::COPY_STORED;
use restock_sitedb::state::{Event, TargetState};
use restock_sitedb::{DatabaseError, Tx};

use super::cases::code;
use super::line::Line;
use super::net::Node;
use crate::change;
use crate::samples::NOW;
use crate::server::Cluster;

async fn due(node: &Node) -> Vec<PackageId> {
    let due = node.read(|tx| Box::pin(tx.fetches_due(NOW, 10))).await;
    due.into_iter().map(|announced| announced.version.content.package).collect()
}

async fn content_goes_where_it_is_wanted_and_through_the_sites_between(mut line: Line) {
    let id = line.package().await;
    line.publish().await;
    line.settle().await;
    for node in &line.nodes {
        assert_eq!(due(node).await, [], "a site that nobody targets gets rows and no bytes: {}", node.code);
    }
    line.wish(0, id, "DPC", Event::Added).await;
    line.settle().await;
    assert_eq!(due(&line.nodes[0]).await, [], "the owner has it");
    assert_eq!(due(&line.nodes[1]).await, [id], "for the site below");
    assert_eq!(due(&line.nodes[2]).await, [id]);
    let wanted = |node: &Node, sites: [&str; 1]| {
        let sites: BTreeSet<SiteCode> = sites.into_iter().map(code).collect();
        let database = node.database.clone();
        async move { change!(database, |tx| tx.is_wanted_at(id, &sites).await?) }
    };
    assert!(wanted(&line.nodes[0], ["CCC"]).await && !wanted(&line.nodes[0], ["BBB"]).await);

    // BBB holds it as a draft: enough for CCC, not for a distribution point of its own.
    change!(line.nodes[1].database, |tx| {
        let held = Announced { is_draft: true, lease_until: Some(NOW), ..tx.announced(id).await?.unwrap() };
        tx.put_announced(&held).await?;
        assert_eq!(tx.drafts().await?, [held]);
    });
    assert_eq!(due(&line.nodes[1]).await, []);
    line.wish(1, id, "DPB", Event::Added).await;
    assert_eq!(due(&line.nodes[1]).await, [id]);
    line.wish(1, id, "DPB", Event::RemoveAsked).await;
    assert_eq!(due(&line.nodes[1]).await, [], "what is leaving wants nothing");

    assert!(line.fetch(2, id).await);
    assert!(!line.fetch(2, id).await, "it is there");
    line.settle().await;
    change!(line.nodes[2].database, |tx| {
        let package = tx.package(id).await?.unwrap();
        assert_eq!(package.stored_version, SourceVersion(1));
        let version = tx.version(id, SourceVersion(1)).await?.unwrap();
        assert_eq!(version.root, tx.announced(id).await?.unwrap().version.root);
        let raised = tx.messages(Some(id), None, 100).await?;
        for wanted in [2301, 2311] {
            assert!(raised.iter().any(|message| message.id == wanted), "{wanted}");
        }
    });
    for node in &line.nodes {
        let copies = node.read(move |tx| Box::pin(tx.copies_of(id))).await;
        let stored = copies.iter().any(|copy| copy.site == code("CCC") && copy.state == COPY_STORED);
        assert!(stored, "seen at {}: {copies:?}", node.code);
    }
    // One between that has forgotten what it held fetches nothing for a site that has it.
    change!(line.nodes[1].database, |tx| {
        let forgot = Announced { is_draft: false, lease_until: None, ..tx.announced(id).await?.unwrap() };
        tx.put_announced(&forgot).await?;
    });
    assert_eq!(due(&line.nodes[1]).await, []);
    assert_eq!(line.nodes[1].read(|tx| Box::pin(tx.fetch_queue(NOW))).await, (0, None));
    assert_eq!(line.states(id, "DPC").await, [Some(TargetState::Waiting); 3]);
    assert_eq!(line.refused, []);
}

#[tokio::test]
async fn sqlite_knows_which_content_is_wanted() {
    content_goes_where_it_is_wanted_and_through_the_sites_between(Line::new(None, "content").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_knows_which_content_is_wanted() {
    let Some(cluster) = Cluster::start() else { return };
    let line = Line::new(Some(&cluster), "content").await;
    content_goes_where_it_is_wanted_and_through_the_sites_between(line).await;
}

async fn content_is_not_fetched_for_sites_that_get_it_elsewhere(mut line: Line) {
    // Made in the middle, wanted below it.
    let down = line.nodes[1].add_package().await;
    // Made below, wanted in the middle.
    let up = line.nodes[2].add_package().await;
    line.settle().await;
    line.wish(1, down, "DPC", Event::Added).await;
    line.wish(1, up, "DPB", Event::Added).await;
    line.settle().await;
    assert!(line.nodes[1].publish(7).await.is_some() && line.nodes[2].publish(8).await.is_some());
    line.settle().await;
    assert_eq!(due(&line.nodes[0]).await, [], "nobody gets anything through the top site");
    assert_eq!(due(&line.nodes[1]).await, [up]);
    assert_eq!(due(&line.nodes[2]).await, [down]);
    let waiting = line.nodes[0].read(|tx| Box::pin(tx.fetch_queue(NOW))).await;
    assert_eq!(waiting, (0, None));
    assert_eq!(line.refused, []);
}

#[tokio::test]
async fn sqlite_knows_who_gets_content_elsewhere() {
    content_is_not_fetched_for_sites_that_get_it_elsewhere(Line::new(None, "elsewhere").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_knows_who_gets_content_elsewhere() {
    let Some(cluster) = Cluster::start() else { return };
    let line = Line::new(Some(&cluster), "elsewhere").await;
    content_is_not_fetched_for_sites_that_get_it_elsewhere(line).await;
}

#[tokio::test]
async fn content_of_a_version_that_was_overtaken_is_not_published() {
    let mut line = Line::new(None, "overtaken").await;
    let id = line.package().await;
    line.wish(0, id, "DPC", Event::Added).await;
    line.publish().await;
    line.settle().await;
    let first = line.nodes[2].read(move |tx| Box::pin(tx.announced(id))).await.unwrap();
    line.nodes[0].ask(id).await;
    line.nodes[0].publish(8).await.unwrap();
    line.settle().await;
    change!(line.nodes[2].database, |tx| {
        assert!(!tx.content_arrived(&first, NOW).await?);
        assert_eq!(tx.package(id).await?.unwrap().stored_version, SourceVersion(0));
    });
    assert!(line.fetch(2, id).await);
}
