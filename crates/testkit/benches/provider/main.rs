//! What the SMS Provider costs over a large site database: `cargo xtask bench provider`.
//!
//! [`site`] makes a SQLite database with 100,000 packages, 1,000 distribution points and 1,000,000
//! targets, once, beneath `BENCH_DATA`; [`core`] asks the provider in this process, [`door`] the
//! AdminService over sockets, [`doors`] all doors. The table goes to standard output and, with `--write FILE`, there. With
//! `--only WORD` nothing is measured but what has the word in its name.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a benchmark prints and stops"
)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and its environment")]

mod core;
mod door;
mod doors;
mod http;
mod measure;
mod site;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use restock_names::{Clock, SystemClock};
use restock_provider::Provider;
use restock_provider::object::ProviderConfig;
use restock_sitedb::Database;

use measure::Table;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |word: &str| {
        let place = arguments.iter().position(|argument| argument == word);
        place.and_then(|place| arguments.get(place + 1))
    };
    let written = after("--write").map(PathBuf::from);
    let only = after("--only").cloned();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned();
    let data = std::env::var_os("BENCH_DATA").map_or(root.join("bench/bench-data"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // A request is served on a worker's thread; so is the benchmark.
    let folder = data.join("provider");
    let table = runtime.block_on(runtime.spawn(async move { run(&folder, only).await }))??;
    let text = table.text();
    println!("{text}");
    if let Some(path) = written {
        std::fs::write(&path, table.document())
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    anyhow::ensure!(table.all_hold(), "a measurement is above its limit");
    Ok(())
}

async fn run(folder: &std::path::Path, only: Option<String>) -> Result<Table> {
    let kept = site::made(folder).await?;
    let path = site::copied(&kept, folder)?;
    let database = Database::open_file(&path).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = ProviderConfig { host: "localhost".to_owned(), ..ProviderConfig::default() };
    let provider = Provider::start(database.clone(), Arc::clone(&clock), Vec::new(), config).await?;
    let mut table = Table::new(only);
    core::measure(&provider, &database, &path, &mut table).await?;
    door::measure(&provider, &database, &clock, &mut table).await?;
    database.close().await;
    site::forget(&path)?;
    Ok(table)
}
