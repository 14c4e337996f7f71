//! What a site vouches for, and what is said when it does not.

use std::sync::Arc;
use std::time::Duration;

use restock_content::statement::{Head, SigningKey};
use restock_names::{Clock, ManualClock, SystemClock, Timestamp};
use restock_transfer::{DpLink, DpLinkConfig, DpSide, HelloFacts, Job, Run, SiteUrl, Welcome};
use serde_json::{Value, json};

use crate::hierarchy::code;
use crate::hostile_sites::hex;
use crate::log;
use crate::peer::Listener;
use crate::world::{World, eventually, in_runtime, run};

const DAY: Duration = Duration::from_secs(86_400);

struct Quiet;

impl DpSide for Quiet {
    async fn hello(&self) -> HelloFacts {
        HelloFacts::default()
    }
    async fn welcome(&self, _welcome: Welcome) {}
    async fn job(&self, _job: Job) {}
}

/// A run whose clock stands until it is moved.
fn clocked() -> (Arc<ManualClock>, Run) {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    (Arc::clone(&clock), Run { clock, ..run() })
}

#[test]
fn a_point_and_a_site_below_say_since_when_nothing_was_vouched_for_and_go_on() {
    in_runtime(async {
        log::listen();
        let mut world = World::new().await;
        let (clock, site_run) = clocked();
        world.stop().await;
        world.run = site_run;
        world.listen().await;
        let (point, mut below) = (world.point("DP01").await, world.below("ABC").await);
        let mut point_run = point.run.clone();
        point_run.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        below.run.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let config = DpLinkConfig { ping: Duration::from_millis(50), ..DpLinkConfig::default() };
        let link = DpLink::start(config, Arc::clone(&point.identity), Arc::new(Quiet), &point_run);
        let site_link = below.start();
        eventually("both are connected", || link.is_connected() && site_link.is_connected()).await;
        let begun = clock.now();
        assert_eq!((point.identity.stale_since(begun), below.upstream.stale_since(begun)), (None, None));
        // No head comes for a day and an hour, although the connections are up.
        clock.advance(DAY + Duration::from_secs(3600));
        let since = begun.after(DAY).to_string();
        log::logged(&["WARN", "STALE_METADATA", "site=XYZ", &format!("stale since {since}")]).await;
        eventually("both have said it", || log::lines(&["STALE_METADATA", &since]).len() == 2).await;
        let stale = (point.identity.stale_since(clock.now()), below.upstream.stale_since(clock.now()));
        assert_eq!(stale, (Some(begun.after(DAY)), Some(begun.after(DAY))));
        // They go on: changes come as before, and a process that starts anew knows it too.
        world.side.replica.write([json!("news")]);
        world.links.wake_sites();
        eventually("changes come", || below.replica.applied_of("XYZ") == 1).await;
        assert!(link.is_connected() && site_link.is_connected());
        let opened = restock_transfer::DpIdentity::open(&world.path("DP01-identity")).unwrap();
        assert_eq!(opened.stale_since(clock.now()), Some(begun.after(DAY)));
        // The next connection brings a head.
        link.reconnect();
        site_link.reconnect();
        eventually("both are fresh", || {
            point.identity.stale_since(clock.now()).is_none()
                && below.upstream.stale_since(clock.now()).is_none()
        })
        .await;
        eventually("both have said it", || log::lines(&["vouches for what it tells again"]).len() == 2).await;
    });
}

/// What a site above says first, with a head.
fn welcome(world: &World, head: &[u8]) -> Value {
    json!({"type": "site_welcome", "protocol": 1, "site": "XYZ", "incarnation": "x",
        "received": {"incarnation": "", "sequence": 0},
        "key_list": hex(&world.trust.key_list().encode()), "head": hex(head)})
}

#[test]
fn a_head_that_is_forged_old_or_impossible_is_not_taken_and_an_expired_one_is_stale_at_once() {
    in_runtime(async {
        log::listen();
        let world = World::new().await;
        let listener = Listener::new(&world.path("trust")).await;
        let below = world.below_at("ABC", &SiteUrl::of_address(listener.address())).await;
        let now = SystemClock.now();
        let at = |hours: i64| Timestamp(now.0 + hours * 3_600_000_000);
        let head =
            |site: &str, from, to, key: &SigningKey| Head::sign(code(site), (from, to), 1, key).encode();
        let key = world.trust.signing_key();
        let link = below.start();
        let stranger = SigningKey::from_bytes(&[3; 32]);
        // Rows: the head, what is stale after it, what is said of it.
        let rows: [(&str, Vec<u8>, Option<Timestamp>, &str); 8] = [
            ("expired", head("XYZ", at(-30), at(-6), key), Some(at(-6)), "STALE_METADATA"),
            ("forged", head("XYZ", at(0), at(24), &stranger), Some(at(-6)), "SITE_HEAD: the key that signed"),
            (
                "of another site",
                head("ABC", at(0), at(24), key),
                Some(at(-6)),
                "SITE_HEAD: the head is of another",
            ),
            ("a month long", head("XYZ", at(0), at(720), key), Some(at(-6)), "SITE_HEAD: a head lives"),
            (
                "of the day after tomorrow",
                head("XYZ", at(48), at(60), key),
                Some(at(-6)),
                "SITE_HEAD: the head is made",
            ),
            ("broken", vec![1, 2, 3], Some(at(-6)), "SITE_HEAD: input ends"),
            ("good", head("XYZ", at(-1), at(20), key), None, "vouches for what it tells again"),
            ("older than the one before", head("XYZ", at(-2), at(-1), key), None, ""),
        ];
        for (what, head, stale, said) in rows {
            let mut peer = listener.accept().await;
            assert_eq!(peer.message().await.unwrap()["type"], "site_hello");
            let hellos = below.replica.hellos.lock().unwrap().len();
            peer.say(welcome(&world, &head)).await;
            eventually(what, || below.replica.hellos.lock().unwrap().len() > hellos).await;
            eventually("it goes on", || link.is_connected()).await;
            assert_eq!(below.upstream.stale_since(now), stale, "{what}");
            if !said.is_empty() {
                log::logged(&[said]).await;
            }
            peer.close().await;
        }
        // One that comes later on the open connection is taken too.
        let mut peer = listener.accept().await;
        assert_eq!(peer.message().await.unwrap()["type"], "site_hello");
        // An older program says nothing of heads.
        let mut first = welcome(&world, &[]);
        first.as_object_mut().unwrap().remove("head");
        peer.say(first).await;
        peer.say(json!({"type": "head", "head": hex(&head("XYZ", at(0), at(23), key))})).await;
        eventually("it is taken", || below.upstream.stale_since(at(22)).is_none()).await;
        assert_eq!(below.upstream.stale_since(at(24)), Some(at(23)));
    });
}
