//! The fetch loop over a way of moving bytes of the test's own: what it shows when it fails, how it
//! goes on, and that it lets go of what it holds for others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use restock_names::{Clock as _, ManualClock, PackageId, SystemClock, Timestamp};
use restock_site::{Fetch, FetchError, FetchLoop, Fetched, Neighbour, Site};
use restock_sitedb::announced::Announced;
use restock_sitedb::copies::{COPY_FAILED, COPY_RETRYING, COPY_SENDING, Copy};
use restock_transfer::{Batch, Hello, JobKind, PROTOCOL, SiteSide as _};

use crate::world::{Running, change, code, dp, eventually, look};

/// Answers as it was told to.
#[derive(Clone, Default)]
struct Told {
    answers: Arc<Mutex<VecDeque<Result<(), FetchError>>>>,
    asked: Arc<Mutex<Vec<Neighbour>>>,
}

impl Fetch for Told {
    async fn fetch(&self, _what: &Announced, from: Neighbour) -> Result<Fetched, FetchError> {
        self.asked.lock().unwrap().push(from);
        let answer = self.answers.lock().unwrap().pop_front().expect("no more attempts than answers");
        answer.map(|()| Fetched { wire_received: 7, raw_bytes: 3 })
    }
}

/// A site below TOP that is stepped by the test, and knows of a package of TOP.
struct Below {
    site: Site,
    clock: Arc<ManualClock>,
    told: Told,
    fetches: FetchLoop<Told>,
    id: PackageId,
    top: Running,
    _folder: Arc<tempfile::TempDir>,
}

/// Hands all changes of `from` to `to`.
async fn tell(from: &Site, to: &Site) {
    let facts = to.side().replica_facts(from.code()).await.unwrap();
    let incarnation = from.side().replica_facts(to.code()).await.unwrap().incarnation;
    let next = from.side().next_changes(to.code(), facts.received.sequence).await.unwrap();
    let objects = next.changes.into_iter().map(|change| change.object).collect();
    let batch = Batch { incarnation, first: facts.received.sequence + 1, last: next.through, objects };
    to.side().take_changes(from.code(), batch).await.unwrap();
}

impl Below {
    async fn new() -> Self {
        let top = Running::top("TOP").await;
        let (config, folder) = top.made_below("LOW").await;
        top.join(&config, "LOW").await.unwrap();
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let site = Site::open(config, clock.clone()).await.unwrap();
        top.write("app", "a.txt", "one");
        let id = top.package("app").await;
        eventually!("version 1 is stored", top.versions(id).await == (1, 1));
        tell(&top.site, &site).await;
        let told = Told::default();
        let fetches = site.fetch_loop(told.clone());
        Self { site, clock, told, fetches, id, top, _folder: folder }
    }

    async fn step(&self, answer: Option<Result<(), FetchError>>) -> String {
        self.told.answers.lock().unwrap().extend(answer);
        self.fetches.run_once(self.clock.now()).await.unwrap().result
    }

    async fn announced(&self) -> Announced {
        let id = self.id;
        look!(self.site, |tx| tx.announced(id).await).unwrap()
    }

    async fn copy(&self) -> Option<Copy> {
        let (id, own) = (self.id, self.site.code());
        let copies = look!(self.site, |tx| tx.copies_of(id).await);
        copies.into_iter().find(|copy| copy.site == own)
    }

    async fn enrol(&self, name: &'static str) {
        let now = self.clock.now();
        change!(self.site, |tx| tx.enrol_point(&dp(name), "key", now, now).await);
    }
}

