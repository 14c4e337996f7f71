//! Sites that join each other, exchange changes and fetch content either way.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use restock_content::statement::{ForeignKey, SigningKey};
use restock_names::{Clock, ManualClock, SystemClock, Timestamp};
use restock_transfer::{
    DpLink, DpLinkConfig, DpSide, EnrolError, HelloFacts, Holder, Job, LinkError, PullError, PullProgress,
    PullSource, Refusal, Run, SiteUpstream, SiteUrl, Welcome, join, pull,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::hierarchy::code;
use crate::world::{
    NoProgress, World, content, eventually, files, in_runtime, options, publish_at, read_back, run,
};

fn own_url() -> SiteUrl {
    "restock://below.example:8720".parse().unwrap()
}

#[test]
fn a_site_joins_with_its_keys_and_is_known_by_them() {
    in_runtime(async {
        let world = World::new().await;
        let below = world.below("ABC").await;
        let request = world.side.replica.requests.lock().unwrap()[0].clone();
        assert_eq!((request.site, request.url), (code("ABC"), own_url()));
        assert_eq!(
            (request.root_key, &request.key_list),
            (below.trust.key_list().root, &*below.trust.key_list())
        );
        assert_eq!(request.authority, below.trust.authority_fingerprint());
        assert_eq!(request.fingerprint, below.trust.link_fingerprint().unwrap());
        assert_eq!((below.upstream.parent(), below.upstream.site()), (world.trust.site(), code("ABC")));
        assert_eq!(below.upstream.parent_key_list(), *world.trust.key_list());
        let folder = world.path("upstream-ABC");
        for entry in std::fs::read_dir(&folder).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o7777, 0o600);
        }
        // A second enrolment needs the first to be forgotten; the key stays the same.
        let token = world.site_token("ABC");
        let again = join(&world.url(), &token, &folder, &below.trust, &own_url()).await.unwrap_err();
        assert!(again.to_string().starts_with("ALREADY_ENROLLED"), "{again}");
        SiteUpstream::remove(&folder).unwrap();
        assert!(SiteUpstream::open(&folder, &below.trust).is_err());
        join(&world.url(), &token, &folder, &below.trust, &own_url()).await.unwrap();
    });
}

#[test]
fn a_token_of_another_kind_name_or_site_enrols_no_site() {
    in_runtime(async {
        let world = World::new().await;
        let (abc, folder) = (world.site_keys("ABC"), world.path("up"));
        let point = world.token("ABC");
        let refused = join(&world.url(), &point, &folder, &abc, &own_url()).await.unwrap_err();
        assert!(matches!(refused, EnrolError::NotForSite));
        let refused =
            join(&world.url(), &world.site_token("DEF"), &folder, &abc, &own_url()).await.unwrap_err();
        assert!(refused.to_string().starts_with("TOKEN_NAME"), "{refused}");
        let unknown =
            world.trust.new_token(restock_transfer::TokenKind::Site, &"ABC".parse().unwrap()).unwrap();
        let refused = join(&world.url(), &unknown, &folder, &abc, &own_url()).await.unwrap_err();
        assert!(matches!(&refused, EnrolError::Link(LinkError::Refused(r)) if r.code == "TOKEN_UNKNOWN"));
        // A distribution point cannot be made of a site's token.
        let site = world.site_token("ABC");
        assert!(restock_transfer::enrol(&world.url(), &site, &folder).await.is_err());
        assert!(world.side.replica.enrolled.lock().unwrap().is_empty());
    });
}

fn numbered(from: u64, count: u64) -> Vec<Value> {
    (from..from + count).map(|n| json!({"kind": "package", "n": n})).collect()
}

