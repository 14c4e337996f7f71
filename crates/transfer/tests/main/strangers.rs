//! Clients that do not keep to the protocol: each is told why or hung up on, and the site goes on.

use restock_content::transfer::{ItemKind, Range, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::peer::{Peer, dial};
use crate::world::{World, files, in_runtime, options};

const ALPN: &[u8] = b"restock-link/1";

async fn knock(world: &World, identity: Option<&str>) -> Peer {
    let folder = identity.map(|name| world.path(&format!("{name}-identity")));
    dial(world.address, &world.path("trust/ca.pem"), folder.as_deref(), ALPN).await.unwrap()
}

fn hello() -> Value {
    json!({"type": "hello", "protocol": 1, "library_id": "00"})
}

fn pull_hello() -> Value {
    json!({"type": "pull_hello", "protocol": 1, "content": {"package": "XYZ00001", "epoch": 1, "version": 1}})
}

/// The code of the refusal that comes next, after which nothing follows.
async fn refusal(mut peer: Peer) -> String {
    let message = peer.message().await.expect("a refusal");
    assert_eq!(message["type"], "refused", "{message}");
    assert!(peer.frame().await.is_none());
    message["code"].as_str().unwrap().to_owned()
}

/// A point that keeps to the protocol still gets its version.
async fn still_serves(world: &World) {
    let statement = world.publish(1, &files(5, 100));
    world.point("DP99").await.install(&statement, &options()).await.unwrap();
}

#[test]
fn a_client_without_certificate_can_only_enrol() {
    in_runtime(async {
        let world = World::new().await;
        for first in [hello(), pull_hello()] {
            let mut peer = knock(&world, None).await;
            peer.say(first).await;
            assert_eq!(refusal(peer).await, "IDENTITY");
        }
        let mut peer = knock(&world, None).await;
        let enrol =
            json!({"type": "enrol", "protocol": 1, "secret": "00", "name": "DP01", "request": "3000"});
        peer.say(enrol).await;
        assert_eq!(refusal(peer).await, "ENROL_REQUEST");
        assert_eq!(*world.side.enrol_calls.lock().unwrap(), 0);
        still_serves(&world).await;
    });
}

#[test]
fn another_protocol_or_first_message_is_refused() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        for (first, code) in [
            (json!({"type": "hello", "protocol": 2, "library_id": "00"}), "LINK_PROTOCOL"),
            (json!({"type": "ping"}), "LINK_UNEXPECTED"),
            (
                json!({"type": "enrol", "protocol": 1, "secret": "00", "name": "DP01", "request": "00"}),
                "LINK_UNEXPECTED",
            ),
            (json!({"type": "hello"}), "LINK_FORMAT"),
            (json!("hello"), "LINK_FORMAT"),
        ] {
            let mut peer = knock(&world, Some("DP01")).await;
            peer.say(first.clone()).await;
            assert_eq!(refusal(peer).await, code, "{first}");
        }
        // Messages of a type that is not known are skipped, also before the first.
        let mut peer = knock(&world, Some("DP01")).await;
        peer.say(json!({"type": "weather", "is": ["fine"]})).await;
        peer.say(hello()).await;
        assert_eq!(peer.message().await.unwrap()["type"], "welcome");
        peer.say(json!({"type": "weather"})).await;
        peer.say(json!({"type": "ping"})).await;
        assert_eq!(peer.message().await.unwrap()["type"], "pong");
        drop(point);
        still_serves(&world).await;
    });
}

#[test]
fn a_plain_or_other_client_is_hung_up_on() {
    in_runtime(async {
        let world = World::new().await;
        let mut plain = TcpStream::connect(world.address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _reset = plain.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"));
        let other = dial(world.address, &world.path("trust/ca.pem"), None, b"h2").await;
        if let Ok(mut other) = other {
            assert!(other.frame().await.is_none());
        }
        still_serves(&world).await;
    });
}

#[test]
fn frames_that_break_the_rules_end_a_pull_with_a_reason() {
    in_runtime(async {
        let world = World::new().await;
        let statement = world.publish(1, &files(5, 100));
        let _point = world.point("DP01").await;
        let pull = async || {
            let mut peer = knock(&world, Some("DP01")).await;
            peer.say(pull_hello()).await;
            assert_eq!(peer.message().await.unwrap()["type"], "pull_ready");
            peer
        };
        let beyond = Range { kind: ItemKind::Chunk, first: statement.root.chunks, count: 1 };
        let endless = Range { kind: ItemKind::Page, first: statement.root.pages, count: u64::MAX / 2 };
        for (kind, body, code) in [
            (2, Request { ranges: vec![beyond] }.encode(), "LINK_RANGE"),
            (2, Request { ranges: vec![endless] }.encode(), "LINK_RANGE"),
            (2, vec![0], "LINK_FORMAT"),
            (2, Vec::new(), "LINK_FORMAT"),
            (3, vec![1; 40], "LINK_UNEXPECTED"),
            (9, Vec::new(), "LINK_UNEXPECTED"),
        ] {
            let mut peer = pull().await;
            peer.send(kind, &body).await;
            assert_eq!(refusal(peer).await, code, "{kind} {body:?}");
        }
        let mut peer = pull().await;
        peer.raw(&u32::MAX.to_le_bytes()).await;
        assert_eq!(refusal(peer).await, "CONTENT_TOO_LONG");
        let mut peer = pull().await;
        peer.raw(&[0; 4]).await;
        assert_eq!(refusal(peer).await, "LINK_FORMAT");
        // A version that is not there, and one that is not a version.
        let mut peer = knock(&world, Some("DP01")).await;
        let content = json!({"package": "XYZ00001", "epoch": 1, "version": 9});
        peer.say(json!({"type": "pull_hello", "protocol": 1, "content": content})).await;
        assert_eq!(refusal(peer).await, "CONTENT_MISSING");
        still_serves(&world).await;
    });
}
