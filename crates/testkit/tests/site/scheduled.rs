//! Refreshes by schedule: when they are asked for, what was missed, clocks that jump.

use std::time::Duration;

use restock_cim::schedule::next_of;
use restock_names::{Clock, PackageId, SourceVersion, Timestamp, Zone};
use restock_provider::{Operation, PackageChange};
use restock_site::ScheduleLoop;
use restock_sitedb::DatabaseError;
use restock_sitedb::schedule::PackageSchedule;
use restock_testkit::random::Random;

use crate::server::Cluster;
use crate::world::World;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = HOUR.saturating_mul(24);
/// Every day at 02:00 from 2026-01-01 on, on the site's clock.
const DAILY: &str = "00411E0000100008";
/// Once, on 2026-12-01 at 00:00.
const ONCE: &str = "0001CE0000080000";

/// 2026-11-20 00:00 UTC.
const MIDNIGHT: Timestamp = Timestamp(1_795_132_800_000_000);

/// A world whose clock shows `MIDNIGHT`, and an installed package with the schedule.
async fn scheduled(text: &str) -> (World, PackageId, ScheduleLoop) {
    scheduled_in(World::new().await, text).await
}

async fn scheduled_in(world: World, text: &str) -> (World, PackageId, ScheduleLoop) {
    world.clock.jump_to(MIDNIGHT);
    let id = world.installed().await;
    set(&world, id, text).await;
    let schedules = world.site.schedule_loop();
    (world, id, schedules)
}

async fn set(world: &World, id: PackageId, text: &str) {
    let tokens = restock_cim::schedule::decode(text).unwrap();
    let (now, zone) = (world.clock.now(), world.site.config().zone.clone());
    let done: Result<(), DatabaseError> = world
        .site
        .database()
        .transact("set_schedule", move |tx| {
            Box::pin(async move { tx.set_schedule(id, &tokens, now, &zone).await })
        })
        .await;
    done.unwrap();
}

async fn kept(world: &World, id: PackageId) -> PackageSchedule {
    let kept: Result<_, DatabaseError> = world
        .site
        .database()
        .read("schedule", move |tx| Box::pin(async move { tx.schedule(id).await }))
        .await;
    kept.unwrap().expect("the package exists")
}

/// Steps the schedule loop until it has nothing to do; returns when it wants to be woken.
async fn look(world: &World, schedules: &ScheduleLoop) -> Option<Timestamp> {
    loop {
        let outcome = schedules.run_once(world.clock.now()).await.unwrap();
        if !outcome.is_busy {
            return outcome.next_due;
        }
    }
}

/// Looks, lets the refreshes that were asked for end, and returns the version.
async fn version(world: &World, schedules: &ScheduleLoop, id: PackageId) -> u32 {
    look(world, schedules).await;
    world.step().await;
    world.report_all(id).await;
    world.package(id).await.source_version.0
}

#[tokio::test]
async fn a_schedule_asks_for_a_refresh_as_a_call_does() {
    let (world, id, schedules) = scheduled(DAILY).await;
    assert_eq!(look(&world, &schedules).await, Some(MIDNIGHT.after(2 * HOUR)), "it sleeps until the run");
    assert_eq!(world.package(id).await.action_in_progress, 0);
    world.clock.advance(2 * HOUR);
    let before = world.messages(id).await.len();
    let next = look(&world, &schedules).await;
    assert_eq!(next, Some(MIDNIGHT.after(26 * HOUR)));
    let status = world.status(id).await;
    assert_eq!((status.package.action_in_progress, status.counters.installed), (1, 0), "visible at once");
    assert_eq!(status.package.refresh.unwrap().why.unwrap().rule, "SCHEDULE_DUE");
    assert_eq!(world.step().await, ["published"]);
    world.report_all(id).await;
    let status = world.status(id).await;
    assert_eq!((status.package.source_version, status.counters.installed), (SourceVersion(2), 2));
    let message = world.messages(id).await.swap_remove(before);
    assert_eq!(message.message_id, 60010);
    assert_eq!(message.insertion_strings, [id.as_str(), "app", "2026-11-20T02:00:00.000Z"]);
    assert_eq!(kept(&world, id).await.next_at, next);
}