#[test]
fn changes_go_both_ways_in_order_and_are_acknowledged_when_they_are_taken() {
    in_runtime(async {
        let world = World::new().await;
        let below = world.below("ABC").await;
        let above = &world.side.replica;
        above.write(numbered(1, 250));
        below.replica.write(numbered(1001, 130));
        let link = below.start();
        eventually("everything arrived", || {
            below.replica.applied_of("XYZ") == 250 && above.applied_of("ABC") == 130
        })
        .await;
        assert!(link.is_connected() && world.links.is_site_connected(code("ABC")));
        assert_eq!(*below.replica.objects.lock().unwrap(), numbered(1, 250));
        assert_eq!(*above.objects.lock().unwrap(), numbered(1001, 130));
        assert_eq!(*below.replica.batches.lock().unwrap(), [(1, 100), (101, 200), (201, 250)]);
        eventually("all is acknowledged", || above.acknowledged.lock().unwrap().last() == Some(&250)).await;
        // Later ones go at once.
        above.write(numbered(251, 1));
        world.links.wake_sites();
        below.replica.write(numbered(1131, 1));
        below.links.wake_sites();
        eventually("the later ones too", || {
            below.replica.applied_of("XYZ") == 251 && above.applied_of("ABC") == 131
        })
        .await;
        eventually("they are counted", || {
            let counts = world.links.site_counts(code("ABC"));
            (counts.objects_sent, counts.objects_received) == (251, 131)
        })
        .await;
        let (counts, hellos) = (world.links.site_counts(code("ABC")), above.hellos.lock().unwrap().len());
        assert_eq!((counts.replayed, counts.gaps, hellos), (0, 0, 1));
    });
}

#[test]
fn long_changes_both_ways_at_once_do_not_wait_for_each_other() {
    in_runtime(async {
        let world = World::new().await;
        let below = world.below("ABC").await;
        let long = |n: u64| json!({"n": n, "text": "x".repeat(990_000)});
        world.side.replica.write((0..30).map(long));
        below.replica.write((0..30).map(long));
        let _link = below.start();
        eventually("everything arrived", || {
            below.replica.applied_of("XYZ") == 30 && world.side.replica.applied_of("ABC") == 30
        })
        .await;
        assert_eq!(below.replica.batches.lock().unwrap().len(), 30, "one object fills a frame");
    });
}

#[test]
fn a_lost_connection_and_a_refusal_cost_nothing_and_a_restored_site_is_sent_everything() {
    in_runtime(async {
        let mut world = World::new().await;
        let below = world.below("ABC").await;
        let above = Arc::clone(&world.side.replica);
        below.replica.refuse.lock().unwrap().push(Refusal::transient("DISK_FULL", "no room"));
        above.write(numbered(1, 10));
        let link = below.start();
        eventually("it was applied after all", || below.replica.applied_of("XYZ") == 10).await;
        assert_eq!(*below.replica.objects.lock().unwrap(), numbered(1, 10));
        eventually("the site above was told why", || {
            above.causes.lock().unwrap().contains(&"DISK_FULL".to_owned())
        })
        .await;
        world.stop().await;
        eventually("it noticed", || !link.is_connected()).await;
        above.write(numbered(11, 5));
        below.replica.write(numbered(1001, 5));
        world.listen().await;
        eventually("what came meanwhile arrived", || {
            below.replica.applied_of("XYZ") == 15 && above.applied_of("ABC") == 5
        })
        .await;
        assert_eq!(below.replica.objects.lock().unwrap().len(), 15, "nothing came twice");
        // The site below is restored from a backup: its numbers begin anew, and it lacks some.
        *below.replica.incarnation.lock().unwrap() = "ABC-2".to_owned();
        *below.replica.applied.lock().unwrap() = Default::default();
        below.replica.objects.lock().unwrap().clear();
        *below.replica.log.lock().unwrap() = numbered(2001, 3);
        link.reconnect();
        eventually("both have everything again", || {
            let objects = above.objects.lock().unwrap();
            below.replica.applied_of("XYZ") == 15 && objects.ends_with(&numbered(2001, 3))
        })
        .await;
        assert_eq!(*below.replica.objects.lock().unwrap(), numbered(1, 15));
    });
}

async fn fetch(
    source: PullSource,
    library: &Arc<restock_content::library::Library>,
    statement: &restock_content::transfer::AcceptedStatement,
    run: &Run,
) -> Result<u64, PullError> {
    let progress: Arc<dyn PullProgress> = Arc::new(NoProgress);
    let report = pull(source, library, statement, &options(), &progress, run).await?;
    library.store_statement(statement).unwrap();
    library.activate(&statement.version).unwrap();
    Ok(report.chunks)
}