fn error(rule: &str, is_transient: bool) -> FetchError {
    FetchError { rule: rule.to_owned(), text: format!("because of {rule}"), is_transient }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_be_fetched_shows_why_and_is_tried_again() {
    let below = Below::new().await;
    assert_eq!(below.step(None).await, "idle", "nobody needs it");
    below.enrol("DP01").await;
    tell(&below.site, &below.top.site).await;
    below.top.target(below.id, "DP01").await;
    tell(&below.top.site, &below.site).await;

    // A full disk is shown, and work goes on when there is room.
    below.step(Some(Err(error("NO_SPACE", true)))).await;
    let copy = below.copy().await.unwrap();
    let why = copy.why.unwrap();
    assert_eq!((copy.state, why.rule.as_str()), (COPY_RETRYING, "NO_SPACE"));
    assert!(why.fix.unwrap().contains("room") && why.until.unwrap() > below.clock.now());
    assert_eq!(below.step(None).await, "idle", "not at once");
    below.clock.advance(Duration::from_secs(31));
    // What the neighbour lacks is asked for again soon, and at once when it says that it has it.
    below.step(Some(Err(error("CONTENT_NOT_HERE", true)))).await;
    assert_eq!(below.step(None).await, "idle");
    assert_eq!(below.announced().await.attempts, 2);
    below.clock.advance(Duration::from_secs(61));
    // Wrong content is an alarm.
    below.step(Some(Err(error("CONTENT_HASH_MISMATCH", false)))).await;
    let copy = below.copy().await.unwrap();
    assert_eq!((copy.state, copy.why.unwrap().rule.as_str()), (COPY_FAILED, "CONTENT_HASH_MISMATCH"));
    below.clock.advance(Duration::from_secs(3600));
    assert_eq!(below.told.asked.lock().unwrap().as_slice(), [Neighbour::Above(code("TOP")); 3]);
    // The owner hears of it all.
    tell(&below.site, &below.top.site).await;
    let id = below.id;
    let copies = look!(below.top.site, |tx| tx.copies_of(id).await);
    let seen = copies.into_iter().find(|copy| copy.site == code("LOW")).unwrap();
    assert_eq!(seen.why.unwrap().rule, "CONTENT_HASH_MISMATCH");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_lets_go_of_a_version_when_its_lease_ends_and_fetches_it_again_when_asked() {
    let below = Below::new().await;
    // A site below this one has a point that is targeted.
    let now = below.clock.now();
    let id = below.id;
    change!(below.site, |tx| {
        let own = tx.own_code().await?;
        let mut row = tx.site_row(own).await?.unwrap();
        (row.code, row.parent, row.name) = (code("SEC"), Some(own), "SEC".to_owned());
        tx.put_site(&row).await?;
        let link = tx.link(code("TOP")).await?.unwrap();
        tx.put_link(&restock_sitedb::hierarchy::LinkRow {
            peer: code("SEC"),
            is_above: false,
            incarnation: String::new(),
            received: 0,
            acknowledged: 0,
            ..link
        })
        .await
    });
    let point = serde_json::json!({
        "kind": "point", "key": "DP09", "clock": 1_u64 << 21, "writer": "SEC", "at": 1, "deleted": false,
        "body": {"site": "SEC", "serve_urls": [], "software": null, "is_connected": true, "last_seen_at": null, "enrolled_at": now.0, "library_id": null, "certificate_expires": now.0}
    });
    let batch = Batch { incarnation: "sec-1".to_owned(), first: 1, last: 1, objects: vec![point] };
    below.site.side().take_changes(code("SEC"), batch).await.unwrap();
    let is_known = look!(below.site, |tx| Ok(tx.point(&dp("DP09")).await?.is_some()));
    assert!(is_known, "the point of the site below is known");
    change!(below.site, |tx| {
        let package = tx.package(id).await?.unwrap();
        let refresh = tx.refresh(id).await?.unwrap();
        let own = tx.own_code().await?;
        let context = restock_sitedb::target::Context::new(&package, &refresh, own, now);
        let mut target = restock_sitedb::target::Target::new(id, dp("DP09"), now);
        tx.apply(&mut target, &context, restock_sitedb::state::Event::Added, None).await.map(drop)
    });
    below.step(Some(Ok(()))).await;
    let held = below.announced().await;
    assert!(held.is_draft && held.lease_until.is_some());
    assert_eq!(below.copy().await.unwrap().state, COPY_SENDING);
    let content = held.version.content;
    assert!(below.site.library().statement(&content).unwrap().is_some());
    assert!(below.site.library().active(&id).is_none());
    below.site.side().authorise_site_pull(code("SEC"), &content).await.unwrap();

    below.clock.advance(Duration::from_secs(25 * 3600));
    below.step(None).await;
    assert!(below.site.library().statement(&content).unwrap().is_none());
    assert!(below.copy().await.is_none());
    assert_eq!(below.step(None).await, "idle", "it is not fetched again by itself");
    let refused = below.site.side().authorise_site_pull(code("SEC"), &content).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.is_transient), ("CONTENT_NOT_HERE", true));
    below.step(Some(Ok(()))).await;
    assert!(below.announced().await.lease_until > Some(Timestamp(0)));
    below.site.side().authorise_site_pull(code("SEC"), &content).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_handed_over_only_when_the_keys_of_its_signer_are_listed() {
    let below = Below::new().await;
    below.enrol("DP01").await;
    tell(&below.site, &below.top.site).await;
    below.top.target(below.id, "DP01").await;
    tell(&below.top.site, &below.site).await;
    below.step(Some(Ok(()))).await;
    let (site, top, point) = (&below.site, code("TOP"), dp("DP01"));
    let mut registration = site.links().register(&point);
    let hello = Hello {
        protocol: PROTOCOL,
        library_id: "point-1".to_owned(),
        serve_urls: Vec::new(),
        held: Vec::new(),
        software: String::new(),
        serves: false,
    };
    let remote = ([127, 0, 0, 1], 1).into();
    site.side().connected(&point, registration.connection, hello, remote).await.unwrap();

    // The list lost the keys, and so did the row from which it follows them.
    let trust = site.shared_trust();
    let distribute = site.distribute_loop();
    let row = look!(site, |tx| tx.site_row(top).await).unwrap();
    let without = restock_sitedb::hierarchy::SiteRow { key_list: Vec::new(), ..row.clone() };
    change!(site, |tx| tx.put_site(&without).await);
    trust.accept_foreign_keys(Vec::new()).unwrap();
    distribute.run_once(below.clock.now()).await.unwrap();
    assert!(registration.jobs.try_recv().is_err(), "the point could only refuse it");

    change!(site, |tx| tx.put_site(&row).await);
    distribute.run_once(below.clock.now()).await.unwrap();
    assert_eq!(registration.jobs.try_recv().unwrap().kind, JobKind::Install);
    assert_eq!(trust.key_list().keys_of(top).count(), 1, "they are listed before the job is there");
}
