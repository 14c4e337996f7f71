//! How fast a change reaches the sites below: one site, fifty below it, links of 50 ms.
//!
//! All sites run in this process and share its cores, as fifty sites never do: the time that passes is
//! an upper bound. Each link is mutual TLS through a proxy that holds every byte back for 25 ms.
//!
//! Run by `cargo bench -p restock-testkit --bench sites [-- --sites N --packages N]`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::large_futures,
    unreachable_pub,
    reason = "a benchmark says what it measured, and stops at the first surprise"
)]

mod delay;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use restock_names::{
    Clock as _, DistributionPointName, Epoch, LinkPolicy, PackageId, SiteCode, SourceVersion, SystemClock,
};
use restock_site::{Made, Site, SiteConfig, TokenKind};
use restock_sitedb::DatabaseError;
use restock_sitedb::package::Package;
use restock_sitedb::refresh::Refresh;
use restock_sitedb::state::Event;
use restock_sitedb::target::{Context, Target};
use restock_transfer::SiteUrl;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the change may take until every site has it.
const LIMIT: Duration = Duration::from_secs(5);
/// What a state at a site below may take to be seen above.
const SEEN_LIMIT: Duration = Duration::from_secs(1);
/// How often that is measured.
const SEEN_TIMES: u32 = 20;
/// One way of a link.
const ONE_WAY: Duration = Duration::from_millis(25);
/// What a site may take to hear of what was there before.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |word: &str, otherwise: u32| -> Result<u32> {
        let place = arguments.iter().position(|argument| argument == word);
        let value = place.and_then(|place| arguments.get(place + 1));
        value.map_or(Ok(otherwise), |value| value.parse().with_context(|| format!("{word} {value}")))
    };
    let (sites, packages) = (number("--sites", 50)?, number("--packages", 1_000)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(runtime.spawn(measure(sites, packages)))??;
    Ok(())
}

async fn measure(sites: u32, packages: u32) -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let top = Site::open(made(folder.path(), "TOP").await?, Arc::new(SystemClock)).await?;
    run(&top, &stop, &tasks);
    let address = top.listening().await;
    let near = delay::proxy(address, ONE_WAY, &stop, &tasks).await?;
    let mut below = Vec::new();
    for number in 0..sites {
        let code = format!("L{number:02}");
        let config = made(folder.path(), &code).await?;
        let token = top.create_token(TokenKind::Site, &code.parse()?, Duration::from_secs(3600)).await?.token;
        let own: SiteUrl = "restock://below.example:8720".parse()?;
        Site::join(&config, &SiteUrl::of_address(near), &token, &own, Arc::new(SystemClock)).await?;
        let site = Site::open(config, Arc::new(SystemClock)).await?;
        run(&site, &stop, &tasks);
        below.push(site);
    }
    for _ in 0..packages {
        add(&top).await?;
    }
    let all = |text: &'static str| {
        let below = &below;
        async move {
            let began = Instant::now();
            for site in below {
                while count(site, text).await? < packages {
                    ensure!(began.elapsed() < PATIENCE, "site {} does not hear of it", site.code());
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Ok(())
        }
    };
    all("before").await?;
    let cpu = cpu_seconds();
    let began = Instant::now();
    change(&top, "after").await?;
    let committed = began.elapsed();
    all("after").await?;
    let (took, cpu) = (began.elapsed(), cpu_seconds() - cpu);
    println!(
        "{packages} packages changed in {:.2} s; the last of {sites} sites had all {:.2} s after the first change \
         (limit {} s); {cpu:.1} s of processor for all sites, {:.0} ms for each",
        committed.as_secs_f64(),
        took.as_secs_f64(),
        LIMIT.as_secs(),
        cpu * 1_000.0 / f64::from(sites + 1),
    );
    let seen = seen_above(&below[0], &top).await?;
    println!(
        "the state of a distribution point below is seen above after {:.0} ms at the latest of {SEEN_TIMES} times \
         (limit {} ms)",
        seen.as_secs_f64() * 1_000.0,
        SEEN_LIMIT.as_millis(),
    );
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    for site in below.iter().chain([&top]) {
        site.close().await;
    }
    ensure!(took <= LIMIT, "the change took longer than {} s", LIMIT.as_secs());
    ensure!(seen <= SEEN_LIMIT, "a state was seen later than after {} ms", SEEN_LIMIT.as_millis());
    Ok(())
}

