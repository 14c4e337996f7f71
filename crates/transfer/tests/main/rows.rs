//! Whoever is not let in at the listener, fed as raw bytes or certificates: the answer on the wire and
//! one line in the log that says why.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, Issuer, KeyPair};
use restock_names::{Clock, ManualClock, SystemClock, Timestamp};
use restock_transfer::{DoorCertificate, DpLink, DpLinkConfig, DpSide, HelloFacts, Job, Run, Welcome, enrol};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hostile_sites::sign;
use crate::log;
use crate::peer::{Peer, dial_with};
use crate::world::{World, eventually, files, in_runtime, options, run};

const ALPN: &[u8] = b"restock-link/1";

/// Somebody who keeps to the protocol is served as before.
async fn still_serves(world: &World, name: &str) {
    let statement = world.publish(1, &files(3, 100));
    world.point(name).await.install(&statement, &options()).await.unwrap();
}

/// Sends bytes to the port and gives what comes back until it is closed, with this end's address.
async fn throw(address: SocketAddr, bytes: &[u8]) -> (Vec<u8>, SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let local = stream.local_addr().unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _end = stream.read_to_end(&mut answer).await;
    (answer, local)
}

/// A ClientHello of an old version with these cipher suites.
fn old_hello(version: [u8; 2], suites: &[[u8; 2]]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(((suites.len() * 2) as u16).to_be_bytes());
    suites.iter().for_each(|suite| body.extend(suite));
    body.extend([1, 0]);
    let mut handshake = vec![1, 0];
    handshake.extend((body.len() as u16).to_be_bytes());
    handshake.extend(body);
    let mut record = vec![0x16, 3, 1];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

#[test]
fn old_tls_null_ciphers_and_plain_http_end_in_the_handshake_with_one_line() {
    in_runtime(async {
        log::listen();
        let world = World::new().await;
        let (rsa_aes, rsa_null, null_null) = ([0, 0x2f], [0, 0x3b], [0, 0]);
        let rows: [(&str, Vec<u8>); 6] = [
            ("TLS 1.0", old_hello([3, 1], &[rsa_aes])),
            ("TLS 1.2 with ciphers of its time", old_hello([3, 3], &[rsa_aes])),
            ("TLS 1.2 with NULL ciphers", old_hello([3, 3], &[rsa_null, null_null])),
            ("plain HTTP", b"GET / HTTP/1.1\r\nHost: site\r\n\r\n".to_vec()),
            ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            ("noise", vec![0xee; 300]),
        ];
        for (what, bytes) in rows {
            let (answer, local) = throw(world.address, &bytes).await;
            // A fatal alert and nothing else: neither a hello nor a word of HTTP.
            assert!(
                answer.first() == Some(&0x15) && answer.len() == 7 && answer[5] == 2,
                "{what}: {answer:?}"
            );
            let remote = format!("remote={local}");
            log::logged(&[&remote, "LINK_TLS", "WARN"]).await;
            assert_eq!(log::lines(&[&remote]).len(), 1, "{what}");
        }
        // Who only looks whether the port is open is not worth a line.
        let stream = TcpStream::connect(world.address).await.unwrap();
        let local = stream.local_addr().unwrap();
        drop(stream);
        still_serves(&world, "DP99").await;
        assert!(log::lines(&[&format!("remote={local}")]).is_empty());
    });
}

async fn knock(world: &World, files: (PathBuf, PathBuf)) -> Peer {
    dial_with(world.address, &world.path("trust/ca.pem"), Some(files), ALPN).await.unwrap()
}

#[test]
fn a_certificate_that_is_not_valid_now_gets_an_alert_and_a_line_with_both_times() {
    in_runtime(async {
        log::listen();
        let world = World::new().await;
        let _point = world.point("DP01").await;
        let key = world.path("DP01-identity/key.pem");
        for (what, years, alert, valid) in [
            ("expired", (2001, 2002), "CertificateExpired", "valid until 2002-01-01T"),
            ("not yet valid", (2090, 2099), "CertificateExpired", "valid from 2090-01-01T"),
        ] {
            let path = world.path(what);
            sign(&world.path("trust"), "restock://XYZ/dp/DP01", &key, years, &path);
            let mut peer = knock(&world, (path, key.clone())).await;
            let remote = format!("remote={}", peer.local());
            let fate = peer.fate().await;
            assert!(fate.contains(alert), "{what}: {fate}");
            let year = format!("it is {}", SystemClock.now().to_string().split_at(5).0);
            log::logged(&[&remote, "CERT_TIME", valid, &year]).await;
            assert_eq!(log::lines(&[&remote]).len(), 1, "{what}");
        }
        still_serves(&world, "DP99").await;
    });
}

#[test]
fn a_certificate_of_another_name_role_or_person_opens_nothing() {
    in_runtime(async {
        log::listen();
        let world = World::new().await;
        let (first, _second) = (world.point("DP01").await, world.point("DP02").await);
        let statement = world.publish(1, &files(3, 100));
        first.install(&statement, &options()).await.unwrap();
        let key = world.path("DP01-identity/key.pem");
        // DP1's key under DP2's name, signed by the site's own authority.
        let swapped = world.path("swapped");
        sign(&world.path("trust"), "restock://XYZ/dp/DP02", &key, (2001, 2099), &swapped);
        // A person: a name and no identity.
        let person = world.path("person");
        let authority_key =
            KeyPair::from_pem(&std::fs::read_to_string(world.path("trust/ca-key.pem")).unwrap()).unwrap();
        let authority = CertificateDer::from_pem_file(world.path("trust/ca.pem")).unwrap();
        let issuer = Issuer::from_ca_cert_der(&authority, authority_key).unwrap();
        let mut params = CertificateParams::new(vec!["alice.example".to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let point_key = KeyPair::from_pem(&std::fs::read_to_string(&key).unwrap()).unwrap();
        std::fs::write(&person, params.signed_by(&point_key, &issuer).unwrap().pem()).unwrap();
        for (what, certificate, says) in [
            ("DP1 as DP2", swapped, "DP02 is not enrolled with this key"),
            ("a person", person, "has 0 URIs, one is wanted"),
        ] {
            for first in [
                json!({"type": "hello", "protocol": 1, "library_id": "00"}),
                json!({"type": "pull_hello", "protocol": 1,
                    "content": {"package": "XYZ00001", "epoch": 1, "version": 1}}),
            ] {
                let mut peer = knock(&world, (certificate.clone(), key.clone())).await;
                let remote = format!("remote={}", peer.local());
                peer.say(first).await;
                let refused = peer.message().await.unwrap();
                assert_eq!((&refused["type"], &refused["code"]), (&json!("refused"), &json!("IDENTITY")));
                assert!(refused["text"].as_str().unwrap().contains(says), "{what}: {refused}");
                assert!(peer.frame().await.is_none());
                log::logged(&[&remote, "IDENTITY", says]).await;
            }
        }
        // The certificate of a management door is for servers: TLS itself refuses it.
        let names = ["door.example".to_owned()];
        DoorCertificate::open(Arc::clone(&world.trust), &names, SystemClock.now()).unwrap();
        let door = (world.path("trust/door.pem"), world.path("trust/door-key.pem"));
        let mut peer = knock(&world, door).await;
        let remote = format!("remote={}", peer.local());
        let fate = peer.fate().await;
        assert!(fate.contains("Certificate"), "{fate}");
        log::logged(&[&remote, "LINK_TLS"]).await;
        assert!(world.links.connected().is_empty() && world.side.hellos.lock().unwrap().is_empty());
        still_serves(&world, "DP99").await;
    });
}

struct Quiet;

impl DpSide for Quiet {
    async fn hello(&self) -> HelloFacts {
        HelloFacts::default()
    }
    async fn welcome(&self, _welcome: Welcome) {}
    async fn job(&self, _job: Job) {}
}

#[test]
fn a_removed_point_is_cut_off_at_once_and_told_why_when_it_comes_back() {
    in_runtime(async {
        log::listen();
        let world = World::new().await;
        let (point, other) = (world.point("DP01").await, world.point("DP02").await);
        let start = |point: &crate::world::Point| {
            let side = Arc::new(Quiet);
            DpLink::start(DpLinkConfig::default(), Arc::clone(&point.identity), side, &point.run)
        };
        let (link, other_link) = (start(&point), start(&other));
        eventually("both are connected", || link.is_connected() && other_link.is_connected()).await;
        // A pull connection is up too.
        world.publish(1, &files(3, 100));
        let folder = world.path("DP01-identity");
        let mut pulling = knock(&world, (folder.join("certificate.pem"), folder.join("key.pem"))).await;
        let content = json!({"package": "XYZ00001", "epoch": 1, "version": 1});
        pulling.say(json!({"type": "pull_hello", "protocol": 1, "content": content})).await;
        assert_eq!(pulling.message().await.unwrap()["type"], "pull_ready");
        world.side.enrolled.lock().unwrap().remove(point.identity.name());
        world.links.disconnect(point.identity.name());
        assert!(pulling.frame().await.is_none(), "the pull is cut");
        eventually("the control connection is cut", || !link.is_connected()).await;
        log::logged(&["link connection refused", "DP01 is not enrolled with this key"]).await;
        assert!(other_link.is_connected());
    });
}

#[test]
fn a_clock_that_is_400_days_off_is_told_with_both_times_at_enrolment_and_after() {
    in_runtime(async {
        log::listen();
        let now = SystemClock.now();
        let off = Timestamp(now.0 - 400 * 86_400_000_000);
        let slow: Arc<dyn Clock> = Arc::new(ManualClock::new(off));
        let mut world = World::new().await;
        let (point, token) = (world.point("DP01").await, world.token("DP02"));
        let statement = world.publish(1, &files(3, 100));
        point.install(&statement, &options()).await.unwrap();
        world.stop().await;
        // The site's clock falls back: it makes a certificate that is of no use today.
        world.run = Run { clock: slow, ..run() };
        world.listen().await;
        let (here, there) = (now.to_string(), off.after(Duration::from_secs(60 * 86_400)).to_string());
        let says = |text: &str| {
            assert!(text.starts_with("CERT_TIME: "), "{text}");
            assert!(text.contains(&format!("it is {}", &here[..13])), "{text}");
            assert!(text.contains(&format!("valid until {}", &there[..13])), "{text}");
        };
        let refused = enrol(&world.url(), &token, &world.path("late")).await.unwrap_err();
        says(&refused.to_string());
        assert_eq!(*world.side.enrol_calls.lock().unwrap(), 1, "the token was not shown");
        let second = world.publish(2, &files(4, 100));
        let refused = point.install(&second, &options()).await.unwrap_err();
        says(&refused.to_string());
        assert!(refused.is_transient());
        let _link =
            DpLink::start(DpLinkConfig::default(), Arc::clone(&point.identity), Arc::new(Quiet), &point.run);
        log::logged(&["link to the site is down", "CERT_TIME", &there[..13]]).await;
        // The clock is put right: all is well, with the same token too.
        world.stop().await;
        world.listen().await;
        point.install(&second, &options()).await.unwrap();
        enrol(&world.url(), &token, &world.path("late")).await.unwrap();
    });
}
