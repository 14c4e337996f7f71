//! The AdminService asked over sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use restock_frontdoor::{DoorConfig, DoorLimits, Doors, ListenerConfig, ManagementDoor, Protection};
use restock_names::Clock;
use restock_provider::Provider;
use restock_provider::account::{Accounts, BackOffLimits, Secret};
use restock_provider::admin::{AdminAnswer, AdminOperation, PermissionRow};
use restock_provider::object::Caller;
use restock_sitedb::Database;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::core::spread;
use crate::http::Client;
use crate::measure::{Table, Times, memory_mib};
use crate::site::package;

const CONNECTIONS: u32 = 50;
const REFRESHED: u32 = 1_000;

pub(crate) async fn measure(
    provider: &Provider,
    database: &Database,
    clock: &Arc<dyn Clock>,
    table: &mut Table,
) -> Result<()> {
    let token = account(provider).await?;
    let bearer = format!("Bearer {token}");
    let basic = base64::engine::general_purpose::STANDARD.encode("bench:correct horse battery");
    let basic = format!("Basic {basic}");
    let accounts = Accounts::new(database.clone(), Arc::clone(clock), BackOffLimits::default())?;
    let config = DoorConfig {
        kerberos: None,
        listeners: vec![ListenerConfig {
            address: "127.0.0.1:0".parse()?,
            protection: Protection::None,
            doors: Doors::ALL,
        }],
        names: vec!["localhost".to_owned()],
        origins: Vec::new(),
        everything_is_404: false,
        limits: DoorLimits::default(),
    };
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let door =
        ManagementDoor::start(config, provider.clone(), accounts, Arc::clone(clock), &tracker, &cancel)
            .await?;
    let address = *door.addresses().first().context("no listener")?;

    if table.wants("Get by key") {
        gets(address, &bearer, "token", table).await?;
        gets(address, &basic, "remembered Basic", table).await?;
    }
    if table.wants("OData") {
        odata(address, &bearer, table).await?;
    }
    if table.wants("unfiltered collection") {
        collection(address, &bearer, table).await?;
    }
    if table.wants("all doors") {
        crate::doors::measure(address, &bearer, table).await?;
    }
    if table.wants("RefreshPkgSource") {
        refreshes(address, &bearer, database, table).await?;
    }

    cancel.cancel();
    tracker.close();
    tracker.wait().await;
    Ok(())
}

async fn account(provider: &Provider) -> Result<String> {
    let caller = Caller::local("bench");
    let add = AdminOperation::AddAccount {
        name: "bench".to_owned(),
        display_name: String::new(),
        password: Some(Secret::new("correct horse battery")),
        permissions: vec![PermissionRow { role: "SMS0001R".to_owned(), scope: "SMS00ALL".to_owned() }],
    };
    provider.administer(&caller, add).await?;
    let create = AdminOperation::CreateToken {
        account: "bench".to_owned(),
        name: "bench".to_owned(),
        role: None,
        valid_ms: 3_600_000,
    };
    match provider.administer(&caller, create).await? {
        AdminAnswer::TokenMade(made) => Ok(made.token.reveal().to_owned()),
        other => bail!("no token was made: {other:?}"),
    }
}

async fn gets(address: SocketAddr, authorization: &str, what: &str, table: &mut Table) -> Result<()> {
    let mut client = Client::connect(address, authorization).await?;
    let mut times = Vec::new();
    for round in 0..2_200 {
        let path = format!("/AdminService/wmi/SMS_Package('{}')", package(spread(round)));
        let answer = client.ok("GET", &path, "").await?;
        if round >= 200 {
            times.push(answer.whole);
        }
    }
    let times = Times::new(times);
    let detail = format!(
        "p99 of 2,000; median {:.2} ms, worst {:.2} ms",
        times.percentile(0.5),
        times.percentile(1.0)
    );
    table.add(format!("Get by key, {what}"), (times.percentile(0.99), "ms"), Some(2.0), detail);
    Ok(())
}

/// The same small question through OData.
async fn odata(address: SocketAddr, authorization: &str, table: &mut Table) -> Result<()> {
    let mut client = Client::connect(address, authorization).await?;
    let mut times = Vec::new();
    for round in 0..550 {
        let path = format!(
            "/AdminService/wmi/SMS_DistributionPoint?$filter=PackageID%20eq%20'{}'&$select=PackageID,ServerNALPath,SiteCode,Status",
            package(spread(round))
        );
        let answer = client.ok("GET", &path, "").await?;
        if round >= 50 {
            times.push(answer.whole);
        }
    }
    let times = Times::new(times);
    table.add(
        "OData $filter by package, over HTTP",
        (times.percentile(0.99), "ms"),
        None,
        format!("p99; median {:.2} ms, 10 rows", times.percentile(0.5)),
    );
    Ok(())
}