async fn made(folder: &Path, code: &str) -> Result<SiteConfig> {
    let mut config = SiteConfig::new(folder.join(code));
    config.link_listen = ([127, 0, 0, 1], 0).into();
    config.threads = 1;
    Site::init(&config, code.parse::<SiteCode>()?, Made::default(), Arc::new(SystemClock)).await?;
    Ok(config)
}

fn run(site: &Site, stop: &CancellationToken, tasks: &TaskTracker) {
    let (site, stop) = (site.clone(), stop.clone());
    tasks.spawn(async move {
        if let Err(error) = site.run(stop).await {
            eprintln!("site {} ended: {error}", site.code());
        }
    });
}

/// A package without a source, which nobody refreshes.
async fn add(site: &Site) -> Result<()> {
    let (code, now) = (site.code(), SystemClock.now());
    let added: Result<(), DatabaseError> = site
        .database()
        .transact("add", move |tx| {
            Box::pin(async move {
                let number = u32::try_from(tx.next_package_number().await?).unwrap();
                let id = PackageId::new(code, number).unwrap();
                tx.insert_package(&package(id, code, now)).await?;
                let mut refresh = Refresh::of_creation(now);
                refresh.cancel();
                tx.insert_refresh(id, &refresh).await
            })
        })
        .await;
    Ok(added?)
}

fn package(id: PackageId, code: SiteCode, now: restock_names::Timestamp) -> Package {
    Package {
        id,
        name: format!("Package {id}"),
        package_version: "1.0".to_owned(),
        manufacturer: "Maker".to_owned(),
        language: "en".to_owned(),
        description: "before".to_owned(),
        source_path: String::new(),
        source_flag: 1,
        priority: 2,
        is_public: false,
        allow_empty: false,
        link_policy: LinkPolicy::default(),
        source_site: code,
        source_version: SourceVersion(1),
        stored_version: SourceVersion(0),
        epoch: Epoch::FIRST,
        is_deleting: false,
        settings: 1,
        created_at: now,
        last_refresh_at: None,
    }
}

/// Changes every package, each in a transaction of its own, as a script would that calls from fifty
/// connections.
async fn change(site: &Site, text: &'static str) -> Result<()> {
    let found: Result<Vec<Package>, DatabaseError> =
        site.database().read("packages", |tx| Box::pin(tx.packages())).await;
    let tasks = TaskTracker::new();
    let mut answers = Vec::new();
    for package in found? {
        let database = site.database().clone();
        answers.push(tasks.spawn(async move {
            let changed = Package { description: text.to_owned(), ..package };
            let done: Result<(), DatabaseError> = database
                .transact("change", move |tx| Box::pin(async move { tx.update_package(&changed).await }))
                .await;
            done
        }));
    }
    for answer in answers {
        answer.await??;
    }
    Ok(())
}

/// The longest that a target's state took from the site of its distribution point to the one above.
async fn seen_above(low: &Site, top: &Site) -> Result<Duration> {
    let now = SystemClock.now();
    let id = PackageId::new(top.code(), 1).context("the first package of the site above")?;
    let mut longest = Duration::ZERO;
    for number in 0..SEEN_TIMES {
        let point: DistributionPointName = format!("DP{number:02}").parse()?;
        let (name, code) = (point.clone(), low.code());
        let added: Result<(), DatabaseError> = low
            .database()
            .transact("target", move |tx| {
                Box::pin(async move {
                    tx.enrol_point(&name, "key", now, now).await?;
                    let (Some(package), Some(refresh)) = (tx.package(id).await?, tx.refresh(id).await?)
                    else {
                        return Ok(());
                    };
                    let context = Context::new(&package, &refresh, code, now);
                    let mut target = Target::new(id, name.clone(), now);
                    let _applied = tx.apply(&mut target, &context, Event::Added, None).await?;
                    Ok(())
                })
            })
            .await;
        added?;
        let began = Instant::now();
        loop {
            let point = point.clone();
            let found: Result<_, DatabaseError> = top
                .database()
                .read("target", move |tx| Box::pin(async move { tx.target(id, &point).await }))
                .await;
            if found?.is_some() {
                break;
            }
            ensure!(began.elapsed() < PATIENCE, "the site above does not hear of the target");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        longest = longest.max(began.elapsed());
    }
    Ok(longest)
}

async fn count(site: &Site, text: &'static str) -> Result<u32> {
    let found: Result<Vec<Package>, DatabaseError> =
        site.database().read("packages", |tx| Box::pin(tx.packages())).await;
    let known = found?.iter().filter(|package| package.description == text).count();
    Ok(u32::try_from(known)?)
}

/// Processor time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 =
        after.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}
