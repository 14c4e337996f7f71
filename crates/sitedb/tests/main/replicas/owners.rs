//! Owners that follow each other: what is fenced, what goes over, what is asked once more.

use restock_names::{Epoch, SourceVersion};
use restock_sitedb::{DatabaseError, Tx};

use super::cases::{code, settle, two};
use super::net::shared;
use crate::change;
use crate::samples::NOW;

#[tokio::test]
async fn an_owner_that_was_replaced_cannot_publish_and_its_requests_go_over() {
    let (above, below) = two().await;
    let id = above.add_package().await;
    above.publish(1).await.unwrap();
    settle(&above, &below).await;
    above.ask(id).await;
    // A run of AAA is under way.
    let run = change!(above.database, |tx| {
        let mut refresh = tx.refresh(id).await?.unwrap();
        let run = refresh.claim("me", NOW, std::time::Duration::from_secs(60)).unwrap();
        tx.update_refresh(id, &refresh).await?;
        run
    });
    change!(below.database, |tx| tx.set_source_site(id, code("BBB"), NOW).await?);
    settle(&above, &below).await;
    change!(above.database, |tx| {
        assert!(!tx.refresh(id).await?.unwrap().is_held_by(run), "the run has lost its lease");
        assert_eq!(tx.next_publish(id).await?, None);
        let next = (Epoch::FIRST, SourceVersion(2));
        assert!(!tx.publish_version(id, SourceVersion(1), next, NOW).await?);
        assert!(tx.refresh(id).await?.unwrap().is_pending(), "what was asked is still shown");
    });
    let published = below.publish(2).await.unwrap().version.content;
    assert_eq!((published.version, published.epoch), (SourceVersion(2), Epoch::FIRST.next(code("BBB"))));
    settle(&above, &below).await;
    let here = shared(&above).await;
    assert_eq!(here, shared(&below).await);
    assert!(here[&format!("row/{id}")].ends_with("false"));
}

#[tokio::test]
async fn a_package_is_orphaned_when_its_owner_has_left() {
    let (above, below) = two().await;
    let id = below.add_package().await;
    settle(&above, &below).await;
    change!(above.database, |tx| {
        let package = tx.package(id).await?.unwrap();
        assert!(!tx.is_orphaned(&package).await?);
        assert!(tx.remove_site(code("BBB")).await?);
        assert!(tx.is_orphaned(&package).await?);
        tx.set_source_site(id, code("AAA"), NOW).await?;
        let package = tx.package(id).await?.unwrap();
        assert!(!tx.is_orphaned(&package).await?);
    });
}

#[tokio::test]
async fn a_refresh_whose_version_the_next_owner_passed_over_is_asked_once_more() {
    let (above, below) = two().await;
    let id = above.add_package().await;
    above.publish(1).await.unwrap();
    settle(&above, &below).await;
    // While they are apart both make version 2, each for a request that it has acknowledged.
    above.ask(id).await;
    let lost = above.publish(2).await.unwrap().version.content;
    change!(below.database, |tx| tx.set_source_site(id, code("BBB"), NOW).await?);
    below.ask(id).await;
    let stands = below.publish(3).await.unwrap().version.content;
    assert_eq!((lost.version, stands.version), (SourceVersion(2), SourceVersion(2)));
    settle(&above, &below).await;
    let pending = below.read(move |tx| Box::pin(tx.refresh(id))).await.unwrap().is_pending();
    assert!(pending, "nobody would see what the request at AAA was for");
    let third = below.publish(4).await.unwrap().version.content;
    assert_eq!(third.version, SourceVersion(3));
    settle(&above, &below).await;
    for node in [&above, &below] {
        let refresh = node.read(move |tx| Box::pin(tx.refresh(id))).await.unwrap();
        assert!(!refresh.is_pending(), "once is enough: {}", node.code);
    }
}