async fn collection(address: SocketAddr, authorization: &str, table: &mut Table) -> Result<()> {
    let mut firsts = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(address, authorization).await?;
        let answer = client.ask("GET", "/AdminService/wmi/SMS_Package?$top=200", "", |_| {}).await?;
        anyhow::ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
        firsts.push(answer.first_byte);
    }
    let mut client = Client::connect(address, authorization).await?;
    let (before, mut most, mut bytes) = (memory_mib(), 0_f64, 0_usize);
    let mut pieces = 0_u32;
    let answer = client
        .ask("GET", "/AdminService/wmi/SMS_Package", "", |piece| {
            bytes += piece.len();
            pieces += 1;
            if pieces.is_multiple_of(500) {
                most = most.max(memory_mib() - before);
            }
        })
        .await?;
    anyhow::ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&answer.body));
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let mib = bytes as f64 / f64::from(1 << 20);
    let detail = format!(
        "whole answer {:.1} MiB in {:.2} s; ten short ones p99 {:.2} ms",
        mib,
        answer.whole.as_secs_f64(),
        Times::new(firsts).percentile(0.99)
    );
    table.add(
        "first byte of an unfiltered collection",
        (answer.first_byte.as_secs_f64() * 1e3, "ms"),
        Some(10.0),
        detail,
    );
    table.add("memory that its 100,000 rows took", (most, "MiB"), Some(64.0), "resident, client and server");
    Ok(())
}

/// 1,000 calls for 1,000 packages over 50 connections, then ten times as many for the same ones.
async fn refreshes(
    address: SocketAddr,
    authorization: &str,
    database: &Database,
    table: &mut Table,
) -> Result<()> {
    let mut alone = Client::connect(address, authorization).await?;
    let mut times = Vec::new();
    for number in 0..200 {
        times.push(alone.ok("POST", &refresh(REFRESHED + number), "{}").await?.whole);
    }
    let times = Times::new(times);
    let detail = format!(
        "p99 of 200, one after the other, each with its durable commit; median {:.2} ms",
        times.percentile(0.5)
    );
    table.add("RefreshPkgSource, one connection", (times.percentile(0.99), "ms"), Some(10.0), detail);

    let (first, took) = storm(address, authorization, 1).await?;
    let detail = format!(
        "p99; median {:.2} ms, {:.0} calls/s, no error",
        first.percentile(0.5),
        f64::from(REFRESHED) / took.as_secs_f64()
    );
    table.add(
        "RefreshPkgSource, 1,000 packages over 50 connections",
        (first.percentile(0.99), "ms"),
        None,
        detail,
    );
    let asked = pending(database).await?;
    anyhow::ensure!(asked >= REFRESHED as usize, "only {asked} packages are to be refreshed");
    let (again, took) = storm(address, authorization, 10).await?;
    let detail = format!(
        "p99; median {:.2} ms, {:.0} calls/s",
        again.percentile(0.5),
        f64::from(REFRESHED * 10) / took.as_secs_f64()
    );
    table.add("RefreshPkgSource, 10 × 1,000 again", (again.percentile(0.99), "ms"), None, detail);
    let after = pending(database).await?;
    anyhow::ensure!(after == asked, "{asked} packages were to be refreshed, then {after}");
    table.add(
        "refreshes that those 10,000 calls added",
        (0.0, "runs"),
        Some(0.0),
        format!("{after} packages wait for one run each, as before"),
    );
    Ok(())
}

fn refresh(number: u32) -> String {
    format!("/AdminService/wmi/SMS_Package('{}')/AdminService.RefreshPkgSource", package(number))
}

/// Calls for each package `times` times, spread over the connections.
async fn storm(address: SocketAddr, authorization: &str, times: u32) -> Result<(Times, Duration)> {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let authorization = authorization.to_owned();
        clients.spawn(async move {
            let mut client = Client::connect(address, &authorization).await?;
            let mut taken = Vec::new();
            for _ in 0..times {
                for number in (connection..REFRESHED).step_by(CONNECTIONS as usize) {
                    taken.push(client.ok("POST", &refresh(number), "{}").await?.whole);
                }
            }
            Ok::<_, anyhow::Error>(taken)
        });
    }
    let mut taken = Vec::new();
    while let Some(client) = clients.join_next().await {
        taken.extend(client??);
    }
    Ok((Times::new(taken), began.elapsed()))
}

/// Packages for which a refresh waits, each with exactly one run to come.
async fn pending(database: &Database) -> Result<usize> {
    let refreshes = database.read("pending", |tx| Box::pin(async move { tx.refreshes().await })).await;
    let refreshes: Result<_, restock_sitedb::DatabaseError> = refreshes;
    Ok(refreshes?.iter().filter(|(_, refresh)| refresh.is_pending()).count())
}
