//! Long forms of the fault suites: the tests of `testkit` and of the program with more points, longer.

use anyhow::{Result, bail};

use crate::{process, setup};

/// Suite, the crate and the module of its tests, the variable that carries the number of points (of
/// `net` the MiB of a package), and a long number.
const SUITES: &[(&str, &str, &str, &str, &str)] = &[
    ("disk", "restock-testkit", "disk::", "RESTOCK_DISK_SEEDS", "20"),
    ("sys", "restock-testkit", "sys::", "RESTOCK_SYS_POINTS", "1000"),
    ("power", "restock-testkit", "power::", "RESTOCK_POWER_CYCLES", "500"),
    ("net", "restock-cli", "netns_sites::", "RESTOCK_NETNS_MIB", "1024"),
];

/// Runs one suite or all, with `N` points when it is given.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (wanted, number) = match words {
        [] => (None, None),
        [suite] => (Some(*suite), None),
        [suite, number] if number.parse::<u32>().is_ok() => (Some(*suite), Some(*number)),
        _ => bail!("usage: cargo xtask torture [disk|sys|power|net] [N]"),
    };
    let chosen: Vec<_> = SUITES.iter().filter(|(name, ..)| wanted.is_none_or(|w| w == *name)).collect();
    if chosen.is_empty() {
        bail!("unknown suite {}; there are disk, sys, power, net", wanted.unwrap_or_default());
    }
    for (_, package, module, variable, long) in chosen {
        let mut command = process::cargo();
        command.env("PATH", setup::path_with_sbin()).env(variable, number.unwrap_or(long));
        // Ten minutes without the site above, unless told otherwise.
        command.env("RESTOCK_NETNS_AWAY", std::env::var("RESTOCK_NETNS_AWAY").unwrap_or("600".to_owned()));
        command.args(["test", "-p", package, "--test", "main", "--", "--nocapture", "--test-threads=1"]);
        process::run(command.arg(module))?;
    }
    Ok(())
}
