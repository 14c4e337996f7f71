//! A distribution point that is enrolled and means harm: refused with the reason said and logged, its
//! slots are free again, and others are served.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use restock_content::transfer::{ItemKind, Range, Request};
use restock_names::ContentVersion;
use serde_json::{Value, json};

use crate::log;
use crate::peer::{Peer, dial};
use crate::world::{World, content, eventually, files, in_runtime, options};

async fn knock(world: &World, name: &str) -> Peer {
    let folder = world.path(&format!("{name}-identity"));
    dial(world.address, &world.path("trust/ca.pem"), Some(&folder), b"restock-link/1").await.unwrap()
}

async fn connected(world: &World) -> Peer {
    let mut peer = knock(world, "DP01").await;
    peer.say(json!({"type": "hello", "protocol": 1, "library_id": "00"})).await;
    assert_eq!(peer.message().await.unwrap()["type"], "welcome");
    peer
}

async fn pulling(world: &World) -> Peer {
    let mut peer = knock(world, "DP01").await;
    let content = json!({"package": "XYZ00001", "epoch": 1, "version": 1});
    peer.say(json!({"type": "pull_hello", "protocol": 1, "content": content})).await;
    assert_eq!(peer.message().await.unwrap()["type"], "pull_ready");
    peer
}

/// Waits for the line about the connection of `local` that says why it ended.
async fn told(local: std::net::SocketAddr, code: &str) {
    log::logged(&[&format!("remote={local}"), "peer=restock://XYZ/dp/DP01", code]).await;
}

fn report(sequence: u64, state: &str) -> Value {
    json!({"type": "report", "sequence": sequence, "job_id": 1, "state": state, "at": 1,
        "content": {"package": "XYZ00001", "epoch": 1, "version": 1}})
}

#[test]
fn every_harm_of_a_point_is_refused_with_its_reason_and_harms_nothing() {
    in_runtime(async {
        log::listen();
        let mut world = World::new().await;
        world.stop().await;
        world.limits.idle = Duration::from_millis(700);
        world.limits.stall = Duration::from_millis(700);
        world.limits.pulls = 1;
        world.listen().await;
        let _point = world.point("DP01").await;
        let statement = world.publish(1, &files(300, 200_000));
        // What is said on a control connection, and the code of the refusal.
        let rows: [(&str, Value, &str); 6] = [
            ("another's message", json!({"type": "job", "job_id": "x"}), "LINK_FORMAT"),
            ("a site's message", json!({"type": "ack", "sequence": 7}), "LINK_UNEXPECTED"),
            ("changes", json!({"type": "changes", "first": 1, "last": 1, "objects": []}), "LINK_UNEXPECTED"),
            ("a list of authorities", json!({"type": "authorities", "authorities": "00"}), "LINK_UNEXPECTED"),
            ("a head", json!({"type": "head", "head": "00"}), "LINK_UNEXPECTED"),
            ("a key list", json!({"type": "key_list", "key_list": "00"}), "LINK_UNEXPECTED"),
        ];
        for (_what, message, code) in rows {
            let mut peer = connected(&world).await;
            let local = peer.local();
            peer.say(message).await;
            peer.fate().await;
            told(local, code).await;
        }
        // A certificate for another key than the enrolled one, or for none.
        let other = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&other).unwrap();
        let hex: String = request.der().iter().map(|byte| format!("{byte:02x}")).collect();
        for (request, code) in [(hex.as_str(), "IDENTITY"), ("3000", "TRUST_CERTIFICATE")] {
            let mut peer = connected(&world).await;
            let local = peer.local();
            peer.say(json!({"type": "renew", "request": request})).await;
            peer.fate().await;
            told(local, code).await;
        }
        // The same report again is taken again: who keeps them finds them known.
        let mut peer = connected(&world).await;
        for _ in 0..3 {
            peer.say(report(5, "installed")).await;
            assert_eq!(peer.message().await.unwrap(), json!({"type": "ack", "sequence": 5}));
        }
        drop(peer);
        // Endless data, and a drip.
        let mut peer = connected(&world).await;
        let local = peer.local();
        peer.raw(&[0xff, 0xff, 0xff, 0x7f, 1]).await;
        peer.fate().await;
        told(local, "CONTENT_TOO_LONG").await;
        let mut peer = connected(&world).await;
        let local = peer.local();
        let mut frame = 600_u32.to_le_bytes().to_vec();
        frame.push(1);
        frame.resize(600, b' ');
        for byte in frame {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if !peer.raw(&[byte]).await {
                break;
            }
        }
        told(local, "LINK_TIMEOUT").await;
        // One that is slow to ask loses its turn, and hears that it may come again.
        let mut peer = pulling(&world).await;
        let refused = peer.message().await.unwrap();
        assert_eq!((&refused["code"], &refused["is_transient"]), (&json!("LINK_TIMEOUT"), &json!(true)));
        drop(peer);
        // More requests than can be answered.
        let all = Range { kind: ItemKind::Chunk, first: 0, count: statement.root.chunks };
        let body = Request { ranges: vec![all] }.encode();
        let mut peer = pulling(&world).await;
        let local = peer.local();
        for _ in 0..40 {
            peer.send(2, &body).await;
        }
        peer.fate().await;
        told(local, "LINK_UNEXPECTED").await;
        // One that asks for everything and takes nothing: its slot is free again.
        let mut peer = pulling(&world).await;
        let local = peer.local();
        peer.send(2, &body).await;
        told(local, "LINK_TIMEOUT").await;
        drop(peer);
        // Content that it has no right to, by a number it has seen somewhere.
        world.side.forbidden.lock().unwrap().push(content(1).package);
        let mut peer = knock(&world, "DP01").await;
        peer.say(json!({"type": "pull_hello", "protocol": 1,
            "content": {"package": "XYZ00001", "epoch": 1, "version": 1}}))
            .await;
        assert_eq!(peer.message().await.unwrap()["code"], "NOT_AUTHORISED");
        world.side.forbidden.lock().unwrap().clear();
        // Nothing of it harmed the site: its library is whole, and another point is served.
        let check = world.library.check(|_| ControlFlow::Continue(())).unwrap();
        assert!(check.damaged.is_empty() && check.incomplete.is_empty(), "{check:?}");
        let kept: Vec<ContentVersion> =
            world.library.packages().iter().map(|p| world.library.active(p).unwrap().version).collect();
        assert_eq!(kept, [content(1)]);
        eventually("the slot is free", || world.links.connected().is_empty()).await;
        let second = world.publish(2, &BTreeMap::from([("a".to_owned(), vec![1; 100])]));
        world.point("DP99").await.install(&second, &options()).await.unwrap();
        assert_eq!(world.side.reports.lock().unwrap().len(), 3);
    });
}
