//! Long forms of the fault suites: the tests of `testkit` with more points, repeated.

use anyhow::{Result, bail};

use crate::{process, setup};

/// Suite, the module of its tests, the variable that carries the number of points, and a long number.
const SUITES: &[(&str, &str, &str, &str)] = &[
    ("disk", "disk::", "RESTOCK_DISK_SEEDS", "20"),
    ("sys", "sys::", "RESTOCK_SYS_POINTS", "1000"),
    ("power", "power::", "RESTOCK_POWER_CYCLES", "500"),
];

/// Runs one suite or all, with `N` points when it is given.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (wanted, number) = match words {
        [] => (None, None),
        [suite] => (Some(*suite), None),
        [suite, number] if number.parse::<u32>().is_ok() => (Some(*suite), Some(*number)),
        _ => bail!("usage: cargo xtask torture [disk|sys|power] [N]"),
    };
    let chosen: Vec<_> = SUITES.iter().filter(|(name, ..)| wanted.is_none_or(|w| w == *name)).collect();
    if chosen.is_empty() {
        bail!("unknown suite {}; there are disk, sys, power", wanted.unwrap_or_default());
    }
    for (_, module, variable, long) in chosen {
        let mut command = process::cargo();
        command.env("PATH", setup::path_with_sbin()).env(variable, number.unwrap_or(long));
        command.args([
            "test",
            "-p",
            "restock-testkit",
            "--test",
            "main",
            "--",
            "--nocapture",
            "--test-threads=1",
        ]);
        process::run(command.arg(module))?;
    }
    Ok(())
}