#[tokio::test]
async fn runs_missed_while_the_site_was_stopped_are_one_refresh() {
    let (world, id, _) = scheduled(DAILY).await;
    let world = world.restarted().await;
    let schedules = world.site.schedule_loop();
    world.clock.advance(5 * DAY + 9 * HOUR);
    look(&world, &schedules).await;
    let why = world.package(id).await.refresh.unwrap().why.unwrap();
    assert_eq!(why.rule, "SCHEDULE_MISSED");
    assert_eq!(why.text, "catches up with the schedule: 6 runs missed since 2026-11-20T02:00:00.000Z");
    assert_eq!(version(&world, &schedules, id).await, 2);
    let messages = world.messages(id).await;
    let missed: Vec<_> = messages.iter().filter(|message| message.message_id == 60011).collect();
    assert_eq!(missed.len(), 1);
    assert_eq!(missed[0].insertion_strings[2..4], ["6".to_owned(), "2026-11-20T02:00:00.000Z".to_owned()]);
    // The next one is in time again.
    world.clock.advance(17 * HOUR);
    assert_eq!(version(&world, &schedules, id).await, 3);
    assert_eq!(world.message_ids(id).await.iter().filter(|message| **message == 60011).count(), 1);
}

#[tokio::test]
async fn a_clock_put_forward_is_one_refresh_and_put_back_none() {
    let (world, id, schedules) = scheduled(DAILY).await;
    world.clock.advance(2 * HOUR);
    assert_eq!(version(&world, &schedules, id).await, 2);
    // Back over the run it has just had: not a second time, also when 02:00 comes again.
    world.clock.jump_to(MIDNIGHT.after(HOUR));
    assert_eq!(version(&world, &schedules, id).await, 2);
    world.clock.advance(HOUR);
    assert_eq!(version(&world, &schedules, id).await, 2);
    // Forward over 400 runs: one refresh.
    world.clock.jump_to(MIDNIGHT.after(400 * DAY + 3 * HOUR));
    assert_eq!(version(&world, &schedules, id).await, 3);
    assert_eq!(version(&world, &schedules, id).await, 3);
    // And back: nothing at once, but the schedule does not stand still for 400 days.
    world.clock.jump_to(MIDNIGHT.after(3 * HOUR));
    assert_eq!(version(&world, &schedules, id).await, 3);
    assert_eq!(look(&world, &schedules).await, Some(MIDNIGHT.after(26 * HOUR)));
    world.clock.advance(23 * HOUR);
    assert_eq!(version(&world, &schedules, id).await, 4);
}

#[tokio::test]
async fn many_missed_runs_are_counted_to_a_limit() {
    // Every minute, in UTC.
    let (world, id, schedules) = scheduled("00011E0000102001").await;
    world.clock.advance(400 * DAY);
    assert_eq!(version(&world, &schedules, id).await, 2);
    let messages = world.messages(id).await;
    let missed = messages.iter().find(|message| message.message_id == 60011).unwrap();
    assert_eq!(missed.insertion_strings[4], "at least 1000 runs missed since 2026-11-20T00:01:00.000Z");
    assert_eq!(kept(&world, id).await.next_at, Some(MIDNIGHT.after(400 * DAY + HOUR / 60)));
}

#[tokio::test]
async fn what_does_not_recur_runs_once() {
    let (world, id, schedules) = scheduled(ONCE).await;
    world.clock.advance(11 * DAY);
    assert_eq!(version(&world, &schedules, id).await, 2);
    assert_eq!(kept(&world, id).await.next_at, None);
    world.clock.advance(400 * DAY);
    assert_eq!(version(&world, &schedules, id).await, 2);
    assert_eq!(look(&world, &schedules).await, None);
}

#[tokio::test]
async fn a_schedule_looks_ahead_from_when_it_was_set() {
    let (world, id, schedules) = scheduled(DAILY).await;
    world.clock.advance(3 * HOUR);
    // Set anew after the time of the run, before the loop looked: the old one owes nothing.
    set(&world, id, "00811E0000100008").await;
    assert_eq!(version(&world, &schedules, id).await, 1);
    assert_eq!(kept(&world, id).await.next_at, Some(MIDNIGHT.after(4 * HOUR)));
    // The same tokens again, as a Put of the whole object carries them, take no due run away.
    world.clock.advance(HOUR);
    set(&world, id, "00811E0000100008").await;
    assert_eq!(version(&world, &schedules, id).await, 2);
    set(&world, id, "").await;
    assert_eq!(kept(&world, id).await, PackageSchedule { tokens: vec![], seen_at: None, next_at: None });
    world.clock.advance(9 * DAY);
    assert_eq!(version(&world, &schedules, id).await, 2);
}

