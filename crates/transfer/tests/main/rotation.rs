//! A site changes its authority while points and sites below go on working.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use restock_names::{Clock, SystemClock, Timestamp};
use restock_transfer::{
    DpIdentity, DpLink, DpLinkConfig, DpSide, HelloFacts, Identity, Job, Rotation, SiteTrust, TokenKind,
    Welcome, enrol,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::hierarchy::code;
use crate::world::{Point, World, content, eventually, files, in_runtime, options};

struct Quiet;

impl DpSide for Quiet {
    async fn hello(&self) -> HelloFacts {
        HelloFacts::default()
    }
    async fn welcome(&self, _welcome: Welcome) {}
    async fn job(&self, _job: Job) {}
}

fn start(point: &Point) -> DpLink {
    DpLink::start(DpLinkConfig::default(), Arc::clone(&point.identity), Arc::new(Quiet), &point.run)
}

fn identities(uris: &[&str]) -> BTreeSet<Identity> {
    uris.iter().map(|uri| uri.parse().unwrap()).collect()
}

fn is_of(certificate: &Path, authority: &Path) -> bool {
    let read = |path: &Path| CertificateDer::from_pem_file(path).unwrap();
    let (leaf, authority) = (read(certificate), read(authority));
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    let (_, authority) = x509_parser::parse_x509_certificate(&authority).unwrap();
    leaf.verify_signature(Some(authority.public_key())).is_ok()
}

#[test]
fn everybody_moves_to_the_new_authority_and_then_the_old_one_is_dropped() {
    in_runtime(async {
        let world = World::new().await;
        let (trust, now) = (&world.trust, SystemClock.now());
        let (first, late) = (world.point("DP01").await, world.point("DP02").await);
        let below = world.below("ABC").await;
        let (point_link, site_link) = (start(&first), below.start());
        eventually("both are connected", || point_link.is_connected() && site_link.is_connected()).await;
        let (old_token, old_authority) = (world.token("DP03"), trust.authority_fingerprint());
        assert_eq!(trust.rotation(), None);
        assert_eq!(trust.advance_rotation(&BTreeSet::new(), now).unwrap(), None);
        let begun = trust.begin_rotation(Rotation::PERIOD, now).unwrap();
        assert_eq!((begun.oldest, begun.newest), (old_authority, trust.authority_fingerprint()));
        assert_eq!(trust.begin_rotation(Duration::ZERO, now).unwrap(), begun, "there is one at a time");
        // Who is connected moves at once, and is connected again.
        let connected = identities(&["restock://XYZ/dp/DP01", "restock://ABC/site"]);
        eventually("they have moved", || trust.rotation().unwrap().moved == connected).await;
        eventually("they are back", || {
            world.links.is_connected(first.identity.name()) && world.links.is_site_connected(code("ABC"))
        })
        .await;
        let enrolled = identities(&[
            "restock://XYZ/dp/DP01",
            "restock://XYZ/dp/DP02",
            "restock://XYZ/dp/DP03",
            "restock://XYZ/dp/DP04",
            "restock://ABC/site",
        ]);
        assert!(trust.advance_rotation(&enrolled, now).unwrap().is_some(), "DP02 has not moved");
        // Tokens of both authorities enrol, and so does a site.
        let new_token = world.token("DP04");
        assert_eq!(new_token.authority_fingerprint(), begun.newest);
        for (token, name) in [(old_token, "early"), (new_token, "new")] {
            let point = enrol(&world.url(), &token, &world.path(name)).await.unwrap();
            let point = Point { identity: Arc::new(point), ..world.point(&format!("SPARE{name}")).await };
            let link = start(&point);
            eventually("it is connected", || link.is_connected()).await;
        }
        let other = world.below("DEF").await;
        let other_link = other.start();
        eventually("another site joined", || other_link.is_connected()).await;
        // The one that was away moves when it comes. It has read its keys long before.
        let statement = world.publish(1, &files(20, 9_000));
        late.install(&statement, &options()).await.unwrap();
        let late_link = start(&late);
        eventually("the last has moved", || enrolled.is_subset(&trust.rotation().unwrap().moved)).await;
        let ca = world.path("trust/ca.pem");
        assert!(is_of(&world.path("trust/link.pem"), &ca));
        assert_eq!(trust.advance_rotation(&enrolled, now).unwrap(), None);
        assert_eq!((trust.rotation(), trust.authority_fingerprint()), (None, begun.newest));
        for leaf in ["trust/link.pem", "DP01-identity/certificate.pem", "upstream-ABC/certificate.pem"] {
            assert!(is_of(&world.path(leaf), &ca), "{leaf}");
        }
        // All is as before, with the processes that ran all the time and with ones that start anew.
        late.install(&world.publish(2, &files(30, 9_000)), &options()).await.unwrap();
        assert_eq!(late.library.active(&content(1).package).unwrap().version, content(2));
        for link in [&point_link, &late_link] {
            link.reconnect();
        }
        site_link.reconnect();
        let opened = DpIdentity::open(&world.path("DP01-identity")).unwrap();
        let opened = Point { identity: Arc::new(opened), ..world.point("SPARE3").await };
        opened.install(&statement, &options()).await.unwrap();
        eventually("all are back", || {
            point_link.is_connected() && late_link.is_connected() && site_link.is_connected()
        })
        .await;
        let opened = SiteTrust::open(&world.path("trust"), &SystemClock).unwrap();
        assert_eq!((opened.authority_fingerprint(), opened.rotation()), (begun.newest, None));
    });
}

#[test]
fn who_does_not_come_in_time_and_tokens_of_the_old_authority_count_no_more() {
    in_runtime(async {
        let world = World::new().await;
        let (away, token) = (world.point("DP01").await, world.token("DP02"));
        let (now, week) = (SystemClock.now(), Duration::from_secs(7 * 86_400));
        world.trust.begin_rotation(week, now).unwrap();
        let enrolled = identities(&["restock://XYZ/dp/DP01"]);
        let before = now.after(week - Duration::from_secs(1));
        let waiting = world.trust.advance_rotation(&enrolled, before).unwrap().unwrap();
        assert_eq!((waiting.moved.len(), waiting.ends_at), (0, now.after(week)));
        assert_eq!(world.trust.advance_rotation(&enrolled, now.after(week)).unwrap(), None);
        let statement = world.publish(1, &files(3, 100));
        let refused = away.install(&statement, &options()).await.unwrap_err();
        assert_eq!(refused.code(), "LINK_TLS");
        let refused = enrol(&world.url(), &token, &world.path("late")).await.unwrap_err();
        assert!(refused.to_string().starts_with("LINK_TLS"), "{refused}");
        // It enrols again with a token of the new one.
        world.point("DP09").await.install(&statement, &options()).await.unwrap();
    });
}

/// Copies a folder of keys.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_change_that_was_interrupted_at_any_step_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, now) = (SystemClock, SystemClock.now());
    let path = |name: &str| folder.path().join(name);
    let site = "XYZ".parse().unwrap();
    let trust = SiteTrust::create(&path("trust"), site, &clock).unwrap();
    copy(&path("trust"), &path("before"));
    let begun = trust.begin_rotation(Rotation::PERIOD, now).unwrap();
    copy(&path("trust"), &path("begun"));
    // The beginning: each file that is written, in order.
    let written = ["rotation.json", "ca-next-key.pem", "ca-next.pem", "authorities"];
    for count in 0..=written.len() {
        let at = path(&format!("begin-{count}"));
        copy(&path("before"), &at);
        for name in &written[..count] {
            std::fs::copy(path("begun").join(name), at.join(name)).unwrap();
        }
        let opened = SiteTrust::open(&at, &clock).unwrap();
        match opened.rotation() {
            None => assert_eq!(count, 0, "nothing was begun"),
            Some(rotation) => {
                assert_eq!((rotation.begun_at, rotation.oldest), (begun.begun_at, begun.oldest));
                assert_eq!(
                    rotation.newest == begun.newest,
                    count >= 3,
                    "the certificate was made at {count}"
                );
            }
        }
        // It is the same after another start, and can be ended.
        let newest = opened.authority_fingerprint();
        let opened = SiteTrust::open(&at, &clock).unwrap();
        assert_eq!(opened.authority_fingerprint(), newest);
        assert_eq!(opened.advance_rotation(&BTreeSet::new(), now).unwrap(), None);
        assert_eq!(opened.authority_fingerprint(), newest);
    }
    // The end: its files in the order in which they are written and removed.
    assert_eq!(trust.advance_rotation(&BTreeSet::new(), now).unwrap(), None);
    let decided = std::fs::read_to_string(path("begun").join("rotation.json")).unwrap();
    let decided = decided.replace("\"is_ending\": false", "\"is_ending\": true");
    assert!(decided.contains("true"));
    let ended = |name: &str, at: &Path| {
        std::fs::copy(path("trust").join(name), at.join(name)).unwrap();
    };
    let steps: [&dyn Fn(&Path); 7] = [
        &|at| std::fs::write(at.join("rotation.json"), &decided).unwrap(),
        &|at| ended("authorities", at),
        &|at| ended("ca-key.pem", at),
        &|at| ended("ca.pem", at),
        &|at| std::fs::remove_file(at.join("ca-next.pem")).unwrap(),
        &|at| std::fs::remove_file(at.join("ca-next-key.pem")).unwrap(),
        &|at| std::fs::remove_file(at.join("rotation.json")).unwrap(),
    ];
    for count in 0..=steps.len() {
        let at = path(&format!("end-{count}"));
        copy(&path("begun"), &at);
        steps[..count].iter().for_each(|step| step(&at));
        let opened = SiteTrust::open(&at, &clock).unwrap();
        assert_eq!(opened.rotation().is_some(), count == 0, "step {count}");
        assert_eq!(opened.authority_fingerprint(), begun.newest);
        let token = opened.new_token(TokenKind::DistributionPoint, &"DP01".parse().unwrap()).unwrap();
        assert_eq!(token.authority_fingerprint(), begun.newest);
        if count > 0 {
            assert!(!at.join("ca-next.pem").exists() && !at.join("ca-next-key.pem").exists());
            assert!(is_of(&at.join("link.pem"), &at.join("ca.pem")), "its own certificate follows");
            let list = std::fs::read(at.join("authorities")).unwrap();
            let list = restock_content::statement::AuthorityList::decode(&list).unwrap();
            assert_eq!((list.serial, list.certificates.len()), (2, 1));
        }
    }
}

#[test]
fn authorities_change_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, now) = (SystemClock, Timestamp(SystemClock.now().0));
    let trust = SiteTrust::create(folder.path(), "XYZ".parse().unwrap(), &clock).unwrap();
    let mut seen = BTreeSet::from([trust.authority_fingerprint()]);
    for _ in 0..3 {
        trust.begin_rotation(Rotation::PERIOD, now).unwrap();
        assert_eq!(trust.authority_pem().matches("BEGIN CERTIFICATE").count(), 2);
        trust.advance_rotation(&BTreeSet::new(), now).unwrap();
        assert_eq!(trust.authority_pem().matches("BEGIN CERTIFICATE").count(), 1);
        assert!(seen.insert(trust.authority_fingerprint()));
        assert_eq!(
            SiteTrust::open(folder.path(), &clock).unwrap().authority_fingerprint(),
            trust.authority_fingerprint()
        );
    }
}
