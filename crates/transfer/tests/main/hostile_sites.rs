//! Sites that are not who they say, or mean harm, at either end: refused with the reason, and the
//! next one is served as before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use restock_content::statement::{AuthorityList, KeyList, SigningKey};
use restock_transfer::{SiteEnrolled, SiteTrust, SiteUrl, UpstreamLinkConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::hierarchy::{Below, code};
use crate::peer::{Listener, Peer, dial_with};
use crate::world::{World, eventually, in_runtime};

const ALPN: &[u8] = b"restock-link/1";

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn hello(trust: &SiteTrust) -> Value {
    hello_as(trust, trust.site().as_str(), &trust.key_list().encode())
}

fn hello_as(_trust: &SiteTrust, site: &str, keys: &[u8]) -> Value {
    json!({"type": "site_hello", "protocol": 1, "site": site, "incarnation": "evil",
        "received": {"incarnation": "", "sequence": 0}, "key_list": hex(keys)})
}

/// The certificate and key of a site that has joined.
pub(crate) fn files_of(world: &World, site: &str) -> (PathBuf, PathBuf) {
    (
        world.path(&format!("upstream-{site}/certificate.pem")),
        world.path(&format!("site-{site}/link-key.pem")),
    )
}

async fn knock(world: &World, files: (PathBuf, PathBuf)) -> Peer {
    dial_with(world.address, &world.path("trust/ca.pem"), Some(files), ALPN).await.unwrap()
}

async fn refusal(mut peer: Peer) -> String {
    loop {
        let message = peer.message().await.expect("a refusal");
        if message["type"] == "refused" {
            assert!(peer.frame().await.is_none());
            return message["code"].as_str().unwrap().to_owned();
        }
    }
}

/// A site that keeps to the protocol still exchanges.
async fn still_exchanges(world: &World) {
    let good = world.below("GGG").await;
    good.replica.write([json!("good")]);
    let _link = good.start();
    eventually("a good site exchanges", || world.side.replica.applied_of("GGG") == 1).await;
    good.run.cancel.cancel();
}

/// Signs a certificate with a site's authority, valid between two years.
pub(crate) fn sign(trust: &Path, uri: &str, key: &Path, years: (i32, i32), to: &Path) {
    let authority_key =
        KeyPair::from_pem(&std::fs::read_to_string(trust.join("ca-key.pem")).unwrap()).unwrap();
    let authority = CertificateDer::from_pem_file(trust.join("ca.pem")).unwrap();
    let issuer = Issuer::from_ca_cert_der(&authority, authority_key).unwrap();
    let key = KeyPair::from_pem(&std::fs::read_to_string(key).unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    params.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth, rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    // What clients of the site ask for, so that one can be shown in its place.
    params.subject_alt_names.push(SanType::DnsName("xyz.site.restock.internal".try_into().unwrap()));
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let pem = params.signed_by(&key, &issuer).unwrap().pem();
    std::fs::write(to, pem).unwrap();
}

#[test]
fn nobody_is_let_in_in_anothers_role_or_name() {
    in_runtime(async {
        let world = World::new().await;
        let below = world.below("ABC").await;
        let _point = world.point("DP01").await;
        let site = files_of(&world, "ABC");
        let folder = world.path("DP01-identity");
        let point = (folder.join("certificate.pem"), folder.join("key.pem"));
        let own = (world.path("trust/link.pem"), world.path("trust/link-key.pem"));
        // Even if somebody had enrolled it.
        let enrolled = SiteEnrolled { root_key: world.trust.key_list().root };
        let own_key = world.trust.link_fingerprint().unwrap();
        world.side.replica.enrolled.lock().unwrap().insert(world.trust.site(), (own_key, enrolled));
        let serve = json!({"type": "serve_hello", "protocol": 1, "ticket": 1,
            "content": {"package": "XYZ00001", "epoch": 1, "version": 1}});
        let forged = KeyList::sign(
            code("ABC"),
            9,
            vec![SigningKey::from_bytes(&[3; 32]).public()],
            &SigningKey::from_bytes(&[4; 32]),
        );
        let mut other_protocol = hello(&below.trust);
        other_protocol["protocol"] = json!(2);
        let mut no_incarnation = hello(&below.trust);
        no_incarnation["incarnation"] = json!("");
        for (what, files, first, wanted) in [
            ("a point as a site", &point, hello(&below.trust), "IDENTITY"),
            ("what nobody wants of a point", &point, serve.clone(), "LINK_UNEXPECTED"),
            (
                "a site as a point",
                &site,
                json!({"type": "hello", "protocol": 1, "library_id": "00"}),
                "IDENTITY",
            ),
            ("the site itself", &own, hello(&world.trust), "IDENTITY"),
            (
                "another code",
                &site,
                hello_as(&below.trust, "DEF", &below.trust.key_list().encode()),
                "SENDER_MISMATCH",
            ),
            ("a forged key list", &site, hello_as(&below.trust, "ABC", &forged.encode()), "KEY_LIST"),
            (
                "a key list of another site",
                &site,
                hello_as(&below.trust, "ABC", &world.trust.key_list().encode()),
                "KEY_LIST",
            ),
            ("another protocol", &site, other_protocol, "LINK_PROTOCOL"),
            ("no database", &site, no_incarnation, "LINK_FORMAT"),
            ("what nobody wants", &site, serve, "LINK_UNEXPECTED"),
        ] {
            let mut peer = knock(&world, files.clone()).await;
            peer.say(first).await;
            assert_eq!(refusal(peer).await, wanted, "{what}");
        }
        assert_eq!(world.links.sites_connected(), []);
        still_exchanges(&world).await;
    });
}

#[test]
fn certificates_that_are_expired_not_yet_valid_or_of_another_authority_end_the_handshake() {
    in_runtime(async {
        let world = World::new().await;
        let _below = world.below("ABC").await;
        let elsewhere = World::new().await;
        let _stranger = elsewhere.below("ABC").await;
        let (_, key) = files_of(&world, "ABC");
        let uri = "restock://ABC/site";
        let mut rows = vec![("another authority", files_of(&elsewhere, "ABC"))];
        for (what, years) in [("expired", (2001, 2002)), ("not yet valid", (2090, 2099))] {
            let path = world.path(what);
            sign(&world.path("trust"), uri, &key, years, &path);
            rows.push((what, (path, key.clone())));
        }
        for (what, files) in rows {
            // TLS 1.3 tells a client after its own handshake has ended.
            let peer = dial_with(world.address, &world.path("trust/ca.pem"), Some(files), ALPN).await;
            if let Ok(mut peer) = peer {
                peer.say(json!({"type": "ping"})).await;
                assert!(peer.frame().await.is_none(), "{what}");
            }
        }
        // The same with times that hold is let in: the test's certificates are well made.
        let good = world.path("good");
        sign(&world.path("trust"), uri, &key, (2001, 2099), &good);
        let mut peer = knock(&world, (good, key.clone())).await;
        peer.say(json!({"type": "ping"})).await;
        assert_eq!(refusal(peer).await, "LINK_UNEXPECTED");
        // And with a URI that names nobody, or a point of another site, it is not.
        for uri in ["restock://DEF/dp/DP01", "restock://DEF/site", "https://x"] {
            let path = world.path("odd");
            sign(&world.path("trust"), uri, &key, (2001, 2099), &path);
            assert_eq!(refusal(knock(&world, (path, key.clone())).await).await, "IDENTITY", "{uri}");
        }
        still_exchanges(&world).await;
    });
}

async fn connected(world: &World, below: &Below) -> Peer {
    let mut peer = knock(world, files_of(world, below.trust.site().as_str())).await;
    peer.say(hello(&below.trust)).await;
    assert_eq!(peer.message().await.unwrap()["type"], "site_welcome");
    peer
}

fn changes(first: u64, last: u64, objects: Value) -> Value {
    json!({"type": "changes", "first": first, "last": last, "objects": objects})
}

#[test]
fn changes_that_come_again_or_too_early_have_no_effect() {
    in_runtime(async {
        let world = World::new().await;
        let below = world.below("ABC").await;
        let mut peer = connected(&world, &below).await;
        for (message, acknowledged) in [
            (changes(1, 2, json!(["a", "b"])), 2),
            (changes(1, 2, json!(["a", "b"])), 2),
            (changes(1, 1, json!(["z"])), 1),
            (changes(4, 5, json!(["d"])), 2),
            (changes(2, 3, json!(["b", "c"])), 3),
            (changes(4, 9, json!([])), 9),
        ] {
            peer.say(message).await;
            let answer = peer.message().await.unwrap();
            assert_eq!(answer, json!({"type": "changes_ack", "last": acknowledged}));
        }
        assert_eq!(*world.side.replica.objects.lock().unwrap(), ["a", "b", "b", "c"]);
        let counts = world.links.site_counts(code("ABC"));
        assert_eq!((counts.replayed, counts.gaps, counts.objects_received), (2, 1, 4));
        drop(peer);
        for (message, wanted) in [
            (changes(0, 5, json!([])), "LINK_FORMAT"),
            (changes(6, 5, json!([])), "LINK_FORMAT"),
            (changes(1, u64::MAX, json!([])), "LINK_FORMAT"),
            (changes(1, 2, json!([1, 2, 3])), "LINK_FORMAT"),
            (json!({"type": "changes", "first": 1}), "LINK_FORMAT"),
            (json!({"type": "changes_ack", "last": 7}), "LINK_UNEXPECTED"),
            (json!({"type": "welcome", "protocol": 1, "site": "ABC", "key_list": ""}), "LINK_UNEXPECTED"),
            (
                json!({"type": "pull_wanted", "ticket": 1, "content": {"package": "XYZ00001", "epoch": 1, "version": 1}}),
                "LINK_UNEXPECTED",
            ),
        ] {
            let mut peer = connected(&world, &below).await;
            peer.say(message.clone()).await;
            assert_eq!(refusal(peer).await, wanted, "{message}");
        }
        still_exchanges(&world).await;
    });
}

#[test]
fn endless_data_is_cut_at_the_limit_and_a_slow_drip_at_the_deadline() {
    in_runtime(async {
        let mut world = World::new().await;
        world.stop().await;
        world.limits.idle = Duration::from_secs(1);
        world.listen().await;
        let below = world.below("ABC").await;
        let mut peer = connected(&world, &below).await;
        peer.raw(&[0xff, 0xff, 0xff, 0x00, 1]).await;
        assert_eq!(refusal(peer).await, "CONTENT_TOO_LONG");
        // One byte at a time: no byte is a sign of life, a whole message is.
        let mut peer = connected(&world, &below).await;
        let message = changes(1, 1, json!(["x".repeat(500)])).to_string();
        let mut frame = (1 + message.len() as u32).to_le_bytes().to_vec();
        frame.push(1);
        frame.extend_from_slice(message.as_bytes());
        let mut sent = 0;
        for byte in &frame {
            if !peer.raw(&[*byte]).await {
                break;
            }
            sent += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(sent < frame.len(), "all {sent} bytes were waited for");
        assert!(world.side.replica.objects.lock().unwrap().is_empty());
        eventually("the reason is told", || {
            world.side.replica.causes.lock().unwrap().contains(&"LINK_TIMEOUT".to_owned())
        })
        .await;
        still_exchanges(&world).await;
    });
}

#[test]
fn what_a_joining_site_says_of_itself_must_hold() {
    in_runtime(async {
        let world = World::new().await;
        let trust = world.site_keys("ABC");
        let other = SigningKey::from_bytes(&[5; 32]);
        let keys = trust.key_list();
        let forged = KeyList::sign(code("ABC"), 1, keys.keys.clone(), &other);
        for (what, name, root, list) in [
            ("a list of another root key", "ABC", keys.root, forged.encode()),
            ("another root key than the list's", "ABC", other.public(), keys.encode()),
            ("a list of another site", "DEF", keys.root, keys.encode()),
            ("the site's own code", "XYZ", keys.root, keys.encode()),
            ("no site code", "ABCD", keys.root, keys.encode()),
            ("no list", "ABC", keys.root, Vec::new()),
            ("no request", "ABC", keys.root, keys.encode()),
        ] {
            let mut peer = dial_with(world.address, &world.path("trust/ca.pem"), None, ALPN).await.unwrap();
            let authority = trust.authority_fingerprint().to_string();
            let site = json!({"root_key": hex(&root.0), "key_list": hex(&list), "authority": authority,
                "url": "restock://x:1"});
            peer.say(json!({"type": "enrol", "protocol": 1, "secret": "00", "name": name,
                "request": "3000", "site": site}))
                .await;
            assert_eq!(refusal(peer).await, "ENROL_REQUEST", "{what}");
        }
        assert!(world.side.replica.requests.lock().unwrap().is_empty());
        still_exchanges(&world).await;
    });
}

#[test]
fn a_hostile_site_above_is_left_with_the_reason() {
    in_runtime(async {
        let world = World::new().await;
        let listener = Listener::new(&world.path("trust")).await;
        let below = world.below_at("ABC", &SiteUrl::of_address(listener.address())).await;
        let old = world.trust.key_list().encode();
        world.trust.raise_key_list_serial(1).unwrap();
        let newer = world.trust.key_list().encode();
        let forged = KeyList::sign(
            world.trust.site(),
            9,
            world.trust.key_list().keys.clone(),
            &SigningKey::from_bytes(&[4; 32]),
        )
        .encode();
        let welcome = |site: &str, keys: &[u8]| {
            json!({"type": "site_welcome", "protocol": 1, "site": site, "incarnation": "x",
                "received": {"incarnation": "ABC-1", "sequence": 0}, "key_list": hex(keys)})
        };
        let foreign = AuthorityList::sign(
            world.trust.site(),
            7,
            vec![std::fs::read(world.path("site-ABC/ca.pem")).unwrap()],
            &SigningKey::from_bytes(&[4; 32]),
        );
        let mut forged_authorities = welcome("XYZ", &newer);
        forged_authorities["authorities"] = json!(hex(&foreign.encode()));
        below.replica.write([json!("secret")]);
        let link = below.start();
        for (what, first, then, wanted) in [
            ("another site", welcome("DEF", &newer), None, "IDENTITY"),
            ("a forged key list", welcome("XYZ", &forged), None, "TRUST"),
            ("a newer key list", welcome("XYZ", &newer), Some(json!({"type": "job"})), "LINK_FORMAT"),
            ("an older key list", welcome("XYZ", &old), None, "TRUST"),
            ("authorities of a stranger", forged_authorities, None, "TRUST"),
            (
                "authorities of a stranger, later",
                welcome("XYZ", &newer),
                Some(json!({"type": "authorities", "authorities": hex(&foreign.encode())})),
                "TRUST",
            ),
            (
                "what was never sent",
                welcome("XYZ", &newer),
                Some(json!({"type": "changes_ack", "last": 70})),
                "LINK_UNEXPECTED",
            ),
            (
                "a refusal",
                json!({"type": "refused", "code": "SITE_BUSY", "text": "later", "is_transient": true}),
                None,
                "SITE_BUSY",
            ),
            (
                "a certificate of nobody",
                welcome("XYZ", &newer),
                Some(json!({"type": "renewed", "certificate": "00"})),
                "TRUST",
            ),
        ] {
            let mut peer = listener.accept().await;
            assert_eq!(peer.message().await.unwrap()["type"], "site_hello");
            below.replica.causes.lock().unwrap().clear();
            peer.say(first).await;
            if let Some(then) = then {
                peer.say(then).await;
            }
            while peer.frame().await.is_some() {}
            eventually(what, || *below.replica.causes.lock().unwrap() == [wanted]).await;
        }
        assert!(!link.is_connected());
        assert!(below.replica.objects.lock().unwrap().is_empty());
    });
}

#[test]
fn a_silent_site_above_is_given_up_although_the_site_below_speaks() {
    in_runtime(async {
        let world = World::new().await;
        let listener = Listener::new(&world.path("trust")).await;
        let below = world.below_at("ABC", &SiteUrl::of_address(listener.address())).await;
        let (ping, idle) = (Duration::from_millis(50), Duration::from_millis(400));
        let _link = below.start_with(UpstreamLinkConfig { ping, idle, ..UpstreamLinkConfig::default() });
        let mut peer = listener.accept().await;
        assert_eq!(peer.message().await.unwrap()["type"], "site_hello");
        let keys = hex(&world.trust.key_list().encode());
        peer.say(json!({"type": "site_welcome", "protocol": 1, "site": "XYZ", "incarnation": "x",
            "received": {"incarnation": "", "sequence": 0}, "key_list": keys}))
            .await;
        while peer.frame().await.is_some() {}
        eventually("it is given up", || *below.replica.causes.lock().unwrap() == ["LINK_TIMEOUT"]).await;
    });
}
