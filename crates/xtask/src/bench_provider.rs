//! The benchmark of the provider: `testkit`'s bench `provider` over a large site database.

use anyhow::Result;

use crate::process;

/// Measures and writes `bench/PROVIDER.md`; fails when a limit is missed.
///
/// The site database is made once beneath `BENCH_DATA`, else `bench/bench-data`: 270 MB.
pub(crate) fn run() -> Result<()> {
    let document = crate::root().join("bench/PROVIDER.md");
    let mut command = process::cargo();
    command.args(["bench", "-p", "restock-testkit", "--bench", "provider", "--", "--write"]).arg(document);
    process::run(&mut command)
}