#[tokio::test]
async fn packages_that_are_deleted_or_lost_their_source_are_left_out() {
    let (world, id, schedules) = scheduled(DAILY).await;
    let other = world.create().await;
    world.step().await;
    set(&world, other, DAILY).await;
    world.perform(Operation::DeletePackage { package: other }).await.unwrap();
    let change = PackageChange { source_path: Some(String::new()), ..PackageChange::of(id) };
    world.perform(Operation::SetPackage(change)).await.unwrap();
    world.clock.advance(3 * HOUR);
    assert_eq!(version(&world, &schedules, id).await, 1);
    assert_eq!(kept(&world, id).await.next_at, Some(MIDNIGHT.after(26 * HOUR)), "it is reckoned on");
}

#[tokio::test]
async fn local_times_are_those_of_the_zone_of_the_site() {
    let (world, id, _) = scheduled(DAILY).await;
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let zone = berlin.clone();
    let changed: Result<u64, DatabaseError> = world
        .site
        .database()
        .transact("reckon", move |tx| Box::pin(async move { tx.reckon_schedules(&zone).await }))
        .await;
    assert_eq!(changed.unwrap(), 1);
    assert_eq!(kept(&world, id).await.next_at, Some(MIDNIGHT.after(HOUR)), "02:00 in Berlin is 01:00");
}

#[tokio::test]
async fn a_running_site_wakes_for_the_run_itself() {
    let (world, id, _) = scheduled(DAILY).await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let run = tokio::spawn({
        let (site, shutdown) = (world.site.clone(), shutdown.clone());
        async move { site.run(shutdown).await }
    });
    world.site.listening().await;
    // Looked at a tenth of a second before the run; the period without a reason to look is 30 s.
    world.clock.jump_to(Timestamp(MIDNIGHT.0 + 2 * 3_600_000_000 - 100_000));
    set(&world, id, "").await;
    set(&world, id, DAILY).await;
    let begun = std::time::Instant::now();
    while kept(&world, id).await.next_at != Some(MIDNIGHT.after(2 * HOUR)) {
        tokio::task::yield_now().await;
    }
    world.clock.advance(Duration::from_millis(100));
    while world.package(id).await.source_version != SourceVersion(2) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was not woken");
        tokio::task::yield_now().await;
    }
    let loops: Result<_, DatabaseError> =
        world.site.database().read("loops", |tx| Box::pin(async move { tx.loops().await })).await;
    assert!(loops.unwrap().iter().any(|row| row.name == "schedule"), "it has a row in the status table");
    shutdown.cancel();
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn each_run_is_asked_for_once_however_the_clock_walks() {
    // Every five hours in UTC, and on the second Tuesday of each month at 22:00.
    let (world, id, schedules) = scheduled("00011E000010050102CD1E0020231401").await;
    let tokens = kept(&world, id).await.tokens;
    for seed in 0..8 {
        let mut random = Random::new(seed);
        set(&world, id, "").await;
        world.clock.jump_to(MIDNIGHT);
        set(&world, id, "00011E000010050102CD1E0020231401").await;
        let requests = world.package(id).await.requests;
        // The latest time the clock has shown: runs up to then have been asked for.
        let (mut latest, mut expected) = (MIDNIGHT, 0);
        for _ in 0..60 {
            let now = world.clock.now();
            let now = match random.below(4) {
                0 => Timestamp(latest.0 - random.below(20 * 3_600_000_000) as i64),
                1 => now.after(Duration::from_secs(random.below(40 * 24 * 3600))),
                _ => now.after(Duration::from_secs(random.below(6 * 3600))),
            };
            world.clock.jump_to(now);
            let is_due = next_of(&tokens, latest, &Zone::utc()).is_some_and(|next| next <= now);
            expected += u64::from(is_due);
            latest = latest.max(now);
            look(&world, &schedules).await;
            let asked = world.package(id).await.requests - requests;
            assert_eq!(asked, expected, "seed {seed}, at {now}, after {latest}");
        }
        assert!(expected > 10, "seed {seed} tries little");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_on_postgres_refreshes_by_schedule() {
    let Some(cluster) = Cluster::start() else { return };
    let fresh = cluster.database("site").await;
    let (world, id, schedules) = scheduled_in(World::with_database(&fresh.url).await, DAILY).await;
    world.clock.advance(2 * HOUR);
    assert_eq!(version(&world, &schedules, id).await, 2);
    world.clock.advance(3 * DAY);
    assert_eq!(version(&world, &schedules, id).await, 3);
    world.clock.jump_to(MIDNIGHT);
    assert_eq!(version(&world, &schedules, id).await, 3);
    assert_eq!(kept(&world, id).await.next_at, Some(MIDNIGHT.after(2 * HOUR)));
    world.site.close().await;
    fresh.database.close().await;
}