#[test]
fn a_site_fetches_from_the_one_above() {
    in_runtime(async {
        let world = World::new().await;
        let below = world.below("ABC").await;
        let tree = files(60, 50_000);
        let statement = world.publish(1, &tree);
        *world.side.replica.forbids.lock().unwrap() = true;
        let source = PullSource::from(&below.upstream);
        let refused = fetch(source.clone(), &below.library, &statement, &below.run).await.unwrap_err();
        assert_eq!(refused.code(), "NOT_AUTHORISED");
        *world.side.replica.forbids.lock().unwrap() = false;
        fetch(source, &below.library, &statement, &below.run).await.unwrap();
        assert_eq!(read_back(&below.library, statement.root), tree);
        eventually("it was counted", || *world.side.replica.sent.lock().unwrap() > 0).await;
    });
}

#[test]
fn a_site_fetches_from_one_below_over_connections_that_one_opens() {
    in_runtime(async {
        let world = World::new().await;
        let below = world.below("ABC").await;
        let tree = files(60, 200_000);
        let statement = publish_at(&below.trust, &below.library, 1, &tree);
        let source = PullSource::Below(world.links.clone(), Holder::Site(code("ABC")));
        let refused = fetch(source.clone(), &world.library, &statement, &run()).await.unwrap_err();
        assert_eq!((refused.code().as_str(), refused.is_transient()), ("LINK_DOWN", true));
        let _link = below.start();
        eventually("it is connected", || world.links.is_site_connected(code("ABC"))).await;
        *below.replica.forbids.lock().unwrap() = true;
        let refused = fetch(source.clone(), &world.library, &statement, &run()).await.unwrap_err();
        assert_eq!(refused.code(), "NOT_AUTHORISED");
        *below.replica.forbids.lock().unwrap() = false;
        fetch(source, &world.library, &statement, &run()).await.unwrap();
        assert_eq!(read_back(&world.library, statement.root), tree);
        eventually("it was counted", || *below.replica.sent.lock().unwrap() > 0).await;
    });
}

#[test]
fn a_revoked_site_is_cut_off_at_once_and_not_let_in_again() {
    in_runtime(async {
        let world = World::new().await;
        let (below, other) = (world.below("ABC").await, world.below("DEF").await);
        let (link, other_link) = (below.start(), other.start());
        eventually("both are connected", || world.links.sites_connected().len() == 2).await;
        world.side.replica.enrolled.lock().unwrap().remove(&code("ABC"));
        world.links.disconnect_site(code("ABC"));
        assert!(!world.links.is_site_connected(code("ABC")));
        eventually("it hears why", || below.replica.causes.lock().unwrap().contains(&"IDENTITY".to_owned()))
            .await;
        assert!(!link.is_connected() && other_link.is_connected());
        let statement = world.publish(1, &files(3, 100));
        let source = PullSource::from(&below.upstream);
        let refused = fetch(source, &below.library, &statement, &below.run).await.unwrap_err();
        assert_eq!(refused.code(), "IDENTITY");
    });
}

#[derive(Debug)]
struct QuietPoint;

impl DpSide for QuietPoint {
    async fn hello(&self) -> HelloFacts {
        HelloFacts::default()
    }
    async fn welcome(&self, _welcome: Welcome) {}
    async fn job(&self, _job: Job) {}
}

#[test]
fn a_newer_key_list_reaches_whoever_is_connected() {
    in_runtime(async {
        let world = World::new().await;
        let (point, below) = (world.point("DP01").await, world.below("ABC").await);
        let (config, identity) = (DpLinkConfig::default(), Arc::clone(&point.identity));
        let dp = DpLink::start(config, identity, Arc::new(QuietPoint), &point.run);
        let _link = below.start();
        eventually("both are connected", || dp.is_connected() && world.links.is_site_connected(code("ABC")))
            .await;
        let statement = publish_at(&below.trust, &below.library, 1, &files(2, 50));
        assert!(statement.verify(&point.identity.key_list()).is_err());
        let foreign = below.trust.key_list().as_foreign().collect();
        assert_eq!(world.trust.accept_foreign_keys(foreign).unwrap(), 2);
        eventually("the point has it", || point.identity.key_list().serial == 2).await;
        assert_eq!(statement.verify(&point.identity.key_list()), Ok(()));
        eventually("the site below has it", || below.upstream.parent_key_list().serial == 2).await;
        eventually("it was told", || {
            below.replica.key_lists.lock().unwrap().first().is_some_and(|list| list.serial == 2)
        })
        .await;
        // It is kept, and the other way it goes too.
        let opened = restock_transfer::DpIdentity::open(&world.path("DP01-identity")).unwrap();
        assert_eq!(opened.key_list(), *world.trust.key_list());
        let key = SigningKey::from_bytes(&[7; 32]).public();
        below.trust.accept_foreign_keys(vec![ForeignKey { site: code("DEF"), key }]).unwrap();
        eventually("the site above has it", || !world.side.replica.key_lists.lock().unwrap().is_empty())
            .await;
        assert_eq!(world.side.replica.key_lists.lock().unwrap()[0], *below.trust.key_list());
    });
}

#[test]
fn a_sites_certificate_past_two_thirds_of_its_life_is_renewed_over_the_link() {
    in_runtime(async {
        let days = |count: i64| count * 86_400_000_000;
        let past = Arc::new(ManualClock::new(Timestamp(SystemClock.now().0 - days(45))));
        let mut world = World::with_clock(&*past).await;
        world.stop().await;
        world.run = Run { clock: Arc::clone(&past) as Arc<dyn Clock>, ..world.run.clone() };
        world.listen().await;
        let below = world.below("ABC").await;
        let path = world.path("upstream-ABC/certificate.pem");
        let before = std::fs::read(&path).unwrap();
        world.stop().await;
        world.listen().await;
        let link = below.start();
        eventually("the certificate was replaced", || std::fs::read(&path).unwrap() != before).await;
        link.reconnect();
        eventually("it is back with it", || world.side.replica.hellos.lock().unwrap().len() == 2).await;
        SiteUpstream::open(&world.path("upstream-ABC"), &below.trust).unwrap();
    });
}

/// Carries bytes between two ends and counts them.
async fn counting_wire(to: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&count);
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            let (near, far) = (near.into_split(), far.into_split());
            for (mut from, mut into) in [(near.0, far.1), (far.0, near.1)] {
                let count = Arc::clone(&counted);
                tasks.spawn(async move {
                    let mut bytes = vec![0; 64 << 10];
                    while let Ok(length @ 1..) = from.read(&mut bytes).await {
                        count.fetch_add(length as u64, Ordering::Relaxed);
                        if into.write_all(&bytes[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address, count)
}

#[test]
fn an_idle_link_costs_less_than_a_hundred_bytes_a_second() {
    in_runtime(async {
        let world = World::new().await;
        let (wire, count) = counting_wire(world.address).await;
        let below = world.below_at("ABC", &SiteUrl::of_address(wire)).await;
        // A hundred times as often as by default.
        let ping = Duration::from_millis(200);
        let link = below.start();
        eventually("it is connected", || link.is_connected()).await;
        tokio::time::sleep(ping * 2).await;
        let before = count.load(Ordering::Relaxed);
        tokio::time::sleep(ping * 10).await;
        let each = (count.load(Ordering::Relaxed) - before) / 10;
        let (packet_heads, default_seconds) = (4 * 66, 20);
        assert!((20..1_000).contains(&each), "{each} bytes for one sign of life");
        assert!((each + packet_heads) / default_seconds <= 100);
    });
}

#[test]
fn content_of_a_cut_off_site_is_not_fetched_on() {
    in_runtime(async {
        let world = World::new().await;
        let below = world.below("ABC").await;
        let statement = publish_at(&below.trust, &below.library, 1, &files(300, 300_000));
        let _link = below.start();
        eventually("it is connected", || world.links.is_site_connected(code("ABC"))).await;
        let revoke = Revoke(world.links.clone(), Arc::clone(&world.side.replica));
        let progress: Arc<dyn PullProgress> = Arc::new(revoke);
        let source = PullSource::Below(world.links.clone(), Holder::Site(code("ABC")));
        let run = run();
        let cut = pull(source, &world.library, &statement, &options(), &progress, &run).await.unwrap_err();
        assert!(["LINK_STOPPED", "LINK_DOWN"].contains(&cut.code().as_str()), "{cut}");
        assert!(world.library.active(&content(1).package).is_none());
    });
}

/// Revokes the site as soon as it is known what is lacking.
struct Revoke(restock_transfer::Links, Arc<crate::hierarchy::Replica>);

impl PullProgress for Revoke {
    fn planned(&self, _chunks: u64, _bytes: u64) {
        self.1.enrolled.lock().unwrap().clear();
        self.0.disconnect_site(code("ABC"));
    }
}
